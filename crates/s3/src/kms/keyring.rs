//! The keyring over AWS KMS.

use std::{collections::HashMap, fmt, time::Duration};

use aws_config::SdkConfig;
use aws_sdk_kms::{Client, primitives::Blob, types::DataKeySpec};
use futures_util::future::try_join_all;
use sealwax_envelope::{
    BoxFuture, EncryptedDataKey, EncryptionContext, EncryptionMaterials, Error as EnvelopeError, Keyring, KeyringError,
    KeyringErrorKind, Place, PlaintextDataKey, Unwrap, WrapContext,
};

use super::{
    DiscoveryFilter, KmsKeyArn,
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
/// Region. On reading, keys are tried nearest first (`Decrypt`); a multi-Region key is used through its replica in the
/// keyring's Region. Each call passes the whole encryption context and names its key.
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
    keys: Vec<KmsKeyArn>,
    discovery: Option<DiscoveryFilter>,
    home: Option<String>,
    clients: RegionalClients,
}

/// Builds a [`KmsKeyring`].
#[derive(Debug)]
pub struct KmsKeyringBuilder {
    config: SdkConfig,
    keys: Vec<KmsKeyArn>,
    discovery: Option<DiscoveryFilter>,
    clients: HashMap<String, Client>,
    timeout: Duration,
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
        }
    }

    /// The keys that it wraps under, the generator first.
    #[must_use]
    pub fn keys(&self) -> &[KmsKeyArn] {
        &self.keys
    }

    async fn generate_data_key(&self, key: &KmsKeyArn, binding: WrapContext<'_>) -> Result<Generated, KeyringError> {
        let call = self
            .clients
            .in_region(key.region())
            .generate_data_key()
            .key_id(key.as_str())
            .key_spec(DataKeySpec::Aes256)
            .set_encryption_context(Some(kms_context(binding)))
            .send();
        let output = self.clients.in_time(key, call).await?;
        let data_key = plaintext(key, output.plaintext)?;
        let wrapped = wrapped(key, output.key_id.as_deref(), output.ciphertext_blob, binding.place())?;
        Ok(Generated { data_key, wrapped })
    }

    async fn encrypt(
        &self,
        key: &KmsKeyArn,
        data_key: &PlaintextDataKey,
        binding: WrapContext<'_>,
    ) -> Result<EncryptedDataKey, KeyringError> {
        let call = self
            .clients
            .in_region(key.region())
            .encrypt()
            .key_id(key.as_str())
            .plaintext(Blob::new(data_key.expose_secret().as_slice()))
            .set_encryption_context(Some(kms_context(binding)))
            .send();
        let output = self.clients.in_time(key, call).await?;
        wrapped(key, output.key_id.as_deref(), output.ciphertext_blob, binding.place())
    }

    async fn decrypt(
        &self,
        candidate: &Candidate<'_>,
        context: &EncryptionContext,
    ) -> Result<PlaintextDataKey, KeyringError> {
        let Candidate { key, arn } = candidate;
        let call = self
            .clients
            .in_region(arn.region())
            .decrypt()
            .key_id(arn.as_str())
            .ciphertext_blob(Blob::new(key.ciphertext()))
            .set_encryption_context(Some(kms_context(key.binding(context))))
            .send();
        let output = self.clients.in_time(arn, call).await?;
        let decrypted = plaintext(arn, output.plaintext)?;
        expect_key(arn, output.key_id.as_deref())?;
        let rejected = |error| KeyringError::new(KeyringErrorKind::Rejected, arn.as_str()).with_source(error);
        key.open(decrypted, context).map_err(rejected)
    }

    /// `ReEncrypt` in the Region of `to`, from a key that is in the same Region.
    async fn re_encrypt(
        &self,
        from: &Candidate<'_>,
        to: &KmsKeyArn,
        context: &EncryptionContext,
        binding: WrapContext<'_>,
    ) -> Result<EncryptedDataKey, KeyringError> {
        let call = self
            .clients
            .in_region(to.region())
            .re_encrypt()
            .ciphertext_blob(Blob::new(from.key.ciphertext()))
            .source_key_id(from.arn.as_str())
            .set_source_encryption_context(Some(kms_context(from.key.binding(context))))
            .destination_key_id(to.as_str())
            .set_destination_encryption_context(Some(kms_context(binding)))
            .send();
        let output = self.clients.in_time(to, call).await?;
        expect_key(&from.arn, output.source_key_id.as_deref())?;
        let wrapped = wrapped(to, output.key_id.as_deref(), output.ciphertext_blob, binding.place())?;
        Ok(from.key.with_intermediate(wrapped.clone()).unwrap_or(wrapped))
    }

    fn candidates<'a>(&self, keys: &'a [EncryptedDataKey]) -> Vec<Candidate<'a>> {
        candidates(keys, &self.keys, self.discovery.as_ref(), self.home.as_deref())
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

    /// How long one call may take with its retries, 10 seconds unless set. After that the next key is tried.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Makes the keyring. No call is made yet.
    #[must_use]
    pub fn build(self) -> KmsKeyring {
        KmsKeyring {
            keys: self.keys,
            discovery: self.discovery,
            home: self.config.region().map(ToString::to_string),
            clients: RegionalClients::new(&self.config, self.timeout, self.clients),
        }
    }
}

impl Keyring for KmsKeyring {
    fn generate<'a>(
        &'a self,
        binding: WrapContext<'a>,
        _plaintext_len: Option<u64>,
    ) -> BoxFuture<'a, Result<EncryptionMaterials, KeyringError>> {
        Box::pin(async move {
            let Some((generator, others)) = self.keys.split_first() else {
                return Err(KeyringError::new(KeyringErrorKind::NotFound, "(none given: this keyring can only read)"));
            };
            let Generated { data_key, wrapped } = self.generate_data_key(generator, binding).await?;
            let mut keys = vec![wrapped];
            keys.extend(try_join_all(others.iter().map(|key| self.encrypt(key, &data_key, binding))).await?);
            EncryptionMaterials::new(data_key, keys).map_err(|error| not_understood(generator, error))
        })
    }

    fn wrap<'a>(
        &'a self,
        data_key: &'a PlaintextDataKey,
        binding: WrapContext<'a>,
    ) -> BoxFuture<'a, Result<Vec<EncryptedDataKey>, KeyringError>> {
        Box::pin(try_join_all(self.keys.iter().map(move |key| self.encrypt(key, data_key, binding))))
    }

    fn rewrap<'a>(
        &'a self,
        keys: &'a [EncryptedDataKey],
        context: &'a EncryptionContext,
        place: Option<&'a Place>,
    ) -> BoxFuture<'a, Result<Option<Vec<EncryptedDataKey>>, KeyringError>> {
        Box::pin(async move {
            let mut calls = Vec::new();
            for to in &self.keys {
                let call = |key: &'a EncryptedDataKey| {
                    Some((in_region(key, to.region())?, to, key.binding_at(context, place)?))
                };
                match keys.iter().find_map(call) {
                    Some(call) => calls.push(call),
                    None => return Ok(None),
                }
            }
            let calls = calls.iter().map(|(from, to, binding)| self.re_encrypt(from, to, context, *binding));
            Ok(Some(try_join_all(calls).await?))
        })
    }

    fn unwrap<'a>(&'a self, keys: &'a [EncryptedDataKey], context: &'a EncryptionContext) -> BoxFuture<'a, Unwrap> {
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

    fn accepts(&self, key: &EncryptedDataKey) -> bool {
        !self.candidates(std::slice::from_ref(key)).is_empty()
    }

    fn outline(&self, place: Option<&Place>) -> Vec<EncryptedDataKey> {
        let outline = |key: &KmsKeyArn| {
            EncryptedDataKey::new(KMS_PROVIDER, key.as_str(), place.cloned(), vec![0; TYPICAL_CIPHERTEXT_LEN])
                .expect("an ARN is a fine name")
        };
        self.keys.iter().map(outline).collect()
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

/// What `GenerateDataKey` gives.
struct Generated {
    data_key: PlaintextDataKey,
    wrapped: EncryptedDataKey,
}

fn kms_context(binding: WrapContext<'_>) -> HashMap<String, String> {
    binding.pairs().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// Takes the data key out of an answer. The answer's own buffer becomes ours where nobody else holds it, and is wiped.
fn plaintext(key: &KmsKeyArn, blob: Option<Blob>) -> Result<PlaintextDataKey, KeyringError> {
    let mut bytes = blob.map(Blob::into_inner).unwrap_or_default();
    PlaintextDataKey::from_slice_wiping(&mut bytes).map_err(|error| not_understood(key, error))
}

fn wrapped(
    key: &KmsKeyArn,
    answered: Option<&str>,
    blob: Option<Blob>,
    place: Option<&Place>,
) -> Result<EncryptedDataKey, KeyringError> {
    expect_key(key, answered)?;
    let ciphertext = blob.map(Blob::into_inner).unwrap_or_default();
    EncryptedDataKey::new(KMS_PROVIDER, key.as_str(), place.cloned(), ciphertext)
        .map_err(|error| not_understood(key, error))
}

/// KMS names the key that it used: it must be the one that was asked for.
fn expect_key(key: &KmsKeyArn, answered: Option<&str>) -> Result<(), KeyringError> {
    if answered == Some(key.as_str()) {
        return Ok(());
    }
    Err(KeyringError::new(KeyringErrorKind::Other, key.as_str()).with_source("KMS answered for another key"))
}

fn not_understood(key: &KmsKeyArn, error: EnvelopeError) -> KeyringError {
    KeyringError::new(KeyringErrorKind::Other, key.as_str()).with_source(error)
}
