//! A buffer for one part of a body, read and sealed in place.

use std::{fmt, ops::Range};

use crate::{
    BodyHeader, Error,
    geometry::{CHUNK_LEN, HEADER_LEN, SEALED_CHUNK_LEN, TAG_LEN},
};

/// Plaintext laid out with space for the tags, so that it can be sealed in place.
///
/// Fill it with [`PartBuffer::put_slice`], or read directly into [`PartBuffer::spare_mut`] or
/// [`PartBuffer::spare_chunks_mut`] and call [`PartBuffer::advance`]. Then pass it to
/// [`crate::PartSealer::seal`].
pub struct PartBuffer {
    /// Its capacity suffices for the whole part. It grows as it is filled.
    bytes: Vec<u8>,
    header_len: usize,
    chunks: usize,
    filled: usize,
}

impl PartBuffer {
    /// Creates a buffer for `chunks` whole chunks. If `header` is given, the buffer starts with the
    /// body's header: for the first part of a body.
    #[must_use]
    pub fn new(header: Option<&BodyHeader>, chunks: usize) -> Self {
        Self::reusing(Vec::new(), header, chunks)
    }

    /// As [`PartBuffer::new`], in the memory of `bytes` if its capacity suffices: for example, the
    /// memory of a part sealed earlier. Its old content never becomes part of this buffer.
    #[must_use]
    pub fn reusing(mut bytes: Vec<u8>, header: Option<&BodyHeader>, chunks: usize) -> Self {
        let header_len = if header.is_some() { HEADER_LEN } else { 0 };
        let len = Self::stored_len(header, chunks);
        if bytes.capacity() < len {
            bytes = Vec::with_capacity(len);
        }
        bytes.truncate(len);
        let mut buffer = Self { bytes, header_len, chunks, filled: 0 };
        if let Some(header) = header {
            buffer.write(0, &header.to_bytes());
        }
        buffer
    }

    /// Returns the size of such a buffer in bytes.
    #[must_use]
    pub fn stored_len(header: Option<&BodyHeader>, chunks: usize) -> usize {
        let header_len = if header.is_some() { HEADER_LEN } else { 0 };
        // One more tag than the chunks need: the last part may end with an empty chunk.
        header_len + chunks * SEALED_CHUNK_LEN + TAG_LEN
    }

    /// Returns the number of plaintext bytes in the buffer.
    #[must_use]
    pub fn len(&self) -> usize {
        self.filled
    }

    /// `true` if the buffer holds no plaintext.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.filled == 0
    }

    /// Returns the number of plaintext bytes that the buffer can hold.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.chunks * CHUNK_LEN
    }

    /// `true` if no more plaintext fits.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.filled == self.capacity()
    }

    /// Returns the space for the next plaintext bytes: the rest of the current chunk. Empty if the
    /// buffer is full.
    pub fn spare_mut(&mut self) -> &mut [u8] {
        if self.is_full() {
            return &mut [];
        }
        let (start, end) = self.spare();
        self.extend_to(end);
        &mut self.bytes[start..end]
    }

    /// Returns the space for further plaintext bytes, in order: the rest of the current chunk, then
    /// each following one, `max` chunks at most.
    pub fn spare_chunks_mut(&mut self, max: usize) -> impl Iterator<Item = &mut [u8]> {
        let (chunk, within) = (self.filled / CHUNK_LEN, self.filled % CHUNK_LEN);
        let end = self.chunks.min(chunk.saturating_add(max));
        self.extend_to(self.header_len + end * SEALED_CHUNK_LEN);
        let chunks =
            self.bytes[self.header_len..].chunks_mut(SEALED_CHUNK_LEN).take(end).skip(chunk);
        chunks
            .enumerate()
            .map(move |(index, chunk)| &mut chunk[if index == 0 { within } else { 0 }..CHUNK_LEN])
    }

    /// Marks the next `len` bytes as plaintext: the first `len` of [`PartBuffer::spare_mut`] or of
    /// [`PartBuffer::spare_chunks_mut`].
    ///
    /// # Panics
    /// If `len` exceeds the remaining space.
    pub fn advance(&mut self, len: usize) {
        assert!(len <= self.capacity() - self.filled, "advanced past the spare space");
        self.filled += len;
    }

    /// Copies as much of `source` as fits; returns the number of copied bytes.
    pub fn put_slice(&mut self, source: &[u8]) -> usize {
        let mut rest = source;
        while !rest.is_empty() && !self.is_full() {
            let (start, end) = self.spare();
            let (now, later) = rest.split_at(rest.len().min(end - start));
            self.write(start, now);
            self.advance(now.len());
            rest = later;
        }
        source.len() - rest.len()
    }

    /// Returns where the rest of the current chunk starts and ends.
    fn spare(&self) -> (usize, usize) {
        let within = self.filled % CHUNK_LEN;
        let start = self.header_len + self.filled / CHUNK_LEN * SEALED_CHUNK_LEN + within;
        (start, start + CHUNK_LEN - within)
    }

    /// Zeroes the memory up to `end` that is only reserved.
    fn extend_to(&mut self, end: usize) {
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
    }

    /// Copies `source` to the offset `at`.
    fn write(&mut self, at: usize, source: &[u8]) {
        self.extend_to(at);
        let over = source.len().min(self.bytes.len() - at);
        self.bytes[at..at + over].copy_from_slice(&source[..over]);
        self.bytes.extend_from_slice(&source[over..]);
    }

    /// Returns only the plaintext, in the same memory, with spare capacity for a tag: for formats
    /// without chunks.
    #[must_use]
    pub fn into_plaintext(mut self) -> Vec<u8> {
        self.extend_to(self.header_len + self.filled.div_ceil(CHUNK_LEN) * SEALED_CHUNK_LEN);
        for chunk in 0..self.filled.div_ceil(CHUNK_LEN) {
            let from = self.header_len + chunk * SEALED_CHUNK_LEN;
            self.bytes.copy_within(from..from + CHUNK_LEN, chunk * CHUNK_LEN);
        }
        self.bytes.truncate(self.filled);
        self.bytes
    }

    /// Returns the body's header, if the buffer starts with it.
    pub(crate) fn header(&self) -> Option<&[u8]> {
        (self.header_len > 0).then(|| &self.bytes[..self.header_len])
    }

    /// Applies `seal` to each of the chunks `chunks`, which are full, with the space for its tag.
    pub(crate) fn seal_full(
        &mut self,
        chunks: Range<usize>,
        seal: impl FnMut(&mut [u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let at = |chunk| self.header_len + chunk * SEALED_CHUNK_LEN;
        let (start, end) = (at(chunks.start), at(chunks.end));
        self.extend_to(end);
        self.bytes[start..end].chunks_mut(SEALED_CHUNK_LEN).try_for_each(seal)
    }

    /// Returns the stored bytes of a part whose full chunks are sealed.
    pub(crate) fn into_whole_chunks(mut self) -> Vec<u8> {
        self.bytes.truncate(self.header_len + self.filled / CHUNK_LEN * SEALED_CHUNK_LEN);
        self.bytes
    }

    /// Applies `seal` to the short chunk that ends a body, with the space for its tag, and returns
    /// the stored bytes of the last part. Its full chunks are sealed already.
    pub(crate) fn into_last_part(
        mut self,
        seal: impl FnOnce(&mut [u8]) -> Result<(), Error>,
    ) -> Result<Vec<u8>, Error> {
        let start = self.header_len + self.filled / CHUNK_LEN * SEALED_CHUNK_LEN;
        let end = start + self.filled % CHUNK_LEN + TAG_LEN;
        self.extend_to(end);
        self.bytes.truncate(end);
        seal(&mut self.bytes[start..])?;
        Ok(self.bytes)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_reports_its_content() {
        let header = BodyHeader::from_bytes(&[9; HEADER_LEN]);
        let mut buffer = PartBuffer::new(Some(&header), 2);
        assert_eq!(
            (buffer.len(), buffer.is_empty(), buffer.capacity(), buffer.is_full()),
            (0, true, 2 * CHUNK_LEN, false)
        );
        assert_eq!(buffer.put_slice(&[1; CHUNK_LEN + 5]), CHUNK_LEN + 5);
        assert_eq!(
            (buffer.len(), buffer.is_empty(), buffer.is_full()),
            (CHUNK_LEN + 5, false, false)
        );
        assert_eq!(buffer.spare_mut().len(), CHUNK_LEN - 5);
        assert_eq!(
            buffer.spare_chunks_mut(2).map(|chunk| chunk.len()).collect::<Vec<_>>(),
            [CHUNK_LEN - 5]
        );
        assert_eq!(buffer.put_slice(&[2; CHUNK_LEN]), CHUNK_LEN - 5, "as much as fits");
        assert!(buffer.is_full() && buffer.spare_mut().is_empty());
        assert_eq!(buffer.put_slice(&[3]), 0);
        buffer
            .seal_full(0..2, |chunk| {
                chunk[CHUNK_LEN..].fill(7);
                Ok(())
            })
            .expect("sealed");
        let stored = buffer.into_whole_chunks();
        let chunk = |bytes: Vec<u8>| [bytes, vec![7; TAG_LEN]].concat();
        let second = [vec![1; 5], vec![2; CHUNK_LEN - 5]].concat();
        assert!(stored == [vec![9; HEADER_LEN], chunk(vec![1; CHUNK_LEN]), chunk(second)].concat());
    }

    #[test]
    fn the_size_of_a_buffer() {
        let header = BodyHeader::from_bytes(&[9; HEADER_LEN]);
        for (header, chunks, len) in [
            (None, 1, 16_416),
            (Some(&header), 1, 16_472),
            (None, 3, 49_216),
            (Some(&header), 0, 72),
        ] {
            assert_eq!(PartBuffer::stored_len(header, chunks), len);
            assert_eq!(PartBuffer::new(header, chunks).bytes.capacity(), len);
            assert_eq!(PartBuffer::reusing(vec![1; len + 1], header, chunks).bytes.len(), len);
        }
    }

    #[test]
    fn the_extracted_plaintext_equals_the_input() {
        let header = BodyHeader::from_bytes(&[9; HEADER_LEN]);
        let plaintext: Vec<u8> = (0..3 * CHUNK_LEN).map(|at| (at / 100) as u8).collect();
        for header in [None, Some(&header)] {
            for len in
                [0, 1, CHUNK_LEN - 1, CHUNK_LEN, CHUNK_LEN + 1, 2 * CHUNK_LEN + 5, 3 * CHUNK_LEN]
            {
                let mut buffer = PartBuffer::new(header, 3);
                assert_eq!(buffer.put_slice(&plaintext[..len]), len);
                let bytes = buffer.into_plaintext();
                assert!(bytes == plaintext[..len] && bytes.capacity() >= len + TAG_LEN, "{len}");
            }
        }
    }

    #[test]
    fn memory_of_sufficient_capacity_is_reused() {
        let len = PartBuffer::stored_len(None, 1);
        for (capacity, is_used) in [(len - 1, false), (len, true), (len + 1, true)] {
            let mut bytes = Vec::with_capacity(capacity);
            bytes.push(1);
            let before = (bytes.as_ptr(), bytes.capacity());
            let after = PartBuffer::reusing(bytes, None, 1).bytes;
            assert_eq!((after.as_ptr(), after.capacity()) == before, is_used, "{capacity}");
        }
    }

    #[test]
    #[should_panic(expected = "advanced past the spare space")]
    fn a_buffer_cannot_be_filled_beyond_its_capacity() {
        PartBuffer::new(None, 1).advance(CHUNK_LEN + 1);
    }
}
