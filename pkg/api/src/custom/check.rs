//! What is wrong with a custom object by its schema, in the words of kube-openapi's validation
//! (`apiextensions/apiserver/validation`, `schema/listtype`). Rules in the Common Expression
//! Language are `super::rules`'.

use serde_json::{Map, Value};

use super::format;
use super::structural::Structural;
use crate::field::FieldError;

/// Complaints about a whole object. What is as it was in `old` may be wrong (KEP-4008): fields and entries belong together
/// by their names, items only in lists whose keys tell them apart.
pub(super) fn object(schema: &Structural, value: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    check(schema, value, old, "", &mut errors);
    lists(schema, value, old, "", &mut errors);
    errors
}

/// The item of an old list that a new one's item is the next state of.
fn before<'a>(schema: &Structural, item: &Value, old: Option<&'a Value>) -> Option<&'a Value> {
    let keys = &schema.list_map_keys;
    let same = |other: &&Value| keys.iter().all(|key| other.get(key) == item.get(key));
    let known = schema.list_type == "map" && !keys.is_empty();
    old.filter(|_| known).and_then(Value::as_array)?.iter().find(same)
}

fn child(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(n) if n.is_f64() && n.as_f64().is_some_and(|n| n.fract() != 0.0) => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Where a value fails its schema. `path` is empty at the root.
fn check(schema: &Structural, value: &Value, old: Option<&Value>, path: &str, errors: &mut Vec<FieldError>) {
    if old == Some(value) || (value.is_null() && schema.nullable) {
        return;
    }
    if !right_type(schema, value, path, errors) {
        return;
    }
    let raw = &schema.checks.raw;
    if let Some(Value::Array(allowed)) = raw.get("enum")
        && !allowed.contains(value)
    {
        let words: Vec<String> =
            allowed.iter().map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned)).collect();
        errors.push(FieldError::not_supported(
            path,
            value.clone(),
            &words.iter().map(String::as_str).collect::<Vec<_>>(),
        ));
    }
    match value {
        Value::String(text) => string(schema, text, path, errors),
        Value::Number(_) => number(raw, value, path, errors),
        Value::Array(items) => {
            array(raw, items, path, errors);
            if let Some(inner) = &schema.items {
                for (index, item) in items.iter().enumerate() {
                    check(inner, item, before(schema, item, old), &format!("{path}[{index}]"), errors);
                }
            }
        }
        Value::Object(map) => {
            object_bounds(raw, map, path, errors);
            for (key, value) in map {
                if let Some(inner) = schema.properties.get(key).or(schema.additional.as_deref()) {
                    check(inner, value, old.and_then(|old| old.get(key)), &child(path, key), errors);
                }
            }
        }
        _ => {}
    }
    combined(schema, value, path, errors);
}

fn right_type(schema: &Structural, value: &Value, path: &str, errors: &mut Vec<FieldError>) -> bool {
    let found = type_name(value);
    let wanted: &[&str] = match schema.kind.as_str() {
        _ if schema.int_or_string => &["integer", "string"],
        "" => return true,
        "number" => &["number", "integer"],
        "integer" => &["integer"],
        "string" => &["string"],
        "boolean" => &["boolean"],
        "array" => &["array"],
        _ => &["object"],
    };
    if wanted.contains(&found) {
        return true;
    }
    let named = if schema.int_or_string { "integer,string" } else { schema.kind.as_str() };
    let shown = if path.is_empty() { "" } else { path };
    let detail = format!("{shown} in body must be of type {named}: \"{found}\"");
    errors.push(FieldError::type_invalid(
        path,
        if value.is_null() { "null".into() } else { Value::from(found) },
        detail,
    ));
    false
}

fn bound(raw: &Map<String, Value>, key: &str) -> Option<usize> {
    raw.get(key).and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok())
}

fn string(schema: &Structural, text: &str, path: &str, errors: &mut Vec<FieldError>) {
    let raw = &schema.checks.raw;
    let mut invalid = |detail: String| errors.push(FieldError::invalid(path, text, detail));
    let length = text.chars().count();
    if let Some(least) = bound(raw, "minLength").filter(|least| length < *least) {
        invalid(format!("{path} in body should be at least {least} chars long"));
    }
    if let Some(pattern) = schema.checks.pattern.as_ref().filter(|pattern| !pattern.is_match(text)) {
        invalid(format!("{path} in body should match '{}'", pattern.as_str()));
    }
    let form = raw.get("format").and_then(Value::as_str).unwrap_or_default();
    if !schema.int_or_string && !format::matches(form, text) {
        invalid(format!("{path} in body must be of type {form}: {}", crate::field::quote(text)));
    }
    if let Some(most) = bound(raw, "maxLength").filter(|most| length > *most) {
        errors.push(FieldError::too_long(path, most));
    }
}

fn number(raw: &Map<String, Value>, value: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let Some(number) = value.as_f64() else { return };
    let limit = |key: &str| raw.get(key).and_then(Value::as_f64);
    let strict = |key: &str| raw.get(key).and_then(Value::as_bool).unwrap_or(false);
    let mut invalid =
        |words: String| errors.push(FieldError::invalid(path, value.clone(), format!("{path} in body {words}")));
    if let Some(most) = limit("maximum") {
        match strict("exclusiveMaximum") {
            true if number >= most => invalid(format!("should be less than {most}")),
            false if number > most => invalid(format!("should be less than or equal to {most}")),
            _ => {}
        }
    }
    if let Some(least) = limit("minimum") {
        match strict("exclusiveMinimum") {
            true if number <= least => invalid(format!("should be greater than {least}")),
            false if number < least => invalid(format!("should be greater than or equal to {least}")),
            _ => {}
        }
    }
    if let Some(of) = limit("multipleOf").filter(|of| *of > 0.0)
        && (number / of).fract().abs() > 1e-9
    {
        invalid(format!("should be a multiple of {of}"));
    }
    let fits = match raw.get("format").and_then(Value::as_str) {
        Some("int32") => i32::try_from(value.as_i64().unwrap_or(i64::MAX)).is_ok(),
        Some("int64") => value.as_i64().is_some(),
        _ => true,
    };
    if !fits {
        let form = raw.get("format").and_then(Value::as_str).unwrap_or_default();
        invalid(format!("must be of type {form}: \"{value}\""));
    }
}

fn array(raw: &Map<String, Value>, items: &[Value], path: &str, errors: &mut Vec<FieldError>) {
    if let Some(least) = bound(raw, "minItems").filter(|least| items.len() < *least) {
        let detail = format!("{path} in body should have at least {least} items");
        errors.push(FieldError::invalid(path, Value::from(items.len()), detail));
    }
    if let Some(most) = bound(raw, "maxItems").filter(|most| items.len() > *most) {
        errors.push(FieldError::too_many(path, items.len(), most));
    }
    if raw.get("uniqueItems") == Some(&Value::Bool(true)) && first_twice(items).is_some() {
        errors.push(FieldError::invalid(path, Value::Null, format!("{path} in body shouldn't contain duplicates")));
    }
}

fn object_bounds(raw: &Map<String, Value>, map: &Map<String, Value>, path: &str, errors: &mut Vec<FieldError>) {
    if let Some(least) = bound(raw, "minProperties").filter(|least| map.len() < *least) {
        let detail = format!("{path} in body should have at least {least} properties");
        errors.push(FieldError::invalid(path, Value::from(map.len()), detail));
    }
    if let Some(most) = bound(raw, "maxProperties").filter(|most| map.len() > *most) {
        errors.push(FieldError::too_many(path, map.len(), most));
    }
    let required = raw.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    for key in required.filter(|key| !map.contains_key(*key)) {
        errors.push(FieldError::required(child(path, key), ""));
    }
}

fn combined(schema: &Structural, value: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let checks = &schema.checks;
    let passes = |one: &Structural| {
        let mut found = Vec::new();
        check(one, value, None, path, &mut found);
        found.is_empty()
    };
    let shown = if path.is_empty() { "" } else { path };
    let mut invalid = |words: &str| errors.push(FieldError::invalid(path, "", format!("\"{shown}\" {words}")));
    if !checks.any_of.is_empty() && !checks.any_of.iter().any(passes) {
        invalid("must validate at least one schema (anyOf)");
    }
    if !checks.one_of.is_empty() {
        match checks.one_of.iter().filter(|one| passes(one)).count() {
            1 => {}
            0 => invalid("must validate one and only one schema (oneOf). Found none valid"),
            many => invalid(&format!("must validate one and only one schema (oneOf). Found {many} valid alternatives")),
        }
    }
    if checks.not.as_deref().is_some_and(passes) {
        invalid("must not validate the schema (not)");
    }
    if !checks.all_of.iter().all(passes) {
        invalid("must validate all the schemas (allOf)");
        checks.all_of.iter().for_each(|one| check(one, value, None, path, errors));
    }
}

/// The first item that is there twice: the place of its second appearance.
fn first_twice(items: &[Value]) -> Option<usize> {
    (1..items.len()).find(|at| items[..*at].contains(&items[*at]))
}

/// Sets and maps hold each item once.
fn lists(schema: &Structural, value: &Value, old: Option<&Value>, path: &str, errors: &mut Vec<FieldError>) {
    if old == Some(value) {
        return;
    }
    match value {
        Value::Array(items) => {
            match schema.list_type.as_str() {
                "set" => {
                    if let Some(at) = first_twice(items) {
                        errors.push(FieldError::duplicate(format!("{path}[{at}]"), items[at].clone()));
                    }
                }
                "map" => {
                    let key = |item: &Value| -> Value {
                        let keys = schema.list_map_keys.iter();
                        keys.filter_map(|key| Some((key.clone(), item.get(key)?.clone()))).collect::<Map<_, _>>().into()
                    };
                    let keys: Vec<Value> = items.iter().map(key).collect();
                    if let Some(at) = first_twice(&keys) {
                        errors.push(FieldError::duplicate(format!("{path}[{at}]"), keys[at].clone()));
                    }
                }
                _ => {}
            }
            if let Some(inner) = &schema.items {
                for (index, item) in items.iter().enumerate() {
                    lists(inner, item, before(schema, item, old), &format!("{path}[{index}]"), errors);
                }
            }
        }
        Value::Object(map) => {
            for (key, value) in map {
                if let Some(inner) = schema.properties.get(key).or(schema.additional.as_deref()) {
                    lists(inner, value, old.and_then(|old| old.get(key)), &child(path, key), errors);
                }
            }
        }
        _ => {}
    }
}
