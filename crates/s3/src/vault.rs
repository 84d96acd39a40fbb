//! Keys: which of them opens which object.
//!
//! A vault holds the keyring and every policy that decides about keys. Together with a [`Store`] it
//! finds an object's format and keys, wherever these are stored.

pub(crate) mod carried_keys;
#[cfg(test)]
mod companion_tests;
pub(crate) mod encryption_client;
pub(crate) mod instruction_file;
pub(crate) mod intermediate;
pub(crate) mod key_report;
pub(crate) mod key_store;
#[cfg(test)]
mod kind_tests;
pub(crate) mod new_keys;
pub(crate) mod object_keys;
pub(crate) mod object_kind;
pub(crate) mod proofs;
#[cfg(test)]
pub(crate) mod samples;
pub(crate) mod sidecar;
#[cfg(test)]
mod vault_tests;

use std::{collections::HashMap, sync::Arc};

use futures_util::FutureExt as _;
use sealwax_envelope::{
    EncryptedDataKey, Error as EnvelopeError, Keyring, ObjectHeader, Opener, PlaintextDataKey,
    SharedKeySlot, Unwrap, metadata,
    s3ec::{self, Detected, detect},
};

use self::{
    instruction_file::InstructionFile,
    key_store::{KeyStore, KeyStorePolicy, Which},
    object_kind::shredded_at,
    proofs::no_matching_key,
    sidecar::{Sidecar, SidecarPolicy},
};
use crate::{
    error::{Error, ErrorKind, ObjectRef},
    format::{ObjectFormat, UnencryptedObjects},
    places::PlacePolicy,
    s3ec::S3ec,
    store::Store,
};

/// Error about an object with the mark of a shredded one, which anyone who can write to the bucket
/// can set.
const MARKED_WITH_KEYS: &str =
    "it is marked as shredded, but it still has metadata of a sealed object";
const MARKED_WITH_S3EC_KEYS: &str =
    "it is marked as shredded, but it still has metadata of the S3 Encryption Client";

/// A keyring and the policies that decide about keys. Cloning is cheap.
#[derive(Debug, Clone)]
pub(crate) struct Vault(Arc<Inner>);

/// Settings of a [`Vault`].
#[derive(Debug, Clone)]
pub(crate) struct VaultSettings {
    pub(crate) keyring: Arc<dyn Keyring>,
    pub(crate) places: PlacePolicy,
    pub(crate) sidecars: SidecarPolicy,
    pub(crate) key_store: KeyStorePolicy,
    pub(crate) s3ec: S3ec,
    pub(crate) unencrypted: UnencryptedObjects,
}

/// Settings, and the key store that they name.
#[derive(Debug)]
struct Inner {
    settings: VaultSettings,
    key_store: Option<Arc<KeyStore>>,
}

impl Vault {
    pub(crate) fn new(settings: VaultSettings) -> Self {
        let key_store = KeyStore::of(&settings.key_store).map(Arc::new);
        Self(Arc::new(Inner { settings, key_store }))
    }

    /// Returns a vault with another keyring and the same policies.
    pub(crate) fn with_keyring(&self, keyring: Arc<dyn Keyring>) -> Self {
        self.with_settings(VaultSettings { keyring, ..self.0.settings.clone() })
    }

    /// Returns a vault with another treatment of objects that no client encrypted.
    pub(crate) fn with_unencrypted(&self, unencrypted: UnencryptedObjects) -> Self {
        self.with_settings(VaultSettings { unencrypted, ..self.0.settings.clone() })
    }

    /// Returns a vault with other settings that name the same key store. What is known of it stays.
    fn with_settings(&self, settings: VaultSettings) -> Self {
        Self(Arc::new(Inner { settings, key_store: self.0.key_store.clone() }))
    }

    /// Returns a vault with the same settings that knows nothing of the key store yet.
    pub(crate) fn afresh(&self) -> Self {
        Self::new(self.0.settings.clone())
    }

    /// Returns a vault with another key store and the same settings.
    #[cfg(test)]
    pub(crate) fn with_key_store(&self, key_store: KeyStore) -> Self {
        let settings = self.0.settings.clone();
        Self(Arc::new(Inner { settings, key_store: Some(Arc::new(key_store)) }))
    }

    /// Returns the key store, if there is one.
    pub(crate) fn key_store(&self) -> Option<&KeyStore> {
        self.0.key_store.as_deref()
    }

    pub(crate) fn key_store_policy(&self) -> &KeyStorePolicy {
        &self.0.settings.key_store
    }

    pub(crate) fn keyring(&self) -> &Arc<dyn Keyring> {
        &self.0.settings.keyring
    }

    pub(crate) fn places(&self) -> &PlacePolicy {
        &self.0.settings.places
    }

    pub(crate) fn sidecars(&self) -> &SidecarPolicy {
        &self.0.settings.sidecars
    }

    pub(crate) fn s3ec(&self) -> &S3ec {
        &self.0.settings.s3ec
    }

    /// Unwraps an object's data key by one of `keys`, and proves that it is this body's.
    ///
    /// A key service vouches for a wrapped key of anybody who may use the wrapping key. If the first
    /// that unwraps is not the body's, each of the others is tried.
    pub(crate) async fn prove(
        &self,
        target: &ObjectRef,
        header: &ObjectHeader,
        keys: &[EncryptedDataKey],
    ) -> Result<(PlaintextDataKey, Opener), Error> {
        let opener = |data_key: &PlaintextDataKey| {
            Opener::new(data_key, &header.context().body_context(), header.body_header())
        };
        if keys.is_empty() && header.keys().is_empty() {
            return Err(self.only_detached(target));
        }
        let data_key = self.unwrap(target, keys).await?;
        let error = match opener(&data_key) {
            Ok(opener) => return Ok((data_key, opener)),
            Err(error) => target.envelope_error(error),
        };
        for key in keys.iter().filter(|_| keys.len() > 1) {
            if let Unwrap::Unwrapped(data_key) =
                self.keyring().unwrap(std::slice::from_ref(key)).await
                && let Ok(opener) = opener(&data_key)
            {
                return Ok((data_key, opener));
            }
        }
        Err(error)
    }

    /// Describes an object whose wrapped keys are in a key store alone.
    pub(crate) fn only_detached(&self, target: &ObjectRef) -> Error {
        match self.key_store() {
            Some(_) => {
                let message = "its wrapped keys are in the key store alone, which has none that the \
                               keyring can use";
                target.error(ErrorKind::KeyObjectMissing, message)
            }
            None => {
                let message =
                    "its wrapped keys are in a key store alone, and this client reads none";
                target.error(ErrorKind::PolicyRefused, message)
            }
        }
    }

    /// Unwraps the first of `keys` that the keyring can. It may be anybody's.
    async fn unwrap(
        &self,
        target: &ObjectRef,
        keys: &[EncryptedDataKey],
    ) -> Result<PlaintextDataKey, Error> {
        match self.keyring().unwrap(keys).await {
            Unwrap::Unwrapped(data_key) => Ok(data_key),
            Unwrap::Failed(failures) => Err(target.keyring_error(failures)),
            Unwrap::NotMine => Err(no_matching_key(target, keys)),
        }
    }

    /// Returns the opener of an object's body: by the keys in `header`, or else by those that the key
    /// store has for its intermediate keys.
    async fn opener_by_header(
        &self,
        store: &Store,
        target: &ObjectRef,
        header: &ObjectHeader,
        accepted_places: &[String],
    ) -> Result<Opener, Error> {
        let error = match self.opener_by_metadata(target, header, accepted_places).await {
            Ok(opener) => return Ok(opener),
            Err(error) => error,
        };
        match self.opener_by_key_store(store, target, header, accepted_places).await {
            Ok(Some(opener)) => {
                tracing::debug!(%error, "opened by a key object");
                Ok(opener)
            }
            Ok(None) => Err(error),
            // The object's keys are in the key store alone.
            Err(failed) if header.keys().is_empty() => Err(failed),
            Err(failed) => {
                let message = failed.message();
                Err(error.with_suffix(&format!("nor does the key store help: {message}")))
            }
        }
    }

    /// Returns the opener of an object's body, by the keys in `header` alone.
    async fn opener_by_metadata(
        &self,
        target: &ObjectRef,
        header: &ObjectHeader,
        accepted_places: &[String],
    ) -> Result<Opener, Error> {
        let keys = self.places().acceptable_keys(target, header, accepted_places)?;
        self.prove(target, header, &keys).await.map(|(_, opener)| opener)
    }

    /// Returns the opener of an object's body by the key store's wrapped forms of its intermediate
    /// keys; `None` without a key store, or for an object without an intermediate key.
    async fn opener_by_key_store(
        &self,
        store: &Store,
        target: &ObjectRef,
        header: &ObjectHeader,
        accepted_places: &[String],
    ) -> Result<Option<Opener>, Error> {
        let slots = self.places().acceptable_slots(target, header, accepted_places)?;
        if self.key_store().is_none() || slots.is_empty() {
            return Ok(None);
        }
        let mut failure = None;
        // The key objects that the keyring names come first. What was planted there hides no other.
        for which in [Which::Named, Which::Others] {
            let keys = self.stored_keys(store, target, &slots, which).await?;
            if keys.is_empty() {
                continue;
            }
            match self.prove(target, header, &keys).await {
                Ok((_, opener)) => return Ok(Some(opener)),
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        Err(failure.unwrap_or_else(|| self.key_object_missing(target, header)))
    }

    /// Returns the data keys in `slots` with the wrapped forms that the key store has, and that the
    /// keyring may use; none without a key store.
    async fn stored_keys(
        &self,
        store: &Store,
        target: &ObjectRef,
        slots: &[SharedKeySlot],
        which: Which,
    ) -> Result<Vec<EncryptedDataKey>, Error> {
        let mut keys = Vec::new();
        if let Some(key_store) = self.key_store() {
            for slot in slots {
                // Boxed, because the futures of reads nest deeply.
                let found = key_store.keys((store, &**self.keyring()), target, slot, which).boxed();
                keys.extend(found.await?);
            }
        }
        Ok(keys)
    }

    /// Returns an object's detached data keys with all wrapped forms that the key store has, and that
    /// the keyring may use.
    pub(crate) async fn detached_keys(
        &self,
        store: &Store,
        target: &ObjectRef,
        header: &ObjectHeader,
        accepted_places: &[String],
    ) -> Result<Vec<EncryptedDataKey>, Error> {
        let mut slots = self.places().acceptable_slots(target, header, accepted_places)?;
        slots.retain(|slot| slot.wrap_context().is_detached());
        let mut keys = self.stored_keys(store, target, &slots, Which::Named).await?;
        keys.extend(self.stored_keys(store, target, &slots, Which::Others).await?);
        Ok(keys)
    }

    /// Returns the keys in an object's metadata that are bound to an acceptable place, and its
    /// detached ones with the wrapped forms of the key store.
    pub(crate) async fn openable_keys(
        &self,
        store: &Store,
        target: &ObjectRef,
        header: &ObjectHeader,
        accepted_places: &[String],
    ) -> Result<Vec<EncryptedDataKey>, Error> {
        let mut keys = self.places().acceptable_keys(target, header, accepted_places)?;
        keys.extend(self.detached_keys(store, target, header, accepted_places).await?);
        Ok(keys)
    }

    /// Stores the wrapped forms of the intermediate keys in `keys` in the key store, if there is one,
    /// before an object relies on it. They must be of keys that this process made.
    ///
    /// # Errors
    /// As [`KeyStore::publish`] and [`Vault::check_key_store`].
    pub(crate) async fn publish(
        &self,
        store: &Store,
        target: &ObjectRef,
        keys: &[EncryptedDataKey],
    ) -> Result<(), Error> {
        match self.key_store() {
            // Boxed, because the futures of writes nest deeply.
            Some(key_store) => key_store.publish(store, target, keys).boxed().await,
            None => self.check_key_store(target, keys),
        }
    }

    /// Returns the data key in `slot` with each wrapped form that the key store of `target`'s bucket
    /// has; none without a key store.
    pub(crate) async fn stored_forms(
        &self,
        store: &Store,
        target: &ObjectRef,
        slot: &SharedKeySlot,
    ) -> Result<Vec<EncryptedDataKey>, Error> {
        match self.key_store() {
            Some(key_store) => key_store.all_keys(store, target, slot).boxed().await,
            None => Ok(Vec::new()),
        }
    }

    /// Stores the wrapped forms in `keys`, which another key store has for the detached data key in
    /// `slot`, before an object relies on them.
    ///
    /// # Errors
    /// As [`KeyStore::publish_again`]; [`ErrorKind::InvalidInput`] without a key store.
    pub(crate) async fn publish_again(
        &self,
        store: &Store,
        target: &ObjectRef,
        slot: &SharedKeySlot,
        keys: &[EncryptedDataKey],
    ) -> Result<(), Error> {
        let Some(key_store) = self.key_store() else {
            let message = format!(
                "the wrapped forms of its intermediate key {} are in the source's key store alone, \
                 and this client has no key store for them",
                slot.intermediate_id()
            );
            return Err(target.error(ErrorKind::InvalidInput, message));
        };
        key_store.publish_again((store, &**self.keyring()), target, keys).boxed().await
    }

    /// Refuses detached keys without a key store: no object under them could ever be opened.
    pub(crate) fn check_key_store(
        &self,
        target: &ObjectRef,
        keys: &[EncryptedDataKey],
    ) -> Result<(), Error> {
        let is_detached = |key: &EncryptedDataKey| key.wrap_context().is_detached();
        if self.key_store().is_none() && keys.iter().any(is_detached) {
            let message = "the keyring makes detached intermediate keys, and this client has no key \
                           store for them";
            return Err(target.error(ErrorKind::InvalidInput, message));
        }
        Ok(())
    }

    /// Describes that the key store has no key object that would open the object.
    fn key_object_missing(&self, target: &ObjectRef, header: &ObjectHeader) -> Error {
        let prefix = self.key_store_policy().reserved_prefix();
        let place = format!("s3://{}/{prefix}", target.bucket);
        let ids: Vec<_> =
            header.slots().iter().map(|slot| slot.intermediate_id().to_string()).collect();
        let message = format!(
            "{place} has no key object of its intermediate key {} that the keyring can use",
            ids.join(" or ")
        );
        target.error(ErrorKind::KeyObjectMissing, message)
    }

    /// Returns the opener of an object's body: by the keys in its metadata, or else by those of the
    /// key store, or else by those of its sidecar, as far as the policies allow these.
    pub(crate) async fn opener(
        &self,
        store: &Store,
        target: &ObjectRef,
        header: &ObjectHeader,
        accepted_places: &[String],
    ) -> Result<Opener, Error> {
        let error = match self.opener_by_header(store, target, header, accepted_places).await {
            Ok(opener) => return Ok(opener),
            Err(error) => error,
        };
        let Some(suffix) = self.sidecars().suffix() else { return Err(error) };
        match Sidecar::find(store, target, suffix, header).await {
            Ok(Sidecar::Present { header, .. }) => {
                let generation = header.generation();
                tracing::debug!(%error, generation, "trying the keys of the sidecar");
                let opener = self.opener_by_header(store, target, &header, accepted_places).await;
                opener.map_err(|sidecars| {
                    let message = sidecars.message();
                    error.with_suffix(&format!("nor do the keys of its sidecar open it: {message}"))
                })
            }
            Ok(Sidecar::Absent | Sidecar::Stale { .. }) => Err(error),
            Err(unread) => {
                let message = unread.message();
                Err(error.with_suffix(&format!("and its sidecar can't be used: {message}")))
            }
        }
    }

    /// Tells the format of an object with the user metadata `stored`.
    ///
    /// Only an object without any metadata of an encrypting client costs a request: it may have an
    /// instruction file.
    pub(crate) async fn format_of(
        &self,
        store: &Store,
        target: &ObjectRef,
        stored: Option<&HashMap<String, String>>,
    ) -> Result<ObjectFormat, Error> {
        let pairs = || metadata::pairs(stored.into_iter().flatten());
        match ObjectHeader::parse(pairs()) {
            Ok(header) => return Ok(ObjectFormat::Sealwax(header)),
            Err(EnvelopeError::NotSealed) => {}
            Err(error) => {
                let error = target.envelope_error(error);
                return Err(match shredded_at(pairs()) {
                    Some(_) => error.with_prefix(MARKED_WITH_KEYS),
                    None => error,
                });
            }
        }
        if let Some(time) = shredded_at(pairs()) {
            if pairs().any(|(name, _)| s3ec::is_reserved(name)) {
                return Err(target.error(ErrorKind::Malformed, MARKED_WITH_S3EC_KEYS));
            }
            let message = format!("it was shredded on {time}: its keys are gone for good");
            return Err(target.error(ErrorKind::Shredded, message));
        }
        if pairs().any(|(name, _)| metadata::is_reserved(name)) {
            return Err(target.envelope_error(EnvelopeError::NotSealed));
        }
        let refused = self.s3ec().is_refused();
        let pending = match detect(pairs()).map_err(|error| target.s3ec_error(error))? {
            Detected::Complete(_) if refused => return Err(refused_here(target)),
            Detected::Pending(pending) if refused && pending.is_certain() => {
                return Err(refused_here(target));
            }
            Detected::Pending(_) if refused => {
                return self.not_sealed(target, "it has no Sealwax metadata");
            }
            Detected::Complete(envelope) => return Ok(ObjectFormat::S3ec(envelope)),
            Detected::Pending(pending) => pending,
        };
        let suffix = self.s3ec().file_suffix();
        match InstructionFile::find(store, target, suffix).await? {
            InstructionFile::Present { bytes, .. } => Ok(ObjectFormat::S3ec(
                pending.complete(&bytes).map_err(|error| target.s3ec_error(error))?,
            )),
            InstructionFile::Absent if pending.is_certain() => {
                Err(no_instruction_file(target, suffix))
            }
            InstructionFile::Denied
                if pending.is_certain()
                    || self.0.settings.unencrypted == UnencryptedObjects::PassThrough =>
            {
                Err(denied_instruction_file(target, suffix))
            }
            InstructionFile::Absent | InstructionFile::Denied => {
                let why = format!(
                    "it has no metadata of an encrypting client, and no instruction file with the \
                     suffix {suffix:?} was found"
                );
                self.not_sealed(target, &why)
            }
        }
    }

    /// Reads the envelope of an object of the S3 Encryption Client, whether this client opens such
    /// objects or not. Returns `None` for an older version (`is_version`) whose envelope is in an
    /// instruction file: that may be another version's.
    pub(crate) async fn claimed_envelope(
        &self,
        store: &Store,
        target: &ObjectRef,
        stored: Option<&HashMap<String, String>>,
        is_version: bool,
    ) -> Result<Option<s3ec::Envelope>, Error> {
        let failed = |error| target.s3ec_error(error);
        let pending = match detect(metadata::pairs(stored.into_iter().flatten())).map_err(failed)? {
            Detected::Complete(envelope) => return Ok(Some(envelope)),
            Detected::Pending(_) if is_version => return Ok(None),
            Detected::Pending(pending) => pending,
        };
        let suffix = self.s3ec().file_suffix();
        match InstructionFile::find(store, target, suffix).await? {
            InstructionFile::Present { bytes, .. } => {
                pending.complete(&bytes).map(Some).map_err(failed)
            }
            InstructionFile::Absent => Err(no_instruction_file(target, suffix)),
            InstructionFile::Denied => Err(denied_instruction_file(target, suffix)),
        }
    }

    fn not_sealed(&self, target: &ObjectRef, why: &str) -> Result<ObjectFormat, Error> {
        match self.0.settings.unencrypted {
            UnencryptedObjects::PassThrough => Ok(ObjectFormat::Unencrypted),
            UnencryptedObjects::Refuse => {
                let message = format!("the object is not sealed: {why}");
                Err(target.error(ErrorKind::NotSealed, message))
            }
        }
    }
}

fn no_instruction_file(target: &ObjectRef, suffix: &str) -> Error {
    let message = format!(
        "its wrapped data key is in an instruction file, and no file with the suffix {suffix:?} \
         exists"
    );
    target.error(ErrorKind::Malformed, message)
}

fn denied_instruction_file(target: &ObjectRef, suffix: &str) -> Error {
    let message = format!(
        "it may have an instruction file, but GetObject of its key and {suffix:?} was denied"
    );
    target.error(ErrorKind::AccessDenied, message)
}

fn refused_here(target: &ObjectRef) -> Error {
    let message = "it is an object of the S3 Encryption Client, and this client refuses those";
    target.error(ErrorKind::PolicyRefused, message)
}
