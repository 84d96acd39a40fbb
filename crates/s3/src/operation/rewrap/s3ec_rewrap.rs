//! Rewrap of S3 Encryption Client objects: their only wrapping key is replaced.

use sealwax_envelope::{
    metadata,
    s3ec::{
        Admitted, ContentSuite, Detected, Envelope, Keyring, Rewrapped, Storage, WrapAlgorithm,
        WrappedKey, detect,
    },
};

use super::{
    RewrapOutput,
    key_changes::Change,
    wrapping::{RewrappedTo, Wrapping, unchanged},
};
use crate::{
    error::{Error, ErrorKind, ObjectRef},
    format::ObjectFormat,
    object::ObjectInfo,
    object_state::ObjectState,
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
        let S3ecPlan { keyring, admitted } = self.plan_s3ec(target, &snapshot, &info, envelope)?;
        let in_file = envelope.storage() == Storage::InstructionFile;
        let seen = (!in_file).then(|| ObjectState::of_snapshot(&snapshot));
        let wrapped = match self.wrapped_s3ec(target, keyring, &admitted, &snapshot).await? {
            (Some(wrapped), _) => wrapped,
            (None, proven) => {
                let report = KeyReport { proven, ..KeyReport::default() };
                return Ok(unchanged(info, report, seen));
            }
        };
        let rewrapped = envelope.rewrapped(wrapped).map_err(|error| target.s3ec_error(error))?;
        rewrapped
            .check_fits(metadata::pairs(&info.metadata))
            .map_err(|error| target.envelope_error(error))?;

        let (mut e_tag, mut version_id) = (info.e_tag.clone(), info.version_id.clone());
        let format = ObjectFormat::S3ec(rewrapped.clone());
        let mut state = None;
        match rewrapped.to_instruction_file() {
            Some(file) => {
                self.replace_file(target, envelope, &snapshot, file).await?;
                self.check_still(target, &snapshot).await?;
            }
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

    /// `true` if the data key is unwrapped and proven to be the content's.
    pub(super) fn proves_s3ec(&self, envelope: &Envelope) -> bool {
        envelope.content().suite() == ContentSuite::AesGcmCommitKey
            && !self.changes.allows_unproven()
    }

    /// Returns the new wrapped key; or `None` if the object has it already, with the names of wrapping
    /// keys that were proven.
    ///
    /// For V3, the data key is unwrapped and proven to be the content's: a wrapped key of any other
    /// key would lose the object. V2 and V1 commit to no data key, so KMS wraps it again without
    /// showing it, if both keys are in one Region.
    async fn wrapped_s3ec(
        &self,
        target: &ObjectRef,
        keyring: &dyn Keyring,
        admitted: &Admitted,
        snapshot: &Snapshot,
    ) -> Result<(Option<WrappedKey>, Vec<String>), Error> {
        let vault = &self.handle.vault;
        let envelope = admitted.envelope();
        let (to, refreshes) = (keyring.wrapping_key(), self.changes.refreshes());
        let failed = |error| target.keyring_error(vec![error]);
        let commits = envelope.content().suite() == ContentSuite::AesGcmCommitKey;
        if let Some(to) = to.as_deref().filter(|_| !self.proves_s3ec(envelope)) {
            for source in vault.s3ec_keyrings() {
                match source.rewrap(admitted, to, refreshes).await.map_err(failed)? {
                    Some(Rewrapped::Already) => return Ok((None, Vec::new())),
                    Some(Rewrapped::As(wrapped)) => return Ok((Some(wrapped), Vec::new())),
                    _ => {}
                }
            }
        }
        let (data_key, by) = match vault.unwrap_s3ec_and_name(target, admitted).await {
            Ok(unwrapped) => unwrapped,
            // The new key may have wrapped it already.
            Err(error) if keyring.accepts(envelope.key().algorithm()) => {
                let unwrapped = keyring.unwrap_and_name(admitted).await;
                unwrapped.map_err(|_| error)?
            }
            Err(error) => return Err(error),
        };
        let stored_len = snapshot.head.content_length().and_then(|len| u64::try_from(len).ok());
        admitted
            .opener(&data_key, stored_len.unwrap_or_default())
            .map_err(|error| target.s3ec_error(error))?;
        if let Some(by) = by.filter(|by| to.as_ref() == Some(by) && !refreshes) {
            return Ok((None, if commits { vec![by] } else { Vec::new() }));
        }
        let wrapped = keyring.wrap_again(&data_key, envelope).await.map_err(failed)?;
        Ok((Some(wrapped), Vec::new()))
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
        vault.check_s3ec_keyring(target, envelope.key().algorithm())?;
        // The new wrapped key is about as long as the old one.
        let like_old = WrappedKey::new(
            WrapAlgorithm::KmsContext,
            envelope.key().encrypted_data_key().to_vec(),
            envelope.new_kms_context(),
        );
        let expected = envelope.rewrapped(like_old).map_err(|error| target.s3ec_error(error))?;
        if envelope.key().algorithm().is_kms() {
            expected
                .check_fits(metadata::pairs(&info.metadata))
                .map_err(|error| target.envelope_error(error))?;
        }
        Ok(S3ecPlan { keyring, admitted })
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
        if now.as_ref() != Ok(envelope) {
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

#[cfg(test)]
mod s3ec_rewrap_tests;
