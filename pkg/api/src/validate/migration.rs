//! Rules of migrations of stored versions (upstream `pkg/apis/storagemigration/validation`).

use serde_json::Value;

use super::{invalid, list, text};
use crate::field::FieldError;
use crate::names;

/// StorageVersionMigration, and its status against the one before.
pub fn storage_version_migration(new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let resource = &new["spec"]["resource"];
    match text(resource, "resource") {
        "" => errors.push(FieldError::required("spec.resource.resource", "resource is required to be set")),
        name => errors.extend(invalid("spec.resource.resource", name, names::label_1035(name))),
    }
    match text(resource, "group") {
        "" => {}
        group => errors.extend(invalid("spec.resource.group", group, names::subdomain(group))),
    }
    let Some(old) = old else { return errors };
    if new["spec"] != old["spec"] {
        errors.push(FieldError::invalid("spec", new["spec"].clone(), "field is immutable"));
    }
    if new["status"] != old["status"] {
        status(&new["status"], &old["status"], &mut errors);
    }
    errors
}

fn status(new: &Value, old: &Value, errors: &mut Vec<FieldError>) {
    let version = text(new, "resourceVersion");
    let mut wrong = |field: &str, value: Value, detail: &str| {
        errors.push(FieldError::invalid(format!("status.{field}"), value, detail));
    };
    if !version.is_empty() && !version.bytes().all(|byte| byte.is_ascii_digit()) {
        wrong("resourceVersion", version.into(), &format!("resource version is not well formed: {version}"));
    }
    let before = text(old, "resourceVersion");
    if !before.is_empty() && before != version {
        wrong("resourceVersion", version.into(), "field is immutable");
    }
    let shown = || new["conditions"].clone();
    let holds = |status: &Value, kind: &str| {
        list(status, "conditions").iter().any(|one| one["type"] == kind && one["status"] == "True")
    };
    if holds(new, "Succeeded") && holds(new, "Failed") {
        wrong("conditions", shown(), "Both success and failed conditions cannot be true at the same time");
    }
    for (kind, word) in [("Succeeded", "Success"), ("Failed", "Failed")] {
        if holds(old, kind) && !holds(new, kind) {
            wrong("conditions", shown(), &format!("{word} condition cannot be set to false once it is true"));
        }
    }
    for (index, condition) in list(new, "conditions").iter().enumerate() {
        super::conditions::check(condition, &format!("status.conditions[{index}]"), errors);
    }
}
