//! Object metadata: reading it, what the server sets and clients may not (apimachinery and apiserver `rest/create.go`,
//! `rest/update.go`), and its validation. Names of single kinds' rules live in their registry rows.

mod rules;

use jiff::Timestamp;
pub use rules::{annotations, labels, validate};
use serde_json::{Map, Value, json};

use crate::registry::{Row, Subresource};
use crate::status::Status;
use crate::time;

/// All annotations of one object together may have this many bytes.
pub const MAX_ANNOTATIONS: usize = 256 * 1024;

/// The alphabet of generated names: no vowels, nothing that looks like another character.
const GENERATED: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// Finalizer that makes children with `blockOwnerDeletion` go first.
pub const FOREGROUND: &str = "foregroundDeletion";
/// Finalizer that makes children lose their owner references.
pub const ORPHAN: &str = "orphan";

/// Which part of an object an update may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Everything but `status`.
    Main,
    /// `status` (and metadata, as Kubernetes allows).
    Status,
    /// Everything: internal writers such as scale and finalize that prepared the object themselves.
    Whole,
}

fn text<'a>(object: &'a Value, field: &str) -> &'a str {
    object["metadata"][field].as_str().unwrap_or("")
}

/// `metadata.name`, or the empty string.
pub fn name(object: &Value) -> &str {
    text(object, "name")
}

/// `metadata.namespace`, or the empty string.
pub fn namespace(object: &Value) -> &str {
    text(object, "namespace")
}

/// `metadata.uid`, or the empty string.
pub fn uid(object: &Value) -> &str {
    text(object, "uid")
}

/// `metadata.resourceVersion`, or the empty string.
pub fn resource_version(object: &Value) -> &str {
    text(object, "resourceVersion")
}

/// `metadata.generation`, or 0.
pub fn generation(object: &Value) -> i64 {
    object["metadata"]["generation"].as_i64().unwrap_or(0)
}

/// Whether `metadata.deletionTimestamp` is set.
pub fn is_deleting(object: &Value) -> bool {
    object["metadata"]["deletionTimestamp"].is_string()
}

/// `metadata.finalizers`.
pub fn finalizers(object: &Value) -> Vec<&str> {
    object["metadata"]["finalizers"]
        .as_array()
        .map(|f| f.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default()
}

/// `metadata`, made when it is missing.
pub fn metadata_mut(object: &mut Value) -> &mut Map<String, Value> {
    if !object.is_object() {
        *object = json!({});
    }
    let slot = &mut object["metadata"];
    if !slot.is_object() {
        *slot = json!({});
    }
    match slot {
        Value::Object(map) => map,
        _ => unreachable!("metadata was just made an object"),
    }
}

/// Writes `metadata.resourceVersion`.
pub fn set_resource_version(object: &mut Value, revision: u64) {
    metadata_mut(object).insert("resourceVersion".into(), revision.to_string().into());
}

/// A name from `metadata.generateName`: the base cut to 58 bytes and five characters. `random(n)` returns a number
/// below `n`.
pub fn generate_name(base: &str, mut random: impl FnMut(usize) -> usize) -> String {
    let mut cut = base.len().min(58);
    while !base.is_char_boundary(cut) {
        cut -= 1;
    }
    let mut name = base[..cut].to_owned();
    for _ in 0..5 {
        name.push(GENERATED[random(GENERATED.len()) % GENERATED.len()] as char);
    }
    name
}

/// Makes a decoded object ready for defaulting on create: drops what clients may not set, sets namespace, uid,
/// creationTimestamp and generation. The name must be there already (see [`generate_name`]).
///
/// # Errors
/// A namespace that is not the request's.
pub fn prepare_create(
    row: &Row,
    object: &mut Value,
    namespace: Option<&str>,
    uid: &str,
    now: Timestamp,
) -> Result<(), Status> {
    place(row, object, namespace)?;
    if row.subresources.contains(&Subresource::Status)
        && let Value::Object(map) = object
    {
        map.shift_remove("status");
    }
    type_meta(row, object);
    let metadata = metadata_mut(object);
    for field in ["resourceVersion", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "generation"] {
        metadata.shift_remove(field);
    }
    metadata.insert("uid".into(), uid.into());
    metadata.insert("creationTimestamp".into(), time::format(now).into());
    if row.generation {
        metadata.insert("generation".into(), 1.into());
    }
    Ok(())
}

/// Checks the body's namespace against the request's and fills it in.
fn place(row: &Row, object: &mut Value, namespace: Option<&str>) -> Result<(), Status> {
    let given = text(object, "namespace").to_owned();
    match namespace.filter(|_| row.namespaced) {
        Some(wanted) if given.is_empty() => {
            metadata_mut(object).insert("namespace".into(), wanted.into());
        }
        Some(wanted) if given != wanted => return Err(Status::namespace_mismatch()),
        Some(_) => {}
        None if !row.namespaced => {
            metadata_mut(object).shift_remove("namespace");
        }
        None => {}
    }
    Ok(())
}

/// `apiVersion` and `kind` of the row, first in the object.
fn type_meta(row: &Row, object: &mut Value) {
    if let Value::Object(map) = object {
        let rest = std::mem::take(map);
        map.insert("apiVersion".into(), row.api_version().into());
        map.insert("kind".into(), row.kind.into());
        map.extend(rest.into_iter().filter(|(k, _)| k != "apiVersion" && k != "kind"));
    }
}

/// Makes a decoded object ready for defaulting on update: carries over what the server owns and the part that this
/// update may not change, and raises the generation when the rest changed. `new` has its name and namespace already
/// checked against the URL.
///
/// # Errors
/// A uid in the body that is not the stored one (409).
pub fn prepare_update(row: &Row, new: &mut Value, old: &Value, part: Part) -> Result<(), Status> {
    let wanted = uid(new);
    if !wanted.is_empty() && wanted != uid(old) {
        return Err(Status::conflict_because(
            &row.resource(),
            name(old),
            &format!("Precondition failed: UID in precondition: {wanted}, UID in object meta: {}", uid(old)),
        ));
    }
    type_meta(row, new);
    let has_status = row.subresources.contains(&Subresource::Status);
    match part {
        Part::Main if has_status => {
            copy_field(new, old, "status");
            // Once made, a request stays as it was asked.
            if row.kind == "CertificateSigningRequest" {
                copy_field(new, old, "spec");
            }
        }
        Part::Status => {
            let kept: Vec<String> = [new, old]
                .iter()
                .filter_map(|o| o.as_object())
                .flat_map(|map| map.keys().cloned())
                .filter(|k| !matches!(k.as_str(), "metadata" | "status" | "apiVersion" | "kind"))
                .collect();
            for key in kept {
                copy_field(new, old, &key);
            }
        }
        _ => {}
    }
    let metadata = metadata_mut(new);
    for field in [
        "uid",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generateName",
        "name",
        "namespace",
    ] {
        match old["metadata"].get(field) {
            Some(value) => metadata.insert(field.into(), value.clone()),
            None => metadata.shift_remove(field),
        };
    }
    metadata.shift_remove("selfLink");
    match old["metadata"].get("generation") {
        Some(value) => metadata.insert("generation".into(), value.clone()),
        None => metadata.shift_remove("generation"),
    };
    if part == Part::Status && row.group == "apps" {
        copy_field(&mut new["metadata"], &old["metadata"], "labels");
    }
    Ok(())
}

/// Raises `metadata.generation` when anything outside metadata and status differs from `old`. To be called after
/// defaulting, so that spelling out a default is not a change. Returns whether it rose.
pub fn bump_generation(row: &Row, new: &mut Value, old: &Value) -> bool {
    // A custom kind without a status subresource has no status of its own.
    let whole = row.custom.is_some() && !row.has(Subresource::Status);
    let same = same_content(new, old) && !(whole && new.get("status") != old.get("status"));
    if !row.generation || same {
        return false;
    }
    let next = generation(old).max(0) + 1;
    metadata_mut(new).insert("generation".into(), next.into());
    true
}

/// Whether two objects are equal outside `metadata` and `status`.
pub fn same_content(a: &Value, b: &Value) -> bool {
    fn content(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
        value
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(k, _)| !matches!(k.as_str(), "metadata" | "status" | "apiVersion" | "kind"))
    }
    content(a).count() == content(b).count() && content(a).all(|(k, v)| b.get(k) == Some(v))
}

/// Whether writing `new` over `old` would change nothing but the resourceVersion and managedFields' times: such a write
/// takes no new revision.
pub fn is_no_change(new: &Value, old: &Value) -> bool {
    fn stripped(value: &Value) -> Value {
        let mut copy = value.clone();
        let metadata = metadata_mut(&mut copy);
        metadata.shift_remove("resourceVersion");
        if let Some(Value::Array(entries)) = metadata.get_mut("managedFields") {
            for entry in entries {
                if let Value::Object(entry) = entry {
                    entry.shift_remove("time");
                }
            }
        }
        copy
    }
    stripped(new) == stripped(old)
}

/// Gives `new` the field as `old` has it, or takes it away where `old` has none.
pub(crate) fn copy_field(new: &mut Value, old: &Value, field: &str) {
    if let Value::Object(map) = new {
        match old.get(field) {
            Some(value) => {
                map.insert(field.to_owned(), value.clone());
            }
            None => {
                map.shift_remove(field);
            }
        }
    }
}

/// Marks an object as being deleted with `grace` seconds (0 for kinds without grace); raises the generation where there
/// is one. A second, shorter grace moves the timestamp earlier; a longer one changes nothing. Returns whether anything
/// changed.
pub fn mark_deleted(object: &mut Value, now: Timestamp, grace: i64) -> bool {
    let earlier = object["metadata"]["deletionGracePeriodSeconds"].as_i64();
    let deleting = is_deleting(object);
    if deleting && earlier.is_none_or(|seconds| seconds <= grace) {
        return false;
    }
    let rises = generation(object) > 0 && !deleting;
    let next = generation(object) + 1;
    let base = if deleting { time::of(&object["metadata"]["deletionTimestamp"]) } else { None };
    // A shorter grace counts from the first request.
    let at = match (base, earlier) {
        (Some(first), Some(seconds)) => first.as_second() - seconds + grace,
        _ => now.as_second() + grace,
    };
    let at = Timestamp::from_second(at).unwrap_or(now);
    let metadata = metadata_mut(object);
    metadata.insert("deletionTimestamp".into(), time::format(at).into());
    metadata.insert("deletionGracePeriodSeconds".into(), grace.into());
    if rises {
        metadata.insert("generation".into(), next.into());
    }
    true
}

#[cfg(test)]
mod tests;
