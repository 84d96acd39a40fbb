//! The copy of an object onto itself that changes its metadata and nothing else.

mod boundaries;
mod checksum;
mod parts;
mod whole;

use std::collections::{BTreeMap, HashMap};

use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sealwax_envelope::metadata::is_reserved;

use super::{acl, present::Present};
use crate::{
    Attributes, SealedClient,
    aws_failure::AwsFailure,
    error::{Error, ErrorKind, Target},
};

/// What is left as it is in `x-amz-copy-source`: RFC 3986 "unreserved", and the slash.
const COPY_SOURCE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// What S3 says of the object's new version.
pub(crate) struct Stored {
    pub(crate) e_tag: Option<String>,
    pub(crate) version_id: Option<String>,
}

/// What the object is to have as its metadata: Sealwax's and the user's own.
pub(crate) struct NewMetadata {
    all: HashMap<String, String>,
}

impl NewMetadata {
    pub(crate) fn new(all: HashMap<String, String>) -> Self {
        Self { all }
    }

    /// Whether these are in what is stored. Only ours count: the generation tells our copy from others.
    fn are_in(&self, head: &HeadObjectOutput) -> bool {
        head.metadata().is_some_and(|stored| ours(stored) == ours(&self.all))
    }
}

/// Names and values of ours, by names in small letters: some stores change that.
fn ours(metadata: &HashMap<String, String>) -> BTreeMap<String, &str> {
    let ours = metadata.iter().filter(|(name, _)| is_reserved(name));
    ours.map(|(name, value)| (name.to_ascii_lowercase(), value.as_str())).collect()
}

/// Refuses objects whose copy would lose something, before KMS is asked.
pub(crate) fn check_possible(target: &Target, head: &HeadObjectOutput) -> Result<(), Error> {
    if head.missing_meta().is_some_and(|count| count > 0) {
        let message = "it has metadata that S3 does not return in headers and that a rewrap would lose";
        return Err(target.error(ErrorKind::Unsupported, message));
    }
    if head.e_tag().is_none() {
        return Err(target.error(ErrorKind::Service, "HeadObject gave no entity tag"));
    }
    Ok(())
}

/// Copies the object onto itself with other metadata, if it still is as `present`.
pub(crate) async fn onto_itself(
    client: &SealedClient,
    target: &Target,
    present: &Present,
    metadata: NewMetadata,
) -> Result<Stored, Error> {
    let head = &present.head;
    let grants = acl::grants_to_keep(client, target, head.version_id()).await?;
    let attributes = grants.onto(Attributes::of_stored(head, present.now.into()));
    match in_parts(client, head) {
        true => parts::copy(client, target, present, attributes, metadata).await,
        false => whole::copy(client, target, present, attributes, metadata).await,
    }
}

/// Whether the object is too long for one `CopyObject`, of S3 or of this client.
pub(crate) fn in_parts(client: &SealedClient, head: &HeadObjectOutput) -> bool {
    head.content_length().and_then(|len| u64::try_from(len).ok()).is_some_and(|len| len > client.copy_in_parts_above())
}

/// After a failure of `call`: our copy, if it is there. The answer may have been lost, and a retry of it then met our own
/// copy.
async fn stored_after_all(
    client: &SealedClient,
    target: &Target,
    metadata: &NewMetadata,
    call: &'static str,
    failure: AwsFailure,
) -> Result<Stored, Error> {
    if failure.is_ambiguous() || matches!(failure.status, Some(404 | 409 | 412)) {
        let head = client.s3().head_object().bucket(&target.bucket).key(&target.key).send().await;
        if let Ok(head) = head
            && metadata.are_in(&head)
        {
            return Ok(Stored { e_tag: head.e_tag, version_id: head.version_id });
        }
    }
    Err(target.s3_failure(call, failure))
}

/// The object as it is at that moment: of an older version, which a version's id would name, the condition on the time
/// always holds.
fn copy_source(target: &Target) -> String {
    let key = utf8_percent_encode(&target.key, COPY_SOURCE);
    // An access point is named by its ARN, with the word "object" before the key.
    let separator = if target.bucket.starts_with("arn:") { "/object/" } else { "/" };
    format!("{}{separator}{key}", target.bucket)
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
