//! Deletes objects.

use super::{Handle, object_setters};
use crate::{
    error::{Error, ObjectRef},
    store::{
        conditions::{WriteCall, WriteConditions},
        deletion::{Deleted, Look},
    },
    vault::{instruction_file, sidecar},
};

/// Deletes an object, or hides it behind a delete marker in a versioned bucket.
#[derive(Debug, Clone)]
#[must_use = "nothing happens before `send`"]
pub struct Delete {
    handle: Handle,
    bucket: Option<String>,
    key: Option<String>,
    version_id: Option<String>,
    if_match: Option<String>,
    with_instruction_file: bool,
    bypasses_governance: bool,
}

/// Result of a [`Delete`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DeleteOutput {
    /// Id of the deleted version, or of the delete marker, in a versioned bucket.
    pub version_id: Option<String>,
    /// `true` if a delete marker was written, or if the deleted version was one.
    pub delete_marker: bool,
}

impl Delete {
    pub(crate) fn new(handle: Handle) -> Self {
        Self {
            handle,
            bucket: None,
            key: None,
            version_id: None,
            if_match: None,
            with_instruction_file: false,
            bypasses_governance: false,
        }
    }

    object_setters!();

    /// Deletes this version permanently.
    pub fn version_id(mut self, version_id: impl Into<String>) -> Self {
        self.version_id = Some(version_id.into());
        self
    }

    /// Deletes only the object with this entity tag, or fails with
    /// [`Conflict`](crate::ErrorKind::Conflict).
    pub fn if_match(mut self, e_tag: impl Into<String>) -> Self {
        self.if_match = Some(e_tag.into());
        self
    }

    /// Deletes the object's instruction file after it, unless a version is given. By its content, no
    /// other object at that address is deleted. Costs one `GetObject` and one `DeleteObject` more.
    pub fn with_instruction_file(mut self) -> Self {
        self.with_instruction_file = true;
        self
    }

    /// Deletes versions that are retained in governance mode, too. It needs the permission
    /// `s3:BypassGovernanceRetention`.
    pub fn bypass_governance_retention(mut self) -> Self {
        self.bypasses_governance = true;
        self
    }

    /// Deletes the object. It succeeds even if the object does not exist, and if it is gone after a
    /// call whose answer was lost.
    ///
    /// A store that answers with success may still keep the object. The client looks before and after
    /// its first deletion in a bucket, and its first deletion of a version there, which costs two
    /// `HeadObject`. Amazon S3 is taken at its word.
    ///
    /// If the client looks for sidecars and no version is given, two more requests delete the
    /// object's sidecar afterwards.
    ///
    /// # Errors
    /// [`Conflict`](crate::ErrorKind::Conflict) if the object has another entity tag than required,
    /// [`Service`](crate::ErrorKind::Service) if the store reported a deletion that it did not make,
    /// or the failure of S3. If only the sidecar or the instruction file could not be deleted,
    /// the message says that the object was.
    #[tracing::instrument(
        name = "delete",
        skip_all,
        fields(bucket = self.bucket, key = self.key),
        err(level = "debug")
    )]
    pub async fn send(self) -> Result<DeleteOutput, Error> {
        let Handle { store, vault, .. } = &self.handle;
        let target = ObjectRef::new("delete", store.s3(), self.bucket, self.key)?;
        // A sidecar's name does not tell which version it belongs to: it stays if one version is
        // deleted.
        let suffix = vault.sidecars().suffix().filter(|_| self.version_id.is_none());
        let with_file = self.with_instruction_file && self.version_id.is_none();
        let conditions = WriteConditions { if_match: self.if_match, ..WriteConditions::default() };
        store.prove_conditions(&target, WriteCall::Delete, &conditions).await?;
        store.look_before(&target, WriteCall::Delete, &conditions).await?;
        let deleted = store
            .delete_retained(
                &target,
                self.version_id,
                conditions.if_match,
                Look::Once(None),
                self.bypasses_governance,
            )
            .await
            .map_err(|failure| failure.into_error(&target))?;
        if let Some(suffix) = suffix {
            sidecar::delete(store, &target, suffix).await.map_err(|error| {
                error.with_prefix("the object was deleted, but not its sidecar")
            })?;
        }
        if with_file {
            let suffix = vault.s3ec().file_suffix();
            instruction_file::delete(store, &target, suffix).await.map_err(|error| {
                error.with_prefix("the object was deleted, but not its instruction file")
            })?;
        }
        Ok(deleted.into())
    }
}

impl From<Deleted> for DeleteOutput {
    fn from(deleted: Deleted) -> Self {
        Self { version_id: deleted.version_id, delete_marker: deleted.is_delete_marker }
    }
}
