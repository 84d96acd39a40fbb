//! Seals an object again: what one re-encryption and many have in common.

use std::{fmt, io, sync::Arc};

use futures_util::TryStreamExt as _;
use sealwax_envelope::{EncryptionContext, Keyring, s3ec::Storage};

use super::{ReencryptOutput, WriteFormat};
use crate::{
    error::{Error, ErrorKind, ObjectRef},
    format::ObjectFormat,
    object::ObjectInfo,
    operation::{
        Handle,
        get::Get,
        put::{Put, PutOutput, PutS3ecOutput},
    },
    progress::OnProgress,
    store::{
        attributes::Attributes,
        snapshot::{Snapshot, is_archived},
    },
    upload::source::PlaintextSource,
    vault::{instruction_file, sidecar},
};

/// Settings of re-encryptions.
#[derive(Clone)]
pub(super) struct Resealing {
    pub(super) handle: Handle,
    pub(super) accepted_places: Vec<String>,
    /// Keyring that wraps the new data key, instead of the client's.
    pub(super) keyring: Option<Arc<dyn Keyring>>,
    /// Format to write, instead of the object's own.
    pub(super) to: Option<WriteFormat>,
    /// The required encryption context.
    pub(super) context: EncryptionContext,
    pub(super) new_context: Option<EncryptionContext>,
    pub(super) on_progress: Option<OnProgress>,
}

impl Resealing {
    pub(super) fn new(handle: Handle) -> Self {
        Self {
            handle,
            accepted_places: Vec::new(),
            keyring: None,
            to: None,
            context: EncryptionContext::new(),
            new_context: None,
            on_progress: None,
        }
    }

    /// Seals the object again, if its body is still the one in the snapshot.
    pub(super) async fn reseal(
        &self,
        target: &ObjectRef,
        snapshot: &Snapshot,
    ) -> Result<ReencryptOutput, Error> {
        let Handle { store, vault, .. } = &self.handle;
        let attributes = self.attributes(target, snapshot).await?;
        let e_tag = snapshot
            .head
            .e_tag()
            .ok_or_else(|| target.error(ErrorKind::Service, "HeadObject returned no entity tag"))?;

        let get = Get::new(self.handle.clone()).bucket(&target.bucket).key(&target.key);
        let mut get = get.if_match(e_tag).encryption_context(self.context.clone());
        for place in &self.accepted_places {
            get = get.accept_place(place);
        }
        let object = get.send().await.map_err(|error| error.in_operation(target.operation))?;
        let info = object.info().clone();
        self.check_is_no_file(target, &info)?;
        // A plaintext that is not genuine ends with an error, which also ends the upload: nothing
        // of it becomes visible.
        let plaintext =
            PlaintextSource::stream(object.release_unverified().map_err(io::Error::other));

        let mut put = Put::new(self.handle.clone())
            .bucket(&target.bucket)
            .key(&target.key)
            .body(plaintext)
            .over(e_tag);
        put = put.encryption_context(self.context_to_write(target, &info)?).attributes(attributes);
        for (name, value) in info.metadata.clone() {
            put = put.metadata(name, value);
        }
        if let Some(keyring) = &self.keyring {
            put = put.keyring(Arc::clone(keyring));
        }
        if let Some(on_progress) = self.on_progress.clone() {
            put = put.on_progress(move |bytes| on_progress(bytes));
        }
        let failed = |error: Error| error.or_from_source().in_operation(target.operation);
        let output = match self.format_to_write(&info) {
            WriteFormat::Sealwax => {
                let PutOutput { e_tag, version_id, plaintext_len, header } =
                    put.send().await.map_err(failed)?;
                ReencryptOutput {
                    format: ObjectFormat::Sealwax(header),
                    e_tag,
                    version_id,
                    plaintext_len,
                }
            }
            WriteFormat::S3ec => {
                let PutS3ecOutput { e_tag, version_id, plaintext_len, envelope } =
                    put.s3ec().send().await.map_err(failed)?;
                ReencryptOutput {
                    format: ObjectFormat::S3ec(envelope),
                    e_tag,
                    version_id,
                    plaintext_len,
                }
            }
        };
        let had_file =
            info.envelope().is_some_and(|envelope| envelope.storage() == Storage::InstructionFile);
        if had_file && output.version_id.is_none() {
            instruction_file::remove(store, target, vault.s3ec().file_suffix()).await;
        }
        // No key of the old body opens the new one. Older versions may need theirs.
        if let Some(suffix) = vault.sidecars().suffix()
            && output.version_id.is_none()
        {
            sidecar::remove(store, target, suffix).await;
        }
        Ok(output)
    }

    /// Returns the format to write.
    pub(super) fn format_to_write(&self, info: &ObjectInfo) -> WriteFormat {
        self.to.unwrap_or(match info.format() {
            ObjectFormat::S3ec(_) => WriteFormat::S3ec,
            ObjectFormat::Sealwax(_) | ObjectFormat::Unencrypted => WriteFormat::Sealwax,
        })
    }

    /// Returns the encryption context of the new object.
    pub(super) fn context_to_write(
        &self,
        target: &ObjectRef,
        info: &ObjectInfo,
    ) -> Result<EncryptionContext, Error> {
        match (&self.new_context, info.envelope()) {
            (Some(context), _) => Ok(context.clone()),
            (None, Some(envelope)) => envelope.unreserved_context().map_err(|error| {
                let message = format!(
                    "its encryption context cannot be kept, so another one is required: {error}"
                );
                target.error(ErrorKind::InvalidInput, message)
            }),
            (None, None) => Ok(info.encryption_context().clone()),
        }
    }

    /// Refuses an object that may be the instruction file of another one.
    pub(super) fn check_is_no_file(
        &self,
        target: &ObjectRef,
        info: &ObjectInfo,
    ) -> Result<(), Error> {
        let suffix = self.handle.vault.s3ec().file_suffix();
        if matches!(info.format(), ObjectFormat::Unencrypted) && target.key.ends_with(suffix) {
            let message = "its name is that of another object's instruction file, and that object \
                           would be lost without it";
            return Err(target.error(ErrorKind::Unsupported, message));
        }
        Ok(())
    }

    /// Returns all attributes of the object, or refuses one that can't be read, or that has attributes
    /// that would be lost.
    pub(super) async fn attributes(
        &self,
        target: &ObjectRef,
        snapshot: &Snapshot,
    ) -> Result<Attributes, Error> {
        let head = &snapshot.head;
        if is_archived(head) {
            return Err(target.error(ErrorKind::Archived, "it is archived: restore it first"));
        }
        if head.missing_meta().is_some_and(|count| count > 0) {
            let message =
                "it has metadata that S3 does not return in headers and that would be lost";
            return Err(target.error(ErrorKind::Unsupported, message));
        }
        let store = &self.handle.store;
        let grants = store.grants_to_keep(target, head.version_id()).await?;
        let mut attributes = grants.onto(Attributes::of_stored(head, snapshot.now.into()));
        attributes.tagging = store.tags_to_keep(target, head).await?;
        Ok(attributes)
    }
}

impl fmt::Debug for Resealing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resealing").field("to", &self.to).finish_non_exhaustive()
    }
}
