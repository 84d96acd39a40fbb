//! The same keys for a copy of an object: each from the wrapped key under that key.

use std::collections::{BTreeMap, btree_map::Entry};

use sealwax_envelope::{
    EncryptedDataKey, Keyring as _, KeyringError, KeyringErrorKind, MissingKey,
};

use super::{intermediate::IntermediateKeys, object_keys::ObjectKeys};
use crate::{
    error::{Error, ErrorKind},
    kms::WrapPolicy,
};

/// Keys of a copy.
#[derive(Debug, Default)]
pub(crate) struct CarriedKeys {
    pub(crate) keys: Vec<EncryptedDataKey>,
    /// Wrapping keys under which no wrapped key opens anything for this object.
    pub(crate) disproved: Vec<String>,
    /// Wrapping keys that could not be asked.
    pub(crate) missing: Vec<MissingKey>,
}

/// What became of the wrapped keys under one wrapping key.
enum Carried {
    Keys(Vec<EncryptedDataKey>),
    /// The key service rejects all of them.
    Disproved(KeyringError),
    /// At least one could not be asked about.
    Unknown(KeyringError),
}

impl Carried {
    fn of(result: Result<EncryptedDataKey, KeyringError>) -> Self {
        match result {
            Ok(key) => Self::Keys(vec![key]),
            Err(error) if error.kind() == KeyringErrorKind::Rejected => Self::Disproved(error),
            Err(error) => Self::Unknown(error),
        }
    }

    /// Combines the results for two wrapped keys under one wrapping key.
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Keys(mut keys), Self::Keys(more)) => {
                keys.extend(more);
                Self::Keys(keys)
            }
            (keys @ Self::Keys(_), _) | (_, keys @ Self::Keys(_)) => keys,
            (unknown @ Self::Unknown(_), _) | (_, unknown @ Self::Unknown(_)) => unknown,
            (disproved, _) => disproved,
        }
    }
}

impl CarriedKeys {
    /// Wraps the object's data key for its new place under the wrapping keys that it has already.
    ///
    /// Each new wrapped key is made from one under the same wrapping key, or under a replica of it,
    /// so a name in the metadata gains nothing. Keys that the keyring does not accept, or that are
    /// bound to a place that is not accepted, stay as they are.
    ///
    /// # Errors
    /// The failure of a wrapping key, if fewer than `policy` requires can be used; the failure of
    /// the first one, if none can.
    pub(crate) async fn of(
        object: &ObjectKeys<'_>,
        intermediate_keys: &IntermediateKeys,
        policy: WrapPolicy,
    ) -> Result<Self, Error> {
        let (target, wrap_context) = (object.target, object.wrap_context()?);
        let trusted = object.trusted_keys()?;
        if trusted.is_empty() {
            let message = "the keyring has none of this object's wrapping keys";
            return Err(target.error(ErrorKind::NoMatchingKey, message));
        }
        let mut by_name: BTreeMap<(String, String), Carried> = BTreeMap::new();
        let mut note = |key: &EncryptedDataKey, carried: Carried| {
            let name = (key.provider().to_owned(), key.wrapping_key().to_owned());
            match by_name.entry(name) {
                Entry::Vacant(slot) => drop(slot.insert(carried)),
                Entry::Occupied(slot) => {
                    let (name, before) = slot.remove_entry();
                    by_name.insert(name, before.and(carried));
                }
            }
        };
        for group in trusted.chunk_by(EncryptedDataKey::shares_group) {
            if *group[0].data_key_context() == wrap_context {
                group.iter().for_each(|key| note(key, Carried::Keys(vec![key.clone()])));
                continue;
            }
            match intermediate_keys.moved(object, group).await {
                Ok(Some(moved)) => {
                    moved.into_iter().for_each(|key| note(&key.clone(), Carried::Keys(vec![key])));
                    continue;
                }
                // A genuine intermediate key, and a data key of another body.
                Err(error) if error.kind() == ErrorKind::Authentication => {
                    for key in group {
                        let kind = KeyringErrorKind::Rejected;
                        note(key, Carried::Disproved(KeyringError::new(kind, key.wrapping_key())));
                    }
                    continue;
                }
                Ok(None) => {}
                Err(error) => return Err(error),
            }
            for key in group {
                match object.vault.keyring().carry(key, &wrap_context).await {
                    Ok(Some(carried)) => note(key, Carried::of(Ok(carried))),
                    Ok(None) => {}
                    Err(error) => note(key, Carried::of(Err(error))),
                }
            }
        }

        let mut carried = Self::default();
        let (mut failures, mut usable) = (Vec::new(), 0);
        for ((provider, wrapping_key), result) in by_name {
            match result {
                Carried::Keys(keys) => {
                    usable += 1;
                    carried.keys.extend(keys);
                }
                Carried::Disproved(error) => {
                    carried.disproved.push(wrapping_key);
                    failures.push(error);
                }
                Carried::Unknown(error) => {
                    let missing = MissingKey::new(provider, wrapping_key);
                    carried.missing.extend(missing.ok());
                    failures.push(error);
                }
            }
        }
        if usable == 0 || policy.is_short(usable, carried.missing.len()) {
            return Err(target.keyring_error(failures));
        }
        // In the object's order.
        let position = |key: &EncryptedDataKey| {
            trusted.iter().position(|stored| stored.has_same_wrapping_key(key))
        };
        carried.keys.sort_by_key(position);
        let stays = |key: &&EncryptedDataKey| !trusted.contains(key);
        carried.keys.extend(object.info.keys().iter().filter(stays).cloned());
        Ok(carried)
    }
}
