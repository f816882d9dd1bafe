//! Rules of pods and pod templates: names, volumes, containers, where pods may run, DNS, and what an update may change.

mod container;
mod dns;
mod environment;
mod ephemeral;
mod mounts;
mod placement;
mod probes;
mod projected;
mod resize;
mod security;
mod sources;
mod update;

use container::{Around, containers};
pub use ephemeral::ephemeral_containers;
pub(super) use placement::{node_term, tolerates};
pub use resize::resize;
use serde_json::Value;
use sources::volumes;
use update::update;

use super::resources::{overhead, pod_claims, pod_resources};
use super::{invalid, list, non_negative, number, text};
use crate::field::FieldError;
use crate::names;

/// A Pod.
pub fn pod(new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = own_annotations("metadata.annotations", &new["metadata"]["annotations"]);
    if let Some(old) = old
        && !own_annotations("", &old["metadata"]["annotations"]).is_empty()
    {
        errors.clear();
    }
    errors.extend(pod_spec("spec", &new["spec"], true));
    errors.extend(only_pods(new));
    let Some(old) = old else {
        if !list(&new["spec"], "ephemeralContainers").is_empty() {
            errors.push(FieldError::forbidden("spec.ephemeralContainers", "cannot be set on create"));
        }
        if !text(&new["spec"], "nodeName").is_empty() && !list(&new["spec"], "schedulingGates").is_empty() {
            let words = "cannot be set until all schedulingGates have been cleared";
            errors.push(FieldError::forbidden("spec.nodeName", words));
        }
        return errors;
    };
    errors.extend(mirrored(&new["metadata"]["annotations"], &old["metadata"]["annotations"]));
    errors.extend(update(&new["spec"], &old["spec"]));
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
    errors.extend(own_annotations(&format!("{path}.metadata.annotations"), &metadata["annotations"]));
    errors.extend(pod_spec(&format!("{path}.spec"), &template["spec"], false));
    if !list(&template["spec"], "ephemeralContainers").is_empty() {
        let words = "ephemeral containers not allowed in pod template";
        errors.push(FieldError::forbidden(format!("{path}.spec.ephemeralContainers"), words));
    }
    errors
}

fn pod_spec(path: &str, spec: &Value, is_pod: bool) -> Vec<FieldError> {
    let mut errors = volumes(&format!("{path}.volumes"), list(spec, "volumes"));
    errors.extend(pod_claims(&format!("{path}.resourceClaims"), list(spec, "resourceClaims")));
    errors.extend(containers(path, &Around::of(spec)));
    errors.extend(pod_resources(path, spec));
    errors.extend(host_network(path, spec, is_pod));
    match text(spec, "restartPolicy") {
        "" => errors.push(FieldError::required(format!("{path}.restartPolicy"), "")),
        "Always" | "OnFailure" | "Never" => {}
        other => errors.push(FieldError::not_supported(
            format!("{path}.restartPolicy"),
            other,
            &["Always", "Never", "OnFailure"],
        )),
    }
    errors.extend(dns::policy(path, spec));
    errors.extend(crate::meta::labels(&format!("{path}.nodeSelector"), &spec["nodeSelector"]));
    errors.extend(security::pod(path, spec));
    errors.extend(dns::config(path, spec));
    for (i, gate) in list(spec, "readinessGates").iter().enumerate() {
        let kind = text(gate, "conditionType");
        let at = format!("{path}.readinessGates[{i}].conditionType");
        errors.extend(invalid(&at, kind, names::qualified_name(kind)));
    }
    errors.extend(placement::placement(path, spec));
    errors.extend(security::users(path, spec));
    errors.extend(hostname_override(path, spec));
    for (field, rule) in [
        ("serviceAccountName", names::subdomain as fn(&str) -> Vec<String>),
        ("nodeName", names::subdomain),
        ("hostname", names::label),
        ("subdomain", names::label),
        ("priorityClassName", names::subdomain),
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
    for (i, alias) in list(spec, "hostAliases").iter().enumerate() {
        let ip = text(alias, "ip");
        errors.extend(invalid(&format!("{path}.hostAliases[{i}].ip"), ip, names::ip(ip)));
        for (j, host) in list(alias, "hostnames").iter().enumerate() {
            let host = host.as_str().unwrap_or("");
            let at = format!("{path}.hostAliases[{i}].hostnames[{j}]");
            errors.extend(invalid(&at, host, names::subdomain(host)));
        }
    }
    if let Some(class) = spec["runtimeClassName"].as_str() {
        errors.extend(invalid(&format!("{path}.runtimeClassName"), class, names::subdomain(class)));
    }
    if let Some(policy) = spec["preemptionPolicy"].as_str()
        && !matches!(policy, "PreemptLowerPriority" | "Never")
    {
        let supported = ["Never", "PreemptLowerPriority"];
        errors.push(FieldError::not_supported(format!("{path}.preemptionPolicy"), policy, &supported));
    }
    errors.extend(overhead(&format!("{path}.overhead"), &spec["overhead"]));
    errors.extend(security::system(path, spec));
    errors.extend(environment::file_volumes(path, spec));
    errors
}

/// Rules of pods that templates are not held to.
fn only_pods(pod: &Value) -> Vec<FieldError> {
    let spec = &pod["spec"];
    let mut errors = Vec::new();
    for (i, volume) in list(spec, "volumes").iter().enumerate() {
        let (name, pod) = (text(volume, "name"), crate::meta::name(pod));
        if volume["ephemeral"].is_object() && !name.is_empty() && !pod.is_empty() {
            let claim = format!("{pod}-{name}");
            let complaints = names::subdomain(&claim).into_iter().map(|why| format!("PVC name {claim:?}: {why}"));
            errors.extend(invalid(&format!("spec.volumes[{i}].name"), name, complaints.collect()));
        }
    }
    errors.extend(non_negative(spec, "terminationGracePeriodSeconds", "spec"));
    for field in ["containers", "initContainers"] {
        for (i, container) in list(spec, field).iter().enumerate() {
            errors.extend(padded(&format!("spec.{field}[{i}]"), container));
        }
    }
    errors
}

/// An image between spaces, which templates may have.
fn padded(at: &str, container: &Value) -> Option<FieldError> {
    let image = text(container, "image");
    let words = "must not have leading or trailing whitespace";
    (image.trim() != image).then(|| FieldError::invalid(format!("{at}.image"), image, words))
}

/// Annotations that Kubernetes reads of pods.
pub(super) fn own_annotations(path: &str, annotations: &Value) -> Vec<FieldError> {
    const COST: &str = "controller.kubernetes.io/pod-deletion-cost";
    let Some(cost) = annotations[COST].as_str() else { return Vec::new() };
    // A plus and leading zeros are nothing that Go would write.
    let plain = cost == "0" || !cost.starts_with(['0', '+']);
    match cost.parse::<i32>() {
        Ok(_) if plain => Vec::new(),
        _ => vec![FieldError::invalid(format!("{path}[{COST}]"), cost, "must be a 32bit integer")],
    }
}

/// Whether a pod mirrors one that its node has from elsewhere is said when it is made.
fn mirrored(new: &Value, old: &Value) -> Option<FieldError> {
    const MIRROR: &str = "kubernetes.io/config.mirror";
    let words = match (&old[MIRROR], &new[MIRROR]) {
        (before, after) if before == after => return None,
        (Value::Null, _) => "may not add mirror pod annotation",
        _ => "may not remove or update mirror pod annotation",
    };
    Some(FieldError::forbidden(format!("metadata.annotations[{MIRROR}]"), words))
}

/// Where the node's network is the pod's, ports are the node's too.
fn host_network(path: &str, spec: &Value, is_pod: bool) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (i, container) in list(spec, "containers").iter().enumerate().filter(|_| spec["hostNetwork"] == true) {
        for (j, port) in list(container, "ports").iter().enumerate() {
            let (host, own) = (number(port, "hostPort"), number(port, "containerPort"));
            if (is_pod || host != 0) && host != own {
                let at = format!("{path}.containers[{i}].ports[{j}].hostPort");
                let words = "must match `containerPort` when `hostNetwork` is true";
                errors.push(FieldError::invalid(at, host, words));
            }
        }
    }
    errors
}

fn hostname_override(path: &str, spec: &Value) -> Vec<FieldError> {
    let at = format!("{path}.hostnameOverride");
    let Some(name) = spec["hostnameOverride"].as_str() else { return Vec::new() };
    let mut errors = Vec::new();
    for (field, words) in [
        ("setHostnameAsFQDN", "may not be specified when setHostnameAsFQDN is true"),
        ("hostNetwork", "may not be specified when hostNetwork is true"),
    ] {
        if spec[field] == true {
            errors.push(FieldError::forbidden(&at, words));
        }
    }
    if name.len() > 64 {
        errors.push(FieldError::too_long(&at, 64));
    }
    errors.extend(invalid(&at, name, names::subdomain(name)));
    errors
}
