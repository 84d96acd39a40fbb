//! Decryption of a range of a body as it arrives.

use std::fmt;

use crate::{
    Error, Opener,
    geometry::{SEALED_CHUNK_LEN, TAG_LEN},
};

/// Opens consecutive chunks of a body from pieces of any length, each once its last byte arrived.
///
/// Chunks are opened from the pieces directly into the caller's memory; only a chunk that is spread
/// over several pieces is gathered first. At most one chunk is held.
///
/// ```
/// use sealwax_envelope::{
///     BodySalt, Opener, PartBuffer, PlaintextDataKey, Sealer, SpanOpener, geometry::HEADER_LEN,
/// };
///
/// let data_key = PlaintextDataKey::generate()?;
/// let sealer = Sealer::new(&data_key, b"context", BodySalt::generate()?);
/// let header = *sealer.header();
/// let mut buffer = PartBuffer::new(Some(&header), 1);
/// buffer.put_slice(b"plaintext");
/// let body = sealer.last_part().seal(buffer)?;
///
/// let sealed = &body[HEADER_LEN..];
/// let opener = Opener::new(&data_key, b"context", &header)?;
/// let mut span = SpanOpener::new(opener, 0, sealed.len() as u64);
/// let (start, rest) = sealed.split_at(10);
/// let mut room = [0; 16_384];
/// assert_eq!(span.open(start, &mut room)?.written, 0);
/// let opened = span.open(rest, &mut room)?;
/// assert!(span.is_done());
/// assert_eq!(&room[..opened.written], b"plaintext");
/// # Ok::<(), sealwax_envelope::Error>(())
/// ```
pub struct SpanOpener {
    opener: Opener,
    next_chunk: u64,
    /// Number of stored bytes that are not opened yet, those in `gathered` included.
    left: u64,
    /// Beginning of the next chunk, whose rest has not arrived.
    gathered: Vec<u8>,
}

/// Result of [`SpanOpener::open`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenedSpan {
    /// Number of bytes of the piece that were used, from its start.
    pub taken: usize,
    /// Number of plaintext bytes that were written, from the start of the room.
    pub written: usize,
}

impl SpanOpener {
    /// Starts at the chunk with the number `first_chunk`, for `len` stored bytes from the start of
    /// that chunk. They end where a chunk ends, or where the body ends.
    #[must_use]
    pub fn new(opener: Opener, first_chunk: u64, len: u64) -> Self {
        Self { opener, next_chunk: first_chunk, left: len, gathered: Vec::new() }
    }

    /// Opens the chunks that `piece`, the next stored bytes, completes, into `room`.
    ///
    /// All of the piece is taken, unless `room` is too short for the next chunk's plaintext of up to
    /// 16,384 bytes, or the span ends before. Pass the rest again, with more room.
    ///
    /// # Errors
    /// [`Error::Authentication`] if a chunk fails, [`Error::Truncated`] if the last one is too short
    /// for a chunk, [`Error::TooLong`] beyond the format's 2^38 chunks. `room` then holds zeros in
    /// place of that chunk, and the span cannot be continued.
    pub fn open(&mut self, piece: &[u8], room: &mut [u8]) -> Result<OpenedSpan, Error> {
        let mut done = OpenedSpan { taken: 0, written: 0 };
        loop {
            let chunk_len = self.next_len();
            if chunk_len == 0 {
                return Ok(done);
            }
            let data_len = chunk_len.checked_sub(TAG_LEN).ok_or(Error::Truncated)?;
            let rest = &piece[done.taken..];
            let missing = chunk_len - self.gathered.len();
            if rest.len() < missing {
                self.gathered.extend_from_slice(rest);
                done.taken = piece.len();
                return Ok(done);
            }
            let Some(plaintext) = room.get_mut(done.written..done.written + data_len) else {
                return Ok(done);
            };
            if self.gathered.is_empty() {
                self.opener.open_chunk(self.next_chunk, &rest[..chunk_len], plaintext)?;
            } else {
                self.gathered.extend_from_slice(&rest[..missing]);
                self.opener.open_chunk(self.next_chunk, &self.gathered, plaintext)?;
                self.gathered.clear();
            }
            self.next_chunk += 1;
            self.left -= chunk_len as u64;
            done.taken += missing;
            done.written += data_len;
        }
    }

    /// `true` once all chunks of the span are opened.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.left == 0
    }

    /// Returns the number of plaintext bytes that are not opened yet.
    #[must_use]
    pub fn plaintext_left(&self) -> u64 {
        self.left.saturating_sub(self.left.div_ceil(SEALED_CHUNK_LEN as u64) * TAG_LEN as u64)
    }

    /// Returns the stored length of the next chunk; 0 after the last one.
    fn next_len(&self) -> usize {
        usize::try_from(self.left).map_or(SEALED_CHUNK_LEN, |left| left.min(SEALED_CHUNK_LEN))
    }
}

impl fmt::Debug for SpanOpener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpanOpener")
            .field("next_chunk", &self.next_chunk)
            .field("left", &self.left)
            .finish_non_exhaustive()
    }
}
