//! The engine of all jobs: a pool of tasks, an adaptive limit of their number, retries and
//! cancellation.

mod limiter;
mod outcomes;
mod pool;
mod retry;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

pub use self::outcomes::{Outcomes, Summary};
pub(crate) use self::{
    limiter::ConcurrencyLimiter,
    outcomes::Step,
    pool::Pool,
    retry::{RetryPolicy, RetryState},
};

/// Settings that the tasks of one job share. Clones share the limiter.
#[derive(Debug, Clone)]
pub(crate) struct Engine {
    pub(crate) limiter: Arc<ConcurrencyLimiter>,
    pub(crate) cancellation: CancellationToken,
    pub(crate) retries: RetryPolicy,
}

impl Engine {
    /// Creates the engine of a job that works on at most `concurrency` objects at a time.
    pub(crate) fn new(
        concurrency: usize,
        cancellation: &CancellationToken,
        retries: RetryPolicy,
    ) -> Self {
        let limiter = Arc::new(ConcurrencyLimiter::new(concurrency));
        Self { limiter, cancellation: cancellation.clone(), retries }
    }
}
