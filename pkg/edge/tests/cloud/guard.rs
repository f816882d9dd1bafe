//! What outside may reach, and which node ClusterIPs go to.

use std::{
    io::ErrorKind,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use minisvc_kernel::{Links, Netns, Scope, listen_tcp};
use minisvc_testkit::isolated;
use serde_json::json;

use crate::lab::{Lab, OUTSIDE, PATIENCE, VM, knock, test, until};

#[test]
fn outside_reaches_nodes_but_never_pods_cluster_ips_or_the_vm() {
    isolated(|| {
        test(async {
            let lab = Lab::new(2).await;
            let (pod, service) = (Ipv4Addr::new(10, 244, 2, 5), Ipv4Addr::new(10, 96, 0, 99));
            for (number, address) in [(2, pod), (1, service), (2, service)] {
                let links = Links::open(&lab.nodes[number - 1]).await.expect("links");
                let address: ipnet::IpNet = format!("{address}/32").parse().expect("address");
                links.add_address("lo", address, Scope::Universe).await.expect("address");
            }
            let _servers = [
                lab.serve(2, pod, 80),
                lab.serve(1, service, 80),
                lab.serve(2, service, 80),
                lab.serve_at_node(1, 30080),
            ];
            let vm_server = listen_tcp(&lab.vm, SocketAddr::from((lab.plan.vm_address, 22))).expect("listen");
            // The guard stands before the cloud runs, and while it runs.
            for round in ["before the cloud", "with the cloud"] {
                assert_eq!(knock(&lab.vm, pod, 80).await, Ok(format!("node2 {VM}")), "{round}");
                assert_eq!(knock(&lab.vm, service, 80).await, Ok(format!("node1 {VM}")), "{round}");
                let node = lab.plan.nodes[0].address;
                assert_eq!(knock(&lab.outside, node, 30080).await, Ok(format!("node1 {OUTSIDE}")), "{round}");
                for (address, port) in [(pod, 80), (service, 80), (lab.plan.vm_address, 22)] {
                    assert_eq!(
                        knock(&lab.outside, address, port).await,
                        Err(ErrorKind::TimedOut),
                        "{round}: {address}"
                    );
                }
                // A pod may ask outside, and hears the answer.
                let answering = listen_tcp(&lab.outside, SocketAddr::from((lab.plan.outside, 8080))).expect("listen");
                assert!(knock_from(&lab.nodes[1], pod, lab.plan.outside, 8080).await, "{round}");
                drop(answering);
                if round == "before the cloud" {
                    let (stop, cloud) = lab.start(Duration::ZERO);
                    lab.expose("any", 30099, json!({})).await;
                    lab.address_in_the_end("any").await;
                    // Node 1 dies: ClusterIPs go through node 2.
                    let edge = Links::open(&Netns::current().expect("edge")).await.expect("links");
                    edge.set_down("n1").await.expect("down");
                    until("ClusterIPs go through node2", async || {
                        knock(&lab.vm, service, 80).await == Ok(format!("node2 {VM}"))
                    })
                    .await;
                    edge.set_up("n1").await.expect("up");
                    lab.node(2, false).await;
                    until("and back through node1", async || {
                        knock(&lab.vm, service, 80).await == Ok(format!("node1 {VM}"))
                    })
                    .await;
                    drop(stop);
                    cloud.await.expect("ends when told");
                }
            }
            drop(vm_server);
        });
    });
}

/// Whether a connection with this source address comes about.
async fn knock_from(node: &Netns, source: Ipv4Addr, to: Ipv4Addr, port: u16) -> bool {
    let bound = node.run(|| {
        let socket = tokio::net::TcpSocket::new_v4().expect("socket");
        socket.bind(SocketAddr::from((source, 0))).expect("bind");
        socket
    });
    let connecting = bound.expect("enter").connect(SocketAddr::from((to, port)));
    matches!(tokio::time::timeout(PATIENCE, connecting).await, Ok(Ok(_)))
}
