//! How long a Job waits before it replaces failed pods: 10 s, doubled with every failure since the last success, at
//! most 10 min. Pure; follows Kubernetes' `backoff_utils.go`.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};

use crate::pods;

const FIRST: Duration = Duration::from_secs(10);
const MOST: Duration = Duration::from_secs(600);

/// Failures since the last success.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Backoff {
    pub(super) failures: i32,
    pub(super) last: Option<Timestamp>,
}

impl Backoff {
    /// After pods that ended lately.
    pub(super) fn after(self, succeeded: &[&Pod], failed: &[&Pod]) -> Self {
        let success = succeeded.iter().filter_map(|p| finished(p)).max();
        let start = if succeeded.is_empty() { self } else { Self::default() };
        let since = failed.iter().filter_map(|p| finished(p)).filter(|t| success.is_none_or(|s| *t > s));
        since.fold(start, |all, t| Self { failures: all.failures + 1, last: all.last.max(Some(t)) })
    }

    /// What is left of the pause; zero when there is none.
    pub(super) fn left(self, now: Timestamp) -> Duration {
        let Some(last) = self.last.filter(|_| self.failures > 0) else { return Duration::ZERO };
        let doublings = u32::try_from(self.failures - 1).unwrap_or(0).min(10);
        let pause = FIRST.saturating_mul(1 << doublings).min(MOST);
        let passed = Duration::from_millis(u64::try_from(now.duration_since(last).as_millis()).unwrap_or(0));
        pause.saturating_sub(passed)
    }
}

/// When a pod ended: its containers' last end, else what else tells.
pub(super) fn finished(pod: &Pod) -> Option<Timestamp> {
    let status = pod.status.as_ref();
    let end = |c: &ContainerStatus| Some(c.state.as_ref()?.terminated.as_ref()?.finished_at.as_ref()?.0);
    let containers = status.and_then(|s| s.container_statuses.as_ref()).filter(|all| !all.is_empty());
    let ends: Option<Vec<Timestamp>> = containers.and_then(|all| all.iter().map(end).collect());
    if let Some(last) = ends.and_then(|all| all.into_iter().max()) {
        return Some(last);
    }
    let unready = pods::condition(pod, "Ready").filter(|c| c.status == "False");
    if let Some(since) = unready.and_then(|c| c.last_transition_time.as_ref()) {
        return Some(since.0);
    }
    if let Some(deletion) = &pod.metadata.deletion_timestamp {
        let grace = pod.metadata.deletion_grace_period_seconds.unwrap_or(0);
        return deletion.0.checked_sub(jiff::SignedDuration::from_secs(grace)).ok();
    }
    pod.metadata.creation_timestamp.as_ref().map(|t| t.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{at, pod};

    #[test]
    fn pauses_double_until_something_succeeds() {
        let failed: Vec<_> = (0..10).map(|n| pod("f").created(n).build()).collect();
        let failed: Vec<&Pod> = failed.iter().map(|p| &**p).collect();
        let one = Backoff::default().after(&[], &failed[..1]);
        assert_eq!((one.failures, one.left(at(4))), (1, Duration::from_secs(6)));
        let three = one.after(&[], &failed[1..3]);
        assert_eq!((three.failures, three.left(at(2))), (3, Duration::from_secs(40)));
        assert_eq!(Backoff::default().after(&[], &failed).left(at(9)), MOST);
        assert_eq!(three.left(at(1000)), Duration::ZERO);
        let success = pod("s").created(7).build();
        let after = three.after(&[&success], &failed[5..10]);
        assert_eq!((after.failures, after.last), (2, Some(at(9))));
        assert_eq!(three.after(&[&success], &[]), Backoff::default());
    }
}
