//! AWS KMS as the S3 Encryption Client uses it: one key wraps each data key, and the object does not name it.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_kms::{primitives::Blob, types::DataKeySpec};
use sealwax_envelope::{
    BoxFuture, EncryptionContext, KeyringError, KeyringErrorKind, PlaintextDataKey,
    s3ec::{Admitted, ContentSuite, Keyring, WrapAlgorithm, WrappedKey},
};

use super::{
    DiscoveryFilter, KmsKeyArn, KmsKeyring,
    calls::{expect_key, plaintext},
};

impl KmsKeyring {
    /// The one key to wrap under: these objects have room for no other.
    fn only_key(&self) -> Result<&KmsKeyArn, KeyringError> {
        match self.keys.as_slice() {
            [key] => Ok(key),
            keys => {
                let names: Vec<_> = keys.iter().map(KmsKeyArn::as_str).collect();
                let why = "an object of the S3 Encryption Client has one wrapping key: write it with a keyring of one";
                Err(KeyringError::new(KeyringErrorKind::Other, names.join(", ")).with_source(why))
            }
        }
    }

    async fn decrypt_with(
        &self,
        key: &KmsKeyArn,
        wrapped: &WrappedKey,
    ) -> Result<PlaintextDataKey, KeyringError> {
        let call = self
            .clients
            .in_region(key.region())
            .decrypt()
            .key_id(key.as_str())
            .ciphertext_blob(Blob::new(wrapped.encrypted_data_key()))
            .set_encryption_context(context(wrapped.description()))
            .send();
        let output = self.clients.in_time(key, call).await?;
        let data_key = plaintext(key, output.plaintext)?;
        expect_key(key, output.key_id.as_deref())?;
        Ok(data_key)
    }

    /// Lets KMS say which key it is, and looks whether that may be used before its answer is.
    async fn decrypt_with_any(
        &self,
        filter: &DiscoveryFilter,
        wrapped: &WrappedKey,
    ) -> Result<PlaintextDataKey, KeyringError> {
        let Some(any) = self.home.as_deref().and_then(|home| filter.any_key_in(home)) else {
            return Err(KeyringError::new(KeyringErrorKind::NotFound, "(none allowed)"));
        };
        let call = self
            .clients
            .in_region(any.region())
            .decrypt()
            .ciphertext_blob(Blob::new(wrapped.encrypted_data_key()))
            .set_encryption_context(context(wrapped.description()))
            .send();
        let output = self.clients.in_time(&any, call).await?;
        let answered = output.key_id.unwrap_or_default();
        match answered.parse::<KmsKeyArn>() {
            Ok(key) if filter.allows(&key) => plaintext(&key, output.plaintext),
            _ => {
                let why = "the keyring's discovery filter does not allow this key";
                Err(KeyringError::new(KeyringErrorKind::AccessDenied, answered).with_source(why))
            }
        }
    }

    /// The key, or its replica in the keyring's Region.
    fn nearest(&self, key: &KmsKeyArn) -> KmsKeyArn {
        self.home.as_deref().and_then(|home| key.in_region(home)).unwrap_or_else(|| key.clone())
    }
}

impl Keyring for KmsKeyring {
    fn accepts(&self, algorithm: WrapAlgorithm) -> bool {
        algorithm.is_kms()
    }

    fn binds_context(&self) -> bool {
        true
    }

    fn generate<'a>(
        &'a self,
        suite: ContentSuite,
        pairs: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<(PlaintextDataKey, WrappedKey), KeyringError>> {
        Box::pin(async move {
            let key = self.only_key()?;
            let description = WrappedKey::kms_context(suite, pairs);
            let call = self
                .clients
                .in_region(key.region())
                .generate_data_key()
                .key_id(key.as_str())
                .key_spec(DataKeySpec::Aes256)
                .set_encryption_context(context(&description))
                .send();
            let output = self.clients.in_time(key, call).await?;
            let data_key = plaintext(key, output.plaintext)?;
            Ok((
                data_key,
                wrapped(key, output.key_id.as_deref(), output.ciphertext_blob, description)?,
            ))
        })
    }

    fn wrap<'a>(
        &'a self,
        data_key: &'a PlaintextDataKey,
        suite: ContentSuite,
        pairs: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<WrappedKey, KeyringError>> {
        Box::pin(async move {
            let key = self.only_key()?;
            let description = WrappedKey::kms_context(suite, pairs);
            let call = self
                .clients
                .in_region(key.region())
                .encrypt()
                .key_id(key.as_str())
                .plaintext(Blob::new(data_key.expose_secret().as_slice()))
                .set_encryption_context(context(&description))
                .send();
            let output = self.clients.in_time(key, call).await?;
            wrapped(key, output.key_id.as_deref(), output.ciphertext_blob, description)
        })
    }

    fn unwrap<'a>(
        &'a self,
        envelope: &'a Admitted,
    ) -> BoxFuture<'a, Result<PlaintextDataKey, KeyringError>> {
        Box::pin(async move {
            let wrapped = envelope.envelope().key();
            let mut keys: Vec<_> = self.keys.iter().map(|key| self.nearest(key)).collect();
            keys.sort_by_key(|key| {
                (self.clients.is_down(key.region()), Some(key.region()) != self.home.as_deref())
            });
            let mut failure = None;
            for key in &keys {
                match self.decrypt_with(key, wrapped).await {
                    Ok(data_key) => return Ok(data_key),
                    // It is under one of these keys, and nobody says which: that it is not under this one says nothing.
                    Err(error) if error.kind() == KeyringErrorKind::Rejected => {
                        failure.get_or_insert(error);
                    }
                    Err(error) => failure = Some(error),
                }
            }
            if let Some(filter) = &self.discovery {
                return self.decrypt_with_any(filter, wrapped).await;
            }
            Err(failure
                .unwrap_or_else(|| KeyringError::new(KeyringErrorKind::NotFound, "(none given)")))
        })
    }
}

/// An encryption context as KMS takes it. None is not the same as an empty one to every implementation.
fn context(pairs: &BTreeMap<String, String>) -> Option<HashMap<String, String>> {
    (!pairs.is_empty())
        .then(|| pairs.iter().map(|(name, value)| (name.clone(), value.clone())).collect())
}

fn wrapped(
    key: &KmsKeyArn,
    answered: Option<&str>,
    blob: Option<Blob>,
    description: BTreeMap<String, String>,
) -> Result<WrappedKey, KeyringError> {
    expect_key(key, answered)?;
    let ciphertext = blob.map(Blob::into_inner).unwrap_or_default();
    Ok(WrappedKey::new(WrapAlgorithm::KmsContext, ciphertext, description))
}
