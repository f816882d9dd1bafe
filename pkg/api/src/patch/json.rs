//! JSON patches (RFC 6902) as Kubernetes' library (evanphx/json-patch v4) reads them: beyond the RFC, `replace` puts in what
//! an object lacks, a missing `value` is null, a missing member passes a `test` for null, and an index may be negative.

use serde_json::Value;

use crate::field::quote;
use crate::status::Status;

/// Most operations of one JSON patch (apiserver `maxJSONPatchOperations`).
const MOST_OPERATIONS: usize = 10_000;

/// Most bytes that the `copy` operations of one patch may add (apiserver `JSONPatchMaxCopyBytes`).
const MOST_COPIED: usize = 3 * 1024 * 1024;

/// How deep the outcome may nest: as deep as a body, because what is read is walked by recursion ever after.
const DEPTH: usize = 128;

/// Why a JSON patch is not carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JsonPatchError {
    /// It is no list of operations.
    Malformed(String),
    /// It has more operations than may be.
    TooMany(usize),
    /// The `test` of this path does not hold.
    Test(String),
    /// An operation has no place to work on.
    Failed(String),
}

impl std::fmt::Display for JsonPatchError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Malformed(why) | Self::Failed(why) => f.write_str(why),
            Self::TooMany(count) => {
                write!(f, "The allowed maximum operations in a JSON patch is {MOST_OPERATIONS}, got {count}")
            }
            Self::Test(path) => write!(f, "testing value {path} failed: test failed"),
        }
    }
}

impl From<JsonPatchError> for Status {
    fn from(error: JsonPatchError) -> Self {
        match error {
            JsonPatchError::Malformed(_) => Self::bad_request(error.to_string()),
            JsonPatchError::TooMany(_) => Self::request_entity_too_large(error),
            JsonPatchError::Test(_) | JsonPatchError::Failed(_) => Self::unprocessable(),
        }
    }
}

/// The object after the patch's operations, one after the other.
///
/// # Errors
/// See [`JsonPatchError`].
pub fn json_patch(target: &Value, patch: &Value) -> Result<Value, JsonPatchError> {
    let operations = match patch {
        Value::Array(operations) => operations.as_slice(),
        Value::Null => &[],
        other => return Err(malformed(other, "jsonpatch.Patch")),
    };
    if let Some(other) = operations.iter().find(|one| !one.is_object()) {
        return Err(malformed(other, "jsonpatch.Operation"));
    }
    if operations.len() > MOST_OPERATIONS {
        return Err(JsonPatchError::TooMany(operations.len()));
    }
    let mut new = target.clone();
    let mut copied = 0;
    for operation in operations {
        carry_out(&mut new, operation, &mut copied)?;
    }
    if deeper_than(&new, DEPTH) {
        return Err(JsonPatchError::Failed("exceeded max depth".to_owned()));
    }
    Ok(new)
}

fn malformed(found: &Value, wanted: &str) -> JsonPatchError {
    let found = super::json_kind(found);
    JsonPatchError::Malformed(format!("json: cannot unmarshal {found} into Go value of type {wanted}"))
}

fn deeper_than(value: &Value, depth: usize) -> bool {
    match value {
        Value::Object(fields) => depth == 0 || fields.values().any(|inner| deeper_than(inner, depth - 1)),
        Value::Array(items) => depth == 0 || items.iter().any(|inner| deeper_than(inner, depth - 1)),
        _ => false,
    }
}

fn carry_out(document: &mut Value, operation: &Value, copied: &mut usize) -> Result<(), JsonPatchError> {
    let name = operation["op"].as_str().unwrap_or("unknown");
    let failed = |why: String| JsonPatchError::Failed(why);
    let part = |part: &str| {
        let missing = || failed(format!("{name} operation failed to decode {part}: missing value"));
        operation[part].as_str().map(str::to_owned).ok_or_else(missing)
    };
    let lost = |which: &str, path: &str| {
        failed(format!("{name} operation does not apply: doc is missing {which}: {}: missing value", quote(path)))
    };
    let at = |path: &str| {
        let place = format!("error in {name} for path: '{path}'");
        move |why: String| failed(format!("{place}: {why}"))
    };
    let value = || operation["value"].clone();
    match name {
        "add" => {
            let path = part("path")?;
            let (holder, key) = find(document, &path).ok_or_else(|| lost("path", &path))?;
            add(holder, &key, value()).map_err(at(&path))
        }
        "remove" => {
            let path = part("path")?;
            let (holder, key) = find(document, &path).ok_or_else(|| lost("path", &path))?;
            remove(holder, &key).map(drop).map_err(at(&path))
        }
        "replace" => {
            let path = part("path")?;
            if path.is_empty() {
                let whole = value();
                if !whole.is_object() && !whole.is_array() {
                    return Err(failed("replace operation value must be object or array".to_owned()));
                }
                *document = whole;
                return Ok(());
            }
            let (holder, key) = find(document, &path).ok_or_else(|| lost("path", &path))?;
            match holder {
                Value::Object(fields) => {
                    fields.insert(key, value());
                }
                Value::Array(items) => {
                    let place = place(&key, items.len()).map_err(|_| lost("key", &path))?;
                    items[place] = value();
                }
                _ => {}
            }
            Ok(())
        }
        "move" => {
            let (from, path) = (part("from")?, part("path")?);
            let (holder, key) = find(document, &from).ok_or_else(|| lost("from path", &from))?;
            let moved = remove(holder, &key).map_err(at(&from))?;
            let (holder, key) = find(document, &path).ok_or_else(|| lost("destination path", &path))?;
            add(holder, &key, moved).map_err(at(&path))
        }
        "copy" => {
            let (from, path) = (part("from")?, part("path")?);
            let (holder, key) = find(document, &from).ok_or_else(|| lost("from path", &from))?;
            let copy = get(holder, &key).map_err(at(&from))?.clone();
            let (holder, key) = find(document, &path).ok_or_else(|| lost("destination path", &path))?;
            *copied += if copy.is_null() { 0 } else { copy.to_string().len() };
            if *copied > MOST_COPIED {
                return Err(failed(format!(
                    "Unable to complete the copy, the accumulated size increase of copy is {copied}, exceeding the limit \
                     {MOST_COPIED}"
                )));
            }
            add(holder, &key, copy).map_err(at(&path))
        }
        "test" => {
            let path = part("path")?;
            let found = match path.as_str() {
                "" => &*document,
                _ => {
                    let (holder, key) = find(document, &path).ok_or_else(|| lost("path", &path))?;
                    get(holder, &key).map_err(at(&path))?
                }
            };
            if *found == operation["value"] { Ok(()) } else { Err(JsonPatchError::Test(path)) }
        }
        other => Err(failed(format!("Unexpected kind: {other}"))),
    }
}

/// The object or list that a JSON pointer's last part is looked up in, and that part. `None` when there is none.
fn find<'a>(document: &'a mut Value, path: &str) -> Option<(&'a mut Value, String)> {
    let mut parts = path.split('/').skip(1).map(|part| part.replace("~1", "/").replace("~0", "~"));
    let mut last = parts.next()?;
    let mut holder = document;
    for part in parts {
        holder = match holder {
            Value::Object(fields) => fields.get_mut(&last)?,
            Value::Array(items) => {
                let place = place(&last, items.len()).ok()?;
                items.get_mut(place)?
            }
            _ => return None,
        };
        last = part;
    }
    (holder.is_object() || holder.is_array()).then_some((holder, last))
}

/// The place of a list of that length that an index names; a negative one counts from the end.
fn place(index: &str, length: usize) -> Result<usize, String> {
    let number: i64 = index.parse().map_err(|_| format!("strconv.Atoi: parsing {}: invalid syntax", quote(index)))?;
    let place = match usize::try_from(number) {
        Ok(place) => Some(place),
        Err(_) => usize::try_from(number.unsigned_abs()).ok().and_then(|back| length.checked_sub(back)),
    };
    let place = place.filter(|place| *place < length);
    place.ok_or_else(|| format!("Unable to access invalid index: {number}: invalid index referenced"))
}

fn get<'a>(holder: &'a Value, key: &str) -> Result<&'a Value, String> {
    match holder {
        Value::Array(items) => Ok(&items[place(key, items.len())?]),
        fields => Ok(fields.get(key).unwrap_or(&Value::Null)),
    }
}

fn add(holder: &mut Value, key: &str, value: Value) -> Result<(), String> {
    match holder {
        Value::Array(items) if key == "-" => items.push(value),
        Value::Array(items) => items.insert(place(key, items.len() + 1)?, value),
        Value::Object(fields) => {
            fields.insert(key.to_owned(), value);
        }
        _ => {}
    }
    Ok(())
}

fn remove(holder: &mut Value, key: &str) -> Result<Value, String> {
    let missing = || format!("Unable to remove nonexistent key: {key}: missing value");
    match holder {
        Value::Array(items) => Ok(items.remove(place(key, items.len())?)),
        Value::Object(fields) => fields.shift_remove(key).ok_or_else(missing),
        _ => Err(missing()),
    }
}
