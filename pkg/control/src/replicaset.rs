//! The ReplicaSet controller: as many active pods as asked for. `plan` judges; this loop adopts, creates, deletes and
//! reports.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::apps::v1::{ReplicaSet, ReplicaSetStatus};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta, OwnerReference};
use kube::Resource;
use serde_json::json;

use crate::labels::selects;
use crate::mirror::{Key, key_of, label_entry, owner_entry};
use crate::owners::{self, Claim, claim};
use crate::pods;
use crate::podset::{Owner, text};
use crate::queue::{Queue, drive};
use crate::world::{World, now, or_gone};

mod plan;
use plan::Plan;
pub(crate) use plan::ranked;

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
    let owner = Owner { object: &*set, component: COMPONENT };
    let outcome = reconcile(world, &owner, &set, || related(world, &set)).await?;
    let set = world.replica_sets.get_key(&key).unwrap_or_else(|| set.clone());
    if set.status.as_ref() != Some(&outcome.status) {
        let mut changed = (*set).clone();
        changed.status = Some(outcome.status);
        or_gone(world.replace_status(&changed).await)?;
    }
    outcome.end
}

/// What came of bringing a set to its size.
pub(crate) struct Outcome {
    pub(crate) status: ReplicaSetStatus,
    /// When the set wants to be seen again, or what failed, to be told after the status is written.
    pub(crate) end: Result<Option<Duration>, kube::Error>,
}

/// Brings the pods of `owner` to what `set` asks for; the two are the same unless the owner is a ReplicationController.
pub(crate) async fn reconcile<K>(
    world: &World,
    owner: &Owner<'_, K>,
    set: &ReplicaSet,
    related: impl FnOnce() -> Vec<Arc<Pod>>,
) -> Result<Outcome, kube::Error>
where
    K: Resource<DynamicType = ()> + Debug,
{
    let spec = &set.spec;
    let mine = claim_pods(world, owner.object, &set.metadata, &spec.selector).await?;
    let active: Vec<_> = mine.iter().filter(|p| pods::active(p)).cloned().collect();
    let mut failure = None;
    if set.metadata.deletion_timestamp.is_none() {
        match plan::plan(set, &active, related, now()) {
            Plan::Nothing => {}
            Plan::Create(count) => {
                let pods = vec![template(owner.object, set); count.min(BURST)];
                failure = owner.create(world, &pods).await;
            }
            Plan::Delete(mut victims) => {
                victims.truncate(BURST);
                failure = owner.delete(world, &victims).await;
            }
        }
    }
    // Our own writes are in the mirror by now.
    let mine = owned(world, &set.metadata);
    let status = plan::status(set, &mine, failure.as_ref().map(|(r, e)| (*r, text(e))), now());
    let minimum = set.spec.min_ready_seconds.unwrap_or(0);
    let waits = mine.iter().filter_map(|p| pods::until_available(p, minimum, now())).filter(|d| !d.is_zero());
    let end = match failure {
        Some((_, error)) => Err(error),
        None => Ok(waits.min()),
    };
    Ok(Outcome { status, end })
}

fn template<K: Resource<DynamicType = ()>>(owner: &K, set: &ReplicaSet) -> Pod {
    let template = set.spec.template.clone().unwrap_or_default();
    let (namespace, name) = key_of(&set.metadata);
    let mut pod = pods::from_template(&template, &namespace, &name);
    pod.metadata.owner_references = Some(vec![owners::reference(owner)]);
    pod
}

/// Pods that an owner controls now.
pub(crate) fn owned(world: &World, owner: &ObjectMeta) -> Vec<Arc<Pod>> {
    world.pods.indexed(&owner_entry(owner.uid.as_deref().unwrap_or_default()))
}

/// Pods of all sets of the same owner: what spreading counts when it chooses whom to delete.
fn related(world: &World, set: &ReplicaSet) -> Vec<Arc<Pod>> {
    match owners::controller(&set.metadata) {
        Some(owner) => {
            let sets = world.replica_sets.indexed(&owner_entry(&owner.uid));
            sets.iter().flat_map(|s| owned(world, &s.metadata)).filter(|p| pods::active(p)).collect()
        }
        None => owned(world, &set.metadata).into_iter().filter(|p| pods::active(p)).collect(),
    }
}

/// The pods that `owner` controls after taking in orphans that match and letting go of those that do not.
pub(crate) async fn claim_pods<K>(
    world: &World,
    owner: &K,
    meta: &ObjectMeta,
    selector: &LabelSelector,
) -> Result<Vec<Arc<Pod>>, kube::Error>
where
    K: kube::Resource<DynamicType = ()>,
{
    claim_pods_if(world, owner, meta, selector, &|_| true, None).await
}

/// As [`claim_pods`], of those pods only that `also` holds for. A `finalizer` is put on adopted pods and taken off
/// released ones.
pub(crate) async fn claim_pods_if<K>(
    world: &World,
    owner: &K,
    meta: &ObjectMeta,
    selector: &LabelSelector,
    also: &(dyn Fn(&Pod) -> bool + Sync),
    finalizer: Option<&str>,
) -> Result<Vec<Arc<Pod>>, kube::Error>
where
    K: kube::Resource<DynamicType = ()>,
{
    let namespace = meta.namespace.as_deref().unwrap_or_default();
    let matches = |pod: &Pod| selects(selector, pod.metadata.labels.as_ref()) && also(pod);
    let patch = |pod: &Pod, owners: Vec<OwnerReference>, adopt: bool| {
        let mut patch = json!({ "metadata": { "uid": pod.metadata.uid, "ownerReferences": owners } });
        if let Some(finalizer) = finalizer {
            let mut all: Vec<_> = pod.metadata.finalizers.clone().unwrap_or_default();
            all.retain(|f| f != finalizer);
            if adopt {
                all.push(finalizer.to_owned());
            }
            patch["metadata"]["finalizers"] = json!(all);
            patch["metadata"]["resourceVersion"] = json!(pod.metadata.resource_version);
        }
        patch
    };
    let mut mine = Vec::new();
    for pod in world.pods.indexed(&owner_entry(meta.uid.as_deref().unwrap_or_default())) {
        match claim(&pod.metadata, meta, matches(&pod)) {
            Claim::Release => {
                let all = pod.metadata.owner_references.iter().flatten();
                let left: Vec<_> = all.filter(|o| Some(&o.uid) != meta.uid.as_ref()).cloned().collect();
                or_gone(world.patch(&*pod, patch(&pod, left, false)).await)?;
            }
            _ => mine.push(pod),
        }
    }
    for pod in candidates(world, namespace, selector) {
        if claim(&pod.metadata, meta, matches(&pod)) == Claim::Adopt && !pods::terminal(&pod) {
            let mut all: Vec<_> = pod.metadata.owner_references.clone().unwrap_or_default();
            all.push(owners::reference(owner));
            match world.patch(&*pod, patch(&pod, all, true)).await {
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
