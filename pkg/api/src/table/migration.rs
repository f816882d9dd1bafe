//! Columns and cells of migrations of stored versions.

use jiff::Timestamp;
use serde_json::Value;

use super::columns::{NAME, column};
use super::name;
use crate::registry::Column;

/// Columns of StorageVersionMigration.
pub const STORAGE_VERSION_MIGRATION: &[Column] =
    &[NAME, column("Resource", "GroupResource to migrate"), column("Status", "Status of the migration")];

/// Cells of StorageVersionMigration.
pub fn storage_version_migration(object: &Value, _: Timestamp) -> Vec<Value> {
    let text = |key: &str| object["spec"]["resource"][key].as_str().unwrap_or_default();
    let resource = match text("group") {
        "" => text("resource").to_owned(),
        group => format!("{}.{group}", text("resource")),
    };
    let conditions = object["status"]["conditions"].as_array().into_iter().flatten();
    let mut held = conditions.rev().filter(|one| one["status"] == "True").filter_map(|one| one["type"].as_str());
    let last = held.find(|kind| matches!(*kind, "Running" | "Failed" | "Succeeded"));
    vec![name(object), resource.into(), last.unwrap_or("Unknown").into()]
}
