//! The persistent volume controller: gives claims their volumes, makes volumes for claims of the lab's own class, and
//! clears away what is left when a claim is gone. Here is the loop alone: `claim` and `volume` judge, `claim_turn` and
//! `volume_turn` write. What keeps claims and volumes that are in use is `protection`, claims that live with a pod are
//! `ephemeral`.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;
use minisvc_api::volumes::claim_of;

use crate::mirror::{Key, key_of};
use crate::queue::{Queue, drive};
use crate::world::{World, is_conflict};

mod claim;
mod claim_turn;
mod ephemeral;
pub(crate) mod matching;
mod protection;
mod provision;
#[cfg(test)]
mod tests;
mod volume;
mod volume_turn;

pub(crate) use claim::waits_for_consumer;
pub(crate) use ephemeral::run as ephemeral;
pub(crate) use protection::run as protect;
pub(crate) use volume::given;

const COMPONENT: &str = "persistentvolume-controller";
/// A claim that has its volume says so, so that a lost volume is noticed.
pub(crate) const BIND_COMPLETED: &str = "pv.kubernetes.io/bind-completed";
/// The controller chose, not the user.
pub(crate) const BOUND_BY_CONTROLLER: &str = "pv.kubernetes.io/bound-by-controller";
/// The node of the pod that a claim waited for.
pub(crate) const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";
/// Claims that wait are looked at again after this (kube-controller-manager's `--pvclaimbinder-sync-period`).
const AGAIN: Duration = Duration::from_secs(15);

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Work {
    Claim(Key),
    Volume(String),
}

/// The value of an annotation.
pub(crate) fn annotated<'a>(meta: &'a ObjectMeta, key: &str) -> Option<&'a str> {
    meta.annotations.as_ref()?.get(key).map(String::as_str)
}

/// Names of the claims that a pod's volumes need, with whether they are the pod's own.
pub(crate) fn claims_of(pod: &Pod) -> impl Iterator<Item = (String, bool)> + '_ {
    let volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    volumes.filter_map(|volume| claim_of(&pod.name_any(), volume))
}

/// Runs the controller for ever.
pub(crate) async fn run(world: Arc<World>) {
    let queue: Arc<Queue<Work>> = Queue::new();
    let (q, w) = (queue.clone(), world.clone());
    world.claims.hook(move |old, new| {
        for claim in [old, new].into_iter().flatten() {
            let named = claim.spec.as_ref().and_then(|spec| spec.volume_name.clone()).unwrap_or_default();
            if !named.is_empty() {
                q.add(Work::Volume(named));
            }
        }
        match (old, new) {
            (_, Some(claim)) => q.add(Work::Claim(key_of(&claim.metadata))),
            // A volume may name the claim that is gone without its knowing.
            (Some(claim), None) => {
                let key = key_of(&claim.metadata);
                for volume in w.volumes.all().into_iter().filter(|volume| named_claim(volume).as_ref() == Some(&key)) {
                    q.add(Work::Volume(volume.name_any()));
                }
            }
            (None, None) => {}
        }
    });
    let (q, w) = (queue.clone(), world.clone());
    world.volumes.hook(move |old, new| {
        if let Some(volume) = new.or(old) {
            q.add(Work::Volume(volume.name_any()));
        }
        let mut concerned: Vec<_> = [old, new].into_iter().flatten().filter_map(|volume| named_claim(volume)).collect();
        let free = new.is_some_and(|volume| phase(volume) == "Available");
        if new.is_none() || free {
            concerned.extend(
                w.claims.all().iter().filter(|claim| concerns(claim, new.or(old))).map(|c| key_of(&c.metadata)),
            );
        }
        concerned.into_iter().for_each(|key| q.add(Work::Claim(key)));
    });
    let (q, w) = (queue.clone(), world.clone());
    world.classes.hook(move |_, _| {
        for claim in w.claims.all().iter().filter(|claim| !is_bound(claim)) {
            q.add(Work::Claim(key_of(&claim.metadata)));
        }
    });
    // One at a time: two claims must not be promised the same volume.
    drive("persistentvolume", queue, 1, |work| {
        let world = world.clone();
        async move {
            let outcome = match work {
                Work::Claim(key) => claim_turn::take(&world, &key).await,
                Work::Volume(name) => volume_turn::take(&world, &name).await,
            };
            match outcome {
                // Changed since: its newer self comes by in a moment.
                Err(error) if is_conflict(&error) => Ok(Some(Duration::from_millis(20))),
                other => other,
            }
        }
    })
    .await;
}

fn named_claim(volume: &PersistentVolume) -> Option<Key> {
    let named = volume.spec.as_ref()?.claim_ref.as_ref()?;
    Some((named.namespace.clone()?, named.name.clone()?))
}

pub(crate) fn phase(volume: &PersistentVolume) -> &str {
    volume.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or("Pending")
}

pub(crate) fn is_bound(claim: &PersistentVolumeClaim) -> bool {
    annotated(&claim.metadata, BIND_COMPLETED).is_some()
        && claim.spec.as_ref().and_then(|spec| spec.volume_name.as_deref()).is_some_and(|name| !name.is_empty())
}

/// Whether news of a volume may be news for a claim.
fn concerns(claim: &PersistentVolumeClaim, volume: Option<&Arc<PersistentVolume>>) -> bool {
    let named = claim.spec.as_ref().and_then(|spec| spec.volume_name.clone()).unwrap_or_default();
    named.is_empty() || volume.is_some_and(|volume| volume.name_any() == named)
}
