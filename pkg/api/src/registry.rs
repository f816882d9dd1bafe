//! The registry table: one row per kind that the API server serves. A new kind is a row and its rules, not a handler.

use jiff::Timestamp;
use serde_json::Value;

use crate::field::FieldError;

/// A subresource that a kind has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subresource {
    /// `/status`: changes only `status` (and metadata that status writers may touch).
    Status,
    /// `/scale`: autoscaling/v1 Scale over `spec.replicas`.
    Scale,
    /// `pods/binding`.
    Binding,
    /// `pods/eviction`.
    Eviction,
    /// `serviceaccounts/token`.
    Token,
    /// `namespaces/finalize`.
    Finalize,
    /// `pods/log`.
    Log,
}

/// One printed column of a server-side Table.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// Heading as kubectl prints it upper-cased, such as `Cluster-IP`.
    pub name: &'static str,
    /// OpenAPI type: `string`, `integer`, ...
    pub kind: &'static str,
    /// OpenAPI format: `name` for the first column, else empty.
    pub format: &'static str,
    /// 0 always, 1 only with `-o wide`.
    pub priority: i32,
    /// The description field of the column.
    pub description: &'static str,
}

/// Everything the generic server needs to know of one kind in one version.
pub struct Row {
    /// API group; empty for core.
    pub group: &'static str,
    /// `v1`.
    pub version: &'static str,
    /// `Service`.
    pub kind: &'static str,
    /// `ServiceList`.
    pub list_kind: &'static str,
    /// `services`.
    pub plural: &'static str,
    /// `service` (`endpoints` for Endpoints: it has no singular).
    pub singular: &'static str,
    /// `svc`.
    pub short_names: &'static [&'static str],
    /// `all`.
    pub categories: &'static [&'static str],
    /// Lives in a namespace.
    pub namespaced: bool,
    /// Verbs as discovery lists them.
    pub verbs: &'static [&'static str],
    /// What hangs below it.
    pub subresources: &'static [Subresource],
    /// `metadata.generation` starts at 1 and rises when anything outside metadata and status changes.
    pub generation: bool,
    /// Deleting it waits for a grace period (pods: 30 s by default).
    pub graceful: bool,
    /// Name of its schema, such as `io.k8s.api.core.v1.Service`.
    pub schema: &'static str,
    /// The typed round trip: checks every field's type and drops what the type does not know.
    pub prune: fn(&Value) -> Result<Value, String>,
    /// Fills defaults. `old` is the stored object on an update (for carrying over what may be left out, such as
    /// clusterIP), `None` on create.
    pub default: fn(new: &mut Value, old: Option<&Value>),
    /// Everything wrong with the object; `old` on update (immutable fields). Metadata is checked by the caller through
    /// `crate::meta`.
    pub validate: fn(new: &Value, old: Option<&Value>) -> Vec<FieldError>,
    /// Field selectors beyond metadata.name and metadata.namespace that this kind supports.
    pub field_labels: &'static [&'static str],
    /// The value of one of those for an object (missing fields read as the empty string).
    pub field: fn(&Value, &str) -> String,
    /// Columns of its Table.
    pub columns: &'static [Column],
    /// The cells of one object, one per column; `now` gives ages.
    pub cells: fn(&Value, Timestamp) -> Vec<Value>,
}
