//! Encryption of a body, part by part.

use std::{fmt, ops::Range, sync::Arc};

use crate::{
    Error, PartBuffer, PlaintextDataKey,
    geometry::{CHUNK_LEN, MAX_CHUNKS, TAG_LEN},
    key_schedule::{BodyHeader, BodyKey, BodySalt},
};

/// Seals one body. It issues each range of chunks once, so no nonce is used twice. The parts can
/// then be sealed in any order, on any thread.
///
/// ```
/// use sealwax_envelope::{BodySalt, PartBuffer, PlaintextDataKey, Sealer};
///
/// let data_key = PlaintextDataKey::generate()?;
/// let sealer = Sealer::new(&data_key, b"context", BodySalt::generate()?);
/// let mut buffer = PartBuffer::new(Some(sealer.header()), 1);
/// buffer.put_slice(b"plaintext");
/// let body = sealer.last_part().seal(buffer)?;
/// assert_eq!(body.len(), 56 + 9 + 16);
/// # Ok::<(), sealwax_envelope::Error>(())
/// ```
pub struct Sealer {
    key: Arc<BodyKey>,
    header: BodyHeader,
    next_chunk: u64,
}

impl Sealer {
    /// Starts a body under `data_key`.
    #[must_use]
    pub fn new(data_key: &PlaintextDataKey, context: &[u8], salt: BodySalt) -> Self {
        let (key, header) = BodyKey::for_sealing(data_key, context, salt);
        Self { key: Arc::new(key), header, next_chunk: 0 }
    }

    /// Restarts a body whose sealing was interrupted, with its old header and therefore the same
    /// nonces.
    ///
    /// # Danger
    /// A part that has already left the process must get exactly the same plaintext again. If
    /// another plaintext is sealed under the same nonce and leaves the process, that reveals both
    /// plaintexts and the key that authenticates them. Compare the tags of the new part with those
    /// of the old one before the new part leaves the process.
    ///
    /// # Errors
    /// [`Error::Authentication`] if `data_key` and `context` do not match the header.
    pub fn dangerous_resume(
        data_key: &PlaintextDataKey,
        context: &[u8],
        header: &BodyHeader,
    ) -> Result<Self, Error> {
        let key = BodyKey::for_opening(data_key, context, header)?;
        Ok(Self { key: Arc::new(key), header: *header, next_chunk: 0 })
    }

    /// Returns the first bytes of the body, which the object's metadata repeats.
    #[must_use]
    pub fn header(&self) -> &BodyHeader {
        &self.header
    }

    /// Reserves the next `chunks` whole chunks, which do not end the body.
    ///
    /// # Errors
    /// [`Error::TooLong`] beyond the format's 2^38 chunks.
    pub fn next_part(&mut self, chunks: usize) -> Result<PartSealer, Error> {
        let end = u64::try_from(chunks).ok().and_then(|chunks| self.next_chunk.checked_add(chunks));
        // One chunk must remain for the end of the body.
        let end = end.filter(|end| *end < MAX_CHUNKS).ok_or(Error::TooLong)?;
        let chunks = self.next_chunk..end;
        self.next_chunk = end;
        Ok(PartSealer { key: Arc::clone(&self.key), chunks, last: false })
    }

    /// Reserves the rest of the body.
    pub fn last_part(self) -> PartSealer {
        PartSealer { key: self.key, chunks: self.next_chunk..MAX_CHUNKS, last: true }
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealer").field("next_chunk", &self.next_chunk).finish_non_exhaustive()
    }
}

/// The right to seal one part of a body, once.
#[must_use = "a body with an unsealed part cannot be opened"]
pub struct PartSealer {
    key: Arc<BodyKey>,
    chunks: Range<u64>,
    last: bool,
}

impl PartSealer {
    /// Seals the plaintext in `buffer` in place and returns the stored bytes of the part.
    ///
    /// # Errors
    /// [`Error::ApiMisuse`] if a part other than the last is not full or has a different number of
    /// chunks than reserved; [`Error::TooLong`] beyond the format's 2^38 chunks.
    pub fn seal(self, buffer: PartBuffer) -> Result<Vec<u8>, Error> {
        self.sealing(buffer, |_| {}).finish()
    }

    /// Seals plaintext while it comes into `buffer`, and therefore while it is in the processor's
    /// cache. `on_sealed` gets the stored bytes piece by piece, in order, as soon as each is sealed:
    /// to compute a checksum, for example.
    pub fn sealing<F: FnMut(&[u8])>(self, buffer: PartBuffer, mut on_sealed: F) -> SealingPart<F> {
        if let Some(header) = buffer.header() {
            on_sealed(header);
        }
        let mut part = SealingPart { sealer: self, buffer, sealed: 0, on_sealed, failed: None };
        part.advance(0);
        part
    }

    /// Seals one chunk, which ends with the space for its tag, under the next number.
    fn seal_chunk(&mut self, chunk: &mut [u8]) -> Result<(), Error> {
        let number = self.chunks.next();
        let number = number
            .ok_or_else(|| if self.last { Error::TooLong } else { Self::not_as_reserved() })?;
        let (cipher, nonce) = self.key.chunk(number)?;
        let (data, tag) = chunk.split_at_mut(chunk.len() - TAG_LEN);
        tag.copy_from_slice(&cipher.seal(nonce, &[], data));
        Ok(())
    }

    fn not_as_reserved() -> Error {
        Error::ApiMisuse("each part except the last must fill exactly the chunks that it reserved")
    }
}

impl fmt::Debug for PartSealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PartSealer")
            .field("chunks", &self.chunks)
            .field("last", &self.last)
            .finish_non_exhaustive()
    }
}

/// A part that is being filled, whose full chunks are sealed.
#[must_use = "a body with an unsealed part cannot be opened"]
pub struct SealingPart<F> {
    sealer: PartSealer,
    buffer: PartBuffer,
    /// Number of chunks that are sealed.
    sealed: usize,
    on_sealed: F,
    failed: Option<Error>,
}

impl<F: FnMut(&[u8])> SealingPart<F> {
    /// Returns the space for further plaintext bytes, as [`PartBuffer::spare_chunks_mut`] does.
    pub fn spare_chunks_mut(&mut self, max: usize) -> impl Iterator<Item = &mut [u8]> {
        self.buffer.spare_chunks_mut(max)
    }

    /// Marks the next `len` bytes as plaintext, as [`PartBuffer::advance`] does, and seals the chunks
    /// that are full.
    ///
    /// # Panics
    /// If `len` exceeds the remaining space.
    pub fn advance(&mut self, len: usize) {
        self.buffer.advance(len);
        let full = self.sealed..self.buffer.len() / CHUNK_LEN;
        self.sealed = full.end;
        let sealed = self.buffer.seal_full(full, |chunk| {
            self.sealer.seal_chunk(chunk)?;
            (self.on_sealed)(chunk);
            Ok(())
        });
        // A number is missing, so the part cannot be finished.
        self.failed = self.failed.take().or(sealed.err());
    }

    /// Copies as much of `source` as fits; returns the number of copied bytes.
    pub fn put_slice(&mut self, source: &[u8]) -> usize {
        let copy = |piece| {
            let copied = self.buffer.put_slice(piece);
            self.advance(0);
            copied
        };
        source.chunks(CHUNK_LEN).map(copy).sum()
    }

    /// Returns the number of plaintext bytes in the part.
    #[must_use]
    pub fn len(&self) -> usize {
        self.buffer.len()
    }

    /// `true` if the part has no plaintext.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// Returns the stored bytes of the part.
    ///
    /// # Errors
    /// As [`PartSealer::seal`].
    pub fn finish(self) -> Result<Vec<u8>, Error> {
        let Self { mut sealer, buffer, mut on_sealed, failed, .. } = self;
        if let Some(error) = failed {
            return Err(error);
        }
        if sealer.last {
            return buffer.into_last_part(|chunk| {
                sealer.seal_chunk(chunk)?;
                on_sealed(chunk);
                Ok(())
            });
        }
        if !buffer.is_full() || !sealer.chunks.is_empty() {
            return Err(PartSealer::not_as_reserved());
        }
        Ok(buffer.into_whole_chunks())
    }
}

impl<F> fmt::Debug for SealingPart<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealingPart").field("len", &self.buffer.len()).finish_non_exhaustive()
    }
}
