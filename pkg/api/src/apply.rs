//! Who owns which field of an object, and server-side apply (KEP-555): `metadata.managedFields`, kept on every write,
//! and the merge of an applied configuration. Follows structured-merge-diff and apimachinery's `managedfields`.
//!
//! Pure: objects and the time go in, objects come out. Must not know requests, rights or the store.

mod check;
mod element;
mod managers;
mod merge;
mod place;
mod scale;
mod set;
mod track;
mod walk;

pub use element::{Element, Scalar, path_text};
pub use managers::{Identity, Managed, Owned};
pub use place::Place;
pub use scale::{scale_entries, scaled_entries};
pub use set::FieldSet;
pub use track::{Ignored, Writer, track};
pub use walk::{Comparison, compare, fields_of};

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::field::quote;
use crate::meta::{self, MAX_ANNOTATIONS};
use crate::status::Status;
use track::{Outcome, settle};

/// The annotation in which client-side apply keeps what it applied last.
pub const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The manager of what was there before anybody applied and before anybody kept account.
const BEFORE_FIRST_APPLY: &str = "before-first-apply";

/// The manager under which kubectl applies; only for it client-side apply's annotation counts.
const KUBECTL: &str = "kubectl";

/// The versions in which a kind is served.
pub trait Versions {
    /// The schema of one of them; `None` when it is not served (any more).
    fn place(&self, api_version: &str) -> Option<Place>;
    /// An object of one version in the form of another; both are served.
    fn convert(&self, object: &Value, from: &str, to: &str) -> Value;
}

/// What may be wrong with an apply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// Fields that others own: the manager as messages show it, and the path.
    Conflicts(Vec<(String, String)>),
    /// 400.
    Bad(String),
    /// A configuration that its schema does not fit, and the like: a failure without a reason of its own (500).
    Broken(String),
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Conflicts(conflicts) => Status::apply_conflicts(&conflicts),
            Refusal::Bad(why) => Status::bad_request(why),
            Refusal::Broken(why) => Status::new(500, "", why),
        }
    }
}

/// A configuration laid over an object, whoever owns what: as mutating admission policies apply theirs.
///
/// # Errors
/// What does not fit the schema.
pub fn overlay(place: Place, object: &Value, config: &Value) -> Result<Value, String> {
    let complaints = check::check(place, config);
    if !complaints.is_empty() {
        return Err(format!("failed to create typed patch object ({}): {}", shown(config), complaints.join("; ")));
    }
    merge::merge(place, object, config)
}

/// Applies a configuration to an object, or makes a new one when `live` is `None`. Both are in the writer's version. The
/// result is still to be pruned, defaulted and validated; when it equals `live` but for owners, nothing changed.
///
/// # Errors
/// See [`Refusal`].
pub fn apply(
    versions: &dyn Versions,
    writer: &Writer<'_>,
    live: Option<&Value>,
    config: &Value,
    force: bool,
) -> Result<Value, Refusal> {
    let text = |field: &str| config[field].as_str().unwrap_or_default();
    if (text("apiVersion"), text("kind")) != (writer.api_version, writer.kind) {
        let (group, version) = text("apiVersion").split_once('/').unwrap_or(("", text("apiVersion")));
        return Err(Refusal::Bad(format!("invalid object type: {group}/{version}, Kind={}", text("kind"))));
    }
    if config["metadata"].get("managedFields").is_some_and(|fields| !fields.is_null()) {
        return Err(Refusal::Bad("metadata.managedFields must be nil".to_owned()));
    }
    let place = versions.place(writer.api_version).unwrap_or(Place::Deduced);
    let complaints = check::check(place, config);
    if !complaints.is_empty() {
        let all = match complaints.as_slice() {
            [one] => one.clone(),
            many => format!("errors:\n  {}", many.join("\n  ")),
        };
        return Err(Refusal::Broken(format!("failed to create typed patch object ({}): {all}", shown(config))));
    }
    let empty = blank(writer);
    let base = live.unwrap_or(&empty);
    let mut managed = Managed::decode(&base["metadata"]["managedFields"])
        .map_err(|cause| Refusal::Broken(format!("failed to decode managed fields: {cause}")))?;
    if managed.is_empty() {
        let before = Writer { manager: BEFORE_FIRST_APPLY, ..*writer };
        managed = settle(versions, &before, &empty, base, managed);
    }
    let outcome = match merged(versions, writer, place, base, config, managed.clone(), force) {
        Err(Refusal::Conflicts(_)) if writer.manager == KUBECTL => {
            let conflicts = conflicts_of(versions, writer, place, base, config, managed.clone())?;
            let allowed = last_applied_fields(writer, place, base);
            let left: Vec<_> = conflicts.into_iter().filter(|(_, path)| !allowed.has(path)).collect();
            if !left.is_empty() {
                return Err(refused(left));
            }
            merged(versions, writer, place, base, config, managed, true)?
        }
        other => other?,
    };
    let mut object = outcome.object;
    if writer.manager == KUBECTL
        && object["metadata"]["annotations"][LAST_APPLIED].as_str().is_some_and(|text| !text.is_empty())
    {
        set_last_applied(&mut object, config);
    }
    write_managed(&mut object, &outcome.managed);
    Ok(object)
}

/// The merge, with owners brought up to date.
fn merged(
    versions: &dyn Versions,
    writer: &Writer<'_>,
    place: Place,
    live: &Value,
    config: &Value,
    managed: Managed,
    force: bool,
) -> Result<Outcome, Refusal> {
    let outcome = track::merge_config(versions, writer, place, live, config, managed)
        .map_err(|cause| Refusal::Broken(format!("failed to merge config: {cause}")))?;
    if !force && !outcome.conflicts.is_empty() {
        return Err(refused(outcome.conflicts));
    }
    Ok(outcome)
}

/// Conflicts as paths, for those that may be allowed.
fn conflicts_of(
    versions: &dyn Versions,
    writer: &Writer<'_>,
    place: Place,
    live: &Value,
    config: &Value,
    managed: Managed,
) -> Result<Vec<(Identity, Vec<Element>)>, Refusal> {
    track::merge_config(versions, writer, place, live, config, managed)
        .map(|outcome| outcome.conflicts)
        .map_err(|cause| Refusal::Broken(format!("failed to merge config: {cause}")))
}

fn refused(conflicts: Vec<(Identity, Vec<Element>)>) -> Refusal {
    Refusal::Conflicts(conflicts.iter().map(|(manager, path)| (manager.to_string(), path_text(path))).collect())
}

/// Fields that client-side apply set and that still are as it set them: kubectl may take them over.
fn last_applied_fields(writer: &Writer<'_>, place: Place, live: &Value) -> FieldSet {
    let text = live["metadata"]["annotations"][LAST_APPLIED].as_str().unwrap_or_default();
    let Ok(last) = serde_json::from_str::<Value>(text) else { return FieldSet::default() };
    if last["apiVersion"] != writer.api_version || !check::check(place, &last).is_empty() {
        return FieldSet::default();
    }
    let Comparison { removed, modified, added } = compare(place, &last, live);
    fields_of(place, &last).difference(&modified).difference(&added).difference(&removed)
}

/// Keeps client-side apply's annotation in step, so that a later client-side apply knows what was applied.
fn set_last_applied(object: &mut Value, config: &Value) {
    let mut config = config.clone();
    if let Some(Value::Object(annotations)) = config["metadata"].get_mut("annotations") {
        annotations.shift_remove(LAST_APPLIED);
    }
    config.sort_all_objects();
    let annotations = &mut object["metadata"]["annotations"];
    let size: usize = annotations
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(key, _)| *key != LAST_APPLIED)
        .map(|(key, value)| key.len() + value.as_str().map_or(0, str::len))
        .sum();
    let text = format!("{config}\n");
    if let Value::Object(annotations) = annotations {
        if size + LAST_APPLIED.len() + text.len() > MAX_ANNOTATIONS {
            annotations.shift_remove(LAST_APPLIED);
        } else {
            annotations.insert(LAST_APPLIED.to_owned(), text.into());
        }
    }
}

/// An object of the writer's kind with nothing in it.
fn blank(writer: &Writer<'_>) -> Value {
    let mut map = Map::new();
    map.insert("apiVersion".into(), writer.api_version.into());
    map.insert("kind".into(), writer.kind.into());
    Value::Object(map)
}

/// An object as messages name it: `default/web; apps/v1, Kind=Deployment`.
fn shown(object: &Value) -> String {
    let api_version = object["apiVersion"].as_str().unwrap_or_default();
    let kind = object["kind"].as_str().unwrap_or_default();
    let version = if api_version.contains('/') { api_version.to_owned() } else { format!("/{api_version}") };
    format!("{}/{}; {version}, Kind={kind}", meta::namespace(object), meta::name(object))
}

/// Puts the owners into the object's metadata.
fn write_managed(object: &mut Value, managed: &Managed) {
    let metadata = meta::metadata_mut(object);
    if managed.is_empty() {
        metadata.shift_remove("managedFields");
    } else {
        metadata.insert("managedFields".into(), managed.encode());
    }
}

/// The manager of a write that names none: the beginning of the User-Agent up to its first slash, printable characters
/// only, at most 128 bytes (apiserver `prefixFromUserAgent`).
pub fn manager_of_user_agent(agent: &str) -> String {
    let mut out = String::new();
    for c in agent.split('/').next().unwrap_or_default().chars().filter(|c| !c.is_control()) {
        if out.len() + c.len_utf8() > MAX_MANAGER {
            break;
        }
        out.push(c);
    }
    out
}

/// Bytes of a manager's name.
pub const MAX_MANAGER: usize = 128;

/// Complaints about a `fieldManager` parameter.
pub fn validate_manager(manager: &str) -> Vec<crate::field::FieldError> {
    let mut errors = Vec::new();
    if manager.len() > MAX_MANAGER {
        errors.push(crate::field::FieldError::too_long("fieldManager", MAX_MANAGER));
    }
    for (at, c) in manager.char_indices().filter(|(_, c)| c.is_control()) {
        let detail = format!("invalid character U+{:04X} (at position {at})", u32::from(c));
        errors.push(crate::field::FieldError::invalid("fieldManager", manager, detail));
    }
    errors
}

/// Whether a list of managed fields asks to forget all owners: empty, or one empty entry.
pub fn is_reset(managed_fields: &Value) -> bool {
    match managed_fields.as_array().map(Vec::as_slice) {
        Some([]) => true,
        Some([one]) => one.as_object().is_some_and(Map::is_empty),
        _ => false,
    }
}

/// The present second as `managedFields` writes it.
fn stamp(now: Timestamp) -> String {
    crate::time::format(now)
}

impl std::fmt::Display for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&quote(&self.manager))?;
        if !self.subresource.is_empty() {
            write!(f, " with subresource {}", quote(&self.subresource))?;
        }
        if !self.applied {
            write!(f, " using {}", self.api_version)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
