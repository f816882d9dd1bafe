//! Rows of resource.k8s.io/v1, dynamic resource allocation. Stored objects only: no node of the lab has devices, so
//! nothing here allocates one.

use super::{Row, Subresource, base};
use crate::{defaults, shape, table, validate};

/// The rows, in the order of discovery.
pub(super) const ROWS: &[&Row] =
    &[&DEVICE_CLASS, &DEVICE_TAINT_RULE, &RESOURCE_CLAIM, &RESOURCE_CLAIM_TEMPLATE, &RESOURCE_SLICE];

const fn resource() -> Row {
    Row { group: "resource.k8s.io", ..base() }
}

static DEVICE_CLASS: Row = Row {
    kind: "DeviceClass",
    list_kind: "DeviceClassList",
    plural: "deviceclasses",
    singular: "deviceclass",
    namespaced: false,
    generation: true,
    schema: "io.k8s.api.resource.v1.DeviceClass",
    prune: |o| shape::prune("io.k8s.api.resource.v1.DeviceClass", o),
    validate: validate::device_class,
    columns: table::DEVICE_CLASS,
    cells: table::device_class,
    ..resource()
};

static DEVICE_TAINT_RULE: Row = Row {
    kind: "DeviceTaintRule",
    list_kind: "DeviceTaintRuleList",
    plural: "devicetaintrules",
    singular: "devicetaintrule",
    namespaced: false,
    subresources: &[Subresource::Status],
    generation: true,
    schema: "io.k8s.api.resource.v1.DeviceTaintRule",
    prune: |o| shape::prune("io.k8s.api.resource.v1.DeviceTaintRule", o),
    default: defaults::device_taint_rule,
    validate: validate::device_taint_rule,
    columns: table::DEVICE_TAINT_RULE,
    cells: table::device_taint_rule,
    ..resource()
};

static RESOURCE_CLAIM: Row = Row {
    kind: "ResourceClaim",
    list_kind: "ResourceClaimList",
    plural: "resourceclaims",
    singular: "resourceclaim",
    subresources: &[Subresource::Status],
    schema: "io.k8s.api.resource.v1.ResourceClaim",
    prune: |o| shape::prune("io.k8s.api.resource.v1.ResourceClaim", o),
    default: defaults::resource_claim,
    validate: validate::resource_claim,
    columns: table::RESOURCE_CLAIM,
    cells: table::resource_claim,
    ..resource()
};

static RESOURCE_CLAIM_TEMPLATE: Row = Row {
    kind: "ResourceClaimTemplate",
    list_kind: "ResourceClaimTemplateList",
    plural: "resourceclaimtemplates",
    singular: "resourceclaimtemplate",
    schema: "io.k8s.api.resource.v1.ResourceClaimTemplate",
    prune: |o| shape::prune("io.k8s.api.resource.v1.ResourceClaimTemplate", o),
    default: defaults::resource_claim_template,
    validate: validate::resource_claim_template,
    columns: table::RESOURCE_CLAIM_TEMPLATE,
    cells: table::resource_claim_template,
    ..resource()
};

static RESOURCE_SLICE: Row = Row {
    kind: "ResourceSlice",
    list_kind: "ResourceSliceList",
    plural: "resourceslices",
    singular: "resourceslice",
    namespaced: false,
    generation: true,
    schema: "io.k8s.api.resource.v1.ResourceSlice",
    prune: |o| shape::prune("io.k8s.api.resource.v1.ResourceSlice", o),
    default: defaults::resource_slice,
    validate: validate::resource_slice,
    field_labels: &["spec.driver", "spec.nodeName", "spec.pool.name"],
    columns: table::RESOURCE_SLICE,
    cells: table::resource_slice,
    ..resource()
};
