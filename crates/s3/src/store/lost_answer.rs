//! Recovery from lost answers: a write that seems to have failed may have been stored.
//!
//! A response can be lost on the way. The SDK's own retry of a conditional write then meets the
//! object that the first attempt stored, and S3 answers "412 Precondition Failed". Each writer
//! puts something into the metadata that no other write has, and recognizes its object by it.
//!
//! A success is not taken on trust either: S3 names the entity tag of what it stored, so an answer
//! without one proves nothing.

use aws_sdk_s3::operation::head_object::HeadObjectOutput;

use super::Store;
use crate::error::{Error, ErrorKind, ObjectRef, aws_failure::AwsFailure};

/// An object's new version, as S3 reported it.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) e_tag: Option<String>,
    pub(crate) version_id: Option<String>,
}

/// `true` if a write that failed like this may have been carried out nevertheless.
pub(crate) fn may_be_done(failure: &AwsFailure) -> bool {
    failure.is_ambiguous() || matches!(failure.status, Some(404 | 409 | 412))
}

/// The object at a write's target, after the write.
enum AfterWrite {
    Ours(Stored),
    NotOurs,
    /// S3 did not say.
    Unknown,
}

impl Store {
    /// Returns the stored object if the failed write was carried out, and the failure otherwise.
    ///
    /// `call` is the API call that failed. `is_ours` recognizes the object of this write.
    pub(crate) async fn stored_after_all(
        &self,
        target: &ObjectRef,
        call: &'static str,
        failure: AwsFailure,
        is_ours: impl FnOnce(&HeadObjectOutput) -> bool,
    ) -> Result<Stored, Error> {
        if !may_be_done(&failure) {
            return Err(target.s3_failure(call, failure));
        }
        match self.after_write(target, is_ours).await {
            AfterWrite::Ours(stored) => Ok(stored),
            AfterWrite::NotOurs => Err(target.s3_failure(call, failure)),
            AfterWrite::Unknown => Err(target
                .s3_failure(call, failure)
                .with_suffix("the object may be stored: S3 did not tell")),
        }
    }

    /// Returns `stored` if S3's answer to a successful write names an entity tag. Without one, the
    /// object must be there.
    pub(crate) async fn confirmed(
        &self,
        target: &ObjectRef,
        call: &'static str,
        stored: Stored,
        is_ours: impl FnOnce(&HeadObjectOutput) -> bool,
    ) -> Result<Stored, Error> {
        if stored.e_tag.is_some() {
            return Ok(stored);
        }
        match self.after_write(target, is_ours).await {
            AfterWrite::Ours(stored) => Ok(stored),
            AfterWrite::NotOurs | AfterWrite::Unknown => Err(unconfirmed(target, call)),
        }
    }

    async fn after_write(
        &self,
        target: &ObjectRef,
        is_ours: impl FnOnce(&HeadObjectOutput) -> bool,
    ) -> AfterWrite {
        let head = self.s3().head_object().bucket(&target.bucket).key(&target.key).send().await;
        match head {
            Ok(head) if is_ours(&head) => {
                AfterWrite::Ours(Stored { e_tag: head.e_tag, version_id: head.version_id })
            }
            Ok(_) => AfterWrite::NotOurs,
            Err(error) if AwsFailure::new(&error).status == Some(404) => AfterWrite::NotOurs,
            Err(_) => AfterWrite::Unknown,
        }
    }
}

/// Describes a success that nothing shows to be one.
pub(crate) fn unconfirmed(target: &ObjectRef, call: &str) -> Error {
    let message = format!(
        "{call} was answered with success, but without an entity tag, and nothing shows that the \
         store carried it out"
    );
    target.error(ErrorKind::Service, message)
}
