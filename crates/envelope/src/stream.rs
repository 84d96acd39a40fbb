//! Decryption of a whole body as it arrives.

use std::{collections::VecDeque, fmt, ops::Range};

use bytes::{Bytes, BytesMut};

use crate::{
    Error, Opener, PlaintextDataKey,
    geometry::{HEADER_LEN, SEALED_CHUNK_LEN, TAG_LEN},
    key_schedule::BodyHeader,
};

/// Opens a body from its first byte to its last, in pieces of any size.
///
/// Alternate between [`StreamOpener::feed`] and taking all available chunks with
/// [`StreamOpener::next_chunk`]. At the end call [`StreamOpener::finish`]: only that proves that
/// the body is complete.
pub struct StreamOpener {
    opener: Opener,
    header: BodyHeader,
    header_seen: bool,
    pending: BytesMut,
    next_chunk: u64,
    opened: VecDeque<Bytes>,
}

impl StreamOpener {
    /// Verifies the commitment in `header`, taken from the object's metadata, as [`Opener::new`]
    /// does.
    ///
    /// # Errors
    /// [`Error::Authentication`].
    pub fn new(
        data_key: &PlaintextDataKey,
        context: &[u8],
        header: BodyHeader,
    ) -> Result<Self, Error> {
        let opener = Opener::new(data_key, context, &header)?;
        Ok(Self {
            opener,
            header,
            header_seen: false,
            pending: BytesMut::new(),
            next_chunk: 0,
            opened: VecDeque::new(),
        })
    }

    /// Takes the next bytes of the body and opens each chunk that they complete.
    ///
    /// # Errors
    /// [`Error::Authentication`] if a chunk fails, or if the body starts with a header other than
    /// the one in the metadata. No plaintext of these bytes is released.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.pending.extend_from_slice(bytes);
        if !self.header_seen {
            let Some(header) = self.pending.first_chunk::<HEADER_LEN>() else { return Ok(()) };
            if BodyHeader::from_bytes(header) != self.header {
                self.pending.clear();
                return Err(Error::Authentication);
            }
            let _ = self.pending.split_to(HEADER_LEN);
            self.header_seen = true;
        }
        self.open_pending(self.pending.len() / SEALED_CHUNK_LEN * SEALED_CHUNK_LEN)
    }

    /// Returns the next verified plaintext: one chunk of 1 to 16,384 bytes. `None` means: feed more
    /// bytes, or finish.
    pub fn next_chunk(&mut self) -> Option<Bytes> {
        self.opened.pop_front()
    }

    /// Ends the body. Returns the chunks that [`StreamOpener::next_chunk`] has not returned yet,
    /// then the plaintext of the last chunk, if it is not empty.
    ///
    /// # Errors
    /// [`Error::Truncated`] if the body's last chunk is missing, [`Error::Authentication`] if it
    /// fails.
    pub fn finish(mut self) -> Result<impl Iterator<Item = Bytes>, Error> {
        if !self.header_seen || self.pending.len() < TAG_LEN {
            return Err(Error::Truncated);
        }
        self.open_pending(self.pending.len())?;
        Ok(self.opened.into_iter())
    }

    /// Opens the first `len` pending bytes, which end at the end of a chunk.
    fn open_pending(&mut self, len: usize) -> Result<(), Error> {
        if len == 0 {
            return Ok(());
        }
        let mut sealed = self.pending.split_to(len);
        self.opener.open_chunks(self.next_chunk, &mut sealed)?;
        let opened = sealed.freeze();
        for start in (0..len).step_by(SEALED_CHUNK_LEN) {
            let data: Range<usize> = start..(start + SEALED_CHUNK_LEN).min(len) - TAG_LEN;
            if !data.is_empty() {
                self.opened.push_back(opened.slice(data));
            }
            self.next_chunk += 1;
        }
        Ok(())
    }
}

impl fmt::Debug for StreamOpener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamOpener").field("next_chunk", &self.next_chunk).finish_non_exhaustive()
    }
}
