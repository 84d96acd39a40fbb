//! The KMS operations that generate, wrap and unwrap data keys.
//!
//! Each call passes an encryption context and names its KMS key; a response counts only if KMS used
//! that key. `decrypt_by_any` names none, and checks afterwards whether the used key is allowed.

use std::{
    collections::{BTreeMap, HashMap},
    sync::atomic::{AtomicBool, Ordering},
};

use aws_sdk_kms::{Client, primitives::Blob, types::DataKeySpec};
use sealwax_envelope::{
    Error as EnvelopeError, KeyMaterial, KeyringError, KeyringErrorKind, PlaintextDataKey,
    WrapContext,
};

use crate::error::{Error, ErrorKind};

use super::{
    key_arn::KmsKeyArn, regional_clients::RegionalClients, secret_plaintext::SecretPlaintext,
};

/// Calls to KMS, each in the Region of its key.
#[derive(Debug)]
pub(super) struct KmsCalls {
    clients: RegionalClients,
    grant_tokens: Option<Vec<String>>,
    /// `true` if the service's `ReEncrypt` does not find the source's key by itself, as Amazon's does.
    needs_source_key: AtomicBool,
}

/// An encryption context in the form that KMS takes it. `None` if it is empty: some implementations
/// of KMS distinguish an empty context from none.
pub(super) struct KmsContext(Option<HashMap<String, String>>);

/// A wrapped data key, with the KMS key and the encryption context that unwrap it.
pub(super) struct KmsCiphertext<'a> {
    pub(super) key: &'a KmsKeyArn,
    pub(super) bytes: &'a [u8],
    pub(super) context: KmsContext,
}

/// Result of `GenerateDataKey`.
pub(super) struct Generated {
    pub(super) data_key: PlaintextDataKey,
    pub(super) ciphertext: Vec<u8>,
}

/// Result of `ReEncrypt`.
pub(super) struct ReEncrypted {
    pub(super) ciphertext: Vec<u8>,
    /// Key material that the source is wrapped under, if KMS reports it. It is the newest material
    /// if source and destination are the same key and KMS used the same material for both.
    pub(super) source_material: Option<KeyMaterial>,
}

impl KmsCalls {
    /// Creates calls with these grant tokens, if there are any.
    pub(super) fn new(clients: RegionalClients, grant_tokens: Vec<String>) -> Self {
        let grant_tokens = Some(grant_tokens).filter(|tokens| !tokens.is_empty());
        Self { clients, grant_tokens, needs_source_key: AtomicBool::new(false) }
    }

    /// `true` if the Region recently failed to answer.
    pub(super) fn is_down(&self, region: &str) -> bool {
        self.clients.is_down(region)
    }

    pub(super) async fn generate_data_key(
        &self,
        key: &KmsKeyArn,
        context: impl Into<KmsContext>,
    ) -> Result<Generated, KeyringError> {
        let call = self
            .client(key)
            .generate_data_key()
            .key_id(key.as_str())
            .key_spec(DataKeySpec::Aes256)
            .set_encryption_context(context.into().0)
            .set_grant_tokens(self.grant_tokens.clone())
            .send();
        let output = self.clients.in_time(key, call).await?;
        let data_key = plaintext(key, output.plaintext)?;
        expect_key(key, output.key_id.as_deref())?;
        Ok(Generated { data_key, ciphertext: into_bytes(output.ciphertext_blob) })
    }

    pub(super) async fn encrypt(
        &self,
        key: &KmsKeyArn,
        data_key: &PlaintextDataKey,
        context: impl Into<KmsContext>,
    ) -> Result<Vec<u8>, KeyringError> {
        let (secret, placeholder) =
            SecretPlaintext::new(data_key).map_err(|error| not_understood(key, error))?;
        let call = self
            .client(key)
            .encrypt()
            .key_id(key.as_str())
            .plaintext(placeholder)
            .set_encryption_context(context.into().0)
            .set_grant_tokens(self.grant_tokens.clone())
            .customize()
            .interceptor(secret)
            .send();
        let output = self.clients.in_time(key, call).await?;
        expect_key(key, output.key_id.as_deref())?;
        Ok(into_bytes(output.ciphertext_blob))
    }

    pub(super) async fn decrypt(
        &self,
        wrapped: KmsCiphertext<'_>,
    ) -> Result<PlaintextDataKey, KeyringError> {
        let KmsCiphertext { key, bytes, context } = wrapped;
        let call = self
            .client(key)
            .decrypt()
            .key_id(key.as_str())
            .ciphertext_blob(Blob::new(bytes))
            .set_encryption_context(context.0)
            .set_grant_tokens(self.grant_tokens.clone())
            .send();
        let output = self.clients.in_time(key, call).await?;
        let data_key = plaintext(key, output.plaintext)?;
        expect_key(key, output.key_id.as_deref())?;
        Ok(data_key)
    }

    /// Lets KMS find the key, and uses its response only if `allows` accepts that key. Names it.
    /// `wrapped.key` gives the Region, and stands for all keys there in errors.
    pub(super) async fn decrypt_by_any(
        &self,
        wrapped: KmsCiphertext<'_>,
        allows: impl FnOnce(&KmsKeyArn) -> bool,
    ) -> Result<(PlaintextDataKey, KmsKeyArn), KeyringError> {
        let KmsCiphertext { key: any, bytes, context } = wrapped;
        let call = self
            .client(any)
            .decrypt()
            .ciphertext_blob(Blob::new(bytes))
            .set_encryption_context(context.0)
            .set_grant_tokens(self.grant_tokens.clone())
            .send();
        let output = self.clients.in_time(any, call).await?;
        // Taken out first, so that it is wiped even if it is not used.
        let data_key = plaintext(any, output.plaintext);
        let used = output.key_id.unwrap_or_default();
        match used.parse::<KmsKeyArn>() {
            Ok(key) if allows(&key) => Ok((data_key?, key)),
            _ => Err(not_allowed(used)),
        }
    }

    /// `ReEncrypt` in the Region of `to`; the source's key must be in the same Region.
    pub(super) async fn re_encrypt(
        &self,
        from: KmsCiphertext<'_>,
        to: &KmsKeyArn,
        context: impl Into<KmsContext>,
    ) -> Result<ReEncrypted, KeyringError> {
        let call = self
            .client(to)
            .re_encrypt()
            .ciphertext_blob(Blob::new(from.bytes))
            .source_key_id(from.key.as_str())
            .set_source_encryption_context(from.context.0)
            .destination_key_id(to.as_str())
            .set_destination_encryption_context(context.into().0)
            .set_grant_tokens(self.grant_tokens.clone())
            .send();
        let output = self.clients.in_time(to, call).await?;
        expect_key(from.key, output.source_key_id.as_deref())?;
        expect_key(to, output.key_id.as_deref())?;
        let materials = output.source_key_material_id.zip(output.destination_key_material_id);
        let source_material = materials
            .map(|(source, destination)| KeyMaterial::new(&*source, source == destination));
        Ok(ReEncrypted { ciphertext: into_bytes(output.ciphertext_blob), source_material })
    }

    /// `ReEncrypt` in the Region of `to`, from a key there that KMS finds. Its answer counts only if
    /// `allows` accepts that key. `None` if the service does not find keys by itself.
    pub(super) async fn re_encrypt_from_any(
        &self,
        from: KmsCiphertext<'_>,
        to: &KmsKeyArn,
        context: impl Into<KmsContext>,
        allows: impl FnOnce(&KmsKeyArn) -> bool,
    ) -> Result<Option<(ReEncrypted, KmsKeyArn)>, KeyringError> {
        if self.needs_source_key.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let call = self
            .client(to)
            .re_encrypt()
            .ciphertext_blob(Blob::new(from.bytes))
            .set_source_encryption_context(from.context.0)
            .destination_key_id(to.as_str())
            .set_destination_encryption_context(context.into().0)
            .set_grant_tokens(self.grant_tokens.clone())
            .send();
        let output = match self.clients.in_time(to, call).await {
            Ok(output) => output,
            Err(error) => {
                let is_its_own =
                    matches!(error.kind(), KeyringErrorKind::Other | KeyringErrorKind::Unavailable);
                self.needs_source_key.fetch_or(is_its_own, Ordering::Relaxed);
                return Err(error);
            }
        };
        expect_key(to, output.key_id.as_deref())?;
        let used = output.source_key_id.unwrap_or_default();
        let materials = output.source_key_material_id.zip(output.destination_key_material_id);
        let source_material = materials
            .map(|(source, destination)| KeyMaterial::new(&*source, source == destination));
        let ciphertext = into_bytes(output.ciphertext_blob);
        match used.parse::<KmsKeyArn>() {
            Ok(key) if allows(&key) => Ok(Some((ReEncrypted { ciphertext, source_material }, key))),
            _ => Err(not_allowed(used)),
        }
    }

    /// Returns the ARN of the key that a name in this Region means now.
    pub(super) async fn describe_key(&self, region: &str, name: &str) -> Result<KmsKeyArn, Error> {
        let client = self.clients.in_region(region);
        let call =
            client.describe_key().key_id(name).set_grant_tokens(self.grant_tokens.clone()).send();
        let output = call.await.map_err(|error| {
            Error::from_sdk(
                "resolve",
                format!("KMS key {name}"),
                "DescribeKey",
                Some(region),
                &error,
            )
        })?;
        let arn = output.key_metadata.and_then(|key| key.arn).unwrap_or_default();
        // A wrapped key of another Region would be made, and asked for, there.
        arn.parse().ok().filter(|arn: &KmsKeyArn| arn.region() == region).ok_or_else(|| {
            let message = format!("KMS in {region} answered with {arn:?}, which is no key there");
            Error::new("resolve", format!("KMS key {name}"), ErrorKind::Service, message)
        })
    }

    fn client(&self, key: &KmsKeyArn) -> Client {
        self.clients.in_region(key.region())
    }
}

impl From<&WrapContext> for KmsContext {
    fn from(wrap_context: &WrapContext) -> Self {
        wrap_context.pairs().into_iter().collect()
    }
}

impl From<&BTreeMap<String, String>> for KmsContext {
    fn from(pairs: &BTreeMap<String, String>) -> Self {
        pairs.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
    }
}

impl FromIterator<(String, String)> for KmsContext {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(pairs: I) -> Self {
        let pairs: HashMap<String, String> = pairs.into_iter().collect();
        Self((!pairs.is_empty()).then_some(pairs))
    }
}

/// Error for a response that makes no sense.
pub(super) fn not_understood(key: &KmsKeyArn, error: EnvelopeError) -> KeyringError {
    KeyringError::new(KeyringErrorKind::Other, key.as_str()).with_source(error)
}

/// Error for a key that KMS found and that the keyring must not use.
fn not_allowed(used: String) -> KeyringError {
    let why = "the keyring's discovery filter does not allow this key";
    KeyringError::new(KeyringErrorKind::AccessDenied, used).with_source(why)
}

/// Takes the data key out of a response, and wipes the response's own buffer if it has no other
/// owner.
fn plaintext(key: &KmsKeyArn, blob: Option<Blob>) -> Result<PlaintextDataKey, KeyringError> {
    PlaintextDataKey::from_slice_wiping(&mut into_bytes(blob))
        .map_err(|error| not_understood(key, error))
}

/// Checks that KMS used the requested key.
fn expect_key(key: &KmsKeyArn, used: Option<&str>) -> Result<(), KeyringError> {
    if used == Some(key.as_str()) {
        return Ok(());
    }
    Err(KeyringError::new(KeyringErrorKind::Other, key.as_str())
        .with_source("KMS answered for another key"))
}

fn into_bytes(blob: Option<Blob>) -> Vec<u8> {
    blob.map(Blob::into_inner).unwrap_or_default()
}
