//! A Deployment's status and conditions. Pure; reasons and texts are those of Kubernetes' `progress.go` and
//! `deployment_util.go`.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{DeploymentCondition, DeploymentStatus, ReplicaSetStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::plan::Step;

/// Progress deadline that means "none".
const NO_DEADLINE: i32 = i32::MAX;

/// Whether the rollout is done and the status says so.
pub(super) fn complete(step: &Step<'_>) -> bool {
    is_complete(step, &counts(step))
}

fn is_complete(step: &Step<'_>, status: &DeploymentStatus) -> bool {
    let wanted = Some(step.desired).filter(|n| *n > 0);
    status.updated_replicas == wanted && status.replicas == wanted && status.available_replicas == wanted
}

fn counts(step: &Step<'_>) -> DeploymentStatus {
    let sum = |field: fn(&ReplicaSetStatus) -> i32| step.all().filter_map(|s| s.set.status.as_ref().map(field)).sum();
    let some = |n: i32| (n > 0).then_some(n);
    let available: i32 = sum(|s| s.available_replicas.unwrap_or(0));
    let old = step.deployment.status.clone().unwrap_or_default();
    let new = step.new.as_ref().and_then(|n| n.set.status.as_ref());
    DeploymentStatus {
        observed_generation: step.deployment.metadata.generation,
        replicas: some(sum(|s| s.replicas)),
        updated_replicas: some(new.map_or(0, |s| s.replicas)),
        ready_replicas: some(sum(|s| s.ready_replicas.unwrap_or(0))),
        available_replicas: some(available),
        unavailable_replicas: some((step.total() - available).max(0)),
        terminating_replicas: Some(sum(|s| s.terminating_replicas.unwrap_or(0))),
        collision_count: old.collision_count,
        conditions: old.conditions,
    }
}

/// The status after a step, and when the progress deadline must be looked at again.
pub(super) fn status(step: &Step<'_>, rollout: bool, now: Timestamp) -> (DeploymentStatus, Option<Duration>) {
    let spec = step.deployment.spec.clone();
    let deadline = spec.progress_deadline_seconds.filter(|d| *d != NO_DEADLINE);
    let old = step.deployment.status.clone().unwrap_or_default();
    let mut status = counts(step);
    let mut conditions = status.conditions.take().unwrap_or_default();
    let available = status.available_replicas.unwrap_or(0) >= step.desired - step.unavailable;
    let (truth, reason, text) = if available {
        ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
    } else {
        ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
    };
    set(&mut conditions, condition("Available", truth, reason, text.to_owned(), now));
    let mut again = None;
    match deadline {
        None => conditions.retain(|c| c.type_.as_deref() != Some("Progressing")),
        Some(deadline) => {
            paused(&mut conditions, spec.paused == Some(true), now);
            if rollout {
                progress(step, &status, &old, &mut conditions, deadline, now);
                again = stuck(&conditions, is_complete(step, &status), deadline, now);
            }
        }
    }
    replica_failure(step, &mut conditions, now);
    status.conditions = Some(conditions);
    (status, again)
}

fn paused(conditions: &mut Vec<DeploymentCondition>, paused: bool, now: Timestamp) {
    let reason = find(conditions, "Progressing").and_then(|c| c.reason.clone());
    match (paused, reason.as_deref()) {
        (_, Some("ProgressDeadlineExceeded")) | (true, Some("DeploymentPaused")) => {}
        (true, _) => {
            let text = "Deployment is paused".to_owned();
            set(conditions, condition("Progressing", "Unknown", "DeploymentPaused", text, now));
        }
        (false, Some("DeploymentPaused")) => {
            let text = "Deployment is resumed".to_owned();
            set(conditions, condition("Progressing", "Unknown", "DeploymentResumed", text, now));
        }
        (false, _) => {}
    }
}

fn progress(
    step: &Step<'_>,
    status: &DeploymentStatus,
    old: &DeploymentStatus,
    conditions: &mut Vec<DeploymentCondition>,
    deadline: i32,
    now: Timestamp,
) {
    if let Some(name) = &step.created {
        let text = format!("Created new replica set \"{name}\"");
        set(conditions, condition("Progressing", "True", "NewReplicaSetCreated", text, now));
        return;
    }
    let current = find(conditions, "Progressing").cloned();
    let Some(new) = &step.new else { return };
    let name = new.set.metadata.name.as_deref().unwrap_or_default();
    if current.is_none() {
        let text = format!("Found new replica set \"{name}\"");
        set(conditions, condition("Progressing", "True", "FoundNewReplicaSet", text, now));
    }
    let reason = current.as_ref().and_then(|c| c.reason.as_deref());
    if status.replicas == status.updated_replicas && reason == Some("NewReplicaSetAvailable") {
        return;
    }
    if is_complete(step, status) {
        let text = format!("ReplicaSet \"{name}\" has successfully progressed.");
        set(conditions, condition("Progressing", "True", "NewReplicaSetAvailable", text, now));
    } else if progressing(status, old) {
        let text = format!("ReplicaSet \"{name}\" is progressing.");
        let mut next = condition("Progressing", "True", "ReplicaSetUpdated", text, now);
        if let Some(current) = current {
            if current.status.as_deref() == Some("True") {
                next.last_transition_time = current.last_transition_time;
            }
            conditions.retain(|c| c.type_.as_deref() != Some("Progressing"));
        }
        set(conditions, next);
    } else if timed_out(current.as_ref(), deadline, now) {
        let text = format!("ReplicaSet \"{name}\" has timed out progressing.");
        set(conditions, condition("Progressing", "False", "ProgressDeadlineExceeded", text, now));
    }
}

fn progressing(new: &DeploymentStatus, old: &DeploymentStatus) -> bool {
    let n = |v: Option<i32>| v.unwrap_or(0);
    n(new.updated_replicas) > n(old.updated_replicas)
        || n(new.replicas) - n(new.updated_replicas) < n(old.replicas) - n(old.updated_replicas)
        || n(new.ready_replicas) > n(old.ready_replicas)
        || n(new.available_replicas) > n(old.available_replicas)
}

fn timed_out(current: Option<&DeploymentCondition>, deadline: i32, now: Timestamp) -> bool {
    let Some(current) = current else { return false };
    match current.reason.as_deref() {
        Some("NewReplicaSetAvailable") => false,
        Some("ProgressDeadlineExceeded") => true,
        _ => current.last_update_time.as_ref().is_some_and(|t| now.as_second() > t.0.as_second() + i64::from(deadline)),
    }
}

fn stuck(conditions: &[DeploymentCondition], complete: bool, deadline: i32, now: Timestamp) -> Option<Duration> {
    let current = find(conditions, "Progressing")?;
    let done = matches!(current.reason.as_deref(), Some("NewReplicaSetAvailable" | "ProgressDeadlineExceeded"));
    if complete || done {
        return None;
    }
    let end = current.last_update_time.as_ref()?.0.as_second() + i64::from(deadline) + 1;
    Some(Duration::from_secs(u64::try_from(end - now.as_second()).unwrap_or(0).max(1)))
}

fn replica_failure(step: &Step<'_>, conditions: &mut Vec<DeploymentCondition>, now: Timestamp) {
    let failures = step.new.iter().chain(&step.old).filter_map(|s| {
        s.set
            .status
            .as_ref()?
            .conditions
            .as_ref()?
            .iter()
            .find(|c| is(c.type_.as_ref(), "ReplicaFailure") && is(c.status.as_ref(), "True"))
    });
    match failures.into_iter().next() {
        Some(failure) => {
            let (reason, text) = (failure.reason.clone().unwrap_or_default(), failure.message.clone());
            set(conditions, condition("ReplicaFailure", "True", &reason, text.unwrap_or_default(), now));
        }
        None => conditions.retain(|c| c.type_.as_deref() != Some("ReplicaFailure")),
    }
}

fn is(field: Option<&String>, value: &str) -> bool {
    field.is_some_and(|f| f == value)
}

fn find<'a>(conditions: &'a [DeploymentCondition], kind: &str) -> Option<&'a DeploymentCondition> {
    conditions.iter().find(|c| is(c.type_.as_ref(), kind))
}

fn condition(kind: &str, truth: &str, reason: &str, message: String, now: Timestamp) -> DeploymentCondition {
    DeploymentCondition {
        type_: Some(kind.to_owned()),
        status: Some(truth.to_owned()),
        reason: Some(reason.to_owned()),
        message: Some(message),
        last_update_time: Some(Time(now)),
        last_transition_time: Some(Time(now)),
    }
}

/// Sets a condition unless one with its status and reason stands; the transition time moves only with the status.
fn set(conditions: &mut Vec<DeploymentCondition>, mut next: DeploymentCondition) {
    if let Some(current) = find(conditions, next.type_.as_deref().unwrap_or_default()) {
        if current.status == next.status && current.reason == next.reason {
            return;
        }
        if current.status == next.status {
            next.last_transition_time = current.last_transition_time.clone();
        }
    }
    conditions.retain(|c| c.type_ != next.type_);
    conditions.push(next);
}
