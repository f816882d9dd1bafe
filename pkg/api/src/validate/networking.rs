//! Rules of Ingresses, IngressClasses and NetworkPolicies.

use ipnet::IpNet;
use serde_json::{Value, json};

use super::{PROTOCOLS, cidr, domain_path, immutable, invalid, label_selector, list, number, port_number, text};
use crate::field::FieldError;
use crate::names;

/// An Ingress.
pub fn ingress(new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let spec = &new["spec"];
    let mut errors = Vec::new();
    let rules = list(spec, "rules");
    if rules.is_empty() && !spec["defaultBackend"].is_object() {
        let value = spec.get("rules").cloned().unwrap_or(Value::Null);
        errors.push(FieldError::invalid("spec", value, "either `defaultBackend` or `rules` must be specified"));
    }
    if spec["defaultBackend"].is_object() {
        errors.extend(backend("spec.defaultBackend", &spec["defaultBackend"]));
    }
    for (i, rule) in rules.iter().enumerate() {
        let path = format!("spec.rules[{i}]");
        errors.extend(host(&format!("{path}.host"), text(rule, "host"), true));
        if rule["http"].is_object() {
            let paths = list(&rule["http"], "paths");
            if paths.is_empty() {
                errors.push(FieldError::required(format!("{path}.http.paths"), ""));
            }
            for (j, entry) in paths.iter().enumerate() {
                errors.extend(http_path(&format!("{path}.http.paths[{j}]"), entry));
            }
        }
    }
    for (i, tls) in list(spec, "tls").iter().enumerate() {
        for (j, name) in list(tls, "hosts").iter().enumerate() {
            errors.extend(host(&format!("spec.tls[{i}].hosts[{j}]"), name.as_str().unwrap_or(""), false));
        }
        let secret = text(tls, "secretName");
        if !secret.is_empty() {
            errors.extend(invalid(&format!("spec.tls[{i}].secretName"), secret, names::subdomain(secret)));
        }
    }
    if let Some(class) = spec["ingressClassName"].as_str() {
        errors.extend(invalid("spec.ingressClassName", class, names::subdomain(class)));
        let annotation = new["metadata"]["annotations"]["kubernetes.io/ingress.class"].as_str();
        if let Some(annotation) = annotation.filter(|a| old.is_none() && *a != class) {
            errors.push(FieldError::invalid(
                "annotations.kubernetes.io/ingress.class",
                annotation,
                "must match `ingressClassName` when both are specified",
            ));
        }
    }
    for (i, entry) in list(&new["status"]["loadBalancer"], "ingress").iter().enumerate() {
        let ip = text(entry, "ip");
        if !ip.is_empty() {
            errors.extend(invalid(&format!("status.loadBalancer.ingress[{i}].ip"), ip, names::ip(ip)));
        }
        let name = text(entry, "hostname");
        if !name.is_empty() {
            let at = format!("status.loadBalancer.ingress[{i}].hostname");
            errors.extend(invalid(&at, name, names::subdomain(name)));
            if names::parse_ip(name).is_some() {
                errors.push(FieldError::invalid(at, name, "must be a DNS name, not an IP address"));
            }
        }
    }
    errors
}

fn host(path: &str, name: &str, of_rule: bool) -> Vec<FieldError> {
    if name.is_empty() && of_rule {
        return Vec::new();
    }
    let mut errors = Vec::new();
    if of_rule && names::parse_ip(name).is_some() {
        errors.push(FieldError::invalid(path, name, "must be a DNS name, not an IP address"));
    }
    let complaints = if name.contains('*') { names::wildcard_subdomain(name) } else { names::subdomain(name) };
    errors.extend(invalid(path, name, complaints));
    errors
}

fn http_path(path: &str, entry: &Value) -> Vec<FieldError> {
    let own = text(entry, "path");
    let at = format!("{path}.path");
    let mut errors = Vec::new();
    let kind = text(entry, "pathType");
    match kind {
        "" => return vec![FieldError::required(format!("{path}.pathType"), "pathType must be specified")],
        "Exact" | "Prefix" => {
            if !own.starts_with('/') {
                errors.push(FieldError::invalid(&at, own, "must be an absolute path"));
            }
            for bad in ["//", "/./", "/../", "%2f", "%2F"] {
                if own.contains(bad) {
                    errors.push(FieldError::invalid(&at, own, format!("must not contain '{bad}'")));
                }
            }
            for bad in ["/..", "/."] {
                if own.ends_with(bad) {
                    errors.push(FieldError::invalid(&at, own, format!("cannot end with '{bad}'")));
                }
            }
        }
        "ImplementationSpecific" => {
            if !own.is_empty() && !own.starts_with('/') {
                errors.push(FieldError::invalid(&at, own, "must be an absolute path"));
            }
        }
        other => errors.push(FieldError::not_supported(
            format!("{path}.pathType"),
            other,
            &["Exact", "ImplementationSpecific", "Prefix"],
        )),
    }
    errors.extend(backend(&format!("{path}.backend"), &entry["backend"]));
    errors
}

fn backend(path: &str, backend: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    match (backend["resource"].is_object(), backend["service"].is_object()) {
        (true, true) => errors.push(FieldError::invalid(path, "", "cannot set both resource and service backends")),
        (true, false) => {
            if let Some(group) = backend["resource"]["apiGroup"].as_str() {
                errors.extend(invalid(&format!("{path}.resource.apiGroup"), group, names::subdomain(group)));
            }
            for field in ["kind", "name"] {
                let value = text(&backend["resource"], field);
                let at = format!("{path}.resource.{field}");
                if value.is_empty() {
                    errors.push(FieldError::required(at, ""));
                } else {
                    errors.extend(invalid(&at, value, names::path_segment(value, false)));
                }
            }
        }
        (false, true) => {
            let service = &backend["service"];
            let name = text(service, "name");
            if name.is_empty() {
                errors.push(FieldError::required(format!("{path}.service.name"), ""));
            } else {
                errors.extend(invalid(&format!("{path}.service.name"), name, names::label(name)));
            }
            let (port_name, port) = (text(&service["port"], "name"), number(&service["port"], "number"));
            if !port_name.is_empty() && port != 0 {
                errors.push(FieldError::invalid(path, "", "cannot set both port name & port number"));
            } else if !port_name.is_empty() {
                errors.extend(invalid(&format!("{path}.service.port.name"), port_name, names::port_name(port_name)));
            } else if port != 0 {
                errors.extend(port_number(&format!("{path}.service.port.number"), port));
            } else {
                errors.push(FieldError::required(path, "port name or number is required"));
            }
        }
        (false, false) => errors.push(FieldError::invalid(path, "", "resource or service backend is required")),
    }
    errors
}

/// An IngressClass.
pub fn ingress_class(new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let spec = &new["spec"];
    let controller = text(spec, "controller");
    let mut errors = Vec::new();
    if let Some(old) = old {
        errors.extend(immutable(&spec["controller"], &old["spec"]["controller"], "spec.controller"));
    }
    const PATH: &str = "spec.controller";
    if controller.len() > 250 {
        errors.push(FieldError::too_long(PATH, 250));
    }
    errors.extend(domain_path(PATH, controller));
    let parameters = &spec["parameters"];
    if parameters.is_object() {
        if let Some(group) = parameters["apiGroup"].as_str() {
            errors.extend(invalid("spec.parameters.apiGroup", group, names::subdomain(group)));
        }
        for field in ["kind", "name"] {
            let value = text(parameters, field);
            let at = format!("spec.parameters.{field}");
            if value.is_empty() {
                errors.push(FieldError::required(at, ""));
            } else {
                errors.extend(invalid(&at, value, names::path_segment(value, false)));
            }
        }
        let namespace = text(parameters, "namespace");
        match text(parameters, "scope") {
            "Namespace" if namespace.is_empty() => errors
                .push(FieldError::required("spec.parameters.namespace", "`parameters.scope` is set to 'Namespace'")),
            "Cluster" if !namespace.is_empty() => errors
                .push(FieldError::forbidden("spec.parameters.namespace", "`parameters.scope` is set to 'Cluster'")),
            "Namespace" | "Cluster" => {}
            other => errors.push(FieldError::not_supported("spec.parameters.scope", other, &["Cluster", "Namespace"])),
        }
    }
    errors
}

/// A NetworkPolicy.
pub fn network_policy(new: &Value, _old: Option<&Value>) -> Vec<FieldError> {
    let spec = &new["spec"];
    let mut errors = label_selector("spec.podSelector", &spec["podSelector"]);
    for (direction, peers) in [("ingress", "from"), ("egress", "to")] {
        for (i, rule) in list(spec, direction).iter().enumerate() {
            let path = format!("spec.{direction}[{i}]");
            for (j, port) in list(rule, "ports").iter().enumerate() {
                errors.extend(policy_port(&format!("{path}.ports[{j}]"), port));
            }
            for (j, entry) in list(rule, peers).iter().enumerate() {
                errors.extend(peer(&format!("{path}.{peers}[{j}]"), entry));
            }
        }
    }
    let types = list(spec, "policyTypes");
    if types.len() > 2 {
        errors.push(FieldError::invalid("spec.policyTypes", json!(types), "may not specify more than two policyTypes"));
        return errors;
    }
    for (i, kind) in types.iter().enumerate() {
        if kind != "Ingress" && kind != "Egress" {
            let path = format!("spec.policyTypes[{i}]");
            errors.push(FieldError::not_supported(path, kind.clone(), &["Ingress", "Egress"]));
        }
    }
    errors
}

fn policy_port(path: &str, port: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let protocol = text(port, "protocol");
    if !protocol.is_empty() && !PROTOCOLS.contains(&protocol) {
        errors.push(FieldError::not_supported(format!("{path}.protocol"), protocol, PROTOCOLS));
    }
    let end = port["endPort"].as_i64();
    let end_path = format!("{path}.endPort");
    match &port["port"] {
        Value::Number(n) => {
            let first = n.as_i64().unwrap_or(0);
            errors.extend(port_number(&format!("{path}.port"), first));
            if let Some(end) = end {
                if end < first {
                    errors.push(FieldError::invalid(&end_path, end, "must be greater than or equal to `port`"));
                }
                errors.extend(port_number(&end_path, end));
            }
        }
        Value::String(name) => {
            if let Some(end) = end {
                errors.push(FieldError::invalid(&end_path, end, "may not be specified when `port` is non-numeric"));
            }
            errors.extend(invalid(&format!("{path}.port"), name, names::port_name(name)));
        }
        _ => {
            if let Some(end) = end {
                errors.push(FieldError::invalid(&end_path, end, "may not be specified when `port` is not specified"));
            }
        }
    }
    errors
}

fn peer(path: &str, peer: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut count = 0;
    for field in ["podSelector", "namespaceSelector"] {
        if peer[field].is_object() {
            count += 1;
            errors.extend(label_selector(&format!("{path}.{field}"), &peer[field]));
        }
    }
    let block = &peer["ipBlock"];
    if block.is_object() {
        count += 1;
        errors.extend(ip_block(&format!("{path}.ipBlock"), block));
    }
    if count == 0 {
        errors.push(FieldError::required(path, "must specify a peer"));
    } else if count > 1 && block.is_object() {
        errors.push(FieldError::forbidden(path, "may not specify both ipBlock and another peer"));
    }
    errors
}

fn ip_block(path: &str, block: &Value) -> Vec<FieldError> {
    let whole = text(block, "cidr");
    if whole.is_empty() {
        return vec![FieldError::required(format!("{path}.cidr"), "")];
    }
    let mut errors = cidr(&format!("{path}.cidr"), whole);
    let Ok(whole) = whole.parse::<IpNet>() else { return errors };
    for (i, except) in list(block, "except").iter().enumerate() {
        let except = except.as_str().unwrap_or("");
        let at = format!("{path}.except[{i}]");
        errors.extend(cidr(&at, except));
        if let Ok(net) = except.parse::<IpNet>()
            && (!whole.contains(&net.addr()) || whole.prefix_len() >= net.prefix_len())
        {
            errors.push(FieldError::invalid(&at, except, "must be a strict subset of `cidr`"));
        }
    }
    errors
}
