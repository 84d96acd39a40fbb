//! The keyring over AWS KMS.

use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

use aws_config::SdkConfig;
use aws_sdk_kms::Client;
use futures_util::future::try_join_all;
use sealwax_envelope::{
    BoxFuture, EncryptedDataKey, EncryptionContext, EncryptionMaterials, KeyMaterial, Keyring,
    KeyringError, KeyringErrorKind, PlaintextDataKey, Unwrap, WrapContext,
};

use super::{
    DiscoveryFilter, KmsKeyArn, WrapPolicy,
    candidates::{Candidate, candidates, in_region},
    clients::RegionalClients,
};

/// Provider name of data keys that AWS KMS wrapped.
pub const KMS_PROVIDER: &str = "aws-kms";

/// Length of the ciphertext that KMS gives for a 256-bit data key, in bytes.
const TYPICAL_CIPHERTEXT_LEN: usize = 184;

/// Wraps data keys under KMS keys of one or several Regions.
///
/// The first key generates the data keys (`GenerateDataKey`), the others wrap them too (`Encrypt`), each in its own
/// Region. On reading, keys are tried nearest first (`Decrypt`). Each call passes the whole encryption context and names its
/// key.
///
/// A *multi-Region key* is one whose id begins with `mrk-`. What it wrapped, a given key unwraps that has the same partition,
/// account and id, and only that differs in the Region; the call names the given key. (AWS Encryption SDK specification, "AWS
/// KMS MRK Match for Decrypt".) Two replicas of one key may be given, which AWS's keyrings refuse as unclear: here the keyring's
/// own Region comes first, then the order in which they were given; and a write wraps under each. A key name that is not the ARN
/// of a key is passed over.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use sealwax_s3::{KmsKeyring, aws_config};
///
/// let config = aws_config::load_from_env().await;
/// let keyring = KmsKeyring::builder(&config)
///     .key("arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab".parse()?)
///     .key("arn:aws:kms:us-west-2:111122223333:key/0987dcba-09fe-87dc-65ba-ab0987654321".parse()?)
///     .build();
/// # Ok(())
/// # }
/// ```
pub struct KmsKeyring {
    pub(super) keys: Vec<KmsKeyArn>,
    pub(super) wrap_policy: WrapPolicy,
    pub(super) clients: Arc<RegionalClients>,
    pub(super) discovery: Option<DiscoveryFilter>,
    pub(super) home: Option<String>,
}

/// Builds a [`KmsKeyring`].
#[derive(Debug)]
pub struct KmsKeyringBuilder {
    config: SdkConfig,
    keys: Vec<KmsKeyArn>,
    discovery: Option<DiscoveryFilter>,
    clients: HashMap<String, Client>,
    timeout: Duration,
    calls_per_second: Option<u32>,
    wrap_policy: WrapPolicy,
    shared: Option<Arc<RegionalClients>>,
}

impl KmsKeyring {
    /// Begins a keyring whose clients use `config`: its credentials, its endpoint, and its Region as the nearest one.
    #[must_use]
    pub fn builder(config: &SdkConfig) -> KmsKeyringBuilder {
        KmsKeyringBuilder {
            config: config.clone(),
            keys: Vec::new(),
            discovery: None,
            clients: HashMap::new(),
            timeout: Duration::from_secs(10),
            calls_per_second: None,
            wrap_policy: WrapPolicy::All,
            shared: None,
        }
    }

    /// Begins a keyring of no key that shares this one's clients, with their pace, time limit and knowledge of Regions that
    /// are down: all calls of both count as those of one.
    #[must_use]
    pub fn sibling(&self) -> KmsKeyringBuilder {
        let config =
            SdkConfig::builder().region(self.home.clone().map(aws_config::Region::new)).build();
        KmsKeyringBuilder { shared: Some(Arc::clone(&self.clients)), ..Self::builder(&config) }
    }

    /// The keys that it wraps under, the generator first.
    #[must_use]
    pub fn keys(&self) -> &[KmsKeyArn] {
        &self.keys
    }

    /// The calls that may unwrap one of `keys`; those to a Region that failed to answer a short while ago come last.
    fn candidates<'a>(&self, keys: &'a [EncryptedDataKey]) -> Vec<Candidate<'a>> {
        let mut candidates =
            candidates(keys, &self.keys, self.discovery.as_ref(), self.home.as_deref());
        candidates.sort_by_key(|candidate| self.clients.is_down(candidate.arn.region()));
        candidates
    }

    /// Returns the `ReEncrypt` calls that wrap the data key of `keys` under each of the keyring's
    /// keys: source, destination and destination binding. `None` if any of them is impossible.
    fn re_encryptions<'a>(
        &'a self,
        keys: &'a [EncryptedDataKey],
        binding: WrapContext<'a>,
    ) -> Option<Vec<(Candidate<'a>, &'a KmsKeyArn, WrapContext<'a>)>> {
        let call = |to: &'a KmsKeyArn| {
            keys.iter()
                .find_map(|key| Some((in_region(key, to.region())?, to, key.binding_for(binding)?)))
        };
        self.keys.iter().map(call).collect()
    }
}

impl KmsKeyringBuilder {
    /// Wraps under `key`, and unwraps with it. The first key generates the data keys.
    #[must_use]
    pub fn key(mut self, key: KmsKeyArn) -> Self {
        if !self.keys.contains(&key) {
            self.keys.push(key);
        }
        self
    }

    /// Unwraps with other keys too, as far as `filter` allows. A keyring with no key of its own can only read.
    #[must_use]
    pub fn discovery(mut self, filter: DiscoveryFilter) -> Self {
        self.discovery = Some(filter);
        self
    }

    /// Uses `client` for `region`, as it is.
    #[must_use]
    pub fn client(mut self, region: impl Into<String>, client: Client) -> Self {
        self.clients.insert(region.into(), client);
        self
    }

    /// How many of its keys must wrap a new data key: all, unless set.
    #[must_use]
    pub fn wrap_policy(mut self, policy: WrapPolicy) -> Self {
        self.wrap_policy = policy;
        self
    }

    /// At most so many calls a second to each Region, and as many at once after a rest: so that a job leaves room for
    /// others under the account's quota. Retries count: they come when the SDK's back-off says so, and the calls after them
    /// wait for longer. No bound unless set. (AWS KMS Developer Guide, "Request quotas".)
    ///
    /// With or without it, what KMS throttles is retried by the SDK: after a random time whose bound doubles, and as long as
    /// the budget for retries lasts that all KMS clients of the process share for a Region
    /// ([`RetryPartition`](aws_sdk_kms::config::retry::RetryPartition)). The number of attempts is that of the `SdkConfig`.
    #[must_use]
    pub fn calls_per_second(mut self, calls: u32) -> Self {
        self.calls_per_second = Some(calls);
        self
    }

    /// How long one call may take with its retries, 10 seconds unless set. After that the next key is tried; and for half
    /// a minute, keys of other Regions are tried before those of a Region that did not answer.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Makes the keyring. No call is made yet.
    #[must_use]
    pub fn build(self) -> KmsKeyring {
        let new = || {
            Arc::new(RegionalClients::new(
                &self.config,
                self.timeout,
                self.calls_per_second,
                self.clients.clone(),
            ))
        };
        KmsKeyring {
            clients: self.shared.clone().unwrap_or_else(new),
            keys: self.keys,
            discovery: self.discovery,
            home: self.config.region().map(ToString::to_string),
            wrap_policy: self.wrap_policy,
        }
    }
}

impl Keyring for KmsKeyring {
    fn generate<'a>(
        &'a self,
        binding: WrapContext<'a>,
        _plaintext_len: Option<u64>,
    ) -> BoxFuture<'a, Result<EncryptionMaterials, KeyringError>> {
        Box::pin(self.generate_under_enough(binding))
    }

    fn wrap<'a>(
        &'a self,
        data_key: &'a PlaintextDataKey,
        binding: WrapContext<'a>,
    ) -> BoxFuture<'a, Result<Vec<EncryptedDataKey>, KeyringError>> {
        Box::pin(try_join_all(
            self.keys.iter().map(move |key| self.encrypt(key, data_key, binding)),
        ))
    }

    fn rewrap<'a>(
        &'a self,
        keys: &'a [EncryptedDataKey],
        binding: WrapContext<'a>,
    ) -> BoxFuture<'a, Result<Option<Vec<EncryptedDataKey>>, KeyringError>> {
        Box::pin(async move {
            let Some(calls) = self.re_encryptions(keys, binding) else { return Ok(None) };
            let calls = calls.iter().map(|(from, to, binding)| self.re_encrypt(from, to, *binding));
            let re_encrypted = try_join_all(calls).await?;
            Ok(Some(re_encrypted.into_iter().map(|it| it.wrapped).collect()))
        })
    }

    fn refresh<'a>(
        &'a self,
        key: &'a EncryptedDataKey,
        context: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<Option<EncryptedDataKey>, KeyringError>> {
        Box::pin(async move {
            let stored: Option<KmsKeyArn> =
                key.wrapping_key().parse().ok().filter(|_| self.accepts(key));
            let Some((arn, from)) =
                stored.and_then(|arn| Some((arn.clone(), in_region(key, arn.region())?)))
            else {
                return Ok(None);
            };
            let re_encrypted = self.re_encrypt(&from, &arn, key.binding(context)).await?;
            let is_newest = re_encrypted.from.is_some_and(|material| material.is_newest);
            Ok((!is_newest).then_some(re_encrypted.wrapped))
        })
    }

    /// By `ReEncrypt` from the key to itself, whose answer names both materials; what it wrapped is thrown away. A
    /// multi-Region key has the same materials in all of its Regions: any replica tells that may be asked. (AWS KMS
    /// Developer Guide, "Multi-Region keys in AWS KMS".) A Region that failed to answer a short while ago is not asked:
    /// nobody waits for data.
    fn key_material<'a>(
        &'a self,
        key: &'a EncryptedDataKey,
        context: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<Option<KeyMaterial>, KeyringError>> {
        Box::pin(async move {
            let mut failure = None;
            for candidate in self.candidates(std::slice::from_ref(key)) {
                if self.clients.is_down(candidate.arn.region()) {
                    let error =
                        KeyringError::new(KeyringErrorKind::Unavailable, candidate.arn.as_str());
                    failure = failure
                        .or(Some(error.with_source("its Region did not answer a short while ago")));
                    continue;
                }
                match self.re_encrypt(&candidate, &candidate.arn, key.binding(context)).await {
                    Ok(re_encrypted) => return Ok(re_encrypted.from),
                    Err(error) => failure = failure.or(Some(error)),
                }
            }
            failure.map_or(Ok(None), Err)
        })
    }

    fn unwrap<'a>(
        &'a self,
        keys: &'a [EncryptedDataKey],
        context: &'a EncryptionContext,
    ) -> BoxFuture<'a, Unwrap> {
        Box::pin(async move {
            let mut failures = Vec::new();
            for candidate in self.candidates(keys) {
                match self.decrypt(&candidate, context).await {
                    Ok(data_key) => return Unwrap::Unwrapped(data_key),
                    Err(error) => {
                        tracing::debug!(key = %candidate.arn, kind = ?error.kind(), "data key not unwrapped");
                        failures.push(error);
                    }
                }
            }
            if failures.is_empty() { Unwrap::NotMine } else { Unwrap::Failed(failures) }
        })
    }

    fn can_rewrap(&self, keys: &[EncryptedDataKey], binding: WrapContext<'_>) -> bool {
        self.re_encryptions(keys, binding).is_some()
    }

    fn first_choice(&self, keys: &[EncryptedDataKey]) -> Option<String> {
        self.candidates(keys).first().map(|candidate| candidate.arn.as_str().to_owned())
    }

    fn accepts(&self, key: &EncryptedDataKey) -> bool {
        !self.candidates(std::slice::from_ref(key)).is_empty()
    }

    fn expected_keys(&self, binding: WrapContext<'_>) -> Vec<EncryptedDataKey> {
        let expected = |key: &KmsKeyArn| {
            EncryptedDataKey::new(
                KMS_PROVIDER,
                key.as_str(),
                binding.place().cloned(),
                vec![0; TYPICAL_CIPHERTEXT_LEN],
            )
            .expect("an ARN is a fine name")
        };
        self.keys.iter().map(expected).collect()
    }

    fn s3ec(&self) -> Option<&dyn sealwax_envelope::s3ec::Keyring> {
        Some(self)
    }
}

impl fmt::Debug for KmsKeyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KmsKeyring")
            .field("keys", &self.keys)
            .field("discovery", &self.discovery)
            .field("home", &self.home)
            .finish_non_exhaustive()
    }
}
