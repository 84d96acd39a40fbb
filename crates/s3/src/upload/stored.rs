//! Whether an upload that seems to have failed was stored after all.
//!
//! An answer can be lost, and the SDK's own retry of a conditional write then meets our object and says "412". What the
//! metadata holds is random for each sealing: an object that carries all of it is ours.

use super::Upload;
use crate::{aws_failure::AwsFailure, error::Error};

/// What S3 says of a stored object.
pub(super) struct Stored {
    pub(super) e_tag: Option<String>,
    pub(super) version_id: Option<String>,
}

impl Upload {
    /// After a failure of `call`: our object if it is there, else the failure.
    pub(super) async fn stored_after_all(
        &self,
        call: &'static str,
        failure: AwsFailure,
    ) -> Result<Stored, Error> {
        let may_be_ours = failure.is_ambiguous() || matches!(failure.status, Some(404 | 409 | 412));
        if may_be_ours && let Some(stored) = self.find_ours().await {
            return Ok(stored);
        }
        Err(self.target.s3_failure(call, failure))
    }

    async fn find_ours(&self) -> Option<Stored> {
        let head = self.client.s3().head_object().bucket(&self.target.bucket).key(&self.target.key);
        let output = head.send().await.ok()?;
        let is_ours = self.format.is_same_sealing(output.metadata());
        is_ours.then_some(Stored { e_tag: output.e_tag, version_id: output.version_id })
    }
}
