//! Pods that nobody will clear away: ended ones beyond a number, and those that cannot end because their node is out of
//! service. `surplus` judges; this loop deletes. Pods of nodes that are no more go in `nodes`, by the same hand.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::ResourceExt;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use crate::mirror::{key_of, node_entry};
use crate::pods;
use crate::queue::{Queue, drive};
use crate::world::{World, now, or_gone};

/// Ended pods that may stay, as kube-controller-manager's `--terminated-pod-gc-threshold`.
const THRESHOLD: usize = 12_500;
/// The taint of a node that will not come back as it was.
const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Work {
    Ended,
    Node(String),
}

/// Runs the collector for ever.
pub(crate) async fn run(world: Arc<World>) {
    let queue: Arc<Queue<Work>> = Queue::new();
    let (q, w) = (queue.clone(), world.clone());
    world.pods.hook(move |old, new| {
        let Some(pod) = new else { return };
        if pods::terminal(pod) && !old.is_some_and(|p| pods::terminal(p)) {
            q.add(Work::Ended);
        }
        if pods::terminating(pod)
            && let Some(node) = pods::node(pod)
            && w.nodes.get("", node).is_some_and(|n| out_of_service(&n))
        {
            q.add(Work::Node(node.to_owned()));
        }
    });
    let q = queue.clone();
    world.nodes.hook(move |_, new| {
        if let Some(node) = new.filter(|n| out_of_service(n)) {
            q.add(Work::Node(node.name_any()));
        }
    });
    drive("podgc", queue, 1, |work| sync(&world, work)).await;
}

fn out_of_service(node: &Node) -> bool {
    let taints = node.spec.iter().flat_map(|s| s.taints.iter().flatten());
    let conditions = node.status.iter().flat_map(|s| s.conditions.iter().flatten());
    let ready = conditions.into_iter().any(|c| c.type_ == "Ready" && c.status == "True");
    !ready && taints.into_iter().any(|t| t.key == OUT_OF_SERVICE)
}

async fn sync(world: &World, work: Work) -> Result<Option<Duration>, kube::Error> {
    let gone = match work {
        Work::Ended if world.pods.len() <= THRESHOLD => return Ok(None),
        Work::Ended => surplus(world.pods.all(), THRESHOLD),
        Work::Node(name) => {
            let mine = world.pods.indexed(&node_entry(&name));
            mine.into_iter().filter(|p| pods::terminating(p)).collect()
        }
    };
    for outcome in join_all(gone.iter().map(|pod| fail_and_delete(world, pod, None))).await {
        outcome?;
    }
    Ok(None)
}

/// Ended pods beyond a number, evicted ones first, then the oldest.
fn surplus(all: Vec<Arc<Pod>>, threshold: usize) -> Vec<Arc<Pod>> {
    let mut ended: Vec<_> = all.into_iter().filter(|p| pods::terminal(p)).collect();
    let excess = ended.len().saturating_sub(threshold);
    ended.sort_by_cached_key(|p| {
        let evicted = p.status.as_ref().and_then(|s| s.reason.as_deref()) == Some("Evicted");
        (!evicted, p.metadata.creation_timestamp.as_ref().map(|t| t.0), p.name_any())
    });
    ended.truncate(excess);
    ended
}

/// Marks a pod as failed unless it has ended, with a reason and message of its disruption, and deletes it at once.
pub(crate) async fn fail_and_delete(world: &World, pod: &Pod, why: Option<(&str, &str)>) -> Result<(), kube::Error> {
    if !pods::terminal(pod) {
        match why {
            Some(why) => disrupted(world, pod, why, Some("Failed")).await?,
            None => status(world, pod, json!({ "phase": "Failed" })).await?,
        }
    }
    world.delete(pod, Some(0)).await
}

/// Says in a pod's conditions why it goes, and sets its phase.
pub(crate) async fn disrupted(
    world: &World,
    pod: &Pod,
    (reason, message): (&str, &str),
    phase: Option<&str>,
) -> Result<(), kube::Error> {
    let mut change = json!({ "conditions": [{
        "type": "DisruptionTarget", "status": "True", "reason": reason, "message": message,
        "lastTransitionTime": now().to_string(), "lastProbeTime": null }] });
    if let Some(phase) = phase {
        change["phase"] = json!(phase);
    }
    status(world, pod, change).await
}

async fn status(world: &World, pod: &Pod, change: Value) -> Result<(), kube::Error> {
    let (namespace, name) = key_of(&pod.metadata);
    let api: kube::Api<Pod> = kube::Api::namespaced(world.client.clone(), &namespace);
    let patch = json!({ "metadata": { "uid": pod.uid() }, "status": change });
    match api.patch_status(&name, &PatchParams::default(), &Patch::Strategic(patch)).await {
        // Another life of that name.
        Err(error) if crate::world::is_conflict(&error) => Ok(()),
        Ok(made) => {
            world.pods.wrote(&made);
            Ok(())
        }
        Err(error) => or_gone(Err::<(), _>(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{object, pod};

    #[test]
    fn the_oldest_ended_pods_go_first() {
        let ended = |name: &str, age| pod(name).phase("Succeeded").created(age).build();
        let mut evicted = (*ended("evicted", 9)).clone();
        evicted.status.as_mut().unwrap().reason = Some("Evicted".into());
        let all = vec![ended("b", 2), ended("a", 1), pod("runs").ready(0).build(), Arc::new(evicted), ended("c", 3)];
        let names: Vec<_> = surplus(all.clone(), 2).iter().map(|p| p.name_any()).collect();
        assert_eq!(names, ["evicted", "a"]);
        assert!(surplus(all, 4).is_empty());
    }

    #[test]
    fn a_node_is_out_of_service_when_tainted_and_not_ready() {
        let node = |ready: &str, key: &str| -> Node {
            object(json!({ "metadata": {}, "spec": { "taints": [{ "key": key, "effect": "NoExecute" }] },
                           "status": { "conditions": [{ "type": "Ready", "status": ready }] } }))
        };
        assert!(out_of_service(&node("False", OUT_OF_SERVICE)));
        assert!(!out_of_service(&node("True", OUT_OF_SERVICE)));
        assert!(!out_of_service(&node("False", "other")));
    }
}
