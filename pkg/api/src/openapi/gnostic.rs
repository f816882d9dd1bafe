//! OpenAPI version 2 as protobuf, as gnostic's `OpenAPIv2.proto` numbers it: only the fields that our document has.

use prost::encoding::encode_varint;
use serde_json::Value;

/// A message under construction.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn bytes(&mut self, number: u32, content: &[u8]) -> &mut Self {
        encode_varint(u64::from(number << 3 | 2), &mut self.0);
        encode_varint(content.len() as u64, &mut self.0);
        self.0.extend_from_slice(content);
        self
    }

    fn text(&mut self, number: u32, value: &Value) -> &mut Self {
        match value.as_str() {
            Some(text) => self.bytes(number, text.as_bytes()),
            None => self,
        }
    }

    fn texts(&mut self, number: u32, values: &Value) -> &mut Self {
        for value in values.as_array().into_iter().flatten() {
            self.text(number, value);
        }
        self
    }

    fn bool(&mut self, number: u32, value: &Value) -> &mut Self {
        if value == &Value::Bool(true) {
            encode_varint(u64::from(number << 3), &mut self.0);
            self.0.push(1);
        }
        self
    }

    fn message(&mut self, number: u32, inner: Message) -> &mut Self {
        self.bytes(number, &inner.0)
    }

    /// Adds every `x-…` member as `NamedAny{1 name, 2 Any{2 yaml}}`; JSON is YAML.
    fn extensions(&mut self, number: u32, value: &Value) -> &mut Self {
        for (key, value) in members(value).filter(|(key, _)| key.starts_with("x-")) {
            let inner = named(key, any(value));
            self.message(number, inner);
        }
        self
    }
}

fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

/// The shape of every `Named…` message.
fn named(name: &str, value: Message) -> Message {
    let mut message = Message::default();
    message.bytes(1, name.as_bytes()).message(2, value);
    message
}

fn wrap(number: u32, inner: Message) -> Message {
    let mut message = Message::default();
    message.message(number, inner);
    message
}

fn any(value: &Value) -> Message {
    let mut message = Message::default();
    message.bytes(2, value.to_string().as_bytes());
    message
}

/// The whole document.
pub(super) fn encode(document: &Value) -> Vec<u8> {
    let mut info = Message::default();
    info.text(1, &document["info"]["title"]).text(2, &document["info"]["version"]);
    let mut paths = Message::default();
    for (path, item) in members(&document["paths"]) {
        paths.message(2, named(path, path_item(item)));
    }
    let mut message = Message::default();
    message.text(1, &document["swagger"]).message(2, info).message(8, paths);
    message.message(9, named_schemas(&document["definitions"]));
    message.0
}

fn path_item(item: &Value) -> Message {
    let mut message = Message::default();
    for (method, number) in [("get", 2), ("put", 3), ("post", 4), ("delete", 5), ("patch", 8)] {
        if let Some(value) = item.get(method) {
            message.message(number, operation(value));
        }
    }
    message
}

fn operation(value: &Value) -> Message {
    let mut message = Message::default();
    message.text(5, &value["operationId"]).texts(6, &value["produces"]).texts(7, &value["consumes"]);
    for value in value["parameters"].as_array().into_iter().flatten() {
        message.message(8, wrap(1, parameter(value)));
    }
    let mut responses = Message::default();
    for (code, value) in members(&value["responses"]) {
        let mut response = Message::default();
        response.text(1, &value["description"]).message(2, wrap(1, schema(&value["schema"])));
        responses.message(1, named(code, wrap(1, response)));
    }
    message.message(9, responses).extensions(13, value);
    message
}

fn parameter(value: &Value) -> Message {
    let mut inner = Message::default();
    match value["in"].as_str() {
        Some("body") => {
            inner.text(1, &value["description"]).text(2, &value["name"]).text(3, &value["in"]);
            inner.bool(4, &value["required"]).message(5, schema(&value["schema"]));
            wrap(1, inner)
        }
        place => {
            inner.bool(1, &value["required"]).text(2, &value["in"]);
            inner.text(3, &value["description"]).text(4, &value["name"]);
            // Query parameters have `allow_empty_value` before their type, path parameters do not.
            let (kind, form) = if place == Some("query") { (6, 3) } else { (5, 4) };
            inner.text(kind, &value["type"]);
            wrap(2, wrap(form, inner))
        }
    }
}

fn named_schemas(value: &Value) -> Message {
    let mut message = Message::default();
    for (name, value) in members(value) {
        message.message(1, named(name, schema(value)));
    }
    message
}

fn schema(value: &Value) -> Message {
    let mut message = Message::default();
    message.text(1, &value["$ref"]).text(2, &value["format"]).text(4, &value["description"]);
    if let Some(default) = value.get("default") {
        message.message(5, any(default));
    }
    message.texts(19, &value["required"]);
    for value in value["enum"].as_array().into_iter().flatten() {
        message.message(20, any(value));
    }
    match value.get("additionalProperties") {
        Some(Value::Bool(true)) => {
            let mut inner = Message::default();
            inner.bool(2, &Value::Bool(true));
            message.message(21, inner);
        }
        Some(inner @ Value::Object(_)) => {
            message.message(21, wrap(1, schema(inner)));
        }
        _ => {}
    }
    if let Some(kind) = value.get("type") {
        let mut inner = Message::default();
        inner.text(1, kind).texts(1, kind);
        message.message(22, inner);
    }
    if let Some(items) = value.get("items") {
        message.message(23, wrap(1, schema(items)));
    }
    if value.get("properties").is_some() {
        message.message(25, named_schemas(&value["properties"]));
    }
    message.extensions(31, value);
    message
}
