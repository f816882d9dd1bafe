//! Wishes on values: who is drawn where, by taints, labels, company and soft spreading.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Node;
use serde_json::{Value, json};

use crate::fixtures::{node, object, pod};
use crate::scheduler::plan::*;

/// Three nodes in two zones: node1 and node2 in `a`, node3 in `b`.
fn nodes() -> Vec<Arc<Node>> {
    let zoned = |name: &str, zone: &str| {
        let mut node = node(name);
        node.metadata.labels.get_or_insert_default().insert("zone".into(), zone.into());
        Arc::new(node)
    };
    vec![zoned("node1", "a"), zoned("node2", "a"), zoned("node3", "b")]
}

fn asking(extra: Value) -> Arc<Pod> {
    let mut spec = json!({ "containers": [{ "name": "c", "image": "i" }] });
    spec.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    pod("p").label("app", "blue").label("v", "2").spec(spec).build()
}

fn wish<'a>(pod: &'a Arc<Pod>) -> Wish<'a> {
    Wish::new(pod)
}

fn scores(board: &Board, extra: Value) -> Vec<i64> {
    let pod = asking(extra);
    // Nobody has a taint: all three nodes get the full score of that plugin.
    board.scores(&wish(&pod), &[0, 1, 2]).into_iter().map(|s| s - 300).collect()
}

fn near(kind: &str, terms: Value) -> Value {
    json!({ "affinity": { kind: { "preferredDuringSchedulingIgnoredDuringExecution": terms } } })
}

fn term(weight: i32, key: &str, app: &str) -> Value {
    json!({ "weight": weight, "podAffinityTerm": { "topologyKey": key, "labelSelector": { "matchLabels": { "app": app } } } })
}

#[test]
fn taints_that_are_not_tolerated_repel_by_their_number() {
    let mut nodes = nodes();
    for (n, keys) in [(0, vec!["x", "y"]), (1, vec!["x"])] {
        let taint = |key: &&str| json!({ "key": key, "effect": "PreferNoSchedule" });
        let mut node = (*nodes[n]).clone();
        node.spec = object(json!({ "taints": keys.iter().map(taint).collect::<Vec<_>>() }));
        nodes[n] = Arc::new(node);
    }
    let board = Board::new(&nodes, &[]);
    for (tolerations, expected) in [
        (json!([]), [0, 150, 300]),
        (json!([{ "key": "x", "operator": "Exists" }]), [0, 300, 300]),
        (json!([{ "operator": "Exists" }]), [300, 300, 300]),
        (json!([{ "operator": "Exists", "effect": "NoSchedule" }]), [0, 150, 300]),
    ] {
        let pod = asking(json!({ "tolerations": tolerations }));
        assert_eq!(board.scores(&wish(&pod), &[0, 1, 2]), expected);
    }
}

#[test]
fn labels_of_nodes_draw_by_their_weights() {
    let prefer = |weight: i32, key: &str, value: &str| json!({ "weight": weight, "preference": { "matchExpressions": [{ "key": key, "operator": "In", "values": [value] }] } });
    let all = json!([prefer(30, "zone", "a"), prefer(10, "kubernetes.io/hostname", "node2"), prefer(10, "zone", "b"),
        { "weight": 90, "preference": {} }]);
    let board = Board::new(&nodes(), &[]);
    let wishes = json!({ "affinity": { "nodeAffinity": { "preferredDuringSchedulingIgnoredDuringExecution": all } } });
    assert_eq!(scores(&board, wishes), [150, 200, 50]);
}

#[test]
fn company_draws_and_repels_by_domain() {
    let there = [
        pod("r1").label("app", "red").on("node1").build(),
        pod("r2").label("app", "red").on("node3").build(),
        pod("g").label("app", "green").on("node3").build(),
    ];
    let board = Board::new(&nodes(), &there);
    for (extra, expected) in [
        (near("podAffinity", json!([term(50, "zone", "red")])), [0, 0, 0]),
        (near("podAffinity", json!([term(50, "kubernetes.io/hostname", "red")])), [200, 0, 200]),
        (near("podAffinity", json!([term(50, "zone", "green")])), [0, 0, 200]),
        (near("podAntiAffinity", json!([term(50, "zone", "green")])), [200, 200, 0]),
        (near("podAntiAffinity", json!([term(1, "kubernetes.io/hostname", "red")])), [0, 200, 0]),
        (
            near("podAffinity", json!([term(10, "zone", "green"), term(40, "kubernetes.io/hostname", "red")])),
            [160, 0, 200],
        ),
        (near("podAffinity", json!([term(10, "rack", "green")])), [0, 0, 0]),
    ] {
        assert_eq!(scores(&board, extra.clone()), expected, "{extra}");
    }
}

#[test]
fn those_who_are_there_have_wishes_too() {
    let host = |kind: &str, weight: i32| near(kind, json!([term(weight, "kubernetes.io/hostname", "blue")]));
    let with = |name: &str, node: &str, extra: Value| {
        let mut pod = (*asking(extra)).clone();
        pod.metadata.uid = Some(name.into());
        pod.metadata.labels = None;
        pod.spec.as_mut().unwrap().node_name = Some(node.into());
        Arc::new(pod)
    };
    let hard = json!({ "affinity": { "podAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": [
        { "topologyKey": "kubernetes.io/hostname", "labelSelector": { "matchLabels": { "app": "blue" } } }] } } });
    let there = [
        with("a", "node1", host("podAffinity", 3)),
        with("b", "node2", hard),
        with("c", "node3", host("podAntiAffinity", 1)),
    ];
    assert_eq!(scores(&Board::new(&nodes(), &there), json!({})), [200, 100, 0]);
}

#[test]
fn soft_constraints_spread() {
    let blue = |n: usize, node: &str, version: &str| {
        pod(&format!("b{n}")).label("app", "blue").label("v", version).on(node).build()
    };
    let there = [blue(1, "node1", "1"), blue(2, "node1", "2"), blue(3, "node3", "1")];
    let board = Board::new(&nodes(), &there);
    let soft = |key: &str, more: Value| {
        let mut constraint = json!({ "maxSkew": 1, "topologyKey": key, "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": { "matchLabels": { "app": "blue" } } });
        constraint.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({ "topologySpreadConstraints": [constraint] })
    };
    let host = "kubernetes.io/hostname";
    for (extra, expected) in [
        // ln(5) a pod: 3, 0, 2 of 3.
        (soft(host, json!({})), [0, 200, 66]),
        // ln(4) a pod: 3, 3, 1.
        (soft("zone", json!({})), [66, 66, 200]),
        (soft(host, json!({ "maxSkew": 5 })), [114, 200, 142]),
        (soft(host, json!({ "matchLabelKeys": ["v"] })), [0, 200, 200]),
        (soft("rack", json!({})), [0, 0, 0]),
        (soft(host, json!({ "labelSelector": {} })), [200, 200, 200]),
        (soft("zone", json!({ "labelSelector": { "matchLabels": { "app": "none" } } })), [200, 200, 200]),
    ] {
        assert_eq!(scores(&board, extra.clone()), expected, "{extra}");
    }
    // Only nodes that the selector lets in count, unless it is to be ignored.
    let narrow = |policy: &str| {
        let mut extra = soft("zone", json!({ "nodeAffinityPolicy": policy }));
        extra["nodeSelector"] = json!({ host: "node2" });
        let pod = asking(extra);
        board.spread_score(&pod, &wish(&pod).soft, &[1, 2])
    };
    assert_eq!(narrow("Honor"), [100, 100]);
    assert_eq!(narrow("Ignore"), [33, 100]);
}

#[test]
fn wishes_weigh_more_than_an_even_load() {
    let there = [pod("r").label("app", "red").on("node3").build(), pod("s").on("node3").build()];
    let drawn = asking(near("podAffinity", json!([term(1, "kubernetes.io/hostname", "red")])));
    assert_eq!(Board::new(&nodes(), &there).judge(&drawn), Verdict::Node("node3".into()));
    assert_ne!(Board::new(&nodes(), &there).judge(&asking(json!({}))), Verdict::Node("node3".into()));
}
