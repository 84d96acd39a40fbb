//! Positions of plaintext bytes in a sealed body: exact arithmetic without overflow.
//!
//! A body is a header of 56 bytes followed by chunks, each of 16 KiB plaintext and a 16-byte tag.
//! The last chunk is shorter than 16 KiB and may be empty. (C2SP chunked-encryption, "Message
//! chunking" and "Implementation notes".)

use std::ops::Range;

use crate::crypto;

/// Plaintext bytes in each chunk except the last.
pub const CHUNK_LEN: usize = 16 * 1024;
/// Bytes that sealing adds to each chunk.
pub const TAG_LEN: usize = crypto::TAG_LEN;
/// Stored bytes of each chunk except the last.
pub const SEALED_CHUNK_LEN: usize = CHUNK_LEN + TAG_LEN;
/// Stored bytes before the first chunk: salt and commitment.
pub const HEADER_LEN: usize = 56;
/// Maximum number of chunks in one body: 2^38, or 4 PiB.
pub const MAX_CHUNKS: u64 = 1 << 38;

const CHUNK: u64 = CHUNK_LEN as u64;
const SEALED_CHUNK: u64 = SEALED_CHUNK_LEN as u64;
const HEADER: u64 = HEADER_LEN as u64;
const TAG: u64 = TAG_LEN as u64;

/// Returns the number of chunks for a plaintext of `plaintext_len` bytes, at least one. `None`
/// above the format's limit.
#[must_use]
pub fn chunk_count(plaintext_len: u64) -> Option<u64> {
    let chunks = plaintext_len / CHUNK + 1;
    (chunks <= MAX_CHUNKS).then_some(chunks)
}

/// Returns the length of the sealed body for a plaintext of `plaintext_len` bytes. `None` above the
/// format's limit.
#[must_use]
pub fn body_len(plaintext_len: u64) -> Option<u64> {
    let chunks = chunk_count(plaintext_len)?;
    Some(HEADER + plaintext_len + chunks * TAG)
}

/// Returns the length of the plaintext in a body of `body_len` bytes. `None` if no body has that
/// length, so that it must be truncated.
#[must_use]
pub fn plaintext_len(body_len: u64) -> Option<u64> {
    let chunks_len = body_len.checked_sub(HEADER)?;
    let whole = chunks_len / SEALED_CHUNK;
    let last = (chunks_len % SEALED_CHUNK).checked_sub(TAG)?;
    (whole < MAX_CHUNKS).then_some(whole * CHUNK + last)
}

/// The chunks that hold a range of the plaintext, and their position in the body.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct ChunkSpan {
    /// Number of the first chunk.
    pub first_chunk: u64,
    /// Bytes of the body to fetch, end exclusive.
    pub body: Range<u64>,
    /// Plaintext bytes to skip at the start of the first chunk.
    pub skip: usize,
}

/// Returns the chunks that hold the bytes `range` (end exclusive) of a plaintext of `plaintext_len`
/// bytes.
///
/// `None` if the range is empty, reversed or ends beyond the plaintext, or if the plaintext exceeds
/// the format's limit.
#[must_use]
pub fn chunk_span(range: Range<u64>, plaintext_len: u64) -> Option<ChunkSpan> {
    if range.start >= range.end || range.end > plaintext_len {
        return None;
    }
    let body_len = body_len(plaintext_len)?;
    let first_chunk = range.start / CHUNK;
    let last_chunk = (range.end - 1) / CHUNK;
    let start = HEADER + first_chunk * SEALED_CHUNK;
    let end = (HEADER + (last_chunk + 1) * SEALED_CHUNK).min(body_len);
    let skip = usize::try_from(range.start % CHUNK).expect("below 16 KiB");
    Some(ChunkSpan { first_chunk, body: start..end, skip })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_example_lengths_of_the_specification() {
        for (plaintext, chunks, body) in [
            (0, 1, 56 + 16),
            (1024, 1, 56 + 1024 + 16),
            (16 * 1024, 2, 56 + 16 * 1024 + 32),
            (20 * 1024, 2, 56 + 20 * 1024 + 32),
        ] {
            assert_eq!(chunk_count(plaintext), Some(chunks));
            assert_eq!(body_len(plaintext), Some(body));
            assert_eq!(plaintext_len(body), Some(plaintext));
        }
    }

    #[test]
    fn impossible_body_lengths_are_rejected() {
        for body in (0..72).chain(56 + 16400..56 + 16400 + 16).chain([56 + 2 * 16400, u64::MAX]) {
            assert_eq!(plaintext_len(body), None, "{body}");
        }
        let limit = MAX_CHUNKS * CHUNK;
        assert_eq!(chunk_count(limit - 1), Some(MAX_CHUNKS));
        assert_eq!(chunk_count(limit), None);
        assert_eq!(body_len(limit), None);
        assert_eq!(body_len(u64::MAX), None);
        assert_eq!(plaintext_len(HEADER + MAX_CHUNKS * SEALED_CHUNK - 1), Some(limit - 1));
        assert_eq!(plaintext_len(HEADER + MAX_CHUNKS * SEALED_CHUNK + 16), None);
    }

    #[test]
    fn empty_reversed_and_overlong_ranges_have_no_span() {
        for range in [0..0, 5..5, 0..11, 11..12] {
            assert_eq!(chunk_span(range.clone(), 10), None, "{range:?}");
        }
        assert_eq!(chunk_span(Range { start: 7, end: 3 }, 10), None);
    }

    #[test]
    fn a_range_that_ends_with_a_chunk_excludes_the_next_one() {
        let len = 4 * CHUNK + 5;
        for (end, chunks) in [(1, 1), (CHUNK - 1, 1), (CHUNK, 1), (CHUNK + 1, 2), (4 * CHUNK, 4)] {
            let span = chunk_span(0..end, len).expect("a range within the plaintext");
            assert_eq!(span.body, HEADER..HEADER + chunks * SEALED_CHUNK, "{end}");
        }
        let last = chunk_span(4 * CHUNK..len, len).expect("a range within the plaintext");
        assert_eq!((last.first_chunk, last.skip), (4, 0));
        assert_eq!(last.body, HEADER + 4 * SEALED_CHUNK..body_len(len).expect("within limit"));
    }

    proptest! {
        #[test]
        fn lengths_are_inverse(len in 0..MAX_CHUNKS * CHUNK) {
            prop_assert_eq!(plaintext_len(body_len(len).expect("within limit")), Some(len));
        }

        #[test]
        fn no_two_plaintext_lengths_share_a_body_length(body in 0..4 * SEALED_CHUNK) {
            if let Some(len) = plaintext_len(body) {
                prop_assert_eq!(body_len(len), Some(body));
            }
        }

        #[test]
        fn a_span_covers_its_range_with_the_fewest_chunks(len in 1_u64..1 << 40, a: u64, b: u64) {
            let (a, b) = (a % len, b % len);
            let range = a.min(b)..a.max(b) + 1;
            let span = chunk_span(range.clone(), len).expect("a range within the plaintext");
            let start = span.first_chunk * CHUNK;
            prop_assert_eq!(start + span.skip as u64, range.start);
            prop_assert!((span.skip as u64) < CHUNK);
            prop_assert_eq!(span.body.start, HEADER + span.first_chunk * SEALED_CHUNK);
            let fetched = span.body.end - span.body.start;
            let chunks = fetched.div_ceil(SEALED_CHUNK);
            prop_assert_eq!(span.first_chunk + chunks - 1, (range.end - 1) / CHUNK);
            prop_assert!(span.body.end <= body_len(len).expect("within limit"));
            prop_assert!(start + fetched - chunks * TAG >= range.end);
        }
    }
}
