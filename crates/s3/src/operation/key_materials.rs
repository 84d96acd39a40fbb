//! Which material of its wrapping key wrapped a data key: nobody but the key service tells.

use sealwax_envelope::{
    EncryptedDataKey, EncryptionContext, KeyMaterial, Keyring as _, KeyringErrorKind,
};

use crate::{
    Error, SealedClient, client::wrap_error, error::Target, slots::Slots, verify::retrying,
};

/// What is known of the material of a wrapping key that wrapped an object's data key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum AuditedMaterial {
    /// Nothing: it was not asked about.
    NotAsked,
    /// Nothing: the key service does not tell it, or failed, or the client's keyring does not accept the wrapping key.
    Unknown,
    /// Which it is.
    Known(KeyMaterial),
}

impl AuditedMaterial {
    /// Whether it is known to be an older one.
    #[must_use]
    pub fn is_older(&self) -> bool {
        matches!(self, Self::Known(material) if !material.is_newest)
    }
}

/// Asks about materials; about an intermediate key once for all objects that share it.
#[derive(Default)]
pub(super) struct Materials(Slots<(EncryptionContext, EncryptedDataKey), Option<KeyMaterial>>);

impl Materials {
    /// The material that wrapped `key`.
    pub(super) async fn of(
        &self,
        client: &SealedClient,
        target: &Target,
        key: &EncryptedDataKey,
        context: &EncryptionContext,
    ) -> Result<AuditedMaterial, Error> {
        let keyring = client.keyring();
        // KMS is asked about no key that this client would not read with.
        if !keyring.accepts(key) {
            return Ok(AuditedMaterial::Unknown);
        }
        // What throttles is asked again, and more slowly. A Region that is down would hold up all objects, each for a while.
        let ask = async |key: &EncryptedDataKey| {
            let asked = retrying(|| async {
                match keyring.key_material(key, context).await {
                    Err(error) if error.kind() == KeyringErrorKind::Throttled => {
                        Err(wrap_error(target)(error))
                    }
                    told => Ok(told.map_err(wrap_error(target))),
                }
            });
            asked.await?
        };
        let material = match key.intermediate() {
            Some(shared) => {
                let slot = self.0.slot(&(context.clone(), shared.clone()));
                slot.get_or_try_init(|| ask(&shared)).await?.clone()
            }
            None => ask(key).await?,
        };
        Ok(material.map_or(AuditedMaterial::Unknown, AuditedMaterial::Known))
    }
}
