//! The disruption controller: how many pods each PodDisruptionBudget lets go. `plan` counts; this loop gathers what it
//! counts and writes the status. It also takes back DisruptionTarget from pods that were to go and did not.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::ResourceExt;
use serde_json::json;

use crate::labels::selects;
use crate::mirror::{Key, key_of};
use crate::owners;
use crate::pods;
use crate::queue::{Queue, drive};
use crate::world::{World, now, or_gone};

mod plan;
use plan::Outcome;
pub(crate) use plan::Scale;

const COMPONENT: &str = "controllermanager";
/// How long a pod may carry DisruptionTarget without being deleted.
const STALE: Duration = Duration::from_secs(120);

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Work {
    Budget(Key),
    /// A pod that is said to go.
    Target(Key),
}

/// Runs the controller for ever.
pub(crate) async fn run(world: Arc<World>) {
    let queue: Arc<Queue<Work>> = Queue::new();
    let q = queue.clone();
    world.budgets.hook(move |_, new| {
        if let Some(new) = new {
            q.add(Work::Budget(key_of(&new.metadata)));
        }
    });
    let (q, w) = (queue.clone(), world.clone());
    world.pods.hook(move |old, new| {
        for pod in [old, new].into_iter().flatten() {
            for budget in w.budgets.list(pod.metadata.namespace.as_deref().unwrap_or_default()) {
                if covers(&budget, pod) {
                    q.add(Work::Budget(key_of(&budget.metadata)));
                }
            }
        }
        if let Some(pod) = new.filter(|p| pods::condition(p, "DisruptionTarget").is_some_and(|c| c.status == "True")) {
            q.add(Work::Target(key_of(&pod.metadata)));
        }
    });
    // A controller of another size means another number of pods to expect.
    macro_rules! sizes {
        ($mirror:ident, $size:expr) => {{
            let (q, w) = (queue.clone(), world.clone());
            world.$mirror.hook(move |old, new| {
                let size = $size;
                if let (Some(old), Some(new)) = (old, new)
                    && size(old) != size(new)
                {
                    for budget in w.budgets.list(new.metadata.namespace.as_deref().unwrap_or_default()) {
                        q.add(Work::Budget(key_of(&budget.metadata)));
                    }
                }
            });
        }};
    }
    sizes!(deployments, |d: &Arc<k8s_openapi::api::apps::v1::Deployment>| d.spec.replicas);
    sizes!(replica_sets, |s: &Arc<k8s_openapi::api::apps::v1::ReplicaSet>| s.spec.replicas);
    sizes!(stateful_sets, |s: &Arc<k8s_openapi::api::apps::v1::StatefulSet>| s.spec.replicas);
    sizes!(replication_controllers, |c: &Arc<k8s_openapi::api::core::v1::ReplicationController>| {
        c.spec.as_ref().and_then(|s| s.replicas)
    });
    drive("disruption", queue, 4, |work| {
        let world = world.clone();
        async move {
            match work {
                Work::Budget(key) => sync(&world, key).await,
                Work::Target(key) => target(&world, key).await,
            }
        }
    })
    .await;
}

fn covers(budget: &PodDisruptionBudget, pod: &Pod) -> bool {
    let selector = budget.spec.as_ref().and_then(|s| s.selector.as_ref());
    selector.is_some_and(|s| selects(s, pod.metadata.labels.as_ref()))
}

async fn sync(world: &World, key: Key) -> Result<Option<Duration>, kube::Error> {
    let Some(budget) = world.budgets.get_key(&key) else { return Ok(None) };
    let pods: Vec<_> = world.pods.list(&key.0).into_iter().filter(|p| covers(&budget, p)).collect();
    if pods.is_empty() {
        world.recorder.normal(&*budget, COMPONENT, "NoPods", "No matching pods found");
    }
    let mut scales: BTreeMap<String, Scale> = BTreeMap::new();
    for owner in pods.iter().filter_map(|p| owners::controller(&p.metadata)) {
        if !scales.contains_key(&owner.uid) {
            scales.insert(owner.uid.clone(), scale(world, &key.0, owner).await?);
        }
    }
    let outcome: Outcome = plan::plan(&budget, &pods, &scales, now());
    for (reason, message) in &outcome.warnings {
        world.recorder.warning(&*budget, COMPONENT, reason, message.clone());
    }
    for pod in &outcome.overdue {
        let message = format!("Pod was expected by PDB {}/{} to be deleted but it wasn't", key.0, key.0);
        world.recorder.warning(&**pod, COMPONENT, "NotDeleted", message);
    }
    if budget.status.as_ref() != Some(&outcome.status) {
        let mut changed = (*budget).clone();
        changed.status = Some(outcome.status);
        or_gone(world.replace_status(&changed).await)?;
    }
    Ok(outcome.again)
}

/// How many pods the controller behind a pod's owner asks for. A ReplicaSet of a Deployment answers for the Deployment.
async fn scale(world: &World, namespace: &str, owner: &OwnerReference) -> Result<Scale, kube::Error> {
    let group = owner.api_version.split_once('/').map_or("", |(group, _)| group);
    let one = |uid: Option<String>, size: Option<i32>| Scale::Of(uid.unwrap_or_default(), size.unwrap_or(1));
    match (group, owner.kind.as_str()) {
        ("apps", "ReplicaSet") => {
            let Some(set) = world.replica_sets.get(namespace, &owner.name) else { return Ok(Scale::NoController) };
            if set.uid().as_ref() != Some(&owner.uid) {
                return Ok(Scale::NoController);
            }
            let above = owners::controller(&set.metadata).filter(|o| o.kind == "Deployment");
            let deployment = above.and_then(|o| world.deployments.get(namespace, &o.name));
            Ok(match deployment {
                Some(deployment) => one(deployment.uid(), deployment.spec.replicas),
                None => one(set.uid(), set.spec.replicas),
            })
        }
        ("apps", "StatefulSet") => {
            let set = world.stateful_sets.get(namespace, &owner.name);
            let set = set.filter(|s| s.uid().as_ref() == Some(&owner.uid));
            Ok(set.map_or(Scale::NoController, |s| one(s.uid(), s.spec.replicas)))
        }
        ("", "ReplicationController") => {
            let all = &world.replication_controllers;
            let found = all.get(namespace, &owner.name).filter(|c| c.uid().as_ref() == Some(&owner.uid));
            Ok(found.map_or(Scale::NoController, |c| one(c.uid(), c.spec.as_ref().and_then(|s| s.replicas))))
        }
        _ => crate::scaling::of_owner(world, namespace, owner).await,
    }
}

/// Takes back that a pod is to go, when it stayed.
async fn target(world: &World, key: Key) -> Result<Option<Duration>, kube::Error> {
    let Some(pod) = world.pods.get_key(&key) else { return Ok(None) };
    let Some(condition) = pods::condition(&pod, "DisruptionTarget").filter(|c| c.status == "True") else {
        return Ok(None);
    };
    if !pods::active(&pod) || condition.reason.as_deref() == Some("TerminationByKubelet") {
        return Ok(None);
    }
    let since = condition.last_transition_time.as_ref().map_or(now(), |t| t.0);
    let age = Duration::from_secs(u64::try_from(now().as_second() - since.as_second()).unwrap_or(0));
    let left = STALE.saturating_sub(age);
    if !left.is_zero() {
        return Ok(Some(left));
    }
    let patch = json!({ "metadata": { "uid": pod.uid() }, "status": { "conditions": [{
        "type": "DisruptionTarget", "status": "False", "reason": "", "message": "",
        "lastTransitionTime": now().to_string() }] } });
    let api: kube::Api<Pod> = kube::Api::namespaced(world.client.clone(), &key.0);
    let patch = kube::api::Patch::Strategic(patch);
    or_gone(api.patch_status(&key.1, &kube::api::PatchParams::default(), &patch).await)?;
    Ok(None)
}
