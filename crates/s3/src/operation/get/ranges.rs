//! Several ranges of one object.

use std::ops::Range;

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::{Reader, SealedObject};
use crate::{
    download::{fetch::firsts, parts::Download},
    error::{Error, ErrorKind},
};

/// Ranges that lie no further apart than this are fetched together: 64 KiB cost less than a request.
const MAX_GAP: u64 = 64 * 1024;
/// Requests at once.
const CONCURRENCY: usize = 8;

/// The fewest spans, in order, that cover `ranges`: those that overlap or lie close together are one.
pub(super) fn coalesce(ranges: &[Range<u64>]) -> Vec<Range<u64>> {
    let mut sorted = ranges.to_vec();
    sorted.sort_by_key(|range| range.start);
    let mut spans: Vec<Range<u64>> = Vec::new();
    for range in sorted {
        match spans.last_mut() {
            Some(span) if range.start <= span.end.saturating_add(MAX_GAP) => {
                span.end = span.end.max(range.end);
            }
            _ => spans.push(range),
        }
    }
    spans
}

/// Reads `ranges` of an object whose first span `object` was opened for.
pub(super) async fn read(object: SealedObject, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, Error> {
    let SealedObject { info, reader, first } = object;
    // A range was asked for.
    let Reader::Parts(download) = reader else {
        unreachable!("only a whole content is read otherwise")
    };
    let len = info.plaintext_len();
    if let Some(bad) = ranges.iter().find(|range| range.start >= range.end || range.end > len) {
        let message = format!("the range {}..{} is not within its {len} bytes", bad.start, bad.end);
        return Err(download.target().error(ErrorKind::InvalidInput, message));
    }
    let spans = coalesce(ranges);
    let fetched: Vec<Bytes> = stream::iter(spans.iter().cloned().zip(firsts(first)))
        .map(|(span, first)| {
            let object = SealedObject {
                info: info.clone(),
                reader: Reader::Parts(Box::new(Download {
                    window: span.clone(),
                    ..Download::clone(&download)
                })),
                first,
            };
            object.bytes()
        })
        .buffered(CONCURRENCY)
        .try_collect()
        .await?;
    let slice = |range: &Range<u64>| {
        let span = spans.partition_point(|span| span.start <= range.start) - 1;
        let offset =
            |at: u64| usize::try_from(at - spans[span].start).expect("within bytes in memory");
        fetched[span].slice(offset(range.start)..offset(range.end))
    };
    Ok(ranges.iter().map(slice).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::single_range_in_vec_init, reason = "a list of one range is meant")]
    fn close_ranges_are_one_span() {
        assert_eq!(coalesce(&[]), []);
        assert_eq!(coalesce(&[5..9, 0..2]), [0..9]);
        assert_eq!(coalesce(&[0..10, 2..4]), [0..10]);
        assert_eq!(coalesce(&[0..10, 10 + MAX_GAP..20 + MAX_GAP]), [0..20 + MAX_GAP]);
        assert_eq!(
            coalesce(&[11 + MAX_GAP..20 + MAX_GAP, 0..10]),
            [0..10, 11 + MAX_GAP..20 + MAX_GAP]
        );
    }
}
