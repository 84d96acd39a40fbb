//! Rewrap of one object: carries out its steps and stores the new keys.

use std::sync::Arc;

use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use sealwax_envelope::{EncryptedDataKey, Keyring};

use super::{
    RewrapOutput,
    key_changes::{KeyChanges, Step, Steps},
    key_storage::KeyStorage,
};
use crate::{
    error::{Error, ErrorKind, ObjectRef},
    format::{ObjectFormat, same_format_metadata},
    object::{ObjectInfo, join_metadata},
    object_state::ObjectState,
    operation::Handle,
    store::{lost_answer::Stored, snapshot::Snapshot},
    vault::{
        intermediate::{IntermediateKeys, MadeKeys},
        key_report::{KeyReport, Opening, add_names},
        new_keys::NewKeys,
        object_keys::ObjectKeys,
        proofs::{KeyProof, Proofs, no_matching_key},
    },
};

/// Settings and shared state of the rewrap of any number of objects.
#[derive(Debug)]
pub(crate) struct Wrapping {
    pub(crate) handle: Handle,
    pub(crate) changes: KeyChanges,
    pub(crate) accepted_places: Vec<String>,
    pub(crate) intermediate_keys: IntermediateKeys,
    pub(crate) proofs: Proofs,
    pub(crate) key_storage: KeyStorage,
}

impl Wrapping {
    /// Rewraps the object if it is unchanged since `snapshot`.
    pub(crate) async fn rewrap(
        &self,
        target: &ObjectRef,
        snapshot: Snapshot,
    ) -> Result<RewrappedTo, Error> {
        let Handle { store, vault, .. } = &self.handle;
        let info = self.info(target, &snapshot).await?;
        if let Some(envelope) = info.envelope().cloned() {
            return self.rewrap_s3ec(target, snapshot, info, &envelope).await;
        }
        if !info.sealed_header(target)?.detached().is_empty() {
            let message = "its wrapped keys are in a key store alone: rewrap the keys there";
            return Err(target.error(ErrorKind::Unsupported, message));
        }
        let object = self.object_keys(target, info, &snapshot).await?;
        // A sidecar can change while the object stays as it is.
        let alone = vault.sidecars().suffix().is_none() && !object.is_sidecar;
        let seen = alone.then(|| ObjectState::of_snapshot(&snapshot));
        let Steps { steps, claimed } = self.changes.steps(&object)?;
        let report = KeyReport { claimed, ..KeyReport::default() };
        if steps.is_empty() {
            return Ok(unchanged(object.info, report, seen));
        }
        let ChangedKeys { keys, mut report } = self.changed_keys(&object, &steps, report).await?;
        if keys == object.info.keys() {
            return Ok(unchanged(object.info, report, seen));
        }
        let header = object
            .info
            .sealed_header(target)?
            .rewrapped(keys)
            .map_err(|error| target.envelope_error(error))?;
        let missing: Vec<_> =
            header.missing().iter().filter(|key| self.changes.leave_wanted(key)).cloned().collect();
        report.missing = missing.iter().map(|key| key.wrapping_key().to_owned()).collect();
        let header = header.with_missing(missing);
        object.check_fits(&header)?;
        let ObjectKeys { info, sidecar, is_sidecar, .. } = object;

        let (generation, keys) = (header.generation(), header.keys().len());
        tracing::debug!(generation, keys, is_sidecar, "storing the new keys");
        if is_sidecar {
            let suffix = vault.sidecars().suffix_to_write();
            let written = sidecar.replace(store, target, suffix, &header).await?;
            let key = written.key().to_owned();
            if let Err(error) = self.check_still(target, &snapshot).await {
                written.take_back(store).await;
                return Err(error);
            }
            let ObjectInfo { e_tag, version_id, .. } = info;
            let format = ObjectFormat::Sealwax(header);
            let output = RewrapOutput {
                rewrapped: true,
                format,
                e_tag,
                version_id,
                sidecar: Some(key),
                report,
            };
            return Ok(RewrappedTo { output, state: None });
        }
        let format = ObjectFormat::Sealwax(header);
        let (stored, state) = self.replace_metadata(target, snapshot, &format, &info).await?;
        let Stored { e_tag, version_id, .. } = stored;
        let output =
            RewrapOutput { rewrapped: true, format, e_tag, version_id, sidecar: None, report };
        Ok(RewrappedTo { output, state: alone.then_some(state) })
    }

    /// Fails if the object changed since `snapshot`. S3 writes a companion whatever became of its
    /// object.
    pub(super) async fn check_still(
        &self,
        target: &ObjectRef,
        snapshot: &Snapshot,
    ) -> Result<(), Error> {
        match Snapshot::take(&self.handle.store, target).await {
            Ok(again) => snapshot.check_same(&again, target),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Err(target.error(ErrorKind::Conflict, "it was deleted meanwhile"))
            }
            Err(error) => Err(error),
        }
    }

    /// Copies the object onto itself with the metadata of `format`. Also returns its new state.
    pub(super) async fn replace_metadata(
        &self,
        target: &ObjectRef,
        snapshot: Snapshot,
        format: &ObjectFormat,
        info: &ObjectInfo,
    ) -> Result<(Stored, ObjectState), Error> {
        let store = &self.handle.store;
        let snapshot = snapshot.settled(store, target).await?;
        let metadata = join_metadata(format, &info.metadata);
        let expected = metadata.clone();
        // User-defined metadata does not count: the generation or the wrapped keys tell this copy
        // from others.
        let is_ours =
            move |head: &HeadObjectOutput| same_format_metadata(head.metadata(), &expected);
        let stored = store.replace_metadata(target, &snapshot, metadata.clone(), &is_ours).await?;
        let state = ObjectState::of_stored(&stored, &metadata);
        Ok((stored, state))
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

    /// Returns the object's keys after all steps, and what became of each.
    async fn changed_keys(
        &self,
        object: &ObjectKeys<'_>,
        steps: &[Step<'_>],
        report: KeyReport,
    ) -> Result<ChangedKeys, Error> {
        let mut changed = ChangedKeys { keys: object.info.keys().to_vec(), report };
        // Keys that leave the object once another one is proven.
        let mut doomed = Vec::new();
        for step in steps {
            let ChangedKeys { keys, report } = &mut changed;
            match step {
                Step::Prove { keyring, at, wanted, rebinds } => {
                    let (proofs, rebinds) = (&self.proofs, *rebinds);
                    let presence = Presence { proofs, keyring, at: *at, wanted, rebinds };
                    presence.prove(object, keys, report).await?;
                }
                Step::Refresh { at } => {
                    for key in keys.iter_mut() {
                        if !object.may_use(key)? {
                            continue;
                        }
                        let refreshed = self.intermediate_keys.refresh(object, *at, key).await?;
                        if let Some(refreshed) = refreshed {
                            *key = refreshed;
                        }
                    }
                }
                Step::Remove(wrapping_key) => {
                    // A key that goes is no proof for those that stay.
                    let is_it = |name: &String| name == wrapping_key;
                    if report.added.iter().chain(&report.proven).any(is_it) {
                        report.opens = Opening::Unproven;
                    }
                    doomed.extend(keys.extract_if(.., |key| key.wrapping_key() == *wrapping_key));
                }
                Step::Wrap(new) => {
                    let MadeKeys { keys: made, proven } =
                        new.make(object, &self.intermediate_keys, new.replaces_all).await?;
                    let Handle { store, vault, .. } = &self.handle;
                    let own = object.under_new_intermediate_keys(&made)?;
                    if own.iter().any(|key| key.wrap_context().is_detached()) {
                        let message = "a rewrap keeps an object's wrapped keys in the object, and the \
                                       keyring makes detached ones";
                        return Err(object.target.error(ErrorKind::InvalidInput, message));
                    }
                    vault.publish(store, object.target, &own).await?;
                    if proven || new.replaces_all {
                        report.opens = Opening::of(proven);
                    }
                    add_names(&mut report.added, names(&new.expected));
                    let mut others: Vec<_> = keys.extract_if(.., |key| !new.keeps(key)).collect();
                    if !new.replaces_all && !proven {
                        // The new keys were made from these, or these were rejected.
                        others.retain(|key| !is_single(object, key));
                        keys.append(&mut others);
                    }
                    doomed.append(&mut others);
                    keys.extend(made);
                }
            }
        }
        self.drop_doomed(object, changed, doomed, steps).await
    }

    /// Drops the `doomed` keys if a key that stays is proven; otherwise keeps them, or fails.
    async fn drop_doomed(
        &self,
        object: &ObjectKeys<'_>,
        mut changed: ChangedKeys,
        doomed: Vec<EncryptedDataKey>,
        steps: &[Step<'_>],
    ) -> Result<ChangedKeys, Error> {
        if doomed.is_empty() || changed.report.opens.is_proven() || self.changes.allows_unproven() {
            return Ok(changed);
        }
        let error = match self.prove_any(object, &changed.keys).await {
            Ok(()) => {
                changed.report.opens = Opening::Proven;
                return Ok(changed);
            }
            Err(error) => error,
        };
        let is_new = !changed.report.added.is_empty();
        let unable = matches!(error.kind(), ErrorKind::NoMatchingKey | ErrorKind::AccessDenied);
        if is_new && unable {
            // A role that can't decrypt: ReEncrypt proves enough to add, not to remove.
            let added = &changed.report.added;
            let old = names(&doomed).filter(|name| !added.contains(name));
            add_names(&mut changed.report.kept, old);
            changed.keys.splice(0..0, doomed);
            return Ok(changed);
        }
        if is_new && error.kind() == ErrorKind::Authentication {
            // The new keys were made from planted ones. Others may hold the body's own key.
            let mut keys = changed.keys;
            for step in steps {
                if let Step::Wrap(new) = step {
                    keys.retain(|key| new.keeps(key));
                    keys.extend(new.wrapped_again(object).await?.keys);
                }
            }
            changed.report.opens = Opening::Proven;
            return Ok(ChangedKeys { keys, ..changed });
        }
        Err(error
            .with_prefix("no key is removed, because none of the remaining keys could be used"))
    }

    /// Proves one of `keys` with the client's keyring, or else with those of the key changes.
    async fn prove_any(
        &self,
        object: &ObjectKeys<'_>,
        keys: &[EncryptedDataKey],
    ) -> Result<(), Error> {
        let ObjectKeys { vault, target, info, accepted_places, .. } = object;
        let header = info.sealed_header(target)?;
        let stored = vault.places().acceptable_keys(target, header, accepted_places)?;
        let is_here =
            |key: &&EncryptedDataKey| stored.contains(key) || key.place() == object.place.as_ref();
        let keys: Vec<_> = keys.iter().filter(is_here).cloned().collect();
        let mut failure: Option<Error> = None;
        let keyrings = std::iter::once(vault.keyring()).chain(self.changes.keyrings());
        for keyring in keyrings {
            let vault = vault.with_keyring(Arc::clone(keyring));
            match self.proofs.prove_any(&vault, target, header, &keys).await {
                Ok(()) => return Ok(()),
                // What KMS found out outweighs that somebody may not ask it.
                Err(error) => {
                    failure = match failure {
                        Some(known) if known.kind() != ErrorKind::NoMatchingKey => Some(known),
                        _ => Some(error),
                    };
                }
            }
        }
        Err(failure.expect("the client has a keyring"))
    }
}

/// Result of the rewrap of one object.
pub(crate) struct RewrappedTo {
    pub(crate) output: RewrapOutput,
    /// State of the object, if it alone decides what a rewrap does.
    pub(crate) state: Option<ObjectState>,
}

/// An object's keys after a rewrap.
struct ChangedKeys {
    keys: Vec<EncryptedDataKey>,
    report: KeyReport,
}

/// Wrapping keys that are to be proven, because their names are present already.
struct Presence<'a> {
    proofs: &'a Proofs,
    keyring: &'a Arc<dyn Keyring>,
    at: usize,
    wanted: &'a [String],
    rebinds: bool,
}

impl Presence<'_> {
    /// Unwraps each wrapped key under the wanted names, and drops those that are disproved. Makes
    /// new ones for a name of which none is left.
    async fn prove(
        &self,
        object: &ObjectKeys<'_>,
        keys: &mut Vec<EncryptedDataKey>,
        report: &mut KeyReport,
    ) -> Result<(), Error> {
        let ObjectKeys { vault, target, info, .. } = object;
        let header = info.sealed_header(target)?;
        let vault = vault.with_keyring(Arc::clone(self.keyring));
        let mut lost = false;
        for name in self.wanted {
            let mut proven = false;
            for at in (0..keys.len()).rev() {
                let key = &keys[at];
                if key.wrapping_key() != name || !object.opens_here(key, self.rebinds)? {
                    continue;
                }
                match self.proofs.prove(&vault, target, header, key).await {
                    KeyProof::Proven { .. } => proven = true,
                    KeyProof::Disproved(_) => {
                        keys.remove(at);
                        add_names(&mut report.disproved, [name.clone()]);
                    }
                    KeyProof::Unknown(error) => return Err(error),
                    // Sealwax's own format commits, so a proof says more than "unwrapped".
                    KeyProof::NotAsked | KeyProof::Unwrapped { .. } => {
                        return Err(no_matching_key(target, std::slice::from_ref(key)));
                    }
                }
            }
            if proven {
                report.opens = Opening::Proven;
                add_names(&mut report.proven, [name.clone()]);
            }
            lost |= !proven;
        }
        if lost {
            let new = NewKeys::of(self.at, &**self.keyring, (false, self.rebinds), object)?;
            let made = new.wrapped_again(object).await?;
            report.opens = Opening::Proven;
            let is_lost = |key: &EncryptedDataKey| {
                self.wanted.iter().any(|name| key.wrapping_key() == name)
                    && !report.proven.iter().any(|name| key.wrapping_key() == name)
            };
            let made: Vec<_> = made.keys.into_iter().filter(is_lost).collect();
            add_names(&mut report.added, names(&made));
            keys.extend(made);
        }
        Ok(())
    }
}

/// `true` if the object has one key under the wrapping key of `key`, at an accepted place.
fn is_single(object: &ObjectKeys<'_>, key: &EncryptedDataKey) -> bool {
    let same = object.info.keys().iter().filter(|other| other.has_same_wrapping_key(key)).count();
    same == 1 && object.trusted_keys().is_ok_and(|trusted| trusted.contains(key))
}

fn names(keys: &[EncryptedDataKey]) -> impl Iterator<Item = String> {
    keys.iter().map(|key| key.wrapping_key().to_owned())
}

pub(super) fn unchanged(
    info: ObjectInfo,
    report: KeyReport,
    state: Option<ObjectState>,
) -> RewrappedTo {
    let output = RewrapOutput {
        rewrapped: false,
        format: info.format().clone(),
        e_tag: info.e_tag,
        version_id: info.version_id,
        sidecar: None,
        report,
    };
    RewrappedTo { output, state }
}

#[cfg(test)]
mod wrapping_tests;
