//! New wrapped keys of an object's data key.

use sealwax_envelope::{EncryptedDataKey, Keyring, KeyringErrorKind};

use super::{
    intermediate::{IntermediateKeys, MadeKeys},
    object_keys::ObjectKeys,
};
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
    /// `true` if a key that is bound to the object's place in a source does not count.
    pub(crate) rebinds: bool,
}

impl<'a> NewKeys<'a> {
    /// Returns the keys that `keyring` would make for an object.
    pub(crate) fn of(
        at: usize,
        keyring: &'a dyn Keyring,
        (replaces_all, rebinds): (bool, bool),
        object: &ObjectKeys<'_>,
    ) -> Result<Self, Error> {
        let expected = keyring.expected_keys(&object.wrap_context()?);
        Ok(Self { at, keyring, expected, replaces_all, rebinds })
    }

    /// Returns the names of the wrapping keys that `keys` claims already, where they open the object.
    pub(crate) fn present(
        &self,
        object: &ObjectKeys<'_>,
        keys: &[EncryptedDataKey],
    ) -> Result<Vec<String>, Error> {
        let mut present = Vec::new();
        for new in &self.expected {
            if self.is_present(object, new, keys)? {
                present.push(new.wrapping_key().to_owned());
            }
        }
        Ok(present)
    }

    /// `true` if `keys` has one under the wrapping key of `new` that opens the object.
    fn is_present(
        &self,
        object: &ObjectKeys<'_>,
        new: &EncryptedDataKey,
        keys: &[EncryptedDataKey],
    ) -> Result<bool, Error> {
        for key in keys {
            if new.has_same_wrapping_key(key) && object.opens_here(key, self.rebinds)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Plans these keys for an object that will have `keys`, and adds them to `keys`.
    ///
    /// Returns `false` if `keys` already claims just these. Makes no call.
    pub(crate) fn plan(
        &self,
        object: &ObjectKeys<'_>,
        keys: &mut Vec<EncryptedDataKey>,
    ) -> Result<bool, Error> {
        let others = keys.iter().filter(|key| self.keeps(key)).count();
        let present = self.present(object, keys)?.len();
        if present == self.expected.len() && others + self.expected.len() == keys.len() {
            return Ok(false);
        }
        keys.retain(|key| self.keeps(key));
        keys.extend(self.expected.iter().cloned());
        // Measured before KMS is asked for a wrapped key that could not be stored.
        let header = object.info.sealed_header(object.target)?.rewrapped(keys.clone());
        object.check_fits(&header.map_err(|error| object.target.envelope_error(error))?)?;
        Ok(true)
    }

    /// `true` if `key` stays beside the new keys.
    pub(crate) fn keeps(&self, key: &EncryptedDataKey) -> bool {
        !self.replaces_all && !self.expected.iter().any(|new| new.has_same_wrapping_key(key))
    }

    /// Wraps the object's data key under the keys of the keyring.
    ///
    /// If `proves`, keys of an intermediate key are proven if that is possible. Others may still be
    /// unproven: `ReEncrypt` does not show the data key.
    pub(crate) async fn make(
        &self,
        object: &ObjectKeys<'_>,
        intermediate_keys: &IntermediateKeys,
        proves: bool,
    ) -> Result<MadeKeys, Error> {
        let trusted = object.trusted_keys()?;
        let wanted = (self.keyring, self.expected.as_slice());
        if let Some(made) =
            intermediate_keys.wrapped(object, self.at, wanted, &trusted, proves).await?
        {
            return Ok(made);
        }
        if let Some(keys) = self.re_encrypted(object, &trusted).await? {
            return Ok(MadeKeys { keys, proven: false });
        }
        self.wrapped_again(object).await
    }

    /// Unwraps the object's data key, proves it, and wraps it under the keys of the keyring.
    pub(crate) async fn wrapped_again(&self, object: &ObjectKeys<'_>) -> Result<MadeKeys, Error> {
        let ObjectKeys { vault, target, info, .. } = object;
        let header = info.sealed_header(target)?;
        let keys = object.acceptable_keys()?;
        // A wrapped key of anything but the body's own key would lose the object.
        let (data_key, _) = vault.prove(target, header, &keys).await?;
        let wrapped = self.keyring.wrap(&data_key, &object.wrap_context()?).await;
        let keys = wrapped.map_err(|error| target.keyring_error(vec![error]))?;
        if keys.is_empty() {
            let message = "the keyring has no key to wrap under";
            return Err(target.error(ErrorKind::InvalidInput, message));
        }
        Ok(MadeKeys { keys, proven: true })
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
