//! An applied configuration merged into an object, and fields taken out of an object (structured-merge-diff
//! `typed/merge.go`, `typed/remove.go`). Must not know managers.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::element::Element;
use super::place::{Place, View};
use super::set::FieldSet;

/// `config` over `live`: objects merge field by field, lists item by item where their schema says so, all else is
/// replaced.
///
/// # Errors
/// A list whose items cannot be told apart.
pub(super) fn merge(place: Place, live: &Value, config: &Value) -> Result<Value, String> {
    Ok(both(place, Some(live), Some(config))?.unwrap_or_else(|| Value::Object(Map::new())))
}

fn both(place: Place, live: Option<&Value>, config: Option<&Value>) -> Result<Option<Value>, String> {
    let whole = || Ok(config.or(live).cloned());
    match place.view(config.or(live)) {
        View::Leaf => whole(),
        View::List(list) => {
            let items = |value: Option<&'_ Value>| value.and_then(Value::as_array).cloned().unwrap_or_default();
            let (left, right) = (items(live), items(config));
            if left.is_empty() && right.is_empty() {
                return whole();
            }
            let merged = merge_list(list, &left, &right)?;
            Ok((!merged.is_empty()).then_some(Value::Array(merged)))
        }
        View::Map => {
            let fields = |value: Option<&'_ Value>| value.and_then(Value::as_object).cloned().unwrap_or_default();
            let (left, right) = (fields(live), fields(config));
            if left.is_empty() && right.is_empty() {
                return whole();
            }
            let mut out = Map::new();
            for key in left.keys().chain(right.keys().filter(|key| !left.contains_key(*key))) {
                let (inner, _) = place.field(key).unwrap_or((Place::Whole, true));
                if let Some(value) = both(inner, left.get(key), right.get(key))? {
                    out.insert(key.clone(), value);
                }
            }
            Ok((!out.is_empty()).then_some(Value::Object(out)))
        }
    }
}

/// Items in the order of the configuration, with those that only the object has at the places that they had among the
/// shared ones.
fn merge_list(list: Place, live: &[Value], config: &[Value]) -> Result<Vec<Value>, String> {
    let steps = |items: &[Value]| items.iter().map(|item| list.step(item)).collect::<Result<Vec<Element>, String>>();
    let (left, right) = (steps(live)?, steps(config)?);
    let mut in_live: BTreeMap<&Element, Option<&Value>> = BTreeMap::new();
    for (step, item) in left.iter().zip(live) {
        // Items that the object has twice do not merge.
        in_live.entry(step).and_modify(|slot| *slot = None).or_insert(Some(item));
    }
    let in_config: BTreeMap<&Element, &Value> = right.iter().zip(config).collect();
    let mut shared = right.iter().filter(|step| in_live.contains_key(*step)).peekable();
    let mut merged: Vec<&Element> = Vec::new();
    let mut out = Vec::new();
    let (mut l, mut r) = (0, 0);
    while l < left.len() || r < right.len() {
        if l < left.len() && r < right.len() {
            let step = &left[l];
            if *step == right[r] {
                merged.push(step);
                out.extend(both(list.item(), in_live[step], Some(in_config[step]))?);
                (l, r) = (l + 1, r + 1);
                shared.next();
                continue;
            }
            if in_config.contains_key(step) && shared.peek().is_some_and(|next| *next != step) {
                l += 1;
                continue;
            }
        }
        if l < left.len() {
            let step = &left[l];
            if !in_config.contains_key(step) {
                out.extend(both(list.item(), Some(&live[l]), None)?);
                l += 1;
                continue;
            }
            if merged.contains(&step) {
                l += 1;
            }
        }
        if r < right.len() {
            let step = &right[r];
            merged.push(step);
            let mine = in_live.get(step).copied().flatten();
            out.extend(both(list.item(), mine, Some(in_config[step]))?);
            r += 1;
            if shared.peek() == Some(&step) {
                shared.next();
            }
        }
    }
    Ok(out)
}

/// The object without these fields. What loses all that it had becomes null.
pub(super) fn remove(place: Place, value: &Value, gone: &FieldSet) -> Value {
    match (place.view(Some(value)), value) {
        (View::List(list), Value::Array(items)) if !items.is_empty() => {
            let mut kept = Vec::new();
            for item in items {
                match list.step(item).ok().and_then(|step| gone.get(&step)) {
                    Some(node) if node.member => {}
                    Some(node) => kept.push(remove(list.item(), item, &node.below)),
                    None => kept.push(item.clone()),
                }
            }
            if kept.is_empty() { Value::Null } else { Value::Array(kept) }
        }
        (View::Map, Value::Object(map)) if !map.is_empty() => {
            let mut kept = Map::new();
            for (key, value) in map {
                match gone.get(&Element::Field(key.clone())) {
                    Some(node) if node.member => {}
                    Some(node) => {
                        let (inner, _) = place.field(key).unwrap_or((Place::Whole, true));
                        kept.insert(key.clone(), remove(inner, value, &node.below));
                    }
                    None => {
                        kept.insert(key.clone(), value.clone());
                    }
                }
            }
            if kept.is_empty() { Value::Null } else { Value::Object(kept) }
        }
        _ => value.clone(),
    }
}

/// Takes out the nulls of `value` where `before` had something.
pub(super) fn drop_emptied(value: &mut Value, before: &Value) {
    let (Value::Object(map), Value::Object(before)) = (value, before) else { return };
    map.retain(|key, value| !value.is_null() || before.get(key).is_none_or(Value::is_null));
    for (key, value) in map.iter_mut() {
        if let Some(before) = before.get(key) {
            drop_emptied(value, before);
        }
    }
}
