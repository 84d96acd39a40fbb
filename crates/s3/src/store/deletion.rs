//! Deletions, and what became of one whose answer was lost, or was a lie.
//!
//! The SDK's own retry of a conditional delete meets its own deletion, and S3 answers 404 or 412.
//! So a failed delete is judged by what is there afterwards.
//!
//! A success is not taken on trust either: some stores, and proxies in front of them, answer a delete
//! with success and keep the object. One look is enough for each bucket, and one more for deletions of
//! versions. Amazon S3 needs none.

use aws_sdk_s3::operation::head_object::HeadObjectOutput;

use super::{
    Store,
    lost_answer::may_be_done,
    server_clock::ServerClock,
    snapshot::{Snapshot, is_same_state},
};
use crate::{
    backoff::unthrottled,
    error::{Error, ErrorKind, ObjectRef, aws_failure::AwsFailure},
};

/// S3's answer to a delete.
#[derive(Debug, Default)]
pub(crate) struct Deleted {
    pub(crate) version_id: Option<String>,
    pub(crate) is_delete_marker: bool,
}

/// A delete that did not delete the object, as far as the store tells.
#[derive(Debug)]
pub(crate) enum DeleteFailure {
    /// The call failed.
    Failed { failure: Box<AwsFailure>, afterwards: Afterwards },
    /// The store reported success, and the object is still there.
    Ignored,
}

/// The object after a failed delete.
#[derive(Debug)]
pub(crate) enum Afterwards {
    /// S3 refused the delete.
    Untouched,
    /// An object is there.
    Present(Box<HeadObjectOutput>),
    /// S3 did not say.
    Unknown,
}

/// The object before a delete.
#[derive(Debug)]
pub(crate) struct Before {
    head: HeadObjectOutput,
    is_amazon_s3: bool,
}

/// When to look whether the store deleted the object.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Look<'a> {
    /// If it is not known that the bucket's store deletes objects. A caller may know how the object
    /// was before.
    Once(Option<&'a Before>),
    /// After each delete.
    Always,
    /// Not at all: what stays does no harm.
    Never,
}

/// Answer of the store about an object.
enum Seen {
    There(Box<Before>),
    Gone,
    /// The caller may not look.
    Denied,
    Unknown,
}

impl From<HeadObjectOutput> for Before {
    /// It is not known whether Amazon S3 answered.
    fn from(head: HeadObjectOutput) -> Self {
        Self { head, is_amazon_s3: false }
    }
}

impl From<&Snapshot> for Before {
    fn from(snapshot: &Snapshot) -> Self {
        Self { head: snapshot.head.clone(), is_amazon_s3: snapshot.is_amazon_s3 }
    }
}

impl DeleteFailure {
    /// Returns the HTTP status of a failed call.
    pub(crate) fn status(&self) -> Option<u16> {
        match self {
            Self::Failed { failure, .. } => failure.status,
            Self::Ignored => None,
        }
    }

    /// Describes the failure.
    pub(crate) fn into_error(self, target: &ObjectRef) -> Error {
        match self {
            Self::Failed { failure, afterwards } => {
                let error = target.s3_failure("DeleteObject", *failure);
                match afterwards {
                    Afterwards::Untouched | Afterwards::Present(_) => error,
                    Afterwards::Unknown => error.with_suffix("it may be deleted: S3 did not tell"),
                }
            }
            Self::Ignored => {
                let message = "the store reported a deletion, and the object is still there";
                target.error(ErrorKind::Service, message)
            }
        }
    }
}

impl Store {
    /// Deletes the object, or one version of it, if it has the entity tag `if_match`.
    ///
    /// It succeeds if the object is gone, although the answer was lost. If `look` asks for it, a
    /// success counts only if the object is not there any more, in the state that it had before.
    pub(crate) fn delete(
        &self,
        target: &ObjectRef,
        version_id: Option<String>,
        if_match: Option<String>,
        look: Look<'_>,
    ) -> impl Future<Output = Result<Deleted, DeleteFailure>> {
        self.delete_retained(target, version_id, if_match, look, false)
    }

    /// Deletes the object as [`Store::delete`] does; with `bypasses_governance`, even if it is
    /// retained in governance mode.
    pub(crate) async fn delete_retained(
        &self,
        target: &ObjectRef,
        version_id: Option<String>,
        if_match: Option<String>,
        look: Look<'_>,
        bypasses_governance: bool,
    ) -> Result<Deleted, DeleteFailure> {
        let bucket = (target.bucket.as_str(), version_id.is_some());
        let seen;
        let before = match look {
            Look::Never => None,
            Look::Once(_) if self.is_known_to_delete(bucket) => None,
            Look::Once(Some(before)) => Some(before),
            Look::Once(None) | Look::Always => {
                seen = self.seen(target, version_id.as_deref()).await;
                match &seen {
                    Seen::There(before) => Some(&**before),
                    // To look again would show no more.
                    Seen::Denied => {
                        self.remember_to_delete(bucket);
                        None
                    }
                    Seen::Gone | Seen::Unknown => None,
                }
            }
        };
        let before = match before {
            Some(before) if before.is_amazon_s3 => {
                self.remember_to_delete(bucket);
                None
            }
            before => before,
        };
        let request = self.s3().delete_object().bucket(&target.bucket).key(&target.key);
        let request = request
            .set_version_id(version_id.clone())
            .set_if_match(if_match)
            .set_bypass_governance_retention(bypasses_governance.then_some(true));
        let send =
            || async { request.clone().send().await.map_err(|error| AwsFailure::new(&error)) };
        let failure = match unthrottled(send).await {
            Ok(output) => {
                if let Some(before) = before {
                    match self.seen(target, version_id.as_deref()).await {
                        Seen::There(after) if is_same_state(&before.head, &after.head) => {
                            return Err(DeleteFailure::Ignored);
                        }
                        Seen::Gone => self.remember_to_delete(bucket),
                        // Another writer has stored an object since, or the store does not tell.
                        Seen::There(_) | Seen::Denied | Seen::Unknown => {}
                    }
                }
                return Ok(Deleted {
                    version_id: output.version_id,
                    is_delete_marker: output.delete_marker.unwrap_or_default(),
                });
            }
            Err(failure) => failure,
        };
        if !may_be_done(&failure) || failure.code.as_deref() == Some("NoSuchBucket") {
            let (failure, afterwards) = (Box::new(failure), Afterwards::Untouched);
            return Err(DeleteFailure::Failed { failure, afterwards });
        }
        let afterwards = match self.seen(target, version_id.as_deref()).await {
            Seen::There(after) => Afterwards::Present(Box::new(after.head)),
            Seen::Gone => return Ok(Deleted::default()),
            Seen::Denied | Seen::Unknown => Afterwards::Unknown,
        };
        Err(DeleteFailure::Failed { failure: Box::new(failure), afterwards })
    }

    /// Looks at the object, or at one version of it.
    async fn seen(&self, target: &ObjectRef, version_id: Option<&str>) -> Seen {
        let clock = ServerClock::default();
        let head = self.s3().head_object().bucket(&target.bucket).key(&target.key);
        let head = head.set_version_id(version_id.map(str::to_owned));
        match head.customize().interceptor(clock.clone()).send().await {
            Ok(head) => Seen::There(Box::new(Before { head, is_amazon_s3: clock.is_amazon_s3() })),
            Err(error) => match AwsFailure::new(&error).status {
                Some(404) => Seen::Gone,
                Some(403) => Seen::Denied,
                _ => Seen::Unknown,
            },
        }
    }
}
