//! The indexes of an indexed Job: which succeeded, which failed for good, and which failed pods wait for a successor.
//! Pure; follows Kubernetes' `indexed_job_utils.go`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::JobStatus;
use k8s_openapi::api::core::v1::Pod;

use super::backoff::{Backoff, finished};
use super::indexes::Indexes;
use super::made::{all_failures, failures, index, tracked};
use super::plan::Scene;
use super::policy::{self, Verdict};
use crate::pods;

/// The state of all indexes.
pub(super) struct Indexed {
    /// Those that the status says have succeeded.
    pub(super) before: Indexes,
    /// Those and the ones whose pods succeeded since.
    pub(super) succeeded: Indexes,
    /// With `backoffLimitPerIndex` only.
    pub(super) failed: Option<Indexes>,
    /// Failed pods that are kept until their index has a new pod, since they carry its count of failures.
    waiting: BTreeMap<i32, Arc<Pod>>,
    completions: i32,
}

impl Indexed {
    pub(super) fn of(scene: &Scene<'_>, status: &JobStatus) -> Self {
        let spec = scene.spec;
        let completions = spec.completions.unwrap_or(0);
        let before = Indexes::parse(status.completed_indexes.as_deref().unwrap_or_default(), completions);
        let tracked = || scene.pods.iter().filter(|p| tracked(p));
        let at = |p: &Pod| index(p).filter(|i| *i < completions);
        let succeeded = before.with(tracked().filter(|p| pods::phase(p) == "Succeeded").filter_map(|p| at(p)));
        let Some(limit) = spec.backoff_limit_per_index else {
            return Self { before, succeeded, failed: None, waiting: BTreeMap::new(), completions };
        };
        let gone = |p: &Pod| match policy::judge(spec, p) {
            Verdict::FailIndex => true,
            Verdict::Ignore => false,
            _ => failures(p) >= limit,
        };
        let known = Indexes::parse(status.failed_indexes.as_deref().unwrap_or_default(), completions);
        let failing = || tracked().filter(|p| policy::failed(spec, p));
        let failed = known.with(failing().filter(|p| gone(p)).filter_map(|p| at(p)));
        let active: Indexes = scene.pods.iter().filter(|p| pods::active(p)).filter_map(|p| index(p)).collect();
        let mut waiting: BTreeMap<i32, Arc<Pod>> = BTreeMap::new();
        for pod in failing() {
            let Some(index) = at(pod) else { continue };
            if succeeded.has(index) || failed.has(index) || active.has(index) {
                continue;
            }
            let rank = |p: &Pod| (all_failures(p), finished(p));
            if waiting.get(&index).is_none_or(|there| rank(there) <= rank(pod)) {
                waiting.insert(index, pod.clone());
            }
        }
        Self { before, succeeded, failed: Some(failed), waiting, completions }
    }

    /// The next indexes that need a pod, at most `count`.
    pub(super) fn free(&self, scene: &Scene<'_>, active: &[Arc<Pod>], count: usize) -> Vec<i32> {
        let mut taken = self.succeeded.with(active.iter().filter_map(|p| index(p)));
        if policy::only_failed(scene.spec) {
            let leaving = scene.pods.iter().filter(|p| pods::terminating(p) && !pods::terminal(p));
            taken = taken.with(leaving.filter_map(|p| index(p)));
        }
        if let Some(failed) = &self.failed {
            taken = taken.merged(failed);
        }
        taken.free(count, self.completions)
    }

    /// The failed pod that waits for a successor at an index.
    pub(super) fn waiting(&self, index: i32) -> Option<&Pod> {
        self.waiting.get(&index).map(|p| &**p)
    }

    pub(super) fn is_waiting(&self, pod: &Pod) -> bool {
        self.waiting.values().any(|p| p.metadata.uid == pod.metadata.uid)
    }

    /// How long an index has to wait for its next pod.
    pub(super) fn left(&self, index: i32, now: Timestamp) -> Duration {
        let Some(pod) = self.waiting.get(&index) else { return Duration::ZERO };
        Backoff { failures: all_failures(pod) + 1, last: finished(pod) }.left(now)
    }
}
