//! Fetches and opens parts of one version of an object, in any order.

use std::{iter, ops::Range, sync::Arc};

use bytes::{Buf as _, Bytes};
use sealwax_envelope::{
    BodyHeader, Error as EnvelopeError, Opener, SpanOpener,
    geometry::{self, CHUNK_LEN, HEADER_LEN},
    s3ec::RangeOpener,
};
use tokio::task;

use super::fetch::{Arriving, Fetcher, FirstResponse};
use crate::{
    buffer_pool::BufferPool,
    error::{Error, ObjectRef},
    progress::OnProgress,
};

/// Length of a piece in bytes: it stays in the processor's cache until it is used.
pub(super) const PIECE_LEN: usize = 256 << 10;

/// One version of an object, and the range of it to read.
#[derive(Clone)]
pub(crate) struct Download {
    pub(crate) fetcher: Fetcher,
    pub(crate) opening: Opening,
    pub(crate) plaintext_len: u64,
    /// Range of the plaintext to read (end exclusive).
    pub(crate) window: Range<u64>,
    pub(crate) on_progress: Option<OnProgress>,
    /// Buffers of the pieces.
    pub(crate) buffers: Arc<BufferPool>,
}

/// Way in which stored bytes become plaintext.
#[derive(Clone)]
pub(crate) enum Opening {
    /// Sealwax's own chunks.
    Chunks { opener: Opener, body_header: BodyHeader },
    /// Content of the S3 Encryption Client, a range of which cannot be authenticated.
    UnverifiedRange(Arc<RangeOpener>),
    /// The stored bytes are the plaintext.
    Unencrypted,
}

impl Download {
    pub(crate) fn target(&self) -> &ObjectRef {
        &self.fetcher.target
    }

    /// Returns the window, cut into parts at chunk boundaries.
    pub(crate) fn parts(&self) -> impl Iterator<Item = Range<u64>> + Send + use<> {
        parts(self.window.clone(), self.fetcher.store.part_len())
    }

    /// Fetches and opens the range `plain` of the plaintext, a part at most, in verified pieces of
    /// about `piece_len` bytes. `first` is a response that may hold it, or its beginning.
    pub(crate) fn part(
        &self,
        plain: Range<u64>,
        first: Option<FirstResponse>,
        piece_len: usize,
    ) -> Result<PartReader, Error> {
        let way = match &self.opening {
            Opening::Chunks { opener, body_header } => {
                Way::Chunks(Box::new(self.chunks(&plain, first, opener, body_header)?))
            }
            Opening::UnverifiedRange(_) | Opening::Unencrypted => Way::AtOnce { plain, first },
        };
        Ok(PartReader { download: self.clone(), way, piece_len: piece_len.max(CHUNK_LEN) })
    }

    /// Returns the whole window in one piece, if it has one part at most; `None` if it is longer.
    pub(crate) async fn only_part(
        &self,
        first: &mut Option<FirstResponse>,
    ) -> Result<Option<Bytes>, Error> {
        let part_len = self.fetcher.store.part_len();
        if self.parts().nth(1).is_some() {
            return Ok(None);
        }
        let mut part = self.part(self.window.clone(), first.take(), part_len + CHUNK_LEN)?;
        let piece = part.next_piece().await?.unwrap_or_default();
        let rest = part.next_piece().await?;
        debug_assert!(rest.is_none(), "all of the part is in one piece");
        Ok(Some(piece))
    }

    fn chunks(
        &self,
        plain: &Range<u64>,
        first: Option<FirstResponse>,
        opener: &Opener,
        body_header: &BodyHeader,
    ) -> Result<Chunks, Error> {
        let (first_chunk, body, skip) = self.body_span(plain)?;
        // A response that begins with the body's header is read from there, so that the header is
        // compared.
        let from_start = first_chunk == 0 && first.as_ref().is_some_and(|(_, at)| *at == 0);
        let start = if from_start { HEADER_LEN } else { 0 };
        let span = body.start - start as u64..body.end;
        Ok(Chunks {
            opener: SpanOpener::new(opener.clone(), first_chunk, body.end - body.start),
            header: from_start.then(|| (*body_header, Vec::new())),
            arriving: self.fetcher.arriving(span, first),
            arrived: Bytes::new(),
            skip,
            left: plain.end - plain.start,
        })
    }

    async fn unverified_range(
        &self,
        plain: Range<u64>,
        first: Option<FirstResponse>,
        opener: &Arc<RangeOpener>,
    ) -> Result<Bytes, Error> {
        let aligned = plain.start / RangeOpener::BLOCK_LEN * RangeOpener::BLOCK_LEN;
        let mut bytes = self.fetcher.fetch(aligned..plain.end, first).await?;
        let opener = Arc::clone(opener);
        let opened = task::spawn_blocking(move || {
            // The caller of `Get::dangerous_unauthenticated_range` asked for it.
            opener.dangerous_open_unverified(aligned, &mut bytes).map(|()| bytes)
        });
        let opened =
            opened.await.map_err(|error| self.target().io("a part's task failed", error.into()))?;
        let skip = usize::try_from(plain.start - aligned).expect("less than a block");
        Ok(Bytes::from(opened.map_err(|error| self.target().s3ec_error(error))?).slice(skip..))
    }

    /// Returns the first chunk, the range of the body, and the number of plaintext bytes to skip in
    /// that chunk.
    ///
    /// A range that reaches the end of the plaintext includes the body's last chunk, even if that
    /// is empty: only the last chunk tells that the object ends there.
    fn body_span(&self, plain: &Range<u64>) -> Result<(u64, Range<u64>, usize), Error> {
        let too_long = || self.target().envelope_error(EnvelopeError::TooLong);
        let body_len = geometry::body_len(self.plaintext_len).ok_or_else(too_long)?;
        if plain.is_empty() {
            return Ok((0, HEADER_LEN as u64..body_len, 0));
        }
        let mut span =
            geometry::chunk_span(plain.clone(), self.plaintext_len).ok_or_else(too_long)?;
        if plain.end == self.plaintext_len {
            span.body.end = body_len;
        }
        Ok((span.first_chunk, span.body, span.skip))
    }
}

/// A part that is being read.
pub(crate) struct PartReader {
    download: Download,
    way: Way,
    /// Length of a piece in bytes, at most: at least a chunk's.
    piece_len: usize,
}

enum Way {
    Chunks(Box<Chunks>),
    AtOnce { plain: Range<u64>, first: Option<FirstResponse> },
    Done,
}

/// Chunks that are opened as they arrive.
struct Chunks {
    arriving: Arriving,
    /// Bytes that arrived and are not opened.
    arrived: Bytes,
    opener: SpanOpener,
    /// The expected header of the body and its first bytes, until all of it has arrived.
    header: Option<(BodyHeader, Vec<u8>)>,
    /// Number of plaintext bytes before the part, in its first chunk.
    skip: usize,
    /// Number of plaintext bytes of the part that were not returned yet.
    left: u64,
}

impl PartReader {
    /// Returns the next plaintext, verified unless the caller of
    /// [`Get::dangerous_unauthenticated_range`](crate::Get::dangerous_unauthenticated_range) asked
    /// for other; `None` after the last.
    pub(crate) async fn next_piece(&mut self) -> Result<Option<Bytes>, Error> {
        let Self { download, way, piece_len } = self;
        let piece = match way {
            Way::Done => return Ok(None),
            Way::Chunks(chunks) => {
                let piece = chunks.next_piece(download, *piece_len).await?;
                if chunks.opener.is_done() {
                    *way = Way::Done;
                }
                piece
            }
            Way::AtOnce { plain, first } => {
                let (plain, first) = (plain.clone(), first.take());
                *way = Way::Done;
                match &download.opening {
                    _ if plain.is_empty() => Bytes::new(),
                    Opening::UnverifiedRange(opener) => {
                        download.unverified_range(plain, first, opener).await?
                    }
                    _ => download.fetcher.fetch(plain, first).await?.into(),
                }
            }
        };
        if let Some(on_progress) = &download.on_progress {
            on_progress(piece.len() as u64);
        }
        Ok(Some(piece))
    }
}

impl Chunks {
    /// Opens the next chunks. The last piece includes the body's last chunk, even if that is empty.
    async fn next_piece(&mut self, download: &Download, piece_len: usize) -> Result<Bytes, Error> {
        let target = download.target();
        let refused = |error| target.envelope_error(error);
        let rest = usize::try_from(self.opener.plaintext_left()).unwrap_or(usize::MAX);
        let room = rest.min(piece_len);
        let memory = download.buffers.take(room);
        let mut buffer = memory.map_err(|error| target.io("a part cannot be held", error))?;
        let mut filled = 0;
        while !self.opener.is_done() && (filled < room || self.opener.plaintext_left() == 0) {
            if self.arrived.is_empty() {
                let arrived = self.arriving.next().await?;
                self.arrived = arrived.ok_or_else(|| refused(EnvelopeError::Truncated))?;
                self.compare_header().map_err(refused)?;
            }
            // Part of the first chunk may have arrived before.
            let needed = room.min(filled + CHUNK_LEN + self.arrived.len());
            if buffer.len() < needed {
                buffer.resize(needed, 0);
            }
            let opened = self.opener.open(&self.arrived, &mut buffer[filled..]).map_err(refused)?;
            self.arrived.advance(opened.taken);
            filled += opened.written;
            if !self.arrived.is_empty() {
                // The room is too short for the next chunk.
                break;
            }
            // The connection reads into the same memory again, once nothing else holds it.
            self.arrived = Bytes::new();
        }
        let start = self.skip.min(filled);
        self.skip -= start;
        let end = usize::try_from(self.left).map_or(filled, |left| filled.min(start + left));
        self.left -= (end - start) as u64;
        if self.opener.is_done() && self.left > 0 {
            return Err(refused(EnvelopeError::Truncated));
        }
        Ok(download.buffers.lend(buffer).slice(start..end))
    }

    /// Takes the body's header from what arrived, and compares it once it is complete.
    fn compare_header(&mut self) -> Result<(), EnvelopeError> {
        let Some((expected, mut header)) = self.header.take() else { return Ok(()) };
        let missing = HEADER_LEN - header.len();
        header.extend_from_slice(&self.arrived.split_to(missing.min(self.arrived.len())));
        match header.first_chunk() {
            None => self.header = Some((expected, header)),
            Some(header) if BodyHeader::from_bytes(header) == expected => {}
            Some(_) => return Err(EnvelopeError::Authentication),
        }
        Ok(())
    }
}

/// Cuts `window` into parts of `part_len` bytes, a multiple of the chunk length. All but the first
/// begin at chunk boundaries.
///
/// An empty window has one empty part, because the only chunk of an empty object must be verified,
/// too. A window can be of any length, since the store claims it: the parts are never collected.
pub(super) fn parts(
    window: Range<u64>,
    part_len: usize,
) -> impl Iterator<Item = Range<u64>> + Send + use<> {
    let mut next = Some(window.start);
    iter::from_fn(move || {
        let start = next?;
        let aligned = start - start % CHUNK_LEN as u64;
        let end = aligned.saturating_add(part_len as u64).min(window.end);
        next = (end < window.end).then_some(end);
        Some(start..end)
    })
}

#[cfg(test)]
mod tests {
    use std::slice;

    use sealwax_envelope::geometry::MAX_CHUNKS;

    use super::*;

    const CHUNK: u64 = CHUNK_LEN as u64;
    const PART: usize = 4 * CHUNK_LEN;

    #[test]
    #[expect(clippy::single_range_in_vec_init, reason = "some windows have one part")]
    fn a_window_is_cut_at_chunk_boundaries() {
        let cut = |window| parts(window, PART).collect::<Vec<_>>();
        let (four, eight) = (4 * CHUNK, 8 * CHUNK);
        assert_eq!(cut(0..four), slice::from_ref(&(0..four)));
        assert_eq!(cut(0..eight + 1), [0..four, four..eight, eight..eight + 1]);
        assert_eq!(cut(5..6), [5..6]);
        let within = CHUNK + 1;
        assert_eq!(
            cut(within..eight),
            [within..5 * CHUNK, 5 * CHUNK..eight],
            "the first part ends at a chunk boundary"
        );
    }

    #[test]
    fn an_empty_window_has_one_empty_part() {
        for start in [0, 7, CHUNK, u64::MAX] {
            assert_eq!(
                parts(start..start, PART).collect::<Vec<_>>(),
                slice::from_ref(&(start..start))
            );
        }
    }

    /// The number of parts of such a length does not fit into memory; the first ones cost nothing.
    #[test]
    fn lengths_that_a_store_claims_are_cut_one_part_at_a_time() {
        const LARGE: usize = 8 << 20;
        for len in [CHUNK << 36, CHUNK * MAX_CHUNKS - 1, u64::MAX] {
            let mut all = parts(0..len, LARGE);
            let first: Vec<_> = all.by_ref().take(3).collect();
            assert_eq!(first, [0..8 << 20, 8 << 20..16 << 20, 16 << 20..24 << 20], "{len}");
        }
        let last = u64::MAX - 5..u64::MAX;
        assert_eq!(parts(last.clone(), LARGE).collect::<Vec<_>>(), [last]);
        let span = u64::MAX - (16 << 20)..u64::MAX;
        let ends: Vec<_> = parts(span.clone(), LARGE).collect();
        assert_eq!((ends.first().map(|part| part.start), ends.len()), (Some(span.start), 3));
        assert!(ends.windows(2).all(|pair| pair[0].end == pair[1].start));
        assert_eq!(ends.last().map(|part| part.end), Some(u64::MAX));
    }
}
