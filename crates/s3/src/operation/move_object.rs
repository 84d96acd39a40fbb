//! Moves objects inside S3: copies that end with the deletion of their source.
//!
//! Before a source is deleted, the copy was seen at its destination and the source was seen unchanged
//! at its own place. Two names can lead to one object: through an access point, or in a store that
//! normalizes keys. Then the source shows the metadata that was just written, and stays.

use std::fmt;

use aws_sdk_s3::operation::head_object::HeadObjectOutput;

use super::{
    Handle,
    copy::{CopyObject, CopyObjectOutput, MadeCopy},
    delete::DeleteOutput,
};
use crate::{
    error::{Error, ErrorKind, aws_failure::AwsFailure},
    store::{
        deletion::{Afterwards, Before, DeleteFailure, Look},
        snapshot::Snapshot,
    },
    vault::sidecar,
};

/// Name of the operation in errors.
const MOVE: &str = "move";

/// Moves an object inside S3: copies it, and deletes the source. Made by
/// [`CopyObject::delete_source`].
///
/// The source is deleted only if all of this holds:
///
/// * the copy has all of the source's keys, and one was shown to open the body, unless
///   [`MoveObject::allow_unproven`] is set;
/// * S3 shows the copy at the destination;
/// * S3 shows the source as it was before the copy. So the source stays if source and destination
///   are two names of one object, or if another object was stored there.
///
/// In a versioned bucket, a delete marker hides the source, and its versions remain. If the client
/// looks for sidecars, the source's sidecar is deleted after it; the copy has its keys.
///
/// ```no_run
/// # async fn example(client: sealwax_s3::SealedClient) -> Result<(), sealwax_s3::Error> {
/// let moved = client
///     .copy()
///     .source_bucket("invoices")
///     .source_key("draft.pdf")
///     .bucket("invoices")
///     .key("2026/0001.pdf")
///     .delete_source()
///     .send()
///     .await?;
/// println!("moved with {} keys", moved.copy.header.keys().len());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use = "nothing happens before `send`"]
pub struct MoveObject {
    copy: CopyObject,
    is_unproven_allowed: bool,
}

/// Result of a [`MoveObject`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct MoveObjectOutput {
    /// The copy.
    pub copy: CopyObjectOutput,
    /// The deletion of the source.
    pub deletion: DeleteOutput,
}

/// A copy whose source still exists: a move half done. [`CopiedObject::delete_source`] completes it.
#[must_use = "the source still exists"]
pub struct CopiedObject {
    handle: Handle,
    made: MadeCopy,
    is_unproven_allowed: bool,
}

impl CopyObject {
    /// Turns the copy into a move: the source is deleted once the copy is shown to be another object
    /// with all of the source's keys.
    pub fn delete_source(self) -> MoveObject {
        MoveObject { copy: self, is_unproven_allowed: false }
    }
}

impl MoveObject {
    /// Deletes the source even if the copy lacks some of its keys, or if none of the copy's keys
    /// could be shown to open it.
    pub fn allow_unproven(mut self) -> Self {
        self.is_unproven_allowed = true;
        self
    }

    /// Copies the object, and deletes the source.
    ///
    /// # Errors
    /// As [`MoveObject::copy`] and [`CopiedObject::delete_source`].
    pub async fn send(self) -> Result<MoveObjectOutput, Error> {
        self.copy().await?.delete_source().await
    }

    /// Copies the object. The result deletes the source.
    ///
    /// If the source does not exist and the client looks for sidecars, the sidecar that an
    /// interrupted move left at the source is deleted.
    ///
    /// # Errors
    /// As [`CopyObject::send`], and [`ErrorKind::InvalidInput`] for a version of the source.
    pub async fn copy(self) -> Result<CopiedObject, Error> {
        let Self { copy, is_unproven_allowed } = self;
        let copy = if is_unproven_allowed { copy } else { copy.prove_keys() };
        let handle = copy.handle.clone();
        match copy.make(MOVE, true).await {
            Ok(made) => Ok(CopiedObject { handle, made, is_unproven_allowed }),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Err(match copy.delete_orphan(MOVE).await? {
                    Some(sidecar) => error.with_suffix(&format!(
                        "an earlier move was interrupted, and the sidecar that it left was \
                         deleted: {sidecar}"
                    )),
                    None => error,
                })
            }
            Err(error) => Err(error),
        }
    }
}

impl CopiedObject {
    /// Returns the copy.
    #[must_use]
    pub fn output(&self) -> &CopyObjectOutput {
        &self.made.output
    }

    /// Deletes the source, if the copy is another object and the source is unchanged.
    ///
    /// # Errors
    /// On each of these errors the copy exists, and the message says what became of the source.
    ///
    /// * [`ErrorKind::Unproven`] if the copy may lack some of the source's keys;
    /// * [`ErrorKind::Conflict`] if the source was replaced or deleted meanwhile, or the copy was;
    /// * [`ErrorKind::InvalidInput`] if source and destination are two names of one object;
    /// * [`ErrorKind::Service`] if the store reported a copy that is not there;
    /// * the failure of S3.
    #[tracing::instrument(
        name = "delete source",
        skip_all,
        fields(bucket = self.made.source.bucket, key = self.made.source.key),
        err(level = "debug")
    )]
    pub async fn delete_source(self) -> Result<MoveObjectOutput, Error> {
        self.check().await.map_err(|error| error.with_prefix(&self.kept()))?;
        let deletion = self.delete().await?;
        let Self { handle: Handle { store, vault, .. }, made, .. } = self;
        if let Some(suffix) = vault.sidecars().suffix() {
            sidecar::delete(&store, &made.source, suffix).await.map_err(|error| {
                error.with_prefix("the object was moved, but its sidecar was not deleted")
            })?;
        }
        Ok(MoveObjectOutput { copy: made.output, deletion })
    }

    /// Fails unless the source is proven to be needless.
    async fn check(&self) -> Result<(), Error> {
        let MadeCopy { source, output, .. } = &self.made;
        if !self.is_unproven_allowed
            && let Some(loss) = output.losses()
        {
            return Err(source.error(ErrorKind::Unproven, loss));
        }
        self.check_copy().await?;
        self.check_source().await
    }

    /// Fails unless S3 shows the copy at the destination.
    async fn check_copy(&self) -> Result<(), Error> {
        let MadeCopy { output, source, target, snapshot, .. } = &self.made;
        let head = self.handle.store.s3().head_object().bucket(&target.bucket).key(&target.key);
        let head = match head.set_version_id(output.version_id.clone()).send().await {
            Ok(head) => head,
            Err(error) => {
                let failure = AwsFailure::new(&error);
                return Err(match failure.status {
                    Some(404) => source.error(ErrorKind::Service, "the copy is not there"),
                    _ => self.handle.store.head_failure(target, failure).await,
                });
            }
        };
        let is_as_long = head.content_length() == snapshot.head.content_length();
        if is_as_long && self.made.is_copy(&head) {
            return Ok(());
        }
        let message = "the object at the destination is not the copy: the store did not make it, \
                       or another object has replaced it";
        Err(source.error(ErrorKind::Conflict, message))
    }

    /// Fails unless S3 shows the source as it was before the copy.
    async fn check_source(&self) -> Result<(), Error> {
        let MadeCopy { source, snapshot, .. } = &self.made;
        let now = match Snapshot::take(&self.handle.store, source).await {
            Ok(now) => now.head,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let message = "it was deleted or moved meanwhile, by someone else";
                return Err(source.error(ErrorKind::Conflict, message));
            }
            Err(error) => return Err(error),
        };
        if snapshot.is_of(&now) {
            return Ok(());
        }
        Err(match self.made.is_copy(&now) {
            true => self.made.two_names(),
            false => source.error(ErrorKind::Conflict, "it was replaced while it was being copied"),
        })
    }

    /// Deletes the source on the condition that its body is unchanged.
    async fn delete(&self) -> Result<DeleteOutput, Error> {
        let (store, source) = (&self.handle.store, &self.made.source);
        let seen = Before::from(&self.made.snapshot);
        let e_tag = self.made.snapshot.head.e_tag.clone();
        let failed = match store.delete(source, None, e_tag, Look::Once(Some(&seen))).await {
            Ok(deleted) => return Ok(deleted.into()),
            // The store has no conditional deletes: one more look comes right before the other one.
            Err(failed) if failed.status() == Some(501) => {
                self.check_source().await.map_err(|error| error.with_prefix(&self.kept()))?;
                match store.delete(source, None, None, Look::Once(Some(&seen))).await {
                    Ok(deleted) => return Ok(deleted.into()),
                    Err(failed) => failed,
                }
            }
            Err(failed) => failed,
        };
        let is_another = |head: &HeadObjectOutput| !self.made.snapshot.is_of(head);
        Err(match &failed {
            DeleteFailure::Failed { afterwards: Afterwards::Present(head), .. }
                if is_another(head) =>
            {
                let message = "another object was stored there meanwhile";
                source.error(ErrorKind::Conflict, message).with_prefix(&self.kept())
            }
            DeleteFailure::Failed { afterwards: Afterwards::Unknown, failure } => {
                let what = format!("{}, and the source may be deleted", self.copied());
                source.s3_failure("DeleteObject", (**failure).clone()).with_prefix(&what)
            }
            _ => failed.into_error(source).with_prefix(&self.kept()),
        })
    }

    fn copied(&self) -> String {
        format!("copied to s3://{}/{}", self.made.target.bucket, self.made.target.key)
    }

    fn kept(&self) -> String {
        format!("{}, and kept the source", self.copied())
    }
}

impl fmt::Debug for CopiedObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CopiedObject").field("output", &self.made.output).finish_non_exhaustive()
    }
}
