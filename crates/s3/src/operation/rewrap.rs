//! Re-wraps an object's data key. The body is not read, moved or changed.

mod encryption_client;
mod forecast;
mod key_changes;
mod key_storage;
mod rewrapper;
mod wrapping;

use sealwax_envelope::{EncryptedDataKey, ObjectHeader};

pub use self::{
    forecast::{DataKeyWay, Forecast, ForecastAction, Forecaster, MetadataWay, RewrapCost},
    key_changes::{KeyChange, KeyChanges},
    key_storage::KeyStorage,
    rewrapper::{ObjectState, PlannedRewrap, RewrapOutcome, Rewrapper, Skipped},
};
use self::{
    key_changes::{Change, key_change_setters},
    wrapping::Wrapping,
};
use super::{Handle, object_setters};
use crate::{
    error::{Error, ErrorKind, ObjectRef},
    format::ObjectFormat,
    store::snapshot::Snapshot,
    vault::intermediate::IntermediateKeys,
};

/// Wraps an object's data key anew: adds wrapping keys, replaces them or removes some.
///
/// The new metadata lands by a copy of the object onto itself inside S3, on the condition that the object is still as it
/// was looked at; S3 tells that by the second, so the rewrap of an object that changed just now waits up to two seconds
/// and looks again. Content headers, the user's own metadata, tags, storage class, server-side encryption, Object
/// Lock settings, website redirect and ACL are kept. In a versioned bucket the object gets a new version; older versions
/// keep their keys.
///
/// New wraps are bound to the place where the object is now.
///
/// An object of the Amazon S3 Encryption Client has one wrapping key, which can be replaced or refreshed: by such a copy, or
/// by writing its instruction file. The new wrap is bound to the encryption context as the old one, and to no place.
#[derive(Debug, Clone)]
#[must_use = "nothing happens before `send`"]
pub struct Rewrap {
    handle: Handle,
    bucket: Option<String>,
    key: Option<String>,
    changes: KeyChanges,
    accepted_places: Vec<String>,
    key_storage: KeyStorage,
}

/// What became of the object.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RewrapOutput {
    /// `true` if the object has new keys; `false` if it already had just the wanted ones, and
    /// nothing was written.
    pub rewrapped: bool,
    /// The object's format and all that its metadata says in it, as it is stored now.
    pub format: ObjectFormat,
    /// The entity tag, as S3 gave it.
    pub e_tag: Option<String>,
    /// The version, in a versioned bucket.
    pub version_id: Option<String>,
    /// The key of the sidecar that was written instead of the object's metadata. [`RewrapOutput::header`] is what it
    /// holds.
    pub sidecar: Option<String>,
}

impl RewrapOutput {
    /// Sealwax's metadata, as it is stored now; `None` for other formats.
    #[must_use]
    pub fn header(&self) -> Option<&ObjectHeader> {
        match &self.format {
            ObjectFormat::Sealwax(header) => Some(header),
            ObjectFormat::S3ec(_) | ObjectFormat::Unencrypted => None,
        }
    }

    /// The encrypted data keys of Sealwax's own format, as they are stored now; none of others.
    #[must_use]
    pub fn keys(&self) -> &[EncryptedDataKey] {
        self.header().map(ObjectHeader::keys).unwrap_or_default()
    }

    /// The generation, as it is stored now; 0 for other formats, which do not count.
    #[must_use]
    pub fn generation(&self) -> u32 {
        self.header().map(ObjectHeader::generation).unwrap_or_default()
    }
}

impl Rewrap {
    pub(crate) fn new(handle: Handle) -> Self {
        Self {
            handle,
            bucket: None,
            key: None,
            changes: KeyChanges::new(),
            accepted_places: Vec::new(),
            key_storage: KeyStorage::Metadata,
        }
    }

    object_setters!();

    key_change_setters!(and);

    fn and(mut self, change: Change) -> Self {
        self.changes = self.changes.and(change);
        self
    }

    /// Makes all of `changes`, after those made before.
    pub fn changes(mut self, changes: KeyChanges) -> Self {
        self.changes = changes.all().iter().cloned().fold(self.changes, KeyChanges::and);
        self
    }

    /// Accepts wraps that are bound to `place` (`bucket/key`): the object was moved here on purpose. The new wraps are
    /// bound to the place where it is now.
    pub fn accept_place(mut self, place: impl Into<String>) -> Self {
        self.accepted_places.push(place.into());
        self
    }

    /// Sets where the new keys are stored: in the object's metadata by default.
    pub fn key_storage(mut self, storage: KeyStorage) -> Self {
        self.key_storage = storage;
        self
    }

    /// Rewraps the object: one `HeadObject`, the KMS calls, one `CopyObject`; above 5 GiB, or above
    /// [`crate::SealedClientBuilder::copy_in_parts_above`], an `UploadPartCopy` for each of the object's parts instead.
    ///
    /// # Errors
    /// As [`crate::Get::send`]; [`ErrorKind::InvalidInput`] where no key would be left; [`ErrorKind::Conflict`] where the
    /// object changed meanwhile; [`ErrorKind::Unsupported`] for one that must be restored from an archive first. The object
    /// is unchanged then.
    #[tracing::instrument(name = "rewrap", skip_all, fields(bucket = self.bucket, key = self.key), err(level = "debug"))]
    pub async fn send(self) -> Result<RewrapOutput, Error> {
        let Self { handle, bucket, key, changes, accepted_places, key_storage } = self;
        let target = ObjectRef::new("rewrap", handle.store.s3(), bucket, key)?;
        if changes.is_empty() {
            let message = "no key to add, replace, remove or refresh was given";
            return Err(target.error(ErrorKind::InvalidInput, message));
        }
        let snapshot = Snapshot::take(&handle.store, &target).await?;
        let intermediate_keys = IntermediateKeys::default();
        let wrapping =
            Wrapping { handle, changes, accepted_places, intermediate_keys, key_storage };
        wrapping.rewrap(&target, snapshot).await
    }
}
