//! What a definition's status says: names accepted or in conflict, established, terminating (apiextensions
//! `controller/status`, `establish`, `finalizer`). Pure over the definitions of one moment.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{FINALIZER, approval, versions};
use crate::field::quote;
use crate::{meta, time};

/// The status of a condition; empty when it is not there.
fn condition<'a>(definition: &'a Value, kind: &str) -> &'a str {
    let conditions = definition["status"]["conditions"].as_array().into_iter().flatten();
    conditions.filter(|one| one["type"] == kind).find_map(|one| one["status"].as_str()).unwrap_or_default()
}

/// Whether a definition's kind is served.
pub fn is_established(definition: &Value) -> bool {
    condition(definition, "Established") == "True"
}

/// Whether a definition is being deleted with its objects still to go.
pub fn terminating(definition: &Value) -> bool {
    meta::is_deleting(definition) && meta::finalizers(definition).contains(&FINALIZER)
}

/// The definition with the status that it should have among `others` (itself may be one of them); `None` when it has it
/// already. `refusal`: why this server cannot serve it.
pub fn settled(definition: &Value, others: &[&Value], refusal: Option<&str>, now: Timestamp) -> Option<Value> {
    let mut new = definition.clone();
    let (wanted, mut accepted) = (&definition["spec"]["names"], definition["status"]["acceptedNames"].clone());
    if !accepted.is_object() {
        accepted = json!({"plural": "", "kind": ""});
    }
    let group = &definition["spec"]["group"];
    let rivals: Vec<&Value> = others
        .iter()
        .filter(|other| &other["spec"]["group"] == group && meta::name(other) != meta::name(definition))
        .map(|other| &other["status"]["acceptedNames"])
        .collect();
    let short = |names: &Value| names["shortNames"].as_array().cloned().unwrap_or_default();
    let resource_taken = |name: &Value| {
        rivals.iter().any(|names| &names["plural"] == name || &names["singular"] == name || short(names).contains(name))
    };
    let kind_taken = |name: &Value| rivals.iter().any(|names| &names["kind"] == name || &names["listKind"] == name);
    let in_use = |name: &Value| format!("{} is already in use", quote(name.as_str().unwrap_or_default()));
    let mut conflict: Option<(&str, String)> = None;
    for (field, reason) in [("plural", "PluralConflict"), ("singular", "SingularConflict")] {
        if wanted[field] != accepted[field] && resource_taken(&wanted[field]) {
            conflict = Some((reason, in_use(&wanted[field])));
        } else {
            accepted[field] = wanted[field].clone();
        }
    }
    let mine = short(&accepted);
    let taken: Vec<String> =
        short(wanted).iter().filter(|name| !mine.contains(name) && resource_taken(name)).map(in_use).collect();
    if taken.is_empty() {
        set(&mut accepted, "shortNames", &wanted["shortNames"]);
    } else {
        let message = if taken.len() == 1 { taken[0].clone() } else { format!("[{}]", taken.join(", ")) };
        conflict = Some(("ShortNamesConflict", message));
    }
    for (field, reason) in [("kind", "KindConflict"), ("listKind", "ListKindConflict")] {
        if wanted[field] != accepted[field] && kind_taken(&wanted[field]) {
            conflict = Some((reason, in_use(&wanted[field])));
        } else {
            accepted[field] = wanted[field].clone();
        }
    }
    set(&mut accepted, "categories", &wanted["categories"]);
    if !new["status"].is_object() {
        new["status"] = json!({});
    }
    new["status"]["acceptedNames"] = accepted;
    let good = conflict.is_none();
    let (reason, message) = conflict.unwrap_or(("NoConflicts", "no conflicts found".to_owned()));
    put(&mut new, "NamesAccepted", good, reason, &message, now);
    if let Some(why) = refusal {
        put(&mut new, "Established", false, "TooManyDefinitions", why, now);
    } else if !is_established(definition) {
        let (reason, message) = if good {
            ("InitialNamesAccepted", "the initial names have been accepted")
        } else {
            ("NotAccepted", "not all names are accepted")
        };
        put(&mut new, "Established", good, reason, message, now);
    }
    judged(&mut new, now);
    if terminating(definition) {
        put(&mut new, "Terminating", true, "InstanceDeletionInProgress", "CustomResource deletion is in progress", now);
    }
    // Every version that was ever stored is kept account of.
    let storage =
        definition["spec"]["versions"].as_array().into_iter().flatten().find(|version| version["storage"] == true);
    if let Some(name) = storage.map(|version| version["name"].clone()) {
        let mut versions = new["status"]["storedVersions"].as_array().cloned().unwrap_or_default();
        if !versions.contains(&name) {
            versions.push(name);
            new["status"]["storedVersions"] = versions.into();
        }
    }
    (new != *definition).then_some(new)
}

/// Whether its schemas are structural, which is told where they are not, and whether its group's owners approved it.
fn judged(new: &mut Value, now: Timestamp) {
    const NOT_STRUCTURAL: &str = "NonStructuralSchema";
    let versions = new["spec"]["versions"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut texts: Vec<String> = versions::violations(versions).iter().map(ToString::to_string).collect();
    texts.dedup();
    match &texts[..] {
        [] => {
            if let Some(conditions) = new["status"]["conditions"].as_array_mut() {
                conditions.retain(|one| one["type"] != NOT_STRUCTURAL);
            }
        }
        [one] => put(new, NOT_STRUCTURAL, true, "Violations", one, now),
        all => put(new, NOT_STRUCTURAL, true, "Violations", &format!("[{}]", all.join(", ")), now),
    }
    if let Some(found) = approval::of(new) {
        put(new, "KubernetesAPIApprovalPolicyConformant", found.holds, found.reason, &found.message, now);
    }
}

fn set(names: &mut Value, field: &str, value: &Value) {
    match value {
        Value::Null => {
            if let Value::Object(names) = names {
                names.shift_remove(field);
            }
        }
        value => names[field] = value.clone(),
    }
}

/// Writes a condition; its time moves when its status does.
fn put(definition: &mut Value, kind: &str, holds: bool, reason: &str, message: &str, now: Timestamp) {
    let status = if holds { "True" } else { "False" };
    let mut conditions = definition["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let old = conditions.iter_mut().find(|one| one["type"] == kind);
    let since = match &old {
        Some(old) if old["status"] == status => old["lastTransitionTime"].clone(),
        _ => time::format(now).into(),
    };
    let new =
        json!({"type": kind, "status": status, "lastTransitionTime": since, "reason": reason, "message": message});
    match old {
        Some(old) => *old = new,
        None => conditions.push(new),
    }
    definition["status"]["conditions"] = conditions.into();
}
