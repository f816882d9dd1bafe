//! Rows of apps/v1: Deployment, ReplicaSet, DaemonSet.

use super::{Row, Subresource, base};
use crate::{defaults, shape, table, validate};

/// The rows, in the order of discovery.
pub(super) const ROWS: &[&Row] = &[&DAEMON_SET, &DEPLOYMENT, &REPLICA_SET];

static DAEMON_SET: Row = Row {
    group: "apps",
    kind: "DaemonSet",
    list_kind: "DaemonSetList",
    plural: "daemonsets",
    singular: "daemonset",
    short_names: &["ds"],
    categories: &["all"],
    subresources: &[Subresource::Status],
    generation: true,
    schema: "io.k8s.api.apps.v1.DaemonSet",
    prune: |o| shape::prune("io.k8s.api.apps.v1.DaemonSet", o),
    default: defaults::daemon_set,
    validate: validate::daemon_set,
    columns: table::DAEMON_SET,
    cells: table::daemon_set,
    ..base()
};

static DEPLOYMENT: Row = Row {
    group: "apps",
    kind: "Deployment",
    list_kind: "DeploymentList",
    plural: "deployments",
    singular: "deployment",
    short_names: &["deploy"],
    categories: &["all"],
    subresources: &[Subresource::Status, Subresource::Scale],
    generation: true,
    schema: "io.k8s.api.apps.v1.Deployment",
    prune: |o| shape::prune("io.k8s.api.apps.v1.Deployment", o),
    default: defaults::deployment,
    validate: validate::deployment,
    columns: table::DEPLOYMENT,
    cells: table::deployment,
    ..base()
};

static REPLICA_SET: Row = Row {
    group: "apps",
    kind: "ReplicaSet",
    list_kind: "ReplicaSetList",
    plural: "replicasets",
    singular: "replicaset",
    short_names: &["rs"],
    categories: &["all"],
    subresources: &[Subresource::Status, Subresource::Scale],
    generation: true,
    schema: "io.k8s.api.apps.v1.ReplicaSet",
    prune: |o| shape::prune("io.k8s.api.apps.v1.ReplicaSet", o),
    default: defaults::replica_set,
    validate: validate::replica_set,
    field_labels: &["status.replicas"],
    field: |object, path| match path {
        "status.replicas" => object["status"]["replicas"].as_i64().unwrap_or(0).to_string(),
        other => super::by_path(object, other),
    },
    columns: table::REPLICA_SET,
    cells: table::replica_set,
    ..base()
};
