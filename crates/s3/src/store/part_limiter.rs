//! Number of bodies that are sent or received at a time: as many as the line carries.
//!
//! Parts in parallel share one line. On a slow one, few of them end soon, and all of them would take
//! too long. So the number of parts grows while parts end within half the timeout, and is halved when
//! a part takes longer than the timeout, makes no progress, or is throttled.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

use crate::{
    backoff::{may_be_throttled_again, pause_after},
    error::aws_failure::AwsFailure,
};

/// Number of attempts at a part that makes no progress while others do.
const MAX_STALLED: u32 = 4;

/// Adaptive limit of the parts in flight in one direction. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct PartLimiter(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    timeout: Duration,
    state: Mutex<State>,
    /// Signals that a part ended.
    ended: Notify,
}

#[derive(Debug)]
struct State {
    limit: f64,
    /// `true` until a part was slow: the limit grows by one with each part.
    slow_start: bool,
    /// Start of the last decrease. Parts under way then count once.
    decreased_at: Option<Instant>,
    in_flight: usize,
    /// Number of parts that succeeded.
    succeeded: u64,
}

/// One part in flight. Dropping it makes room for another one.
#[derive(Debug)]
pub(crate) struct PartTurn {
    limiter: PartLimiter,
    started: Instant,
    /// Number of parts that had succeeded before.
    succeeded: u64,
}

/// End of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Attempt {
    Succeeded,
    Throttled,
    /// No answer, or no progress.
    Stalled,
    /// A failure that says nothing about the line.
    Failed,
}

impl Attempt {
    fn of<T>(result: &Result<T, AwsFailure>) -> Self {
        match result {
            Ok(_) => Self::Succeeded,
            Err(failure) if failure.is_throttled() => Self::Throttled,
            Err(failure) if failure.status.is_none() && failure.problem.is_none() => Self::Stalled,
            Err(_) => Self::Failed,
        }
    }
}

impl PartLimiter {
    /// Creates a limiter that begins with `limit` parts.
    pub(crate) fn new(limit: usize, timeout: Duration) -> Self {
        let state = State {
            limit: limit as f64,
            slow_start: true,
            decreased_at: None,
            in_flight: 0,
            succeeded: 0,
        };
        Self(Arc::new(Inner { timeout, state: Mutex::new(state), ended: Notify::new() }))
    }

    /// Waits until one more part may be in flight.
    pub(crate) async fn turn(&self) -> PartTurn {
        loop {
            let ended = self.0.ended.notified();
            if self.state().has_room() {
                return self.begun();
            }
            ended.await;
        }
    }

    /// Counts a part whose response is arriving already.
    pub(crate) fn begun(&self) -> PartTurn {
        let mut state = self.state();
        state.in_flight += 1;
        let succeeded = state.succeeded;
        drop(state);
        PartTurn { limiter: self.clone(), started: Instant::now(), succeeded }
    }

    /// Sends a part once there is room, and again if it was throttled, or made no progress while
    /// others did.
    pub(crate) async fn run<T, F>(&self, attempt: impl Fn() -> F) -> Result<T, AwsFailure>
    where
        F: Future<Output = Result<T, AwsFailure>>,
    {
        for attempts in 1.. {
            let turn = self.turn().await;
            let result = attempt().await;
            if !turn.end(Attempt::of(&result), attempts) {
                return result;
            }
            pause_after(attempts).await;
        }
        unreachable!("the attempts have an end")
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PartTurn {
    /// Reports the end of attempt number `attempts`, from 1. `true` if it is to be repeated.
    pub(crate) fn end(self, attempt: Attempt, attempts: u32) -> bool {
        let (now, timeout) = (Instant::now(), self.limiter.0.timeout);
        let mut state = self.limiter.state();
        let others_succeeded = state.succeeded > self.succeeded;
        state.end(attempt, self.started, now, timeout);
        match attempt {
            Attempt::Throttled => may_be_throttled_again(attempts),
            Attempt::Stalled => others_succeeded && attempts < MAX_STALLED,
            Attempt::Succeeded | Attempt::Failed => false,
        }
    }
}

impl Drop for PartTurn {
    fn drop(&mut self) {
        self.limiter.state().in_flight -= 1;
        self.limiter.0.ended.notify_waiters();
    }
}

impl State {
    fn has_room(&self) -> bool {
        self.in_flight < self.limit as usize
    }

    fn end(&mut self, attempt: Attempt, started: Instant, now: Instant, timeout: Duration) {
        let took = now.duration_since(started);
        match attempt {
            Attempt::Succeeded => {
                self.succeeded += 1;
                if took > timeout {
                    self.decrease(started, now);
                } else if took < timeout / 2 {
                    self.limit += if self.slow_start { 1.0 } else { 1.0 / self.limit };
                }
            }
            Attempt::Throttled | Attempt::Stalled => self.decrease(started, now),
            Attempt::Failed => {}
        }
    }

    /// Halves the limit because of an attempt, unless that was under way at the last decrease.
    fn decrease(&mut self, started: Instant, now: Instant) {
        self.slow_start = false;
        if self.decreased_at.is_none_or(|at| started >= at) {
            self.limit = (self.limit / 2.0).max(1.0);
            self.decreased_at = Some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const MINUTE: Duration = Duration::from_secs(60);

    fn limit(limiter: &PartLimiter) -> usize {
        limiter.state().limit as usize
    }

    #[test]
    fn the_limit_grows_on_a_fast_line_and_is_halved_on_a_slow_one() {
        let (limiter, start) = (PartLimiter::new(4, MINUTE), Instant::now());
        let end = |took: Duration, started: Instant| {
            limiter.state().end(Attempt::Succeeded, started, started + took, MINUTE);
            limit(&limiter)
        };
        assert_eq!((end(SECOND, start), end(SECOND, start)), (5, 6));
        assert_eq!(end(MINUTE, start), 6, "neither fast nor slow");
        // All of these were sent at once over a slow line.
        assert_eq!([(); 6].map(|()| end(MINUTE + SECOND, start)), [3; 6]);
        let after = start + MINUTE + SECOND;
        assert_eq!(end(MINUTE + SECOND, after), 1);
        assert_eq!(end(MINUTE + SECOND, after + MINUTE * 2), 1, "never less");
        let later = after + MINUTE * 4;
        assert_eq!([(); 3].map(|()| end(SECOND, later)), [2, 2, 2], "by one a round");
    }

    #[test]
    fn only_what_can_pass_is_repeated() {
        let limiter = PartLimiter::new(4, MINUTE);
        let ends = |attempt, attempts| limiter.begun().end(attempt, attempts);
        assert!(!ends(Attempt::Succeeded, 1) && !ends(Attempt::Failed, 1));
        assert!(ends(Attempt::Throttled, 7) && !ends(Attempt::Throttled, 8));
        assert!(!ends(Attempt::Stalled, 1), "nothing moves");
        let stalled = |attempts| {
            let turn = limiter.begun();
            limiter.begun().end(Attempt::Succeeded, 1);
            turn.end(Attempt::Stalled, attempts)
        };
        assert!(stalled(MAX_STALLED - 1) && !stalled(MAX_STALLED));
    }

    #[tokio::test]
    async fn no_more_parts_than_the_limit_are_in_flight() {
        let limiter = PartLimiter::new(2, MINUTE);
        let (first, second) = (limiter.turn().await, limiter.turn().await);
        let third = limiter.turn();
        tokio::pin!(third);
        assert!(futures_util::poll!(&mut third).is_pending());
        let beyond = limiter.begun();
        drop(first);
        assert!(futures_util::poll!(&mut third).is_pending());
        drop((beyond, second));
        assert!(futures_util::poll!(&mut third).is_ready());
    }
}
