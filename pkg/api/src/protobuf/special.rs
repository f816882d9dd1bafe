//! Messages whose JSON is not an object of their fields: quantities, times, ports by number or name, raw JSON, lists in
//! disguise. Their rules are the `MarshalJSON` methods of the Go types.

use jiff::Timestamp;
use serde_json::Value;

use super::encode::encode_message;
use super::{Named, ProtobufError, Reader, Wire, decode_message, decode_nested, is_protobuf, text, wire};

const SCHEMA: &str = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps";

/// The JSON of a special message; `None` when `schema` is an ordinary one. A zero time is null.
pub(super) fn decode(
    schema: &str,
    bytes: &[u8],
    depth: usize,
    named: Named<'_>,
) -> Option<Result<Value, ProtobufError>> {
    let name = schema.rsplit('.').next().unwrap_or(schema);
    Some(match (name, schema.contains(".apimachinery.")) {
        ("Quantity", true) => quantity(bytes, named),
        ("IntOrString", true) => int_or_string(bytes, named),
        ("Time", true) => time(bytes, false, named),
        ("MicroTime", true) => time(bytes, true, named),
        ("FieldsV1" | "RawExtension", true) | ("JSON", false) => raw(bytes, depth, named),
        ("Verbs", true) | ("ExtraValue" | "AttestationValue", false) => strings(bytes, 1, named),
        ("JSONSchemaPropsOrArray", false) => schema_or(bytes, depth, named, Alternative::Schemas),
        ("JSONSchemaPropsOrStringArray", false) => schema_or(bytes, depth, named, Alternative::Strings),
        ("JSONSchemaPropsOrBool", false) => schema_or(bytes, depth, named, Alternative::Bool),
        _ => return None,
    })
}

fn fields<'a>(bytes: &'a [u8], named: Named<'_>) -> Result<Vec<(u32, Wire<'a>)>, ProtobufError> {
    Reader::new(bytes).collect::<Option<_>>().ok_or_else(|| named("message is cut short"))
}

/// `Quantity{1: string}`; the zero quantity reads "0".
fn quantity(bytes: &[u8], named: Named<'_>) -> Result<Value, ProtobufError> {
    let mut value = "0";
    for field in fields(bytes, named)? {
        if let (1, Wire::Bytes(bytes)) = field {
            value = text(bytes, named)?;
        }
    }
    Ok(if value.is_empty() { "0" } else { value }.into())
}

/// `IntOrString{1: type (0 number, 1 text), 2: number, 3: text}`.
fn int_or_string(bytes: &[u8], named: Named<'_>) -> Result<Value, ProtobufError> {
    let (mut is_text, mut number, mut string) = (false, 0, "");
    for field in fields(bytes, named)? {
        match field {
            (1, Wire::Varint(kind)) => is_text = kind == 1,
            (2, Wire::Varint(value)) => number = value.cast_signed(),
            (3, Wire::Bytes(bytes)) => string = text(bytes, named)?,
            _ => {}
        }
    }
    Ok(if is_text { string.into() } else { number.into() })
}

/// `Time` and `MicroTime{1: seconds, 2: nanoseconds}`; no bytes at all mean the zero time. JSON has whole seconds or
/// six decimals.
fn time(bytes: &[u8], micro: bool, named: Named<'_>) -> Result<Value, ProtobufError> {
    if bytes.is_empty() {
        return Ok(Value::Null);
    }
    let (mut seconds, mut nanos) = (0, 0);
    for field in fields(bytes, named)? {
        match field {
            (1, Wire::Varint(value)) => seconds = value.cast_signed(),
            (2, Wire::Varint(value)) => nanos = value,
            _ => {}
        }
    }
    let nanos = i32::try_from(nanos).ok().filter(|nanos| *nanos < 1_000_000_000);
    let time = nanos.and_then(|nanos| Timestamp::new(seconds, nanos).ok()).ok_or_else(|| named("time out of range"))?;
    let form = if micro { "%Y-%m-%dT%H:%M:%S.%6fZ" } else { "%Y-%m-%dT%H:%M:%SZ" };
    Ok(time.strftime(form).to_string().into())
}

/// `{1: bytes}` that are JSON, or for a `RawExtension` perhaps another protobuf object.
fn raw(bytes: &[u8], depth: usize, named: Named<'_>) -> Result<Value, ProtobufError> {
    let mut content: &[u8] = b"";
    for field in fields(bytes, named)? {
        if let (1, Wire::Bytes(bytes)) = field {
            content = bytes;
        }
    }
    if content.is_empty() {
        return Ok(Value::Null);
    }
    if is_protobuf(content) {
        return decode_nested(content, depth + 1);
    }
    serde_json::from_slice(content).map_err(|_| named("raw value is not JSON"))
}

/// A message around one repeated text field, a plain list in JSON.
fn strings(bytes: &[u8], number: u32, named: Named<'_>) -> Result<Value, ProtobufError> {
    let mut list = Vec::new();
    for field in fields(bytes, named)? {
        if let (found, Wire::Bytes(bytes)) = field
            && found == number
        {
            list.push(Value::from(text(bytes, named)?));
        }
    }
    Ok(list.into())
}

/// What stands beside a schema in the three `JSONSchemaPropsOr…` messages.
#[derive(Clone, Copy, PartialEq)]
enum Alternative {
    /// `{1: schema, 2: schemas}`.
    Schemas,
    /// `{1: schema, 2: strings}`.
    Strings,
    /// `{1: bool, 2: schema}`.
    Bool,
}

fn schema_or(bytes: &[u8], depth: usize, named: Named<'_>, other: Alternative) -> Result<Value, ProtobufError> {
    let (mut schema, mut list, mut allows) = (None, Vec::new(), false);
    for field in fields(bytes, named)? {
        match (other, field) {
            (Alternative::Bool, (1, Wire::Varint(value))) => allows = value != 0,
            (Alternative::Bool, (2, Wire::Bytes(bytes))) | (_, (1, Wire::Bytes(bytes))) => {
                schema = Some(Value::Object(decode_message(SCHEMA, bytes, depth + 1)?));
            }
            (Alternative::Schemas, (2, Wire::Bytes(bytes))) => {
                list.push(Value::Object(decode_message(SCHEMA, bytes, depth + 1)?));
            }
            (Alternative::Strings, (2, Wire::Bytes(bytes))) => list.push(text(bytes, named)?.into()),
            _ => {}
        }
    }
    Ok(match (schema, other) {
        _ if !list.is_empty() => list.into(),
        (Some(schema), _) => schema,
        (None, Alternative::Bool) => allows.into(),
        (None, _) => Value::Null,
    })
}

/// Writes the content of a special message; `None` when `schema` is an ordinary one.
pub(super) fn encode(
    schema: &str,
    value: &Value,
    depth: usize,
    named: Named<'_>,
    out: &mut Vec<u8>,
) -> Option<Result<(), ProtobufError>> {
    let name = schema.rsplit('.').next().unwrap_or(schema);
    Some(match (name, schema.contains(".apimachinery.")) {
        ("Quantity", true) => put_quantity(value, named, out),
        ("IntOrString", true) => put_int_or_string(value, named, out),
        ("Time" | "MicroTime", true) => put_time(value, named, out),
        ("FieldsV1" | "RawExtension", true) | ("JSON", false) => {
            wire::put_bytes(1, value.to_string().as_bytes(), out);
            Ok(())
        }
        ("Verbs", true) | ("ExtraValue" | "AttestationValue", false) => put_strings(1, value, named, out),
        ("JSONSchemaPropsOrArray", false) => match value {
            Value::Array(items) => items.iter().try_for_each(|item| put_schema(2, item, depth, named, out)),
            one => put_schema(1, one, depth, named, out),
        },
        ("JSONSchemaPropsOrStringArray", false) => match value {
            Value::Array(_) => put_strings(2, value, named, out),
            one => put_schema(1, one, depth, named, out),
        },
        ("JSONSchemaPropsOrBool", false) => match value {
            Value::Bool(allows) => {
                wire::put_varint(1, u64::from(*allows), out);
                Ok(())
            }
            one => {
                wire::put_varint(1, 1, out);
                put_schema(2, one, depth, named, out)
            }
        },
        _ => return None,
    })
}

fn put_quantity(value: &Value, named: Named<'_>, out: &mut Vec<u8>) -> Result<(), ProtobufError> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => return Err(named("is no quantity")),
    };
    wire::put_bytes(1, text.as_bytes(), out);
    Ok(())
}

fn put_int_or_string(value: &Value, named: Named<'_>, out: &mut Vec<u8>) -> Result<(), ProtobufError> {
    match (value.as_i64(), value.as_str()) {
        (Some(number), _) => {
            wire::put_varint(1, 0, out);
            wire::put_varint(2, number.cast_unsigned(), out);
        }
        (None, Some(text)) => {
            wire::put_varint(1, 1, out);
            wire::put_bytes(3, text.as_bytes(), out);
        }
        (None, None) => return Err(named("is neither number nor text")),
    }
    Ok(())
}

/// No bytes at all are the zero time.
fn put_time(value: &Value, named: Named<'_>, out: &mut Vec<u8>) -> Result<(), ProtobufError> {
    let time: Timestamp =
        value.as_str().and_then(|text| text.parse().ok()).ok_or_else(|| named("is no time of RFC 3339"))?;
    wire::put_varint(1, time.as_second().cast_unsigned(), out);
    let nanos = i64::from(time.subsec_nanosecond());
    if nanos != 0 {
        wire::put_varint(2, nanos.cast_unsigned(), out);
    }
    Ok(())
}

fn put_strings(number: u32, value: &Value, named: Named<'_>, out: &mut Vec<u8>) -> Result<(), ProtobufError> {
    for text in value.as_array().ok_or_else(|| named("is no list"))? {
        wire::put_bytes(number, text.as_str().ok_or_else(|| named("is no list of texts"))?.as_bytes(), out);
    }
    Ok(())
}

fn put_schema(
    number: u32,
    value: &Value,
    depth: usize,
    named: Named<'_>,
    out: &mut Vec<u8>,
) -> Result<(), ProtobufError> {
    let mut content = Vec::new();
    let fields = value.as_object().ok_or_else(|| named("is no schema"))?;
    encode_message(SCHEMA, fields, depth + 1, &mut content)?;
    wire::put_bytes(number, &content, out);
    Ok(())
}
