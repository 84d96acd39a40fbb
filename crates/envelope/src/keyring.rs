//! Keyrings: wrap and unwrap data keys.

mod cache_stats;
mod caching_keyring;
mod local_keyring;
mod multi_keyring;
mod single_flight;

use std::{fmt, ops::Deref};

pub use self::{
    cache_stats::{CacheCounts, CacheStats},
    caching_keyring::{CacheLimits, CachingKeyring},
    local_keyring::{LOCAL_PROVIDER, LocalKeyring},
    multi_keyring::MultiKeyring,
};
use crate::{
    BoxFuture, EncryptedDataKey, Error, KeyringError, MissingKey, PlaintextDataKey, WrapContext,
    s3ec,
};

/// Wraps and unwraps data keys under wrapping keys that only the keyring can reach.
///
/// Implement it for a key store of your own; [`LocalKeyring`] is a short example. Pointers to
/// keyrings (`Arc`, `Box`, `&`) are keyrings too.
///
/// # Bindings
///
/// The key service authenticates a [`WrapContext`] with each wrapped key: the caller's encryption
/// context, and pairs that name the object's place and body, or an intermediate key. Pass all of
/// its [`pairs`](WrapContext::pairs) to the key service, or authenticate its
/// [`canonical_bytes`](WrapContext::canonical_bytes).
///
/// - Methods that make wrapped keys take the [`WrapContext`] of the new ones.
/// - Methods that use wrapped keys take no other: each [`EncryptedDataKey`] has
///   [its own](EncryptedDataKey::wrap_context). So no wrapped key is used with the binding of
///   another. The caller decides beforehand which places it accepts.
///
/// [`conformance::check`](crate::conformance::check) tests a keyring of your own.
///
/// ```
/// use futures_util::FutureExt as _;
/// use sealwax_envelope::{
///     BodySalt, EncryptionContext, Keyring, LocalKeyring, Place, Unwrap, WrapContext,
/// };
///
/// let keyring = LocalKeyring::new("my-key", &mut [7; 32])?;
/// let context = EncryptionContext::new().with("tenant", "acme")?;
/// let place = Place::new("bucket", "key")?;
///
/// let salt = BodySalt::generate()?; // of the body that the data key will encrypt
/// let wrap_context = WrapContext::for_data_key(context, Some(place.clone()), &salt);
/// let materials = keyring.generate(&wrap_context, None).now_or_never().expect("no I/O")?;
/// let keys = materials.encrypted_data_keys();
/// assert_eq!(keys[0].place(), Some(&place));
///
/// let unwrapped = keyring.unwrap(keys).now_or_never().expect("no I/O");
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
        wrap_context: &'a WrapContext,
        plaintext_len: Option<u64>,
    ) -> BoxFuture<'a, Result<EncryptionMaterials, KeyringError>>;

    /// Wraps an existing data key under every wrapping key of this keyring.
    fn wrap<'a>(
        &'a self,
        data_key: &'a PlaintextDataKey,
        wrap_context: &'a WrapContext,
    ) -> BoxFuture<'a, Result<Vec<EncryptedDataKey>, KeyringError>>;

    /// Wraps the data key in `keys` under every wrapping key of this keyring and binds it to
    /// `wrap_context`, without exposing it to this process (AWS KMS `ReEncrypt`).
    ///
    /// A wrapping key that one of `keys` is encrypted under takes the data key from that one.
    /// Returns `None` if there is no way for one of the wrapping keys: unwrap and wrap instead.
    /// [`EncryptedDataKey::wrap_context_for`] returns what the new ciphertext of a key is bound to.
    ///
    /// The caller must trust `keys`: a keyring that it reads with [accepts](Keyring::accepts) each
    /// of them. Success does not prove that they hold the key of this body.
    fn rewrap<'a>(
        &'a self,
        keys: &'a [EncryptedDataKey],
        wrap_context: &'a WrapContext,
    ) -> BoxFuture<'a, Result<Option<Vec<EncryptedDataKey>>, KeyringError>>;

    /// Wraps the data key in `key` under the same wrapping key, or a replica of it, and binds it to
    /// `wrap_context`. No other encrypted data key is used, so the new one opens what `key` opened.
    ///
    /// Returns `None` if the wrapping key is not in this keyring, or if `wrap_context` is the binding
    /// of [another key](EncryptedDataKey::is_key_of).
    fn carry<'a>(
        &'a self,
        key: &'a EncryptedDataKey,
        wrap_context: &'a WrapContext,
    ) -> BoxFuture<'a, Result<Option<EncryptedDataKey>, KeyringError>> {
        Box::pin(async move {
            if !key.is_key_of(wrap_context) {
                return Ok(None);
            }
            match self.unwrap(std::slice::from_ref(key)).await {
                Unwrap::Unwrapped(data_key) => {
                    let wrapped = self.wrap(&data_key, wrap_context).await?;
                    Ok(wrapped.into_iter().find(|new| new.has_same_wrapping_key(key)))
                }
                Unwrap::Failed(mut failures) => Err(failures.swap_remove(0)),
                Unwrap::NotMine => Ok(None),
            }
        })
    }

    /// Re-encrypts `key` under the newest material of the same wrapping key, without exposing the
    /// data key to this process.
    ///
    /// Returns `None` if `key` is already under the newest material, if its wrapping key is not in
    /// this keyring, or if the wrapping key has only one material.
    fn refresh<'a>(
        &'a self,
        key: &'a EncryptedDataKey,
    ) -> BoxFuture<'a, Result<Option<EncryptedDataKey>, KeyringError>> {
        let _ = key;
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
    ) -> BoxFuture<'a, Result<Option<KeyMaterial>, KeyringError>> {
        let _ = key;
        Box::pin(async { Ok(None) })
    }

    /// Unwraps the first of `keys` that it can, in the keyring's order of preference.
    ///
    /// Decrypt the [ciphertext](EncryptedDataKey::ciphertext) with its
    /// [wrap context](EncryptedDataKey::wrap_context), and give the plaintext to
    /// [`EncryptedDataKey::open`], which returns the data key.
    fn unwrap<'a>(&'a self, keys: &'a [EncryptedDataKey]) -> BoxFuture<'a, Unwrap>;

    /// Unwraps `key` for a proof: from its own ciphertext, and from no cache.
    ///
    /// The wrapping key that `key` names comes first, then its replicas that the keyring may use.
    /// Returns `None` if the keyring may use none of them: it called no key service then.
    ///
    /// Implement it for a keyring that unwraps by other wrapping keys than the named one.
    ///
    /// # Errors
    /// The reasons, at least one.
    fn unwrap_one<'a>(
        &'a self,
        key: &'a EncryptedDataKey,
    ) -> BoxFuture<'a, Result<Option<UnwrappedKey>, Vec<KeyringError>>> {
        Box::pin(async move {
            match self.unwrap(std::slice::from_ref(key)).await {
                Unwrap::Unwrapped(unwrapped) => {
                    Ok(Some(UnwrappedKey::new(unwrapped, key.wrapping_key())))
                }
                Unwrap::Failed(failures) => Err(failures),
                Unwrap::NotMine => Ok(None),
            }
        })
    }

    /// `true` if [`Keyring::rewrap`] is possible, judged without a call to a key service: for
    /// planning a job.
    fn can_rewrap(&self, keys: &[EncryptedDataKey], wrap_context: &WrapContext) -> bool {
        let _ = (keys, wrap_context);
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
    fn expected_keys(&self, wrap_context: &WrapContext) -> Vec<EncryptedDataKey>;

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
        wrap_context: &'a WrapContext,
        plaintext_len: Option<u64>,
    ) -> BoxFuture<'a, Result<EncryptionMaterials, KeyringError>> {
        (**self).generate(wrap_context, plaintext_len)
    }

    fn wrap<'a>(
        &'a self,
        data_key: &'a PlaintextDataKey,
        wrap_context: &'a WrapContext,
    ) -> BoxFuture<'a, Result<Vec<EncryptedDataKey>, KeyringError>> {
        (**self).wrap(data_key, wrap_context)
    }

    fn rewrap<'a>(
        &'a self,
        keys: &'a [EncryptedDataKey],
        wrap_context: &'a WrapContext,
    ) -> BoxFuture<'a, Result<Option<Vec<EncryptedDataKey>>, KeyringError>> {
        (**self).rewrap(keys, wrap_context)
    }

    fn carry<'a>(
        &'a self,
        key: &'a EncryptedDataKey,
        wrap_context: &'a WrapContext,
    ) -> BoxFuture<'a, Result<Option<EncryptedDataKey>, KeyringError>> {
        (**self).carry(key, wrap_context)
    }

    fn refresh<'a>(
        &'a self,
        key: &'a EncryptedDataKey,
    ) -> BoxFuture<'a, Result<Option<EncryptedDataKey>, KeyringError>> {
        (**self).refresh(key)
    }

    fn key_material<'a>(
        &'a self,
        key: &'a EncryptedDataKey,
    ) -> BoxFuture<'a, Result<Option<KeyMaterial>, KeyringError>> {
        (**self).key_material(key)
    }

    fn unwrap<'a>(&'a self, keys: &'a [EncryptedDataKey]) -> BoxFuture<'a, Unwrap> {
        (**self).unwrap(keys)
    }

    fn unwrap_one<'a>(
        &'a self,
        key: &'a EncryptedDataKey,
    ) -> BoxFuture<'a, Result<Option<UnwrappedKey>, Vec<KeyringError>>> {
        (**self).unwrap_one(key)
    }

    fn can_rewrap(&self, keys: &[EncryptedDataKey], wrap_context: &WrapContext) -> bool {
        (**self).can_rewrap(keys, wrap_context)
    }

    fn first_choice(&self, keys: &[EncryptedDataKey]) -> Option<String> {
        (**self).first_choice(keys)
    }

    fn accepts(&self, key: &EncryptedDataKey) -> bool {
        (**self).accepts(key)
    }

    fn expected_keys(&self, wrap_context: &WrapContext) -> Vec<EncryptedDataKey> {
        (**self).expected_keys(wrap_context)
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

/// A key that was unwrapped alone, with the wrapping key that did it.
#[expect(missing_debug_implementations, reason = "it owns a plaintext key")]
pub struct UnwrappedKey {
    key: PlaintextDataKey,
    wrapping_key: String,
}

impl UnwrappedKey {
    /// Combines a key with the name of the wrapping key that unwrapped it.
    #[must_use]
    pub fn new(key: PlaintextDataKey, wrapping_key: impl Into<String>) -> Self {
        Self { key, wrapping_key: wrapping_key.into() }
    }

    /// Returns the key in plaintext. Only the body's commitment proves that it is the object's key.
    #[must_use]
    pub fn key(&self) -> &PlaintextDataKey {
        &self.key
    }

    /// Returns the wrapping key that unwrapped it: the named one, or a replica.
    #[must_use]
    pub fn wrapping_key(&self) -> &str {
        &self.wrapping_key
    }
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
