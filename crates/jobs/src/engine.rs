//! The engine of all jobs: a pool of tasks, an adaptive limit of their number, retries and
//! cancellation.

mod limiter;
mod outcomes;
mod pool;
mod retry;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

pub(crate) use self::{limiter::ConcurrencyLimiter, outcomes::Step, pool::Pool};
pub use self::{
    outcomes::{Outcomes, Summary},
    retry::{RetryPolicy, RetryState},
};

/// Default number of objects or keys that a job works on at a time.
const CONCURRENCY: usize = 64;

/// Limits of a job, before it runs: how much it works on at a time, and the token that ends it early.
#[derive(Debug, Clone)]
pub(crate) struct JobLimits {
    pub(crate) concurrency: usize,
    pub(crate) cancellation: CancellationToken,
}

impl JobLimits {
    pub(crate) fn new(concurrency: usize) -> Self {
        Self { concurrency, cancellation: CancellationToken::new() }
    }

    /// Returns the engine of the job.
    pub(crate) fn engine(&self, retries: RetryPolicy) -> Engine {
        Engine::new(self.concurrency, &self.cancellation, retries)
    }
}

impl Default for JobLimits {
    fn default() -> Self {
        Self::new(CONCURRENCY)
    }
}

/// Adds the setters of the limits, with their documentation, to a job that has them as `limits`.
macro_rules! limit_setters {
    (concurrency: $concurrency:literal, cancellation: $cancellation:literal $(,)?) => {
        #[doc = $concurrency]
        #[must_use]
        pub fn concurrency(mut self, concurrency: usize) -> Self {
            self.limits.concurrency = concurrency;
            self
        }

        #[doc = $cancellation]
        #[must_use]
        pub fn cancellation(mut self, token: tokio_util::sync::CancellationToken) -> Self {
            self.limits.cancellation = token;
            self
        }
    };
}
pub(crate) use limit_setters;

/// Settings that the tasks of one job share: how many objects it works on at a time, when it ends, and
/// which failures are retried. Clones share the adaptive limit.
#[derive(Debug, Clone)]
pub struct Engine {
    pub(crate) limiter: Arc<ConcurrencyLimiter>,
    pub(crate) cancellation: CancellationToken,
    pub(crate) retries: RetryPolicy,
}

impl Engine {
    /// Creates the engine of a job that works on at most `concurrency` objects at a time.
    #[must_use]
    pub fn new(concurrency: usize, cancellation: &CancellationToken, retries: RetryPolicy) -> Self {
        let limiter = Arc::new(ConcurrencyLimiter::new(concurrency));
        Self { limiter, cancellation: cancellation.clone(), retries }
    }

    /// Returns the number of objects that the job may work on now, at least 1. It is halved while
    /// services throttle, and grows while they don't.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.limiter.limit()
    }
}
