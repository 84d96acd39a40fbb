//! Summaries of migrations.

use sealwax_s3::MigrateOutcome;
use serde::{Deserialize, Serialize};

use crate::{
    engine::Summary,
    job::{AppliedObject, JobCounts, JobSummary},
};

/// Counts of migrated objects. Field names are stable JSON output.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct MigrateSummary {
    /// Objects that were stored in the wanted format.
    pub reencrypted: u64,
    /// Bytes of plaintext in these objects.
    pub plaintext_bytes: u64,
    /// Objects that already had the wanted format.
    pub unchanged: u64,
    /// All other counts. An object that no client encrypted counts as failed.
    #[serde(flatten)]
    pub counts: JobCounts,
}

impl Summary for MigrateSummary {
    type Outcome = AppliedObject<MigrateOutcome>;

    fn record(&mut self, object: &Self::Outcome) {
        let count = match &object.outcome {
            MigrateOutcome::Reencrypted { plaintext_len, .. } => {
                self.plaintext_bytes = self.plaintext_bytes.saturating_add(*plaintext_len);
                &mut self.reencrypted
            }
            MigrateOutcome::Unchanged => &mut self.unchanged,
            MigrateOutcome::Skipped(why) => self.counts.skipped_mut(*why),
            MigrateOutcome::Changed(_) => &mut self.counts.changed,
            MigrateOutcome::Failed(_) => &mut self.counts.errors,
        };
        *count += 1;
        self.counts.replanned += u64::from(object.replanned);
    }

    /// Returns the number of objects of this run.
    fn objects(&self) -> u64 {
        self.reencrypted + self.unchanged + self.counts.skipped() + self.failed()
    }

    /// Returns the number of objects of this run that are not in the wanted format.
    fn failed(&self) -> u64 {
        self.counts.failed()
    }
}

impl JobSummary for MigrateSummary {
    fn counts(&self) -> &JobCounts {
        &self.counts
    }

    fn counts_mut(&mut self) -> &mut JobCounts {
        &mut self.counts
    }
}
