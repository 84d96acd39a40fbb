//! The outcomes of a job, as a stream, and their summary.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures_core::Stream;
use futures_util::{StreamExt as _, TryStreamExt as _, stream::BoxStream};
use sealwax_s3::Error;

/// Counts of the outcomes of a job.
pub trait Summary: Default + Send + Unpin + 'static {
    /// Outcome of one object.
    type Outcome: Send + 'static;

    /// Counts an outcome.
    fn record(&mut self, outcome: &Self::Outcome);

    /// Returns the number of objects that the job worked on.
    fn objects(&self) -> u64;

    /// Returns the number of objects that failed.
    fn failed(&self) -> u64;
}

/// The outcomes of a job: a [`Stream`] with one item for each object, in the order in which the
/// work on them ends. The job runs while the stream is read.
///
/// An `Err` item means that the job can't continue, because its listing failed for example. It comes
/// after the outcomes of all objects in flight and is the last item. Dropping the stream stops the
/// job at once.
#[must_use = "a job runs while its outcomes are read"]
pub struct Outcomes<S: Summary> {
    steps: BoxStream<'static, Result<Step<S>, Error>>,
    summary: S,
    has_failed: bool,
}

/// Step of a job: an outcome, or another change of the summary.
pub(crate) enum Step<S: Summary> {
    Outcome(S::Outcome),
    Update(Box<dyn FnOnce(&mut S) + Send>),
}

impl<S: Summary> Outcomes<S> {
    pub(crate) fn new(steps: impl Stream<Item = Result<Step<S>, Error>> + Send + 'static) -> Self {
        Self { steps: steps.boxed(), summary: S::default(), has_failed: false }
    }

    /// Returns the summary of the outcomes that were read so far.
    #[must_use]
    pub fn summary(&self) -> &S {
        &self.summary
    }

    /// Runs the job to its end and returns the summary of all outcomes.
    ///
    /// # Errors
    /// The job can't continue.
    pub async fn finish(mut self) -> Result<S, Error> {
        while self.try_next().await?.is_some() {}
        Ok(self.summary)
    }
}

impl<S: Summary> Stream for Outcomes<S> {
    type Item = Result<S::Outcome, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            if this.has_failed {
                return Poll::Ready(None);
            }
            match ready!(this.steps.as_mut().poll_next(context)) {
                Some(Ok(Step::Outcome(outcome))) => {
                    this.summary.record(&outcome);
                    return Poll::Ready(Some(Ok(outcome)));
                }
                Some(Ok(Step::Update(update))) => update(&mut this.summary),
                Some(Err(error)) => {
                    this.has_failed = true;
                    return Poll::Ready(Some(Err(error)));
                }
                None => return Poll::Ready(None),
            }
        }
    }
}

impl<S: Summary + fmt::Debug> fmt::Debug for Outcomes<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outcomes").field("summary", &self.summary).finish_non_exhaustive()
    }
}
