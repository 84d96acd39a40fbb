//! Rewraps objects: changes their wrapped keys, without reading, moving or changing their bodies.

mod forecast;
pub(crate) mod key_changes;
mod key_storage;
mod rewrapper;
mod s3ec_rewrap;
mod store_forecast;
mod wrapping;

use sealwax_envelope::{EncryptedDataKey, ObjectHeader};

pub use self::{
    forecast::{DataKeyWay, Forecaster, RewrapCost},
    key_changes::{KeyChange, KeyChanges},
    key_storage::KeyStorage,
    rewrapper::{RewrapOutcome, Rewrapper},
    store_forecast::MetadataWay,
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
    vault::{intermediate::IntermediateKeys, key_report::KeyReport, proofs::Proofs},
};

/// Changes an object's wrapping keys: adds, replaces, removes or refreshes its wrapped keys.
///
/// The new metadata is stored by a copy of the object onto itself inside S3, on the condition that
/// the object did not change meanwhile. S3 compares whole seconds, so the rewrap of an object that
/// changed just now waits up to two seconds and reads it again. Content headers, user-defined
/// metadata, tags, storage class, server-side encryption, Object Lock settings, website redirect
/// and ACL are kept. In a versioned bucket, the object gets a new version; older versions keep
/// their keys.
///
/// New wrapped keys are bound to the object's current place (`bucket/key`).
///
/// An object of the Amazon S3 Encryption Client has one wrapping key, which can be replaced or
/// refreshed: by such a copy, or by a write of its instruction file. The new wrapped key is bound
/// to the encryption context of the old one, and to no place.
///
/// ```no_run
/// # async fn example(
/// #     client: sealwax_s3::SealedClient,
/// #     west: sealwax_s3::KmsKeyring,
/// # ) -> Result<(), sealwax_s3::Error> {
/// let output =
///     client.rewrap().bucket("invoices").key("2026/0001.pdf").add_keys(west).send().await?;
/// for key in output.keys() {
///     println!("wrapped by {}", key.wrapping_key());
/// }
/// # Ok(())
/// # }
/// ```
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

/// Result of a [`Rewrap`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RewrapOutput {
    /// `true` if the object has new keys; `false` if it already had exactly the wanted keys and
    /// nothing was written.
    pub rewrapped: bool,
    /// Format of the object, with its metadata in that format, as now stored.
    pub format: ObjectFormat,
    /// Entity tag, as returned by S3.
    pub e_tag: Option<String>,
    /// Version id, in a versioned bucket.
    pub version_id: Option<String>,
    /// Key of the sidecar that was written instead of the object's metadata.
    /// [`RewrapOutput::header`] returns its content.
    pub sidecar: Option<String>,
    /// Result for each wrapping key.
    pub report: KeyReport,
}

impl RewrapOutput {
    /// Returns Sealwax's metadata as now stored; `None` for other formats.
    #[must_use]
    pub fn header(&self) -> Option<&ObjectHeader> {
        match &self.format {
            ObjectFormat::Sealwax(header) => Some(header),
            ObjectFormat::S3ec(_) | ObjectFormat::Unencrypted => None,
        }
    }

    /// Returns the encrypted data keys as now stored; empty for formats other than Sealwax's.
    #[must_use]
    pub fn keys(&self) -> &[EncryptedDataKey] {
        self.header().map(ObjectHeader::keys).unwrap_or_default()
    }

    /// Returns the generation as now stored; 0 for formats without generations.
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

    /// Adds `changes` after the key changes made before.
    pub fn changes(mut self, changes: KeyChanges) -> Self {
        self.changes = self.changes.and_all(changes);
        self
    }

    /// Removes keys even if no key that stays could be proven.
    ///
    /// # Danger
    /// As [`KeyChanges::dangerous_allow_unproven`].
    pub fn dangerous_allow_unproven(mut self) -> Self {
        self.changes = self.changes.dangerous_allow_unproven();
        self
    }

    /// Proves keys to add that are present already, as [`KeyChanges::prove_present`] does.
    pub fn prove_present(mut self) -> Self {
        self.changes = self.changes.prove_present();
        self
    }

    /// Binds the wanted keys of a replica to its own place, as [`KeyChanges::rebind`] does.
    pub fn rebind(mut self) -> Self {
        self.changes = self.changes.rebind();
        self
    }

    /// Accepts wrapped keys that are bound to `place` (`bucket/key`), for an object that was moved
    /// on purpose. The new wrapped keys are bound to its current place.
    pub fn accept_place(mut self, place: impl Into<String>) -> Self {
        self.accepted_places.push(place.into());
        self
    }

    /// Sets where the new keys are stored: in the object's metadata by default.
    pub fn key_storage(mut self, storage: KeyStorage) -> Self {
        self.key_storage = storage;
        self
    }

    /// Rewraps the object with one `HeadObject`, the KMS calls and one `CopyObject`.
    ///
    /// Above 5 GiB, or above [`crate::SealedClientBuilder::copy_in_parts_above`], the copy takes
    /// one `UploadPartCopy` for each of the object's parts instead.
    ///
    /// # Errors
    /// As [`crate::Get::send`], and:
    ///
    /// * [`ErrorKind::InvalidInput`] if no key change is given, or no key would be left;
    /// * [`ErrorKind::Conflict`] if the object changed meanwhile;
    /// * [`ErrorKind::Unsupported`] if the object must be restored from an archive first.
    ///
    /// On these errors, the object is unchanged.
    #[tracing::instrument(
        name = "rewrap",
        skip_all,
        fields(bucket = self.bucket, key = self.key),
        err(level = "debug")
    )]
    pub async fn send(self) -> Result<RewrapOutput, Error> {
        let Self { handle, bucket, key, changes, accepted_places, key_storage } = self;
        let target = ObjectRef::new("rewrap", handle.store.s3(), bucket, key)?;
        if changes.is_empty() {
            let message = "no key to add, replace, remove or refresh was given";
            return Err(target.error(ErrorKind::InvalidInput, message));
        }
        let snapshot = Snapshot::take(&handle.store, &target).await?;
        let intermediate_keys = IntermediateKeys::default();
        let proofs = Proofs::default();
        let wrapping =
            Wrapping { handle, changes, accepted_places, intermediate_keys, proofs, key_storage };
        Ok(wrapping.rewrap(&target, snapshot).await?.output)
    }
}
