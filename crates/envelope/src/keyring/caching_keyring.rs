//! A keyring that reduces calls to another one.

use std::{fmt, sync::Arc, time::Duration};

use super::{
    EncryptionMaterials, KeyMaterial, Keyring, Unwrap, UnwrappedKey,
    cache_stats::CacheStats,
    single_flight::{Limits, SingleFlightCache},
};
use crate::{
    BoxFuture, EncryptedDataKey, EncryptionContext, Error, IntermediateKeyId, KeyringError,
    KeyringErrorKind, MissingKey, PlaintextDataKey, Scope, WrapContext, WrappedForms,
    intermediate_key::{IntermediateNonce, WRAPPED_DATA_KEY_LEN, new_nonce},
    s3ec,
};

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
    max_writing_age: Duration,
    max_objects: u64,
    max_bytes: u64,
    max_entries: usize,
    scope_folders: usize,
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
            max_writing_age: Duration::from_secs(300),
            max_objects: 1_000_000,
            max_bytes: u64::MAX,
            max_entries: 1_000,
            scope_folders: 0,
        }
    }

    /// Sets how long an intermediate key is used, for writing and for reading.
    #[must_use]
    pub fn with_max_age(self, max_age: Duration) -> Self {
        Self { max_age, max_writing_age: max_age, ..self }
    }

    /// Sets how long new objects are written under one intermediate key, and leaves the age for
    /// reading unchanged.
    ///
    /// With a key store, fewer and longer-lived keys make a rewrap of all keys cheap: with one hour,
    /// a writer makes at most 24 keys a day for each encryption context and scope.
    #[must_use]
    pub fn with_max_writing_age(self, max_writing_age: Duration) -> Self {
        Self { max_writing_age, ..self }
    }

    /// Sets the maximum number of objects written under one intermediate key.
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

    /// Narrows the scope of each intermediate key: to the object's bucket and the first `folders`
    /// folders of its key. Default: 0, the whole bucket.
    ///
    /// KMS sees the scope, so a key policy can hold a role to a prefix of places. Objects share an
    /// intermediate key only if they share its scope.
    #[must_use]
    pub fn with_scope_folders(self, folders: usize) -> Self {
        Self { scope_folders: folders, ..self }
    }

    /// Returns how many folders of an object's key are in the scope of its intermediate key.
    #[must_use]
    pub fn scope_folders(&self) -> usize {
        self.scope_folders
    }

    /// Returns how long an intermediate key is used for reading.
    #[must_use]
    pub fn max_age(&self) -> Duration {
        self.max_age
    }

    /// Returns how long new objects are written under one intermediate key.
    #[must_use]
    pub fn max_writing_age(&self) -> Duration {
        self.max_writing_age
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
            age: self.max_writing_age,
            objects: self.max_objects,
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
/// Each object has its own data key, which this keyring wraps locally under the intermediate key.
/// The inner keyring wraps the intermediate key, and each object stores both wrapped keys. Many
/// objects therefore cost one call for each wrapping key. They stay readable during an outage of
/// the key service for as long as the intermediate key is cached. Objects remain bound to their
/// encryption context and place, but the key service sees only the context and the scope, no longer
/// each place.
///
/// An intermediate key itself goes to the inner keyring, never under another one.
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
    /// Names of the pairs that intermediate keys are bound to; `None` for all.
    key_context: Option<Vec<String>>,
    wrapped_forms: WrappedForms,
    writing: SingleFlightCache<(EncryptionContext, Option<Scope>), NewIntermediateKey>,
    reading: SingleFlightCache<CacheKey, PlaintextDataKey>,
    rewrapping: SingleFlightCache<Vec<EncryptedDataKey>, Option<Vec<EncryptedDataKey>>>,
    refreshing: SingleFlightCache<EncryptedDataKey, Option<EncryptedDataKey>>,
    /// Intermediate keys by the wrapped form that each was unwrapped from; `None` if one form may
    /// serve objects with other forms.
    by_form: Option<FormCache>,
}

/// An intermediate key that this process generated, with its encrypted forms.
struct NewIntermediateKey {
    key: PlaintextDataKey,
    encrypted: Vec<EncryptedDataKey>,
    missing: Vec<MissingKey>,
}

/// Intermediate keys by their wrapped forms.
type FormCache = SingleFlightCache<EncryptedDataKey, PlaintextDataKey>;

/// Identity of a stored intermediate key: its binding, with encryption context and scope, and its
/// id. Each cached key has proven that it is the one that the id names.
type CacheKey = (WrapContext, IntermediateKeyId);

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
            key_context: None,
            wrapped_forms: WrappedForms::InObjects,
            writing: SingleFlightCache::new(limits.for_writing()),
            reading: SingleFlightCache::new(limits.for_reading()),
            rewrapping: SingleFlightCache::new(limits.for_reading()),
            refreshing: SingleFlightCache::new(limits.for_reading()),
            by_form: None,
        }
    }

    /// Remembers what each wrapped form of an intermediate key holds, and no longer uses what one
    /// form held for an object that has other forms.
    ///
    /// It is for drills and verifications: an object opens only if one of its own wrapped forms does,
    /// and each form is unwrapped once in [`CacheLimits::max_age`].
    #[must_use]
    pub fn by_form(self) -> Self {
        Self { by_form: Some(SingleFlightCache::new(self.limits.for_reading())), ..self }
    }

    /// Binds intermediate keys only to those pairs of the encryption context that have one of these
    /// names. Default: to all pairs.
    ///
    /// Objects that share these pairs share an intermediate key: those of a tenant, for example,
    /// whose other pairs name the document. The key service and its key policies see these pairs
    /// alone. All pairs of an object remain bound to its data key.
    #[must_use]
    pub fn with_key_context<N: Into<String>>(self, names: impl IntoIterator<Item = N>) -> Self {
        Self { key_context: Some(names.into_iter().map(Into::into).collect()), ..self }
    }

    /// Sets where the wrapped forms of new intermediate keys are stored. Default: in the objects.
    ///
    /// [`WrappedForms::Detached`] needs a client with a key store: without one, the objects could
    /// never be opened, and a put fails.
    #[must_use]
    pub fn with_wrapped_forms(self, wrapped_forms: WrappedForms) -> Self {
        Self { wrapped_forms, ..self }
    }

    /// Returns how often the cache had what was asked of it, since it was made.
    ///
    /// To keep a handle on a keyring that a client owns, give the client an [`Arc`] of it.
    #[must_use]
    pub fn stats(&self) -> CacheStats {
        let (rewrapping, refreshing) = (self.rewrapping.counts(), self.refreshing.counts());
        CacheStats {
            writing: self.writing.counts(),
            reading: self.reading.counts(),
            rewrapping: rewrapping.and(refreshing),
        }
    }

    /// Returns the scope of intermediate keys for objects with the binding `wrap_context`.
    fn scope(&self, wrap_context: &WrapContext) -> Option<Scope> {
        wrap_context.place().map(|place| Scope::of(place, self.limits.scope_folders))
    }

    /// Returns the pairs of `context` that an intermediate key is bound to.
    fn key_context(&self, context: &EncryptionContext) -> EncryptionContext {
        match &self.key_context {
            Some(names) => context.restricted_to(names),
            None => context.clone(),
        }
    }

    /// Returns an intermediate key for one more object of `plaintext_len` bytes.
    async fn for_writing(
        &self,
        wrap_context: &WrapContext,
        plaintext_len: Option<u64>,
    ) -> Result<Arc<NewIntermediateKey>, KeyringError> {
        let unknown_len = if self.limits.max_bytes == u64::MAX { 0 } else { u64::MAX };
        let bytes = plaintext_len.unwrap_or(unknown_len);
        let id = (self.key_context(wrap_context.context()), self.scope(wrap_context));
        let forms = self.wrapped_forms;
        let request = || -> BoxFuture<'static, Result<NewIntermediateKey, KeyringError>> {
            let (inner, (context, scope)) = (Arc::clone(&self.inner), id.clone());
            Box::pin(async move {
                let nonce = new_nonce().map_err(|error| failed(&[], error))?;
                let binding = WrapContext::for_intermediate_key(context, scope, nonce, forms);
                let (key, encrypted, missing) = inner.generate(&binding, None).await?.into_parts();
                Ok(NewIntermediateKey { key, encrypted, missing })
            })
        };
        self.writing.get(&id, bytes, request).await
    }

    /// Wraps `data_key` under an intermediate key.
    fn wrap_under(
        intermediate: &NewIntermediateKey,
        data_key: &PlaintextDataKey,
        wrap_context: &WrapContext,
    ) -> Result<Vec<EncryptedDataKey>, KeyringError> {
        let NewIntermediateKey { key, encrypted, .. } = intermediate;
        EncryptedDataKey::wrap_under(key, encrypted, data_key, wrap_context)
            .map_err(|error| failed(encrypted, error))
    }

    /// Unwraps the key of `group` by the first of its wrapped forms that opens.
    async fn unwrap_by_form(&self, forms: &FormCache, group: &[EncryptedDataKey]) -> Unwrap {
        let mut failures = Vec::new();
        for key in group {
            match self.unwrap_form(forms, key).await {
                Some(Ok(data_key)) => return Unwrap::Unwrapped(data_key),
                Some(Err(failure)) => failures.push(failure),
                None => {}
            }
        }
        if failures.is_empty() { Unwrap::NotMine } else { Unwrap::Failed(failures) }
    }

    /// Unwraps `key` by its own wrapped form; `None` if the inner keyring does not accept it, or if no
    /// intermediate key wraps it.
    async fn unwrap_form(
        &self,
        forms: &FormCache,
        key: &EncryptedDataKey,
    ) -> Option<Result<PlaintextDataKey, KeyringError>> {
        let form = key.intermediate().filter(|_| self.inner.accepts(key))?;
        let request = || -> BoxFuture<'static, Result<PlaintextDataKey, KeyringError>> {
            let (inner, form) = (Arc::clone(&self.inner), form.clone());
            Box::pin(async move {
                match inner.unwrap(std::slice::from_ref(&form)).await {
                    Unwrap::Unwrapped(intermediate) => Ok(intermediate),
                    Unwrap::Failed(failures) => Err(combined(&failures)),
                    Unwrap::NotMine => Err(failed(&[form], Error::Authentication)),
                }
            })
        };
        Some(match forms.get(&form, 0, request).await {
            // It proves that the intermediate key is the one that the id names.
            Ok(intermediate) => key
                .open_under(&intermediate)
                .map_err(|error| failed(std::slice::from_ref(key), error)),
            Err(failure) => Err(failure),
        })
    }

    /// Unwraps the key of `group`, whose keys are forms of one intermediate key.
    ///
    /// A cached key is used only if the inner keyring accepts a wrapped key of this very object.
    async fn unwrap_group(&self, group: &[EncryptedDataKey], id: IntermediateKeyId) -> Unwrap {
        if !group.iter().any(|key| self.inner.accepts(key)) {
            return Unwrap::NotMine;
        }
        let is_alone = group[0].intermediate().is_none();
        if is_alone {
            return self.inner.unwrap(group).await;
        }
        if let Some(forms) = &self.by_form {
            return self.unwrap_by_form(forms, group).await;
        }
        let encrypted = intermediate_keys(group);
        let request = || -> BoxFuture<'static, Result<PlaintextDataKey, KeyringError>> {
            let (inner, encrypted) = (Arc::clone(&self.inner), encrypted.clone());
            Box::pin(async move {
                match inner.unwrap(&encrypted).await {
                    Unwrap::Unwrapped(key) => {
                        id.verify(&key).map_err(|error| failed(&encrypted, error))?;
                        Ok(key)
                    }
                    Unwrap::Failed(failures) => Err(combined(&failures)),
                    Unwrap::NotMine => Err(failed(&encrypted, Error::Authentication)),
                }
            })
        };
        let cache_key = (group[0].wrap_context().clone(), id);
        match self.reading.get(&cache_key, 0, request).await {
            Ok(intermediate) => match group[0].open_under(&intermediate) {
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
        wrap_context: &'a WrapContext,
        plaintext_len: Option<u64>,
    ) -> BoxFuture<'a, Result<EncryptionMaterials, KeyringError>> {
        if wrap_context.is_for_intermediate_key() {
            return self.inner.generate(wrap_context, plaintext_len);
        }
        Box::pin(async move {
            let intermediate = self.for_writing(wrap_context, plaintext_len).await?;
            let data_key = PlaintextDataKey::generate()
                .map_err(|error| failed(&intermediate.encrypted, error))?;
            let keys = Self::wrap_under(&intermediate, &data_key, wrap_context)?;
            let materials = EncryptionMaterials::new(data_key, keys)
                .map_err(|error| failed(&intermediate.encrypted, error))?;
            Ok(materials.with_missing(intermediate.missing.clone()))
        })
    }

    fn wrap<'a>(
        &'a self,
        data_key: &'a PlaintextDataKey,
        wrap_context: &'a WrapContext,
    ) -> BoxFuture<'a, Result<Vec<EncryptedDataKey>, KeyringError>> {
        if wrap_context.is_for_intermediate_key() {
            return self.inner.wrap(data_key, wrap_context);
        }
        Box::pin(async move {
            let intermediate = self.for_writing(wrap_context, None).await?;
            Self::wrap_under(&intermediate, data_key, wrap_context)
        })
    }

    /// Re-encrypts the intermediate keys of `keys`, each once for all objects that share it.
    ///
    /// Each new key joins the group that it came from, since nothing here proves which group has
    /// the object's data key.
    fn rewrap<'a>(
        &'a self,
        keys: &'a [EncryptedDataKey],
        wrap_context: &'a WrapContext,
    ) -> BoxFuture<'a, Result<Option<Vec<EncryptedDataKey>>, KeyringError>> {
        Box::pin(async move {
            let (mut all, mut failure) = (Vec::new(), None);
            for group in groups(keys).filter(|group| group[0].data_key_context() == wrap_context) {
                let encrypted = intermediate_keys(group);
                if encrypted.is_empty() {
                    continue;
                }
                let request = || -> BoxFuture<'static, Result<Option<Vec<_>>, KeyringError>> {
                    let (inner, encrypted) = (Arc::clone(&self.inner), encrypted.clone());
                    Box::pin(async move {
                        let binding = encrypted[0].wrap_context().clone();
                        inner.rewrap(&encrypted, &binding).await
                    })
                };
                let join = |form: &EncryptedDataKey| group[0].with_intermediate(form.clone());
                match self.rewrapping.get(&encrypted, 0, request).await {
                    Ok(forms) => all.extend(forms.iter().flatten().filter_map(join)),
                    Err(error) => failure = failure.or(Some(error)),
                }
            }
            match failure {
                _ if !all.is_empty() => Ok(Some(all)),
                Some(error) => Err(error),
                None => self.inner.rewrap(keys, wrap_context).await,
            }
        })
    }

    fn carry<'a>(
        &'a self,
        key: &'a EncryptedDataKey,
        wrap_context: &'a WrapContext,
    ) -> BoxFuture<'a, Result<Option<EncryptedDataKey>, KeyringError>> {
        self.inner.carry(key, wrap_context)
    }

    fn refresh<'a>(
        &'a self,
        key: &'a EncryptedDataKey,
    ) -> BoxFuture<'a, Result<Option<EncryptedDataKey>, KeyringError>> {
        Box::pin(async move {
            let Some(intermediate) = key.intermediate() else {
                return self.inner.refresh(key).await;
            };
            let request = || -> BoxFuture<'static, Result<Option<_>, KeyringError>> {
                let (inner, intermediate) = (Arc::clone(&self.inner), intermediate.clone());
                Box::pin(async move { inner.refresh(&intermediate).await })
            };
            let refreshed = self.refreshing.get(&intermediate, 0, request).await?;
            Ok(refreshed.as_ref().clone().and_then(|form| key.with_intermediate(form)))
        })
    }

    /// Does not cache the result, which can change at any time.
    fn key_material<'a>(
        &'a self,
        key: &'a EncryptedDataKey,
    ) -> BoxFuture<'a, Result<Option<KeyMaterial>, KeyringError>> {
        self.inner.key_material(key)
    }

    fn unwrap<'a>(&'a self, keys: &'a [EncryptedDataKey]) -> BoxFuture<'a, Unwrap> {
        Box::pin(async move {
            let mut failures = Vec::new();
            for group in groups(keys) {
                let unwrapped = match group[0].intermediate_id() {
                    Some(id) => self.unwrap_group(group, *id).await,
                    None => self.inner.unwrap(group).await,
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

    /// Does not use the cache, whose keys prove nothing about other encrypted forms of them.
    fn unwrap_one<'a>(
        &'a self,
        key: &'a EncryptedDataKey,
    ) -> BoxFuture<'a, Result<Option<UnwrappedKey>, Vec<KeyringError>>> {
        self.inner.unwrap_one(key)
    }

    fn can_rewrap(&self, keys: &[EncryptedDataKey], wrap_context: &WrapContext) -> bool {
        self.inner.can_rewrap(keys, wrap_context)
    }

    fn first_choice(&self, keys: &[EncryptedDataKey]) -> Option<String> {
        self.inner.first_choice(keys)
    }

    fn accepts(&self, key: &EncryptedDataKey) -> bool {
        self.inner.accepts(key)
    }

    fn expected_keys(&self, wrap_context: &WrapContext) -> Vec<EncryptedDataKey> {
        if wrap_context.is_for_intermediate_key() {
            return self.inner.expected_keys(wrap_context);
        }
        let context = self.key_context(wrap_context.context());
        let (scope, nonce) = (self.scope(wrap_context), IntermediateNonce::default());
        let binding = WrapContext::for_intermediate_key(context, scope, nonce, self.wrapped_forms);
        let id = IntermediateKeyId::from_bytes([0; 32]);
        let with_data_key = |key: EncryptedDataKey| {
            key.with_wrapped(id, [0; WRAPPED_DATA_KEY_LEN], wrap_context.clone())
        };
        self.inner.expected_keys(&binding).into_iter().map(with_data_key).collect()
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

/// Splits `keys` into runs of one group.
fn groups(keys: &[EncryptedDataKey]) -> impl Iterator<Item = &[EncryptedDataKey]> {
    keys.chunk_by(EncryptedDataKey::shares_group)
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
