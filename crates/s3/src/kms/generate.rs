//! New data keys, under as many wrapping keys as can be had.

use futures_util::future::join_all;
use sealwax_envelope::{
    EncryptionMaterials, KeyringError, KeyringErrorKind, MissingKey, WrapContext,
};

use super::{
    KMS_PROVIDER, KmsKeyArn, KmsKeyring,
    calls::{Generated, not_understood},
};

/// How many of a keyring's keys must wrap a new data key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WrapPolicy {
    /// All of them: while one of their Regions is down, nothing is written.
    #[default]
    All,
    /// At least so many, and one in any case. Keys of Regions that do not answer, or throttle, are passed over; the object
    /// records that they are missing, and a rewrap adds them later. Every other failure of a key fails the write.
    AtLeast(usize),
}

impl WrapPolicy {
    fn passes_over(self, error: &KeyringError) -> bool {
        let is_down =
            matches!(error.kind(), KeyringErrorKind::Unavailable | KeyringErrorKind::Throttled);
        self != Self::All && is_down
    }

    fn needed(self, keys: usize) -> usize {
        match self {
            Self::All => keys,
            Self::AtLeast(count) => count.clamp(1, keys),
        }
    }
}

impl KmsKeyring {
    /// The first key that answers generates the data key, the others wrap it too.
    pub(super) async fn generate_under_enough(
        &self,
        binding: WrapContext<'_>,
    ) -> Result<EncryptionMaterials, KeyringError> {
        let policy = self.wrap_policy;
        let mut failure = None;
        let mut keys = self.worth_asking().into_iter();
        let (generator, Generated { data_key, wrapped }) = loop {
            let Some(key) = keys.next() else { return Err(failure.unwrap_or_else(no_key)) };
            match self.generate_data_key(key, binding).await {
                Ok(generated) => break (key, generated),
                Err(error) if policy.passes_over(&error) => failure = Some(error),
                Err(error) => return Err(error),
            }
        };
        let mut wraps = vec![(generator, wrapped)];
        let others = keys.map(async |key| (key, self.encrypt(key, &data_key, binding).await));
        for (key, wrapped) in join_all(others).await {
            match wrapped {
                Ok(wrapped) => wraps.push((key, wrapped)),
                Err(error) if policy.passes_over(&error) => failure = Some(error),
                Err(error) => return Err(error),
            }
        }
        if wraps.len() < policy.needed(self.keys.len())
            && let Some(failure) = failure
        {
            return Err(failure);
        }

        let missing =
            self.keys.iter().filter(|key| !wraps.iter().any(|(wrapped, _)| wrapped == key));
        let missing = missing.map(|key| MissingKey::new(KMS_PROVIDER, key.as_str()));
        let missing: Result<Vec<_>, _> = missing.collect();
        let keys = wraps.into_iter().map(|(_, wrapped)| wrapped).collect();
        let materials = missing.and_then(|missing| {
            Ok(EncryptionMaterials::new(data_key, keys)?.with_missing(missing))
        });
        materials.map_err(|error| not_understood(generator, error))
    }

    /// The keys to ask: without those of Regions that failed to answer a short while ago, where the others suffice.
    fn worth_asking(&self) -> Vec<&KmsKeyArn> {
        let up: Vec<_> =
            self.keys.iter().filter(|key| !self.clients.is_down(key.region())).collect();
        if up.is_empty() || up.len() < self.wrap_policy.needed(self.keys.len()) {
            return self.keys.iter().collect();
        }
        up
    }
}

fn no_key() -> KeyringError {
    KeyringError::new(KeyringErrorKind::NotFound, "(none given: this keyring can only read)")
}
