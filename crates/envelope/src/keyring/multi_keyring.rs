//! A keyring made of several keyrings.

use std::sync::Arc;

use super::{EncryptionMaterials, KeyMaterial, Keyring, Unwrap, UnwrappedKey};
use crate::{BoxFuture, EncryptedDataKey, KeyringError, PlaintextDataKey, WrapContext, s3ec};

/// Wraps under the wrapping keys of all its keyrings; unwraps with the first one that can.
///
/// ```
/// use std::sync::Arc;
///
/// use sealwax_envelope::{
///     BodySalt, EncryptionContext, Keyring, LocalKeyring, MultiKeyring, WrapContext,
/// };
///
/// let primary = Arc::new(LocalKeyring::new("primary", &mut [1; 32])?);
/// let recovery: Arc<dyn Keyring> = Arc::new(LocalKeyring::new("recovery", &mut [2; 32])?);
/// let both = MultiKeyring::new(primary, [recovery]);
///
/// let salt = BodySalt::generate()?;
/// let wrap_context = WrapContext::for_data_key(EncryptionContext::new(), None, &salt);
/// let keys = both.expected_keys(&wrap_context);
/// assert_eq!(keys.len(), 2, "either keyring alone can read the object");
/// # Ok::<(), sealwax_envelope::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct MultiKeyring {
    generator: Arc<dyn Keyring>,
    others: Vec<Arc<dyn Keyring>>,
}

impl MultiKeyring {
    /// Creates a keyring in which `generator` generates the data keys and `others` wrap them too.
    /// Reads try them in this order.
    #[must_use]
    pub fn new(
        generator: Arc<dyn Keyring>,
        others: impl IntoIterator<Item = Arc<dyn Keyring>>,
    ) -> Self {
        Self { generator, others: others.into_iter().collect() }
    }

    fn all(&self) -> impl Iterator<Item = &Arc<dyn Keyring>> {
        std::iter::once(&self.generator).chain(&self.others)
    }

    /// Returns the first keyring that would unwrap this key.
    fn accepting(&self, key: &EncryptedDataKey) -> Option<&Arc<dyn Keyring>> {
        self.all().find(|keyring| keyring.accepts(key))
    }
}

#[deny(clippy::missing_trait_methods)]
impl Keyring for MultiKeyring {
    fn generate<'a>(
        &'a self,
        wrap_context: &'a WrapContext,
        plaintext_len: Option<u64>,
    ) -> BoxFuture<'a, Result<EncryptionMaterials, KeyringError>> {
        Box::pin(async move {
            let mut materials = self.generator.generate(wrap_context, plaintext_len).await?;
            for keyring in &self.others {
                let wrapped = keyring.wrap(materials.data_key(), wrap_context).await?;
                materials.add_encrypted_data_keys(wrapped);
            }
            Ok(materials)
        })
    }

    fn wrap<'a>(
        &'a self,
        data_key: &'a PlaintextDataKey,
        wrap_context: &'a WrapContext,
    ) -> BoxFuture<'a, Result<Vec<EncryptedDataKey>, KeyringError>> {
        Box::pin(async move {
            let mut keys = Vec::new();
            for keyring in self.all() {
                keys.extend(keyring.wrap(data_key, wrap_context).await?);
            }
            Ok(keys)
        })
    }

    fn rewrap<'a>(
        &'a self,
        keys: &'a [EncryptedDataKey],
        wrap_context: &'a WrapContext,
    ) -> BoxFuture<'a, Result<Option<Vec<EncryptedDataKey>>, KeyringError>> {
        Box::pin(async move {
            let mut all = Vec::new();
            for keyring in self.all() {
                match keyring.rewrap(keys, wrap_context).await? {
                    Some(rewrapped) => all.extend(rewrapped),
                    None => return Ok(None),
                }
            }
            Ok(Some(all))
        })
    }

    fn carry<'a>(
        &'a self,
        key: &'a EncryptedDataKey,
        wrap_context: &'a WrapContext,
    ) -> BoxFuture<'a, Result<Option<EncryptedDataKey>, KeyringError>> {
        Box::pin(async move {
            match self.accepting(key) {
                Some(keyring) => keyring.carry(key, wrap_context).await,
                None => Ok(None),
            }
        })
    }

    fn refresh<'a>(
        &'a self,
        key: &'a EncryptedDataKey,
    ) -> BoxFuture<'a, Result<Option<EncryptedDataKey>, KeyringError>> {
        Box::pin(async move {
            match self.accepting(key) {
                Some(keyring) => keyring.refresh(key).await,
                None => Ok(None),
            }
        })
    }

    fn key_material<'a>(
        &'a self,
        key: &'a EncryptedDataKey,
    ) -> BoxFuture<'a, Result<Option<KeyMaterial>, KeyringError>> {
        Box::pin(async move {
            match self.accepting(key) {
                Some(keyring) => keyring.key_material(key).await,
                None => Ok(None),
            }
        })
    }

    fn unwrap<'a>(&'a self, keys: &'a [EncryptedDataKey]) -> BoxFuture<'a, Unwrap> {
        Box::pin(async move {
            let mut failures = Vec::new();
            for keyring in self.all() {
                match keyring.unwrap(keys).await {
                    Unwrap::Unwrapped(data_key) => return Unwrap::Unwrapped(data_key),
                    Unwrap::Failed(more) => failures.extend(more),
                    Unwrap::NotMine => {}
                }
            }
            if failures.is_empty() { Unwrap::NotMine } else { Unwrap::Failed(failures) }
        })
    }

    fn unwrap_one<'a>(
        &'a self,
        key: &'a EncryptedDataKey,
    ) -> BoxFuture<'a, Result<Option<UnwrappedKey>, Vec<KeyringError>>> {
        Box::pin(async move {
            let mut failures = Vec::new();
            for keyring in self.all() {
                match keyring.unwrap_one(key).await {
                    Ok(Some(unwrapped)) => return Ok(Some(unwrapped)),
                    Ok(None) => {}
                    Err(more) => failures.extend(more),
                }
            }
            if failures.is_empty() { Ok(None) } else { Err(failures) }
        })
    }

    fn can_rewrap(&self, keys: &[EncryptedDataKey], wrap_context: &WrapContext) -> bool {
        self.all().all(|keyring| keyring.can_rewrap(keys, wrap_context))
    }

    fn first_choice(&self, keys: &[EncryptedDataKey]) -> Option<String> {
        self.all().find_map(|keyring| keyring.first_choice(keys))
    }

    fn accepts(&self, key: &EncryptedDataKey) -> bool {
        self.accepting(key).is_some()
    }

    fn expected_keys(&self, wrap_context: &WrapContext) -> Vec<EncryptedDataKey> {
        self.all().flat_map(|keyring| keyring.expected_keys(wrap_context)).collect()
    }

    /// Returns that of the first keyring that has one: these objects have a single wrapping key.
    fn s3ec(&self) -> Option<&dyn s3ec::Keyring> {
        self.all().find_map(|keyring| keyring.s3ec())
    }
}
