//! Defaults of flow control (upstream `pkg/apis/flowcontrol/v1/defaults.go`).

use serde_json::{Map, Value};

use super::object_mut;
use super::workload::set_if_absent;

/// FlowSchema: precedence 1000.
pub fn flow_schema(new: &mut Value, _old: Option<&Value>) {
    set_if_zero(object_mut(new, "spec"), "matchingPrecedence", 1000);
}

/// PriorityLevelConfiguration: shares and what may be lent; queues where there are any.
pub fn priority_level(new: &mut Value, _old: Option<&Value>) {
    let spec = object_mut(new, "spec");
    for (part, shares) in [("exempt", 0), ("limited", 30)] {
        if let Some(Value::Object(part)) = spec.get_mut(part) {
            set_if_absent(part, "nominalConcurrencyShares", shares.into());
            set_if_absent(part, "lendablePercent", 0.into());
        }
    }
    let queuing = spec.get_mut("limited").and_then(|limited| limited.get_mut("limitResponse")?.get_mut("queuing"));
    if let Some(Value::Object(queuing)) = queuing {
        for (field, value) in [("queues", 64), ("handSize", 8), ("queueLengthLimit", 50)] {
            set_if_zero(queuing, field, value);
        }
    }
}

/// For numbers that are no pointers in Go: 0 says nothing.
fn set_if_zero(object: &mut Map<String, Value>, field: &str, value: i64) {
    if object.get(field).and_then(Value::as_i64).unwrap_or(0) == 0 {
        object.insert(field.into(), value.into());
    }
}
