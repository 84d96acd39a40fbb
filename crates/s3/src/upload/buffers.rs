//! Part buffers that are used again.
//!
//! A fresh buffer for each part would cost the pages' zeroing each time, and `malloc` keeps much of what is freed on
//! other threads: the process would come to hold far more than its budget.

use std::{
    mem,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use sealwax_envelope::{BodyHeader, PartBuffer};

/// Shorter buffers than this are not kept, in bytes: they are cheap.
const MIN_LEN: usize = 1 << 20;

/// The buffers of a client's uploads that are not in use. They go when the last of the uploads ends.
#[derive(Debug, Default)]
pub(crate) struct PartBuffers(Mutex<Vec<Vec<u8>>>);

impl PartBuffers {
    /// A buffer for `chunks` chunks.
    pub(crate) fn take(&self, header: Option<&BodyHeader>, chunks: usize) -> PartBuffer {
        let len = PartBuffer::stored_len(header, chunks);
        let idle = if len >= MIN_LEN { self.take_idle(len) } else { None };
        PartBuffer::reusing(idle.unwrap_or_default(), header, chunks)
    }

    fn take_idle(&self, len: usize) -> Option<Vec<u8>> {
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // The header makes the first part a little longer than the others.
        match idle.iter().position(|bytes| bytes.capacity() >= len && bytes.capacity() / 2 < len) {
            Some(index) => Some(idle.swap_remove(index)),
            None => {
                // They are of another length: kept, they would count beyond the budget.
                idle.clear();
                None
            }
        }
    }

    /// A sealed part to send; its buffer comes back when nobody holds it any more.
    pub(crate) fn lend(self: &Arc<Self>, bytes: Vec<u8>) -> Bytes {
        if bytes.capacity() < MIN_LEN {
            return bytes.into();
        }
        Bytes::from_owner(Lent { bytes, owner: Arc::clone(self) })
    }
}

/// A buffer that goes back to its owner.
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
        let mut buffer = buffers.take(None, chunks);
        assert_eq!(buffer.put_slice(&vec![7; buffer.capacity()]), buffer.capacity());
        vec![7; PartBuffer::stored_len(None, chunks)]
    }

    #[test]
    fn a_buffer_comes_back_when_the_last_holder_is_gone() {
        let buffers = Arc::new(PartBuffers::default());
        let part = buffers.lend(filled(&buffers, 100));
        let retry = part.clone();
        drop(part);
        assert_eq!(idle(&buffers), 0);
        drop(retry);
        assert_eq!(idle(&buffers), 1);
        filled(&buffers, 100);
        assert_eq!(idle(&buffers), 0, "it was not used again");
    }

    #[test]
    fn buffers_of_another_length_go_and_short_ones_are_not_kept() {
        let buffers = Arc::new(PartBuffers::default());
        drop(buffers.lend(filled(&buffers, 100)));
        filled(&buffers, 1);
        assert_eq!(idle(&buffers), 1, "a short one is none of theirs");
        filled(&buffers, 1000);
        assert_eq!(idle(&buffers), 0);
        drop(buffers.lend(filled(&buffers, 1)));
        assert_eq!(idle(&buffers), 0);
    }
}
