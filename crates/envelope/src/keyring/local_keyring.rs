//! A wrapping key held in this process, for use without a network.

use std::fmt;

use super::{EncryptionMaterials, KeyMaterial, Keyring, Unwrap};
use crate::{
    BodyHeader, BodySalt, BoxFuture, DATA_KEY_LEN, EncryptedDataKey, Error, KeyringError,
    KeyringErrorKind, MissingKey, Opener, PartBuffer, PlaintextDataKey, Sealer, WrapContext,
    geometry::{HEADER_LEN, TAG_LEN},
};

/// Provider name of data keys wrapped by a [`LocalKeyring`].
pub const LOCAL_PROVIDER: &str = "local";

const WRAPPED_LEN: usize = HEADER_LEN + DATA_KEY_LEN + TAG_LEN;

/// Wraps data keys under one 256-bit key that the caller holds.
///
/// A wrapped key is itself a Cobblestone-256 message whose context is the [`WrapContext`]. It is
/// therefore authenticated with the encryption context and the place, and commits to the wrapping
/// key. The number of data keys under one wrapping key is unlimited.
///
/// ```
/// use sealwax_envelope::{Keyring, LocalKeyring};
///
/// let mut key = [7; 32]; // from a secret store
/// let keyring = LocalKeyring::new("backup-2026", &mut key)?;
/// assert_eq!(key, [0; 32], "the caller's copy is wiped");
/// # let _: &dyn Keyring = &keyring;
/// # Ok::<(), sealwax_envelope::Error>(())
/// ```
pub struct LocalKeyring {
    name: String,
    wrapping_key: PlaintextDataKey,
}

impl LocalKeyring {
    /// Creates a keyring from the key in `bytes`, and wipes `bytes`. `name` identifies the key and
    /// is stored with each object.
    ///
    /// # Errors
    /// [`Error::Malformed`] for a name that [`EncryptedDataKey::new`] rejects, [`Error::ApiMisuse`]
    /// if `bytes` are not [`DATA_KEY_LEN`] long.
    pub fn new(name: impl Into<String>, bytes: &mut [u8]) -> Result<Self, Error> {
        let wrapping_key = PlaintextDataKey::from_slice_wiping(bytes)
            .map_err(|_| Error::ApiMisuse("a local wrapping key has 32 bytes"))?;
        let name = name.into();
        // The same names are valid.
        MissingKey::new(LOCAL_PROVIDER, name.as_str())?;
        Ok(Self { name, wrapping_key })
    }

    /// Returns the name of the wrapping key.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    fn seal(
        &self,
        data_key: &PlaintextDataKey,
        wrap_context: &WrapContext,
    ) -> Result<EncryptedDataKey, Error> {
        let salt = BodySalt::generate()?;
        let sealer = Sealer::new(&self.wrapping_key, &wrap_context.canonical_bytes(), salt);
        let mut buffer = PartBuffer::new(Some(sealer.header()), 1);
        buffer.put_slice(data_key.expose_secret());
        let ciphertext = sealer.last_part().seal(buffer)?;
        EncryptedDataKey::new(LOCAL_PROVIDER, self.name.as_str(), ciphertext, wrap_context)
    }

    fn open(&self, key: &EncryptedDataKey) -> Result<PlaintextDataKey, Error> {
        let mut wrapped: [u8; WRAPPED_LEN] =
            key.ciphertext().try_into().map_err(|_| Error::Authentication)?;
        let (header, body) = wrapped.split_first_chunk_mut::<HEADER_LEN>().expect("104 bytes");
        let wrap_context = key.wrap_context().canonical_bytes();
        Opener::new(&self.wrapping_key, &wrap_context, &BodyHeader::from_bytes(header))?
            .open_chunks(0, body)?;
        key.open(PlaintextDataKey::from_slice_wiping(&mut body[..DATA_KEY_LEN])?)
    }

    fn failed(&self, error: Error) -> KeyringError {
        let kind = match error {
            Error::Authentication => KeyringErrorKind::Rejected,
            _ => KeyringErrorKind::Other,
        };
        KeyringError::new(kind, self.name.as_str()).with_source(error)
    }
}

impl Keyring for LocalKeyring {
    fn generate<'a>(
        &'a self,
        wrap_context: &'a WrapContext,
        _plaintext_len: Option<u64>,
    ) -> BoxFuture<'a, Result<EncryptionMaterials, KeyringError>> {
        Box::pin(async move {
            let materials = PlaintextDataKey::generate().and_then(|data_key| {
                let wrapped = self.seal(&data_key, wrap_context)?;
                EncryptionMaterials::new(data_key, vec![wrapped])
            });
            materials.map_err(|error| self.failed(error))
        })
    }

    fn wrap<'a>(
        &'a self,
        data_key: &'a PlaintextDataKey,
        wrap_context: &'a WrapContext,
    ) -> BoxFuture<'a, Result<Vec<EncryptedDataKey>, KeyringError>> {
        Box::pin(async move {
            self.seal(data_key, wrap_context)
                .map(|key| vec![key])
                .map_err(|error| self.failed(error))
        })
    }

    fn rewrap<'a>(
        &'a self,
        _keys: &'a [EncryptedDataKey],
        _wrap_context: &'a WrapContext,
    ) -> BoxFuture<'a, Result<Option<Vec<EncryptedDataKey>>, KeyringError>> {
        // The wrapping key is in this process, so the data key cannot stay out of it.
        Box::pin(async { Ok(None) })
    }

    /// Returns the key itself: a local key has no other material.
    fn key_material<'a>(
        &'a self,
        key: &'a EncryptedDataKey,
    ) -> BoxFuture<'a, Result<Option<KeyMaterial>, KeyringError>> {
        Box::pin(async move {
            if !self.accepts(key) {
                return Ok(None);
            }
            self.open(key).map_err(|error| self.failed(error))?;
            Ok(Some(KeyMaterial::new(self.name.as_str(), true)))
        })
    }

    fn unwrap<'a>(&'a self, keys: &'a [EncryptedDataKey]) -> BoxFuture<'a, Unwrap> {
        Box::pin(async move {
            let mut failures = Vec::new();
            for key in keys.iter().filter(|key| self.accepts(key)) {
                match self.open(key) {
                    Ok(data_key) => return Unwrap::Unwrapped(data_key),
                    Err(error) => failures.push(self.failed(error)),
                }
            }
            if failures.is_empty() { Unwrap::NotMine } else { Unwrap::Failed(failures) }
        })
    }

    fn accepts(&self, key: &EncryptedDataKey) -> bool {
        key.provider() == LOCAL_PROVIDER && key.wrapping_key() == self.name
    }

    fn expected_keys(&self, wrap_context: &WrapContext) -> Vec<EncryptedDataKey> {
        let name = self.name.as_str();
        let ciphertext = vec![0; WRAPPED_LEN];
        let key = EncryptedDataKey::new(LOCAL_PROVIDER, name, ciphertext, wrap_context);
        vec![key.expect("the constructor checked the name")]
    }
}

impl fmt::Debug for LocalKeyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalKeyring").field("name", &self.name).finish_non_exhaustive()
    }
}
