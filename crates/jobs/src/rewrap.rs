//! Rewraps of many objects: plan them, apply the plan, resume after a crash.
//!
//! The unit of work is [`Rewrapper::rewrap_one`](sealwax_s3::Rewrapper::rewrap_one), which changes
//! nothing in an object that already has the wanted keys. Two jobs are built on it:
//!
//! - [`Plan`] reads objects and writes a plan: what a rewrap would change, how, and at what cost.
//! - [`Apply`] rewraps the objects of a plan or of a listing and keeps a journal of the state in
//!   which it left each. After a crash at any point, run the same job again to do the rest, and what
//!   changed meanwhile.
//!
//! Both work in constant memory, but for at most 32 bytes for each object that an interrupted run of
//! the same job completed. A rewrap costs one `HeadObject`, one call of KMS for each new encrypted data key
//! or each intermediate key, and one copy inside S3.
//!
//! ```no_run
//! # async fn example(
//! #     client: sealwax_s3::SealedClient,
//! #     west: sealwax_s3::KmsKeyring,
//! # ) -> Result<(), sealwax_s3::Error> {
//! use sealwax_jobs::{listing::Listing, rewrap::{Apply, JobInput, JobSummary as _}};
//! use sealwax_s3::KeyChanges;
//!
//! let rewrapper = client.rewrapper(KeyChanges::new().add_keys(west))?;
//! let objects = Listing::objects(client.s3(), "bucket", "2026/");
//! let input = JobInput::listing(objects, "s3://bucket/2026/").live();
//! let summary = Apply::new(rewrapper).journal("add-west.journal").run(input).finish().await?;
//! assert!(summary.is_complete());
//! # Ok(())
//! # }
//! ```

mod rewrap_summary;
mod rewrap_work;

pub use self::rewrap_summary::RewrapSummary;
#[doc(no_inline)]
pub use crate::job::{
    Action, Apply, Estimate, JobInput, JobSummary, PermissionNeed, Plan, PlanFile, PlanHeader,
    PlanSummary, PlannedJob, PlannedObject, PriceTable, StorageEstimate, plan_one,
};

/// Outcome of the rewrap of one object.
pub type AppliedObject = crate::job::AppliedObject<sealwax_s3::RewrapOutcome>;
