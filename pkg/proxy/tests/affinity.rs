//! Session affinity with real packets and through the tracer: a client stays with its endpoint, others' coming and
//! going does not move it, and when its endpoint dies the dice fall anew, once.

#[allow(dead_code)]
mod lab;
#[allow(dead_code)]
mod scenario;

use std::{collections::BTreeSet, net::SocketAddr};

use k8s_openapi::api::{core::v1::Service, discovery::v1::EndpointSlice};
use lab::{Answer, Lab, VM};
use minisvc_kernel::nft::{Protocol, Transaction};
use minisvc_proxy::{From, Name, NodeView, Outcome, Packet, Planner, Tracer};
use minisvc_testkit::isolated;
use serde_json::json;

const FRONTEND: &str = "10.96.0.10:80";

fn service() -> Service {
    serde_json::from_value(json!({
        "metadata": {"name": "red", "namespace": "default"},
        "spec": {
            "clusterIP": "10.96.0.10", "clusterIPs": ["10.96.0.10"], "ports": [{"port": 80}],
            "sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 3600}},
        },
    }))
    .expect("a service")
}

fn slice(hosts: &BTreeSet<u8>) -> EndpointSlice {
    let endpoints: Vec<_> = hosts
        .iter()
        .map(|host| json!({"addresses": [format!("10.244.2.{host}")], "nodeName": "node2", "conditions": {"ready": true}}))
        .collect();
    serde_json::from_value(json!({
        "metadata": {"name": "red-x", "namespace": "default", "labels": {"kubernetes.io/service-name": "red"}},
        "addressType": "IPv4", "endpoints": endpoints, "ports": [{"port": 80}],
    }))
    .expect("a slice")
}

fn planner(hosts: &BTreeSet<u8>) -> Planner {
    let config = scenario::config(1);
    let mut planner = Planner::new(&config, NodeView::new(&config, None));
    set(&mut planner, hosts);
    planner
}

fn set(planner: &mut Planner, hosts: &BTreeSet<u8>) {
    let name: Name = ("default".into(), "red".into());
    planner.set_service(&name, Some(&service()), [&slice(hosts)]);
}

fn host(answer: &Answer) -> u8 {
    match answer {
        Answer::Endpoint(SocketAddr::V4(address), _) => address.ip().octets()[3],
        other => panic!("{other:?}"),
    }
}

#[test]
fn clients_stay_until_their_endpoint_dies() {
    isolated(|| {
        let mut hosts: BTreeSet<u8> = (11..=18).collect();
        let mut planner = planner(&hosts);
        planner.take_change();
        let yellow = "10.244.1.12".parse().expect("an address");
        let places = hosts.iter().map(|host| ([10, 244, 2, *host].into(), 2)).chain([(yellow, 1)]).collect();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("runtime");
        let lab = runtime.block_on(Lab::new(&places)).expect("the lab stands");
        let mut connection = lab.rules(1).expect("a way in");
        connection.commit(&Transaction::replace(planner.ruleset().table())).expect("taken");
        let at = |host: u8| (SocketAddr::from(([10, 244, 2, host], 80)), Protocol::TCP);
        lab.serve(&hosts.iter().map(|host| at(*host)).collect()).expect("served");
        let ask = |from| host(&lab.ask(from, Protocol::TCP, FRONTEND.parse().expect("an address")));
        let stays = |from, with: u8| (0..20).for_each(|_| assert_eq!(ask(from), with));

        let (vm, pod) = (ask(VM), ask(yellow));
        stays(VM, vm);
        stays(yellow, pod);
        // All endpoints but these two leave: nobody moves.
        hosts.retain(|host| [vm, pod].contains(host));
        set(&mut planner, &hosts);
        connection.commit(&planner.take_change()).expect("taken");
        stays(VM, vm);
        stays(yellow, pod);
        // One comes back: nobody moves. Then the VM's endpoint dies.
        hosts.insert(19);
        let newcomer = hosts.clone();
        set(&mut planner, &newcomer);
        connection.commit(&planner.take_change()).expect("taken");
        stays(VM, vm);
        hosts.remove(&vm);
        hosts.remove(&19);
        hosts.insert(if vm == 11 { 12 } else { 11 });
        set(&mut planner, &hosts);
        connection.commit(&planner.take_change()).expect("taken");
        let next = ask(VM);
        assert!(hosts.contains(&next));
        stays(VM, next);
        if pod != vm {
            stays(yellow, pod);
        }
    });
}

#[test]
fn the_tracer_remembers_clients_too() {
    let hosts: BTreeSet<u8> = (11..=13).collect();
    let planner = planner(&hosts);
    let packet = |source: [u8; 4]| Packet {
        from: From::Link,
        source: source.into(),
        source_port: 4000,
        destination: [10, 96, 0, 10].into(),
        port: 80,
        protocol: Protocol::TCP,
        link: None,
    };
    let mut tracer = Tracer::new(planner.ruleset().table(), [[172, 30, 0, 11].into()]);
    let one = packet([10, 244, 1, 5]);
    assert_eq!(tracer.outcomes(&one).len(), 3);
    let first = tracer.trace(&one, &mut |faces| faces - 1);
    assert!(first.steps.iter().any(|step| step.contains("a new client")), "{first}");
    assert!(matches!(first.outcome, Outcome::Delivered { address, .. } if address.octets() == [10, 244, 2, 13]));
    assert_eq!(tracer.outcomes(&one), BTreeSet::from([first.outcome]));
    assert_eq!(tracer.outcomes(&packet([10, 244, 1, 6])).len(), 3);
}
