//! The keyring for objects of the S3 Encryption Client: one key wraps each data key, and the object
//! does not name it.

use std::collections::BTreeMap;

use sealwax_envelope::{
    BoxFuture, EncryptionContext, KeyringError, KeyringErrorKind, PlaintextDataKey,
    s3ec::{Admitted, ContentSuite, Keyring, WrapAlgorithm, WrappedKey},
};

use super::{
    calls::{KmsCalls, KmsCiphertext},
    candidates::DiscoveryFilter,
    key_arn::KmsKeyArn,
    keyring::KmsKeyring,
};

impl Keyring for KmsKeyring {
    fn accepts(&self, algorithm: WrapAlgorithm) -> bool {
        algorithm.is_kms()
    }

    fn binds_context(&self) -> bool {
        true
    }

    fn unwrap_region(&self) -> Option<String> {
        match self.nearest_keys().first() {
            Some(key) => Some(key.region().to_owned()),
            None => self.discovery.as_ref().and(self.home.clone()),
        }
    }

    fn wrap_region(&self) -> Option<String> {
        only_key(&self.keys).ok().map(|key| key.region().to_owned())
    }

    fn generate<'a>(
        &'a self,
        suite: ContentSuite,
        pairs: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<(PlaintextDataKey, WrappedKey), KeyringError>> {
        Box::pin(async move {
            let key = only_key(&self.keys)?;
            let description = WrappedKey::kms_context(suite, pairs);
            let generated = self.calls.generate_data_key(key, &description).await?;
            Ok((generated.data_key, wrapped_key(generated.ciphertext, description)))
        })
    }

    fn wrap<'a>(
        &'a self,
        data_key: &'a PlaintextDataKey,
        suite: ContentSuite,
        pairs: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<WrappedKey, KeyringError>> {
        Box::pin(async move {
            let key = only_key(&self.keys)?;
            let description = WrappedKey::kms_context(suite, pairs);
            let ciphertext = self.calls.encrypt(key, data_key, &description).await?;
            Ok(wrapped_key(ciphertext, description))
        })
    }

    fn unwrap<'a>(
        &'a self,
        envelope: &'a Admitted,
    ) -> BoxFuture<'a, Result<PlaintextDataKey, KeyringError>> {
        Box::pin(async move { Ok(self.unwrap_and_name(envelope).await?.0) })
    }

    fn unwrap_and_name<'a>(
        &'a self,
        envelope: &'a Admitted,
    ) -> BoxFuture<'a, Result<(PlaintextDataKey, Option<String>), KeyringError>> {
        Box::pin(async move {
            let wrapped = envelope.envelope().key();
            let home = self.home.as_deref();
            let mut failure = None;
            for key in &self.nearest_keys() {
                match self.calls.decrypt(ciphertext_of(key, wrapped)).await {
                    Ok(data_key) => return Ok((data_key, Some(key.as_str().to_owned()))),
                    // The object does not say which key wrapped it, so one rejection proves
                    // nothing.
                    Err(error) if error.kind() == KeyringErrorKind::Rejected => {
                        failure.get_or_insert(error);
                    }
                    Err(error) => failure = Some(error),
                }
            }
            if let Some(filter) = &self.discovery {
                let (data_key, key) = discover(&self.calls, filter, home, wrapped).await?;
                return Ok((data_key, Some(key.as_str().to_owned())));
            }
            Err(failure
                .unwrap_or_else(|| KeyringError::new(KeyringErrorKind::NotFound, "(none given)")))
        })
    }
}

impl KmsKeyring {
    /// Returns the keys in the order in which an unwrap asks them: those of its own Region first.
    fn nearest_keys(&self) -> Vec<KmsKeyArn> {
        let home = self.home.as_deref();
        let mut keys: Vec<_> = self.keys.iter().map(|key| nearest(key, home)).collect();
        keys.sort_by_key(|key| (self.calls.is_down(key.region()), Some(key.region()) != home));
        keys
    }
}

/// Returns the one key to wrap under; these objects have room for one wrapped key only.
fn only_key(keys: &[KmsKeyArn]) -> Result<&KmsKeyArn, KeyringError> {
    match keys {
        [key] => Ok(key),
        keys => {
            let names: Vec<_> = keys.iter().map(KmsKeyArn::as_str).collect();
            let why = "an object of the S3 Encryption Client has exactly one wrapping key: use a keyring with one key";
            Err(KeyringError::new(KeyringErrorKind::Other, names.join(", ")).with_source(why))
        }
    }
}

/// Returns the replica of `key` in the keyring's own Region, or `key`.
fn nearest(key: &KmsKeyArn, home: Option<&str>) -> KmsKeyArn {
    home.and_then(|home| key.in_region(home)).unwrap_or_else(|| key.clone())
}

/// Lets KMS find the key, and checks that the filter allows it before the response is used.
async fn discover(
    calls: &KmsCalls,
    filter: &DiscoveryFilter,
    home: Option<&str>,
    wrapped: &WrappedKey,
) -> Result<(PlaintextDataKey, KmsKeyArn), KeyringError> {
    let Some(any) = home.and_then(|home| filter.any_key_in(home)) else {
        return Err(KeyringError::new(KeyringErrorKind::NotFound, "(none allowed)"));
    };
    calls.decrypt_by_any(ciphertext_of(&any, wrapped), |key| filter.allows(key)).await
}

fn ciphertext_of<'a>(key: &'a KmsKeyArn, wrapped: &'a WrappedKey) -> KmsCiphertext<'a> {
    KmsCiphertext {
        key,
        bytes: wrapped.encrypted_data_key(),
        context: wrapped.description().into(),
    }
}

fn wrapped_key(ciphertext: Vec<u8>, description: BTreeMap<String, String>) -> WrappedKey {
    WrappedKey::new(WrapAlgorithm::KmsContext, ciphertext, description)
}
