//! Keyring over a raw AES key.

use std::{collections::BTreeMap, fmt};

use zeroize::Zeroizing;

use super::{Admitted, ContentSuite, Error, Keyring, WrapAlgorithm, WrappedKey};
use crate::{
    BoxFuture, EncryptionContext, KeyringError, KeyringErrorKind, PlaintextDataKey,
    crypto::s3ec_primitives::AesKey,
};

/// Wraps data keys under one AES key with AES-GCM, bound to the content's suite. Also unwraps data
/// keys wrapped by older clients, if the reader's policy accepts them.
///
/// AES-GCM with random nonces permits 2^32 wrapped keys under one key (NIST SP 800-38D §8.3).
/// Replace the key before that.
pub struct RawAesKeyring {
    key: AesKey,
    description: BTreeMap<String, String>,
}

impl RawAesKeyring {
    /// Creates a keyring from the key in `bytes`, of 16, 24 or 32 bytes, and wipes `bytes`.
    ///
    /// # Errors
    /// [`Error::Metadata`] for other lengths.
    pub fn new(bytes: &mut [u8]) -> Result<Self, Error> {
        let copy = Zeroizing::new(bytes.to_vec());
        zeroize::Zeroize::zeroize(bytes);
        let key = AesKey::new(copy)
            .ok_or(crate::Error::ApiMisuse("a raw AES key has 16, 24 or 32 bytes"))?;
        Ok(Self { key, description: BTreeMap::new() })
    }

    /// Sets the materials description, stored in plaintext with each wrapped data key to identify
    /// the wrapping key. It is not authenticated.
    #[must_use]
    pub fn materials_description<N: Into<String>, V: Into<String>>(
        mut self,
        pairs: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        self.description =
            pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        self
    }
}

impl Keyring for RawAesKeyring {
    fn accepts(&self, algorithm: WrapAlgorithm) -> bool {
        matches!(algorithm, WrapAlgorithm::AesGcm | WrapAlgorithm::AesWrap | WrapAlgorithm::AesEcb)
    }

    fn binds_context(&self) -> bool {
        false
    }

    fn wrap<'a>(
        &'a self,
        data_key: &'a PlaintextDataKey,
        suite: ContentSuite,
        _context: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<WrappedKey, KeyringError>> {
        Box::pin(async move {
            let wrapped = self.key.gcm_wrap(data_key.expose_secret(), suite.binding().as_bytes());
            let wrapped = wrapped.map_err(|_| {
                failed(KeyringErrorKind::Other).with_source(Error::RandomUnavailable)
            })?;
            Ok(WrappedKey::new(WrapAlgorithm::AesGcm, wrapped, self.description.clone()))
        })
    }

    fn unwrap<'a>(
        &'a self,
        envelope: &'a Admitted,
    ) -> BoxFuture<'a, Result<PlaintextDataKey, KeyringError>> {
        Box::pin(async move {
            let envelope = envelope.envelope();
            let wrapped = envelope.key().encrypted_data_key();
            let binding = envelope.content().suite().raw_key_binding();
            let unwrapped = match envelope.key().algorithm() {
                WrapAlgorithm::AesGcm => self.key.gcm_unwrap(wrapped, binding.as_bytes()),
                WrapAlgorithm::AesWrap => self.key.key_unwrap(wrapped),
                WrapAlgorithm::AesEcb => self.key.ecb_unwrap(wrapped),
                _ => return Err(failed(KeyringErrorKind::NotFound)),
            };
            let rejected = || failed(KeyringErrorKind::Rejected);
            let mut unwrapped = unwrapped.map_err(|_| rejected())?;
            PlaintextDataKey::from_slice_wiping(&mut unwrapped).map_err(|_| rejected())
        })
    }
}

fn failed(kind: KeyringErrorKind) -> KeyringError {
    KeyringError::new(kind, "(raw AES key)")
}

impl fmt::Debug for RawAesKeyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawAesKeyring")
            .field("description", &self.description)
            .finish_non_exhaustive()
    }
}
