//! Copies inside S3: of an object onto itself, which changes its metadata and nothing else, and to another place.

mod boundaries;
mod checksum;
mod parts;
mod whole;

use std::collections::{BTreeMap, HashMap};

use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sealwax_envelope::{metadata::is_reserved, s3ec};

use super::{acl, present::Present};
use crate::{
    Attributes, SealedClient,
    aws_failure::AwsFailure,
    error::{Error, ErrorKind, Target},
    upload::Conditions,
};

/// What is left as it is in `x-amz-copy-source`: RFC 3986 "unreserved", and the slash.
const COPY_SOURCE: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// What S3 says of the object's new version.
pub(crate) struct Stored {
    pub(crate) e_tag: Option<String>,
    pub(crate) version_id: Option<String>,
}

/// What the object is to have as its metadata: that of its format, and the user's own.
pub(crate) struct NewMetadata {
    all: HashMap<String, String>,
}

impl NewMetadata {
    pub(crate) fn new(all: HashMap<String, String>) -> Self {
        Self { all }
    }

    /// Whether these are in what is stored. The user's own do not count: the generation, or the wraps, tell our copy from
    /// others.
    fn are_in(&self, head: &HeadObjectOutput) -> bool {
        head.metadata().is_some_and(|stored| of_formats(stored) == of_formats(&self.all))
    }
}

/// Names and values of formats, by names in small letters: some stores change that.
fn of_formats(metadata: &HashMap<String, String>) -> BTreeMap<String, &str> {
    let named = metadata.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.as_str()));
    named.filter(|(name, _)| is_reserved(name) || s3ec::is_reserved(name)).collect()
}

/// Refuses objects whose copy would lose something, before KMS is asked.
pub(crate) fn check_possible(target: &Target, head: &HeadObjectOutput) -> Result<(), Error> {
    if head.missing_meta().is_some_and(|count| count > 0) {
        let message =
            "it has metadata that S3 does not return in headers and that a rewrap would lose";
        return Err(target.error(ErrorKind::Unsupported, message));
    }
    if head.e_tag().is_none() {
        return Err(target.error(ErrorKind::Service, "HeadObject gave no entity tag"));
    }
    Ok(())
}

/// A copy inside S3: of what, to where, on which conditions, and with what.
pub(in crate::operation) struct ServerCopy<'a> {
    pub(in crate::operation) client: &'a SealedClient,
    pub(in crate::operation) source: &'a Target,
    /// The source as it was seen.
    pub(in crate::operation) present: &'a Present,
    pub(in crate::operation) held: Held,
    pub(in crate::operation) target: &'a Target,
    pub(in crate::operation) conditions: Conditions,
    pub(in crate::operation) attributes: Attributes,
    /// `Expires` as it is: the header may hold what is no date.
    pub(in crate::operation) expires: Option<String>,
    pub(in crate::operation) metadata: NewMetadata,
    /// Whether no other copy can have this metadata: then a copy whose answer was lost is known by it.
    pub(in crate::operation) is_recognisable: bool,
}

/// What keeps the source as it was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::operation) enum Held {
    /// It is the destination too. The time of its last change, because other metadata shows in nothing else; of an older
    /// version, which a version's id would name, that condition always holds.
    ByTime,
    /// Its entity tag, and its version where there are versions.
    ByVersion(Option<String>),
}

impl ServerCopy<'_> {
    /// Copies, in one request or in parts.
    pub(in crate::operation) async fn send(self) -> Result<Stored, Error> {
        match in_parts(self.client, &self.present.head) {
            true => parts::copy(&self).await,
            false => whole::copy(&self).await,
        }
    }

    /// What a whole copy is of.
    fn source(&self) -> String {
        match &self.held {
            Held::ByTime => copy_source(self.source, None),
            Held::ByVersion(version_id) => copy_source(self.source, version_id.as_deref()),
        }
    }

    /// What a part of a copy is of.
    fn source_of_part(&self) -> String {
        match &self.held {
            Held::ByTime => copy_source(self.source, self.present.head.version_id()),
            Held::ByVersion(version_id) => copy_source(self.source, version_id.as_deref()),
        }
    }

    /// After a failure of `call`: our copy, if it is there. The answer may have been lost, and a retry of it then met our
    /// own copy.
    async fn stored_after_all(
        &self,
        call: &'static str,
        failure: AwsFailure,
    ) -> Result<Stored, Error> {
        let is_unsure = failure.is_ambiguous() || matches!(failure.status, Some(404 | 409 | 412));
        if self.is_recognisable && is_unsure {
            let head = self
                .client
                .s3()
                .head_object()
                .bucket(&self.target.bucket)
                .key(&self.target.key)
                .send()
                .await;
            if let Ok(head) = head
                && self.metadata.are_in(&head)
            {
                return Ok(Stored { e_tag: head.e_tag, version_id: head.version_id });
            }
        }
        Err(self.target.s3_failure(call, failure))
    }
}

/// Whether the object is too long for one `CopyObject`, of S3 or of this client.
pub(crate) fn in_parts(client: &SealedClient, head: &HeadObjectOutput) -> bool {
    head.content_length()
        .and_then(|len| u64::try_from(len).ok())
        .is_some_and(|len| len > client.copy_in_parts_above())
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
    let copy = ServerCopy {
        client,
        source: target,
        present,
        held: Held::ByTime,
        target,
        conditions: Conditions { if_match: head.e_tag.clone(), ..Conditions::default() },
        attributes: grants.onto(Attributes::of_stored(head, present.now.into())),
        expires: head.expires_string.clone(),
        metadata,
        is_recognisable: true,
    };
    copy.send().await
}

/// The object, as it is at that moment, or at one version.
fn copy_source(target: &Target, version_id: Option<&str>) -> String {
    let key = utf8_percent_encode(&target.key, COPY_SOURCE);
    // An access point is named by its ARN, with the word "object" before the key.
    let separator = if target.bucket.starts_with("arn:") { "/object/" } else { "/" };
    let source = format!("{}{separator}{key}", target.bucket);
    match version_id {
        Some(version_id) => {
            format!("{source}?versionId={}", utf8_percent_encode(version_id, NON_ALPHANUMERIC))
        }
        None => source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copy_sources_are_encoded() {
        let s3 = aws_sdk_s3::Client::from_conf(
            aws_sdk_s3::Config::builder()
                .behavior_version(aws_sdk_s3::config::BehaviorVersion::v2026_01_12())
                .build(),
        );
        let source = |bucket: &str, key: &str| {
            let target = Target::new("rewrap", &s3, Some(bucket.into()), Some(key.into()))
                .expect("a target");
            copy_source(&target, None)
        };
        assert_eq!(source("b", "a/b c+é?.txt"), "b/a/b%20c%2B%C3%A9%3F.txt");
        let access_point = "arn:aws:s3:us-west-2:123456789012:accesspoint/ap";
        assert_eq!(source(access_point, "k"), format!("{access_point}/object/k"));
    }
}
