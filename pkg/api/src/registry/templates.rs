//! Rows of core kinds that make or shape pods: ReplicationController, PodTemplate, ResourceQuota, LimitRange; and
//! ComponentStatus, which is only read.

use super::{Row, Subresource, base, by_count};
use crate::{defaults, shape, table, validate};

/// The rows, in the order of discovery.
pub(super) const ROWS: &[&Row] =
    &[&COMPONENT_STATUS, &LIMIT_RANGE, &POD_TEMPLATE, &REPLICATION_CONTROLLER, &RESOURCE_QUOTA];

static COMPONENT_STATUS: Row = Row {
    kind: "ComponentStatus",
    list_kind: "ComponentStatusList",
    plural: "componentstatuses",
    singular: "componentstatus",
    short_names: &["cs"],
    namespaced: false,
    verbs: &["get", "list"],
    schema: "io.k8s.api.core.v1.ComponentStatus",
    prune: |o| shape::prune("io.k8s.api.core.v1.ComponentStatus", o),
    columns: table::COMPONENT_STATUS,
    cells: table::component_status,
    ..base()
};

static LIMIT_RANGE: Row = Row {
    kind: "LimitRange",
    list_kind: "LimitRangeList",
    plural: "limitranges",
    singular: "limitrange",
    short_names: &["limits"],
    create_on_update: true,
    schema: "io.k8s.api.core.v1.LimitRange",
    prune: |o| shape::prune("io.k8s.api.core.v1.LimitRange", o),
    default: defaults::limit_range,
    validate: |new, _| validate::limit_range(new),
    columns: table::CREATED_AT,
    cells: table::created_at,
    ..base()
};

static POD_TEMPLATE: Row = Row {
    kind: "PodTemplate",
    list_kind: "PodTemplateList",
    plural: "podtemplates",
    singular: "podtemplate",
    generation: true,
    schema: "io.k8s.api.core.v1.PodTemplate",
    prune: |o| shape::prune("io.k8s.api.core.v1.PodTemplate", o),
    default: defaults::pod_template,
    validate: |new, _| validate::pod_template_object(new),
    columns: table::POD_TEMPLATE,
    cells: table::pod_template,
    ..base()
};

static REPLICATION_CONTROLLER: Row = Row {
    kind: "ReplicationController",
    list_kind: "ReplicationControllerList",
    plural: "replicationcontrollers",
    singular: "replicationcontroller",
    short_names: &["rc"],
    categories: &["all"],
    subresources: &[Subresource::Status, Subresource::Scale],
    generation: true,
    schema: "io.k8s.api.core.v1.ReplicationController",
    prune: |o| shape::prune("io.k8s.api.core.v1.ReplicationController", o),
    default: defaults::replication_controller,
    validate: |new, _| validate::replication_controller(new),
    field_labels: &["status.replicas"],
    field: by_count,
    columns: table::REPLICATION_CONTROLLER,
    cells: table::replication_controller,
    ..base()
};

static RESOURCE_QUOTA: Row = Row {
    kind: "ResourceQuota",
    list_kind: "ResourceQuotaList",
    plural: "resourcequotas",
    singular: "resourcequota",
    short_names: &["quota"],
    subresources: &[Subresource::Status],
    schema: "io.k8s.api.core.v1.ResourceQuota",
    prune: |o| shape::prune("io.k8s.api.core.v1.ResourceQuota", o),
    validate: validate::resource_quota,
    columns: table::RESOURCE_QUOTA,
    cells: table::resource_quota,
    ..base()
};
