//! Progress of a transfer, and the time at which it counts as stalled.

use std::time::Duration;

use tokio::time::Instant;

/// Slowest transfer that counts as progress, in bytes per second.
const MIN_BYTES_PER_SECOND: u64 = 1024;

/// Progress of one transfer. Time is an argument of each method.
#[derive(Debug, Clone)]
pub(super) struct Pace {
    pub(super) timeout: Duration,
    /// Bytes that must be transferred within `timeout`.
    least: u64,
    /// Bytes since the last progress.
    bytes: u64,
}

impl Pace {
    /// Creates the pace of a transfer of at least 1 KiB a second, averaged over `timeout`.
    pub(super) fn new(timeout: Duration) -> Self {
        let least = MIN_BYTES_PER_SECOND as f64 * timeout.as_secs_f64();
        Self { timeout, least: (least as u64).max(1), bytes: 0 }
    }

    /// Creates the pace of a transfer in which each byte is progress.
    pub(super) fn any_byte(timeout: Duration) -> Self {
        Self { timeout, least: 1, bytes: 0 }
    }

    /// Counts transferred bytes. `true` if they are progress: the time starts again.
    pub(super) fn advance(&mut self, bytes: usize) -> bool {
        self.bytes = self.bytes.saturating_add(bytes as u64);
        let is_progress = self.bytes >= self.least;
        if is_progress {
            self.bytes = 0;
        }
        is_progress
    }
}

/// Unit of [`Tail`]: 1 MiB.
const STEP: u64 = 1 << 20;
/// Number of steps that buffers between this process and the network may hold: 4 MiB, the limit of
/// Linux for the buffer of a socket.
const BUFFERED_STEPS: usize = 4;

/// Times at which the last 4 MiB of a body were taken.
///
/// Buffers take the end of a body before the service has it. The time that the last bytes took tells
/// how long the buffers need to drain.
#[derive(Debug)]
pub(super) struct Tail {
    len: u64,
    /// Times of the last steps, the oldest first.
    steps: std::collections::VecDeque<Instant>,
}

impl Tail {
    pub(super) fn new(now: Instant) -> Self {
        Self { len: 0, steps: [now].into() }
    }

    /// Counts bytes that were taken.
    pub(super) fn advance(&mut self, bytes: usize, now: Instant) {
        let steps = self.len / STEP;
        self.len += bytes as u64;
        for _ in steps..self.len / STEP {
            if self.steps.len() == BUFFERED_STEPS {
                self.steps.pop_front();
            }
            self.steps.push_back(now);
        }
    }

    /// Returns the time that buffers may need for the bytes that they hold.
    pub(super) fn drain_time(&self, now: Instant) -> Duration {
        self.steps.front().map_or(Duration::ZERO, |start| now.duration_since(*start))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_at_least_one_kib_a_second() {
        let mut pace = Pace::new(Duration::from_secs(60));
        assert!(!pace.advance(60 * 1024 - 1) && pace.advance(1));
        assert!(!pace.advance(1), "the count starts again");
        assert!(pace.advance(usize::MAX), "no overflow");
        assert!(Pace::new(Duration::from_micros(1)).advance(1));
        let mut blanks = Pace::any_byte(Duration::from_secs(60));
        assert!(blanks.advance(1) && blanks.advance(1) && !blanks.advance(0));
    }

    #[test]
    fn buffers_drain_as_fast_as_the_last_bytes_were_taken() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let mut tail = Tail::new(start);
        assert_eq!(tail.drain_time(start + second), second, "a short body: since its start");
        // 1 MiB each second.
        for step in 1..=10 {
            tail.advance(1 << 20, start + second * step);
        }
        assert_eq!(tail.drain_time(start + second * 10), second * 3);
        assert_eq!(tail.drain_time(start + second * 11), second * 4);
        let mut whole = Tail::new(start);
        whole.advance(64 << 20, start);
        assert_eq!(whole.drain_time(start), Duration::ZERO);
    }
}
