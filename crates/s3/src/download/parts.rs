//! Fetches and opens parts of one version of an object, in any order.

use std::{iter, ops::Range, sync::Arc};

use bytes::Bytes;
use sealwax_envelope::{
    BodyHeader, Error as EnvelopeError, Opener,
    geometry::{self, CHUNK_LEN, HEADER_LEN},
    s3ec::RangeOpener,
};
use tokio::task;

use super::fetch::{Fetcher, FirstResponse};
use crate::{
    error::{Error, ObjectRef},
    progress::OnProgress,
};

/// One version of an object, and the range of it to read.
#[derive(Clone)]
pub(crate) struct Download {
    pub(crate) fetcher: Fetcher,
    pub(crate) opening: Opening,
    pub(crate) plaintext_len: u64,
    /// Range of the plaintext to read (end exclusive).
    pub(crate) window: Range<u64>,
    pub(crate) on_progress: Option<OnProgress>,
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

    /// Fetches and opens the range `plain` of the plaintext. `first` is a response that may hold
    /// it, or its beginning.
    pub(crate) async fn part(
        &self,
        plain: Range<u64>,
        first: Option<FirstResponse>,
    ) -> Result<Bytes, Error> {
        let len = plain.end - plain.start;
        let opened = match &self.opening {
            Opening::Chunks { opener, body_header } => {
                self.chunks(plain, first, opener, body_header).await?
            }
            _ if plain.is_empty() => Bytes::new(),
            Opening::UnverifiedRange(opener) => self.unverified_range(plain, first, opener).await?,
            Opening::Unencrypted => self.fetcher.fetch(plain, first).await?.into(),
        };
        if let Some(on_progress) = &self.on_progress {
            on_progress(len);
        }
        Ok(opened)
    }

    async fn chunks(
        &self,
        plain: Range<u64>,
        first: Option<FirstResponse>,
        opener: &Opener,
        body_header: &BodyHeader,
    ) -> Result<Bytes, Error> {
        let (first_chunk, body, skip) = self.body_span(&plain)?;
        // A response that begins with the body's header is read from there, so that the header is
        // compared.
        let from_start = first_chunk == 0 && first.as_ref().is_some_and(|(_, at)| *at == 0);
        let start = if from_start { HEADER_LEN } else { 0 };
        let span = body.start - start as u64..body.end;
        let sealed = self.fetcher.fetch(span, first).await?;
        if from_start && sealed.first_chunk().map(BodyHeader::from_bytes) != Some(*body_header) {
            return Err(self.target().envelope_error(EnvelopeError::Authentication));
        }
        let opener = opener.clone();
        let opened =
            task::spawn_blocking(move || opener.open_packed(first_chunk, sealed, start)).await;
        let opened =
            opened.map_err(|error| self.target().io("a part's task failed", error.into()))?;
        let opened = Bytes::from(opened.map_err(|error| self.target().envelope_error(error))?);
        let len = usize::try_from(plain.end - plain.start).ok();
        let end = len.and_then(|len| skip.checked_add(len)).filter(|end| *end <= opened.len());
        let end = end.ok_or_else(|| self.target().envelope_error(EnvelopeError::Truncated))?;
        Ok(opened.slice(skip..end))
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
