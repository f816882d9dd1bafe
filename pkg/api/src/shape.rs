//! An object walked along its schema as Kubernetes' JSON decoder and encoder would walk it: types checked in the decoder's
//! own words, unknown fields found or dropped, empty values written or left out as Go's tags say. No rules of kinds.

mod unknown;

use base64::Engine as _;
use serde_json::{Map, Value};

use crate::messages::{Element, Field, Message, Shape, message};
pub use unknown::unknown_fields;

/// Integers that are 64 bits wide in Go; all others have 32.
const WIDE: &[&str] = &[
    "generation",
    "observedGeneration",
    "deletionGracePeriodSeconds",
    "terminationGracePeriodSeconds",
    "activeDeadlineSeconds",
    "tolerationSeconds",
    "runAsUser",
    "runAsGroup",
    "fsGroup",
    "supplementalGroups",
    "expirationSeconds",
    "gracePeriodSeconds",
    "sizeBytes",
    "remainingItemCount",
];

/// The object as the typed server would write it, in the order of Go's structs. `schema` is a name such as
/// `io.k8s.api.core.v1.Service`.
///
/// # Errors
/// The decoder's complaint about the first field of a wrong type, such as `json: cannot unmarshal string into Go struct
/// field ServiceSpec.spec.ports of type []v1.ServicePort`.
pub fn prune(schema: &str, value: &Value) -> Result<Value, String> {
    let Some(message) = message(schema) else { return Err(format!("no schema is known as {schema}")) };
    let mut walk = Walk { path: Vec::new(), owner: String::new() };
    let fields = walk.structure(message, value)?;
    let mut out = Map::new();
    for key in ["apiVersion", "kind"] {
        match &value[key] {
            Value::Null => {}
            Value::String(text) if text.is_empty() => {}
            Value::String(text) => {
                out.insert(key.to_owned(), text.as_str().into());
            }
            other => {
                walk.owner = "TypeMeta".to_owned();
                walk.path.push(key.to_owned());
                return Err(walk.mismatch(other, "string"));
            }
        }
    }
    out.extend(fields);
    Ok(Value::Object(out))
}

struct Walk {
    path: Vec<String>,
    owner: String,
}

/// Messages that are plain values in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Plain {
    Quantity,
    IntOrString,
    Time,
    MicroTime,
    Duration,
    Any,
    Strings,
}

/// Whether a message is a plain value in JSON: a quantity, a time, a port by number or name, any JSON.
pub(crate) fn is_plain(schema: &str) -> bool {
    plain(schema).is_some()
}

fn plain(schema: &str) -> Option<Plain> {
    match schema.rsplit('.').next()? {
        "Quantity" => Some(Plain::Quantity),
        "IntOrString" => Some(Plain::IntOrString),
        "Time" => Some(Plain::Time),
        "MicroTime" => Some(Plain::MicroTime),
        "Duration" => Some(Plain::Duration),
        "FieldsV1" | "RawExtension" | "JSON" => Some(Plain::Any),
        "ExtraValue" | "AttestationValue" | "Verbs" => Some(Plain::Strings),
        _ => None,
    }
}

impl Walk {
    fn mismatch(&self, value: &Value, go: &str) -> String {
        let found = match value {
            Value::Null => "null".to_owned(),
            Value::Bool(_) => "bool".to_owned(),
            Value::Number(n) if go.starts_with("int") => format!("number {n}"),
            Value::Number(_) => "number".to_owned(),
            Value::String(_) => "string".to_owned(),
            Value::Array(_) => "array".to_owned(),
            Value::Object(_) => "object".to_owned(),
        };
        if self.path.is_empty() {
            return format!("json: cannot unmarshal {found} into Go value of type {go}");
        }
        format!(
            "json: cannot unmarshal {found} into Go struct field {}.{} of type {go}",
            self.owner,
            self.path.join(".")
        )
    }

    fn structure(&mut self, message: &'static Message, value: &Value) -> Result<Map<String, Value>, String> {
        let Value::Object(map) = value else {
            return Err(self.mismatch(value, &go_name(message.name)));
        };
        let short = message.name.rsplit('.').next().unwrap_or(message.name).to_owned();
        let owner = std::mem::replace(&mut self.owner, short);
        let mut out = Map::new();
        if !self.path.is_empty() && is_kind(message) {
            for key in ["apiVersion", "kind"] {
                if let Some(Value::String(text)) = map.get(key).filter(|text| *text != "") {
                    out.insert(key.to_owned(), text.as_str().into());
                }
            }
        }
        self.fields(message, map, &mut out)?;
        self.owner = owner;
        Ok(out)
    }

    fn fields(
        &mut self,
        message: &'static Message,
        map: &Map<String, Value>,
        out: &mut Map<String, Value>,
    ) -> Result<(), String> {
        for field in &message.fields {
            if field.inline {
                if let Some(inner) = inner(field) {
                    self.fields(inner, map, out)?;
                }
                continue;
            }
            let value = map.get(field.json).filter(|v| !v.is_null());
            let written = match value {
                Some(value) => {
                    self.path.push(field.json.to_owned());
                    let written = self.field(field, value)?;
                    self.path.pop();
                    Some(written)
                }
                None => None,
            };
            match written {
                Some(written) if field.pointer || !field.omit_empty || !is_empty(field, &written) => {
                    out.insert(field.json.to_owned(), written);
                }
                Some(_) => {}
                None if always_written(field) => {
                    let empty = match inner(field) {
                        Some(inner) => self.structure(inner, &Value::Object(Map::new()))?,
                        None => Map::new(),
                    };
                    out.insert(field.json.to_owned(), Value::Object(empty));
                }
                None => {}
            }
        }
        Ok(())
    }

    fn field(&mut self, field: &'static Field, value: &Value) -> Result<Value, String> {
        match field.shape {
            Shape::Single => self.element(field, value),
            Shape::List => {
                let Value::Array(items) = value else { return Err(self.mismatch(value, &go_type(field))) };
                items
                    .iter()
                    .map(|item| if item.is_null() { Ok(zero(field)) } else { self.element(field, item) })
                    .collect::<Result<Vec<Value>, String>>()
                    .map(Value::Array)
            }
            Shape::Map => {
                let Value::Object(map) = value else { return Err(self.mismatch(value, &go_type(field))) };
                let mut sorted: Vec<(&String, &Value)> = map.iter().collect();
                sorted.sort_by_key(|(key, _)| *key);
                let mut out = Map::new();
                for (key, value) in sorted {
                    let value = if value.is_null() { zero(field) } else { self.element(field, value)? };
                    out.insert(key.clone(), value);
                }
                Ok(Value::Object(out))
            }
        }
    }

    fn element(&mut self, field: &'static Field, value: &Value) -> Result<Value, String> {
        let good = match field.element {
            Element::String => value.is_string(),
            Element::Bool => value.is_boolean(),
            Element::Float => value.is_number(),
            Element::Integer => return self.integer(WIDE.contains(&field.json), value),
            Element::Bytes => return self.bytes(value),
            Element::Message(name) => match (plain(name), message(name)) {
                (Some(Plain::Quantity), _) => return self.quantity(value),
                (Some(Plain::IntOrString), _) if value.is_number() => return self.integer(false, value),
                (Some(Plain::IntOrString | Plain::Duration), _) => value.is_string(),
                (Some(Plain::Time), _) => return self.time(value, crate::time::format),
                (Some(Plain::MicroTime), _) => return self.time(value, crate::time::format_micro),
                (Some(Plain::Strings), _) => value.as_array().is_some_and(|a| a.iter().all(Value::is_string)),
                (Some(Plain::Any), _) | (None, None) => true,
                (None, Some(message)) => return self.structure(message, value).map(Value::Object),
            },
        };
        if good { Ok(value.clone()) } else { Err(self.mismatch(value, &go_element(field))) }
    }

    fn integer(&self, wide: bool, value: &Value) -> Result<Value, String> {
        let go = if wide { "int64" } else { "int32" };
        let Value::Number(number) = value else { return Err(self.mismatch(value, go)) };
        // 80.0 is an integer to Kubernetes' decoder, 80.5 is not.
        let whole = number
            .as_i64()
            .or_else(|| number.as_f64().filter(|f| f.fract() == 0.0 && f.abs() < 9e15).map(|f| f as i64));
        match whole {
            Some(n) if wide || i32::try_from(n).is_ok() => Ok(n.into()),
            _ => Err(self.mismatch(value, go)),
        }
    }

    fn bytes(&self, value: &Value) -> Result<Value, String> {
        let Value::String(text) = value else { return Err(self.mismatch(value, "[]uint8")) };
        let packed: String = text.chars().filter(|c| !matches!(c, '\n' | '\r')).collect();
        match base64::engine::general_purpose::STANDARD.decode(&packed) {
            Ok(_) => Ok(packed.into()),
            Err(base64::DecodeError::InvalidByte(at, _)) => Err(format!("illegal base64 data at input byte {at}")),
            Err(_) => Err(format!("illegal base64 data at input byte {}", packed.len().saturating_sub(1))),
        }
    }

    fn time(&self, value: &Value, write: fn(jiff::Timestamp) -> String) -> Result<Value, String> {
        let Value::String(text) = value else { return Err(self.mismatch(value, "string")) };
        match crate::time::parse(text) {
            Some(at) => Ok(write(at).into()),
            None => Err(format!(
                "parsing time \"{text}\" as \"2006-01-02T15:04:05Z07:00\": cannot parse \"{text}\" as \"2006\""
            )),
        }
    }

    fn quantity(&self, value: &Value) -> Result<Value, String> {
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            other => return Err(self.mismatch(other, "resource.Quantity")),
        };
        Ok(crate::quantity::Amount::parse(text.trim())?.to_string().into())
    }
}

/// The message inside a field that is a struct in JSON as well.
fn inner(field: &Field) -> Option<&'static Message> {
    match field.element {
        Element::Message(name) if plain(name).is_none() => message(name),
        _ => None,
    }
}

/// Whether a message is a kind of its own, which names itself wherever it stands (`volumeClaimTemplates`).
fn is_kind(schema: &Message) -> bool {
    message(&format!("{}List", schema.name)).is_some()
}

/// Structs by value: Go's `omitempty` does not leave them out.
fn always_written(field: &Field) -> bool {
    field.shape == Shape::Single && !field.pointer && inner(field).is_some()
}

/// Whether Go's `omitempty` leaves a value out.
fn is_empty(field: &Field, value: &Value) -> bool {
    match value {
        Value::String(text) => text.is_empty() && !matches!(field.element, Element::Message(_)),
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty() && field.shape == Shape::Map,
        Value::Bool(set) => !set,
        Value::Number(n) => n.as_f64() == Some(0.0) && !matches!(field.element, Element::Message(_)),
        Value::Null => true,
    }
}

fn zero(field: &Field) -> Value {
    match field.element {
        Element::String | Element::Bytes => "".into(),
        Element::Bool => false.into(),
        Element::Integer | Element::Float => 0.into(),
        Element::Message(name) => match plain(name) {
            Some(Plain::Quantity) => "0".into(),
            Some(Plain::IntOrString) => 0.into(),
            Some(_) => Value::Null,
            None => Value::Object(Map::new()),
        },
    }
}

/// `io.k8s.api.core.v1.ServicePort` as Go names it: `v1.ServicePort`.
fn go_name(name: &str) -> String {
    let mut parts = name.rsplit('.');
    let last = parts.next().unwrap_or(name);
    parts.next().map_or_else(|| last.to_owned(), |package| format!("{package}.{last}"))
}

fn go_element(field: &Field) -> String {
    match field.element {
        Element::String => "string".to_owned(),
        Element::Bool => "bool".to_owned(),
        Element::Integer if WIDE.contains(&field.json) => "int64".to_owned(),
        Element::Integer => "int32".to_owned(),
        Element::Float => "float64".to_owned(),
        Element::Bytes => "[]uint8".to_owned(),
        Element::Message(name) => go_name(name),
    }
}

fn go_type(field: &Field) -> String {
    match field.shape {
        Shape::Single => go_element(field),
        Shape::List => format!("[]{}", go_element(field)),
        Shape::Map => format!("map[string]{}", go_element(field)),
    }
}

#[cfg(test)]
mod tests;
