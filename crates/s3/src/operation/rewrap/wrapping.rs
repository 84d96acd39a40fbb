//! Rewrap of one object: carries out its steps and stores the new keys.

use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use sealwax_envelope::EncryptedDataKey;

use super::{
    RewrapOutput,
    key_changes::{KeyChanges, Step},
    key_storage::KeyStorage,
};
use crate::{
    error::{Error, ObjectRef},
    format::{ObjectFormat, same_format_metadata},
    object::{ObjectInfo, join_metadata},
    operation::Handle,
    store::{lost_answer::Stored, snapshot::Snapshot},
    vault::{intermediate::IntermediateKeys, object_keys::ObjectKeys},
};

/// Settings and shared state of the rewrap of any number of objects.
#[derive(Debug)]
pub(crate) struct Wrapping {
    pub(crate) handle: Handle,
    pub(crate) changes: KeyChanges,
    pub(crate) accepted_places: Vec<String>,
    pub(crate) intermediate_keys: IntermediateKeys,
    pub(crate) key_storage: KeyStorage,
}

impl Wrapping {
    /// Rewraps the object if it is unchanged since `snapshot`.
    pub(crate) async fn rewrap(
        &self,
        target: &ObjectRef,
        snapshot: Snapshot,
    ) -> Result<RewrapOutput, Error> {
        let Handle { store, vault, .. } = &self.handle;
        let info = self.info(target, &snapshot).await?;
        if let Some(envelope) = info.envelope().cloned() {
            return self.rewrap_s3ec(target, snapshot, info, &envelope).await;
        }
        let object = self.object_keys(target, info, &snapshot).await?;
        let steps = self.changes.steps(&object)?;
        if steps.is_empty() {
            return Ok(unchanged(object.info));
        }
        let keys = self.changed_keys(&object, &steps).await?;
        if keys == object.info.keys() {
            return Ok(unchanged(object.info));
        }
        let header = object
            .info
            .sealed_header(target)?
            .rewrapped(keys)
            .map_err(|error| target.envelope_error(error))?;
        let missing =
            header.missing().iter().filter(|key| self.changes.leave_wanted(key)).cloned().collect();
        let header = header.with_missing(missing);
        object.check_fits(&header)?;
        let ObjectKeys { info, sidecar, accepted_places, is_sidecar, .. } = object;
        if header.keys().iter().all(|key| info.keys().contains(key)) {
            // Keys were only removed, and none was used: one of the remaining keys must be proven
            // to work.
            vault.opener_by_metadata(target, &header, accepted_places).await.map_err(|error| {
                error.with_prefix(
                    "no key is removed, because none of the remaining keys could be used",
                )
            })?;
        }

        let (generation, keys) = (header.generation(), header.keys().len());
        tracing::debug!(generation, keys, is_sidecar, "storing the new keys");
        if is_sidecar {
            let suffix = vault.sidecars().suffix_to_write();
            let key = sidecar.replace(store, target, suffix, &header).await?;
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
        let format = ObjectFormat::Sealwax(header);
        let Stored { e_tag, version_id } =
            self.replace_metadata(target, snapshot, &format, &info).await?;
        Ok(RewrapOutput { rewrapped: true, format, e_tag, version_id, sidecar: None })
    }

    /// Copies the object onto itself with the metadata of `format`.
    pub(super) async fn replace_metadata(
        &self,
        target: &ObjectRef,
        snapshot: Snapshot,
        format: &ObjectFormat,
        info: &ObjectInfo,
    ) -> Result<Stored, Error> {
        let store = &self.handle.store;
        let snapshot = snapshot.settled(store, target).await?;
        let metadata = join_metadata(format, &info.metadata);
        let expected = metadata.clone();
        // User-defined metadata does not count: the generation or the wrapped keys tell this copy
        // from others.
        let is_ours =
            move |head: &HeadObjectOutput| same_format_metadata(head.metadata(), &expected);
        store.replace_metadata(target, &snapshot, metadata, &is_ours).await
    }

    /// Reads the format of the object, and returns its properties.
    pub(crate) async fn info(
        &self,
        target: &ObjectRef,
        snapshot: &Snapshot,
    ) -> Result<ObjectInfo, Error> {
        let Handle { store, vault, .. } = &self.handle;
        let format = vault.format_of(store, target, snapshot.head.metadata()).await?;
        ObjectInfo::of_head(target, &snapshot.head, format)
    }

    /// Finds the object's keys. Refuses an object that must be copied but cannot be.
    pub(super) async fn object_keys<'a>(
        &'a self,
        target: &'a ObjectRef,
        info: ObjectInfo,
        snapshot: &Snapshot,
    ) -> Result<ObjectKeys<'a>, Error> {
        let Handle { store, vault, .. } = &self.handle;
        let is_sidecar = self.key_storage.is_sidecar(snapshot);
        if !is_sidecar {
            snapshot.check_copyable(target)?;
        }
        let places = &self.accepted_places;
        ObjectKeys::find((store, vault), target, info, target, places, is_sidecar).await
    }

    /// Returns the object's keys after all steps.
    async fn changed_keys(
        &self,
        object: &ObjectKeys<'_>,
        steps: &[Step<'_>],
    ) -> Result<Vec<EncryptedDataKey>, Error> {
        let mut keys = object.info.keys().to_vec();
        for step in steps {
            match step {
                Step::Refresh { at } => {
                    let keyring = object.vault.keyring();
                    for key in keys.iter_mut().filter(|key| keyring.accepts(key)) {
                        let refreshed = self.intermediate_keys.refresh(object, *at, key).await?;
                        if let Some(refreshed) = refreshed {
                            *key = refreshed;
                        }
                    }
                }
                Step::Remove(wrapping_key) => {
                    keys.retain(|key| key.wrapping_key() != *wrapping_key);
                }
                Step::Wrap(new) => {
                    keys.retain(|key| new.keeps(key));
                    keys.extend(new.make(object, &self.intermediate_keys).await?);
                }
            }
        }
        Ok(keys)
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
