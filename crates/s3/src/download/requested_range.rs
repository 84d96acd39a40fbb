//! Requested range of the plaintext, and the first request to S3 for it: pure computation.

use std::ops::{Bound, Range, RangeBounds};

use sealwax_envelope::geometry::{CHUNK_LEN, HEADER_LEN, MAX_CHUNKS, SEALED_CHUNK_LEN};

use crate::store::ranged_get::StoredRange;

/// Range of the plaintext that a caller requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RequestedRange {
    Whole,
    /// End exclusive, or open.
    From {
        start: u64,
        end: Option<u64>,
    },
    /// Number of bytes at the end.
    Suffix(u64),
}

impl RequestedRange {
    pub(crate) fn range(range: impl RangeBounds<u64>) -> Self {
        let start = match range.start_bound() {
            Bound::Included(start) => *start,
            Bound::Excluded(start) => start.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(end) => end.checked_add(1),
            Bound::Excluded(end) => Some(*end),
            Bound::Unbounded => None,
        };
        if (start, end) == (0, None) { Self::Whole } else { Self::From { start, end } }
    }

    /// Refuses a range that is empty for every object.
    pub(crate) fn check(self) -> Result<(), &'static str> {
        match self {
            Self::From { start, end: Some(end) } if start >= end => Err("the range is empty"),
            Self::Suffix(0) => Err("the range is empty"),
            _ => Ok(()),
        }
    }

    /// Returns the part of the range that is in an object of `plaintext_len` bytes (end exclusive).
    ///
    /// Returns `None` if the range starts beyond the object's last byte.
    pub(crate) fn window(self, plaintext_len: u64) -> Option<Range<u64>> {
        match self {
            Self::Whole => Some(0..plaintext_len),
            Self::From { start, end } => (start < plaintext_len)
                .then(|| start..end.unwrap_or(plaintext_len).min(plaintext_len)),
            Self::Suffix(len) => Some(plaintext_len.saturating_sub(len)..plaintext_len),
        }
    }

    /// Returns the range of the first request, which asks for at most one part of `part_len`
    /// plaintext bytes.
    ///
    /// The object's length is not known yet: S3 cuts the range off at the object's end.
    pub(crate) fn first_request(self, part_len: usize) -> StoredRange {
        const CHUNK: u64 = CHUNK_LEN as u64;
        const SEALED_CHUNK: u64 = SEALED_CHUNK_LEN as u64;
        let part_chunks = (part_len / CHUNK_LEN) as u64;
        let body_offset =
            |chunk: u64| chunk.saturating_mul(SEALED_CHUNK).saturating_add(HEADER_LEN as u64);
        match self {
            // Includes the header, so that it can be compared with the metadata.
            Self::Whole => StoredRange::Span(0..body_offset(part_chunks)),
            Self::From { start, end } => {
                // Beyond the longest object, all offsets are equal. The limit keeps the header
                // valid: S3 ignores an invalid one.
                let first = (start / CHUNK).min(MAX_CHUNKS);
                let after_part = first + part_chunks;
                let after_range = end.map_or(after_part, |end| end.div_ceil(CHUNK));
                StoredRange::Span(body_offset(first)..body_offset(after_part.min(after_range)))
            }
            // The last chunk may be empty, and the first requested byte may be anywhere in its
            // chunk.
            Self::Suffix(len) => {
                let chunks = (len / CHUNK + 2).min(MAX_CHUNKS);
                StoredRange::Suffix(chunks * SEALED_CHUNK)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PART: usize = 4 * CHUNK_LEN;

    #[test]
    fn all_kinds_of_ranges_are_accepted() {
        assert_eq!(RequestedRange::range(..), RequestedRange::Whole);
        assert_eq!(RequestedRange::range(0..), RequestedRange::Whole);
        assert_eq!(RequestedRange::range(3..), RequestedRange::From { start: 3, end: None });
        assert_eq!(RequestedRange::range(3..5), RequestedRange::From { start: 3, end: Some(5) });
        assert_eq!(RequestedRange::range(..=5), RequestedRange::From { start: 0, end: Some(6) });
        assert_eq!(RequestedRange::range(0..=u64::MAX), RequestedRange::Whole);
        assert_eq!(RequestedRange::range(5..5).check(), Err("the range is empty"));
        assert_eq!(RequestedRange::Suffix(0).check(), Err("the range is empty"));
        assert_eq!(RequestedRange::range(0..1).check(), Ok(()));
    }

    #[test]
    fn windows_are_cut_off_at_the_end() {
        assert_eq!(RequestedRange::Whole.window(0), Some(0..0));
        assert_eq!(RequestedRange::range(3..9).window(5), Some(3..5));
        assert_eq!(RequestedRange::range(5..9).window(5), None);
        assert_eq!(RequestedRange::Suffix(3).window(5), Some(2..5));
        assert_eq!(RequestedRange::Suffix(9).window(5), Some(0..5));
        assert_eq!(RequestedRange::Suffix(9).window(0), Some(0..0));
    }

    #[test]
    fn the_first_request_asks_for_whole_chunks_of_at_most_one_part() {
        let asks = |range: RequestedRange| range.first_request(PART).to_string();
        assert_eq!(asks(RequestedRange::Whole), format!("bytes=0-{}", 56 + 4 * 16400 - 1));
        assert_eq!(asks(RequestedRange::range(0..1)), format!("bytes=56-{}", 56 + 16400 - 1));
        assert_eq!(
            asks(RequestedRange::range(16383..16385)),
            format!("bytes=56-{}", 56 + 2 * 16400 - 1)
        );
        assert_eq!(
            asks(RequestedRange::range(16384..)),
            format!("bytes={}-{}", 56 + 16400, 56 + 5 * 16400 - 1)
        );
        assert_eq!(
            asks(RequestedRange::range(0..1 << 30)),
            format!("bytes=56-{}", 56 + 4 * 16400 - 1)
        );
        assert_eq!(asks(RequestedRange::Suffix(1)), format!("bytes=-{}", 2 * 16400));
        assert_eq!(asks(RequestedRange::Suffix(16384)), format!("bytes=-{}", 3 * 16400));
        assert_eq!(
            asks(RequestedRange::Suffix(u64::MAX)),
            format!("bytes=-{}", MAX_CHUNKS * 16400)
        );
        let beyond = 56 + MAX_CHUNKS * 16400;
        for range in [
            RequestedRange::range(u64::MAX..),
            RequestedRange::range(u64::MAX - 9..u64::MAX),
            RequestedRange::range(1 << 52..1 << 53),
        ] {
            assert!(asks(range).starts_with(&format!("bytes={beyond}-")), "{}", asks(range));
        }
    }
}
