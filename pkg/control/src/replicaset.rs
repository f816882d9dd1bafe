//! The ReplicaSet controller: as many active pods as asked for. `plan` judges; this loop adopts, creates, deletes and
//! reports.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use serde_json::json;

use crate::labels::selects;
use crate::mirror::{Key, key_of, label_entry, owner_entry};
use crate::owners::{self, Claim, claim};
use crate::queue::{Queue, drive};
use crate::world::{World, code, now, or_gone};
use crate::{mirror, pods};

mod plan;
use plan::Plan;

const COMPONENT: &str = "replicaset-controller";
/// Pods created or deleted in one go, as Kubernetes' `burstReplicas`.
const BURST: usize = 500;

/// Runs the controller for ever.
pub(crate) async fn run(world: Arc<World>) {
    let queue: Arc<Queue<Key>> = Queue::new();
    let q = queue.clone();
    world.replica_sets.hook(move |_, new| {
        if let Some(new) = new {
            q.add(key_of(&new.metadata));
        }
    });
    let (q, sets) = (queue.clone(), world.replica_sets.clone());
    world.pods.hook(move |old, new| {
        for pod in [old, new].into_iter().flatten() {
            match owners::controller(&pod.metadata) {
                Some(owner) if owner.kind == "ReplicaSet" => {
                    q.add((pod.metadata.namespace.clone().unwrap_or_default(), owner.name.clone()));
                }
                Some(_) => {}
                None => {
                    for set in sets.list(pod.metadata.namespace.as_deref().unwrap_or_default()) {
                        if set_selects(&set, pod) {
                            q.add(key_of(&set.metadata));
                        }
                    }
                }
            }
        }
    });
    drive("replicaset", queue, 16, |key| sync(&world, key)).await;
}

fn set_selects(set: &ReplicaSet, pod: &Pod) -> bool {
    selects(&set.spec.selector, pod.metadata.labels.as_ref())
}

async fn sync(world: &World, key: Key) -> Result<Option<Duration>, kube::Error> {
    let Some(set) = world.replica_sets.get_key(&key) else { return Ok(None) };
    let spec = &set.spec;
    let mine = claim_pods(world, &*set, &set.metadata, &spec.selector).await?;
    let active: Vec<_> = mine.iter().filter(|p| pods::active(p)).cloned().collect();
    let mut failure = None;
    if set.metadata.deletion_timestamp.is_none() {
        let related = || related(world, &set);
        match plan::plan(&set, &active, related, now()) {
            Plan::Nothing => {}
            Plan::Create(count) => failure = create(world, &set, count.min(BURST)).await,
            Plan::Delete(mut victims) => {
                victims.truncate(BURST);
                failure = delete(world, &set, victims).await;
            }
        }
    }
    // Our own writes are in the mirror by now.
    let mine = owned(world, &set);
    let status = plan::status(&set, &mine, failure.as_ref().map(|(r, e)| (*r, e.to_string())), now());
    let set = world.replica_sets.get_key(&key).unwrap_or(set);
    if set.status.as_ref() != Some(&status) {
        let mut changed = (*set).clone();
        changed.status = Some(status);
        or_gone(world.replace_status(&changed).await)?;
    }
    if let Some((_, error)) = failure {
        return Err(error);
    }
    let minimum = set.spec.min_ready_seconds.unwrap_or(0);
    let waits = mine.iter().filter_map(|p| pods::until_available(p, minimum, now())).filter(|d| !d.is_zero());
    Ok(waits.min())
}

/// Pods that this set controls now.
fn owned(world: &World, set: &ReplicaSet) -> Vec<Arc<Pod>> {
    world.pods.indexed(&owner_entry(set.metadata.uid.as_deref().unwrap_or_default()))
}

/// Pods of all sets of the same owner: what spreading counts when it chooses whom to delete.
fn related(world: &World, set: &ReplicaSet) -> Vec<Arc<Pod>> {
    match owners::controller(&set.metadata) {
        Some(owner) => {
            let sets = world.replica_sets.indexed(&owner_entry(&owner.uid));
            sets.iter().flat_map(|s| owned(world, s)).filter(|p| pods::active(p)).collect()
        }
        None => owned(world, set).into_iter().filter(|p| pods::active(p)).collect(),
    }
}

/// The pods that `owner` controls after taking in orphans that match and letting go of those that do not.
pub(crate) async fn claim_pods<K>(
    world: &World,
    owner: &K,
    meta: &k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta,
    selector: &LabelSelector,
) -> Result<Vec<Arc<Pod>>, kube::Error>
where
    K: kube::Resource<DynamicType = ()>,
{
    let namespace = meta.namespace.as_deref().unwrap_or_default();
    let mut mine = Vec::new();
    for pod in world.pods.indexed(&owner_entry(meta.uid.as_deref().unwrap_or_default())) {
        match claim(&pod.metadata, meta, selects(selector, pod.metadata.labels.as_ref())) {
            Claim::Release => {
                let all = pod.metadata.owner_references.iter().flatten();
                let left: Vec<_> = all.filter(|o| Some(&o.uid) != meta.uid.as_ref()).collect();
                let patch = json!({ "metadata": { "uid": pod.metadata.uid, "ownerReferences": left } });
                or_gone(world.patch(&*pod, patch).await)?;
            }
            _ => mine.push(pod),
        }
    }
    for pod in candidates(world, namespace, selector) {
        if claim(&pod.metadata, meta, selects(selector, pod.metadata.labels.as_ref())) == Claim::Adopt
            && !pods::terminal(&pod)
        {
            let mut all: Vec<_> = pod.metadata.owner_references.clone().unwrap_or_default();
            all.push(owners::reference(owner));
            let patch = json!({ "metadata": { "uid": pod.metadata.uid, "ownerReferences": all } });
            match world.patch(&*pod, patch).await {
                Ok(adopted) => mine.push(adopted),
                Err(error) => or_gone(Err::<(), _>(error))?,
            }
        }
    }
    Ok(mine)
}

/// Pods without a controller that a selector might match, by its rarest label.
fn candidates(world: &World, namespace: &str, selector: &LabelSelector) -> Vec<Arc<Pod>> {
    let pairs = selector.match_labels.iter().flatten();
    let entries = pairs.map(|(k, v)| label_entry(namespace, k, v));
    let rarest = entries.min_by_key(|e| world.pods.indexed_len(e));
    let all = match rarest {
        Some(entry) => world.pods.indexed(&entry),
        None => world.pods.list(namespace),
    };
    all.into_iter().filter(|p| owners::controller(&p.metadata).is_none()).collect()
}

/// Creates pods in batches that double while all goes well, so that a quota or a bad template costs one failure, not
/// five hundred (`slowStartBatch`).
async fn create(world: &World, set: &ReplicaSet, count: usize) -> Option<(&'static str, kube::Error)> {
    let template = set.spec.template.clone().unwrap_or_default();
    let (namespace, name) = mirror::key_of(&set.metadata);
    let mut pod = pods::from_template(&template, &namespace, &name);
    pod.metadata.owner_references = Some(vec![owners::reference(set)]);
    let (mut left, mut batch) = (count, 1);
    while left > 0 {
        let size = batch.min(left);
        let outcomes = join_all((0..size).map(|_| world.create(&pod))).await;
        let mut failure = None;
        for outcome in outcomes {
            match outcome {
                Ok(made) => {
                    let name = made.metadata.name.as_deref().unwrap_or_default();
                    world.recorder.normal(set, COMPONENT, "SuccessfulCreate", format!("Created pod: {name}"));
                }
                Err(error) => failure = Some(error),
            }
        }
        if let Some(error) = failure {
            if !world.namespace_lives(&namespace) && code(&error) == Some(403) {
                return None;
            }
            world.recorder.warning(set, COMPONENT, "FailedCreate", format!("Error creating: {}", text(&error)));
            return Some(("FailedCreate", error));
        }
        left -= size;
        batch *= 2;
    }
    None
}

async fn delete(world: &World, set: &ReplicaSet, victims: Vec<Arc<Pod>>) -> Option<(&'static str, kube::Error)> {
    let outcomes = join_all(victims.iter().map(|pod| world.delete(&**pod, None))).await;
    let mut failure = None;
    for (pod, outcome) in victims.iter().zip(outcomes) {
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        match outcome {
            Ok(()) => world.recorder.normal(set, COMPONENT, "SuccessfulDelete", format!("Deleted pod: {name}")),
            Err(error) => {
                world.recorder.warning(set, COMPONENT, "FailedDelete", format!("Error deleting: {}", text(&error)));
                failure = Some(("FailedDelete", error));
            }
        }
    }
    failure
}

/// The server's sentence where there is one.
pub(crate) fn text(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        other => other.to_string(),
    }
}
