//! Distribution of the times that objects take to open.

use std::time::Duration;

/// Buckets for each power of two: a reported time is at most 1/32 (3.2 %) above the measured one.
const STEPS: usize = 32;
/// Powers of two of microseconds, up to 12 days.
const POWERS: usize = 40;

/// Times that objects took to open, in constant memory.
///
/// Quantiles are upper bounds: at most 3.2 % above the exact value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpeningTimes {
    buckets: Vec<u64>,
    objects: u64,
    total: Duration,
    longest: Duration,
}

impl Default for OpeningTimes {
    fn default() -> Self {
        Self {
            buckets: vec![0; POWERS * STEPS],
            objects: 0,
            total: Duration::ZERO,
            longest: Duration::ZERO,
        }
    }
}

impl OpeningTimes {
    /// Records the time of one object.
    pub fn record(&mut self, elapsed: Duration) {
        let at = bucket(micros(elapsed)).min(self.buckets.len() - 1);
        self.buckets[at] += 1;
        self.objects += 1;
        self.total = self.total.saturating_add(elapsed);
        self.longest = self.longest.max(elapsed);
    }

    /// Returns the number of objects.
    #[must_use]
    pub fn objects(&self) -> u64 {
        self.objects
    }

    /// Returns the sum of all times. Objects that were opened at the same time each count in full.
    #[must_use]
    pub fn total(&self) -> Duration {
        self.total
    }

    /// Returns the longest time; zero without objects.
    #[must_use]
    pub fn longest(&self) -> Duration {
        self.longest
    }

    /// Returns the time in which this many of a thousand objects opened, such as 990 for the 99th
    /// percentile; `None` without objects.
    #[must_use]
    pub fn per_mille(&self, per_mille: u64) -> Option<Duration> {
        let wanted = u128::from(self.objects) * u128::from(per_mille.min(1000));
        let wanted = u64::try_from(wanted.div_ceil(1000)).unwrap_or(u64::MAX).max(1);
        let mut seen = 0;
        let at = self.buckets.iter().position(|count| {
            seen += count;
            seen >= wanted
        })?;
        Some(Duration::from_micros(last_of(at)).min(self.longest))
    }

    /// Returns the number of objects by their time: for each limit, in ascending order, those that
    /// took at most that long and longer than the limit before. Those above the last limit are
    /// counted last. Limits are accurate to 3.2 %.
    #[must_use]
    pub fn histogram(&self, limits: &[Duration]) -> Vec<u64> {
        let mut counts = vec![0; limits.len() + 1];
        for (at, count) in self.buckets.iter().enumerate() {
            let first = Duration::from_micros(at.checked_sub(1).map_or(0, |at| last_of(at) + 1));
            let place = limits.iter().position(|limit| first <= *limit);
            counts[place.unwrap_or(limits.len())] += count;
        }
        counts
    }
}

fn micros(elapsed: Duration) -> u64 {
    u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX)
}

/// Returns the bucket of a time. Below 32 µs each has its own.
fn bucket(micros: u64) -> usize {
    let power = (u64::BITS - micros.leading_zeros()).saturating_sub(6) as usize;
    let step = usize::try_from(micros >> power).unwrap_or(usize::MAX);
    if power == 0 { step } else { power * STEPS + step }
}

/// Returns the longest time in a bucket.
fn last_of(bucket: usize) -> u64 {
    let power = (bucket / STEPS).saturating_sub(1);
    let step = (bucket - power * STEPS) as u64;
    ((step + 1) << power) - 1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(millis: impl IntoIterator<Item = u64>) -> OpeningTimes {
        let mut times = OpeningTimes::default();
        millis.into_iter().for_each(|millis| times.record(Duration::from_millis(millis)));
        times
    }

    #[test]
    fn quantiles_are_upper_bounds_within_a_step() {
        let times = of(1..=1000);
        assert_eq!((times.objects(), times.longest()), (1000, Duration::from_secs(1)));
        assert_eq!(times.total(), Duration::from_millis(500_500));
        assert_eq!(times.per_mille(500), Some(Duration::from_micros(507_903)));
        assert_eq!(times.per_mille(990), Some(Duration::from_micros(999_423)));
        assert_eq!(times.per_mille(1000), Some(Duration::from_secs(1)), "never above the longest");
        assert_eq!(times.per_mille(0), Some(Duration::from_micros(1007)));
        assert_eq!(OpeningTimes::default().per_mille(500), None);
        assert_eq!(of([7]).per_mille(500), Some(Duration::from_millis(7)), "and exact for one");
    }

    #[test]
    fn a_histogram_has_each_object_once() {
        let limits = [10, 100, 1000].map(Duration::from_millis);
        assert_eq!(of([1, 9, 50, 99, 200, 5000]).histogram(&limits), [2, 2, 1, 1]);
        assert_eq!(OpeningTimes::default().histogram(&limits), [0; 4]);
        assert_eq!(of([u64::MAX / 1_000_000]).histogram(&limits), [0, 0, 0, 1]);
    }

    proptest! {
        #[test]
        fn each_time_is_in_its_bucket(micros in 0_u64..1 << 44) {
            let at = bucket(micros);
            prop_assert!(micros <= last_of(at));
            prop_assert!(at == 0 || micros > last_of(at - 1), "{} {}", at, micros);
            prop_assert!(last_of(at) - micros <= micros / 32);
        }
    }
}
