//! The beat that processes of one machine share: whoever must look at something now and then, and does not care when
//! exactly, looks on the beat. Then they wake together, once, instead of each on its own. Must not sleep itself.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// How long it is until the monotonic clock, which all processes of a machine read alike and nobody sets, next stands
/// at a multiple of `every`: more than nothing, at most `every`. An `every` of nothing answers nothing.
pub fn until_beat(every: Duration) -> Duration {
    // The call cannot fail for a clock that every Linux has; if it did, each process would have a beat of its own.
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from);
    rest(now, every)
}

fn rest(now: Duration, every: Duration) -> Duration {
    let gone = now.as_nanos().checked_rem(every.as_nanos()).unwrap_or(0);
    // Nanoseconds of a remainder pass 64 bits only for an `every` of centuries.
    every.saturating_sub(Duration::from_nanos(u64::try_from(gone).unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_ends_on_a_multiple() {
        let second = Duration::from_secs(1);
        for (now, every, expected) in [
            (Duration::ZERO, 4 * second, 4 * second),
            (3 * second, 4 * second, second),
            (4 * second, 4 * second, 4 * second),
            (Duration::from_millis(12_999), 2 * second, Duration::from_millis(1_001)),
            (Duration::from_secs(1 << 40), Duration::from_millis(300), Duration::from_millis(200)),
            (5 * second, Duration::ZERO, Duration::ZERO),
        ] {
            assert_eq!(rest(now, every), expected, "{now:?} {every:?}");
        }
    }

    #[test]
    fn two_processes_hear_the_same_beat() {
        let every = Duration::from_secs(3600);
        let (one, other) = (until_beat(every), until_beat(every));
        assert!(one >= other || other > every - Duration::from_secs(60), "{one:?} {other:?}");
        assert!(one <= every && one > Duration::ZERO);
    }
}
