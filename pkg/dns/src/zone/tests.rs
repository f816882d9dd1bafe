//! The zone's answers on values: services and slices in, records out.

use hickory_proto::rr::RecordType::{A, AAAA, CNAME, MX, PTR, SOA, SRV, TXT};
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use serde_json::{Value, json};

use super::*;

fn service(zone: &mut Zone, namespace: &str, name: &str, spec: Value, slices: &[Value]) {
    let object = json!({"metadata": {"name": name, "namespace": namespace}, "spec": spec});
    let object: Service = serde_json::from_value(object).unwrap();
    let slices: Vec<SliceEndpoints> = slices
        .iter()
        .map(|slice| plan_slice(&serde_json::from_value::<EndpointSlice>(slice.clone()).unwrap()))
        .collect();
    zone.set_service(&(namespace.into(), name.into()), plan_service(&object, &slices));
}

fn slice(endpoints: Value) -> Value {
    json!({"metadata": {"name": "s"}, "addressType": "IPv4", "endpoints": endpoints,
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}]})
}

fn zone() -> Zone {
    let mut zone = Zone::empty("cluster.local");
    zone.set_namespaces(["default", "kube-system", "prod"].into_iter().map(Arc::from).collect());
    let ports = json!([{"name": "http", "port": 80}, {"name": "dns", "port": 53, "protocol": "UDP"}, {"port": 9}]);
    service(
        &mut zone,
        "default",
        "web",
        json!({"clusterIP": "10.96.0.7", "clusterIPs": ["10.96.0.7"], "ports": ports}),
        &[],
    );
    let dual = json!({"clusterIP": "10.96.0.8", "clusterIPs": ["10.96.0.8", "fd00::8"]});
    service(&mut zone, "prod", "dual", dual, &[]);
    let endpoints = json!([
        {"addresses": ["10.244.1.2"], "conditions": {"ready": true}, "hostname": "db-0"},
        {"addresses": ["10.244.2.3"], "conditions": {}},
        {"addresses": ["10.244.3.4"], "conditions": {"ready": false}},
    ]);
    service(&mut zone, "default", "db", json!({"clusterIP": "None"}), &[slice(endpoints)]);
    let unready = json!([{"addresses": ["10.244.3.9"], "conditions": {"ready": false}}]);
    service(&mut zone, "default", "down", json!({"clusterIP": "None"}), &[slice(unready)]);
    let external = |target: &str| json!({"type": "ExternalName", "externalName": target});
    service(&mut zone, "default", "k8s", external("kubernetes.io"), &[]);
    service(&mut zone, "default", "alias", external("web.default.svc.cluster.local"), &[]);
    service(&mut zone, "default", "lost", external("nope.default.svc.cluster.local"), &[]);
    service(&mut zone, "default", "loop", external("loop.default.svc.cluster.local"), &[]);
    let dns = json!({"clusterIP": "10.96.0.10", "clusterIPs": ["10.96.0.10"]});
    service(&mut zone, "kube-system", "kube-dns", dns, &[]);
    zone
}

/// The answer as sorted text: `records`, or why there are none.
fn ask(zone: &Zone, name: &str, kind: RecordType) -> Vec<String> {
    let answer = zone.answer(&Name::from_ascii(format!("{name}.")).unwrap(), kind);
    let mut lines: Vec<String> = answer.records.iter().map(|r| format!("{} {}", r.record_type(), r.data)).collect();
    lines.sort();
    if answer.no_such_name {
        lines.push("NXDOMAIN".into());
    }
    if let Some(outside) = answer.outside {
        lines.push(format!("outside {outside}"));
    }
    lines
}

#[test]
fn names_of_services_with_an_address() {
    let zone = zone();
    assert_eq!(ask(&zone, "web.default.svc.cluster.local", A), ["A 10.96.0.7"]);
    assert_eq!(ask(&zone, "WEB.Default.svc.CLUSTER.local", A), ["A 10.96.0.7"]);
    // The other questions of `host`: the name exists, so the answer is empty, not NXDOMAIN.
    assert!(ask(&zone, "web.default.svc.cluster.local", AAAA).is_empty());
    assert!(ask(&zone, "web.default.svc.cluster.local", MX).is_empty());
    assert_eq!(ask(&zone, "dual.prod.svc.cluster.local", AAAA), ["AAAA fd00::8"]);
    assert_eq!(ask(&zone, "nope.default.svc.cluster.local", A), ["NXDOMAIN"]);
    assert_eq!(ask(&zone, "web.prod.svc.cluster.local", A), ["NXDOMAIN"]);
    assert_eq!(ask(&zone, "x.web.default.svc.cluster.local", A), ["NXDOMAIN"]);
}

#[test]
fn answers_keep_the_letter_case_and_the_time_to_live() {
    let name = Name::from_ascii("WeB.default.svc.cluster.local.").unwrap();
    let answer = zone().answer(&name, A);
    assert_eq!(answer.records[0].name.to_string(), "WeB.default.svc.cluster.local.");
    assert_eq!((answer.records[0].ttl, answer.authoritative), (TTL, true));
}

#[test]
fn headless_services_lead_to_ready_endpoints() {
    let zone = zone();
    assert_eq!(ask(&zone, "db.default.svc.cluster.local", A), ["A 10.244.1.2", "A 10.244.2.3"]);
    assert!(ask(&zone, "db.default.svc.cluster.local", AAAA).is_empty());
    assert_eq!(ask(&zone, "db-0.db.default.svc.cluster.local", A), ["A 10.244.1.2"]);
    assert_eq!(ask(&zone, "10-244-2-3.db.default.svc.cluster.local", A), ["A 10.244.2.3"]);
    assert_eq!(ask(&zone, "10-244-3-4.db.default.svc.cluster.local", A), ["NXDOMAIN"]);
    assert_eq!(ask(&zone, "down.default.svc.cluster.local", A), ["NXDOMAIN"]);
    assert_eq!(
        ask(&zone, "_http._tcp.db.default.svc.cluster.local", SRV),
        ["SRV 0 50 8080 10-244-2-3.db.default.svc.cluster.local.", "SRV 0 50 8080 db-0.db.default.svc.cluster.local."]
    );
}

#[test]
fn sets_are_shuffled() {
    let mut zone = zone();
    let endpoints: Vec<Value> = (1..=8).map(|host| json!({"addresses": [format!("10.244.9.{host}")]})).collect();
    service(&mut zone, "default", "many", json!({"clusterIP": "None"}), &[slice(endpoints.into())]);
    let name = Name::from_ascii("many.default.svc.cluster.local.").unwrap();
    let first = zone.answer(&name, A).records;
    assert_eq!(first.len(), 8);
    // 20 equal orders of eight by chance: less than 1 in 10^80.
    assert!((0..20).any(|_| zone.answer(&name, A).records != first));
}

#[test]
fn named_ports_have_srv_records_with_addresses_beside_them() {
    let zone = zone();
    assert_eq!(
        ask(&zone, "_http._tcp.web.default.svc.cluster.local", SRV),
        ["SRV 0 100 80 web.default.svc.cluster.local."]
    );
    assert_eq!(
        ask(&zone, "_dns._udp.web.default.svc.cluster.local", SRV),
        ["SRV 0 100 53 web.default.svc.cluster.local."]
    );
    assert_eq!(ask(&zone, "_dns._tcp.web.default.svc.cluster.local", SRV), ["NXDOMAIN"]);
    assert!(ask(&zone, "_tcp.web.default.svc.cluster.local", SRV).is_empty());
    assert_eq!(ask(&zone, "_sctp.web.default.svc.cluster.local", A), ["NXDOMAIN"]);
    let name = Name::from_ascii("_http._tcp.web.default.svc.cluster.local.").unwrap();
    let beside = zone.answer(&name, SRV).additional;
    assert_eq!(beside[0].to_string(), "web.default.svc.cluster.local. 30 IN A 10.96.0.7");
}

#[test]
fn addresses_lead_back_to_names() {
    let zone = zone();
    assert_eq!(ask(&zone, "7.0.96.10.in-addr.arpa", PTR), ["PTR web.default.svc.cluster.local."]);
    assert_eq!(ask(&zone, "2.1.244.10.in-addr.arpa", PTR), ["PTR db-0.db.default.svc.cluster.local."]);
    assert_eq!(ask(&zone, "3.2.244.10.in-addr.arpa", PTR), ["PTR 10-244-2-3.db.default.svc.cluster.local."]);
    let nibbles = "8.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa";
    assert_eq!(ask(&zone, nibbles, PTR), ["PTR dual.prod.svc.cluster.local."]);
    assert!(ask(&zone, "7.0.96.10.in-addr.arpa", A).is_empty());
    assert_eq!(ask(&zone, "9.0.96.10.in-addr.arpa", PTR), ["outside 9.0.96.10.in-addr.arpa."]);
}

#[test]
fn external_names_are_aliases_followed_inside_the_cluster() {
    let zone = zone();
    assert_eq!(ask(&zone, "k8s.default.svc.cluster.local", A), ["CNAME kubernetes.io.", "outside kubernetes.io."]);
    assert_eq!(ask(&zone, "k8s.default.svc.cluster.local", CNAME), ["CNAME kubernetes.io."]);
    assert_eq!(
        ask(&zone, "alias.default.svc.cluster.local", A),
        ["A 10.96.0.7", "CNAME web.default.svc.cluster.local."]
    );
    assert_eq!(ask(&zone, "lost.default.svc.cluster.local", A), ["CNAME nope.default.svc.cluster.local."]);
    assert_eq!(ask(&zone, "loop.default.svc.cluster.local", A).len(), CHAIN);
}

#[test]
fn fixed_names_and_those_between_exist() {
    let zone = zone();
    assert_eq!(ask(&zone, "dns-version.cluster.local", TXT), ["TXT 1.1.0"]);
    assert_eq!(ask(&zone, "ns.dns.cluster.local", A), ["A 10.96.0.10"]);
    assert!(ask(&zone, "cluster.local", SOA)[0].starts_with("SOA ns.dns.cluster.local. hostmaster.cluster.local."));
    for empty in ["cluster.local", "svc.cluster.local", "default.svc.cluster.local", "pod.cluster.local"] {
        assert!(ask(&zone, empty, A).is_empty(), "{empty}");
    }
    assert_eq!(ask(&zone, "nope.svc.cluster.local", A), ["NXDOMAIN"]);
    assert_eq!(ask(&zone, "nope.cluster.local", A), ["NXDOMAIN"]);
    assert_eq!(ask(&zone, "notcluster.local", A), ["outside notcluster.local."]);
}

#[test]
fn pod_names_need_an_existing_namespace() {
    let zone = zone();
    assert_eq!(ask(&zone, "10-244-1-7.default.pod.cluster.local", A), ["A 10.244.1.7"]);
    assert!(ask(&zone, "10-244-1-7.default.pod.cluster.local", AAAA).is_empty());
    assert_eq!(ask(&zone, "10-244-1-7.nope.pod.cluster.local", A), ["NXDOMAIN"]);
    assert_eq!(ask(&zone, "10-244-1.default.pod.cluster.local", A), ["NXDOMAIN"]);
    assert_eq!(ask(&zone, "fd00--1.default.pod.cluster.local", AAAA), ["AAAA fd00::1"]);
}

#[test]
fn nip_names_hold_their_address() {
    let zone = zone();
    assert_eq!(ask(&zone, "color.203.0.113.1.nip.io", A), ["A 203.0.113.1"]);
    assert_eq!(ask(&zone, "203.0.113.1.nip.io", A), ["A 203.0.113.1"]);
    assert_eq!(ask(&zone, "red-10-0-0-1.nip.io", A), ["A 10.0.0.1"]);
    assert!(ask(&zone, "a.203.0.113.1.nip.io", AAAA).is_empty());
    assert_eq!(ask(&zone, "www.nip.io", A), ["outside www.nip.io."]);
}

#[test]
fn updates_change_one_service_and_leave_earlier_zones_alone() {
    let before = zone();
    let mut after = before.clone();
    service(&mut after, "default", "web", json!({"clusterIP": "10.96.0.99", "clusterIPs": ["10.96.0.99"]}), &[]);
    after.set_service(&("prod".into(), "dual".into()), None);
    assert_eq!(ask(&after, "web.default.svc.cluster.local", A), ["A 10.96.0.99"]);
    assert_eq!(ask(&after, "7.0.96.10.in-addr.arpa", PTR), ["outside 7.0.96.10.in-addr.arpa."]);
    assert_eq!(ask(&after, "dual.prod.svc.cluster.local", A), ["NXDOMAIN"]);
    assert_eq!(ask(&before, "web.default.svc.cluster.local", A), ["A 10.96.0.7"]);
    assert_eq!(ask(&before, "dual.prod.svc.cluster.local", A), ["A 10.96.0.8"]);
    assert!(after.serial() > before.serial());
}

#[test]
fn a_service_without_an_address_has_no_name_yet() {
    let mut zone = zone();
    service(&mut zone, "default", "pending", json!({"type": "ClusterIP"}), &[]);
    assert_eq!(ask(&zone, "pending.default.svc.cluster.local", A), ["NXDOMAIN"]);
}
