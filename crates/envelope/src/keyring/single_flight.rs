//! A bounded single-flight cache.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use futures_util::{FutureExt as _, future::Shared};

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
pub(super) struct SingleFlightCache<K, V> {
    limits: Limits,
    slots: Mutex<HashMap<K, Slot<V>>>,
}

type Request<V> = Shared<BoxFuture<'static, Result<Arc<V>, Arc<KeyringError>>>>;

enum Slot<V> {
    Pending(Request<V>),
    Ready(Entry<V>),
}

struct Entry<V> {
    value: Arc<V>,
    since: Instant,
    objects: u64,
    bytes: u64,
}

/// Result of a cache lookup.
enum Lookup<V> {
    Hit(Arc<V>),
    Wait(Request<V>),
}

impl<K: Clone + Eq + Hash + Send + Sync, V: Send + Sync + 'static> SingleFlightCache<K, V> {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, slots: Mutex::default() }
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
            let pending = match found {
                Lookup::Hit(value) => return Ok(value),
                Lookup::Wait(pending) => pending,
            };
            // The age counts from before the call to the key service.
            let started = Instant::now();
            let outcome = pending.clone().await;
            let mut slots = self.lock();
            if matches!(slots.get(key), Some(Slot::Pending(current)) if current.ptr_eq(&pending)) {
                slots.remove(key);
                if let Ok(value) = &outcome {
                    slots.insert(key.clone(), Slot::ready(Arc::clone(value), started));
                }
            }
            match (outcome, slots.get_mut(key)) {
                (Err(error), _) => return Err(copy_of(&error)),
                // Callers that waited for the value may use it even if it has expired already.
                (Ok(value), Some(Slot::Ready(entry))) if Arc::ptr_eq(&entry.value, &value) => {
                    if entry.take(bytes, &self.limits) {
                        return Ok(value);
                    }
                }
                // Other callers used it up or replaced it in the meantime: look again.
                (Ok(_), _) => {}
            }
        }
    }

    /// Returns the cached value without counting a use.
    #[cfg(test)]
    fn peek(&self, key: &K) -> Option<Arc<V>> {
        match self.lock().get(key) {
            Some(Slot::Ready(entry)) => Some(Arc::clone(&entry.value)),
            _ => None,
        }
    }

    fn lookup(
        &self,
        key: &K,
        bytes: u64,
        request: &impl Fn() -> BoxFuture<'static, Result<V, KeyringError>>,
    ) -> Lookup<V> {
        let mut slots = self.lock();
        let expired = |slot: &Slot<V>| matches!(slot, Slot::Ready(entry) if entry.since.elapsed() >= self.limits.age);
        slots.retain(|_, slot| !expired(slot));
        let hit = match slots.get_mut(key) {
            Some(Slot::Pending(pending)) => return Lookup::Wait(pending.clone()),
            Some(Slot::Ready(entry)) => {
                entry.take(bytes, &self.limits).then(|| Arc::clone(&entry.value))
            }
            None => None,
        };
        if let Some(value) = hit {
            return Lookup::Hit(value);
        }
        let future: BoxFuture<'static, _> =
            Box::pin(request().map(|result| result.map(Arc::new).map_err(Arc::new)));
        let pending = future.shared();
        if slots.len() >= self.limits.entries && !slots.contains_key(key) {
            let ready = slots.iter().filter_map(|(key, slot)| match slot {
                Slot::Ready(entry) => Some((entry.since, key)),
                Slot::Pending(_) => None,
            });
            if let Some(oldest) = ready.min_by_key(|(since, _)| *since).map(|(_, key)| key.clone())
            {
                slots.remove(&oldest);
            }
        }
        slots.insert(key.clone(), Slot::Pending(pending.clone()));
        Lookup::Wait(pending)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, Slot<V>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<V> Entry<V> {
    /// Counts one more object of `bytes` bytes; returns `true` if the limits allow it.
    fn take(&mut self, bytes: u64, limits: &Limits) -> bool {
        let total = self.bytes.saturating_add(bytes);
        // The first object may exceed the byte limit: the value then serves only that object.
        let allowed = self.objects == 0 || (self.objects < limits.objects && total <= limits.bytes);
        if allowed {
            self.objects += 1;
            self.bytes = total;
        }
        allowed
    }
}

impl<V> Slot<V> {
    fn ready(value: Arc<V>, since: Instant) -> Self {
        Self::Ready(Entry { value, since, objects: 0, bytes: 0 })
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
    use std::sync::atomic::{AtomicU32, Ordering};

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
