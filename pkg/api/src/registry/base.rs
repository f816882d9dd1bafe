//! What rows have in common: the usual answers, and how fields are read for selectors.

use serde_json::Value;

use super::{NameRule, Row};

/// Verbs of kinds that can be created and deleted one by one and together.
pub(crate) const ALL_VERBS: &[&str] =
    &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

/// A dotted path of strings, numbers and booleans as a field selector reads it; missing fields are empty.
pub(super) fn by_path(object: &Value, path: &str) -> String {
    let mut value = object;
    for step in path.split('.') {
        value = &value[step];
    }
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// As [`by_path`], but `status.replicas` that are missing are 0.
pub(super) fn by_count(object: &Value, path: &str) -> String {
    match path {
        "status.replicas" => object["status"]["replicas"].as_i64().unwrap_or(0).to_string(),
        other => by_path(object, other),
    }
}

/// A row with the usual answers, to be written as `Row { kind: …, ..base(…) }`.
pub(crate) const fn base() -> Row {
    Row {
        group: "",
        version: "v1",
        kind: "",
        list_kind: "",
        plural: "",
        singular: "",
        short_names: &[],
        categories: &[],
        namespaced: true,
        verbs: ALL_VERBS,
        subresources: &[],
        generation: false,
        graceful: false,
        unconditional_update: true,
        create_on_update: false,
        name_rule: NameRule::Subdomain,
        schema: "",
        prune: |object| Ok(object.clone()),
        default: |_, _| {},
        validate: |_, _| Vec::new(),
        field_labels: &[],
        field: by_path,
        columns: &[],
        cells: |_, _| Vec::new(),
        alias: None,
        custom: None,
    }
}
