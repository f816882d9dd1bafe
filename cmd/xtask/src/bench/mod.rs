//! `cargo xtask bench`: figures of the running lab, each beside its floor or peer of the same run. Re-executes itself in
//! private network and mount namespaces, so that no packet leaves the machine. Prints a Markdown table.

mod api;
mod bed;
mod dns;
mod peer;
mod reception;
mod rows;
mod stats;

use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use crate::fetch;

const MARK: &str = "MINISVC_BENCH_INSIDE";

/// One line of the table.
pub(crate) struct Line {
    what: String,
    figure: String,
    beside: String,
    promise: &'static str,
}

type Row = (&'static str, fn(&bed::Bed) -> Result<Vec<Line>>);

const ROWS: &[Row] = &[
    ("up", rows::up),
    ("pods10", rows::ten_pods),
    ("pods1000", rows::thousand_pods),
    ("ready", rows::ready_to_packet),
    ("proxy", rows::proxy_load),
    ("connections", rows::connections),
    ("dns", dns::rate),
    ("api", reception::rows),
    ("memory", rows::memory),
    ("idle", rows::idle),
];

/// Measures the named rows, or all.
///
/// # Errors
/// When a measurement cannot be made; the others are still printed.
pub(crate) fn run(wanted: &[String]) -> Result<()> {
    for name in wanted {
        ensure!(ROWS.iter().any(|(known, _)| known == name), "no row {name}; there are: {}", names());
    }
    if std::env::var_os(MARK).is_none() {
        return outside(wanted);
    }
    let up = Command::new("ip").args(["link", "set", "lo", "up"]).status()?;
    ensure!(up.success(), "cannot bring the private loopback up");
    let bed = bed::Bed::new()?;
    let mut failed = Vec::new();
    println!("| what | measured | beside it, same run | promise |\n|---|---|---|---|");
    for (name, row) in ROWS {
        if !wanted.is_empty() && !wanted.iter().any(|w| w == name) {
            continue;
        }
        match row(&bed) {
            Ok(lines) => {
                for Line { what, figure, beside, promise } in lines {
                    println!("| {what} | {figure} | {beside} | {promise} |");
                }
            }
            Err(error) => {
                eprintln!("{name}: {error:#}");
                failed.push(*name);
            }
        }
    }
    if failed.is_empty() { Ok(()) } else { bail!("could not measure: {}", failed.join(", ")) }
}

fn names() -> String {
    ROWS.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}

/// Builds and fetches with the network there is, then goes inside.
fn outside(wanted: &[String]) -> Result<()> {
    let tools = fetch::bench_tools()?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(&cargo)
        .args([
            "build",
            "--release",
            "--locked",
            "--package",
            "minisvc",
            "--package",
            "minisvc-proxy",
            "--package",
            "minisvc-apiserver",
            "--example",
            "load",
            "--example",
            "api_load",
            "--bin",
            "minisvc",
        ])
        .status()
        .context("start cargo build")?;
    ensure!(built.success(), "cargo build --release ended with {built}");
    let target = std::env::var("CARGO_TARGET_DIR").unwrap_or_else(|_| "target".to_owned());
    let release = std::path::absolute(std::path::Path::new(&target).join("release"))?;
    let status = Command::new("unshare")
        .args(["--net", "--mount", "--propagation", "private", "--"])
        .arg(std::env::current_exe()?)
        .arg("bench")
        .args(wanted)
        .env(MARK, "1")
        .env("MINISVC_TEST_TOOLS", tools)
        .env("MINISVC_RELEASE", release)
        .status()
        .context("start unshare")?;
    ensure!(status.success(), "some rows could not be measured");
    Ok(())
}
