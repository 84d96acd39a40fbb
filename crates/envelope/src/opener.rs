//! Decryption of any range of a body's chunks.

use std::{fmt, sync::Arc};

use crate::{
    Error, PlaintextDataKey,
    geometry::{SEALED_CHUNK_LEN, TAG_LEN},
    key_schedule::{BodyHeader, BodyKey},
};

/// Opens chunks of one body, in any order, from any thread. It exists only after the commitment was
/// verified.
#[derive(Clone)]
pub struct Opener {
    key: Arc<BodyKey>,
}

impl Opener {
    /// Verifies that the body was sealed with `data_key` and `context`.
    ///
    /// # Errors
    /// [`Error::Authentication`] if they do not match the body's commitment.
    pub fn new(
        data_key: &PlaintextDataKey,
        context: &[u8],
        header: &BodyHeader,
    ) -> Result<Self, Error> {
        Ok(Self { key: Arc::new(BodyKey::for_opening(data_key, context, header)?) })
    }

    /// Opens the stored chunks in `body` in place. The first chunk has the number `first_chunk`.
    ///
    /// `body` must begin at the start of a chunk and end at the end of one. Only the last chunk of
    /// an object is shorter than [`SEALED_CHUNK_LEN`].
    ///
    /// # Errors
    /// [`Error::Authentication`] if any chunk fails, [`Error::Truncated`] if the last one is too
    /// short for a chunk, [`Error::TooLong`] beyond the format's 2^38 chunks. `body` is then filled
    /// with zeros.
    pub fn open_chunks<'a>(
        &self,
        first_chunk: u64,
        body: &'a mut [u8],
    ) -> Result<OpenedChunks<'a>, Error> {
        let opened =
            body.chunks_mut(SEALED_CHUNK_LEN).enumerate().try_for_each(|(index, chunk)| {
                let (cipher, nonce) = self.key.chunk(first_chunk.saturating_add(index as u64))?;
                let (data, tag) =
                    chunk.split_last_chunk_mut::<TAG_LEN>().ok_or(Error::Truncated)?;
                Ok(cipher.open(nonce, &[], data, tag)?)
            });
        if let Err(error) = opened {
            body.fill(0);
            return Err(error);
        }
        Ok(OpenedChunks { body })
    }

    /// Opens the stored chunk `sealed`, which has the number `chunk`, into `plaintext`: 16 bytes
    /// shorter, and elsewhere in memory.
    ///
    /// # Errors
    /// As [`Opener::open_chunks`], and [`Error::ApiMisuse`] if `plaintext` has another length.
    /// `plaintext` is then filled with zeros.
    pub fn open_chunk(&self, chunk: u64, sealed: &[u8], plaintext: &mut [u8]) -> Result<(), Error> {
        let opened = self.key.chunk(chunk).and_then(|(cipher, nonce)| {
            let (data, tag) = sealed.split_last_chunk::<TAG_LEN>().ok_or(Error::Truncated)?;
            if data.len() != plaintext.len() {
                return Err(Error::ApiMisuse("a chunk's plaintext is 16 bytes shorter"));
            }
            Ok(cipher.open_into(nonce, &[], data, tag, plaintext)?)
        });
        opened.inspect_err(|_| plaintext.fill(0))
    }
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opener").finish_non_exhaustive()
    }
}

/// Verified plaintext, at the positions of its stored chunks.
#[derive(Clone, Copy)]
pub struct OpenedChunks<'a> {
    body: &'a [u8],
}

impl<'a> OpenedChunks<'a> {
    /// Returns the plaintext of each chunk, in order.
    pub fn chunks(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.body.chunks(SEALED_CHUNK_LEN).map(|chunk| &chunk[..chunk.len() - TAG_LEN])
    }

    /// `true` if the last of these chunks ends the body.
    #[must_use]
    pub fn is_end(&self) -> bool {
        !self.body.len().is_multiple_of(SEALED_CHUNK_LEN)
    }
}

impl fmt::Debug for OpenedChunks<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenedChunks").field("is_end", &self.is_end()).finish_non_exhaustive()
    }
}
