//! Columns and cells of resource.k8s.io (upstream `printers.go`).

use jiff::Timestamp;
use serde_json::Value;

use super::columns::{AGE, NAME, column};
use super::{age, items, name, text};
use crate::registry::Column;

/// Columns of DeviceClass.
pub const DEVICE_CLASS: &[Column] = &[NAME, AGE];

/// Cells of a DeviceClass.
pub fn device_class(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![name(object), age(object, now)]
}

/// Columns of ResourceClaimTemplate.
pub const RESOURCE_CLAIM_TEMPLATE: &[Column] = &[NAME, AGE];

/// Cells of a ResourceClaimTemplate.
pub fn resource_claim_template(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![name(object), age(object, now)]
}

/// Columns of ResourceClaim.
pub const RESOURCE_CLAIM: &[Column] =
    &[NAME, column("State", "A summary of the current state (allocated, pending, reserved, etc.)."), AGE];

/// Cells of a ResourceClaim.
pub fn resource_claim(object: &Value, now: Timestamp) -> Vec<Value> {
    let deleted = crate::meta::is_deleting(object);
    let mut states = Vec::new();
    if deleted {
        states.push("deleted");
    }
    if object["status"]["allocation"].is_object() {
        states.push("allocated");
        if !items(object, "/status/reservedFor").is_empty() {
            states.push("reserved");
        }
    } else if !deleted {
        states.push("pending");
    }
    vec![name(object), states.join(",").into(), age(object, now)]
}

/// Columns of ResourceSlice.
pub const RESOURCE_SLICE: &[Column] = &[
    NAME,
    column("Node", "Node that has the devices."),
    column("Driver", "Driver that the devices belong to."),
    column("Pool", "Pool that the devices are in."),
    AGE,
];

/// Cells of a ResourceSlice.
pub fn resource_slice(object: &Value, now: Timestamp) -> Vec<Value> {
    let cell = |pointer: &str| Value::from(text(object, pointer));
    vec![name(object), cell("/spec/nodeName"), cell("/spec/driver"), cell("/spec/pool/name"), age(object, now)]
}

/// Columns of DeviceTaintRule.
pub const DEVICE_TAINT_RULE: &[Column] = &[
    NAME,
    column("Key", "Key of the taint."),
    column("Value", "Value of the taint."),
    column("Effect", "What the taint does to claims that do not tolerate it."),
    column("TimeAdded", "How long ago the taint was added."),
    AGE,
];

/// Cells of a DeviceTaintRule.
pub fn device_taint_rule(object: &Value, now: Timestamp) -> Vec<Value> {
    let cell = |pointer: &str| Value::from(text(object, pointer));
    let added = crate::time::of(&object["spec"]["taint"]["timeAdded"]);
    let added = added.map_or_else(String::new, |added| crate::time::age(Some(added), now));
    vec![
        name(object),
        cell("/spec/taint/key"),
        cell("/spec/taint/value"),
        cell("/spec/taint/effect"),
        added.into(),
        age(object, now),
    ]
}
