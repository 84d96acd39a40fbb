//! The object whose keys are changed, and the keys that it has.

use sealwax_envelope::{EncryptedDataKey, Place, WrapContext};

use super::wrapping::Wrapping;
use crate::{
    ObjectInfo, SealedClient,
    client::envelope_error,
    error::{Error, Target},
    sidecars::Sidecar,
};

/// What a rewrap begins with: the object as if the keys of its sidecar were among its own.
pub(crate) struct Object<'a> {
    pub(crate) client: &'a SealedClient,
    pub(crate) target: &'a Target,
    pub(crate) info: ObjectInfo,
    /// The keys in its own metadata; `info` may have those of its sidecar too.
    pub(crate) own_keys: Vec<EncryptedDataKey>,
    pub(crate) sidecar: Sidecar,
    /// What new wraps are bound to.
    pub(crate) place: Option<Place>,
    /// Accepted beside those of the client's policy.
    pub(crate) accepted_places: &'a [String],
    /// Whether the new keys land in a sidecar.
    pub(crate) is_sidecar: bool,
}

impl<'a> Object<'a> {
    /// Returns the binding of new wrapped keys.
    pub(crate) fn binding(&self) -> WrapContext<'_> {
        WrapContext::new(self.info.encryption_context(), self.place.as_ref())
    }

    /// The object at `target`, of which `info` is known, to be wrapped for `to`. Its sidecar is looked for where the client
    /// does that, or where the new keys land in it.
    pub(crate) async fn find(
        wrapping: &'a Wrapping,
        target: &'a Target,
        info: ObjectInfo,
        to: &Target,
        is_sidecar: bool,
    ) -> Result<Self, Error> {
        let Wrapping { client, accepted_places, .. } = wrapping;
        let own_keys = info.keys().to_vec();
        let sidecar = if client.sidecars().suffix().is_some() || is_sidecar {
            Sidecar::find(
                client,
                target,
                client.sidecars().suffix_to_write(),
                info.sealed_header(target)?,
            )
            .await?
        } else {
            Sidecar::Absent
        };
        let info = match sidecar.header() {
            Some(header) => {
                let joined =
                    info.sealed_header(target)?.joined(header).map_err(envelope_error(target))?;
                info.with_header(joined)
            }
            None => info,
        };
        let place = client.places().to_bind(to)?;
        Ok(Self { client, target, info, own_keys, sidecar, place, accepted_places, is_sidecar })
    }

    /// The keys that the data key may be taken from: at an accepted place, and such as this client would read with. KMS
    /// re-encrypts for a stranger's key just as well.
    pub(crate) fn trusted_keys(&self) -> Result<Vec<EncryptedDataKey>, Error> {
        let header = self.info.sealed_header(self.target)?;
        let keys =
            self.client.places().acceptable_keys(self.target, header, self.accepted_places)?;
        Ok(keys.into_iter().filter(|key| self.client.keyring().accepts(key)).collect())
    }
}
