//! `ListObjects`, `ListObjectsV2` and `ListObjectVersions`.
//!
//! No owner is told: it is the store's account, which is not the clients' to know.
//! The store lists; lengths become those of the plaintext by arithmetic, but where unsealed objects may be.
//! Keys come from the store URL
//! encoded, as XML can't express all of them, and go to the client as it asks for.

use aws_sdk_s3::types;
use futures_util::{StreamExt as _, stream};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use s3s::{
    S3Request, S3Response, S3Result,
    dto::{
        CommonPrefix, DeleteMarkerEntry, EncodingType, ListObjectVersionsInput,
        ListObjectVersionsOutput, ListObjectsInput, ListObjectsOutput, ListObjectsV2Input,
        ListObjectsV2Output, Object, ObjectStorageClass, ObjectVersion, ObjectVersionStorageClass,
    },
};
use sealwax_s3::decode_key;

use crate::{
    entity_tag,
    failure::{invalid, store_answer},
    unsealed::ListedObject,
    upstream::{Upstream, timestamp},
};

/// Characters that S3 leaves unencoded in a listing.
const KEPT: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'*').remove(b'/');

/// Requests at a time for the lengths of objects that may be unsealed.
const LOOKUPS: usize = 16;

/// Way in which keys are written for the client.
#[derive(Clone, Copy)]
struct Encoding {
    is_url: bool,
}

impl Encoding {
    fn new(requested: Option<&EncodingType>) -> S3Result<Self> {
        match requested.map(EncodingType::as_str) {
            None => Ok(Self { is_url: false }),
            Some(EncodingType::URL) => Ok(Self { is_url: true }),
            Some(_) => Err(invalid("the encoding type is not url")),
        }
    }

    /// Returns a key, a prefix or a marker as the client asked for it.
    fn of(self, plain: &str) -> String {
        match self.is_url {
            true => utf8_percent_encode(plain, KEPT).to_string(),
            false => plain.to_owned(),
        }
    }

    /// Returns what the store wrote URL encoded as the client asked for it.
    fn again(self, encoded: Option<&str>) -> Option<String> {
        let encoded = encoded?;
        let plain = decode_key(encoded);
        Some(self.of(plain.as_deref().unwrap_or(encoded)))
    }

    fn name(self) -> Option<EncodingType> {
        self.is_url.then(|| EncodingType::from_static(EncodingType::URL))
    }
}

/// Returns the delimiter. S3 takes an empty one for none, and does not repeat it.
fn delimiter(requested: Option<String>) -> Option<String> {
    requested.filter(|delimiter| !delimiter.is_empty())
}

/// Lists objects, version 2.
pub(crate) async fn objects(
    upstream: &Upstream,
    request: S3Request<ListObjectsV2Input>,
) -> S3Result<S3Response<ListObjectsV2Output>> {
    let mut input = request.input;
    input.delimiter = delimiter(input.delimiter);
    let encoding = Encoding::new(input.encoding_type.as_ref())?;
    let bucket = input.bucket;
    let target = format!("s3://{bucket}");
    let output = upstream
        .client()
        .s3()
        .list_objects_v2()
        .bucket(&bucket)
        .set_prefix(input.prefix.clone())
        .set_delimiter(input.delimiter.clone())
        .set_max_keys(input.max_keys)
        .set_start_after(input.start_after.clone())
        .set_continuation_token(input.continuation_token.clone())
        .encoding_type(types::EncodingType::Url)
        .send()
        .await
        .map_err(|error| store_answer(upstream.client(), "ListObjectsV2", &target, &error))?;
    let (contents, prefixes) = (
        contents(upstream, &bucket, encoding, output.contents()).await,
        folders(upstream, encoding, output.common_prefixes()),
    );
    let count = contents.len() + prefixes.len();
    Ok(S3Response::new(ListObjectsV2Output {
        name: output.name,
        prefix: input.prefix.map(|prefix| encoding.of(&prefix)).or(Some(String::new())),
        max_keys: output.max_keys.or(input.max_keys),
        key_count: i32::try_from(count).ok(),
        continuation_token: input.continuation_token,
        is_truncated: output.is_truncated.or(Some(false)),
        next_continuation_token: output.next_continuation_token,
        contents: Some(contents),
        common_prefixes: Some(prefixes),
        delimiter: input.delimiter.map(|delimiter| encoding.of(&delimiter)),
        encoding_type: encoding.name(),
        start_after: input.start_after.map(|key| encoding.of(&key)),
        request_charged: None,
    }))
}

/// Lists objects, version 1.
pub(crate) async fn objects_v1(
    upstream: &Upstream,
    request: S3Request<ListObjectsInput>,
) -> S3Result<S3Response<ListObjectsOutput>> {
    let mut input = request.input;
    input.delimiter = delimiter(input.delimiter);
    let encoding = Encoding::new(input.encoding_type.as_ref())?;
    let bucket = input.bucket;
    let target = format!("s3://{bucket}");
    let output = upstream
        .client()
        .s3()
        .list_objects()
        .bucket(&bucket)
        .set_prefix(input.prefix.clone())
        .set_delimiter(input.delimiter.clone())
        .set_max_keys(input.max_keys)
        .set_marker(input.marker.clone())
        .encoding_type(types::EncodingType::Url)
        .send()
        .await
        .map_err(|error| store_answer(upstream.client(), "ListObjects", &target, &error))?;
    // Without a delimiter, S3 names no next marker: it is the last key, which may be hidden.
    let last = output.contents().last().and_then(types::Object::key);
    let is_truncated = output.is_truncated.unwrap_or_default();
    let next = output.next_marker().or_else(|| last.filter(|_| is_truncated));
    let contents = contents(upstream, &bucket, encoding, output.contents()).await;
    let is_last_hidden = next == last
        && last.is_some()
        && contents.last().is_none_or(|object| object.key != encoding.again(last));
    let shows_next = input.delimiter.is_some() || is_last_hidden;
    Ok(S3Response::new(ListObjectsOutput {
        name: output.name.clone(),
        prefix: Some(encoding.of(input.prefix.as_deref().unwrap_or_default())),
        marker: Some(encoding.of(input.marker.as_deref().unwrap_or_default())),
        max_keys: output.max_keys.or(input.max_keys),
        is_truncated: Some(is_truncated),
        next_marker: encoding.again(next.filter(|_| shows_next)),
        common_prefixes: Some(folders(upstream, encoding, output.common_prefixes())),
        contents: Some(contents),
        delimiter: input.delimiter.map(|delimiter| encoding.of(&delimiter)),
        encoding_type: encoding.name(),
        request_charged: None,
    }))
}

/// Lists versions and delete markers.
pub(crate) async fn versions(
    upstream: &Upstream,
    request: S3Request<ListObjectVersionsInput>,
) -> S3Result<S3Response<ListObjectVersionsOutput>> {
    let mut input = request.input;
    input.delimiter = delimiter(input.delimiter);
    let encoding = Encoding::new(input.encoding_type.as_ref())?;
    let bucket = input.bucket;
    let target = format!("s3://{bucket}");
    let output = upstream
        .client()
        .s3()
        .list_object_versions()
        .bucket(&bucket)
        .set_prefix(input.prefix.clone())
        .set_delimiter(input.delimiter.clone())
        .set_max_keys(input.max_keys)
        .set_key_marker(input.key_marker.clone())
        .set_version_id_marker(input.version_id_marker.clone())
        .encoding_type(types::EncodingType::Url)
        .send()
        .await
        .map_err(|error| store_answer(upstream.client(), "ListObjectVersions", &target, &error))?;
    let shown = output.versions().iter().filter(|version| is_shown(upstream, version.key()));
    let shown: Vec<_> = shown.map(|it| version_of(upstream, &bucket, encoding, it)).collect();
    let versions = stream::iter(shown).buffered(LOOKUPS).collect().await;
    let markers = output.delete_markers().iter().filter(|marker| is_shown(upstream, marker.key()));
    let markers = markers.map(|marker| DeleteMarkerEntry {
        is_latest: marker.is_latest,
        key: encoding.again(marker.key()),
        last_modified: marker.last_modified.and_then(timestamp),
        version_id: marker.version_id.clone(),
        ..DeleteMarkerEntry::default()
    });
    Ok(S3Response::new(ListObjectVersionsOutput {
        versions: Some(versions),
        delete_markers: Some(markers.collect()),
        common_prefixes: Some(folders(upstream, encoding, output.common_prefixes())),
        name: output.name.clone(),
        prefix: Some(encoding.of(input.prefix.as_deref().unwrap_or_default())),
        key_marker: Some(encoding.of(input.key_marker.as_deref().unwrap_or_default())),
        version_id_marker: input.version_id_marker,
        max_keys: output.max_keys.or(input.max_keys),
        is_truncated: output.is_truncated.or(Some(false)),
        next_key_marker: encoding.again(output.next_key_marker()),
        next_version_id_marker: output.next_version_id_marker.clone(),
        delimiter: input.delimiter.map(|delimiter| encoding.of(&delimiter)),
        encoding_type: encoding.name(),
        request_charged: None,
    }))
}

async fn contents(
    upstream: &Upstream,
    bucket: &str,
    encoding: Encoding,
    listed: &[types::Object],
) -> Vec<Object> {
    let shown = listed.iter().filter(|object| is_shown(upstream, object.key()));
    let shown: Vec<_> = shown.map(|it| object_of(upstream, bucket, encoding, it)).collect();
    stream::iter(shown).buffered(LOOKUPS).collect().await
}

async fn object_of(
    upstream: &Upstream,
    bucket: &str,
    encoding: Encoding,
    object: &types::Object,
) -> Object {
    let class = object.storage_class.as_ref();
    Object {
        e_tag: object.e_tag().map(entity_tag::shown),
        key: encoding.again(object.key()),
        last_modified: object.last_modified.and_then(timestamp),
        size: {
            let place = (bucket, object.key(), None);
            plaintext_len(upstream, place, object.e_tag(), object.size).await
        },
        storage_class: class.map(|class| ObjectStorageClass::from(class.as_str().to_owned())),
        ..Object::default()
    }
}

async fn version_of(
    upstream: &Upstream,
    bucket: &str,
    encoding: Encoding,
    version: &types::ObjectVersion,
) -> ObjectVersion {
    let class = version.storage_class.as_ref();
    ObjectVersion {
        e_tag: version.e_tag().map(entity_tag::shown),
        is_latest: version.is_latest,
        key: encoding.again(version.key()),
        last_modified: version.last_modified.and_then(timestamp),
        size: {
            let place = (bucket, version.key(), version.version_id());
            plaintext_len(upstream, place, version.e_tag(), version.size).await
        },
        storage_class: class
            .map(|class| ObjectVersionStorageClass::from(class.as_str().to_owned())),
        version_id: version.version_id.clone(),
        ..ObjectVersion::default()
    }
}

fn folders(
    upstream: &Upstream,
    encoding: Encoding,
    listed: &[types::CommonPrefix],
) -> Vec<CommonPrefix> {
    let shown = listed.iter().filter(|folder| is_shown(upstream, folder.prefix()));
    shown.map(|folder| CommonPrefix { prefix: encoding.again(folder.prefix()) }).collect()
}

/// `true` unless the key, which the store wrote URL encoded, is Sealwax's own.
fn is_shown(upstream: &Upstream, encoded: Option<&str>) -> bool {
    encoded.and_then(decode_key).is_none_or(|key| !upstream.hides(&key))
}

/// Returns the length of the plaintext of what is listed with `stored` bytes.
async fn plaintext_len(
    upstream: &Upstream,
    (bucket, encoded_key, version_id): (&str, Option<&str>, Option<&str>),
    e_tag: Option<&str>,
    stored: Option<i64>,
) -> Option<i64> {
    let stored_len = stored.and_then(|len| u64::try_from(len).ok())?;
    let listed = upstream.has_places_for_unsealed().then(|| ListedObject {
        bucket: bucket.to_owned(),
        key: decode_key(encoded_key.unwrap_or_default()).unwrap_or_default(),
        version_id: version_id.map(ToOwned::to_owned),
        e_tag: e_tag.unwrap_or_default().to_owned(),
    });
    i64::try_from(upstream.plaintext_len(listed, stored_len).await).ok()
}
