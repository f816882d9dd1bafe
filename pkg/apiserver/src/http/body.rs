//! Request bodies: size limit, media type, and JSON with its duplicate fields noted.
//! Must not know kinds: it hands back a JSON value whatever the body was written in.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::HeaderMap;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use minisvc_api::status::Status;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use serde_saphyr::Spanned;
use serde_saphyr::options::DuplicateKeyPolicy;

/// Kubernetes' limit on a request body: 3 MiB.
pub(crate) const LIMIT: usize = 3 * 1024 * 1024;

/// A body as a value, with what a strict decoder complains about.
pub(crate) struct Decoded {
    pub(crate) value: Value,
    /// Paths of fields given more than once, such as `spec.replicas`.
    pub(crate) duplicates: Vec<String>,
    /// The same of a YAML body, as its decoder words them: `line 9: key "foo" already set in map`.
    pub(crate) repeated: Vec<String>,
    /// The text that was decoded, where it is JSON.
    pub(crate) source: Option<Bytes>,
}

impl Decoded {
    /// A value that no decoder complains about.
    pub(crate) fn of(value: Value) -> Decoded {
        Decoded { value, duplicates: Vec::new(), repeated: Vec::new(), source: None }
    }
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
        minisvc_api::protobuf::decode(bytes).map(Decoded::of).map_err(|cause| malformed(cause.to_string()))
    };
    match media_type(headers).as_str() {
        "" if bytes.starts_with(b"k8s\0") => protobuf(bytes),
        "" | "application/json" => match json(bytes) {
            Ok(decoded) => Ok(Decoded { source: Some(bytes.clone()), ..decoded }),
            Err(cause) => Err(malformed(cause.to_string())),
        },
        "application/yaml" | "text/yaml" | "application/x-yaml" => yaml(bytes).map_err(malformed),
        "application/vnd.kubernetes.protobuf" => protobuf(bytes),
        _ => Err(Status::unsupported_media_type(&[
            "application/json",
            "application/yaml",
            "application/vnd.kubernetes.protobuf",
        ])),
    }
}

/// Most that aliases may add to a YAML body, in events of its parser: documents made of aliases are refused at once.
const ALIASED: usize = 20_000;

/// How deep YAML may nest, as serde_json bounds JSON: what is read here is walked by recursion ever after.
const DEPTH: usize = 128;

/// YAML to a value with its keys sorted, as upstream turns it into JSON; the last of repeated keys wins.
pub(crate) fn yaml(bytes: &[u8]) -> Result<Decoded, String> {
    let text = std::str::from_utf8(bytes).map_err(|cause| format!("yaml: {cause}"))?;
    let mut options = serde_saphyr::options! { duplicate_keys: DuplicateKeyPolicy::PassThrough };
    options.alias_limits.max_total_replayed_events = ALIASED;
    options.budget.get_or_insert_default().max_depth = DEPTH;
    let (mut duplicates, mut repeated) = (Vec::new(), Vec::new());
    let value = serde_saphyr::with_deserializer_from_str_with_options(text, options, |deserializer| {
        let mut path = String::new();
        let noting = Noting::<Spanned<String>> {
            path: &mut path,
            duplicates: &mut duplicates,
            repeated: &mut repeated,
            key: PhantomData,
        };
        noting.deserialize(deserializer)
    });
    let mut value = value.map_err(|cause| {
        let cause = cause.to_string();
        match cause.contains("alias") && cause.contains("limit") {
            true => "error converting YAML to JSON: yaml: document contains excessive aliasing".to_owned(),
            false => format!("error converting YAML to JSON: yaml: {cause}"),
        }
    })?;
    value.sort_all_objects();
    Ok(Decoded { value, duplicates: Vec::new(), repeated, source: None })
}

/// JSON to a value; the last of duplicate fields wins, as in Go.
pub(crate) fn json(bytes: &[u8]) -> Result<Decoded, serde_json::Error> {
    let mut duplicates = Vec::new();
    let mut path = String::new();
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let mut repeated = Vec::new();
    let noting =
        Noting::<String> { path: &mut path, duplicates: &mut duplicates, repeated: &mut repeated, key: PhantomData };
    let value = noting.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(Decoded { value, duplicates, repeated: Vec::new(), source: None })
}

/// A key of a map, which may know where it stands.
trait Key: serde::de::DeserializeOwned {
    fn split(self) -> (String, u64);
}

impl Key for String {
    fn split(self) -> (String, u64) {
        (self, 0)
    }
}

impl Key for Spanned<String> {
    fn split(self) -> (String, u64) {
        (self.value, self.referenced.line())
    }
}

/// Builds a [`Value`] and notes duplicate fields.
struct Noting<'a, K> {
    path: &'a mut String,
    duplicates: &'a mut Vec<String>,
    repeated: &'a mut Vec<String>,
    key: PhantomData<K>,
}

impl<K> Noting<'_, K> {
    fn below(&mut self) -> Noting<'_, K> {
        Noting { path: self.path, duplicates: self.duplicates, repeated: self.repeated, key: PhantomData }
    }
}

impl<'de, K: Key> DeserializeSeed<'de> for Noting<'_, K> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, K: Key> Visitor<'de> for Noting<'_, K> {
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

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut access: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        let base = self.path.len();
        loop {
            self.path.push_str(&format!("[{}]", items.len()));
            let item = access.next_element_seed(self.below())?;
            self.path.truncate(base);
            match item {
                Some(item) => items.push(item),
                None => return Ok(Value::Array(items)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut access: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        let base = self.path.len();
        while let Some(key) = access.next_key::<K>()? {
            let (key, line) = key.split();
            if base > 0 {
                self.path.push('.');
            }
            self.path.push_str(&key);
            if map.contains_key(&key) {
                self.duplicates.push(self.path.clone());
                self.repeated.push(format!("line {line}: key {} already set in map", minisvc_api::field::quote(&key)));
            }
            let value = access.next_value_seed(self.below())?;
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

    #[test]
    fn yaml_names_the_lines_of_repeated_keys() {
        let decoded = yaml(b"\na: 1\nspec:\n  foo: one\n  foo: two\n  n: ~\n  t: yes\n  \"q\": '1'\na: 2\n").unwrap();
        assert_eq!(
            decoded.repeated,
            ["line 5: key \"foo\" already set in map", "line 9: key \"a\" already set in map"]
        );
        assert_eq!(decoded.value["spec"]["foo"], "two");
        assert_eq!(
            (&decoded.value["a"], &decoded.value["spec"]["n"], &decoded.value["spec"]["q"]),
            (&2.into(), &Value::Null, &"1".into())
        );
        let base = yaml(b"a: &x {b: 1, c: [1, 2]}\nd: *x\n").unwrap().value;
        assert_eq!(base["d"], base["a"]);
    }

    #[test]
    fn yaml_nests_as_deep_as_json_and_no_deeper() {
        // Workers of the server have as much.
        let worker = std::thread::Builder::new().stack_size(8 << 20).spawn(nesting).unwrap();
        worker.join().unwrap();
    }

    fn nesting() {
        let blocks = |depth: usize| (0..depth).map(|n| " ".repeat(n) + "a:\n").collect::<String>();
        let flow = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(yaml(blocks(100).as_bytes()).is_ok() && yaml(flow(100).as_bytes()).is_ok());
        assert!(json(flow(100).as_bytes()).is_ok() && json(flow(200).as_bytes()).is_err());
        for text in [blocks(200), flow(200)] {
            let why = yaml(text.as_bytes()).err().expect("refused");
            assert!(why.starts_with("error converting YAML to JSON: yaml: ") && why.contains("depth"), "{why}");
        }
    }

    #[test]
    fn yaml_made_of_aliases_is_refused_at_once() {
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for depth in 1..12 {
            let before = vec![format!("*a{}", depth - 1); 10].join(", ");
            bomb.push_str(&format!("a{depth}: &a{depth} [{before}]\n"));
        }
        // Written out, this would be a million million words: only one that stops early gets here.
        let error = yaml(bomb.as_bytes()).err().expect("refused");
        assert_eq!(error, "error converting YAML to JSON: yaml: document contains excessive aliasing");
    }
}
