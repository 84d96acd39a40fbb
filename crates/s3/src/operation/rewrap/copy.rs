//! The copy of an object onto itself that changes its metadata and nothing else.

use std::collections::HashMap;

use aws_sdk_s3::{
    operation::head_object::HeadObjectOutput,
    types::{ChecksumAlgorithm, MetadataDirective, TaggingDirective},
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::{acl, present::Present};
use crate::{
    Attributes, ObjectFormat, SealedClient,
    aws_failure::AwsFailure,
    error::{Error, ErrorKind, Target},
    object::join_metadata,
};

/// Most bytes that one `CopyObject` copies: 5 GiB. (Amazon S3 API Reference, `CopyObject`.)
const MAX_COPY_LEN: i64 = 5 << 30;

/// What is left as it is in `x-amz-copy-source`: RFC 3986 "unreserved", and the slash.
const COPY_SOURCE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// What S3 says of the object's new version.
pub(super) struct Stored {
    pub(super) e_tag: Option<String>,
    pub(super) version_id: Option<String>,
}

/// Refuses objects whose copy would fail, or would lose something, before KMS is asked.
pub(super) fn check_possible(target: &Target, head: &HeadObjectOutput) -> Result<(), Error> {
    if head.content_length().is_some_and(|len| len > MAX_COPY_LEN) {
        let message = "it is larger than the 5 GiB that S3 copies at once, and this version rewraps no larger objects";
        return Err(target.error(ErrorKind::Unsupported, message));
    }
    if head.missing_meta().is_some_and(|count| count > 0) {
        let message = "it has metadata that S3 does not return in headers and that a rewrap would lose";
        return Err(target.error(ErrorKind::Unsupported, message));
    }
    if head.e_tag().is_none() {
        return Err(target.error(ErrorKind::Service, "HeadObject gave no entity tag"));
    }
    Ok(())
}

/// Copies the object onto itself with the metadata of `format`, if it still is as `present`.
pub(super) async fn onto_itself(
    client: &SealedClient,
    target: &Target,
    present: &Present,
    format: &ObjectFormat,
    own_metadata: &HashMap<String, String>,
) -> Result<Stored, Error> {
    let head = &present.head;
    let grants = acl::grants_to_keep(client, target, head.version_id()).await?;
    let attributes = grants.onto(Attributes::of_stored(head, present.now.into()));
    let request = client
        .s3()
        .copy_object()
        .bucket(&target.bucket)
        .key(&target.key)
        .copy_source(copy_source(target))
        .copy_source_if_unmodified_since(present.unmodified_since())
        .set_if_match(head.e_tag.clone())
        .metadata_directive(MetadataDirective::Replace)
        .tagging_directive(TaggingDirective::Copy)
        .set_checksum_algorithm(checksum_algorithm(head))
        .set_metadata(Some(join_metadata(format, own_metadata)));
    let mut request = attributes.on_copy(request).customize();
    if let Some(expires) = head.expires_string.clone() {
        // Kept as it is: the header may hold what is no date.
        request = request.mutate_request(move |request| {
            let _ = request.headers_mut().try_insert("expires", expires.clone());
        });
    }
    match request.send().await {
        Ok(output) => {
            let e_tag = output.copy_object_result.and_then(|result| result.e_tag);
            Ok(Stored { e_tag, version_id: output.version_id })
        }
        Err(error) => stored_after_all(client, target, format, AwsFailure::new(&error)).await,
    }
}

/// After a failure: our copy, if it is there. The answer may have been lost, and a retry of it then met our own copy.
async fn stored_after_all(
    client: &SealedClient,
    target: &Target,
    format: &ObjectFormat,
    failure: AwsFailure,
) -> Result<Stored, Error> {
    if failure.is_ambiguous() || matches!(failure.status, Some(409 | 412)) {
        let head = client.s3().head_object().bucket(&target.bucket).key(&target.key).send().await;
        if let Ok(head) = head
            && format.is_all_of(head.metadata())
        {
            return Ok(Stored { e_tag: head.e_tag, version_id: head.version_id });
        }
    }
    Err(target.s3_failure("CopyObject", failure))
}

/// The object as it is at that moment: of an older version, which a version's id would name, the condition always holds.
fn copy_source(target: &Target) -> String {
    let key = utf8_percent_encode(&target.key, COPY_SOURCE);
    // An access point is named by its ARN, with the word "object" before the key.
    let separator = if target.bucket.starts_with("arn:") { "/object/" } else { "/" };
    format!("{}{separator}{key}", target.bucket)
}

/// The object's checksum algorithm, which the copy is to have too.
fn checksum_algorithm(head: &HeadObjectOutput) -> Option<ChecksumAlgorithm> {
    let present = [
        (head.checksum_crc64_nvme(), ChecksumAlgorithm::Crc64Nvme),
        (head.checksum_crc32_c(), ChecksumAlgorithm::Crc32C),
        (head.checksum_crc32(), ChecksumAlgorithm::Crc32),
        (head.checksum_sha256(), ChecksumAlgorithm::Sha256),
        (head.checksum_sha1(), ChecksumAlgorithm::Sha1),
    ];
    present.into_iter().find_map(|(checksum, algorithm)| checksum.map(|_| algorithm))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copy_sources_are_encoded() {
        let s3 = aws_sdk_s3::Client::from_conf(
            aws_sdk_s3::Config::builder().behavior_version(aws_sdk_s3::config::BehaviorVersion::v2026_01_12()).build(),
        );
        let source = |bucket: &str, key: &str| {
            let target = Target::new("rewrap", &s3, Some(bucket.into()), Some(key.into())).expect("a target");
            copy_source(&target)
        };
        assert_eq!(source("b", "a/b c+é?.txt"), "b/a/b%20c%2B%C3%A9%3F.txt");
        let access_point = "arn:aws:s3:us-west-2:123456789012:accesspoint/ap";
        assert_eq!(source(access_point, "k"), format!("{access_point}/object/k"));
    }
}
