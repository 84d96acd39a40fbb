//! Rewraps of many objects: plan them, apply the plan, go on after a crash.
//!
//! The unit is [`Rewrapper::rewrap_one`], which does nothing to an object that has the wanted keys already. Above it:
//!
//! - [`Rewrapper::plan`] looks at objects and writes what a rewrap would change, by which way, and at what cost;
//! - [`Rewrapper::apply`] does it, to the objects of a plan or of a listing, and keeps a journal: after a crash at any
//!   point, the same again does the rest.
//!
//! All of it works in constant memory. An object costs one `HeadObject`, one call of KMS for each new wrap, or for each
//! intermediate key instead, and one copy inside S3. How many objects are worked on at once adapts to what S3 and KMS
//! bear.

mod apply;
mod done;
mod journal;
mod line;
mod one;
mod plan;
mod plan_file;
mod pool;
mod prices;
mod stop;
mod summary;
mod window;

pub use self::{
    apply::{Apply, Work},
    journal::{Report, Tally, Verdict},
    line::{Action, DataKeyWay, MetadataWay, PlanHeader, PlannedObject},
    one::{Outcome, Rewrapper, Skipped},
    plan::Planning,
    plan_file::PlanFile,
    prices::PriceTable,
    stop::Stop,
    summary::{Estimate, Summary},
};
pub use crate::operation::rewrap::{EditName, Edits, Landing};
