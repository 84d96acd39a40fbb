//! Keyrings: wrap and unwrap data keys.

mod caching_keyring;
mod local_keyring;
mod multi_keyring;
mod single_flight;

use std::{fmt, ops::Deref};

pub use self::{
    caching_keyring::{CacheLimits, CachingKeyring},
    local_keyring::{LOCAL_PROVIDER, LocalKeyring},
    multi_keyring::MultiKeyring,
};
use crate::{
    BoxFuture, EncryptedDataKey, EncryptionContext, Error, KeyringError, MissingKey,
    PlaintextDataKey, WrapContext, s3ec,
};

/// Wraps and unwraps data keys under wrapping keys that only the keyring can reach.
///
/// Implement it for a key store of your own; [`LocalKeyring`] is a short example. Pointers to
/// keyrings (`Arc`, `Box`, `&`) are keyrings too.
///
/// # Bindings
///
/// A wrapped data key is bound to its object: the key service authenticates a [`WrapContext`] with
/// it, which holds the encryption context and, for most objects, the object's place.
///
/// - Methods that produce wrapped keys for an object take that [`WrapContext`] as `binding`.
/// - Methods that only read wrapped keys take the encryption context. Each [`EncryptedDataKey`]
///   stores the rest of its binding, and [`EncryptedDataKey::binding`] combines the two. A key is
///   therefore never authenticated with a place other than the one it was wrapped for. The caller
///   decides beforehand which places it accepts.
///
/// ```
/// use futures_util::FutureExt as _;
/// use sealwax_envelope::{EncryptionContext, Keyring, LocalKeyring, Place, Unwrap, WrapContext};
///
/// let keyring = LocalKeyring::new("my-key", &mut [7; 32])?;
/// let context = EncryptionContext::new().with("tenant", "acme")?;
/// let place = Place::new("bucket", "key")?;
///
/// let binding = WrapContext::new(&context, Some(&place));
/// let materials = keyring.generate(binding, None).now_or_never().expect("no I/O")?;
/// let keys = materials.encrypted_data_keys();
/// assert_eq!(keys[0].place(), Some(&place));
///
/// let unwrapped = keyring.unwrap(keys, &context).now_or_never().expect("no I/O");
/// assert!(matches!(unwrapped, Unwrap::Unwrapped(_)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Keyring: fmt::Debug + Send + Sync {
    /// Generates a data key and wraps it under every wrapping key of this keyring.
    ///
    /// `plaintext_len` is the number of bytes that the data key will encrypt, if known. Keyrings
    /// that limit the use of a key need it.
    fn generate<'a>(
        &'a self,
        binding: WrapContext<'a>,
        plaintext_len: Option<u64>,
    ) -> BoxFuture<'a, Result<EncryptionMaterials, KeyringError>>;

    /// Wraps an existing data key under every wrapping key of this keyring.
    fn wrap<'a>(
        &'a self,
        data_key: &'a PlaintextDataKey,
        binding: WrapContext<'a>,
    ) -> BoxFuture<'a, Result<Vec<EncryptedDataKey>, KeyringError>>;

    /// Wraps the data key in `keys` under every wrapping key of this keyring and binds it to
    /// `binding`, without exposing it to this process (AWS KMS `ReEncrypt`).
    ///
    /// Returns `None` if that is impossible for one of the wrapping keys: unwrap and wrap instead.
    /// `keys` were wrapped with the encryption context of `binding`; their place may differ.
    ///
    /// The caller must trust `keys`: a keyring that it reads with [accepts](Keyring::accepts) each
    /// of them.
    fn rewrap<'a>(
        &'a self,
        keys: &'a [EncryptedDataKey],
        binding: WrapContext<'a>,
    ) -> BoxFuture<'a, Result<Option<Vec<EncryptedDataKey>>, KeyringError>>;

    /// Re-encrypts `key` under the newest material of the same wrapping key, without exposing the
    /// data key to this process.
    ///
    /// Returns `None` if `key` is already under the newest material, if its wrapping key is not in
    /// this keyring, or if the wrapping key has only one material.
    fn refresh<'a>(
        &'a self,
        key: &'a EncryptedDataKey,
        context: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<Option<EncryptedDataKey>, KeyringError>> {
        let _ = (key, context);
        Box::pin(async { Ok(None) })
    }

    /// Returns the material of the wrapping key that `key` is encrypted under. The data key does
    /// not leave the key service for that.
    ///
    /// Returns `None` if the service does not report it, or if the wrapping key is not in this
    /// keyring.
    fn key_material<'a>(
        &'a self,
        key: &'a EncryptedDataKey,
        context: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<Option<KeyMaterial>, KeyringError>> {
        let _ = (key, context);
        Box::pin(async { Ok(None) })
    }

    /// Unwraps the first of `keys` that it can, in the keyring's order of preference. Each key was
    /// wrapped with `context` and its own [`EncryptedDataKey::place`].
    fn unwrap<'a>(
        &'a self,
        keys: &'a [EncryptedDataKey],
        context: &'a EncryptionContext,
    ) -> BoxFuture<'a, Unwrap>;

    /// `true` if [`Keyring::rewrap`] is possible, judged without a call to a key service: for
    /// planning a job.
    fn can_rewrap(&self, keys: &[EncryptedDataKey], binding: WrapContext<'_>) -> bool {
        let _ = (keys, binding);
        false
    }

    /// Returns the wrapping key that [`Keyring::unwrap`] would try first for `keys`, if the keyring
    /// can tell: for planning a job.
    fn first_choice(&self, keys: &[EncryptedDataKey]) -> Option<String> {
        let _ = keys;
        None
    }

    /// `true` if [`Keyring::unwrap`] would try this key: its wrapping key is in this keyring or
    /// allowed by the keyring's policy.
    fn accepts(&self, key: &EncryptedDataKey) -> bool;

    /// Returns the encrypted data keys that [`Keyring::wrap`] would produce, with ciphertexts of
    /// the expected length and arbitrary content. Callers use it to measure metadata before they
    /// request a key, and to learn the names of the wrapping keys.
    ///
    /// Empty if the keyring cannot tell in advance.
    fn expected_keys(&self, binding: WrapContext<'_>) -> Vec<EncryptedDataKey>;

    /// Returns the same wrapping keys for objects of the Amazon S3 Encryption Client; `None` if
    /// they cannot be used that way.
    fn s3ec(&self) -> Option<&dyn s3ec::Keyring> {
        None
    }
}

#[deny(clippy::missing_trait_methods)]
impl<P> Keyring for P
where
    P: Deref<Target: Keyring> + fmt::Debug + Send + Sync,
{
    fn generate<'a>(
        &'a self,
        binding: WrapContext<'a>,
        plaintext_len: Option<u64>,
    ) -> BoxFuture<'a, Result<EncryptionMaterials, KeyringError>> {
        (**self).generate(binding, plaintext_len)
    }

    fn wrap<'a>(
        &'a self,
        data_key: &'a PlaintextDataKey,
        binding: WrapContext<'a>,
    ) -> BoxFuture<'a, Result<Vec<EncryptedDataKey>, KeyringError>> {
        (**self).wrap(data_key, binding)
    }

    fn rewrap<'a>(
        &'a self,
        keys: &'a [EncryptedDataKey],
        binding: WrapContext<'a>,
    ) -> BoxFuture<'a, Result<Option<Vec<EncryptedDataKey>>, KeyringError>> {
        (**self).rewrap(keys, binding)
    }

    fn refresh<'a>(
        &'a self,
        key: &'a EncryptedDataKey,
        context: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<Option<EncryptedDataKey>, KeyringError>> {
        (**self).refresh(key, context)
    }

    fn key_material<'a>(
        &'a self,
        key: &'a EncryptedDataKey,
        context: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<Option<KeyMaterial>, KeyringError>> {
        (**self).key_material(key, context)
    }

    fn unwrap<'a>(
        &'a self,
        keys: &'a [EncryptedDataKey],
        context: &'a EncryptionContext,
    ) -> BoxFuture<'a, Unwrap> {
        (**self).unwrap(keys, context)
    }

    fn can_rewrap(&self, keys: &[EncryptedDataKey], binding: WrapContext<'_>) -> bool {
        (**self).can_rewrap(keys, binding)
    }

    fn first_choice(&self, keys: &[EncryptedDataKey]) -> Option<String> {
        (**self).first_choice(keys)
    }

    fn accepts(&self, key: &EncryptedDataKey) -> bool {
        (**self).accepts(key)
    }

    fn expected_keys(&self, binding: WrapContext<'_>) -> Vec<EncryptedDataKey> {
        (**self).expected_keys(binding)
    }

    fn s3ec(&self) -> Option<&dyn s3ec::Keyring> {
        (**self).s3ec()
    }
}

/// Result of [`Keyring::unwrap`].
///
/// Exhaustive: a caller must decide about each case, and no other case exists.
#[expect(missing_debug_implementations, reason = "it can own a plaintext data key")]
pub enum Unwrap {
    /// No key is under a wrapping key of this keyring or one that its policy allows. The keyring
    /// called no key service.
    NotMine,
    /// One key was unwrapped. Only the body's commitment proves that it is the object's key.
    Unwrapped(PlaintextDataKey),
    /// At least one key is under the keyring's wrapping keys, and each of those failed. Holds the
    /// reasons, at least one.
    Failed(Vec<KeyringError>),
}

/// A new data key with its encrypted forms, and those that are still missing.
#[expect(missing_debug_implementations, reason = "it owns a plaintext data key")]
pub struct EncryptionMaterials {
    data_key: PlaintextDataKey,
    encrypted_data_keys: Vec<EncryptedDataKey>,
    missing: Vec<MissingKey>,
}

impl EncryptionMaterials {
    /// Combines a data key with its encrypted forms.
    ///
    /// # Errors
    /// [`Error::Malformed`] for an empty list: such a data key could never be recovered.
    pub fn new(
        data_key: PlaintextDataKey,
        encrypted_data_keys: Vec<EncryptedDataKey>,
    ) -> Result<Self, Error> {
        if encrypted_data_keys.is_empty() {
            return Err(Error::Malformed("no encrypted data key".into()));
        }
        Ok(Self { data_key, encrypted_data_keys, missing: Vec::new() })
    }

    /// Sets the wrapping keys that could not be reached.
    #[must_use]
    pub fn with_missing(self, missing: Vec<MissingKey>) -> Self {
        Self { missing, ..self }
    }

    /// Adds encrypted forms of the same data key under other wrapping keys.
    pub fn add_encrypted_data_keys(&mut self, keys: impl IntoIterator<Item = EncryptedDataKey>) {
        self.encrypted_data_keys.extend(keys);
    }

    /// Returns the data key.
    #[must_use]
    pub fn data_key(&self) -> &PlaintextDataKey {
        &self.data_key
    }

    /// Returns the encrypted forms of the data key, at least one.
    #[must_use]
    pub fn encrypted_data_keys(&self) -> &[EncryptedDataKey] {
        &self.encrypted_data_keys
    }

    /// Returns the wrapping keys that could not be reached.
    #[must_use]
    pub fn missing(&self) -> &[MissingKey] {
        &self.missing
    }

    /// Returns the data key, its encrypted forms (at least one) and the missing ones.
    #[must_use]
    pub fn into_parts(self) -> (PlaintextDataKey, Vec<EncryptedDataKey>, Vec<MissingKey>) {
        (self.data_key, self.encrypted_data_keys, self.missing)
    }
}

/// One material of a wrapping key. Each rotation adds one.
/// (AWS KMS Developer Guide, "Rotating AWS KMS keys".)
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct KeyMaterial {
    /// Identifier: for AWS KMS 64 hexadecimal digits.
    pub id: String,
    /// `true` if the wrapping key has no newer material, so that it now encrypts under this one.
    pub is_newest: bool,
}

impl KeyMaterial {
    /// Creates a description of a material.
    #[must_use]
    pub fn new(id: impl Into<String>, is_newest: bool) -> Self {
        Self { id: id.into(), is_newest }
    }
}
