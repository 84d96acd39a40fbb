//! `CopyObject`: inside the store, with the keys wrapped for the new place.

use std::{collections::HashMap, time::SystemTime};

use futures_util::TryStreamExt as _;
use http::header::{IF_MATCH, IF_NONE_MATCH};
use s3s::{
    S3Error, S3ErrorCode, S3Request, S3Response, S3Result,
    dto::{
        CopyObjectInput, CopyObjectOutput, CopyObjectResult, ETagCondition, MetadataDirective,
        TaggingDirective, Timestamp,
    },
};
use sealwax_s3::{Attributes, ErrorKind, ObjectFormat, ObjectInfo, PlaintextSource, PutOutput};

use crate::{
    context::RequestContext,
    entity_tag,
    failure::{answer, copy_failure, invalid},
    gate::CopySource,
    multipart::Uploads,
    operations::{
        conditions::{on_read, source_conditions},
        reading::encrypted,
        tagging,
        writing::{attributes, stored_metadata},
    },
    rfc2047,
    upstream::Upstream,
};

/// Returns the source of a copy, as the gate has allowed it.
///
/// # Errors
/// It is Sealwax's own.
pub(crate) fn source<'a>(
    upstream: &Upstream,
    context: &'a RequestContext,
) -> S3Result<&'a CopySource> {
    let source = context.copy_source.as_ref();
    let source = source.ok_or_else(|| invalid("the request names no source"))?;
    upstream.check_key(&source.key)?;
    Ok(source)
}

/// Copies an object.
pub(crate) async fn copy(
    upstream: &Upstream,
    uploads: &Uploads,
    context: &RequestContext,
    request: S3Request<CopyObjectInput>,
) -> S3Result<S3Response<CopyObjectOutput>> {
    let (input, headers) = (request.input, request.headers);
    upstream.check_key(&input.key)?;
    let source = source(upstream, context)?;
    let replaces = match input.metadata_directive.as_ref().map(MetadataDirective::as_str) {
        None | Some(MetadataDirective::COPY) => false,
        Some(MetadataDirective::REPLACE) => true,
        Some(_) => return Err(invalid("the metadata directive is COPY or REPLACE")),
    };
    let replaces_tags = match input.tagging_directive.as_ref().map(TaggingDirective::as_str) {
        None | Some(TaggingDirective::COPY) => false,
        Some(TaggingDirective::REPLACE) => true,
        Some(_) => return Err(invalid("the tagging directive is COPY or REPLACE")),
    };
    let is_in_place = source.bucket == input.bucket && source.key == input.key;
    if is_in_place && source.version_id.is_none() && !replaces && input.storage_class.is_none() {
        let message = "a copy onto itself must change something";
        return Err(S3Error::with_message(S3ErrorCode::InvalidRequest, message));
    }
    let condition = |name| {
        headers.get(name).map(|value| {
            let condition = ETagCondition::parse_http_header(value.as_bytes());
            condition
                .map(|condition| entity_tag::stored(&condition))
                .map_err(|_| invalid("a condition is malformed"))
        })
    };
    let (if_match, if_none_match) =
        (condition(IF_MATCH).transpose()?, condition(IF_NONE_MATCH).transpose()?);
    // The copy is made of the object that the conditions hold for.
    let conditions = source_conditions!(input);
    let reader = upstream.reader(&source.bucket, &source.key);
    let head = reader.head().bucket(&source.bucket).key(&source.key);
    let head = on_read!(head, conditions, &source.version_id);
    let info = head.send().await.map_err(|error| match error.kind() {
        ErrorKind::NotModified => {
            let message = "a condition of the copy's source does not hold";
            S3Error::with_message(S3ErrorCode::PreconditionFailed, message)
        }
        _ => answer(error),
    })?;
    let mut wanted: Attributes = attributes!(input, context);
    let own = stored_metadata(context)?;
    if !replaces_tags {
        wanted.tagging = None;
    } else if wanted.tagging.is_none() {
        wanted.tagging = Some(String::new());
    }
    if !replaces {
        // The directive keeps what describes the content.
        wanted.cache_control = None;
        wanted.content_disposition = None;
        wanted.content_encoding = None;
        wanted.content_language = None;
        wanted.content_type = None;
        wanted.expires = None;
    }
    let is_sealed = !matches!(info.format(), ObjectFormat::Unencrypted);
    // The store's copy would be of itself: there is no version to name.
    let is_of_itself = is_in_place && source.version_id.is_none() && info.version_id.is_none();
    if is_of_itself || !is_sealed {
        if !replaces {
            wanted.cache_control.clone_from(&info.cache_control);
            wanted.content_disposition.clone_from(&info.content_disposition);
            wanted.content_encoding.clone_from(&info.content_encoding);
            wanted.content_language.clone_from(&info.content_language);
            wanted.content_type.clone_from(&info.content_type);
            wanted.expires.clone_from(&info.expires);
        }
        if !replaces_tags {
            wanted.tagging = Some(tagging::query(upstream, source).await?);
        }
        let own = if replaces { own } else { kept_metadata(&info) };
        let place = (&*input.bucket, &*input.key);
        let (state, conditions) = ((upstream, uploads), (if_match, if_none_match));
        let stored = sealed_anew(state, source, &info, place, wanted, own, conditions).await?;
        return Ok(S3Response::new(CopyObjectOutput {
            copy_object_result: Some(CopyObjectResult {
                e_tag: stored.e_tag.as_deref().map(entity_tag::shown),
                last_modified: Some(Timestamp::from(SystemTime::now())),
                ..CopyObjectResult::default()
            }),
            copy_source_version_id: info.version_id,
            server_side_encryption: Some(encrypted()),
            version_id: stored.version_id,
            ..CopyObjectOutput::default()
        }));
    }
    let mut copy = upstream
        .client()
        .copy()
        .source_bucket(&source.bucket)
        .source_key(&source.key)
        .bucket(input.bucket)
        .key(input.key);
    // A copy onto itself is one of this version.
    let own_version = info.version_id.as_ref().filter(|_| is_in_place);
    if let Some(version_id) = source.version_id.as_ref().or(own_version) {
        copy = copy.source_version_id(version_id);
    }
    if let Some(e_tag) = info.e_tag {
        copy = copy.source_if_match(e_tag);
    }
    if let Some(e_tag) = if_match {
        copy = copy.if_match(e_tag);
    }
    if let Some(e_tag) = if_none_match {
        copy = copy.if_none_match(e_tag);
    }
    if replaces {
        copy = copy.attributes(wanted).only_own_metadata();
        for (name, value) in own {
            copy = copy.metadata(name, value);
        }
    } else {
        copy = copy.override_attributes(wanted);
    }
    let copied = copy.send().await.map_err(answer)?;
    Ok(S3Response::new(CopyObjectOutput {
        copy_object_result: Some(CopyObjectResult {
            e_tag: copied.e_tag.as_deref().map(entity_tag::shown),
            // The client was not told when the store made the copy.
            last_modified: Some(Timestamp::from(SystemTime::now())),
            ..CopyObjectResult::default()
        }),
        copy_source_version_id: copied.source.version_id.clone(),
        server_side_encryption: Some(encrypted()),
        version_id: copied.version_id,
        ..CopyObjectOutput::default()
    }))
}

/// Returns the user-defined metadata of a source. Some stores tell that of unsealed objects in UTF-8.
fn kept_metadata(info: &ObjectInfo) -> HashMap<String, String> {
    let kept = info.metadata.iter();
    kept.map(|(name, value)| (name.clone(), rfc2047::ascii(value))).collect()
}

/// Reads an object, which need not be sealed in all places, and seals it at another place or in its own,
/// with other attributes.
async fn sealed_anew(
    (upstream, uploads): (&Upstream, &Uploads),
    source: &CopySource,
    info: &ObjectInfo,
    (bucket, key): (&str, &str),
    attributes: Attributes,
    metadata: HashMap<String, String>,
    (if_match, if_none_match): (Option<String>, Option<String>),
) -> S3Result<PutOutput> {
    let reader = upstream.reader(&source.bucket, &source.key);
    let mut get = reader.get().bucket(&source.bucket).key(&source.key);
    if let Some(e_tag) = &info.e_tag {
        get = get.if_match(e_tag);
    }
    if let Some(version_id) = &source.version_id {
        get = get.version_id(version_id);
    }
    let content = get.send().await.map_err(answer)?.into_slow_stream();
    let mut put = upstream
        .client()
        .put()
        .bucket(bucket)
        .key(key)
        .attributes(attributes)
        .encryption_context(info.encryption_context().clone())
        .body(PlaintextSource::slow_stream(content.map_err(std::io::Error::other)));
    if matches!(info.format(), ObjectFormat::Unencrypted) {
        for (name, value) in upstream.context() {
            put = put.context(name, value);
        }
    }
    for (name, value) in metadata {
        put = put.metadata(name, value);
    }
    if let Some(record) = uploads.new_record() {
        put = put.record(record);
    }
    if let Some(e_tag) = if_match {
        put = put.if_match(e_tag);
    }
    if let Some(e_tag) = if_none_match {
        put = put.if_none_match(e_tag);
    }
    put.send().await.map_err(copy_failure)
}
