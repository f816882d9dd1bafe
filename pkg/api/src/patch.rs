//! The three kinds of patches: JSON patch (RFC 6902), merge patch (RFC 7386) and Kubernetes' strategic merge patch, whose
//! lists merge by keys that the schema names. Server-side apply is [`crate::apply`]'s.

mod json;
mod merge;
mod printed;
mod strategic;

use serde_json::Value;

use crate::registry::Row;
use crate::status::Status;

pub use json::{JsonPatchError, json_patch};
pub use merge::{merge, merge_diff};
pub use printed::{go_words, json_kind, not_a_map};
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

#[cfg(test)]
mod tests;
