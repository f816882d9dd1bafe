//! A volume's turn: does what `volume` says is its next step, and clears away the files of those that go. No judgement
//! here.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use serde_json::json;

use super::provision::FILES_FINALIZER;
use super::volume::{self, Reclaim, Step};
use super::{AGAIN, COMPONENT, claim_turn, named_claim, phase, provision};
use crate::mirror::key_of;
use crate::world::{Mirrored, World, or_gone};

pub(super) async fn take(world: &World, name: &str) -> Result<Option<Duration>, kube::Error> {
    let Some(volume) = world.volumes.get("", name) else { return Ok(None) };
    let claim = claim_of(world, &volume).await?;
    match volume::step(&volume, claim.as_deref()) {
        Step::Finalizers(all) => keep(world, &volume, &all).await?,
        Step::Phase(phase) => say_phase(world, &volume, phase, None).await?,
        // The claim's own turn binds it.
        Step::Ask => {
            if let Some(claim) = claim {
                return claim_turn::take(world, &key_of(&claim.metadata)).await;
            }
        }
        Step::Free(freed) => {
            let freed = world.replace(&*freed).await?;
            say_phase(world, &freed, "Available", None).await?;
        }
        Step::Reclaim(what) => {
            if !matches!(phase(&volume), "Released" | "Failed") {
                say_phase(world, &volume, "Released", None).await?;
                // The next turn sees it released, and does what is to be done with it.
                return Ok(Some(Duration::ZERO));
            }
            return reclaim(world, &volume, what).await;
        }
    }
    Ok(None)
}

/// The claim that the volume names. Whoever wrote the volume may have seen a claim that the mirror has not: before the
/// volume is released, the server is asked.
async fn claim_of(world: &World, volume: &PersistentVolume) -> Result<Option<Arc<PersistentVolumeClaim>>, kube::Error> {
    let Some(key) = named_claim(volume) else { return Ok(None) };
    let uid = volume.spec.as_ref().and_then(|spec| spec.claim_ref.as_ref()?.uid.clone()).unwrap_or_default();
    let known = world.claims.get_key(&key);
    if uid.is_empty() || known.as_ref().is_some_and(|claim| claim.metadata.uid.as_ref() == Some(&uid)) {
        return Ok(known);
    }
    let found = PersistentVolumeClaim::api(&world.client, &key.0).get_opt(&key.1).await?;
    Ok(found.map(Arc::new))
}

async fn keep(world: &World, volume: &PersistentVolume, finalizers: &[String]) -> Result<(), kube::Error> {
    let meta = &volume.metadata;
    let patch =
        json!({"metadata": {"uid": meta.uid, "resourceVersion": meta.resource_version, "finalizers": finalizers}});
    or_gone(world.patch(volume, patch).await)
}

async fn reclaim(world: &World, volume: &PersistentVolume, what: Reclaim) -> Result<Option<Duration>, kube::Error> {
    let (reason, why) = match what {
        Reclaim::Keep => return Ok(None),
        Reclaim::Fail(reason, why) => (reason, why),
        Reclaim::Delete => {
            let (gone, folder) = (volume.clone(), world.config.volumes.clone());
            let removed = tokio::task::spawn_blocking(move || provision::remove(&gone, &folder)).await;
            match removed.unwrap_or_else(|error| Err(error.to_string())) {
                Ok(()) => {
                    let finalizers = volume.metadata.finalizers.iter().flatten();
                    let left: Vec<_> = finalizers.filter(|one| *one != FILES_FINALIZER).cloned().collect();
                    keep(world, volume, &left).await?;
                    // The finalizer of protection goes by itself.
                    world.delete(volume, None).await?;
                    return Ok(None);
                }
                Err(why) => ("VolumeFailedDelete", why),
            }
        }
    };
    if phase(volume) != "Failed" {
        say_phase(world, volume, "Failed", Some(&why)).await?;
        world.recorder.warning(volume, COMPONENT, reason, why);
    }
    Ok(Some(AGAIN))
}

/// Writes the phase where it is another, with why.
pub(super) async fn say_phase(
    world: &World,
    volume: &PersistentVolume,
    now: &str,
    why: Option<&str>,
) -> Result<(), kube::Error> {
    if volume.status.as_ref().and_then(|status| status.phase.as_deref()) == Some(now) {
        return Ok(());
    }
    let mut changed = volume.clone();
    let status = changed.status.get_or_insert_default();
    status.phase = Some(now.to_owned());
    status.message = why.map(str::to_owned);
    or_gone(world.replace_status(&changed).await)
}
