//! The empty status that typed servers write: clients read `status.x` of fresh objects.

use minisvc_api::registry::{Row, Subresource};
use serde_json::{Value, json};

/// Gives a new object of a kind with a status its empty one.
pub(super) fn initial_status(row: &Row, object: &mut Value) {
    if !row.subresources.contains(&Subresource::Status) || object.get("status").is_some() {
        return;
    }
    object["status"] = match row.resource().as_str() {
        "services" | "ingresses.networking.k8s.io" => json!({"loadBalancer": {}}),
        "replicasets.apps" | "replicationcontrollers" | "statefulsets.apps" => json!({"replicas": 0}),
        "daemonsets.apps" => json!({
            "currentNumberScheduled": 0, "desiredNumberScheduled": 0, "numberMisscheduled": 0, "numberReady": 0,
        }),
        _ => json!({}),
    };
}
