//! One step of a Job: which pods to start and stop, which ended ones to count, and whether the Job is at its end. Pure;
//! follows the order of Kubernetes' `job_controller.go`.
//!
//! A pod is counted in two writes: its uid enters `uncountedTerminatedPods`, its finalizer goes, then the uid becomes a
//! number. Whatever dies in between, no pod is counted twice and none is forgotten (KEP-2307).

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{Job, JobCondition, JobSpec, JobStatus};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::backoff::Backoff;
use super::ending::{self, End};
use super::indexed::Indexed;
use super::made::{self, index, tracked};
use super::policy::{self, Verdict};
use crate::pods;

/// Pods created or deleted in one go (`MaxPodCreateDeletePerSync`).
const BURST: usize = 500;
/// Pods that wait to be counted at a time (`MaxUncountedPods`).
const UNCOUNTED: usize = 500;

/// What to do, in this order.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// These lose their finalizer first: they are not counted.
    pub(super) stop: Vec<Arc<Pod>>,
    /// These are deleted because the Job ends, and counted.
    pub(super) end: Vec<Arc<Pod>>,
    pub(super) start: Vec<Pod>,
    /// The status to write before finalizers go. Its counts of pods that live are filled in after the writes above.
    pub(super) status: JobStatus,
    pub(super) untrack: Vec<Arc<Pod>>,
    /// The condition to set when all pods are counted and gone.
    pub(super) finish: Option<JobCondition>,
    /// There are more pods to count than fit.
    pub(super) more: bool,
    pub(super) backoff: Backoff,
    /// Reasons and messages for Events.
    pub(super) told: Vec<(&'static str, &'static str)>,
    /// When time alone may change the plan.
    pub(super) again: Option<Duration>,
}

/// A Job in the making.
pub(super) struct Scene<'a> {
    pub(super) job: &'a Job,
    pub(super) spec: &'a JobSpec,
    /// Pods that the Job controls.
    pub(super) pods: &'a [Arc<Pod>],
    pub(super) now: Timestamp,
}

/// Whether a Job is at its end.
pub(super) fn finished(job: &Job) -> bool {
    let conditions = job.status.iter().flat_map(|s| s.conditions.iter().flatten());
    conditions.into_iter().any(|c| matches!(c.type_.as_str(), "Complete" | "Failed") && c.status == "True")
}

pub(super) fn is_indexed(spec: &JobSpec) -> bool {
    spec.completion_mode.as_deref() == Some("Indexed")
}

/// Plans a step. `backoff` is what is remembered of failures so far.
pub(super) fn plan(scene: &Scene<'_>, backoff: Backoff) -> Plan {
    let (job, spec, now) = (scene.job, scene.spec, scene.now);
    let mut status = job.status.clone().unwrap_or_default();
    let uncounted = status.uncounted_terminated_pods.clone().unwrap_or_default();
    let known = |list: &Option<Vec<String>>| -> HashSet<String> { list.iter().flatten().cloned().collect() };
    let (known_good, known_bad) = (known(&uncounted.succeeded), known(&uncounted.failed));
    let suspended = spec.suspend == Some(true);
    if status.start_time.is_none() && !suspended {
        status.start_time = Some(Time(now));
    }
    let new = |phase: fn(&JobSpec, &Pod) -> bool, known: &HashSet<String>| -> Vec<&Pod> {
        let fresh = scene.pods.iter().map(|p| &**p).filter(|p| tracked(p) && !known.contains(uid(p)) && valid(spec, p));
        fresh.filter(|p| phase(spec, p)).collect()
    };
    let good = new(|_, p| pods::phase(p) == "Succeeded", &known_good);
    let bad = new(policy::failed, &known_bad);
    let counted = bad.iter().filter(|p| policy::judge(spec, p) != Verdict::Ignore).count();
    let count = |n: usize| i32::try_from(n).unwrap_or(i32::MAX);
    let failed = status.failed.unwrap_or(0) + count(counted + known_bad.len());
    let mut succeeded = status.succeeded.unwrap_or(0) + count(good.len() + known_good.len());
    let mut plan = Plan { backoff: backoff.after(&good, &bad), ..Plan::default() };
    let indexed = is_indexed(spec).then(|| Indexed::of(scene, &status));
    if let Some(indexed) = &indexed {
        succeeded = indexed.succeeded.total();
    }
    let mut end = ending::judge(scene, &status, failed, indexed.as_ref());
    if end.is_none() && !suspended {
        plan.again = ending::deadline(spec, &status, now);
    }
    let active: Vec<_> = scene.pods.iter().filter(|p| pods::active(p)).cloned().collect();
    if end.is_some() {
        plan.end = active;
    } else {
        let living = scene.manage(&mut plan, &active, succeeded, indexed.as_ref());
        let complete = living == 0
            && match spec.completions {
                None => succeeded > 0,
                Some(asked) => succeeded >= asked,
            };
        if complete {
            end = Some(End::reached());
        } else if job.metadata.deletion_timestamp.is_none() {
            ending::suspend(&mut status, suspended, now, &mut plan.told);
        }
    }
    scene.count(&mut plan, &mut status, end.as_ref(), indexed.as_ref());
    plan.finish = end.map(|end| end.announce(&mut status, now));
    plan.status = status;
    plan
}

fn uid(pod: &Pod) -> &str {
    pod.metadata.uid.as_deref().unwrap_or_default()
}

/// Whether a pod counts at all: those of indexed Jobs need an index in range.
fn valid(spec: &JobSpec, pod: &Pod) -> bool {
    !is_indexed(spec) || index(pod).is_some_and(|i| i < spec.completions.unwrap_or(0))
}

impl Scene<'_> {
    /// Starts or stops pods; how many will be active then.
    fn manage(&self, plan: &mut Plan, active: &[Arc<Pod>], succeeded: i32, indexed: Option<&Indexed>) -> i32 {
        let count = |n: usize| i32::try_from(n).unwrap_or(i32::MAX);
        let size = |n: i32| usize::try_from(n).unwrap_or(0);
        let have = count(active.len());
        if self.job.metadata.deletion_timestamp.is_some() {
            return have;
        }
        let parallelism = self.spec.parallelism.unwrap_or(1);
        let want = match self.spec.completions {
            _ if self.spec.suspend == Some(true) => 0,
            None if succeeded > 0 => have,
            None => parallelism,
            Some(asked) => (asked - succeeded).min(parallelism).max(0),
        };
        let mut stop = self.superfluous(active, size(have - want));
        stop.truncate(BURST);
        if !stop.is_empty() || self.spec.suspend == Some(true) {
            plan.stop = stop;
            return have - count(plan.stop.len());
        }
        let terminating = self.pods.iter().filter(|p| pods::terminating(p) && !pods::terminal(p)).count();
        let held = if policy::only_failed(self.spec) { count(terminating) } else { 0 };
        let room = size(want - held - have).min(BURST);
        if room == 0 {
            return have;
        }
        match indexed {
            Some(indexed) if self.spec.backoff_limit_per_index.is_some() => {
                let free = indexed.free(self, active, room);
                let left = |index: &i32| indexed.left(*index, self.now);
                let (now, later): (Vec<i32>, Vec<i32>) = free.into_iter().partition(|i| left(i).is_zero());
                if now.is_empty() {
                    plan.wait(later.iter().map(left).min());
                }
                plan.start = now.into_iter().map(|i| made::pod(self.job, Some(i), indexed.waiting(i))).collect();
            }
            _ if !plan.backoff.left(self.now).is_zero() => plan.wait(Some(plan.backoff.left(self.now))),
            Some(indexed) => {
                let free = indexed.free(self, active, room);
                plan.start = free.into_iter().map(|i| made::pod(self.job, Some(i), None)).collect();
            }
            None => plan.start = vec![made::pod(self.job, None, None); room],
        }
        have + count(plan.start.len())
    }

    /// Active pods that are not wanted: second ones of an index, then the least useful ones, at least `least`.
    fn superfluous(&self, active: &[Arc<Pod>], least: usize) -> Vec<Arc<Pod>> {
        let mut ranked = crate::replicaset::ranked(active, &[], self.now);
        let mut stop = Vec::new();
        if is_indexed(self.spec) {
            let mut seen = HashSet::new();
            // The most useful pod of each index stays.
            let mut keep = Vec::new();
            for pod in ranked.into_iter().rev() {
                let fresh = valid(self.spec, &pod) && index(&pod).is_some_and(|i| seen.insert(i));
                if fresh { keep.push(pod) } else { stop.push(pod) }
            }
            keep.reverse();
            ranked = keep;
        }
        let more = least.saturating_sub(stop.len());
        stop.extend(ranked.into_iter().take(more));
        stop
    }

    /// Notes ended pods as uncounted, and which finalizers may go.
    fn count(&self, plan: &mut Plan, status: &mut JobStatus, end: Option<&End>, indexed: Option<&Indexed>) {
        let mut uncounted = status.uncounted_terminated_pods.take().unwrap_or_default();
        let (mut good, mut bad) =
            (uncounted.succeeded.take().unwrap_or_default(), uncounted.failed.take().unwrap_or_default());
        let still: HashSet<&str> = self.pods.iter().filter(|p| tracked(p)).map(|p| uid(p)).collect();
        convert(status, &mut good, &mut bad, |uid| still.contains(uid));
        let mut new_indexes = Vec::new();
        let stopped: HashSet<&str> = plan.stop.iter().map(|p| uid(p)).collect();
        let mut pods: Vec<_> = self.pods.iter().filter(|p| tracked(p) && !stopped.contains(uid(p))).collect();
        pods.sort_by_key(|p| index(p));
        for pod in pods {
            let failed = policy::failed(self.spec, pod);
            let succeeded = pods::phase(pod) == "Succeeded";
            let ours = self.job.metadata.deletion_timestamp.is_some() || end.is_some() || succeeded;
            let waits = indexed.is_some_and(|i| i.is_waiting(pod));
            if !(ours || failed && !waits) {
                continue;
            }
            plan.untrack.push(pod.clone());
            let id = uid(pod).to_owned();
            if succeeded && !bad.contains(&id) {
                match indexed {
                    Some(indexed) => new_indexes.extend(
                        index(pod).filter(|i| *i < self.spec.completions.unwrap_or(0) && !indexed.before.has(*i)),
                    ),
                    None if !good.contains(&id) => good.push(id),
                    None => {}
                }
            } else if (failed || end.is_some_and(|e| !e.is_success()))
                && !bad.contains(&id)
                && valid(self.spec, pod)
                && policy::judge(self.spec, pod) != Verdict::Ignore
            {
                bad.push(id);
            }
            if new_indexes.len() + good.len() + bad.len() >= UNCOUNTED {
                plan.more = true;
                break;
            }
        }
        if let Some(indexed) = indexed {
            let all = indexed.before.with(new_indexes);
            status.succeeded = (all.total() > 0).then(|| all.total());
            status.completed_indexes = Some(all.to_string()).filter(|s| !s.is_empty());
            status.failed_indexes = indexed.failed.as_ref().map(ToString::to_string);
        }
        let some = |list: Vec<String>| (!list.is_empty()).then_some(list);
        (uncounted.succeeded, uncounted.failed) = (some(good), some(bad));
        status.uncounted_terminated_pods = Some(uncounted);
    }
}

/// Turns uids whose pods are tracked no more into numbers.
fn convert(status: &mut JobStatus, good: &mut Vec<String>, bad: &mut Vec<String>, still: impl Fn(&str) -> bool) {
    for (list, total) in [(good, &mut status.succeeded), (bad, &mut status.failed)] {
        let before = list.len();
        list.retain(|uid| still(uid));
        let gone = i32::try_from(before - list.len()).unwrap_or(i32::MAX);
        *total = Some(total.unwrap_or(0) + gone).filter(|n| *n > 0);
    }
}

/// The status after finalizers went: uids become numbers, living pods are counted, and the Job ends when nothing is
/// left to count and no pod is on its way out. True when it ended.
pub(super) fn settle(status: &mut JobStatus, mine: &[Arc<Pod>], finish: Option<&JobCondition>, now: Timestamp) -> bool {
    let mut uncounted = status.uncounted_terminated_pods.take().unwrap_or_default();
    let (mut good, mut bad) =
        (uncounted.succeeded.take().unwrap_or_default(), uncounted.failed.take().unwrap_or_default());
    let still: HashSet<&str> = mine.iter().filter(|p| tracked(p)).map(|p| uid(p)).collect();
    convert(status, &mut good, &mut bad, |uid| still.contains(uid));
    let left = good.len() + bad.len();
    let some = |list: Vec<String>| (!list.is_empty()).then_some(list);
    (uncounted.succeeded, uncounted.failed) = (some(good), some(bad));
    status.uncounted_terminated_pods = Some(uncounted);
    living(status, mine);
    let Some(finish) = finish.filter(|_| left == 0 && status.terminating.unwrap_or(0) == 0) else { return false };
    ending::set(status, JobCondition { last_transition_time: Some(Time(now)), ..finish.clone() });
    if finish.type_ == "Complete" {
        status.completion_time = Some(Time(now));
    }
    true
}

/// Counts the pods that live.
pub(super) fn living(status: &mut JobStatus, mine: &[Arc<Pod>]) {
    let count = |n: usize| i32::try_from(n).unwrap_or(i32::MAX);
    let active = || mine.iter().filter(|p| pods::active(p));
    status.active = Some(count(active().count())).filter(|n| *n > 0);
    status.ready = Some(count(active().filter(|p| pods::ready(p)).count()));
    let terminating = mine.iter().filter(|p| pods::terminating(p) && !pods::terminal(p)).count();
    status.terminating = Some(count(terminating));
}

impl Plan {
    fn wait(&mut self, wait: Option<Duration>) {
        self.again = self.again.into_iter().chain(wait).min();
    }
}

#[cfg(test)]
mod tests;
