//! The keyring and its builder.

use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

use aws_config::{Region, SdkConfig};
use aws_sdk_kms::Client;
use futures_util::future::try_join_all;
use sealwax_envelope::{
    BoxFuture, EncryptedDataKey, EncryptionMaterials, KeyMaterial, Keyring, KeyringError,
    KeyringErrorKind, PlaintextDataKey, Unwrap, UnwrappedKey, WrapContext,
};

use super::{
    calls::{KmsCalls, KmsCiphertext},
    candidates::{Candidate, DiscoveryFilter, candidates, in_region},
    key_arn::{InvalidArn, KMS_PROVIDER, KmsKeyArn},
    key_name::KmsKeyName,
    regional_clients::RegionalClients,
    wrap_policy::{TooFewKeys, WrapPolicy, encrypt, encrypted_data_key, generate},
};
use crate::{
    error::{Error, ErrorKind},
    plain_http::PlainHttp,
};

/// Length of the ciphertext that KMS returns for a 256-bit data key, in bytes.
const TYPICAL_CIPHERTEXT_LEN: usize = 184;

/// Wraps data keys under KMS keys of one or several Regions.
///
/// The first key generates the data keys (`GenerateDataKey`) and the others wrap them too
/// (`Encrypt`), each in its own Region. Reads try the keys in order of distance (`Decrypt`): the
/// keyring's own Region first, then the order in which the keys were given. Each call passes the
/// whole encryption context and names its key, except that discovery names no key for objects of
/// the S3 Encryption Client (see [`DiscoveryFilter`]).
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use sealwax_s3::{DiscoveryFilter, KmsKeyring, aws_config};
///
/// let config = aws_config::load_defaults(aws_config::BehaviorVersion::v2026_01_12()).await;
/// // Writes under the keys of two Regions; reads with whichever answers.
/// let writer = KmsKeyring::builder(&config)
///     .key("arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab")
///     .key("arn:aws:kms:us-west-2:111122223333:key/0987dcba-09fe-87dc-65ba-ab0987654321")
///     .build()?;
///
/// // Reads what any key of the account wrapped; writes nothing.
/// let reader = KmsKeyring::builder(&config)
///     .discovery(DiscoveryFilter::accounts(["111122223333"]))
///     .build()?;
/// # Ok(())
/// # }
/// ```
///
/// # Multi-Region keys
///
/// A *multi-Region key* has an id that begins with `mrk-`. A given key unwraps what its replica
/// wrapped: partition, account and id must match, and only the Region may differ. The call names
/// the given key. (AWS Encryption SDK specification, "AWS KMS MRK Match for Decrypt".)
///
/// Two replicas of one key may be given, which AWS's keyrings reject as ambiguous. A write then
/// wraps under each.
///
/// A stored key name that is not the ARN of a KMS key is skipped.
pub struct KmsKeyring {
    pub(super) keys: Vec<KmsKeyArn>,
    pub(super) discovery: Option<DiscoveryFilter>,
    /// The keyring's own Region.
    pub(super) home: Option<String>,
    /// Regions where KMS is asked first for the key of an object that does not name it.
    pub(super) other_regions: Vec<String>,
    pub(super) calls: Arc<KmsCalls>,
    wrap_policy: WrapPolicy,
}

/// Builds a [`KmsKeyring`].
#[derive(Debug)]
pub struct KmsKeyringBuilder {
    config: SdkConfig,
    keys: Vec<KmsKeyArn>,
    /// The first key that is not an ARN.
    invalid: Option<InvalidArn>,
    discovery: Option<DiscoveryFilter>,
    other_regions: Vec<String>,
    clients: HashMap<String, Client>,
    timeout: Duration,
    calls_per_second: Option<u32>,
    allow_http: bool,
    wrap_policy: WrapPolicy,
    grant_tokens: Vec<String>,
    shared: Option<Arc<KmsCalls>>,
}

impl KmsKeyring {
    /// Starts building a keyring whose clients use `config`: its credentials, its endpoint, and its
    /// Region as the nearest one.
    #[must_use]
    pub fn builder(config: &SdkConfig) -> KmsKeyringBuilder {
        KmsKeyringBuilder {
            config: config.clone(),
            keys: Vec::new(),
            invalid: None,
            discovery: None,
            other_regions: Vec::new(),
            clients: HashMap::new(),
            timeout: Duration::from_secs(10),
            calls_per_second: None,
            allow_http: PlainHttp::is_allowed_by_environment(),
            wrap_policy: WrapPolicy::All,
            grant_tokens: Vec::new(),
            shared: None,
        }
    }

    /// Starts building a keyring without keys that shares this keyring's clients.
    ///
    /// Rate limit, timeout, grant tokens and the memory of Regions that are down belong to the clients:
    /// calls of both keyrings count together.
    #[must_use]
    pub fn sibling(&self) -> KmsKeyringBuilder {
        let config = SdkConfig::builder().region(self.home.clone().map(Region::new)).build();
        KmsKeyringBuilder { shared: Some(Arc::clone(&self.calls)), ..Self::builder(&config) }
    }

    /// The keys that the keyring wraps under; the first one generates data keys.
    #[must_use]
    pub fn keys(&self) -> &[KmsKeyArn] {
        &self.keys
    }

    /// Lists the calls that may unwrap one of `keys`; those to a Region that recently failed to
    /// answer come last.
    fn candidates<'a>(&self, keys: &'a [EncryptedDataKey]) -> Vec<Candidate<'a>> {
        let mut candidates =
            candidates(keys, &self.keys, self.discovery.as_ref(), self.home.as_deref());
        candidates.sort_by_key(|candidate| self.calls.is_down(candidate.arn.region()));
        candidates
    }

    /// Lists the sources of `ReEncrypt` calls that wrap the data key in `keys` under `to`, each with
    /// the new binding. The wrapped key under `to` itself comes first, then others in its Region.
    fn sources<'a>(
        keys: &'a [EncryptedDataKey],
        to: &KmsKeyArn,
        wrap_context: &WrapContext,
    ) -> Vec<(Candidate<'a>, WrapContext)> {
        let source = |key: &'a EncryptedDataKey| {
            Some((in_region(key, to.region())?, key.wrap_context_for(wrap_context)?))
        };
        let mut sources: Vec<_> = keys.iter().filter_map(source).collect();
        sources.sort_by_key(|(candidate, _)| candidate.arn != *to);
        sources
    }

    /// Wraps the data key in `keys` under `to` by `ReEncrypt`; `None` without a source.
    ///
    /// Tries the next source only if KMS rejects the ciphertext of one: anyone who can write to the
    /// bucket can name any key.
    async fn re_encrypt_any(
        &self,
        keys: &[EncryptedDataKey],
        to: &KmsKeyArn,
        wrap_context: &WrapContext,
    ) -> Result<Option<EncryptedDataKey>, KeyringError> {
        let mut rejected = None;
        for (from, binding) in Self::sources(keys, to, wrap_context) {
            match self.re_encrypt(&from, to, &binding).await {
                Ok((wrapped, _)) => return Ok(Some(wrapped)),
                Err(error) if error.kind() == KeyringErrorKind::Rejected => {
                    rejected = rejected.or(Some(error));
                }
                Err(error) => return Err(error),
            }
        }
        rejected.map_or(Ok(None), Err)
    }

    async fn decrypt(&self, candidate: &Candidate<'_>) -> Result<PlaintextDataKey, KeyringError> {
        let decrypted = self.calls.decrypt(ciphertext_of(candidate)).await?;
        candidate.key.open(decrypted).map_err(|error| {
            KeyringError::new(KeyringErrorKind::Rejected, candidate.arn.as_str()).with_source(error)
        })
    }

    /// Lists the calls that may unwrap `key`, without those to a Region that recently failed to
    /// answer: these are the failures.
    fn reachable<'a>(&self, key: &'a EncryptedDataKey) -> (Vec<Candidate<'a>>, Vec<KeyringError>) {
        let candidates = self.candidates(std::slice::from_ref(key));
        let (down, reachable): (Vec<_>, Vec<_>) = candidates
            .into_iter()
            .partition(|candidate| self.calls.is_down(candidate.arn.region()));
        let failed = |candidate: Candidate<'_>| {
            KeyringError::new(KeyringErrorKind::Unavailable, candidate.arn.as_str())
                .with_source("its Region recently failed to answer")
        };
        (reachable, down.into_iter().map(failed).collect())
    }

    /// Wraps the key in `from` under `to`, bound to `wrap_context`. Also returns the key material
    /// that `from` is wrapped under, if KMS reports it.
    async fn re_encrypt(
        &self,
        from: &Candidate<'_>,
        to: &KmsKeyArn,
        wrap_context: &WrapContext,
    ) -> Result<(EncryptedDataKey, Option<KeyMaterial>), KeyringError> {
        let output = self.calls.re_encrypt(ciphertext_of(from), to, wrap_context).await?;
        let wrapped = encrypted_data_key(to, output.ciphertext, wrap_context)?;
        let wrapped = from.key.with_intermediate(wrapped.clone()).unwrap_or(wrapped);
        Ok((wrapped, output.source_material))
    }

    /// Wraps the data key in `from` under the key that opens it, bound to `wrap_context`: by
    /// `ReEncrypt`, or through this process if that is not allowed or the service does not have it.
    ///
    /// Both ways use `from` alone, and name its key as the only one that may open it.
    async fn carry_from(
        &self,
        from: &Candidate<'_>,
        wrap_context: &WrapContext,
    ) -> Result<EncryptedDataKey, KeyringError> {
        if let Some(binding) = from.key.wrap_context_for(wrap_context) {
            match self.re_encrypt(from, &from.arn, &binding).await {
                Ok((wrapped, _)) => return Ok(wrapped),
                Err(error)
                    if matches!(
                        error.kind(),
                        KeyringErrorKind::AccessDenied | KeyringErrorKind::Other
                    ) =>
                {
                    tracing::debug!(%error, "not re-encrypted inside KMS: unwrapping");
                }
                Err(error) => return Err(error),
            }
        }
        let data_key = self.decrypt(from).await?;
        encrypt(&self.calls, &from.arn, &data_key, wrap_context).await
    }
}

fn ciphertext_of<'a>(candidate: &'a Candidate<'_>) -> KmsCiphertext<'a> {
    KmsCiphertext {
        key: &candidate.arn,
        bytes: candidate.key.ciphertext(),
        context: candidate.key.wrap_context().into(),
    }
}

impl KmsKeyringBuilder {
    /// Wraps under `key`, and unwraps with it. The first key generates the data keys.
    ///
    /// Takes a [`KmsKeyArn`] or the text of one; [`build`](Self::build) reports a text that is not
    /// an ARN.
    #[must_use]
    pub fn key(mut self, key: impl TryInto<KmsKeyArn, Error: Into<InvalidArn>>) -> Self {
        match key.try_into() {
            Ok(key) if self.keys.contains(&key) => {}
            Ok(key) => self.keys.push(key),
            Err(error) => {
                self.invalid.get_or_insert(error.into());
            }
        }
        self
    }

    /// Calls [`key`](Self::key) for each of `keys`.
    #[must_use]
    pub fn keys<K>(self, keys: impl IntoIterator<Item = K>) -> Self
    where
        K: TryInto<KmsKeyArn, Error: Into<InvalidArn>>,
    {
        keys.into_iter().fold(self, Self::key)
    }

    /// Unwraps with other keys too, as far as `filter` allows. A keyring without keys of its own
    /// can only read.
    #[must_use]
    pub fn discovery(mut self, filter: DiscoveryFilter) -> Self {
        self.discovery = Some(filter);
        self
    }

    /// Asks KMS in `region` first for the key of an object that does not name it, as those of the S3
    /// Encryption Client, and then in the keyring's own Region. It takes effect with
    /// [`discovery`](Self::discovery): for replicas, whose source is in `region`.
    #[must_use]
    pub fn discovery_region(mut self, region: impl Into<String>) -> Self {
        self.other_regions.push(region.into());
        self
    }

    /// Uses `client` for `region`, with the client's own settings. Rate limit and timeout of the
    /// keyring apply to it too, and so does the refusal of plain HTTP.
    #[must_use]
    pub fn client(mut self, region: impl Into<String>, client: Client) -> Self {
        self.clients.insert(region.into(), client);
        self
    }

    /// Sets how many of the keys must wrap a new data key. Default: all.
    #[must_use]
    pub fn wrap_policy(mut self, policy: WrapPolicy) -> Self {
        self.wrap_policy = policy;
        self
    }

    /// Limits the calls per second to each Region, so that a job leaves room for others under the
    /// account's request quota. Default: no limit. (AWS KMS Developer Guide, "Request quotas".)
    ///
    /// After a rest, as many calls as fit in one second may be made at once. Retries count: they
    /// follow the SDK's back-off, and the calls after them wait longer.
    ///
    /// With or without a limit, the SDK retries throttled calls: after a random delay whose upper
    /// bound doubles, within the retry budget that all KMS clients of the process share for a
    /// Region ([`RetryPartition`](aws_sdk_kms::config::retry::RetryPartition)). The `SdkConfig`
    /// sets the number of attempts.
    #[must_use]
    pub fn calls_per_second(mut self, calls: u32) -> Self {
        self.calls_per_second = Some(calls);
        self
    }

    /// Allows calls over plain HTTP to other machines, for tests on a trusted network: everyone on
    /// the way sees the data keys, and can choose them. Default: no, unless the environment variable
    /// [`PlainHttp::VARIABLE`] says so.
    ///
    /// Without it, such a call fails with [`KeyringErrorKind::InsecureEndpoint`] and is not sent,
    /// wherever the endpoint was set. Plain HTTP to this machine is always allowed.
    #[must_use]
    pub fn allow_http(mut self, allow: bool) -> Self {
        self.allow_http = allow;
        self
    }

    /// Passes this grant token with each call, so that a grant that was created a moment ago is in
    /// effect. (AWS KMS Developer Guide, "Using a grant token".) It is no secret.
    #[must_use]
    pub fn grant_token(mut self, token: impl Into<String>) -> Self {
        self.grant_tokens.push(token.into());
        self
    }

    /// Returns the ARN of the key that `name` means now, by one `DescribeKey` call; none for an ARN.
    ///
    /// An alias, or the id of a key, is one of the configuration's Region. An alias can be moved to
    /// another key, so do this for writing only: a reader names keys by ARN.
    ///
    /// # Errors
    /// * [`ErrorKind::InvalidInput`] if the name tells no Region and the configuration has none;
    /// * the failure of KMS, such as a missing permission for `kms:DescribeKey`.
    pub async fn resolve(&self, name: &KmsKeyName) -> Result<KmsKeyArn, Error> {
        if let Some(arn) = name.arn() {
            return Ok(arn.clone());
        }
        let own = self.config.region().map(ToString::to_string);
        let region = name.region().map(str::to_owned).or(own).ok_or_else(|| {
            let message = "it tells no Region, and the configuration has none";
            Error::new("resolve", format!("KMS key {name}"), ErrorKind::InvalidInput, message)
        })?;
        self.new_calls().describe_key(&region, name.as_str()).await
    }

    fn new_calls(&self) -> KmsCalls {
        let clients = RegionalClients::new(
            &self.config,
            self.timeout,
            self.calls_per_second,
            self.allow_http,
            self.clients.clone(),
        );
        KmsCalls::new(clients, self.grant_tokens.clone())
    }

    /// Sets how long one call, including its retries, may take. Default: 10 seconds.
    ///
    /// After that the next key is tried. For 30 seconds, keys of other Regions come before those of
    /// a Region that did not answer.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Builds the keyring. Makes no call yet.
    ///
    /// # Errors
    /// The first [`key`](Self::key) that is not the ARN of a KMS key.
    pub fn build(self) -> Result<KmsKeyring, InvalidKeyring> {
        if let Some(error) = self.invalid {
            return Err(error.into());
        }
        // A keyring without keys only reads.
        if !self.keys.is_empty() {
            self.wrap_policy.check(self.keys.len())?;
        }
        let home = self.config.region().map(ToString::to_string);
        let calls = self.shared.clone().unwrap_or_else(|| Arc::new(self.new_calls()));
        Ok(KmsKeyring {
            calls,
            keys: self.keys,
            discovery: self.discovery,
            home,
            other_regions: self.other_regions,
            wrap_policy: self.wrap_policy,
        })
    }
}

/// Reason why a keyring cannot be built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidKeyring {
    /// A key is not given by its ARN.
    #[error(transparent)]
    Arn(#[from] InvalidArn),
    /// The wrap policy asks for more keys than are given.
    #[error(transparent)]
    TooFewKeys(#[from] TooFewKeys),
}

impl Keyring for KmsKeyring {
    fn generate<'a>(
        &'a self,
        wrap_context: &'a WrapContext,
        _plaintext_len: Option<u64>,
    ) -> BoxFuture<'a, Result<EncryptionMaterials, KeyringError>> {
        Box::pin(generate(&self.calls, &self.keys, self.wrap_policy, wrap_context))
    }

    fn wrap<'a>(
        &'a self,
        data_key: &'a PlaintextDataKey,
        wrap_context: &'a WrapContext,
    ) -> BoxFuture<'a, Result<Vec<EncryptedDataKey>, KeyringError>> {
        Box::pin(try_join_all(
            self.keys.iter().map(move |key| encrypt(&self.calls, key, data_key, wrap_context)),
        ))
    }

    fn rewrap<'a>(
        &'a self,
        keys: &'a [EncryptedDataKey],
        wrap_context: &'a WrapContext,
    ) -> BoxFuture<'a, Result<Option<Vec<EncryptedDataKey>>, KeyringError>> {
        Box::pin(async move {
            if !self.can_rewrap(keys, wrap_context) {
                return Ok(None);
            }
            let calls = self.keys.iter().map(|to| self.re_encrypt_any(keys, to, wrap_context));
            Ok(try_join_all(calls).await?.into_iter().collect())
        })
    }

    /// Tries the stored key first, then its replicas that the keyring may use.
    fn carry<'a>(
        &'a self,
        key: &'a EncryptedDataKey,
        wrap_context: &'a WrapContext,
    ) -> BoxFuture<'a, Result<Option<EncryptedDataKey>, KeyringError>> {
        Box::pin(async move {
            if !key.is_key_of(wrap_context) {
                return Ok(None);
            }
            let mut candidates = self.candidates(std::slice::from_ref(key));
            candidates.sort_by_key(|candidate| candidate.arn.as_str() != key.wrapping_key());
            let mut failure = None;
            for candidate in candidates {
                match self.carry_from(&candidate, wrap_context).await {
                    Ok(carried) => return Ok(Some(carried)),
                    Err(error) => failure = failure.or(Some(error)),
                }
            }
            failure.map_or(Ok(None), Err)
        })
    }

    fn refresh<'a>(
        &'a self,
        key: &'a EncryptedDataKey,
    ) -> BoxFuture<'a, Result<Option<EncryptedDataKey>, KeyringError>> {
        Box::pin(async move {
            let stored: Option<KmsKeyArn> =
                key.wrapping_key().parse().ok().filter(|_| self.accepts(key));
            let Some((arn, from)) =
                stored.and_then(|arn| Some((arn.clone(), in_region(key, arn.region())?)))
            else {
                return Ok(None);
            };
            let (wrapped, material) = self.re_encrypt(&from, &arn, key.wrap_context()).await?;
            let is_newest = material.is_some_and(|material| material.is_newest);
            Ok((!is_newest).then_some(wrapped))
        })
    }

    /// Re-encrypts from the key to itself and discards the result; the response names both key
    /// materials.
    ///
    /// A multi-Region key has the same materials in all of its Regions, so any replica that the
    /// keyring may use can tell. (AWS KMS Developer Guide, "Multi-Region keys in AWS KMS".) A
    /// Region that recently failed to answer is not asked again, because no read waits for the
    /// result.
    fn key_material<'a>(
        &'a self,
        key: &'a EncryptedDataKey,
    ) -> BoxFuture<'a, Result<Option<KeyMaterial>, KeyringError>> {
        Box::pin(async move {
            let (reachable, mut failures) = self.reachable(key);
            for candidate in reachable {
                match self.re_encrypt(&candidate, &candidate.arn, key.wrap_context()).await {
                    Ok((_, material)) => return Ok(material),
                    Err(error) => failures.push(error),
                }
            }
            failures.into_iter().next().map_or(Ok(None), Err)
        })
    }

    fn unwrap<'a>(&'a self, keys: &'a [EncryptedDataKey]) -> BoxFuture<'a, Unwrap> {
        Box::pin(async move {
            let mut failures = Vec::new();
            for candidate in self.candidates(keys) {
                match self.decrypt(&candidate).await {
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

    /// Does not ask a Region that recently failed to answer, because no read waits for the result.
    fn unwrap_one<'a>(
        &'a self,
        key: &'a EncryptedDataKey,
    ) -> BoxFuture<'a, Result<Option<UnwrappedKey>, Vec<KeyringError>>> {
        Box::pin(async move {
            let (mut reachable, mut failures) = self.reachable(key);
            reachable.sort_by_key(|candidate| candidate.arn.as_str() != key.wrapping_key());
            for candidate in reachable {
                match self.decrypt(&candidate).await {
                    Ok(unwrapped) => {
                        return Ok(Some(UnwrappedKey::new(unwrapped, candidate.arn.as_str())));
                    }
                    Err(error) => failures.push(error),
                }
            }
            if failures.is_empty() { Ok(None) } else { Err(failures) }
        })
    }

    fn can_rewrap(&self, keys: &[EncryptedDataKey], wrap_context: &WrapContext) -> bool {
        self.keys.iter().all(|to| !Self::sources(keys, to, wrap_context).is_empty())
    }

    fn first_choice(&self, keys: &[EncryptedDataKey]) -> Option<String> {
        self.candidates(keys).first().map(|candidate| candidate.arn.as_str().to_owned())
    }

    fn accepts(&self, key: &EncryptedDataKey) -> bool {
        !self.candidates(std::slice::from_ref(key)).is_empty()
    }

    fn expected_keys(&self, wrap_context: &WrapContext) -> Vec<EncryptedDataKey> {
        let expected = |key: &KmsKeyArn| {
            let ciphertext = vec![0; TYPICAL_CIPHERTEXT_LEN];
            EncryptedDataKey::new(KMS_PROVIDER, key.as_str(), ciphertext, wrap_context)
                .expect("an ARN is a valid key name")
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

#[cfg(test)]
mod tests {
    use super::*;

    const EAST: &str = "arn:aws:kms:us-east-1:111122223333:key/e";
    const WEST: &str = "arn:aws:kms:us-west-2:111122223333:key/w";

    #[test]
    fn keys_are_arns_in_any_form() {
        let west: KmsKeyArn = WEST.parse().expect("an ARN");
        let keyring = KmsKeyring::builder(&SdkConfig::builder().build())
            .key(EAST)
            .key(EAST.to_owned())
            .key(&west)
            .keys([west.clone()])
            .build()
            .expect("a keyring");
        assert_eq!(keyring.keys().iter().map(KmsKeyArn::as_str).collect::<Vec<_>>(), [EAST, WEST]);
    }

    #[test]
    fn the_build_names_the_first_key_that_is_not_an_arn() {
        let keys = [EAST, "alias/invoices", "1234abcd"];
        let error = KmsKeyring::builder(&SdkConfig::builder().build())
            .keys(keys)
            .build()
            .expect_err("not an ARN");
        assert!(error.to_string().starts_with("\"alias/invoices\" is not the ARN of a KMS key"));
    }
}
