//! Forecasts of the work on objects, computed without using a key.

use super::skipped::Skipped;
use crate::{error::Error, object_state::ObjectState};

/// Forecast of the work on one object.
#[derive(Debug)]
#[non_exhaustive]
pub struct Forecast<C> {
    /// State of the object, to recognize a change since. It is the listed state if the object was
    /// not read.
    pub state: ObjectState,
    /// Generation of a sealed object.
    pub generation: Option<u32>,
    /// Length of the stored body in bytes.
    pub size: Option<u64>,
    /// Action that the work would take.
    pub action: ForecastAction<C>,
}

/// Action that the work on an object would take. Exhaustive: a plan describes every action.
#[derive(Debug)]
pub enum ForecastAction<C> {
    /// No work: nothing is left to do for the object.
    Unchanged,
    /// The object is changed, at this cost.
    Change(C),
    /// Skipped: not eligible.
    Skip(Skipped),
    /// The work would fail.
    Fail(Error),
}
