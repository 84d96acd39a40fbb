//! Pauses between attempts, and requests that a service throttles.

use std::time::Duration;

use crate::error::aws_failure::AwsFailure;

/// Most attempts at a request that the service throttles, beyond the SDK's retries.
const MAX_THROTTLED: u32 = 8;
/// Pause after the first throttled attempt.
const THROTTLED_PAUSE: Duration = Duration::from_millis(200);
/// Longest pause.
const MAX_PAUSE: Duration = Duration::from_secs(10);

/// Pauses before retry number `retry`, counted from 0: `first` doubled each time, up to 10 seconds.
pub(crate) async fn pause(first: Duration, retry: u32) {
    tokio::time::sleep(bounded(first, retry)).await;
}

fn bounded(first: Duration, retry: u32) -> Duration {
    MAX_PAUSE.min(first.saturating_mul(2_u32.pow(retry.min(16))))
}

/// Sends a request, and again while the service throttles it.
pub(crate) async fn unthrottled<T, F>(send: impl Fn() -> F) -> Result<T, AwsFailure>
where
    F: Future<Output = Result<T, AwsFailure>>,
{
    let mut attempts = 1;
    loop {
        let result = send().await;
        let is_throttled = result.as_ref().is_err_and(AwsFailure::is_throttled);
        if !is_throttled || !may_be_throttled_again(attempts) {
            return result;
        }
        pause_after(attempts).await;
        attempts += 1;
    }
}

/// `true` if a request is to be sent again after this number of throttled attempts.
pub(crate) fn may_be_throttled_again(attempts: u32) -> bool {
    attempts < MAX_THROTTLED
}

/// Pauses after this number of attempts, from 1.
pub(crate) async fn pause_after(attempts: u32) {
    pause(THROTTLED_PAUSE, attempts - 1).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_ten_seconds() {
        let millis = [0, 1, 5, 6, 40].map(|retry| bounded(THROTTLED_PAUSE, retry).as_millis());
        assert_eq!(millis, [200, 400, 6400, 10_000, 10_000]);
        assert_eq!(bounded(Duration::MAX, 3), MAX_PAUSE);
    }
}
