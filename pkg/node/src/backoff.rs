//! How long to wait before trying again: doubling delays with a ceiling. Pure: whoever asks says how long it ran.

use std::time::Duration;

/// Doubling delays, from `first` up to `most`.
#[derive(Debug, Clone)]
pub(crate) struct Backoff {
    first: Duration,
    most: Duration,
    current: Option<Duration>,
    free: bool,
}

impl Backoff {
    /// The kubelet's restart back-off: the first restart is free, then 10 s doubling to 5 min; forgotten after a run
    /// of 10 min (kubelet.go, `MaxContainerBackOff`).
    pub(crate) fn restarts() -> Backoff {
        Backoff { first: Duration::from_secs(10), most: Duration::from_secs(300), current: None, free: true }
    }

    /// The kubelet's image back-off: 10 s doubling to 5 min.
    pub(crate) fn images() -> Backoff {
        Backoff { free: false, ..Backoff::restarts() }
    }

    /// For set-up steps that wait for another object: half a second doubling to 30 s.
    pub(crate) fn setup() -> Backoff {
        Backoff { first: Duration::from_millis(500), most: Duration::from_secs(30), current: None, free: false }
    }

    /// The delay before the next try, after a run of `ran`.
    pub(crate) fn after(&mut self, ran: Duration) -> Duration {
        if ran >= self.most * 2 {
            self.current = None;
            return if self.free { Duration::ZERO } else { self.next() };
        }
        if self.free && self.current.is_none() {
            self.current = Some(Duration::ZERO);
            return Duration::ZERO;
        }
        self.next()
    }

    fn next(&mut self) -> Duration {
        let next = match self.current {
            None | Some(Duration::ZERO) => self.first,
            Some(current) => (current * 2).min(self.most),
        };
        self.current = Some(next);
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(backoff: &mut Backoff, times: usize) -> Vec<u64> {
        (0..times).map(|_| backoff.after(Duration::from_secs(1)).as_secs()).collect()
    }

    #[test]
    fn restarts_double_to_five_minutes_after_a_free_one() {
        let mut backoff = Backoff::restarts();
        assert_eq!(seconds(&mut backoff, 8), [0, 10, 20, 40, 80, 160, 300, 300]);
        assert_eq!(backoff.after(Duration::from_secs(600)).as_secs(), 0);
        assert_eq!(seconds(&mut backoff, 2), [0, 10]);
    }

    #[test]
    fn images_wait_from_the_first_failure() {
        assert_eq!(seconds(&mut Backoff::images(), 3), [10, 20, 40]);
    }
}
