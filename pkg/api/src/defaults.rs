//! Defaults: what the API server fills in before validation (upstream `defaults.go` of each group and the
//! prepare-for-update steps of the registry). Allocation of addresses and node ports is the store's.

mod batch;
mod devices;
mod flow;
mod pod;
mod policies;
mod service;
mod workload;

pub use batch::{cron_job, job, pod_template, replication_controller, stateful_set};
pub use devices::{device_taint_rule, resource_claim, resource_claim_template, resource_slice};
pub use flow::{flow_schema, priority_level};
pub use pod::pod;
pub use policies::{
    csi_driver, csi_node, horizontal_pod_autoscaler, limit_range, persistent_volume, persistent_volume_claim,
    pod_disruption_budget, priority_class, storage_class,
};
use serde_json::{Map, Value, json};
pub use service::service;
pub use workload::{daemon_set, deployment, replica_set};

/// A field of an object, made an object when it is none.
pub(crate) fn object_mut<'a>(value: &'a mut Value, field: &str) -> &'a mut Map<String, Value> {
    if !value.is_object() {
        *value = json!({});
    }
    let slot = &mut value[field];
    if !slot.is_object() {
        *slot = json!({});
    }
    match slot {
        Value::Object(map) => map,
        _ => unreachable!("the field was just made an object"),
    }
}

/// Sets a field that is missing, null or the empty string.
pub(crate) fn fill(map: &mut Map<String, Value>, field: &str, value: impl Into<Value>) {
    let missing = match map.get(field) {
        None | Some(Value::Null) => true,
        Some(Value::String(text)) => text.is_empty(),
        Some(_) => false,
    };
    if missing {
        map.insert(field.to_owned(), value.into());
    }
}

/// Sets a number that is missing or 0.
pub(crate) fn fill_number(map: &mut Map<String, Value>, field: &str, value: i64) {
    if map.get(field).and_then(Value::as_i64).unwrap_or(0) == 0 {
        map.insert(field.to_owned(), value.into());
    }
}

/// The objects of a list field; none when it is missing.
pub(crate) fn each_mut<'a>(value: &'a mut Value, field: &str) -> impl Iterator<Item = &'a mut Map<String, Value>> {
    value.get_mut(field).and_then(Value::as_array_mut).into_iter().flatten().filter_map(Value::as_object_mut)
}

/// Endpoints: protocol TCP.
pub fn endpoints(new: &mut Value, _old: Option<&Value>) {
    for subset in new.get_mut("subsets").and_then(Value::as_array_mut).into_iter().flatten() {
        for port in each_mut(subset, "ports") {
            fill(port, "protocol", "TCP");
        }
    }
}

/// EndpointSlice: port name empty, protocol TCP.
pub fn endpoint_slice(new: &mut Value, _old: Option<&Value>) {
    for port in each_mut(new, "ports") {
        fill(port, "name", "");
        fill(port, "protocol", "TCP");
    }
}

/// Namespace: its own name as a label, the finalizer `kubernetes`, phase Active.
pub fn namespace(new: &mut Value, old: Option<&Value>) {
    let name = crate::meta::name(new).to_owned();
    if !name.is_empty() {
        let metadata = crate::meta::metadata_mut(new);
        let labels = metadata.entry("labels").or_insert_with(|| json!({}));
        labels["kubernetes.io/metadata.name"] = name.into();
    }
    match old {
        None => {
            let spec = object_mut(new, "spec");
            let finalizers = spec.entry("finalizers").or_insert_with(|| json!([]));
            if let Value::Array(list) = finalizers
                && !list.iter().any(|f| f == "kubernetes")
            {
                list.push("kubernetes".into());
            }
        }
        // The main update may not touch spec.finalizers; /finalize writes them through a whole update.
        Some(old) if crate::meta::is_deleting(old) == crate::meta::is_deleting(new) => {
            if !new["spec"].is_object() {
                new["spec"] = old["spec"].clone();
            }
        }
        Some(_) => {}
    }
    let phase = if crate::meta::is_deleting(new) { "Terminating" } else { "Active" };
    let status = object_mut(new, "status");
    if phase == "Terminating" {
        status.insert("phase".into(), phase.into());
    } else {
        fill(status, "phase", phase);
    }
}

/// Node: allocatable is the capacity where nothing else is said.
pub fn node(new: &mut Value, _old: Option<&Value>) {
    let capacity = new["status"]["capacity"].clone();
    let status = object_mut(new, "status");
    if capacity.is_object() && !status.get("allocatable").is_some_and(Value::is_object) {
        status.insert("allocatable".into(), capacity);
    }
    object_mut(new, "spec");
}

/// Secret: type Opaque, stringData moved into data.
pub fn secret(new: &mut Value, _old: Option<&Value>) {
    use base64::Engine as _;
    let given = match new.as_object_mut() {
        Some(map) => map.shift_remove("stringData"),
        None => return,
    };
    if let Some(Value::Object(given)) = given
        && !given.is_empty()
    {
        let data = object_mut(new, "data");
        for (key, value) in given {
            let text = value.as_str().unwrap_or("");
            data.insert(key, base64::engine::general_purpose::STANDARD.encode(text).into());
        }
        data.sort_keys();
    }
    if let Value::Object(map) = new {
        fill(map, "type", "Opaque");
    }
}

/// IngressClass: parameters are of the cluster.
pub fn ingress_class(new: &mut Value, _old: Option<&Value>) {
    if let Some(Value::Object(parameters)) = new["spec"].get_mut("parameters") {
        fill(parameters, "scope", "Cluster");
    }
}

/// NetworkPolicy: policyTypes by what it has, ports TCP.
pub fn network_policy(new: &mut Value, _old: Option<&Value>) {
    for direction in ["ingress", "egress"] {
        for rule in new["spec"].get_mut(direction).and_then(Value::as_array_mut).into_iter().flatten() {
            for port in each_mut(rule, "ports") {
                fill(port, "protocol", "TCP");
            }
        }
    }
    let egress = new["spec"]["egress"].as_array().is_some_and(|e| !e.is_empty());
    let spec = object_mut(new, "spec");
    if spec.get("policyTypes").and_then(Value::as_array).is_none_or(Vec::is_empty) {
        spec.insert("policyTypes".into(), if egress { json!(["Ingress", "Egress"]) } else { json!(["Ingress"]) });
    }
}

/// RoleBinding and ClusterRoleBinding: API groups of role and subjects (rbac/v1 `defaults.go`).
pub fn role_binding(new: &mut Value, _old: Option<&Value>) {
    const GROUP: &str = "rbac.authorization.k8s.io";
    if let Some(Value::Object(reference)) = new.get_mut("roleRef") {
        fill(reference, "apiGroup", GROUP);
    }
    for subject in each_mut(new, "subjects") {
        if matches!(subject.get("kind").and_then(Value::as_str), Some("User" | "Group")) {
            fill(subject, "apiGroup", GROUP);
        }
    }
}

#[cfg(test)]
mod tests;
