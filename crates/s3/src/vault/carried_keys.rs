//! The same keys for a copy of an object: each from the wrapped key under that key.

use std::collections::BTreeMap;

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
    /// Wrapping keys of which a wrapped key could not be asked about.
    pub(crate) missing: Vec<MissingKey>,
}

/// Results for the wrapped keys under one wrapping key.
#[derive(Default)]
struct Carried {
    keys: Vec<EncryptedDataKey>,
    /// Failure of a wrapped key that could not be asked about. It may be the one that opens.
    unknown: Option<KeyringError>,
    /// Failure of a wrapped key that the key service rejects.
    rejected: Option<KeyringError>,
}

impl Carried {
    fn note(&mut self, result: Result<EncryptedDataKey, KeyringError>) {
        match result {
            Ok(key) => self.keys.push(key),
            Err(error) if error.kind() == KeyringErrorKind::Rejected => {
                self.rejected.get_or_insert(error);
            }
            Err(error) => {
                self.unknown.get_or_insert(error);
            }
        }
    }
}

impl CarriedKeys {
    /// Wraps the object's data key for its new place under the wrapping keys that it has already.
    ///
    /// Each new wrapped key is made from one under the same wrapping key, or under a replica of it,
    /// so a name in the metadata gains nothing. Keys that the keyring does not accept, or that are
    /// bound to a place that is not accepted, stay unchanged.
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
        let is_detached = object.info.keys().is_empty();
        if trusted.is_empty() && is_detached {
            return Err(object.vault.only_detached(target));
        }
        if trusted.is_empty() {
            let message = "the keyring has none of this object's wrapping keys";
            return Err(target.error(ErrorKind::NoMatchingKey, message));
        }
        let mut by_name: BTreeMap<(String, String), Carried> = BTreeMap::new();
        let mut note = |key: &EncryptedDataKey, result: Result<EncryptedDataKey, KeyringError>| {
            let name = (key.provider().to_owned(), key.wrapping_key().to_owned());
            by_name.entry(name).or_default().note(result);
        };
        for group in trusted.chunk_by(EncryptedDataKey::shares_group) {
            if *group[0].data_key_context() == wrap_context {
                group.iter().for_each(|key| note(key, Ok(key.clone())));
                continue;
            }
            match intermediate_keys.moved(object, group).await {
                Ok(Some(moved)) => {
                    moved.into_iter().for_each(|key| note(&key.clone(), Ok(key)));
                    continue;
                }
                // A genuine intermediate key, and a data key of another body.
                Err(error) if error.kind() == ErrorKind::Authentication => {
                    for key in group {
                        let kind = KeyringErrorKind::Rejected;
                        note(key, Err(KeyringError::new(kind, key.wrapping_key())));
                    }
                    continue;
                }
                Ok(None) => {}
                // Each key of the group is asked about alone, and counts as unknown.
                Err(error) if error.kind().is_retryable() => {}
                Err(error) => return Err(error),
            }
            for key in group {
                match object.vault.keyring().carry(key, &wrap_context).await {
                    Ok(Some(carried)) => note(key, Ok(carried)),
                    Ok(None) => {}
                    Err(error) => note(key, Err(error)),
                }
            }
        }

        let mut carried = Self::default();
        let (mut failures, mut usable) = (Vec::new(), 0);
        for ((provider, wrapping_key), Carried { keys, unknown, rejected }) in by_name {
            let is_unknown = unknown.is_some();
            if is_unknown {
                carried.missing.extend(MissingKey::new(provider, &wrapping_key).ok());
            } else if keys.is_empty() {
                carried.disproved.push(wrapping_key);
            } else {
                usable += 1;
            }
            if is_unknown || keys.is_empty() {
                failures.extend(unknown.or(rejected));
            }
            carried.keys.extend(keys);
        }
        let wrapping_keys = usable + carried.missing.len() + carried.disproved.len();
        policy.check(wrapping_keys).map_err(|error| {
            target.error(ErrorKind::InvalidInput, format!("{error} that the reader may use"))
        })?;
        if usable == 0 || policy.is_short(usable, carried.missing.len()) {
            return Err(target.keyring_error(failures));
        }
        let stored = object.info.keys();
        let stays = |key: &&EncryptedDataKey| !trusted.contains(key);
        carried.keys.extend(stored.iter().filter(stays).cloned());
        // In the object's order.
        let position =
            |key: &EncryptedDataKey| stored.iter().position(|it| it.has_same_wrapping_key(key));
        carried.keys.sort_by_key(position);
        Ok(carried)
    }
}
