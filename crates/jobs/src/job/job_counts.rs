//! Counts that all jobs have that change many objects.

use sealwax_s3::Skipped;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::engine::Summary;

/// Counts of the objects that a job did not change, and of its runs. Field names are stable JSON
/// output.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct JobCounts {
    /// Objects that no client encrypted.
    pub not_sealed: u64,
    /// Objects that were shredded.
    pub shredded: u64,
    /// Empty objects that represent folders.
    pub folder_markers: u64,
    /// Sidecars and instruction files of other objects.
    pub companions: u64,
    /// Objects that were deleted after they were listed.
    pub gone: u64,
    /// Objects that other writers changed again and again.
    pub changed: u64,
    /// Objects on which the work failed.
    #[serde(rename = "failed")]
    pub errors: u64,
    /// Objects that changed since planning and were re-evaluated. They count elsewhere too.
    pub replanned: u64,
    /// Objects that are still in the state in which earlier runs of the job left them.
    pub done_before: u64,
    /// `true` if the job was cancelled or could not continue: there may be more objects.
    pub stopped: bool,
}

impl JobCounts {
    /// Returns the count of objects that are skipped for this reason.
    pub(crate) fn skipped_mut(&mut self, why: Skipped) -> &mut u64 {
        match why {
            Skipped::NotSealed => &mut self.not_sealed,
            Skipped::Shredded => &mut self.shredded,
            Skipped::FolderMarker => &mut self.folder_markers,
            Skipped::Companion => &mut self.companions,
            Skipped::Gone => &mut self.gone,
        }
    }

    /// Returns the number of objects that were not eligible.
    #[must_use]
    pub fn skipped(&self) -> u64 {
        self.not_sealed + self.shredded + self.folder_markers + self.companions + self.gone
    }

    /// Returns the number of objects on which the work failed.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.changed + self.errors
    }
}

/// Summary of a job that changes many objects.
pub trait JobSummary: Summary + Clone + Serialize + DeserializeOwned {
    /// Returns the counts that all kinds of jobs have.
    fn counts(&self) -> &JobCounts;

    /// Returns the same counts, to change them.
    fn counts_mut(&mut self) -> &mut JobCounts;

    /// Returns the number of objects of the whole job, with those that earlier runs did.
    #[must_use]
    fn all_objects(&self) -> u64 {
        self.objects() + self.counts().done_before
    }

    /// `true` if nothing is left to do for any object.
    #[must_use]
    fn is_complete(&self) -> bool {
        self.failed() == 0 && !self.counts().stopped
    }
}
