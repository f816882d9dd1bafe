//! What a volume needs next (`syncVolume` of kube-controller-manager's `pv_controller.go`). Pure.

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use kube::ResourceExt;

use super::provision::{FILES_FINALIZER, MADE_BY, is_ours, reference};
use super::{BOUND_BY_CONTROLLER, annotated};

/// The next step of a volume.
#[derive(Debug, PartialEq)]
pub(super) enum Step {
    /// What keeps it is to be these.
    Finalizers(Vec<String>),
    /// It says that it is so.
    Phase(&'static str),
    /// Its claim is gone: that is what is to be done with it.
    Reclaim(Reclaim),
    /// The controller gave it to a claim that took another: it is free again.
    Free(Box<PersistentVolume>),
    /// Its claim does not know of it yet: the claim is asked.
    Ask,
}

/// What becomes of a volume without its claim.
#[derive(Debug, PartialEq)]
pub(super) enum Reclaim {
    Keep,
    /// It goes, with its files.
    Delete,
    /// Nobody here can do what its policy says: reason and message of the event.
    Fail(&'static str, String),
}

/// What to do next. `claim` is the one that the volume names, by namespace and name.
pub(super) fn step(volume: &PersistentVolume, claim: Option<&PersistentVolumeClaim>) -> Step {
    if let Some(finalizers) = finalizers(volume) {
        return Step::Finalizers(finalizers);
    }
    let spec = volume.spec.as_ref();
    let named = spec.and_then(|spec| spec.claim_ref.as_ref());
    let Some(uid) = named.and_then(|named| named.uid.as_deref()).filter(|uid| !uid.is_empty()) else {
        // Someone deletes what nobody claims: its files go too.
        return match is_ours(volume) && volume.metadata.deletion_timestamp.is_some() {
            true => Step::Reclaim(reclaim(volume)),
            false => Step::Phase("Available"),
        };
    };
    let claim = claim.filter(|claim| claim.metadata.uid.as_deref() == Some(uid));
    let Some(claim) = claim else { return Step::Reclaim(reclaim(volume)) };
    match claim.spec.as_ref().and_then(|spec| spec.volume_name.as_deref()).unwrap_or_default() {
        "" => Step::Ask,
        name if name == volume.name_any() => Step::Phase("Bound"),
        _ if annotated(&volume.metadata, MADE_BY).is_some() && policy(volume) == "Delete" => {
            Step::Reclaim(reclaim(volume))
        }
        _ => Step::Free(Box::new(freed(volume))),
    }
}

fn policy(volume: &PersistentVolume) -> &str {
    volume.spec.as_ref().and_then(|spec| spec.persistent_volume_reclaim_policy.as_deref()).unwrap_or_default()
}

/// Volumes of our own are kept until their files are gone, as long as their policy is to delete them
/// (`modifyDeletionFinalizers`).
fn finalizers(volume: &PersistentVolume) -> Option<Vec<String>> {
    let mut all = volume.metadata.finalizers.clone().unwrap_or_default();
    let there = all.iter().any(|one| one == FILES_FINALIZER);
    match (is_ours(volume), policy(volume) == "Delete", there) {
        (true, true, false) if volume.metadata.deletion_timestamp.is_none() => all.push(FILES_FINALIZER.to_owned()),
        (true, false, true) => all.retain(|one| one != FILES_FINALIZER),
        _ => return None,
    }
    Some(all)
}

fn reclaim(volume: &PersistentVolume) -> Reclaim {
    let name = volume.name_any();
    let spec = volume.spec.as_ref();
    let fail = |why| Reclaim::Fail("VolumeFailedDelete", why);
    match policy(volume) {
        "Delete" if is_ours(volume) => Reclaim::Delete,
        // Whoever made it removes it.
        "Delete" if annotated(&volume.metadata, MADE_BY).is_some_and(|maker| !maker.is_empty()) => Reclaim::Keep,
        "Delete" if spec.is_some_and(|spec| spec.csi.is_some()) => Reclaim::Keep,
        "Delete" => match spec.and_then(|spec| spec.host_path.as_ref()) {
            Some(host) if !host.path.contains("/tmp/") => {
                fail(format!("host_path deleter only supports /tmp/.+ but received provided {}", host.path))
            }
            // A folder of some node's, which of them nobody said.
            Some(host) => {
                fail(format!("{} is a folder of a node; minisvc removes only folders that it made", host.path))
            }
            None => fail(format!(
                "error getting deleter volume plugin for volume {name:?}: no deletable volume plugin matched"
            )),
        },
        "Recycle" => Reclaim::Fail("VolumeFailedRecycle", "No recycler plugin found for the volume!".into()),
        _ => Reclaim::Keep,
    }
}

/// The volume without its claim: wholly when the controller had chosen it, else without the uid (`unbindVolume`).
fn freed(volume: &PersistentVolume) -> PersistentVolume {
    let mut volume = volume.clone();
    let chosen = annotated(&volume.metadata, BOUND_BY_CONTROLLER).is_some();
    let Some(spec) = volume.spec.as_mut() else { return volume };
    if chosen {
        spec.claim_ref = None;
        if let Some(annotations) = volume.metadata.annotations.as_mut() {
            annotations.remove(BOUND_BY_CONTROLLER);
        }
        volume.metadata.annotations = volume.metadata.annotations.filter(|all| !all.is_empty());
    } else if let Some(named) = spec.claim_ref.as_mut() {
        named.uid = None;
    }
    volume
}

/// The volume as it says that it belongs to a claim; the same when it says so already.
pub(crate) fn given(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> PersistentVolume {
    let mut volume = volume.clone();
    let spec = volume.spec.get_or_insert_default();
    let free = spec.claim_ref.is_none();
    if spec.claim_ref.as_ref().is_none_or(|named| named.uid != claim.metadata.uid) {
        spec.claim_ref = Some(reference(claim));
    }
    if free {
        volume.metadata.annotations.get_or_insert_default().insert(BOUND_BY_CONTROLLER.into(), "yes".into());
    }
    volume
}
