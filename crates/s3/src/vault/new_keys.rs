//! New wrapped keys of an object's data key.

use sealwax_envelope::{EncryptedDataKey, Keyring, KeyringErrorKind};

use super::{intermediate::IntermediateKeys, object_keys::ObjectKeys};
use crate::error::{Error, ErrorKind};

/// Wrapped keys that a keyring is to make.
#[derive(Debug)]
pub(crate) struct NewKeys<'a> {
    /// Number of the key change that asks for them.
    pub(crate) at: usize,
    pub(crate) keyring: &'a dyn Keyring,
    /// The wrapped keys that the keyring is expected to make, without their ciphertext.
    pub(crate) expected: Vec<EncryptedDataKey>,
    /// `true` if no other key stays beside them.
    pub(crate) replaces_all: bool,
}

impl<'a> NewKeys<'a> {
    /// Plans the keys of `keyring` for an object that will have `keys`, and adds them to `keys`.
    ///
    /// Returns `None` if `keys` already has just these. Makes no call.
    pub(crate) fn plan(
        at: usize,
        keyring: &'a dyn Keyring,
        replaces_all: bool,
        object: &ObjectKeys<'_>,
        keys: &mut Vec<EncryptedDataKey>,
    ) -> Result<Option<Self>, Error> {
        let expected = keyring.expected_keys(&object.wrap_context()?);
        let new = Self { at, keyring, expected, replaces_all };
        let is_present = |new: &EncryptedDataKey| {
            keys.iter().any(|key| new.has_same_wrapping_key(key) && key.place() == new.place())
        };
        let others = keys.iter().filter(|key| new.keeps(key)).count();
        if new.expected.iter().all(is_present) && others + new.expected.len() == keys.len() {
            return Ok(None);
        }
        keys.retain(|key| new.keeps(key));
        keys.extend(new.expected.iter().cloned());
        // Measured before KMS is asked for a wrapped key that could not be stored.
        let header = object.info.sealed_header(object.target)?.rewrapped(keys.clone());
        object.check_fits(&header.map_err(|error| object.target.envelope_error(error))?)?;
        Ok(Some(new))
    }

    /// `true` if `key` stays beside the new keys.
    pub(crate) fn keeps(&self, key: &EncryptedDataKey) -> bool {
        !self.replaces_all && !self.expected.iter().any(|new| new.has_same_wrapping_key(key))
    }

    /// Wraps the object's data key under the keys of the keyring.
    pub(crate) async fn make(
        &self,
        object: &ObjectKeys<'_>,
        intermediate_keys: &IntermediateKeys,
    ) -> Result<Vec<EncryptedDataKey>, Error> {
        let ObjectKeys { vault, target, info, accepted_places, .. } = object;
        let trusted = object.trusted_keys()?;
        if let Some(wrapped) = intermediate_keys
            .wrapped(object, self.at, (self.keyring, &self.expected), &trusted)
            .await?
        {
            return Ok(wrapped);
        }
        if let Some(wrapped) = self.re_encrypted(object, &trusted).await? {
            return Ok(wrapped);
        }
        let header = info.sealed_header(target)?;
        let keys = vault.places().acceptable_keys(target, header, accepted_places)?;
        // A wrapped key of anything but the body's own key would lose the object.
        let (data_key, _) = vault.prove(target, header, &keys).await?;
        let wrapped = self.keyring.wrap(&data_key, &object.wrap_context()?).await;
        let wrapped = wrapped.map_err(|error| target.keyring_error(vec![error]))?;
        if wrapped.is_empty() {
            let message = "the keyring has no key to wrap under";
            return Err(target.error(ErrorKind::InvalidInput, message));
        }
        Ok(wrapped)
    }

    /// Makes the new keys inside the key service; `None` if that is impossible or failed.
    async fn re_encrypted(
        &self,
        object: &ObjectKeys<'_>,
        trusted: &[EncryptedDataKey],
    ) -> Result<Option<Vec<EncryptedDataKey>>, Error> {
        match self.keyring.rewrap(trusted, &object.wrap_context()?).await {
            Ok(wrapped) => Ok(wrapped),
            Err(error) if error.kind() == KeyringErrorKind::Throttled => {
                Err(object.target.keyring_error(vec![error]))
            }
            Err(error) => {
                tracing::debug!(%error, "not re-encrypted inside the key service: unwrapping");
                Ok(None)
            }
        }
    }
}
