//! `minisvc image`: a built-in program of a pod. Runs inside the container.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use minisvc_dns::corefile::Corefile;

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

/// DNS: `-conf COREFILE` as CoreDNS has it; or the cluster's own, `--domain DOMAIN` and any number of `--upstream ADDRESS`.
fn coredns(arguments: &[String]) -> Result<ExitCode> {
    crate::logging::start();
    let (corefile, path) = corefile(arguments)?;
    let config = minisvc_dns::Config::new(corefile, path);
    super::on_one_thread(async {
        let client = || minisvc_lab::access::patient_client(kube::Config::incluster()?);
        let stop = async {
            if let Err(error) = super::asked_to_stop().await {
                tracing::error!("{error:#}");
            }
        };
        minisvc_dns::run(config, client, stop).await?;
        Ok(ExitCode::SUCCESS)
    })
}

/// What to answer, and the file that says so.
fn corefile(arguments: &[String]) -> Result<(Corefile, Option<PathBuf>)> {
    let (mut domain, mut upstreams, mut file) = ("cluster.local".to_owned(), Vec::new(), None);
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        let value = words.next().with_context(|| format!("{word} needs a value"))?;
        match word.as_str() {
            "--domain" => domain.clone_from(value),
            "--upstream" => upstreams.extend(minisvc_dns::parse_upstreams(value)?),
            "-conf" | "--conf" => file = Some(PathBuf::from(value)),
            _ => bail!("coredns knows -conf, --domain and --upstream, not {word}"),
        }
    }
    match file {
        None => Ok((Corefile::cluster(&domain, upstreams), None)),
        Some(path) => Ok((minisvc_dns::read_corefile(&path)?, Some(path))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dns_arguments_are_read() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let own = corefile(&words("--domain lab.test --upstream 10.0.2.3")).unwrap();
        assert_eq!(own, (Corefile::cluster("lab.test", vec!["10.0.2.3:53".parse().unwrap()]), None));
        assert!(corefile(&words("--port 53")).unwrap_err().to_string().contains("not --port"));
        assert!(corefile(&words("--domain")).is_err());
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("Corefile");
        std::fs::write(&path, ".:5353 {\n forward . 10.0.2.3\n}\n").unwrap();
        let read = corefile(&words(&format!("-conf {}", path.display()))).unwrap();
        assert_eq!((read.0.port, read.0.domain(), read.1), (5353, None, Some(path.clone())));
        std::fs::write(&path, ". {\n rewrite a b\n}\n").unwrap();
        let error = format!("{:#}", corefile(&words(&format!("-conf {}", path.display()))).unwrap_err());
        assert!(error.ends_with("Corefile: 2 - Error during parsing: Unknown directive 'rewrite'"), "{error}");
    }
}
