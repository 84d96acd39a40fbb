//! `GetObject` and `HeadObject`.

use std::ops::Range as Bytes;

use futures_util::StreamExt as _;
use http::{HeaderMap, HeaderValue, header::EXPIRES};
use http_body::Frame;
use http_body_util::StreamBody;
use s3s::{
    Body, S3Error, S3ErrorCode, S3Request, S3Response, S3Result,
    dto::{
        GetObjectInput, GetObjectOutput, HeadObjectInput, HeadObjectOutput, Range,
        ServerSideEncryption, StorageClass, StreamingBlob,
    },
};
use sealwax_s3::{ObjectInfo, PlaintextStream};

use crate::{
    context::RequestContext,
    entity_tag,
    failure::answer,
    operations::conditions::{conditions, on_read},
    upstream::{Upstream, timestamp},
};

/// Describes an object, or a range of it, as both operations do.
macro_rules! described {
    ($output:ident, $info:expr, $range:expr, $is_partial:expr) => {{
        let (info, range): (&ObjectInfo, &Bytes<u64>) = ($info, $range);
        $output {
            accept_ranges: Some("bytes".to_owned()),
            cache_control: info.cache_control.clone(),
            content_disposition: info.content_disposition.clone(),
            content_encoding: info.content_encoding.clone(),
            content_language: info.content_language.clone(),
            content_length: i64::try_from(range.end - range.start).ok(),
            content_range: if $is_partial { content_range(range, info) } else { None },
            content_type: info.content_type.clone(),
            e_tag: info.e_tag.as_deref().map(entity_tag::shown),
            last_modified: info.last_modified.and_then(timestamp),
            metadata: Some(info.metadata.clone().into_iter().collect()),
            server_side_encryption: Some(encrypted()),
            storage_class: storage_class(info),
            version_id: info.version_id.clone(),
            ..$output::default()
        }
    }};
}

/// Reads an object, or a range of it.
pub(crate) async fn get(
    upstream: &Upstream,
    context: &RequestContext,
    request: S3Request<GetObjectInput>,
) -> S3Result<S3Response<GetObjectOutput>> {
    let input = request.input;
    upstream.check_key(&input.key)?;
    let is_part = is_only_part(input.part_number)?;
    let conditions = conditions!(input);
    let client = upstream.reader(&input.bucket, &input.key);
    let get = client.get().bucket(input.bucket).key(&input.key);
    let get = on_read!(get, conditions, input.version_id);
    let get = match input.range {
        None => get,
        Some(_) if is_part => return Err(invalid_range_and_part()),
        Some(Range::Int { first, last: Some(last) }) => get.range(first..=last),
        Some(Range::Int { first, last: None }) => get.range(first..),
        Some(Range::Suffix { length }) => get.suffix(length),
    };
    let object = get.send().await.map_err(|error| match error.kind() {
        // The client checks nothing else of a range that was parsed.
        sealwax_s3::ErrorKind::InvalidInput if input.range.is_some() => unsatisfiable(),
        _ => answer(error),
    })?;
    let (info, range) = (object.info().clone(), object.range());
    if input.range.is_some() && range.is_empty() {
        return Err(unsatisfiable());
    }
    let is_partial = input.range.is_some() || is_part;
    let output = described!(GetObjectOutput, &info, &range, is_partial);
    let body = Some(body(object.into_slow_stream()));
    let headers = headers(&info, context.object_headers.expires.as_deref());
    Ok(S3Response::with_headers(GetObjectOutput { body, ..output }, headers))
}

/// Describes an object.
pub(crate) async fn head(
    upstream: &Upstream,
    request: S3Request<HeadObjectInput>,
) -> S3Result<S3Response<HeadObjectOutput>> {
    let input = request.input;
    upstream.check_key(&input.key)?;
    let is_part = is_only_part(input.part_number)?;
    let conditions = conditions!(input);
    let client = upstream.reader(&input.bucket, &input.key);
    let head = client.head().bucket(input.bucket).key(&input.key);
    let head = on_read!(head, conditions, input.version_id);
    let info = head.send().await.map_err(answer)?;
    let whole = 0..info.plaintext_len();
    let range = match &input.range {
        Some(_) if is_part => return Err(invalid_range_and_part()),
        Some(range) => range.check(info.plaintext_len()).map_err(|_| unsatisfiable())?,
        None => whole,
    };
    let is_partial = input.range.is_some() || is_part;
    let output = described!(HeadObjectOutput, &info, &range, is_partial);
    Ok(S3Response::with_headers(output, headers(&info, None)))
}

/// Returns headers that s3s does not have for both operations, or takes for something else: `Expires` is
/// any text. `expires` is what the client wants to be told instead.
fn headers(info: &ObjectInfo, expires: Option<&str>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let expires = expires.or(info.expires.as_deref());
    if let Some(expires) = expires.and_then(|text| HeaderValue::try_from(text).ok()) {
        headers.insert(EXPIRES, expires);
    }
    if let Some(count) = info.tag_count {
        headers.insert("x-amz-tagging-count", HeaderValue::from(count));
    }
    headers
}

/// Returns what every answer says about encryption: a client then knows that an entity tag is not the
/// MD5 digest of the plaintext.
pub(crate) fn encrypted() -> ServerSideEncryption {
    ServerSideEncryption::from_static(ServerSideEncryption::AWS_KMS)
}

/// Returns plaintext as a body.
pub(crate) fn body(pieces: PlaintextStream) -> StreamingBlob {
    let frames = pieces.map(|piece| piece.map(Frame::data));
    StreamingBlob::from(Body::http_body_unsync(StreamBody::new(frames)))
}

/// Returns the `Content-Range` of what is read; none of an empty object, which has no such range.
fn content_range(range: &Bytes<u64>, info: &ObjectInfo) -> Option<String> {
    let last = range.end.checked_sub(1)?;
    (range.start < range.end)
        .then(|| format!("bytes {}-{last}/{}", range.start, info.plaintext_len()))
}

fn storage_class(info: &ObjectInfo) -> Option<StorageClass> {
    info.storage_class.as_ref().map(|class| StorageClass::from(class.as_str().to_owned()))
}

/// `true` if part 1 is asked for: an object is one part, whatever its upload was.
fn is_only_part(number: Option<i32>) -> S3Result<bool> {
    match number {
        None => Ok(false),
        Some(1) => Ok(true),
        Some(_) => {
            let message = "the object has one part";
            let code = S3ErrorCode::Custom("InvalidPartNumber".into());
            let mut error = S3Error::with_message(code, message);
            error.set_status_code(http::StatusCode::RANGE_NOT_SATISFIABLE);
            Err(error)
        }
    }
}

fn unsatisfiable() -> S3Error {
    S3Error::with_message(S3ErrorCode::InvalidRange, "the object has no byte of this range")
}

fn invalid_range_and_part() -> S3Error {
    let message = "a range and a part cannot be asked for at the same time";
    S3Error::with_message(S3ErrorCode::InvalidRequest, message)
}
