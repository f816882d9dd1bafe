//! Rules of a pod's containers: what all kinds of them share, and what regular, init and sidecar containers may have
//! besides (`validateContainerCommon`, `validateContainers`, `validateInitContainers`).

use serde_json::Value;

use super::environment::environment;
use super::probes::{lifecycle, probe};
use super::{mounts, security};
use crate::field::FieldError;
use crate::names;
use crate::validate::resources::container_resources;
use crate::validate::{invalid, list, number, port_number, protocol, text};

/// What containers are judged beside: their pod's spec, and the names of its claims of devices.
pub(super) struct Around<'a> {
    /// The pod's spec.
    pub(super) spec: &'a Value,
    claims: Vec<&'a str>,
}

impl<'a> Around<'a> {
    /// The surroundings of a spec's containers.
    pub(super) fn of(spec: &'a Value) -> Self {
        Self { spec, claims: list(spec, "resourceClaims").iter().map(|claim| text(claim, "name")).collect() }
    }
}

/// The regular and init containers of a spec at `path`.
pub(super) fn containers(path: &str, around: &Around<'_>) -> Vec<FieldError> {
    let (regular, init) = (list(around.spec, "containers"), list(around.spec, "initContainers"));
    let at = format!("{path}.containers");
    let mut errors = Vec::new();
    let mut seen: Vec<&str> = Vec::new();
    if regular.is_empty() {
        errors.push(FieldError::required(&at, ""));
    }
    for (i, container) in regular.iter().enumerate() {
        let at = format!("{at}[{i}]");
        errors.extend(common(&at, container, around));
        errors.extend(known(&at, text(container, "name"), &mut seen));
        errors.extend(work(&at, container, around.spec));
        errors.extend(restarts(&at, container));
    }
    errors.extend(host_ports(&at, regular));
    for (i, container) in init.iter().enumerate() {
        let all = format!("{path}.initContainers");
        let at = format!("{all}[{i}]");
        let sidecar = container["restartPolicy"] == "Always";
        errors.extend(common(&at, container, around));
        errors.extend(restarts(&at, container));
        errors.extend(known(&at, text(container, "name"), &mut seen));
        errors.extend(host_ports(&all, std::slice::from_ref(container)));
        if sidecar {
            errors.extend(work(&at, container, around.spec));
            continue;
        }
        for field in ["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"] {
            if container[field].is_object() {
                let words = "may not be set for init containers without restartPolicy=Always";
                errors.push(FieldError::forbidden(format!("{at}.{field}"), words));
            }
        }
        for (j, policy) in list(container, "resizePolicy").iter().enumerate() {
            if policy["restartPolicy"] == "RestartContainer" {
                let words = "must not be set to 'RestartContainer' for non-sidecar initContainers";
                let at = format!("{at}.resizePolicy[{j}].restartPolicy");
                errors.push(FieldError::invalid(at, "RestartContainer", words));
            }
        }
    }
    errors
}

fn known<'a>(at: &str, name: &'a str, seen: &mut Vec<&'a str>) -> Option<FieldError> {
    let twice = seen.contains(&name);
    seen.push(name);
    twice.then(|| FieldError::duplicate(format!("{at}.name"), name))
}

/// What containers have that are there for the pod's work.
fn work(at: &str, container: &Value, spec: &Value) -> Vec<FieldError> {
    let mut errors = lifecycle(&format!("{at}.lifecycle"), &container["lifecycle"], spec);
    for kind in ["livenessProbe", "readinessProbe", "startupProbe"] {
        errors.extend(probe(&format!("{at}.{kind}"), &container[kind], spec));
    }
    errors
}

/// What every container must say and may have.
pub(super) fn common(at: &str, container: &Value, around: &Around<'_>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let name = text(container, "name");
    if name.is_empty() {
        errors.push(FieldError::required(format!("{at}.name"), ""));
    } else {
        errors.extend(invalid(&format!("{at}.name"), name, names::label(name)));
    }
    if text(container, "image").is_empty() {
        errors.push(FieldError::required(format!("{at}.image"), ""));
    }
    errors.extend(choice(at, container, "terminationMessagePolicy", &["FallbackToLogsOnError", "File"]));
    errors.extend(ports(&format!("{at}.ports"), list(container, "ports")));
    errors.extend(environment(at, container));
    errors.extend(mounts::mounts(&format!("{at}.volumeMounts"), container, list(around.spec, "volumes")));
    errors.extend(mounts::devices(&format!("{at}.volumeDevices"), container, list(around.spec, "volumes")));
    errors.extend(choice(at, container, "imagePullPolicy", &["Always", "IfNotPresent", "Never"]));
    errors.extend(container_resources(&format!("{at}.resources"), &container["resources"], &around.claims));
    errors.extend(resize_policy(&format!("{at}.resizePolicy"), container, text(around.spec, "restartPolicy")));
    let own_users = around.spec["hostUsers"] == false;
    errors.extend(security::of_container(&format!("{at}.securityContext"), &container["securityContext"], own_users));
    errors
}

/// One of a few words, which must be there.
fn choice(at: &str, object: &Value, field: &str, supported: &[&str]) -> Option<FieldError> {
    let at = format!("{at}.{field}");
    match text(object, field) {
        "" => Some(FieldError::required(at, "")),
        said if supported.contains(&said) => None,
        other => Some(FieldError::not_supported(at, other, supported)),
    }
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

fn host_ports(path: &str, containers: &[Value]) -> Vec<FieldError> {
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

/// What happens to a container whose resources change. Upstream names the list, not the entry.
fn resize_policy(at: &str, container: &Value, pod_restarts: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let policies = list(container, "resizePolicy");
    for (i, policy) in policies.iter().enumerate() {
        let (resource, restart) = (text(policy, "resourceName"), text(policy, "restartPolicy"));
        if policies[..i].iter().any(|other| other["resourceName"] == resource) {
            errors.push(FieldError::duplicate(format!("{at}[{i}]"), resource));
        }
        for (said, supported) in [(resource, ["cpu", "memory"]), (restart, ["NotRequired", "RestartContainer"])] {
            match said {
                "" => errors.push(FieldError::required(at, "")),
                said if supported.contains(&said) => {}
                other => errors.push(FieldError::not_supported(at, other, &supported)),
            }
        }
        if pod_restarts == "Never" && restart != "NotRequired" {
            let words = "must be 'NotRequired' when pod `restartPolicy` is 'Never'";
            errors.push(FieldError::invalid(at, restart, words));
        }
    }
    errors
}

/// A container's own restart policy and its rules by exit codes (KEP-5307).
fn restarts(at: &str, container: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let rules = list(container, "restartPolicyRules");
    let path = format!("{at}.restartPolicy");
    match container["restartPolicy"].as_str() {
        None if rules.is_empty() => return errors,
        None => errors.push(FieldError::required(path, "must specify restartPolicy when restart rules are used")),
        Some("Always" | "Never" | "OnFailure") => {}
        Some(other) => errors.push(FieldError::not_supported(path, other, &["Always", "Never", "OnFailure"])),
    }
    if rules.len() > 20 {
        errors.push(FieldError::too_many(format!("{at}.restartPolicyRules"), rules.len(), 20));
    }
    for (i, rule) in rules.iter().enumerate() {
        let at = format!("{at}.restartPolicyRules[{i}]");
        let action = text(rule, "action");
        if !matches!(action, "Restart" | "RestartAllContainers") {
            let supported = ["Restart", "RestartAllContainers"];
            errors.push(FieldError::not_supported(format!("{at}.action"), action, &supported));
        }
        let codes = &rule["exitCodes"];
        if !codes.is_object() {
            errors.push(FieldError::required(format!("{at}.exitCodes"), "must be specified"));
            continue;
        }
        let operator = text(codes, "operator");
        if !matches!(operator, "In" | "NotIn") {
            errors.push(FieldError::not_supported(format!("{at}.exitCodes.operator"), operator, &["In", "NotIn"]));
        }
        let values = list(codes, "values").len();
        if values > 255 {
            errors.push(FieldError::too_many(format!("{at}.exitCodes.values"), values, 255));
        }
    }
    errors
}
