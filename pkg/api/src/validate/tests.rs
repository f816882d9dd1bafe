//! Each rule's exact words. Objects go through pruning and defaulting first, as in the server.

mod audit;
mod containers;
mod objects;
mod pod;
mod service;
mod trust;
mod volumes;
mod workload;

use serde_json::{Value, json};

use crate::registry::{Row, rows};

fn row(kind: &str) -> &'static Row {
    rows().iter().find(|r| r.kind == kind).expect("a known kind")
}

fn prepare(kind: &str, mut body: Value, old: Option<&Value>) -> Value {
    body["metadata"] = json!({"name": "x", "namespace": "n"});
    let mut object = (row(kind).prune)(&body).expect("types are right");
    (row(kind).default)(&mut object, old);
    object
}

fn errors(kind: &str, body: Value) -> Vec<String> {
    let object = prepare(kind, body, None);
    (row(kind).validate)(&object, None).iter().map(ToString::to_string).collect()
}

fn update_errors(kind: &str, old: Value, new: Value) -> Vec<String> {
    let old = prepare(kind, old, None);
    let new = prepare(kind, new, Some(&old));
    (row(kind).validate)(&new, Some(&old)).iter().map(ToString::to_string).collect()
}
