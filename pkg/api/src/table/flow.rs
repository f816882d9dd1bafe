//! Columns and cells of flow control (upstream `printers.go`).

use jiff::Timestamp;
use serde_json::{Value, json};

use super::columns::{AGE, NAME, column};
use super::{age, name};
use crate::registry::Column;

/// Columns of FlowSchema.
pub const FLOW_SCHEMA: &[Column] = &[
    NAME,
    column("PriorityLevel", "The priority level of requests that fall under it."),
    column("MatchingPrecedence", "Lower ones are tried first."),
    column("DistinguisherMethod", "What tells flows apart."),
    AGE,
    column("MissingPL", "Whether it names a priority level that is not there."),
];

/// Columns of PriorityLevelConfiguration.
pub const PRIORITY_LEVEL: &[Column] = &[
    NAME,
    column("Type", "Whether it is limited at all."),
    column("NominalConcurrencyShares", "Its part of the requests at work, in shares."),
    column("Queues", "How many queues it has."),
    column("HandSize", "How many queues a flow may use."),
    column("QueueLengthLimit", "How many requests wait in a queue at most."),
    AGE,
];

/// Cells of FlowSchema.
pub fn flow_schema(object: &Value, now: Timestamp) -> Vec<Value> {
    let spec = &object["spec"];
    let mut conditions = object["status"]["conditions"].as_array().into_iter().flatten();
    let missing = conditions.find(|one| one["type"] == "Dangling").map_or(json!("?"), |one| one["status"].clone());
    vec![
        name(object),
        spec["priorityLevelConfiguration"]["name"].as_str().unwrap_or_default().into(),
        spec["matchingPrecedence"].as_i64().unwrap_or(0).into(),
        spec["distinguisherMethod"]["type"].as_str().unwrap_or("<none>").into(),
        age(object, now),
        missing,
    ]
}

/// Cells of PriorityLevelConfiguration.
pub fn priority_level(object: &Value, now: Timestamp) -> Vec<Value> {
    let limited = &object["spec"]["limited"];
    let queuing = &limited["limitResponse"]["queuing"];
    let or_none = |value: &Value| if value.is_null() { json!("<none>") } else { value.clone() };
    vec![
        name(object),
        object["spec"]["type"].as_str().unwrap_or_default().into(),
        or_none(&limited["nominalConcurrencyShares"]),
        or_none(&queuing["queues"]),
        or_none(&queuing["handSize"]),
        or_none(&queuing["queueLengthLimit"]),
        age(object, now),
    ]
}
