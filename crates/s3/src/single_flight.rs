//! A bounded single-flight cache.

use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::OnceCell;

/// Most slots in the cache: about 1 KB each. Beyond that, the oldest slot is dropped.
const MAX_SLOTS: usize = 8192;

/// A slot for each id. Concurrent misses for one id share a single request; a failed request leaves
/// the slot empty.
pub(crate) struct SingleFlightCache<I, T>(Mutex<Slots<I, T>>);

struct Slots<I, T> {
    slots: HashMap<I, Arc<OnceCell<T>>>,
    /// Oldest first.
    order: VecDeque<I>,
}

impl<I: Clone + Eq + Hash, T> SingleFlightCache<I, T> {
    /// Returns the slot of `id`.
    pub(crate) fn slot(&self, id: &I) -> Arc<OnceCell<T>> {
        let mut cache = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = cache.slots.get(id) {
            return Arc::clone(slot);
        }
        if cache.order.len() == MAX_SLOTS
            && let Some(oldest) = cache.order.pop_front()
        {
            cache.slots.remove(&oldest);
        }
        let slot = Arc::<OnceCell<T>>::default();
        cache.order.push_back(id.clone());
        cache.slots.insert(id.clone(), Arc::clone(&slot));
        slot
    }
}

impl<I: Clone + Eq + Hash, T> SingleFlightCache<I, T> {
    /// Returns the slot of `id`, or a new one if what is in it is no longer fresh.
    pub(crate) fn fresh_slot(&self, id: &I, is_fresh: impl Fn(&T) -> bool) -> Arc<OnceCell<T>> {
        let slot = self.slot(id);
        if slot.get().is_none_or(is_fresh) {
            return slot;
        }
        let mut cache = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match cache.slots.get_mut(id) {
            // Another caller was faster.
            Some(known) if !Arc::ptr_eq(known, &slot) => Arc::clone(known),
            Some(known) => {
                *known = Arc::default();
                Arc::clone(known)
            }
            None => Arc::default(),
        }
    }
}

impl<I, T> Default for SingleFlightCache<I, T> {
    fn default() -> Self {
        Self(Mutex::new(Slots { slots: HashMap::new(), order: VecDeque::new() }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_slot_that_is_no_longer_fresh_is_replaced() {
        let slots = SingleFlightCache::<u8, u8>::default();
        let old = slots.fresh_slot(&1, |_| panic!("nothing is in it"));
        old.get_or_init(|| async { 5 }).await;
        assert_eq!(slots.fresh_slot(&1, |value| *value == 5).get(), Some(&5));
        let new = slots.fresh_slot(&1, |value| *value != 5);
        assert_eq!((new.get(), old.get()), (None, Some(&5)));
        assert!(Arc::ptr_eq(&new, &slots.slot(&1)));
    }

    #[tokio::test]
    async fn the_oldest_is_forgotten() {
        let slots = SingleFlightCache::<usize, usize>::default();
        for id in 0..MAX_SLOTS {
            slots.slot(&id).get_or_init(|| async { id }).await;
        }
        assert_eq!(slots.slot(&0).get(), Some(&0));
        slots.slot(&MAX_SLOTS);
        assert_eq!((slots.slot(&1).get(), slots.slot(&0).get()), (Some(&1), None));
    }
}
