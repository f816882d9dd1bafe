//! Placement on values: who may go where, the words when nobody may, and even spreading.

use serde_json::{Value, json};

use super::*;
use crate::fixtures::{node, object, pod};

fn nodes(count: usize) -> Vec<Arc<Node>> {
    (1..=count).map(|n| Arc::new(node(&format!("node{n}")))).collect()
}

fn patched(name: &str, change: impl FnOnce(&mut Node)) -> Arc<Node> {
    let mut node = node(name);
    change(&mut node);
    Arc::new(node)
}

fn asking(extra: Value) -> Arc<Pod> {
    let mut spec = json!({ "containers": [{ "name": "c", "image": "i" }] });
    spec.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    pod("p").label("app", "blue").spec(spec).build()
}

#[test]
fn ten_pods_of_one_owner_spread_evenly_whatever_runs_already() {
    let nodes = nodes(3);
    let busy: Vec<_> = (0..20).map(|n| pod(&format!("b{n}")).on("node1").build()).collect();
    let mut board = Board::new(&nodes, &busy);
    let mut counts: HashMap<String, usize> = HashMap::new();
    for n in 0..10 {
        let pod = pod(&format!("p{n}")).owned("ReplicaSet", "rs").build();
        let Verdict::Node(node) = board.judge(&pod) else { panic!("no node") };
        board.place(&pod, &node);
        *counts.entry(node).or_default() += 1;
    }
    let mut counts: Vec<_> = counts.into_values().collect();
    counts.sort_unstable();
    assert_eq!(counts, [3, 3, 4]);
}

#[test]
fn pods_without_owner_go_where_the_fewest_are() {
    let nodes = nodes(3);
    let there = [pod("a").on("node1").build(), pod("b").on("node3").build()];
    assert_eq!(Board::new(&nodes, &there).judge(&pod("c").build()), Verdict::Node("node2".into()));
}

#[test]
fn words_of_refusal() {
    let hostport = json!({ "containers": [{ "name": "c", "ports": [{ "containerPort": 80, "hostPort": 80 }] }] });
    let holder = pod("holder").spec(hostport.clone()).on("node1").build();
    let unready = |n: &mut Node| n.status = object(json!({ "conditions": [{ "type": "Ready", "status": "False" }] }));
    let table: Vec<(Arc<Node>, Arc<Pod>, &str, &str)> = vec![
        (
            Arc::new(node("node1")),
            asking(json!({ "nodeSelector": { "disk": "ssd" } })),
            "1 node(s) didn't match Pod's node affinity/selector",
            "1 Preemption is not helpful for scheduling",
        ),
        (
            patched("node1", |n| n.spec = object(json!({ "unschedulable": true }))),
            asking(json!({})),
            "1 node(s) were unschedulable",
            "1 Preemption is not helpful for scheduling",
        ),
        (
            patched("node1", |n| {
                n.spec = object(json!({ "taints": [{ "key": "gpu", "value": "yes", "effect": "NoSchedule" }] }))
            }),
            asking(json!({})),
            "1 node(s) had untolerated taint(s)",
            "1 Preemption is not helpful for scheduling",
        ),
        (
            patched("node1", unready),
            asking(json!({})),
            "1 node(s) had untolerated taint(s)",
            "1 Preemption is not helpful for scheduling",
        ),
        (
            Arc::new(node("node1")),
            asking(hostport),
            "1 node(s) didn't have free ports for the requested pod ports",
            "1 No preemption victims found for incoming pod",
        ),
        (
            Arc::new(node("node1")),
            asking(
                json!({ "containers": [{ "name": "c", "resources": { "requests": { "cpu": "3", "memory": "8Gi" } } }] }),
            ),
            "1 Insufficient cpu, 1 Insufficient memory",
            "1 Preemption is not helpful for scheduling",
        ),
        (
            patched("node1", |n| {
                n.status.as_mut().unwrap().allocatable.as_mut().unwrap().insert("pods".into(), object(json!("1")));
            }),
            asking(json!({})),
            "1 Too many pods",
            "1 No preemption victims found for incoming pod",
        ),
        (
            Arc::new(node("node1")),
            asking(
                json!({ "topologySpreadConstraints": [{ "maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {} }] }),
            ),
            "1 node(s) didn't match pod topology spread constraints (missing required label)",
            "1 Preemption is not helpful for scheduling",
        ),
    ];
    for (node, pod, why, preemption) in table {
        let verdict = Board::new(&[node], std::slice::from_ref(&holder)).judge(&pod);
        let text = format!("0/1 nodes are available: {why}. preemption: 0/1 nodes are available: {preemption}.");
        assert_eq!(verdict, Verdict::Nowhere(text));
    }
    let none = Board::new(&[], &[]).judge(&asking(json!({})));
    assert_eq!(none, Verdict::Nowhere("no nodes available to schedule pods".into()));
}

#[test]
fn tolerations_and_affinities_open_doors() {
    let tainted =
        patched("node1", |n| n.spec = object(json!({ "taints": [{ "key": "gpu", "effect": "NoSchedule" }] })));
    let pod = asking(json!({ "tolerations": [{ "operator": "Exists" }] }));
    assert_eq!(Board::new(&[tainted], &[]).judge(&pod), Verdict::Node("node1".into()));
    let pinned = asking(json!({ "affinity": { "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": {
        "nodeSelectorTerms": [{ "matchFields": [{ "key": "metadata.name", "operator": "In", "values": ["node3"] }] }] } } } }));
    assert_eq!(Board::new(&nodes(3), &[]).judge(&pinned), Verdict::Node("node3".into()));
    let liking = asking(json!({ "affinity": { "nodeAffinity": { "preferredDuringSchedulingIgnoredDuringExecution": [
        { "weight": 5, "preference": { "matchExpressions": [{ "key": "kubernetes.io/hostname", "operator": "In", "values": ["node2"] }] } }] } } }));
    assert_eq!(Board::new(&nodes(3), &[]).judge(&liking), Verdict::Node("node2".into()));
}

#[test]
fn anti_affinity_keeps_apart_in_both_directions() {
    let apart = json!({ "affinity": { "podAntiAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": [
        { "topologyKey": "kubernetes.io/hostname", "labelSelector": { "matchLabels": { "app": "blue" } } }] } } });
    let nodes = nodes(2);
    let mut board = Board::new(&nodes, &[]);
    let one = asking(apart.clone());
    board.place(&one, "node1");
    assert_eq!(board.judge(&asking(apart.clone())), Verdict::Node("node2".into()));
    assert_eq!(board.judge(&asking(json!({}))), Verdict::Node("node2".into()));
    board.place(&one, "node2");
    let Verdict::Nowhere(why) = board.judge(&asking(apart)) else { panic!("placed") };
    assert!(why.contains("2 node(s) didn't match pod anti-affinity rules"), "{why}");
    let Verdict::Nowhere(why) = board.judge(&asking(json!({}))) else { panic!("placed") };
    assert!(why.contains("2 node(s) didn't satisfy existing pods anti-affinity rules"), "{why}");
}

#[test]
fn hard_spread_holds_its_skew() {
    let spread = json!({ "topologySpreadConstraints": [{ "maxSkew": 1, "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "DoNotSchedule", "labelSelector": { "matchLabels": { "app": "blue" } } }] });
    let mut nodes = nodes(2);
    let mut board = Board::new(&nodes, &[]);
    board.place(&asking(spread.clone()), "node1");
    assert_eq!(board.judge(&asking(spread.clone())), Verdict::Node("node2".into()));
    nodes[1] = patched("node2", |n| n.spec = object(json!({ "unschedulable": true })));
    let mut board = Board::new(&nodes, &[]);
    board.place(&asking(spread.clone()), "node1");
    assert!(matches!(board.judge(&asking(spread)), Verdict::Nowhere(_)));
}

#[test]
fn namespace_selectors_and_companions() {
    let term = |more: Value| {
        let mut term =
            json!({ "topologyKey": "kubernetes.io/hostname", "labelSelector": { "matchLabels": { "app": "blue" } } });
        term.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({ "affinity": { "podAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": [term] } } })
    };
    let mut other = (*pod("other").label("app", "blue").on("node2").build()).clone();
    other.metadata.namespace = Some("team".into());
    let there = [Arc::new(other)];
    let labels =
        |team: &str| HashMap::from([("team".to_owned(), Labels::from([("team".to_owned(), team.to_owned())]))]);
    let judge = |more: Value, team: &str| {
        let mut wish = (*asking(term(more))).clone();
        wish.metadata.labels = None;
        Board::new(&nodes(3), &there).with_namespaces(labels(team)).judge(&Arc::new(wish))
    };
    let selector = || json!({ "namespaceSelector": { "matchLabels": { "team": "red" } } });
    let found = Verdict::Node("node2".into());
    assert_eq!(judge(selector(), "red"), found);
    assert_eq!(judge(json!({ "namespaceSelector": {} }), "red"), found);
    assert_eq!(judge(json!({ "namespaces": ["team"] }), "red"), found);
    for lonely in [judge(selector(), "green"), judge(json!({}), "red")] {
        let Verdict::Nowhere(why) = lonely else { panic!("{lonely:?}") };
        assert!(
            why.contains(
                "3 node(s) didn't match pod affinity rules. preemption: 0/3 nodes are available: 3 Preemption is not"
            ),
            "{why}"
        );
    }
}
