//! Fields that a schema does not know, for strict and warning field validation.

use serde_json::Value;

use super::inner;
use crate::messages::{Message, Shape, message};

/// Paths of fields that the schema does not know, such as `spec.foo` or `spec.ports[0].bar`, in the object's order.
pub fn unknown_fields(schema: &str, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    if let Some(message) = message(schema) {
        collect(message, value, &mut String::new(), &mut found);
    }
    found
}

fn collect(message: &'static Message, value: &Value, path: &mut String, found: &mut Vec<String>) {
    let length = path.len();
    for (key, value) in value.as_object().into_iter().flatten() {
        if matches!(key.as_str(), "apiVersion" | "kind") && (length == 0 || super::is_kind(message)) {
            continue;
        }
        if length > 0 {
            path.push('.');
        }
        path.push_str(key);
        match message.field(key) {
            None => found.push(path.clone()),
            Some(field) => {
                if let Some(inner) = inner(field) {
                    within(field.shape, inner, value, path, found);
                }
            }
        }
        path.truncate(length);
    }
}

fn within(shape: Shape, inner: &'static Message, value: &Value, path: &mut String, found: &mut Vec<String>) {
    let length = path.len();
    match shape {
        Shape::Single => collect(inner, value, path, found),
        Shape::List => {
            for (i, item) in value.as_array().into_iter().flatten().enumerate() {
                path.push_str(&format!("[{i}]"));
                collect(inner, item, path, found);
                path.truncate(length);
            }
        }
        Shape::Map => {
            for (key, value) in value.as_object().into_iter().flatten() {
                path.push_str(&format!(".{key}"));
                collect(inner, value, path, found);
                path.truncate(length);
            }
        }
    }
}
