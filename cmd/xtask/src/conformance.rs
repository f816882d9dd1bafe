//! `cargo xtask conformance [FOCUS]`: Kubernetes' own end-to-end suite against a running lab. Re-executes itself in
//! private network and mount namespaces, so that no packet leaves the machine, and prints who passed as Markdown.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::fetch;

const MARK: &str = "MINISVC_CONFORMANCE_INSIDE";
/// What is run when nothing is named: the conformance tests of networking.
const FOCUS: &str = r"\[sig-network\].*\[Conformance\]";
/// The whole run's bound.
const BOUND: &str = "3h";

/// Runs the specs whose names match `arguments` (a regular expression).
///
/// # Errors
/// When the suite or the lab does not start, or a spec fails; the table is printed all the same.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let focus = arguments.first().map_or(FOCUS, String::as_str);
    if std::env::var_os(MARK).is_none() {
        return outside(focus);
    }
    let up = Command::new("ip").args(["link", "set", "lo", "up"]).status()?;
    ensure!(up.success(), "cannot bring the private loopback up");
    let output = Command::new("mktemp").args(["-d", "/tmp/minisvc-conformance-XXXXXX"]).output().context("mktemp")?;
    ensure!(output.status.success(), "mktemp failed");
    let scratch = PathBuf::from(String::from_utf8(output.stdout)?.trim());
    let from = |name: &str| std::env::var_os(name).map(PathBuf::from).with_context(|| format!("{name} is not set"));
    let minisvc = |verb: &str| -> Result<()> {
        let status = at(&scratch, &from("MINISVC_BINARY")?).arg(verb).status().context("start minisvc")?;
        ensure!(status.success(), "minisvc {verb} ended with {status}");
        Ok(())
    };
    minisvc("up")?;
    let report = scratch.join("report.json");
    let log = scratch.join("log");
    let ended = at(&scratch, &from("MINISVC_E2E")?)
        .args(["--provider", "skeleton", "--num-nodes", "3", "--kubectl-path"])
        .arg(from("MINISVC_TEST_TOOLS")?.join("bin/kubectl-1.37"))
        .arg("--kubeconfig")
        .arg(scratch.join(".kube/config"))
        .args(["--ginkgo.focus", focus, "--ginkgo.timeout", BOUND, "--ginkgo.no-color", "--ginkgo.json-report"])
        .arg(&report)
        .stdout(std::fs::File::create(&log)?)
        .status();
    minisvc("down")?;
    ended.context("start e2e.test")?;
    let text =
        std::fs::read(&report).with_context(|| format!("the suite left no report: look into {}", log.display()))?;
    let outcomes = outcomes(&serde_json::from_slice(&text).context("read the suite's report")?);
    ensure!(!outcomes.is_empty(), "no spec matches {focus}");
    print!("{}", table(&outcomes));
    let failed = outcomes.iter().filter(|outcome| !outcome.passed).count();
    if failed > 0 {
        bail!("{failed} of {} specs failed: the suite's log is {}", outcomes.len(), log.display());
    }
    Ok(())
}

fn at(scratch: &Path, program: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .env("HOME", scratch)
        .env("MINISVC_STATE_DIR", scratch.join("state"))
        .env("MINISVC_RUN_DIR", scratch.join("run"))
        .env("KUBECONFIG", scratch.join(".kube/config"))
        .stdin(std::process::Stdio::null());
    command
}

/// Builds and fetches with the network there is, then goes inside.
fn outside(focus: &str) -> Result<()> {
    let suite = fetch::e2e_test()?;
    let tools = fetch::tools()?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(&cargo)
        .args(["build", "--release", "--locked", "--package", "minisvc"])
        .status()
        .context("start cargo build")?;
    ensure!(built.success(), "cargo build --release ended with {built}");
    let target = std::env::var("CARGO_TARGET_DIR").unwrap_or_else(|_| "target".to_owned());
    let binary = std::path::absolute(Path::new(&target).join("release/minisvc"))?;
    let status = Command::new("unshare")
        .args(["--net", "--mount", "--propagation", "private", "--"])
        .arg(std::env::current_exe()?)
        .args(["conformance", focus])
        .env(MARK, "1")
        .env("MINISVC_TEST_TOOLS", tools)
        .env("MINISVC_E2E", suite)
        .env("MINISVC_BINARY", binary)
        .status()
        .context("start unshare")?;
    ensure!(status.success(), "not every spec passed");
    Ok(())
}

/// One spec that ran.
struct Outcome {
    /// The special interest group, such as `sig-network`.
    group: String,
    name: String,
    passed: bool,
    /// The first line of what went wrong; empty for one that passed.
    why: String,
}

/// The specs of Ginkgo's JSON report that ran, by name.
fn outcomes(report: &Value) -> Vec<Outcome> {
    let specs = report.as_array().into_iter().flatten().filter_map(|suite| suite["SpecReports"].as_array()).flatten();
    let ran = specs.filter(|spec| {
        spec["LeafNodeType"] == "It" && !matches!(spec["State"].as_str(), Some("skipped" | "pending") | None)
    });
    let mut all: Vec<Outcome> = ran
        .map(|spec| {
            let path = spec["ContainerHierarchyTexts"].as_array().into_iter().flatten();
            let parts = path.chain([&spec["LeafNodeText"]]).filter_map(Value::as_str);
            let name = parts.collect::<Vec<_>>().join(" ");
            let group = name.trim_start_matches('[').split(']').next().unwrap_or_default().to_owned();
            let why =
                spec["Failure"]["Message"].as_str().unwrap_or_default().lines().next().unwrap_or_default().to_owned();
            Outcome { group, name, passed: spec["State"] == "passed", why }
        })
        .collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
}

/// The counts by group, then each failure.
fn table(outcomes: &[Outcome]) -> String {
    let mut groups: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for outcome in outcomes {
        let (passed, all) = groups.entry(&outcome.group).or_default();
        *passed += usize::from(outcome.passed);
        *all += 1;
    }
    let mut text = "| group | passed | of |\n|---|---|---|\n".to_owned();
    for (group, (passed, all)) in groups {
        text.push_str(&format!("| {group} | {passed} | {all} |\n"));
    }
    let failed: Vec<&Outcome> = outcomes.iter().filter(|outcome| !outcome.passed).collect();
    if !failed.is_empty() {
        text.push_str("\n| failed | why |\n|---|---|\n");
    }
    for outcome in failed {
        text.push_str(&format!("| {} | {} |\n", outcome.name, outcome.why.replace('|', "\\|")));
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_report_is_counted_by_group() {
        let spec = |name: &str, state: &str| {
            json!({
                "ContainerHierarchyTexts": ["[sig-network] DNS"], "LeafNodeType": "It", "LeafNodeText": name,
                "State": state, "Failure": {"Message": "no | answer\nmore"},
            })
        };
        let report = json!([{"SpecReports": [
            spec("b", "failed"), spec("a", "passed"), spec("c", "skipped"),
            {"LeafNodeType": "BeforeSuite", "State": "passed"},
        ]}]);
        let text = table(&outcomes(&report));
        assert_eq!(
            text,
            "| group | passed | of |\n|---|---|---|\n| sig-network | 1 | 2 |\n\n| failed | why |\n|---|---|\n\
             | [sig-network] DNS b | no \\| answer |\n"
        );
    }
}
