//! Server-side copies: of an object onto itself, which changes its metadata and nothing else, and
//! to another key.

mod boundaries;
mod in_parts;
mod kept_checksum;
mod single;

use std::collections::HashMap;

use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use futures_util::{FutureExt as _, future::BoxFuture};

use super::{
    Store,
    attributes::Attributes,
    conditions::{Enforcement, WriteCall, WriteConditions},
    copy_source::copy_source,
    lost_answer::Stored,
    snapshot::Snapshot,
};
use crate::error::{Error, ErrorKind, ObjectRef, aws_failure::AwsFailure};

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
    /// Copies the object, in one request or in parts. Boxed, as the futures of copies nest deeply.
    pub(crate) fn send(&self) -> BoxFuture<'_, Result<Stored, Error>> {
        self.copy().boxed()
    }

    async fn copy(&self) -> Result<Stored, Error> {
        let is_in_parts = self.store.copies_in_parts(&self.snapshot.head);
        let call = if is_in_parts { WriteCall::Complete } else { WriteCall::Copy };
        self.store.prove_conditions(self.target, call, &self.conditions).await?;
        self.store.look_before(self.target, call, &self.conditions).await?;
        let stored = match is_in_parts {
            true => in_parts::copy(self).await,
            false => single::copy(self).await,
        };
        let stored = stored.map_err(|error| self.conditions.explain(error))?;
        self.check_made(&stored).await?;
        self.check_same_body(&stored).await?;
        Ok(stored)
    }

    /// Fails if the metadata of an object onto itself was replaced, and the body is another writer's:
    /// the store ignored the conditions of the copy.
    ///
    /// A body of the same length is not noticed where the store changes entity tags in copies.
    async fn check_same_body(&self, stored: &Stored) -> Result<(), Error> {
        let ServerCopy { store, snapshot, target, .. } = self;
        let is_sure = self.guard != SourceGuard::LastModified
            || snapshot.is_amazon_s3
            || stored.e_tag.is_none()
            || stored.e_tag == snapshot.head.e_tag;
        if is_sure {
            return Ok(());
        }
        let head = store.s3().head_object().bucket(&target.bucket).key(&target.key);
        let head = head.set_version_id(stored.version_id.clone()).send().await;
        match head {
            Ok(head)
                if head.content_length() != snapshot.head.content_length()
                    && (self.is_ours)(&head) =>
            {
                let message = "another writer replaced its body meanwhile, the store ignored the \
                               condition of the copy, and the new body now has the metadata of the \
                               old one: store that body again";
                Err(target.error(ErrorKind::ConditionIgnored, message))
            }
            _ => Ok(()),
        }
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
            // The condition on the source guards it too.
            conditions: WriteConditions {
                if_match: head.e_tag.clone(),
                if_none_match: None,
                enforcement: Enforcement::Guarded,
            },
            attributes: grants.onto(Attributes::of_stored(head, snapshot.now.into())),
            metadata,
            is_ours,
        };
        copy.send().await
    }
}
