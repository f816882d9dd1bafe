//! Whether a volume suits a claim, and which suits best (component-helpers `storage/volume/pv_helpers.go`). Pure.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, PersistentVolume, PersistentVolumeClaim};
use kube::ResourceExt;
use minisvc_api::node_fit::term_matches;
use minisvc_api::volumes::OLD_CLASS;

use crate::labels::selects;

/// The class of a claim; nothing where none is named at all, which is not the same as the empty name.
pub(crate) fn class_of_claim(claim: &PersistentVolumeClaim) -> Option<&str> {
    let old = claim.metadata.annotations.as_ref().and_then(|all| all.get(OLD_CLASS)).map(String::as_str);
    old.or_else(|| claim.spec.as_ref()?.storage_class_name.as_deref())
}

/// The class of a volume, empty without one.
pub(crate) fn class_of_volume(volume: &PersistentVolume) -> &str {
    let old = volume.metadata.annotations.as_ref().and_then(|all| all.get(OLD_CLASS)).map(String::as_str);
    old.or_else(|| volume.spec.as_ref()?.storage_class_name.as_deref()).unwrap_or_default()
}

fn bytes(quantity: Option<&k8s_openapi::apimachinery::pkg::api::resource::Quantity>) -> f64 {
    quantity.and_then(|quantity| minisvc_api::quantity::parse(&quantity.0).ok()).unwrap_or(0.0)
}

/// Bytes that a claim asks for.
pub(crate) fn asked(claim: &PersistentVolumeClaim) -> f64 {
    let requests = claim.spec.as_ref().and_then(|spec| spec.resources.as_ref()?.requests.as_ref());
    bytes(requests.and_then(|requests| requests.get("storage")))
}

/// Bytes that a volume holds.
pub(super) fn held(volume: &PersistentVolume) -> f64 {
    bytes(volume.spec.as_ref().and_then(|spec| spec.capacity.as_ref()?.get("storage")))
}

/// Whether the volume names this claim as its own: by name, and by uid where it names one.
pub(crate) fn is_promised(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> bool {
    let Some(named) = volume.spec.as_ref().and_then(|spec| spec.claim_ref.as_ref()) else { return false };
    named.name == claim.metadata.name
        && named.namespace == claim.metadata.namespace
        && named.uid.as_deref().is_none_or(|uid| uid.is_empty() || Some(uid) == claim.metadata.uid.as_deref())
}

fn modes_suit(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> bool {
    let has = volume.spec.as_ref().and_then(|spec| spec.access_modes.as_deref()).unwrap_or_default();
    let wants = claim.spec.as_ref().and_then(|spec| spec.access_modes.as_deref()).unwrap_or_default();
    wants.iter().all(|mode| has.contains(mode))
}

fn same_mode(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> bool {
    let of = |mode: Option<&String>| mode.map_or("Filesystem", String::as_str).to_owned();
    let of_volume = of(volume.spec.as_ref().and_then(|spec| spec.volume_mode.as_ref()));
    of_volume == of(claim.spec.as_ref().and_then(|spec| spec.volume_mode.as_ref()))
}

fn same_attributes(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> bool {
    let of_volume = volume.spec.as_ref().and_then(|spec| spec.volume_attributes_class_name.as_deref());
    let of_claim = claim.spec.as_ref().and_then(|spec| spec.volume_attributes_class_name.as_deref());
    of_volume.unwrap_or_default() == of_claim.unwrap_or_default()
}

/// Why a volume that a claim names cannot be its own; nothing when it can (`checkVolumeSatisfyClaim`).
pub(crate) fn unfit(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> Option<String> {
    let texts = [
        (held(volume) < asked(claim), "requested PV is too small"),
        (class_of_volume(volume) != class_of_claim(claim).unwrap_or_default(), "storageClassName does not match"),
        (!same_attributes(volume, claim), "volumeAttributesClassName does not match"),
        (!same_mode(volume, claim), "incompatible volumeMode"),
        (!modes_suit(volume, claim), "incompatible accessMode"),
    ];
    if volume.metadata.deletion_timestamp.is_some() {
        return Some(format!("the volume is marked for deletion {:?}", volume.name_any()));
    }
    texts.into_iter().find(|(wrong, _)| *wrong).map(|(_, text)| text.to_owned())
}

/// Whether pods that use the volume may run on the node (`spec.nodeAffinity`).
pub(crate) fn reaches(volume: &PersistentVolume, node: &Node) -> bool {
    let required = volume.spec.as_ref().and_then(|spec| spec.node_affinity.as_ref()?.required.as_ref());
    required.is_none_or(|selector| selector.node_selector_terms.iter().any(|term| term_matches(term, node)))
}

/// Who looks for a volume.
#[derive(Clone, Copy)]
pub(crate) enum Seeker<'a> {
    /// The controller, for a claim that is bound at once.
    Now,
    /// The controller, for a claim that waits for its consumer: only volumes that name it.
    Later,
    /// The scheduler, for a pod on this node.
    On(&'a Node),
}

/// The volume for a claim: one that names it, else the smallest of those that are free and suit (`FindMatchingVolume`).
/// The controller looks at those with the fewest access modes first (`persistentVolumeOrderedIndex`). Of equals the first
/// by name.
pub(crate) fn best<'a>(
    claim: &PersistentVolumeClaim,
    volumes: impl IntoIterator<Item = &'a Arc<PersistentVolume>>,
    seeker: Seeker<'_>,
) -> Option<Arc<PersistentVolume>> {
    let node = match seeker {
        Seeker::On(node) => Some(node),
        _ => None,
    };
    let reached = |volume: &PersistentVolume| node.is_none_or(|node| reaches(volume, node));
    let selector = claim.spec.as_ref().and_then(|spec| spec.selector.as_ref());
    let mut found = Vec::new();
    for volume in volumes {
        let promised = is_promised(volume, claim);
        if !promised && volume.spec.as_ref().is_some_and(|spec| spec.claim_ref.is_some())
            || held(volume) < asked(claim)
            || !same_mode(volume, claim)
            || !same_attributes(volume, claim)
            || volume.metadata.deletion_timestamp.is_some()
        {
            continue;
        }
        let suits = modes_suit(volume, claim);
        if promised && node.is_some() {
            return reached(volume).then(|| volume.clone());
        }
        let free = volume.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Available")
            && !matches!(seeker, Seeker::Later)
            && selector.is_none_or(|selector| selects(selector, volume.metadata.labels.as_ref()))
            && class_of_volume(volume) == class_of_claim(claim).unwrap_or_default()
            && reached(volume);
        if suits && (promised || free) {
            found.push((volume, promised));
        }
    }
    let modes = |volume: &PersistentVolume| match node {
        None => volume.spec.as_ref().and_then(|spec| spec.access_modes.as_ref()).map_or(0, Vec::len),
        Some(_) => 0,
    };
    let rank = |(volume, promised): &(&Arc<PersistentVolume>, bool)| (modes(volume), !promised);
    let order = |a: &(&Arc<PersistentVolume>, bool), b: &(&Arc<PersistentVolume>, bool)| {
        let sizes = held(a.0).total_cmp(&held(b.0));
        rank(a).cmp(&rank(b)).then(sizes).then_with(|| a.0.metadata.name.cmp(&b.0.metadata.name))
    };
    found.into_iter().min_by(order).map(|(volume, _)| volume.clone())
}
