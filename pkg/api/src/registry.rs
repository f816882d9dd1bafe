//! The registry table: one row per kind that the API server serves. A new kind is a row and its rules, not a handler.

mod admission;
mod aggregation;
mod apiextensions;
mod apps;
mod base;
mod batch;
mod certificates;
mod core;
mod devices;
mod events;
mod flow;
mod migration;
mod networking;
mod policies;
mod rbac;
mod storage;
mod templates;
mod trust;

use std::sync::{Arc, LazyLock};

use jiff::Timestamp;
use serde_json::Value;

pub(crate) use self::base::{ALL_VERBS, base};
use self::base::{by_count, by_path};
use crate::apply::Place;
use crate::cel::Decl;
use crate::custom::{Conversion, Custom};
use crate::field::FieldError;
pub use crate::names::NameRule;
use crate::openapi::Documents;
use crate::shape;

/// A subresource that a kind has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subresource {
    /// `/status`: changes only `status` (and metadata that status writers may touch).
    Status,
    /// `/scale`: autoscaling/v1 Scale over `spec.replicas`.
    Scale,
    /// `/approval`: changes only `status.conditions` of a CertificateSigningRequest.
    Approval,
    /// `pods/binding`.
    Binding,
    /// `pods/eviction`.
    Eviction,
    /// `pods/ephemeralcontainers`: the pod, of which only `spec.ephemeralContainers` grows.
    EphemeralContainers,
    /// `pods/resize`: the pod, of which only the resources of containers change.
    Resize,
    /// `serviceaccounts/token`.
    Token,
    /// `namespaces/finalize`.
    Finalize,
    /// `pods/log`.
    Log,
    /// `pods/exec`.
    Exec,
    /// `pods/attach`.
    Attach,
    /// `pods/portforward`.
    PortForward,
    /// `pods/proxy`, `services/proxy`, `nodes/proxy`.
    Proxy,
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
    /// A PUT without resourceVersion overwrites; otherwise it is refused (`AllowUnconditionalUpdate`).
    pub unconditional_update: bool,
    /// A PUT of an absent object creates it (`AllowCreateOnUpdate`).
    pub create_on_update: bool,
    /// What its names must look like.
    pub name_rule: NameRule,
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
    /// The value of one of those for an object as it is stored (missing fields read as the empty string).
    pub field: fn(&Value, &str) -> String,
    /// Columns of its Table.
    pub columns: &'static [Column],
    /// The cells of one object, one per column; `now` gives ages.
    pub cells: fn(&Value, Timestamp) -> Vec<Value>,
    /// For a second version or group of a kind: how it is stored under another row.
    pub alias: Option<Alias>,
    /// What a kind that a CustomResourceDefinition adds knows beyond all this.
    pub custom: Option<&'static Custom>,
}

/// A kind that is another view of a stored kind: events.k8s.io/v1 Event of core/v1 Event. Requests are served from the
/// stored row's objects, converted on the way in and out; the stored row's rules apply.
#[derive(Debug, Clone, Copy)]
pub struct Alias {
    /// Group of the stored row.
    pub group: &'static str,
    /// Version of the stored row.
    pub version: &'static str,
    /// From this row's form to the stored one.
    pub to_stored: fn(&Value) -> Value,
    /// From the stored form to this row's.
    pub from_stored: fn(&Value) -> Value,
}

impl Row {
    /// `services` or `deployments.apps`: the name in messages and in the store.
    pub fn resource(&self) -> String {
        if self.group.is_empty() { self.plural.to_owned() } else { format!("{}.{}", self.plural, self.group) }
    }

    /// `v1` or `apps/v1`.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.to_owned() } else { format!("{}/{}", self.group, self.version) }
    }

    /// Whether the kind has a subresource.
    pub fn has(&self, subresource: Subresource) -> bool {
        self.subresources.contains(&subresource)
    }

    /// What its schema says of how its fields are owned.
    pub fn place(&self) -> Place {
        self.custom.map_or_else(|| Place::of_schema(self.schema), |custom| Place::CustomRoot(&custom.schema))
    }

    /// The object as its type has it; see `prune`.
    ///
    /// # Errors
    /// The decoder's complaint.
    pub fn pruned(&self, object: &Value) -> Result<Value, String> {
        match self.custom {
            Some(custom) => custom.prune(object).map(|(pruned, _)| pruned),
            None => (self.prune)(object),
        }
    }

    /// Fills defaults; see `default`.
    pub fn fill_defaults(&self, new: &mut Value, old: Option<&Value>) {
        match self.custom {
            Some(custom) => custom.fill(new),
            None => (self.default)(new, old),
        }
    }

    /// Everything wrong with the object; see `validate`.
    pub fn complaints(&self, new: &Value, old: Option<&Value>) -> Vec<FieldError> {
        match self.custom {
            Some(custom) => custom.check(new, old),
            None => (self.validate)(new, old),
        }
    }

    /// The value of a field that selectors may name; see `field`.
    pub fn label_value(&self, object: &Value, field: &str) -> String {
        match self.custom {
            Some(custom) => custom.label(object, field),
            None => (self.field)(object, field),
        }
    }

    /// The cells of one object; see `cells`.
    pub fn cells_of(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        match self.custom {
            Some(custom) => custom.cells(object, now),
            None => (self.cells)(object, now),
        }
    }

    /// Whether a stored object is shown by this row as it is.
    pub fn shows_as_stored(&self, object: &Value) -> bool {
        match self.custom {
            // Whoever reads an object of such a kind has it converted, filled in and pruned.
            Some(Custom { conversion: Some(_), .. }) => object["apiVersion"].as_str() == Some(&self.api_version()),
            Some(custom) => object["apiVersion"].as_str() == Some(&self.api_version()) && custom.agrees(object),
            None => self.alias.is_none(),
        }
    }

    /// A stored object as this row shows it.
    pub fn shown(&self, stored: &Value) -> Value {
        match (self.custom, self.alias) {
            (Some(Custom { conversion: Some(_), .. }), _) => self.in_version(stored),
            (Some(custom), _) => {
                let mut shown = stored.clone();
                // Defaults are those of the version that the object is stored in; only then it is converted.
                custom.stored().and_then(|row| row.custom).unwrap_or(custom).fill(&mut shown);
                custom.trim(&mut shown);
                self.in_version(&shown)
            }
            (None, Some(alias)) => (alias.from_stored)(stored),
            (None, None) => stored.clone(),
        }
    }

    /// An object of this row as it is stored.
    pub fn kept(&'static self, shown: &Value) -> Value {
        match (self.custom, self.alias) {
            // Converted when it is written.
            (Some(Custom { conversion: Some(_), .. }), _) => shown.clone(),
            (Some(_), _) => self.stored().in_version(shown),
            (None, Some(alias)) => (alias.to_stored)(shown),
            (None, None) => shown.clone(),
        }
    }

    /// Who converts objects of this kind between versions, where that is a webhook.
    pub fn conversion(&self) -> Option<&'static Conversion> {
        self.custom.and_then(|custom| custom.conversion.as_ref())
    }

    /// A custom object in this row's version, filled in and without what its schema does not name.
    pub fn settled(&self, object: &Value) -> Value {
        let mut settled = object.clone();
        self.fill_defaults(&mut settled, None);
        self.trimmed(settled)
    }

    /// A custom object without what this row's schema does not name.
    pub fn trimmed(&self, mut object: Value) -> Value {
        if let Some(custom) = self.custom {
            custom.trim(&mut object);
        }
        object
    }

    /// A custom object under this row's version (conversion strategy None).
    fn in_version(&self, object: &Value) -> Value {
        let mut new = object.clone();
        new["apiVersion"] = self.api_version().into();
        new
    }

    /// What its objects are to expressions; `None` where nothing is known of them.
    pub fn declared(&self) -> Option<Arc<Decl>> {
        match self.custom {
            Some(custom) => Decl::of_schema(&custom.raw, self.kind, true),
            None => Decl::of_kind(self.schema),
        }
    }

    /// Paths of fields that the kind does not know, such as `spec.foo`, for `fieldValidation=Strict` and `Warn`.
    pub fn unknown_fields(&self, object: &Value) -> Vec<String> {
        match self.custom {
            Some(custom) => custom.prune(object).map(|(_, unknown)| unknown).unwrap_or_default(),
            None => shape::unknown_fields(self.schema, object),
        }
    }

    /// The row whose objects this row shows, when it is an alias.
    pub fn stored(&'static self) -> &'static Row {
        let built_in = || self.alias.and_then(|a| find(a.group, a.version, self.plural));
        self.custom.map_or_else(built_in, Custom::stored).unwrap_or(self)
    }
}

impl std::fmt::Debug for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.api_version(), self.kind)
    }
}

static ROWS: LazyLock<Vec<&'static Row>> = LazyLock::new(|| {
    [
        core::ROWS,
        templates::ROWS,
        storage::CORE,
        apps::ROWS,
        batch::ROWS,
        networking::ROWS,
        rbac::ROWS,
        policies::ROWS,
        storage::ROWS,
        devices::ROWS,
        events::ROWS,
        apiextensions::ROWS,
        admission::ROWS,
        certificates::ROWS,
        trust::ROWS,
        flow::ROWS,
        aggregation::ROWS,
        migration::ROWS,
    ]
    .concat()
});

/// What one server serves: the built-in rows and those of its definitions.
#[derive(Debug)]
pub struct Catalog {
    rows: Vec<&'static Row>,
    /// The OpenAPI documents of these rows.
    pub documents: Documents,
}

impl Catalog {
    /// The built-in rows and these.
    pub fn new(custom: Vec<&'static Row>) -> Self {
        let rows = rows().iter().chain(&custom).copied().collect();
        Self { rows, documents: Documents::new(custom) }
    }

    /// Every row, core first.
    pub fn rows(&self) -> &[&'static Row] {
        &self.rows
    }

    /// The row of a plural such as `services`.
    pub fn find(&self, group: &str, version: &str, plural: &str) -> Option<&'static Row> {
        self.rows.iter().copied().find(|r| r.plural == plural && r.group == group && r.version == version)
    }
}

/// Every built-in row, core first.
pub fn rows() -> &'static [&'static Row] {
    &ROWS
}

/// The row of a plural such as `services`.
pub fn find(group: &str, version: &str, plural: &str) -> Option<&'static Row> {
    rows().iter().copied().find(|r| r.plural == plural && r.group == group && r.version == version)
}

/// The row of a kind such as `Service`.
pub fn by_kind(group: &str, version: &str, kind: &str) -> Option<&'static Row> {
    rows().iter().copied().find(|r| r.kind == kind && r.group == group && r.version == version)
}

#[cfg(test)]
mod tests;
