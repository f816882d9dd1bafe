//! Claims that pods use and volumes that belong to claims stay until they are free: the finalizers of plugin
//! `StorageObjectInUseProtection`, and when they go (`pvcprotection`, `pvprotection`).

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;
use minisvc_api::volumes::{CLAIM_FINALIZER, VOLUME_FINALIZER};
use serde_json::{Value, json};

use super::{claims_of, phase};
use crate::mirror::{Key, key_of};
use crate::pods;
use crate::queue::{Queue, drive};
use crate::world::{World, or_gone};

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Work {
    Claim(Key),
    Volume(String),
}

/// Runs both for ever.
pub(crate) async fn run(world: Arc<World>) {
    let queue: Arc<Queue<Work>> = Queue::new();
    let q = queue.clone();
    world.claims.hook(move |_, new| {
        if let Some(claim) = new {
            q.add(Work::Claim(key_of(&claim.metadata)));
        }
    });
    let q = queue.clone();
    world.volumes.hook(move |_, new| {
        if let Some(volume) = new {
            q.add(Work::Volume(volume.name_any()));
        }
    });
    let q = queue.clone();
    world.pods.hook(move |old, new| {
        if let Some(pod) = old.filter(|_| new.is_none_or(|pod| pods::terminating(pod))) {
            let namespace = pod.namespace().unwrap_or_default();
            claims_of(pod).for_each(|(name, _)| q.add(Work::Claim((namespace.clone(), name))));
        }
    });
    drive("volume protection", queue, 2, |work| sync(&world, work)).await;
}

/// Whether a pod holds a claim: one that has a node does, until it is gone.
pub(super) fn uses(pod: &Pod, claim: &str) -> bool {
    let shut = pods::terminating(pod) && pod.metadata.deletion_grace_period_seconds == Some(0);
    pods::node(pod).is_some() && claims_of(pod).any(|(name, own)| name == claim && !(own && shut))
}

async fn sync(world: &World, work: Work) -> Result<Option<Duration>, kube::Error> {
    match work {
        Work::Claim(key) => {
            let Some(claim) = world.claims.get_key(&key) else { return Ok(None) };
            let in_use = || world.pods.list(&key.0).iter().any(|pod| uses(pod, &key.1));
            if let Some(patch) = wanted(&claim.metadata, CLAIM_FINALIZER, in_use) {
                or_gone(world.patch(&*claim, patch).await)?;
            }
        }
        Work::Volume(name) => {
            let Some(volume) = world.volumes.get("", &name) else { return Ok(None) };
            if let Some(patch) = wanted(&volume.metadata, VOLUME_FINALIZER, || phase(&volume) == "Bound") {
                or_gone(world.patch(&*volume, patch).await)?;
            }
        }
    }
    Ok(None)
}

/// The patch that adds or takes away the finalizer, if there is something to change.
pub(super) fn wanted(meta: &ObjectMeta, finalizer: &str, in_use: impl Fn() -> bool) -> Option<Value> {
    let mut all = meta.finalizers.clone().unwrap_or_default();
    let there = all.iter().any(|one| one == finalizer);
    match (meta.deletion_timestamp.is_some(), there) {
        (true, true) if !in_use() => all.retain(|one| one != finalizer),
        (false, false) => all.push(finalizer.to_owned()),
        _ => return None,
    }
    Some(json!({"metadata": {"uid": meta.uid, "resourceVersion": meta.resource_version, "finalizers": all}}))
}
