//! Rewrap of S3 Encryption Client objects: their only wrapping key is replaced.

use sealwax_envelope::{
    EncryptionContext, metadata,
    s3ec::{Admitted, Detected, Envelope, Keyring, Storage, WrapAlgorithm, WrappedKey, detect},
};

use super::{
    RewrapOutput,
    key_changes::Change,
    wrapping::{RewrappedTo, Wrapping},
};
use crate::{
    error::{Error, ErrorKind, ObjectRef},
    format::ObjectFormat,
    object::ObjectInfo,
    operation::Handle,
    store::{attributes::Attributes, companion::Replaces, snapshot::Snapshot},
    vault::{
        instruction_file::{self, InstructionFile},
        key_report::KeyReport,
    },
};

/// A rewrap that nothing refuses before keys are used.
pub(super) struct S3ecPlan<'a> {
    /// Keyring that wraps the new key.
    pub(super) keyring: &'a dyn Keyring,
    pub(super) admitted: Admitted,
    /// Encryption context of the object.
    pub(super) context: EncryptionContext,
}

impl Wrapping {
    /// Wraps the data key under the key of the only key change, and stores it in place of the old
    /// wrapped key.
    pub(super) async fn rewrap_s3ec(
        &self,
        target: &ObjectRef,
        snapshot: Snapshot,
        info: ObjectInfo,
        envelope: &Envelope,
    ) -> Result<RewrappedTo, Error> {
        let vault = &self.handle.vault;
        let S3ecPlan { keyring, admitted, context } =
            self.plan_s3ec(target, &snapshot, &info, envelope)?;
        let data_key = vault.unwrap_s3ec(target, &admitted).await?;
        let stored_len = snapshot.head.content_length().and_then(|len| u64::try_from(len).ok());
        // For V3, this proves that the data key is the content's: a wrapped key of any other key
        // would lose the object.
        admitted
            .opener(&data_key, stored_len.unwrap_or_default())
            .map_err(|error| target.s3ec_error(error))?;
        let suite = envelope.content().suite();
        let wrapped = keyring
            .wrap(&data_key, suite, &context)
            .await
            .map_err(|error| target.keyring_error(vec![error]))?;
        drop(data_key);
        let rewrapped = envelope.rewrapped(wrapped).map_err(|error| target.s3ec_error(error))?;
        rewrapped
            .check_fits(metadata::pairs(&info.metadata))
            .map_err(|error| target.envelope_error(error))?;

        let (mut e_tag, mut version_id) = (info.e_tag.clone(), info.version_id.clone());
        let format = ObjectFormat::S3ec(rewrapped.clone());
        let mut state = None;
        match rewrapped.to_instruction_file() {
            Some(file) => self.replace_file(target, envelope, &snapshot, file).await?,
            None => {
                let (stored, now) = self.replace_metadata(target, snapshot, &format, &info).await?;
                state = Some(now);
                (e_tag, version_id) = (stored.e_tag, stored.version_id);
            }
        }
        let report = KeyReport::default();
        let output =
            RewrapOutput { rewrapped: true, format, e_tag, version_id, sidecar: None, report };
        Ok(RewrappedTo { output, state })
    }

    /// Checks everything that no key is needed for.
    pub(super) fn plan_s3ec(
        &self,
        target: &ObjectRef,
        snapshot: &Snapshot,
        info: &ObjectInfo,
        envelope: &Envelope,
    ) -> Result<S3ecPlan<'_>, Error> {
        let vault = &self.handle.vault;
        let keyring = self.s3ec_keyring(target)?;
        snapshot.check_copyable(target)?;
        let admitted = vault.admit(target, envelope.clone(), &Default::default(), true)?;
        let context =
            envelope.encryption_context().map_err(|error| target.envelope_error(error))?;
        vault.check_s3ec_keyring(target, envelope.key().algorithm())?;
        // The new wrapped key is about as long as the old one.
        let like_old = WrappedKey::new(
            WrapAlgorithm::KmsContext,
            envelope.key().encrypted_data_key().to_vec(),
            WrappedKey::kms_context(envelope.content().suite(), &context),
        );
        let expected = envelope.rewrapped(like_old).map_err(|error| target.s3ec_error(error))?;
        if envelope.key().algorithm().is_kms() {
            expected
                .check_fits(metadata::pairs(&info.metadata))
                .map_err(|error| target.envelope_error(error))?;
        }
        Ok(S3ecPlan { keyring, admitted, context })
    }

    /// Replaces the instruction file if it is unchanged.
    async fn replace_file(
        &self,
        target: &ObjectRef,
        envelope: &Envelope,
        snapshot: &Snapshot,
        file: String,
    ) -> Result<(), Error> {
        let Handle { store, vault, .. } = &self.handle;
        let suffix = vault.s3ec().file_suffix();
        let changed = || {
            let message = "its instruction file changed while the new wrapped key was being made";
            target.error(ErrorKind::Conflict, message)
        };
        let found = InstructionFile::find(store, target, suffix).await?;
        let InstructionFile::Present { bytes, e_tag } = found else { return Err(changed()) };
        let metadata = metadata::pairs(snapshot.head.metadata().into_iter().flatten());
        let now = match detect(metadata).map_err(|error| target.s3ec_error(error))? {
            Detected::Pending(pending) => pending.complete(&bytes),
            Detected::Complete(envelope) => Ok(envelope),
        };
        if now.as_ref() != Ok(envelope) || envelope.storage() != Storage::InstructionFile {
            return Err(changed());
        }
        let attributes = Attributes::of_stored(&snapshot.head, snapshot.now.into()).of_companion();
        let replaces = e_tag.map_or(Replaces::Anything, Replaces::ETag);
        instruction_file::write(store, target, suffix, file, attributes, replaces).await
    }

    /// Returns the keyring that wraps the new key. The object has one wrapping key, which can only
    /// be replaced or refreshed.
    pub(super) fn s3ec_keyring(&self, target: &ObjectRef) -> Result<&dyn Keyring, Error> {
        let unsupported = |message: &str| target.error(ErrorKind::Unsupported, message);
        let [change] = self.changes.all() else {
            return Err(unsupported(
                "an object of the S3 Encryption Client has one wrapping key: replace it by a \
                 single key change",
            ));
        };
        match change {
            Change::Replace(keyring) => keyring.s3ec().ok_or_else(|| {
                unsupported("this keyring cannot wrap for the S3 Encryption Client")
            }),
            Change::ReplaceS3ec(keyring) => Ok(&**keyring),
            Change::Refresh => self.handle.vault.s3ec_keyrings().next().ok_or_else(|| {
                unsupported("the client's keyring cannot wrap for the S3 Encryption Client")
            }),
            Change::Add(_) | Change::Remove(_) => Err(unsupported(
                "an object of the S3 Encryption Client has one wrapping key: replace or refresh it",
            )),
        }
    }
}
