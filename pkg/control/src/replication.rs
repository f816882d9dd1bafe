//! The ReplicationController controller: a ReplicaSet by its older name. It plans with a ReplicaSet made from the
//! object and writes the outcome back.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::apps::v1::{ReplicaSet, ReplicaSetCondition, ReplicaSetSpec, ReplicaSetStatus};
use k8s_openapi::api::core::v1::{
    Pod, ReplicationController, ReplicationControllerCondition, ReplicationControllerStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use crate::labels::map_matches;
use crate::mirror::{Key, key_of};
use crate::owners;
use crate::pods;
use crate::podset::Owner;
use crate::queue::{Queue, drive};
use crate::replicaset::{owned, reconcile};
use crate::world::{World, or_gone};

const COMPONENT: &str = "replication-controller";

/// Runs the controller for ever.
pub(crate) async fn run(world: Arc<World>) {
    let queue: Arc<Queue<Key>> = Queue::new();
    let q = queue.clone();
    world.replication_controllers.hook(move |_, new| {
        if let Some(new) = new {
            q.add(key_of(&new.metadata));
        }
    });
    let (q, all) = (queue.clone(), world.replication_controllers.clone());
    world.pods.hook(move |old, new| {
        for pod in [old, new].into_iter().flatten() {
            let namespace = pod.metadata.namespace.clone().unwrap_or_default();
            match owners::controller(&pod.metadata) {
                Some(owner) if owner.kind == "ReplicationController" => q.add((namespace, owner.name.clone())),
                Some(_) => {}
                None => {
                    for controller in all.list(&namespace).iter().filter(|c| controller_selects(c, pod)) {
                        q.add(key_of(&controller.metadata));
                    }
                }
            }
        }
    });
    drive("replicationcontroller", queue, 8, |key| sync(&world, key)).await;
}

fn controller_selects(controller: &ReplicationController, pod: &Pod) -> bool {
    let selector = controller.spec.as_ref().and_then(|s| s.selector.as_ref());
    selector.is_some_and(|s| !s.is_empty() && map_matches(s, pod.metadata.labels.as_ref()))
}

async fn sync(world: &World, key: Key) -> Result<Option<Duration>, kube::Error> {
    let all = &world.replication_controllers;
    let Some(controller) = all.get_key(&key) else { return Ok(None) };
    let owner = Owner { object: &*controller, component: COMPONENT };
    let active = || owned(world, &controller.metadata).into_iter().filter(|p| pods::active(p)).collect();
    let outcome = reconcile(world, &owner, &as_set(&controller), active).await?;
    let status = as_status(outcome.status);
    let current = all.get_key(&key).unwrap_or_else(|| controller.clone());
    if current.status.as_ref() != Some(&status) {
        let mut changed = (*current).clone();
        changed.status = Some(status);
        or_gone(world.replace_status(&changed).await)?;
    }
    outcome.end
}

/// The ReplicaSet that asks for the same.
fn as_set(controller: &ReplicationController) -> ReplicaSet {
    let spec = controller.spec.clone().unwrap_or_default();
    let old = controller.status.clone().unwrap_or_default();
    let conditions = old.conditions.map(|all| all.into_iter().map(into_set_condition).collect());
    ReplicaSet {
        metadata: controller.metadata.clone(),
        spec: ReplicaSetSpec {
            min_ready_seconds: spec.min_ready_seconds,
            replicas: spec.replicas,
            selector: LabelSelector { match_labels: spec.selector, match_expressions: None },
            template: spec.template,
        },
        status: Some(ReplicaSetStatus { conditions, ..ReplicaSetStatus::default() }),
    }
}

fn into_set_condition(condition: ReplicationControllerCondition) -> ReplicaSetCondition {
    ReplicaSetCondition {
        type_: Some(condition.type_),
        status: Some(condition.status),
        reason: condition.reason,
        message: condition.message,
        last_transition_time: condition.last_transition_time,
    }
}

fn as_status(status: ReplicaSetStatus) -> ReplicationControllerStatus {
    let condition = |condition: ReplicaSetCondition| ReplicationControllerCondition {
        type_: condition.type_.unwrap_or_default(),
        status: condition.status.unwrap_or_default(),
        reason: condition.reason,
        message: condition.message,
        last_transition_time: condition.last_transition_time,
    };
    ReplicationControllerStatus {
        available_replicas: status.available_replicas,
        conditions: status.conditions.map(|all| all.into_iter().map(condition).collect()),
        fully_labeled_replicas: status.fully_labeled_replicas,
        observed_generation: status.observed_generation,
        ready_replicas: status.ready_replicas,
        replicas: status.replicas,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::object;
    use serde_json::json;

    #[test]
    fn a_controller_asks_for_what_its_set_asks_for() {
        let controller: ReplicationController = object(json!({
            "metadata": { "name": "blue", "namespace": "default", "uid": "u", "generation": 3 },
            "spec": { "replicas": 2, "minReadySeconds": 5, "selector": { "app": "blue" }, "template": {} },
            "status": { "replicas": 1, "conditions": [{ "type": "ReplicaFailure", "status": "True", "reason": "FailedCreate" }] },
        }));
        let set = as_set(&controller);
        assert_eq!((set.spec.replicas, set.spec.min_ready_seconds), (Some(2), Some(5)));
        assert_eq!(set.spec.selector.match_labels.as_ref().unwrap()["app"], "blue");
        assert_eq!(set.metadata.uid.as_deref(), Some("u"));
        let status = as_status(set.status.unwrap());
        assert_eq!(status.conditions.unwrap()[0].reason.as_deref(), Some("FailedCreate"));
        let pod = crate::fixtures::pod("p").label("app", "blue").build();
        assert!(controller_selects(&controller, &pod));
        assert!(!controller_selects(&object(json!({ "metadata": {}, "spec": {} })), &pod));
    }
}
