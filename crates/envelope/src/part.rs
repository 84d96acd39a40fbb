//! The buffer that one part of a body is read into and sealed in.

use std::fmt;

use crate::{
    BodyHeader,
    geometry::{CHUNK_LEN, HEADER_LEN, SEALED_CHUNK_LEN, TAG_LEN},
};

/// Plaintext laid out with room for the tags, so that it is sealed where it was read.
///
/// Fill it with [`PartBuffer::put_slice`], or read straight into [`PartBuffer::spare_mut`] and call
/// [`PartBuffer::advance`]; then give it to [`crate::PartSealer::seal`].
pub struct PartBuffer {
    bytes: Vec<u8>,
    header_len: usize,
    chunks: usize,
    filled: usize,
}

impl PartBuffer {
    /// A buffer for `chunks` whole chunks, behind the body's header if `header` is given: the first part of a body.
    #[must_use]
    pub fn new(header: Option<&BodyHeader>, chunks: usize) -> Self {
        let header_len = if header.is_some() { HEADER_LEN } else { 0 };
        // One tag more than the chunks need: a last part may end with an empty chunk.
        let mut bytes = vec![0; header_len + chunks * SEALED_CHUNK_LEN + TAG_LEN];
        if let Some(header) = header {
            bytes[..HEADER_LEN].copy_from_slice(&header.to_bytes());
        }
        Self { bytes, header_len, chunks, filled: 0 }
    }

    /// Plaintext bytes that it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.filled
    }

    /// Whether it holds no plaintext.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.filled == 0
    }

    /// Plaintext bytes that it can hold.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.chunks * CHUNK_LEN
    }

    /// Whether no more plaintext fits.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.filled == self.capacity()
    }

    /// Where the next plaintext bytes go: the rest of the current chunk. Empty where the buffer is full.
    pub fn spare_mut(&mut self) -> &mut [u8] {
        if self.is_full() {
            return &mut [];
        }
        let within = self.filled % CHUNK_LEN;
        let start = self.header_len + self.filled / CHUNK_LEN * SEALED_CHUNK_LEN + within;
        &mut self.bytes[start..start + CHUNK_LEN - within]
    }

    /// Says that the first `len` bytes of [`PartBuffer::spare_mut`] are plaintext now.
    ///
    /// # Panics
    /// Where `len` exceeds the length of [`PartBuffer::spare_mut`].
    pub fn advance(&mut self, len: usize) {
        assert!(len <= self.spare_mut().len(), "advanced past the spare room");
        self.filled += len;
    }

    /// Copies as much of `source` as fits; returns how many bytes that were.
    pub fn put_slice(&mut self, source: &[u8]) -> usize {
        let mut rest = source;
        while !rest.is_empty() && !self.is_full() {
            let spare = self.spare_mut();
            let len = spare.len().min(rest.len());
            spare[..len].copy_from_slice(&rest[..len]);
            self.advance(len);
            rest = &rest[len..];
        }
        source.len() - rest.len()
    }

    /// The chunks as they will be stored, each with the room for its tag: `chunks` whole ones, or, for the last part,
    /// as many as the plaintext fills and the short one that ends the body.
    pub(crate) fn into_sealed(mut self, last: bool, mut seal: impl FnMut(&mut [u8])) -> Vec<u8> {
        let chunks_len =
            if last { self.filled + (self.filled / CHUNK_LEN + 1) * TAG_LEN } else { self.chunks * SEALED_CHUNK_LEN };
        self.bytes.truncate(self.header_len + chunks_len);
        self.bytes[self.header_len..].chunks_mut(SEALED_CHUNK_LEN).for_each(&mut seal);
        self.bytes
    }
}

impl fmt::Debug for PartBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PartBuffer")
            .field("len", &self.len())
            .field("capacity", &self.capacity())
            .finish_non_exhaustive()
    }
}
