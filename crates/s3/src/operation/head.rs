//! What is known without any key.

use super::{
    conditions::{ReadConditions, condition_setters, on_request},
    object_setters,
};
use crate::{
    ObjectFormat, ObjectInfo, SealedClient,
    error::{Error, Target},
};

/// Reads what is known of an object without any key, by one `HeadObject`; and one `GetObject` of its instruction file, where
/// the S3 Encryption Client may have written one. No KMS call is made, so nothing of the answer is authenticated.
#[derive(Debug, Clone)]
#[must_use = "nothing happens before `send`"]
pub struct Head {
    client: SealedClient,
    bucket: Option<String>,
    key: Option<String>,
    version_id: Option<String>,
    conditions: ReadConditions,
    instruction_file_suffix: Option<String>,
}

impl Head {
    pub(crate) fn new(client: SealedClient) -> Self {
        Self {
            client,
            bucket: None,
            key: None,
            version_id: None,
            conditions: ReadConditions::default(),
            instruction_file_suffix: None,
        }
    }

    object_setters!();

    /// Asks for this version.
    pub fn version_id(mut self, version_id: impl Into<String>) -> Self {
        self.version_id = Some(version_id.into());
        self
    }

    /// What follows the object's key in that of its instruction file: `.instruction` unless set.
    pub fn instruction_file_suffix(mut self, suffix: impl Into<String>) -> Self {
        self.instruction_file_suffix = Some(suffix.into());
        self
    }

    condition_setters!();

    /// Sends the request.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotSealed`] for an object that nobody sealed, unless the client passes these through,
    /// [`crate::ErrorKind::Malformed`] or [`crate::ErrorKind::Truncated`] for one that was damaged, or an [`Error`] of S3's
    /// making; [`crate::ErrorKind::Conflict`] and [`crate::ErrorKind::NotModified`] where a condition does not hold.
    pub async fn send(self) -> Result<ObjectInfo, Error> {
        let s3 = self.client.s3();
        let target = Target::new("head", s3, self.bucket, self.key)?;
        let request = s3
            .head_object()
            .bucket(&target.bucket)
            .key(&target.key)
            .set_version_id(self.version_id);
        let request = on_request!(&self.conditions, request);
        let output = request.send().await.map_err(|error| target.s3("HeadObject", &error))?;
        let suffix = self.instruction_file_suffix.as_deref();
        let format = ObjectFormat::of(&self.client, &target, output.metadata(), suffix).await?;
        ObjectInfo::of_head(&target, &output, format)
    }
}
