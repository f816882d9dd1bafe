//! What a PodDisruptionBudget allows, counted from its pods and their controllers. Pure; follows Kubernetes'
//! `disruption.go`, texts included.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, LabelSelector, Time};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::ResourceExt;

use crate::intstr::scaled;
use crate::{owners, pods};

/// How long an evicted pod may take to be deleted before it counts as healthy again, in seconds.
const DELETION_S: i64 = 120;

/// How many pods a controller asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Scale {
    /// The controller that decides, by uid, and its size.
    Of(String, i32),
    NoController,
    /// There is a controller, and it has no size that can be read: why.
    Unknown(String),
}

/// What was found.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) status: PodDisruptionBudgetStatus,
    /// Reasons and messages.
    pub(super) warnings: Vec<(&'static str, String)>,
    /// Pods that were evicted long ago and are still there.
    pub(super) overdue: Vec<Arc<Pod>>,
    pub(super) again: Option<Duration>,
}

/// Counts for a budget and the pods it covers. `scales` are by uid of the pods' controllers.
pub(super) fn plan(
    budget: &PodDisruptionBudget,
    pods: &[Arc<Pod>],
    scales: &BTreeMap<String, Scale>,
    now: Timestamp,
) -> Outcome {
    let spec = budget.spec.clone().unwrap_or_default();
    let old = budget.status.clone().unwrap_or_default();
    let count = |n: usize| i32::try_from(n).unwrap_or(i32::MAX);
    let mut warnings = Vec::new();
    let by_scale = |warnings: &mut Vec<(&'static str, String)>| {
        let (expected, unmanaged) = expected(pods, scales)?;
        if unmanaged {
            warnings.push(("UnmanagedPods", unmanaged_text(spec.selector.as_ref())));
        }
        Ok::<i32, String>(expected)
    };
    let counted = match (&spec.max_unavailable, &spec.min_available) {
        (Some(most), _) => by_scale(&mut warnings).map(|all| (all, (all - scaled(Some(most), 0, all, true)).max(0))),
        (None, Some(least @ IntOrString::String(_))) => {
            by_scale(&mut warnings).map(|all| (all, scaled(Some(least), 0, all, true)))
        }
        (None, Some(IntOrString::Int(least))) => Ok((count(pods.len()), *least)),
        (None, None) => Ok((0, 0)),
    };
    let (mut still, mut overdue, mut again) = (BTreeMap::new(), Vec::new(), None);
    for pod in pods.iter().filter(|p| !pods::terminating(p)) {
        let Some(since) = old.disrupted_pods.as_ref().and_then(|d| d.get(&pod.name_any())) else { continue };
        let left = since.0.as_second() + DELETION_S - now.as_second();
        if left < 0 {
            overdue.push(pod.clone());
            continue;
        }
        let left = Duration::from_secs(u64::try_from(left).unwrap_or(0) + 1);
        again = Some(again.map_or(left, |a: Duration| a.min(left)));
        still.insert(pod.name_any(), since.clone());
    }
    let healthy = |p: &&Arc<Pod>| !pods::terminating(p) && !still.contains_key(&p.name_any()) && pods::ready(p);
    let current = count(pods.iter().filter(healthy).count());
    let generation = budget.metadata.generation;
    let status = match counted {
        Ok((expected, desired)) => {
            let allowed = if expected > 0 { (current - desired).max(0) } else { 0 };
            let (truth, reason) = if allowed > 0 { ("True", "SufficientPods") } else { ("False", "InsufficientPods") };
            PodDisruptionBudgetStatus {
                conditions: Some(conditions(&old, truth, reason, "", generation, now)),
                current_healthy: Some(current),
                desired_healthy: Some(desired),
                disrupted_pods: (!still.is_empty()).then_some(still),
                disruptions_allowed: Some(allowed),
                expected_pods: Some(expected),
                observed_generation: generation,
            }
        }
        Err(why) => {
            let message = format!("Failed to calculate the number of expected pods: {why}");
            warnings.push(("CalculateExpectedPodCountFailed", message));
            PodDisruptionBudgetStatus {
                conditions: Some(conditions(&old, "False", "SyncFailed", &why, old.observed_generation, now)),
                disruptions_allowed: Some(0),
                ..old
            }
        }
    };
    Outcome { status, warnings, overdue, again }
}

/// The sum of the sizes of all controllers behind the pods, and whether some pods have none.
fn expected(pods: &[Arc<Pod>], scales: &BTreeMap<String, Scale>) -> Result<(i32, bool), String> {
    let mut sizes: BTreeMap<&str, i32> = BTreeMap::new();
    let mut unmanaged = false;
    for pod in pods {
        let Some(owner) = owners::controller(&pod.metadata) else {
            unmanaged = true;
            continue;
        };
        match scales.get(&owner.uid) {
            Some(Scale::Of(uid, size)) => drop(sizes.insert(uid, *size)),
            Some(Scale::Unknown(why)) => return Err(why.clone()),
            Some(Scale::NoController) | None => {
                return Err(format!("found no controllers for pod \"{}\"", pod.name_any()));
            }
        }
    }
    Ok((sizes.values().sum(), unmanaged))
}

fn unmanaged_text(selector: Option<&LabelSelector>) -> String {
    let labels = selector.and_then(|s| s.match_labels.as_ref());
    let labels: Vec<_> = labels.into_iter().flatten().map(|(k, v)| format!("{k}:{v}")).collect();
    format!(
        "Pods selected by this PodDisruptionBudget (selector: &LabelSelector{{MatchLabels:map[string]string{{{}}},\
         MatchExpressions:[]LabelSelectorRequirement{{}},}}) were found to be unmanaged. As a result, the status of the \
         PDB cannot be calculated correctly, which may result in undefined behavior. To account for these pods please \
         set \".spec.minAvailable\" field of the PDB to an integer value.",
        labels.iter().map(|l| l.replacen(':', ": ", 1) + ",").collect::<String>()
    )
}

fn conditions(
    old: &PodDisruptionBudgetStatus,
    truth: &str,
    reason: &str,
    message: &str,
    generation: Option<i64>,
    now: Timestamp,
) -> Vec<Condition> {
    let mut all = old.conditions.clone().unwrap_or_default();
    let before = all.iter().find(|c| c.type_ == "DisruptionAllowed").filter(|c| c.status == truth);
    let since = before.map_or(Time(now), |c| c.last_transition_time.clone());
    let next = Condition {
        type_: "DisruptionAllowed".into(),
        status: truth.into(),
        reason: reason.into(),
        message: message.into(),
        last_transition_time: since,
        observed_generation: generation,
    };
    all.retain(|c| c.type_ != "DisruptionAllowed");
    all.push(next);
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{at, object, pod};
    use serde_json::{Value, json};

    fn budget(spec: Value, status: Value) -> PodDisruptionBudget {
        object(
            json!({ "metadata": { "name": "b", "namespace": "default", "generation": 2 }, "spec": spec, "status": status }),
        )
    }

    fn owned(count: usize, ready: usize) -> Vec<Arc<Pod>> {
        let made = |n: usize| pod(&format!("p{n}")).owned("ReplicaSet", "set");
        (0..count).map(|n| if n < ready { made(n).ready(0) } else { made(n).unready() }.build()).collect()
    }

    fn numbers(spec: Value, size: i32, pods: &[Arc<Pod>]) -> [i32; 4] {
        let scales = [("set".to_owned(), Scale::Of("set".into(), size))].into();
        let status = plan(&budget(spec, json!({})), pods, &scales, at(1000)).status;
        let all = [status.expected_pods, status.current_healthy, status.desired_healthy, status.disruptions_allowed];
        all.map(|n| n.unwrap())
    }

    #[test]
    fn expected_healthy_desired_allowed() {
        let pods = owned(4, 3);
        assert_eq!(numbers(json!({ "minAvailable": 2 }), 10, &pods), [4, 3, 2, 1]);
        assert_eq!(numbers(json!({ "minAvailable": "50%" }), 5, &pods), [5, 3, 3, 0]);
        assert_eq!(numbers(json!({ "maxUnavailable": 1 }), 4, &pods), [4, 3, 3, 0]);
        assert_eq!(numbers(json!({ "maxUnavailable": "50%" }), 4, &pods), [4, 3, 2, 1]);
        assert_eq!(numbers(json!({ "maxUnavailable": 9 }), 4, &pods), [4, 3, 0, 3]);
        assert_eq!(numbers(json!({ "maxUnavailable": 1 }), 4, &[]), [0, 0, 0, 0]);
    }

    #[test]
    fn pods_without_a_controller_are_told_of() {
        let alone = [pod("a").ready(0).build()];
        let one = plan(&budget(json!({ "maxUnavailable": 1 }), json!({})), &alone, &BTreeMap::new(), at(0));
        assert_eq!(one.warnings[0].0, "UnmanagedPods");
        let two = plan(&budget(json!({ "maxUnavailable": 1 }), json!({})), &owned(1, 1), &BTreeMap::new(), at(0));
        assert_eq!(
            two.warnings[0].1,
            "Failed to calculate the number of expected pods: found no controllers for pod \"p0\""
        );
        let condition = &two.status.conditions.unwrap()[0];
        assert_eq!((&condition.reason[..], two.status.disruptions_allowed), ("SyncFailed", Some(0)));
    }

    #[test]
    fn evicted_pods_count_no_more_until_they_are_overdue() {
        let evicted = json!({ "disruptedPods": { "p0": at(1000).to_string(), "gone": at(1000).to_string() } });
        let of = |now: i64| {
            plan(&budget(json!({ "minAvailable": 1 }), evicted.clone()), &owned(3, 3), &BTreeMap::new(), at(now))
        };
        let soon = of(1100);
        assert_eq!((soon.status.current_healthy, soon.again), (Some(2), Some(Duration::from_secs(21))));
        assert_eq!(soon.status.disrupted_pods.unwrap().keys().collect::<Vec<_>>(), ["p0"]);
        let late = of(1121);
        assert_eq!((late.status.current_healthy, late.overdue.len()), (Some(3), 1));
    }

    #[test]
    fn a_plan_applied_is_a_fixpoint() {
        let (pods, scales) = (owned(3, 2), [("set".to_owned(), Scale::Of("set".into(), 3))].into());
        let mut budget = budget(json!({ "maxUnavailable": 1 }), json!({}));
        budget.status = Some(plan(&budget, &pods, &scales, at(5)).status);
        assert_eq!(plan(&budget, &pods, &scales, at(99)).status, budget.status.unwrap());
    }
}
