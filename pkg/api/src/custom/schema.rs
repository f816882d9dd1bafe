//! The OpenAPI schema of a custom kind (apiextensions `controller/openapi/builder`). Must not know paths.

use serde_json::{Map, Value, json};

use super::{Custom, OBJECT_META};
use crate::openapi::COMPONENTS;
use crate::registry::Row;

/// The schema of a row's kind as version 3 shows it. `types`: properties of a kind whose `apiVersion` and `kind` are described.
pub(crate) fn of_row(row: &Row, custom: &Custom, types: &Value) -> Value {
    let mut schema = custom.raw.clone();
    if !schema.is_object() {
        schema = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    }
    embed(&mut schema, types);
    add_type(&mut schema, types);
    name_kind(row, &mut schema);
    schema
}

/// The schema as version 2 can say it: without alternatives and nulls, and open where old clients would else refuse what
/// is allowed. A kind that takes any field at its root is just an object: more would make kubectl refuse the rest.
pub(crate) fn of_row_v2(row: &Row, custom: &Custom, types: &Value) -> Value {
    let mut schema = json!({"type": "object"});
    if custom.raw.is_object() && custom.raw["x-kubernetes-preserve-unknown-fields"] != true {
        schema = custom.raw.clone();
        narrow(&mut schema);
        embed(&mut schema, types);
        add_type(&mut schema, types);
    }
    name_kind(row, &mut schema);
    schema
}

fn name_kind(row: &Row, schema: &mut Value) {
    schema["x-kubernetes-group-version-kind"] = json!([{"group": row.group, "version": row.version, "kind": row.kind}]);
    let labels: Vec<Value> = row.field_labels.iter().map(|label| json!({"fieldPath": label})).collect();
    if !labels.is_empty() {
        schema["x-kubernetes-selectable-fields"] = labels.into();
    }
}

/// Every schema that is directly below this one.
fn below(map: &mut Map<String, Value>) -> impl Iterator<Item = &mut Value> {
    map.iter_mut().flat_map(|(key, value)| match (key.as_str(), value) {
        ("properties", Value::Object(properties)) => properties.values_mut().collect::<Vec<_>>(),
        ("items" | "additionalProperties", value) => vec![value],
        _ => Vec::new(),
    })
}

/// Gives embedded objects their type and metadata.
fn embed(schema: &mut Value, types: &Value) {
    let Value::Object(map) = schema else { return };
    below(map).for_each(|inner| embed(inner, types));
    if map.get("x-kubernetes-embedded-resource") != Some(&Value::Bool(true)) {
        return;
    }
    let mut required = map.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
    for key in ["kind", "apiVersion"] {
        if !required.iter().any(|one| one == key) {
            required.push(key.into());
        }
    }
    map.insert("required".into(), required.into());
    add_type(schema, types);
}

fn add_type(schema: &mut Value, types: &Value) {
    if !schema["properties"].is_object() {
        schema["properties"] = json!({});
    }
    let Value::Object(properties) = &mut schema["properties"] else { return };
    for key in ["apiVersion", "kind"] {
        properties.insert(key.into(), json!({"description": types[key]["description"], "type": "string"}));
    }
    let reference = json!({"$ref": format!("{COMPONENTS}{OBJECT_META}")});
    properties.insert("metadata".into(), json!({"description": "Standard object's metadata.", "allOf": [reference]}));
}

/// apiextensions `controller/openapi/v2`: what version 2 has no words for goes.
fn narrow(schema: &mut Value) {
    let Value::Object(map) = schema else { return };
    for key in
        ["allOf", "anyOf", "oneOf", "not", "x-kubernetes-validations", "example", "externalDocs", "id", "$schema"]
    {
        map.shift_remove(key);
    }
    let open = map.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(true));
    let nullable = map.shift_remove("nullable") == Some(Value::Bool(true));
    if open || nullable {
        map.shift_remove("items");
        map.shift_remove("properties");
    }
    let bare_array = map.get("type") == Some(&Value::from("array")) && !map.contains_key("items");
    if nullable || bare_array || (open && map.get("type") == Some(&Value::from("object"))) {
        map.shift_remove("type");
    }
    if let Some(Value::Object(properties)) = map.get("properties") {
        let null: Vec<String> =
            properties.iter().filter(|(_, inner)| inner["nullable"] == true).map(|(key, _)| key.clone()).collect();
        if let Some(Value::Array(required)) = map.get_mut("required") {
            required.retain(|key| !null.iter().any(|null| key == null));
        }
    }
    if map.get("additionalProperties").is_some_and(|inner| inner["nullable"] == true)
        || map.get("required").and_then(Value::as_array).is_some_and(Vec::is_empty)
    {
        map.shift_remove("required");
    }
    below(map).for_each(narrow);
}
