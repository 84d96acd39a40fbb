//! Retries of the work on one object.

use std::{
    hash::{BuildHasher as _, Hasher as _, RandomState},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use sealwax_s3::{Error, ErrorKind};
use tokio::time::sleep;

use super::Engine;

/// Bound of the first pause, before it doubles.
const BASE_PAUSE: Duration = Duration::from_millis(200);
/// Longest pause before a retry.
const MAX_PAUSE: Duration = Duration::from_secs(10);
/// Time after an object's first failure during which it is tried again although a service does not
/// answer. Each attempt may take three timeouts.
const PATIENCE: Duration = Duration::from_secs(180);

/// Number of attempts, and which failures limit the concurrency of the job.
#[derive(Debug, Clone, Copy)]
pub struct RetryPolicy {
    /// Most attempts at one object, beyond the retries of the SDK.
    pub(crate) max_attempts: u32,
    /// `true` if services that do not answer limit the concurrency, as throttling services do.
    pub(crate) slows_when_unavailable: bool,
}

impl RetryPolicy {
    /// Policy of jobs that rewrap objects or plan that: patient, for an object that fails must be
    /// worked on again.
    pub(crate) const REWRAP: Self = Self { max_attempts: 8, slows_when_unavailable: true };
    /// Policy of jobs that store objects.
    pub(crate) const MIGRATE: Self = Self { max_attempts: 5, slows_when_unavailable: true };
    /// Policy of jobs that send, fetch, copy or delete whole objects: an object takes several calls,
    /// each of which can be throttled.
    pub const TRANSFER: Self = Self { max_attempts: 16, slows_when_unavailable: true };
    /// Policy of jobs that only read. Where a Region is down, as in a drill, a slower job would not
    /// get more answers.
    pub(crate) const READ: Self = Self { max_attempts: 5, slows_when_unavailable: false };
}

/// Attempts at one object. They report to the limiter of the job.
#[derive(Debug)]
pub struct RetryState {
    engine: Engine,
    attempts: u32,
    first_failed: Option<Instant>,
    judgement: Judgement,
}

/// A failure of the work on one object that ends the whole job, if there is one. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Judgement {
    lacks_credentials: Arc<AtomicBool>,
}

impl Judgement {
    /// Returns the failure of the job, if it is one.
    pub(crate) fn failure_of_job(&self) -> Option<Error> {
        self.lacks_credentials.load(Ordering::Relaxed).then(|| {
            let message =
                "AWS does not accept the credentials, or no longer: what is left was not done";
            Error::new("continue", "the job", ErrorKind::Credentials, message)
        })
    }
}

impl RetryState {
    /// Begins the attempts at one object of a job.
    #[must_use]
    pub fn new(engine: Engine) -> Self {
        Self { engine, attempts: 0, first_failed: None, judgement: Judgement::default() }
    }

    /// Returns the judgement of the work on this object, which stays up to date.
    pub(crate) fn judgement(&self) -> Judgement {
        self.judgement.clone()
    }

    /// Returns the failure of the whole job, if the work ended because AWS does not accept the
    /// credentials. Its result then says nothing about the object, and every further object would
    /// fail in the same way.
    #[must_use]
    pub fn failure_of_job(&self) -> Option<Error> {
        self.judgement.failure_of_job()
    }

    /// `true` if the attempt that ended in `failure`, or in a success, is to be repeated. Pauses
    /// before that.
    ///
    /// A failure that does not pass, and the last attempt, are not repeated. Nor is a call without
    /// an answer more than three minutes after the object's first failure.
    pub async fn should_retry(&mut self, failure: Option<ErrorKind>) -> bool {
        let now = Instant::now();
        let Engine { limiter, cancellation, retries } = &self.engine;
        if failure == Some(ErrorKind::Credentials) {
            self.judgement.lacks_credentials.store(true, Ordering::Relaxed);
            return false;
        }
        let is_slow = match failure {
            Some(ErrorKind::Throttled | ErrorKind::TooManyFiles) => true,
            Some(ErrorKind::Unavailable) => retries.slows_when_unavailable,
            _ => false,
        };
        if is_slow {
            limiter.decrease(now);
        }
        if !failure.is_some_and(ErrorKind::is_retryable) {
            limiter.increase();
            return false;
        }
        self.attempts += 1;
        let first_failed = *self.first_failed.get_or_insert(now);
        let is_over = failure == Some(ErrorKind::Unavailable) && is_over(first_failed, now);
        if is_over || self.attempts >= retries.max_attempts || cancellation.is_cancelled() {
            return false;
        }
        sleep(pause(self.attempts)).await;
        true
    }

    /// Runs `attempt`, and repeats it while it fails in a way that may pass. Each call has all
    /// attempts of the policy.
    ///
    /// # Errors
    /// The last attempt failed, or a failure does not pass.
    pub async fn run<T, F>(&mut self, attempt: impl Fn() -> F + Send) -> Result<T, Error>
    where
        T: Send,
        F: Future<Output = Result<T, Error>> + Send,
    {
        (self.attempts, self.first_failed) = (0, None);
        loop {
            let result = attempt().await;
            if !self.should_retry(result.as_ref().err().map(Error::kind)).await {
                return result;
            }
        }
    }
}

/// `true` if services that do not answer had enough time.
fn is_over(first_failed: Instant, now: Instant) -> bool {
    now.duration_since(first_failed) >= PATIENCE
}

/// Returns the pause after a number of attempts, from 1: a random time below a bound that doubles.
fn pause(attempts: u32) -> Duration {
    let bound = bound(attempts);
    // The standard library's hasher has random keys: random enough for a pause.
    let random = RandomState::new().build_hasher().finish() as f64 / u64::MAX as f64;
    bound.mul_f64(0.5 + random / 2.0)
}

fn bound(attempts: u32) -> Duration {
    MAX_PAUSE.min(BASE_PAUSE * 2_u32.pow(attempts.min(16)))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use tokio_util::sync::CancellationToken;

    use super::*;

    fn error(kind: ErrorKind) -> Error {
        Error::new("test", "an object", kind, "by this test")
    }

    fn engine(retries: RetryPolicy) -> Engine {
        Engine::new(16, &CancellationToken::new(), retries)
    }

    #[test]
    fn pauses_grow_within_bounds() {
        for attempts in 1..40 {
            let bound = bound(attempts);
            assert!((bound / 2..=bound).contains(&pause(attempts)), "{attempts}");
        }
    }

    #[test]
    fn patience_has_an_end() {
        let start = Instant::now();
        assert!(!is_over(start, start + PATIENCE - Duration::from_secs(1)));
        assert!(is_over(start, start + PATIENCE));
    }

    #[tokio::test]
    async fn a_service_that_never_answers_is_asked_no_more_after_three_minutes() {
        let attempts = |kind, first_failed| async move {
            let mut retry = RetryState::new(engine(RetryPolicy::REWRAP));
            retry.first_failed = first_failed;
            retry.should_retry(Some(kind)).await
        };
        let long_ago = Instant::now().checked_sub(PATIENCE);
        assert!(long_ago.is_some(), "the clock began earlier");
        assert!(!attempts(ErrorKind::Unavailable, long_ago).await);
        assert!(attempts(ErrorKind::Throttled, long_ago).await, "it does answer");
        assert!(attempts(ErrorKind::Unavailable, None).await);
    }

    #[tokio::test]
    async fn throttled_work_is_repeated_and_limits_the_job() {
        let (engine, attempts) = (engine(RetryPolicy::READ), AtomicU32::new(0));
        let mut retry = RetryState::new(engine.clone());
        let work = || async {
            match attempts.fetch_add(1, Ordering::Relaxed) {
                0 => Err(error(ErrorKind::Throttled)),
                _ => Ok(7),
            }
        };
        assert_eq!(retry.run(work).await.expect("the second attempt"), 7);
        assert_eq!((attempts.load(Ordering::Relaxed), engine.limiter.limit()), (2, 8));
    }

    #[tokio::test]
    async fn work_ends_after_the_last_attempt_or_a_failure_that_does_not_pass() {
        for (kind, max_attempts, expected) in
            [(ErrorKind::Unavailable, 2, 2), (ErrorKind::AccessDenied, 2, 1)]
        {
            let attempts = AtomicU32::new(0);
            let work = || async {
                attempts.fetch_add(1, Ordering::Relaxed);
                Err::<(), _>(error(kind))
            };
            let policy = RetryPolicy { max_attempts, ..RetryPolicy::READ };
            let failed = RetryState::new(engine(policy)).run(work).await.expect_err("it fails");
            assert_eq!((failed.kind(), attempts.into_inner()), (kind, expected));
        }
    }

    #[tokio::test]
    async fn only_some_jobs_slow_down_when_a_service_does_not_answer() {
        for (policy, expected) in [(RetryPolicy::READ, 16), (RetryPolicy::REWRAP, 8)] {
            let engine = engine(RetryPolicy { max_attempts: 1, ..policy });
            let mut retry = RetryState::new(engine.clone());
            assert!(!retry.should_retry(Some(ErrorKind::Unavailable)).await);
            assert_eq!(engine.limiter.limit(), expected);
        }
    }

    #[tokio::test]
    async fn cancelled_work_is_not_repeated() {
        let engine = engine(RetryPolicy::REWRAP);
        engine.cancellation.cancel();
        assert!(!RetryState::new(engine).should_retry(Some(ErrorKind::Throttled)).await);
    }
}
