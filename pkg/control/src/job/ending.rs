//! When and how a Job ends, and its conditions. Pure; reasons and texts are those of Kubernetes' `job_controller.go`.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{JobCondition, JobSpec, JobStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::indexed::Indexed;
use super::plan::Scene;
use super::policy::{self, Verdict};
use crate::pods;

/// Why a Job ends.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct End {
    success: bool,
    reason: String,
    message: String,
    /// Said in the status already.
    known: bool,
}

impl End {
    fn failure(reason: &str, message: &str) -> Self {
        Self { success: false, reason: reason.into(), message: message.into(), known: false }
    }

    fn of(condition: &JobCondition, success: bool) -> Self {
        Self {
            success,
            reason: condition.reason.clone().unwrap_or_default(),
            message: condition.message.clone().unwrap_or_default(),
            known: true,
        }
    }

    /// Enough pods succeeded.
    pub(super) fn reached() -> Self {
        Self { success: true, ..Self::failure("CompletionsReached", "Reached expected number of succeeded pods") }
    }

    pub(super) fn is_success(&self) -> bool {
        self.success
    }

    /// Says in the status what is to come, and gives the condition that ends the Job.
    pub(super) fn announce(self, status: &mut JobStatus, now: Timestamp) -> JobCondition {
        let (target, last) =
            if self.success { ("SuccessCriteriaMet", "Complete") } else { ("FailureTarget", "Failed") };
        if !self.known {
            set(status, condition(target, "True", &self.reason, &self.message, now));
        }
        condition(last, "True", &self.reason, &self.message, now)
    }
}

fn condition(kind: &str, truth: &str, reason: &str, message: &str, now: Timestamp) -> JobCondition {
    JobCondition {
        type_: kind.to_owned(),
        status: truth.to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()),
        last_probe_time: Some(Time(now)),
        last_transition_time: Some(Time(now)),
    }
}

fn find<'a>(status: &'a JobStatus, kind: &str) -> Option<&'a JobCondition> {
    status.conditions.iter().flatten().find(|c| c.type_ == kind)
}

/// Sets a condition unless it says the same already; a condition that is False is not begun. True when it changed.
pub(super) fn set(status: &mut JobStatus, next: JobCondition) -> bool {
    match find(status, &next.type_) {
        Some(c) if c.status == next.status && c.reason == next.reason && c.message == next.message => return false,
        None if next.status == "False" => return false,
        _ => {}
    }
    let all = status.conditions.get_or_insert_default();
    match all.iter_mut().find(|c| c.type_ == next.type_) {
        Some(there) => *there = next,
        None => all.push(next),
    }
    true
}

/// Whether the Job is to end, for what its status says, its rules, and its pods. `failed` are the failures so far.
pub(super) fn judge(scene: &Scene<'_>, status: &JobStatus, failed: i32, indexed: Option<&Indexed>) -> Option<End> {
    let spec = scene.spec;
    let holds = |kind: &str| find(status, kind).filter(|c| c.status == "True");
    if let Some(met) = holds("SuccessCriteriaMet") {
        return Some(End::of(met, true));
    }
    if let Some(target) = holds("FailureTarget") {
        return Some(End::of(target, false));
    }
    let policy = scene.pods.iter().filter(|p| policy::failed(spec, p)).find_map(|p| match policy::judge(spec, p) {
        Verdict::FailJob(message) => Some(message),
        _ => None,
    });
    if let Some(message) = policy {
        return Some(End::failure("PodFailurePolicy", &message));
    }
    let limit = spec.backoff_limit.unwrap_or(6);
    if failed > limit || restarted_too_often(scene, limit) {
        return Some(End::failure("BackoffLimitExceeded", "Job has reached the specified backoff limit"));
    }
    if spec.suspend != Some(true) && deadline(spec, status, scene.now).is_some_and(|left| left.is_zero()) {
        return Some(End::failure("DeadlineExceeded", "Job was active longer than specified deadline"));
    }
    let indexed = indexed?;
    if let Some(failed) = &indexed.failed {
        let completions = spec.completions.unwrap_or(0);
        if spec.max_failed_indexes.is_some_and(|most| failed.total() > most) {
            let message = "Job has exceeded the specified maximal number of failed indexes";
            return Some(End::failure("MaxFailedIndexesExceeded", message));
        }
        if failed.total() > 0 && failed.total() + indexed.succeeded.total() >= completions {
            return Some(End::failure("FailedIndexes", "Job has failed indexes"));
        }
    }
    let message = policy::success(spec, &indexed.succeeded)?;
    Some(End { success: true, ..End::failure("SuccessPolicy", &message) })
}

/// With `restartPolicy: OnFailure` the containers' restarts count.
fn restarted_too_often(scene: &Scene<'_>, limit: i32) -> bool {
    let template = scene.spec.template.spec.as_ref();
    if template.and_then(|s| s.restart_policy.as_deref()) != Some("OnFailure") {
        return false;
    }
    let living = scene.pods.iter().filter(|p| matches!(pods::phase(p), "Running" | "Pending"));
    let statuses = living
        .filter_map(|p| p.status.as_ref())
        .flat_map(|s| s.init_container_statuses.iter().flatten().chain(s.container_statuses.iter().flatten()));
    let restarts: i32 = statuses.map(|c| c.restart_count).sum();
    if limit == 0 { restarts > 0 } else { restarts >= limit }
}

/// What is left of `activeDeadlineSeconds`; `None` without one.
pub(super) fn deadline(spec: &JobSpec, status: &JobStatus, now: Timestamp) -> Option<Duration> {
    let allowed = spec.active_deadline_seconds?;
    let start = status.start_time.as_ref()?.0;
    let left = allowed.saturating_sub(now.duration_since(start).as_secs());
    Some(Duration::from_secs(u64::try_from(left).unwrap_or(0)))
}

/// Says whether the Job is suspended, and starts its clock anew when it goes on.
pub(super) fn suspend(
    status: &mut JobStatus,
    suspended: bool,
    now: Timestamp,
    told: &mut Vec<(&'static str, &'static str)>,
) {
    let (truth, reason, message, event) = if suspended {
        ("True", "JobSuspended", "Job suspended", "Suspended")
    } else {
        ("False", "JobResumed", "Job resumed", "Resumed")
    };
    if set(status, condition("Suspended", truth, reason, message, now)) {
        told.push((event, message));
        status.start_time = (!suspended).then_some(Time(now));
    }
}
