//! Pod Security Standards: what is wrong with a pod under the levels `baseline` and `restricted`, in the words of
//! upstream's pod-security-admission (its newest version of every check). Pure.

mod baseline;
mod restricted;

use std::collections::BTreeSet;

use serde_json::Value;

/// How strict a namespace is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Anything goes.
    Privileged,
    /// No known way out of the container.
    Baseline,
    /// Hardened.
    Restricted,
}

impl Level {
    /// `None` for a word that is no level.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "privileged" => Some(Self::Privileged),
            "baseline" => Some(Self::Baseline),
            "restricted" => Some(Self::Restricted),
            _ => None,
        }
    }

    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Privileged => "privileged",
            Self::Baseline => "baseline",
            Self::Restricted => "restricted",
        }
    }
}

/// One failed check: `reason (detail)`.
struct Failure {
    reason: String,
    detail: String,
}

type Check = fn(&Value) -> Option<Failure>;

/// What a pod (`metadata` and `spec`, or a template of one) does that a level forbids, such as `host namespaces
/// (hostNetwork=true), hostPort (container "a" uses hostPort 80)`; `None` when it is fine.
pub fn violations(level: Level, pod: &Value) -> Option<String> {
    let checks: Vec<&Check> = match level {
        Level::Privileged => return None,
        Level::Baseline => baseline::SHARED.iter().chain(baseline::ALONE).collect(),
        Level::Restricted => baseline::SHARED.iter().chain(restricted::CHECKS).collect(),
    };
    let failures: Vec<String> =
        checks.iter().filter_map(|check| check(pod)).map(|f| format!("{} ({})", f.reason, f.detail)).collect();
    (!failures.is_empty()).then(|| failures.join(", "))
}

/// Every container of a pod, in the order of their start.
fn containers(pod: &Value) -> impl Iterator<Item = &Value> {
    ["initContainers", "containers", "ephemeralContainers"]
        .into_iter()
        .flat_map(|list| pod["spec"][list].as_array().into_iter().flatten())
}

fn name(object: &Value) -> String {
    object["name"].as_str().unwrap_or("").to_owned()
}

/// Names of the containers of which something holds.
fn those(pod: &Value, holds: impl Fn(&Value) -> bool) -> Vec<String> {
    containers(pod).filter(|container| holds(container)).map(name).collect()
}

fn quoted<S: AsRef<str>>(words: impl IntoIterator<Item = S>) -> String {
    words.into_iter().map(|word| crate::field::quote(word.as_ref())).collect::<Vec<_>>().join(", ")
}

/// `container "a"` or `containers "a", "b"`.
fn called(names: &[String]) -> String {
    format!("{} {}", plural("container", "containers", names.len()), quoted(names))
}

fn plural(one: &'static str, many: &'static str, count: usize) -> &'static str {
    if count == 1 { one } else { many }
}

/// `container "a" REST`, when some container is meant.
fn about(reason: &str, names: &[String], rest: &str) -> Option<Failure> {
    (!names.is_empty()).then(|| Failure { reason: reason.into(), detail: format!("{} {rest}", called(names)) })
}

/// Who sets a field of the security context to something bad: `pod and container "a"`, with the bad values.
fn setters(pod: &Value, bad: impl Fn(&Value) -> Option<String>) -> Option<(String, BTreeSet<String>)> {
    let mut values = BTreeSet::new();
    let mut who = Vec::new();
    if let Some(value) = bad(&pod["spec"]["securityContext"]) {
        who.push("pod".to_owned());
        values.insert(value);
    }
    let mut names = Vec::new();
    for container in containers(pod) {
        if let Some(value) = bad(&container["securityContext"]) {
            names.push(name(container));
            values.insert(value);
        }
    }
    if !names.is_empty() {
        who.push(called(&names));
    }
    (!who.is_empty()).then(|| (who.join(" and "), values))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(spec: Value, container: Value) -> Value {
        let mut spec = spec;
        let mut container = container;
        container["name"] = "a".into();
        spec["containers"] = json!([container]);
        json!({"spec": spec})
    }

    #[test]
    fn a_plain_pod_is_baseline_but_not_restricted() {
        let plain = pod(json!({}), json!({}));
        assert_eq!(violations(Level::Baseline, &plain), None);
        assert_eq!(
            violations(Level::Restricted, &plain).as_deref(),
            Some(
                "allowPrivilegeEscalation != false (container \"a\" must set \
                 securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (container \"a\" must set \
                 securityContext.capabilities.drop=[\"ALL\"]), runAsNonRoot != true (pod or container \"a\" must set \
                 securityContext.runAsNonRoot=true), seccompProfile (pod or container \"a\" must set \
                 securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\")"
            )
        );
        let good = pod(
            json!({"securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
                "volumes": [{"name": "v", "emptyDir": {}}]}),
            json!({"securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}}}),
        );
        assert_eq!(violations(Level::Restricted, &good), None);
        assert_eq!(violations(Level::Privileged, &plain), None);
    }

    #[test]
    fn each_way_out_is_named() {
        let cases = [
            (pod(json!({"hostNetwork": true}), json!({})), "host namespaces (hostNetwork=true)"),
            (
                pod(json!({"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}), json!({})),
                "hostPath volumes (volume \"v\")",
            ),
            (pod(json!({}), json!({"ports": [{"hostPort": 80}]})), "hostPort (container \"a\" uses hostPort 80)"),
            (
                pod(json!({}), json!({"securityContext": {"privileged": true}})),
                "privileged (container \"a\" must not set securityContext.privileged=true)",
            ),
            (
                pod(json!({}), json!({"securityContext": {"capabilities": {"add": ["NET_ADMIN"]}}})),
                "non-default capabilities (container \"a\" must not include \"NET_ADMIN\" in \
                 securityContext.capabilities.add)",
            ),
            (
                pod(json!({"securityContext": {"seccompProfile": {"type": "Unconfined"}}}), json!({})),
                "seccompProfile (pod must not set securityContext.seccompProfile.type to \"Unconfined\")",
            ),
            (
                pod(json!({"securityContext": {"sysctls": [{"name": "kernel.msgmax"}]}}), json!({})),
                "forbidden sysctls (kernel.msgmax)",
            ),
        ];
        for (pod, words) in cases {
            assert_eq!(violations(Level::Baseline, &pod).as_deref(), Some(words));
        }
        let root = pod(json!({"securityContext": {"runAsUser": 0}}), json!({}));
        let found = violations(Level::Restricted, &root).unwrap_or_default();
        assert!(found.contains("runAsUser=0 (pod must not set runAsUser=0)"), "{found}");
    }
}
