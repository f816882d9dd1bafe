//! 409: what is there already, what changed meanwhile, what another manager owns. No other codes.

use serde_json::{Map, Value, json};

use super::{Status, resource_details};
use crate::field::quote;

impl Status {
    /// 409: `services "x" already exists`.
    pub fn already_exists(resource: &str, name: &str) -> Self {
        Self::new(409, "AlreadyExists", format!("{resource} {} already exists", quote(name)))
            .with(resource_details(resource, name))
    }

    /// 409 with the cause in words: `Operation cannot be fulfilled on services "x": why`.
    pub fn conflict_because(resource: &str, name: &str, why: &str) -> Self {
        Self::new(409, "Conflict", format!("Operation cannot be fulfilled on {resource} {}: {why}", quote(name)))
            .with(resource_details(resource, name))
    }

    /// 409 of a stale resourceVersion.
    pub fn conflict(resource: &str, name: &str) -> Self {
        Self::conflict_because(
            resource,
            name,
            "the object has been modified; please apply your changes to the latest version and try again",
        )
    }

    /// 409 of a delete or update whose uid precondition does not hold.
    pub fn conflict_uid_precondition(resource: &str, name: &str, wanted: &str, found: &str) -> Self {
        Self::conflict_because(
            resource,
            name,
            &format!(
                "the UID in the precondition ({wanted}) does not match the UID in record ({found}). \
                 The object might have been deleted and then recreated"
            ),
        )
    }

    /// 409 of a delete whose resourceVersion precondition does not hold.
    pub fn conflict_version_precondition(resource: &str, name: &str, wanted: &str, found: &str) -> Self {
        Self::conflict_because(
            resource,
            name,
            &format!(
                "the ResourceVersion in the precondition ({wanted}) does not match the ResourceVersion in record \
                 ({found}). The object might have been modified"
            ),
        )
    }

    /// 409 of a server-side apply: one `(manager as messages show it, field path such as .spec.type)` per conflict
    /// (apimachinery `managedfields/internal/conflict.go`).
    pub fn apply_conflicts(conflicts: &[(String, String)]) -> Self {
        let causes: Vec<Value> = conflicts
            .iter()
            .map(|(manager, field)| {
                json!({"reason": "FieldManagerConflict", "message": format!("conflict with {manager}"), "field": field})
            })
            .collect();
        let message = match conflicts {
            [(manager, field)] => format!("Apply failed with 1 conflict: conflict with {manager}: {field}"),
            many => {
                let mut managers: Vec<&str> = many.iter().map(|(manager, _)| manager.as_str()).collect();
                managers.sort_unstable();
                managers.dedup();
                let mut lines = Vec::new();
                for manager in managers {
                    lines.push(format!("conflicts with {manager}:"));
                    lines.extend(many.iter().filter(|(m, _)| m == manager).map(|(_, field)| format!("- {field}")));
                }
                format!("Apply failed with {} conflicts: {}", many.len(), lines.join("\n"))
            }
        };
        let mut map = Map::new();
        map.insert("causes".into(), Value::Array(causes));
        Self::new(409, "Conflict", message).with(map)
    }
}
