//! A lab for end-to-end tests: the built binary, run as a user would, in directories of its own. Use it only inside
//! `minisvc_testkit::isolated`.

#![allow(dead_code, unreachable_pub)] // each test binary uses its own part of this bench

pub mod place;

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long a state that must come is waited for. Generous, as machines are shared: no test says how fast the lab is.
const PATIENCE: Duration = Duration::from_secs(90);

/// What a command printed and how it ended.
#[derive(Debug, Clone)]
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

/// One lab with a home, a state and a run directory of its own. Dropping it runs `down`.
pub struct Lab {
    scratch: TempDir,
    path: String,
}

/// The folder of fetched tools.
pub fn tools() -> PathBuf {
    std::env::var_os("MINISVC_TEST_TOOLS")
        .map(PathBuf::from)
        .expect("MINISVC_TEST_TOOLS is not set: run cargo xtask test")
}

impl Lab {
    /// A lab that is not up yet; `kubectl` is `1.20` or `1.37`.
    pub fn new(kubectl: &str) -> Lab {
        let scratch = tempfile::Builder::new().prefix("minisvc-e2e-").tempdir().expect("scratch");
        let bin = scratch.path().join("bin");
        for folder in ["bin", "home", "state", "run"] {
            std::fs::create_dir(scratch.path().join(folder)).expect("folder");
        }
        std::fs::remove_dir(scratch.path().join("state")).expect("state is made by up");
        std::fs::remove_dir(scratch.path().join("run")).expect("run is made by up");
        let tools = tools().join("bin");
        let link = |name: &str, to: PathBuf| {
            assert!(to.exists(), "{} is missing: run cargo xtask test", to.display());
            std::os::unix::fs::symlink(to, bin.join(name)).expect("link");
        };
        link("kubectl", tools.join(format!("kubectl-{kubectl}")));
        for name in ["host", "dig", "nft"] {
            link(name, tools.join(name));
        }
        link("minisvc", PathBuf::from(env!("CARGO_BIN_EXE_minisvc")));
        let path = format!("{}:{}", bin.display(), std::env::var("PATH").expect("PATH"));
        Lab { scratch, path }
    }

    /// A lab that is up, with the usual flags.
    pub fn started(kubectl: &str) -> Lab {
        let lab = Lab::new(kubectl);
        lab.ok("minisvc up");
        lab
    }

    pub fn folder(&self) -> &std::path::Path {
        self.scratch.path()
    }

    pub fn command(&self, script: &str) -> Command {
        let mut command = Command::new("bash");
        let at = |name: &str| self.scratch.path().join(name);
        command
            .args(["-c", script])
            .env_clear()
            .env("PATH", &self.path)
            .env("HOME", at("home"))
            .env("MINISVC_STATE_DIR", at("state"))
            .env("MINISVC_RUN_DIR", at("run"))
            .env("LANG", "C.UTF-8")
            .env("TERM", "dumb")
            .current_dir(at("home"))
            .stdin(Stdio::null());
        command
    }

    /// Runs a line of shell as the person at the VM would.
    pub fn sh(&self, script: &str) -> Said {
        let output = self.command(script).output().expect("bash");
        Said {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Runs a line that must succeed; answers standard output.
    pub fn ok(&self, script: &str) -> String {
        let said = self.sh(script);
        assert_eq!(said.code, 0, "`{script}` failed:\n{}{}\n{}", said.out, said.err, self.logs());
        said.out
    }

    /// Runs a line that must fail; answers what it said.
    pub fn fails(&self, script: &str) -> Said {
        let said = self.sh(script);
        assert_ne!(said.code, 0, "`{script}` should fail but printed:\n{}", said.out);
        said
    }

    /// Starts a line in the background, its output going to the named file of the scratch folder.
    pub fn background(&self, script: &str, file: &str) -> Background {
        let output = std::fs::File::create(self.scratch.path().join(file)).expect("file");
        let child = self.command(&format!("exec {script}")).stdout(output).stderr(Stdio::null()).spawn().expect("bash");
        Background { child, file: self.scratch.path().join(file) }
    }

    /// Repeats `attempt` until it is `Ok`, at most [`PATIENCE`].
    pub fn eventually<T>(&self, what: &str, mut attempt: impl FnMut() -> Result<T, String>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match attempt() {
                Ok(value) => return value,
                Err(last) if Instant::now() > deadline => {
                    panic!("{what}: not within {PATIENCE:?}; last seen:\n{last}\n{}", self.logs())
                }
                Err(_) => std::thread::sleep(Duration::from_millis(50)),
            }
        }
    }

    /// Waits until the line prints text that satisfies `good`.
    pub fn until(&self, script: &str, good: impl Fn(&str) -> bool) -> String {
        self.eventually(script, || {
            let said = self.sh(script);
            if said.code == 0 && good(&said.out) { Ok(said.out) } else { Err(format!("{}{}", said.out, said.err)) }
        })
    }

    /// `count` requests from the given prefix (empty: the VM's shell); the set of pod names seen and how many failed.
    pub fn names(&self, prefix: &str, url: &str, count: usize) -> (std::collections::BTreeSet<String>, usize) {
        let script = format!(
            "{prefix} bash -c 'for i in $(seq {count}); do curl -s -m 3 {url} | tr \"\\r\" \"\\n\" | grep \"This is\" || echo FAILED; done'"
        );
        let said = self.sh(&script);
        let mut names = std::collections::BTreeSet::new();
        let mut failed = 0;
        for line in said.out.lines() {
            match line.split("This is pod ").nth(1).and_then(|rest| rest.split(' ').next()) {
                Some(name) => {
                    names.insert(name.to_owned());
                }
                None => failed += 1,
            }
        }
        assert!(!said.out.is_empty(), "{script}: printed nothing; {}", said.err);
        (names, failed)
    }

    /// The ends of the lab's logs, for a failing test's message.
    pub fn logs(&self) -> String {
        let said = self.sh("tail -n 25 $MINISVC_STATE_DIR/logs/*.log 2>/dev/null");
        format!("--- logs\n{}", said.out)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let said = self.sh("minisvc down");
        if said.code != 0 && !std::thread::panicking() {
            panic!("down failed: {}{}", said.out, said.err);
        }
    }
}

/// A command in the background; dropping it ends it.
pub struct Background {
    child: Child,
    file: PathBuf,
}

impl Background {
    /// Whether it has ended by itself.
    pub fn ended(&mut self) -> bool {
        self.child.try_wait().expect("wait").is_some()
    }

    pub fn text(&self) -> String {
        std::fs::read_to_string(&self.file).unwrap_or_default()
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The rows of a kubectl table, split at runs of two or more spaces; the heading is row 0.
pub fn rows(table: &str) -> Vec<Vec<String>> {
    table
        .lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| {
            line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).map(str::to_owned).collect::<Vec<_>>()
        })
        .collect()
}

/// One column of a kubectl table by its heading.
pub fn column(table: &str, heading: &str) -> Vec<String> {
    let rows = rows(table);
    let index = rows[0].iter().position(|cell| cell == heading).unwrap_or_else(|| panic!("no {heading} in\n{table}"));
    rows[1..].iter().map(|row| row[index].clone()).collect()
}
