//! Measures the proxy's two promises, 5,000 services of three endpoints in one go and one change among them, beside the
//! same through `nft -f` with a chain for each service and endpoint. Prints one line of JSON. To be run alone in a network
//! namespace: `unshare --net cargo run --release -p minisvc-proxy --example load`.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use k8s_openapi::api::{core::v1::Service, discovery::v1::EndpointSlice};
use minisvc_kernel::{
    Netns,
    nft::{Connection, Transaction},
};
use minisvc_proxy::{Config, Name, NodeView, Planner};
use serde_json::json;

const SERVICES: u32 = 5_000;
const CHANGES: u32 = 200;

fn service(id: u32) -> Service {
    let address = format!("10.96.{}.{}", 1 + id / 250, 1 + id % 250);
    serde_json::from_value(json!({
        "metadata": {"name": format!("s{id}"), "namespace": "default"},
        "spec": {"clusterIP": address, "clusterIPs": [address], "ports": [{"port": 80, "protocol": "TCP"}]},
    }))
    .expect("a service")
}

fn slice(id: u32, count: u32) -> EndpointSlice {
    let endpoints: Vec<_> = (0..count)
        .map(|n| {
            let (node, host) = (1 + n % 3, id * 4 + n);
            let address = format!("10.244.{}.{}", host / 250 % 250, 1 + host % 250);
            json!({"addresses": [address], "nodeName": format!("node{node}"), "conditions": {"ready": true}})
        })
        .collect();
    serde_json::from_value(json!({
        "metadata": {"name": format!("s{id}-x"), "labels": {"kubernetes.io/service-name": format!("s{id}")}},
        "addressType": "IPv4", "endpoints": endpoints, "ports": [{"port": 80, "protocol": "TCP"}],
    }))
    .expect("a slice")
}

fn main() -> anyhow::Result<()> {
    let links = std::fs::read_to_string("/proc/self/net/dev")?;
    anyhow::ensure!(links.lines().count() == 3, "run this alone: unshare --net …");
    let config = Config {
        node: "node1".into(),
        addresses: vec!["172.30.0.11".parse()?],
        cluster_cidr: "10.244.0.0/16".parse()?,
        service_cidr: "10.96.0.0/12".parse()?,
    };
    let objects: Vec<(Name, Service, EndpointSlice)> =
        (0..SERVICES).map(|id| (("default".into(), format!("s{id}")), service(id), slice(id, 3))).collect();
    let mut connection = Connection::open(&Netns::current()?)?;
    let mut loads = Vec::new();
    let mut changes = Vec::new();
    for _ in 0..5 {
        let start = Instant::now();
        let mut planner = Planner::new(&config, NodeView::new(&config, None));
        for (name, service, slice) in &objects {
            planner.set_service(name, Some(service), [slice]);
        }
        planner.take_change();
        connection.commit(&Transaction::replace(planner.ruleset().table()))?;
        loads.push(start.elapsed());
        for change in 0..CHANGES {
            let id = change * 17 % SERVICES;
            let (name, service, _) = &objects[id as usize];
            let slice = slice(id, 4 - change % 2);
            let start = Instant::now();
            planner.set_service(name, Some(service), [&slice]);
            connection.commit(&planner.take_change())?;
            connection.generation()?;
            changes.push(start.elapsed());
        }
    }
    let (mut chains, mut chain_changes) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        chains.push(nft(&chains_per_service())?);
        for id in 0..5 {
            chain_changes.push(nft(&one_chain_change(id))?);
        }
    }
    let at = |mut sample: Vec<Duration>, percent: usize| {
        sample.sort();
        sample[(sample.len() - 1) * percent / 100].as_secs_f64() * 1000.0
    };
    println!(
        "{}",
        json!({
            "full_load_ms": at(loads, 50), "one_change_ms": at(changes.clone(), 50), "one_change_p99_ms": at(changes, 99),
            "nft_chains_ms": at(chains, 50), "nft_one_change_ms": at(chain_changes, 50),
        })
    );
    Ok(())
}

/// The peer: kube-proxy's shape, a chain for each service and each endpoint, as text for `nft`.
fn chains_per_service() -> String {
    let mut text = String::from("add table ip peer\ndelete table ip peer\ntable ip peer {\n");
    let mut elements = Vec::new();
    for id in 0..SERVICES {
        let (address, host) = (format!("10.96.{}.{}", 1 + id / 250, 1 + id % 250), id * 4);
        for n in 0..3 {
            let to = format!("10.244.{}.{}", (host + n) / 250 % 250, 1 + (host + n) % 250);
            text += &format!("chain e{id}_{n} {{ meta l4proto tcp dnat to {to}:80\n}}\n");
        }
        text += &format!(
            "chain s{id} {{ numgen random mod 3 vmap {{ 0 : goto e{id}_0, 1 : goto e{id}_1, 2 : goto e{id}_2 }}\n}}\n"
        );
        elements.push(format!("{address} . tcp . 80 : goto s{id}"));
    }
    text += &format!(
        "map services {{ type ipv4_addr . inet_proto . inet_service : verdict; elements = {{ {} }} }}\n",
        elements.join(", ")
    );
    text + "chain pre { type nat hook prerouting priority -100; ip daddr . meta l4proto . th dport vmap @services\n}\n}\n"
}

/// What the peer sends when one service loses an endpoint.
fn one_chain_change(id: u32) -> String {
    format!(
        "flush chain ip peer s{id}\nadd rule ip peer s{id} numgen random mod 2 vmap {{ 0 : goto e{id}_0, 1 : goto e{id}_1 }}\n"
    )
}

/// Runs `nft -f -` (taken from PATH) and answers how long that took.
fn nft(text: &str) -> anyhow::Result<Duration> {
    let start = Instant::now();
    let mut child = Command::new("nft").args(["-f", "-"]).stdin(Stdio::piped()).spawn()?;
    child.stdin.take().expect("a pipe").write_all(text.as_bytes())?;
    anyhow::ensure!(child.wait()?.success(), "nft refused the peer's rules");
    Ok(start.elapsed())
}
