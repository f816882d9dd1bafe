//! Objects to Kubernetes' protobuf, by the same table as they are read. Fields that are absent stay absent: for whoever
//! reads them that is Go's zero value.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::{CONTENT_TYPE, DEPTH, MAGIC, ProtobufError, special, wire};
use crate::messages::{Element, Field, Shape, message, schema_of};

/// Media type of a watch's frames.
pub const CONTENT_TYPE_WATCH: &str = "application/vnd.kubernetes.protobuf;stream=watch";

/// An object or list with `apiVersion` and `kind` as a body: `k8s\0` and a `runtime.Unknown`.
///
/// # Errors
/// When the kind is not in the table, or a value is not of its field's type.
pub fn encode(object: &Value) -> Result<Vec<u8>, ProtobufError> {
    let text = |key: &str| object[key].as_str().unwrap_or_default();
    let (api_version, kind) = (text("apiVersion"), text("kind"));
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let schema = schema_of(group, version, kind)
        .ok_or_else(|| ProtobufError::UnknownKind { api_version: api_version.into(), kind: kind.into() })?;
    let mut type_meta = Vec::new();
    wire::put_bytes(1, api_version.as_bytes(), &mut type_meta);
    wire::put_bytes(2, kind.as_bytes(), &mut type_meta);
    let mut raw = Vec::new();
    if let Value::Object(fields) = object {
        encode_message(schema, fields, 0, &mut raw)?;
    }
    let mut body = MAGIC.to_vec();
    wire::put_bytes(1, &type_meta, &mut body);
    wire::put_bytes(2, &raw, &mut body);
    // The payload's encoding and type: neither compressed nor anything but protobuf.
    wire::put_bytes(3, b"", &mut body);
    wire::put_bytes(4, b"", &mut body);
    Ok(body)
}

/// One event of a watch as a frame: its length in four bytes, most significant first, and a bare `WatchEvent` around the
/// object's whole body (apimachinery `serializer/protobuf`, `lengthDelimitedFramer`).
///
/// # Errors
/// As [`encode`].
pub fn encode_event(kind: &str, object: &Value) -> Result<Vec<u8>, ProtobufError> {
    let mut extension = Vec::new();
    wire::put_bytes(1, &encode(object)?, &mut extension);
    let mut event = Vec::new();
    wire::put_bytes(1, kind.as_bytes(), &mut event);
    wire::put_bytes(2, &extension, &mut event);
    let length = u32::try_from(event.len()).map_err(|_| ProtobufError::Content {
        content_type: CONTENT_TYPE.into(),
        encoding: "a frame of more than 4 GiB".into(),
    })?;
    Ok([&length.to_be_bytes(), event.as_slice()].concat())
}

/// The fields of a message; what the table does not know (`apiVersion` and `kind` of items) is left out.
pub(super) fn encode_message(
    schema: &str,
    object: &Map<String, Value>,
    depth: usize,
    out: &mut Vec<u8>,
) -> Result<(), ProtobufError> {
    if depth > DEPTH {
        return Err(ProtobufError::Depth { message: schema.into() });
    }
    let Some(message) = message(schema) else { return Ok(()) };
    for field in &message.fields {
        let wrong = |problem| ProtobufError::Field { message: schema.into(), field: field.json.into(), problem };
        if let (true, Element::Message(inner)) = (field.inline, field.element) {
            let mut content = Vec::new();
            encode_message(inner, object, depth + 1, &mut content)?;
            if !content.is_empty() {
                wire::put_bytes(field.number, &content, out);
            }
            continue;
        }
        match (field.shape, object.get(field.json)) {
            (_, None | Some(Value::Null)) => {}
            (Shape::Single, Some(value)) => element(field, field.number, value, depth, out)?,
            (Shape::List, Some(Value::Array(items))) => {
                for item in items {
                    element(field, field.number, item, depth, out)?;
                }
            }
            (Shape::Map, Some(Value::Object(entries))) => {
                for (key, value) in entries {
                    let mut entry = Vec::new();
                    wire::put_bytes(1, key.as_bytes(), &mut entry);
                    element(field, 2, value, depth, &mut entry)?;
                    wire::put_bytes(field.number, &entry, out);
                }
            }
            (Shape::List, Some(_)) => return Err(wrong("is no list")),
            (Shape::Map, Some(_)) => return Err(wrong("is no map")),
        }
    }
    Ok(())
}

/// One value under a field's number.
fn element(field: &Field, number: u32, value: &Value, depth: usize, out: &mut Vec<u8>) -> Result<(), ProtobufError> {
    let wrong = |problem| ProtobufError::Field { message: String::new(), field: field.json.into(), problem };
    match (field.element, value) {
        (Element::String, Value::String(text)) => wire::put_bytes(number, text.as_bytes(), out),
        (Element::Bytes, Value::String(text)) => {
            let bytes = STANDARD.decode(text).map_err(|_| wrong("is no base64"))?;
            wire::put_bytes(number, &bytes, out);
        }
        (Element::Bool, Value::Bool(value)) => wire::put_varint(number, u64::from(*value), out),
        (Element::Integer, Value::Number(value)) => {
            let value = value.as_i64().ok_or_else(|| wrong("is no whole number of 64 bits"))?;
            wire::put_varint(number, value.cast_unsigned(), out);
        }
        (Element::Float, Value::Number(value)) => {
            wire::put_fixed64(number, value.as_f64().unwrap_or_default().to_bits(), out);
        }
        // A list may hold nulls, which are zero values.
        (Element::Message(_), Value::Null) => wire::put_bytes(number, b"", out),
        (Element::Message(schema), value) => {
            let mut content = Vec::new();
            match (special::encode(schema, value, depth, &wrong, &mut content), value) {
                (Some(done), _) => done?,
                (None, Value::Object(fields)) => encode_message(schema, fields, depth + 1, &mut content)?,
                (None, _) => return Err(wrong("is no object")),
            }
            wire::put_bytes(number, &content, out);
        }
        _ => return Err(wrong("is not of its type")),
    }
    Ok(())
}
