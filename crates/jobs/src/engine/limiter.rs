//! How many objects are worked on at once: more while all goes well, half as many when a service asks to slow down.
//! (RFC 5681 §3.1, for packets.)

use std::{
    hash::{BuildHasher as _, Hasher as _, RandomState},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// How many at first.
const FIRST: usize = 16;
/// What a service's wish to slow down is heard for once: all that were under way meet it.
const DEAF_FOR: Duration = Duration::from_secs(1);
/// The longest wait before another try.
const MAX_BACKOFF: Duration = Duration::from_secs(10);

/// The number that may be worked on at once.
#[derive(Debug)]
pub(crate) struct Window {
    max: f64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    size: f64,
    /// It doubles with each round until the first wish to slow down.
    slow_start: bool,
    cut_at: Option<Instant>,
}

impl Window {
    /// At most `max`, and one at least.
    pub(crate) fn up_to(max: usize) -> Self {
        let max = max.max(1);
        let size = max.min(FIRST) as f64;
        Self { max: max as f64, state: Mutex::new(State { size, slow_start: true, cut_at: None }) }
    }

    /// How many may be worked on at once now.
    pub(crate) fn size(&self) -> usize {
        self.state().size as usize
    }

    /// One went well.
    pub(crate) fn went_well(&self) {
        let mut state = self.state();
        let more = if state.slow_start { 1.0 } else { 1.0 / state.size };
        state.size = (state.size + more).min(self.max);
    }

    /// A service asks to slow down.
    pub(crate) fn slow_down(&self, now: Instant) {
        let mut state = self.state();
        state.slow_start = false;
        if state.cut_at.is_none_or(|cut_at| now.duration_since(cut_at) >= DEAF_FOR) {
            state.size = (state.size / 2.0).max(1.0);
            state.cut_at = Some(now);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long to wait before try number `tries`, from 1: a random time below a bound that doubles.
pub(crate) fn backoff(tries: u32) -> Duration {
    let bound = MAX_BACKOFF.min(Duration::from_millis(200) * 2_u32.pow(tries.min(16)));
    // As random as need be: the standard library's hasher has random keys.
    let random = RandomState::new().build_hasher().finish() as f64 / u64::MAX as f64;
    bound.mul_f64(0.5 + random / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_grows_by_rounds_and_then_by_ones_and_is_cut_in_half() {
        let (window, now) = (Window::up_to(100), Instant::now());
        assert_eq!(window.size(), 16);
        (0..16).for_each(|_| window.went_well());
        assert_eq!(window.size(), 32);
        window.slow_down(now);
        window.slow_down(now + DEAF_FOR / 2);
        assert_eq!(window.size(), 16, "those under way count once");
        (0..17).for_each(|_| window.went_well());
        assert_eq!(window.size(), 17);
        for second in 1..10 {
            window.slow_down(now + DEAF_FOR * second);
        }
        assert_eq!(window.size(), 1);
        (0..10_000).for_each(|_| window.went_well());
        assert_eq!(window.size(), 100);
        assert_eq!([0, 1, 7].map(|max| Window::up_to(max).size()), [1, 1, 7]);
    }

    #[test]
    fn waits_grow_within_bounds() {
        for tries in 1..40 {
            let bound = MAX_BACKOFF.min(Duration::from_millis(200) * 2_u32.pow(tries.min(16)));
            assert!((bound / 2..=bound).contains(&backoff(tries)), "{tries}");
        }
    }
}
