//! The row of storagemigration.k8s.io/v1.

use super::{Row, Subresource, base};
use crate::{shape, table, validate};

/// The rows, in the order of discovery.
pub(super) const ROWS: &[&Row] = &[&STORAGE_VERSION_MIGRATION];

const SCHEMA: &str = "io.k8s.api.storagemigration.v1.StorageVersionMigration";

static STORAGE_VERSION_MIGRATION: Row = Row {
    group: "storagemigration.k8s.io",
    kind: "StorageVersionMigration",
    list_kind: "StorageVersionMigrationList",
    plural: "storageversionmigrations",
    singular: "storageversionmigration",
    namespaced: false,
    subresources: &[Subresource::Status],
    unconditional_update: false,
    schema: SCHEMA,
    prune: |object| shape::prune(SCHEMA, object),
    validate: validate::storage_version_migration,
    columns: table::STORAGE_VERSION_MIGRATION,
    cells: table::storage_version_migration,
    ..base()
};
