//! The three kinds of patches: JSON patch (RFC 6902), merge patch (RFC 7386) and Kubernetes' strategic merge patch, whose
//! lists merge by keys that the schema names. Server-side apply is [`crate::apply`]'s.

mod strategic;

use serde_json::Value;

use crate::registry::Row;
use crate::status::Status;

pub use strategic::strategic_merge;

/// Which kind of patch a body is, by its media type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PatchKind {
    /// `application/json-patch+json`.
    Json,
    /// `application/merge-patch+json`.
    Merge,
    /// `application/strategic-merge-patch+json`.
    Strategic,
    /// `application/apply-patch+yaml`: carried out by [`crate::apply`].
    Apply,
}

impl PatchKind {
    /// The kind of a media type, parameters ignored.
    pub fn of_media_type(media_type: &str) -> Option<Self> {
        match media_type.split(';').next().unwrap_or("").trim() {
            "application/json-patch+json" => Some(Self::Json),
            "application/merge-patch+json" => Some(Self::Merge),
            "application/strategic-merge-patch+json" => Some(Self::Strategic),
            "application/apply-patch+yaml" => Some(Self::Apply),
            _ => None,
        }
    }
}

/// Applies a patch to a stored object and returns the changed copy, still to be pruned, defaulted and validated.
///
/// # Errors
/// 400 for a body that is no patch of its kind, 422 for one that cannot be carried out, 415 for an apply patch.
pub fn apply(kind: PatchKind, row: &Row, target: &Value, patch: &Value) -> Result<Value, Status> {
    match kind {
        PatchKind::Json => json_patch(target, patch),
        PatchKind::Merge => {
            if !patch.is_object() {
                return Err(Status::bad_request("Invalid JSON Patch"));
            }
            let mut new = target.clone();
            merge(&mut new, patch);
            Ok(new)
        }
        PatchKind::Strategic => strategic_merge(row.schema, target, patch),
        PatchKind::Apply => Err(Status::unsupported_media_type(&[
            "application/json-patch+json",
            "application/merge-patch+json",
            "application/strategic-merge-patch+json",
        ])),
    }
}

/// RFC 6902. `add` to a missing parent, a failing `test` and the like are 422.
///
/// # Errors
/// 400 when the body is no list of operations, 422 when an operation fails.
pub fn json_patch(target: &Value, patch: &Value) -> Result<Value, Status> {
    let operations: json_patch::Patch =
        serde_json::from_value(patch.clone()).map_err(|e| Status::bad_request(format!("error decoding patch: {e}")))?;
    let mut new = target.clone();
    json_patch::patch(&mut new, &operations).map_err(|_| Status::unprocessable())?;
    Ok(new)
}

/// RFC 7386: null removes, objects merge, everything else replaces.
pub fn merge(target: &mut Value, patch: &Value) {
    json_patch::merge(target, patch);
}

/// The merge patch that turns `from` into `to`. What it cannot say (a null inside `to`) is left out.
pub fn merge_diff(from: &Value, to: &Value) -> Value {
    let (Value::Object(from), Value::Object(to)) = (from, to) else { return to.clone() };
    let mut patch = serde_json::Map::new();
    for key in from.keys().filter(|key| !to.contains_key(*key)) {
        patch.insert(key.clone(), Value::Null);
    }
    for (key, value) in to {
        match from.get(key) {
            Some(old) if old == value => {}
            Some(old) if old.is_object() && value.is_object() => {
                patch.insert(key.clone(), merge_diff(old, value));
            }
            _ => {
                patch.insert(key.clone(), value.clone());
            }
        }
    }
    Value::Object(patch)
}

#[cfg(test)]
mod tests;
