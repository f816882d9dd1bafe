//! Whether an API service can be asked at all (kube-aggregator `remote_available_controller.go`): its Service, the port, the
//! endpoints behind. What the service itself answers is looked at by who can call it.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::Remote;

/// The condition `Available`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// `True`, `False`, `Unknown`.
    pub status: &'static str,
    /// `Passed`, `ServiceNotFound`, ...
    pub reason: &'static str,
    /// In upstream's words.
    pub message: String,
}

impl Verdict {
    /// It answers.
    pub fn passed() -> Verdict {
        Verdict { status: "True", reason: "Passed", message: "all checks passed".into() }
    }

    /// It does not answer as it must.
    pub fn failed_discovery(message: String) -> Verdict {
        Verdict { status: "False", reason: "FailedDiscoveryCheck", message }
    }
}

/// Why a service cannot be asked; `None` when it is worth a try. `slices` are those of the Service.
pub fn judge(remote: &Remote, service: Option<&Value>, slices: &[&Value]) -> Option<Verdict> {
    let (namespace, name, port) = &remote.service;
    let bad = |reason, message| Some(Verdict { status: "False", reason, message });
    let Some(service) = service else {
        return bad("ServiceNotFound", format!("service/{name} in {namespace:?} is not present"));
    };
    if service["spec"]["type"] != "ClusterIP" {
        return None;
    }
    let mut ports = service["spec"]["ports"].as_array().into_iter().flatten();
    let Some(found) = ports.find(|one| one["port"].as_u64() == Some(u64::from(*port))) else {
        return bad("ServicePortError", format!("service/{name} in {namespace:?} is not listening on port {port}"));
    };
    if slices.is_empty() {
        return bad("EndpointsNotFound", format!("cannot find endpointslices for service/{name} in {namespace:?}"));
    }
    let port_name = found["name"].as_str().unwrap_or_default();
    let serves = |slice: &&Value| {
        let items = |field: &str| slice[field].as_array().into_iter().flatten();
        items("endpoints").any(|one| one["conditions"]["ready"] != false)
            && items("ports").any(|one| one["name"].as_str() == Some(port_name) && one["port"].is_u64())
    };
    if !slices.iter().any(serves) {
        let text = format!(
            "endpointslices for service/{name} in {namespace:?} have no addresses with port name {port_name:?}"
        );
        return bad("MissingEndpoints", text);
    }
    None
}

/// The object with this condition; `None` where it says so already.
pub fn with_condition(object: &Value, verdict: &Verdict, now: Timestamp) -> Option<Value> {
    let mut conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let at = conditions.iter().position(|one| one["type"] == "Available");
    let mut time = json!(crate::time::format(now));
    if let Some(old) = at.map(|at| &conditions[at])
        && old["status"] == verdict.status
    {
        if old["reason"] == verdict.reason && old["message"] == *verdict.message {
            return None;
        }
        time = old["lastTransitionTime"].clone();
    }
    let new = json!({
        "type": "Available", "status": verdict.status, "lastTransitionTime": time, "reason": verdict.reason,
        "message": verdict.message,
    });
    match at {
        Some(at) => conditions[at] = new,
        None => conditions.push(new),
    }
    let mut value = object.clone();
    value["status"]["conditions"] = conditions.into();
    Some(value)
}
