//! Request bodies: size limit, media type, and JSON with its duplicate fields noted.
//! Must not know kinds: it hands back a JSON value whatever the body was written in.

use std::fmt;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::HeaderMap;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use minisvc_api::status::Status;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Kubernetes' limit on a request body: 3 MiB.
pub(crate) const LIMIT: usize = 3 * 1024 * 1024;

/// A body as a value, with what a strict decoder complains about.
pub(crate) struct Decoded {
    pub(crate) value: Value,
    /// Paths of fields given more than once, such as `spec.replicas`.
    pub(crate) duplicates: Vec<String>,
}

/// How much of a body that is too large is read and thrown away, so that a client that first writes and then reads
/// gets to see the answer; and for how long.
const DRAIN: (usize, Duration) = (64 << 20, Duration::from_secs(2));

/// Reads at most [`LIMIT`] bytes.
pub(crate) async fn read(mut body: Body) -> Result<Bytes, Status> {
    match Limited::new(&mut body, LIMIT).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(cause) if cause.is::<LengthLimitError>() => {
            let (mut room, time) = DRAIN;
            let drain = async {
                while let Some(Ok(frame)) = body.frame().await {
                    let Some(left) = room.checked_sub(frame.data_ref().map_or(0, Bytes::len)) else { break };
                    room = left;
                }
            };
            let _ = tokio::time::timeout(time, drain).await;
            Err(Status::request_entity_too_large(format!("limit is {LIMIT}")))
        }
        Err(cause) => Err(Status::bad_request(format!("cannot read the request body: {cause}"))),
    }
}

/// The media type of the body, in lower case, without parameters.
pub(crate) fn media_type(headers: &HeaderMap) -> String {
    let header = headers.get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    header.split(';').next().unwrap_or_default().trim().to_lowercase()
}

/// Decodes an object: JSON (also without a media type), YAML or protobuf.
pub(crate) fn decode(headers: &HeaderMap, bytes: &Bytes) -> Result<Decoded, Status> {
    let malformed = |cause: String| Status::bad_request(cause);
    let protobuf = |bytes: &Bytes| {
        minisvc_api::protobuf::decode(bytes)
            .map(|value| Decoded { value, duplicates: Vec::new() })
            .map_err(|cause| malformed(cause.to_string()))
    };
    match media_type(headers).as_str() {
        "" if bytes.starts_with(b"k8s\0") => protobuf(bytes),
        "" | "application/json" => json(bytes).map_err(|cause| malformed(cause.to_string())),
        "application/yaml" | "text/yaml" | "application/x-yaml" => yaml(bytes).map_err(malformed),
        "application/vnd.kubernetes.protobuf" => protobuf(bytes),
        _ => Err(Status::unsupported_media_type(&[
            "application/json",
            "application/yaml",
            "application/vnd.kubernetes.protobuf",
        ])),
    }
}

/// YAML to a value.
pub(crate) fn yaml(bytes: &[u8]) -> Result<Decoded, String> {
    let text = std::str::from_utf8(bytes).map_err(|cause| format!("yaml: {cause}"))?;
    let value: Value =
        serde_saphyr::from_str(text).map_err(|cause| format!("error converting YAML to JSON: yaml: {cause}"))?;
    Ok(Decoded { value, duplicates: Vec::new() })
}

/// JSON to a value; the last of duplicate fields wins, as in Go.
pub(crate) fn json(bytes: &[u8]) -> Result<Decoded, serde_json::Error> {
    let mut duplicates = Vec::new();
    let mut path = String::new();
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = Noting { path: &mut path, duplicates: &mut duplicates }.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(Decoded { value, duplicates })
}

/// Builds a [`Value`] and notes duplicate fields.
struct Noting<'a> {
    path: &'a mut String,
    duplicates: &'a mut Vec<String>,
}

impl<'de> DeserializeSeed<'de> for Noting<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Noting<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        let base = self.path.len();
        loop {
            self.path.push_str(&format!("[{}]", items.len()));
            let item = access.next_element_seed(Noting { path: self.path, duplicates: self.duplicates })?;
            self.path.truncate(base);
            match item {
                Some(item) => items.push(item),
                None => return Ok(Value::Array(items)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        let base = self.path.len();
        while let Some(key) = access.next_key::<String>()? {
            if base > 0 {
                self.path.push('.');
            }
            self.path.push_str(&key);
            if map.contains_key(&key) {
                self.duplicates.push(self.path.clone());
            }
            let value = access.next_value_seed(Noting { path: self.path, duplicates: self.duplicates })?;
            self.path.truncate(base);
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duplicates_are_noted_and_the_last_wins() {
        let decoded = json(br#"{"a":1,"spec":{"x":[{"p":1,"p":2}],"y":1},"a":3}"#).unwrap();
        assert_eq!(decoded.duplicates, ["spec.x[0].p", "a"]);
        assert_eq!(decoded.value, serde_json::json!({"a": 3, "spec": {"x": [{"p": 2}], "y": 1}}));
        assert!(json(b"{} x").is_err());
    }
}
