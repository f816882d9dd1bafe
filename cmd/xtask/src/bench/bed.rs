//! Where benchmarks run: a release binary, scratch directories, and the lab's processes as the kernel counts them.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::api::Api;

/// The bench's place. Dropping it stops the lab and removes the scratch directory.
pub(crate) struct Bed {
    scratch: PathBuf,
    release: PathBuf,
    tools: PathBuf,
}

impl Bed {
    /// A fresh place; the environment names the release folder and the tools.
    pub(crate) fn new() -> Result<Bed> {
        let output = Command::new("mktemp").args(["-d", "/tmp/minisvc-bench-XXXXXX"]).output().context("mktemp")?;
        ensure!(output.status.success(), "mktemp failed");
        let scratch = PathBuf::from(String::from_utf8(output.stdout)?.trim());
        let from = |name: &str| std::env::var_os(name).map(PathBuf::from).with_context(|| format!("{name} is not set"));
        Ok(Bed { scratch, release: from("MINISVC_RELEASE")?, tools: from("MINISVC_TEST_TOOLS")? })
    }

    /// A program of the release folder or of the tools, or of the machine.
    pub(crate) fn program(&self, name: &str) -> Command {
        let candidates =
            [self.release.join(name), self.release.join("examples").join(name), self.tools.join("bin").join(name)];
        let path = candidates.into_iter().find(|path| path.exists()).unwrap_or_else(|| PathBuf::from(name));
        let mut command = Command::new(path);
        let path = format!("{}:{}", self.tools.join("bin").display(), std::env::var("PATH").unwrap_or_default());
        command
            .env("PATH", path)
            .env("HOME", &self.scratch)
            .env("MINISVC_STATE_DIR", self.scratch.join("state"))
            .env("MINISVC_RUN_DIR", self.scratch.join("run"))
            .env("KUBECONFIG", self.scratch.join(".kube/config"))
            .stdin(Stdio::null());
        command
    }

    /// Runs a program that must succeed; answers its output and how long it took.
    pub(crate) fn run(&self, name: &str, arguments: &[&str]) -> Result<(String, Duration)> {
        let start = Instant::now();
        let Output { status, stdout, stderr } =
            self.program(name).args(arguments).output().with_context(|| format!("start {name}"))?;
        let took = start.elapsed();
        ensure!(status.success(), "{name} {}: {}", arguments.join(" "), String::from_utf8_lossy(&stderr));
        Ok((String::from_utf8_lossy(&stdout).into_owned(), took))
    }

    /// The lab up with these flags, from nothing.
    pub(crate) fn fresh(&self, flags: &[&str]) -> Result<Api> {
        self.run("minisvc", &["down"])?;
        let mut words = vec!["up"];
        words.extend(flags);
        self.run("minisvc", &words)?;
        Ok(Api { socket: self.scratch.join("run/api.sock") })
    }

    /// The address of the pod that a process belongs to.
    pub(crate) fn address_of(&self, pid: i32) -> Result<String> {
        let (text, _) = self.run("nsenter", &["--net", "-t", &pid.to_string(), "--", "hostname", "-I"])?;
        text.split_whitespace().next().map(str::to_owned).with_context(|| format!("process {pid} has no address"))
    }

    /// Every process of the lab, containers included: the parts and all their descendants.
    pub(crate) fn processes(&self) -> Result<Vec<Process>> {
        let mut all = Vec::new();
        for entry in std::fs::read_dir("/proc")?.flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|text| text.parse::<i32>().ok()) else { continue };
            if let Some(process) = Process::read(pid) {
                all.push(process);
            }
        }
        let run = self.scratch.join("run").display().to_string();
        let mut ours: Vec<i32> = all
            .iter()
            .filter(|p| p.command.contains(&run) && p.command.starts_with("minisvc "))
            .map(|p| p.pid)
            .collect();
        loop {
            let more: Vec<i32> =
                all.iter().filter(|p| ours.contains(&p.parent) && !ours.contains(&p.pid)).map(|p| p.pid).collect();
            if more.is_empty() {
                break;
            }
            ours.extend(more);
        }
        all.retain(|process| ours.contains(&process.pid));
        Ok(all)
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        if let Err(error) = self.run("minisvc", &["down"]) {
            eprintln!("{error:#}");
            return;
        }
        // What `mktemp` made for this bench alone.
        if let Err(error) = std::fs::remove_dir_all(&self.scratch) {
            eprintln!("{}: {error}", self.scratch.display());
        }
    }
}

/// What the kernel says of one process.
pub(crate) struct Process {
    pub(crate) pid: i32,
    pub(crate) parent: i32,
    pub(crate) command: String,
    /// Proportional set size, bytes.
    pub(crate) pss: u64,
    /// Time on a core of all its threads, nanoseconds: the scheduler's own count, since ticks of 10 ms would round most
    /// of an idle lab away. Of a thread that has ended nothing is known.
    pub(crate) cpu: u64,
}

impl Process {
    pub(crate) fn read(pid: i32) -> Option<Process> {
        let text = |name: &str| std::fs::read_to_string(format!("/proc/{pid}/{name}")).ok();
        let command = text("cmdline")?.replace('\0', " ");
        let stat = text("stat")?;
        let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
        let pss = text("smaps_rollup")?
            .lines()
            .find_map(|line| line.strip_prefix("Pss:")?.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok())?;
        let number = |index: usize| fields.get(index).and_then(|field| field.parse::<u64>().ok());
        Some(Process { pid, parent: i32::try_from(number(1)?).ok()?, command, pss: pss * 1024, cpu: on_cpu(pid)? })
    }
}

/// What `/proc/PID/task/*/schedstat` says of a process's threads together, nanoseconds.
fn on_cpu(pid: i32) -> Option<u64> {
    let mut sum = 0;
    for task in std::fs::read_dir(format!("/proc/{pid}/task")).ok()?.flatten() {
        // A thread may end in between.
        let Ok(text) = std::fs::read_to_string(task.path().join("schedstat")) else { continue };
        sum += text.split(' ').next()?.parse::<u64>().ok()?;
    }
    Some(sum)
}
