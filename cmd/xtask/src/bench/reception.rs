//! The API server's rows: creates, a long list, many watchers; beside kube-apiserver and etcd under the same load in the
//! same run. Each client is a process' own connection over TLS (HTTP/2); the load runs on the same cores as the servers.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::Line;
use super::bed::Bed;
use super::peer::Peer;
use super::stats::{median, percentile};

/// What is said where the peer could not be had.
const PUBLISHED: &str = "no peer in this run";

/// A server under load.
struct Side<'a> {
    bed: &'a Bed,
    kubeconfig: String,
    memory: Box<dyn Fn() -> Result<u64> + 'a>,
}

impl Side<'_> {
    fn load(&self, words: &[&str]) -> Result<Value> {
        let mut all = vec![self.kubeconfig.as_str()];
        all.extend(words);
        let (text, _) = self.bed.run("api_load", &all)?;
        serde_json::from_str(text.trim()).with_context(|| format!("api_load printed {text}"))
    }

    fn creates(&self, clients: &str) -> Result<String> {
        let rate = self.load(&["creates", clients, "10"])?["rate"].as_f64().context("no rate")?;
        Ok(format!("{rate:.0}/s"))
    }

    fn list(&self) -> Result<String> {
        self.load(&["services", "10000"])?;
        let said = self.load(&["list", "7"])?;
        let bytes = said["bytes"].as_f64().context("no bytes")?;
        Ok(format!("median {:.0} ms, {:.1} MB (7 runs)", median(&numbers(&said["ms"])?), bytes / 1e6))
    }

    fn latency(&self, watchers: &str) -> Result<String> {
        let times = numbers(&self.load(&["watch", watchers, "100"])?["ms"])?;
        Ok(format!("p50 {:.1} ms, p99 {:.1} ms (100 writes)", percentile(&times, 50.0), percentile(&times, 99.0)))
    }

    fn memory_of_watchers(&self, count: u64) -> Result<String> {
        let before = (self.memory)()?;
        let mut child = self
            .bed
            .program("api_load")
            .args([&self.kubeconfig, "hold", &count.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        // Kept until the program has ended: it has a last word to say.
        let mut output = BufReader::new(child.stdout.take().context("no output")?);
        let read = output.read_line(&mut line);
        let after = (self.memory)();
        drop(child.stdin.take());
        child.wait()?;
        read?;
        ensure!(line.trim() == "READY", "the watches were not opened: {line}");
        Ok(format!("{:.0} KiB", after?.saturating_sub(before) as f64 / count as f64 / 1024.0))
    }
}

fn numbers(list: &Value) -> Result<Vec<f64>> {
    let numbers: Option<Vec<f64>> = list.as_array().context("no list")?.iter().map(Value::as_f64).collect();
    numbers.filter(|numbers| !numbers.is_empty()).context("no numbers")
}

/// Creates, list, watch latency and memory of a watcher.
pub(crate) fn rows(bed: &Bed) -> Result<Vec<Line>> {
    // The peer first, so that the lab does not run beside it.
    let theirs = Peer::start(bed).and_then(|peer| {
        let memory = || peer.memory();
        measure(&Side { bed, kubeconfig: peer.kubeconfig(), memory: Box::new(memory) })
    });
    bed.fresh(&[])?;
    let (kubeconfig, _) = bed.run("minisvc", &["kubeconfig"])?;
    let (file, _) = bed.run("mktemp", &["/tmp/minisvc-bench-kubeconfig-XXXXXX"])?;
    std::fs::write(file.trim(), kubeconfig)?;
    let memory = || {
        let processes = bed.processes()?;
        let serve = processes.iter().find(|process| process.command.starts_with("minisvc serve"));
        Ok(serve.context("no serve process")?.pss)
    };
    let ours = measure(&Side { bed, kubeconfig: file.trim().to_owned(), memory: Box::new(memory) });
    std::fs::remove_file(file.trim())?;
    let theirs = theirs.map_err(|error| eprintln!("kube-apiserver: {error:#}")).ok();
    let lines = ours?.into_iter().enumerate().map(|(index, (what, figure))| Line {
        what,
        figure,
        beside: match &theirs {
            Some(theirs) => format!("kube-apiserver 1.37 + etcd: {}", theirs[index].1),
            None => PUBLISHED.into(),
        },
        promise: "",
    });
    Ok(lines.collect())
}

/// The rows of one server that was just started.
fn measure(side: &Side<'_>) -> Result<Vec<(String, String)>> {
    // Before all others: what they leave with the allocator would be used again, and watchers would seem to cost nothing.
    let memory = side.memory_of_watchers(1000)?;
    Ok(vec![
        ("durable creates, 1 client, keep-alive".into(), side.creates("1")?),
        ("durable creates, 64 clients, keep-alive".into(), side.creates("64")?),
        ("list of 10,000 services, JSON".into(), side.list()?),
        ("a write to the last of 100 watchers".into(), side.latency("100")?),
        ("a write to the last of 1,000 watchers".into(), side.latency("1000")?),
        ("memory of a watcher with its own connection, 1,000 of them (PSS of the server)".into(), memory),
    ])
}
