//! `cargo xtask ci`: formatting, lints, tests, in that order.

use std::process::Command;

use anyhow::{Context, Result, ensure};

/// Runs the three steps and stops at the first that fails.
///
/// # Errors
/// Names the step that failed.
pub(crate) fn run() -> Result<()> {
    step(&["fmt", "--all", "--check"])?;
    step(&["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"])?;
    crate::test::run(&[])
}

fn step(arguments: &[&str]) -> Result<()> {
    let status = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(arguments)
        .status()
        .with_context(|| format!("start cargo {}", arguments[0]))?;
    ensure!(status.success(), "cargo {} ended with {status}", arguments[0]);
    Ok(())
}
