//! How many calls a second KMS is asked for.

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
use aws_smithy_runtime_api::client::retries::RequestAttempts;
use tokio::time::sleep;

/// A token bucket: so many calls a second, and as many at once after a rest. Cloning it gives the same one.
///
/// A call waits for its turn. Its retries come when the SDK's back-off says so, and the calls after them wait for longer.
#[derive(Debug, Clone)]
pub(super) struct Pace {
    interval: Duration,
    burst: Duration,
    /// When the bucket would be full again.
    full_at: Arc<Mutex<Option<Instant>>>,
}

impl Pace {
    /// At most `calls` calls a second.
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

    /// Takes a token; returns how long to wait for it.
    pub(super) fn reserve(&self, now: Instant) -> Duration {
        let mut full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        let at = full_at.map_or(now, |at| at.max(now));
        *full_at = Some(at + self.interval);
        (at - now).saturating_sub(self.burst)
    }
}

impl Intercept for Pace {
    fn name(&self) -> &'static str {
        "Pace"
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
    fn a_burst_passes_and_then_one_by_one() {
        let (pace, now) = (Pace::per_second(4), Instant::now());
        let waits: Vec<_> = (0..6).map(|_| pace.reserve(now).as_millis()).collect();
        assert_eq!(waits, [0, 0, 0, 0, 250, 500]);
        // A second and a half make up for it; half a second less leaves two tokens.
        let waits = |later: u64| {
            let pace = Pace::per_second(4);
            assert_eq!((0..6).map(|_| pace.reserve(now)).max(), Some(Duration::from_millis(500)));
            let later = now + Duration::from_millis(later);
            (0..5).map(|_| pace.reserve(later).as_millis()).collect::<Vec<_>>()
        };
        assert_eq!(waits(1500), [0, 0, 0, 0, 250]);
        assert_eq!(waits(1000), [0, 0, 250, 500, 750]);
    }
}
