//! Ways into the parsers of plans and journals, for the fuzz targets.

use std::{convert::Infallible, path::Path};

use sealwax_s3::Error;

use super::{PlanHeader, PlannedObject, Work, journal::read, plan_file::PlanLines};

const NOWHERE: &str = "fuzz";

/// Parses a plan as [`PlanFile::open`](super::PlanFile::open) does, and then its objects.
///
/// # Errors
/// The text is not a whole plan.
pub fn plan(text: &[u8]) -> Result<(PlanHeader, Result<Vec<PlannedObject>, Error>), Error> {
    let (header, summary) = PlanLines::new(Path::new(NOWHERE), text).check()?;
    let mut all = Vec::new();
    let read = PlanLines::new(Path::new(NOWHERE), text).objects(summary.objects, |_, object| {
        all.push(object);
        Ok::<_, Infallible>(())
    });
    Ok((header, read.map(|Ok(())| all)))
}

/// Parses the journal of `job`. Returns the length of its whole lines in bytes, and the number of
/// completed states.
///
/// # Errors
/// The text is not the job's journal.
pub(crate) fn journal<W: Work>(text: &[u8], job: &str) -> Result<(u64, u64), Error> {
    let contents = read::<W>(Path::new(NOWHERE), text, job)?;
    Ok((contents.len, contents.completed.len()))
}
