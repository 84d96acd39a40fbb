//! Tags of objects, which the store keeps in plaintext.

use aws_sdk_s3::types;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use s3s::{
    S3Error, S3ErrorCode, S3Request, S3Response, S3Result,
    dto::{
        DeleteObjectTaggingInput, DeleteObjectTaggingOutput, GetObjectTaggingInput,
        GetObjectTaggingOutput, PutObjectTaggingInput, PutObjectTaggingOutput, Tag,
    },
};

use crate::{failure::store_answer, gate::CopySource, upstream::Upstream};

/// Reads an object's tags.
pub(crate) async fn get(
    upstream: &Upstream,
    request: S3Request<GetObjectTaggingInput>,
) -> S3Result<S3Response<GetObjectTaggingOutput>> {
    let input = request.input;
    upstream.check_key(&input.key)?;
    let target = format!("s3://{}/{}", input.bucket, input.key);
    let s3 = upstream.client().s3();
    let read = s3.get_object_tagging().bucket(input.bucket).key(input.key);
    let output =
        read.set_version_id(input.version_id).send().await.map_err(|error| {
            store_answer(upstream.client(), "GetObjectTagging", &target, &error)
        })?;
    let tags =
        output.tag_set.into_iter().map(|tag| Tag { key: Some(tag.key), value: Some(tag.value) });
    Ok(S3Response::new(GetObjectTaggingOutput {
        tag_set: tags.collect(),
        version_id: output.version_id,
    }))
}

/// Returns the tags of a copy's source as URL query parameters.
pub(crate) async fn query(upstream: &Upstream, source: &CopySource) -> S3Result<String> {
    let CopySource { bucket, key, version_id } = source;
    let target = format!("s3://{bucket}/{key}");
    let read = upstream.client().s3().get_object_tagging().bucket(bucket).key(key);
    let output =
        read.set_version_id(version_id.clone()).send().await.map_err(|error| {
            store_answer(upstream.client(), "GetObjectTagging", &target, &error)
        })?;
    let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let tags =
        output.tag_set.iter().map(|tag| format!("{}={}", encoded(&tag.key), encoded(&tag.value)));
    Ok(tags.collect::<Vec<_>>().join("&"))
}

/// Replaces an object's tags.
pub(crate) async fn put(
    upstream: &Upstream,
    request: S3Request<PutObjectTaggingInput>,
) -> S3Result<S3Response<PutObjectTaggingOutput>> {
    let input = request.input;
    upstream.check_key(&input.key)?;
    let target = format!("s3://{}/{}", input.bucket, input.key);
    let tags = input
        .tagging
        .tag_set
        .into_iter()
        .map(|tag| types::Tag::builder().set_key(tag.key).set_value(tag.value).build());
    let tagging = tags
        .collect::<Result<Vec<_>, _>>()
        .and_then(|tags| types::Tagging::builder().set_tag_set(Some(tags)).build());
    let tagging = tagging.map_err(|_| {
        S3Error::with_message(S3ErrorCode::MalformedXML, "a tag has a key and a value")
    })?;
    let s3 = upstream.client().s3();
    let write = s3.put_object_tagging().bucket(input.bucket).key(input.key).tagging(tagging);
    let output =
        write.set_version_id(input.version_id).send().await.map_err(|error| {
            store_answer(upstream.client(), "PutObjectTagging", &target, &error)
        })?;
    Ok(S3Response::new(PutObjectTaggingOutput { version_id: output.version_id }))
}

/// Removes an object's tags.
pub(crate) async fn delete(
    upstream: &Upstream,
    request: S3Request<DeleteObjectTaggingInput>,
) -> S3Result<S3Response<DeleteObjectTaggingOutput>> {
    let input = request.input;
    upstream.check_key(&input.key)?;
    let target = format!("s3://{}/{}", input.bucket, input.key);
    let s3 = upstream.client().s3();
    let delete = s3.delete_object_tagging().bucket(input.bucket).key(input.key);
    let output =
        delete.set_version_id(input.version_id).send().await.map_err(|error| {
            store_answer(upstream.client(), "DeleteObjectTagging", &target, &error)
        })?;
    let output = DeleteObjectTaggingOutput { version_id: output.version_id };
    Ok(S3Response::with_status(output, http::StatusCode::NO_CONTENT))
}
