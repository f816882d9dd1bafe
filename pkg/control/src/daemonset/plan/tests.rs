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
    let plan = plan(&set, "a", &nodes, &[], at(0));
    let targets: Vec<_> = plan.create.iter().map(|p| target(p).unwrap().to_owned()).collect();
    assert_eq!(targets, ["node1", "node2", "node3"]);
    let spec = plan.create[0].spec.as_ref().unwrap();
    assert_eq!(spec.tolerations.as_ref().unwrap().len(), 6);
    assert!(plan.create[0].metadata.labels.as_ref().unwrap().contains_key(HASH));
    let mut mine = Vec::new();
    applied(&mut mine, &plan);
    let again = super::plan(&set, "a", &nodes, &mine, at(10));
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
    assert_eq!(plan(&daemon("a"), "a", &nodes, &[], at(0)).create.len(), 2);
    let mut choosy = daemon("a");
    choosy.spec.template.spec.as_mut().unwrap().node_selector =
        Some([("kubernetes.io/hostname".to_owned(), "node3".to_owned())].into());
    assert_eq!(plan(&choosy, "a", &nodes, &[], at(0)).create.len(), 1);
    // The selector came later: what no longer fits goes.
    let mut mine = Vec::new();
    applied(&mut mine, &plan(&daemon("a"), "a", &nodes, &[], at(0)));
    let later = plan(&choosy, "a", &nodes, &mine, at(0));
    assert!(later.delete.iter().any(|p| pods::node(p) == Some("node1")));
}

#[test]
fn a_rolling_update_takes_one_node_at_a_time() {
    let nodes = nodes();
    let mut mine = Vec::new();
    applied(&mut mine, &plan(&daemon("a"), "a", &nodes, &[], at(0)));
    let next = daemon("b");
    for step in 0..20 {
        let plan = plan(&next, "b", &nodes, &mine, at(10));
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
