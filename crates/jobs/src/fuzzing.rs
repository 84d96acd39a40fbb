//! Ways into the parsers of files, for the fuzz targets.

use sealwax_s3::{Error, Rewrapper};

pub use crate::{
    job::fuzzing::plan,
    listing::inventory::fuzzing::{inventory_manifest, inventory_rows},
};

/// Parses the journal of a rewrap. Returns the length of its whole lines in bytes, and the number of
/// completed states.
///
/// # Errors
/// The text is not the job's journal.
pub fn journal(text: &[u8], job: &str) -> Result<(u64, u64), Error> {
    crate::job::fuzzing::journal::<Rewrapper>(text, job)
}
