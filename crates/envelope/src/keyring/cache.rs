//! Keys that are made once, shared for a while, and dropped within bounds.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use futures_util::{FutureExt as _, future::Shared};

use super::{BoxFuture, KeyringError};

/// How long, for how much and for how many a key is kept.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) age: Duration,
    pub(super) objects: u64,
    pub(super) bytes: u64,
    pub(super) entries: usize,
}

/// Values by what they are for. All callers that miss the same one at the same time wait for one making of it.
pub(super) struct Cache<K, V> {
    bounds: Bounds,
    slots: Mutex<HashMap<K, Slot<V>>>,
}

type Making<V> = Shared<BoxFuture<'static, Result<Arc<V>, Arc<KeyringError>>>>;

enum Slot<V> {
    Making(Making<V>),
    Made(Made<V>),
}

struct Made<V> {
    value: Arc<V>,
    since: Instant,
    objects: u64,
    bytes: u64,
}

impl<K: Clone + Eq + Hash + Send + Sync, V: Send + Sync + 'static> Cache<K, V> {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self { bounds, slots: Mutex::default() }
    }

    /// The value of `id` for one object more, of `bytes` bytes: a kept one within the bounds, else what `make` gives.
    pub(super) async fn get(
        &self,
        id: &K,
        bytes: u64,
        make: impl Fn() -> BoxFuture<'static, Result<V, KeyringError>> + Send + Sync,
    ) -> Result<Arc<V>, KeyringError> {
        loop {
            let making = match self.use_or_make(id, bytes, &make) {
                Use::Kept(value) => return Ok(value),
                Use::Wait(making) => making,
            };
            // Its age counts from before the key service was asked.
            let begun = Instant::now();
            let outcome = making.clone().await;
            let mut slots = self.lock();
            if matches!(slots.get(id), Some(Slot::Making(current)) if current.ptr_eq(&making)) {
                slots.remove(id);
                if let Ok(value) = &outcome {
                    slots.insert(id.clone(), Slot::made(Arc::clone(value), begun));
                }
            }
            match (outcome, slots.get_mut(id)) {
                (Err(error), _) => return Err(copy_of(&error)),
                // However fast it ages, who waited for it may use it.
                (Ok(value), Some(Slot::Made(made))) if Arc::ptr_eq(&made.value, &value) => {
                    if made.take(bytes, &self.bounds) {
                        return Ok(value);
                    }
                }
                // It served as many as it may meanwhile: another one.
                (Ok(_), _) => {}
            }
        }
    }

    /// A value that is kept, not counted as used for an object.
    #[cfg(test)]
    fn peek(&self, id: &K) -> Option<Arc<V>> {
        match self.lock().get(id) {
            Some(Slot::Made(made)) => Some(Arc::clone(&made.value)),
            _ => None,
        }
    }

    fn use_or_make(
        &self,
        id: &K,
        bytes: u64,
        make: &impl Fn() -> BoxFuture<'static, Result<V, KeyringError>>,
    ) -> Use<V> {
        let mut slots = self.lock();
        slots.retain(
            |_, slot| !matches!(slot, Slot::Made(made) if made.since.elapsed() >= self.bounds.age),
        );
        let kept = match slots.get_mut(id) {
            Some(Slot::Making(making)) => return Use::Wait(making.clone()),
            Some(Slot::Made(made)) => {
                made.take(bytes, &self.bounds).then(|| Arc::clone(&made.value))
            }
            None => None,
        };
        if let Some(value) = kept {
            return Use::Kept(value);
        }
        let future: BoxFuture<'static, _> =
            Box::pin(make().map(|made| made.map(Arc::new).map_err(Arc::new)));
        let making = future.shared();
        if slots.len() >= self.bounds.entries && !slots.contains_key(id) {
            let oldest = slots.iter().filter_map(|(id, slot)| match slot {
                Slot::Made(made) => Some((made.since, id)),
                Slot::Making(_) => None,
            });
            if let Some(oldest) = oldest.min_by_key(|(since, _)| *since).map(|(_, id)| id.clone()) {
                slots.remove(&oldest);
            }
        }
        slots.insert(id.clone(), Slot::Making(making.clone()));
        Use::Wait(making)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, Slot<V>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Use<V> {
    Kept(Arc<V>),
    Wait(Making<V>),
}

impl<V> Made<V> {
    /// Counts one object more, of `bytes` bytes, if the bounds allow it.
    fn take(&mut self, bytes: u64, bounds: &Bounds) -> bool {
        let total = self.bytes.saturating_add(bytes);
        // The first object may be longer than the bound: it has the key for itself.
        let allowed = self.objects == 0 || (self.objects < bounds.objects && total <= bounds.bytes);
        if allowed {
            self.objects += 1;
            self.bytes = total;
        }
        allowed
    }
}

/// The error cannot be cloned, and its cause not shared.
fn copy_of(error: &KeyringError) -> KeyringError {
    let copy = KeyringError::new(error.kind(), error.wrapping_key());
    match std::error::Error::source(error) {
        Some(cause) => copy.with_source(cause.to_string()),
        None => copy,
    }
}

impl<V> Slot<V> {
    fn made(value: Arc<V>, since: Instant) -> Self {
        Self::Made(Made { value, since, objects: 0, bytes: 0 })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use futures_util::future::join_all;

    use super::*;
    use crate::KeyringErrorKind;

    const BOUNDS: Bounds =
        Bounds { age: Duration::from_secs(3600), objects: 3, bytes: 100, entries: 2 };

    /// A cache, and a maker that counts.
    fn counting(
        bounds: Bounds,
    ) -> (Cache<&'static str, u32>, impl Fn() -> BoxFuture<'static, Result<u32, KeyringError>>)
    {
        let made = Arc::new(AtomicU32::new(0));
        let make = move || -> BoxFuture<'static, Result<u32, KeyringError>> {
            let made = Arc::clone(&made);
            Box::pin(async move {
                futures_util::future::ready(()).await;
                Ok(made.fetch_add(1, Ordering::Relaxed) + 1)
            })
        };
        (Cache::new(bounds), make)
    }

    fn run<T>(future: impl Future<Output = T>) -> T {
        future.now_or_never().expect("nothing waits")
    }

    #[test]
    fn a_value_serves_so_many_objects_and_bytes() {
        let (cache, make) = counting(BOUNDS);
        let get = |bytes| *run(cache.get(&"a", bytes, &make)).expect("made");
        assert_eq!([get(1), get(1), get(1), get(1)], [1, 1, 1, 2], "three objects");
        assert_eq!(
            [get(99), get(1), get(500), get(1)],
            [2, 3, 4, 5],
            "a hundred bytes, or one object"
        );
    }

    #[test]
    fn values_age_and_the_oldest_goes_first() {
        let (cache, make) = counting(Bounds { age: Duration::ZERO, ..BOUNDS });
        assert_eq!([(); 2].map(|()| *run(cache.get(&"a", 1, &make)).expect("made")), [1, 2]);

        let (cache, make) = counting(BOUNDS);
        for id in ["a", "b", "a", "c"] {
            run(cache.get(&id, 1, &make)).expect("made");
        }
        assert!(
            cache.peek(&"a").is_none() && cache.peek(&"b").is_some() && cache.peek(&"c").is_some()
        );
    }

    /// A key that is dropped is wiped: nothing else may hold it then.
    #[test]
    fn what_is_not_kept_is_dropped() {
        let get = |cache: &Cache<&'static str, Arc<()>>, id: &'static str| {
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
        let cache = Cache::new(Bounds { objects: 1, ..BOUNDS });
        let (one, two) = (get(&cache, "a"), get(&cache, "a"));
        assert_eq!(made([&one, &two, &two]), [0, 1, 1], "used up");
        let (three, four) = (get(&cache, "b"), get(&cache, "c"));
        assert_eq!(made([&two, &three, &four]), [0, 1, 1], "the oldest");
        drop(cache);
        assert_eq!(made([&two, &three, &four]), [0; 3]);
        let cache = Cache::new(Bounds { age: Duration::ZERO, ..BOUNDS });
        let (one, two) = (get(&cache, "a"), get(&cache, "b"));
        assert_eq!(made([&one, &two, &two]), [0, 1, 1], "too old, and another one was asked for");
    }

    #[test]
    fn those_who_come_at_once_wait_for_one_making() {
        let (cache, make) = counting(BOUNDS);
        let values = run(join_all((0..3).map(|_| cache.get(&"a", 1, &make))));
        assert!(values.into_iter().all(|value| *value.expect("made") == 1));
    }

    #[test]
    fn a_failure_is_told_to_all_and_not_kept() {
        let (cache, make) = counting(BOUNDS);
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
