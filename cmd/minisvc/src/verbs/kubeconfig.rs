//! `minisvc kubeconfig`.

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use minisvc_lab::places::Places;

pub(super) fn run(places: &Places) -> Result<ExitCode> {
    let path = places.kubeconfig_of("admin");
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("read {}: is the lab up, and are you its owner?", path.display()))?;
    print!("{text}");
    Ok(ExitCode::SUCCESS)
}
