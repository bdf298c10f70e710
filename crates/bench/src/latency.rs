//! Latencies of one load and their percentiles: every sample is kept, nothing is estimated.
//!
//! The loads are bounded in time and count (`load.rs`), which bounds the memory here.

use std::time::Duration;

#[derive(Debug, Default, Clone)]
pub struct Latencies {
    nanoseconds: Vec<u64>,
}

/// What is told of a set of latencies; zero everywhere when there was none.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    pub p50: Duration,
    pub p95: Duration,
    pub p99: Duration,
    pub max: Duration,
}

impl Latencies {
    pub fn push(&mut self, latency: Duration) {
        self.nanoseconds.push(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
    }

    pub fn extend(&mut self, other: &Latencies) {
        self.nanoseconds.extend_from_slice(&other.nanoseconds);
    }

    pub fn len(&self) -> usize {
        self.nanoseconds.len()
    }

    pub fn summary(&self) -> Summary {
        let mut sorted = self.nanoseconds.clone();
        sorted.sort_unstable();
        Summary {
            p50: percentile(&sorted, 50),
            p95: percentile(&sorted, 95),
            p99: percentile(&sorted, 99),
            max: percentile(&sorted, 100),
        }
    }
}

impl FromIterator<Duration> for Latencies {
    fn from_iter<I: IntoIterator<Item = Duration>>(durations: I) -> Self {
        let mut all = Latencies::default();
        durations.into_iter().for_each(|one| all.push(one));
        all
    }
}

/// Nearest rank: the smallest sample that at least `percent` of all samples do not exceed. No interpolation, so every
/// figure printed is one that really happened.
fn percentile(sorted: &[u64], percent: usize) -> Duration {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    Duration::from_nanos(sorted.get(rank - 1).copied().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(milliseconds: impl IntoIterator<Item = u64>) -> Summary {
        milliseconds.into_iter().map(Duration::from_millis).collect::<Latencies>().summary()
    }

    #[test]
    fn percentiles_are_samples_by_nearest_rank() {
        let summary = of((1..=100).rev());
        assert_eq!(summary.p50, Duration::from_millis(50));
        assert_eq!(summary.p95, Duration::from_millis(95));
        assert_eq!(summary.p99, Duration::from_millis(99));
        assert_eq!(summary.max, Duration::from_millis(100));
    }

    #[test]
    fn one_sample_is_every_percentile() {
        let summary = of([7]);
        assert_eq!((summary.p50, summary.p99, summary.max), (summary.max, summary.max, Duration::from_millis(7)));
    }

    #[test]
    fn few_samples_do_not_hide_the_worst() {
        assert_eq!(of([1, 2, 900]).p99, Duration::from_millis(900));
        assert_eq!(of([1, 2, 900]).p50, Duration::from_millis(2));
    }

    #[test]
    fn none_is_zero_and_merging_keeps_all() {
        assert_eq!(of([]), Summary::default());
        let mut left: Latencies = [Duration::from_millis(1)].into_iter().collect();
        left.extend(&[Duration::from_millis(3)].into_iter().collect());
        assert_eq!((left.len(), left.summary().max), (2, Duration::from_millis(3)));
    }
}
