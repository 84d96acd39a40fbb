//! What is known without any key.

use super::{
    conditions::{ReadConditions, condition_setters, on_request},
    object_setters,
};
use crate::{
    ObjectInfo, SealedClient,
    error::{Error, Target},
};

/// Reads what is known of a sealed object without any key, by one `HeadObject`. No KMS call is made, so nothing of the
/// answer is authenticated.
#[derive(Debug, Clone)]
#[must_use = "nothing happens before `send`"]
pub struct Head {
    client: SealedClient,
    bucket: Option<String>,
    key: Option<String>,
    version_id: Option<String>,
    conditions: ReadConditions,
}

impl Head {
    pub(crate) fn new(client: SealedClient) -> Self {
        Self { client, bucket: None, key: None, version_id: None, conditions: ReadConditions::default() }
    }

    object_setters!();

    /// Asks for this version.
    pub fn version_id(mut self, version_id: impl Into<String>) -> Self {
        self.version_id = Some(version_id.into());
        self
    }

    condition_setters!();

    /// Sends the request.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotSealed`] for an object that Sealwax did not seal, [`crate::ErrorKind::Malformed`] or
    /// [`crate::ErrorKind::Truncated`] for one that was damaged, or an [`Error`] of S3's making;
    /// [`crate::ErrorKind::Conflict`] and [`crate::ErrorKind::NotModified`] where a condition does not hold.
    pub async fn send(self) -> Result<ObjectInfo, Error> {
        let s3 = self.client.s3();
        let target = Target::new("head", s3, self.bucket, self.key)?;
        let request = s3.head_object().bucket(&target.bucket).key(&target.key).set_version_id(self.version_id);
        let request = on_request!(&self.conditions, request);
        let output = request.send().await.map_err(|error| target.s3("HeadObject", &error))?;
        ObjectInfo::of_head(&target, &output)
    }
}
