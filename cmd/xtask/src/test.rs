//! `cargo xtask test`: fetch the tools, then run every test of the workspace. The tests take the tools' folder from
//! `MINISVC_TEST_TOOLS` and fail when it is not set.

use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::{compat, fetch};

/// Runs `cargo test --workspace`, passing `arguments` on. A run of everything (no arguments) also compares the client
/// matrix with COMPATIBILITY.md.
///
/// # Errors
/// When a tool cannot be fetched, a test fails, or COMPATIBILITY.md tells of another matrix.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let tools = fetch::tools()?;
    let results = compat::fresh_results()?;
    // Tests below the whole lab call `nft` by its name.
    let path = format!("{}:{}", tools.join("bin").display(), std::env::var("PATH").unwrap_or_default());
    let status = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["test", "--workspace", "--locked"])
        .args(arguments)
        .env("PATH", path)
        .env("MINISVC_TEST_TOOLS", tools)
        .env("MINISVC_COMPAT_DIR", &results)
        .status()
        .context("start cargo test")?;
    ensure!(status.success(), "cargo test ended with {status}");
    if arguments.is_empty() { compat::check(&results) } else { Ok(()) }
}
