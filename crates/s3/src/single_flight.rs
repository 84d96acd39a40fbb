//! What is found out once for many objects, and remembered within a bound.

use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::OnceCell;

/// How many things are remembered; beyond, the oldest is found out again where it comes up again.
const MAX_REMEMBERED: usize = 1024;

/// A slot for each thing that is to be found out, made when it first comes up. Whoever comes while another one fills it
/// waits for that; a failure leaves it empty.
pub(crate) struct Slots<I, T>(Mutex<Remembered<I, T>>);

struct Remembered<I, T> {
    slots: HashMap<I, Arc<OnceCell<T>>>,
    /// Oldest first.
    order: VecDeque<I>,
}

impl<I: Clone + Eq + Hash, T> Slots<I, T> {
    /// The slot of `id`.
    pub(crate) fn slot(&self, id: &I) -> Arc<OnceCell<T>> {
        let mut remembered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = remembered.slots.get(id) {
            return Arc::clone(slot);
        }
        if remembered.order.len() == MAX_REMEMBERED
            && let Some(oldest) = remembered.order.pop_front()
        {
            remembered.slots.remove(&oldest);
        }
        let slot = Arc::<OnceCell<T>>::default();
        remembered.order.push_back(id.clone());
        remembered.slots.insert(id.clone(), Arc::clone(&slot));
        slot
    }
}

impl<I, T> Default for Slots<I, T> {
    fn default() -> Self {
        Self(Mutex::new(Remembered { slots: HashMap::new(), order: VecDeque::new() }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_oldest_is_forgotten() {
        let slots = Slots::<usize, usize>::default();
        for id in 0..MAX_REMEMBERED {
            slots.slot(&id).get_or_init(|| async { id }).await;
        }
        assert_eq!(slots.slot(&0).get(), Some(&0));
        slots.slot(&MAX_REMEMBERED);
        assert_eq!((slots.slot(&1).get(), slots.slot(&0).get()), (Some(&1), None));
    }
}
