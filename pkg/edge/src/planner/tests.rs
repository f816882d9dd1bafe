//! Plans on values: objects in, decisions out.

use k8s_openapi::api::core::v1::Node;
use serde_json::{Value, json};

use super::*;
use crate::{allocation::NoAddress, balancer::table, wiring::Ranges};

const RANGE: &str = "203.0.113.0/24";

/// Services, nodes and answers of one case.
#[derive(Default)]
struct Case {
    services: BTreeMap<ServiceKey, Service>,
    nodes: BTreeMap<String, NodeView>,
    slices: BTreeMap<ServiceKey, Vec<EndpointSlice>>,
    held: BTreeMap<String, Ipv4Addr>,
    due: BTreeSet<String>,
    healthy: BTreeSet<Probe>,
    off: bool,
}

fn ip(text: &str) -> Ipv4Addr {
    text.parse().expect("an address")
}

fn key(name: &str) -> ServiceKey {
    ServiceKey { namespace: "default".into(), name: name.into() }
}

impl Case {
    fn with_nodes(count: u8) -> Self {
        let mut case = Self::default();
        for number in 1..=count {
            case.node(&format!("node{number}"), number, true, json!({}));
        }
        case
    }

    fn node(&mut self, name: &str, number: u8, ready: bool, labels: Value) {
        let status = if ready { "True" } else { "Unknown" };
        let node: Node = serde_json::from_value(json!({
            "metadata": { "name": name, "labels": labels },
            "status": {
                "addresses": [
                    { "type": "Hostname", "address": name },
                    { "type": "InternalIP", "address": format!("172.30.0.{}", 10 + number) },
                ],
                "conditions": [{ "type": "Ready", "status": status }],
            },
        }))
        .expect("a node");
        self.nodes.insert(name.into(), NodeView::new(&node).expect("a view"));
    }

    /// A load balancer with port 80 on node port 30080, overridden by `spec`; `address` is in its status.
    fn service(&mut self, name: &str, spec: Value, address: Option<&str>) {
        let mut object = json!({
            "metadata": { "namespace": "default", "name": name, "uid": name, "finalizers": [CLEANUP] },
            "spec": {
                "type": "LoadBalancer",
                "externalTrafficPolicy": "Cluster",
                "ports": [{ "port": 80, "protocol": "TCP", "nodePort": 30080, "targetPort": 8080 }],
            },
            "status": { "loadBalancer": {} },
        });
        for (field, value) in spec.as_object().expect("an object") {
            object["spec"][field] = value.clone();
        }
        if let Some(address) = address {
            object["status"]["loadBalancer"]["ingress"] = json!([{ "ip": address, "ipMode": "VIP" }]);
        }
        self.services.insert(key(name), serde_json::from_value(object).expect("a service"));
    }

    fn plan(&self) -> CloudPlan {
        plan(&Input {
            services: &self.services,
            nodes: &self.nodes,
            slices: &self.slices,
            range: RANGE.parse().expect("a range"),
            enabled: !self.off,
            held: &self.held,
            due: &self.due,
            healthy: &self.healthy,
        })
    }

    /// The targets of the frontend, as text.
    fn targets(&self, address: &str, port: u16) -> Vec<String> {
        let at = Frontend { address: ip(address), protocol: minisvc_kernel::nft::Protocol::TCP, port };
        let pools = self.plan().balancers.pools;
        pools.get(&at).map_or_else(Vec::new, |pool| {
            pool.targets.iter().map(|(address, port)| format!("{address}:{port}")).collect()
        })
    }
}

fn tcp(number: u8) -> Probe {
    Probe::NodePort { address: ip(&format!("172.30.0.{}", 10 + number)), port: 30080 }
}

#[test]
fn a_new_service_waits_and_then_gets_the_lowest_free_address() {
    let mut case = Case::with_nodes(2);
    case.service("old", json!({}), Some("203.0.113.1"));
    case.service("blue", json!({}), None);
    let plan = case.plan();
    assert_eq!(plan.waiting, [key("blue")].into());
    assert!(plan.assign.is_empty());
    assert_eq!(plan.balancers.addresses, [ip("203.0.113.1")].into());

    case.due.insert("blue".into());
    let plan = case.plan();
    assert_eq!(plan.assign, [(key("blue"), ip("203.0.113.2"))].into());
    assert_eq!(plan.balancers.pools.len(), 2, "it is served before its status says so");

    // Given out, status not yet seen: nothing is given twice.
    case.held.insert("blue".into(), ip("203.0.113.2"));
    case.service("red", json!({}), None);
    case.due.insert("red".into());
    let plan = case.plan();
    assert_eq!(plan.assign, [(key("red"), ip("203.0.113.3"))].into());

    // Gone: its address is free again.
    case.services.remove(&key("old"));
    assert_eq!(case.plan().assign, [(key("red"), ip("203.0.113.1"))].into());
}

#[test]
fn two_pending_at_once_get_two_addresses() {
    let mut case = Case::with_nodes(1);
    for name in ["a", "b", "c"] {
        case.service(name, json!({}), None);
        case.due.insert(name.into());
    }
    let plan = case.plan();
    let given: BTreeSet<_> = plan.assign.values().collect();
    assert_eq!(given.len(), 3);
}

#[test]
fn requested_addresses_are_honoured_or_refused_with_the_reason() {
    let mut case = Case::with_nodes(1);
    case.service("old", json!({}), Some("203.0.113.7"));
    for (name, wanted) in [("good", "203.0.113.50"), ("taken", "203.0.113.7"), ("far", "8.8.8.8"), ("odd", "::1")] {
        case.service(name, json!({ "loadBalancerIP": wanted }), None);
        case.due.insert(name.into());
    }
    let plan = case.plan();
    assert_eq!(plan.assign, [(key("good"), ip("203.0.113.50"))].into());
    assert_eq!(plan.refused[&key("taken")], "requested address 203.0.113.7 is in use by another service");
    assert_eq!(
        plan.refused[&key("far")],
        "requested address 8.8.8.8 is not in the load balancers' range 203.0.113.0/24"
    );
    assert_eq!(plan.refused[&key("odd")], "spec.loadBalancerIP is no IPv4 address");

    // One that asks for another address keeps its own until it has the new one.
    case.service("old", json!({ "loadBalancerIP": "203.0.113.9" }), Some("203.0.113.7"));
    let plan = case.plan();
    assert_eq!(plan.waiting, [key("old")].into());
    assert!(plan.balancers.addresses.contains(&ip("203.0.113.7")));
    case.due.insert("old".into());
    let plan = case.plan();
    assert_eq!(plan.assign[&key("old")], ip("203.0.113.9"));
}

#[test]
fn other_classes_types_and_the_deleted_are_left_alone() {
    let mut case = Case::with_nodes(1);
    case.service("theirs", json!({ "loadBalancerClass": "example.com/lb" }), None);
    case.service("ours", json!({ "loadBalancerClass": CLASS }), None);
    case.service("was", json!({ "type": "ClusterIP" }), Some("203.0.113.4"));
    case.service("going", json!({}), Some("203.0.113.5"));
    let going = case.services.get_mut(&key("going")).expect("going");
    going.metadata.deletion_timestamp = Some(serde_json::from_value(json!("2026-01-01T00:00:00Z")).expect("a time"));
    let plan = case.plan();
    assert_eq!(plan.waiting, [key("ours")].into());
    assert_eq!(plan.clear, [key("was")].into());
    assert!(plan.balancers.addresses.is_empty());
}

#[test]
fn while_the_cloud_is_off_the_pending_stay_pending_and_the_served_stay_served() {
    let mut case = Case::with_nodes(2);
    case.service("old", json!({}), Some("203.0.113.1"));
    case.service("new", json!({}), None);
    case.due.insert("new".into());
    case.off = true;
    let plan = case.plan();
    assert!(plan.assign.is_empty() && plan.waiting.is_empty());
    assert_eq!(plan.idle[&key("new")], "; meanwhile it is reachable on its node port: 172.30.0.11:30080");
    assert_eq!(case.targets("203.0.113.1", 80), ["172.30.0.11:30080", "172.30.0.12:30080"]);
}

#[test]
fn only_healthy_ready_nodes_are_targets() {
    let mut case = Case::with_nodes(3);
    case.service("red", json!({}), Some("203.0.113.1"));
    assert_eq!(case.plan().probes, [tcp(1), tcp(2), tcp(3)].into());
    assert_eq!(case.targets("203.0.113.1", 80).len(), 3, "nobody was asked yet: any Ready node can answer");
    case.healthy = [tcp(1), tcp(3)].into();
    assert_eq!(case.targets("203.0.113.1", 80), ["172.30.0.11:30080", "172.30.0.13:30080"]);
    case.node("node3", 3, false, json!({}));
    assert_eq!(case.targets("203.0.113.1", 80), ["172.30.0.11:30080"]);
    assert_eq!(case.plan().probes, [tcp(1), tcp(2)].into(), "a node that is not Ready is not asked");
    let labels = |value: &str| json!({ "node.kubernetes.io/exclude-from-external-load-balancers": value });
    case.node("node1", 1, true, labels("false"));
    assert_eq!(case.targets("203.0.113.1", 80), ["172.30.0.11:30080"]);
    case.node("node1", 1, true, labels(""));
    assert_eq!(case.targets("203.0.113.1", 80), ["172.30.0.12:30080"], "the last one is asked in any case");
}

#[test]
fn policy_local_asks_the_health_port_and_trusts_it() {
    let mut case = Case::with_nodes(2);
    case.service("red", json!({ "externalTrafficPolicy": "Local", "healthCheckNodePort": 31000 }), Some("203.0.113.1"));
    let healthz = |last: &str| Probe::Healthz { address: ip(&format!("172.30.0.{last}")), port: 31000 };
    assert_eq!(case.plan().probes, [healthz("11"), healthz("12")].into());
    assert!(case.targets("203.0.113.1", 80).is_empty(), "nobody else could answer");
    case.healthy.insert(healthz("12"));
    assert_eq!(case.targets("203.0.113.1", 80), ["172.30.0.12:30080"]);
}

#[test]
fn datagrams_go_to_ready_nodes_and_are_asked_for_by_a_sibling_port() {
    let mut case = Case::with_nodes(2);
    let udp = json!({ "port": 53, "protocol": "UDP", "nodePort": 30053, "name": "dns" });
    case.service("dns", json!({ "ports": [udp] }), Some("203.0.113.1"));
    assert!(case.plan().probes.is_empty(), "nobody can ask");
    let pools = case.plan().balancers.pools;
    assert_eq!(pools.values().next().expect("a pool").targets.len(), 2);

    let tcp_too = json!({ "port": 80, "protocol": "TCP", "nodePort": 30080, "name": "http" });
    case.service("dns", json!({ "ports": [udp, tcp_too] }), Some("203.0.113.1"));
    case.healthy = [tcp(2)].into();
    for pool in case.plan().balancers.pools.values() {
        assert_eq!(pool.targets.len(), 1, "{pool:?}");
    }
}

#[test]
fn without_node_ports_it_goes_straight_to_ready_endpoints() {
    let mut case = Case::with_nodes(2);
    let ports = json!([{ "port": 80, "name": "web", "protocol": "TCP", "targetPort": "http" }]);
    case.service("red", json!({ "allocateLoadBalancerNodePorts": false, "ports": ports }), Some("203.0.113.1"));
    let slice = json!({
        "metadata": { "namespace": "default", "name": "red-1", "labels": { "kubernetes.io/service-name": "red" } },
        "addressType": "IPv4",
        "ports": [{ "name": "other", "port": 9, "protocol": "TCP" }, { "name": "web", "port": 8080, "protocol": "TCP" }],
        "endpoints": [
            { "addresses": ["10.244.1.5"], "conditions": { "ready": true } },
            { "addresses": ["10.244.1.6"], "conditions": { "ready": false } },
            { "addresses": ["10.244.2.5"], "conditions": {} },
        ],
    });
    case.slices = by_service([serde_json::from_value(slice).expect("a slice")].into_iter());
    let plan = case.plan();
    assert!(plan.wants_slices && plan.probes.is_empty());
    assert_eq!(case.targets("203.0.113.1", 80), ["10.244.1.5:8080", "10.244.2.5:8080"]);
}

#[test]
fn source_ranges_come_from_the_spec_or_the_annotation() {
    let mut case = Case::with_nodes(1);
    case.service("red", json!({ "loadBalancerSourceRanges": ["198.51.100.0/25", " 10.0.0.0/8"] }), Some("203.0.113.1"));
    case.service("open", json!({ "loadBalancerSourceRanges": ["0.0.0.0/0"] }), Some("203.0.113.2"));
    case.service("closed", json!({ "loadBalancerSourceRanges": ["2001:db8::/32"] }), Some("203.0.113.3"));
    case.service("old", json!({}), Some("203.0.113.4"));
    let annotations = [("service.beta.kubernetes.io/load-balancer-source-ranges".to_owned(), "10.1.0.0/16".to_owned())];
    case.services.get_mut(&key("old")).expect("old").metadata.annotations = Some(annotations.into());
    let pools = case.plan().balancers.pools;
    let sources: Vec<_> = pools.values().map(|pool| pool.sources.clone()).collect();
    let net = |text: &str| text.parse().expect("a network");
    assert_eq!(
        sources,
        [Some(vec![net("198.51.100.0/25"), net("10.0.0.0/8")]), None, Some(vec![]), Some(vec![net("10.1.0.0/16")])]
    );
}

#[test]
fn rules_do_not_grow_with_services() {
    let rules = |count: usize| {
        let mut case = Case::with_nodes(3);
        for number in 0..count {
            case.service(&format!("s{number}"), json!({}), Some(&format!("203.0.113.{}", number + 1)));
        }
        let table = table(&Ranges::default(), &case.plan().balancers);
        assert_eq!(table.sets["targets"].elements.len(), count * 3);
        table.chains.values().map(|chain| chain.rules.len()).sum::<usize>()
    };
    assert_eq!(rules(1), rules(200));
}

#[test]
fn clients_of_a_sticky_service_keep_their_node() {
    let mut case = Case::with_nodes(2);
    case.service("plain", json!({}), Some("203.0.113.1"));
    let chains = |case: &Case| table(&Ranges::default(), &case.plan().balancers).chains;
    assert!(chains(&case).contains_key("lb_2") && !chains(&case).contains_key("lb_2_client"));
    case.service("sticky", json!({ "sessionAffinity": "ClientIP" }), Some("203.0.113.2"));
    let chain = chains(&case).remove("lb_2_client").expect("a chain for clients");
    assert!(chain.rules[0].to_string().contains("jhash ip saddr mod 2 map @targets"), "{}", chain.rules[0]);
}

#[test]
fn allocations_are_unique_whatever_happens() {
    // A small linear congruential generator: the same story in every run.
    let mut seed = 7u64;
    let mut dice = |faces: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % faces
    };
    let range: Ipv4Net = "203.0.113.0/28".parse().expect("a range");
    for _story in 0..50 {
        let mut owners: BTreeMap<Ipv4Addr, u64> = BTreeMap::new();
        for service in 0..60 {
            if dice(3) == 0
                && let Some(address) = owners.keys().nth(dice(owners.len().max(1) as u64) as usize).copied()
            {
                owners.remove(&address);
            }
            let wanted = (dice(4) == 0).then(|| Ipv4Addr::new(203, 0, 113, dice(20) as u8));
            let used: BTreeSet<Ipv4Addr> = owners.keys().copied().collect();
            match allocate(range, &used, wanted) {
                Ok(address) => {
                    assert!(range.contains(&address) && address != range.network() && address != range.broadcast());
                    assert!(wanted.is_none_or(|wanted| wanted == address));
                    assert_eq!(owners.insert(address, service), None, "{address} was given twice");
                }
                Err(NoAddress::Taken(address)) => assert!(used.contains(&address)),
                Err(NoAddress::OutOfRange(address, _)) => {
                    assert!(!range.hosts().any(|host| host == address));
                }
                Err(NoAddress::Exhausted(_)) => assert_eq!(used.len(), 14),
            }
        }
    }
}

#[test]
fn nothing_is_given_out_before_the_finalizer_and_nothing_stays_without_use() {
    let mut case = Case::with_nodes(1);
    case.service("blue", json!({}), None);
    case.due.insert("blue".into());
    let change = |case: &mut Case, change: &dyn Fn(&mut Service)| {
        change(case.services.get_mut(&key("blue")).expect("blue"));
        case.plan()
    };
    let plan = change(&mut case, &|service| service.metadata.finalizers = None);
    assert_eq!((plan.guard, plan.assign), ([key("blue")].into(), BTreeMap::new()));
    case.off = true;
    assert!(case.plan().guard.is_empty(), "a cloud that is off takes nothing on");
    case.off = false;
    let guarded = |service: &mut Service| service.metadata.finalizers = Some(vec!["x".into(), CLEANUP.into()]);
    let plan = change(&mut case, &guarded);
    assert_eq!((plan.guard.len(), plan.assign.len(), plan.release.len()), (0, 1, 0));
    let deleting = serde_json::from_value(json!("2026-01-01T00:00:00Z")).expect("a time");
    case.off = true;
    let plan = change(&mut case, &move |service| service.metadata.deletion_timestamp = Some(Clone::clone(&deleting)));
    assert_eq!((plan.release, plan.balancers), ([key("blue")].into(), Balancers::default()), "also while it is off");
    let plan = change(&mut case, &|service| {
        service.metadata.deletion_timestamp = None;
        service.spec.as_mut().expect("spec").type_ = Some("ClusterIP".into());
    });
    assert_eq!(plan.release, [key("blue")].into());
    let plan = change(&mut case, &|service| {
        service.spec.as_mut().expect("spec").load_balancer_class = Some("example.com/other".into());
    });
    assert!(plan.release.is_empty(), "another controller's");
}
