//! `PutObject`, and the attributes of all operations that store an object.

use std::collections::HashMap;

use aws_sdk_s3::types;
use bytes::{Bytes, BytesMut};
use futures_util::TryStreamExt as _;
use s3s::{
    S3ErrorCode, S3Request, S3Response, S3Result,
    dto::{
        ObjectCannedACL, ObjectLockLegalHoldStatus, ObjectLockMode, PutObjectInput,
        PutObjectOutput, ServerSideEncryption, StorageClass, StreamingBlob, Timestamp,
    },
};
use sealwax_s3::{Attributes, PlaintextSource};

use crate::{
    context::RequestContext,
    echo::Echo,
    entity_tag,
    failure::{answer, body_failure, invalid, stream_failure},
    multipart::Uploads,
    operations::reading::encrypted,
    upstream::{Upstream, date_time},
};

/// Longest body in bytes that is gathered before it is sealed. A longer one is sealed as it arrives.
const MAX_GATHERED: u64 = 1 << 20;
/// `Content-Type` of an object that is stored without one.
const DEFAULT_TYPE: &str = "binary/octet-stream";
/// Metadata that rclone adds: the MD5 digest of the plaintext, which is not the store's to know.
const PLAINTEXT_DIGEST: &str = "md5chksum";

/// Stores an object.
pub(crate) async fn put(
    upstream: &Upstream,
    uploads: &Uploads,
    context: &RequestContext,
    request: S3Request<PutObjectInput>,
) -> S3Result<S3Response<PutObjectOutput>> {
    let input = request.input;
    upstream.check_key(&input.key)?;
    let attributes = attributes!(input, context);
    let len = announced_len(input.content_length)?;
    let body = input.body.unwrap_or_else(|| StreamingBlob::from(s3s::Body::empty()));
    let mut put =
        upstream.client().put().bucket(input.bucket).key(input.key).attributes(attributes);
    for (name, value) in stored_metadata(context)? {
        put = put.metadata(name, value);
    }
    for (name, value) in upstream.context() {
        put = put.context(name, value);
    }
    if let Some(condition) = &input.if_match {
        put = put.if_match(entity_tag::stored(condition));
    }
    if let Some(condition) = &input.if_none_match {
        put = put.if_none_match(entity_tag::stored(condition));
    }
    if let Some(record) = uploads.new_record() {
        put = put.record(record);
    }
    let _room = uploads.wait_for_room(len.min(upstream.part_len())).await?;
    let put = match len <= MAX_GATHERED {
        true => put.body(gathered(body, len).await?),
        false => put.body(PlaintextSource::slow_stream(body.map_err(std::io::Error::other))),
    };
    let stored =
        put.send().await.map_err(|error| body_failure(&error).unwrap_or_else(|| answer(error)))?;
    // The body ended as the client announced it, or its stream would have failed.
    let echo = Echo::of(context.digests.checksum());
    Ok(S3Response::new(PutObjectOutput {
        e_tag: stored.e_tag.as_deref().map(entity_tag::shown),
        version_id: stored.version_id,
        server_side_encryption: Some(encrypted()),
        checksum_crc32: echo.crc32,
        checksum_crc32c: echo.crc32c,
        checksum_crc64nvme: echo.crc64nvme,
        checksum_sha1: echo.sha1,
        checksum_sha256: echo.sha256,
        checksum_type: echo.checksum_type,
        ..PutObjectOutput::default()
    }))
}

/// Returns the length of a body, as the gate has admitted it.
///
/// # Errors
/// There is none.
pub(crate) fn announced_len(len: Option<i64>) -> S3Result<u64> {
    let len = len.and_then(|len| u64::try_from(len).ok());
    len.ok_or_else(|| S3ErrorCode::MissingContentLength.into())
}

/// Gathers a body of `len` bytes.
async fn gathered(mut body: StreamingBlob, len: u64) -> S3Result<Bytes> {
    let len = usize::try_from(len).map_err(|_| S3ErrorCode::EntityTooLarge)?;
    let mut all = BytesMut::with_capacity(len);
    while let Some(piece) = body.try_next().await.map_err(stream_failure)? {
        all.extend_from_slice(&piece);
    }
    Ok(all.freeze())
}

/// Returns the user-defined metadata that is stored: without digests of the plaintext.
///
/// # Errors
/// A name belongs to Sealwax or to the S3 Encryption Client, whose readers would believe it.
pub(crate) fn stored_metadata(context: &RequestContext) -> S3Result<HashMap<String, String>> {
    let mut stored = HashMap::new();
    for (name, value) in &context.object_headers.metadata {
        if name.starts_with("sealwax") || name.starts_with("x-amz-") {
            return Err(invalid("user-defined metadata cannot begin with sealwax or x-amz-"));
        }
        if name != PLAINTEXT_DIGEST {
            stored.insert(name.clone(), value.clone());
        }
    }
    Ok(stored)
}

/// Takes the attributes of an object from an input that has them.
macro_rules! attributes {
    ($input:ident, $context:expr) => {
        $crate::operations::writing::RequestedAttributes {
            acl: $input.acl,
            cache_control: $input.cache_control,
            content_disposition: $input.content_disposition,
            content_encoding: $input.content_encoding,
            content_language: $input.content_language,
            content_type: $input.content_type,
            expires: $context.object_headers.expires.clone(),
            bucket_key_enabled: $input.bucket_key_enabled,
            server_side_encryption: $input.server_side_encryption,
            ssekms_key_id: $input.ssekms_key_id,
            storage_class: $input.storage_class,
            tagging: $input.tagging,
            website_redirect_location: $input.website_redirect_location,
            legal_hold: $input.object_lock_legal_hold_status,
            lock_mode: $input.object_lock_mode,
            retain_until: $input.object_lock_retain_until_date,
        }
        .into()
    };
}
pub(crate) use attributes;

/// Attributes that a client asks for.
pub(crate) struct RequestedAttributes {
    pub(crate) acl: Option<ObjectCannedACL>,
    pub(crate) cache_control: Option<String>,
    pub(crate) content_disposition: Option<String>,
    pub(crate) content_encoding: Option<String>,
    pub(crate) content_language: Option<String>,
    pub(crate) content_type: Option<String>,
    pub(crate) expires: Option<String>,
    pub(crate) bucket_key_enabled: Option<bool>,
    pub(crate) server_side_encryption: Option<ServerSideEncryption>,
    pub(crate) ssekms_key_id: Option<String>,
    pub(crate) storage_class: Option<StorageClass>,
    pub(crate) tagging: Option<String>,
    pub(crate) website_redirect_location: Option<String>,
    pub(crate) legal_hold: Option<ObjectLockLegalHoldStatus>,
    pub(crate) lock_mode: Option<ObjectLockMode>,
    pub(crate) retain_until: Option<Timestamp>,
}

impl From<RequestedAttributes> for Attributes {
    fn from(requested: RequestedAttributes) -> Self {
        let mut attributes = Self::default();
        // Private is what every object is.
        let acl = requested.acl.filter(|acl| acl.as_str() != ObjectCannedACL::PRIVATE);
        attributes.acl = acl.map(|acl| types::ObjectCannedAcl::from(acl.as_str()));
        attributes.cache_control = requested.cache_control;
        attributes.content_disposition = requested.content_disposition;
        attributes.content_encoding = requested.content_encoding;
        attributes.content_language = requested.content_language;
        // The SDK would name another default than S3.
        let content_type = requested.content_type.filter(|kind| !kind.is_empty());
        attributes.content_type = content_type.or_else(|| Some(DEFAULT_TYPE.to_owned()));
        attributes.expires = requested.expires;
        attributes.bucket_key_enabled = requested.bucket_key_enabled;
        // Clients repeat what the gateway says of each object, which the store need not have. A
        // client that wants the store's encryption by KMS names the key.
        let has_key = requested.ssekms_key_id.is_some() || requested.bucket_key_enabled.is_some();
        let encryption = requested
            .server_side_encryption
            .filter(|kind| has_key || kind.as_str() != ServerSideEncryption::AWS_KMS);
        attributes.server_side_encryption =
            encryption.map(|kind| types::ServerSideEncryption::from(kind.as_str()));
        attributes.ssekms_key_id = requested.ssekms_key_id;
        let class = requested.storage_class;
        attributes.storage_class = class.map(|class| types::StorageClass::from(class.as_str()));
        attributes.tagging = requested.tagging;
        attributes.website_redirect_location = requested.website_redirect_location;
        let hold = requested.legal_hold;
        attributes.object_lock_legal_hold_status =
            hold.map(|hold| types::ObjectLockLegalHoldStatus::from(hold.as_str()));
        let mode = requested.lock_mode;
        attributes.object_lock_mode = mode.map(|mode| types::ObjectLockMode::from(mode.as_str()));
        attributes.object_lock_retain_until_date = requested.retain_until.map(date_time);
        attributes
    }
}
