//! Patching objects: JSON patch (RFC 6902), merge patch (RFC 7386), strategic merge patch.

use axum::response::Response;
use http::StatusCode;
use minisvc_api::field::{FieldError, quote};
use minisvc_api::meta::{self, Part};
use minisvc_api::patch::{self, PatchKind};
use minisvc_api::registry::Subresource;
use minisvc_api::status::Status;
use minisvc_store::Stored;
use serde_json::Value;

use super::ownership::Owners;
use super::{apply, object, update};
use crate::call::Call;
use crate::http::body::{self, Decoded};
use crate::http::query::{FieldValidation, WriteOptions};
use crate::http::respond;

/// What a `PATCH` may be written in.
const ACCEPTED: [&str; 4] = [
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
];

/// A patch, read once and applied to as many states as it takes.
pub(crate) struct Patch {
    pub(crate) kind: PatchKind,
    changes: Value,
    /// What a strict decoder says of the patch itself.
    complaints: Vec<String>,
}

/// `PATCH` of an object, or of its `status`.
pub(crate) async fn patch(call: &Call, part: Part) -> Result<Response, Status> {
    if is_apply(call)? {
        return apply::apply(call, part).await;
    }
    let options = call.query.patch_options(false)?;
    let patch = Patch::read(call)?;
    let mut warnings = Vec::new();
    let stored = update::modify(call, &call.info.name, part, options.dry_run, Owners::Follow, |old| {
        let cleaned = patched(call, &patch, old, &options)?;
        warnings = cleaned.warnings;
        Ok(cleaned.value)
    })
    .await?;
    let mut response = call.object(StatusCode::OK, &stored);
    respond::warn(&mut response, &warnings);
    Ok(response)
}

/// The state after the patch. Without a resourceVersion in the patch the result is unconditional.
fn patched(call: &Call, patch: &Patch, old: &Stored, options: &WriteOptions) -> Result<object::Cleaned, Status> {
    let mut base = (*crate::render::viewed(call.view, &old.value)).clone();
    let revision = meta::metadata_mut(&mut base).shift_remove("resourceVersion");
    if patch.kind == PatchKind::Json
        && let Some(revision) = &revision
    {
        // JSON patches may test the version.
        meta::metadata_mut(&mut base).insert("resourceVersion".into(), revision.clone());
    }
    let mut result = patch.apply(call, &base)?;
    if patch.kind == PatchKind::Json && result["metadata"].get("resourceVersion") == revision.as_ref() {
        meta::metadata_mut(&mut result).shift_remove("resourceVersion");
    }
    match meta::name(&result) {
        "" => return Err(Status::name_missing(&call.info.name)),
        name if name != call.info.name => return Err(Status::name_mismatch(name, &call.info.name)),
        _ => {}
    }
    let namespace = meta::namespace(&result);
    if call.row.namespaced && !namespace.is_empty() && namespace != call.info.namespace {
        return Err(Status::namespace_mismatch());
    }
    // A patch states no precondition; it would change what cannot change.
    let uid = meta::uid(&result);
    if !uid.is_empty() && uid != meta::uid(&old.value) {
        let error = FieldError::invalid("metadata.uid", uid, "field is immutable");
        return Err(Status::invalid(call.row.kind, call.row.group, &call.info.name, vec![error]));
    }
    if patch.kind != PatchKind::Strategic {
        // As Go writes what it has merged.
        result.sort_all_objects();
    }
    // What is wrong with the outcome is wrong with the patch.
    let refused = |why: &str| {
        // A strategic patch is shown itself, as Go prints a map; of the others the outcome.
        let shown =
            if patch.kind == PatchKind::Strategic { patch::go_words(&patch.changes) } else { result.to_string() };
        let error = FieldError::invalid("patch", shown, why);
        Status::invalid("", "", "", vec![error])
    };
    let lenient = match options.validation {
        FieldValidation::Ignore => FieldValidation::Ignore,
        _ => FieldValidation::Warn,
    };
    let cleaned = object::clean(call.view, Decoded::of(result.clone()), lenient);
    let mut cleaned = cleaned.map_err(|status| match status.message.split_once(" cannot be handled as a ") {
        Some((_, why)) if status.code == 400 => refused(why.split_once(": ").map_or(why, |(_, why)| why)),
        _ => status,
    })?;
    if patch.kind == PatchKind::Strategic {
        cleaned.warnings.sort();
    }
    if options.validation != FieldValidation::Ignore {
        cleaned.warnings.splice(0..0, patch.complaints.iter().cloned());
    }
    if options.validation == FieldValidation::Strict && !cleaned.warnings.is_empty() {
        return Err(refused(&format!("strict decoding error: {}", cleaned.warnings.join(", "))));
    }
    Ok(cleaned)
}

/// Whether the body is an applied configuration; 415 for what is no patch.
pub(crate) fn is_apply(call: &Call) -> Result<bool, Status> {
    Ok(kind(call)? == PatchKind::Apply)
}

fn kind(call: &Call) -> Result<PatchKind, Status> {
    // Custom kinds have no merge keys of their own.
    let custom = call.view.custom.is_some() && call.subresource != Some(Subresource::Scale);
    let accepted: Vec<&str> = ACCEPTED.into_iter().filter(|media| !custom || !media.contains("strategic")).collect();
    PatchKind::of_media_type(&body::media_type(&call.headers))
        .filter(|kind| !custom || *kind != PatchKind::Strategic)
        .ok_or_else(|| Status::unsupported_media_type(&accepted))
}

/// What a strict decoder cannot read as a patch of its kind, in Go's words.
fn mistyped(kind: PatchKind, body: &Value) -> Option<String> {
    let unlike = |value: &Value, wanted: &str| format!("{} into Go {wanted}", patch::json_kind(value));
    match (kind, body) {
        (_, Value::Null) | (PatchKind::Merge, Value::Object(_)) => None,
        (PatchKind::Merge, other) => Some(unlike(other, "value of type map[string]interface {}")),
        (PatchKind::Json, Value::Array(operations)) => operations.iter().find_map(|operation| match operation {
            Value::Null => None,
            Value::Object(fields) => ["op", "path", "from"].iter().find_map(|field| match fields.get(*field)? {
                Value::Null | Value::String(_) => None,
                other => Some(unlike(other, &format!("struct field jsonPatchOp.{field} of type string"))),
            }),
            other => Some(unlike(other, "value of type handlers.jsonPatchOp")),
        }),
        (PatchKind::Json, other) => Some(unlike(other, "value of type []handlers.jsonPatchOp")),
        _ => None,
    }
}

impl Patch {
    /// Reads the body by its media type; 415 for those that are no patches.
    pub(crate) fn read(call: &Call) -> Result<Patch, Status> {
        let kind = kind(call)?;
        let decoded = body::json(&call.body).map_err(|_| Status::bad_request("invalid JSON patch"))?;
        if call.query.get("fieldValidation") != "Ignore"
            && let Some(why) = mistyped(kind, &decoded.value)
        {
            return Err(Status::bad_request(format!("error decoding patch: json: cannot unmarshal {why}")));
        }
        let mut complaints = Vec::new();
        if kind == PatchKind::Json {
            for (index, operation) in decoded.value.as_array().into_iter().flatten().enumerate() {
                let unknown = operation.as_object().into_iter().flat_map(|fields| fields.keys());
                let unknown = unknown.filter(|key| !["op", "path", "from", "value"].contains(&key.as_str()));
                complaints.extend(
                    unknown.map(|key| format!("json patch unknown field {}", quote(&format!("[{index}].{key}")))),
                );
            }
        }
        let prefix = if kind == PatchKind::Json { "json patch " } else { "" };
        complaints.extend(decoded.duplicates.iter().map(|path| format!("{prefix}duplicate field {}", quote(path))));
        Ok(Patch { kind, changes: decoded.value, complaints })
    }

    /// The patched copy of an object of the call's kind.
    pub(crate) fn apply(&self, call: &Call, base: &Value) -> Result<Value, Status> {
        patch::apply(self.kind, call.view, base, &self.changes)
    }
}
