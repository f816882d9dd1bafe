//! How long a client of the API waits before it tries a broken watch again. The server is next door: a restart takes
//! moments, so pauses start short and stay short.

use std::time::Duration;

use backon::ExponentialBuilder;

/// 20 ms, doubling to one second, for ever, with jitter.
pub fn watch() -> ExponentialBuilder {
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(20))
        .with_max_delay(Duration::from_secs(1))
        .with_factor(2.0)
        .without_max_times()
        .with_jitter()
}

#[cfg(test)]
mod tests {
    use super::*;
    use backon::BackoffBuilder as _;

    #[test]
    fn pauses_start_short_and_never_end() {
        let pauses: Vec<Duration> = watch().build().take(40).collect();
        assert_eq!(pauses.len(), 40);
        assert!(pauses[0] <= Duration::from_millis(40), "{:?}", pauses[0]);
        assert!(pauses.iter().all(|pause| *pause <= Duration::from_secs(2)), "{pauses:?}");
    }
}
