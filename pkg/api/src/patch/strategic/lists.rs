//! Lists in a strategic merge patch: merged by key or as sets, and put in the order of `$setElementOrder`.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

use super::order::{arrange, identities, identity};
use super::schema::{List, Schema};
use super::{ORDER, PATCH, Refusal, list, merge_map, without_directives};
use crate::patch::printed::{go_type, go_words};

/// Merges two lists, or takes from the first what the second names (`$deleteFromPrimitiveList`).
///
/// `seen` are the identities of the old list as whoever else holds that list sees them afterwards: upstream deletes and
/// appends in place, so that new items stand where deleted ones stood. It is used when [`set_orders`] sorts.
pub(super) fn merge(
    about: &List,
    mut old: Vec<Value>,
    new: Vec<Value>,
    deletes: bool,
    seen: &mut [String],
) -> Result<Vec<Value>, Refusal> {
    if old.is_empty() && new.is_empty() {
        return Ok(old);
    }
    if !holds_maps(&old, &new)? {
        if deletes {
            let gone: HashSet<String> = new.iter().map(Value::to_string).collect();
            old.retain(|item| !gone.contains(&item.to_string()));
            return Ok(old);
        }
        if about.key.is_some() {
            let found = old.first().or(new.first()).unwrap_or(&Value::Null);
            return Err(Refusal::kind(&Value::Object(Map::new()), found));
        }
        let (server, patch) = (identities(&old, None), identities(&new, None));
        let mut met = HashSet::new();
        let all = old.into_iter().chain(new).filter(|item| met.insert(item.to_string())).collect();
        return Ok(arrange(all, None, &patch, &server));
    }
    let Some(key) = about.key else {
        return Err(Refusal::Plain("cannot merge lists without merge key for struct".to_owned()));
    };
    let (mut all, new) = directed(old, new, key, seen)?;
    let server = identities(&all, Some(key));
    let patch = identities(&new, Some(key));
    let mut places: HashMap<String, usize> = HashMap::new();
    for (place, own) in server.iter().enumerate() {
        places.entry(own.clone()).or_insert(place);
    }
    for (item, own) in new.into_iter().zip(&patch) {
        let Value::Object(fields) = item else { continue };
        if !fields.contains_key(key) {
            return Err(Refusal::no_key(&Value::Object(fields), key));
        }
        if let Some(place) = places.get(own) {
            let found = all[*place].as_object_mut().map(std::mem::take).unwrap_or_default();
            all[*place] = Value::Object(merge_map(about.schema, found, fields)?);
        } else {
            if let Some(free) = seen.get_mut(all.len()) {
                free.clone_from(own);
            }
            places.insert(own.clone(), all.len());
            all.push(Value::Object(fields));
        }
    }
    if let Some(item) = all.iter().find(|item| item.get(key).is_none()) {
        return Err(Refusal::no_key(item, key));
    }
    Ok(arrange(all, Some(key), &patch, &server))
}

/// Carries out the items that hold `$patch`; gives the old list and the new one that are left to merge.
fn directed(
    mut old: Vec<Value>,
    new: Vec<Value>,
    key: &str,
    seen: &mut [String],
) -> Result<(Vec<Value>, Vec<Value>), Refusal> {
    let (mut rest, mut gone, mut replace) = (Vec::new(), HashSet::new(), false);
    for item in new {
        match item.get(PATCH) {
            None => rest.push(item),
            Some(Value::String(word)) if word == "delete" => match item.get(key) {
                Some(_) => {
                    gone.insert(identity(&item, Some(key)));
                }
                None => return Err(Refusal::no_key(&item, key)),
            },
            Some(Value::String(word)) if word == "replace" => replace = true,
            Some(Value::String(word)) if word == "merge" => {
                return Err(Refusal::Plain("merging lists cannot yet be specified in the patch".to_owned()));
            }
            Some(other) => {
                let (other, fields) = (other.clone(), item.as_object().cloned().unwrap_or_default());
                return Err(Refusal::unknown_directive(&other, fields));
            }
        }
    }
    old.retain(|item| item.get(key).is_none() || !gone.contains(&identity(item, Some(key))));
    for (place, own) in seen.iter_mut().zip(identities(&old, Some(key))) {
        *place = own;
    }
    Ok(if replace { (rest, Vec::new()) } else { (old, rest) })
}

/// Whether the items of both lists are objects; all have to be of one type.
fn holds_maps(old: &[Value], new: &[Value]) -> Result<bool, Refusal> {
    let mut items = old.iter().chain(new);
    let Some(first) = items.next() else {
        return Err(Refusal::Plain("no elements in any of the given slices".to_owned()));
    };
    if first.is_array() {
        return Err(Refusal::ListOfLists);
    }
    if items.any(|item| go_type(item) != go_type(first)) {
        let shown = [old, new].map(|items| go_words(&Value::Array(items.to_vec()))).join(" ");
        return Err(Refusal::Plain(format!("list element types are not identical: [{shown}]")));
    }
    Ok(first.is_object())
}

/// Carries out every `$setElementOrder/x`, together with the list `x` of the patch, which is taken out of it.
pub(super) fn set_orders(
    schema: Schema,
    target: &mut Map<String, Value>,
    patch: &mut Map<String, Value>,
) -> Result<(), Refusal> {
    let orders: Vec<String> = patch.keys().filter(|key| key.starts_with(ORDER)).cloned().collect();
    for directive in orders {
        let order = list(patch.shift_remove(&directive).unwrap_or_default())?;
        let field = directive.strip_prefix(ORDER).and_then(|rest| rest.strip_prefix('/'));
        let field = field.ok_or(Refusal::Form("invalid patch format of setElementOrder list"))?;
        let old = target.get(field).cloned().map(list).transpose()?;
        let new = patch.get(field).cloned().map(list).transpose()?;
        let about = schema.list(field)?;
        agree(new.as_deref().unwrap_or_default(), &order, about.key)?;
        let mut seen = identities(old.as_deref().unwrap_or_default(), about.key);
        let maps = |old: &Option<Vec<Value>>, new: &Option<Vec<Value>>| {
            holds_maps(old.as_deref().unwrap_or_default(), new.as_deref().unwrap_or_default())
        };
        let held = maps(&old, &new);
        let merged = match (old, new) {
            (None, None) => continue,
            (Some(old), None) => old,
            (None, Some(new)) => new.into_iter().filter_map(without_directives).collect(),
            (Some(old), Some(new)) if about.merges => merge(&about, old, new, false, &mut seen)?,
            (Some(_), Some(new)) => new,
        };
        match (held?, about.key) {
            (true, Some(key)) => {
                if let Some(item) = merged.iter().chain(&order).find(|item| item.get(key).is_none()) {
                    return Err(Refusal::no_key(item, key));
                }
            }
            (true, None) => {
                // Upstream falls over here: without a key, objects cannot be told apart.
                let text = "runtime error: comparing uncomparable type map[string]interface {}";
                return Err(Refusal::Plain(text.to_owned()));
            }
            (false, _) => {}
        }
        let order = identities(&order, about.key);
        target.insert(field.to_owned(), Value::Array(arrange(merged, about.key, &order, &seen)));
        patch.shift_remove(field);
    }
    Ok(())
}

/// Whether what a patch's list says stands in its `$setElementOrder` in the same order; deletions do not count.
fn agree(new: &[Value], order: &[Value], key: Option<&str>) -> Result<(), Refusal> {
    if new.is_empty() || order.is_empty() {
        return Ok(());
    }
    let keyed = |item: &Value| match key {
        Some(_) if !item.is_object() => Err(Refusal::kind(&Value::Object(Map::new()), item)),
        Some(key) if item.get(key).is_none() => Err(Refusal::no_key(item, key)),
        _ => Ok(identity(item, key)),
    };
    if key.is_some() {
        new.iter().filter(|item| !item.is_object()).try_for_each(|item| keyed(item).map(drop))?;
    }
    let deletes = |item: &&Value| key.is_none() || item.get(PATCH).and_then(Value::as_str) != Some("delete");
    let mut named = new.iter().filter(deletes).peekable();
    let mut places = order.iter();
    while let Some(item) = named.peek() {
        let Some(place) = places.as_slice().first() else {
            let [new, order] = [new, order].map(|items| go_words(&Value::Array(items.to_vec())));
            let text = format!("The order in patch list:\n{new}\n doesn't match {ORDER} list:\n{order}\n");
            return Err(Refusal::Plain(text));
        };
        if item.get(PATCH).is_some() {
            named.next();
            continue;
        }
        if keyed(item)? == keyed(place)? {
            named.next();
        }
        places.next();
    }
    Ok(())
}
