//! Jobs that change many objects: planned, applied, and resumed by a journal.
//!
//! The kind of job is a [`Work`]; everything else is the same for all kinds.

mod applied;
mod apply;
mod completed;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod job_counts;
mod journal;
mod outcome;
mod permissions;
mod plan;
mod plan_file;
mod plan_format;
mod plan_summary;
mod prices;
mod storage;
mod work;

pub(crate) use self::work::Sealed;
pub use self::{
    applied::AppliedObject,
    apply::{Apply, JobInput},
    job_counts::{JobCounts, JobSummary},
    outcome::{OutcomeDetails, WorkOutcome},
    permissions::PermissionNeed,
    plan::{Plan, plan_one},
    plan_file::PlanFile,
    plan_format::{Action, PlanHeader, PlannedJob, PlannedObject},
    plan_summary::{Estimate, PlanSummary},
    prices::PriceTable,
    storage::StorageEstimate,
    work::{Foreseen, Work},
};
