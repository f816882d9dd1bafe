//! What a ReplicaSet needs: pods to create, or whom to delete first; and its status. Pure.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{ReplicaSet, ReplicaSetCondition, ReplicaSetStatus};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::labels::map_matches;
use crate::pods;

/// What to do.
#[derive(Debug, PartialEq)]
pub(crate) enum Plan {
    Nothing,
    Create(usize),
    /// In order of preference.
    Delete(Vec<Arc<Pod>>),
}

/// Compares what is asked for with the active pods. `related` is called only when pods must go.
pub(crate) fn plan(
    set: &ReplicaSet,
    active: &[Arc<Pod>],
    related: impl FnOnce() -> Vec<Arc<Pod>>,
    now: Timestamp,
) -> Plan {
    let asked = set.spec.replicas.unwrap_or(1);
    let asked = usize::try_from(asked).unwrap_or(0);
    if active.len() < asked {
        Plan::Create(asked - active.len())
    } else if active.len() > asked {
        let mut victims = ranked(active, &related(), now);
        victims.truncate(active.len() - asked);
        Plan::Delete(victims)
    } else {
        Plan::Nothing
    }
}

/// Pods with the first to go first, as Kubernetes' `ActivePodsWithRanks`: unassigned, pending, unready, cheap to delete,
/// crowded together, ready for a shorter time (in powers of ten), restarted more often, younger.
pub(crate) fn ranked(active: &[Arc<Pod>], related: &[Arc<Pod>], now: Timestamp) -> Vec<Arc<Pod>> {
    let mut crowd: HashMap<&str, usize> = HashMap::new();
    for pod in related {
        if let Some(node) = pods::node(pod) {
            *crowd.entry(node).or_default() += 1;
        }
    }
    let mut pods = active.to_vec();
    pods.sort_by_cached_key(|pod| {
        let node = pods::node(pod);
        let phase = match pods::phase(pod) {
            "Running" => 2,
            "Unknown" => 1,
            _ => 0,
        };
        (
            (node.is_some(), phase, pods::ready(pod)),
            deletion_cost(pod),
            Reverse(node.and_then(|n| crowd.get(n)).copied().unwrap_or(0)),
            magnitude(pods::ready_since(pod), now),
            Reverse(restarts(pod)),
            magnitude(pod.metadata.creation_timestamp.as_ref().map(|t| t.0), now),
            pod.metadata.uid.clone(),
        )
    });
    pods
}

/// Age in powers of two, so that small differences do not count (KEP-2185); younger is smaller.
fn magnitude(since: Option<Timestamp>, now: Timestamp) -> u32 {
    since.map_or(0, |t| {
        let seconds = now.as_second() - t.as_second();
        u64::try_from(seconds).unwrap_or(0).checked_ilog2().map_or(0, |l| l + 1)
    })
}

fn deletion_cost(pod: &Pod) -> i32 {
    let annotations = pod.metadata.annotations.as_ref();
    annotations.and_then(|a| a.get("controller.kubernetes.io/pod-deletion-cost")?.parse().ok()).unwrap_or(0)
}

fn restarts(pod: &Pod) -> i32 {
    let statuses = pod.status.as_ref().and_then(|s| s.container_statuses.as_ref());
    statuses.into_iter().flatten().map(|c| c.restart_count).max().unwrap_or(0)
}

/// The status for the pods that the set controls (terminating and finished ones included).
pub(crate) fn status(
    set: &ReplicaSet,
    mine: &[Arc<Pod>],
    failure: Option<(&str, String)>,
    now: Timestamp,
) -> ReplicaSetStatus {
    let old = set.status.clone().unwrap_or_default();
    let minimum = set.spec.min_ready_seconds.unwrap_or(0);
    let template = set.spec.template.as_ref().and_then(|t| t.metadata.as_ref()?.labels.clone()).unwrap_or_default();
    let active = || mine.iter().filter(|p| pods::active(p));
    let count = |n: usize| i32::try_from(n).unwrap_or(i32::MAX);
    // Zero counts are left out of the JSON, as Go's omitempty does.
    let some = |n: usize| (n > 0).then(|| count(n));
    let labelled = active().filter(|p| map_matches(&template, p.metadata.labels.as_ref())).count();
    let terminating = mine.iter().filter(|p| pods::terminating(p) && !pods::terminal(p)).count();
    ReplicaSetStatus {
        replicas: count(active().count()),
        fully_labeled_replicas: some(labelled),
        ready_replicas: some(active().filter(|p| pods::ready(p)).count()),
        available_replicas: some(active().filter(|p| pods::available(p, minimum, now)).count()),
        terminating_replicas: Some(count(terminating)),
        observed_generation: set.metadata.generation,
        conditions: conditions(old, failure, now),
    }
}

fn conditions(
    old: ReplicaSetStatus,
    failure: Option<(&str, String)>,
    now: Timestamp,
) -> Option<Vec<ReplicaSetCondition>> {
    let had = old.conditions.clone().unwrap_or_default();
    let before = had.iter().find(|c| c.type_.as_deref() == Some("ReplicaFailure")).cloned();
    let mut conditions: Vec<_> = had.into_iter().filter(|c| c.type_.as_deref() != Some("ReplicaFailure")).collect();
    if let Some((reason, message)) = failure {
        let same = before.filter(|b| b.reason.as_deref() == Some(reason));
        conditions.push(same.unwrap_or_else(|| ReplicaSetCondition {
            type_: Some("ReplicaFailure".into()),
            status: Some("True".into()),
            reason: Some(reason.into()),
            message: Some(message),
            last_transition_time: Some(Time(now)),
        }));
    }
    (!conditions.is_empty()).then_some(conditions)
}

#[cfg(test)]
mod tests;
