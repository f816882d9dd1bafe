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
        PatchKind::Json => Ok(json_patch(target, patch)?),
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

/// Most operations of one JSON patch (apiserver `maxJSONPatchOperations`).
const MOST_OPERATIONS: usize = 10_000;

/// Why a JSON patch is not carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JsonPatchError {
    /// It is no list of operations.
    Malformed(String),
    /// It has more operations than may be.
    TooMany(usize),
    /// A `test` does not hold.
    Test,
    /// An operation has no place to work on.
    Failed(String),
}

impl std::fmt::Display for JsonPatchError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Malformed(why) => write!(f, "error decoding patch: {why}"),
            Self::TooMany(count) => {
                write!(f, "The allowed maximum operations in a JSON patch is {MOST_OPERATIONS}, got {count}")
            }
            Self::Test => f.write_str("testing value failed"),
            Self::Failed(why) => f.write_str(why),
        }
    }
}

impl From<JsonPatchError> for Status {
    fn from(error: JsonPatchError) -> Self {
        match error {
            JsonPatchError::Malformed(_) => Self::bad_request(error.to_string()),
            JsonPatchError::TooMany(_) => Self::request_entity_too_large(error),
            JsonPatchError::Test | JsonPatchError::Failed(_) => Self::unprocessable(),
        }
    }
}

/// RFC 6902. `add` to a missing parent, a failing `test` and the like are 422.
///
/// # Errors
/// See [`JsonPatchError`].
pub fn json_patch(target: &Value, patch: &Value) -> Result<Value, JsonPatchError> {
    if let Some(count) = patch.as_array().map(Vec::len).filter(|count| *count > MOST_OPERATIONS) {
        return Err(JsonPatchError::TooMany(count));
    }
    let operations: json_patch::Patch =
        serde_json::from_value(patch.clone()).map_err(|cause| JsonPatchError::Malformed(cause.to_string()))?;
    let mut new = target.clone();
    json_patch::patch(&mut new, &operations).map_err(|cause| match cause.kind {
        json_patch::PatchErrorKind::TestFailed => JsonPatchError::Test,
        _ => JsonPatchError::Failed(cause.to_string()),
    })?;
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
