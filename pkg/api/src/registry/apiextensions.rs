//! Rows of apiextensions.k8s.io: the definitions of custom kinds.

use super::{Row, Subresource, base};
use crate::{custom, shape, table};

/// The rows, in the order of discovery.
pub(super) const ROWS: &[&Row] = &[&CUSTOM_RESOURCE_DEFINITION];

const SCHEMA: &str = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition";

static CUSTOM_RESOURCE_DEFINITION: Row = Row {
    group: "apiextensions.k8s.io",
    kind: "CustomResourceDefinition",
    list_kind: "CustomResourceDefinitionList",
    plural: "customresourcedefinitions",
    singular: "customresourcedefinition",
    short_names: &["crd", "crds"],
    categories: &["api-extensions"],
    namespaced: false,
    subresources: &[Subresource::Status],
    generation: true,
    unconditional_update: false,
    schema: SCHEMA,
    prune: |object| shape::prune(SCHEMA, object),
    default: custom::default,
    validate: custom::validate,
    columns: table::CREATED_AT,
    cells: table::created_at,
    ..base()
};
