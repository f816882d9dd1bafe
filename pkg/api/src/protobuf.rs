//! Kubernetes' protobuf bodies to the JSON that the same client would have sent as JSON, and back for clients that take
//! nothing else.
//!
//! kubectl from 1.32 on and helm 4 send typed creates only this way and do not retry as JSON (lesson.md section 6).
//! Both directions are generic over [`crate::messages`].
//!
//! Go writes the zero value of every non-pointer field to the wire and leaves unset pointers out. So a zero is kept for
//! pointers (`replicas: 0`) and for fields that Go's JSON never omits, and dropped where `omitempty` would drop it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Number, Value};

use crate::messages::{Element, Field, Shape, message, schema_of};

mod encode;
mod special;
mod wire;

pub use encode::{CONTENT_TYPE_WATCH, encode, encode_event};
use wire::{Reader, Wire};

/// Media type of these bodies.
pub const CONTENT_TYPE: &str = "application/vnd.kubernetes.protobuf";

/// The four bytes that open every body (apimachinery `serializer/protobuf`, `protoEncodingPrefix`).
const MAGIC: &[u8] = b"k8s\0";

/// Messages nest at most this deep; JSON schemas in CustomResourceDefinitions are the deepest that occur.
const DEPTH: usize = 64;

/// Why a body could not be decoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProtobufError {
    /// The four opening bytes are missing.
    #[error("protobuf body does not start with the bytes k8s\\0")]
    NotKubernetes,
    /// The envelope names no kind.
    #[error("protobuf envelope names no apiVersion and kind")]
    NoKind,
    /// No message is known for the kind.
    #[error("no protobuf message known for {kind} in version {api_version:?}")]
    UnknownKind {
        /// As in the envelope.
        api_version: String,
        /// As in the envelope.
        kind: String,
    },
    /// The envelope's payload is neither protobuf nor JSON, or is compressed.
    #[error("protobuf envelope carries content type {content_type:?} with encoding {encoding:?}")]
    Content {
        /// As in the envelope.
        content_type: String,
        /// As in the envelope.
        encoding: String,
    },
    /// The bytes end within a field, or a length or number is malformed.
    #[error("protobuf message {message} is cut short or malformed")]
    Malformed {
        /// Schema name of the message.
        message: String,
    },
    /// A field's bytes are not of its type.
    #[error("protobuf field {field} of {message}: {problem}")]
    Field {
        /// Schema name of the message.
        message: String,
        /// The field's JSON name.
        field: String,
        /// What is wrong.
        problem: &'static str,
    },
    /// Nested deeper than any Kubernetes object.
    #[error("protobuf message {message} is nested too deeply")]
    Depth {
        /// Schema name of the message at the limit.
        message: String,
    },
}

/// Whether a body is Kubernetes protobuf, by its opening bytes.
pub fn is_protobuf(body: &[u8]) -> bool {
    body.starts_with(MAGIC)
}

/// Decodes a body (`k8s\0` and a `runtime.Unknown`) to the object as JSON, `apiVersion` and `kind` included.
///
/// # Errors
/// When the body is not such an envelope, is damaged, or its kind is not in the table.
pub fn decode(body: &[u8]) -> Result<Value, ProtobufError> {
    decode_nested(body, 0)
}

/// [`decode`] within another message (a `RawExtension`), `depth` levels down.
fn decode_nested(body: &[u8], depth: usize) -> Result<Value, ProtobufError> {
    let envelope = Envelope::read(body.strip_prefix(MAGIC).ok_or(ProtobufError::NotKubernetes)?)?;
    match (envelope.content_type, envelope.encoding) {
        ("" | CONTENT_TYPE, "") => {}
        ("application/json", "") => {
            return serde_json::from_slice(envelope.raw)
                .map_err(|_| ProtobufError::Malformed { message: envelope.kind.to_owned() });
        }
        (content_type, encoding) => {
            return Err(ProtobufError::Content { content_type: content_type.into(), encoding: encoding.into() });
        }
    }
    let (api_version, kind) = (envelope.api_version, envelope.kind);
    if api_version.is_empty() || kind.is_empty() {
        return Err(ProtobufError::NoKind);
    }
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let schema = schema_of(group, version, kind)
        .ok_or_else(|| ProtobufError::UnknownKind { api_version: api_version.into(), kind: kind.into() })?;
    let mut object = Map::new();
    object.insert("kind".into(), kind.into());
    object.insert("apiVersion".into(), api_version.into());
    object.extend(decode_message(schema, envelope.raw, depth)?);
    Ok(Value::Object(object))
}

/// `runtime.Unknown`: whose object the bytes are.
#[derive(Default)]
struct Envelope<'a> {
    api_version: &'a str,
    kind: &'a str,
    raw: &'a [u8],
    encoding: &'a str,
    content_type: &'a str,
}

impl<'a> Envelope<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, ProtobufError> {
        let malformed = || ProtobufError::Malformed { message: "runtime.Unknown".into() };
        let text = |bytes: &'a [u8]| std::str::from_utf8(bytes).map_err(|_| malformed());
        let mut envelope = Envelope::default();
        for field in Reader::new(bytes) {
            match field.ok_or_else(malformed)? {
                (1, Wire::Bytes(meta)) => {
                    for field in Reader::new(meta) {
                        match field.ok_or_else(malformed)? {
                            (1, Wire::Bytes(value)) => envelope.api_version = text(value)?,
                            (2, Wire::Bytes(value)) => envelope.kind = text(value)?,
                            _ => {}
                        }
                    }
                }
                (2, Wire::Bytes(raw)) => envelope.raw = raw,
                (3, Wire::Bytes(value)) => envelope.encoding = text(value)?,
                (4, Wire::Bytes(value)) => envelope.content_type = text(value)?,
                _ => {}
            }
        }
        Ok(envelope)
    }
}

/// A message of the table to its JSON object, fields in the order of the table.
fn decode_message(schema: &str, bytes: &[u8], depth: usize) -> Result<Map<String, Value>, ProtobufError> {
    if depth > DEPTH {
        return Err(ProtobufError::Depth { message: schema.into() });
    }
    // A field can name an empty message that the table leaves out; it has no fields.
    let fields = message(schema).map(|message| message.fields.as_slice()).unwrap_or_default();
    let mut slots: Vec<Option<Value>> = vec![None; fields.len()];
    for entry in Reader::new(bytes) {
        let (number, wire) = entry.ok_or_else(|| ProtobufError::Malformed { message: schema.into() })?;
        let Some(position) = fields.iter().position(|field| field.number == number) else { continue };
        let field = &fields[position];
        let named = |problem| ProtobufError::Field { message: schema.into(), field: field.json.into(), problem };
        let slot = &mut slots[position];
        match field.shape {
            Shape::Single => *slot = Some(element(field.element, wire, depth, &named)?),
            Shape::List => {
                let list = slot.get_or_insert_with(|| Value::Array(Vec::new()));
                if let Value::Array(list) = list {
                    list_items(field, wire, depth, &named, list)?;
                }
            }
            Shape::Map => {
                let map = slot.get_or_insert_with(|| Value::Object(Map::new()));
                if let Value::Object(map) = map {
                    let (key, value) = map_entry(field, wire, depth, &named)?;
                    map.insert(key, value);
                }
            }
        }
    }
    let mut object = Map::new();
    for (field, slot) in fields.iter().zip(slots) {
        match slot {
            Some(Value::Object(inner)) if field.inline => object.extend(inner),
            Some(value) if kept(field, &value) => {
                object.insert(field.json.to_owned(), value);
            }
            _ => {}
        }
    }
    Ok(object)
}

/// Whether Go's JSON would hold the value: see the module's head.
fn kept(field: &Field, value: &Value) -> bool {
    match value {
        Value::Null => false,
        _ if field.pointer || field.shape != Shape::Single || !field.omit_empty => true,
        Value::Bool(value) => *value,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(_) => true,
    }
}

type Named<'a> = &'a dyn Fn(&'static str) -> ProtobufError;

fn element(element: Element, wire: Wire<'_>, depth: usize, named: Named<'_>) -> Result<Value, ProtobufError> {
    Ok(match (element, wire) {
        (Element::String, Wire::Bytes(bytes)) => text(bytes, named)?.into(),
        (Element::Bool, Wire::Varint(number)) => (number != 0).into(),
        (Element::Integer, Wire::Varint(number)) => number.cast_signed().into(),
        (Element::Float, Wire::Fixed64(bits)) => float(f64::from_bits(bits), named)?,
        (Element::Float, Wire::Fixed32(bits)) => float(f64::from(f32::from_bits(bits)), named)?,
        (Element::Bytes, Wire::Bytes(bytes)) => STANDARD.encode(bytes).into(),
        (Element::Message(schema), Wire::Bytes(bytes)) => match special::decode(schema, bytes, depth, named) {
            Some(value) => value?,
            None => Value::Object(decode_message(schema, bytes, depth + 1)?),
        },
        _ => return Err(named("wire type does not fit")),
    })
}

fn list_items(
    field: &Field,
    wire: Wire<'_>,
    depth: usize,
    named: Named<'_>,
    list: &mut Vec<Value>,
) -> Result<(), ProtobufError> {
    let scalar = matches!(field.element, Element::Bool | Element::Integer);
    match wire {
        Wire::Bytes(packed) if scalar => {
            let mut rest = packed;
            while !rest.is_empty() {
                let (number, after) = wire::varint(rest).ok_or_else(|| named("packed list is cut short"))?;
                list.push(element(field.element, Wire::Varint(number), depth, named)?);
                rest = after;
            }
        }
        wire => list.push(element(field.element, wire, depth, named)?),
    }
    Ok(())
}

fn map_entry(field: &Field, wire: Wire<'_>, depth: usize, named: Named<'_>) -> Result<(String, Value), ProtobufError> {
    let Wire::Bytes(entry) = wire else { return Err(named("map entry is no message")) };
    let (mut key, mut value) = (String::new(), None);
    for part in Reader::new(entry) {
        match part.ok_or_else(|| named("map entry is cut short"))? {
            (1, Wire::Bytes(bytes)) => key = text(bytes, named)?.to_owned(),
            (2, wire) => value = Some(element(field.element, wire, depth, named)?),
            _ => {}
        }
    }
    let value = match value {
        Some(value) => value,
        None => match field.element {
            Element::Bool | Element::Integer | Element::Float => element(field.element, Wire::Varint(0), depth, named)?,
            other => element(other, Wire::Bytes(&[]), depth, named)?,
        },
    };
    Ok((key, value))
}

fn text<'a>(bytes: &'a [u8], named: Named<'_>) -> Result<&'a str, ProtobufError> {
    std::str::from_utf8(bytes).map_err(|_| named("text is not UTF-8"))
}

fn float(number: f64, named: Named<'_>) -> Result<Value, ProtobufError> {
    Number::from_f64(number).map(Value::Number).ok_or_else(|| named("number is not finite"))
}

#[cfg(test)]
mod tests;
