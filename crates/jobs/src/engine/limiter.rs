//! Limit of the number of objects that a job works on at a time. It grows while calls succeed and is
//! halved when a service throttles: additive increase, multiplicative decrease. (RFC 5681 §3.1, for
//! packets.)

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Limit at the start.
const INITIAL_LIMIT: usize = 16;
/// Time after a decrease during which further throttled calls are ignored: they were under way
/// already.
const COOLDOWN: Duration = Duration::from_secs(1);

/// An adaptive limit of concurrent work.
#[derive(Debug)]
pub(crate) struct ConcurrencyLimiter {
    max: f64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    limit: f64,
    /// `true` until the first throttled call. The limit doubles with each round meanwhile.
    slow_start: bool,
    decreased_at: Option<Instant>,
}

impl ConcurrencyLimiter {
    /// Creates a limiter that never exceeds `max`, or 1 if `max` is 0.
    pub(crate) fn new(max: usize) -> Self {
        let max = max.max(1);
        let limit = max.min(INITIAL_LIMIT) as f64;
        let state = State { limit, slow_start: true, decreased_at: None };
        Self { max: max as f64, state: Mutex::new(state) }
    }

    /// Returns the current limit, at least 1.
    pub(crate) fn limit(&self) -> usize {
        self.state().limit as usize
    }

    /// Increases the limit after a success.
    pub(crate) fn increase(&self) {
        let mut state = self.state();
        let more = if state.slow_start { 1.0 } else { 1.0 / state.limit };
        state.limit = (state.limit + more).min(self.max);
    }

    /// Halves the limit after a throttled call, at most once a second.
    pub(crate) fn decrease(&self, now: Instant) {
        let mut state = self.state();
        state.slow_start = false;
        if state.decreased_at.is_none_or(|at| now.duration_since(at) >= COOLDOWN) {
            state.limit = (state.limit / 2.0).max(1.0);
            state.decreased_at = Some(now);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_doubles_then_grows_by_one_a_round_and_is_halved_when_throttled() {
        let (limiter, now) = (ConcurrencyLimiter::new(100), Instant::now());
        assert_eq!(limiter.limit(), 16);
        (0..16).for_each(|_| limiter.increase());
        assert_eq!(limiter.limit(), 32);
        limiter.decrease(now);
        limiter.decrease(now + COOLDOWN / 2);
        assert_eq!(limiter.limit(), 16, "calls under way count once");
        (0..17).for_each(|_| limiter.increase());
        assert_eq!(limiter.limit(), 17);
        for second in 1..10 {
            limiter.decrease(now + COOLDOWN * second);
        }
        assert_eq!(limiter.limit(), 1);
        (0..10_000).for_each(|_| limiter.increase());
        assert_eq!(limiter.limit(), 100);
        assert_eq!([0, 1, 7].map(|max| ConcurrencyLimiter::new(max).limit()), [1, 1, 7]);
    }
}
