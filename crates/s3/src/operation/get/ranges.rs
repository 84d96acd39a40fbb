//! Reads of several ranges of one object.

use std::ops::Range;

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::{Reader, SealedObject};
use crate::{
    download::{fetch::first_then_none, parts::Download},
    error::{Error, ErrorKind},
};

/// Maximum distance in bytes of ranges that are fetched together: 64 KiB cost less than a request.
const MAX_GAP: u64 = 64 * 1024;
/// Number of requests that are sent at a time.
const CONCURRENCY: usize = 8;

/// Returns the fewest spans, in order, that cover `ranges`. Ranges that overlap or lie close
/// together share a span.
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

/// Reads `ranges` of `object`, which was opened for the first span.
pub(super) async fn read(object: SealedObject, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, Error> {
    let SealedObject { info, reader, first } = object;
    // Only a whole object is read as one message.
    let Reader::Parts(download) = reader else { unreachable!("a range is read in parts") };
    let len = info.plaintext_len();
    if let Some(bad) = ranges.iter().find(|range| range.start >= range.end || range.end > len) {
        let message = format!("the range {}..{} is not within its {len} bytes", bad.start, bad.end);
        return Err(download.target().error(ErrorKind::InvalidInput, message));
    }
    let spans = coalesce(ranges);
    let fetched: Vec<Bytes> = stream::iter(spans.iter().cloned().zip(first_then_none(first)))
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
    #[expect(clippy::single_range_in_vec_init, reason = "the list has one range on purpose")]
    fn close_ranges_share_one_span() {
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
