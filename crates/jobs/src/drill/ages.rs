//! Ages of objects that are not replicated.

use std::time::{Duration, SystemTime};

use aws_sdk_s3::primitives::DateTime;

/// Upper limits of the ages in seconds, each included: from a minute to 30 days.
const LIMITS: [u64; 8] = [60, 300, 900, 3600, 21_600, 86_400, 604_800, 2_592_000];

/// Counts of objects by age, in constant memory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ages {
    counts: [u64; LIMITS.len()],
    older: u64,
}

impl Ages {
    /// Counts an object that was last modified at this time, at the time `now`. One in the future, by
    /// another clock, has no age yet; one without a time is as old as can be.
    pub fn record(&mut self, last_modified: Option<DateTime>, now: SystemTime) {
        let age = last_modified
            .and_then(|time| SystemTime::try_from(time).ok())
            .map(|time| now.duration_since(time).unwrap_or_default().as_secs());
        let at = age.and_then(|age| LIMITS.iter().position(|limit| age <= *limit));
        match at {
            Some(at) => self.counts[at] += 1,
            None => self.older += 1,
        }
    }

    /// Returns the number of all objects.
    #[must_use]
    pub fn objects(&self) -> u64 {
        self.counts.iter().sum::<u64>() + self.older
    }

    /// Returns the number of objects for each limit, in ascending order: those that are at most that
    /// old, and older than the limit before. Those that are older than all limits, or whose age is
    /// unknown, come last, without a limit.
    pub fn histogram(&self) -> impl Iterator<Item = (Option<Duration>, u64)> {
        let limits = LIMITS.into_iter().map(|limit| Some(Duration::from_secs(limit)));
        let counts = self.counts.into_iter().chain([self.older]);
        limits.chain([None]).zip(counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_object_is_counted_up_to_the_limit_of_its_age() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(10_000_000);
        let mut ages = Ages::default();
        for age in [-5, 0, 60, 61, 2_592_000, 2_592_001] {
            ages.record(Some(DateTime::from_secs(10_000_000 - age)), now);
        }
        ages.record(None, now);
        let counts: Vec<_> =
            ages.histogram().map(|(limit, count)| (limit.map(|it| it.as_secs()), count)).collect();
        assert_eq!(counts[..2], [(Some(60), 3), (Some(300), 1)]);
        assert_eq!(counts[7..], [(Some(2_592_000), 1), (None, 2)]);
        assert_eq!(ages.objects(), 7);
    }
}
