//! Volumes made for claims: folders of the machine's, one each, which every node reaches. Pure, but for the folder's removal.

use std::path::{Component, Path};

use k8s_openapi::api::core::v1::{
    HostPathVolumeSource, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, ObjectReference, PersistentVolume,
    PersistentVolumeClaim, PersistentVolumeSpec, TopologySelectorLabelRequirement, VolumeNodeAffinity,
};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::ResourceExt;
use minisvc_api::volumes::{PROVISIONER, VOLUME_FINALIZER};

use super::{BOUND_BY_CONTROLLER, annotated};

/// Says on a volume who made it.
pub(crate) const MADE_BY: &str = "pv.kubernetes.io/provisioned-by";
/// Keeps a volume of our own until its files are gone, whoever deletes it (`PVDeletionInTreeProtectionFinalizer`).
pub(super) const FILES_FINALIZER: &str = "kubernetes.io/pv-controller";

/// Whether the volume was made here.
pub(super) fn is_ours(volume: &PersistentVolume) -> bool {
    annotated(&volume.metadata, MADE_BY) == Some(PROVISIONER)
}

/// A reference to a claim, as volumes carry it.
pub(crate) fn reference(claim: &PersistentVolumeClaim) -> ObjectReference {
    ObjectReference {
        kind: Some("PersistentVolumeClaim".into()),
        api_version: Some("v1".into()),
        namespace: claim.metadata.namespace.clone(),
        name: claim.metadata.name.clone(),
        uid: claim.metadata.uid.clone(),
        resource_version: claim.metadata.resource_version.clone(),
        ..ObjectReference::default()
    }
}

/// The name of the volume that is made for a claim.
pub(crate) fn name(claim: &PersistentVolumeClaim) -> String {
    format!("pvc-{}", claim.metadata.uid.as_deref().unwrap_or_default())
}

/// The volume for a claim of a class, in `folder`. The folder itself is made by the first node that needs it.
///
/// # Errors
/// The sentence of a ProvisioningFailed event: there are no block devices to give.
pub(crate) fn volume(
    claim: &PersistentVolumeClaim,
    class: &StorageClass,
    folder: &Path,
) -> Result<PersistentVolume, String> {
    let name = name(claim);
    let spec = claim.spec.clone().unwrap_or_default();
    if spec.volume_mode.as_deref() == Some("Block") {
        return Err(format!(
            "failed to provision volume with StorageClass {:?}: {PROVISIONER} makes file systems only, no block devices",
            class.name_any()
        ));
    }
    if spec.data_source.is_some() || spec.data_source_ref.is_some() {
        return Err(format!(
            "failed to provision volume with StorageClass {:?}: {PROVISIONER} cannot fill a volume from a data source",
            class.name_any()
        ));
    }
    if let Some(options) = class.mount_options.as_ref().filter(|options| !options.is_empty()) {
        return Err(format!(
            "Mount options are not supported by the provisioner but StorageClass {:?} has mount options [{}]",
            class.name_any(),
            options.join(" ")
        ));
    }
    let asked = spec.resources.and_then(|resources| resources.requests?.get("storage").cloned());
    let mut volume = PersistentVolume::default();
    volume.metadata.name = Some(name.clone());
    let said = [(MADE_BY, PROVISIONER), (BOUND_BY_CONTROLLER, "yes")];
    volume.metadata.annotations = Some(said.map(|(key, value)| (key.to_owned(), value.to_owned())).into());
    let mut finalizers = vec![VOLUME_FINALIZER.to_owned()];
    if class.reclaim_policy.as_deref() != Some("Retain") {
        finalizers.push(FILES_FINALIZER.to_owned());
    }
    volume.metadata.finalizers = Some(finalizers);
    volume.spec = Some(PersistentVolumeSpec {
        access_modes: spec.access_modes,
        capacity: asked.map(|asked| [("storage".to_owned(), asked)].into()),
        claim_ref: Some(reference(claim)),
        host_path: Some(HostPathVolumeSource {
            path: folder.join(&name).display().to_string(),
            type_: Some("DirectoryOrCreate".into()),
        }),
        node_affinity: where_allowed(class),
        persistent_volume_reclaim_policy: class.reclaim_policy.clone(),
        storage_class_name: Some(class.name_any()),
        volume_mode: Some("Filesystem".into()),
        ..PersistentVolumeSpec::default()
    });
    Ok(volume)
}

/// The nodes that a class allows (`allowedTopologies`), as a volume says it.
fn where_allowed(class: &StorageClass) -> Option<VolumeNodeAffinity> {
    let terms = class.allowed_topologies.as_ref().filter(|terms| !terms.is_empty())?;
    let one = |label: &TopologySelectorLabelRequirement| NodeSelectorRequirement {
        key: label.key.clone(),
        operator: "In".into(),
        values: Some(label.values.clone()),
    };
    let terms = terms.iter().map(|term| NodeSelectorTerm {
        match_expressions: Some(term.match_label_expressions.iter().flatten().map(one).collect()),
        match_fields: None,
    });
    Some(VolumeNodeAffinity { required: Some(NodeSelector { node_selector_terms: terms.collect() }) })
}

/// Removes the folder of a volume that was made here. A volume that says so but lies elsewhere is refused.
///
/// # Errors
/// The sentence of a VolumeFailedDelete event.
pub(crate) fn remove(volume: &PersistentVolume, folder: &Path) -> Result<(), String> {
    let name = volume.name_any();
    let own = Path::new(&name).components().collect::<Vec<_>>();
    let plain = matches!(own.as_slice(), [Component::Normal(_)]) && name.starts_with("pvc-");
    let place = folder.join(&name);
    let told = volume.spec.as_ref().and_then(|spec| spec.host_path.as_ref()).map(|host| Path::new(&host.path));
    if !plain || told != Some(place.as_path()) {
        return Err(format!("volume {name:?} is not one that {PROVISIONER} made; its files stay"));
    }
    match std::fs::remove_dir_all(&place) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(format!("remove {}: {error}", place.display())),
    }
}
