//! Key material under which data keys are wrapped. Only the key service knows it.

use std::fmt;

use sealwax_envelope::{EncryptedDataKey, KeyMaterial, Keyring as _};

use super::inspect::InspectOutput;
use crate::{error::Error, single_flight::SingleFlightCache, vault::Vault};

/// Reports which material of a rotated wrapping key wrapped the data keys of objects.
///
/// It calls the key service only for keys that the client's keyring accepts. Each call is one
/// `ReEncrypt` from a wrapping key to itself, which authenticates the wrapped key. No data key
/// leaves AWS KMS for that. Objects that share an intermediate key share one call.
///
/// ```no_run
/// # async fn example(client: sealwax_s3::SealedClient) -> Result<(), sealwax_s3::Error> {
/// let materials = client.key_materials();
/// let inspection = client.inspect().bucket("invoices").key("2026/0001.pdf").send().await?;
/// for inspected in &inspection.keys {
///     println!("{:?}", materials.of(&inspection, &inspected.key).await?);
/// }
/// # Ok(())
/// # }
/// ```
pub struct KeyMaterials {
    vault: Vault,
    shared: SingleFlightCache<EncryptedDataKey, Option<KeyMaterial>>,
}

impl KeyMaterials {
    pub(crate) fn new(vault: Vault) -> Self {
        Self { vault, shared: SingleFlightCache::default() }
    }

    /// Returns the material that wrapped `key`, a key of `object`.
    ///
    /// Returns `None` if the key service does not report the material, if the keyring does not
    /// accept the wrapping key, or if the wrapped key is bound to a place that is not accepted.
    ///
    /// # Errors
    /// The failure of the key service.
    pub async fn of(
        &self,
        object: &InspectOutput,
        key: &EncryptedDataKey,
    ) -> Result<Option<KeyMaterial>, Error> {
        let keyring = self.vault.keyring();
        // KMS is called only for keys that this client would read with.
        if !keyring.accepts(key) || !self.vault.places().accepts(&object.target, key, &[])? {
            return Ok(None);
        }
        let ask = async |key: &EncryptedDataKey| {
            let material = keyring.key_material(key).await;
            material.map_err(|error| object.target.keyring_error(vec![error]))
        };
        match key.intermediate() {
            Some(shared) => {
                let slot = self.shared.slot(&shared);
                Ok(slot.get_or_try_init(|| ask(&shared)).await?.clone())
            }
            None => ask(key).await,
        }
    }
}

impl fmt::Debug for KeyMaterials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyMaterials").field("vault", &self.vault).finish_non_exhaustive()
    }
}
