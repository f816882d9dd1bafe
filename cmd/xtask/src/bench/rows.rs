//! The rows of the table that need only the lab, curl's kind of client, and wrk.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::Line;
use super::api::Api;
use super::bed::Bed;
use super::stats::{median, milliseconds, seconds};

const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";
const SERVICES: &str = "/api/v1/namespaces/default/services";

/// Cold `up`, `down` and `reset`.
pub(crate) fn up(bed: &Bed) -> Result<Vec<Line>> {
    let (mut ups, mut downs, mut resets) = (Vec::new(), Vec::new(), Vec::new());
    bed.run("minisvc", &["down"])?;
    for _ in 0..10 {
        ups.push(bed.run("minisvc", &["up"])?.1);
        resets.push(bed.run("minisvc", &["reset"])?.1);
        downs.push(bed.run("minisvc", &["down"])?.1);
    }
    let line = |what: &str, sample: &[Duration], beside: &str, promise| Line {
        what: what.into(),
        figure: seconds(sample),
        beside: beside.into(),
        promise,
    };
    Ok(vec![
        line(
            "`up`: nothing there to all nodes Ready and DNS answering",
            &ups,
            "published elsewhere: k3d 19.9 s, kind 33 s",
            "p95 ≤ 1 s",
        ),
        line("`reset` to the lesson's start, Ready again", &resets, "", "≤ 1 s"),
        line("`down`", &downs, "", "≤ 1 s"),
    ])
}

/// A deployment of ten color pods.
pub(crate) fn ten_pods(bed: &Bed) -> Result<Vec<Line>> {
    let api = bed.fresh(&[])?;
    let mut sample = Vec::new();
    for round in 0..7 {
        sample.push(deploy(&api, &format!("blue{round}"), 10)?);
    }
    Ok(vec![Line {
        what: "deployment of 10 color pods, POST to all Ready".into(),
        figure: seconds(&sample),
        beside: "upstream's pod-start objective: 5 s".into(),
        promise: "≤ 0.7 s",
    }])
}

/// A thousand pods on five nodes.
pub(crate) fn thousand_pods(bed: &Bed) -> Result<Vec<Line>> {
    let api = bed.fresh(&["--nodes", "5"])?;
    let took = deploy(&api, "blue", 1000)?;
    let down = bed.run("minisvc", &["down"])?.1;
    Ok(vec![Line {
        what: "1,000 color pods on 5 nodes, POST to all Ready".into(),
        figure: format!("{:.1} s (then `down` in {:.1} s)", took.as_secs_f64(), down.as_secs_f64()),
        beside: "".into(),
        promise: "≤ 12 s",
    }])
}

/// Creates a deployment of color pods and waits until all are Ready; answers how long that took.
pub(crate) fn deploy(api: &Api, name: &str, replicas: usize) -> Result<Duration> {
    let start = Instant::now();
    api.call(
        "POST",
        DEPLOYMENTS,
        Some(&json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
            "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": "color", "image": "jpetazzo/color"}]}}}
        })),
    )?;
    let path = format!("{DEPLOYMENTS}?watch=true&fieldSelector=metadata.name={name}");
    api.watch(&path, |_, object| object["status"]["readyReplicas"].as_u64() == Some(replicas as u64))?;
    Ok(start.elapsed())
}

fn expose(api: &Api, name: &str, app: &str) -> Result<SocketAddr> {
    let made = api.call(
        "POST",
        SERVICES,
        Some(&json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
            "spec": {"selector": {"app": app}, "ports": [{"port": 80}]}
        })),
    )?;
    let ip = made["spec"]["clusterIP"].as_str().context("no clusterIP")?;
    Ok(SocketAddr::new(ip.parse()?, 80))
}

/// From the watch's word that a pod is Ready to the first answer through its service.
pub(crate) fn ready_to_packet(bed: &Bed) -> Result<Vec<Line>> {
    let api = bed.fresh(&[])?;
    let service = expose(&api, "blue", "blue")?;
    let mut sample = Vec::new();
    for round in 0..50 {
        let name = format!("blue-{round}");
        let pods = "/api/v1/namespaces/default/pods";
        api.call("POST", pods, Some(&json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": "blue"}},
            "spec": {"terminationGracePeriodSeconds": 0, "containers": [{"name": "color", "image": "jpetazzo/color"}]}
        })))?;
        api.watch(&format!("{pods}?watch=true&fieldSelector=metadata.name={name}"), |_, pod| is_ready(pod))?;
        let start = Instant::now();
        while !answers(service) {
            ensure!(start.elapsed() < Duration::from_secs(5), "the service never answered");
            std::thread::sleep(Duration::from_micros(500));
        }
        sample.push(start.elapsed());
        api.call("DELETE", &format!("{pods}/{name}"), None)?;
        let gone = Instant::now();
        while answers(service) || api.call("GET", &format!("{pods}/{name}"), None).is_ok() {
            ensure!(gone.elapsed() < Duration::from_secs(10), "the pod does not go away");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    Ok(vec![Line {
        what: "pod Ready to first answer through the ClusterIP".into(),
        figure: milliseconds(&sample),
        beside: "kube-proxy syncs at most once a second by default".into(),
        promise: "p99 ≤ 30 ms",
    }])
}

fn is_ready(pod: &Value) -> bool {
    pod["status"]["conditions"]
        .as_array()
        .is_some_and(|list| list.iter().any(|c| c["type"] == "Ready" && c["status"] == "True"))
}

/// One try. It gives up soon: the kernel limits how many refusals it sends a second, and past that a try hangs.
fn answers(address: SocketAddr) -> bool {
    let Ok(mut stream) = TcpStream::connect_timeout(&address, Duration::from_millis(10)) else { return false };
    let _ = stream.set_read_timeout(Some(Duration::from_millis(500)));
    let mut text = [0; 64];
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").is_ok() && stream.read(&mut text).is_ok_and(|n| n > 0)
}

/// 5,000 services with 3 endpoints each in one namespace's kernel, against `nft -f` with chains.
pub(crate) fn proxy_load(bed: &Bed) -> Result<Vec<Line>> {
    // In a namespace of its own: it leaves its rules behind.
    let load = bed.program("load").get_program().to_string_lossy().into_owned();
    let (text, _) = bed.run("unshare", &["--net", "--", &load])?;
    let figures: Value = serde_json::from_str(&text).with_context(|| text.clone())?;
    let ms = |key: &str| figures[key].as_f64().with_context(|| format!("no {key} in {text}"));
    Ok(vec![
        Line {
            what: "5,000 services × 3 endpoints: full load into the kernel".into(),
            figure: format!("{:.0} ms", ms("full_load_ms")?),
            beside: format!("`nft -f`, one chain for each service and endpoint: {:.0} ms", ms("nft_chains_ms")?),
            promise: "≤ 250 ms",
        },
        Line {
            what: "one endpoint changes among them".into(),
            figure: format!("median {:.2} ms, p99 {:.2} ms", ms("one_change_ms")?, ms("one_change_p99_ms")?),
            beside: format!("`nft -f` with chains: {:.0} ms", ms("nft_one_change_ms")?),
            promise: "≤ 2 ms",
        },
    ])
}

/// New connections per second, direct to the pod and through its ClusterIP: from another pod, the way of most traffic, and
/// from a node, whose kernel finds the way twice for what it sends itself.
pub(crate) fn connections(bed: &Bed) -> Result<Vec<Line>> {
    let api = bed.fresh(&[])?;
    deploy(&api, "blue", 1)?;
    deploy(&api, "yellow", 1)?;
    let service = expose(&api, "blue", "blue")?;
    let pods = api.call("GET", "/api/v1/namespaces/default/pods?labelSelector=app=blue", None)?;
    let pod = pods["items"][0]["status"]["podIP"].as_str().context("no podIP")?.to_owned();
    let mut yellow = None;
    for process in bed.processes()?.iter().filter(|process| process.command.contains("image color")) {
        if bed.address_of(process.pid)? != pod {
            yellow = Some(process.pid);
        }
    }
    let yellow = yellow.context("no process of the client pod")?;
    let from = [(From::Pod(yellow), "from a pod"), (From::Node, "from a node")];
    let mut lines = Vec::new();
    for (client, place) in from {
        lines.push(ratio(bed, client, &pod, service, &format!("{place}, 1 service"))?);
    }
    for number in 0..10_000 {
        expose(&api, &format!("many-{number}"), "blue")?;
    }
    std::thread::sleep(Duration::from_secs(3));
    for (client, place) in from {
        lines.push(ratio(bed, client, &pod, service, &format!("{place}, 10,000 services"))?);
    }
    Ok(lines)
}

/// Who connects.
#[derive(Clone, Copy)]
enum From {
    /// A program on node1.
    Node,
    /// A program in the network namespace of this process, a pod's.
    Pod(i32),
}

fn ratio(bed: &Bed, from: From, pod: &str, service: SocketAddr, label: &str) -> Result<Line> {
    let (mut direct, mut through, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..5 {
        let one = wrk(bed, from, &format!("http://{pod}/"), "10000 34999")?;
        let two = wrk(bed, from, &format!("http://{service}/"), "35000 60000")?;
        ratios.push(two / one);
        direct.push(one);
        through.push(two);
    }
    Ok(Line {
        what: format!("new connections through a ClusterIP, {label}"),
        figure: format!("{:.0}/s, {:.2} of direct (median of 5 pairs)", median(&through), median(&ratios)),
        beside: format!("direct to the pod: {:.0}/s", median(&direct)),
        promise: "≥ 0.95 of direct",
    })
}

/// Requests per second with a connection each, from these source ports. Both ways end at the same pod and port, so that a
/// source port used both ways would be one connection on the wire, which the kernel and the pod remember as closed.
fn wrk(bed: &Bed, from: From, url: &str, ports: &str) -> Result<f64> {
    let wrk = bed.program("wrk").get_program().to_string_lossy().into_owned();
    let script = format!(
        "echo {ports} > /proc/sys/net/ipv4/ip_local_port_range && exec {wrk} -t1 -c8 -d3s -H 'Connection: close' {url}"
    );
    let (text, _) = match from {
        From::Node => bed.run("minisvc", &["shell", "node1", "--", "sh", "-c", &script])?,
        From::Pod(pid) => bed.run("nsenter", &["--net", "-t", &pid.to_string(), "--", "sh", "-c", &script])?,
    };
    text.lines()
        .find_map(|line| line.trim().strip_prefix("Requests/sec:"))
        .and_then(|number| number.trim().parse().ok())
        .with_context(|| format!("wrk printed {text}"))
}

/// Memory of the idle lab and of each color pod.
pub(crate) fn memory(bed: &Bed) -> Result<Vec<Line>> {
    let api = bed.fresh(&[])?;
    std::thread::sleep(Duration::from_secs(3));
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let idle = bed.processes()?;
    let total: u64 = idle.iter().map(|process| process.pss).sum();
    let parts: Vec<String> = idle
        .iter()
        .map(|p| {
            format!(
                "{} {:.1}",
                p.command.split(' ').skip(1).take(2).collect::<Vec<_>>().join(" ").replace(" --run-dir", ""),
                mib(p.pss)
            )
        })
        .collect();
    deploy(&api, "blue", 50)?;
    std::thread::sleep(Duration::from_secs(2));
    let pods: Vec<f64> = bed
        .processes()?
        .iter()
        .filter(|process| process.command.contains("image color"))
        .map(|process| mib(process.pss))
        .collect();
    ensure!(pods.len() == 50, "{} color processes", pods.len());
    Ok(vec![
        Line {
            what: "memory of the idle lab, 3 nodes (PSS)".into(),
            figure: format!("{:.0} MiB ({})", mib(total), parts.join(", ")),
            beside: "published elsewhere: k3s 512-1,428 MB".into(),
            promise: "≤ 80 MB",
        },
        Line {
            what: "memory of a color pod, 50 of them (PSS)".into(),
            figure: format!("median {:.2} MiB", median(&pods)),
            beside: String::new(),
            promise: "≤ 1 MB",
        },
    ])
}

/// CPU of the idle lab.
pub(crate) fn idle(bed: &Bed) -> Result<Vec<Line>> {
    bed.fresh(&[])?;
    std::thread::sleep(Duration::from_secs(5));
    let used = || -> Result<BTreeMap<i32, u64>> {
        Ok(bed.processes()?.iter().map(|process| (process.pid, process.cpu)).collect())
    };
    let (before, start) = (used()?, Instant::now());
    std::thread::sleep(Duration::from_secs(60));
    let after = used()?;
    let spent: u64 = after.iter().map(|(pid, cpu)| cpu - before.get(pid).unwrap_or(&0)).sum();
    Ok(vec![Line {
        what: "idle CPU, 60 s, all processes".into(),
        figure: format!("{:.2} % of a core", spent as f64 / start.elapsed().as_nanos() as f64 * 100.0),
        beside: "published elsewhere: kind 3.4 %, k3d 3.4 %".into(),
        promise: "≤ 0.3 %",
    }])
}
