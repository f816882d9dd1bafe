//! Hints by wish, shares by CPUs as in Kubernetes' own cases (`topologycache_test.go`), and what is told.

use std::collections::BTreeMap;

use serde_json::json;

use super::*;
use crate::fixtures::{node, object, service};

fn endpoint(address: &str, node: &str, zone: Option<&str>, ready: bool) -> Endpoint {
    object(json!({ "addresses": [address], "nodeName": node, "zone": zone, "conditions": { "ready": ready } }))
}

fn group(endpoints: Vec<Endpoint>) -> [Group; 1] {
    [Group { family: "IPv4", ports: Vec::new(), endpoints }]
}

fn zones(group: &Group) -> Vec<&str> {
    let hints = group.endpoints.iter().map(|e| e.hints.as_ref());
    hints.map(|h| h.and_then(|h| h.for_zones.as_ref()).map_or("", |zones| zones[0].name.as_str())).collect()
}

/// `counts` endpoints a zone, shared out over zones with these CPUs: hints by zone, or why there are none.
fn shared(counts: &[(&str, usize)], cpus: &[(&str, &str)]) -> Result<BTreeMap<String, usize>, String> {
    let nodes: Vec<Node> = cpus.iter().enumerate().map(|(n, (zone, cpu))| in_zone(n, zone, cpu)).collect();
    let mut number = 0;
    let mut all = Vec::new();
    for (zone, count) in counts {
        for _ in 0..*count {
            number += 1;
            all.push(endpoint(&format!("10.0.0.{number}"), "n", Some(zone), true));
        }
    }
    let mut groups = group(all);
    let outcome = give(Wish::Shares, &mut groups, &["IPv4"], || shares(&nodes));
    outcome.into_iter().next().map_or(Ok(()), |(_, outcome)| outcome)?;
    let mut found = BTreeMap::new();
    zones(&groups[0]).into_iter().for_each(|zone| *found.entry(zone.to_owned()).or_default() += 1);
    Ok(found)
}

fn in_zone(number: usize, zone: &str, cpu: &str) -> Node {
    let mut node = node(&format!("node{number}"));
    node.metadata.labels.get_or_insert_default().insert(ZONE.into(), zone.into());
    let allocatable = node.status.as_mut().and_then(|status| status.allocatable.as_mut()).unwrap();
    allocatable.insert("cpu".into(), k8s_openapi::apimachinery::pkg::api::resource::Quantity(cpu.into()));
    node
}

#[test]
fn the_annotation_comes_before_the_field() {
    let mut web = service("web");
    assert_eq!(wish(&web), Wish::Anywhere);
    for (value, expected) in
        [("PreferClose", Wish::SameZone), ("PreferSameZone", Wish::SameZone), ("PreferSameNode", Wish::SameNode)]
    {
        web.spec.as_mut().unwrap().traffic_distribution = Some(value.into());
        assert_eq!(wish(&web), expected);
    }
    let mut annotate = |name: &str, value: &str| {
        web.metadata.annotations.get_or_insert_default().insert(name.into(), value.into());
        wish(&web)
    };
    assert_eq!(annotate("service.kubernetes.io/topology-mode", "Auto"), Wish::Shares);
    assert_eq!(annotate("service.kubernetes.io/topology-aware-hints", "disabled"), Wish::SameNode);
    assert_eq!(annotate("service.kubernetes.io/topology-aware-hints", "auto"), Wish::Shares);
}

#[test]
fn same_zone_and_same_node_are_for_the_ready_ones() {
    let all = || {
        group(vec![
            endpoint("10.0.0.1", "node1", Some("a"), true),
            endpoint("10.0.0.2", "node2", None, true),
            endpoint("10.0.0.3", "node3", Some("c"), false),
        ])
    };
    let hints = |wish| {
        let mut groups = all();
        assert!(give(wish, &mut groups, &["IPv4"], || None).is_empty());
        serde_json::to_value(groups[0].endpoints.iter().map(|e| e.hints.clone()).collect::<Vec<_>>()).unwrap()
    };
    assert_eq!(hints(Wish::Anywhere), json!([null, null, null]));
    assert_eq!(hints(Wish::SameZone), json!([{ "forZones": [{ "name": "a" }] }, null, null]));
    assert_eq!(
        hints(Wish::SameNode),
        json!([{ "forZones": [{ "name": "a" }], "forNodes": [{ "name": "node1" }] },
               { "forNodes": [{ "name": "node2" }] }, null])
    );
}

#[test]
fn zones_get_endpoints_by_their_cpus() {
    let expect = |counts: &[(&str, usize)]| Ok(counts.iter().map(|(zone, n)| ((*zone).to_owned(), *n)).collect());
    let even = [("a", "2"), ("b", "2"), ("c", "2")];
    assert_eq!(shared(&[("a", 1), ("b", 1), ("c", 1)], &even), expect(&[("a", 1), ("b", 1), ("c", 1)]));
    assert_eq!(shared(&[("a", 6)], &even), expect(&[("a", 2), ("b", 2), ("c", 2)]));
    // One more than its part is no reason to move.
    assert_eq!(shared(&[("a", 4), ("b", 3), ("c", 3)], &even), expect(&[("a", 4), ("b", 3), ("c", 3)]));
    let uneven = [("a", "1"), ("a", "2"), ("b", "1000m")];
    assert_eq!(shared(&[("a", 4), ("b", 4)], &uneven), expect(&[("a", 6), ("b", 2)]));
    assert_eq!(
        shared(&[("a", 2)], &even),
        Err("Insufficient number of endpoints (2 endpoints, 3 zones)".into()),
        "too few for every zone"
    );
    // ceil(4/3 / 1.2) = 2 each would be 6 of 4.
    assert_eq!(
        shared(&[("a", 4)], &even),
        Err("Unable to allocate minimum required endpoints to each zone without exceeding overload threshold (4 endpoints, 3 zones)"
            .into())
    );
    let unknown =
        "Insufficient Node information: allocatable CPU or zone not specified on one or more nodes".to_owned();
    assert_eq!(shared(&[("a", 3)], &[("a", "2")]), Err(unknown.clone()), "one zone");
    assert_eq!(shared(&[("a", 3)], &[("a", "2"), ("", "2")]), Err(unknown.clone()), "a node without zone");
    assert_eq!(shared(&[("a", 3)], &[("a", "2"), ("b", "0")]), Err(unknown), "a node without CPUs");
    assert_eq!(
        shared(&[("", 3)], &even),
        Err("One or more endpoints do not have a zone specified".into()),
        "an endpoint without zone"
    );
}

#[test]
fn nodes_that_are_not_ready_and_control_planes_do_not_count() {
    let mut control = in_zone(0, "a", "2");
    control
        .metadata
        .labels
        .get_or_insert_default()
        .insert("node-role.kubernetes.io/control-plane".into(), String::new());
    let mut broken = in_zone(1, "b", "2");
    broken.status.as_mut().unwrap().conditions.as_mut().unwrap()[0].status = "Unknown".into();
    let (three, four) = (in_zone(2, "c", "2"), in_zone(3, "d", "6"));
    let expected = [("c".to_owned(), 0.25), ("d".to_owned(), 0.75)].into();
    assert_eq!(shares([&control, &broken, &three, &four]), Some(expected));
}

#[test]
fn shares_on_and_off_are_told_once() {
    let mut told = Told::default();
    let key = ("default".to_owned(), "web".to_owned());
    let mut note = |outcome: Option<Result<(), &str>>| {
        told.note(&key, "IPv4", outcome.map(|o| o.map_err(str::to_owned))).map(|(_, reason, message)| (reason, message))
    };
    assert_eq!(note(None), None);
    let on = ("TopologyAwareHintsEnabled", "Topology Aware Hints has been enabled, addressType: IPv4".to_owned());
    assert_eq!(note(Some(Ok(()))), Some(on.clone()));
    assert_eq!(note(Some(Ok(()))), None);
    assert_eq!(note(Some(Err("No zone"))), Some(("TopologyAwareHintsDisabled", "No zone, addressType: IPv4".into())));
    assert_eq!(note(Some(Err("No zone"))), None);
    assert_eq!(note(None), None, "it was off before");
    assert_eq!(note(Some(Ok(()))), Some(on.clone()));
    let off = ("TopologyAwareHintsDisabled", "Topology Aware Hints has been disabled, addressType: IPv4".to_owned());
    assert_eq!(note(None), Some(off));
    told.forget(&key);
    assert_eq!(told.note(&key, "IPv4", Some(Ok(()))), Some((false, on.0, on.1)));
}
