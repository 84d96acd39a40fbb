//! Server-side copies: of an object onto itself, which changes its metadata and nothing else, and
//! to another key.

mod boundaries;
mod in_parts;
mod kept_checksum;
mod single;

use std::collections::HashMap;

use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::{
    Store, attributes::Attributes, conditions::WriteConditions, lost_answer::Stored,
    snapshot::Snapshot,
};
use crate::error::{Error, ErrorKind, ObjectRef, aws_failure::AwsFailure};

/// Characters that stay in `x-amz-copy-source`: RFC 3986 "unreserved", and the slash.
const COPY_SOURCE: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// A copy inside S3.
pub(crate) struct ServerCopy<'a> {
    pub(crate) store: &'a Store,
    pub(crate) source: &'a ObjectRef,
    /// The source when it was examined.
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) guard: SourceGuard,
    pub(crate) target: &'a ObjectRef,
    pub(crate) conditions: WriteConditions,
    pub(crate) attributes: Attributes,
    /// The `Expires` header verbatim: it may hold something that is not a date.
    pub(crate) expires: Option<String>,
    /// All user metadata of the copy.
    pub(crate) metadata: HashMap<String, String>,
    /// Recognizes this copy if its answer is lost.
    pub(crate) is_ours: &'a (dyn Fn(&HeadObjectOutput) -> bool + Send + Sync),
}

/// Precondition that keeps the source as it was examined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SourceGuard {
    /// The time of the last change. For a source that is the destination too: a change of the
    /// metadata shows in nothing else, and for an older version, which a version id would name,
    /// this condition always holds.
    LastModified,
    /// The entity tag, and the version in a versioned bucket.
    Version(Option<String>),
}

impl ServerCopy<'_> {
    /// Copies the object, in one request or in parts.
    pub(crate) async fn send(self) -> Result<Stored, Error> {
        let stored = if self.store.copies_in_parts(&self.snapshot.head) {
            in_parts::copy(&self).await?
        } else {
            single::copy(&self).await?
        };
        self.check_made(&stored).await?;
        Ok(stored)
    }

    /// Fails if the store did nothing, or if the copy kept the metadata of its source.
    ///
    /// Some stores ignore the metadata directive and report success. One look is enough for each store,
    /// and Amazon S3 needs none.
    async fn check_made(&self, stored: &Stored) -> Result<(), Error> {
        let ServerCopy { store, snapshot, target, .. } = self;
        let old = snapshot.head.metadata();
        if snapshot.is_amazon_s3 || old == Some(&self.metadata) {
            return Ok(());
        }
        let look = || async {
            let head = store.s3().head_object().bucket(&target.bucket).key(&target.key);
            let head = head.set_version_id(stored.version_id.clone()).send().await;
            let head = match head {
                Ok(head) => head,
                Err(error) if AwsFailure::new(&error).status == Some(404) => {
                    let message = "the store reported a copy, and it is not there";
                    return Err(Some(target.error(ErrorKind::Service, message)));
                }
                // The next copy is checked.
                Err(_) => return Err(None),
            };
            if (self.is_ours)(&head) {
                return Ok(());
            }
            if head.metadata() != old {
                // Another writer may have stored an object since.
                let is_older = snapshot.is_newer_than(&head);
                let message = "the store reported a copy, and an older object is still there";
                return Err(is_older.then(|| target.error(ErrorKind::Service, message)));
            }
            let message = "the store reported a copy with new metadata, and stored the old: it does \
                           not support the metadata directive of CopyObject";
            Err(Some(target.error(ErrorKind::Unsupported, message)))
        };
        match store.0.makes_copies.get_or_try_init(look).await {
            Ok(()) | Err(None) => Ok(()),
            Err(Some(error)) => Err(error),
        }
    }

    /// `x-amz-copy-source` of a whole copy.
    fn source(&self) -> String {
        match &self.guard {
            SourceGuard::LastModified => copy_source(self.source, None),
            SourceGuard::Version(version_id) => copy_source(self.source, version_id.as_deref()),
        }
    }

    /// `x-amz-copy-source` of a part.
    fn source_of_part(&self) -> String {
        match &self.guard {
            SourceGuard::LastModified => copy_source(self.source, self.snapshot.head.version_id()),
            SourceGuard::Version(version_id) => copy_source(self.source, version_id.as_deref()),
        }
    }

    /// Returns the copy if it was made although `call` failed, and the failure otherwise.
    async fn stored_after_all(
        &self,
        call: &'static str,
        failure: AwsFailure,
    ) -> Result<Stored, Error> {
        self.store.stored_after_all(self.target, call, failure, self.is_ours).await
    }
}

impl Snapshot {
    /// Refuses objects whose copy would lose something.
    pub(crate) fn check_copyable(&self, target: &ObjectRef) -> Result<(), Error> {
        if self.head.missing_meta().is_some_and(|count| count > 0) {
            let message =
                "S3 does not return all of its metadata in headers, so a copy would lose it";
            return Err(target.error(ErrorKind::Unsupported, message));
        }
        if self.head.e_tag().is_none() {
            return Err(target.error(ErrorKind::Service, "HeadObject returned no entity tag"));
        }
        Ok(())
    }
}

impl Store {
    /// `true` if the object is too long for one `CopyObject`, of S3 or of this client.
    pub(crate) fn copies_in_parts(&self, head: &HeadObjectOutput) -> bool {
        let len = head.content_length().and_then(|len| u64::try_from(len).ok());
        len.is_some_and(|len| len > self.copy_in_parts_above())
    }

    /// Copies the object onto itself with `metadata`, if it still is as in `snapshot`.
    ///
    /// `is_ours` recognizes this copy if its answer is lost.
    pub(crate) async fn replace_metadata(
        &self,
        target: &ObjectRef,
        snapshot: &Snapshot,
        metadata: HashMap<String, String>,
        is_ours: &(dyn Fn(&HeadObjectOutput) -> bool + Send + Sync),
    ) -> Result<Stored, Error> {
        let head = &snapshot.head;
        let grants = self.grants_to_keep(target, head.version_id()).await?;
        let copy = ServerCopy {
            store: self,
            source: target,
            snapshot,
            guard: SourceGuard::LastModified,
            target,
            conditions: WriteConditions { if_match: head.e_tag.clone(), ..Default::default() },
            attributes: grants.onto(Attributes::of_stored(head, snapshot.now.into())),
            expires: head.expires_string.clone(),
            metadata,
            is_ours,
        };
        copy.send().await
    }
}

/// Names an object, or one version of it, in `x-amz-copy-source`.
fn copy_source(target: &ObjectRef, version_id: Option<&str>) -> String {
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
            let target = ObjectRef::new("rewrap", &s3, Some(bucket.into()), Some(key.into()))
                .expect("a target");
            copy_source(&target, None)
        };
        assert_eq!(source("b", "a/b c+é?.txt"), "b/a/b%20c%2B%C3%A9%3F.txt");
        let access_point = "arn:aws:s3:us-west-2:123456789012:accesspoint/ap";
        assert_eq!(source(access_point, "k"), format!("{access_point}/object/k"));
    }
}
