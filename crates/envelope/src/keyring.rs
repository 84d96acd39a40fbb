//! Keyrings: who wraps and unwraps data keys.

mod cache;
mod caching;
mod local;
mod multi;

use std::{fmt, pin::Pin, sync::Arc};

pub use self::{
    caching::{CacheLimits, CachingKeyring},
    local::{LOCAL_PROVIDER, LocalKeyring},
    multi::MultiKeyring,
};
use crate::{
    EncryptedDataKey, EncryptionContext, Error, MissingWrap, Place, PlaintextDataKey, WrapContext,
};

/// A boxed future, of any runtime.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Wraps and unwraps data keys under wrapping keys that it alone reaches.
///
/// Implement it for a key store of your own; [`LocalKeyring`] is a short example.
pub trait Keyring: fmt::Debug + Send + Sync {
    /// Makes a new data key and wraps it under every wrapping key of this keyring. `plaintext_len` is how many bytes it
    /// will encrypt, where that is known: for keyrings that bound the use of a key.
    fn generate<'a>(
        &'a self,
        binding: WrapContext<'a>,
        plaintext_len: Option<u64>,
    ) -> BoxFuture<'a, Result<EncryptionMaterials, KeyringError>>;

    /// Wraps a data key that exists under every wrapping key of this keyring.
    fn wrap<'a>(
        &'a self,
        data_key: &'a PlaintextDataKey,
        binding: WrapContext<'a>,
    ) -> BoxFuture<'a, Result<Vec<EncryptedDataKey>, KeyringError>>;

    /// Wraps the data key in `keys` under every wrapping key of this keyring, without the data key appearing in clear in
    /// this process (AWS KMS `ReEncrypt`). `None`: not possible for all of them; unwrap and wrap instead.
    ///
    /// The caller must trust `keys`: some keyring that it reads with [accepts](Keyring::accepts) each of them.
    fn rewrap<'a>(
        &'a self,
        keys: &'a [EncryptedDataKey],
        context: &'a EncryptionContext,
        place: Option<&'a Place>,
    ) -> BoxFuture<'a, Result<Option<Vec<EncryptedDataKey>>, KeyringError>>;

    /// Wraps anew what `key` holds, under the newest material of the same wrapping key, without it appearing in clear in
    /// this process. `None`: it is under the newest already, or the wrapping key is none of this keyring's, or has only
    /// one material.
    fn refresh<'a>(
        &'a self,
        key: &'a EncryptedDataKey,
        context: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<Option<EncryptedDataKey>, KeyringError>> {
        let _ = (key, context);
        Box::pin(async { Ok(None) })
    }

    /// Which material of its wrapping key wrapped what `key` holds, which does not leave the key service for that.
    /// `None`: the service does not tell, or the wrapping key is none of this keyring's.
    fn key_material<'a>(
        &'a self,
        key: &'a EncryptedDataKey,
        context: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<Option<KeyMaterial>, KeyringError>> {
        let _ = (key, context);
        Box::pin(async { Ok(None) })
    }

    /// Unwraps the first of `keys` that it can, in the order that suits it. Each key was wrapped with `context` and its
    /// own [`EncryptedDataKey::place`].
    fn unwrap<'a>(
        &'a self,
        keys: &'a [EncryptedDataKey],
        context: &'a EncryptionContext,
    ) -> BoxFuture<'a, Unwrap>;

    /// Whether [`Keyring::rewrap`] is possible for `keys`, as far as that can be told without asking a key service: for a
    /// plan of what a job would do.
    fn can_rewrap(
        &self,
        keys: &[EncryptedDataKey],
        context: &EncryptionContext,
        place: Option<&Place>,
    ) -> bool {
        let _ = (keys, context, place);
        false
    }

    /// The wrapping key that [`Keyring::unwrap`] would use first for `keys`, if it tells: for such a plan.
    fn first_choice(&self, keys: &[EncryptedDataKey]) -> Option<String> {
        let _ = keys;
        None
    }

    /// Whether [`Keyring::unwrap`] would try this key: it is under a wrapping key of this keyring, or one that its policy
    /// allows.
    fn accepts(&self, key: &EncryptedDataKey) -> bool;

    /// The encrypted data keys that [`Keyring::wrap`] will give, with ciphertexts of the expected length and any content:
    /// so that metadata can be measured before a key is asked for.
    fn outline(&self, place: Option<&Place>) -> Vec<EncryptedDataKey>;

    /// The same wrapping keys, as the S3 Encryption Client uses them; `None` where they cannot be used so.
    #[cfg(feature = "s3ec")]
    fn s3ec(&self) -> Option<&dyn crate::s3ec::Keyring> {
        None
    }
}

/// A keyring that is shared: a cache that many clients and rewraps use.
impl<K: Keyring + ?Sized> Keyring for Arc<K> {
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
        context: &'a EncryptionContext,
        place: Option<&'a Place>,
    ) -> BoxFuture<'a, Result<Option<Vec<EncryptedDataKey>>, KeyringError>> {
        (**self).rewrap(keys, context, place)
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

    fn can_rewrap(
        &self,
        keys: &[EncryptedDataKey],
        context: &EncryptionContext,
        place: Option<&Place>,
    ) -> bool {
        (**self).can_rewrap(keys, context, place)
    }

    fn first_choice(&self, keys: &[EncryptedDataKey]) -> Option<String> {
        (**self).first_choice(keys)
    }

    fn accepts(&self, key: &EncryptedDataKey) -> bool {
        (**self).accepts(key)
    }

    fn outline(&self, place: Option<&Place>) -> Vec<EncryptedDataKey> {
        (**self).outline(place)
    }

    #[cfg(feature = "s3ec")]
    fn s3ec(&self) -> Option<&dyn crate::s3ec::Keyring> {
        (**self).s3ec()
    }
}

/// What a keyring says to encrypted data keys.
#[expect(missing_debug_implementations, reason = "it can own a plaintext data key")]
pub enum Unwrap {
    /// None of them is under a wrapping key of this keyring, or one that its policy allows. No key service was asked.
    NotMine,
    /// One was unwrapped. Whether it is the object's key, the body's commitment says.
    Unwrapped(PlaintextDataKey),
    /// Some are under its wrapping keys, and all of those failed: each with its reason, at least one.
    Failed(Vec<KeyringError>),
}

/// A new data key, its wraps, and those that it lacks.
#[expect(missing_debug_implementations, reason = "it owns a plaintext data key")]
pub struct EncryptionMaterials {
    /// The key.
    pub data_key: PlaintextDataKey,
    /// Its wraps; at least one.
    pub encrypted_data_keys: Vec<EncryptedDataKey>,
    /// The wrapping keys that could not be reached.
    pub missing: Vec<MissingWrap>,
}

impl EncryptionMaterials {
    /// Pairs a data key with its wraps.
    ///
    /// # Errors
    /// [`Error::Malformed`] for no wraps: such a key could never be found again.
    pub fn new(
        data_key: PlaintextDataKey,
        encrypted_data_keys: Vec<EncryptedDataKey>,
    ) -> Result<Self, Error> {
        if encrypted_data_keys.is_empty() {
            return Err(Error::Malformed("no encrypted data key".into()));
        }
        Ok(Self { data_key, encrypted_data_keys, missing: Vec::new() })
    }

    /// Adds the wrapping keys that could not be reached.
    #[must_use]
    pub fn with_missing(self, missing: Vec<MissingWrap>) -> Self {
        Self { missing, ..self }
    }
}

/// One material of a wrapping key, which has another one after each rotation. (AWS KMS Developer Guide, "Rotating AWS KMS
/// keys".)
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct KeyMaterial {
    /// Its name: for AWS KMS 64 hexadecimal digits.
    pub id: String,
    /// Whether the wrapping key has no newer one: what it wraps now, it wraps under this.
    pub is_newest: bool,
}

impl KeyMaterial {
    /// Names a material.
    #[must_use]
    pub fn new(id: impl Into<String>, is_newest: bool) -> Self {
        Self { id: id.into(), is_newest }
    }
}

/// Why a wrapping key could not be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KeyringErrorKind {
    /// The caller may not use this wrapping key, in this way or with this encryption context.
    AccessDenied,
    /// The wrapping key is disabled, pending deletion or otherwise not to be used now.
    Disabled,
    /// There is no such wrapping key, or it is not in this Region.
    NotFound,
    /// The ciphertext does not open under this wrapping key and encryption context. A cryptographic failure.
    Rejected,
    /// The key service asks to slow down.
    Throttled,
    /// The key service does not answer: a network failure, a timeout, or the Region is down.
    Unavailable,
    /// Anything else.
    Other,
}

impl fmt::Display for KeyringErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AccessDenied => "access denied",
            Self::Disabled => "the key is disabled or pending deletion",
            Self::NotFound => "no such key",
            Self::Rejected => "the wrapped data key failed authentication",
            Self::Throttled => "the key service throttles",
            Self::Unavailable => "the key service is unreachable",
            Self::Other => "the key service refused",
        })
    }
}

/// A wrapping key failed, and which.
#[derive(Debug, thiserror::Error)]
#[error("wrapping key {wrapping_key}: {kind}")]
pub struct KeyringError {
    kind: KeyringErrorKind,
    wrapping_key: String,
    #[source]
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl KeyringError {
    /// `wrapping_key` failed; its name says where (an ARN has the Region in it).
    #[must_use]
    pub fn new(kind: KeyringErrorKind, wrapping_key: impl Into<String>) -> Self {
        Self { kind, wrapping_key: wrapping_key.into(), source: None }
    }

    /// Adds the cause, which must hold nothing secret.
    #[must_use]
    pub fn with_source(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        self.source = Some(source.into());
        self
    }

    /// What happened.
    #[must_use]
    pub fn kind(&self) -> KeyringErrorKind {
        self.kind
    }

    /// The wrapping key that failed.
    #[must_use]
    pub fn wrapping_key(&self) -> &str {
        &self.wrapping_key
    }
}
