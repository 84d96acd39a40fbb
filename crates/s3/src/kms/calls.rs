//! The calls of KMS that make, wrap and unwrap keys, each held to its key and its encryption context.

use std::collections::HashMap;

use aws_sdk_kms::{primitives::Blob, types::DataKeySpec};
use sealwax_envelope::{
    EncryptedDataKey, EncryptionContext, Error as EnvelopeError, KeyMaterial, KeyringError,
    KeyringErrorKind, Place, PlaintextDataKey, WrapContext,
};

use super::{KMS_PROVIDER, KmsKeyArn, KmsKeyring, candidates::Candidate};

/// What `GenerateDataKey` gives.
pub(super) struct Generated {
    pub(super) data_key: PlaintextDataKey,
    pub(super) wrapped: EncryptedDataKey,
}

/// What `ReEncrypt` gives.
pub(super) struct ReEncrypted {
    pub(super) wrapped: EncryptedDataKey,
    /// The key material that the source is under, where KMS tells; whether it is the newest, where a key was wrapped
    /// under the same one anew.
    pub(super) from: Option<KeyMaterial>,
}

impl KmsKeyring {
    pub(super) async fn generate_data_key(
        &self,
        key: &KmsKeyArn,
        binding: WrapContext<'_>,
    ) -> Result<Generated, KeyringError> {
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
        let wrapped =
            wrapped(key, output.key_id.as_deref(), output.ciphertext_blob, binding.place())?;
        Ok(Generated { data_key, wrapped })
    }

    pub(super) async fn encrypt(
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

    pub(super) async fn decrypt(
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
        let rejected =
            |error| KeyringError::new(KeyringErrorKind::Rejected, arn.as_str()).with_source(error);
        key.open(decrypted, context).map_err(rejected)
    }

    /// `ReEncrypt` in the Region of `to`, from a key that is in the same Region.
    pub(super) async fn re_encrypt(
        &self,
        from: &Candidate<'_>,
        to: &KmsKeyArn,
        binding: WrapContext<'_>,
    ) -> Result<ReEncrypted, KeyringError> {
        let call = self
            .clients
            .in_region(to.region())
            .re_encrypt()
            .ciphertext_blob(Blob::new(from.key.ciphertext()))
            .source_key_id(from.arn.as_str())
            .set_source_encryption_context(Some(kms_context(from.key.binding(binding.context()))))
            .destination_key_id(to.as_str())
            .set_destination_encryption_context(Some(kms_context(binding)))
            .send();
        let output = self.clients.in_time(to, call).await?;
        expect_key(&from.arn, output.source_key_id.as_deref())?;
        let materials = output.source_key_material_id.zip(output.destination_key_material_id);
        let material = materials
            .map(|(source, destination)| KeyMaterial::new(&*source, source == destination));
        let wrapped =
            wrapped(to, output.key_id.as_deref(), output.ciphertext_blob, binding.place())?;
        let wrapped = from.key.with_intermediate(wrapped.clone()).unwrap_or(wrapped);
        Ok(ReEncrypted { wrapped, from: material })
    }
}

fn kms_context(binding: WrapContext<'_>) -> HashMap<String, String> {
    binding.pairs().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// Takes the data key out of an answer. The answer's own buffer becomes ours where nobody else holds it, and is wiped.
pub(super) fn plaintext(
    key: &KmsKeyArn,
    blob: Option<Blob>,
) -> Result<PlaintextDataKey, KeyringError> {
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
pub(super) fn expect_key(key: &KmsKeyArn, answered: Option<&str>) -> Result<(), KeyringError> {
    if answered == Some(key.as_str()) {
        return Ok(());
    }
    Err(KeyringError::new(KeyringErrorKind::Other, key.as_str())
        .with_source("KMS answered for another key"))
}

pub(super) fn not_understood(key: &KmsKeyArn, error: EnvelopeError) -> KeyringError {
    KeyringError::new(KeyringErrorKind::Other, key.as_str()).with_source(error)
}
