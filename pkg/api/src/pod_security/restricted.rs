//! The checks of the level `restricted`, beside those that it shares with `baseline`.

use std::collections::BTreeSet;

use serde_json::Value;

use super::baseline::{seccomp, unset};
use super::{Check, Failure, about, called, containers, name, plural, quoted, setters, those};

/// In the order of their names.
pub(super) const CHECKS: &[Check] =
    &[privilege_escalation, capabilities, volumes, run_as_non_root, run_as_user, seccomp_profile];

const VOLUMES: &[&str] = &[
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "image",
    "persistentVolumeClaim",
    "projected",
    "secret",
];

fn is_windows(pod: &Value) -> bool {
    pod["spec"]["os"]["name"] == "windows"
}

fn privilege_escalation(pod: &Value) -> Option<Failure> {
    let who = those(pod, |container| container["securityContext"]["allowPrivilegeEscalation"] != false);
    let who = if is_windows(pod) { Vec::new() } else { who };
    let rest = "must set securityContext.allowPrivilegeEscalation=false";
    about("allowPrivilegeEscalation != false", &who, rest)
}

fn capabilities(pod: &Value) -> Option<Failure> {
    if is_windows(pod) {
        return None;
    }
    let list = |container: &Value, field: &str| -> Vec<String> {
        let all = container["securityContext"]["capabilities"][field].as_array().into_iter().flatten();
        all.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let keeps = those(pod, |container| !list(container, "drop").iter().any(|c| c == "ALL"));
    let added = |container: &Value| -> Vec<String> {
        list(container, "add").into_iter().filter(|c| c != "NET_BIND_SERVICE").collect()
    };
    let adds = those(pod, |container| !added(container).is_empty());
    let mut details = Vec::new();
    if !keeps.is_empty() {
        details.push(format!("{} must set securityContext.capabilities.drop=[\"ALL\"]", called(&keeps)));
    }
    if !adds.is_empty() {
        let all: BTreeSet<String> = containers(pod).flat_map(added).collect();
        details.push(format!("{} must not include {} in securityContext.capabilities.add", called(&adds), quoted(all)));
    }
    let reason = "unrestricted capabilities".to_owned();
    (!details.is_empty()).then(|| Failure { reason, detail: details.join("; ") })
}

fn volumes(pod: &Value) -> Option<Failure> {
    let kind = |volume: &Value| volume.as_object().and_then(|map| map.keys().find(|key| *key != "name")).cloned();
    let bad: Vec<&Value> = pod["spec"]["volumes"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|volume| kind(volume).is_some_and(|kind| !VOLUMES.contains(&kind.as_str())))
        .collect();
    let kinds: BTreeSet<String> = bad.iter().filter_map(|volume| kind(volume)).collect();
    let detail = format!(
        "{} {} {} {} {}",
        plural("volume", "volumes", bad.len()),
        quoted(bad.iter().map(|volume| name(volume))),
        plural("uses", "use", bad.len()),
        plural("restricted volume type", "restricted volume types", kinds.len()),
        quoted(kinds)
    );
    (!bad.is_empty()).then(|| Failure { reason: "restricted volume types".into(), detail })
}

/// A pod in a user namespace of its own may be root there.
fn has_own_users(pod: &Value) -> bool {
    pod["spec"]["hostUsers"] == false
}

fn run_as_non_root(pod: &Value) -> Option<Failure> {
    if has_own_users(pod) {
        return None;
    }
    let reason = "runAsNonRoot != true";
    if let Some((who, _)) = setters(pod, |context| (context["runAsNonRoot"] == false).then(String::new)) {
        let detail = format!("{who} must not set securityContext.runAsNonRoot=false");
        return Some(Failure { reason: reason.into(), detail });
    }
    if pod["spec"]["securityContext"]["runAsNonRoot"] == true {
        return None;
    }
    let who = those(pod, |container| container["securityContext"]["runAsNonRoot"].is_null());
    unset(reason, &who, "securityContext.runAsNonRoot=true")
}

fn run_as_user(pod: &Value) -> Option<Failure> {
    if has_own_users(pod) {
        return None;
    }
    let (who, _) = setters(pod, |context| (context["runAsUser"] == 0).then(String::new))?;
    Some(Failure { reason: "runAsUser=0".into(), detail: format!("{who} must not set runAsUser=0") })
}

fn seccomp_profile(pod: &Value) -> Option<Failure> {
    if is_windows(pod) {
        return None;
    }
    if let Some(failure) = seccomp(pod) {
        return Some(failure);
    }
    if pod["spec"]["securityContext"]["seccompProfile"]["type"].is_string() {
        return None;
    }
    let who = those(pod, |container| container["securityContext"]["seccompProfile"].is_null());
    unset("seccompProfile", &who, "securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\"")
}
