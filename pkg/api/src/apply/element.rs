//! One step of a path into an object, as field sets name it (structured-merge-diff `fieldpath/element.go`): its order,
//! its text in `fieldsV1` and its text in messages. Must not know schemas.

use std::cmp::Ordering;
use std::fmt;

use serde_json::{Map, Value};

use crate::field::quote;

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Element {
    /// `f:name`: a field of an object or an entry of a map.
    Field(String),
    /// `k:{"port":80,"protocol":"TCP"}`: the item of an associative list with these keys, sorted by name.
    Key(Vec<(String, Scalar)>),
    /// `v:"a"`: the item of a set.
    Value(Scalar),
    /// `i:0`: an item by its place; never written here, but read.
    Index(i64),
}

/// A value with an order: numbers, strings, booleans, lists, objects, null; 1 and 1.0 are equal.
#[derive(Debug, Clone)]
pub struct Scalar(pub Value);

impl Element {
    /// Reads a key of `fieldsV1`. `None` for a kind of step that is not known, which readers pass over.
    ///
    /// # Errors
    /// A text without colon, or with a value that is no JSON.
    pub fn parse(text: &str) -> Result<Option<Self>, String> {
        let (kind, rest) = text.split_once(':').ok_or_else(|| format!("missing colon: {text}"))?;
        let json = |text: &str| serde_json::from_str::<Value>(text).map_err(|cause| cause.to_string());
        Ok(match kind {
            "f" => Some(Self::Field(rest.to_owned())),
            "v" => Some(Self::Value(Scalar(json(rest)?))),
            "i" => Some(Self::Index(rest.parse().map_err(|_| format!("invalid index: {rest}"))?)),
            "k" => match json(rest)? {
                Value::Object(map) => Some(Self::key(map.into_iter().collect())),
                _ => return Err(format!("invalid key: {rest}")),
            },
            _ => None,
        })
    }

    /// The item with these keys.
    pub fn key(mut keys: Vec<(String, Value)>) -> Self {
        keys.sort_by(|a, b| a.0.cmp(&b.0));
        Self::Key(keys.into_iter().map(|(name, value)| (name, Scalar(value))).collect())
    }

    /// The key of `fieldsV1`.
    pub fn serialized(&self) -> String {
        match self {
            Self::Field(name) => format!("f:{name}"),
            Self::Key(keys) => {
                let map: Map<String, Value> =
                    keys.iter().map(|(name, value)| (name.clone(), value.0.clone())).collect();
                format!("k:{}", Value::Object(map))
            }
            Self::Value(value) => format!("v:{}", value.0),
            Self::Index(index) => format!("i:{index}"),
        }
    }
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(name) => write!(f, ".{name}"),
            Self::Key(keys) => {
                let keys: Vec<String> = keys.iter().map(|(name, value)| format!("{name}={value}")).collect();
                write!(f, "[{}]", keys.join(","))
            }
            Self::Value(value) => write!(f, "[={value}]"),
            Self::Index(index) => write!(f, "[{index}]"),
        }
    }
}

/// A path as messages name it: `.spec.ports[port=80,protocol="TCP"].name`.
pub fn path_text(path: &[Element]) -> String {
    path.iter().map(ToString::to_string).collect()
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Value::String(text) => f.write_str(&quote(text)),
            other => write!(f, "{other}"),
        }
    }
}

impl PartialEq for Scalar {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Scalar {}

impl PartialOrd for Scalar {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Scalar {
    fn cmp(&self, other: &Self) -> Ordering {
        compare(&self.0, &other.0)
    }
}

fn rank(value: &Value) -> u8 {
    match value {
        Value::Number(_) => 0,
        Value::String(_) => 1,
        Value::Bool(_) => 2,
        Value::Array(_) => 3,
        Value::Object(_) => 4,
        Value::Null => 5,
    }
}

/// The order of values; equality is the API's: 1 and 1.0 are the same number, objects have no order of fields.
pub(super) fn compare(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => match (a.as_i64(), b.as_i64()) {
            (Some(a), Some(b)) => a.cmp(&b),
            _ => a.as_f64().unwrap_or(0.0).total_cmp(&b.as_f64().unwrap_or(0.0)),
        },
        (Value::String(a), Value::String(b)) => a.cmp(b),
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (Value::Array(a), Value::Array(b)) => {
            let first = a.iter().zip(b).map(|(a, b)| compare(a, b)).find(|order| order.is_ne());
            first.unwrap_or_else(|| a.len().cmp(&b.len()))
        }
        (Value::Object(a), Value::Object(b)) => {
            let sorted = |map: &Map<String, Value>| {
                let mut keys: Vec<String> = map.keys().cloned().collect();
                keys.sort();
                keys
            };
            let (left, right) = (sorted(a), sorted(b));
            left.cmp(&right).then_with(|| {
                let first = left.iter().map(|key| compare(&a[key], &b[key])).find(|order| order.is_ne());
                first.unwrap_or(Ordering::Equal)
            })
        }
        _ => rank(a).cmp(&rank(b)),
    }
}

/// Whether two values are the same to the API.
pub(super) fn same(a: &Value, b: &Value) -> bool {
    compare(a, b).is_eq()
}
