//! `minisvc edge`: router, switch and cloud, put together. Holds the place outside.

use std::os::fd::AsRawFd as _;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use minisvc_edge::{Config, wiring};
use minisvc_kernel::Netns;
use minisvc_lab::edge_note::EdgeNote;
use minisvc_lab::places::Places;
use minisvc_lab::settings::Settings;
use minisvc_lab::{access, wires};

pub(super) fn run(places: &Places) -> Result<ExitCode> {
    crate::logging::start();
    let settings = Settings::load(places)?.context("the edge is started by `minisvc up`")?;
    super::on_one_thread(edge(places, &settings))?;
    Ok(ExitCode::SUCCESS)
}

async fn edge(places: &Places, settings: &Settings) -> Result<()> {
    let plan = wires::plan(settings)?;
    let here = Netns::current()?;
    let outside = Netns::create()?;
    wiring::lay_edge(&plan, &here, &outside).await.context("lay the edge's wires")?;
    // Found by others under /proc/PID/fd: `outside` lives as long as this process.
    EdgeNote::mine(outside.fd().as_raw_fd())?.save(places)?;
    let client = access::client(&places.kubeconfig_of("edge")).await?;
    let config = Config { delay: Duration::from_millis(settings.lb_delay_ms), ..Config::new(plan) };
    let outcome = minisvc_edge::run(config, client, async {
        if let Err(error) = super::asked_to_stop().await {
            tracing::error!("wait for the order to stop: {error:#}");
        }
    });
    let outcome = outcome.await;
    drop(outside);
    outcome
}
