//! A copy in parts, by `UploadPartCopy`: above the 5 GiB that S3 copies at once.
//!
//! `CopyObject` keeps some things by itself that an upload must carry, tags among them. Each part
//! is taken from the version and the entity tag of the snapshot. A change of the metadata alone
//! shows in neither, so the object is examined once more before the copy is completed.

use std::{future::ready, ops::Range};

use aws_sdk_s3::types::CompletedPart;
use tracing::Span;

use super::{ServerCopy, SourceGuard, Stored, boundaries, kept_checksum};
use crate::{
    error::{Error, ErrorKind},
    store::{
        attributes::with_expires,
        lost_answer::unconfirmed,
        multipart::{MultipartUpload, UploadHandle},
        snapshot::Snapshot,
    },
};

/// Number of parts of one object that are copied at once: S3 does the work.
const CONCURRENCY: usize = 16;

type MultipartCopy = MultipartUpload<Result<CompletedPart, Error>>;

/// Copies the object part by part.
pub(super) async fn copy(copy: &ServerCopy<'_>) -> Result<Stored, Error> {
    let ServerCopy { store, source, snapshot, target, .. } = copy;
    let head = &snapshot.head;
    let len = head.content_length().and_then(|len| u64::try_from(len).ok());
    let len =
        len.ok_or_else(|| source.error(ErrorKind::Service, "HeadObject returned no length"))?;
    let mut attributes = copy.attributes.clone();
    if attributes.tagging.is_none() {
        attributes.tagging = store.tags_to_keep(source, head).await?;
    }
    let parts = boundaries::of_stored(store, source, head, len).await?;

    let request = store
        .s3()
        .create_multipart_upload()
        .bucket(&target.bucket)
        .key(&target.key)
        .set_checksum_algorithm(kept_checksum::algorithm(head))
        .set_checksum_type(kept_checksum::of_upload(head))
        .set_metadata(Some(copy.metadata.clone()));
    let with_expires = with_expires(attributes.expires.clone());
    let request = attributes.on_create(request);
    // A store that tells an object's checksum accepts it, too.
    let request = move |_| request.clone().customize().map_request(with_expires.clone());
    let handle = UploadHandle::begin(store, target, request, |_, _| ready(Ok(None))).await?;
    let mut upload = MultipartCopy::new(handle);
    let done = async {
        let completed = copy_all(&mut upload, &copy.source_of_part(), head.e_tag(), &parts).await?;
        if copy.guard == SourceGuard::LastModified {
            snapshot.check_same(&Snapshot::take(store, source).await?, source)?;
        }
        Ok(completed)
    };
    match done.await {
        Ok(completed) => {
            let request = upload
                .completion(completed)
                .set_mpu_object_size(head.content_length)
                .set_if_match(copy.conditions.if_match.clone())
                .set_if_none_match(copy.conditions.if_none_match.clone());
            upload.complete(kept_checksum::expect(request, head), copy.is_ours).await
        }
        Err(error) => {
            upload.give_up().await;
            Err(error)
        }
    }
}

async fn copy_all(
    upload: &mut MultipartCopy,
    source: &str,
    e_tag: Option<&str>,
    parts: &[Range<u64>],
) -> Result<Vec<CompletedPart>, Error> {
    let mut done = Vec::with_capacity(parts.len());
    for (number, bytes) in (1..).zip(parts) {
        if upload.in_flight() == CONCURRENCY
            && let Some(part) = upload.next_part().await
        {
            done.push(part??);
        }
        let (handle, e_tag) = (upload.handle().clone(), e_tag.map(str::to_owned));
        upload.spawn(number, copy_part(handle, number, bytes.clone(), source.to_owned(), e_tag));
    }
    while let Some(part) = upload.next_part().await {
        done.push(part??);
    }
    Ok(done)
}

async fn copy_part(
    handle: UploadHandle,
    number: usize,
    bytes: Range<u64>,
    source: String,
    e_tag: Option<String>,
) -> Result<CompletedPart, Error> {
    let UploadHandle { store, target, upload_id, .. } = &handle;
    let number = i32::try_from(number).unwrap_or(i32::MAX);
    Span::current().record("bytes", bytes.end - bytes.start);
    let output = store
        .s3()
        .upload_part_copy()
        .bucket(&target.bucket)
        .key(&target.key)
        .upload_id(upload_id)
        .part_number(number)
        .copy_source(source)
        .copy_source_range(format!("bytes={}-{}", bytes.start, bytes.end - 1))
        .set_copy_source_if_match(e_tag)
        .send()
        .await
        .map_err(|error| target.s3_error("UploadPartCopy", &error))?;
    let part = output.copy_part_result.filter(|part| part.e_tag.is_some());
    let part = part.ok_or_else(|| unconfirmed(target, "UploadPartCopy"))?;
    Ok(kept_checksum::completed(part).part_number(number).build())
}
