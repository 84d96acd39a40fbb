//! Deletions, and what became of one whose answer was lost.
//!
//! The SDK's own retry of a conditional delete meets its own deletion, and S3 answers 404 or 412.
//! So a failed delete is judged by what is there afterwards.

use aws_sdk_s3::operation::head_object::HeadObjectOutput;

use super::{Store, lost_answer::may_be_done};
use crate::{
    backoff::unthrottled,
    error::{Error, ObjectRef, aws_failure::AwsFailure},
};

/// S3's answer to a delete.
#[derive(Debug, Default)]
pub(crate) struct Deleted {
    pub(crate) version_id: Option<String>,
    pub(crate) is_delete_marker: bool,
}

/// A failed delete.
#[derive(Debug)]
pub(crate) struct DeleteFailure {
    pub(crate) failure: AwsFailure,
    pub(crate) afterwards: Afterwards,
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

impl DeleteFailure {
    /// Describes the failure.
    pub(crate) fn into_error(self, target: &ObjectRef) -> Error {
        let error = target.s3_failure("DeleteObject", self.failure);
        match self.afterwards {
            Afterwards::Untouched | Afterwards::Present(_) => error,
            Afterwards::Unknown => error.with_suffix("it may be deleted: S3 did not tell"),
        }
    }
}

impl Store {
    /// Deletes the object, or one version of it, if it has the entity tag `if_match`.
    ///
    /// It succeeds if the object is gone, although the answer was lost.
    pub(crate) async fn delete(
        &self,
        target: &ObjectRef,
        version_id: Option<String>,
        if_match: Option<String>,
    ) -> Result<Deleted, DeleteFailure> {
        let request = self.s3().delete_object().bucket(&target.bucket).key(&target.key);
        let request = request.set_version_id(version_id.clone()).set_if_match(if_match);
        let send =
            || async { request.clone().send().await.map_err(|error| AwsFailure::new(&error)) };
        let failure = match unthrottled(send).await {
            Ok(output) => {
                return Ok(Deleted {
                    version_id: output.version_id,
                    is_delete_marker: output.delete_marker.unwrap_or_default(),
                });
            }
            Err(failure) => failure,
        };
        if !may_be_done(&failure) || failure.code.as_deref() == Some("NoSuchBucket") {
            return Err(DeleteFailure { failure, afterwards: Afterwards::Untouched });
        }
        let head = self.s3().head_object().bucket(&target.bucket).key(&target.key);
        let afterwards = match head.set_version_id(version_id).send().await {
            Ok(head) => Afterwards::Present(Box::new(head)),
            Err(error) if AwsFailure::new(&error).status == Some(404) => {
                return Ok(Deleted::default());
            }
            Err(_) => Afterwards::Unknown,
        };
        Err(DeleteFailure { failure, afterwards })
    }
}
