//! Kinds of jobs that change many objects.

use std::{collections::BTreeSet, fmt};

use aws_sdk_s3::Client;
use sealwax_s3::{
    ErrorKind, Forecast, ForecastAction, ListedObject, ObjectState, Permission, Processed,
};

use super::{Action, AppliedObject, JobSummary, PlannedJob, PlannedObject, WorkOutcome};
use crate::engine::RetryPolicy;

/// Work of a job that changes many objects: what the job plans and does for each.
///
/// A [`Rewrapper`](sealwax_s3::Rewrapper) does the work of a rewrap, and a
/// [`Migrator`](sealwax_s3::Migrator) that of a migration. It can't be implemented elsewhere.
pub trait Work: Sealed + Clone + fmt::Debug + Send + Sync + 'static {
    /// Result of the work on one object.
    type Outcome: WorkOutcome;
    /// Counts of these results.
    type Summary: JobSummary<Outcome = AppliedObject<Self::Outcome>>;
    /// Forecasts this work.
    type Forecaster: Clone + Send + Sync + 'static;

    /// Failures that are retried.
    #[doc(hidden)]
    const RETRIES: RetryPolicy;
    /// Default number of objects in work at a time.
    #[doc(hidden)]
    const CONCURRENCY: usize;

    /// Returns the SDK's client.
    fn s3(&self) -> &Client;

    /// Describes the work by names.
    fn job(&self) -> PlannedJob;

    /// Creates a forecaster that has not counted any call.
    fn forecaster(&self) -> Self::Forecaster;

    /// Forecasts the work on an object.
    #[doc(hidden)]
    fn forecast(
        forecaster: &Self::Forecaster,
        object: &ListedObject,
    ) -> impl Future<Output = Foreseen> + Send;

    /// Works on an object, unless it is in a state that `is_done` accepts.
    #[doc(hidden)]
    fn process(
        &self,
        object: &ListedObject,
        planned: Option<&ObjectState>,
        is_done: &(dyn Fn(&ObjectState) -> bool + Send + Sync),
    ) -> impl Future<Output = Option<Processed<Self::Outcome>>> + Send;
}

/// Keeps [`Work`] closed: a job relies on what its work promises.
pub trait Sealed {}

/// Forecast for one object.
#[derive(Debug)]
pub struct Foreseen {
    pub(super) object: PlannedObject,
    /// Kind of the failure that the forecast met.
    pub(super) failure: Option<ErrorKind>,
    /// Permissions that the work needs and the forecast did not use.
    pub(super) permissions: BTreeSet<Permission>,
}

impl Foreseen {
    /// Describes a forecast for an object.
    pub(crate) fn new<C>(
        object: &ListedObject,
        mut forecast: Forecast<C>,
        permissions: impl FnOnce(&mut C) -> BTreeSet<Permission>,
    ) -> Self
    where
        Action: From<ForecastAction<C>>,
    {
        let (failure, permissions) = match &mut forecast.action {
            ForecastAction::Fail(error) => (Some(error.kind()), BTreeSet::new()),
            ForecastAction::Change(cost) => (None, permissions(cost)),
            ForecastAction::Unchanged | ForecastAction::Skip(_) => (None, BTreeSet::new()),
        };
        Self { object: PlannedObject::new(object, forecast), failure, permissions }
    }
}
