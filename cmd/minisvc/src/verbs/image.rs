//! `minisvc image`: a built-in program of a pod. Runs inside the container.

use std::process::ExitCode;

use anyhow::Result;

pub(super) fn run(program: &str, arguments: &[String]) -> Result<ExitCode> {
    match program {
        "coredns" => coredns(),
        _ => Ok(minisvc_images::run(program, arguments)),
    }
}

fn coredns() -> Result<ExitCode> {
    crate::logging::start();
    super::on_one_thread(async {
        let client = kube::Client::try_from(kube::Config::incluster()?)?;
        let config = minisvc_dns::Config::from_environment()?;
        let stop = async {
            if let Err(error) = super::asked_to_stop().await {
                tracing::error!("{error:#}");
            }
        };
        minisvc_dns::run(config, client, stop).await?;
        Ok(ExitCode::SUCCESS)
    })
}
