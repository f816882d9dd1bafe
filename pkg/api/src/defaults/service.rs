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
    if let Some(old) = old {
        carry_over(new, old);
        drop_what_the_type_lost(new, old);
    }
    normalize_cluster_ips(new, old);
    families(new);
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

/// Takes allocated values that the update leaves out from the stored object, so that a `replace` without them works.
fn carry_over(new: &mut Value, old: &Value) {
    let needs_cluster_ip = !is_external_name(old) && !is_external_name(new);
    if needs_cluster_ip && cluster_ip(new).is_empty() && strings(new, "clusterIPs").is_empty() {
        for field in ["clusterIP", "clusterIPs"] {
            if let Some(value) = old["spec"].get(field) {
                object_mut(new, "spec").insert(field.into(), value.clone());
            }
        }
    }
    if has_node_ports(old) && has_node_ports(new) {
        let taken: Vec<i64> = new["spec"]["ports"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|p| p["nodePort"].as_i64().filter(|n| *n != 0))
            .collect();
        let before = old["spec"]["ports"].as_array().cloned().unwrap_or_default();
        let lone = before.len() == 1 && new["spec"]["ports"].as_array().is_some_and(|p| p.len() == 1);
        for port in each_mut(&mut new["spec"], "ports") {
            if port.get("nodePort").and_then(Value::as_i64).unwrap_or(0) != 0 {
                continue;
            }
            let same = before.iter().find(|b| {
                Some(&b["port"]) == port.get("port") && Some(&b["protocol"]) == port.get("protocol")
            });
            let _ = lone;
            if let Some(n) = same.and_then(|b| b["nodePort"].as_i64()).filter(|n| *n != 0 && !taken.contains(n)) {
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
        let ports = |s: &Value| -> Vec<i64> {
            let list = s["spec"]["ports"].as_array();
            list.into_iter().flatten().filter_map(|p| p["nodePort"].as_i64().filter(|n| *n != 0)).collect()
        };
        let before = ports(old);
        if ports(new).iter().all(|n| before.contains(n)) {
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

/// Keeps `clusterIP` and `clusterIPs` in step: whichever of the two the client changed leads (old clients know only the
/// singular field).
fn normalize_cluster_ips(new: &mut Value, old: Option<&Value>) {
    let (one, many) = (cluster_ip(new).to_owned(), strings(new, "clusterIPs"));
    let Some(old) = old else {
        if !one.is_empty() && many.is_empty() {
            object_mut(new, "spec").insert("clusterIPs".into(), json!([one]));
        }
        return;
    };
    let (old_one, old_many) = (cluster_ip(old).to_owned(), strings(old, "clusterIPs"));
    if old_one != one && old_many == many {
        if one.is_empty() {
            if !old_one.is_empty() {
                remove(new, &["clusterIPs", "clusterIP"]);
            }
        } else {
            object_mut(new, "spec").insert("clusterIPs".into(), json!([one]));
        }
    } else if old_one == one && old_many.first() != many.first() && many.is_empty() && !one.is_empty() {
        object_mut(new, "spec").insert("clusterIPs".into(), json!([one]));
    } else if old_one == one && old_many != many && !many.is_empty() && is_external_name(old) {
        object_mut(new, "spec").insert("clusterIP".into(), many[0].clone().into());
    }
}

/// The cluster has IPv4 only: families and policy follow.
fn families(new: &mut Value) {
    if is_external_name(new) {
        return;
    }
    let spec = object_mut(new, "spec");
    let headless_without_selector = spec.get("clusterIP").is_some_and(|ip| ip == "None")
        && !spec.get("selector").and_then(Value::as_object).is_some_and(|s| !s.is_empty());
    if !spec.contains_key("ipFamilies") {
        // Upstream gives headless services without selector both families when the policy asks for two.
        let dual = matches!(
            spec.get("ipFamilyPolicy").and_then(Value::as_str),
            Some("RequireDualStack" | "PreferDualStack")
        );
        let both = headless_without_selector && dual;
        spec.insert("ipFamilies".into(), if both { json!(["IPv4", "IPv6"]) } else { json!(["IPv4"]) });
    }
    fill(spec, "ipFamilyPolicy", "SingleStack");
}
