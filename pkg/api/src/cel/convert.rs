//! JSON to values by a schema's types, and back.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use serde_json::{Map, Value};

use super::declare::{Decl, escape};
use super::kin::List;
use super::library::times;
use super::types::Type;
use super::value::{Key, Val};
use crate::time;

/// The value of JSON; `decl` says which texts are moments, durations or octets and whose names are escaped.
pub fn from_json(value: &Value, decl: Option<&Decl>) -> Val {
    let element = decl.and_then(|decl| decl.element.as_deref());
    match value {
        Value::Null => Val::Null,
        Value::Bool(value) => Val::Bool(*value),
        Value::Number(number) => match (number.as_i64(), decl.map(|decl| &decl.kind)) {
            (Some(whole), Some(Type::Double)) => Val::Double(whole as f64),
            (Some(whole), _) => Val::Int(whole),
            (None, _) => number.as_u64().map_or_else(|| Val::Double(number.as_f64().unwrap_or(f64::NAN)), Val::Uint),
        },
        Value::String(text) => match decl.map(|decl| &decl.kind) {
            Some(Type::Time) => {
                let moment = time::parse(text).or_else(|| time::parse(&format!("{text}T00:00:00Z")));
                moment.map_or_else(|| Val::text(text), Val::Time)
            }
            Some(Type::Duration) => times::duration(text).map_or_else(|| Val::text(text), Val::Duration),
            Some(Type::Bytes) => base64::engine::general_purpose::STANDARD
                .decode(text)
                .map_or_else(|_| Val::text(text), |bytes| Val::Bytes(bytes.into())),
            _ => Val::text(text),
        },
        Value::Array(items) => {
            let kin = decl.map(|decl| decl.kin.clone()).unwrap_or_default();
            Val::List(Arc::new(List { items: items.iter().map(|item| from_json(item, element)).collect(), kin }))
        }
        Value::Object(map) => {
            let mut out = BTreeMap::new();
            for (key, value) in map {
                let (name, inner) = match decl.map(|decl| &decl.kind) {
                    Some(Type::Object(object)) => {
                        let Some(name) = escape(key) else { continue };
                        let inner = object.fields.get(&name).map(|field| &**field);
                        (name, inner)
                    }
                    _ => (key.clone(), element),
                };
                out.insert(Key::Str(Arc::from(name)), from_json(value, inner));
            }
            Val::Map(Arc::new(out))
        }
    }
}

/// The JSON of a value.
///
/// # Errors
/// It is of a kind that JSON has no words for.
pub fn to_json(value: &Val) -> Result<Value, String> {
    Ok(match value {
        Val::Null | Val::Optional(None) => Value::Null,
        Val::Bool(value) => (*value).into(),
        Val::Int(value) => (*value).into(),
        Val::Uint(value) => (*value).into(),
        // Whole numbers are whole in Kubernetes' JSON, whatever they came from.
        Val::Double(value) if value.fract() == 0.0 && value.abs() < 9e15 => (*value as i64).into(),
        Val::Double(value) => (*value).into(),
        Val::Str(text) => (**text).into(),
        Val::Bytes(bytes) => base64::engine::general_purpose::STANDARD.encode(bytes).into(),
        Val::Time(moment) => time::format(*moment).into(),
        Val::Duration(nanos) => times::write(*nanos).into(),
        Val::Optional(Some(inner)) => to_json(inner)?,
        Val::List(items) => items.iter().map(to_json).collect::<Result<Vec<_>, _>>()?.into(),
        Val::Map(map) => {
            let mut out = Map::new();
            for (key, value) in &**map {
                let key = match key {
                    Key::Bool(value) => value.to_string(),
                    Key::Int(value) => value.to_string(),
                    Key::Str(text) => text.to_string(),
                };
                out.insert(key, to_json(value)?);
            }
            Value::Object(out)
        }
        Val::Quantity(amount) => amount.to_string().into(),
        Val::Ip(address) => address.to_string().into(),
        Val::Cidr(range) => range.to_string().into(),
        Val::Url(url) => url.text.clone().into(),
        other => return Err(format!("type conversion error from '{}' to JSON", other.type_name())),
    })
}
