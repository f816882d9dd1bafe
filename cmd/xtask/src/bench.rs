//! `cargo xtask bench`: figures of the running lab, each beside its floor or peer of the same run.

use anyhow::{Result, bail};

/// Measures the named rows, or all.
///
/// # Errors
/// When a measurement cannot be made.
pub(crate) fn run(_rows: &[String]) -> Result<()> {
    bail!("no row is defined yet")
}
