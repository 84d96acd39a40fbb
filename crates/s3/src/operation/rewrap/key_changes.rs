//! Changes of an object's keys: what a rewrap changes, and what that means for one object.
//!
//! Everything in here is decided without calling any service.

use std::sync::Arc;

use sealwax_envelope::{EncryptedDataKey, EncryptionContext, Keyring, MissingKey, WrapContext};
use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, ErrorKind},
    vault::{new_keys::NewKeys, object_keys::ObjectKeys},
};

/// Changes of an object's keys, made in the order in which they are given.
///
/// ```
/// use sealwax_s3::{KeyChanges, envelope::LocalKeyring};
/// # fn example(new: LocalKeyring) {
/// let changes = KeyChanges::new().add_keys(new).remove_key("old");
/// # }
/// ```
#[derive(Debug, Clone, Default)]
pub struct KeyChanges(Vec<Change>);

#[derive(Debug, Clone)]
pub(crate) enum Change {
    Add(Arc<dyn Keyring>),
    Replace(Arc<dyn Keyring>),
    ReplaceS3ec(Arc<dyn crate::s3ec::Keyring>),
    Remove(String),
    Refresh,
}

/// A key change by the names of its wrapping keys: for AWS KMS their ARNs.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
#[serde(rename_all = "kebab-case")]
pub enum KeyChange {
    /// [`KeyChanges::add_keys`].
    Add(Vec<String>),
    /// [`KeyChanges::replace_keys`].
    Replace(Vec<String>),
    /// [`KeyChanges::replace_s3ec_key`]. The names of its keyring's keys are unknown.
    ReplaceS3ec,
    /// [`KeyChanges::remove_key`].
    Remove(String),
    /// [`KeyChanges::refresh_keys`].
    Refresh,
}

/// Adds the methods that change keys. `$and` takes a [`Change`].
macro_rules! key_change_setters {
    ($and:ident) => {
        /// Wraps the data key under the wrapping keys of `keyring` too.
        #[must_use]
        pub fn add_keys(self, keyring: impl sealwax_envelope::Keyring + 'static) -> Self {
            self.$and(Change::Add(std::sync::Arc::new(keyring)))
        }

        /// Wraps the data key under the wrapping keys of `keyring` alone, and drops all others.
        #[must_use]
        pub fn replace_keys(self, keyring: impl sealwax_envelope::Keyring + 'static) -> Self {
            self.$and(Change::Replace(std::sync::Arc::new(keyring)))
        }

        /// Replaces the key of an object of the S3 Encryption Client, for example by a raw key.
        #[must_use]
        pub fn replace_s3ec_key(self, keyring: impl crate::s3ec::Keyring + 'static) -> Self {
            self.$and(Change::ReplaceS3ec(std::sync::Arc::new(keyring)))
        }

        /// Drops all wrapped keys under `wrapping_key`: for AWS KMS the ARN of a key.
        ///
        /// The last key is never removed. If no key is added or replaced beside it, the client's
        /// keyring must unwrap one of those that are left.
        #[must_use]
        pub fn remove_key(self, wrapping_key: impl Into<String>) -> Self {
            self.$and(Change::Remove(wrapping_key.into()))
        }

        /// Wraps the data key again under the client's own wrapping keys, if it is under older key
        /// material: after KMS has rotated them. If KMS reports the newest material, the wrapped
        /// key stays. (AWS KMS Developer Guide, "Rotating AWS KMS keys".)
        #[must_use]
        pub fn refresh_keys(self) -> Self {
            self.$and(Change::Refresh)
        }
    };
}
pub(super) use key_change_setters;

impl KeyChanges {
    /// Changes nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    key_change_setters!(and);

    /// `true` if nothing is to be changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the changes by name.
    #[must_use]
    pub fn names(&self) -> Vec<KeyChange> {
        let no_context = EncryptionContext::new();
        let binding = WrapContext::new(&no_context, None);
        let of = |keyring: &Arc<dyn Keyring>| {
            let keys = keyring.expected_keys(binding);
            keys.iter().map(|key| key.wrapping_key().to_owned()).collect()
        };
        let name = |change: &Change| match change {
            Change::Add(keyring) => KeyChange::Add(of(keyring)),
            Change::Replace(keyring) => KeyChange::Replace(of(keyring)),
            Change::ReplaceS3ec(_) => KeyChange::ReplaceS3ec,
            Change::Remove(wrapping_key) => KeyChange::Remove(wrapping_key.clone()),
            Change::Refresh => KeyChange::Refresh,
        };
        self.0.iter().map(name).collect()
    }

    pub(super) fn all(&self) -> &[Change] {
        &self.0
    }

    pub(super) fn and(mut self, change: Change) -> Self {
        self.0.push(change);
        self
    }

    /// `true` if a missing key is still to be added after all changes.
    pub(super) fn leave_wanted(&self, missing: &MissingKey) -> bool {
        self.0.iter().all(|change| match change {
            Change::Add(_) | Change::Refresh => true,
            Change::Remove(wrapping_key) => missing.wrapping_key() != wrapping_key,
            Change::Replace(_) | Change::ReplaceS3ec(_) => false,
        })
    }

    /// Returns the steps that change the object's keys; none if it has just the wanted ones.
    pub(super) fn steps<'a>(&'a self, object: &ObjectKeys<'_>) -> Result<Vec<Step<'a>>, Error> {
        let ObjectKeys { vault, target, info, .. } = object;
        let mut keys = info.keys().to_vec();
        let mut steps = Vec::new();
        for (at, change) in self.0.iter().enumerate() {
            match change {
                Change::ReplaceS3ec(_) => {
                    let message = "not an S3 Encryption Client object, and this key change applies \
                                   to those only";
                    return Err(target.error(ErrorKind::Unsupported, message));
                }
                Change::Refresh => {
                    if !keys.iter().any(|key| vault.keyring().accepts(key)) {
                        let message = "the keyring has none of this object's wrapping keys";
                        return Err(target.error(ErrorKind::NoMatchingKey, message));
                    }
                    steps.push(Step::Refresh { at });
                }
                Change::Remove(wrapping_key) => {
                    if remove(object, &mut keys, wrapping_key)? {
                        steps.push(Step::Remove(wrapping_key));
                    }
                }
                Change::Add(keyring) | Change::Replace(keyring) => {
                    let replaces_all = matches!(change, Change::Replace(_));
                    let new = NewKeys::plan(at, &**keyring, replaces_all, object, &mut keys)?;
                    steps.extend(new.map(Step::Wrap));
                }
            }
        }
        Ok(steps)
    }
}

/// Removes the keys under `wrapping_key` from `keys`. Returns `true` if there were any.
fn remove(
    object: &ObjectKeys<'_>,
    keys: &mut Vec<EncryptedDataKey>,
    wrapping_key: &str,
) -> Result<bool, Error> {
    let is_own = object.own_keys.iter().any(|key| key.wrapping_key() == wrapping_key);
    if object.is_sidecar && is_own {
        let message =
            format!("a sidecar can't remove keys: {wrapping_key} stays in the object's metadata");
        return Err(object.target.error(ErrorKind::Unsupported, message));
    }
    let before = keys.len();
    keys.retain(|key| key.wrapping_key() != wrapping_key);
    if keys.is_empty() {
        let message =
            format!("{wrapping_key} is its last wrapping key: without it, the object is lost");
        return Err(object.target.error(ErrorKind::InvalidInput, message));
    }
    Ok(keys.len() < before)
}

/// One step that changes an object's keys.
#[derive(Debug)]
pub(super) enum Step<'a> {
    /// Refreshes the keys of the client's keyring that are under older material.
    Refresh {
        /// Number of the key change.
        at: usize,
    },
    /// Drops the keys under this wrapping key.
    Remove(&'a str),
    /// Makes new ones.
    Wrap(NewKeys<'a>),
}
