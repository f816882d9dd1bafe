//! Whether an applied configuration fits its schema (structured-merge-diff `typed/validate.go`): fields that are not
//! declared, values of the wrong kind, items that cannot be told apart. Must not change anything.

use serde_json::Value;

use super::element::Element;
use super::place::{Place, View};
use crate::messages::{self, Shape};

/// Everything wrong with a configuration, as `PATH: message` each.
pub(super) fn check(place: Place, value: &Value) -> Vec<String> {
    let mut out = Vec::new();
    walk(place, value, &mut String::new(), &mut out);
    out
}

fn walk(place: Place, value: &Value, path: &mut String, out: &mut Vec<String>) {
    let base = path.len();
    if let Some(complaint) = mismatch(place, value) {
        out.push(format!("{path}: {complaint}"));
        return;
    }
    match (place.view(Some(value)), value) {
        (View::List(list), Value::Array(items)) => {
            let mut seen: Vec<Element> = Vec::new();
            for (index, item) in items.iter().enumerate() {
                let step = match list.step(item) {
                    Ok(step) => step,
                    Err(why) => return out.push(format!("{path}: element {index}: {why}")),
                };
                if seen.contains(&step) {
                    out.push(format!("{path}: duplicate entries for key {step}"));
                }
                path.push_str(&step.to_string());
                walk(list.item(), item, path, out);
                path.truncate(base);
                seen.push(step);
            }
        }
        (_, Value::Array(items)) => {
            for (index, item) in items.iter().enumerate() {
                path.push_str(&format!("[{index}]"));
                walk(place.item(), item, path, out);
                path.truncate(base);
            }
        }
        (_, Value::Object(map)) => {
            for (key, value) in map {
                path.push('.');
                path.push_str(key);
                match place.field(key) {
                    Some((inner, _)) => walk(inner, value, path, out),
                    None if matches!(place, Place::Whole) => {}
                    None => out.push(format!("{path}: field not declared in schema")),
                }
                path.truncate(base);
            }
        }
        _ => {}
    }
}

/// The complaint about a value of another kind than the schema's.
fn mismatch(place: Place, value: &Value) -> Option<String> {
    if value.is_null() {
        return None;
    }
    let object = |value: &Value| (!value.is_object()).then(|| format!("expected map, got {}", shown(value)));
    let (field, whole) = match place {
        Place::Message(_) => return object(value),
        Place::Field(field) => (field, true),
        Place::Element(field) => (field, false),
        Place::CustomRoot(_) => return object(value),
        Place::Custom(schema) => {
            return schema.mismatch(value).map(|kind| format!("expected {kind}, got {}", shown(value)));
        }
        Place::Deduced | Place::Whole => return None,
    };
    match field.shape {
        Shape::List if whole => return (!value.is_array()).then(|| format!("expected list, got {}", shown(value))),
        Shape::Map if whole => return object(value),
        _ => {}
    }
    match field.element {
        messages::Element::Message(name) if !crate::shape::is_plain(name) && messages::message(name).is_some() => {
            object(value)
        }
        messages::Element::String | messages::Element::Bytes if !value.is_string() => {
            Some(format!("expected string, got {}", shown(value)))
        }
        messages::Element::Bool if !value.is_boolean() => Some(format!("expected boolean, got {}", shown(value))),
        messages::Element::Integer | messages::Element::Float if !value.is_number() => {
            let found = match value {
                Value::String(_) => "string",
                Value::Bool(_) => "bool",
                Value::Array(_) => "[]interface {}",
                _ => "map[string]interface {}",
            };
            Some(format!("expected numeric (int or float), got {found}"))
        }
        _ => None,
    }
}

/// A value of the wrong kind, as Go's `%v` of it shows it.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => format!("&value.valueUnstructured{{Value:{text:?}}}"),
        other => format!("&value.valueUnstructured{{Value:{other}}}"),
    }
}
