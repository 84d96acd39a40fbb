//! Reads the metadata of objects without any key.

use super::{Handle, object_setters};
use crate::{
    error::{Error, ObjectRef, aws_failure::AwsFailure},
    object::ObjectInfo,
    store::{
        conditions::{ReadConditions, on_request, read_condition_setters},
        ranged_get::check_version,
    },
};

/// Reads an object's metadata without any key.
///
/// It costs one `HeadObject`, and one `GetObject` if the object may have an instruction file of the
/// S3 Encryption Client. KMS is not called, so the result is not authenticated.
#[derive(Debug, Clone)]
#[must_use = "nothing happens before `send`"]
pub struct Head {
    handle: Handle,
    bucket: Option<String>,
    key: Option<String>,
    version_id: Option<String>,
    conditions: ReadConditions,
}

impl Head {
    pub(crate) fn new(handle: Handle) -> Self {
        Self {
            handle,
            bucket: None,
            key: None,
            version_id: None,
            conditions: ReadConditions::default(),
        }
    }

    object_setters!();

    /// Reads this version.
    pub fn version_id(mut self, version_id: impl Into<String>) -> Self {
        self.version_id = Some(version_id.into());
        self
    }

    read_condition_setters!();

    /// Reads the metadata.
    ///
    /// # Errors
    /// * [`NotFound`](crate::ErrorKind::NotFound) if the object does not exist;
    /// * [`NotSealed`](crate::ErrorKind::NotSealed) if no client encrypted the object, unless the
    ///   client passes such objects through;
    /// * [`Malformed`](crate::ErrorKind::Malformed) or [`Truncated`](crate::ErrorKind::Truncated)
    ///   if the object is damaged;
    /// * [`Conflict`](crate::ErrorKind::Conflict) or [`NotModified`](crate::ErrorKind::NotModified)
    ///   if a condition does not hold;
    /// * the failure of S3.
    #[tracing::instrument(
        name = "head",
        skip_all,
        fields(bucket = self.bucket, key = self.key),
        err(level = "debug")
    )]
    pub async fn send(self) -> Result<ObjectInfo, Error> {
        let Handle { store, vault, .. } = &self.handle;
        let target = ObjectRef::new("head", store.s3(), self.bucket, self.key)?;
        let request = store.s3().head_object().bucket(&target.bucket).key(&target.key);
        let request =
            on_request!(&self.conditions, request.set_version_id(self.version_id.clone()));
        let output = match request.send().await {
            Ok(output) => output,
            Err(error) => return Err(store.head_failure(&target, AwsFailure::new(&error)).await),
        };
        check_version(&target, self.version_id.as_deref(), output.version_id())?;
        let format = vault.format_of(store, &target, output.metadata()).await?;
        ObjectInfo::of_head(&target, &output, format)
    }
}
