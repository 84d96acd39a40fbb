//! Who wraps and unwraps the data keys of these formats.

use std::{collections::BTreeMap, fmt, sync::Arc};

use super::{Admitted, ContentSuite, WrapAlgorithm, envelope::SUITE_PAIR};
use crate::{BoxFuture, EncryptionContext, KeyringError, KeyringErrorKind, PlaintextDataKey};

/// Wraps and unwraps data keys as the S3 Encryption Client does: exactly one wrap for each object.
pub trait Keyring: fmt::Debug + Send + Sync {
    /// Whether it could unwrap what this algorithm wrapped.
    fn accepts(&self, algorithm: WrapAlgorithm) -> bool;

    /// Whether it binds an encryption context: AWS KMS does, a raw key does not.
    fn binds_context(&self) -> bool;

    /// A new data key for content of `suite`, and its wrap.
    fn generate<'a>(
        &'a self,
        suite: ContentSuite,
        context: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<(PlaintextDataKey, WrappedKey), KeyringError>> {
        Box::pin(async move {
            let no_random =
                |error| KeyringError::new(KeyringErrorKind::Other, "(none yet)").with_source(error);
            let data_key = PlaintextDataKey::generate().map_err(no_random)?;
            let wrapped = self.wrap(&data_key, suite, context).await?;
            Ok((data_key, wrapped))
        })
    }

    /// Wraps a data key that exists, of content of `suite`.
    fn wrap<'a>(
        &'a self,
        data_key: &'a PlaintextDataKey,
        suite: ContentSuite,
        context: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<WrappedKey, KeyringError>>;

    /// Unwraps the data key of an envelope that a policy let through.
    fn unwrap<'a>(
        &'a self,
        envelope: &'a Admitted,
    ) -> BoxFuture<'a, Result<PlaintextDataKey, KeyringError>>;
}

/// A keyring that is shared.
impl<K: Keyring + ?Sized> Keyring for Arc<K> {
    fn accepts(&self, algorithm: WrapAlgorithm) -> bool {
        (**self).accepts(algorithm)
    }

    fn binds_context(&self) -> bool {
        (**self).binds_context()
    }

    fn generate<'a>(
        &'a self,
        suite: ContentSuite,
        context: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<(PlaintextDataKey, WrappedKey), KeyringError>> {
        (**self).generate(suite, context)
    }

    fn wrap<'a>(
        &'a self,
        data_key: &'a PlaintextDataKey,
        suite: ContentSuite,
        context: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<WrappedKey, KeyringError>> {
        (**self).wrap(data_key, suite, context)
    }

    fn unwrap<'a>(
        &'a self,
        envelope: &'a Admitted,
    ) -> BoxFuture<'a, Result<PlaintextDataKey, KeyringError>> {
        (**self).unwrap(envelope)
    }
}

/// A data key as it is stored.
#[derive(Clone, PartialEq, Eq)]
pub struct WrappedKey {
    algorithm: WrapAlgorithm,
    encrypted_data_key: Vec<u8>,
    description: BTreeMap<String, String>,
}

impl WrappedKey {
    /// A wrap by `algorithm`. `description`: with AWS KMS the whole encryption context, else the materials description,
    /// which nothing authenticates.
    #[must_use]
    pub fn new(
        algorithm: WrapAlgorithm,
        encrypted_data_key: Vec<u8>,
        description: BTreeMap<String, String>,
    ) -> Self {
        Self { algorithm, encrypted_data_key, description }
    }

    /// The whole encryption context that AWS KMS is to authenticate with the data key of content of `suite`.
    #[must_use]
    pub fn kms_context(
        suite: ContentSuite,
        context: &EncryptionContext,
    ) -> BTreeMap<String, String> {
        let pairs = context.iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
        pairs.chain([(SUITE_PAIR.to_owned(), suite.binding().to_owned())]).collect()
    }

    /// How it is wrapped.
    #[must_use]
    pub fn algorithm(&self) -> WrapAlgorithm {
        self.algorithm
    }

    /// The ciphertext.
    #[must_use]
    pub fn encrypted_data_key(&self) -> &[u8] {
        &self.encrypted_data_key
    }

    /// With AWS KMS the whole encryption context, as KMS authenticates it; else the materials description.
    #[must_use]
    pub fn description(&self) -> &BTreeMap<String, String> {
        &self.description
    }
}

impl fmt::Debug for WrappedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WrappedKey")
            .field("algorithm", &self.algorithm)
            .field("description", &self.description)
            .finish_non_exhaustive()
    }
}
