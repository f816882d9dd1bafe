//! Defaults of Services: the fields of core/v1 `defaults.go`, and what an update may leave out or must drop (registry
//! `service/storage.go` and `strategy.go`). Addresses and ports are allocated later, inside the store's commit.

use serde_json::{Map, Value, json};

use super::{each_mut, fill, object_mut};

fn kind(service: &Value) -> &str {
    service["spec"]["type"].as_str().unwrap_or("ClusterIP")
}

fn is_external_name(service: &Value) -> bool {
    kind(service) == "ExternalName"
}

fn has_node_ports(service: &Value) -> bool {
    matches!(kind(service), "NodePort" | "LoadBalancer")
}

/// Whether traffic from outside the cluster is accepted: node ports, load balancers, external IPs.
fn externally_accessible(service: &Value) -> bool {
    has_node_ports(service)
        || (kind(service) == "ClusterIP" && service["spec"]["externalIPs"].as_array().is_some_and(|l| !l.is_empty()))
}

fn needs_health_check_port(service: &Value) -> bool {
    kind(service) == "LoadBalancer" && service["spec"]["externalTrafficPolicy"] == "Local"
}

/// Service: type, affinity, protocols, target ports, traffic policies, address families; on update also what the stored
/// object still has.
pub fn service(new: &mut Value, old: Option<&Value>) {
    let spec = object_mut(new, "spec");
    fill(spec, "type", "ClusterIP");
    affinity(spec);
    for port in each_mut(&mut new["spec"], "ports") {
        fill(port, "protocol", "TCP");
        let own = port.get("port").cloned().unwrap_or(json!(0));
        let unset = match port.get("targetPort") {
            None | Some(Value::Null) => true,
            Some(Value::Number(n)) => n.as_i64() == Some(0),
            Some(Value::String(text)) => text.is_empty(),
            Some(_) => false,
        };
        if unset {
            port.insert("targetPort".into(), own);
        }
    }
    if externally_accessible(new) {
        fill(object_mut(new, "spec"), "externalTrafficPolicy", "Cluster");
    }
    if !is_external_name(new) {
        fill(object_mut(new, "spec"), "internalTrafficPolicy", "Cluster");
    }
    if kind(new) == "LoadBalancer" {
        let spec = object_mut(new, "spec");
        if !spec.get("allocateLoadBalancerNodePorts").is_some_and(Value::is_boolean) {
            spec.insert("allocateLoadBalancerNodePorts".into(), true.into());
        }
        let ingress = new.pointer_mut("/status/loadBalancer/ingress").and_then(Value::as_array_mut);
        for entry in ingress.into_iter().flatten().filter_map(Value::as_object_mut) {
            if entry.get("ip").and_then(Value::as_str).is_some_and(|ip| !ip.is_empty()) {
                fill(entry, "ipMode", "VIP");
            }
        }
    }
    normalize_cluster_ips(new, old);
    if let Some(old) = old {
        carry_over(new, old);
        drop_what_the_type_lost(new, old);
    }
    families(new, old);
    let status = object_mut(new, "status");
    fill(status, "loadBalancer", json!({}));
}

fn affinity(spec: &mut Map<String, Value>) {
    fill(spec, "sessionAffinity", "None");
    match spec.get("sessionAffinity").and_then(Value::as_str) {
        Some("None") => {
            spec.shift_remove("sessionAffinityConfig");
        }
        Some("ClientIP") => {
            let given = spec.get("sessionAffinityConfig").is_some_and(|c| c["clientIP"]["timeoutSeconds"].is_number());
            if !given {
                spec.insert("sessionAffinityConfig".into(), json!({"clientIP": {"timeoutSeconds": 10800}}));
            }
        }
        _ => {}
    }
}

fn strings(service: &Value, field: &str) -> Vec<String> {
    let list = service["spec"][field].as_array();
    list.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn cluster_ip(service: &Value) -> &str {
    service["spec"]["clusterIP"].as_str().unwrap_or("")
}

/// Whether node ports are allocated: not for load balancers that go straight to pods.
fn allocates_node_ports(service: &Value) -> bool {
    has_node_ports(service) && service["spec"]["allocateLoadBalancerNodePorts"] != false
}

/// The node ports in use.
fn node_ports(service: &Value) -> Vec<i64> {
    let list = service["spec"]["ports"].as_array();
    list.into_iter().flatten().filter_map(|p| p["nodePort"].as_i64().filter(|n| *n != 0)).collect()
}

/// Takes allocated values that the update leaves out from the stored object, so that a `replace` without them works.
/// Node ports are found again by the port's name.
fn carry_over(new: &mut Value, old: &Value) {
    if !is_external_name(old) && !is_external_name(new) {
        if cluster_ip(new).is_empty() && !cluster_ip(old).is_empty() {
            object_mut(new, "spec").insert("clusterIP".into(), old["spec"]["clusterIP"].clone());
        }
        if strings(new, "clusterIPs").is_empty() && !strings(old, "clusterIPs").is_empty() {
            object_mut(new, "spec").insert("clusterIPs".into(), old["spec"]["clusterIPs"].clone());
        }
    }
    if allocates_node_ports(old) && allocates_node_ports(new) {
        let kept = node_ports(new);
        let before = old["spec"]["ports"].as_array().cloned().unwrap_or_default();
        for port in each_mut(&mut new["spec"], "ports") {
            if port.get("nodePort").and_then(Value::as_i64).unwrap_or(0) != 0 {
                continue;
            }
            let own = port.get("name").and_then(Value::as_str).unwrap_or("");
            let known = before.iter().rfind(|b| b["name"].as_str().unwrap_or("") == own);
            if let Some(n) = known.and_then(|b| b["nodePort"].as_i64()).filter(|n| *n != 0 && !kept.contains(n)) {
                port.insert("nodePort".into(), n.into());
            }
        }
    }
    if needs_health_check_port(old) && needs_health_check_port(new) {
        let before = old["spec"]["healthCheckNodePort"].as_i64().unwrap_or(0);
        if before != 0 {
            super::fill_number(object_mut(new, "spec"), "healthCheckNodePort", before);
        }
    }
}

fn same(new: &Value, old: &Value, field: &str) -> bool {
    new["spec"][field] == old["spec"][field]
}

fn remove(new: &mut Value, fields: &[&str]) {
    let spec = object_mut(new, "spec");
    for field in fields {
        spec.shift_remove(*field);
    }
}

/// Wipes fields that the new type does not use, where the client did not change them as well.
fn drop_what_the_type_lost(new: &mut Value, old: &Value) {
    if !is_external_name(old) && is_external_name(new) {
        if same(new, old, "clusterIP") && same(new, old, "clusterIPs") {
            remove(new, &["clusterIP", "clusterIPs"]);
        }
        for field in ["ipFamilies", "ipFamilyPolicy"] {
            if same(new, old, field) {
                remove(new, &[field]);
            }
        }
    }
    if has_node_ports(old) && !has_node_ports(new) {
        let before = node_ports(old);
        if node_ports(new).iter().all(|n| before.contains(n)) {
            for port in each_mut(&mut new["spec"], "ports") {
                port.shift_remove("nodePort");
            }
        }
    }
    if needs_health_check_port(old) && !needs_health_check_port(new) && same(new, old, "healthCheckNodePort") {
        remove(new, &["healthCheckNodePort"]);
    }
    if kind(old) == "LoadBalancer" && kind(new) != "LoadBalancer" {
        for field in ["allocateLoadBalancerNodePorts", "loadBalancerClass"] {
            if same(new, old, field) {
                remove(new, &[field]);
            }
        }
    }
    if externally_accessible(old) && !externally_accessible(new) && same(new, old, "externalTrafficPolicy") {
        remove(new, &["externalTrafficPolicy"]);
    }
    if kind(new) != "LoadBalancer" {
        object_mut(new, "status").insert("loadBalancer".into(), json!({}));
    }
}

/// Keeps `clusterIP` and `clusterIPs` in step for clients that know only the singular field.
fn normalize_cluster_ips(new: &mut Value, old: Option<&Value>) {
    let (one, many) = (cluster_ip(new).to_owned(), strings(new, "clusterIPs"));
    let Some(old) = old else {
        if !one.is_empty() && many.is_empty() {
            object_mut(new, "spec").insert("clusterIPs".into(), json!([one]));
        }
        return;
    };
    let (old_one, old_many) = (cluster_ip(old).to_owned(), strings(old, "clusterIPs"));
    if old_one == one {
        if many.is_empty() && !old_many.is_empty() {
            object_mut(new, "spec").insert("clusterIPs".into(), json!(old_many));
        }
    } else if old_many == many {
        if one.is_empty() {
            remove(new, &["clusterIPs"]);
        } else {
            object_mut(new, "spec").insert("clusterIPs".into(), json!([one]));
        }
    }
}

/// Address families and their policy (registry `alloc.go`); the cluster itself has IPv4 only. A headless service without
/// selector may point anywhere, so it gets both.
fn families(new: &mut Value, old: Option<&Value>) {
    if is_external_name(new) {
        return;
    }
    let stored = old.and_then(|o| o["spec"]["ipFamilyPolicy"].as_str()).map(str::to_owned);
    let spec = object_mut(new, "spec");
    let free = spec.get("clusterIP").is_some_and(|ip| ip == "None")
        && spec.get("selector").and_then(Value::as_object).is_none_or(Map::is_empty);
    let policy = stored.unwrap_or_else(|| if free { "RequireDualStack" } else { "SingleStack" }.to_owned());
    fill(spec, "ipFamilyPolicy", policy);
    let single = spec.get("ipFamilyPolicy").is_some_and(|p| p == "SingleStack");
    let mut list: Vec<Value> = spec.get("ipFamilies").and_then(Value::as_array).cloned().unwrap_or_default();
    if list.is_empty() {
        let first = spec.get("clusterIPs").and_then(|l| l[0].as_str()).unwrap_or("");
        list.push(if first.contains(':') { "IPv6" } else { "IPv4" }.into());
    }
    if free && !single && list.len() == 1 {
        list.push(if list[0] == "IPv4" { "IPv6" } else { "IPv4" }.into());
    }
    spec.insert("ipFamilies".into(), list.into());
}
