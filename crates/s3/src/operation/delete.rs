//! Deleting an object.

use aws_sdk_s3::operation::delete_object::DeleteObjectOutput;

use super::object_setters;
use crate::{
    SealedClient,
    error::{Error, Target},
    sidecars,
};

/// Deletes an object: in a versioned bucket, hides it behind a delete marker. Wraps `DeleteObject`.
#[derive(Debug, Clone)]
#[must_use = "nothing happens before `send`"]
pub struct Delete {
    client: SealedClient,
    bucket: Option<String>,
    key: Option<String>,
    version_id: Option<String>,
    if_match: Option<String>,
}

impl Delete {
    pub(crate) fn new(client: SealedClient) -> Self {
        Self { client, bucket: None, key: None, version_id: None, if_match: None }
    }

    object_setters!();

    /// Deletes this version for good.
    pub fn version_id(mut self, version_id: impl Into<String>) -> Self {
        self.version_id = Some(version_id.into());
        self
    }

    /// Deletes only the object with this entity tag.
    pub fn if_match(mut self, e_tag: impl Into<String>) -> Self {
        self.if_match = Some(e_tag.into());
        self
    }

    /// Sends the request. It succeeds also where there was no such object.
    ///
    /// Where the client looks for sidecars and no version was named, the object's sidecar is deleted after it: two requests
    /// more.
    ///
    /// # Errors
    /// An [`Error`] of S3's making; one of the sidecar says that the object itself was deleted.
    pub async fn send(self) -> Result<DeleteObjectOutput, Error> {
        let s3 = self.client.s3();
        let target = Target::new("delete", s3, self.bucket, self.key)?;
        // A version's sidecar cannot be told from that of a later one by its name: it stays.
        let suffix = self.client.sidecars().suffix().filter(|_| self.version_id.is_none());
        let deleted = s3
            .delete_object()
            .bucket(&target.bucket)
            .key(&target.key)
            .set_version_id(self.version_id)
            .set_if_match(self.if_match)
            .send()
            .await
            .map_err(|error| target.s3("DeleteObject", &error))?;
        if let Some(suffix) = suffix {
            let sidecar = sidecars::delete(&self.client, &target, suffix).await;
            sidecar
                .map_err(|error| error.meaning("the object was deleted, but not its sidecar"))?;
        }
        Ok(deleted)
    }
}
