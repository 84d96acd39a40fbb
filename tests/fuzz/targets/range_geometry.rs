//! Any range of any object: the fetched bytes contain it, and no further chunk.

#![no_main]

use std::ops::Range;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use sealwax_envelope::geometry::{
    CHUNK_LEN, HEADER_LEN, MAX_CHUNKS, SEALED_CHUNK_LEN, TAG_LEN, body_len, chunk_count,
    chunk_span, plaintext_len,
};

/// The one type of its crate that it uses.
mod store {
    pub(crate) mod ranged_get {
        use std::ops::Range;

        #[derive(Debug, PartialEq, Eq)]
        pub(crate) enum StoredRange {
            Span(Range<u64>),
            Suffix(u64),
        }
    }
}

// It is private to its crate.
#[path = "../../../crates/s3/src/download/requested_range.rs"]
mod requested_range;
use requested_range::RequestedRange;
use store::ranged_get::StoredRange;

const CHUNK: u64 = CHUNK_LEN as u64;
const SEALED_CHUNK: u64 = SEALED_CHUNK_LEN as u64;
const HEADER: u64 = HEADER_LEN as u64;

#[derive(Debug, Arbitrary)]
struct Question {
    len: Len,
    body: u64,
    range: (u64, u64),
    wanted: Kind,
    part_chunks: u8,
}

#[derive(Debug, Arbitrary)]
enum Len {
    Small(u32),
    Any(u64),
    /// Near a whole number of chunks.
    Edge {
        chunks: u64,
        off: i8,
    },
}

#[derive(Debug, Arbitrary)]
enum Kind {
    Closed,
    Inclusive,
    Open,
    Suffix,
    Whole,
}

impl Len {
    fn bytes(&self) -> u64 {
        match self {
            Self::Small(len) => u64::from(*len),
            Self::Any(len) => *len,
            Self::Edge { chunks, off } => {
                (chunks % (MAX_CHUNKS + 2) * CHUNK).saturating_add_signed(i64::from(*off))
            }
        }
    }
}

/// Returns the bytes that S3 sends of a body of `len` bytes, or `None` for status 416.
/// (RFC 9110 §14.1.2.)
fn served(range: StoredRange, len: u64) -> Option<Range<u64>> {
    match range {
        StoredRange::Suffix(last) => Some(len.saturating_sub(last)..len),
        StoredRange::Span(Range { start, end }) => {
            assert!(start < end, "S3 ignores such a range and sends the whole object");
            (start < len).then(|| start..end.min(len))
        }
    }
}

fuzz_target!(|question: Question| {
    let len = question.len.bytes();
    if let Some(len) = plaintext_len(question.body) {
        assert_eq!(body_len(len), Some(question.body));
    }
    let Some(chunks) = chunk_count(len) else {
        assert!(len >= MAX_CHUNKS * CHUNK);
        assert_eq!((body_len(len), chunk_span(0..1, len)), (None, None));
        return;
    };
    let body = body_len(len).expect("within the limit");
    assert_eq!(plaintext_len(body), Some(len));
    assert_eq!(body, HEADER + len + chunks * TAG_LEN as u64);

    let (a, b) = question.range;
    match chunk_span(a..b, len) {
        None => assert!(a >= b || b > len),
        Some(span) => {
            assert!(a < b && b <= len);
            assert_eq!(span.first_chunk * CHUNK + span.skip as u64, a);
            assert_eq!(span.body.start, HEADER + span.first_chunk * SEALED_CHUNK);
            assert_eq!(span.body.end, (HEADER + ((b - 1) / CHUNK + 1) * SEALED_CHUNK).min(body));
        }
    }

    let wanted = match question.wanted {
        Kind::Closed => RequestedRange::range(a..b),
        Kind::Inclusive => RequestedRange::range(a..=b),
        Kind::Open => RequestedRange::range(a..),
        Kind::Suffix => RequestedRange::Suffix(b),
        Kind::Whole => RequestedRange::Whole,
    };
    if wanted.check().is_err() {
        return;
    }
    let part_chunks = u64::from(question.part_chunks) + 1;
    let part_len = usize::try_from(part_chunks).expect("small") * CHUNK_LEN;
    let first = served(wanted.first_request(part_len), body);
    let Some(window) = wanted.window(len) else {
        // The range starts at the end of the object or beyond: only an empty last chunk may be
        // there.
        assert!(first.is_none_or(|first| first.end - first.start <= SEALED_CHUNK));
        return;
    };
    assert!(window.start <= window.end && window.end <= len);
    let first = first.expect("bytes to serve");
    match wanted {
        RequestedRange::Whole => {
            assert_eq!(first, 0..(HEADER + part_chunks * SEALED_CHUNK).min(body))
        }
        RequestedRange::From { .. } => {
            assert_eq!(first.start, HEADER + window.start / CHUNK * SEALED_CHUNK);
            assert!(first.end - first.start <= part_chunks * SEALED_CHUNK);
            // The whole range with perhaps an empty last chunk, or a whole part.
            let needed = chunk_span(window, len).expect("a range").body;
            let is_all = first.end == needed.end
                || first.end == body && first.end - needed.end == TAG_LEN as u64;
            assert!(is_all || first.end - first.start == part_chunks * SEALED_CHUNK);
        }
        RequestedRange::Suffix(_) if window.is_empty() => {}
        RequestedRange::Suffix(_) => {
            let needed = chunk_span(window, len).expect("a range").body;
            assert!(first.start <= needed.start && first.end == body);
            // The end is authenticated, so one chunk and a part of another may be fetched in vain.
            assert!(needed.start - first.start < 2 * SEALED_CHUNK);
        }
    }
});
