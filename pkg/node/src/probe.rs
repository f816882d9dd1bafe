//! Probes: when they run and what their results mean. The checks themselves are in `probe/check.rs`.

pub(crate) mod check;
mod grpc;
pub(crate) mod http;
mod tls;

use std::time::Duration;

use k8s_openapi::api::core::v1::Probe;
use tokio::time::Instant;

/// The shortest and first wait between tries of a probe that has not succeeded yet.
const QUICK: Duration = Duration::from_millis(10);

/// Consecutive results against a probe's thresholds (kubelet's prober/worker.go).
#[derive(Debug, Clone)]
pub(crate) struct Counter {
    successes_needed: u32,
    failures_needed: u32,
    last: Option<bool>,
    run: u32,
}

impl Counter {
    pub(crate) fn new(probe: &Probe) -> Counter {
        let positive = |value: Option<i32>, default: u32| match value {
            Some(value) if value > 0 => value as u32,
            _ => default,
        };
        Counter {
            successes_needed: positive(probe.success_threshold, 1),
            failures_needed: positive(probe.failure_threshold, 3),
            last: None,
            run: 0,
        }
    }

    /// Takes one result; answers the verdict once the threshold is reached, and on every such result after.
    pub(crate) fn observe(&mut self, success: bool) -> Option<bool> {
        if self.last != Some(success) {
            self.last = Some(success);
            self.run = 0;
        }
        self.run += 1;
        let needed = if success { self.successes_needed } else { self.failures_needed };
        (self.run >= needed).then_some(success)
    }
}

/// When a probe runs. A probe whose success somebody waits for (readiness, startup) is tried quickly at first: after
/// 10, 20, 40 ms and so on up to the period. Such early failures count for nothing until a whole period has passed.
#[derive(Debug, Clone)]
pub(crate) struct Schedule {
    period: Duration,
    /// The next quick wait; `None` when tries come once a period.
    quick: Option<Duration>,
    /// Time since the last failure that counted, or since the beginning.
    since_counted: Duration,
}

impl Schedule {
    pub(crate) fn new(probe: &Probe, eager: bool) -> Schedule {
        let period = Duration::from_secs(probe.period_seconds.filter(|period| *period > 0).unwrap_or(10) as u64);
        Schedule { period, quick: eager.then_some(QUICK), since_counted: Duration::ZERO }
    }

    /// Takes one result. Answers whether it counts, and the wait until the next try.
    pub(crate) fn next(&mut self, success: bool) -> (bool, Duration) {
        if success {
            self.quick = None;
        }
        let Some(quick) = self.quick else { return (true, self.period) };
        let counts = self.since_counted >= self.period;
        if counts {
            self.since_counted = Duration::ZERO;
        }
        let wait = quick.min(self.period);
        self.since_counted += wait;
        self.quick = Some((quick * 2).min(self.period));
        (counts, wait)
    }
}

/// What a probe tells its container.
#[derive(Debug)]
pub(crate) enum Report {
    /// The threshold was reached.
    Verdict(bool),
    /// One failure that counts, in words.
    Failure(String),
}

/// Runs one probe for ever; `check` tries once, `report` hears of verdicts and failures and answers whether to go on.
pub(crate) async fn run<C, F>(probe: &Probe, eager: bool, mut check: C, mut report: impl FnMut(Report) -> bool)
where
    C: FnMut() -> F,
    F: Future<Output = Result<(), String>>,
{
    let mut counter = Counter::new(probe);
    let mut schedule = Schedule::new(probe, eager);
    tokio::time::sleep(Duration::from_secs(probe.initial_delay_seconds.unwrap_or(0).max(0) as u64)).await;
    let timeout = Duration::from_secs(probe.timeout_seconds.filter(|timeout| *timeout > 0).unwrap_or(1) as u64);
    loop {
        let began = Instant::now();
        let result = match tokio::time::timeout(timeout, check()).await {
            Ok(result) => result,
            Err(_) => Err(format!("probe timed out after {timeout:?}")),
        };
        let (counts, wait) = schedule.next(result.is_ok());
        if counts {
            let verdict = counter.observe(result.is_ok());
            if let Err(text) = result
                && !report(Report::Failure(text))
            {
                return;
            }
            if let Some(verdict) = verdict
                && !report(Report::Verdict(verdict))
            {
                return;
            }
        }
        tokio::time::sleep_until(began + wait).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probe(json: serde_json::Value) -> Probe {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn verdicts_need_consecutive_results() {
        let mut counter = Counter::new(&probe(serde_json::json!({"failureThreshold": 2, "successThreshold": 2})));
        let verdicts: Vec<_> =
            [true, true, true, false, true, false, false, false].map(|result| counter.observe(result)).into();
        assert_eq!(verdicts, [None, Some(true), Some(true), None, None, None, Some(false), Some(false)]);
        let mut defaults = Counter::new(&Probe::default());
        assert_eq!([false, false, false].map(|result| defaults.observe(result)), [None, None, Some(false)]);
        assert_eq!(defaults.observe(true), Some(true));
    }

    #[test]
    fn eager_probes_double_their_wait_up_to_the_period_and_count_once_a_period() {
        let mut schedule = Schedule::new(&probe(serde_json::json!({"periodSeconds": 1})), true);
        let steps: Vec<(bool, u128)> = (0..10)
            .map(|_| {
                let (counts, wait) = schedule.next(false);
                (counts, wait.as_millis())
            })
            .collect();
        let waits: Vec<u128> = steps.iter().map(|step| step.1).collect();
        assert_eq!(waits, [10, 20, 40, 80, 160, 320, 640, 1000, 1000, 1000]);
        let counted: Vec<bool> = steps.iter().map(|step| step.0).collect();
        assert_eq!(counted, [false, false, false, false, false, false, false, true, true, true]);
        assert_eq!(schedule.next(true), (true, Duration::from_secs(1)));
        assert_eq!(schedule.next(false), (true, Duration::from_secs(1)));
    }

    #[test]
    fn others_run_once_a_period() {
        let mut schedule = Schedule::new(&Probe::default(), false);
        assert_eq!(schedule.next(false), (true, Duration::from_secs(10)));
    }
}
