//! Strategic merge patch (apimachinery `strategicpatch`): as a merge patch, but lists merge by the keys that the schema
//! names, and directives (`$patch`, `$retainKeys`, `$deleteFromPrimitiveList/x`, `$setElementOrder/x`) say what a merge
//! cannot.

use serde_json::{Map, Value};

use crate::merge_keys::{is_map, item_schema, merge_key};
use crate::status::Status;

const PATCH: &str = "$patch";
const RETAIN: &str = "$retainKeys";
const DELETE_FROM: &str = "$deleteFromPrimitiveList/";
const ORDER: &str = "$setElementOrder/";

/// Applies a strategic merge patch to an object of a schema such as `io.k8s.api.core.v1.Service`.
///
/// # Errors
/// 400 for a body that is no object, for unknown directives and for list items without their merge key.
pub fn strategic_merge(schema: &str, target: &Value, patch: &Value) -> Result<Value, Status> {
    let (Value::Object(target), Value::Object(patch)) = (target, patch) else {
        let found = match patch {
            Value::String(_) => "string",
            Value::Number(_) => "number",
            Value::Bool(_) => "bool",
            Value::Array(_) => "array",
            Value::Null | Value::Object(_) => return Err(Status::bad_request("invalid JSON document")),
        };
        let words = format!("json: cannot unmarshal {found} into Go value of type map[string]interface {{}}");
        return Err(Status::bad_request(words));
    };
    merge_map(Some(schema), target, patch).map(Value::Object).map_err(Status::bad_request)
}

/// The schema of what a field holds, and whether lists of it merge by a key or as a set.
struct Lookup {
    inner: Option<&'static str>,
    merges: bool,
    key: Option<&'static str>,
}

/// `schema` is `None` inside free maps and for what the table does not know.
fn look_up(schema: Option<&str>, field: &str) -> Lookup {
    let Some(schema) = schema else { return Lookup { inner: None, merges: false, key: None } };
    let key = merge_key(schema, field);
    Lookup {
        inner: if is_map(schema, field) { None } else { item_schema(schema, field) },
        merges: key.as_ref().is_some_and(|k| k.strategy.merge),
        key: key.and_then(|k| k.patch_key),
    }
}

fn merge_map(
    schema: Option<&str>,
    target: &Map<String, Value>,
    patch: &Map<String, Value>,
) -> Result<Map<String, Value>, String> {
    match patch.get(PATCH) {
        None => {}
        Some(Value::String(word)) if word == "replace" => {
            let mut new = patch.clone();
            new.shift_remove(PATCH);
            return Ok(clean_map(&new));
        }
        Some(Value::String(word)) if word == "delete" => return Ok(Map::new()),
        Some(Value::String(word)) if word == "merge" => {}
        Some(other) => return Err(format!("unknown patch type found: {other}")),
    }
    let mut out = target.clone();
    if let Some(retain) = patch.get(RETAIN) {
        let kept = retain.as_array().ok_or("invalid patch format of retainKeys")?;
        let kept: Vec<&str> = kept.iter().filter_map(Value::as_str).collect();
        if patch.keys().any(|k| !k.starts_with('$') && !patch[k].is_null() && !kept.contains(&k.as_str())) {
            return Err("patch contains fields not in $retainKeys list".to_owned());
        }
        out.retain(|k, _| kept.contains(&k.as_str()));
    }
    for (key, value) in patch {
        if let Some(field) = key.strip_prefix(DELETE_FROM) {
            let gone = value.as_array().ok_or("invalid patch format of primitive list")?;
            if let Some(Value::Array(list)) = out.get_mut(field) {
                list.retain(|item| !gone.contains(item));
            }
        }
    }
    for (key, value) in patch {
        if key.starts_with('$') {
            continue;
        }
        let lookup = look_up(schema, key);
        let order = patch.get(&format!("{ORDER}{key}"));
        match (value, out.get(key)) {
            (Value::Null, _) => {
                out.shift_remove(key);
            }
            (Value::Object(new), Some(Value::Object(old))) => {
                let merged = merge_map(lookup.inner, old, new)?;
                out.insert(key.clone(), Value::Object(merged));
            }
            (Value::Array(new), Some(Value::Array(old))) if lookup.merges => {
                let merged = merge_list(&lookup, old, new, order)?;
                out.insert(key.clone(), Value::Array(merged));
            }
            (Value::Array(new), None) if lookup.merges => {
                let merged = merge_list(&lookup, &[], new, order)?;
                out.insert(key.clone(), Value::Array(merged));
            }
            (other, _) => {
                out.insert(key.clone(), clean(other));
            }
        }
    }
    for (key, order) in patch {
        let Some(field) = key.strip_prefix(ORDER) else { continue };
        if patch.contains_key(field) {
            continue;
        }
        let order = order.as_array().ok_or("invalid patch format of setElementOrder list")?;
        let lookup = look_up(schema, field);
        if let Some(Value::Array(list)) = out.get(field) {
            let ordered = arrange(lookup.key, list.clone(), order, list);
            out.insert(field.to_owned(), Value::Array(ordered));
        }
    }
    Ok(out)
}

fn merge_list(lookup: &Lookup, old: &[Value], new: &[Value], order: Option<&Value>) -> Result<Vec<Value>, String> {
    let order = match order {
        Some(order) => Some(order.as_array().ok_or("invalid patch format of setElementOrder list")?),
        None => None,
    };
    if !old.iter().chain(new).any(Value::is_object) {
        let mut all = old.to_vec();
        for item in new {
            if !all.contains(item) {
                all.push(item.clone());
            }
        }
        return Ok(arrange(None, all, order.map_or(new, Vec::as_slice), old));
    }
    let Some(key) = lookup.key else { return Ok(new.iter().map(clean).collect()) };
    let identity = |item: &Value| -> Result<Value, String> {
        item.get(key).cloned().ok_or_else(|| format!("map: {item} does not contain declared merge key: {key}"))
    };
    if new.iter().any(|item| item[PATCH] == "replace") {
        return Ok(new.iter().filter(|item| item[PATCH] != "replace").map(clean).collect());
    }
    let mut all = old.to_vec();
    let mut given = Vec::new();
    for item in new {
        let Value::Object(fields) = item else {
            return Err(format!("expected a list of objects with the key {key}, found {item}"));
        };
        let own = identity(item)?;
        match fields.get(PATCH).and_then(Value::as_str) {
            Some("delete") => all.retain(|other| other.get(key) != Some(&own)),
            Some("merge") | None => {
                given.push(item.clone());
                match all.iter_mut().find(|other| other.get(key) == Some(&own)) {
                    Some(Value::Object(found)) => *found = merge_map(lookup.inner, found, fields)?,
                    _ => all.push(Value::Object(merge_map(lookup.inner, &Map::new(), fields)?)),
                }
            }
            Some(other) => return Err(format!("unknown patch type found: {other}")),
        }
    }
    Ok(arrange(Some(key), all, order.map_or(given.as_slice(), Vec::as_slice), old))
}

/// Puts a merged list in order: items that the patch names in the patch's order, the others in the server's, woven
/// together by the server's order where that is known of both.
fn arrange(key: Option<&str>, all: Vec<Value>, patch_order: &[Value], server_order: &[Value]) -> Vec<Value> {
    let same = |a: &Value, b: &Value| match key {
        Some(key) => a.get(key) == b.get(key),
        None => a == b,
    };
    let place = |list: &[Value], item: &Value| list.iter().position(|other| same(other, item));
    let (mut named, mut others): (Vec<Value>, Vec<Value>) =
        all.into_iter().partition(|item| place(patch_order, item).is_some());
    named.sort_by_key(|item| place(patch_order, item));
    others.sort_by_key(|item| place(server_order, item).unwrap_or(usize::MAX));
    let mut out = Vec::with_capacity(named.len() + others.len());
    let (mut left, mut right) = (others.into_iter().peekable(), named.into_iter().peekable());
    loop {
        let take_left = match (left.peek(), right.peek()) {
            (None, None) => return out,
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (Some(l), Some(r)) => match (place(server_order, l), place(server_order, r)) {
                (Some(l), Some(r)) => l < r,
                _ => false,
            },
        };
        out.extend(if take_left { left.next() } else { right.next() });
    }
}

/// A value of a patch without its directives and nulls, for where there was nothing to merge with.
fn clean(value: &Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(clean_map(map)),
        Value::Array(items) => Value::Array(
            items.iter().filter(|i| !matches!(i[PATCH].as_str(), Some("delete" | "replace"))).map(clean).collect(),
        ),
        other => other.clone(),
    }
}

fn clean_map(map: &Map<String, Value>) -> Map<String, Value> {
    if map.get(PATCH).and_then(Value::as_str) == Some("delete") {
        return Map::new();
    }
    map.iter()
        .filter(|(key, value)| !value.is_null() && !is_directive(key))
        .map(|(key, value)| (key.clone(), clean(value)))
        .collect()
}

fn is_directive(key: &str) -> bool {
    matches!(key, PATCH | RETAIN) || key.starts_with(DELETE_FROM) || key.starts_with(ORDER)
}
