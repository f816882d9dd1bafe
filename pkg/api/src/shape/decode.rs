//! Walks an object along its shape as Kubernetes' JSON decoder and encoder would: types checked with the decoder's own
//! words, unknown fields dropped, nulls and empty optional values left out, keys in a steady order.

use std::collections::BTreeMap;

use base64::Engine as _;
use serde_json::{Map, Value};

use super::tree::{Field, Shape, resolve};

/// Optional strings that are pointers in Go, so that `""` is a value of its own.
const POINTER_STRINGS: &[(&str, &str)] = &[
    ("io.k8s.api.discovery.v1.EndpointPort", "name"),
    ("io.k8s.api.discovery.v1.EndpointPort", "appProtocol"),
    ("io.k8s.api.core.v1.ServicePort", "appProtocol"),
    ("io.k8s.api.core.v1.EndpointPort", "appProtocol"),
    ("io.k8s.api.core.v1.PersistentVolumeClaimSpec", "storageClassName"),
    ("io.k8s.api.networking.v1.IngressSpec", "ingressClassName"),
    ("io.k8s.api.networking.v1.IngressClassParametersReference", "apiGroup"),
    ("io.k8s.api.networking.v1.IngressClassParametersReference", "namespace"),
    ("io.k8s.api.coordination.v1.LeaseSpec", "holderIdentity"),
    ("io.k8s.api.core.v1.ServiceSpec", "loadBalancerClass"),
    ("io.k8s.api.core.v1.ServiceSpec", "trafficDistribution"),
];

/// Optional numbers and booleans that are plain values with `omitempty` in Go, so that zero and false are left out.
const PLAIN_SCALARS: &[&str] = &[
    "nodePort", "healthCheckNodePort", "hostPort", "initialDelaySeconds", "hostNetwork", "hostPID", "hostIPC", "stdin",
    "stdinOnce", "tty", "paused", "publishNotReadyAddresses", "unschedulable", "readOnly", "minReadySeconds",
    "generation", "observedGeneration", "terminatingReplicas", "unavailableReplicas", "updatedReplicas",
    "availableReplicas", "readyReplicas", "fullyLabeledReplicas", "numberUnavailable", "numberAvailable",
    "updatedNumberScheduled", "collisionCount", "count",
];
/// Those of the list above that are pointers after all.
const POINTER_SCALARS: &[&str] = &["terminatingReplicas", "collisionCount"];

/// The object as the typed server would write it. `schema` is a name such as `io.k8s.api.core.v1.Service`.
///
/// # Errors
/// The decoder's complaint about the first field of a wrong type, such as `json: cannot unmarshal string into Go struct
/// field ServiceSpec.spec.ports of type []v1.ServicePort`.
pub fn prune(schema: &str, value: &Value) -> Result<Value, String> {
    let mut walk = Walk { path: Vec::new(), owner: String::new() };
    let mut out = walk.value(&Shape::Ref(schema.to_owned()), value)?.unwrap_or(Value::Null);
    lead_with_identity(&mut out);
    Ok(out)
}

/// `apiVersion`, `kind`, `metadata` first.
fn lead_with_identity(object: &mut Value) {
    if let Value::Object(map) = object {
        let mut rest = std::mem::take(map);
        for key in ["apiVersion", "kind", "metadata"] {
            if let Some(value) = rest.shift_remove(key) {
                map.insert(key.to_owned(), value);
            }
        }
        map.extend(rest);
    }
}

struct Walk {
    path: Vec<String>,
    owner: String,
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
            format!("json: cannot unmarshal {found} into Go value of type {go}")
        } else {
            format!(
                "json: cannot unmarshal {found} into Go struct field {}.{} of type {go}",
                self.owner,
                self.path.join(".")
            )
        }
    }

    fn value(&mut self, shape: &Shape, value: &Value) -> Result<Option<Value>, String> {
        if value.is_null() {
            return Ok(None);
        }
        let (plain, structure) = resolve(shape);
        if let Some((name, fields)) = structure {
            return self.structure(name, fields, value).map(Some);
        }
        let good = match plain {
            Shape::Map(inner) => {
                let Value::Object(map) = value else { return Err(self.mismatch(value, &go_type(shape))) };
                let mut sorted: Vec<(&String, &Value)> = map.iter().collect();
                sorted.sort_by_key(|(key, _)| *key);
                let mut out = Map::new();
                for (key, value) in sorted {
                    let value = match self.value(inner, value)? {
                        Some(value) => value,
                        None => zero(inner),
                    };
                    out.insert(key.clone(), value);
                }
                return Ok(Some(Value::Object(out)));
            }
            Shape::List(inner) => {
                let Value::Array(items) = value else { return Err(self.mismatch(value, &go_type(shape))) };
                let mut out = Vec::with_capacity(items.len());
                for item in items {
                    out.push(self.value(inner, item)?.unwrap_or_else(|| zero(inner)));
                }
                return Ok(Some(Value::Array(out)));
            }
            Shape::String => value.is_string(),
            Shape::Bool => value.is_boolean(),
            Shape::Float => value.is_number(),
            Shape::Int(bits) => return self.integer(*bits, value).map(Some),
            Shape::Bytes => return self.bytes(value).map(Some),
            Shape::Time => return self.time(value),
            Shape::IntOrString => match value {
                Value::String(_) => true,
                Value::Number(_) => return self.integer(32, value).map(Some),
                _ => false,
            },
            Shape::Quantity => return self.quantity(value).map(Some),
            Shape::Any | Shape::Ref(_) => true,
        };
        if good { Ok(Some(value.clone())) } else { Err(self.mismatch(value, &go_type(shape))) }
    }

    fn structure(&mut self, name: &str, fields: &BTreeMap<String, Field>, value: &Value) -> Result<Value, String> {
        let Value::Object(map) = value else {
            return Err(self.mismatch(value, &go_name(name)));
        };
        let owner = std::mem::replace(&mut self.owner, name.rsplit('.').next().unwrap_or(name).to_owned());
        let mut out = Map::new();
        for (field, Field { shape, required }) in fields {
            let Some(value) = map.get(field) else { continue };
            self.path.push(field.clone());
            let pruned = self.value(shape, value)?;
            self.path.pop();
            if let Some(pruned) = pruned
                && (*required || !left_out(name, field, shape, &pruned))
            {
                out.insert(field.clone(), pruned);
            }
        }
        self.owner = owner;
        Ok(Value::Object(out))
    }

    fn integer(&self, bits: u8, value: &Value) -> Result<Value, String> {
        let go = if bits == 64 { "int64" } else { "int32" };
        let Value::Number(number) = value else { return Err(self.mismatch(value, go)) };
        // 80.0 is an integer to Kubernetes' decoder, 80.5 is not.
        let whole = number
            .as_i64()
            .or_else(|| number.as_f64().filter(|f| f.fract() == 0.0 && f.abs() < 9e15).map(|f| f as i64));
        match whole {
            Some(n) if bits == 64 || i32::try_from(n).is_ok() => Ok(n.into()),
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

    fn time(&self, value: &Value) -> Result<Option<Value>, String> {
        let Value::String(text) = value else { return Err(self.mismatch(value, "v1.Time")) };
        if text.is_empty() {
            return Err("parsing time \"\" as \"2006-01-02T15:04:05Z07:00\": cannot parse \"\" as \"2006\"".to_owned());
        }
        match crate::time::parse(text) {
            // Micro seconds are kept where they are written; plain times have none.
            Some(at) if text.contains('.') => Ok(Some(crate::time::format_micro(at).into())),
            Some(at) => Ok(Some(crate::time::format(at).into())),
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
        let digits = text.trim_start_matches(['+', '-']);
        let number = digits.trim_end_matches(|c: char| c.is_ascii_alphabetic() || matches!(c, '-' | '+'));
        let plain = !number.is_empty()
            && number.bytes().all(|c| c.is_ascii_digit() || matches!(c, b'.' | b'e' | b'E' | b'+' | b'-'))
            && number.starts_with(|c: char| c.is_ascii_digit() || c == '.');
        if !plain {
            return Err(
                "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'".to_owned()
            );
        }
        let suffix = &digits[number.len()..];
        const SUFFIXES: [&str; 16] =
            ["", "n", "u", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
        if !SUFFIXES.contains(&suffix) {
            return Err("unable to parse quantity's suffix".to_owned());
        }
        Ok(text.into())
    }
}

/// Whether Go's encoder would leave an optional value out.
fn left_out(owner: &str, field: &str, shape: &Shape, value: &Value) -> bool {
    match value {
        Value::String(text) => text.is_empty() && !POINTER_STRINGS.contains(&(owner, field)),
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty() && matches!(resolve(shape).0, Shape::Map(_)),
        Value::Bool(false) => PLAIN_SCALARS.contains(&field),
        Value::Number(n) => {
            n.as_i64() == Some(0) && PLAIN_SCALARS.contains(&field) && !POINTER_SCALARS.contains(&field)
        }
        _ => false,
    }
}

fn zero(shape: &Shape) -> Value {
    let (plain, structure) = resolve(shape);
    if structure.is_some() {
        return Value::Object(Map::new());
    }
    match plain {
        Shape::String | Shape::Bytes => "".into(),
        Shape::Bool => false.into(),
        Shape::Int(_) | Shape::Float | Shape::IntOrString => 0.into(),
        Shape::Quantity => "0".into(),
        Shape::List(_) => Value::Array(Vec::new()),
        Shape::Map(_) => Value::Object(Map::new()),
        _ => Value::Null,
    }
}

/// `io.k8s.api.core.v1.ServicePort` as Go names it: `v1.ServicePort`.
fn go_name(name: &str) -> String {
    let mut parts = name.rsplit('.');
    let last = parts.next().unwrap_or(name);
    match parts.next() {
        Some(package) => format!("{package}.{last}"),
        None => last.to_owned(),
    }
}

fn go_type(shape: &Shape) -> String {
    match shape {
        Shape::Ref(name) => go_name(name),
        Shape::Map(inner) => format!("map[string]{}", go_type(inner)),
        Shape::List(inner) => format!("[]{}", go_type(inner)),
        Shape::String => "string".to_owned(),
        Shape::Bytes => "[]uint8".to_owned(),
        Shape::Bool => "bool".to_owned(),
        Shape::Int(64) => "int64".to_owned(),
        Shape::Int(_) => "int32".to_owned(),
        Shape::Float => "float64".to_owned(),
        Shape::Time => "v1.Time".to_owned(),
        Shape::IntOrString => "intstr.IntOrString".to_owned(),
        Shape::Quantity => "resource.Quantity".to_owned(),
        Shape::Any => "interface {}".to_owned(),
    }
}

/// Paths of fields that the type does not know, such as `spec.foo` or `spec.ports[0].bar`, in the object's order.
pub fn unknown_fields(schema: &str, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    collect(&Shape::Ref(schema.to_owned()), value, &mut String::new(), &mut found);
    found
}

fn collect(shape: &Shape, value: &Value, path: &mut String, found: &mut Vec<String>) {
    let (plain, structure) = resolve(shape);
    let length = path.len();
    match (value, structure, plain) {
        (Value::Object(map), Some((_, fields)), _) => {
            for (key, value) in map {
                if length > 0 {
                    path.push('.');
                }
                path.push_str(key);
                match fields.get(key) {
                    Some(field) => collect(&field.shape, value, path, found),
                    None => found.push(path.clone()),
                }
                path.truncate(length);
            }
        }
        (Value::Object(map), None, Shape::Map(inner)) => {
            for (key, value) in map {
                path.push('.');
                path.push_str(key);
                collect(inner, value, path, found);
                path.truncate(length);
            }
        }
        (Value::Array(items), None, Shape::List(inner)) => {
            for (i, item) in items.iter().enumerate() {
                path.push_str(&format!("[{i}]"));
                collect(inner, item, path, found);
                path.truncate(length);
            }
        }
        _ => {}
    }
}
