//! Migrations of many objects from one format to another: plan them, apply the plan, resume after a
//! crash.
//!
//! Each object is read, verified and stored again in its place, as
//! [`Reencrypt`](sealwax_s3::Reencrypt) does. The unit of work is
//! [`Migrator::migrate_one`](sealwax_s3::Migrator::migrate_one), which leaves objects alone that are
//! in the wanted format already. [`Plan`] and [`Apply`] are those of rewraps: the journal remembers
//! the entity tag of each object that the job left in the wanted format, and a listing shows that
//! without a request.
//!
//! ```no_run
//! # async fn example(client: sealwax_s3::SealedClient) -> Result<(), sealwax_s3::Error> {
//! use sealwax_jobs::{listing::Listing, migrate::{Apply, JobInput, JobSummary as _}};
//! use sealwax_s3::WriteFormat;
//!
//! let migrator = client.migrator(WriteFormat::Sealwax);
//! let objects = Listing::objects(client.s3(), "bucket", "written/by/java/");
//! let input = JobInput::listing(objects, "s3://bucket/written/by/java/").live();
//! let summary = Apply::new(migrator).journal("migrate.journal").run(input).finish().await?;
//! assert!(summary.is_complete());
//! # Ok(())
//! # }
//! ```

mod migrate_summary;
mod migrate_work;

pub use self::migrate_summary::MigrateSummary;
#[doc(no_inline)]
pub use crate::job::{
    Action, Apply, Estimate, JobInput, JobSummary, PermissionNeed, Plan, PlanFile, PlanHeader,
    PlanSummary, PlannedJob, PlannedObject, PriceTable, StorageEstimate, plan_one,
};

/// Outcome of the migration of one object.
pub type MigratedObject = crate::job::AppliedObject<sealwax_s3::MigrateOutcome>;
