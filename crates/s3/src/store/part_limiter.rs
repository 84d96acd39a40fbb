//! Number of bodies that are sent or received at a time: as many as the line carries.
//!
//! Parts in parallel share one line. On a slow one, few of them end soon, and all of them would take
//! too long. So the number of parts grows while parts end within half the timeout, and is halved when
//! a part takes longer than the timeout, makes no progress, or is throttled.
//!
//! Parts take turns in the order in which they joined the queue, which is their order in the object. A
//! part that is repeated keeps its place. So on a slow line the object's beginning is stored first,
//! and no part waits for the repetitions of a later one.

use std::{
    collections::BTreeSet,
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
    /// Signals that a part ended, or left the queue.
    changed: Notify,
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
    /// Number of parts that joined the queue.
    joined: u64,
    /// Numbers of the parts that wait for their turn.
    waiting: BTreeSet<u64>,
}

/// A part's number in the queue. It is kept for all attempts at the part.
#[derive(Debug)]
pub(crate) struct QueueNumber {
    limiter: PartLimiter,
    number: u64,
}

/// A part that waits for its turn. Dropping it leaves the queue.
struct Waiting<'a>(&'a QueueNumber);

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
            joined: 0,
            waiting: BTreeSet::new(),
        };
        Self(Arc::new(Inner { timeout, state: Mutex::new(state), changed: Notify::new() }))
    }

    /// Joins the queue at its end. Parts of one object join in their order.
    pub(crate) fn join(&self) -> QueueNumber {
        let mut state = self.state();
        state.joined += 1;
        QueueNumber { limiter: self.clone(), number: state.joined }
    }

    /// Counts a part whose response is arriving already.
    pub(crate) fn begun(&self) -> PartTurn {
        let succeeded = self.state().begin();
        PartTurn { limiter: self.clone(), started: Instant::now(), succeeded }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl QueueNumber {
    /// Waits until no earlier part waits and one more may be in flight.
    pub(crate) async fn turn(&self) -> PartTurn {
        let Self { limiter, number } = self;
        limiter.state().waiting.insert(*number);
        let _waiting = Waiting(self);
        loop {
            let changed = limiter.0.changed.notified();
            let begun = {
                let mut state = limiter.state();
                let is_first = state.waiting.first() == Some(number);
                (is_first && state.has_room()).then(|| state.begin())
            };
            if let Some(succeeded) = begun {
                return PartTurn { limiter: limiter.clone(), started: Instant::now(), succeeded };
            }
            changed.await;
        }
    }

    /// Sends the part at its turn, and again if it was throttled, or made no progress while others
    /// did.
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
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let QueueNumber { limiter, number } = self.0;
        limiter.state().waiting.remove(number);
        limiter.0.changed.notify_waiters();
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
        self.limiter.0.changed.notify_waiters();
    }
}

impl State {
    fn has_room(&self) -> bool {
        self.in_flight < self.limit as usize
    }

    /// Counts a part that is in flight from now on. Returns the number of parts that had succeeded.
    fn begin(&mut self) -> u64 {
        self.in_flight += 1;
        self.succeeded
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
    use std::task::Poll;

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
        let (first, second) = (limiter.join().turn().await, limiter.join().turn().await);
        let third = limiter.join();
        let third = third.turn();
        tokio::pin!(third);
        assert!(futures_util::poll!(&mut third).is_pending());
        let beyond = limiter.begun();
        drop(first);
        assert!(futures_util::poll!(&mut third).is_pending());
        drop((beyond, second));
        assert!(futures_util::poll!(&mut third).is_ready());
    }

    #[tokio::test]
    async fn parts_take_turns_in_their_order() {
        let limiter = PartLimiter::new(1, MINUTE);
        let in_flight = limiter.begun();
        let numbers = [(); 4].map(|()| limiter.join());
        let [mut first, mut second, mut third, mut fourth] =
            [0, 1, 2, 3].map(|at: usize| Box::pin(numbers[at].turn()));
        // The later ones ask first.
        for turn in [&mut fourth, &mut third, &mut second, &mut first] {
            assert!(futures_util::poll!(turn).is_pending());
        }
        drop(in_flight);
        for turn in [&mut fourth, &mut third, &mut second] {
            assert!(futures_util::poll!(turn).is_pending());
        }
        let turn = first.await;
        assert!(futures_util::poll!(&mut third).is_pending());
        // One that is given up holds up none behind it.
        drop((second, turn));
        assert!(futures_util::poll!(&mut fourth).is_pending());
        drop(third.await);
        drop(fourth.await);
        assert!(limiter.state().waiting.is_empty());
    }

    /// The parts that are ready first are throttled again and again; the earlier ones come before each
    /// repetition.
    #[tokio::test]
    async fn no_part_waits_for_the_repetitions_of_a_later_one() {
        let limiter = PartLimiter::new(1, MINUTE);
        let numbers = [(); 4].map(|()| limiter.join());
        // The later ones were ready first, and one of them has its turn.
        let mut in_flight = Some((3, numbers[3].turn().await));
        let mut waiting: Vec<_> =
            [2, 1, 0].map(|part: usize| (part, Box::pin(numbers[part].turn()))).into();
        for (_, turn) in &mut waiting {
            assert!(futures_util::poll!(turn).is_pending());
        }
        let (mut sent, mut attempts) = (Vec::new(), [1; 4]);
        while let Some((part, turn)) = in_flight.take() {
            sent.push(part);
            let attempt = match (part, attempts[part]) {
                (2.., 1..=2) => Attempt::Throttled,
                _ => Attempt::Failed,
            };
            if turn.end(attempt, attempts[part]) {
                attempts[part] += 1;
                waiting.push((part, Box::pin(numbers[part].turn())));
            }
            // Each wakes up, in any order.
            for at in (0..waiting.len()).rev() {
                if let Poll::Ready(turn) = futures_util::poll!(&mut waiting[at].1) {
                    assert!(in_flight.is_none(), "one at a time");
                    in_flight = Some((waiting[at].0, turn));
                }
            }
            waiting.retain(|(part, _)| in_flight.as_ref().is_none_or(|(begun, _)| begun != part));
        }
        assert_eq!(sent, [3, 0, 1, 2, 2, 2, 3, 3]);
        assert!(limiter.state().waiting.is_empty());
    }

    /// 140 MB at 120 KB/s, which sixteen parts at once never sent in time: by the clock of the
    /// arithmetic, the line is never idle, no part is sent twice, and the beginning is stored first.
    #[test]
    fn a_slow_line_carries_fewer_parts_at_once_and_never_rests() {
        const LEN: u64 = 140_000_000;
        const PART: u64 = 8 << 20;
        const RATE: f64 = 120_000.0;
        let (limiter, start) = (PartLimiter::new(4, MINUTE), Instant::now());
        let mut state = limiter.state();
        let mut unsent = (0..LEN.div_ceil(PART))
            .map(|part| (part, PART.min(LEN - part * PART) as f64))
            .collect::<std::collections::VecDeque<_>>();
        let (mut now, mut in_flight, mut stored) = (start, Vec::new(), Vec::new());
        let mut at_once = Vec::new();
        while !unsent.is_empty() || !in_flight.is_empty() {
            while state.has_room()
                && let Some((part, len)) = unsent.pop_front()
            {
                state.begin();
                in_flight.push((part, len, now));
            }
            at_once.push(in_flight.len());
            // All parts in flight share the line until the first of them ends.
            let share = RATE / in_flight.len() as f64;
            assert!(share >= 1024.0, "progress, as LimitedHttp counts it");
            let shortest = in_flight.iter().map(|part| part.1).fold(f64::MAX, f64::min);
            now += Duration::from_secs_f64(shortest / share);
            in_flight.iter_mut().for_each(|part| part.1 -= shortest);
            let ended: Vec<_> = in_flight.extract_if(.., |part| part.1 < 0.5).collect();
            for (part, _, started) in ended {
                state.in_flight -= 1;
                state.end(Attempt::Succeeded, started, now, MINUTE);
                stored.push(part);
            }
        }
        let took = now.duration_since(start).as_secs_f64();
        assert!((took - LEN as f64 / RATE).abs() < 1.0, "{took} s");
        assert_eq!(stored, (0..17).collect::<Vec<_>>());
        assert_eq!(at_once.first_chunk(), Some(&[4, 2, 1]), "{at_once:?}");
        assert!(at_once[2..].iter().all(|count| *count == 1), "{at_once:?}");
    }
}
