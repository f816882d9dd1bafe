//! Rows of apps/v1.

use super::{Row, Subresource, base};
use crate::names::NameRule;
use crate::{defaults, shape, table, validate};

/// The rows, in the order of discovery.
pub(super) const ROWS: &[&Row] = &[&CONTROLLER_REVISION, &DAEMON_SET, &DEPLOYMENT, &REPLICA_SET, &STATEFUL_SET];

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
    field: super::by_count,
    columns: table::REPLICA_SET,
    cells: table::replica_set,
    ..base()
};

static STATEFUL_SET: Row = Row {
    group: "apps",
    kind: "StatefulSet",
    list_kind: "StatefulSetList",
    plural: "statefulsets",
    singular: "statefulset",
    short_names: &["sts"],
    categories: &["all"],
    subresources: &[Subresource::Status, Subresource::Scale],
    generation: true,
    name_rule: NameRule::Label,
    schema: "io.k8s.api.apps.v1.StatefulSet",
    prune: |o| shape::prune("io.k8s.api.apps.v1.StatefulSet", o),
    default: defaults::stateful_set,
    validate: validate::stateful_set,
    columns: table::STATEFUL_SET,
    cells: table::stateful_set,
    ..base()
};

static CONTROLLER_REVISION: Row = Row {
    group: "apps",
    kind: "ControllerRevision",
    list_kind: "ControllerRevisionList",
    plural: "controllerrevisions",
    singular: "controllerrevision",
    schema: "io.k8s.api.apps.v1.ControllerRevision",
    prune: |o| shape::prune("io.k8s.api.apps.v1.ControllerRevision", o),
    validate: validate::controller_revision,
    columns: table::CONTROLLER_REVISION,
    cells: table::controller_revision,
    ..base()
};
