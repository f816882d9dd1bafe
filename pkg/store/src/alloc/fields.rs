//! Reading and writing the fields of a Service that allocation is about. Pure.

use serde_json::{Map, Value, json};

/// `spec.type`; ClusterIP when absent.
pub(crate) fn kind(service: &Value) -> &str {
    spec_text(service, "type").filter(|found| !found.is_empty()).unwrap_or("ClusterIP")
}

/// All types but ExternalName have a cluster IP.
pub(crate) fn needs_cluster_ip(service: &Value) -> bool {
    kind(service) != "ExternalName"
}

/// NodePort and LoadBalancer services may have node ports.
pub(crate) fn needs_node_ports(service: &Value) -> bool {
    matches!(kind(service), "NodePort" | "LoadBalancer")
}

/// Whether absent node ports are to be filled in (`spec.allocateLoadBalancerNodePorts`).
pub(crate) fn allocates_node_ports(service: &Value) -> bool {
    let wanted = || service["spec"]["allocateLoadBalancerNodePorts"].as_bool() != Some(false);
    needs_node_ports(service) && (kind(service) == "NodePort" || wanted())
}

/// Load balancers with externalTrafficPolicy Local have a health-check node port.
pub(crate) fn needs_health_check(service: &Value) -> bool {
    kind(service) == "LoadBalancer" && spec_text(service, "externalTrafficPolicy") == Some("Local")
}

/// `spec.clusterIP`, or the first of `spec.clusterIPs`; empty when neither is set.
pub(crate) fn cluster_ip(service: &Value) -> &str {
    let first = || service["spec"]["clusterIPs"][0].as_str();
    spec_text(service, "clusterIP").filter(|found| !found.is_empty()).or_else(first).unwrap_or("")
}

/// Sets `spec.clusterIP` and `spec.clusterIPs` alike.
pub(crate) fn set_cluster_ip(service: &mut Value, address: &str) {
    if let Some(spec) = spec(service) {
        spec.insert("clusterIP".into(), json!(address));
        spec.insert("clusterIPs".into(), json!([address]));
    }
}

/// Takes both cluster IP fields off.
pub(crate) fn clear_cluster_ip(service: &mut Value) {
    if let Some(spec) = spec(service) {
        spec.shift_remove("clusterIP");
        spec.shift_remove("clusterIPs");
    }
}

/// `spec.ports`.
pub(crate) fn ports(service: &Value) -> &[Value] {
    service["spec"]["ports"].as_array().map_or(&[], Vec::as_slice)
}

/// `spec.ports`, to change.
pub(crate) fn ports_mut(service: &mut Value) -> &mut [Value] {
    match service.pointer_mut("/spec/ports").and_then(Value::as_array_mut) {
        Some(ports) => ports,
        None => &mut [],
    }
}

/// The port's `nodePort`; 0 when absent.
pub(crate) fn node_port(port: &Value) -> i64 {
    port["nodePort"].as_i64().unwrap_or(0)
}

/// The port's `protocol`; TCP when absent.
pub(crate) fn protocol(port: &Value) -> &str {
    port["protocol"].as_str().unwrap_or("TCP")
}

/// `spec.healthCheckNodePort`; 0 when absent.
pub(crate) fn health_check(service: &Value) -> i64 {
    service["spec"]["healthCheckNodePort"].as_i64().unwrap_or(0)
}

/// The `spec`, to change.
pub(crate) fn spec(service: &mut Value) -> Option<&mut Map<String, Value>> {
    service.get_mut("spec").and_then(Value::as_object_mut)
}

fn spec_text<'a>(service: &'a Value, field: &str) -> Option<&'a str> {
    service.get("spec")?.get(field)?.as_str()
}
