//! Objects and lists as clients want them: plain, as Tables, as metadata only. Must not read the store.

use std::sync::Arc;

use bytes::{BufMut as _, Bytes, BytesMut};
use jiff::Timestamp;
use minisvc_api::registry::Row;
use minisvc_api::table::{self, IncludeObject};
use minisvc_store::Stored;
use serde_json::{Value, json};

use crate::http::negotiate::Shape;

/// The object as this row shows it; shared when it is stored so.
pub(crate) fn viewed(view: &Row, value: &Arc<Value>) -> Arc<Value> {
    if view.shows_as_stored(value) { value.clone() } else { Arc::new(view.shown(value)) }
}

/// The `metadata` of a list that stands for one object.
pub(crate) fn list_meta(object: &Value) -> Value {
    json!({"resourceVersion": object["metadata"]["resourceVersion"]})
}

/// A `Table` of these objects, in their stored form.
pub(crate) fn table<'a>(
    view: &'static Row,
    version: &str,
    objects: impl IntoIterator<Item = &'a Value>,
    include: IncludeObject,
    headers: bool,
    metadata: Value,
) -> Value {
    let table = table::table(
        if view.custom.is_some() { view } else { view.stored() },
        objects,
        metadata,
        include,
        headers,
        Timestamp::now(),
    );
    in_version(table, version)
}

/// A Table in the version that was asked for.
pub(crate) fn in_version(mut table: Value, version: &str) -> Value {
    if version != "v1" {
        table["apiVersion"] = format!("meta.k8s.io/{version}").into();
    }
    table
}

/// The object's metadata alone.
pub(crate) fn partial(object: &Value, version: &str) -> Value {
    json!({
        "kind": "PartialObjectMetadata", "apiVersion": format!("meta.k8s.io/{version}"),
        "metadata": object["metadata"],
    })
}

/// A list in any shape, as a value.
pub(crate) fn list(
    view: &'static Row,
    shape: Shape,
    items: &[Arc<Stored>],
    metadata: Value,
    include: IncludeObject,
) -> Value {
    match shape {
        Shape::Table(version) => table(view, version, items.iter().map(|item| &*item.value), include, true, metadata),
        Shape::Partial(version) => {
            let items: Vec<Value> = items.iter().map(|item| partial(&item.value, version)).collect();
            json!({
                "kind": "PartialObjectMetadataList", "apiVersion": format!("meta.k8s.io/{version}"),
                "metadata": metadata, "items": items,
            })
        }
        Shape::Plain => {
            let items: Vec<Value> = items.iter().map(|item| listed(view, &viewed(view, &item.value))).collect();
            json!({"kind": view.list_kind, "apiVersion": view.api_version(), "metadata": metadata, "items": items})
        }
    }
}

/// A plain JSON list, made of the bytes that each object was serialised to once.
pub(crate) fn list_bytes(row: &Row, items: &[Arc<Stored>], metadata: &Value) -> Bytes {
    let version = row.api_version();
    let start = format!("{{\"apiVersion\":\"{version}\",\"kind\":\"{}\",", row.kind);
    let size: usize = items.iter().map(|item| item.json().len() + 1).sum();
    let mut out = BytesMut::with_capacity(size + 256);
    out.put_slice(
        format!("{{\"kind\":\"{}\",\"apiVersion\":\"{version}\",\"metadata\":{metadata},\"items\":[", row.list_kind)
            .as_bytes(),
    );
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            out.put_u8(b',');
        }
        let json = item.json();
        match json.strip_prefix(start.as_bytes()) {
            Some(rest) => {
                out.put_u8(b'{');
                out.put_slice(rest);
            }
            None => out.put_slice(without_type(&item.value).to_string().as_bytes()),
        }
    }
    out.put_slice(b"]}\n");
    out.freeze()
}

/// An item inside a list: custom kinds keep their `apiVersion` and `kind` there.
fn listed(view: &Row, value: &Value) -> Value {
    if view.custom.is_some() { value.clone() } else { without_type(value) }
}

/// Items inside a list carry no `apiVersion` and `kind`.
fn without_type(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let fields = map.iter().filter(|(key, _)| !matches!(key.as_str(), "apiVersion" | "kind"));
            Value::Object(fields.map(|(key, value)| (key.clone(), value.clone())).collect())
        }
        other => other.clone(),
    }
}
