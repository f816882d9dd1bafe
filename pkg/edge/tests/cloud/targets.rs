//! Who gets a load balancer's connections: healthy nodes, those that say so with policy Local, pods without node ports.

use std::{
    io::ErrorKind,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use k8s_openapi::api::{core::v1::Node, discovery::v1::EndpointSlice};
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use minisvc_kernel::{Links, Scope, listen_tcp};
use minisvc_testkit::isolated;
use serde_json::json;
use tokio::io::AsyncWriteExt;

use crate::lab::{Lab, OUTSIDE, VM, answers, hear, knock, test, until};

#[test]
fn a_load_balancer_is_pending_then_reaches_every_healthy_node() {
    isolated(|| {
        test(async {
            let lab = Lab::new(2).await;
            let (_stop, _cloud) = lab.start(Duration::from_millis(500));
            let one = lab.serve_at_node(1, 30080);
            let _two = lab.serve_at_node(2, 30080);
            lab.expose("red", 30080, json!({})).await;
            until("its work is announced", async || !lab.events("red").await.is_empty()).await;
            assert_eq!(lab.address("red").await, None, "pending for a visible moment");
            let address = lab.address_in_the_end("red").await;
            assert_eq!(address, Ipv4Addr::new(203, 0, 113, 1));
            until("both Events", async || lab.events("red").await.len() == 2).await;
            let mut events = lab.events("red").await;
            events.sort();
            let said = |reason: &str, text: &str| (reason.to_owned(), text.to_owned());
            assert_eq!(
                events,
                [
                    said("EnsuredLoadBalancer", "Ensured load balancer"),
                    said("EnsuringLoadBalancer", "Ensuring load balancer")
                ]
            );

            let both = answers([&format!("node1 {OUTSIDE}"), &format!("node2 {OUTSIDE}")]);
            assert_eq!(hear(&lab.outside, address, 80).await, both);
            assert_eq!(hear(&lab.vm, address, 80).await, answers([&format!("node1 {VM}"), &format!("node2 {VM}")]));
            assert_eq!(knock(&lab.outside, address, 81).await, Err(ErrorKind::ConnectionRefused), "wrong port");
            let nobodys = Ipv4Addr::new(203, 0, 113, 99);
            assert_eq!(knock(&lab.outside, nobodys, 80).await, Err(ErrorKind::TimedOut));

            one.abort();
            until("node1 leaves", async || {
                hear(&lab.outside, address, 80).await == answers([&format!("node2 {OUTSIDE}")])
            })
            .await;
            let _one = lab.serve_at_node(1, 30080);
            until("node1 is back", async || hear(&lab.outside, address, 80).await == both).await;
            lab.node(2, false).await;
            until("node2 is not Ready", async || {
                hear(&lab.outside, address, 80).await == answers([&format!("node1 {OUTSIDE}")])
            })
            .await;
            assert_eq!(lab.events("red").await.len(), 2, "readiness is no news of hosts");
            let left_out =
                json!({"metadata": {"labels": {"node.kubernetes.io/exclude-from-external-load-balancers": ""}}});
            let nodes: Api<Node> = Api::all(lab.client.clone());
            nodes.patch("node2", &PatchParams::default(), &Patch::Merge(&left_out)).await.expect("label");
            let news = said("UpdatedLoadBalancer", "Updated load balancer with new hosts");
            until("its new hosts are told of", async || lab.events("red").await.contains(&news)).await;

            lab.services().delete("red", &DeleteParams::default()).await.expect("delete");
            until("its address is nobody's", async || {
                knock(&lab.outside, address, 80).await == Err(ErrorKind::TimedOut)
            })
            .await;
            lab.expose("blue", 30081, json!({})).await;
            assert_eq!(lab.address_in_the_end("blue").await, address, "and free for the next one");
        });
    });
}

#[test]
fn policy_local_reaches_only_nodes_that_say_so_and_pods_directly_without_node_ports() {
    isolated(|| {
        test(async {
            let lab = Lab::new(2).await;
            let (_stop, _cloud) = lab.start(Duration::ZERO);
            let _servers = [lab.serve_at_node(1, 30080), lab.serve_at_node(2, 30080)];
            lab.expose("red", 30080, json!({ "externalTrafficPolicy": "Local", "healthCheckNodePort": 31000 })).await;
            let address = lab.address_in_the_end("red").await;
            assert_eq!(knock(&lab.outside, address, 80).await, Err(ErrorKind::ConnectionRefused), "nobody is healthy");
            let health = SocketAddr::from((lab.plan.nodes[1].address, 31000));
            let listener = listen_tcp(&lab.nodes[1], health).expect("listen");
            let listener = tokio::net::TcpListener::from_std(listener).expect("listener");
            let _health = tokio::spawn(async move {
                while let Ok((mut stream, _)) = listener.accept().await {
                    let _sent = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
                }
            });
            until("node2 alone answers", async || {
                hear(&lab.outside, address, 80).await == answers([&format!("node2 {OUTSIDE}")])
            })
            .await;

            // Straight to pods, which outside cannot reach by itself.
            let pod = Ipv4Addr::new(10, 244, 1, 5);
            let links = Links::open(&lab.nodes[0]).await.expect("links");
            links.add_address("lo", "10.244.1.5/32".parse().expect("address"), Scope::Universe).await.expect("address");
            let _pod = lab.serve(1, pod, 8080);
            let ports = json!([{ "port": 80, "targetPort": 8080 }]);
            lab.expose("direct", 0, json!({ "allocateLoadBalancerNodePorts": false, "ports": ports })).await;
            let slice = serde_json::from_value(json!({
                "metadata": { "name": "direct-1", "labels": { "kubernetes.io/service-name": "direct" } },
                "addressType": "IPv4",
                "ports": [{ "name": "", "port": 8080, "protocol": "TCP" }],
                "endpoints": [{ "addresses": ["10.244.1.5"], "conditions": { "ready": true } }],
            }))
            .expect("slice");
            let slices: Api<EndpointSlice> = Api::namespaced(lab.client.clone(), "default");
            slices.create(&PostParams::default(), &slice).await.expect("create slice");
            let direct = lab.address_in_the_end("direct").await;
            until("the pod answers", async || knock(&lab.outside, direct, 80).await == Ok(format!("node1 {OUTSIDE}")))
                .await;
            assert_eq!(knock(&lab.outside, pod, 8080).await, Err(ErrorKind::TimedOut));
        });
    });
}
