//! DaemonSet plans on values.

use serde_json::json;

use super::*;
use crate::fixtures::{at, node, object};

fn daemon(image: &str) -> DaemonSet {
    object(json!({
        "metadata": { "name": "rng", "namespace": "default", "uid": "uid-rng", "generation": 1 },
        "spec": { "selector": { "matchLabels": { "app": "rng" } },
                  "template": { "metadata": { "labels": { "app": "rng" } },
                                "spec": { "containers": [{ "name": "c", "image": image }] } } },
    }))
}

fn nodes() -> Vec<Arc<Node>> {
    ["node1", "node2", "node3"].map(|n| Arc::new(node(n))).to_vec()
}

fn free() -> HashSet<String> {
    HashSet::new()
}

/// Applies a plan: deleted pods go at once, new ones run and are ready.
fn applied(mine: &mut Vec<Arc<Pod>>, plan: &Plan) {
    mine.retain(|p| !plan.delete.iter().any(|d| d.metadata.uid == p.metadata.uid));
    for pod in &plan.create {
        let mut pod = pod.clone();
        let node = target(&pod).unwrap().to_owned();
        pod.metadata.uid = Some(format!("{}", fastrand::u64(..)));
        pod.spec.as_mut().unwrap().node_name = Some(node);
        pod.status = object(json!({ "phase": "Running", "conditions": [
            { "type": "Ready", "status": "True", "lastTransitionTime": "1970-01-01T00:00:00Z" }] }));
        mine.push(Arc::new(pod));
    }
}

#[test]
fn one_pod_on_every_node_pinned_and_tolerant() {
    let (set, nodes) = (daemon("a"), nodes());
    let plan = plan(&set, "a", &nodes, &[], &free(), at(0));
    let targets: Vec<_> = plan.create.iter().map(|p| target(p).unwrap().to_owned()).collect();
    assert_eq!(targets, ["node1", "node2", "node3"]);
    let spec = plan.create[0].spec.as_ref().unwrap();
    assert_eq!(spec.tolerations.as_ref().unwrap().len(), 6);
    assert!(plan.create[0].metadata.labels.as_ref().unwrap().contains_key(HASH));
    let mut mine = Vec::new();
    applied(&mut mine, &plan);
    let again = super::plan(&set, "a", &nodes, &mine, &free(), at(10));
    assert!(again.create.is_empty() && again.delete.is_empty());
    let status = status(&set, "a", &nodes, &mine, at(10));
    assert_eq!((status.desired_number_scheduled, status.number_ready, status.number_available), (3, 3, Some(3)));
    assert_eq!((status.updated_number_scheduled, status.number_unavailable), (Some(3), None));
}

#[test]
fn taints_and_selectors_keep_pods_away() {
    let mut nodes = nodes();
    let mut tainted = node("node2");
    tainted.spec = object(json!({ "taints": [{ "key": "x", "effect": "NoSchedule" }] }));
    nodes[1] = Arc::new(tainted);
    assert_eq!(plan(&daemon("a"), "a", &nodes, &[], &free(), at(0)).create.len(), 2);
    let mut choosy = daemon("a");
    choosy.spec.template.spec.as_mut().unwrap().node_selector =
        Some([("kubernetes.io/hostname".to_owned(), "node3".to_owned())].into());
    assert_eq!(plan(&choosy, "a", &nodes, &[], &free(), at(0)).create.len(), 1);
    // The selector came later: what no longer fits goes.
    let mut mine = Vec::new();
    applied(&mut mine, &plan(&daemon("a"), "a", &nodes, &[], &free(), at(0)));
    let later = plan(&choosy, "a", &nodes, &mine, &free(), at(0));
    assert!(later.delete.iter().any(|p| pods::node(p) == Some("node1")));
}

#[test]
fn a_rolling_update_takes_one_node_at_a_time() {
    let nodes = nodes();
    let mut mine = Vec::new();
    applied(&mut mine, &plan(&daemon("a"), "a", &nodes, &[], &free(), at(0)));
    let next = daemon("b");
    for step in 0..20 {
        let plan = plan(&next, "b", &nodes, &mine, &free(), at(10));
        if plan.create.is_empty() && plan.delete.is_empty() {
            assert!(mine.iter().all(|p| current("b", p)));
            assert_eq!(mine.len(), 3);
            return;
        }
        applied(&mut mine, &plan);
        assert!(mine.len() >= 2, "step {step}");
    }
    panic!("never ends");
}

fn surging(image: &str) -> DaemonSet {
    let mut set = daemon(image);
    set.spec.update_strategy =
        Some(object(json!({ "type": "RollingUpdate", "rollingUpdate": { "maxSurge": 1, "maxUnavailable": 0 } })));
    set
}

/// A pod of a revision on a node; ready since the epoch or not at all.
fn on(node: &str, hash: &str, ready: bool) -> Arc<Pod> {
    let pod = crate::fixtures::pod(&format!("{node}-{hash}")).on(node).label("app", "rng").label(HASH, hash);
    if ready { pod.ready(0).build() } else { pod.unready().build() }
}

fn names(pods: &[Arc<Pod>]) -> Vec<&str> {
    pods.iter().map(|p| p.metadata.name.as_deref().unwrap()).collect()
}

#[test]
fn a_surge_keeps_the_old_pod_until_the_new_one_is_available() {
    let nodes = nodes();
    let old = |node| on(node, "a", true);
    let step = |mine: &[Arc<Pod>]| {
        let plan = plan(&surging("b"), "b", &nodes, mine, &free(), at(10));
        let comes: Vec<_> = plan.create.iter().map(|p| target(p).unwrap().to_owned()).collect();
        (comes.join(","), names(&plan.delete).join(","))
    };
    let (n1, n2, n3) = (old("node1"), old("node2"), old("node3"));
    let all = [n1.clone(), n2.clone(), n3.clone()];
    assert_eq!(step(&all), ("node1".into(), String::new()));
    let waits = [all.to_vec(), vec![on("node1", "b", false)]].concat();
    assert_eq!(step(&waits), (String::new(), String::new()));
    let there = [all.to_vec(), vec![on("node1", "b", true)]].concat();
    assert_eq!(step(&there), ("node2".into(), "node1-a".into()));
    // An old pod that is not ready costs nothing: it is replaced beside the others.
    let broken = [n1, n2, on("node3", "a", false)];
    assert_eq!(step(&broken), ("node3,node1".into(), String::new()));
}

#[test]
fn a_surge_leaves_a_node_only_for_another() {
    let mut nodes = nodes();
    let mut tainted = node("node1");
    tainted.spec = object(json!({ "taints": [{ "key": "x", "effect": "NoSchedule" }] }));
    nodes[0] = Arc::new(tainted);
    let step = |mine: &[Arc<Pod>]| {
        let plan = plan(&surging("b"), "b", &nodes, mine, &free(), at(10));
        (plan.create.len(), names(&plan.delete).join(","))
    };
    // node1 may keep its pod while node3 has none.
    assert_eq!(step(&[on("node1", "a", true), on("node2", "b", true)]), (1, String::new()));
    let enough = [on("node1", "a", true), on("node2", "b", true), on("node3", "b", true)];
    assert_eq!(step(&enough), (0, "node1-a".into()));
    assert_eq!(step(&[on("node1", "a", false), on("node2", "b", true), on("node3", "b", true)]), (0, "node1-a".into()));
}

#[test]
fn pods_that_ended_go_unless_one_failed_there_a_moment_ago() {
    let ended = |phase: &str| crate::fixtures::pod(phase).on("node1").label(HASH, "a").phase(phase).build();
    let others = [on("node2", "a", true), on("node3", "a", true)];
    let step = |phase: &str, held: &[&str]| {
        let mine = [vec![ended(phase)], others.to_vec()].concat();
        let held = held.iter().map(|n| (*n).to_owned()).collect();
        let plan = plan(&daemon("a"), "a", &nodes(), &mine, &held, at(10));
        assert!(plan.create.is_empty(), "the successor waits");
        names(&plan.delete).join(",")
    };
    assert_eq!(step("Failed", &[]), "Failed");
    assert_eq!(step("Failed", &["node1"]), "");
    assert_eq!(step("Succeeded", &["node1"]), "Succeeded");
}

#[test]
fn the_oldest_of_several_stays() {
    let mine = [on("node1", "a", true), on("node1", "b", true), on("node2", "b", true), on("node3", "b", true)];
    let plan = plan(&daemon("b"), "b", &nodes(), &mine, &free(), at(10));
    assert_eq!(names(&plan.delete), ["node1-b"]);
}
