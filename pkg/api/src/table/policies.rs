//! Columns and cells of quotas, autoscalers, disruption budgets, classes of priority and runtime, service ranges and
//! component statuses (upstream `printers.go`).

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::columns::{AGE, NAME, column, integer};
use super::{age, items, name, number, or, text};
use crate::registry::Column;

/// Columns of ResourceQuota.
pub const RESOURCE_QUOTA: &[Column] = &[
    NAME,
    column("Request", "What is used of requests and counts, of what is allowed."),
    column("Limit", "What is used of limits, of what is allowed."),
    AGE,
];

/// Cells of a ResourceQuota.
pub fn resource_quota(object: &Value, now: Timestamp) -> Vec<Value> {
    let (mut requests, mut limits) = (Vec::new(), Vec::new());
    let mut hard: Vec<(&String, &Value)> =
        object["status"]["hard"].as_object().into_iter().flat_map(Map::iter).collect();
    hard.sort_by_key(|(resource, _)| *resource);
    for (resource, hard) in hard {
        let used = object["status"]["used"][resource].as_str().unwrap_or("0");
        let entry = format!("{resource}: {used}/{}", hard.as_str().unwrap_or("0"));
        if resource.starts_with("limits.") { limits.push(entry) } else { requests.push(entry) }
    }
    vec![name(object), requests.join(", ").into(), limits.join(", ").into(), age(object, now)]
}

/// Columns of HorizontalPodAutoscaler.
pub const HORIZONTAL_POD_AUTOSCALER: &[Column] = &[
    NAME,
    column("Reference", "What is scaled."),
    column("Targets", "Each metric as it is, and as it should be."),
    column("MinPods", "Fewest pods."),
    column("MaxPods", "Most pods."),
    column("Replicas", "Pods there are."),
    AGE,
];

/// Cells of a HorizontalPodAutoscaler in its autoscaling/v2 form.
pub fn horizontal_pod_autoscaler(object: &Value, now: Timestamp) -> Vec<Value> {
    let target = &object["spec"]["scaleTargetRef"];
    vec![
        name(object),
        format!("{}/{}", text(target, "/kind"), text(target, "/name")).into(),
        targets(items(object, "/spec/metrics"), items(object, "/status/currentMetrics")).into(),
        object["spec"]["minReplicas"].as_i64().map_or_else(|| "<unset>".to_owned(), |n| n.to_string()).into(),
        number(object, "/spec/maxReplicas").into(),
        number(object, "/status/currentReplicas").into(),
        age(object, now),
    ]
}

/// The first two metrics, and how many more there are.
fn targets(specs: &[Value], statuses: &[Value]) -> String {
    if specs.is_empty() {
        return "<none>".to_owned();
    }
    let shown: Vec<String> = specs
        .iter()
        .enumerate()
        .map(|(i, spec)| metric(spec, statuses.get(i).unwrap_or(&Value::Null)))
        .take(2)
        .collect();
    let more = specs.len() - shown.len();
    if more == 0 { shown.join(", ") } else { format!("{} + {more} more...", shown.join(", ")) }
}

fn metric(spec: &Value, status: &Value) -> String {
    let (field, average) = match text(spec, "/type") {
        "External" => ("external", " (avg)"),
        "Object" => ("object", " (avg)"),
        "Pods" => ("pods", ""),
        "Resource" => ("resource", ""),
        "ContainerResource" => ("containerResource", ""),
        _ => return "<unknown type>".to_owned(),
    };
    let (target, current) = (&spec[field]["target"], &status[field]["current"]);
    let is_resource = matches!(field, "resource" | "containerResource");
    let label = if is_resource { format!("{}: ", text(&spec[field], "/name")) } else { String::new() };
    let current_of = |name: &str| or(text(current, name), "<unknown>").to_owned();
    if let Some(wanted) = target["averageValue"].as_str() {
        return format!("{label}{}/{wanted}{average}", current_of("/averageValue"));
    }
    if is_resource {
        let percent =
            |value: &Value, none: &str| value.as_i64().map_or_else(|| none.to_owned(), |percent| format!("{percent}%"));
        let now = percent(&current["averageUtilization"], "<unknown>");
        return format!("{label}{now}/{}", percent(&target["averageUtilization"], "<auto>"));
    }
    format!("{}/{}", current_of("/value"), or(text(target, "/value"), "0"))
}

/// Columns of PodDisruptionBudget.
pub const POD_DISRUPTION_BUDGET: &[Column] = &[
    NAME,
    column("Min Available", "Pods that must stay."),
    column("Max Unavailable", "Pods that may be gone."),
    integer("Allowed Disruptions", "Pods that may be evicted now."),
    AGE,
];

/// Cells of a PodDisruptionBudget.
pub fn pod_disruption_budget(object: &Value, now: Timestamp) -> Vec<Value> {
    let amount = |field: &str| match &object["spec"][field] {
        Value::Null => "N/A".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    vec![
        name(object),
        amount("minAvailable").into(),
        amount("maxUnavailable").into(),
        number(object, "/status/disruptionsAllowed").into(),
        age(object, now),
    ]
}

/// Columns of PriorityClass.
pub const PRIORITY_CLASS: &[Column] = &[
    NAME,
    integer("Value", "Pods of a higher value go first."),
    Column { kind: "boolean", ..column("Global-Default", "Whether pods without a class get this one.") },
    AGE,
    Column { priority: 1, ..column("PreemptionPolicy", "Whether such pods push others out.") },
];

/// Cells of a PriorityClass.
pub fn priority_class(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![
        name(object),
        number(object, "/value").into(),
        object["globalDefault"].as_bool().unwrap_or(false).into(),
        age(object, now),
        text(object, "/preemptionPolicy").into(),
    ]
}

/// Columns of RuntimeClass.
pub const RUNTIME_CLASS: &[Column] = &[NAME, column("Handler", "Name of the runtime on the node."), AGE];

/// Cells of a RuntimeClass.
pub fn runtime_class(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![name(object), text(object, "/handler").into(), age(object, now)]
}

/// Columns of ServiceCIDR.
pub const SERVICE_CIDR: &[Column] = &[NAME, column("CIDRs", "Ranges that ClusterIPs are taken from."), AGE];

/// Cells of a ServiceCIDR.
pub fn service_cidr(object: &Value, now: Timestamp) -> Vec<Value> {
    let ranges: Vec<&str> = items(object, "/spec/cidrs").iter().filter_map(Value::as_str).collect();
    vec![name(object), ranges.join(",").into(), age(object, now)]
}

/// Columns of IPAddress.
pub const IP_ADDRESS: &[Column] = &[NAME, column("ParentRef", "Object that has the address."), AGE];

/// Cells of an IPAddress.
pub fn ip_address(object: &Value, now: Timestamp) -> Vec<Value> {
    let parent = &object["spec"]["parentRef"];
    let mut words = "<none>".to_owned();
    if parent.is_object() {
        words = text(parent, "/resource").to_lowercase();
        for (mark, field) in [('.', "/group"), ('/', "/namespace"), ('/', "/name")] {
            let part = text(parent, field);
            if !part.is_empty() || field == "/name" {
                words.push(mark);
                words.push_str(part);
            }
        }
    }
    vec![name(object), words.into(), age(object, now)]
}

/// Columns of ComponentStatus.
pub const COMPONENT_STATUS: &[Column] = &[
    NAME,
    column("Status", "Whether the component is healthy."),
    column("Message", "What it says."),
    column("Error", "What is wrong with it."),
];

/// Cells of a ComponentStatus.
pub fn component_status(object: &Value, _now: Timestamp) -> Vec<Value> {
    let healthy = items(object, "/conditions").iter().find(|condition| condition["type"] == "Healthy");
    let status = match healthy.map(|condition| text(condition, "/status")) {
        None => "Unknown",
        Some("True") => "Healthy",
        Some(_) => "Unhealthy",
    };
    let of = |field: &str| healthy.map_or("", |condition| text(condition, field));
    vec![name(object), status.into(), of("/message").into(), of("/error").into()]
}
