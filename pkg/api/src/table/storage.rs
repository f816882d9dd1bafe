//! Columns and cells of volumes, claims and storage.k8s.io (upstream `printers.go`).

use jiff::Timestamp;
use serde_json::Value;

use super::columns::{AGE, NAME, column, integer, wide};
use super::{age, items, name, or, text};
use crate::registry::Column;

const fn boolean(name: &'static str, description: &'static str) -> Column {
    Column { kind: "boolean", ..column(name, description) }
}

/// `RWO,ROX` of access modes, each once, in Kubernetes' order.
fn access_modes(object: &Value, pointer: &str) -> String {
    const SHORT: &[(&str, &str)] =
        &[("ReadWriteOnce", "RWO"), ("ReadOnlyMany", "ROX"), ("ReadWriteMany", "RWX"), ("ReadWriteOncePod", "RWOP")];
    let modes = items(object, pointer);
    let short = SHORT.iter().filter(|(mode, _)| modes.iter().any(|m| m == mode)).map(|(_, short)| *short);
    short.collect::<Vec<_>>().join(",")
}

fn phase(object: &Value) -> &str {
    if crate::meta::is_deleting(object) { "Terminating" } else { text(object, "/status/phase") }
}

/// The class of a volume or claim: the older annotation wins.
fn class(object: &Value) -> &str {
    or(
        text(object, "/metadata/annotations/volume.beta.kubernetes.io~1storage-class"),
        text(object, "/spec/storageClassName"),
    )
}

/// Columns of PersistentVolume.
pub const PERSISTENT_VOLUME: &[Column] = &[
    NAME,
    column("Capacity", "How much the volume holds."),
    column("Access Modes", "How the volume may be mounted."),
    column("Reclaim Policy", "What becomes of the volume when its claim goes."),
    column("Status", "Whether the volume is available, bound or released."),
    column("Claim", "Claim that the volume is bound to."),
    column("StorageClass", "StorageClass of the volume."),
    column("VolumeAttributesClass", "VolumeAttributesClass of the volume."),
    column("Reason", "Why the volume is in this state."),
    AGE,
    wide("VolumeMode", "Filesystem or Block."),
];

/// Cells of a PersistentVolume.
pub fn persistent_volume(object: &Value, now: Timestamp) -> Vec<Value> {
    let claim = &object["spec"]["claimRef"];
    let claim = if claim.is_object() {
        format!("{}/{}", text(claim, "/namespace"), text(claim, "/name"))
    } else {
        String::new()
    };
    vec![
        name(object),
        or(text(object, "/spec/capacity/storage"), "0").into(),
        access_modes(object, "/spec/accessModes").into(),
        text(object, "/spec/persistentVolumeReclaimPolicy").into(),
        phase(object).into(),
        claim.into(),
        class(object).into(),
        or(text(object, "/spec/volumeAttributesClassName"), "<unset>").into(),
        text(object, "/status/reason").into(),
        age(object, now),
        or(text(object, "/spec/volumeMode"), "<unset>").into(),
    ]
}

/// Columns of PersistentVolumeClaim.
pub const PERSISTENT_VOLUME_CLAIM: &[Column] = &[
    NAME,
    column("Status", "Whether the claim is bound."),
    column("Volume", "Volume that the claim is bound to."),
    column("Capacity", "How much the volume holds."),
    column("Access Modes", "How the volume may be mounted."),
    column("StorageClass", "StorageClass of the claim."),
    column("VolumeAttributesClass", "VolumeAttributesClass of the claim."),
    AGE,
    wide("VolumeMode", "Filesystem or Block."),
];

/// Cells of a PersistentVolumeClaim.
pub fn persistent_volume_claim(object: &Value, now: Timestamp) -> Vec<Value> {
    let bound = !text(object, "/spec/volumeName").is_empty();
    let (capacity, modes) = if bound {
        (or(text(object, "/status/capacity/storage"), "0"), access_modes(object, "/status/accessModes"))
    } else {
        ("", String::new())
    };
    vec![
        name(object),
        phase(object).into(),
        text(object, "/spec/volumeName").into(),
        capacity.into(),
        modes.into(),
        class(object).into(),
        or(text(object, "/spec/volumeAttributesClassName"), "<unset>").into(),
        age(object, now),
        or(text(object, "/spec/volumeMode"), "<unset>").into(),
    ]
}

/// Columns of StorageClass.
pub const STORAGE_CLASS: &[Column] = &[
    NAME,
    column("Provisioner", "Who makes volumes of this class."),
    column("ReclaimPolicy", "What becomes of a volume when its claim goes."),
    column("VolumeBindingMode", "When volumes are made and bound."),
    column("AllowVolumeExpansion", "Whether volumes may grow."),
    AGE,
];

/// Cells of a StorageClass; the default class says so.
pub fn storage_class(object: &Value, now: Timestamp) -> Vec<Value> {
    let is_default =
        ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"]
            .iter()
            .any(|annotation| object["metadata"]["annotations"][*annotation] == "true");
    let own = text(object, "/metadata/name");
    vec![
        if is_default { format!("{own} (default)").into() } else { own.into() },
        text(object, "/provisioner").into(),
        or(text(object, "/reclaimPolicy"), "Delete").into(),
        or(text(object, "/volumeBindingMode"), "Immediate").into(),
        object["allowVolumeExpansion"].as_bool().unwrap_or(false).into(),
        age(object, now),
    ]
}

/// Columns of VolumeAttributesClass.
pub const VOLUME_ATTRIBUTES_CLASS: &[Column] = &[NAME, column("DriverName", "Driver that knows the parameters."), AGE];

/// Cells of a VolumeAttributesClass.
pub fn volume_attributes_class(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![name(object), text(object, "/driverName").into(), age(object, now)]
}

/// Columns of CSIDriver.
pub const CSI_DRIVER: &[Column] = &[
    NAME,
    boolean("AttachRequired", "Whether volumes are attached before they are mounted."),
    boolean("PodInfoOnMount", "Whether the driver is told about the pod."),
    boolean("StorageCapacity", "Whether the scheduler counts the driver's capacity."),
    column("TokenRequests", "Audiences of the tokens that the driver gets."),
    boolean("RequiresRepublish", "Whether the driver is called again and again."),
    column("Modes", "Kinds of volumes that the driver serves."),
    AGE,
];

/// Cells of a CSIDriver.
pub fn csi_driver(object: &Value, now: Timestamp) -> Vec<Value> {
    let set = |field: &str, unset: bool| Value::Bool(object["spec"][field].as_bool().unwrap_or(unset));
    let modes: Vec<&str> = items(object, "/spec/volumeLifecycleModes").iter().filter_map(Value::as_str).collect();
    let audiences: Vec<&str> = items(object, "/spec/tokenRequests").iter().map(|t| text(t, "/audience")).collect();
    let audiences = if object["spec"]["tokenRequests"].is_array() { audiences.join(",") } else { "<unset>".to_owned() };
    vec![
        name(object),
        set("attachRequired", true),
        set("podInfoOnMount", false),
        set("storageCapacity", false),
        audiences.into(),
        set("requiresRepublish", false),
        or(&modes.join(","), "<none>").into(),
        age(object, now),
    ]
}

/// Columns of CSINode.
pub const CSI_NODE: &[Column] = &[NAME, integer("Drivers", "How many drivers the node has."), AGE];

/// Cells of a CSINode.
pub fn csi_node(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![name(object), items(object, "/spec/drivers").len().into(), age(object, now)]
}

/// Columns of VolumeAttachment.
pub const VOLUME_ATTACHMENT: &[Column] = &[
    NAME,
    Column { format: "name", ..column("Attacher", "Who attaches the volume.") },
    column("PV", "Volume that is attached."),
    column("Node", "Node that it is attached to."),
    boolean("Attached", "Whether it is attached."),
    AGE,
];

/// Cells of a VolumeAttachment.
pub fn volume_attachment(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![
        name(object),
        text(object, "/spec/attacher").into(),
        text(object, "/spec/source/persistentVolumeName").into(),
        text(object, "/spec/nodeName").into(),
        object["status"]["attached"].as_bool().unwrap_or(false).into(),
        age(object, now),
    ]
}

/// Columns of CSIStorageCapacity.
pub const CSI_STORAGE_CAPACITY: &[Column] = &[
    NAME,
    column("StorageClassName", "StorageClass that the capacity is of."),
    column("Capacity", "How much is left."),
];

/// Cells of a CSIStorageCapacity.
pub fn csi_storage_capacity(object: &Value, _now: Timestamp) -> Vec<Value> {
    vec![name(object), text(object, "/storageClassName").into(), or(text(object, "/capacity"), "<unset>").into()]
}
