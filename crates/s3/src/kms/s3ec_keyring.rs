//! The keyring for objects of the S3 Encryption Client: one key wraps each data key, and the object
//! does not name it.

use std::collections::BTreeMap;

use sealwax_envelope::{
    BoxFuture, EncryptionContext, KeyringError, KeyringErrorKind, PlaintextDataKey,
    s3ec::{Admitted, ContentSuite, Envelope, Keyring, Rewrapped, WrapAlgorithm, WrappedKey},
};

use super::{
    calls::{KmsCalls, KmsCiphertext, ReEncrypted},
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
            None => {
                let first = self.other_regions.first().or(self.home.as_ref()).cloned();
                self.discovery.as_ref().and(first)
            }
        }
    }

    fn wrapping_key(&self) -> Option<String> {
        only_key(&self.keys).ok().map(|key| key.as_str().to_owned())
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

    fn wrap_again<'a>(
        &'a self,
        data_key: &'a PlaintextDataKey,
        envelope: &'a Envelope,
    ) -> BoxFuture<'a, Result<WrappedKey, KeyringError>> {
        Box::pin(async move {
            let (key, description) = (only_key(&self.keys)?, envelope.new_kms_context());
            let ciphertext = self.calls.encrypt(key, data_key, &description).await?;
            Ok(wrapped_key(ciphertext, description))
        })
    }

    /// Tries the given keys that are in the Region of `to`, and then `to`, each by its name. With
    /// discovery, KMS finds the key.
    fn rewrap<'a>(
        &'a self,
        envelope: &'a Admitted,
        to: &'a str,
        refreshes: bool,
    ) -> BoxFuture<'a, Result<Option<Rewrapped>, KeyringError>> {
        Box::pin(async move {
            let envelope = envelope.envelope();
            let (wrapped, description) = (envelope.key(), envelope.new_kms_context());
            let Ok(to) = to.parse::<KmsKeyArn>() else { return Ok(None) };
            if !wrapped.algorithm().is_kms() {
                return Ok(None);
            }
            let result = |source: &KmsKeyArn, made: ReEncrypted| {
                let is_older = refreshes && made.source_material.is_none_or(|it| !it.is_newest);
                if *source == to && !is_older {
                    return Rewrapped::Already;
                }
                Rewrapped::As(wrapped_key(made.ciphertext, description.clone()))
            };
            let given = self.keys.iter().filter_map(|key| match key.region() == to.region() {
                true => Some(key.clone()),
                false => key.in_region(to.region()),
            });
            let mut given: Vec<_> = given.filter(|key| *key != to).collect();
            if self.discovery.is_none() && given.is_empty() {
                return Ok(None);
            }
            if let Some(filter) = &self.discovery {
                let from = ciphertext_of(&to, wrapped);
                let allows = |key: &KmsKeyArn| *key == to || filter.allows(key);
                match self.calls.re_encrypt_from_any(from, &to, &description, allows).await {
                    Ok(Some((made, source))) => return Ok(Some(result(&source, made))),
                    Err(error) if error.kind() == KeyringErrorKind::Throttled => return Err(error),
                    Ok(None) | Err(_) => return Ok(None),
                }
            }
            given.push(to.clone());
            for key in &given {
                match self.calls.re_encrypt(ciphertext_of(key, wrapped), &to, &description).await {
                    Ok(made) => return Ok(Some(result(key, made))),
                    // The object does not say which key wrapped it.
                    Err(error) if error.kind() == KeyringErrorKind::Rejected => {}
                    Err(error) if error.kind() == KeyringErrorKind::Throttled => return Err(error),
                    Err(error) => {
                        tracing::debug!(%error, "not re-encrypted inside KMS: unwrapping");
                        return Ok(None);
                    }
                }
            }
            Ok(None)
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
                let regions = self.other_regions.iter().chain(&self.home);
                let (data_key, key) = discover(&self.calls, filter, regions, wrapped).await?;
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
            let names = if names.is_empty() { "(none)".to_owned() } else { names.join(", ") };
            let why = "an object of the S3 Encryption Client does not name its wrapping key and has \
                       exactly one: name it";
            Err(KeyringError::new(KeyringErrorKind::Unsuitable, names).with_source(why))
        }
    }
}

/// Returns the replica of `key` in the keyring's own Region, or `key`.
fn nearest(key: &KmsKeyArn, home: Option<&str>) -> KmsKeyArn {
    home.and_then(|home| key.in_region(home)).unwrap_or_else(|| key.clone())
}

/// Lets KMS find the key in one of these Regions, and checks that the filter allows it before the
/// response is used.
async fn discover(
    calls: &KmsCalls,
    filter: &DiscoveryFilter,
    regions: impl Iterator<Item = &String>,
    wrapped: &WrappedKey,
) -> Result<(PlaintextDataKey, KmsKeyArn), KeyringError> {
    let (mut asked, mut failure) = (Vec::new(), None);
    for region in regions {
        let Some(any) = filter.any_key_in(region) else { continue };
        match calls.decrypt_by_any(ciphertext_of(&any, wrapped), |key| filter.allows(key)).await {
            Ok(found) => return Ok(found),
            // No key there wrapped it.
            Err(error)
                if matches!(
                    error.kind(),
                    KeyringErrorKind::Rejected | KeyringErrorKind::NotFound
                ) => {}
            Err(error) if error.wrapping_key() == any.as_str() => {
                failure = Some(error.with_wrapping_key(format!("(any in {region})")));
            }
            Err(error) => failure = Some(error),
        }
        asked.push(region.as_str());
    }
    if let Some(failure) = failure {
        return Err(failure);
    }
    if asked.is_empty() {
        return Err(KeyringError::new(KeyringErrorKind::NotFound, "(none allowed)"));
    }
    let why = "the object does not name its wrapping key, and no allowed key there wrapped it: name \
               the key, if it is in another Region or account";
    let name = format!("(any in {})", asked.join(", "));
    Err(KeyringError::new(KeyringErrorKind::NotFound, name).with_source(why))
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
