//! Whether a schema is structural: every place says its type outside of the alternatives, and alternatives say values only
//! (apiextensions `apiserver/schema`, `validation.go`, `complete.go`, `convert.go`). Must not judge anything else.

use std::fmt;

use serde_json::{Value, json};

use crate::field::FieldError;

/// The way to a place, written out only where there is something to tell.
#[derive(Debug, Clone, Copy)]
enum Trail<'a> {
    Start(&'a str),
    Step(&'a Trail<'a>, &'a str),
    Field(&'a Trail<'a>, &'a str),
    Item(&'a Trail<'a>, &'a str, usize),
}

impl fmt::Display for Trail<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trail::Start(path) => f.write_str(path),
            Trail::Step(up, step) => write!(f, "{up}.{step}"),
            Trail::Field(up, name) => write!(f, "{up}.properties[{name}]"),
            Trail::Item(up, step, index) => write!(f, "{up}.{step}[{index}]"),
        }
    }
}

/// How a place is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Root,
    Item,
    Field,
}

/// Whether a keyword says anything: nothing does by being null, false or empty.
pub(super) fn is_set(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(map) => !map.is_empty(),
        Value::Bool(true) | Value::Number(_) => true,
    }
}

fn text<'a>(schema: &'a Value, key: &str) -> &'a str {
    schema[key].as_str().unwrap_or_default()
}

/// The schemas of a list of alternatives.
pub(super) fn listed<'a>(schema: &'a Value, key: &str) -> &'a [Value] {
    schema[key].as_array().map(Vec::as_slice).unwrap_or_default()
}

/// The named schemas below one.
pub(super) fn named<'a>(schema: &'a Value, key: &str) -> impl Iterator<Item = (&'a String, &'a Value)> + use<'a> {
    schema[key].as_object().into_iter().flatten()
}

/// What a keyword's schema is, where it is one.
pub(super) fn below<'a>(schema: &'a Value, key: &str) -> Option<&'a Value> {
    Some(&schema[key]).filter(|inner| inner.is_object())
}

/// Whether a schema has only keywords that structural ones may have.
///
/// # Errors
/// The one that it may not have.
pub(super) fn readable(schema: &Value) -> Result<(), String> {
    for (key, known) in [
        ("id", is_set(&schema["id"])),
        ("schema", is_set(&schema["$schema"])),
        ("$ref", is_set(&schema["$ref"])),
        ("patternProperties", is_set(&schema["patternProperties"])),
        ("dependencies", is_set(&schema["dependencies"])),
        ("additionalItems", !schema["additionalItems"].is_null()),
        ("definitions", is_set(&schema["definitions"])),
    ] {
        if known {
            return Err(format!("OpenAPIV3Schema '{key}' is not supported"));
        }
    }
    if schema["x-kubernetes-preserve-unknown-fields"] == false {
        return Err("internal error: 'x-kubernetes-preserve-unknown-fields' must be true or undefined".to_owned());
    }
    if is_set(&schema["items"]) && schema["items"].is_array() {
        return Err("OpenAPIV3Schema 'items' must be a schema, but is an array".to_owned());
    }
    let single = ["items", "additionalProperties", "not"].into_iter().filter_map(|key| below(schema, key));
    let many = ["allOf", "anyOf", "oneOf"].into_iter().flat_map(|key| listed(schema, key));
    let fields = named(schema, "properties").map(|(_, inner)| inner);
    single.chain(many).chain(fields).try_for_each(readable)
}

/// What keeps a readable schema from being structural.
pub(super) fn check(schema: &Value, path: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let start = Trail::Start(path);
    place(schema, Level::Root, &start, &mut errors);
    complete(schema, schema, &start, &start, &mut errors);
    errors.sort_by_cached_key(ToString::to_string);
    errors
}

fn place(schema: &Value, level: Level, path: &Trail<'_>, errors: &mut Vec<FieldError>) {
    let kind = text(schema, "type");
    let flag = |key: &str| schema[key] == true;
    match below(schema, "items") {
        Some(items) => place(items, Level::Item, &Trail::Step(path, "items"), errors),
        None if kind == "array" => errors.push(FieldError::required(format!("{path}.items"), "must be specified")),
        None => {}
    }
    for (key, inner) in named(schema, "properties") {
        place(inner, Level::Field, &Trail::Field(path, key), errors);
    }
    let additional = Trail::Step(path, "additionalProperties");
    let has_additional = !schema["additionalProperties"].is_null();
    if has_additional && level == Level::Root {
        errors.push(FieldError::forbidden(additional.to_string(), "must not be used at the root"));
    }
    if let Some(inner) = below(schema, "additionalProperties") {
        place(inner, Level::Field, &additional, errors);
    }
    if flag("x-kubernetes-int-or-string") {
        for key in ["x-kubernetes-preserve-unknown-fields", "x-kubernetes-embedded-resource"] {
            if flag(key) {
                let detail = "must be false if x-kubernetes-int-or-string is true";
                errors.push(FieldError::invalid(format!("{path}.{key}"), true, detail));
            }
        }
    }
    // The two ways in which a number or a text may say so a second time.
    let pattern = json!([{"type": "integer"}, {"type": "string"}]);
    values(schema, schema["anyOf"] == pattern, schema["allOf"][0]["anyOf"] == pattern, path, errors);
    let embedded = flag("x-kubernetes-embedded-resource");
    if embedded && kind != "object" {
        let (at, detail) = (format!("{path}.type"), "must be object if x-kubernetes-embedded-resource is true");
        errors.push(match kind {
            "" => FieldError::required(at, detail),
            kind => FieldError::invalid(at, kind, detail),
        });
    } else if kind.is_empty() && !flag("x-kubernetes-int-or-string") && !flag("x-kubernetes-preserve-unknown-fields") {
        let detail = match level {
            Level::Root => "must not be empty at the root",
            Level::Item => "must not be empty for specified array items",
            Level::Field => "must not be empty for specified object fields",
        };
        errors.push(FieldError::required(format!("{path}.type"), detail));
    }
    if embedded && has_additional {
        let detail = "must not be used if x-kubernetes-embedded-resource is set";
        errors.push(FieldError::forbidden(additional.to_string(), detail));
    }
    if level == Level::Root && !kind.is_empty() && kind != "object" {
        errors.push(FieldError::invalid(format!("{path}.type"), kind, "must be object at the root"));
    }
    identity(schema, level == Level::Root, embedded, path, errors);
    if embedded && !flag("x-kubernetes-preserve-unknown-fields") && !is_set(&schema["properties"]) {
        let detail =
            "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields";
        errors.push(FieldError::required(format!("{path}.properties"), detail));
    }
}

/// What an object's type and metadata may say.
fn identity(schema: &Value, root: bool, embedded: bool, path: &Trail<'_>, errors: &mut Vec<FieldError>) {
    let properties = &schema["properties"];
    for (key, wanted) in [("kind", "string"), ("apiVersion", "string"), ("metadata", "object")] {
        let inner = &properties[key];
        if (root || embedded) && inner.is_object() && text(inner, "type") != wanted {
            let at = format!("{path}.properties[{key}].type");
            errors.push(FieldError::invalid(at, text(inner, "type"), format!("must be {wanted}")));
        }
    }
    let Some(metadata) = properties["metadata"].as_object().filter(|_| root) else { return };
    let more = metadata.iter().any(|(key, value)| match key.as_str() {
        "type" | "default" => false,
        "properties" => {
            value.as_object().into_iter().flatten().any(|(key, _)| !matches!(key.as_str(), "name" | "generateName"))
        }
        _ => is_set(value),
    });
    if more {
        let detail = "must not specify anything other than name and generateName, but metadata is implicitly specified";
        errors.push(FieldError::forbidden(format!("{path}.properties[metadata]"), detail));
    }
}

/// The alternatives of a place. `any`, `first`: they are a known pattern and need no look.
fn values(schema: &Value, any: bool, first: bool, path: &Trail<'_>, errors: &mut Vec<FieldError>) {
    for (key, skip) in [("anyOf", any), ("allOf", false), ("oneOf", false)] {
        for (index, one) in listed(schema, key).iter().enumerate().filter(|_| !skip) {
            nested(one, key == "allOf" && first && index == 0, &Trail::Item(path, key, index), errors);
        }
    }
    if let Some(not) = below(schema, "not") {
        nested(not, false, &Trail::Step(path, "not"), errors);
    }
}

/// An alternative and what is below it: values alone, no structure. `any`: its `anyOf` needs no look.
fn nested(schema: &Value, any: bool, path: &Trail<'_>, errors: &mut Vec<FieldError>) {
    values(schema, any, false, path, errors);
    if let Some(items) = below(schema, "items") {
        nested(items, false, &Trail::Step(path, "items"), errors);
    }
    for (key, inner) in named(schema, "properties") {
        nested(inner, false, &Trail::Field(path, key), errors);
    }
    for (key, must) in [
        ("type", "empty"),
        ("additionalProperties", "undefined"),
        ("default", "undefined"),
        ("title", "empty"),
        ("description", "empty"),
        ("nullable", "false"),
        ("x-kubernetes-preserve-unknown-fields", "false"),
        ("x-kubernetes-embedded-resource", "false"),
        ("x-kubernetes-int-or-string", "false"),
        ("x-kubernetes-list-map-keys", "empty"),
        ("x-kubernetes-list-type", "undefined"),
        ("x-kubernetes-map-type", "undefined"),
        ("x-kubernetes-validations", "empty"),
    ] {
        let given = match key {
            "default" => !schema[key].is_null(),
            "additionalProperties" => schema[key].is_object() || schema[key] == true,
            _ => is_set(&schema[key]),
        };
        if given {
            errors.push(FieldError::forbidden(format!("{path}.{key}"), format!("must be {must} to be structural")));
        }
    }
    if schema["properties"]["metadata"].is_object() {
        let at = format!("{path}.properties[metadata]");
        errors.push(FieldError::forbidden(at, "must not be specified in a nested context"));
    }
}

/// Whatever the alternatives of `from` speak of must have a place in `schema`.
fn complete(from: &Value, schema: &Value, path: &Trail<'_>, from_path: &Trail<'_>, errors: &mut Vec<FieldError>) {
    if let Some(not) = below(from, "not") {
        complete_nested(not, schema, path, &Trail::Step(from_path, "not"), errors);
    }
    for key in ["allOf", "anyOf", "oneOf"] {
        for (index, one) in listed(from, key).iter().enumerate() {
            complete_nested(one, schema, path, &Trail::Item(from_path, key, index), errors);
        }
    }
}

fn complete_nested(
    from: &Value,
    schema: &Value,
    path: &Trail<'_>,
    from_path: &Trail<'_>,
    errors: &mut Vec<FieldError>,
) {
    complete(from, schema, path, from_path, errors);
    let mut follow = |inner: &Value, place: Option<&Value>, path: &Trail<'_>, from_path: &Trail<'_>| match place {
        Some(place) => complete_nested(inner, place, path, from_path, errors),
        None => errors.push(FieldError::required(path.to_string(), format!("because it is defined in {from_path}"))),
    };
    if let Some(items) = below(from, "items") {
        follow(items, below(schema, "items"), &Trail::Step(path, "items"), &Trail::Step(from_path, "items"));
    }
    for (key, inner) in named(from, "properties") {
        let place = Some(&schema["properties"][key]).filter(|place| place.is_object());
        follow(inner, place, &Trail::Field(path, key), &Trail::Field(from_path, key));
    }
}
