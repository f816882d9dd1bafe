//! The StatefulSet controller: pods with names that stay, one after the other. `plan` judges one step; this loop
//! applies it, and the change that follows asks for the next.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::apps::v1::{ControllerRevision, StatefulSet};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde_json::json;

use crate::labels::selects;
use crate::mirror::{Key, key_of};
use crate::owners;
use crate::pods;
use crate::podset::text;
use crate::queue::{Queue, drive};
use crate::replicaset::claim_pods_if;
use crate::revisions::{self, ledger};
use crate::world::{World, code, is_conflict, now, or_gone};

mod identity;
mod plan;
mod retention;
use plan::{Action, Scene, plan};

const COMPONENT: &str = "statefulset-controller";

/// Runs the controller for ever.
pub(crate) async fn run(world: Arc<World>) {
    let queue: Arc<Queue<Key>> = Queue::new();
    let q = queue.clone();
    world.stateful_sets.hook(move |_, new| {
        if let Some(new) = new {
            q.add(key_of(&new.metadata));
        }
    });
    let (q, sets) = (queue.clone(), world.stateful_sets.clone());
    world.pods.hook(move |old, new| {
        for pod in [old, new].into_iter().flatten() {
            let namespace = pod.metadata.namespace.clone().unwrap_or_default();
            match owners::controller(&pod.metadata) {
                Some(owner) if owner.kind == "StatefulSet" => q.add((namespace, owner.name.clone())),
                Some(_) => {}
                None => {
                    for set in sets.list(&namespace) {
                        if claims(&set, pod) {
                            q.add(key_of(&set.metadata));
                        }
                    }
                }
            }
        }
    });
    // Revisions are looked after even when people delete or add them.
    let q = queue.clone();
    world.revisions.hook(move |old, new| {
        for revision in [old, new].into_iter().flatten() {
            if let Some(owner) = owners::controller(&revision.metadata).filter(|o| o.kind == "StatefulSet") {
                q.add((revision.metadata.namespace.clone().unwrap_or_default(), owner.name.clone()));
            }
        }
    });
    // A claim that goes may have kept a pod waiting.
    let (q, sets) = (queue.clone(), world.stateful_sets.clone());
    world.claims.hook(move |old, new| {
        let (Some(old), None) = (old, new) else { return };
        for set in sets.list(old.metadata.namespace.as_deref().unwrap_or_default()) {
            let templates = set.spec.volume_claim_templates.iter().flatten();
            let ours = |v: String| old.name_any().starts_with(&format!("{v}-{}-", set.name_any()));
            if templates.map(ResourceExt::name_any).any(ours) {
                q.add(key_of(&set.metadata));
            }
        }
    });
    drive("statefulset", queue, 8, |key| sync(&world, key)).await;
}

/// Whether a pod is one of the set's by labels and by name.
fn claims(set: &StatefulSet, pod: &Pod) -> bool {
    selects(&set.spec.selector, pod.metadata.labels.as_ref()) && identity::ordinal(set, pod).is_some()
}

async fn sync(world: &World, key: Key) -> Result<Option<Duration>, kube::Error> {
    let Some(set) = world.stateful_sets.get_key(&key) else { return Ok(None) };
    let known = ledger::claimed(world, &*set, &set.spec.selector).await?;
    let named = |pod: &Pod| identity::ordinal(&set, pod).is_some();
    let mine = claim_pods_if(world, &*set, &set.metadata, &set.spec.selector, &named, None).await?;
    let old = set.status.clone().unwrap_or_default();
    let collisions = old.collision_count.unwrap_or(0);
    if set.metadata.deletion_timestamp.is_some() && known.is_empty() {
        return Ok(None);
    }
    let ledger = ledger::settle(world, &*set, &set.spec.template, known, collisions).await?;
    let named = |r: &&Arc<ControllerRevision>| r.metadata.name == old.current_revision;
    let current = ledger.all.iter().find(named).unwrap_or(&ledger.update).clone();
    let plan = plan(&Scene {
        set: &set,
        current: &current,
        update: &ledger.update,
        collisions: ledger.collisions,
        pods: &mine,
        claim: &|name| world.claims.get(&key.0, name),
        now: now(),
    });
    let mut failure = None;
    for action in &plan.actions {
        if let Err(error) = apply(world, &set, action).await {
            failure = Some(error);
            break;
        }
    }
    report(world, &key, set.clone(), plan.status).await?;
    let live = |r: &ControllerRevision| {
        let name = r.metadata.name.as_ref();
        name == current.metadata.name.as_ref()
            || name == ledger.update.metadata.name.as_ref()
            || mine.iter().any(|p| p.labels().get(revisions::HASH) == name)
    };
    for old in revisions::surplus(&ledger.all, live, set.spec.revision_history_limit.unwrap_or(10)) {
        world.delete(&*old, None).await?;
    }
    if let Some(error) = failure {
        return Err(error);
    }
    let minimum = set.spec.min_ready_seconds.unwrap_or(0);
    let waits = mine.iter().filter_map(|p| pods::until_available(p, minimum, now())).filter(|d| !d.is_zero());
    Ok(waits.min())
}

async fn report(
    world: &World,
    key: &Key,
    set: Arc<StatefulSet>,
    status: k8s_openapi::api::apps::v1::StatefulSetStatus,
) -> Result<(), kube::Error> {
    let current = world.stateful_sets.get_key(key).unwrap_or(set);
    if current.status.as_ref() == Some(&status) {
        return Ok(());
    }
    let mut changed = (*current).clone();
    changed.status = Some(status);
    or_gone(world.replace_status(&changed).await)
}

async fn apply(world: &World, set: &StatefulSet, action: &Action) -> Result<(), kube::Error> {
    match action {
        Action::Claim { pod, claim } => match world.create(&**claim).await {
            Ok(_) => told(world, set, "Create", &format!("Claim {} Pod {pod}", claim.name_any()), "success"),
            // Someone made it meanwhile, or the watch is late.
            Err(error) if is_conflict(&error) => {}
            Err(error) => {
                let what = format!("Claim {} for Pod {pod}", claim.name_any());
                failed(world, set, "Create", &what, &text(&error));
                return Err(error);
            }
        },
        Action::Create(pod) => {
            let what = format!("Pod {}", pod.name_any());
            match world.create(&**pod).await {
                Ok(_) => told(world, set, "Create", &what, "successful"),
                // A pod of that name is there and not ours: the hook on pods tells when it goes.
                Err(error) if is_conflict(&error) => failed(world, set, "Create", &what, &text(&error)),
                Err(error) if !world.namespace_lives(&set.namespace().unwrap_or_default()) => {
                    return if code(&error) == Some(403) { Ok(()) } else { Err(error) };
                }
                Err(error) => {
                    failed(world, set, "Create", &what, &text(&error));
                    return Err(error);
                }
            }
        }
        Action::Refuse { pod, why } => failed(world, set, "Create", &format!("Pod {pod}"), why),
        Action::Update(pod) => {
            let what = format!("Pod {}", pod.name_any());
            let patch = json!({ "metadata": { "uid": pod.metadata.uid, "labels": pod.metadata.labels } });
            if let Err(error) = world.patch(&**pod, patch).await {
                failed(world, set, "Update", &what, &text(&error));
                return Err(error);
            }
            told(world, set, "Update", &what, "successful");
        }
        Action::Own(claim) => {
            let patch = json!({ "metadata": {
                "uid": claim.metadata.uid, "ownerReferences": claim.metadata.owner_references } });
            or_gone(world.patch(&**claim, patch).await)?;
        }
        Action::Foreign(claim) => {
            let message = format!(
                "PersistentVolumeClaim {claim} has a conflicting OwnerReference that acts as a manging controller, the \
                 retention policy is ignored for this claim"
            );
            world.recorder.warning(set, COMPONENT, "ConflictingController", message);
        }
        Action::Delete(pod) => {
            let what = format!("Pod {}", pod.name_any());
            if let Err(error) = world.delete(&**pod, None).await {
                failed(world, set, "Delete", &what, &text(&error));
                return Err(error);
            }
            told(world, set, "Delete", &what, "successful");
        }
    }
    Ok(())
}

fn told(world: &World, set: &StatefulSet, verb: &str, what: &str, end: &str) {
    let message = format!("{} {what} in StatefulSet {} {end}", verb.to_lowercase(), set.name_any());
    world.recorder.normal(set, COMPONENT, &format!("Successful{verb}"), message);
}

fn failed(world: &World, set: &StatefulSet, verb: &str, what: &str, why: &str) {
    let message = format!("{} {what} in StatefulSet {} failed error: {why}", verb.to_lowercase(), set.name_any());
    world.recorder.warning(set, COMPONENT, &format!("Failed{verb}"), message);
}
