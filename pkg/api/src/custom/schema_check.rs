//! What is wrong with the schema of a definition's version (apiextensions `apis/apiextensions/validation`,
//! `apiserver/schema/defaulting`). Must not look at rules: `super::rule_check` does.

use serde_json::Value;

use super::structural::Structural;
use super::structure::{self, below, is_set, listed, named};
use crate::field::FieldError;

/// What a complaint is about. A definition that was accepted before a demand was made may go on without it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Demand {
    /// Made of all.
    Always,
    /// The schema is structural and defaults fit it.
    Structural,
    /// Types are known ones.
    Types,
    /// Defaults have no fields that would be dropped.
    Pruned,
    /// Items of sets are one value.
    Sets,
    /// Items of maps and sets are never null, and what tells them apart is always there.
    Keys,
}

type Errors = Vec<(Demand, FieldError)>;

/// Where the walk is.
#[derive(Debug, Clone, Copy, Default)]
struct At<'a> {
    /// Why there may be no default, if so.
    no_default: Option<&'a str>,
    /// Below the type or the metadata of an object.
    in_meta: bool,
}

const TYPES: [&str; 6] = ["array", "boolean", "integer", "number", "object", "string"];

/// What may stand at the root where the status is a subresource, as the complaint lists it and as it is written.
const AT_ROOT: [(&str, &str); 22] = [
    ("Description", "description"),
    ("Type", "type"),
    ("Format", "format"),
    ("Title", "title"),
    ("Maximum", "maximum"),
    ("ExclusiveMaximum", "exclusiveMaximum"),
    ("Minimum", "minimum"),
    ("ExclusiveMinimum", "exclusiveMinimum"),
    ("MaxLength", "maxLength"),
    ("MinLength", "minLength"),
    ("Pattern", "pattern"),
    ("MaxItems", "maxItems"),
    ("MinItems", "minItems"),
    ("UniqueItems", "uniqueItems"),
    ("MultipleOf", "multipleOf"),
    ("Required", "required"),
    ("Items", "items"),
    ("Properties", "properties"),
    ("ExternalDocs", "externalDocs"),
    ("Example", "example"),
    ("XPreserveUnknownFields", "x-kubernetes-preserve-unknown-fields"),
    ("XValidations", "x-kubernetes-validations"),
];

/// Complaints about a schema at `path`; `status`: the version has the status subresource.
pub(super) fn check(schema: &Value, path: &str, status: bool) -> Errors {
    let mut errors = Errors::new();
    if status {
        with_status(schema, path, &mut errors);
    }
    if schema["nullable"] == true {
        let error = FieldError::forbidden(format!("{path}.nullable"), "nullable cannot be true at the root");
        errors.push((Demand::Always, error));
    }
    let readable = structure::readable(schema);
    if readable.is_ok() {
        let broken = structure::check(schema, path);
        if broken.is_empty() {
            defaults(schema, path, true, false, &mut errors);
        }
        errors.extend(broken.into_iter().map(|error| (Demand::Structural, error)));
    }
    place(schema, path, At::default(), true, &mut errors);
    if let (true, Err(cause)) = (errors.is_empty(), readable) {
        errors.push((Demand::Structural, FieldError::invalid(path, "", cause)));
    }
    errors
}

fn with_status(schema: &Value, path: &str, errors: &mut Errors) {
    let kind = schema["type"].as_str().unwrap_or_default();
    if !kind.is_empty() && kind != "object" {
        let detail =
            "only \"object\" is allowed as the type at the root of the schema if the status subresource is enabled";
        errors.push((Demand::Always, FieldError::invalid(format!("{path}.type"), kind, detail)));
        return;
    }
    let known = |key: &str| AT_ROOT.iter().any(|(_, written)| *written == key);
    let mut given = schema.as_object().into_iter().flatten();
    if given.any(|(key, value)| (is_set(value) || key == "additionalProperties") && !known(key)) {
        let names = AT_ROOT.map(|(name, _)| name).join(" ");
        let detail =
            format!("only [{names}] fields are allowed at the root of the schema if the status subresource is enabled");
        errors.push((Demand::Always, FieldError::invalid(path, schema.clone(), detail)));
    }
}

/// Defaults must be what the schema allows, without anything that it drops; free keys' are not looked at. `meta`: below an
/// object's type or metadata.
fn defaults(schema: &Value, path: &str, root: bool, meta: bool, errors: &mut Errors) {
    let embedded = schema["x-kubernetes-embedded-resource"] == true;
    let meta = meta && !embedded;
    if let Some(default) = schema.get("default").filter(|default| !default.is_null()) {
        let (read, at) = (Structural::read(schema), format!("{path}.default"));
        let mut pruned = default.clone();
        read.prune(&mut pruned, embedded, &mut String::new(), &mut Vec::new());
        if !meta && pruned != *default {
            let error = FieldError::invalid(at.clone(), default.clone(), "must not have unknown fields");
            errors.push((Demand::Pruned, error));
        }
        for mut error in super::check::object(&read, default, None) {
            error.field = inside(&at, &error.field);
            errors.push((Demand::Structural, error));
        }
    }
    if let Some(items) = below(schema, "items") {
        defaults(items, &format!("{path}.items"), false, meta, errors);
    }
    for (key, inner) in named(schema, "properties") {
        let identity = (root || embedded) && matches!(key.as_str(), "metadata" | "apiVersion" | "kind");
        defaults(inner, &format!("{path}.properties[{key}]"), false, identity || meta, errors);
    }
}

/// The path of a complaint about a value that stands at `at`.
pub(super) fn inside(at: &str, path: &str) -> String {
    match path {
        "" | "<nil>" => at.to_owned(),
        path if path.starts_with('[') => format!("{at}{path}"),
        path => format!("{at}.{path}"),
    }
}

/// Whatever a schema may not say, structural or not.
fn place(schema: &Value, path: &str, at: At<'_>, root: bool, errors: &mut Errors) {
    words(schema, path, at, errors);
    let mut forbid = |key: &str, detail: &str| {
        errors.push((Demand::Always, FieldError::forbidden(format!("{path}.{key}"), detail)));
    };
    if schema["uniqueItems"] == true {
        let detail = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
        forbid("uniqueItems", detail);
    }
    let more = &schema["additionalProperties"];
    if is_set(&schema["properties"]) && (more.is_object() || *more == false) {
        forbid("additionalProperties", "additionalProperties and properties are mutual exclusive");
    }
    if more.is_object() {
        let reason = Some("inside additionalProperties applying to object metadata");
        let at = if at.in_meta { At { no_default: reason, ..at } } else { at };
        place(more, &format!("{path}.additionalProperties"), at, false, errors);
    }
    for (key, inner) in named(schema, "properties") {
        let mut at = at;
        let reason = match key.as_str() {
            "metadata" => Some("in top-level metadata"),
            "kind" => Some("in top-level kind"),
            "apiVersion" => Some("in top-level apiVersion"),
            _ => None,
        };
        if reason.is_some() && (root || schema["x-kubernetes-embedded-resource"] == true) {
            at = At { in_meta: true, no_default: if root { reason } else { at.no_default } };
        }
        place(inner, &format!("{path}.properties[{key}]"), at, false, errors);
    }
    for key in ["not", "items"] {
        if let Some(inner) = below(schema, key) {
            place(inner, &format!("{path}.{key}"), at, false, errors);
        }
    }
    for key in ["allOf", "oneOf", "anyOf", "items"] {
        for (index, inner) in listed(schema, key).iter().enumerate() {
            place(inner, &format!("{path}.{key}[{index}]"), at, false, errors);
        }
    }
    for key in ["definitions", "dependencies"] {
        for (name, inner) in named(schema, key).filter(|(_, inner)| inner.is_object()) {
            place(inner, &format!("{path}.{key}[{name}]"), at, false, errors);
        }
    }
    merging(schema, path, errors);
}

/// Keywords that no schema here may have.
fn words(schema: &Value, path: &str, at: At<'_>, errors: &mut Errors) {
    let kind = schema["type"].as_str().unwrap_or_default();
    if !kind.is_empty() && !TYPES.contains(&kind) {
        errors.push((Demand::Types, FieldError::not_supported(format!("{path}.type"), kind, &TYPES)));
    }
    let mut forbid = |key: &str, detail: &str| {
        errors.push((Demand::Always, FieldError::forbidden(format!("{path}.{key}"), detail)));
    };
    if let (false, Some(reason)) = (schema["default"].is_null(), at.no_default) {
        forbid("default", &format!("must not be set {reason}"));
    }
    for (key, given) in [
        ("id", is_set(&schema["id"])),
        ("additionalItems", !schema["additionalItems"].is_null()),
        ("patternProperties", is_set(&schema["patternProperties"])),
        ("definitions", is_set(&schema["definitions"])),
        ("dependencies", !schema["dependencies"].is_null()),
        ("$ref", !schema["$ref"].is_null()),
    ] {
        if given {
            forbid(key, &format!("{key} is not supported"));
        }
    }
    if let Some(pattern) = schema["pattern"].as_str()
        && let Err(cause) = regex::Regex::new(pattern)
    {
        let detail = format!("must be a valid regular expression, but isn't: {cause}");
        errors.push((Demand::Structural, FieldError::invalid(format!("{path}.pattern"), pattern, detail)));
    }
    let mut forbid = |key: &str, detail: &str| {
        errors.push((Demand::Always, FieldError::forbidden(format!("{path}.{key}"), detail)));
    };
    if kind == "null" {
        forbid("type", "type cannot be set to null, use nullable as an alternative");
    }
    if schema["items"].is_array() && is_set(&schema["items"]) {
        forbid("items", "items must be a schema object and not an array");
    }
    if at.in_meta && schema["x-kubernetes-embedded-resource"] == true {
        forbid("x-kubernetes-embedded-resource", "must not be used inside of resource meta");
    }
}

/// How lists and maps are merged.
fn merging(schema: &Value, path: &str, errors: &mut Errors) {
    let kind = schema["type"].as_str().unwrap_or_default();
    let mut tell = |demand: Demand, error: FieldError| errors.push((demand, error));
    let at = |key: &str| format!("{path}.{key}");
    if schema["x-kubernetes-preserve-unknown-fields"] == false {
        let error = FieldError::invalid(at("x-kubernetes-preserve-unknown-fields"), false, "must be true or undefined");
        tell(Demand::Always, error);
    }
    let (map_type, list_type) = (&schema["x-kubernetes-map-type"], &schema["x-kubernetes-list-type"]);
    for (key, given, wanted, known) in [
        ("x-kubernetes-map-type", map_type, "object", &["atomic", "granular"][..]),
        ("x-kubernetes-list-type", list_type, "array", &["atomic", "set", "map"][..]),
    ] {
        let Some(word) = given.as_str() else { continue };
        if kind != wanted {
            let detail = format!("must be {wanted} if {key} is specified");
            let error = match kind {
                "" => FieldError::required(at("type"), detail),
                kind => FieldError::invalid(at("type"), kind, detail),
            };
            tell(Demand::Always, error);
        }
        if !known.contains(&word) {
            tell(Demand::Always, FieldError::not_supported(at(key), word, known));
        }
    }
    let items = below(schema, "items");
    if kind == "array"
        && list_type == "set"
        && let Some(items) = items
    {
        let (inner_list, inner_map) = (&items["x-kubernetes-list-type"], &items["x-kubernetes-map-type"]);
        let wrong = match items["type"].as_str() {
            Some("array") if !inner_list.is_null() && inner_list != "atomic" => Some("x-kubernetes-list-type"),
            Some("object") if inner_map != "atomic" => Some("x-kubernetes-map-type"),
            _ => None,
        };
        if let Some(key) = wrong {
            let detail = "must be atomic as item of a list with x-kubernetes-list-type=set";
            tell(Demand::Sets, FieldError::invalid(at(&format!("items.{key}")), inner_list.clone(), detail));
        }
    }
    let keys: Vec<&str> = listed(schema, "x-kubernetes-list-map-keys").iter().filter_map(Value::as_str).collect();
    if !keys.is_empty() && list_type != "map" {
        let detail = "must be map if x-kubernetes-list-map-keys is non-empty";
        let place = at("x-kubernetes-list-type");
        tell(
            Demand::Always,
            match list_type.as_str() {
                None => FieldError::required(place, detail),
                Some(word) => FieldError::invalid(place, word, detail),
            },
        );
    }
    if list_type == "map" {
        map_keys(schema, path, &keys, errors);
    }
    if let (Some(word @ ("set" | "map")), Some(items)) = (list_type.as_str(), items) {
        always_there(items, word, &keys, path, errors);
    }
}

/// The keys of a list that is a map.
fn map_keys(schema: &Value, path: &str, keys: &[&str], errors: &mut Errors) {
    let mut tell = |error: FieldError| errors.push((Demand::Always, error));
    let place = format!("{path}.x-kubernetes-list-map-keys");
    if keys.is_empty() {
        tell(FieldError::required(place.clone(), "must not be empty if x-kubernetes-list-type is map"));
    }
    if !is_set(&schema["items"]) && !schema["items"].is_object() {
        let detail = "must have a schema if x-kubernetes-list-type is map";
        tell(FieldError::required(format!("{path}.items"), detail));
    }
    let Some(items) = below(schema, "items") else { return };
    if items["type"] != "object" {
        let kind = items["type"].as_str().unwrap_or_default();
        let detail = "must be object if parent array's x-kubernetes-list-type is map";
        tell(FieldError::invalid(format!("{path}.items.type"), kind, detail));
        return;
    }
    let shown = || schema["x-kubernetes-list-map-keys"].clone();
    for (index, key) in keys.iter().enumerate() {
        let field = &items["properties"][key];
        if !field.is_object() {
            tell(FieldError::invalid(place.clone(), shown(), "entries must all be names of item properties"));
        } else if matches!(field["type"].as_str(), Some("array" | "object")) {
            let detail = "must be a scalar type if parent array's x-kubernetes-list-type is map";
            tell(FieldError::invalid(format!("{path}.items.properties[{key}].type"), "object", detail));
        }
        if keys[..index].contains(key) {
            tell(FieldError::invalid(place.clone(), shown(), "must not contain duplicate entries"));
        }
    }
}

/// Items of maps and sets are never null, and a map's keys always there.
fn always_there(items: &Value, word: &str, keys: &[&str], path: &str, errors: &mut Errors) {
    let mut tell = |error: FieldError| errors.push((Demand::Keys, error));
    if items["nullable"] == true {
        let detail = format!("cannot be nullable when x-kubernetes-list-type is {word}");
        tell(FieldError::forbidden(format!("{path}.items.nullable"), detail));
    }
    for key in keys.iter().filter(|_| word == "map") {
        let (field, at) = (&items["properties"][key], format!("{path}.items.properties[{key}]"));
        if !field.is_object() {
            continue;
        }
        if field["default"].is_null() && !listed(items, "required").iter().any(|one| one == key) {
            let detail =
                "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property";
            tell(FieldError::required(format!("{at}.default"), detail));
        }
        if field["nullable"] == true {
            let detail = "this property is in x-kubernetes-list-map-keys, so it cannot be nullable";
            tell(FieldError::forbidden(format!("{at}.nullable"), detail));
        }
    }
}
