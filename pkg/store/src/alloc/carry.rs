//! What an update of a Service takes over from its predecessor, and what falls away with its type. Pure.
//! Rules: Kubernetes' pkg/registry/core/service, `patchAllocatedValues` and `dropTypeDependentFields`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::fields;

/// Fills in allocated values that an update left out (so that `kubectl replace` works), and takes off those that the
/// new type cannot have and the user did not touch. Run it before validation; the store runs it again, to no effect.
pub fn carry_over_service(new: &mut Value, old: &Value) {
    drop_for_type(new, old);
    if fields::needs_cluster_ip(old)
        && fields::needs_cluster_ip(new)
        && fields::cluster_ip(new).is_empty()
        && !fields::cluster_ip(old).is_empty()
    {
        let address = fields::cluster_ip(old).to_owned();
        fields::set_cluster_ip(new, &address);
    }
    if fields::needs_node_ports(old) && fields::needs_node_ports(new) {
        carry_node_ports(new, old);
    }
    let carries = fields::needs_health_check(old) && fields::needs_health_check(new);
    if carries && fields::health_check(new) == 0 && fields::health_check(old) != 0 {
        let port = fields::health_check(old);
        if let Some(spec) = fields::spec(new) {
            spec.insert("healthCheckNodePort".into(), json!(port));
        }
    }
}

/// Ports are matched by name, the one thing that stays when the user edits the others.
fn carry_node_ports(new: &mut Value, old: &Value) {
    let used = |service: &Value| -> BTreeSet<i64> {
        fields::ports(service).iter().map(fields::node_port).filter(|&port| port != 0).collect()
    };
    let kept: BTreeSet<i64> = used(old).intersection(&used(new)).copied().collect();
    let name = |port: &Value| port["name"].as_str().unwrap_or("").to_owned();
    let by_name: BTreeMap<String, i64> =
        fields::ports(old).iter().map(|port| (name(port), fields::node_port(port))).collect();
    for port in fields::ports_mut(new) {
        if fields::node_port(port) != 0 {
            continue;
        }
        if let Some(&found) = by_name.get(&name(port))
            && found != 0
            && !kept.contains(&found)
            && let Some(port) = port.as_object_mut()
        {
            port.insert("nodePort".into(), json!(found));
        }
    }
}

fn drop_for_type(new: &mut Value, old: &Value) {
    let same_ip = fields::cluster_ip(new) == fields::cluster_ip(old);
    if fields::needs_cluster_ip(old) && !fields::needs_cluster_ip(new) && same_ip {
        fields::clear_cluster_ip(new);
    }
    let node_ports = |service: &Value| -> BTreeSet<(String, i64)> {
        let ports = fields::ports(service).iter();
        ports.map(|port| (fields::protocol(port).to_owned(), fields::node_port(port))).filter(|p| p.1 != 0).collect()
    };
    let loses = fields::needs_node_ports(old) && !fields::needs_node_ports(new);
    if loses && node_ports(new).is_subset(&node_ports(old)) {
        for port in fields::ports_mut(new) {
            if let Some(port) = port.as_object_mut() {
                port.shift_remove("nodePort");
            }
        }
    }
    let loses = fields::needs_health_check(old) && !fields::needs_health_check(new);
    if loses && fields::health_check(new) == fields::health_check(old) {
        remove(new, "healthCheckNodePort");
    }
    let flag = "allocateLoadBalancerNodePorts";
    let loses = fields::kind(old) == "LoadBalancer" && fields::kind(new) != "LoadBalancer";
    if loses && new["spec"][flag] == old["spec"][flag] {
        remove(new, flag);
    }
}

fn remove(service: &mut Value, field: &str) {
    if let Some(spec) = fields::spec(service) {
        spec.shift_remove(field);
    }
}
