//! The life of a node on values.

use serde_json::json;

use super::*;
use crate::fixtures::{at, node, object, pod};

#[test]
fn silence_makes_everything_unknown_and_unreachable() {
    let alive = node("node1");
    assert_eq!(taints(&alive, at(100)), None);
    let silent = silenced(&alive, at(100)).unwrap();
    let ready = condition(&silent, "Ready").unwrap();
    assert_eq!(ready.reason.as_deref(), Some("NodeStatusUnknown"));
    assert_eq!(ready.message.as_deref(), Some("Kubelet stopped posting node status."));
    assert_eq!(condition(&silent, "DiskPressure").unwrap().reason.as_deref(), Some("NodeStatusNeverUpdated"));
    assert!(silenced(&silent, at(101)).is_none());
    let tainted = taints(&silent, at(100)).unwrap();
    let shape: Vec<_> = tainted.iter().map(|t| (t.key.as_str(), t.effect.as_str())).collect();
    assert_eq!(shape, [(UNREACHABLE, "NoSchedule"), (UNREACHABLE, "NoExecute")]);
    // Back again: our taints go, those of others stay.
    let mut back = node("node1");
    let mut all = tainted.clone();
    all.push(object(json!({ "key": "gpu", "effect": "NoSchedule" })));
    back.spec.as_mut().unwrap().taints = Some(all);
    assert_eq!(taints(&back, at(200)).unwrap().len(), 1);
    back.status = object(json!({ "conditions": [{ "type": "Ready", "status": "False" }] }));
    let keys: Vec<_> = taints(&back, at(200)).unwrap().into_iter().map(|t| t.key).collect();
    assert_eq!(keys, ["gpu", NOT_READY, NOT_READY]);
}

#[test]
fn extended_resources_are_all_for_pods() {
    let told = |capacity: serde_json::Value, given: serde_json::Value| {
        let mut node = node("node1");
        node.status = object(json!({ "capacity": capacity, "allocatable": given }));
        allocatable(&node).map(|all| json!(all))
    };
    let foo = "example.com/foo";
    let both = json!({ "cpu": "2", foo: "5" });
    assert_eq!(told(both.clone(), json!({ "cpu": "1" })), Some(json!({ "cpu": "1", foo: "5" })));
    assert_eq!(told(json!({ "cpu": "2" }), both.clone()), Some(json!({ "cpu": "2" })));
    assert_eq!(told(both.clone(), both), None);
    assert_eq!(told(json!({ "cpu": "2" }), json!({ "cpu": "1", "memory": "1Gi" })), None);
}

#[test]
fn who_is_evicted_when() {
    let taint = |key: &str| Taint {
        key: key.into(),
        effect: "NoExecute".into(),
        time_added: Some(Time(at(100))),
        ..Taint::default()
    };
    let with =
        |tolerations: serde_json::Value| pod("p").spec(json!({ "containers": [], "tolerations": tolerations })).build();
    let wish = |seconds: Option<i64>| json!([{ "key": UNREACHABLE, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds }]);
    for (what, pod, key, now, expected) in [
        ("patience", with(json!([])), UNREACHABLE, 103, Eviction::After(Duration::from_secs(7))),
        ("patience over", with(json!([])), UNREACHABLE, 110, Eviction::Now),
        ("given by admission", with(wish(Some(300))), UNREACHABLE, 103, Eviction::After(Duration::from_secs(7))),
        ("own wish", with(wish(Some(60))), UNREACHABLE, 103, Eviction::After(Duration::from_secs(57))),
        ("for ever", with(wish(None)), UNREACHABLE, 9999, Eviction::Never),
        ("a taint by hand", with(json!([])), "broken", 100, Eviction::Now),
    ] {
        assert_eq!(eviction(&pod, &[taint(key)], 10, at(now)), expected, "{what}");
    }
}

#[test]
fn cordons_and_troubles_are_tainted() {
    let mut node = node("node1");
    node.spec = object(json!({ "unschedulable": true }));
    node.status.as_mut().unwrap().conditions.as_mut().unwrap().extend([
        object(json!({ "type": "DiskPressure", "status": "True" })),
        object(json!({ "type": "MemoryPressure", "status": "False" })),
    ]);
    let all = taints(&node, at(5)).unwrap();
    let shape: Vec<_> = all.iter().map(|t| (t.key.as_str(), t.effect.as_str())).collect();
    let disk = "node.kubernetes.io/disk-pressure";
    assert_eq!(shape, [(UNSCHEDULABLE, "NoSchedule"), (disk, "NoSchedule")]);
    let spec = node.spec.as_mut().unwrap();
    spec.taints = Some(all);
    assert_eq!(taints(&node, at(6)), None);
    node.spec.as_mut().unwrap().unschedulable = None;
    assert_eq!(taints(&node, at(6)).unwrap().iter().map(|t| t.key.as_str()).collect::<Vec<_>>(), [disk]);
}

#[test]
fn taints_without_a_time_count_from_when_they_were_seen() {
    let taint = || Taint { key: "k".into(), value: Some("v".into()), effect: "NoExecute".into(), ..Taint::default() };
    let mut seen = Seen::new();
    assert_eq!(dated(vec![taint()], &mut seen, at(5))[0].time_added, Some(Time(at(5))));
    let again = dated(vec![taint()], &mut seen, at(9));
    assert_eq!(again[0].time_added, Some(Time(at(5))));
    let wish = json!({ "containers": [], "tolerations": [
        { "key": "k", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 7 }] });
    let patient = pod("p").spec(wish.clone()).build();
    assert_eq!(eviction(&patient, &again, 10, at(9)), Eviction::After(Duration::from_secs(3)));
    assert_eq!(eviction(&patient, &again, 10, at(12)), Eviction::Now);
    let late = pod("p").created(9).spec(wish).build();
    assert_eq!(eviction(&late, &again, 10, at(12)), Eviction::After(Duration::from_secs(4)));
    // It went and came again.
    assert!(dated(vec![], &mut seen, at(20)).is_empty());
    assert_eq!(dated(vec![taint()], &mut seen, at(21))[0].time_added, Some(Time(at(21))));
}

#[test]
fn ranges_follow_names_and_never_repeat() {
    let all: Ipv4Net = "10.244.0.0/16".parse().unwrap();
    let mut taken = HashMap::new();
    for (name, expected) in [
        ("node2", "10.244.2.0/24"),
        ("alpha", "10.244.1.0/24"),
        ("node1", "10.244.3.0/24"),
        ("x2", "10.244.4.0/24"),
        ("node999", "10.244.5.0/24"),
    ] {
        let range = range(all, 24, name, &taken).unwrap();
        assert_eq!(range.to_string(), expected, "{name}");
        taken.insert(range, name.to_owned());
    }
    let tiny: Ipv4Net = "10.0.0.0/23".parse().unwrap();
    let full = HashMap::from([("10.0.1.0/24".parse().unwrap(), "a".to_owned())]);
    assert_eq!(super::range(tiny, 24, "node1", &full), None);
}
