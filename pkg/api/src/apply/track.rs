//! Owners after a write: who loses what another changed, what the writer gains, what an applier no longer says
//! (structured-merge-diff `merge/update.go`, apimachinery `fieldmanager.go`). Must not refuse anything: conflicts are
//! handed back.

use jiff::Timestamp;
use serde_json::Value;

use super::element::{Element, same};
use super::managers::{Identity, Managed, Owned};
use super::merge::{drop_emptied, merge, remove};
use super::place::{Place, View};
use super::set::{FieldSet, Node};
use super::walk::{Comparison, compare, fields_of};
use super::{Versions, is_reset, stamp, write_managed};
use crate::meta;

/// Fields that a write cannot change and so cannot own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ignored {
    /// None: the kind has no status of its own.
    Nothing,
    /// `status`: a write of the main resource.
    Status,
    /// All but `status` and metadata: a write of the status.
    AllButStatus,
}

/// One write.
#[derive(Debug, Clone, Copy)]
pub struct Writer<'a> {
    /// Its manager; empty is `unknown`.
    pub manager: &'a str,
    /// `apps/v1`: the version that the request speaks.
    pub api_version: &'a str,
    /// `Deployment`.
    pub kind: &'a str,
    /// `status`, `scale` or empty.
    pub subresource: &'a str,
    /// What it cannot change.
    pub ignored: Ignored,
    /// When.
    pub now: Timestamp,
}

/// What an apply comes to.
pub(super) struct Outcome {
    pub(super) object: Value,
    pub(super) managed: Managed,
    /// Fields that other managers lost.
    pub(super) conflicts: Vec<(Identity, Vec<Element>)>,
}

impl Ignored {
    fn filter(self, set: &FieldSet) -> FieldSet {
        match self {
            Self::Nothing => set.clone(),
            Self::Status => set.without(&FieldSet::of(&["status"])),
            Self::AllButStatus => set.only(&["status", "metadata"]),
        }
    }
}

impl Writer<'_> {
    fn identity(&self, applied: bool) -> Identity {
        Identity {
            manager: if self.manager.is_empty() { "unknown" } else { self.manager }.to_owned(),
            applied,
            api_version: if applied { String::new() } else { self.api_version.to_owned() },
            subresource: self.subresource.to_owned(),
        }
    }
}

/// Brings `metadata.managedFields` of `new` up to date for a write that is no apply. `old` is `None` on create. Both are in
/// the writer's version. What `new` itself brings there is taken as the owners before the write: a client may edit or
/// clear them. An object that nobody kept account of stays so until it is applied.
pub fn track(versions: &dyn Versions, writer: &Writer<'_>, old: Option<&Value>, new: &mut Value) {
    let given = meta::metadata_mut(new).shift_remove("managedFields").unwrap_or(Value::Null);
    let of_old = || old.and_then(|old| Managed::decode(&old["metadata"]["managedFields"]).ok()).unwrap_or_default();
    let managed = if !writer.subresource.is_empty() {
        of_old()
    } else if is_reset(&given) {
        Managed::default()
    } else {
        Managed::decode(&given).ok().filter(|managed| !managed.is_empty()).unwrap_or_else(of_old)
    };
    if managed.is_empty() && old.is_some() {
        return;
    }
    let nothing = super::blank(writer);
    let managed = settle(versions, writer, old.unwrap_or(&nothing), new, managed);
    write_managed(new, &managed);
}

/// Owners after an update from `old` to `new`.
pub(super) fn settle(
    versions: &dyn Versions,
    writer: &Writer<'_>,
    old: &Value,
    new: &Value,
    managed: Managed,
) -> Managed {
    let mut managed = reconciled(versions, managed);
    let (comparison, _) = lose(versions, writer, old, new, &mut managed, None);
    let gained = comparison.modified.union(&comparison.added).difference(&stripped());
    if !gained.is_empty() {
        let slot = managed.0.entry(writer.identity(false)).or_insert_with(|| Owned {
            set: FieldSet::default(),
            api_version: writer.api_version.to_owned(),
            time: None,
        });
        slot.set = slot.set.union(&gained);
        slot.time = Some(stamp(writer.now));
    }
    managed.cap();
    managed
}

/// Merges a configuration into an object and brings the owners up to date as if it were forced.
pub(super) fn merge_config(
    versions: &dyn Versions,
    writer: &Writer<'_>,
    place: Place,
    live: &Value,
    config: &Value,
    managed: Managed,
) -> Result<Outcome, String> {
    let mut managed = reconciled(versions, managed);
    let identity = writer.identity(true);
    let mut object = merge(place, live, config)?;
    let set = writer.ignored.filter(&fields_of(place, config));
    let (last, time) = match managed.0.remove(&identity) {
        Some(owned) => (Some((owned.set, owned.api_version)), owned.time),
        None => (None, None),
    };
    managed.0.insert(identity.clone(), Owned { set, api_version: writer.api_version.to_owned(), time });
    if let Some((last, version)) = last.filter(|(set, _)| !set.is_empty()) {
        object = pruned(versions, writer, object, &managed, &last, &version);
    }
    let (_, conflicts) = lose(versions, writer, live, &object, &mut managed, Some(&identity));
    let changed = !same(live, &object);
    if let Some(mine) = managed.0.get_mut(&identity) {
        mine.set = mine.set.difference(&stripped());
        if mine.set.is_empty() {
            managed.0.remove(&identity);
        } else if changed {
            mine.time = Some(stamp(writer.now));
        }
    }
    Ok(Outcome { object, managed, conflicts })
}

/// Takes from every manager but `self_` what the write changed or removed; tells what they lost by change.
fn lose(
    versions: &dyn Versions,
    writer: &Writer<'_>,
    old: &Value,
    new: &Value,
    managed: &mut Managed,
    own: Option<&Identity>,
) -> (Comparison, Vec<(Identity, Vec<Element>)>) {
    let filtered = |comparison: Comparison| Comparison {
        removed: writer.ignored.filter(&comparison.removed),
        modified: writer.ignored.filter(&comparison.modified),
        added: writer.ignored.filter(&comparison.added),
    };
    let compared = |version: &str| -> Option<Comparison> {
        let place = versions.place(version)?;
        if version == writer.api_version {
            return Some(filtered(compare(place, old, new)));
        }
        let of = |object: &Value| versions.convert(object, writer.api_version, version);
        Some(filtered(compare(place, &of(old), &of(new))))
    };
    let mine = compared(writer.api_version).unwrap_or_default();
    let mut conflicts = Vec::new();
    managed.0.retain(|identity, owned| {
        if Some(identity) != own {
            let other = if owned.api_version == writer.api_version { None } else { Some(compared(&owned.api_version)) };
            let comparison = match &other {
                None => &mine,
                Some(Some(other)) => other,
                // A version that is not served any more: nobody can own fields in it.
                Some(None) => return false,
            };
            let lost = owned.set.intersection(&comparison.modified.union(&comparison.added));
            conflicts.extend(lost.paths().into_iter().map(|path| (identity.clone(), path)));
            owned.set = owned.set.difference(&lost).difference(&comparison.removed);
        }
        !owned.set.is_empty()
    });
    (mine, conflicts)
}

/// The merged object without what the applier said last time, says no longer, and no one else owns.
fn pruned(
    versions: &dyn Versions,
    writer: &Writer<'_>,
    merged: Value,
    managed: &Managed,
    last: &FieldSet,
    last_version: &str,
) -> Value {
    let Some(place) = versions.place(last_version) else { return merged };
    let same_version = last_version == writer.api_version;
    let merged_there =
        if same_version { merged.clone() } else { versions.convert(&merged, writer.api_version, last_version) };
    let last = with_named(place, last);
    let mut out = remove(place, &merged_there, &last);
    // Back comes what anybody owns, in each owner's version, the last applied one first.
    let mut owners: Vec<(&str, FieldSet)> = Vec::new();
    for (_, owned) in managed.entries() {
        match owners.iter_mut().find(|(version, _)| *version == owned.api_version) {
            Some((_, set)) => *set = set.union(&owned.set),
            None => owners.push((&owned.api_version, owned.set.clone())),
        }
    }
    owners.sort_by_key(|(version, _)| *version != last_version);
    for (version, set) in owners {
        let Some(there) = versions.place(version) else { continue };
        let convert = |object: &Value, from: &str, to: &str| {
            if from == to { object.clone() } else { versions.convert(object, from, to) }
        };
        let whole = convert(&merged_there, last_version, version);
        let left = convert(&out, last_version, version);
        let of = |object: &Value| with_named(there, &fields_of(there, object));
        let gone = of(&whole).difference(&of(&left).union(&with_named(there, &set)));
        out = convert(&remove(there, &whole, &gone), version, last_version);
    }
    // And what the applier never owned.
    let of = |object: &Value| with_named(place, &fields_of(place, object));
    let gone = of(&merged_there).difference(&of(&out)).intersection(&last);
    let mut out = remove(place, &merged_there, &gone);
    drop_emptied(&mut out, &merged_there);
    if same_version { out } else { versions.convert(&out, last_version, writer.api_version) }
}

/// The set with the named fields above its paths: who owns `a.b` then owns `a` too where `a` is a field of a struct.
fn with_named(place: Place, set: &FieldSet) -> FieldSet {
    let mut out = FieldSet::default();
    for (element, node) in set.nodes() {
        let (inner, named) = match element {
            Element::Field(name) => place.field(name).unwrap_or((Place::Whole, false)),
            Element::Key(_) => (place.item(), false),
            _ => (Place::Whole, false),
        };
        let member = node.member || (named && !node.below.is_empty());
        out.put(element.clone(), Node { member, below: with_named(inner, &node.below) });
    }
    out
}

/// Owners of parts of what the schema now calls one whole own the whole.
fn reconciled(versions: &dyn Versions, managed: Managed) -> Managed {
    fn walk(place: Place, set: &FieldSet) -> FieldSet {
        let mut out = FieldSet::default();
        for (element, node) in set.nodes() {
            let inner = match element {
                Element::Field(name) => place.field(name).map(|(inner, _)| inner),
                _ => Some(place.item()),
            };
            let node = match inner {
                Some(inner) if !node.below.is_empty() => match inner.view(None) {
                    View::Leaf if !matches!(inner, Place::Whole) => Node { member: true, below: FieldSet::default() },
                    _ => Node { member: node.member, below: walk(inner, &node.below) },
                },
                _ => node.clone(),
            };
            out.put(element.clone(), node);
        }
        out
    }
    let entries = managed.0.into_iter().map(|(identity, mut owned)| {
        if let Some(place) = versions.place(&owned.api_version) {
            owned.set = walk(place, &owned.set);
        }
        (identity, owned)
    });
    Managed(entries.collect())
}

/// What nobody owns: the object's type and what the server itself keeps in the metadata.
fn stripped() -> FieldSet {
    let mut set = FieldSet::of(&["apiVersion"]);
    set = set.union(&FieldSet::of(&["kind"])).union(&FieldSet::of(&["metadata"]));
    for field in [
        "name",
        "namespace",
        "creationTimestamp",
        "selfLink",
        "uid",
        "clusterName",
        "generation",
        "managedFields",
        "resourceVersion",
    ] {
        set = set.union(&FieldSet::of(&["metadata", field]));
    }
    set
}
