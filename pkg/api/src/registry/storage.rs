//! Rows of storage: volumes and claims of the core group, and storage.k8s.io/v1.

use super::{Row, Subresource, base};
use crate::{defaults, shape, table, validate};

const GROUP: &str = "storage.k8s.io";

/// The rows of the core group, in the order of discovery.
pub(super) const CORE: &[&Row] = &[&PERSISTENT_VOLUME_CLAIM, &PERSISTENT_VOLUME];

/// The rows of storage.k8s.io, in the order of discovery.
pub(super) const ROWS: &[&Row] =
    &[&CSI_DRIVER, &CSI_NODE, &CSI_STORAGE_CAPACITY, &STORAGE_CLASS, &VOLUME_ATTACHMENT, &VOLUME_ATTRIBUTES_CLASS];

const fn storage() -> Row {
    Row { group: GROUP, namespaced: false, ..base() }
}

static PERSISTENT_VOLUME: Row = Row {
    kind: "PersistentVolume",
    list_kind: "PersistentVolumeList",
    plural: "persistentvolumes",
    singular: "persistentvolume",
    short_names: &["pv"],
    namespaced: false,
    subresources: &[Subresource::Status],
    schema: "io.k8s.api.core.v1.PersistentVolume",
    prune: |o| shape::prune("io.k8s.api.core.v1.PersistentVolume", o),
    default: defaults::persistent_volume,
    validate: validate::persistent_volume,
    columns: table::PERSISTENT_VOLUME,
    cells: table::persistent_volume,
    ..base()
};

static PERSISTENT_VOLUME_CLAIM: Row = Row {
    kind: "PersistentVolumeClaim",
    list_kind: "PersistentVolumeClaimList",
    plural: "persistentvolumeclaims",
    singular: "persistentvolumeclaim",
    short_names: &["pvc"],
    subresources: &[Subresource::Status],
    schema: "io.k8s.api.core.v1.PersistentVolumeClaim",
    prune: |o| shape::prune("io.k8s.api.core.v1.PersistentVolumeClaim", o),
    default: defaults::persistent_volume_claim,
    validate: validate::persistent_volume_claim,
    columns: table::PERSISTENT_VOLUME_CLAIM,
    cells: table::persistent_volume_claim,
    ..base()
};

static CSI_DRIVER: Row = Row {
    kind: "CSIDriver",
    list_kind: "CSIDriverList",
    plural: "csidrivers",
    singular: "csidriver",
    unconditional_update: false,
    generation: true,
    schema: "io.k8s.api.storage.v1.CSIDriver",
    prune: |o| shape::prune("io.k8s.api.storage.v1.CSIDriver", o),
    default: defaults::csi_driver,
    validate: validate::csi_driver,
    columns: table::CSI_DRIVER,
    cells: table::csi_driver,
    ..storage()
};

static CSI_NODE: Row = Row {
    kind: "CSINode",
    list_kind: "CSINodeList",
    plural: "csinodes",
    singular: "csinode",
    unconditional_update: false,
    subresources: &[Subresource::Status],
    schema: "io.k8s.api.storage.v1.CSINode",
    prune: |o| shape::prune("io.k8s.api.storage.v1.CSINode", o),
    default: defaults::csi_node,
    validate: validate::csi_node,
    columns: table::CSI_NODE,
    cells: table::csi_node,
    ..storage()
};

static CSI_STORAGE_CAPACITY: Row = Row {
    kind: "CSIStorageCapacity",
    list_kind: "CSIStorageCapacityList",
    plural: "csistoragecapacities",
    singular: "csistoragecapacity",
    namespaced: true,
    unconditional_update: false,
    schema: "io.k8s.api.storage.v1.CSIStorageCapacity",
    prune: |o| shape::prune("io.k8s.api.storage.v1.CSIStorageCapacity", o),
    validate: validate::csi_storage_capacity,
    columns: table::CSI_STORAGE_CAPACITY,
    cells: table::csi_storage_capacity,
    ..storage()
};

static STORAGE_CLASS: Row = Row {
    kind: "StorageClass",
    list_kind: "StorageClassList",
    plural: "storageclasses",
    singular: "storageclass",
    short_names: &["sc"],
    schema: "io.k8s.api.storage.v1.StorageClass",
    prune: |o| shape::prune("io.k8s.api.storage.v1.StorageClass", o),
    default: defaults::storage_class,
    validate: validate::storage_class,
    columns: table::STORAGE_CLASS,
    cells: table::storage_class,
    ..storage()
};

static VOLUME_ATTACHMENT: Row = Row {
    kind: "VolumeAttachment",
    list_kind: "VolumeAttachmentList",
    plural: "volumeattachments",
    singular: "volumeattachment",
    subresources: &[Subresource::Status],
    unconditional_update: false,
    schema: "io.k8s.api.storage.v1.VolumeAttachment",
    prune: |o| shape::prune("io.k8s.api.storage.v1.VolumeAttachment", o),
    validate: validate::volume_attachment,
    columns: table::VOLUME_ATTACHMENT,
    cells: table::volume_attachment,
    ..storage()
};

static VOLUME_ATTRIBUTES_CLASS: Row = Row {
    kind: "VolumeAttributesClass",
    list_kind: "VolumeAttributesClassList",
    plural: "volumeattributesclasses",
    singular: "volumeattributesclass",
    short_names: &["vac"],
    schema: "io.k8s.api.storage.v1.VolumeAttributesClass",
    prune: |o| shape::prune("io.k8s.api.storage.v1.VolumeAttributesClass", o),
    validate: validate::volume_attributes_class,
    columns: table::VOLUME_ATTRIBUTES_CLASS,
    cells: table::volume_attributes_class,
    ..storage()
};
