//! Rules of Services (core `validation.go`, registry `alloc.go`). Ranges and collisions of addresses and node ports are
//! found by the store's allocators, not here.

mod update;

use serde_json::{Value, json};
use update::update;

use super::internal_form::internal;
use super::{cidr, endpoint_ip, invalid, list, number, port_number, port_or_name, protocol, text};
use crate::field::FieldError;
use crate::names;

const TYPES: &[&str] = &["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
/// Affinity may last a day.
const MAX_AFFINITY: i64 = 86_400;

fn kind(service: &Value) -> &str {
    text(&service["spec"], "type")
}

fn is_headless(service: &Value) -> bool {
    list(&service["spec"], "clusterIPs") == [json!("None")]
}

fn externally_accessible(service: &Value) -> bool {
    matches!(kind(service), "NodePort" | "LoadBalancer")
        || (kind(service) == "ClusterIP" && !list(&service["spec"], "externalIPs").is_empty())
}

fn needs_health_check_port(service: &Value) -> bool {
    kind(service) == "LoadBalancer" && text(&service["spec"], "externalTrafficPolicy") == "Local"
}

/// A Service.
pub fn service(new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let spec = &new["spec"];
    let mut errors = Vec::new();
    if let Some(old) = old {
        errors.extend(update(new, old));
    }
    errors.extend(topology(&new["metadata"]["annotations"]));
    let external_name = kind(new) == "ExternalName";
    if list(spec, "ports").is_empty() && !is_headless(new) && !external_name {
        errors.push(FieldError::required("spec.ports", ""));
    }
    if matches!(kind(new), "LoadBalancer" | "NodePort") && is_headless(new) {
        let words = format!("may not be set to 'None' for {} services", kind(new));
        errors.push(FieldError::invalid("spec.clusterIPs[0]", "None", words));
    }
    if external_name {
        errors.extend(external_name_rules(spec));
    }
    errors.extend(ports(new));
    errors.extend(crate::meta::labels("spec.selector", &spec["selector"]));
    errors.extend(affinity(spec));
    if !external_name {
        errors.extend(cluster_ips(new));
    }
    for (i, ip) in list(spec, "externalIPs").iter().enumerate() {
        errors.extend(endpoint_ip(&format!("spec.externalIPs[{i}]"), ip.as_str().unwrap_or("")));
    }
    match kind(new) {
        "" => errors.push(FieldError::required("spec.type", "")),
        known if TYPES.contains(&known) => {}
        other => errors.push(FieldError::not_supported("spec.type", other, TYPES)),
    }
    errors.extend(load_balancer(new, old));
    errors.extend(policies(new));
    errors.extend(status(new));
    errors
}

/// The older name of an annotation says what the newer does.
fn topology(annotations: &Value) -> Option<FieldError> {
    const MODE: &str = "service.kubernetes.io/topology-mode";
    const HINTS: &str = "service.kubernetes.io/topology-aware-hints";
    let (mode, hints) = (annotations[MODE].as_str()?, annotations[HINTS].as_str()?);
    let words = format!("must match annotations[{HINTS}] when both are specified");
    (mode != hints).then(|| FieldError::invalid(format!("metadata.annotations[{MODE}]"), mode, words))
}

fn external_name_rules(spec: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for field in ["clusterIPs", "ipFamilies"] {
        if !list(spec, field).is_empty() {
            errors.push(FieldError::forbidden(format!("spec.{field}"), "may not be set for ExternalName services"));
        }
    }
    if !text(spec, "ipFamilyPolicy").is_empty() {
        errors.push(FieldError::forbidden("spec.ipFamilyPolicy", "may not be set for ExternalName services"));
    }
    let name = text(spec, "externalName");
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.is_empty() {
        errors.push(FieldError::required("spec.externalName", ""));
    } else {
        errors.extend(invalid("spec.externalName", name, names::subdomain(name)));
    }
    errors
}

fn ports(new: &Value) -> Vec<FieldError> {
    let ports = list(&new["spec"], "ports");
    let mut errors = Vec::new();
    let mut seen_names: Vec<&str> = Vec::new();
    for (i, port) in ports.iter().enumerate() {
        let path = format!("spec.ports[{i}]");
        let name = text(port, "name");
        if name.is_empty() && ports.len() > 1 {
            errors.push(FieldError::required(format!("{path}.name"), ""));
        } else if !name.is_empty() {
            errors.extend(invalid(&format!("{path}.name"), name, names::label(name)));
            if seen_names.contains(&name) {
                errors.push(FieldError::duplicate(format!("{path}.name"), name));
            }
            seen_names.push(name);
        }
        errors.extend(port_number(&format!("{path}.port"), number(port, "port")));
        errors.extend(protocol(&format!("{path}.protocol"), text(port, "protocol")));
        errors.extend(port_or_name(&format!("{path}.targetPort"), &port["targetPort"]));
        if let Some(app) = port["appProtocol"].as_str() {
            errors.extend(invalid(&format!("{path}.appProtocol"), app, names::qualified_name(app)));
        }
    }
    if kind(new) == "ClusterIP" {
        for (i, _) in ports.iter().enumerate().filter(|(_, p)| number(p, "nodePort") != 0) {
            errors.push(FieldError::forbidden(
                format!("spec.ports[{i}].nodePort"),
                "may not be used when `type` is 'ClusterIP'",
            ));
        }
    }
    for (i, port) in ports.iter().enumerate() {
        let node_port = number(port, "nodePort");
        let twin = |field: &str| {
            ports[..i].iter().any(|p| p["protocol"] == port["protocol"] && number(p, field) == number(port, field))
        };
        if node_port != 0 && twin("nodePort") {
            errors.push(FieldError::duplicate(format!("spec.ports[{i}].nodePort"), node_port));
        }
        if twin("port") {
            let key = json!({"port": port["port"], "protocol": port["protocol"]});
            errors.push(FieldError::duplicate(format!("spec.ports[{i}]"), internal("core.v1.ServicePort", &key)));
        }
    }
    errors
}

fn affinity(spec: &Value) -> Vec<FieldError> {
    const PATH: &str = "spec.sessionAffinityConfig";
    match text(spec, "sessionAffinity") {
        "" => vec![FieldError::required("spec.sessionAffinity", "")],
        "None" if spec["sessionAffinityConfig"].is_object() => {
            vec![FieldError::forbidden(PATH, "must not be set when session affinity is None")]
        }
        "None" => Vec::new(),
        "ClientIP" => match spec["sessionAffinityConfig"]["clientIP"]["timeoutSeconds"].as_i64() {
            Some(timeout) if (1..=MAX_AFFINITY).contains(&timeout) => Vec::new(),
            Some(timeout) => vec![FieldError::invalid(
                format!("{PATH}.clientIP.timeoutSeconds"),
                timeout,
                format!("must be greater than 0 and less than {MAX_AFFINITY}"),
            )],
            None => {
                let config = &spec["sessionAffinityConfig"];
                let missing = match (config.is_object(), config["clientIP"].is_object()) {
                    (false, _) => "",
                    (true, false) => ".clientIP",
                    (true, true) => ".clientIP.timeoutSeconds",
                };
                vec![FieldError::required(format!("{PATH}{missing}"), "when session affinity type is ClientIP")]
            }
        },
        other => vec![FieldError::not_supported("spec.sessionAffinity", other, &["ClientIP", "None"])],
    }
}

fn cluster_ips(new: &Value) -> Vec<FieldError> {
    const PATH: &str = "spec.clusterIPs";
    let spec = &new["spec"];
    let ips = list(spec, "clusterIPs");
    let families = list(spec, "ipFamilies");
    let one = text(spec, "clusterIP");
    let mut errors = Vec::new();
    if one.is_empty() {
        if !ips.is_empty() {
            let words = "must be empty when `clusterIP` is not specified";
            errors.push(FieldError::invalid(PATH, json!(ips), words));
        }
    } else if ips.is_empty() {
        errors.push(FieldError::required(PATH, ""));
    } else if ips[0] != one {
        errors.push(FieldError::invalid(PATH, json!(ips), "first value must match `clusterIP`"));
    }
    for (i, family) in families.iter().enumerate() {
        let path = format!("spec.ipFamilies[{i}]");
        if family != "IPv4" && family != "IPv6" {
            errors.push(FieldError::not_supported(&path, family.clone(), &["IPv4", "IPv6"]));
        }
        if families[..i].contains(family) {
            errors.push(FieldError::duplicate(&path, family.clone()));
        }
    }
    const POLICIES: &[&str] = &["PreferDualStack", "RequireDualStack", "SingleStack"];
    let policy = text(spec, "ipFamilyPolicy");
    if !policy.is_empty() && !POLICIES.contains(&policy) {
        errors.push(FieldError::not_supported("spec.ipFamilyPolicy", policy, POLICIES));
    }
    let mut bad_address = false;
    for (i, ip) in ips.iter().enumerate() {
        let ip = ip.as_str().unwrap_or("");
        if i == 0 && ip == "None" {
            if ips.len() > 1 {
                bad_address = true;
                errors.push(FieldError::invalid(PATH, json!(ips), "'None' must be the first and only value"));
            }
            continue;
        }
        let complaints = names::ip(ip);
        bad_address |= !complaints.is_empty();
        errors.extend(invalid(&format!("{PATH}[{i}]"), ip, complaints));
    }
    if ips.len() > 2 {
        errors.push(FieldError::invalid(PATH, json!(ips), "may only hold up to 2 values"));
    }
    if bad_address {
        return errors;
    }
    let is_v6 = |ip: &Value| ip.as_str().is_some_and(|t| t.contains(':'));
    if ips.len() == 2 && is_v6(&ips[0]) == is_v6(&ips[1]) {
        errors.push(FieldError::invalid(PATH, json!(ips), "may specify no more than one IP for each IP family"));
    }
    if !is_headless(new) {
        for (i, (ip, family)) in ips.iter().zip(families).enumerate() {
            let expected = if is_v6(ip) { "IPv6" } else { "IPv4" };
            if family != expected && (family == "IPv4" || family == "IPv6") {
                let wanted = family.as_str().unwrap_or("");
                errors.push(FieldError::invalid(
                    format!("{PATH}[{i}]"),
                    ip.clone(),
                    format!("expected an {wanted} value as indicated by `ipFamilies[{i}]`"),
                ));
            }
        }
    }
    if errors.is_empty() {
        errors.extend(single_stack(new, policy, ips, families));
    }
    errors
}

/// What a cluster without IPv6 refuses (registry `alloc.go`); headless services without selector may say anything.
fn single_stack(new: &Value, policy: &str, ips: &[Value], families: &[Value]) -> Vec<FieldError> {
    const PATH: &str = "spec.ipFamilyPolicy";
    let mut errors = Vec::new();
    if policy == "SingleStack" {
        let several =
            |what: &str| format!("must be 'RequireDualStack' or 'PreferDualStack' when multiple {what} are specified");
        if ips.len() == 2 {
            errors.push(FieldError::invalid(PATH, policy, several("cluster IPs")));
        }
        if families.len() == 2 {
            errors.push(FieldError::invalid(PATH, policy, several("IP families")));
        }
    }
    let free = is_headless(new) && new["spec"]["selector"].as_object().is_none_or(serde_json::Map::is_empty);
    if free || !errors.is_empty() {
        return errors;
    }
    if policy == "RequireDualStack" {
        errors.push(FieldError::invalid(PATH, policy, "this cluster is not configured for dual-stack services"));
    }
    for (i, family) in families.iter().enumerate().filter(|(_, f)| *f == "IPv6") {
        errors.push(FieldError::invalid(
            format!("spec.ipFamilies[{i}]"),
            family.clone(),
            "not configured on this cluster",
        ));
    }
    errors
}

/// Ranges of clients that an annotation names, as they were named before they had a field.
fn annotated_ranges(new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    const KEY: &str = "service.beta.kubernetes.io/load-balancer-source-ranges";
    let Some(said) = new["metadata"]["annotations"][KEY].as_str() else { return Vec::new() };
    let path = format!("metadata.annotations[{KEY}]");
    let mut errors = Vec::new();
    if kind(new) != "LoadBalancer" {
        errors.push(FieldError::forbidden(&path, "may only be used when `type` is 'LoadBalancer'"));
    }
    if old.is_none_or(|old| old["metadata"]["annotations"][KEY] != said) && !said.trim().is_empty() {
        errors.extend(said.split(',').flat_map(|range| cidr(&path, range.trim())));
    }
    errors
}

fn load_balancer(new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    const ONLY: &str = "may only be used when `type` is 'LoadBalancer'";
    let spec = &new["spec"];
    let mut errors = Vec::new();
    let is_one = kind(new) == "LoadBalancer";
    let ranges = list(spec, "loadBalancerSourceRanges");
    // The capital L is upstream's.
    const RANGES: &str = "spec.LoadBalancerSourceRanges";
    if !ranges.is_empty() && !is_one {
        errors.push(FieldError::forbidden(RANGES, ONLY));
    }
    for (i, range) in ranges.iter().enumerate() {
        errors.extend(cidr(&format!("{RANGES}[{i}]"), range.as_str().unwrap_or("").trim()));
    }
    if ranges.is_empty() {
        errors.extend(annotated_ranges(new, old));
    }
    if !is_one && spec["allocateLoadBalancerNodePorts"].is_boolean() {
        errors.push(FieldError::forbidden("spec.allocateLoadBalancerNodePorts", ONLY));
    }
    if let Some(class) = spec["loadBalancerClass"].as_str() {
        if is_one {
            errors.extend(invalid("spec.loadBalancerClass", class, names::qualified_name(class)));
        } else {
            errors.push(FieldError::forbidden("spec.loadBalancerClass", ONLY));
        }
    }
    errors
}

fn policies(new: &Value) -> Vec<FieldError> {
    const VALUES: &[&str] = &["Cluster", "Local"];
    let spec = &new["spec"];
    let mut errors = Vec::new();
    let external = text(spec, "externalTrafficPolicy");
    const EXTERNAL: &str = "spec.externalTrafficPolicy";
    if !externally_accessible(new) {
        if !external.is_empty() {
            let words = "may only be set for externally-accessible services";
            errors.push(FieldError::invalid(EXTERNAL, external, words));
        }
    } else if external.is_empty() {
        errors.push(FieldError::required(EXTERNAL, ""));
    } else if !VALUES.contains(&external) {
        errors.push(FieldError::not_supported(EXTERNAL, external, VALUES));
    }
    let check_port = number(spec, "healthCheckNodePort");
    const CHECK: &str = "spec.healthCheckNodePort";
    if !needs_health_check_port(new) {
        if check_port != 0 {
            let words = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
            errors.push(FieldError::invalid(CHECK, check_port, words));
        }
    } else if check_port != 0 {
        errors.extend(port_number(CHECK, check_port));
    }
    let internal = text(spec, "internalTrafficPolicy");
    if internal.is_empty() {
        if matches!(kind(new), "ClusterIP" | "NodePort" | "LoadBalancer") {
            errors.push(FieldError::required("spec.internalTrafficPolicy", ""));
        }
    } else if !VALUES.contains(&internal) {
        errors.push(FieldError::not_supported("spec.internalTrafficPolicy", internal, VALUES));
    }
    const DISTRIBUTIONS: &[&str] = &["PreferClose", "PreferSameNode", "PreferSameZone"];
    if let Some(distribution) = spec["trafficDistribution"].as_str()
        && !DISTRIBUTIONS.contains(&distribution)
    {
        errors.push(FieldError::not_supported("spec.trafficDistribution", distribution, DISTRIBUTIONS));
    }
    errors
}

fn status(new: &Value) -> Vec<FieldError> {
    const PATH: &str = "status.loadBalancer.ingress";
    let ingress = list(&new["status"]["loadBalancer"], "ingress");
    if kind(new) != "LoadBalancer" && !ingress.is_empty() {
        return vec![FieldError::forbidden(PATH, "may only be used when `spec.type` is 'LoadBalancer'")];
    }
    let mut errors = Vec::new();
    for (i, entry) in ingress.iter().enumerate() {
        let (ip, mode, host) = (text(entry, "ip"), text(entry, "ipMode"), text(entry, "hostname"));
        let at = |field: &str| format!("{PATH}[{i}].{field}");
        if !ip.is_empty() {
            errors.extend(invalid(&at("ip"), ip, names::ip(ip)));
        }
        if mode.is_empty() && !ip.is_empty() {
            errors.push(FieldError::required(at("ipMode"), "must be specified when `ip` is set"));
        } else if !mode.is_empty() && ip.is_empty() {
            errors.push(FieldError::forbidden(at("ipMode"), "may not be specified when `ip` is not set"));
        } else if !matches!(mode, "" | "VIP" | "Proxy") {
            errors.push(FieldError::not_supported(at("ipMode"), mode, &["Proxy", "VIP"]));
        }
        if !host.is_empty() {
            errors.extend(invalid(&at("hostname"), host, names::subdomain(host)));
            if names::parse_ip(host).is_some() {
                errors.push(FieldError::invalid(at("hostname"), host, "must be a DNS name, not an IP address"));
            }
        }
    }
    errors
}
