//! Rules of pods and pod templates: names, images, ports, environment, probes, volumes, DNS, and what an update may
//! change.

mod environment;
mod ephemeral;
mod placement;
mod projected;
mod resize;
mod security;
mod sources;
mod update;

use environment::environment;
pub use ephemeral::ephemeral_containers;
pub(super) use placement::node_term;
pub use resize::resize;
use serde_json::Value;
use sources::volumes;
use update::update;

use super::resources::{container_resources, overhead, pod_claims, pod_resources};
use super::{invalid, list, non_negative, number, port_number, port_or_name, protocol, text};
use crate::field::FieldError;
use crate::names;

/// A Pod.
pub fn pod(new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = pod_spec("spec", &new["spec"]);
    match old {
        Some(old) => errors.extend(update(&new["spec"], &old["spec"])),
        None if !list(&new["spec"], "ephemeralContainers").is_empty() => {
            errors.push(FieldError::forbidden("spec.ephemeralContainers", "cannot be set on create"));
        }
        None => {}
    }
    errors
}

/// A pod template at a path.
pub(super) fn pod_template(path: &str, template: &Value) -> Vec<FieldError> {
    pod_template_with(path, template, &[])
}

/// A pod template whose pods get further volumes from their owner, which replace those of the same name.
pub(super) fn pod_template_with(path: &str, template: &Value, own: &[Value]) -> Vec<FieldError> {
    let mut replaced;
    let template = if own.is_empty() {
        template
    } else {
        replaced = template.clone();
        let kept = list(&template["spec"], "volumes").iter().filter(|v| !own.iter().any(|o| o["name"] == v["name"]));
        replaced["spec"]["volumes"] = own.iter().chain(kept).cloned().collect();
        &replaced
    };
    let metadata = &template["metadata"];
    let mut errors = crate::meta::labels(&format!("{path}.metadata.labels"), &metadata["labels"]);
    errors.extend(crate::meta::annotations(&format!("{path}.metadata.annotations"), &metadata["annotations"]));
    errors.extend(pod_spec(&format!("{path}.spec"), &template["spec"]));
    errors
}

fn pod_spec(path: &str, spec: &Value) -> Vec<FieldError> {
    let mut errors = volumes(&format!("{path}.volumes"), list(spec, "volumes"));
    let claims: Vec<&str> = list(spec, "resourceClaims").iter().map(|claim| text(claim, "name")).collect();
    errors.extend(pod_claims(&format!("{path}.resourceClaims"), list(spec, "resourceClaims")));
    if list(spec, "containers").is_empty() {
        errors.push(FieldError::required(format!("{path}.containers"), ""));
    }
    let mut seen: Vec<&str> = Vec::new();
    for field in ["containers", "initContainers"] {
        for (i, entry) in list(spec, field).iter().enumerate() {
            let at = format!("{path}.{field}[{i}]");
            errors.extend(container(&at, entry, list(spec, "volumes"), &claims));
            let name = text(entry, "name");
            if seen.contains(&name) {
                errors.push(FieldError::duplicate(format!("{at}.name"), name));
            }
            seen.push(name);
        }
    }
    errors.extend(pod_resources(path, spec));
    errors.extend(overhead(&format!("{path}.overhead"), &spec["overhead"]));
    errors.extend(host_port_conflicts(&format!("{path}.containers"), list(spec, "containers")));
    match text(spec, "restartPolicy") {
        "" => errors.push(FieldError::required(format!("{path}.restartPolicy"), "")),
        "Always" | "OnFailure" | "Never" => {}
        other => errors.push(FieldError::not_supported(
            format!("{path}.restartPolicy"),
            other,
            &["Always", "Never", "OnFailure"],
        )),
    }
    errors.extend(dns(path, spec));
    errors.extend(security::pod(path, spec));
    errors.extend(placement::placement(path, spec));
    errors.extend(non_negative(spec, "terminationGracePeriodSeconds", path));
    for (field, rule) in [
        ("nodeName", names::subdomain as fn(&str) -> Vec<String>),
        ("serviceAccountName", names::subdomain),
        ("hostname", names::label),
        ("subdomain", names::label),
    ] {
        let value = text(spec, field);
        if !value.is_empty() {
            errors.extend(invalid(&format!("{path}.{field}"), value, rule(value)));
        }
    }
    if let Some(seconds) = spec["activeDeadlineSeconds"].as_i64()
        && !(1..=i64::from(i32::MAX)).contains(&seconds)
    {
        let words = format!("must be between 1 and {}, inclusive", i32::MAX);
        errors.push(FieldError::invalid(format!("{path}.activeDeadlineSeconds"), seconds, words));
    }
    errors.extend(crate::meta::labels(&format!("{path}.nodeSelector"), &spec["nodeSelector"]));
    for (i, alias) in list(spec, "hostAliases").iter().enumerate() {
        let ip = text(alias, "ip");
        errors.extend(invalid(&format!("{path}.hostAliases[{i}].ip"), ip, names::ip(ip)));
        for (j, host) in list(alias, "hostnames").iter().enumerate() {
            let host = host.as_str().unwrap_or("");
            let at = format!("{path}.hostAliases[{i}].hostnames[{j}]");
            errors.extend(invalid(&at, host, names::subdomain(host)));
        }
    }
    errors
}

fn container(path: &str, container: &Value, volumes: &[Value], claims: &[&str]) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let name = text(container, "name");
    if name.is_empty() {
        errors.push(FieldError::required(format!("{path}.name"), ""));
    } else {
        errors.extend(invalid(&format!("{path}.name"), name, names::label(name)));
    }
    if text(container, "image").is_empty() {
        errors.push(FieldError::required(format!("{path}.image"), ""));
    }
    for (field, supported) in [
        ("terminationMessagePolicy", &["FallbackToLogsOnError", "File"] as &[&str]),
        ("imagePullPolicy", &["Always", "IfNotPresent", "Never"]),
    ] {
        match text(container, field) {
            "" => errors.push(FieldError::required(format!("{path}.{field}"), "")),
            known if supported.contains(&known) => {}
            other => errors.push(FieldError::not_supported(format!("{path}.{field}"), other, supported)),
        }
    }
    errors.extend(container_resources(&format!("{path}.resources"), &container["resources"], claims));
    errors.extend(ports(&format!("{path}.ports"), list(container, "ports")));
    errors.extend(environment(path, container));
    errors.extend(mounts(&format!("{path}.volumeMounts"), list(container, "volumeMounts"), volumes));
    for (field, one_success) in [("livenessProbe", true), ("readinessProbe", false), ("startupProbe", true)] {
        let probe = &container[field];
        if probe.is_object() {
            let at = format!("{path}.{field}");
            errors.extend(handler(&at, probe, &["exec", "httpGet", "tcpSocket", "grpc"]));
            for number in
                ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"]
            {
                errors.extend(non_negative(probe, number, &at));
            }
            let successes = number(probe, "successThreshold");
            if one_success && successes != 1 {
                errors.push(FieldError::invalid(format!("{at}.successThreshold"), successes, "must be 1"));
            }
        }
    }
    for hook in ["postStart", "preStop"] {
        let lifecycle = &container["lifecycle"][hook];
        if lifecycle.is_object() {
            let at = format!("{path}.lifecycle.{hook}");
            errors.extend(handler(&at, lifecycle, &["exec", "httpGet", "tcpSocket", "sleep"]));
        }
    }
    errors
}

fn ports(path: &str, ports: &[Value]) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut seen: Vec<&str> = Vec::new();
    for (i, port) in ports.iter().enumerate() {
        let at = |field: &str| format!("{path}[{i}].{field}");
        let name = text(port, "name");
        if !name.is_empty() {
            let complaints = names::port_name(name);
            if complaints.is_empty() {
                if seen.contains(&name) {
                    errors.push(FieldError::duplicate(at("name"), name));
                }
                seen.push(name);
            }
            errors.extend(invalid(&at("name"), name, complaints));
        }
        match number(port, "containerPort") {
            0 => errors.push(FieldError::required(at("containerPort"), "")),
            n => errors.extend(port_number(&at("containerPort"), n)),
        }
        let host = number(port, "hostPort");
        if host != 0 {
            errors.extend(port_number(&at("hostPort"), host));
        }
        errors.extend(protocol(&at("protocol"), text(port, "protocol")));
    }
    errors
}

fn host_port_conflicts(path: &str, containers: &[Value]) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut seen: Vec<String> = Vec::new();
    for (i, container) in containers.iter().enumerate() {
        for (j, port) in list(container, "ports").iter().enumerate() {
            let host = number(port, "hostPort");
            if host == 0 {
                continue;
            }
            let key = format!("{}/{}/{host}", text(port, "protocol"), text(port, "hostIP"));
            if seen.contains(&key) {
                errors.push(FieldError::duplicate(format!("{path}[{i}].ports[{j}].hostPort"), key));
            } else {
                seen.push(key);
            }
        }
    }
    errors
}

fn mounts(path: &str, mounts: &[Value], volumes: &[Value]) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (i, mount) in mounts.iter().enumerate() {
        let name = text(mount, "name");
        if name.is_empty() {
            errors.push(FieldError::required(format!("{path}[{i}].name"), ""));
        }
        if !volumes.iter().any(|v| v["name"] == name) {
            errors.push(FieldError::not_found(format!("{path}[{i}].name"), name));
        }
        let target = text(mount, "mountPath");
        if target.is_empty() {
            errors.push(FieldError::required(format!("{path}[{i}].mountPath"), ""));
        }
        if mounts[..i].iter().any(|m| m["mountPath"] == target) {
            errors.push(FieldError::invalid(format!("{path}[{i}].mountPath"), target, "must be unique"));
        }
    }
    errors
}

fn handler(path: &str, handler: &Value, kinds: &[&str]) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut count = 0;
    for kind in kinds {
        let action = &handler[*kind];
        if !action.is_object() {
            continue;
        }
        let at = format!("{path}.{kind}");
        count += 1;
        if count > 1 {
            errors.push(FieldError::forbidden(at, "may not specify more than 1 handler type"));
            continue;
        }
        match *kind {
            "exec" if list(action, "command").is_empty() => {
                errors.push(FieldError::required(format!("{at}.command"), ""));
            }
            "httpGet" => {
                if text(action, "path").is_empty() {
                    errors.push(FieldError::required(format!("{at}.path"), ""));
                }
                errors.extend(port_or_name(&format!("{at}.port"), &action["port"]));
                let scheme = text(action, "scheme");
                if !matches!(scheme, "HTTP" | "HTTPS") {
                    errors.push(FieldError::not_supported(format!("{at}.scheme"), scheme, &["HTTP", "HTTPS"]));
                }
            }
            "tcpSocket" => errors.extend(port_or_name(&format!("{at}.port"), &action["port"])),
            "grpc" => errors.extend(port_number(&format!("{at}.port"), number(action, "port"))),
            _ => {}
        }
    }
    if count == 0 {
        errors.push(FieldError::required(path, "must specify a handler type"));
    }
    errors
}

fn dns(path: &str, spec: &Value) -> Vec<FieldError> {
    const POLICIES: &[&str] = &["ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"];
    let mut errors = Vec::new();
    let policy = text(spec, "dnsPolicy");
    if policy.is_empty() {
        errors.push(FieldError::required(format!("{path}.dnsPolicy"), ""));
    } else if !POLICIES.contains(&policy) {
        errors.push(FieldError::not_supported(format!("{path}.dnsPolicy"), policy, POLICIES));
    }
    let config = &spec["dnsConfig"];
    let servers = list(config, "nameservers");
    if policy == "None" {
        if !config.is_object() {
            let words = "must provide `dnsConfig` when `dnsPolicy` is None";
            return vec![FieldError::required(format!("{path}.dnsConfig"), words)];
        }
        if servers.is_empty() {
            let words = "must provide at least one DNS nameserver when `dnsPolicy` is None";
            return vec![FieldError::required(format!("{path}.dnsConfig.nameservers"), words)];
        }
    }
    if servers.len() > 3 {
        let words = "must not have more than 3 nameservers";
        errors.push(FieldError::invalid(
            format!("{path}.dnsConfig.nameservers"),
            Value::Array(servers.to_vec()),
            words,
        ));
    }
    for (i, server) in servers.iter().enumerate() {
        let server = server.as_str().unwrap_or("");
        errors.extend(invalid(&format!("{path}.dnsConfig.nameservers[{i}]"), server, names::ip(server)));
    }
    let searches = list(config, "searches");
    if searches.len() > 32 {
        let words = "must not have more than 32 search paths";
        let value = Value::Array(searches.to_vec());
        errors.push(FieldError::invalid(format!("{path}.dnsConfig.searches"), value, words));
    }
    for (i, search) in searches.iter().enumerate() {
        let search = search.as_str().unwrap_or("");
        let bare = search.strip_suffix('.').unwrap_or(search);
        if search != "." {
            // Underscores are allowed inside labels of search paths.
            let complaints = names::subdomain(&bare.replace('_', "-"));
            errors.extend(invalid(&format!("{path}.dnsConfig.searches[{i}]"), bare, complaints));
        }
    }
    for (i, option) in list(config, "options").iter().enumerate() {
        if text(option, "name").is_empty() {
            errors.push(FieldError::required(format!("{path}.dnsConfig.options[{i}]"), "must not be empty"));
        }
    }
    errors
}
