//! The OpenAPI schema of a custom kind (apiextensions `controller/openapi/builder`). Must not know paths.

use serde_json::{Map, Value, json};

use super::{Custom, OBJECT_META};
use crate::openapi::COMPONENTS;
use crate::registry::Row;

/// The schema of a row's kind as version 3 shows it.
pub(crate) fn of_row(row: &Row, custom: &Custom) -> Value {
    let mut schema = custom.raw.clone();
    if !schema.is_object() {
        schema = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    }
    embed(&mut schema);
    add_type(&mut schema);
    schema["x-kubernetes-group-version-kind"] = json!([{"group": row.group, "version": row.version, "kind": row.kind}]);
    schema
}

/// Gives embedded objects their type and metadata.
fn embed(schema: &mut Value) {
    let Value::Object(map) = schema else { return };
    for (key, value) in map.iter_mut() {
        match key.as_str() {
            "properties" => value.as_object_mut().into_iter().flatten().for_each(|(_, inner)| embed(inner)),
            "items" | "additionalProperties" => embed(value),
            _ => {}
        }
    }
    if map.get("x-kubernetes-embedded-resource") == Some(&Value::Bool(true)) {
        add_type(schema);
    }
}

fn add_type(schema: &mut Value) {
    if !schema["properties"].is_object() {
        schema["properties"] = json!({});
    }
    let Value::Object(properties) = &mut schema["properties"] else { return };
    properties
        .insert("apiVersion".into(), json!({"description": "Version of the schema of this object.", "type": "string"}));
    properties.insert("kind".into(), json!({"description": "Kind of this object.", "type": "string"}));
    let reference = json!({"$ref": format!("{COMPONENTS}{OBJECT_META}")});
    properties.insert("metadata".into(), json!({"description": "Standard object's metadata.", "allOf": [reference]}));
}

/// The schema as version 2 can say it: without alternatives, nulls and bounds (upstream strips them for old clients).
pub(crate) fn for_v2(schema: Value) -> Value {
    match schema {
        Value::Array(items) => items.into_iter().map(for_v2).collect(),
        Value::Object(map) => {
            let reference = map.get("allOf").and_then(|all| all.get(0)).is_some_and(|one| one.get("$ref").is_some());
            let open = map.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(true));
            let kept = map.into_iter().filter(|(key, _)| match key.as_str() {
                "allOf" => reference,
                "anyOf"
                | "oneOf"
                | "not"
                | "nullable"
                | "default"
                | "enum"
                | "pattern"
                | "minimum"
                | "maximum"
                | "exclusiveMinimum"
                | "exclusiveMaximum"
                | "minLength"
                | "maxLength"
                | "minItems"
                | "maxItems"
                | "minProperties"
                | "maxProperties"
                | "multipleOf"
                | "uniqueItems"
                | "title"
                | "example"
                | "externalDocs"
                | "x-kubernetes-validations" => false,
                "items" | "properties" => !open,
                _ => true,
            });
            let converted = kept.map(|(key, value)| match (key.as_str(), value) {
                // Names of fields, not words of schemas.
                ("properties", Value::Object(properties)) => {
                    let properties: Map<String, Value> =
                        properties.into_iter().map(|(name, inner)| (name, for_v2(inner))).collect();
                    (key, Value::Object(properties))
                }
                (_, value) => {
                    let value = for_v2(value);
                    (key, value)
                }
            });
            Value::Object(converted.collect())
        }
        other => other,
    }
}
