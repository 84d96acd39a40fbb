//! Reuse of part buffers.

use std::{io, sync::Arc};

use bytes::Bytes;
use sealwax_envelope::{BodyHeader, PartBuffer};

use crate::{buffer_pool::BufferPool, memory::with_memory};

/// Minimum length in bytes of buffers that are kept: shorter ones are cheap.
const MIN_LEN: usize = 1 << 20;

/// Idle buffers of a client's uploads. They are freed when the last of these uploads ends.
#[derive(Debug, Default)]
pub(crate) struct PartBuffers(Arc<BufferPool>);

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
        // The header makes the first part a little longer than the others.
        let idle = if len >= MIN_LEN { self.0.take_idle(len) } else { None };
        // A failed allocation would end the process.
        let bytes = idle.map_or_else(|| with_memory(len), Ok)?;
        Ok(PartBuffer::reusing(bytes, header, chunks))
    }

    /// Returns a sealed part to send. Its buffer comes back when the last clone is dropped.
    pub(crate) fn lend(&self, bytes: Vec<u8>) -> Bytes {
        if bytes.capacity() < MIN_LEN {
            return bytes.into();
        }
        self.0.lend(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn long_buffers_come_back_and_short_ones_are_not_kept() {
        let buffers = PartBuffers::default();
        drop(buffers.lend(filled(&buffers, 100)));
        assert_eq!(buffers.0.len(), 1);
        filled(&buffers, 1);
        assert_eq!(buffers.0.len(), 1, "a short buffer does not come from the idle ones");
        drop(buffers.lend(filled(&buffers, 1)));
        assert_eq!(buffers.0.len(), 1);
        filled(&buffers, 1000);
        assert_eq!(buffers.0.len(), 0, "those of another length are freed");
    }
}
