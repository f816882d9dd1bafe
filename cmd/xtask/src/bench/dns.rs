//! The DNS row: cluster DNS against CoreDNS with the same names, both under dnsperf in one run.

use std::net::UdpSocket;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use super::Line;
use super::bed::{Bed, Process};
use super::stats::median;

const SERVICES: usize = 1000;

/// Queries per second of one DNS pod, and of one CoreDNS with the same records in that pod's network namespace, so that
/// both are reached over the same links, median of five pairs; and the time on a core that each answer took its server,
/// since the asker and the kernel's links share the cores and bound the rate.
pub(crate) fn rate(bed: &Bed) -> Result<Vec<Line>> {
    let api = bed.fresh(&[])?;
    let (mut queries, mut hosts) = (String::new(), String::new());
    for number in 0..SERVICES {
        let name = format!("svc-{number}");
        let made = api.call(
            "POST",
            "/api/v1/namespaces/default/services",
            Some(&json!({
                "apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": {"ports": [{"port": 80}]}
            })),
        )?;
        let ip = made["spec"]["clusterIP"].as_str().context("no clusterIP")?.to_owned();
        queries.push_str(&format!("{name}.default.svc.cluster.local A\n"));
        hosts.push_str(&format!("{ip} {name}.default.svc.cluster.local\n"));
    }
    let (folder, _) = bed.run("mktemp", &["-d", "/tmp/minisvc-bench-dns-XXXXXX"])?;
    let file = |name: &str| format!("{}/{name}", folder.trim());
    std::fs::write(file("queries"), queries)?;
    std::fs::write(file("hosts"), hosts)?;
    std::fs::write(
        file("Corefile"),
        format!("cluster.local:5300 {{\n  hosts {} {{\n    ttl 30\n  }}\n}}\n", file("hosts")),
    )?;
    let dns_pod = bed.processes()?.into_iter().find(|process| process.command.contains("image coredns"));
    let dns_pod = dns_pod.context("no process of a DNS pod")?.pid;
    let pod = bed.address_of(dns_pod)?;
    let coredns = start_coredns(bed, &file("Corefile"), dns_pod, &pod)?;
    // `nsenter` became CoreDNS.
    let peer = i32::try_from(coredns.0.id())?;
    let (mut ours, mut theirs, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    let (mut our_cost, mut their_cost, mut savings) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..5 {
        let (one, one_cost) = dnsperf(bed, &pod, "53", &file("queries"), dns_pod)?;
        let (two, two_cost) = dnsperf(bed, &pod, "5300", &file("queries"), peer)?;
        ratios.push(one / two);
        ours.push(one);
        theirs.push(two);
        savings.push(two_cost / one_cost);
        our_cost.push(one_cost);
        their_cost.push(two_cost);
    }
    drop(coredns);
    for name in ["queries", "hosts", "Corefile"] {
        std::fs::remove_file(file(name))?;
    }
    std::fs::remove_dir(folder.trim())?;
    let rate = Line {
        what: format!("DNS queries, one pod, {SERVICES} services, asked from the machine's shell"),
        figure: format!("{:.0}/s, {:.1} × CoreDNS (median of 5 pairs)", median(&ours), median(&ratios)),
        beside: format!("CoreDNS (hosts plugin) in the same pod's network: {:.0}/s", median(&theirs)),
        promise: "≥ 2 × CoreDNS",
    };
    let cost = Line {
        what: "the server's time on a core for an answer, the same runs".into(),
        figure: format!("{:.1} µs, 1/{:.1} of CoreDNS (median of 5 pairs)", median(&our_cost), median(&savings)),
        beside: format!("CoreDNS: {:.1} µs", median(&their_cost)),
        promise: "≤ 1/2 of CoreDNS",
    };
    Ok(vec![rate, cost])
}

/// Ends the process it holds.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start_coredns(bed: &Bed, corefile: &str, beside: i32, address: &str) -> Result<Ended> {
    let coredns = bed.program("coredns").get_program().to_string_lossy().into_owned();
    let mut command: Command = bed.program("nsenter");
    let child = command
        .args(["--net", "-t", &beside.to_string(), "--", &coredns, "-conf", corefile])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("start coredns")?;
    let child = Ended(child);
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.set_read_timeout(Some(Duration::from_millis(100)))?;
    let start = Instant::now();
    // svc-0.default.svc.cluster.local A, by hand: one question.
    let mut query = vec![1, 2, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in ["svc-0", "default", "svc", "cluster", "local"] {
        query.push(label.len() as u8);
        query.extend_from_slice(label.as_bytes());
    }
    query.extend_from_slice(&[0, 0, 1, 0, 1]);
    loop {
        let _ = socket.send_to(&query, (address, 5300));
        let mut answer = [0; 512];
        if socket.recv(&mut answer).is_ok_and(|n| n > 12 && answer[7] > 0) {
            return Ok(child);
        }
        ensure!(start.elapsed() < Duration::from_secs(10), "CoreDNS does not answer");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Answers per second, and the microseconds on a core that one answer took the process `server`.
fn dnsperf(bed: &Bed, address: &str, port: &str, queries: &str, server: i32) -> Result<(f64, f64)> {
    let cpu = || Ok::<_, anyhow::Error>(Process::read(server).context("the DNS server is gone")?.cpu);
    let before = cpu()?;
    let (text, _) =
        bed.run("dnsperf", &["-s", address, "-p", port, "-d", queries, "-l", "3", "-c", "4", "-q", "200"])?;
    let spent = cpu()? - before;
    let line = |start: &str| text.lines().find_map(|line| line.trim().strip_prefix(start)).map(str::trim);
    // `Queries lost: 7 (0.00%)`: on a shared machine a socket's buffer may overflow now and then.
    let lost = line("Queries lost:").unwrap_or("");
    ensure!(lost.contains("(0.0"), "{address}: queries lost: {lost}");
    let number = |start: &str| -> Option<f64> { line(start)?.split(' ').next()?.parse().ok() };
    let read = || Some((number("Queries per second:")?, number("Queries completed:")?));
    let (rate, completed) = read().with_context(|| format!("dnsperf printed {text}"))?;
    Ok((rate, spent as f64 / 1000.0 / completed))
}
