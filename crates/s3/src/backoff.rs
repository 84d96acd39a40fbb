//! Pauses between attempts.

use std::time::Duration;

/// Pauses before retry number `retry`, counted from 0: `first` doubled each time.
pub(crate) async fn pause(first: Duration, retry: u32) {
    tokio::time::sleep(first * 2_u32.pow(retry.min(16))).await;
}
