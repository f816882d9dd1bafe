//! Events in, zone out: order must not matter, relists must forget what is gone.

use hickory_proto::rr::{Name, RecordType};
use serde_json::{Value, json};

use super::*;

fn service(name: &str, cluster_ip: &str) -> Service {
    let spec = json!({"clusterIP": cluster_ip});
    serde_json::from_value(json!({"metadata": {"name": name, "namespace": "default"}, "spec": spec})).unwrap()
}

fn slice(name: &str, service: &str, addresses: &[&str]) -> EndpointSlice {
    let endpoints: Vec<Value> = addresses.iter().map(|address| json!({"addresses": [address]})).collect();
    let metadata = json!({"name": name, "namespace": "default", "labels": {SERVICE_NAME: service}});
    let object = json!({"metadata": metadata, "addressType": "IPv4", "endpoints": endpoints});
    serde_json::from_value(object).unwrap()
}

fn namespace(name: &str) -> Namespace {
    serde_json::from_value(json!({"metadata": {"name": name}})).unwrap()
}

fn addresses(zone: &Zone, service: &str) -> Vec<String> {
    let name = Name::from_ascii(format!("{service}.default.svc.cluster.local.")).unwrap();
    let records = zone.answer(&name, RecordType::A).records;
    let mut found: Vec<String> = records.iter().map(|record| record.data.to_string()).collect();
    found.sort();
    found
}

#[test]
fn slices_may_come_before_their_service_and_move() {
    let (mut directory, mut zone) = (Directory::default(), Zone::empty("cluster.local"));
    directory.note(Change::Slice(Box::new(Event::Apply(slice("db-1", "db", &["10.244.1.1"])))));
    directory.note(Change::Slice(Box::new(Event::Apply(slice("db-2", "db", &["10.244.1.2"])))));
    assert!(directory.apply(&mut zone));
    directory.note(Change::Service(Box::new(Event::Apply(service("db", "None")))));
    assert!(directory.apply(&mut zone));
    assert_eq!(addresses(&zone, "db"), ["10.244.1.1", "10.244.1.2"]);
    directory.note(Change::Slice(Box::new(Event::Delete(slice("db-1", "db", &[])))));
    directory.note(Change::Slice(Box::new(Event::Apply(slice("db-2", "other", &["10.244.1.2"])))));
    assert!(directory.apply(&mut zone));
    assert!(addresses(&zone, "db").is_empty());
    assert!(!directory.apply(&mut zone), "nothing changed");
}

#[test]
fn the_zone_is_synced_after_all_three_lists_and_a_relist_forgets() {
    let (mut directory, mut zone) = (Directory::default(), Zone::empty("cluster.local"));
    for name in ["a", "b"] {
        directory.note(Change::Service(Box::new(Event::InitApply(service(name, "10.96.0.1")))));
    }
    directory.note(Change::Service(Box::new(Event::InitDone)));
    directory.note(Change::Slice(Box::new(Event::InitDone)));
    directory.apply(&mut zone);
    assert!(!zone.is_synced());
    directory.note(Change::Namespace(Box::new(Event::InitApply(namespace("default")))));
    directory.note(Change::Namespace(Box::new(Event::InitDone)));
    assert!(directory.apply(&mut zone) && zone.is_synced());
    directory.note(Change::Service(Box::new(Event::Init)));
    directory.note(Change::Service(Box::new(Event::InitApply(service("b", "10.96.0.2")))));
    directory.note(Change::Service(Box::new(Event::InitDone)));
    directory.apply(&mut zone);
    assert!(addresses(&zone, "a").is_empty());
    assert_eq!(addresses(&zone, "b"), ["10.96.0.2"]);
}
