//! One step of a CronJob: which Job to start now, which to remove, and when to look again. Pure; follows the order of
//! Kubernetes' `cronjob_controllerv2.go`, Event texts included.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{CronJob, CronJobStatus, Job};
use kube::ResourceExt;

use super::schedule::{Schedule, zone};
use crate::owners;

/// Annotation on a Job with the time that it was due.
const DUE: &str = "batch.kubernetes.io/cronjob-scheduled-timestamp";

/// Something to tell: a warning or not, reason, message.
pub(super) type Told = (bool, &'static str, String);

/// A step.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) told: Vec<Told>,
    /// Jobs to delete, with their pods.
    pub(super) remove: Vec<Arc<Job>>,
    /// The Job to start, and the time that it is due.
    pub(super) start: Option<(Box<Job>, Timestamp)>,
    pub(super) status: CronJobStatus,
    pub(super) again: Option<Duration>,
}

/// Plans a step for a CronJob and the Jobs that it controls. `exists` says whether a Job of that name is there.
pub(super) fn plan(cron: &CronJob, jobs: &[Arc<Job>], exists: impl Fn(&str) -> bool, now: Timestamp) -> Plan {
    let mut plan = Plan { status: cron.status.clone().unwrap_or_default(), ..Plan::default() };
    plan.look_at(jobs, exists);
    plan.forget_old(cron, jobs);
    if cron.metadata.deletion_timestamp.is_none() {
        plan.run(cron, jobs, now);
    }
    plan
}

/// `Complete` or `Failed` when a Job is at its end.
fn end(job: &Job) -> Option<&str> {
    let conditions = job.status.as_ref()?.conditions.as_ref()?;
    let end = |c: &&k8s_openapi::api::batch::v1::JobCondition| {
        c.status == "True" && matches!(c.type_.as_str(), "Complete" | "Failed")
    };
    conditions.iter().find(end).map(|c| c.type_.as_str())
}

impl Plan {
    fn tell(&mut self, warning: bool, reason: &'static str, message: String) {
        self.told.push((warning, reason, message));
    }

    fn is_active(&self, uid: Option<&String>) -> bool {
        self.status.active.iter().flatten().any(|a| a.uid.as_ref() == uid)
    }

    fn drop_active(&mut self, uid: Option<&String>) {
        if let Some(active) = &mut self.status.active {
            active.retain(|a| a.uid.as_ref() != uid);
        }
        self.status.active = self.status.active.take().filter(|a| !a.is_empty());
    }

    /// Brings the list of active Jobs in line with the Jobs there are.
    fn look_at(&mut self, jobs: &[Arc<Job>], exists: impl Fn(&str) -> bool) {
        for job in jobs {
            let uid = job.metadata.uid.as_ref();
            match (end(job), self.is_active(uid)) {
                (None, false) => {
                    let message = format!("Saw a job that the controller did not create or forgot: {}", job.name_any());
                    self.tell(true, "UnexpectedJob", message);
                }
                (Some(end), true) => {
                    self.drop_active(uid);
                    let message = format!("Saw completed job: {}, condition: {end}", job.name_any());
                    self.tell(false, "SawCompletedJob", message);
                }
                _ => {}
            }
            let done = job.status.as_ref().and_then(|s| s.completion_time.clone());
            if end(job) == Some("Complete") && done > self.status.last_successful_time {
                self.status.last_successful_time = done;
            }
        }
        for active in self.status.active.clone().into_iter().flatten() {
            let name = active.name.unwrap_or_default();
            let ours = jobs.iter().any(|j| j.metadata.uid == active.uid);
            if !ours && !exists(&name) {
                self.tell(false, "MissingJob", format!("Active job went missing: {name}"));
                self.drop_active(active.uid.as_ref());
            }
        }
    }

    /// Removes ended Jobs beyond the history limits, the oldest first.
    fn forget_old(&mut self, cron: &CronJob, jobs: &[Arc<Job>]) {
        for (kind, limit) in
            [("Complete", cron.spec.successful_jobs_history_limit), ("Failed", cron.spec.failed_jobs_history_limit)]
        {
            let Some(limit) = limit else { continue };
            let mut ended: Vec<_> = jobs.iter().filter(|j| end(j) == Some(kind)).cloned().collect();
            ended.sort_by_cached_key(|j| {
                let start = j.status.as_ref().and_then(|s| s.start_time.as_ref()).map(|t| t.0);
                (start.is_none(), start, j.name_any())
            });
            let excess = ended.len().saturating_sub(usize::try_from(limit).unwrap_or(0));
            ended.retain(|j| j.metadata.deletion_timestamp.is_none());
            self.remove.extend(ended.into_iter().take(excess));
        }
    }

    fn run(&mut self, cron: &CronJob, jobs: &[Arc<Job>], now: Timestamp) {
        let spec = &cron.spec;
        if let Some(name) = &spec.time_zone
            && let Err(error) = zone(name)
        {
            return self.tell(true, "UnknownTimeZone", format!("invalid timeZone: {name:?}: {error}"));
        }
        if spec.suspend == Some(true) {
            return;
        }
        let schedule = match Schedule::parse(&spec.schedule, spec.time_zone.as_deref()) {
            Ok(schedule) => schedule,
            Err(error) => {
                let message = format!("unparseable schedule: {:?} : {error}", spec.schedule);
                return self.tell(true, "UnparseableSchedule", message);
            }
        };
        if spec.schedule.contains("TZ") {
            let message = format!(
                "CRON_TZ or TZ used in schedule {:?} is not officially supported, see \
                 https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details",
                spec.schedule
            );
            self.tell(true, "UnsupportedSchedule", message);
        }
        // A moment later than due, so that a clock cut to seconds does not come too early.
        let wait = schedule.next(now).map(|t| {
            let seconds = u64::try_from(t.as_second() - now.as_second()).unwrap_or(0);
            Duration::from_millis(seconds * 1000 + 100)
        });
        self.again = wait;
        let created = cron.metadata.creation_timestamp.as_ref().map_or(now, |t| t.0);
        let mut since = self.status.last_schedule_time.as_ref().map_or(created, |t| t.0);
        if let Some(deadline) = spec.starting_deadline_seconds {
            let start = Timestamp::from_second(now.as_second().saturating_sub(deadline)).unwrap_or(since);
            since = since.max(start);
        }
        let Some(due) = schedule.missed(since, now) else { return };
        if due.many {
            let message =
                "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew";
            self.tell(true, "TooManyMissedTimes", message.to_owned());
        }
        let at = due.at;
        if spec.starting_deadline_seconds.is_some_and(|d| at.as_second() + d < now.as_second()) {
            let when = at.strftime("%a, %d %b %Y %H:%M:%S +0000");
            return self.tell(true, "MissSchedule", format!("Missed scheduled time to start a job: {when}"));
        }
        let job = job(cron, at);
        let name = job.metadata.name.clone();
        let served = self.status.active.iter().flatten().any(|a| a.name == name);
        if served || self.status.last_schedule_time.as_ref().map(|t| t.0) == Some(at) {
            return;
        }
        let active = self.status.active.as_ref().is_some_and(|a| !a.is_empty());
        match spec.concurrency_policy.as_deref() {
            Some("Forbid") if active => {
                let message = "Not starting job because prior execution is running and concurrency policy is Forbid";
                return self.tell(false, "JobAlreadyActive", message.to_owned());
            }
            Some("Replace") => {
                let running: Vec<_> =
                    jobs.iter().filter(|j| self.is_active(j.metadata.uid.as_ref())).cloned().collect();
                self.remove.extend(running);
            }
            _ => {}
        }
        self.start = Some((Box::new(job), at));
    }
}

/// The Job of a time.
fn job(cron: &CronJob, at: Timestamp) -> Job {
    let template = cron.spec.job_template.clone();
    let from = template.metadata.unwrap_or_default();
    let zone = zone(cron.spec.time_zone.as_deref().unwrap_or_default()).unwrap_or(jiff::tz::TimeZone::UTC);
    let local = at.to_zoned(zone.clone());
    let due = if zone == jiff::tz::TimeZone::UTC {
        at.to_string()
    } else {
        local.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
    };
    let mut job = Job { spec: template.spec, ..Job::default() };
    job.metadata.name = Some(format!("{}-{}", cron.name_any(), at.as_second() / 60));
    job.metadata.namespace = cron.metadata.namespace.clone();
    job.metadata.labels = from.labels;
    job.metadata.annotations = from.annotations;
    job.metadata.annotations.get_or_insert_default().insert(DUE.to_owned(), due);
    job.metadata.owner_references = Some(vec![owners::reference(cron)]);
    job
}

#[cfg(test)]
mod tests;
