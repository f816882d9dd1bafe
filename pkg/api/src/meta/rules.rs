//! What is wrong with metadata: names, labels, annotations, owners, finalizers (apimachinery `objectmeta.go`).

use serde_json::{Value, json};

use super::{FOREGROUND, MAX_ANNOTATIONS, ORPHAN, finalizers, is_deleting, name, namespace, text};
use crate::field::{FieldError, quote};
use crate::names;
use crate::registry::Row;

/// What is wrong with the metadata of an object; `old` on update.
pub fn validate(row: &Row, new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let metadata = &new["metadata"];
    let generate = text(new, "generateName");
    if !generate.is_empty() {
        for complaint in row.name_rule.check(generate, true) {
            errors.push(FieldError::invalid("metadata.generateName", generate, complaint));
        }
    }
    let own = name(new);
    if own.is_empty() {
        errors.push(FieldError::required("metadata.name", "name or generateName is required"));
    } else if old.is_none() {
        for complaint in row.name_rule.check(own, false) {
            errors.push(FieldError::invalid("metadata.name", own, complaint));
        }
    }
    if row.namespaced && old.is_none() {
        let namespace = namespace(new);
        if namespace.is_empty() {
            errors.push(FieldError::required("metadata.namespace", ""));
        } else {
            for complaint in names::label(namespace) {
                errors.push(FieldError::invalid("metadata.namespace", namespace, complaint));
            }
        }
    }
    errors.extend(labels("metadata.labels", &metadata["labels"]));
    errors.extend(annotations("metadata.annotations", &metadata["annotations"]));
    errors.extend(owner_references(&metadata["ownerReferences"]));
    errors.extend(check_finalizers(row, new));
    if let Some(old) = old {
        errors.extend(update(new, old));
    }
    errors
}

fn update(new: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for field in ["name", "namespace", "uid", "creationTimestamp"] {
        let value = &new["metadata"][field];
        if value != &old["metadata"][field] {
            errors.push(FieldError::invalid(format!("metadata.{field}"), value.clone(), "field is immutable"));
        }
    }
    if is_deleting(old) {
        let before = finalizers(old);
        let added: Vec<&str> = finalizers(new).into_iter().filter(|f| !before.contains(f)).collect();
        if !added.is_empty() {
            errors.push(FieldError::forbidden(
                "metadata.finalizers",
                format!(
                    "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
                    added.iter().map(|name| quote(name)).collect::<Vec<_>>().join(", ")
                ),
            ));
        }
    }
    errors
}

/// Complaints about a map of labels at `path`.
pub fn labels(path: &str, labels: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (key, value) in labels.as_object().into_iter().flatten() {
        for complaint in names::qualified_name(key) {
            errors.push(FieldError::invalid(path, key.as_str(), complaint));
        }
        let value = value.as_str().unwrap_or("");
        for complaint in names::label_value(value) {
            errors.push(FieldError::invalid(path, value, complaint));
        }
    }
    errors
}

/// Complaints about a map of annotations at `path`.
pub fn annotations(path: &str, annotations: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut size = 0;
    for (key, value) in annotations.as_object().into_iter().flatten() {
        for complaint in names::qualified_name(&key.to_lowercase()) {
            errors.push(FieldError::invalid(path, key.as_str(), complaint));
        }
        size += key.len() + value.as_str().map_or(0, str::len);
    }
    if size > MAX_ANNOTATIONS {
        errors.push(FieldError::too_long(path, MAX_ANNOTATIONS));
    }
    errors
}

fn owner_references(references: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut controller: Option<&str> = None;
    for (i, reference) in references.as_array().into_iter().flatten().enumerate() {
        let path = format!("metadata.ownerReferences[{i}]");
        for (field, words) in [
            ("apiVersion", "version must not be empty"),
            ("kind", "must not be empty"),
            ("name", "must not be empty"),
            ("uid", "must not be empty"),
        ] {
            let value = reference[field].as_str().unwrap_or("");
            if value.is_empty() {
                errors.push(FieldError::invalid(format!("{path}.{field}"), value, words));
            }
        }
        if reference["controller"].as_bool() == Some(true) {
            let own = reference["name"].as_str().unwrap_or("");
            if let Some(first) = controller {
                errors.push(FieldError::invalid(
                    "metadata.ownerReferences",
                    references.clone(),
                    format!(
                        "Only one reference can have Controller set to true. Found \"true\" in references for {first} and {own}"
                    ),
                ));
            } else {
                controller = Some(own);
            }
        }
    }
    errors
}

fn check_finalizers(row: &Row, object: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let all = finalizers(object);
    for finalizer in &all {
        let complaints = names::qualified_name(finalizer);
        for complaint in &complaints {
            errors.push(FieldError::invalid("metadata.finalizers", *finalizer, complaint.as_str()));
        }
        // Custom kinds may have finalizers without a path; upstream only warns of them.
        if complaints.is_empty()
            && row.custom.is_none()
            && !finalizer.contains('/')
            && !matches!(*finalizer, FOREGROUND | ORPHAN | "kubernetes")
        {
            errors.push(FieldError::invalid(
                "metadata.finalizers",
                *finalizer,
                "name is neither a standard finalizer name nor is it fully qualified",
            ));
        }
    }
    if all.contains(&FOREGROUND) && all.contains(&ORPHAN) {
        errors.push(FieldError::invalid(
            "metadata.finalizers",
            json!(all),
            "finalizer orphan and foregroundDeletion cannot be both set",
        ));
    }
    errors
}
