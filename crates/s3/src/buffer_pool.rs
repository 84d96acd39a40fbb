//! Reuse of large buffers.
//!
//! With a new buffer each time, the system would zero its pages each time, and `malloc` would keep
//! much of what other threads free: the process would hold far more memory than it uses.

use std::{
    fmt, io, mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;

use crate::memory::with_memory;

/// Idle buffers of similar lengths. Their content cannot be printed.
#[derive(Default)]
pub(crate) struct BufferPool(Mutex<Vec<Vec<u8>>>);

impl BufferPool {
    /// Returns a buffer with room for `len` bytes: that many or fewer, with any content. Memory is
    /// zeroed piece by piece, by the caller, since it is in the processor's cache then.
    ///
    /// # Errors
    /// The system has no memory for it.
    pub(crate) fn take(&self, len: usize) -> io::Result<Vec<u8>> {
        let mut bytes = self.take_idle(len).map_or_else(|| with_memory(len), Ok)?;
        bytes.truncate(len);
        Ok(bytes)
    }

    /// Returns an idle buffer with a capacity of `len` bytes, and not of more than twice as much.
    pub(crate) fn take_idle(&self, len: usize) -> Option<Vec<u8>> {
        let mut idle = self.idle();
        match idle.iter().position(|bytes| bytes.capacity() >= len && bytes.capacity() / 2 <= len) {
            Some(index) => Some(idle.swap_remove(index)),
            None => {
                // The idle buffers have another length. If they were kept, they would exceed the
                // bounds of their users.
                idle.clear();
                None
            }
        }
    }

    /// Returns the content of a buffer, which comes back when the last clone is dropped.
    pub(crate) fn lend(self: &Arc<Self>, bytes: Vec<u8>) -> Bytes {
        Bytes::from_owner(Lent { bytes, pool: Arc::clone(self) })
    }

    /// Returns how many buffers are idle.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.idle().len()
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Vec<u8>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for BufferPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BufferPool").field("idle", &self.idle().len()).finish_non_exhaustive()
    }
}

/// A buffer that returns to its pool when it is dropped.
struct Lent {
    bytes: Vec<u8>,
    pool: Arc<BufferPool>,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.pool.idle().push(mem::take(&mut self.bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_when_its_last_clone_is_dropped() {
        let pool = Arc::new(BufferPool::default());
        let bytes = pool.lend(vec![7; 100]);
        let clone = bytes.clone();
        drop(bytes);
        assert_eq!(pool.len(), 0);
        drop(clone);
        assert_eq!(pool.len(), 1);
        assert_eq!(format!("{pool:?}"), "BufferPool { idle: 1, .. }");
        let again = pool.take(60).expect("memory");
        assert_eq!((again.len(), again.capacity(), pool.len()), (60, 100, 0), "it was reused");
    }

    #[test]
    fn buffers_of_another_length_are_freed() {
        for (len, is_kept) in [(49, false), (50, true), (100, true), (101, false)] {
            let pool = Arc::new(BufferPool::default());
            drop(pool.lend(vec![7; 100]));
            let next = pool.take(len).expect("memory");
            let kept = if is_kept { len } else { 0 };
            assert_eq!((next.len(), pool.len()), (kept, 0), "{len}");
            assert_eq!(next.capacity(), if is_kept { 100 } else { len });
        }
    }

    #[test]
    fn memory_that_the_system_lacks_is_an_error() {
        let error = BufferPool::default().take(1 << 60).expect_err("no such memory");
        assert_eq!(error.kind(), io::ErrorKind::OutOfMemory);
        assert!(error.to_string().starts_with("no memory for "), "{error}");
    }
}
