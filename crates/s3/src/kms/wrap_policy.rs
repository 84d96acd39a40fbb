//! New data keys, wrapped under as many keys as the policy asks for.

use futures_util::future::join_all;
use sealwax_envelope::{
    EncryptedDataKey, EncryptionMaterials, KeyringError, KeyringErrorKind, MissingKey,
    PlaintextDataKey, WrapContext,
};

use super::{
    calls::{Generated, KmsCalls, not_understood},
    key_arn::{KMS_PROVIDER, KmsKeyArn},
};

/// Number of a keyring's keys that must wrap a new data key.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// # let config = sealwax_s3::aws_config::SdkConfig::builder().build();
/// use sealwax_s3::{KmsKeyring, WrapPolicy};
///
/// // Writes continue while one of the two Regions is down; a later rewrap adds the missing key.
/// let keyring = KmsKeyring::builder(&config)
///     .key("arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab")
///     .key("arn:aws:kms:us-west-2:111122223333:key/0987dcba-09fe-87dc-65ba-ab0987654321")
///     .wrap_policy(WrapPolicy::AtLeast(1))
///     .build()?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WrapPolicy {
    /// All keys. While one of their Regions is down, writes fail.
    #[default]
    All,
    /// At least this many keys, and never fewer than one. More than there are is an error, of the
    /// keyring's builder or of the copy.
    ///
    /// Keys of Regions that do not answer, or that throttle, are skipped. The object records that
    /// they are missing, so that a rewrap can add them later. Every other failure of a key fails
    /// the write.
    AtLeast(usize),
}

impl WrapPolicy {
    /// `true` if the write may continue without the key that failed with `error`.
    fn tolerates(self, error: &KeyringError) -> bool {
        let is_down =
            matches!(error.kind(), KeyringErrorKind::Unavailable | KeyringErrorKind::Throttled);
        self != Self::All && is_down
    }

    /// `true` if the write must fail with `usable` keys of which `missing` more could not be used.
    pub(crate) fn is_short(self, usable: usize, missing: usize) -> bool {
        usable < self.required(usable + missing)
    }

    /// Returns the number of keys, of `keys`, that must wrap a data key.
    fn required(self, keys: usize) -> usize {
        match self {
            Self::All => keys,
            Self::AtLeast(count) => count.max(1),
        }
    }

    /// Returns the error of a policy that `keys` can't meet even if all of them are available.
    pub(crate) fn check(self, keys: usize) -> Result<(), TooFewKeys> {
        match self {
            Self::AtLeast(at_least) if at_least > keys => Err(TooFewKeys { at_least, keys }),
            Self::All | Self::AtLeast(_) => Ok(()),
        }
    }
}

/// A [`WrapPolicy::AtLeast`] asks for more keys than there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("at least {at_least} keys must wrap the data key, but there are only {keys}")]
pub struct TooFewKeys {
    /// Number of keys that the policy asks for.
    pub at_least: usize,
    /// Number of keys that there are.
    pub keys: usize,
}

/// Generates a data key with the first key that answers, and wraps it under the others.
pub(super) async fn generate(
    calls: &KmsCalls,
    keys: &[KmsKeyArn],
    policy: WrapPolicy,
    wrap_context: &WrapContext,
) -> Result<EncryptionMaterials, KeyringError> {
    let mut failure = None;
    let mut candidates = keys_to_ask(calls, keys, policy).into_iter();
    let (generator, Generated { data_key, ciphertext }) = loop {
        let Some(key) = candidates.next() else { return Err(failure.unwrap_or_else(no_key)) };
        match calls.generate_data_key(key, wrap_context).await {
            Ok(generated) => break (key, generated),
            Err(error) if policy.tolerates(&error) => failure = Some(error),
            Err(error) => return Err(error),
        }
    };
    let mut wrapped = vec![(generator, encrypted_data_key(generator, ciphertext, wrap_context)?)];
    let others =
        candidates.map(async |key| (key, encrypt(calls, key, &data_key, wrap_context).await));
    for (key, result) in join_all(others).await {
        match result {
            Ok(encrypted) => wrapped.push((key, encrypted)),
            Err(error) if policy.tolerates(&error) => failure = Some(error),
            Err(error) => return Err(error),
        }
    }
    if wrapped.len() < policy.required(keys.len())
        && let Some(failure) = failure
    {
        return Err(failure);
    }

    let missing = keys.iter().filter(|key| !wrapped.iter().any(|(under, _)| under == key));
    let missing: Result<Vec<_>, _> =
        missing.map(|key| MissingKey::new(KMS_PROVIDER, key.as_str())).collect();
    let wrapped = wrapped.into_iter().map(|(_, encrypted)| encrypted).collect();
    let materials = missing
        .and_then(|missing| Ok(EncryptionMaterials::new(data_key, wrapped)?.with_missing(missing)));
    materials.map_err(|error| not_understood(generator, error))
}

/// Wraps a data key under one KMS key.
pub(super) async fn encrypt(
    calls: &KmsCalls,
    key: &KmsKeyArn,
    data_key: &PlaintextDataKey,
    wrap_context: &WrapContext,
) -> Result<EncryptedDataKey, KeyringError> {
    let ciphertext = calls.encrypt(key, data_key, wrap_context).await?;
    encrypted_data_key(key, ciphertext, wrap_context)
}

/// Names the KMS key of `ciphertext`, and what it is bound to.
pub(super) fn encrypted_data_key(
    key: &KmsKeyArn,
    ciphertext: Vec<u8>,
    wrap_context: &WrapContext,
) -> Result<EncryptedDataKey, KeyringError> {
    EncryptedDataKey::new(KMS_PROVIDER, key.as_str(), ciphertext, wrap_context)
        .map_err(|error| not_understood(key, error))
}

/// Leaves out the keys of Regions that recently failed to answer, unless the policy needs them.
fn keys_to_ask<'a>(
    calls: &KmsCalls,
    keys: &'a [KmsKeyArn],
    policy: WrapPolicy,
) -> Vec<&'a KmsKeyArn> {
    let up: Vec<_> = keys.iter().filter(|key| !calls.is_down(key.region())).collect();
    if up.is_empty() || up.len() < policy.required(keys.len()) {
        return keys.iter().collect();
    }
    up
}

fn no_key() -> KeyringError {
    KeyringError::new(KeyringErrorKind::NotFound, "(none given: this keyring can only read)")
}
