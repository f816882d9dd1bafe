//! Merge patches (RFC 7386), with the nulls of what is new left out as upstream does, and the patch between two objects.

use serde_json::{Map, Value};

/// RFC 7386: null removes, objects merge, everything else replaces. Nulls inside of objects that are new are left out, in
/// lists as well.
pub fn merge(target: &mut Value, patch: &Value) {
    match (target, patch) {
        (Value::Object(target), Value::Object(patch)) => merge_maps(target, patch),
        (target @ Value::Object(_), other) => *target = other.clone(),
        (target, new) => *target = without_nulls(new),
    }
}

fn merge_maps(target: &mut Map<String, Value>, patch: &Map<String, Value>) {
    for (key, new) in patch {
        if new.is_null() {
            target.shift_remove(key);
        } else if let Some(old) = target.get_mut(key) {
            merge(old, new);
        } else {
            target.insert(key.clone(), without_nulls(new));
        }
    }
}

fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let kept = fields.iter().filter(|(_, value)| !value.is_null());
            Value::Object(kept.map(|(key, value)| (key.clone(), without_nulls(value))).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(without_nulls).collect()),
        other => other.clone(),
    }
}

/// The merge patch that turns `from` into `to`. What it cannot say (a null inside `to`) is left out.
pub fn merge_diff(from: &Value, to: &Value) -> Value {
    let (Value::Object(from), Value::Object(to)) = (from, to) else { return to.clone() };
    let mut patch = Map::new();
    for key in from.keys().filter(|key| !to.contains_key(*key)) {
        patch.insert(key.clone(), Value::Null);
    }
    for (key, value) in to {
        match from.get(key) {
            Some(old) if old == value => {}
            Some(old) if old.is_object() && value.is_object() => {
                patch.insert(key.clone(), merge_diff(old, value));
            }
            _ => {
                patch.insert(key.clone(), value.clone());
            }
        }
    }
    Value::Object(patch)
}
