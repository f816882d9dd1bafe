//! Rows of flowcontrol.apiserver.k8s.io/v1. Requests are sorted by them (see `crate::flow`), not held back.

use super::{Row, Subresource, base};
use crate::{defaults, flow, shape, table, validate};

/// The rows, in the order of discovery.
pub(super) const ROWS: &[&Row] = &[&FLOW_SCHEMA, &PRIORITY_LEVEL_CONFIGURATION];

static FLOW_SCHEMA: Row = Row {
    group: flow::GROUP,
    kind: "FlowSchema",
    list_kind: "FlowSchemaList",
    plural: "flowschemas",
    singular: "flowschema",
    namespaced: false,
    subresources: &[Subresource::Status],
    generation: true,
    schema: "io.k8s.api.flowcontrol.v1.FlowSchema",
    prune: |o| shape::prune("io.k8s.api.flowcontrol.v1.FlowSchema", o),
    default: defaults::flow_schema,
    validate: |new, _| validate::flow_schema(new),
    columns: table::FLOW_SCHEMA,
    cells: table::flow_schema,
    ..base()
};

static PRIORITY_LEVEL_CONFIGURATION: Row = Row {
    group: flow::GROUP,
    kind: "PriorityLevelConfiguration",
    list_kind: "PriorityLevelConfigurationList",
    plural: "prioritylevelconfigurations",
    singular: "prioritylevelconfiguration",
    namespaced: false,
    subresources: &[Subresource::Status],
    generation: true,
    schema: "io.k8s.api.flowcontrol.v1.PriorityLevelConfiguration",
    prune: |o| shape::prune("io.k8s.api.flowcontrol.v1.PriorityLevelConfiguration", o),
    default: defaults::priority_level,
    validate: |new, _| validate::priority_level(new),
    columns: table::PRIORITY_LEVEL,
    cells: table::priority_level,
    ..base()
};
