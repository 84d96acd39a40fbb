//! A keyring that asks another one seldom.

use std::{fmt, sync::Arc, time::Duration};

use super::{
    BoxFuture, EncryptionMaterials, KeyMaterial, Keyring, KeyringError, KeyringErrorKind, Unwrap,
    cache::{Bounds, Cache},
};
use crate::{
    EncryptedDataKey, EncryptionContext, Error, MissingWrap, Place, PlaintextDataKey, WrapContext,
    data_key::WRAPPED_UNDER_INTERMEDIATE_LEN,
};

/// Most objects under one intermediate key, whatever is set: with random nonces of 96 bits, the chance that two of them
/// meet stays below 2^-32. (NIST SP 800-38D §8.3.)
const MAX_OBJECTS: u64 = 1 << 32;

/// How long, and for how much, a [`CachingKeyring`] uses one intermediate key.
///
/// While an intermediate key is kept, it is in the memory of the process, and whoever is barred from the wrapping key
/// meanwhile goes on: the shorter, the sooner a change of the key's policy shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CacheLimits {
    /// How long it is used, to write and to read. 5 minutes unless set.
    pub age: Duration,
    /// How many objects are written under it, 2^32 at most. 1,000,000 unless set.
    pub objects: u64,
    /// How many bytes of plaintext are written under it. No bound unless set; where there is one, an object of unknown
    /// length has an intermediate key for itself.
    pub bytes: u64,
    /// How many intermediate keys are kept: to write, one for each encryption context; and as many again to read.
    /// 1,000 unless set.
    pub entries: usize,
}

impl Default for CacheLimits {
    fn default() -> Self {
        Self { age: Duration::from_secs(300), objects: 1_000_000, bytes: u64::MAX, entries: 1_000 }
    }
}

impl CacheLimits {
    fn of_writing(self) -> Bounds {
        let Self { age, objects, bytes, entries } = self;
        Bounds { age, objects: objects.min(MAX_OBJECTS), bytes, entries }
    }

    fn of_reading(self) -> Bounds {
        Bounds { age: self.age, objects: u64::MAX, bytes: u64::MAX, entries: self.entries }
    }
}

/// Spares the key service: objects of one encryption context share an *intermediate key* for a while.
///
/// Each object has a data key of its own, wrapped here under the intermediate key, which the inner keyring wraps; the
/// object carries both wraps. So many objects cost a call of the key service for each wrapping key, and they can be read
/// while it does not answer, as long as the intermediate key is kept. Objects are bound to their encryption context and
/// place as ever; but the key service sees the context alone, and each place no more.
///
/// Whoever reads needs no cache: every keyring opens what this one wrapped.
pub struct CachingKeyring {
    inner: Arc<dyn Keyring>,
    limits: CacheLimits,
    writing: Cache<EncryptionContext, Intermediate>,
    reading: Cache<Wraps, PlaintextDataKey>,
    rewrapping: Cache<Wraps, Option<Vec<EncryptedDataKey>>>,
    refreshing: Cache<Wraps, Option<Vec<EncryptedDataKey>>>,
}

/// An intermediate key and its wraps.
struct Intermediate {
    key: PlaintextDataKey,
    wraps: Vec<EncryptedDataKey>,
    missing: Vec<MissingWrap>,
}

/// All wraps of one intermediate key that an object has, and the encryption context: what tells intermediate keys apart.
type Wraps = (EncryptionContext, Vec<EncryptedDataKey>);

impl CachingKeyring {
    /// A cache over `inner`, within [`CacheLimits::default`].
    #[must_use]
    pub fn new(inner: impl Keyring + 'static) -> Self {
        Self::with_limits(inner, CacheLimits::default())
    }

    /// A cache over `inner`, within `limits`.
    #[must_use]
    pub fn with_limits(inner: impl Keyring + 'static, limits: CacheLimits) -> Self {
        Self {
            inner: Arc::new(inner),
            limits,
            writing: Cache::new(limits.of_writing()),
            reading: Cache::new(limits.of_reading()),
            rewrapping: Cache::new(limits.of_reading()),
            refreshing: Cache::new(limits.of_reading()),
        }
    }

    /// The intermediate key for one more object of `bytes` bytes.
    async fn for_writing(
        &self,
        context: &EncryptionContext,
        bytes: u64,
    ) -> Result<Arc<Intermediate>, KeyringError> {
        let make = || -> BoxFuture<'static, Result<Intermediate, KeyringError>> {
            let (inner, context) = (Arc::clone(&self.inner), context.clone());
            Box::pin(async move {
                let materials =
                    inner.generate(WrapContext::of_intermediate_key(&context), None).await?;
                let EncryptionMaterials { data_key, encrypted_data_keys, missing } = materials;
                Ok(Intermediate { key: data_key, wraps: encrypted_data_keys, missing })
            })
        };
        self.writing.get(context, bytes, make).await
    }

    /// Wraps `data_key` under an intermediate key.
    fn wrap_under(
        intermediate: &Intermediate,
        data_key: &PlaintextDataKey,
        binding: WrapContext<'_>,
    ) -> Result<Vec<EncryptedDataKey>, KeyringError> {
        EncryptedDataKey::carry(&intermediate.wraps, &intermediate.key, data_key, binding)
            .map_err(|error| failed(&intermediate.wraps, error))
    }

    /// The data key of wraps of one intermediate key.
    async fn unwrap_group(
        &self,
        group: &[EncryptedDataKey],
        context: &EncryptionContext,
    ) -> Unwrap {
        let wraps: Vec<_> = group.iter().filter_map(EncryptedDataKey::intermediate).collect();
        let id = (context.clone(), wraps);
        let make = || -> BoxFuture<'static, Result<PlaintextDataKey, KeyringError>> {
            let (inner, (context, wraps)) = (Arc::clone(&self.inner), id.clone());
            Box::pin(async move {
                match inner.unwrap(&wraps, &context).await {
                    Unwrap::Unwrapped(key) => Ok(key),
                    Unwrap::Failed(failures) => Err(as_one(&failures)),
                    Unwrap::NotMine => Err(failed(&wraps, Error::Authentication)),
                }
            })
        };
        if !id.1.iter().any(|wrap| self.inner.accepts(wrap)) {
            return Unwrap::NotMine;
        }
        match self.reading.get(&id, 0, make).await {
            Ok(intermediate) => match group[0].open_under(&intermediate, context) {
                Ok(data_key) => Unwrap::Unwrapped(data_key),
                Err(error) => Unwrap::Failed(vec![failed(group, error)]),
            },
            Err(error) => Unwrap::Failed(vec![error]),
        }
    }
}

impl Keyring for CachingKeyring {
    fn generate<'a>(
        &'a self,
        binding: WrapContext<'a>,
        plaintext_len: Option<u64>,
    ) -> BoxFuture<'a, Result<EncryptionMaterials, KeyringError>> {
        Box::pin(async move {
            let bytes =
                plaintext_len.unwrap_or(if self.limits.bytes == u64::MAX { 0 } else { u64::MAX });
            let intermediate = self.for_writing(binding.context(), bytes).await?;
            let data_key =
                PlaintextDataKey::generate().map_err(|error| failed(&intermediate.wraps, error))?;
            let keys = Self::wrap_under(&intermediate, &data_key, binding)?;
            let materials = EncryptionMaterials::new(data_key, keys)
                .expect("an intermediate key has a wrap at least");
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
        context: &'a EncryptionContext,
        place: Option<&'a Place>,
    ) -> BoxFuture<'a, Result<Option<Vec<EncryptedDataKey>>, KeyringError>> {
        Box::pin(async move {
            for group in groups(keys).filter(|group| group[0].place() == place) {
                let wraps: Vec<_> =
                    group.iter().filter_map(EncryptedDataKey::intermediate).collect();
                if wraps.is_empty() {
                    continue;
                }
                let id = (context.clone(), wraps);
                let make = || -> BoxFuture<'static, Result<Option<Vec<EncryptedDataKey>>, KeyringError>> {
                    let (inner, (context, wraps)) = (Arc::clone(&self.inner), id.clone());
                    Box::pin(async move { inner.rewrap(&wraps, &context, None).await })
                };
                if let Some(rewrapped) = self.rewrapping.get(&id, 0, make).await?.as_ref() {
                    return Ok(rewrapped
                        .iter()
                        .map(|wrap| group[0].with_intermediate(wrap.clone()))
                        .collect());
                }
            }
            self.inner.rewrap(keys, context, place).await
        })
    }

    fn refresh<'a>(
        &'a self,
        key: &'a EncryptedDataKey,
        context: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<Option<EncryptedDataKey>, KeyringError>> {
        Box::pin(async move {
            let Some(wrap) = key.intermediate() else {
                return self.inner.refresh(key, context).await;
            };
            let id = (context.clone(), vec![wrap]);
            let make =
                || -> BoxFuture<'static, Result<Option<Vec<EncryptedDataKey>>, KeyringError>> {
                    let (inner, (context, wraps)) = (Arc::clone(&self.inner), id.clone());
                    Box::pin(async move {
                        Ok(inner.refresh(&wraps[0], &context).await?.map(|wrap| vec![wrap]))
                    })
                };
            let refreshed = self.refreshing.get(&id, 0, make).await?;
            let refreshed = refreshed.iter().flatten().next().cloned();
            Ok(refreshed.and_then(|wrap| key.with_intermediate(wrap)))
        })
    }

    /// Nothing is kept: it would be true for a while alone.
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

    fn can_rewrap(
        &self,
        keys: &[EncryptedDataKey],
        context: &EncryptionContext,
        place: Option<&Place>,
    ) -> bool {
        self.inner.can_rewrap(keys, context, place)
    }

    fn first_choice(&self, keys: &[EncryptedDataKey]) -> Option<String> {
        self.inner.first_choice(keys)
    }

    fn accepts(&self, key: &EncryptedDataKey) -> bool {
        self.inner.accepts(key)
    }

    fn outline(&self, place: Option<&Place>) -> Vec<EncryptedDataKey> {
        let carrying = |wrap: EncryptedDataKey| {
            wrap.carrying([0; WRAPPED_UNDER_INTERMEDIATE_LEN], place.cloned())
        };
        self.inner.outline(None).into_iter().map(carrying).collect()
    }

    /// Without the cache, for which these objects have no room.
    #[cfg(feature = "s3ec")]
    fn s3ec(&self) -> Option<&dyn crate::s3ec::Keyring> {
        self.inner.s3ec()
    }
}

/// Neighbouring wraps of the same intermediate key, or of none.
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

/// All failures as one, of the first kind that the caller can act upon.
fn as_one(failures: &[KeyringError]) -> KeyringError {
    let first = failures
        .iter()
        .find(|failure| failure.kind() != KeyringErrorKind::Rejected)
        .unwrap_or(&failures[0]);
    let said = failures.iter().map(|failure| match std::error::Error::source(failure) {
        Some(cause) => format!("{failure}: {cause}"),
        None => failure.to_string(),
    });
    KeyringError::new(first.kind(), first.wrapping_key())
        .with_source(said.collect::<Vec<_>>().join("; "))
}

fn failed(wraps: &[EncryptedDataKey], error: Error) -> KeyringError {
    let kind = match error {
        Error::Authentication => KeyringErrorKind::Rejected,
        _ => KeyringErrorKind::Other,
    };
    KeyringError::new(kind, wraps.first().map_or("", EncryptedDataKey::wrapping_key))
        .with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FORMAT.md W5: no more data keys under one intermediate key, whatever is set.
    #[test]
    fn no_intermediate_key_wraps_more_than_2_to_the_32_data_keys() {
        let objects =
            |objects| CacheLimits { objects, ..CacheLimits::default() }.of_writing().objects;
        assert_eq!(
            [1, MAX_OBJECTS, MAX_OBJECTS + 1, u64::MAX].map(objects),
            [1, 1 << 32, 1 << 32, 1 << 32]
        );
    }
}
