//! Rewraps of many objects: plan them, apply the plan, go on after a crash.
//!
//! The unit is [`Rewrapper::rewrap_one`](sealwax_s3::Rewrapper::rewrap_one), which does nothing to an object that has the wanted keys already. Above it:
//!
//! - [`Planning`] looks at objects and writes what a rewrap would change, by which way, and at what cost;
//! - [`Apply`] does it, to the objects of a plan or of a listing, and keeps a journal: after a crash at any
//!   point, the same again does the rest.
//!
//! All of it works in constant memory. An object costs one `HeadObject`, one call of KMS for each new wrap, or for each
//! intermediate key instead, and one copy inside S3. How many objects are worked on at once adapts to what S3 and KMS
//! bear.

mod apply;
mod completed;
mod journal;
mod plan;
mod plan_file;
mod plan_format;
mod prices;
mod summary;

pub use self::{
    apply::{Apply, Work},
    journal::{Report, Tally, Verdict},
    plan::{Planning, plan_one},
    plan_file::PlanFile,
    plan_format::{Action, PlanHeader, PlannedObject},
    prices::PriceTable,
    summary::{Estimate, Summary},
};
pub use crate::engine::stop::Stop;
