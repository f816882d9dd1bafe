//! The Deployment controller: ReplicaSets of the wanted sizes, one per template. `plan` judges one step; this loop
//! applies it, and the change that follows asks for the next.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use serde_json::json;

use crate::labels::selects;
use crate::mirror::{Key, key_of, owner_entry};
use crate::owners::{self, Claim, claim};
use crate::podset::text;
use crate::queue::{Queue, drive};
use crate::world::{World, is_conflict, now, or_gone};
use crate::{pods, world};

mod history;
mod plan;
mod rolling;
mod status;
pub(crate) use history::safe_hash;
use plan::{Action, plan};

const COMPONENT: &str = "deployment-controller";

/// Runs the controller for ever.
pub(crate) async fn run(world: Arc<World>) {
    let queue: Arc<Queue<Key>> = Queue::new();
    let q = queue.clone();
    world.deployments.hook(move |_, new| {
        if let Some(new) = new {
            q.add(key_of(&new.metadata));
        }
    });
    let (q, deployments) = (queue.clone(), world.deployments.clone());
    world.replica_sets.hook(move |old, new| {
        for set in [old, new].into_iter().flatten() {
            let namespace = set.metadata.namespace.clone().unwrap_or_default();
            match owners::controller(&set.metadata) {
                Some(owner) if owner.kind == "Deployment" => q.add((namespace, owner.name.clone())),
                Some(_) => {}
                None => {
                    for deployment in deployments.list(&namespace) {
                        if deployment_selects(&deployment, set) {
                            q.add(key_of(&deployment.metadata));
                        }
                    }
                }
            }
        }
    });
    // Recreate waits for the last old pod to go.
    let (q, sets) = (queue.clone(), world.replica_sets.clone());
    world.pods.hook(move |old, new| {
        let (Some(old), None) = (old, new) else { return };
        let Some(owner) = owners::controller(&old.metadata).filter(|o| o.kind == "ReplicaSet") else { return };
        let namespace = old.metadata.namespace.as_deref().unwrap_or_default();
        let Some(set) = sets.get(namespace, &owner.name) else { return };
        if let Some(owner) = owners::controller(&set.metadata) {
            q.add((namespace.to_owned(), owner.name.clone()));
        }
    });
    drive("deployment", queue, 8, |key| sync(&world, key)).await;
}

fn deployment_selects(deployment: &Deployment, set: &ReplicaSet) -> bool {
    selects(&deployment.spec.selector, set.metadata.labels.as_ref())
}

async fn sync(world: &World, key: Key) -> Result<Option<Duration>, kube::Error> {
    let Some(deployment) = world.deployments.get_key(&key) else { return Ok(None) };
    let sets = claim_sets(world, &deployment).await?;
    let running = |set: &ReplicaSet| {
        let pods = world.pods.indexed(&owner_entry(set.metadata.uid.as_deref().unwrap_or_default()));
        pods.iter().any(|p| !pods::terminal(p))
    };
    let plan = plan(&deployment, &sets, running, now());
    let mut collision = false;
    for action in &plan.actions {
        collision |= apply(world, &deployment, action).await?;
    }
    let mut status = plan.status;
    if collision {
        let count = deployment.status.as_ref().and_then(|s| s.collision_count).unwrap_or(0);
        status.collision_count = Some(count + 1);
    }
    let current = world.deployments.get_key(&key).unwrap_or(deployment);
    if current.status.as_ref() != Some(&status) {
        let mut changed = (*current).clone();
        changed.status = Some(status);
        or_gone(world.replace_status(&changed).await)?;
    }
    Ok(plan.again)
}

/// The sets of a deployment after taking in orphans that match and letting go of those that do not.
async fn claim_sets(world: &World, deployment: &Deployment) -> Result<Vec<Arc<ReplicaSet>>, kube::Error> {
    let meta = &deployment.metadata;
    let mut mine = Vec::new();
    for set in world.replica_sets.list(meta.namespace.as_deref().unwrap_or_default()) {
        match claim(&set.metadata, meta, deployment_selects(deployment, &set)) {
            Claim::Keep => mine.push(set),
            Claim::Ignore => {}
            claim => {
                let mut references = set.metadata.owner_references.clone().unwrap_or_default();
                references.retain(|o| Some(&o.uid) != meta.uid.as_ref());
                if claim == Claim::Adopt {
                    references.push(owners::reference(deployment));
                }
                let patch = json!({ "metadata": { "uid": set.metadata.uid, "ownerReferences": references } });
                let set = world.patch(&*set, patch).await?;
                if claim == Claim::Adopt {
                    mine.push(set);
                }
            }
        }
    }
    Ok(mine)
}

/// Applies one action; true when the name of a new set is taken by another.
async fn apply(world: &World, deployment: &Deployment, action: &Action) -> Result<bool, kube::Error> {
    match action {
        Action::Create(set) => match world.create(&**set).await {
            Ok(_) => {
                let size = set.spec.replicas.unwrap_or(0);
                if size > 0 {
                    told(world, deployment, set, 0, size);
                }
            }
            Err(error) if is_conflict(&error) => {
                let (namespace, name) = key_of(&set.metadata);
                let api = <ReplicaSet as world::Mirrored>::api(&world.client, &namespace);
                let there = api.get(&name).await?;
                let ours = owners::controlled_by(&there.metadata, &deployment.metadata);
                return Ok(!(ours && history::same_template(deployment, &there)));
            }
            Err(error) => {
                let message = format!("Failed to create new replica set: {}", text(&error));
                world.recorder.warning(deployment, COMPONENT, "ReplicaSetCreateError", message);
                return Err(error);
            }
        },
        Action::Scale { set, to, annotations } => {
            let from = set.spec.replicas.unwrap_or(1);
            let patch = json!({
                "metadata": { "uid": set.metadata.uid, "annotations": annotations },
                "spec": { "replicas": to },
            });
            world.patch(&**set, patch).await?;
            if from != *to {
                told(world, deployment, set, from, *to);
            }
        }
        Action::Annotate { set, annotations, min_ready_seconds } => {
            let patch = json!({
                "metadata": { "uid": set.metadata.uid, "annotations": annotations },
                "spec": { "minReadySeconds": min_ready_seconds },
            });
            world.patch(&**set, patch).await?;
        }
        Action::Delete(set) => world.delete(&**set, None).await?,
        Action::Revision(revision) => {
            let patch = json!({
                "metadata": { "uid": deployment.metadata.uid, "annotations": { history::REVISION: revision } },
            });
            or_gone(world.patch(deployment, patch).await)?;
        }
    }
    Ok(false)
}

fn told(world: &World, deployment: &Deployment, set: &ReplicaSet, from: i32, to: i32) {
    let direction = if to > from { "up" } else { "down" };
    let name = set.metadata.name.as_deref().unwrap_or_default();
    let message = format!("Scaled {direction} replica set {name} from {from} to {to}");
    world.recorder.normal(deployment, COMPONENT, "ScalingReplicaSet", message);
}
