//! Medians and percentiles of small samples. Pure.

use std::time::Duration;

/// The value below which `percent` of the sample lies (nearest rank). The sample must not be empty.
pub(crate) fn percentile(sample: &[f64], percent: f64) -> f64 {
    let mut sorted = sample.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (percent / 100.0 * sorted.len() as f64).ceil().max(1.0) as usize;
    sorted[rank.min(sorted.len()) - 1]
}

/// The middle of the sample.
pub(crate) fn median(sample: &[f64]) -> f64 {
    percentile(sample, 50.0)
}

/// `median 0.61 s, p95 0.74 s (10 runs)` of durations.
pub(crate) fn seconds(sample: &[Duration]) -> String {
    let values: Vec<f64> = sample.iter().map(Duration::as_secs_f64).collect();
    format!("median {:.2} s, p95 {:.2} s ({} runs)", median(&values), percentile(&values, 95.0), values.len())
}

/// `median 3.1 ms, p99 9.4 ms (50 runs)` of durations.
pub(crate) fn milliseconds(sample: &[Duration]) -> String {
    let values: Vec<f64> = sample.iter().map(|d| d.as_secs_f64() * 1000.0).collect();
    format!("median {:.1} ms, p99 {:.1} ms ({} runs)", median(&values), percentile(&values, 99.0), values.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_rank() {
        let sample = [5.0, 1.0, 4.0, 2.0, 3.0];
        assert_eq!(median(&sample), 3.0);
        assert_eq!(percentile(&sample, 95.0), 5.0);
        assert_eq!(percentile(&[7.0], 50.0), 7.0);
    }
}
