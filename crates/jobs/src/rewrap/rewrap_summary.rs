//! Summaries of rewraps.

use sealwax_s3::RewrapOutcome;
use serde::{Deserialize, Serialize};

use crate::{
    engine::Summary,
    job::{AppliedObject, JobCounts, JobSummary},
};

/// Counts of rewrapped objects. Field names are stable JSON output.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct RewrapSummary {
    /// Objects that have new keys.
    pub rewrapped: u64,
    /// Objects with new keys that still have old ones: nothing proved that the others open them.
    pub kept: u64,
    /// Objects that already name the wanted keys. Nothing proved these.
    pub claimed: u64,
    /// Objects that already had the wanted keys, and whose keys were proven.
    pub proven: u64,
    /// Objects with nothing to remove or to refresh.
    pub unchanged: u64,
    /// All other counts.
    #[serde(flatten)]
    pub counts: JobCounts,
}

impl RewrapSummary {
    /// Returns the number of objects of this run for which nothing is left to do.
    #[must_use]
    pub fn done(&self) -> u64 {
        self.rewrapped + self.claimed + self.proven + self.unchanged + self.counts.skipped()
    }
}

impl Summary for RewrapSummary {
    type Outcome = AppliedObject<RewrapOutcome>;

    fn record(&mut self, object: &Self::Outcome) {
        let count = match object.outcome {
            RewrapOutcome::Rewrapped { .. } => &mut self.rewrapped,
            RewrapOutcome::Kept { .. } => &mut self.kept,
            RewrapOutcome::Claimed => &mut self.claimed,
            RewrapOutcome::Proven => &mut self.proven,
            RewrapOutcome::Unchanged => &mut self.unchanged,
            RewrapOutcome::Skipped(why) => self.counts.skipped_mut(why),
            RewrapOutcome::Changed(_) => &mut self.counts.changed,
            RewrapOutcome::Failed(_) => &mut self.counts.errors,
        };
        *count += 1;
        self.counts.replanned += u64::from(object.replanned);
    }

    /// Returns the number of objects of this run.
    fn objects(&self) -> u64 {
        self.done() + self.failed()
    }

    /// Returns the number of objects of this run that do not have exactly the wanted keys.
    fn failed(&self) -> u64 {
        self.kept + self.counts.failed()
    }
}

impl JobSummary for RewrapSummary {
    fn counts(&self) -> &JobCounts {
        &self.counts
    }

    fn counts_mut(&mut self) -> &mut JobCounts {
        &mut self.counts
    }
}
