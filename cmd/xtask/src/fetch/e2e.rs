//! Kubernetes' own end-to-end suite, built with Go from the module `k8s.io/kubernetes` into the cache. Takes some ten
//! minutes of two cores the first time.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

/// The version whose suite is run, pinned to what the server reports.
const KUBERNETES: &str = "v1.37.1";

/// The program `e2e.test`, built now unless it stands in the cache already.
///
/// # Errors
/// When Go is missing, or a module cannot be had or built.
pub(crate) fn e2e_test() -> Result<PathBuf> {
    let folder = super::tools()?.join("e2e");
    let program = folder.join("e2e.test");
    let works = || Command::new(&program).arg("--help").output().is_ok();
    std::fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
    super::once(&folder, "complete", &format!("{KUBERNETES}, told its version\n"), works, || build(&folder))?;
    Ok(program)
}

fn build(folder: &Path) -> Result<()> {
    let module = format!("k8s.io/kubernetes@{KUBERNETES}");
    eprintln!("building the end-to-end suite of {module}");
    let output = Command::new("go")
        .args(["mod", "download", "-json", &module])
        .current_dir(folder)
        .output()
        .context("start go: the suite is built with Go")?;
    ensure!(output.status.success(), "go mod download {module}: {}", String::from_utf8_lossy(&output.stderr));
    let said: Value = serde_json::from_slice(&output.stdout).context("read what go mod download says")?;
    let file = said["GoMod"].as_str().context("go mod download names no go.mod")?;
    let theirs = std::fs::read_to_string(file).with_context(|| format!("read {file}"))?;
    std::fs::write(folder.join("go.mod"), go_mod(&theirs))?;
    std::fs::write(folder.join("suite.go"), "package suite\n\nimport _ \"k8s.io/kubernetes/test/e2e\"\n")?;
    let go = |arguments: &[&str]| {
        let mut command = Command::new("go");
        command.args(arguments).current_dir(folder).env("GOFLAGS", "-mod=mod");
        command
    };
    super::run(&mut go(&["mod", "tidy", "-e"]), "go mod tidy")?;
    let flags = linker_flags();
    super::run(&mut go(&["test", "-c", &flags, "-o", "e2e.test", "k8s.io/kubernetes/test/e2e"]), "go test -c")
}

/// What Kubernetes' own build tells the program: which version it is of. Some specs choose by it what they expect.
fn linker_flags() -> String {
    let minor = KUBERNETES.split('.').nth(1).unwrap_or_default();
    let of = |name: &str, value: &str| format!("-X k8s.io/component-base/version.{name}={value}");
    format!("-ldflags={} {} {}", of("gitVersion", KUBERNETES), of("gitMajor", "1"), of("gitMinor", minor))
}

/// A module that needs Kubernetes alone: its staging modules, which it replaces by folders of its own repository, are
/// taken from their own releases.
fn go_mod(theirs: &str) -> String {
    let minor = KUBERNETES.trim_start_matches("v1.");
    let mut text = format!("module suite\n\ngo 1.26.0\n\nrequire k8s.io/kubernetes {KUBERNETES}\n\n");
    for (name, _) in theirs.lines().filter_map(|line| line.split_once("=>")).filter(|(_, to)| to.contains("./staging/"))
    {
        let name = name.trim().trim_start_matches("replace ").trim();
        text.push_str(&format!("replace {name} => {name} v0.{minor}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_program_is_told_its_version() {
        let flags = super::linker_flags();
        assert!(flags.starts_with("-ldflags=-X k8s.io/component-base/version.gitVersion=v1.37.1 "), "{flags}");
        assert!(flags.ends_with("version.gitMinor=37"), "{flags}");
    }

    #[test]
    fn staging_modules_come_from_their_releases() {
        let theirs =
            "module k8s.io/kubernetes\nreplace (\n\tk8s.io/api => ./staging/src/k8s.io/api\n\ta/b => ./other\n)\n";
        let text = super::go_mod(theirs);
        assert!(text.contains("replace k8s.io/api => k8s.io/api v0.37.1\n"), "{text}");
        assert!(!text.contains("a/b"), "{text}");
    }
}
