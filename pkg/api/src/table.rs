//! Server-side Tables (`meta.k8s.io/v1 Table`): the columns and cells that kubectl prints, per kind (upstream
//! `printers.go`), and the frame around them. The client chooses which columns to show; all are sent.

mod admission;
mod aggregation;
mod batch;
mod certificates;
mod columns;
mod devices;
mod flow;
mod migration;
mod pods;
mod policies;
mod resources;
mod storage;
mod trust;
mod workloads;

pub use admission::*;
pub use aggregation::*;
pub use batch::*;
pub use certificates::*;
pub use columns::*;
pub use devices::*;
pub use flow::*;
use jiff::Timestamp;
pub use migration::*;
pub use pods::pod;
pub use policies::*;
pub use resources::*;
use serde_json::{Map, Value, json};
pub use storage::*;
pub use trust::*;
pub use workloads::*;

use crate::registry::{Column, Row};
use crate::time;

/// What a row of a Table carries beside its cells (`includeObject` of TableOptions).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum IncludeObject {
    /// Nothing.
    None,
    /// The object's metadata as `PartialObjectMetadata`.
    #[default]
    Metadata,
    /// The whole object.
    Object,
}

impl IncludeObject {
    /// Reads the query parameter; the empty text is the default.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "" | "Metadata" => Some(Self::Metadata),
            "None" => Some(Self::None),
            "Object" => Some(Self::Object),
            _ => None,
        }
    }
}

/// `columnDefinitions` of a row.
pub fn column_definitions(row: &Row) -> Value {
    definitions(row.columns)
}

fn definitions(columns: &[Column]) -> Value {
    columns
        .iter()
        .map(|c| {
            json!({"name": c.name, "type": c.kind, "format": c.format, "description": c.description, "priority": c.priority})
        })
        .collect()
}

/// One row of a Table.
pub fn table_row(row: &Row, object: &Value, include: IncludeObject, now: Timestamp) -> Value {
    let mut out = Map::new();
    out.insert("cells".into(), Value::Array(row.cells_of(object, now)));
    if row.kind == "Pod"
        && let Some((reason, message)) = pods::completed(object)
    {
        out.insert(
            "conditions".into(),
            json!([{"type": "Completed", "status": "True", "reason": reason, "message": message}]),
        );
    }
    out.insert("object".into(), carried(object, include));
    Value::Object(out)
}

/// What a row carries of its object.
fn carried(object: &Value, include: IncludeObject) -> Value {
    match include {
        IncludeObject::None => Value::Null,
        IncludeObject::Metadata => partial_object_metadata(object),
        IncludeObject::Object => object.clone(),
    }
}

/// An object's metadata alone, as `meta.k8s.io/v1 PartialObjectMetadata`.
pub fn partial_object_metadata(object: &Value) -> Value {
    json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"]})
}

/// A whole Table. `list_metadata` is the list's `metadata` (for one object: its resourceVersion alone); without
/// `headers`, as in all but the first event of a watch, columnDefinitions is null.
pub fn table<'a>(
    row: &Row,
    objects: impl IntoIterator<Item = &'a Value>,
    list_metadata: Value,
    include: IncludeObject,
    headers: bool,
    now: Timestamp,
) -> Value {
    let rows: Vec<Value> = objects.into_iter().map(|o| table_row(row, o, include, now)).collect();
    json!({
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": list_metadata,
        "columnDefinitions": if headers { column_definitions(row) } else { Value::Null },
        "rows": rows,
    })
}

/// A Table of one object: a GET, or one event of a watch.
pub fn single(row: &Row, object: &Value, include: IncludeObject, headers: bool, now: Timestamp) -> Value {
    let metadata = json!({"resourceVersion": object["metadata"]["resourceVersion"].as_str().unwrap_or("")});
    table(row, [object], metadata, include, headers, now)
}

/// The Table of one `autoscaling/v1 Scale`, the answer of a `/scale`, which is no kind of the registry.
pub fn scale_table(scale: &Value, include: IncludeObject, now: Timestamp) -> Value {
    json!({
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {"resourceVersion": text(scale, "/metadata/resourceVersion")},
        "columnDefinitions": definitions(workloads::SCALE),
        "rows": [{"cells": workloads::scale(scale, now), "object": carried(scale, include)}],
    })
}

/// The string at a pointer such as `/spec/type`; empty when it is not there.
fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or("")
}

fn or<'a>(text: &'a str, other: &'a str) -> &'a str {
    if text.is_empty() { other } else { text }
}

fn number(object: &Value, pointer: &str) -> i64 {
    object.pointer(pointer).and_then(Value::as_i64).unwrap_or(0)
}

fn items<'a>(object: &'a Value, pointer: &str) -> &'a [Value] {
    object.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn name(object: &Value) -> Value {
    text(object, "/metadata/name").into()
}

/// The age cell.
fn age(object: &Value, now: Timestamp) -> Value {
    time::age(time::of(&object["metadata"]["creationTimestamp"]), now).into()
}

#[cfg(test)]
mod tests;
