//! `cargo xtask fuzz`: builds the fuzz targets with coverage feedback (libFuzzer) on the stable toolchain and runs them for
//! a time each; or runs the blind driver of CI for longer. Crashes become files, to be kept below `testdata/fuzz`.
//!
//! Only the workspace's own crates are instrumented: this program puts itself before the compiler for them
//! (`RUSTC_WORKSPACE_WRAPPER`), so that dependencies need not be built again.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, bail, ensure};

/// Set for the compiler that this program wraps.
const WRAPS: &str = "MINISVC_FUZZ_WRAPS_COMPILER";
/// What cargo-fuzz passes for coverage feedback; the callbacks are libFuzzer's.
const COVERAGE: &[&str] = &[
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Ccodegen-units=1",
];

/// When called by cargo in the compiler's place: compiles, with coverage where the crate is ours and runs in the target.
pub(crate) fn as_compiler() -> Option<ExitCode> {
    std::env::var_os(WRAPS)?;
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (compiler, rest) = arguments.split_first()?;
    let mut command = Command::new(compiler);
    command.args(rest);
    let pair = |first: &str, second: &str| rest.windows(2).any(|two| two[0] == first && two[1] == second);
    let ours = rest.iter().any(|word| word == "--crate-name") && !pair("--crate-name", "build_script_build");
    if ours && !pair("--crate-type", "proc-macro") {
        command.args(COVERAGE);
    }
    let cause = command.exec();
    eprintln!("{compiler}: {cause}");
    Some(ExitCode::FAILURE)
}

/// Runs the named targets, or all.
///
/// # Errors
/// When the driver cannot be built, or a target crashes: the message names the input's file.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let (mut names, mut seconds, mut blind) = (Vec::new(), 60_u64, false);
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--seconds" => {
                seconds = words.next().and_then(|n| n.parse().ok()).context("--seconds needs a number")?;
            }
            "--blind" => blind = true,
            name => names.push(name.to_owned()),
        }
    }
    let known = targets()?;
    if let Some(unknown) = names.iter().find(|name| !known.contains(name)) {
        bail!("no target {unknown}; there are {}", known.join(", "));
    }
    let names = if names.is_empty() { known } else { names };
    if blind { run_blind(&names, seconds) } else { run_with_coverage(&names, seconds) }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Every target has a folder of seeds (a test of the fuzz crate compares the two).
fn targets() -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(root().join("testdata/fuzz")).context("read testdata/fuzz")? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

fn run_blind(names: &[String], seconds: u64) -> Result<()> {
    let names = names.iter().map(|name| name.replace('-', "_"));
    let status = cargo()
        .args(["test", "-p", "minisvc-fuzz", "--locked", "--test", "bounded", "--", "--exact", "--nocapture"])
        .args(names)
        .env("MINISVC_FUZZ_SECONDS", seconds.to_string())
        .env("MINISVC_FUZZ_SEED", std::process::id().to_string())
        .status()
        .context("start cargo test")?;
    ensure!(status.success(), "a target crashed: see the file named above");
    Ok(())
}

fn run_with_coverage(names: &[String], seconds: u64) -> Result<()> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    let status = cargo()
        .args(["build", "-p", "minisvc-fuzz", "--locked", "--features", "libfuzzer", "--bin", "fuzz-with-coverage"])
        .env("RUSTC_WORKSPACE_WRAPPER", std::env::current_exe()?)
        .env(WRAPS, "1")
        .status()
        .context("start cargo build")?;
    ensure!(status.success(), "the driver was not built; without a C++ compiler try --blind");
    let driver = target.join("debug/fuzz-with-coverage");
    let mut crashed = Vec::new();
    for name in names {
        let corpus = target.join("fuzz").join(name);
        std::fs::create_dir_all(&corpus).with_context(|| format!("make {}", corpus.display()))?;
        let crash = target.join("fuzz").join(format!("{name}-"));
        println!("== {name}, {seconds} s");
        let status = Command::new(&driver)
            .arg(&corpus)
            .arg(root().join("testdata/fuzz").join(name))
            .args([format!("-max_total_time={seconds}"), format!("-artifact_prefix={}", crash.display())])
            .args(["-timeout=20", "-rss_limit_mb=2048", "-max_len=16384", "-print_final_stats=1", "-verbosity=1"])
            .env("MINISVC_FUZZ_TARGET", name)
            .status()
            .with_context(|| format!("start {}", driver.display()))?;
        if !status.success() {
            crashed.push(name.as_str());
        }
    }
    let advice = "put the input that is named above into testdata/fuzz/TARGET, mend, and keep it";
    ensure!(crashed.is_empty(), "crashed: {}; {advice}", crashed.join(", "));
    Ok(())
}
