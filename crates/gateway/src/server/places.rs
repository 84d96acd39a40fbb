//! Places for connections.
//!
//! Idle connections, and those whose request never ends to arrive, must not keep others out. So if all
//! places are taken, the connection that has waited longest for a request gives way to a new one.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// A number of places. Clones share them.
#[derive(Clone)]
pub(crate) struct Places {
    permits: Arc<Semaphore>,
    waiting: Arc<Waiting>,
}

/// Connections that wait for a request.
#[derive(Default)]
struct Waiting {
    queue: Mutex<Queue>,
    /// Tells that there is one more.
    more: Notify,
}

#[derive(Default)]
struct Queue {
    /// Number of the next one.
    next: u64,
    /// Connections that have not been told to give way, the longest waiting first.
    connections: BTreeMap<u64, Arc<Notify>>,
}

/// A connection's place, until it is dropped.
pub(crate) struct Place {
    waiting: Arc<Waiting>,
    /// Number in the queue, while the connection waits for a request.
    number: Mutex<Option<u64>>,
    give_way: Arc<Notify>,
    _permit: OwnedSemaphorePermit,
}

impl Places {
    pub(crate) fn new(count: usize) -> Self {
        let permits = Arc::new(Semaphore::new(count.min(Semaphore::MAX_PERMITS)));
        Self { permits, waiting: Arc::default() }
    }

    /// Waits for a place for a connection that has arrived.
    pub(crate) async fn take(&self) -> Place {
        let permit = loop {
            let more = self.waiting.more.notified();
            if let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() {
                break permit;
            }
            self.waiting.tell_longest();
            tokio::select! {
                permit = Arc::clone(&self.permits).acquire_owned() => {
                    break permit.expect("it is never closed");
                }
                () = more => {}
            }
        };
        let place = Place {
            waiting: Arc::clone(&self.waiting),
            number: Mutex::default(),
            give_way: Arc::default(),
            _permit: permit,
        };
        place.wait();
        place
    }
}

impl Place {
    /// The connection waits for a request from now on.
    pub(crate) fn wait(&self) {
        let number = self.waiting.add(&self.give_way);
        self.replace(Some(number));
    }

    /// A request has arrived.
    pub(crate) fn work(&self) {
        self.replace(None);
    }

    /// `true` if the connection waits for a request.
    pub(crate) fn is_waiting(&self) -> bool {
        self.number().is_some()
    }

    /// Waits until the connection is to end, which then waits for a request.
    pub(crate) async fn give_way(&self) {
        loop {
            self.give_way.notified().await;
            // A request may have arrived at the same time.
            if self.is_waiting() {
                return;
            }
        }
    }

    fn replace(&self, number: Option<u64>) {
        let before = std::mem::replace(&mut *self.number(), number);
        if let Some(before) = before {
            self.waiting.queue().connections.remove(&before);
        }
    }

    fn number(&self) -> MutexGuard<'_, Option<u64>> {
        self.number.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.replace(None);
    }
}

impl Waiting {
    fn add(&self, connection: &Arc<Notify>) -> u64 {
        let number = {
            let mut queue = self.queue();
            let number = queue.next;
            queue.next += 1;
            queue.connections.insert(number, Arc::clone(connection));
            number
        };
        self.more.notify_waiters();
        number
    }

    fn tell_longest(&self) {
        if let Some((_, connection)) = self.queue().connections.pop_first() {
            connection.notify_one();
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Places {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Places").field("free", &self.permits.available_permits()).finish()
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place").field("is_waiting", &self.is_waiting()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    const SHORT: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn the_longest_waiting_gives_way() {
        let places = Places::new(2);
        let first = places.take().await;
        let second = places.take().await;
        // The first one works, and then waits for less time than the second.
        first.work();
        first.wait();
        {
            let third = places.take();
            tokio::pin!(third);
            assert!(timeout(SHORT, &mut third).await.is_err(), "both places are taken");
            assert!(timeout(SHORT, first.give_way()).await.is_err());
            timeout(SHORT, second.give_way()).await.expect("it is the second");
            drop(second);
            timeout(SHORT, third).await.expect("a place");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_works_keeps_its_place() {
        let places = Places::new(1);
        let first = places.take().await;
        first.work();
        let second = places.take();
        tokio::pin!(second);
        assert!(timeout(SHORT, &mut second).await.is_err());
        assert!(timeout(SHORT, first.give_way()).await.is_err(), "it works");
        // Once its answer has ended, it gives way.
        first.wait();
        assert!(timeout(SHORT, &mut second).await.is_err());
        timeout(SHORT, first.give_way()).await.expect("another one has come");
        drop(first);
        timeout(SHORT, second).await.expect("a place");
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_arrives_at_the_same_time_is_served() {
        let places = Places::new(1);
        let first = places.take().await;
        let second = places.take();
        tokio::pin!(second);
        assert!(timeout(SHORT, &mut second).await.is_err());
        first.work();
        assert!(timeout(SHORT, first.give_way()).await.is_err(), "it works");
        assert!(timeout(SHORT, &mut second).await.is_err());
    }
}
