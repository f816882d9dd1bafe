//! The compatibility table: tests of the client matrix leave one file for each client and row that passed; this turns
//! them into the tables of COMPATIBILITY.md and says when the committed ones differ. Runs no client itself.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::fetch;

/// The tests that tell the table what passed.
const TESTS: &[&str] = &["kubectl", "kubectl_streams", "clients", "kube_rs", "stable_streams"];
const BEGIN: &str = "<!-- written by cargo xtask compat -->\n";
const END: &str = "<!-- end -->";
/// Programs whose versions share one table.
const FAMILIES: &[&str] = &["kubectl", "helm"];

/// Runs the client matrix and writes its table into COMPATIBILITY.md.
///
/// # Errors
/// When a client cannot be fetched or a test fails.
pub(crate) fn run() -> Result<()> {
    let tools = fetch::tools()?;
    let results = fresh_results()?;
    let mut tests = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    tests.args(["test", "--locked", "-p", "minisvc"]);
    for test in TESTS {
        tests.args(["--test", test]);
    }
    let path = format!("{}:{}", tools.join("bin").display(), std::env::var("PATH").unwrap_or_default());
    let status = tests
        .env("PATH", path)
        .env("MINISVC_TEST_TOOLS", tools)
        .env("MINISVC_COMPAT_DIR", &results)
        .status()
        .context("start cargo test")?;
    ensure!(status.success(), "cargo test ended with {status}");
    let (before, after) = page()?;
    std::fs::write(page_path(), format!("{before}{BEGIN}{}{after}", tables(&results)?))?;
    Ok(())
}

/// An empty folder for results, as `MINISVC_COMPAT_DIR`.
///
/// # Errors
/// When it cannot be made.
pub(crate) fn fresh_results() -> Result<PathBuf> {
    let folder = root().join("target/compat");
    if folder.exists() {
        std::fs::remove_dir_all(&folder).with_context(|| format!("empty {}", folder.display()))?;
    }
    std::fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
    Ok(folder)
}

/// Compares the committed tables with what a whole run left in `results`.
///
/// # Errors
/// When they differ, or when COMPATIBILITY.md has no place for them.
pub(crate) fn check(results: &Path) -> Result<()> {
    let text = std::fs::read_to_string(page_path())?;
    let (before, after) = page()?;
    let wanted = format!("{before}{BEGIN}{}{after}", tables(results)?);
    if text != wanted {
        let new: Vec<&str> = wanted.lines().filter(|line| !text.contains(line)).collect();
        bail!(
            "COMPATIBILITY.md is not what this run gave: run cargo xtask compat. Lines of this run:\n{}",
            new.join("\n")
        );
    }
    Ok(())
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn page_path() -> PathBuf {
    root().join("COMPATIBILITY.md")
}

/// The page before and after the tables.
fn page() -> Result<(String, String)> {
    let text = std::fs::read_to_string(page_path()).context("read COMPATIBILITY.md")?;
    let (before, rest) = text.split_once(BEGIN).context("COMPATIBILITY.md has no place for the tables")?;
    let (_, after) = rest.split_once(END).context("COMPATIBILITY.md has no end of the tables")?;
    Ok((before.to_owned(), format!("{END}{after}")))
}

/// Client, row, checks.
type Results = BTreeMap<String, BTreeMap<String, usize>>;

fn read(folder: &Path) -> Result<Results> {
    let mut results = Results::new();
    for client in std::fs::read_dir(folder)? {
        let client = client?;
        let rows = results.entry(client.file_name().to_string_lossy().into_owned()).or_default();
        for row in std::fs::read_dir(client.path())? {
            let row = row?;
            let checks = std::fs::read_to_string(row.path())?.trim().parse().context("a number of checks")?;
            rows.insert(row.file_name().to_string_lossy().into_owned(), checks);
        }
    }
    ensure!(!results.is_empty(), "no client passed anything in {}", folder.display());
    Ok(results)
}

fn tables(folder: &Path) -> Result<String> {
    let results = read(folder)?;
    let mut text = String::new();
    for family in FAMILIES {
        text += &family_table(&results, family);
    }
    text += "\n| client | what passes (checks) |\n|---|---|\n";
    for (client, rows) in &results {
        if !in_family(client) {
            let rows: Vec<String> = rows.iter().map(|(row, checks)| format!("{row} ({checks})")).collect();
            text += &format!("| {} | {} |\n", client.trim_end_matches(" 0"), rows.join(", "));
        }
    }
    Ok(text)
}

fn in_family(client: &str) -> bool {
    FAMILIES.iter().any(|family| client.strip_prefix(family).is_some_and(|version| version.starts_with(' ')))
}

/// One row for each script, one column for each version.
fn family_table(results: &Results, family: &str) -> String {
    let versions: Vec<&String> = results.keys().filter(|client| client.starts_with(&format!("{family} "))).collect();
    let rows: BTreeSet<&String> = versions.iter().flat_map(|version| results[*version].keys()).collect();
    let names: Vec<&str> = versions.iter().map(|version| &version[family.len() + 1..]).collect();
    let mut text = format!("\n| {family} | {} |\n|---|{}\n", names.join(" | "), "--:|".repeat(names.len()));
    for row in rows {
        let cells: Vec<String> = versions
            .iter()
            .map(|version| results[*version].get(row).map_or_else(|| "–".to_owned(), usize::to_string))
            .collect();
        text += &format!("| {row} | {} |\n", cells.join(" | "));
    }
    text
}
