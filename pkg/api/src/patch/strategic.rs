//! Strategic merge patch (apimachinery `strategicpatch`): as a merge patch, but lists merge by the keys that the schema
//! names, and directives (`$patch`, `$retainKeys`, `$deleteFromPrimitiveList/x`, `$setElementOrder/x`) say what a merge
//! cannot.
//!
//! Follows upstream down to what it leaves in place: only where there was nothing to merge with are directives and nulls
//! taken out; in a new item of a merged list they stay, and the decoder judges them.

mod lists;
mod order;
mod schema;

use serde_json::{Map, Value};

use self::schema::Schema;
use super::printed::{go_text, go_type, go_words, not_a_map};
use crate::status::Status;

const PATCH: &str = "$patch";
const RETAIN: &str = "$retainKeys";
const DELETE_FROM: &str = "$deleteFromPrimitiveList";
const ORDER: &str = "$setElementOrder";

/// Applies a strategic merge patch to an object of a schema such as `io.k8s.api.core.v1.Service`.
///
/// # Errors
/// 400 for a body that is no object and for directives of the wrong form, 422 for lists of lists; 500, as upstream, for
/// unknown directives, list items without their merge key and lists that contradict `$setElementOrder`.
pub fn strategic_merge(schema: &str, target: &Value, patch: &Value) -> Result<Value, Status> {
    let Value::Object(target) = target else { return Err(Status::bad_request("invalid JSON document")) };
    let patch = match patch {
        Value::Object(patch) => patch.clone(),
        Value::Null => Map::new(),
        other => return Err(Status::bad_request(not_a_map(other))),
    };
    let merged = merge_map(Schema::Message(schema), target.clone(), patch);
    merged.map(Value::Object).map_err(|refusal| match refusal {
        Refusal::Form(text) => Status::bad_request(text),
        Refusal::ListOfLists => Status::unprocessable(),
        Refusal::Plain(text) => Status::new(500, "", text),
    })
}

/// Why a patch is not carried out.
enum Refusal {
    /// A directive is not written as it has to be.
    Form(&'static str),
    /// A merged list holds lists.
    ListOfLists,
    /// Everything else; upstream gives these no reason and no code of their own.
    Plain(String),
}

impl Refusal {
    fn unknown_directive(directive: &Value, patch: Map<String, Value>) -> Self {
        let shown = go_words(&Value::Object(patch));
        Self::Plain(format!("unknown patch type: {} in map: {shown}", go_text(directive)))
    }

    fn no_key(item: &Value, key: &str) -> Self {
        Self::Plain(format!("map: {} does not contain declared merge key: {key}", go_words(item)))
    }

    fn kind(expected: &Value, found: &Value) -> Self {
        Self::Plain(format!("expected a {}, but received a {}", go_type(expected), go_type(found)))
    }
}

/// The list that a value has to be.
fn list(value: Value) -> Result<Vec<Value>, Refusal> {
    match value {
        Value::Array(items) => Ok(items),
        other => Err(Refusal::kind(&Value::Array(Vec::new()), &other)),
    }
}

fn merge_map(
    schema: Schema,
    mut target: Map<String, Value>,
    mut patch: Map<String, Value>,
) -> Result<Map<String, Value>, Refusal> {
    match patch.get(PATCH) {
        None => {}
        Some(Value::String(word)) if word == "replace" => {
            patch.shift_remove(PATCH);
            return Ok(patch);
        }
        Some(Value::String(word)) if word == "delete" => return Ok(Map::new()),
        Some(other) => return Err(Refusal::unknown_directive(&other.clone(), patch)),
    }
    retain_keys(&mut target, &mut patch)?;
    lists::set_orders(schema, &mut target, &mut patch)?;
    // As `$setElementOrder` has it, what is added to a list of scalars is there before others are taken out.
    let (deletions, others): (Vec<_>, Vec<_>) = patch.into_iter().partition(|(key, _)| key.starts_with(DELETE_FROM));
    for (key, new) in others {
        merge_field(schema, &mut target, key, new)?;
    }
    for (key, gone) in deletions {
        let field = key.strip_prefix(DELETE_FROM).and_then(|rest| rest.strip_prefix('/'));
        let field = field.ok_or(Refusal::Form("invalid patch format of primitive list"))?;
        match (gone, target.get_mut(field)) {
            (Value::Null, _) => {
                target.shift_remove(field);
            }
            (Value::Array(gone), Some(Value::Array(old))) => {
                let found = schema.list(field)?;
                let items = std::mem::take(old);
                *old = lists::merge(&found, items, gone, true, &mut [])?;
            }
            _ => {}
        }
    }
    Ok(target)
}

fn merge_field(schema: Schema, target: &mut Map<String, Value>, key: String, new: Value) -> Result<(), Refusal> {
    let merged = match (new, target.get_mut(&key)) {
        (Value::Null, _) => None,
        (Value::Object(new), Some(Value::Object(old))) => {
            let inner = schema.object(&key)?;
            let old = std::mem::take(old);
            Some(Value::Object(if inner.replaced { new } else { merge_map(inner.schema, old, new)? }))
        }
        (Value::Array(new), Some(Value::Array(old))) => {
            let found = schema.list(&key)?;
            let old = std::mem::take(old);
            let merged = if found.merges { lists::merge(&found, old, new, false, &mut [])? } else { new };
            Some(Value::Array(merged))
        }
        (mut other, _) => {
            discard_nulls(&mut other);
            without_directives(other)
        }
    };
    match merged {
        Some(value) => target.insert(key, value),
        None => target.shift_remove(&key),
    };
    Ok(())
}

/// `$retainKeys`: whatever it does not name goes, and the patch itself may say nothing else.
fn retain_keys(target: &mut Map<String, Value>, patch: &mut Map<String, Value>) -> Result<(), Refusal> {
    const FORM: Refusal = Refusal::Form("invalid patch format of retainKeys");
    let Some(retained) = patch.shift_remove(RETAIN) else { return Ok(()) };
    let Value::Array(retained) = retained else { return Err(FORM) };
    let kept = |key: &String| retained.iter().any(|one| one.as_str() == Some(key));
    let directive = |key: &String| key.starts_with(DELETE_FROM) || key.starts_with(ORDER);
    if patch.iter().any(|(key, value)| !value.is_null() && !directive(key) && !kept(key)) {
        return Err(FORM);
    }
    target.retain(|key, _| kept(key));
    Ok(())
}

/// Takes the nulls out of every object in a value of a patch.
fn discard_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, value| !value.is_null());
            fields.values_mut().for_each(discard_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(discard_nulls),
        _ => {}
    }
}

/// A value of a patch without the objects that hold `$patch`; `None` if it is one itself. Other directives stay.
fn without_directives(value: Value) -> Option<Value> {
    match value {
        Value::Object(fields) if fields.contains_key(PATCH) => None,
        Value::Object(fields) => {
            let kept = fields.into_iter().filter_map(|(key, value)| Some((key, without_directives(value)?)));
            Some(Value::Object(kept.collect()))
        }
        Value::Array(items) => Some(Value::Array(items.into_iter().filter_map(without_directives).collect())),
        other => Some(other),
    }
}
