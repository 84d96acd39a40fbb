//! A bounded single-flight cache.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::{
    FutureExt as _,
    future::{Shared, WeakShared},
};

use super::cache_stats::CacheCounts;
use crate::{BoxFuture, KeyringError};

/// Cache limits: age, number of objects and bytes for each value, and number of values.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) age: Duration,
    pub(super) objects: u64,
    pub(super) bytes: u64,
    pub(super) entries: usize,
}

/// Caches values by key. Concurrent misses for one key share a single request.
///
/// The cache itself keeps no request alive: a request ends with its last caller. While requests of
/// other keys fill the cache, a caller makes a request of its own, whose value is not cached. So
/// the memory is bounded by the limit on entries and by the callers that still wait.
pub(super) struct SingleFlightCache<K, V> {
    limits: Limits,
    slots: Mutex<HashMap<K, Slot<V>>>,
    lookups: Lookups,
}

/// Numbers of lookups by their results.
#[derive(Default)]
struct Lookups {
    hits: AtomicU64,
    joined: AtomicU64,
    requests: AtomicU64,
}

type RequestFuture<V> = BoxFuture<'static, Result<Arc<Entry<V>>, Arc<KeyringError>>>;
type Request<V> = Shared<RequestFuture<V>>;

/// A request that callers wait for, or its value. The age counts from the request.
struct Slot<V> {
    since: Instant,
    state: State<V>,
}

enum State<V> {
    Pending(WeakShared<RequestFuture<V>>),
    Ready(Arc<Entry<V>>),
}

/// A value and its uses.
struct Entry<V> {
    value: Arc<V>,
    used: Mutex<Used>,
}

#[derive(Default)]
struct Used {
    objects: u64,
    bytes: u64,
}

/// Result of a cache lookup.
enum Lookup<'a, K: Eq + Hash, V> {
    Hit(Arc<V>),
    Wait(Waiter<'a, K, V>),
}

/// A caller that waits for a request.
struct Waiter<'a, K: Eq + Hash, V> {
    request: Request<V>,
    /// Dropped after the request.
    place: SlotPlace<'a, K, V>,
}

/// The place of a slot in its cache. When it is dropped, it takes a slot with it whose request
/// no caller waits for.
struct SlotPlace<'a, K: Eq + Hash, V> {
    cache: &'a SingleFlightCache<K, V>,
    key: &'a K,
}

impl<K: Clone + Eq + Hash + Send + Sync, V: Send + Sync + 'static> SingleFlightCache<K, V> {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, slots: Mutex::default(), lookups: Lookups::default() }
    }

    /// Returns the value of `key` for one more object of `bytes` bytes: the cached one if its
    /// limits allow it, otherwise the result of `request`.
    pub(super) async fn get(
        &self,
        key: &K,
        bytes: u64,
        request: impl Fn() -> BoxFuture<'static, Result<V, KeyringError>> + Send + Sync,
    ) -> Result<Arc<V>, KeyringError> {
        loop {
            let found = self.lookup(key, bytes, &request);
            tracing::debug!(hit = matches!(found, Lookup::Hit(_)), "intermediate key");
            let waiter = match found {
                Lookup::Hit(value) => return Ok(value),
                Lookup::Wait(waiter) => waiter,
            };
            let entry = waiter.answer().await.map_err(|error| copy_of(&error))?;
            // Callers that waited for the value may use it even if it has expired already. If the
            // others used it up, look again.
            if entry.take(bytes, &self.limits) {
                return Ok(Arc::clone(&entry.value));
            }
        }
    }

    /// Returns the counts of all lookups so far.
    pub(super) fn counts(&self) -> CacheCounts {
        let Lookups { hits, joined, requests } = &self.lookups;
        CacheCounts {
            hits: hits.load(Ordering::Relaxed),
            joined: joined.load(Ordering::Relaxed),
            requests: requests.load(Ordering::Relaxed),
            entries: self.lock().len(),
        }
    }

    /// Returns the cached value without counting a use.
    #[cfg(test)]
    fn peek(&self, key: &K) -> Option<Arc<V>> {
        match self.lock().get(key)?.state {
            State::Ready(ref entry) => Some(Arc::clone(&entry.value)),
            State::Pending(_) => None,
        }
    }

    fn lookup<'a>(
        &'a self,
        key: &'a K,
        bytes: u64,
        request: &impl Fn() -> BoxFuture<'static, Result<V, KeyringError>>,
    ) -> Lookup<'a, K, V> {
        let wait =
            |request| Lookup::Wait(Waiter { request, place: SlotPlace { cache: self, key } });
        let mut slots = self.lock();
        // An expired request has waiters, but gets no more of them.
        slots.retain(|_, slot| slot.since.elapsed() < self.limits.age);
        match slots.get(key).map(|slot| &slot.state) {
            Some(State::Pending(pending)) => {
                if let Some(pending) = pending.upgrade() {
                    self.lookups.joined.fetch_add(1, Ordering::Relaxed);
                    return wait(pending);
                }
            }
            Some(State::Ready(entry)) if entry.take(bytes, &self.limits) => {
                self.lookups.hits.fetch_add(1, Ordering::Relaxed);
                return Lookup::Hit(Arc::clone(&entry.value));
            }
            Some(State::Ready(_)) | None => {}
        }
        self.lookups.requests.fetch_add(1, Ordering::Relaxed);
        slots.remove(key);
        // The age counts from before the call to the key service.
        let since = Instant::now();
        let future: RequestFuture<V> = Box::pin(
            request()
                .map(|result| result.map(|value| Arc::new(Entry::new(value))).map_err(Arc::new)),
        );
        let shared = future.shared();
        if slots.len() >= self.limits.entries {
            let ready = slots.iter().filter(|(_, slot)| matches!(slot.state, State::Ready(_)));
            let oldest = ready.min_by_key(|(_, slot)| slot.since).map(|(key, _)| key.clone());
            match oldest {
                Some(oldest) => drop(slots.remove(&oldest)),
                None => return wait(shared),
            }
        }
        if let Some(pending) = shared.downgrade() {
            slots.insert(key.clone(), Slot { since, state: State::Pending(pending) });
        }
        wait(shared)
    }
}

impl<K: Eq + Hash, V> SingleFlightCache<K, V> {
    fn lock(&self) -> MutexGuard<'_, HashMap<K, Slot<V>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash + Send + Sync, V: Send + Sync> Waiter<'_, K, V> {
    /// Waits for the answer. The first waiter that has it puts it into the request's slot, or
    /// removes the slot if the request failed.
    async fn answer(self) -> Result<Arc<Entry<V>>, Arc<KeyringError>> {
        let answer = self.request.clone().await;
        let SlotPlace { cache, key } = &self.place;
        let mut slots = cache.lock();
        if let Some(slot) = slots.get_mut(*key)
            && slot.is_of(&self.request)
        {
            match &answer {
                Ok(entry) => slot.state = State::Ready(Arc::clone(entry)),
                Err(_) => drop(slots.remove(*key)),
            }
        }
        drop(slots);
        answer
    }
}

impl<K: Eq + Hash, V> Drop for SlotPlace<'_, K, V> {
    fn drop(&mut self) {
        let mut slots = self.cache.lock();
        if slots.get(self.key).is_some_and(Slot::is_abandoned) {
            slots.remove(self.key);
        }
    }
}

impl<V> Slot<V> {
    /// `true` if `request` is the pending request of this slot.
    fn is_of(&self, request: &Request<V>) -> bool {
        match &self.state {
            State::Pending(pending) => pending.upgrade().is_some_and(|it| it.ptr_eq(request)),
            State::Ready(_) => false,
        }
    }

    /// `true` if no caller waits for the pending request.
    fn is_abandoned(&self) -> bool {
        matches!(&self.state, State::Pending(pending) if pending.upgrade().is_none())
    }
}

impl<V> Entry<V> {
    fn new(value: V) -> Self {
        Self { value: Arc::new(value), used: Mutex::default() }
    }

    /// Counts one more object of `bytes` bytes; returns `true` if the limits allow it.
    fn take(&self, bytes: u64, limits: &Limits) -> bool {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let total = used.bytes.saturating_add(bytes);
        // The first object may exceed the byte limit: the value then serves only that object.
        let allowed = used.objects == 0 || (used.objects < limits.objects && total <= limits.bytes);
        if allowed {
            *used = Used { objects: used.objects + 1, bytes: total };
        }
        allowed
    }
}

/// Copies an error for each waiting caller. The cause cannot be cloned, so the copy has its text.
fn copy_of(error: &KeyringError) -> KeyringError {
    let copy = KeyringError::new(error.kind(), error.wrapping_key());
    match std::error::Error::source(error) {
        Some(cause) => copy.with_source(cause.to_string()),
        None => copy,
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::atomic::AtomicU32, task::Poll};

    use futures_util::future::join_all;

    use super::*;
    use crate::KeyringErrorKind;

    const LIMITS: Limits =
        Limits { age: Duration::from_secs(3600), objects: 3, bytes: 100, entries: 2 };

    /// Returns a cache and a request that counts its calls.
    fn counting(
        limits: Limits,
    ) -> (
        SingleFlightCache<&'static str, u32>,
        impl Fn() -> BoxFuture<'static, Result<u32, KeyringError>>,
    ) {
        let made = Arc::new(AtomicU32::new(0));
        let make = move || -> BoxFuture<'static, Result<u32, KeyringError>> {
            let made = Arc::clone(&made);
            Box::pin(async move {
                futures_util::future::ready(()).await;
                Ok(made.fetch_add(1, Ordering::Relaxed) + 1)
            })
        };
        (SingleFlightCache::new(limits), make)
    }

    fn run<T>(future: impl Future<Output = T>) -> T {
        future.now_or_never().expect("nothing waits")
    }

    #[test]
    fn a_value_serves_a_limited_number_of_objects_and_bytes() {
        let (cache, make) = counting(LIMITS);
        let get = |bytes| *run(cache.get(&"a", bytes, &make)).expect("made");
        assert_eq!([get(1), get(1), get(1), get(1)], [1, 1, 1, 2], "three objects");
        let counts = CacheCounts { hits: 2, joined: 0, requests: 2, entries: 1 };
        assert_eq!(cache.counts(), counts);
        assert_eq!(
            [get(99), get(1), get(500), get(1)],
            [2, 3, 4, 5],
            "a hundred bytes, or one object"
        );
    }

    #[test]
    fn values_expire_and_the_oldest_is_evicted_first() {
        let (cache, make) = counting(Limits { age: Duration::ZERO, ..LIMITS });
        assert_eq!([(); 2].map(|()| *run(cache.get(&"a", 1, &make)).expect("made")), [1, 2]);

        let (cache, make) = counting(LIMITS);
        for id in ["a", "b", "a", "c"] {
            run(cache.get(&id, 1, &make)).expect("made");
        }
        assert!(
            cache.peek(&"a").is_none() && cache.peek(&"b").is_some() && cache.peek(&"c").is_some()
        );
    }

    /// A dropped key is wiped, so the cache must not hold another reference.
    #[test]
    fn evicted_values_are_dropped() {
        let get = |cache: &SingleFlightCache<&'static str, Arc<()>>, id: &'static str| {
            let value = Arc::new(());
            let left = Arc::downgrade(&value);
            let make = move || -> BoxFuture<'static, Result<Arc<()>, KeyringError>> {
                let value = Arc::clone(&value);
                Box::pin(async move { Ok(value) })
            };
            drop(run(cache.get(&id, 1, make)).expect("made"));
            left
        };
        let made = |left: [&std::sync::Weak<()>; 3]| left.map(|left| left.strong_count());
        let cache = SingleFlightCache::new(Limits { objects: 1, ..LIMITS });
        let (one, two) = (get(&cache, "a"), get(&cache, "a"));
        assert_eq!(made([&one, &two, &two]), [0, 1, 1], "used up");
        let (three, four) = (get(&cache, "b"), get(&cache, "c"));
        assert_eq!(made([&two, &three, &four]), [0, 1, 1], "the oldest");
        drop(cache);
        assert_eq!(made([&two, &three, &four]), [0; 3]);
        let cache = SingleFlightCache::new(Limits { age: Duration::ZERO, ..LIMITS });
        let (one, two) = (get(&cache, "a"), get(&cache, "b"));
        assert_eq!(made([&one, &two, &two]), [0, 1, 1], "expired when another key is requested");
    }

    #[test]
    fn concurrent_misses_share_one_request() {
        let (cache, make) = counting(LIMITS);
        let values = run(join_all((0..3).map(|_| cache.get(&"a", 1, &make))));
        assert!(values.into_iter().all(|value| *value.expect("made") == 1));
        let counts = CacheCounts { hits: 2, joined: 0, requests: 1, entries: 1 };
        assert_eq!(cache.counts(), counts);
    }

    /// A request that is never answered.
    fn unanswered() -> BoxFuture<'static, Result<u32, KeyringError>> {
        Box::pin(futures_util::future::pending())
    }

    /// Polls `future` once.
    fn poll<T>(future: &mut (impl Future<Output = T> + Unpin)) -> Option<T> {
        future.now_or_never()
    }

    #[test]
    fn callers_that_go_away_leave_nothing() {
        let alive = Arc::new(());
        let cache = SingleFlightCache::<u32, u32>::new(Limits { entries: 10, ..LIMITS });
        let make = || -> BoxFuture<'static, Result<u32, KeyringError>> {
            let alive = Arc::clone(&alive);
            Box::pin(async move {
                futures_util::future::pending::<()>().await;
                drop(alive);
                Ok(0)
            })
        };
        for key in 0..100_000 {
            let mut call = Box::pin(cache.get(&key, 1, make));
            assert!(poll(&mut call).is_none(), "it waits");
            assert_eq!((cache.lock().len(), Arc::strong_count(&alive)), (1, 2), "{key}");
        }
        assert_eq!((cache.lock().len(), Arc::strong_count(&alive)), (0, 1));
    }

    #[test]
    fn a_request_ends_with_its_last_caller() {
        let cache = SingleFlightCache::<u32, u32>::new(LIMITS);
        let mut calls: Vec<_> = (0..3).map(|_| Box::pin(cache.get(&1, 1, unanswered))).collect();
        assert!(calls.iter_mut().all(|call| poll(call).is_none()));
        let counts = CacheCounts { hits: 0, joined: 2, requests: 1, entries: 1 };
        assert_eq!(cache.counts(), counts);
        for left in (0..3).rev() {
            assert_eq!(cache.lock().len(), 1, "{left} callers and this one wait");
            drop(calls.pop());
        }
        assert_eq!(cache.lock().len(), 0);
    }

    /// A request of its own is as good as any other; only the cache does not keep its value.
    #[test]
    fn a_cache_full_of_requests_keeps_its_bound_and_serves_everybody() {
        let cache = SingleFlightCache::<u32, u32>::new(Limits { entries: 10, ..LIMITS });
        let keys: Vec<u32> = (0..1000).collect();
        let mut waiting: Vec<_> =
            keys.iter().map(|key| Box::pin(cache.get(key, 1, unanswered))).collect();
        assert!(waiting.iter_mut().all(|call| poll(call).is_none()));
        assert_eq!(cache.lock().len(), 10);
        let answered = || -> BoxFuture<'static, _> { Box::pin(async { Ok(7) }) };
        assert_eq!(*run(cache.get(&2000, 1, answered)).expect("made"), 7);
        assert_eq!((cache.peek(&2000), cache.lock().len()), (None, 10), "it is not cached");
        // A place is free again: the next one is cached.
        drop(waiting.swap_remove(3));
        assert_eq!(*run(cache.get(&2000, 1, answered)).expect("made"), 7);
        assert_eq!((cache.peek(&2000).as_deref(), cache.lock().len()), (Some(&7), 10));
    }

    /// A request that is too old gets no more callers, so that no caller gets an old value.
    #[test]
    fn the_age_counts_from_the_request() {
        let answer = Arc::new(AtomicU32::new(0));
        let cache = SingleFlightCache::<u32, u32>::new(Limits { age: Duration::ZERO, ..LIMITS });
        let slow = || -> BoxFuture<'static, _> {
            let answer = Arc::clone(&answer);
            Box::pin(futures_util::future::poll_fn(move |_| match answer.load(Ordering::Relaxed) {
                0 => Poll::Pending,
                answer => Poll::Ready(Ok(answer)),
            }))
        };
        let mut first = Box::pin(cache.get(&1, 1, slow));
        assert!(poll(&mut first).is_none());
        assert_eq!(*run(cache.get(&1, 1, || Box::pin(async { Ok(2) }))).expect("made"), 2);
        answer.store(1, Ordering::Relaxed);
        assert_eq!(*run(first).expect("made"), 1, "it waited for that one");
    }

    /// Callers that share a request share its limits, also if the cache did not keep the value.
    #[test]
    fn callers_of_one_request_count_their_uses_together() {
        let (cache, make) = counting(LIMITS);
        let values = run(join_all((0..7).map(|_| cache.get(&"a", 1, &make))));
        let values: Vec<_> = values.into_iter().map(|value| *value.expect("made")).collect();
        assert_eq!(values, [1, 1, 1, 2, 2, 2, 3]);
    }

    #[test]
    fn a_failure_reaches_all_callers_and_is_not_cached() {
        let (cache, make) = counting(LIMITS);
        let fail = || -> BoxFuture<'static, Result<u32, KeyringError>> {
            Box::pin(async {
                Err(KeyringError::new(KeyringErrorKind::Throttled, "k").with_source("why"))
            })
        };
        for failure in run(join_all((0..3).map(|_| cache.get(&"a", 1, fail)))) {
            let failure = failure.expect_err("it fails");
            assert_eq!(
                (failure.kind(), failure.wrapping_key()),
                (KeyringErrorKind::Throttled, "k")
            );
            assert_eq!(
                std::error::Error::source(&failure).map(ToString::to_string).as_deref(),
                Some("why")
            );
        }
        assert_eq!(*run(cache.get(&"a", 1, &make)).expect("made"), 1);
    }
}
