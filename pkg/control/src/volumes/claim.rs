//! What a claim needs next (`syncClaim` of kube-controller-manager's `pv_controller.go`). Pure.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::ResourceExt;
use minisvc_api::volumes::{DEFAULT_CLASS, OLD_DEFAULT_CLASS, PROVISIONER};

use super::matching::{Seeker, asked, best, class_of_claim, held, is_promised, unfit};
use super::provision::is_ours;
use super::{BIND_COMPLETED, BOUND_BY_CONTROLLER, SELECTED_NODE, annotated};

/// Names of Kubernetes' own provisioners whose work drivers outside do today.
const MIGRATED: [&str; 7] = [
    "kubernetes.io/aws-ebs",
    "kubernetes.io/azure-disk",
    "kubernetes.io/azure-file",
    "kubernetes.io/cinder",
    "kubernetes.io/gce-pd",
    "kubernetes.io/portworx-volume",
    "kubernetes.io/vsphere-volume",
];

/// An event on the claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) warning: bool,
    pub(super) reason: &'static str,
    pub(super) message: String,
}

fn word(warning: bool, reason: &'static str, message: impl Into<String>) -> Option<Word> {
    Some(Word { warning, reason, message: message.into() })
}

/// The next step of a claim.
#[derive(Debug, PartialEq)]
pub(super) enum Step {
    /// It belongs to this volume: both are to say so.
    Bind(Arc<PersistentVolume>),
    /// Its class has to make a volume.
    Provision,
    /// It names no class, and this is the default one.
    Class(String),
    /// It stays Pending.
    Wait(Option<Word>),
    /// Its volume is gone.
    Lost(Word),
}

/// What is known around a claim.
pub(super) struct Scene<'a> {
    pub(super) volumes: &'a [Arc<PersistentVolume>],
    pub(super) classes: &'a [Arc<StorageClass>],
    /// Names of pods that use the claim and have no node yet.
    pub(super) waiting_pods: &'a [String],
}

/// The class of claims that name none: of several defaults the youngest, then the first by name.
pub(crate) fn default_class(classes: &[Arc<StorageClass>]) -> Option<&Arc<StorageClass>> {
    let said = |class: &StorageClass| {
        [DEFAULT_CLASS, OLD_DEFAULT_CLASS].iter().any(|key| annotated(&class.metadata, key) == Some("true"))
    };
    let age = |class: &StorageClass| class.metadata.creation_timestamp.as_ref().map(|time| time.0);
    let defaults = classes.iter().filter(|class| said(class));
    defaults.min_by(|a, b| age(b).cmp(&age(a)).then_with(|| a.name_any().cmp(&b.name_any())))
}

/// Whether volumes of the class are bound only when a pod needs them.
pub(crate) fn waits_for_consumer(class: &StorageClass) -> bool {
    class.volume_binding_mode.as_deref() == Some("WaitForFirstConsumer")
}

/// What to do next.
pub(super) fn step(claim: &PersistentVolumeClaim, scene: &Scene<'_>) -> Step {
    let named = claim.spec.as_ref().and_then(|spec| spec.volume_name.as_deref()).unwrap_or_default();
    let volume = scene.volumes.iter().find(|volume| volume.name_any() == named);
    if annotated(&claim.metadata, BIND_COMPLETED).is_some() {
        return bound(claim, named, volume);
    }
    if named.is_empty() {
        return unbound(claim, scene);
    }
    let Some(volume) = volume else { return Step::Wait(None) };
    let taken = volume.spec.as_ref().is_some_and(|spec| spec.claim_ref.is_some());
    if !taken && let Some(why) = unfit(volume, claim) {
        let message = format!("Cannot bind to requested volume {named:?}: {why}");
        return Step::Wait(word(true, "VolumeMismatch", message));
    }
    if !taken || is_promised(volume, claim) {
        return Step::Bind(volume.clone());
    }
    let message = format!("volume {named:?} already bound to a different claim.");
    Step::Wait(word(true, "FailedBinding", message))
}

fn bound(claim: &PersistentVolumeClaim, named: &str, volume: Option<&Arc<PersistentVolume>>) -> Step {
    let lost = |reason, message: &str| Step::Lost(Word { warning: true, reason, message: message.to_owned() });
    if named.is_empty() {
        return lost("ClaimLost", "Bound claim has lost reference to PersistentVolume. Data on the volume is lost!");
    }
    let Some(volume) = volume else {
        return lost("ClaimLost", "Bound claim has lost its PersistentVolume. Data on the volume is lost!");
    };
    match volume.spec.as_ref().and_then(|spec| spec.claim_ref.as_ref()) {
        None => Step::Bind(volume.clone()),
        Some(other) if other.uid == claim.metadata.uid => Step::Bind(volume.clone()),
        Some(_) => lost("ClaimMisbound", "Two claims are bound to the same volume, this one is bound incorrectly"),
    }
}

fn unbound(claim: &PersistentVolumeClaim, scene: &Scene<'_>) -> Step {
    let class_name = class_of_claim(claim);
    let class = class_name.and_then(|name| scene.classes.iter().find(|class| class.name_any() == name));
    let later =
        class.is_some_and(|class| waits_for_consumer(class)) && annotated(&claim.metadata, SELECTED_NODE).is_none();
    let seeker = if later { Seeker::Later } else { Seeker::Now };
    if let Some(volume) = best(claim, scene.volumes, seeker) {
        return Step::Bind(volume);
    }
    match class_name {
        None => {
            if let Some(class) = default_class(scene.classes) {
                return Step::Class(class.name_any());
            }
        }
        Some(_) if later => {
            let pods = scene.waiting_pods;
            let (reason, message) = match pods {
                [] => ("WaitForFirstConsumer", "waiting for first consumer to be created before binding".to_owned()),
                [one] => ("WaitForPodScheduled", format!("waiting for pod {one} to be scheduled")),
                _ => ("WaitForPodScheduled", format!("waiting for pods {} to be scheduled", pods.join(","))),
            };
            return Step::Wait(word(false, reason, message));
        }
        Some("") => {}
        Some(name) => {
            return match class {
                None => {
                    let message = format!("storageclass.storage.k8s.io {name:?} not found");
                    Step::Wait(word(true, "ProvisioningFailed", message))
                }
                Some(class) => provision(claim, &class.provisioner),
            };
        }
    }
    let message = "no persistent volumes available for this claim and no storage class is set";
    Step::Wait(word(false, "FailedBinding", message))
}

fn provision(claim: &PersistentVolumeClaim, provisioner: &str) -> Step {
    match provisioner {
        _ if claim.metadata.deletion_timestamp.is_some() => Step::Wait(None),
        PROVISIONER => Step::Provision,
        // Among them the name that local storage uses to say that nobody makes volumes.
        own if own.starts_with("kubernetes.io/") && !MIGRATED.contains(&own) => {
            Step::Wait(word(true, "ProvisioningFailed", format!("no volume plugin matched name: {own}")))
        }
        other => {
            let message = format!(
                "Waiting for a volume to be created either by the external provisioner '{other}' or manually by the \
                 system administrator. If volume creation is delayed, please verify that the provisioner is running \
                 and correctly registered."
            );
            Step::Wait(word(false, "ExternalProvisioning", message))
        }
    }
}

/// The claim as it says that it belongs to a volume: its spec and annotations first, then its status.
pub(super) fn belonging(claim: &PersistentVolumeClaim, volume: &PersistentVolume) -> PersistentVolumeClaim {
    let mut claim = claim.clone();
    let spec = claim.spec.get_or_insert_default();
    let annotations = claim.metadata.annotations.get_or_insert_default();
    if spec.volume_name.as_deref().unwrap_or_default().is_empty() {
        spec.volume_name = volume.metadata.name.clone();
        annotations.insert(BOUND_BY_CONTROLLER.into(), "yes".into());
    }
    annotations.entry(BIND_COMPLETED.into()).or_insert_with(|| "yes".into());
    claim
}

/// The status of a claim that is bound.
pub(super) fn bound_status(claim: &PersistentVolumeClaim, volume: &PersistentVolume) -> PersistentVolumeClaim {
    let mut claim = claim.clone();
    let fresh = claim.status.as_ref().and_then(|status| status.phase.as_deref()) != Some("Bound");
    let status = claim.status.get_or_insert_default();
    let spec = volume.spec.as_ref();
    status.phase = Some("Bound".into());
    status.access_modes = spec.and_then(|spec| spec.access_modes.clone());
    // Later it is whoever resizes the volume that tells its size; for volumes of our own, that is us.
    if fresh || status.capacity.is_none() || is_ours(volume) {
        status.capacity = spec.and_then(|spec| spec.capacity.clone());
    }
    if fresh {
        status.current_volume_attributes_class_name = spec.and_then(|spec| spec.volume_attributes_class_name.clone());
    }
    claim
}

/// The volume of a bound claim that asks for more, where it is one of our own: folders grow by being called greater.
pub(super) fn grown(claim: &PersistentVolumeClaim, volume: &PersistentVolume) -> Option<PersistentVolume> {
    let bound = claim.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Bound");
    if !bound || !is_ours(volume) || held(volume) >= asked(claim) {
        return None;
    }
    let wanted = claim.spec.as_ref()?.resources.as_ref()?.requests.as_ref()?.get("storage")?.clone();
    let mut volume = volume.clone();
    volume.spec.as_mut()?.capacity = Some([("storage".to_owned(), wanted)].into());
    Some(volume)
}
