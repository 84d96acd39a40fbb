//! Reuse of part buffers.
//!
//! With a new buffer for each part, the system would zero its pages each time, and `malloc` would
//! keep much of what other threads free: the process would hold far more memory than its budget.

use std::{
    io, mem,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use sealwax_envelope::{BodyHeader, PartBuffer};

use crate::memory::with_memory;

/// Minimum length in bytes of buffers that are kept: shorter ones are cheap.
const MIN_LEN: usize = 1 << 20;

/// Idle buffers of a client's uploads. They are freed when the last of these uploads ends.
#[derive(Debug, Default)]
pub(crate) struct PartBuffers(Mutex<Vec<Vec<u8>>>);

impl PartBuffers {
    /// Returns a buffer for `chunks` chunks.
    ///
    /// # Errors
    /// The system has no memory for it.
    pub(crate) fn take(
        &self,
        header: Option<&BodyHeader>,
        chunks: usize,
    ) -> io::Result<PartBuffer> {
        let len = PartBuffer::stored_len(header, chunks);
        let idle = if len >= MIN_LEN { self.take_idle(len) } else { None };
        if idle.is_none() && len >= MIN_LEN {
            // A failed allocation would end the process.
            with_memory(len)?;
        }
        Ok(PartBuffer::reusing(idle.unwrap_or_default(), header, chunks))
    }

    fn take_idle(&self, len: usize) -> Option<Vec<u8>> {
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // The header makes the first part a little longer than the others.
        match idle.iter().position(|bytes| bytes.capacity() >= len && bytes.capacity() / 2 < len) {
            Some(index) => Some(idle.swap_remove(index)),
            None => {
                // The idle buffers have another length. If they were kept, they would exceed the
                // budget.
                idle.clear();
                None
            }
        }
    }

    /// Returns a sealed part to send. Its buffer comes back when the last clone is dropped.
    pub(crate) fn lend(self: &Arc<Self>, bytes: Vec<u8>) -> Bytes {
        if bytes.capacity() < MIN_LEN {
            return bytes.into();
        }
        Bytes::from_owner(Lent { bytes, owner: Arc::clone(self) })
    }
}

/// A buffer that returns to its owner when it is dropped.
struct Lent {
    bytes: Vec<u8>,
    owner: Arc<PartBuffers>,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let mut idle = self.owner.0.lock().unwrap_or_else(PoisonError::into_inner);
        idle.push(mem::take(&mut self.bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn idle(buffers: &PartBuffers) -> usize {
        buffers.0.lock().expect("not poisoned").len()
    }

    fn filled(buffers: &PartBuffers, chunks: usize) -> Vec<u8> {
        let mut buffer = buffers.take(None, chunks).expect("memory");
        assert_eq!(buffer.put_slice(&vec![7; buffer.capacity()]), buffer.capacity());
        vec![7; PartBuffer::stored_len(None, chunks)]
    }

    #[test]
    fn memory_that_the_system_lacks_is_an_error() {
        let error = PartBuffers::default().take(None, 1 << 48).expect_err("no such memory");
        assert_eq!(error.kind(), io::ErrorKind::OutOfMemory);
        assert!(error.to_string().starts_with("no memory for "), "{error}");
    }

    #[test]
    fn a_buffer_comes_back_when_its_last_clone_is_dropped() {
        let buffers = Arc::new(PartBuffers::default());
        let part = buffers.lend(filled(&buffers, 100));
        let retry = part.clone();
        drop(part);
        assert_eq!(idle(&buffers), 0);
        drop(retry);
        assert_eq!(idle(&buffers), 1);
        filled(&buffers, 100);
        assert_eq!(idle(&buffers), 0, "the idle buffer was not reused");
    }

    #[test]
    fn buffers_of_another_length_are_freed_and_short_ones_are_not_kept() {
        let buffers = Arc::new(PartBuffers::default());
        drop(buffers.lend(filled(&buffers, 100)));
        filled(&buffers, 1);
        assert_eq!(idle(&buffers), 1, "a short buffer does not come from the idle ones");
        filled(&buffers, 1000);
        assert_eq!(idle(&buffers), 0);
        drop(buffers.lend(filled(&buffers, 1)));
        assert_eq!(idle(&buffers), 0);
    }
}
