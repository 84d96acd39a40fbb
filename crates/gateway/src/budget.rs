//! Memory that all requests share.

use std::{fmt, sync::Arc, time::Duration};

use s3s::{S3Error, S3ErrorCode, S3Result};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

/// Bytes of one permit.
const UNIT: u64 = 4 << 10;
/// Longest wait for room. Clients repeat what is answered with `SlowDown`, and they wait longer each
/// time.
const PATIENCE: Duration = Duration::from_secs(10);

/// Limit for the bytes of bodies in memory. Clones share it.
#[derive(Clone)]
pub(crate) struct Budget {
    permits: Arc<Semaphore>,
    len: u64,
}

/// Permission to hold bytes in memory, until it is dropped.
#[derive(Debug)]
pub(crate) struct Room {
    _permit: OwnedSemaphorePermit,
}

impl Budget {
    /// Creates a budget of `len` bytes.
    pub(crate) fn new(len: u64) -> Self {
        let permits = usize::try_from(len / UNIT).unwrap_or(Semaphore::MAX_PERMITS);
        Self { permits: Arc::new(Semaphore::new(permits.min(Semaphore::MAX_PERMITS))), len }
    }

    /// Returns room for `len` bytes if there is some now.
    pub(crate) fn room(&self, len: u64) -> Option<Room> {
        let permits = self.permits_of(len)?;
        let permit = Arc::clone(&self.permits).try_acquire_many_owned(permits).ok()?;
        Some(Room { _permit: permit })
    }

    /// Returns room for `len` bytes if the first half of the budget has some now. The other half is for
    /// those that wait.
    pub(crate) fn room_in_first_half(&self, len: u64) -> Option<Room> {
        let is_in_half = self.taken().saturating_add(len) <= self.len / 2;
        is_in_half.then(|| self.room(len)).flatten()
    }

    /// Waits for room for `len` bytes, for ten seconds at most.
    ///
    /// Only requests that need nothing else to end may wait: they end by themselves.
    ///
    /// # Errors
    /// There was none.
    pub(crate) async fn wait_for(&self, len: u64) -> S3Result<Room> {
        let permits = self.permits_of(len).ok_or_else(slow_down)?;
        let acquired = timeout(PATIENCE, Arc::clone(&self.permits).acquire_many_owned(permits));
        match acquired.await {
            Ok(Ok(permit)) => Ok(Room { _permit: permit }),
            Ok(Err(_)) | Err(_) => Err(slow_down()),
        }
    }

    /// Returns the number of bytes that are taken.
    pub(crate) fn taken(&self) -> u64 {
        self.len.saturating_sub(self.permits.available_permits() as u64 * UNIT)
    }

    fn permits_of(&self, len: u64) -> Option<u32> {
        (len <= self.len).then(|| u32::try_from(len.div_ceil(UNIT)).ok()).flatten()
    }
}

/// Asks a client to come again later.
pub(crate) fn slow_down() -> S3Error {
    S3Error::with_message(S3ErrorCode::SlowDown, "the gateway has no memory for the body now")
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Budget").field("len", &self.len).field("taken", &self.taken()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn no_more_than_the_budget_is_taken() {
        let budget = Budget::new(3 * UNIT);
        let first = budget.room(UNIT + 1).expect("room");
        assert_eq!(budget.taken(), 2 * UNIT);
        assert!(budget.room(UNIT + 1).is_none());
        let error = budget.wait_for(UNIT + 1).await.expect_err("no room within ten seconds");
        assert_eq!(error.code(), &S3ErrorCode::SlowDown);
        drop(first);
        let all = budget.wait_for(3 * UNIT).await.expect("room");
        drop(all);
        assert_eq!(budget.taken(), 0);
        let half = Budget::new(4 * UNIT);
        let first = half.room_in_first_half(2 * UNIT).expect("a half");
        assert!(half.room_in_first_half(1).is_none() && half.room(2 * UNIT).is_some());
        drop(first);
        let error = budget.wait_for(3 * UNIT + 1).await.expect_err("longer than all");
        assert_eq!(error.code(), &S3ErrorCode::SlowDown);
    }
}
