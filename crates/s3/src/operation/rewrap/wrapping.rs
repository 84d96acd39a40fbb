//! Makes the new wraps of an object's data key, and stores them.

use sealwax_envelope::{EncryptedDataKey, Keyring, KeyringErrorKind, Opener, WrapContext};

use super::{
    Edits, RewrapOutput,
    copy::{self, NewMetadata, Stored},
    edits::{Change, Wrap},
    intermediate::IntermediateKeys,
    landing::{self, Landing},
    object::Object,
    present::Present,
};
use crate::{
    ObjectFormat, ObjectInfo, SealedClient,
    client::{envelope_error, wrap_error},
    error::{Error, ErrorKind, Target},
    object::join_metadata,
};

/// A rewrap of any number of objects.
#[derive(Debug)]
pub(crate) struct Wrapping {
    pub(crate) client: SealedClient,
    pub(crate) edits: Edits,
    pub(crate) accepted_places: Vec<String>,
    pub(crate) intermediate_keys: IntermediateKeys,
    pub(crate) landing: Landing,
    /// What follows an object's key in that of its instruction file, unless that is `.instruction`.
    pub(crate) instruction_file_suffix: Option<String>,
}

impl Wrapping {
    /// Rewraps the object that is as `present`.
    pub(crate) async fn rewrap(
        &self,
        target: &Target,
        present: Present,
    ) -> Result<RewrapOutput, Error> {
        let client = &self.client;
        let info = self.info(target, &present).await?;
        if let Some(envelope) = info.envelope().cloned() {
            return self.rewrap_s3ec(target, present, info, &envelope).await;
        }
        let is_sidecar = self.landing.is_sidecar(&present);
        if !is_sidecar {
            copy::check_possible(target, &present.head)?;
        }
        let object = Object::find(self, target, info, target, is_sidecar).await?;
        let changes = self.edits.changes(&object)?;
        if changes.is_empty() {
            return Ok(unchanged(object.info));
        }
        let keys = self.changed_keys(&object, &changes).await?;
        let Object { info, sidecar, accepted_places, .. } = object;
        if keys == info.keys() {
            return Ok(unchanged(info));
        }
        let header = info.sealed_header(target)?.rewrapped(keys).map_err(envelope_error(target))?;
        let wanted = header
            .missing()
            .iter()
            .filter(|missing| self.edits.leave_wanted(missing))
            .cloned()
            .collect();
        let header = header.with_missing(wanted);
        landing::check_fits(&header, &info, is_sidecar).map_err(envelope_error(target))?;
        if header.keys().iter().all(|key| info.keys().contains(key)) {
            // Keys were removed and no other was used: one that is left must be seen to work.
            let proof = client.opener_by_metadata(target, &header, accepted_places).await;
            proof.map_err(|error| {
                error.meaning("nothing is removed, because none of the keys left could be used")
            })?;
        }

        tracing::debug!(
            generation = header.generation(),
            keys = header.keys().len(),
            is_sidecar,
            "storing the new keys"
        );
        if is_sidecar {
            let key = sidecar
                .replace(client, target, client.sidecars().suffix_to_write(), &header)
                .await?;
            let ObjectInfo { e_tag, version_id, .. } = info;
            let format = ObjectFormat::Sealwax(header);
            return Ok(RewrapOutput {
                rewrapped: true,
                format,
                e_tag,
                version_id,
                sidecar: Some(key),
            });
        }
        let present = present.settled(client, target).await?;
        let format = ObjectFormat::Sealwax(header);
        let metadata = NewMetadata::new(join_metadata(&format, &info.metadata));
        let Stored { e_tag, version_id } =
            copy::onto_itself(client, target, &present, metadata).await?;
        Ok(RewrapOutput { rewrapped: true, format, e_tag, version_id, sidecar: None })
    }

    /// What is known of the object.
    pub(crate) async fn info(
        &self,
        target: &Target,
        present: &Present,
    ) -> Result<ObjectInfo, Error> {
        let suffix = self.instruction_file_suffix.as_deref();
        let format =
            ObjectFormat::of(&self.client, target, present.head.metadata(), suffix).await?;
        ObjectInfo::of_head(target, &present.head, format)
    }

    /// The object's keys after all edits.
    pub(crate) async fn keys(&self, object: &Object<'_>) -> Result<Vec<EncryptedDataKey>, Error> {
        self.changed_keys(object, &self.edits.changes(object)?).await
    }

    /// The object's keys after all changes.
    async fn changed_keys(
        &self,
        object: &Object<'_>,
        changes: &[Change<'_>],
    ) -> Result<Vec<EncryptedDataKey>, Error> {
        let mut keys = object.info.keys().to_vec();
        for change in changes {
            match change {
                Change::Refresh { at } => {
                    for key in keys.iter_mut().filter(|key| object.client.keyring().accepts(key)) {
                        if let Some(refreshed) = self.refreshed(object, *at, key).await? {
                            *key = refreshed;
                        }
                    }
                }
                Change::Remove(wrapping_key) => {
                    keys.retain(|key| key.wrapping_key() != *wrapping_key);
                }
                Change::Wrap(wrap) => {
                    keys.retain(|key| wrap.keeps(key));
                    keys.extend(self.wrap(object, wrap).await?);
                }
            }
        }
        Ok(keys)
    }

    /// The wrap under the newest material, unless `key` is that.
    async fn refreshed(
        &self,
        object: &Object<'_>,
        at: usize,
        key: &EncryptedDataKey,
    ) -> Result<Option<EncryptedDataKey>, Error> {
        let (keyring, context) = (object.client.keyring(), object.info.encryption_context());
        if key.intermediate().is_some() {
            return self.intermediate_keys.refreshed(object, at, key).await;
        }
        keyring.refresh(key, context).await.map_err(wrap_error(object.target))
    }

    /// Wraps the object's data key under the keys of a keyring.
    async fn wrap(
        &self,
        object: &Object<'_>,
        wrap: &Wrap<'_>,
    ) -> Result<Vec<EncryptedDataKey>, Error> {
        let Object { client, target, info, place, accepted_places, .. } = object;
        let (header, keyring) = (info.sealed_header(target)?, wrap.keyring);
        let trusted = object.trusted_keys()?;
        if let Some(wrapped) = self.intermediate_keys.wrapped(object, wrap, &trusted).await? {
            return Ok(wrapped);
        }
        if let Some(wrapped) = re_encrypted(object, keyring, &trusted).await? {
            return Ok(wrapped);
        }
        let keys = client.places().acceptable_keys(target, header, accepted_places)?;
        let data_key = client.unwrap(target, header, &keys).await?;
        // A wrap of anything but the body's own key would lose the object.
        Opener::new(&data_key, &header.context().body_context(), header.body_header())
            .map_err(envelope_error(target))?;
        let binding = WrapContext::new(header.context(), place.as_ref());
        let wrapped = keyring.wrap(&data_key, binding).await.map_err(wrap_error(target))?;
        if wrapped.is_empty() {
            return Err(
                target.error(ErrorKind::InvalidInput, "the keyring has no key to wrap under")
            );
        }
        Ok(wrapped)
    }
}

/// The new wraps, made inside the key service; `None` where it cannot be or did not work.
async fn re_encrypted(
    object: &Object<'_>,
    keyring: &dyn Keyring,
    trusted: &[EncryptedDataKey],
) -> Result<Option<Vec<EncryptedDataKey>>, Error> {
    match keyring.rewrap(trusted, object.info.encryption_context(), object.place.as_ref()).await {
        Ok(wrapped) => Ok(wrapped),
        Err(error) if error.kind() == KeyringErrorKind::Throttled => {
            Err(wrap_error(object.target)(error))
        }
        Err(error) => {
            tracing::debug!(%error, "not re-encrypted inside the key service: unwrapping");
            Ok(None)
        }
    }
}

fn unchanged(info: ObjectInfo) -> RewrapOutput {
    RewrapOutput {
        rewrapped: false,
        format: info.format().clone(),
        e_tag: info.e_tag,
        version_id: info.version_id,
        sidecar: None,
    }
}
