//! Recovery from lost answers: a write that seems to have failed may have been stored.
//!
//! A response can be lost on the way. The SDK's own retry of a conditional write then meets the
//! object that the first attempt stored, and S3 answers "412 Precondition Failed". Each writer
//! puts something into the metadata that no other write has, and recognizes its object by it.

use aws_sdk_s3::operation::head_object::HeadObjectOutput;

use super::Store;
use crate::error::{Error, ObjectRef, aws_failure::AwsFailure};

/// An object's new version, as S3 reported it.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) e_tag: Option<String>,
    pub(crate) version_id: Option<String>,
}

/// `true` if a write that failed like this may have been stored nevertheless.
pub(crate) fn may_be_stored(failure: &AwsFailure) -> bool {
    failure.is_ambiguous() || matches!(failure.status, Some(404 | 409 | 412))
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
        if may_be_stored(&failure) {
            let head = self.s3().head_object().bucket(&target.bucket).key(&target.key).send().await;
            if let Ok(head) = head
                && is_ours(&head)
            {
                return Ok(Stored { e_tag: head.e_tag, version_id: head.version_id });
            }
        }
        Err(target.s3_failure(call, failure))
    }
}
