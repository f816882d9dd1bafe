//! Allocation on values: who gets what, what is refused and in which words, what an update keeps.

use std::collections::BTreeSet;

use minisvc_api::field::{FieldError, FieldErrorKind};
use serde_json::{Value, json};

use super::{Allocations, Change, carry_over_service};
use crate::store::Options;

struct Range {
    allocations: Allocations,
    rng: fastrand::Rng,
}

impl Range {
    fn new() -> Range {
        Range::with(Options::default())
    }

    fn with(options: Options) -> Range {
        Range { allocations: Allocations::new(&options), rng: fastrand::Rng::with_seed(1) }
    }

    fn write(&mut self, mut new: Value, old: Option<&Value>) -> Result<Value, Vec<FieldError>> {
        let change = self.allocations.plan(Some(&mut new), old, &mut self.rng)?;
        self.allocations.apply(&change);
        Ok(new)
    }

    fn create(&mut self, spec: Value) -> Value {
        self.write(json!({ "spec": spec }), None).unwrap()
    }

    fn update(&mut self, old: &Value, spec: Value) -> Value {
        self.write(json!({ "spec": spec }), Some(old)).unwrap()
    }

    fn refuse(&mut self, spec: Value) -> FieldError {
        let before = self.allocations.taken();
        let mut errors = self.write(json!({ "spec": spec }), None).expect_err("must be refused");
        assert_eq!(self.allocations.taken(), before);
        assert_eq!(errors.len(), 1, "{errors:?}");
        errors.remove(0)
    }

    fn taken(&self) -> (usize, usize) {
        let (addresses, ports) = self.allocations.taken();
        (addresses.len(), ports.len())
    }
}

fn node_ports(service: &Value) -> Vec<u64> {
    let ports = service["spec"]["ports"].as_array().unwrap();
    ports.iter().map(|port| port["nodePort"].as_u64().unwrap_or(0)).collect()
}

fn ip(service: &Value) -> u32 {
    service["spec"]["clusterIP"].as_str().unwrap().parse::<std::net::Ipv4Addr>().unwrap().into()
}

#[test]
fn types_get_what_they_need() {
    let mut range = Range::new();
    let plain = range.create(json!({"ports": [{"port": 80}]}));
    assert_eq!(plain["spec"]["clusterIPs"], json!([plain["spec"]["clusterIP"]]));
    assert_eq!(node_ports(&plain), [0]);
    let headless = range.create(json!({"clusterIP": "None"}));
    assert_eq!(headless["spec"]["clusterIPs"], json!(["None"]));
    let external = range.create(json!({"type": "ExternalName", "externalName": "example.org"}));
    assert_eq!(external["spec"].get("clusterIP"), None);
    assert_eq!(range.taken(), (1, 0));
    let node = range.create(json!({"type": "NodePort", "ports": [{"port": 80}, {"port": 81, "nodePort": 0}]}));
    assert!(node_ports(&node).iter().all(|port| (30086..=32767).contains(port)), "{node}");
    let local = json!({"type": "LoadBalancer", "externalTrafficPolicy": "Local", "ports": [{"port": 80}]});
    let local = range.create(local);
    assert!(local["spec"]["healthCheckNodePort"].is_u64());
    let without = json!({"type": "LoadBalancer", "allocateLoadBalancerNodePorts": false, "ports": [{"port": 80}]});
    assert_eq!(node_ports(&range.create(without)), [0]);
    assert_eq!(range.taken(), (4, 4));
}

#[test]
fn one_port_under_two_protocols_shares_its_node_port() {
    let mut range = Range::new();
    let ports = json!([{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}, {"port": 54}]);
    let dns = range.create(json!({"type": "NodePort", "ports": ports}));
    let [udp, tcp, other] = node_ports(&dns)[..] else { panic!("{dns}") };
    assert_eq!(udp, tcp);
    assert_ne!(tcp, other);
    let explicit = json!([{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP", "nodePort": 30053}]);
    let dns = range.create(json!({"type": "NodePort", "ports": explicit}));
    assert_eq!(node_ports(&dns), [30053, 30053]);
}

#[test]
fn refusals_in_kubernetes_words() {
    let mut range = Range::new();
    range.create(json!({"type": "NodePort", "clusterIP": "10.96.0.10", "ports": [{"port": 1, "nodePort": 30001}]}));
    let taken = range.refuse(json!({"clusterIP": "10.96.0.10", "clusterIPs": ["10.96.0.10"]}));
    assert_eq!((taken.kind, &*taken.field), (FieldErrorKind::Invalid, "spec.clusterIPs"));
    assert_eq!(taken.value, Some(json!(["10.96.0.10"])));
    assert_eq!(taken.detail, "failed to allocate IP 10.96.0.10: provided IP is already allocated");
    for outside in ["1.2.3.4", "10.96.0.0", "10.111.255.255"] {
        assert_eq!(
            range.refuse(json!({"clusterIP": outside})).detail,
            format!(
                "failed to allocate IP {outside}: the provided IP ({outside}) is not in the valid range. The range of valid IPs is 10.96.0.0/12"
            )
        );
    }
    let taken = range.refuse(json!({"type": "NodePort", "ports": [{"port": 2}, {"port": 1, "nodePort": 30001}]}));
    assert_eq!((&*taken.field, taken.value), ("spec.ports[1].nodePort", Some(json!(30001))));
    assert_eq!(taken.detail, "provided port is already allocated");
    for outside in [1234, 32768, 70000, -1] {
        let refused = range.refuse(json!({"type": "NodePort", "ports": [{"port": 1, "nodePort": outside}]}));
        assert_eq!(refused.detail, "provided port is not in the valid range. The range of valid ports is 30000-32767");
    }
    let twice = json!([{"port": 1, "nodePort": 30002}, {"port": 2, "nodePort": 30002}]);
    assert_eq!(range.refuse(json!({"type": "NodePort", "ports": twice})).kind, FieldErrorKind::Duplicate);
    let health = json!({"type": "LoadBalancer", "externalTrafficPolicy": "Local", "healthCheckNodePort": 30001});
    assert_eq!(
        range.refuse(health).detail,
        "failed to allocate requested HealthCheck NodePort 30001: provided port is already allocated"
    );
}

#[test]
fn dynamic_allocation_leaves_the_lower_band_until_the_upper_is_full() {
    let mut range = Range::with(Options {
        service_cidr: "10.0.0.0/24".parse().unwrap(),
        node_port_range: 30000..=30063,
        ..Options::default()
    });
    let first = u32::from(std::net::Ipv4Addr::new(10, 0, 0, 1));
    for count in 1..=254 {
        let address = ip(&range.create(json!({})));
        assert_eq!(address < first + 16, count > 254 - 16, "{count}");
    }
    assert_eq!(range.refuse(json!({})).detail, "failed to allocate a serviceIP: range is full");
    for count in 1..=64 {
        let made = range.create(json!({"type": "NodePort", "clusterIP": "None", "ports": [{"port": 1}]}));
        assert_eq!(node_ports(&made)[0] < 30016, count > 64 - 16, "{count}");
    }
    let full = range.refuse(json!({"type": "NodePort", "clusterIP": "None", "ports": [{"port": 1}]}));
    assert_eq!(full.detail, "failed to allocate a nodePort: range is full");
}

#[test]
fn an_update_keeps_what_stays_and_releases_what_goes() {
    let mut range = Range::new();
    let ports = json!([{"name": "a", "port": 80}, {"name": "b", "port": 81}]);
    let old = range.create(json!({"type": "NodePort", "ports": ports}));
    // `kubectl replace` leaves allocated values out; the order of ports may change.
    let swapped = json!([{"name": "b", "port": 81}, {"name": "a", "port": 8080}, {"name": "c", "port": 9}]);
    let new = range.update(&old, json!({"type": "NodePort", "ports": swapped}));
    assert_eq!(new["spec"]["clusterIPs"], old["spec"]["clusterIPs"]);
    let (before, after) = (node_ports(&old), node_ports(&new));
    assert_eq!((after[0], after[1]), (before[1], before[0]));
    assert_eq!(range.taken(), (1, 3));
    let mut spec = new["spec"].clone();
    spec["type"] = json!("ClusterIP");
    let plain = range.update(&new, spec);
    assert_eq!(node_ports(&plain), [0, 0, 0]);
    assert_eq!(range.taken(), (1, 0));
    let mut spec = plain["spec"].clone();
    spec["type"] = json!("ExternalName");
    let external = range.update(&plain, spec);
    assert_eq!(external["spec"].get("clusterIPs"), None);
    assert_eq!(range.taken(), (0, 0));
    let local = json!({"type": "LoadBalancer", "externalTrafficPolicy": "Local", "ports": [{"port": 80}]});
    let local = range.update(&external, local);
    assert_eq!(range.taken(), (1, 2));
    let kept = range
        .update(&local, json!({"type": "LoadBalancer", "externalTrafficPolicy": "Local", "ports": [{"port": 80}]}));
    assert_eq!(kept, local);
    let mut spec = local["spec"].clone();
    spec["externalTrafficPolicy"] = json!("Cluster");
    let cluster = range.update(&local, spec);
    assert_eq!(cluster["spec"].get("healthCheckNodePort"), None);
    assert_eq!(range.taken(), (1, 1));
    let gone = range.allocations.plan(None, Some(&cluster), &mut range.rng).unwrap();
    range.allocations.apply(&gone);
    assert_eq!(range.taken(), (0, 0));
}

#[test]
fn a_plan_takes_nothing_by_itself_and_the_carry_over_is_stable() {
    let mut range = Range::new();
    let mut service = json!({"spec": {"type": "NodePort", "ports": [{"port": 80}]}});
    let change = range.allocations.plan(Some(&mut service), None, &mut range.rng).unwrap();
    assert_eq!(range.taken(), (0, 0));
    assert_ne!(change, Change::default());
    let mut again = service.clone();
    carry_over_service(&mut again, &service);
    assert_eq!(again, service);
    range.allocations.adopt(&service);
    assert_eq!(range.taken(), (1, 1));
    let planned = range.allocations.plan(Some(&mut again), Some(&service), &mut range.rng).unwrap();
    assert_eq!(planned, Change::default());
}

#[test]
fn strange_shapes_do_not_panic() {
    let mut range = Range::new();
    for spec in [
        json!(null),
        json!("x"),
        json!([]),
        json!({"ports": "x"}),
        json!({"ports": ["x", 1]}),
        json!({"clusterIPs": 1}),
    ] {
        for kind in ["NodePort", "LoadBalancer"] {
            let mut service = json!({ "spec": spec });
            if let Some(spec) = service["spec"].as_object_mut() {
                spec.insert("type".into(), json!(kind));
            }
            let old = json!({"spec": {"type": "NodePort", "clusterIP": "10.96.0.9", "ports": [{"port": 1, "nodePort": 30009}]}});
            let planned = range.allocations.plan(Some(&mut service), Some(&old), &mut range.rng).unwrap();
            range.allocations.apply(&planned);
        }
    }
    let (addresses, _) = range.allocations.taken();
    assert!(addresses.iter().collect::<BTreeSet<_>>().len() <= 12);
}
