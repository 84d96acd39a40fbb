//! The operations of multipart uploads.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use futures_util::future::BoxFuture;
use s3s::{
    Body, S3Error, S3ErrorCode, S3Request, S3Response, S3Result,
    dto::{
        self, AbortMultipartUploadInput, AbortMultipartUploadOutput, ChecksumType,
        CompleteMultipartUploadInput, CompleteMultipartUploadOutput, CopyPartResult,
        CreateMultipartUploadInput, CreateMultipartUploadOutput, ListMultipartUploadsInput,
        ListMultipartUploadsOutput, ListPartsInput, ListPartsOutput, MultipartUpload, StorageClass,
        StreamingBlob, Timestamp, UploadPartCopyInput, UploadPartCopyOutput, UploadPartInput,
        UploadPartOutput,
    },
};

use sealwax_s3::limits::MAX_PARTS;
use tokio::time::timeout;

use super::{
    conditions::{on_read, source_conditions},
    copying::source,
    reading::{body, encrypted},
    writing::{announced_len, attributes, stored_metadata},
};
use crate::{
    checksums::ChecksumAlgorithm,
    clients::ClientCredentials,
    context::RequestContext,
    echo::Echo,
    entity_tag,
    failure::{answer, invalid},
    multipart::{NamedPart, Part, Received, Start, Upload, Uploads, random_name, receive},
    upstream::Upstream,
};

/// Most entries of one listing.
const MAX_LISTED: i32 = 1_000;
/// Time after which the answer to a completion begins, although the object is not stored yet.
const SILENCE: Duration = Duration::from_secs(10);

/// Begins an upload.
pub(crate) async fn create(
    upstream: &Upstream,
    uploads: &Uploads,
    context: &RequestContext,
    request: S3Request<CreateMultipartUploadInput>,
) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
    let input = request.input;
    upstream.check_key(&input.key)?;
    let checksum = input.checksum_algorithm.as_ref().map(|name| {
        ChecksumAlgorithm::from_name(name.as_str())
            .ok_or_else(|| invalid("the gateway does not know this checksum algorithm"))
    });
    let checksum = checksum.transpose()?;
    let is_crc64 = checksum == Some(ChecksumAlgorithm::Crc64Nvme);
    let is_checksum_of_whole = match input.checksum_type.as_ref().map(ChecksumType::as_str) {
        None => is_crc64,
        Some(ChecksumType::COMPOSITE) if !is_crc64 => false,
        Some(ChecksumType::FULL_OBJECT) if checksum.is_none_or(ChecksumAlgorithm::is_crc) => true,
        Some(_) => {
            let message = "the checksum type does not fit the algorithm";
            return Err(S3Error::with_message(S3ErrorCode::InvalidRequest, message));
        }
    };
    let metadata = stored_metadata(context)?.into_iter().collect();
    check_bucket(upstream, &input.bucket).await?;
    let (bucket, key) = (input.bucket.clone(), input.key.clone());
    let attributes = attributes!(input, context);
    let upload = uploads.begin(
        upstream,
        Start {
            client: context.client.name().to_owned(),
            bucket: bucket.clone(),
            key: key.clone(),
            attributes,
            metadata,
            checksum,
            is_checksum_of_whole,
        },
    )?;
    Ok(S3Response::new(CreateMultipartUploadOutput {
        bucket: Some(bucket),
        key: Some(key),
        upload_id: Some(upload.id().to_owned()),
        checksum_algorithm: input.checksum_algorithm,
        checksum_type: checksum.map(|_| checksum_type(is_checksum_of_whole)),
        server_side_encryption: Some(encrypted()),
        ..CreateMultipartUploadOutput::default()
    }))
}

/// Receives a part.
pub(crate) async fn part(
    uploads: &Uploads,
    context: &RequestContext,
    request: S3Request<UploadPartInput>,
) -> S3Result<S3Response<UploadPartOutput>> {
    let input = request.input;
    let number = part_number(input.part_number)?;
    let upload =
        uploads.find(&input.upload_id, context.client.name(), &input.bucket, &input.key)?;
    let (agreed, announced) = (upload.start().checksum, context.digests.algorithm());
    if agreed.is_some_and(|agreed| announced.is_some_and(|announced| announced != agreed)) {
        let message = "the upload was begun with another checksum algorithm";
        return Err(S3Error::with_message(S3ErrorCode::InvalidRequest, message));
    }
    let len = announced_len(input.content_length)?;
    // The body is asked for only once there is room for it.
    let place = uploads.place(len).await?;
    let body = input.body.unwrap_or_else(|| StreamingBlob::from(Body::empty()));
    let algorithm = agreed.or(announced);
    let received = receive(place, body, algorithm).await?;
    let part = added(&upload, number, received)?;
    let checksum = context.digests.checksum();
    let echo = Echo::of(checksum.or_else(|| algorithm.zip(part.checksum.clone())));
    Ok(S3Response::new(UploadPartOutput {
        e_tag: Some(dto::ETag::Strong(part.e_tag)),
        server_side_encryption: Some(encrypted()),
        checksum_crc32: echo.crc32,
        checksum_crc32c: echo.crc32c,
        checksum_crc64nvme: echo.crc64nvme,
        checksum_sha1: echo.sha1,
        checksum_sha256: echo.sha256,
        ..UploadPartOutput::default()
    }))
}

/// Takes a part from an object, or from a range of one.
pub(crate) async fn part_copy(
    upstream: &Upstream,
    uploads: &Uploads,
    context: &RequestContext,
    request: S3Request<UploadPartCopyInput>,
) -> S3Result<S3Response<UploadPartCopyOutput>> {
    let input = request.input;
    let number = part_number(input.part_number)?;
    let upload =
        uploads.find(&input.upload_id, context.client.name(), &input.bucket, &input.key)?;
    let source = source(upstream, context)?;
    let conditions = source_conditions!(input);
    let client = upstream.reader(&source.bucket, &source.key);
    let get = client.get().bucket(&source.bucket).key(&source.key);
    let mut get = on_read!(get, conditions, &source.version_id);
    let wanted = input.copy_source_range.as_deref().map(copied_range).transpose()?;
    if let Some((first, last)) = wanted {
        get = get.range(first..=last);
    }
    let object = get.send().await.map_err(|error| match error.kind() {
        sealwax_s3::ErrorKind::NotModified => S3ErrorCode::PreconditionFailed.into(),
        _ => answer(error),
    })?;
    let (range, version_id) = (object.range(), object.info().version_id.clone());
    if wanted.is_some_and(|(_, last)| last >= object.info().plaintext_len()) {
        return Err(invalid("the range ends beyond the source"));
    }
    let place = uploads.place(range.end - range.start).await?;
    let received = receive(place, body(object.into_slow_stream()), upload.start().checksum).await?;
    let part = added(&upload, number, received)?;
    let echo = Echo::of(upload.start().checksum.zip(part.checksum.clone()));
    Ok(S3Response::new(UploadPartCopyOutput {
        copy_part_result: Some(CopyPartResult {
            e_tag: Some(dto::ETag::Strong(part.e_tag)),
            last_modified: Some(Timestamp::from(part.modified)),
            checksum_crc32: echo.crc32,
            checksum_crc32c: echo.crc32c,
            checksum_crc64nvme: echo.crc64nvme,
            checksum_sha1: echo.sha1,
            checksum_sha256: echo.sha256,
        }),
        copy_source_version_id: version_id,
        server_side_encryption: Some(encrypted()),
        ..UploadPartCopyOutput::default()
    }))
}

fn added(upload: &Upload, number: u16, received: Received) -> S3Result<Part> {
    let Received { len, sum, checksum, body } = received;
    let part = Part { len, e_tag: random_name(), sum, checksum, modified: SystemTime::now(), body };
    upload.add(number, part)
}

/// Completes an upload.
pub(crate) async fn complete(
    uploads: &Uploads,
    context: &RequestContext,
    request: S3Request<CompleteMultipartUploadInput>,
) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
    let input = request.input;
    let upload =
        uploads.find(&input.upload_id, context.client.name(), &input.bucket, &input.key)?;
    let named = input.multipart_upload.and_then(|upload| upload.parts).unwrap_or_default();
    let named = named.into_iter().map(named_part).collect::<S3Result<Vec<_>>>()?;
    let size = input.mpu_object_size.and_then(|size| u64::try_from(size).ok());
    let conditions = (
        input.if_match.as_ref().map(entity_tag::stored),
        input.if_none_match.as_ref().map(entity_tag::stored),
    );
    let claimed = [
        (ChecksumAlgorithm::Crc32, input.checksum_crc32),
        (ChecksumAlgorithm::Crc32c, input.checksum_crc32c),
        (ChecksumAlgorithm::Crc64Nvme, input.checksum_crc64nvme),
        (ChecksumAlgorithm::Sha1, input.checksum_sha1),
        (ChecksumAlgorithm::Sha256, input.checksum_sha256),
    ];
    let claimed = claimed.into_iter().find_map(|(algorithm, value)| Some((algorithm, value?)));
    let checksum = upload.checksum_of(&named, claimed.as_ref().map(|(algorithm, _)| *algorithm))?;
    if let (Some((_, claimed)), Some((_, ours))) = (&claimed, &checksum)
        && claimed != ours
    {
        let message = "the object's checksum is not that of its parts";
        return Err(S3Error::with_message(S3ErrorCode::BadDigest, message));
    }
    let is_of_whole = upload.start().is_checksum_of_whole;
    let (bucket, key) = (input.bucket, input.key);
    let room = upload.room().await?;
    let completing = async move {
        let output = upload.complete(named, size, conditions, room).await?;
        let mut echo = Echo::of(checksum);
        echo.checksum_type = echo.checksum_type.map(|_| checksum_type(is_of_whole));
        Ok(CompleteMultipartUploadOutput {
            location: Some(format!("/{bucket}/{key}")),
            bucket: Some(bucket),
            key: Some(key),
            e_tag: output.e_tag.as_deref().map(entity_tag::shown),
            version_id: output.version_id,
            server_side_encryption: Some(encrypted()),
            checksum_crc32: echo.crc32,
            checksum_crc32c: echo.crc32c,
            checksum_crc64nvme: echo.crc64nvme,
            checksum_sha1: echo.sha1,
            checksum_sha256: echo.sha256,
            checksum_type: echo.checksum_type,
            ..CompleteMultipartUploadOutput::default()
        })
    };
    with_blanks(Box::pin(completing)).await.map(S3Response::new)
}

/// Waits for a completion. If it lasts, the answer begins with blanks, so that the client goes on
/// waiting: then a failure stands in the body of a 200, and the version in none of the headers.
/// ([CompleteMultipartUpload](https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html))
async fn with_blanks(
    mut completing: BoxFuture<'static, S3Result<CompleteMultipartUploadOutput>>,
) -> S3Result<CompleteMultipartUploadOutput> {
    match timeout(SILENCE, &mut completing).await {
        Ok(completed) => completed,
        Err(_elapsed) => Ok(CompleteMultipartUploadOutput {
            server_side_encryption: Some(encrypted()),
            future: Some(completing),
            ..CompleteMultipartUploadOutput::default()
        }),
    }
}

/// Ends an upload without an object.
pub(crate) fn abort(
    uploads: &Uploads,
    client: &Arc<ClientCredentials>,
    request: S3Request<AbortMultipartUploadInput>,
) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
    let input = request.input;
    let upload = uploads.find(&input.upload_id, client.name(), &input.bucket, &input.key)?;
    uploads.abort(&upload)?;
    let output = AbortMultipartUploadOutput::default();
    Ok(S3Response::with_status(output, http::StatusCode::NO_CONTENT))
}

/// Lists the parts of an upload.
pub(crate) fn list_parts(
    uploads: &Uploads,
    client: &Arc<ClientCredentials>,
    request: S3Request<ListPartsInput>,
) -> S3Result<S3Response<ListPartsOutput>> {
    let input = request.input;
    let upload = uploads.find(&input.upload_id, client.name(), &input.bucket, &input.key)?;
    if upload.last_used().1 {
        return Err(S3ErrorCode::NoSuchUpload.into());
    }
    let max = listed(input.max_parts)?;
    let after = input.part_number_marker.unwrap_or_default();
    let mut parts = upload.parts();
    parts.retain(|(number, _)| i32::from(*number) > after);
    let is_truncated = parts.len() > max;
    parts.truncate(max);
    let last = parts.last().map(|(number, _)| i32::from(*number));
    let class = upload.start().attributes.storage_class.as_ref();
    let class = class.map_or(StorageClass::STANDARD, |class| class.as_str());
    let class = StorageClass::from(class.to_owned());
    let algorithm = upload.start().checksum;
    let parts = parts.into_iter().map(|(number, part)| {
        let echo = Echo::of(algorithm.zip(part.checksum));
        dto::Part {
            e_tag: Some(dto::ETag::Strong(part.e_tag)),
            last_modified: Some(Timestamp::from(part.modified)),
            part_number: Some(i32::from(number)),
            size: i64::try_from(part.len).ok(),
            checksum_crc32: echo.crc32,
            checksum_crc32c: echo.crc32c,
            checksum_crc64nvme: echo.crc64nvme,
            checksum_sha1: echo.sha1,
            checksum_sha256: echo.sha256,
        }
    });
    Ok(S3Response::new(ListPartsOutput {
        bucket: Some(input.bucket),
        key: Some(input.key),
        upload_id: Some(input.upload_id),
        parts: Some(parts.collect()),
        is_truncated: Some(is_truncated),
        max_parts: i32::try_from(max).ok(),
        storage_class: Some(class),
        part_number_marker: Some(after),
        next_part_number_marker: last.filter(|_| is_truncated),
        ..ListPartsOutput::default()
    }))
}

/// Lists the open uploads of a client in a bucket.
pub(crate) async fn list(
    upstream: &Upstream,
    uploads: &Uploads,
    client: &Arc<ClientCredentials>,
    request: S3Request<ListMultipartUploadsInput>,
) -> S3Result<S3Response<ListMultipartUploadsOutput>> {
    let input = request.input;
    if input.delimiter.is_some() {
        let message = "the gateway lists uploads without a delimiter";
        return Err(S3Error::with_message(S3ErrorCode::NotImplemented, message));
    }
    let max = listed(input.max_uploads)?;
    check_bucket(upstream, &input.bucket).await?;
    let prefix = input.prefix.clone().unwrap_or_default();
    let mut open = uploads.open(client.name(), &input.bucket, &prefix);
    if let Some(marker) = &input.key_marker {
        let id = input.upload_id_marker.as_deref();
        open.retain(|upload| {
            let key = &upload.start().key;
            key > marker || (key == marker && id.is_some_and(|id| upload.id() > id))
        });
    }
    let is_truncated = open.len() > max;
    open.truncate(max);
    let last = open.last().filter(|_| is_truncated);
    let (next_key, next_id) =
        (last.map(|upload| upload.start().key.clone()), last.map(|upload| upload.id().to_owned()));
    let listed = open.iter().map(|upload| MultipartUpload {
        key: Some(upload.start().key.clone()),
        upload_id: Some(upload.id().to_owned()),
        initiated: Some(Timestamp::from(upload.initiated())),
        ..MultipartUpload::default()
    });
    Ok(S3Response::new(ListMultipartUploadsOutput {
        bucket: Some(input.bucket),
        uploads: Some(listed.collect()),
        prefix: Some(prefix),
        is_truncated: Some(is_truncated),
        max_uploads: i32::try_from(max).ok(),
        key_marker: Some(input.key_marker.unwrap_or_default()),
        upload_id_marker: input.upload_id_marker,
        next_key_marker: next_key,
        next_upload_id_marker: next_id,
        ..ListMultipartUploadsOutput::default()
    }))
}

/// Fails unless the bucket exists: the store is not asked before the first part is sealed.
async fn check_bucket(upstream: &Upstream, bucket: &str) -> S3Result<()> {
    let head = upstream.client().s3().head_bucket().bucket(bucket).send().await;
    match head {
        Err(error) if error.raw_response().is_some_and(|raw| raw.status().as_u16() == 404) => {
            Err(S3Error::with_message(S3ErrorCode::NoSuchBucket, "the bucket does not exist"))
        }
        // Whether the client may use it shows when the object is stored.
        Ok(_) | Err(_) => Ok(()),
    }
}

fn named_part(part: dto::CompletedPart) -> S3Result<NamedPart> {
    let malformed =
        || S3Error::with_message(S3ErrorCode::MalformedXML, "a part has no number or no ETag");
    let number = part_number(part.part_number.ok_or_else(malformed)?)?;
    let e_tag = part.e_tag.ok_or_else(malformed)?.into_value();
    let checksum = part
        .checksum_crc32
        .or(part.checksum_crc32c)
        .or(part.checksum_crc64nvme)
        .or(part.checksum_sha1)
        .or(part.checksum_sha256);
    Ok(NamedPart { number, e_tag, checksum })
}

fn part_number(number: i32) -> S3Result<u16> {
    u16::try_from(number)
        .ok()
        .filter(|number| (1..=MAX_PARTS).contains(&u64::from(*number)))
        .ok_or_else(|| invalid("a part number is from 1 to 10,000"))
}

fn listed(max: Option<i32>) -> S3Result<usize> {
    let max = max.unwrap_or(MAX_LISTED).min(MAX_LISTED);
    usize::try_from(max).map_err(|_| invalid("the number of entries is not negative"))
}

/// Parses `bytes=FIRST-LAST`.
fn copied_range(range: &str) -> S3Result<(u64, u64)> {
    let ends = range.strip_prefix("bytes=").and_then(|range| range.split_once('-'));
    let parsed = ends.and_then(|(first, last)| Some((first.parse().ok()?, last.parse().ok()?)));
    parsed
        .filter(|(first, last): &(u64, u64)| first <= last)
        .ok_or_else(|| invalid("the range of a copied part is bytes=FIRST-LAST"))
}

fn checksum_type(is_of_whole: bool) -> ChecksumType {
    ChecksumType::from_static(match is_of_whole {
        true => ChecksumType::FULL_OBJECT,
        false => ChecksumType::COMPOSITE,
    })
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    /// Returns a completion that lasts `seconds`.
    fn lasting(
        seconds: u64,
        result: S3Result<CompleteMultipartUploadOutput>,
    ) -> BoxFuture<'static, S3Result<CompleteMultipartUploadOutput>> {
        Box::pin(async move {
            sleep(Duration::from_secs(seconds)).await;
            result
        })
    }

    fn completed() -> CompleteMultipartUploadOutput {
        let version_id = Some("v1".to_owned());
        CompleteMultipartUploadOutput { version_id, ..CompleteMultipartUploadOutput::default() }
    }

    #[tokio::test(start_paused = true)]
    async fn a_completion_that_ends_soon_has_its_own_status() {
        let output = with_blanks(lasting(9, Ok(completed()))).await.expect("completed");
        assert!(output.future.is_none());
        assert_eq!(output.version_id.as_deref(), Some("v1"));
        let failed = lasting(9, Err(S3ErrorCode::PreconditionFailed.into()));
        let error = with_blanks(failed).await.expect_err("it failed");
        assert_eq!(error.code(), &S3ErrorCode::PreconditionFailed);
    }

    #[tokio::test(start_paused = true)]
    async fn a_completion_that_lasts_begins_its_answer() {
        let output = with_blanks(lasting(100, Ok(completed()))).await.expect("begun");
        assert_eq!(output.version_id, None);
        let later = output.future.expect("the rest").await.expect("completed");
        assert_eq!(later.version_id.as_deref(), Some("v1"));
        let failed = lasting(100, Err(S3ErrorCode::InvalidPart.into()));
        let output = with_blanks(failed).await.expect("begun");
        let error = output.future.expect("the rest").await.expect_err("it failed");
        assert_eq!(error.code(), &S3ErrorCode::InvalidPart);
    }
}
