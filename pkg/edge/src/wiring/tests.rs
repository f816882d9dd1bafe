//! Plans as values; wires as the kernel reports them after laying, laying again, and losing a node or the edge.

use std::net::Ipv4Addr;

use ipnet::{IpNet, Ipv4Net};
use minisvc_kernel::{Links, Netns, get_sysctl};
use minisvc_testkit::isolated;

use super::*;

fn net(text: &str) -> Ipv4Net {
    text.parse().expect("a network")
}

fn run<T>(body: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("runtime").block_on(body)
}

#[test]
fn the_default_plan_is_the_picture() {
    let plan = Plan::new(Ranges::default(), 3, "lab0").expect("plan");
    let text = |address: Ipv4Addr| address.to_string();
    assert_eq!(text(plan.vm_address), "172.30.255.2");
    assert_eq!(text(plan.edge_on_link), "172.30.255.1");
    assert_eq!(text(plan.edge_on_fabric), "172.30.0.1");
    assert_eq!(text(plan.api_server), "172.30.0.2");
    assert_eq!(text(plan.edge_outside), "198.51.100.1");
    assert_eq!(text(plan.outside), "198.51.100.10");
    let nodes: Vec<_> = plan.nodes.iter().map(|wire| format!("{} {} {}", wire.link, wire.address, wire.pods)).collect();
    assert_eq!(nodes, ["n1 172.30.0.11 10.244.1.0/24", "n2 172.30.0.12 10.244.2.0/24", "n3 172.30.0.13 10.244.3.0/24"]);
    assert_eq!(
        plan.vm_routes().map(|range| range.to_string()),
        ["172.30.0.0/24", "10.244.0.0/16", "10.96.0.0/12", "203.0.113.0/24"]
    );
}

#[test]
fn ranges_too_small_are_named_with_their_flag() {
    let text = |ranges: Ranges, nodes| Plan::new(ranges, nodes, "lab0").expect_err("too small").to_string();
    assert_eq!(
        text(Ranges { pods: net("10.244.0.0/23"), ..Ranges::default() }, 3),
        "10.244.0.0/23 is too small for pods: needs a /24 for each of 3 nodes, beside the first (--pod-cidr)"
    );
    assert!(text(Ranges { nodes: net("172.30.0.0/28"), ..Ranges::default() }, 1).ends_with("(--node-cidr)"));
    assert!(text(Ranges { link: net("172.30.0.0/31"), ..Ranges::default() }, 1).ends_with("(--link-cidr)"));
    assert!(Plan::new(Ranges { pods: net("10.0.0.0/8"), ..Ranges::default() }, 200, "lab0").is_ok());
}

fn on(range: &str, by: &str) -> Occupied {
    Occupied { range: net(range), by: by.into() }
}

#[test]
fn ranges_move_out_of_the_way_or_say_why_not() {
    let ranges = Ranges::default();
    assert_eq!(avoid_clashes(ranges, &[], &[on("0.0.0.0/0", "route via 10.0.2.2 on eth0")]), Ok((ranges, vec![])));

    let docker = [on("172.30.0.0/16", "address 172.30.0.1/16 on br-1234")];
    let (moved, remarks) = avoid_clashes(ranges, &[], &docker).expect("movable");
    assert_eq!((moved.nodes, moved.link), (net("172.31.0.0/24"), net("172.31.255.0/30")));
    assert_eq!((moved.services, moved.pods, moved.outside), (ranges.services, ranges.pods, ranges.outside));
    assert_eq!(
        remarks[0].to_string(),
        "172.30.0.0/24 for nodes meets 172.30.0.0/16 (address 172.30.0.1/16 on br-1234); taking 172.31.0.0/24 \
         (--node-cidr chooses another)"
    );
    assert_eq!(remarks.len(), 2);

    let fixed = avoid_clashes(ranges, &[RangeName::Nodes], &docker).expect_err("fixed by the user");
    assert_eq!((fixed.name, fixed.range), (RangeName::Nodes, ranges.nodes));

    let vpn = avoid_clashes(ranges, &[], &[on("10.0.0.0/8", "route on tun0")]).expect_err("the lesson quotes it");
    assert_eq!(
        vpn.to_string(),
        "10.96.0.0/12 for services meets 10.0.0.0/8 (route on tun0); choose another with --service-cidr"
    );
    let (moved, _) = avoid_clashes(ranges, &[], &[on("198.51.100.7/32", "address on lo")]).expect("movable");
    assert_eq!(moved.outside, net("192.0.2.0/24"));
}

#[test]
fn moved_ranges_never_meet_each_other_or_the_vm() {
    for size in [8, 12, 16, 20, 24] {
        for third in [0u8, 16, 31, 30, 64, 200] {
            let occupied = [
                Occupied { range: Ipv4Net::new_assert(Ipv4Addr::new(172, third, 0, 0), size).trunc(), by: "x".into() },
                on("192.168.0.0/16", "y"),
            ];
            let Ok((moved, remarks)) = avoid_clashes(Ranges::default(), &[], &occupied) else { continue };
            let all = RangeName::ALL.map(|name| name.of(&moved));
            for (index, one) in all.iter().enumerate() {
                let others = all[index + 1..].iter().chain(occupied.iter().map(|one| &one.range));
                for other in others {
                    assert!(!one.contains(&other.network()) && !other.contains(&one.network()), "{one} {other}");
                }
            }
            assert!(Plan::new(moved, 3, "lab0").is_ok());
            assert_eq!(remarks.is_empty(), moved == Ranges::default());
        }
    }
}

/// What each namespace holds, as text: addresses and routes, sorted.
async fn picture(namespaces: &[(&str, &Netns)]) -> String {
    let mut text = String::new();
    for (name, ns) in namespaces {
        let links = Links::open(ns).await.expect("open");
        let mut lines = Vec::new();
        for link in links.links().await.expect("links") {
            lines.push(format!("{name}: link {} {}", link.name, if link.carrier { "up" } else { "down" }));
        }
        for info in links.addresses().await.expect("addresses") {
            if info.address.addr().is_ipv4() && info.device != "lo" {
                lines.push(format!("{name}: {} on {}", info.address, info.device));
            }
        }
        for info in links.routes().await.expect("routes") {
            let to = |what: Option<String>, word: &str| what.map(|it| format!(" {word} {it}")).unwrap_or_default();
            let gateway = to(info.route.gateway.map(|it| it.to_string()), "via");
            lines.push(format!("{name}: {}{gateway}{}", info.route.destination, to(info.route.device, "dev")));
        }
        lines.sort();
        text += &(lines.join("\n") + "\n");
    }
    text
}

const LAID: &str = "\
vm: 10.244.0.0/16 via 172.30.255.1 dev lab0
vm: 10.96.0.0/12 via 172.30.255.1 dev lab0
vm: 172.30.0.0/24 via 172.30.255.1 dev lab0
vm: 172.30.255.0/30 dev lab0
vm: 172.30.255.2/30 on lab0
vm: 203.0.113.0/24 via 172.30.255.1 dev lab0
vm: link lab0 up
vm: link lo up
edge: 10.244.1.0/24 via 172.30.0.11 dev fabric
edge: 10.244.2.0/24 via 172.30.0.12 dev fabric
edge: 10.96.0.0/12 via 172.30.0.11 dev fabric
edge: 172.30.0.0/24 dev fabric
edge: 172.30.0.1/24 on fabric
edge: 172.30.0.2/32 on fabric
edge: 172.30.255.0/30 dev host0
edge: 172.30.255.1/30 on host0
edge: 198.51.100.0/24 dev out0
edge: 198.51.100.1/24 on out0
edge: link fabric up
edge: link host0 up
edge: link lo up
edge: link n1 up
edge: link n2 up
edge: link out0 up
outside: 0.0.0.0/0 via 198.51.100.1 dev eth0
outside: 198.51.100.0/24 dev eth0
outside: 198.51.100.10/24 on eth0
outside: link eth0 up
outside: link lo up
node2: 0.0.0.0/0 via 172.30.0.1 dev eth0
node2: 10.244.1.0/24 via 172.30.0.11 dev eth0
node2: 10.96.0.0/12 via 172.30.0.1 dev eth0
node2: 172.30.0.0/24 dev eth0
node2: 172.30.0.12/24 on eth0
node2: link eth0 up
node2: link lo up
";

async fn lay_all(plan: &Plan, vm: &Netns, edge: &Netns, outside: &Netns, nodes: &[Netns]) {
    lay_edge(plan, edge, outside).await.expect("edge");
    lay_vm(plan, vm, edge).await.expect("vm");
    for (number, node) in (1..).zip(nodes) {
        lay_node(plan, number, edge, node).await.expect("node");
    }
}

#[test]
fn wires_are_laid_again_after_losses_and_leave_nothing_on_the_vm() {
    isolated(|| {
        run(async {
            let plan = Plan::new(Ranges::default(), 2, "lab0").expect("plan");
            let vm = Netns::current().expect("vm");
            let before = picture(&[("vm", &vm)]).await;
            let make = || Netns::create().expect("namespace");
            let (mut edge, mut outside, mut nodes) = (make(), make(), vec![make(), make()]);
            for loss in ["nothing lost", "nothing lost again", "a node", "the edge"] {
                match loss {
                    "a node" => nodes[1] = make(),
                    "the edge" => (edge, outside) = (make(), make()),
                    _ => {}
                }
                lay_all(&plan, &vm, &edge, &outside, &nodes).await;
                let all = [("vm", &vm), ("edge", &edge), ("outside", &outside), ("node2", &nodes[1])];
                assert_eq!(picture(&all).await, LAID, "after losing {loss}");
            }
            assert_eq!(get_sysctl(&edge, "net.ipv4.ip_forward").expect("get"), "1");
            assert_eq!(get_sysctl(&nodes[0], "net.ipv4.conf.eth0.rp_filter").expect("get"), "0");
            let own = occupied(&vm, "lab0").await.expect("occupied");
            assert!(own.iter().all(|one| one.by.ends_with("lo")), "the lab's own link is not in the way: {own:?}");
            let seen = occupied(&vm, "another").await.expect("occupied");
            let by: Vec<_> = seen.iter().map(|one| one.by.as_str()).collect();
            assert!(by.contains(&"address 172.30.255.2/30 on lab0"), "{by:?}");
            assert!(by.contains(&"route via 172.30.255.1 on lab0"), "{by:?}");

            remove_vm(&plan, &vm).await.expect("remove");
            remove_vm(&plan, &vm).await.expect("again");
            assert_eq!(picture(&[("vm", &vm)]).await, before);
        });
    });
}

#[test]
fn a_link_of_somebody_else_is_left_alone() {
    isolated(|| {
        run(async {
            let vm = Netns::current().expect("vm");
            let edge = Netns::create().expect("edge");
            let links = Links::open(&vm).await.expect("links");
            links.create_bridge("lab0").await.expect("bridge");
            let plan = Plan::new(Ranges::default(), 1, "lab0").expect("plan");
            let error = lay_vm(&plan, &vm, &edge).await.expect_err("taken");
            assert_eq!(error.kind(), std::io::ErrorKind::AlreadyExists);
            assert!(links.exists("lab0").await.expect("exists"));
            let none = lay_node(&plan, 9, &edge, &edge).await.expect_err("no such node");
            assert_eq!(none.kind(), std::io::ErrorKind::InvalidInput);
            assert_eq!(IpNet::from(plan.nodes[0].pods).to_string(), "10.244.1.0/24");
        });
    });
}
