//! Rows of rbac.authorization.k8s.io/v1.

use super::{Row, base};
use crate::names::NameRule;
use crate::{defaults, shape, table, validate};

const GROUP: &str = "rbac.authorization.k8s.io";

/// The rows, in the order of discovery.
pub(super) const ROWS: &[&Row] = &[&CLUSTER_ROLE_BINDING, &CLUSTER_ROLE, &ROLE_BINDING, &ROLE];

const fn rbac() -> Row {
    Row { group: GROUP, create_on_update: true, name_rule: NameRule::PathSegment, ..base() }
}

static ROLE: Row = Row {
    kind: "Role",
    list_kind: "RoleList",
    plural: "roles",
    singular: "role",
    schema: "io.k8s.api.rbac.v1.Role",
    prune: |o| shape::prune("io.k8s.api.rbac.v1.Role", o),
    validate: |new, _| validate::role(new, true),
    columns: table::CREATED_AT,
    cells: table::created_at,
    ..rbac()
};

static CLUSTER_ROLE: Row = Row {
    kind: "ClusterRole",
    list_kind: "ClusterRoleList",
    plural: "clusterroles",
    singular: "clusterrole",
    namespaced: false,
    schema: "io.k8s.api.rbac.v1.ClusterRole",
    prune: |o| shape::prune("io.k8s.api.rbac.v1.ClusterRole", o),
    validate: |new, _| validate::role(new, false),
    columns: table::CREATED_AT,
    cells: table::created_at,
    ..rbac()
};

static ROLE_BINDING: Row = Row {
    kind: "RoleBinding",
    list_kind: "RoleBindingList",
    plural: "rolebindings",
    singular: "rolebinding",
    schema: "io.k8s.api.rbac.v1.RoleBinding",
    prune: |o| shape::prune("io.k8s.api.rbac.v1.RoleBinding", o),
    default: defaults::role_binding,
    validate: |new, old| validate::role_binding(new, old, true),
    columns: table::ROLE_BINDING,
    cells: table::role_binding,
    ..rbac()
};

static CLUSTER_ROLE_BINDING: Row = Row {
    kind: "ClusterRoleBinding",
    list_kind: "ClusterRoleBindingList",
    plural: "clusterrolebindings",
    singular: "clusterrolebinding",
    namespaced: false,
    schema: "io.k8s.api.rbac.v1.ClusterRoleBinding",
    prune: |o| shape::prune("io.k8s.api.rbac.v1.ClusterRoleBinding", o),
    default: defaults::role_binding,
    validate: |new, old| validate::role_binding(new, old, false),
    columns: table::ROLE_BINDING,
    cells: table::role_binding,
    ..rbac()
};
