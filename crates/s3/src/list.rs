//! What S3 lists.

use aws_sdk_s3::{Client, types::EncodingType};

use super::{ListedObject, Output, Unheard, unquoted, url_decoded};
use crate::error::{Error, ErrorKind, Target};

/// All objects whose keys begin with `prefix`.
pub(super) async fn objects(
    s3: &Client,
    bucket: &str,
    prefix: &str,
    output: &Output,
) -> Result<(), Error> {
    let target = Target::of_prefix("list", s3, bucket, prefix)?;
    let mut token = None;
    loop {
        let request = s3
            .list_objects_v2()
            .bucket(bucket)
            .set_prefix(given(prefix))
            .encoding_type(EncodingType::Url);
        let page = request.set_continuation_token(token.clone()).send().await;
        let page = page.map_err(|error| target.s3("ListObjectsV2", &error))?;
        let is_encoded = page.encoding_type == Some(EncodingType::Url);
        for object in page.contents.unwrap_or_default() {
            let listed = ListedObject {
                size: object.size.and_then(|size| size.try_into().ok()),
                e_tag: object.e_tag.as_deref().map(unquoted),
                last_modified: object.last_modified,
                storage_class: object.storage_class.map(|class| class.as_str().to_owned()),
                is_latest: Some(true),
                ..ListedObject::new(bucket, key(&target, object.key, is_encoded)?)
            };
            // Not every store that speaks S3 heeds the prefix.
            if listed.key.starts_with(prefix)
                && let Err(Unheard) = output.give(listed).await
            {
                return Ok(());
            }
        }
        if page.is_truncated != Some(true) {
            return Ok(());
        }
        if page.next_continuation_token.is_none() || page.next_continuation_token == token {
            return Err(endless(&target));
        }
        token = page.next_continuation_token;
    }
}

/// All versions of the objects whose keys begin with `prefix`.
pub(super) async fn versions(
    s3: &Client,
    bucket: &str,
    prefix: &str,
    output: &Output,
) -> Result<(), Error> {
    let target = Target::of_prefix("list", s3, bucket, prefix)?;
    let mut markers = (None, None);
    loop {
        let request = s3
            .list_object_versions()
            .bucket(bucket)
            .set_prefix(given(prefix))
            .encoding_type(EncodingType::Url);
        let (key_marker, version_marker) = markers.clone();
        let page =
            request.set_key_marker(key_marker).set_version_id_marker(version_marker).send().await;
        let page = page.map_err(|error| target.s3("ListObjectVersions", &error))?;
        let is_encoded = page.encoding_type == Some(EncodingType::Url);
        for version in page.versions.unwrap_or_default() {
            let listed = ListedObject {
                version_id: version.version_id,
                is_latest: version.is_latest,
                size: version.size.and_then(|size| size.try_into().ok()),
                e_tag: version.e_tag.as_deref().map(unquoted),
                last_modified: version.last_modified,
                storage_class: version.storage_class.map(|class| class.as_str().to_owned()),
                ..ListedObject::new(bucket, key(&target, version.key, is_encoded)?)
            };
            if listed.key.starts_with(prefix)
                && let Err(Unheard) = output.give(listed).await
            {
                return Ok(());
            }
        }
        if page.is_truncated != Some(true) {
            return Ok(());
        }
        let next_key = page
            .next_key_marker
            .map(|marker| key(&target, Some(marker), is_encoded))
            .transpose()?;
        let next = (next_key, page.next_version_id_marker);
        if next.0.is_none() || next == markers {
            return Err(endless(&target));
        }
        markers = next;
    }
}

fn given(prefix: &str) -> Option<String> {
    (!prefix.is_empty()).then(|| prefix.to_owned())
}

fn key(target: &Target, key: Option<String>, is_encoded: bool) -> Result<String, Error> {
    let decoded = key.and_then(|key| if is_encoded { url_decoded(&key) } else { Some(key) });
    decoded.ok_or_else(|| {
        target
            .error(ErrorKind::InvalidListing, "the service lists an object without a key in UTF-8")
    })
}

fn endless(target: &Target) -> Error {
    target.error(ErrorKind::InvalidListing, "the service does not say where its list goes on")
}
