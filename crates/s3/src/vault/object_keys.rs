//! An object's wrapped keys, wherever they are stored.

use sealwax_envelope::{
    EncryptedDataKey, Keyring as _, ObjectHeader, Place, SharedKeySlot, WrapContext, metadata,
};

use super::{Vault, sidecar::Sidecar};
use crate::{
    error::{Error, ObjectRef},
    object::ObjectInfo,
    store::Store,
};

/// An object whose keys are about to change, with the keys of its sidecar among its own.
pub(crate) struct ObjectKeys<'a> {
    pub(crate) vault: &'a Vault,
    pub(crate) target: &'a ObjectRef,
    pub(crate) info: ObjectInfo,
    /// Keys in the object's metadata. `info` has those of its sidecar too.
    pub(crate) own_keys: Vec<EncryptedDataKey>,
    pub(crate) sidecar: Sidecar,
    /// The object's detached data keys, with wrapped forms from the key store.
    pub(crate) stored_keys: Vec<EncryptedDataKey>,
    /// Place that new wrapped keys are bound to.
    pub(crate) place: Option<Place>,
    /// Places that are accepted beside those of the policy.
    pub(crate) accepted_places: &'a [String],
    /// `true` if the new keys are stored in a sidecar.
    pub(crate) is_sidecar: bool,
}

impl<'a> ObjectKeys<'a> {
    /// Finds the keys of the object at `target`, to be wrapped for `to`.
    ///
    /// Its sidecar is read if the policy allows sidecars, or if the new keys are stored in it.
    pub(crate) async fn find(
        (store, vault): (&Store, &'a Vault),
        target: &'a ObjectRef,
        info: ObjectInfo,
        to: &ObjectRef,
        accepted_places: &'a [String],
        is_sidecar: bool,
    ) -> Result<Self, Error> {
        let own_keys = info.keys().to_vec();
        let sidecar = if vault.sidecars().suffix().is_some() || is_sidecar {
            let suffix = vault.sidecars().suffix_to_write();
            Sidecar::find(store, target, suffix, info.sealed_header(target)?).await?
        } else {
            Sidecar::Absent
        };
        let info = match sidecar.header() {
            Some(header) => {
                let joined = info.sealed_header(target)?.joined(header);
                info.with_header(joined.map_err(|error| target.envelope_error(error))?)
            }
            None => info,
        };
        let header = info.sealed_header(target)?;
        let stored_keys = vault.detached_keys(store, target, header, accepted_places).await?;
        let place = vault.places().to_bind(to)?;
        Ok(Self {
            vault,
            target,
            info,
            own_keys,
            sidecar,
            stored_keys,
            place,
            accepted_places,
            is_sidecar,
        })
    }

    /// Returns the binding of new wrapped keys of the data key.
    pub(crate) fn wrap_context(&self) -> Result<WrapContext, Error> {
        Ok(self.info.sealed_header(self.target)?.wrap_context(self.place.clone()))
    }

    /// Returns the keys at an accepted place, and those of the key store for detached data keys.
    pub(crate) fn acceptable_keys(&self) -> Result<Vec<EncryptedDataKey>, Error> {
        let header = self.info.sealed_header(self.target)?;
        let keys =
            self.vault.places().acceptable_keys(self.target, header, self.accepted_places)?;
        Ok(keys.into_iter().chain(self.stored_keys.iter().cloned()).collect())
    }

    /// Returns the keys that the data key may be taken from: at an accepted place, and accepted by
    /// the keyring. KMS would re-encrypt for any other key just as well.
    pub(crate) fn trusted_keys(&self) -> Result<Vec<EncryptedDataKey>, Error> {
        let keys = self.acceptable_keys()?.into_iter();
        Ok(keys.filter(|key| self.vault.keyring().accepts(key)).collect())
    }

    /// `true` if `slot` is one of the detached data keys whose wrapped forms were found.
    pub(crate) fn has_stored(&self, slot: &SharedKeySlot) -> bool {
        self.stored_keys.iter().any(|key| key.slot().as_ref() == Some(slot))
    }

    /// Returns those of `keys` that are under intermediate keys which the object does not have.
    pub(crate) fn under_new_intermediate_keys(
        &self,
        keys: &[EncryptedDataKey],
    ) -> Result<Vec<EncryptedDataKey>, Error> {
        let slots = self.info.sealed_header(self.target)?.slots();
        let known: Vec<_> = slots.iter().map(SharedKeySlot::intermediate_id).collect();
        let is_new =
            |key: &&EncryptedDataKey| key.intermediate_id().is_some_and(|id| !known.contains(&id));
        Ok(keys.iter().filter(is_new).cloned().collect())
    }

    /// `true` if `key` may be used: it is at an accepted place, and accepted by the keyring.
    pub(crate) fn may_use(&self, key: &EncryptedDataKey) -> Result<bool, Error> {
        let is_here = self.vault.places().accepts(self.target, key, self.accepted_places)?;
        Ok(is_here && self.vault.keyring().accepts(key))
    }

    /// `true` if `key` needs no new wrapped key to open the object where it is: it is bound to the
    /// place that new ones are bound to, or, unless `rebinds`, to the object's place in a source.
    pub(crate) fn opens_here(&self, key: &EncryptedDataKey, rebinds: bool) -> Result<bool, Error> {
        let is_at_place = key.place() == self.place.as_ref();
        Ok(is_at_place || (!rebinds && self.vault.places().is_bound_here(self.target, key)?))
    }

    /// Refuses a header that does not fit where it is to be stored.
    pub(crate) fn check_fits(&self, header: &ObjectHeader) -> Result<(), Error> {
        let fits = if self.is_sidecar {
            header.to_sidecar().map(drop)
        } else {
            header.check_fits(metadata::pairs(&self.info.metadata))
        };
        fits.map_err(|error| self.target.envelope_error(error))
    }
}
