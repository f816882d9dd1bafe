//! `minisvc image`: a built-in program of a pod. Runs inside the container.

use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};

pub(super) fn run(program: &str, arguments: &[String]) -> Result<ExitCode> {
    match program {
        "coredns" => coredns(arguments),
        _ if minisvc_dns::lookup::PROGRAMS.contains(&program) => {
            super::on_one_thread(async { Ok(ExitCode::from(minisvc_dns::lookup::run(program, arguments).await)) })
        }
        _ => Ok(minisvc_images::run(program, arguments)),
    }
}

/// Runs what this binary is called by, where that is not its own name: `/agnhost`, `dig`. Containers find it so.
pub(crate) fn called_by_other_name() -> Option<Result<ExitCode>> {
    let mut words = std::env::args_os().map(|word| word.to_string_lossy().into_owned());
    let program = minisvc_images::called(&words.next()?)?;
    Some(run(program, &words.collect::<Vec<_>>()))
}

/// Cluster DNS: `--domain DOMAIN` and any number of `--upstream ADDRESS`.
fn coredns(arguments: &[String]) -> Result<ExitCode> {
    crate::logging::start();
    let config = dns_config(arguments)?;
    super::on_one_thread(async {
        let client = minisvc_lab::access::patient_client(kube::Config::incluster()?)?;
        let stop = async {
            if let Err(error) = super::asked_to_stop().await {
                tracing::error!("{error:#}");
            }
        };
        minisvc_dns::run(config, client, stop).await?;
        Ok(ExitCode::SUCCESS)
    })
}

fn dns_config(arguments: &[String]) -> Result<minisvc_dns::Config> {
    let mut config = minisvc_dns::Config::default();
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        let value = words.next().with_context(|| format!("{word} needs a value"))?;
        match word.as_str() {
            "--domain" => config.domain = value.trim_matches('.').to_ascii_lowercase(),
            "--upstream" => config.upstreams.extend(minisvc_dns::parse_upstreams(value)?),
            _ => bail!("coredns knows --domain and --upstream, not {word}"),
        }
    }
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dns_arguments_are_read() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let config = dns_config(&words("--domain lab.test --upstream 10.0.2.3")).unwrap();
        assert_eq!(config.domain, "lab.test");
        assert_eq!(config.upstreams, ["10.0.2.3:53".parse().unwrap()]);
        assert!(dns_config(&words("--port 53")).unwrap_err().to_string().contains("not --port"));
        assert!(dns_config(&words("--domain")).is_err());
    }
}
