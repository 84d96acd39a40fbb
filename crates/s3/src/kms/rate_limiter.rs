//! A rate limit for calls to KMS.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use aws_sdk_kms::{
    config::{
        ConfigBag, Intercept, RuntimeComponents, interceptors::BeforeTransmitInterceptorContextRef,
    },
    error::BoxError,
};
use aws_smithy_runtime_api::client::{interceptors::dyn_dispatch_hint, retries::RequestAttempts};
use tokio::time::sleep;

/// A token bucket that holds the calls of one second. Clones share it.
///
/// A call waits for its turn. Its retries follow the SDK's back-off instead, and the calls after
/// them wait longer.
#[derive(Debug, Clone)]
pub(super) struct RateLimiter {
    interval: Duration,
    burst: Duration,
    /// When the bucket will be full again.
    full_at: Arc<Mutex<Option<Instant>>>,
}

impl RateLimiter {
    /// Allows at most `calls` calls per second.
    pub(super) fn per_second(calls: u32) -> Self {
        let interval = Duration::from_secs(1) / calls.max(1);
        Self { interval, burst: interval * (calls.max(1) - 1), full_at: Arc::default() }
    }

    /// Waits for its turn.
    pub(super) async fn turn(&self) {
        let wait = self.reserve(Instant::now());
        if !wait.is_zero() {
            sleep(wait).await;
        }
    }

    /// Takes a token; returns the wait until it is valid.
    pub(super) fn reserve(&self, now: Instant) -> Duration {
        let mut full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        let at = full_at.map_or(now, |at| at.max(now));
        *full_at = Some(at + self.interval);
        (at - now).saturating_sub(self.burst)
    }
}

#[dyn_dispatch_hint]
impl Intercept for RateLimiter {
    fn name(&self) -> &'static str {
        "RateLimiter"
    }

    fn read_before_attempt(
        &self,
        _context: &BeforeTransmitInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if config.load::<RequestAttempts>().is_some_and(|attempt| attempt.attempts() > 1) {
            self.reserve(Instant::now());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_burst_calls_pass_one_by_one() {
        let (limiter, now) = (RateLimiter::per_second(4), Instant::now());
        let waits: Vec<_> = (0..6).map(|_| limiter.reserve(now).as_millis()).collect();
        assert_eq!(waits, [0, 0, 0, 0, 250, 500]);
        // A rest of 1.5 seconds fills the bucket; 1 second leaves two tokens.
        let waits = |later: u64| {
            let limiter = RateLimiter::per_second(4);
            assert_eq!(
                (0..6).map(|_| limiter.reserve(now)).max(),
                Some(Duration::from_millis(500))
            );
            let later = now + Duration::from_millis(later);
            (0..5).map(|_| limiter.reserve(later).as_millis()).collect::<Vec<_>>()
        };
        assert_eq!(waits(1500), [0, 0, 0, 0, 250]);
        assert_eq!(waits(1000), [0, 0, 250, 500, 750]);
    }
}
