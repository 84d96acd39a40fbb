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
