//! PodSecurity: namespaces say by their labels which Pod Security Standard their pods must keep (`enforce`), and which is
//! only warned about (`warn`). Pods that break what is enforced are refused; makers of pods are warned.

use minisvc_api::meta;
use minisvc_api::pod_security::{Level, violations};
use minisvc_api::status::Status;
use minisvc_store::Key;
use serde_json::Value;

use crate::call::Call;

/// `(level, version)` that a namespace asks for in a mode; privileged when it says nothing.
fn policy(namespace: &Value, mode: &str) -> (Level, String) {
    let label =
        |suffix: &str| namespace["metadata"]["labels"][format!("pod-security.kubernetes.io/{mode}{suffix}")].as_str();
    let level = label("").map_or(Some(Level::Privileged), Level::parse).unwrap_or(Level::Restricted);
    (level, label("-version").unwrap_or("latest").to_owned())
}

/// Where the pod of an object is: a pod itself, or a template.
fn template<'a>(resource: &str, object: &'a Value) -> Option<&'a Value> {
    Some(match resource {
        "podtemplates" => &object["template"],
        "replicationcontrollers"
        | "replicasets.apps"
        | "deployments.apps"
        | "statefulsets.apps"
        | "daemonsets.apps"
        | "jobs.batch" => &object["spec"]["template"],
        "cronjobs.batch" => &object["spec"]["jobTemplate"]["spec"]["template"],
        _ => return None,
    })
}

/// 403 for a pod that breaks what its namespace enforces.
fn enforce(namespace: &Value, pod: &Value) -> Result<(), Status> {
    let (enforced, version) = policy(namespace, "enforce");
    let Some(found) = violations(enforced, pod) else { return Ok(()) };
    let why = format!("violates PodSecurity \"{}:{version}\": {found}", enforced.word());
    Err(Status::forbidden_object("pods", meta::name(pod), &why))
}

/// Whether an update of a pod is looked at: another number of containers, another image, or a new ephemeral container
/// (`isSignificantPodUpdate`).
fn significant(new: &Value, old: &Value) -> bool {
    let list = |pod: &Value, field: &str| pod["spec"][field].as_array().cloned().unwrap_or_default();
    let differ = |field: &str| {
        let (new, old) = (list(new, field), list(old, field));
        new.len() != old.len() || new.iter().zip(&old).any(|(n, o)| n["image"] != o["image"])
    };
    let known = list(old, "ephemeralContainers");
    let added = |c: &Value| !known.iter().any(|o| o["name"] == c["name"] && o["image"] == c["image"]);
    differ("containers") || differ("initContainers") || list(new, "ephemeralContainers").iter().any(added)
}

/// 403 for a change of a pod that leaves it in breach of what its namespace enforces.
pub(crate) fn check_update(call: &Call, new: &Value, old: &Value) -> Result<(), Status> {
    if call.resource() != "pods" || !significant(new, old) {
        return Ok(());
    }
    let namespace = call.server.store.get(&Key::new("namespaces", "", call.namespace()));
    namespace.map_or(Ok(()), |namespace| enforce(&namespace.value, new))
}

/// 403 for a new pod that breaks what its namespace enforces; warnings for what it, or a maker of pods, would break.
pub(super) fn check(call: &Call, object: &Value) -> Result<Vec<String>, Status> {
    let resource = call.resource();
    let is_pod = resource == "pods";
    let Some(pod) = (if is_pod { Some(object) } else { template(&resource, object) }) else { return Ok(Vec::new()) };
    let key = Key::new("namespaces", "", call.namespace());
    let Some(namespace) = call.server.store.get(&key) else { return Ok(Vec::new()) };
    if is_pod {
        enforce(&namespace.value, pod)?;
    }
    let (warned, warn_version) = policy(&namespace.value, "warn");
    let warning = violations(warned, pod)
        .map(|found| format!("would violate PodSecurity \"{}:{warn_version}\": {found}", warned.word()));
    Ok(warning.into_iter().collect())
}
