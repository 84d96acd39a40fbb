//! Boundaries of an object's parts. A copy with the same parts can be read by part number as before,
//! and keeps an entity tag that is made of theirs.

use std::ops::Range;

use aws_sdk_s3::{operation::head_object::HeadObjectOutput, types::ObjectAttributes};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use crate::{
    error::{Error, ErrorKind, ObjectRef, aws_failure::AwsFailure},
    limits::{MAX_COPY_LEN, MAX_PARTS, MIN_PART_LEN},
    store::Store,
};

/// Length in bytes of the copied parts, if the object has no parts: 128 MiB.
const PART_LEN: u64 = 128 << 20;
/// Number of concurrent requests for the lengths of parts.
const ASKED_AT_ONCE: usize = 16;

/// Returns the bytes of each part, ends exclusive: the object's own parts, if the store reports them.
pub(super) async fn of_stored(
    store: &Store,
    target: &ObjectRef,
    head: &HeadObjectOutput,
    len: u64,
) -> Result<Vec<Range<u64>>, Error> {
    let own = Own { store, target, head };
    if let Some(count) = own.count().await?
        && (2..=MAX_PARTS).contains(&u64::from(count))
    {
        let listed = own.by_attributes(count).await?;
        if let Some(parts) = listed.and_then(|lens| ranges(&lens, count, len)) {
            return Ok(parts);
        }
        if let Some(parts) = own.one_by_one(count).await?.and_then(|lens| ranges(&lens, count, len))
        {
            return Ok(parts);
        }
        tracing::debug!(count, "the store does not report the boundaries of the object's parts");
    }
    Ok(even(len, PART_LEN.min(store.copy_in_parts_above())))
}

struct Own<'a> {
    store: &'a Store,
    target: &'a ObjectRef,
    head: &'a HeadObjectOutput,
}

impl Own<'_> {
    /// Returns the number of the object's parts, if it has any.
    async fn count(&self) -> Result<Option<u32>, Error> {
        let first = self.part(1).await?;
        Ok(first.and_then(|first| first.parts_count()).and_then(|count| count.try_into().ok()))
    }

    /// Returns the lengths of the parts in bytes as S3 lists them. It does so only if it keeps a
    /// checksum of each part. Returns `None` for a list that is longer than `count`.
    async fn by_attributes(&self, count: u32) -> Result<Option<Vec<u64>>, Error> {
        let mut lens = Vec::new();
        let mut marker = None;
        loop {
            let request = self
                .store
                .s3()
                .get_object_attributes()
                .bucket(&self.target.bucket)
                .key(&self.target.key);
            let request =
                request.set_version_id(self.head.version_id.clone()).set_part_number_marker(marker);
            let parts = match request.object_attributes(ObjectAttributes::ObjectParts).send().await
            {
                Ok(output) => output.object_parts,
                // Requests for each part need no other permission than the copy.
                Err(error) => {
                    let failure = AwsFailure::new(&error);
                    tracing::debug!(%failure, "GetObjectAttributes does not report the object's parts");
                    return Ok(None);
                }
            };
            let Some(parts) = parts else { return Ok(None) };
            let known = lens.len();
            lens.extend(
                parts
                    .parts()
                    .iter()
                    .map_while(|part| part.size().and_then(|size| u64::try_from(size).ok())),
            );
            if parts.is_truncated() != Some(true) {
                return Ok(Some(lens));
            }
            marker = parts.next_part_number_marker;
            if marker.is_none() || lens.len() == known || lens.len() >= count as usize {
                return Ok(None);
            }
        }
    }

    /// Returns the length of each part in bytes, by one request for each.
    async fn one_by_one(&self, count: u32) -> Result<Option<Vec<u64>>, Error> {
        let len = async |number: u32| {
            let part = self.part(i32::try_from(number).unwrap_or(i32::MAX)).await?;
            Ok(part.and_then(|part| part.content_length()).and_then(|len| u64::try_from(len).ok()))
        };
        stream::iter((1..=count).map(len))
            .buffered(ASKED_AT_ONCE)
            .try_fold(Some(Vec::new()), async |lens, len| {
                Ok(lens.zip(len).map(|(mut lens, len)| {
                    lens.push(len);
                    lens
                }))
            })
            .await
    }

    /// Describes one part by `HeadObject`; `None` if the store does not support parts.
    async fn part(&self, number: i32) -> Result<Option<HeadObjectOutput>, Error> {
        let request =
            self.store.s3().head_object().bucket(&self.target.bucket).key(&self.target.key);
        let request = request
            .set_version_id(self.head.version_id.clone())
            .set_if_match(self.head.e_tag.clone());
        match request.part_number(number).send().await {
            Ok(output) => Ok(Some(output)),
            Err(error) => {
                let failure = AwsFailure::new(&error);
                match failure.status {
                    Some(404 | 412) => Err(self.target.error(
                        ErrorKind::Conflict,
                        "it changed while the lengths of its parts were being read",
                    )),
                    Some(400 | 405 | 416 | 501) => Ok(None),
                    _ => Err(self.target.s3_failure("HeadObject", failure)),
                }
            }
        }
    }
}

/// Returns the bytes of parts with these lengths, if an object of `len` bytes can have them.
fn ranges(lens: &[u64], count: u32, len: u64) -> Option<Vec<Range<u64>>> {
    let starts = lens.iter().scan(0_u64, |next, len| {
        let start = *next;
        *next = next.saturating_add(*len);
        Some(start..*next)
    });
    let ranges: Vec<_> = starts.collect();
    let possible = lens.len() == count as usize
        && lens.iter().all(|len| (1..=MAX_COPY_LEN).contains(len))
        && ranges.last().is_some_and(|last| last.end == len);
    possible.then_some(ranges)
}

/// Returns parts of one length, the last one possibly shorter.
fn even(len: u64, part_len: u64) -> Vec<Range<u64>> {
    let part_len = part_len.max(MIN_PART_LEN).max(len.div_ceil(MAX_PARTS));
    let count = len.div_ceil(part_len);
    (0..count).map(|part| part * part_len..((part + 1) * part_len).min(len)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_that_do_not_make_up_the_object_are_not_believed() {
        assert_eq!(ranges(&[7, 5, 3], 3, 15), Some(vec![0..7, 7..12, 12..15]));
        for (lens, count, len) in [
            (&[7, 5, 3][..], 3, 16),
            (&[7, 5], 3, 12),
            (&[7, 0, 5], 3, 12),
            (&[], 0, 0),
            (&[MAX_COPY_LEN + 1], 1, MAX_COPY_LEN + 1),
            (&[u64::MAX, 1], 2, u64::MAX),
        ] {
            assert_eq!(ranges(lens, count, len), None, "{lens:?}");
        }
    }

    #[test]
    fn even_parts_cover_the_object_within_s3s_limits() {
        for len in
            [1, MIN_PART_LEN, MIN_PART_LEN + 1, 1 << 30, MAX_COPY_LEN + 1, 50_000_000_000_000]
        {
            for part_len in [1, MIN_PART_LEN, PART_LEN] {
                let parts = even(len, part_len);
                assert!(parts.len() as u64 <= MAX_PARTS);
                assert_eq!((parts[0].start, parts[parts.len() - 1].end), (0, len));
                assert!(parts.windows(2).all(|pair| pair[0].end == pair[1].start));
                assert!(parts.iter().all(|part| part.end - part.start <= MAX_COPY_LEN));
                let (_, but_last) = parts.split_last().expect("a part");
                assert!(but_last.iter().all(|part| part.end - part.start >= MIN_PART_LEN));
            }
        }
    }
}
