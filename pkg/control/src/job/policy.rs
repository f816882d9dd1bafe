//! What a Job's rules say of failed pods and succeeded indexes. Pure; follows Kubernetes' `pod_failure_policy.go` and
//! `success_policy.go`, texts included.

use k8s_openapi::api::batch::v1::{JobSpec, PodFailurePolicyOnExitCodesRequirement};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};

use super::indexes::Indexes;
use crate::pods;

/// What becomes of a failed pod.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It counts as a failure.
    Count,
    Ignore,
    FailIndex,
    /// The whole Job fails, with this message.
    FailJob(String),
}

/// Whether a pod counts as failed: ended so, or on its way out before it succeeded (unless only failed pods are
/// replaced).
pub(super) fn failed(spec: &JobSpec, pod: &Pod) -> bool {
    match pods::phase(pod) {
        "Failed" => true,
        "Succeeded" => false,
        _ => pods::terminating(pod) && !only_failed(spec),
    }
}

/// `podReplacementPolicy: Failed`.
pub(super) fn only_failed(spec: &JobSpec) -> bool {
    spec.pod_replacement_policy.as_deref() == Some("Failed")
}

/// The first rule that matches a failed pod decides.
pub(super) fn judge(spec: &JobSpec, pod: &Pod) -> Verdict {
    let rules = spec.pod_failure_policy.iter().flat_map(|p| &p.rules);
    for (index, rule) in rules.enumerate() {
        let (namespace, name) = crate::mirror::key_of(&pod.metadata);
        let message = if let Some(asked) = &rule.on_exit_codes {
            container(pod, asked).map(|(container, code)| {
                format!(
                    "Container {container} for pod {namespace}/{name} failed with exit code {code} matching {} rule at index {index}",
                    rule.action
                )
            })
        } else {
            let patterns = || rule.on_pod_conditions.iter().flatten();
            let conditions = pod.status.iter().flat_map(|s| s.conditions.iter().flatten());
            let matching = conditions
                .into_iter()
                .find(|c| patterns().any(|p| p.type_ == c.type_ && p.status.as_deref().unwrap_or("True") == c.status));
            matching.map(|c| {
                format!(
                    "Pod {namespace}/{name} has condition {} matching {} rule at index {index}",
                    c.type_, rule.action
                )
            })
        };
        match (message, rule.action.as_str()) {
            (None, _) => {}
            (Some(_), "Ignore") => return Verdict::Ignore,
            (Some(_), "Count") => return Verdict::Count,
            (Some(_), "FailIndex") => return Verdict::FailIndex,
            (Some(message), "FailJob") => return Verdict::FailJob(message),
            (Some(_), _) => {}
        }
    }
    Verdict::Count
}

/// The first container that ended with a code that matches, and that code.
fn container<'a>(pod: &'a Pod, asked: &PodFailurePolicyOnExitCodesRequirement) -> Option<(&'a str, i32)> {
    let status = pod.status.as_ref()?;
    let all = status.container_statuses.iter().flatten().chain(status.init_container_statuses.iter().flatten());
    let code = |c: &ContainerStatus| Some(c.state.as_ref()?.terminated.as_ref()?.exit_code);
    all.filter(|c| asked.container_name.as_ref().is_none_or(|n| *n == c.name))
        .filter_map(|c| Some((c.name.as_str(), code(c)?)))
        .find(|(_, code)| {
            *code != 0
                && match asked.operator.as_str() {
                    "In" => asked.values.contains(code),
                    "NotIn" => !asked.values.contains(code),
                    _ => false,
                }
        })
}

/// The message of the first success rule that is met.
pub(super) fn success(spec: &JobSpec, succeeded: &Indexes) -> Option<String> {
    if succeeded.is_empty() {
        return None;
    }
    let completions = spec.completions.unwrap_or(0);
    let rules = spec.success_policy.iter().flat_map(|p| &p.rules);
    let met = rules.enumerate().find(|(_, rule)| match (&rule.succeeded_indexes, rule.succeeded_count) {
        (Some(list), count) => {
            let asked = Indexes::parse(list, completions);
            let have = asked.overlap(succeeded);
            !asked.is_empty() && (have == asked.total() || count.is_some_and(|c| have >= c))
        }
        (None, Some(count)) => succeeded.total() >= count,
        (None, None) => false,
    });
    met.map(|(index, _)| format!("Matched rules at index {index}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{object, pod};
    use serde_json::json;

    fn spec(more: serde_json::Value) -> JobSpec {
        let mut spec = json!({ "completions": 10, "template": {} });
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        object(spec)
    }

    fn ended(code: i32) -> Pod {
        let mut pod = (*pod("p").phase("Failed").build()).clone();
        pod.status.as_mut().unwrap().container_statuses = Some(vec![object(json!({
            "name": "c", "image": "", "imageID": "", "ready": false, "restartCount": 0,
            "state": { "terminated": { "exitCode": code } } }))]);
        pod
    }

    #[test]
    fn the_first_rule_that_matches_decides() {
        let spec = spec(json!({ "podFailurePolicy": { "rules": [
            { "action": "Ignore", "onPodConditions": [{ "type": "DisruptionTarget", "status": "True" }] },
            { "action": "FailJob", "onExitCodes": { "operator": "In", "values": [42] } },
            { "action": "FailIndex", "onExitCodes": { "operator": "NotIn", "values": [1, 2], "containerName": "c" } },
        ] } }));
        assert_eq!(judge(&spec, &ended(1)), Verdict::Count);
        assert_eq!(judge(&spec, &ended(3)), Verdict::FailIndex);
        let message = "Container c for pod default/p failed with exit code 42 matching FailJob rule at index 1";
        assert_eq!(judge(&spec, &ended(42)), Verdict::FailJob(message.into()));
        let mut disrupted = ended(42);
        disrupted.status.as_mut().unwrap().conditions =
            Some(vec![object(json!({ "type": "DisruptionTarget", "status": "True" }))]);
        assert_eq!(judge(&spec, &disrupted), Verdict::Ignore);
    }

    #[test]
    fn success_rules() {
        let spec = spec(json!({ "successPolicy": { "rules": [
            { "succeededIndexes": "0,2" }, { "succeededIndexes": "3-9", "succeededCount": 2 }, { "succeededCount": 5 },
        ] } }));
        let of = |text: &str| success(&spec, &Indexes::parse(text, 10));
        assert_eq!(of(""), None);
        assert_eq!(of("0,1"), None);
        assert_eq!(of("0-2").as_deref(), Some("Matched rules at index 0"));
        assert_eq!(of("4,8").as_deref(), Some("Matched rules at index 1"));
    }
}
