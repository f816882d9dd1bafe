//! Measures the proxy's two promises: 5,000 services of three endpoints in one go, and one change among them. To be run
//! alone in a network namespace: `unshare --net cargo run --release -p minisvc-proxy --example load`.

use std::time::Instant;

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
    for round in ["first", "again"] {
        let start = Instant::now();
        let mut planner = Planner::new(&config, NodeView::new(&config, None));
        for (name, service, slice) in &objects {
            planner.set_service(name, Some(service), [slice]);
        }
        planner.take_change();
        let planned = start.elapsed();
        connection.commit(&Transaction::replace(planner.ruleset().table()))?;
        let total = start.elapsed();
        println!("{SERVICES} services x 3, {round}: planned in {planned:.1?}, in the kernel after {total:.1?}");
        if round == "first" {
            continue;
        }
        let mut times = Vec::new();
        for change in 0..CHANGES {
            let id = change * 17 % SERVICES;
            let (name, service, _) = &objects[id as usize];
            let slice = slice(id, 4 - change % 2);
            let start = Instant::now();
            planner.set_service(name, Some(service), [&slice]);
            connection.commit(&planner.take_change())?;
            connection.generation()?;
            times.push(start.elapsed());
        }
        times.sort();
        let at = |share: usize| times[times.len() * share / 100];
        println!("one change: p50 {:.1?}, p99 {:.1?}", at(50), at(99));
    }
    Ok(())
}
