//! UDP with real packets: what one socket sends goes to one endpoint even where no connection is tracked (a resolver
//! asks for A and AAAA at once), and different sockets are spread over the endpoints.

#[allow(dead_code)]
mod lab;
#[allow(dead_code)]
mod scenario;

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use lab::Lab;
use minisvc_kernel::nft::{Protocol, Transaction};
use minisvc_kernel::{bind_udp, conntrack::Conntrack};
use minisvc_proxy::{Name, NodeView, Planner};
use minisvc_testkit::isolated;
use serde_json::json;

/// By chance alone, 24 sockets would each find the same of two endpoints twice once in 16 million runs.
const SOCKETS: usize = 24;

fn planner(hosts: &[u8]) -> Planner {
    let config = scenario::config(1);
    let mut planner = Planner::new(&config, NodeView::new(&config, None));
    let service = serde_json::from_value(json!({
        "metadata": {"name": "names", "namespace": "default"},
        "spec": {"clusterIP": "10.96.0.10", "clusterIPs": ["10.96.0.10"], "ports": [{"port": 53, "protocol": "UDP"}]},
    }))
    .expect("a service");
    let endpoints: Vec<_> = hosts
        .iter()
        .map(|host| json!({"addresses": [format!("10.244.2.{host}")], "nodeName": "node2", "conditions": {"ready": true}}))
        .collect();
    let slice = serde_json::from_value(json!({
        "metadata": {"name": "names-x", "namespace": "default", "labels": {"kubernetes.io/service-name": "names"}},
        "addressType": "IPv4", "endpoints": endpoints, "ports": [{"port": 53, "protocol": "UDP"}],
    }))
    .expect("a slice");
    let name: Name = ("default".into(), "names".into());
    planner.set_service(&name, Some(&service), [&slice]);
    planner
}

#[test]
fn a_socket_keeps_its_endpoint_without_a_tracked_connection() {
    isolated(|| {
        let hosts = [11, 12];
        let mut planner = planner(&hosts);
        planner.take_change();
        let client = "10.244.1.12".parse().expect("an address");
        let places = hosts.iter().map(|host| ([10, 244, 2, *host].into(), 2)).chain([(client, 1)]).collect();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("runtime");
        let lab = runtime.block_on(Lab::new(&places)).expect("the lab stands");
        let mut rules = lab.rules(1).expect("a way in");
        rules.commit(&Transaction::replace(planner.ruleset().table())).expect("taken");
        let served = hosts.iter().map(|host| (SocketAddr::from(([10, 244, 2, *host], 53)), Protocol::UDP)).collect();
        lab.serve(&served).expect("served");
        let mut tracked = Conntrack::open(lab.node(1)).expect("a way to its connections");

        let mut seen = BTreeSet::new();
        for _ in 0..SOCKETS {
            let socket = bind_udp(lab.namespace(client), SocketAddr::from((client, 0))).expect("bound");
            socket.set_nonblocking(false).expect("blocking");
            socket.set_read_timeout(Some(Duration::from_secs(5))).expect("patience");
            socket.connect("10.96.0.10:53").expect("a way");
            let ask = || {
                let mut buffer = [0; 64];
                socket.send(b"?").expect("sent");
                let length = socket.recv(&mut buffer).expect("an answer");
                String::from_utf8_lossy(&buffer[..length]).into_owned()
            };
            let first = ask();
            assert!(tracked.forget_where(|_| true).expect("forgotten") > 0, "the connection was tracked");
            assert_eq!(ask(), first);
            seen.insert(first);
        }
        assert_eq!(seen.len(), hosts.len(), "sockets are spread: {seen:?}");
    });
}
