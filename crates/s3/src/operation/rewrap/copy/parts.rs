//! A copy in parts, by `UploadPartCopy`: above the 5 GiB that S3 copies at once.
//!
//! What a `CopyObject` keeps by itself, this one carries: tags too. Each part is taken from the version and the entity tag
//! that were seen. A change of the metadata alone shows in neither, so the object is looked at once more before the copy
//! takes its place.

use std::ops::Range;

use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use tokio::{
    runtime::Handle,
    task::{JoinError, JoinHandle, JoinSet},
};
use tracing::Instrument as _;

use super::{Held, ServerCopy, Stored, boundaries, checksum};
use crate::{
    aws_failure::AwsFailure,
    error::{Error, ErrorKind},
    operation::rewrap::{present::Present, tags},
    upload::multipart::OnS3,
};

/// How many parts of one object are copied at once: S3 does the work.
const COPIED_AT_ONCE: usize = 16;

/// Copies the object part by part.
pub(super) async fn copy(copy: &ServerCopy<'_>) -> Result<Stored, Error> {
    let ServerCopy { client, source, present, target, .. } = copy;
    let head = &present.head;
    let len = head.content_length().and_then(|len| u64::try_from(len).ok());
    let len = len.ok_or_else(|| source.error(ErrorKind::Service, "HeadObject gave no length"))?;
    let mut attributes = copy.attributes.clone();
    if attributes.tagging.is_none() {
        attributes.tagging = tags::of_stored(client.s3(), source, head).await?;
    }
    let parts = boundaries::of_stored(client, source, head, len).await?;

    let request = client
        .s3()
        .create_multipart_upload()
        .bucket(&target.bucket)
        .key(&target.key)
        .set_checksum_algorithm(checksum::algorithm(head))
        .set_checksum_type(checksum::of_upload(head))
        .set_metadata(Some(copy.metadata.all.clone()));
    let mut request = attributes.on_create(request).customize();
    if let Some(expires) = copy.expires.clone() {
        request = request.mutate_request(move |request| {
            let _ = request.headers_mut().try_insert("expires", expires.clone());
        });
    }
    let on_s3 = OnS3::begin((*client).clone(), (*target).clone(), request, None).await?;
    let mut upload = MultipartCopy::new(on_s3);
    let done = async {
        let completed = upload.all(&copy.source_of_part(), head.e_tag(), &parts).await?;
        if copy.held == Held::ByTime {
            present.check_same(&Present::look(client, source).await?, source)?;
        }
        Ok(completed)
    };
    match done.await {
        Ok(completed) => upload.complete(copy, completed).await,
        Err(error) => {
            upload.give_up().await;
            Err(error)
        }
    }
}

/// A multipart upload whose parts are copied. Dropping it aborts it in the background: [`SealedClient::settle`].
struct MultipartCopy {
    on_s3: Option<OnS3>,
    parts: JoinSet<Result<CompletedPart, Error>>,
    runtime: Handle,
}

impl MultipartCopy {
    fn new(on_s3: OnS3) -> Self {
        Self { on_s3: Some(on_s3), parts: JoinSet::new(), runtime: Handle::current() }
    }

    /// Copies all parts.
    async fn all(
        &mut self,
        source: &str,
        e_tag: Option<&str>,
        parts: &[Range<u64>],
    ) -> Result<Vec<CompletedPart>, Error> {
        let mut done = Vec::with_capacity(parts.len());
        for (number, bytes) in (1..).zip(parts) {
            if self.parts.len() == COPIED_AT_ONCE
                && let Some(part) = self.parts.join_next().await
            {
                done.push(self.reap(part)?);
            }
            let on_s3 = self.on_s3.clone().expect("neither completed nor aborted yet");
            let copy = copy_part(
                on_s3,
                number,
                bytes.clone(),
                source.to_owned(),
                e_tag.map(str::to_owned),
            );
            self.parts.spawn(copy.instrument(tracing::debug_span!("part", number)));
        }
        while let Some(part) = self.parts.join_next().await {
            done.push(self.reap(part)?);
        }
        done.sort_unstable_by_key(|part| part.part_number);
        Ok(done)
    }

    fn reap(
        &self,
        part: Result<Result<CompletedPart, Error>, JoinError>,
    ) -> Result<CompletedPart, Error> {
        let target = &self.on_s3.as_ref().expect("neither completed nor aborted yet").target;
        part.map_err(|error| target.io("a part's task failed", error.into()))?
    }

    /// Puts the copy in the object's place.
    async fn complete(
        mut self,
        copy: &ServerCopy<'_>,
        parts: Vec<CompletedPart>,
    ) -> Result<Stored, Error> {
        let OnS3 { client, target, upload_id, .. } =
            self.on_s3.clone().expect("neither completed nor aborted yet");
        tracing::debug!(parts = parts.len(), "completing the copy");
        let request = client
            .s3()
            .complete_multipart_upload()
            .bucket(&target.bucket)
            .key(&target.key)
            .upload_id(upload_id)
            .multipart_upload(CompletedMultipartUpload::builder().set_parts(Some(parts)).build())
            .set_mpu_object_size(copy.present.head.content_length)
            .set_if_match(copy.conditions.if_match.clone())
            .set_if_none_match(copy.conditions.if_none_match.clone());
        let stored = match checksum::expect(request, &copy.present.head).send().await {
            Ok(output) => Ok(Stored { e_tag: output.e_tag, version_id: output.version_id }),
            Err(error) => {
                copy.stored_after_all("CompleteMultipartUpload", AwsFailure::new(&error)).await
            }
        };
        match stored {
            Ok(stored) => {
                self.on_s3 = None;
                Ok(stored)
            }
            Err(error) => {
                self.give_up().await;
                Err(error)
            }
        }
    }

    /// Stops the copies in flight and aborts the upload.
    async fn give_up(mut self) {
        if let Some(aborted) = self.abort() {
            // It has no result; where its runtime is gone, nothing can be done.
            let _ = aborted.await;
        }
    }

    /// Does it in a task of its own, which goes on if this future is dropped, and in the runtime where the copy began.
    fn abort(&mut self) -> Option<JoinHandle<()>> {
        let on_s3 = self.on_s3.take()?;
        let mut parts = std::mem::take(&mut self.parts);
        let aborts = on_s3.client.clone();
        let abort = async move {
            // A part that arrives after the abort would be kept, and paid for.
            parts.shutdown().await;
            on_s3.abort().await;
        };
        Some(aborts.aborts().spawn_on(abort, &self.runtime))
    }
}

impl Drop for MultipartCopy {
    fn drop(&mut self) {
        self.abort();
    }
}

async fn copy_part(
    on_s3: OnS3,
    number: i32,
    bytes: Range<u64>,
    source: String,
    e_tag: Option<String>,
) -> Result<CompletedPart, Error> {
    let OnS3 { client, target, upload_id, .. } = &on_s3;
    let output = client
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
        .map_err(|error| target.s3("UploadPartCopy", &error))?;
    let part = output.copy_part_result.filter(|part| part.e_tag.is_some());
    let part =
        part.ok_or_else(|| target.error(ErrorKind::Service, "UploadPartCopy gave no entity tag"))?;
    Ok(checksum::completed(part).part_number(number).build())
}
