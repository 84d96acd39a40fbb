//! A keyring that reduces calls to another one.

use std::{fmt, sync::Arc, time::Duration};

use super::{
    EncryptionMaterials, KeyMaterial, Keyring, Unwrap,
    single_flight::{Limits, SingleFlightCache},
};
use crate::{
    BoxFuture, EncryptedDataKey, EncryptionContext, Error, KeyringError, KeyringErrorKind,
    MissingKey, PlaintextDataKey, WrapContext, data_key::WRAPPED_UNDER_INTERMEDIATE_LEN, s3ec,
};

/// Maximum number of objects under one intermediate key, whatever the configured limit. With random
/// 96-bit nonces, the probability that two of them collide stays below 2^-32.
/// (NIST SP 800-38D §8.3.)
const MAX_OBJECTS: u64 = 1 << 32;

/// Limits on the use of one intermediate key by a [`CachingKeyring`].
///
/// A cached intermediate key is in the memory of the process, and it keeps working for a caller
/// whose access to the wrapping key was revoked in the meantime. A lower maximum age makes a change
/// of the key policy take effect sooner.
///
/// ```
/// use std::time::Duration;
///
/// use sealwax_envelope::CacheLimits;
///
/// let limits = CacheLimits::new().with_max_age(Duration::from_secs(60)).with_max_objects(10_000);
/// assert_eq!(limits.max_entries(), 1_000);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CacheLimits {
    max_age: Duration,
    max_objects: u64,
    max_bytes: u64,
    max_entries: usize,
}

impl Default for CacheLimits {
    fn default() -> Self {
        Self::new()
    }
}

impl CacheLimits {
    /// Returns the default limits: 5 minutes, 1,000,000 objects, any number of bytes, 1,000 keys.
    #[must_use]
    pub fn new() -> Self {
        Self {
            max_age: Duration::from_secs(300),
            max_objects: 1_000_000,
            max_bytes: u64::MAX,
            max_entries: 1_000,
        }
    }

    /// Sets how long an intermediate key is used, for writing and for reading.
    #[must_use]
    pub fn with_max_age(self, max_age: Duration) -> Self {
        Self { max_age, ..self }
    }

    /// Sets the maximum number of objects written under one intermediate key. Values above 2^32
    /// count as 2^32.
    #[must_use]
    pub fn with_max_objects(self, max_objects: u64) -> Self {
        Self { max_objects, ..self }
    }

    /// Sets the maximum number of plaintext bytes written under one intermediate key. With a limit,
    /// an object of unknown length gets an intermediate key of its own.
    #[must_use]
    pub fn with_max_bytes(self, max_bytes: u64) -> Self {
        Self { max_bytes, ..self }
    }

    /// Sets the maximum number of cached intermediate keys: for writing one for each encryption
    /// context, and the same number again for reading.
    #[must_use]
    pub fn with_max_entries(self, max_entries: usize) -> Self {
        Self { max_entries, ..self }
    }

    /// Returns how long an intermediate key is used.
    #[must_use]
    pub fn max_age(&self) -> Duration {
        self.max_age
    }

    /// Returns the maximum number of objects written under one intermediate key.
    #[must_use]
    pub fn max_objects(&self) -> u64 {
        self.max_objects
    }

    /// Returns the maximum number of plaintext bytes written under one intermediate key.
    #[must_use]
    pub fn max_bytes(&self) -> u64 {
        self.max_bytes
    }

    /// Returns the maximum number of cached intermediate keys.
    #[must_use]
    pub fn max_entries(&self) -> usize {
        self.max_entries
    }

    fn for_writing(self) -> Limits {
        Limits {
            age: self.max_age,
            objects: self.max_objects.min(MAX_OBJECTS),
            bytes: self.max_bytes,
            entries: self.max_entries,
        }
    }

    fn for_reading(self) -> Limits {
        Limits { age: self.max_age, objects: u64::MAX, bytes: u64::MAX, entries: self.max_entries }
    }
}

/// Reduces calls to a key service: objects with the same encryption context share an *intermediate
/// key* for a limited time.
///
/// Each object has its own data key, which this keyring encrypts locally under the intermediate
/// key. The inner keyring wraps the intermediate key, and each object stores both encrypted keys.
/// Many objects therefore cost one call for each wrapping key. They stay readable during an outage
/// of the key service for as long as the intermediate key is cached. Objects remain bound to their
/// encryption context and place, but the key service sees only the context, no longer each place.
///
/// Readers need no cache: any keyring with the wrapping keys can unwrap these objects.
///
/// ```
/// use std::time::Duration;
///
/// use sealwax_envelope::{CacheLimits, CachingKeyring, LocalKeyring};
///
/// # let key_service = LocalKeyring::new("key", &mut [7; 32])?;
/// let limits = CacheLimits::new().with_max_age(Duration::from_secs(60));
/// let keyring = CachingKeyring::with_limits(key_service, limits);
/// # Ok::<(), sealwax_envelope::Error>(())
/// ```
pub struct CachingKeyring {
    inner: Arc<dyn Keyring>,
    limits: CacheLimits,
    writing: SingleFlightCache<EncryptionContext, IntermediateKey>,
    reading: SingleFlightCache<CacheKey, PlaintextDataKey>,
    rewrapping: SingleFlightCache<CacheKey, Option<Vec<EncryptedDataKey>>>,
    refreshing: SingleFlightCache<CacheKey, Option<Vec<EncryptedDataKey>>>,
}

/// An intermediate key with its encrypted forms.
struct IntermediateKey {
    key: PlaintextDataKey,
    encrypted: Vec<EncryptedDataKey>,
    missing: Vec<MissingKey>,
}

/// Identity of an intermediate key: the encryption context and all its encrypted forms that an
/// object stores.
type CacheKey = (EncryptionContext, Vec<EncryptedDataKey>);

impl CachingKeyring {
    /// Creates a cache over `inner` with [`CacheLimits::default`].
    #[must_use]
    pub fn new(inner: impl Keyring + 'static) -> Self {
        Self::with_limits(inner, CacheLimits::default())
    }

    /// Creates a cache over `inner` with these limits.
    #[must_use]
    pub fn with_limits(inner: impl Keyring + 'static, limits: CacheLimits) -> Self {
        Self {
            inner: Arc::new(inner),
            limits,
            writing: SingleFlightCache::new(limits.for_writing()),
            reading: SingleFlightCache::new(limits.for_reading()),
            rewrapping: SingleFlightCache::new(limits.for_reading()),
            refreshing: SingleFlightCache::new(limits.for_reading()),
        }
    }

    /// Returns an intermediate key for one more object of `bytes` bytes.
    async fn for_writing(
        &self,
        context: &EncryptionContext,
        bytes: u64,
    ) -> Result<Arc<IntermediateKey>, KeyringError> {
        let request = || -> BoxFuture<'static, Result<IntermediateKey, KeyringError>> {
            let (inner, context) = (Arc::clone(&self.inner), context.clone());
            Box::pin(async move {
                let binding = WrapContext::for_intermediate_key(&context);
                let (key, encrypted, missing) = inner.generate(binding, None).await?.into_parts();
                Ok(IntermediateKey { key, encrypted, missing })
            })
        };
        self.writing.get(context, bytes, request).await
    }

    /// Wraps `data_key` under an intermediate key.
    fn wrap_under(
        intermediate: &IntermediateKey,
        data_key: &PlaintextDataKey,
        binding: WrapContext<'_>,
    ) -> Result<Vec<EncryptedDataKey>, KeyringError> {
        EncryptedDataKey::wrap_under(&intermediate.key, &intermediate.encrypted, data_key, binding)
            .map_err(|error| failed(&intermediate.encrypted, error))
    }

    /// Unwraps the data key of `group`, whose keys share one intermediate key.
    async fn unwrap_group(
        &self,
        group: &[EncryptedDataKey],
        context: &EncryptionContext,
    ) -> Unwrap {
        let encrypted = intermediate_keys(group);
        let cache_key = (context.clone(), encrypted);
        let request = || -> BoxFuture<'static, Result<PlaintextDataKey, KeyringError>> {
            let (inner, (context, encrypted)) = (Arc::clone(&self.inner), cache_key.clone());
            Box::pin(async move {
                match inner.unwrap(&encrypted, &context).await {
                    Unwrap::Unwrapped(key) => Ok(key),
                    Unwrap::Failed(failures) => Err(combined(&failures)),
                    Unwrap::NotMine => Err(failed(&encrypted, Error::Authentication)),
                }
            })
        };
        if !cache_key.1.iter().any(|key| self.inner.accepts(key)) {
            return Unwrap::NotMine;
        }
        match self.reading.get(&cache_key, 0, request).await {
            Ok(intermediate) => match group[0].open_under(&intermediate, context) {
                Ok(data_key) => Unwrap::Unwrapped(data_key),
                Err(error) => Unwrap::Failed(vec![failed(group, error)]),
            },
            Err(error) => Unwrap::Failed(vec![error]),
        }
    }
}

#[deny(clippy::missing_trait_methods)]
impl Keyring for CachingKeyring {
    fn generate<'a>(
        &'a self,
        binding: WrapContext<'a>,
        plaintext_len: Option<u64>,
    ) -> BoxFuture<'a, Result<EncryptionMaterials, KeyringError>> {
        Box::pin(async move {
            let unknown_len = if self.limits.max_bytes == u64::MAX { 0 } else { u64::MAX };
            let bytes = plaintext_len.unwrap_or(unknown_len);
            let intermediate = self.for_writing(binding.context(), bytes).await?;
            let data_key = PlaintextDataKey::generate()
                .map_err(|error| failed(&intermediate.encrypted, error))?;
            let keys = Self::wrap_under(&intermediate, &data_key, binding)?;
            let materials = EncryptionMaterials::new(data_key, keys)
                .expect("an intermediate key has at least one encrypted form");
            Ok(materials.with_missing(intermediate.missing.clone()))
        })
    }

    fn wrap<'a>(
        &'a self,
        data_key: &'a PlaintextDataKey,
        binding: WrapContext<'a>,
    ) -> BoxFuture<'a, Result<Vec<EncryptedDataKey>, KeyringError>> {
        Box::pin(async move {
            let intermediate = self.for_writing(binding.context(), 0).await?;
            Self::wrap_under(&intermediate, data_key, binding)
        })
    }

    fn rewrap<'a>(
        &'a self,
        keys: &'a [EncryptedDataKey],
        binding: WrapContext<'a>,
    ) -> BoxFuture<'a, Result<Option<Vec<EncryptedDataKey>>, KeyringError>> {
        Box::pin(async move {
            for group in groups(keys).filter(|group| group[0].place() == binding.place()) {
                let encrypted = intermediate_keys(group);
                if encrypted.is_empty() {
                    continue;
                }
                let cache_key = (binding.context().clone(), encrypted);
                let request = || -> BoxFuture<'static, Result<Option<Vec<_>>, KeyringError>> {
                    let (inner, (context, encrypted)) =
                        (Arc::clone(&self.inner), cache_key.clone());
                    Box::pin(async move {
                        let binding = WrapContext::for_intermediate_key(&context);
                        inner.rewrap(&encrypted, binding).await
                    })
                };
                if let Some(rewrapped) = self.rewrapping.get(&cache_key, 0, request).await?.as_ref()
                {
                    return Ok(rewrapped
                        .iter()
                        .map(|key| group[0].with_intermediate(key.clone()))
                        .collect());
                }
            }
            self.inner.rewrap(keys, binding).await
        })
    }

    fn refresh<'a>(
        &'a self,
        key: &'a EncryptedDataKey,
        context: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<Option<EncryptedDataKey>, KeyringError>> {
        Box::pin(async move {
            let Some(intermediate) = key.intermediate() else {
                return self.inner.refresh(key, context).await;
            };
            let cache_key = (context.clone(), vec![intermediate]);
            let request = || -> BoxFuture<'static, Result<Option<Vec<_>>, KeyringError>> {
                let (inner, (context, encrypted)) = (Arc::clone(&self.inner), cache_key.clone());
                Box::pin(async move {
                    Ok(inner.refresh(&encrypted[0], &context).await?.map(|key| vec![key]))
                })
            };
            let refreshed = self.refreshing.get(&cache_key, 0, request).await?;
            let refreshed = refreshed.iter().flatten().next().cloned();
            Ok(refreshed.and_then(|intermediate| key.with_intermediate(intermediate)))
        })
    }

    /// Does not cache the result, which can change at any time.
    fn key_material<'a>(
        &'a self,
        key: &'a EncryptedDataKey,
        context: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<Option<KeyMaterial>, KeyringError>> {
        self.inner.key_material(key, context)
    }

    fn unwrap<'a>(
        &'a self,
        keys: &'a [EncryptedDataKey],
        context: &'a EncryptionContext,
    ) -> BoxFuture<'a, Unwrap> {
        Box::pin(async move {
            let mut failures = Vec::new();
            for group in groups(keys) {
                let unwrapped = match group[0].wrapped_under_intermediate() {
                    Some(_) => self.unwrap_group(group, context).await,
                    None => self.inner.unwrap(group, context).await,
                };
                match unwrapped {
                    Unwrap::Unwrapped(data_key) => return Unwrap::Unwrapped(data_key),
                    Unwrap::Failed(more) => failures.extend(more),
                    Unwrap::NotMine => {}
                }
            }
            if failures.is_empty() { Unwrap::NotMine } else { Unwrap::Failed(failures) }
        })
    }

    fn can_rewrap(&self, keys: &[EncryptedDataKey], binding: WrapContext<'_>) -> bool {
        self.inner.can_rewrap(keys, binding)
    }

    fn first_choice(&self, keys: &[EncryptedDataKey]) -> Option<String> {
        self.inner.first_choice(keys)
    }

    fn accepts(&self, key: &EncryptedDataKey) -> bool {
        self.inner.accepts(key)
    }

    fn expected_keys(&self, binding: WrapContext<'_>) -> Vec<EncryptedDataKey> {
        let intermediate =
            self.inner.expected_keys(WrapContext::for_intermediate_key(binding.context()));
        let with_data_key = |key: EncryptedDataKey| {
            key.with_wrapped([0; WRAPPED_UNDER_INTERMEDIATE_LEN], binding.place().cloned())
        };
        intermediate.into_iter().map(with_data_key).collect()
    }

    /// Returns that of the inner keyring, without a cache: these objects cannot store an
    /// intermediate key.
    fn s3ec(&self) -> Option<&dyn s3ec::Keyring> {
        self.inner.s3ec()
    }
}

/// Returns the encrypted forms of the intermediate key in `group`.
fn intermediate_keys(group: &[EncryptedDataKey]) -> Vec<EncryptedDataKey> {
    group.iter().filter_map(EncryptedDataKey::intermediate).collect()
}

/// Splits `keys` into runs that share an intermediate key, or have none.
fn groups(keys: &[EncryptedDataKey]) -> impl Iterator<Item = &[EncryptedDataKey]> {
    keys.chunk_by(|a, b| {
        (a.place(), a.wrapped_under_intermediate()) == (b.place(), b.wrapped_under_intermediate())
    })
}

impl fmt::Debug for CachingKeyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CachingKeyring")
            .field("inner", &self.inner)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// Combines failures into one: the first that is not [`KeyringErrorKind::Rejected`], if any, since
/// the caller can act on that.
fn combined(failures: &[KeyringError]) -> KeyringError {
    let first = failures
        .iter()
        .find(|failure| failure.kind() != KeyringErrorKind::Rejected)
        .unwrap_or(&failures[0]);
    let messages = failures.iter().map(|failure| match std::error::Error::source(failure) {
        Some(cause) => format!("{failure}: {cause}"),
        None => failure.to_string(),
    });
    KeyringError::new(first.kind(), first.wrapping_key())
        .with_source(messages.collect::<Vec<_>>().join("; "))
}

fn failed(keys: &[EncryptedDataKey], error: Error) -> KeyringError {
    let kind = match error {
        Error::Authentication => KeyringErrorKind::Rejected,
        _ => KeyringErrorKind::Other,
    };
    KeyringError::new(kind, keys.first().map_or("", EncryptedDataKey::wrapping_key))
        .with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FORMAT.md W5: at most 2^32 data keys under one intermediate key, whatever the limit.
    #[test]
    fn no_intermediate_key_wraps_more_than_2_to_the_32_data_keys() {
        let objects = |max| CacheLimits::new().with_max_objects(max).for_writing().objects;
        assert_eq!(
            [1, MAX_OBJECTS, MAX_OBJECTS + 1, u64::MAX].map(objects),
            [1, 1 << 32, 1 << 32, 1 << 32]
        );
    }
}
