//! Cells of Deployments, ReplicaSets and DaemonSets, and the columns and cells of a Scale.

use jiff::Timestamp;
use serde_json::Value;

use super::columns::{AGE, NAME, integer};
use super::{age, items, name, number, text};
use crate::registry::Column;
use crate::selector::LabelSelector;

fn containers(object: &Value, field: &str) -> Value {
    containers_at(object, "/spec/template/spec/containers", field)
}

/// Names or images of the containers at a pointer.
pub(super) fn containers_at(object: &Value, pointer: &str, field: &str) -> Value {
    let names: Vec<&str> = items(object, pointer).iter().map(|c| c[field].as_str().unwrap_or("")).collect();
    names.join(",").into()
}

/// A LabelSelector in the text form; `<none>` when it selects everything.
pub(super) fn selector(object: &Value, pointer: &str) -> String {
    match object.pointer(pointer).map(LabelSelector::from_object) {
        Some(Ok(selector)) if selector.requirements.is_empty() => "<none>".to_owned(),
        Some(Ok(selector)) => selector.to_string(),
        Some(Err(_)) => "<invalid>".to_owned(),
        None => "<none>".to_owned(),
    }
}

/// `a=b,c=d` of a plain map, `<none>` when it is empty.
pub(super) fn pairs(map: &Value) -> String {
    let mut pairs: Vec<String> = map
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or("")))
        .collect();
    pairs.sort_unstable();
    if pairs.is_empty() { "<none>".to_owned() } else { pairs.join(",") }
}

/// Cells of a Deployment.
pub fn deployment(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![
        name(object),
        format!("{}/{}", number(object, "/status/readyReplicas"), number(object, "/spec/replicas")).into(),
        number(object, "/status/updatedReplicas").into(),
        number(object, "/status/availableReplicas").into(),
        age(object, now),
        containers(object, "name"),
        containers(object, "image"),
        selector(object, "/spec/selector").into(),
    ]
}

/// Cells of a ReplicaSet.
pub fn replica_set(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![
        name(object),
        number(object, "/spec/replicas").into(),
        number(object, "/status/replicas").into(),
        number(object, "/status/readyReplicas").into(),
        age(object, now),
        containers(object, "name"),
        containers(object, "image"),
        selector(object, "/spec/selector").into(),
    ]
}

/// Cells of a DaemonSet.
pub fn daemon_set(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![
        name(object),
        number(object, "/status/desiredNumberScheduled").into(),
        number(object, "/status/currentNumberScheduled").into(),
        number(object, "/status/numberReady").into(),
        number(object, "/status/updatedNumberScheduled").into(),
        number(object, "/status/numberAvailable").into(),
        pairs(&object["spec"]["template"]["spec"]["nodeSelector"]).into(),
        age(object, now),
        containers(object, "name"),
        containers(object, "image"),
        selector(object, "/spec/selector").into(),
    ]
}

/// Cells of a RoleBinding or ClusterRoleBinding.
pub fn role_binding(object: &Value, now: Timestamp) -> Vec<Value> {
    let subjects = |kind: &str| -> Value {
        let of_kind: Vec<String> = items(object, "/subjects")
            .iter()
            .filter(|s| s["kind"] == kind)
            .map(|s| {
                let (namespace, own) = (text(s, "/namespace"), text(s, "/name"));
                if namespace.is_empty() { own.to_owned() } else { format!("{namespace}/{own}") }
            })
            .collect();
        of_kind.join(", ").into()
    };
    vec![
        name(object),
        format!("{}/{}", text(object, "/roleRef/kind"), text(object, "/roleRef/name")).into(),
        age(object, now),
        subjects("User"),
        subjects("Group"),
        subjects("ServiceAccount"),
    ]
}

/// Columns of an `autoscaling/v1 Scale`.
pub const SCALE: &[Column] = &[
    NAME,
    integer("Desired", "How many replicas are wanted."),
    integer("Available", "How many replicas there are."),
    AGE,
];

/// Cells of a Scale.
pub fn scale(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![
        name(object),
        number(object, "/spec/replicas").into(),
        number(object, "/status/replicas").into(),
        age(object, now),
    ]
}
