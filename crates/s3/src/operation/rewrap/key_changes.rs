//! Key changes of a rewrap, and the steps that they take for one object.
//!
//! Everything here is decided without calling a service.

use std::sync::Arc;

use sealwax_envelope::{EncryptedDataKey, Keyring, MissingKey, WrapContext};
use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, ErrorKind},
    vault::{key_report::add_names, new_keys::NewKeys, object_keys::ObjectKeys},
};

/// Changes of an object's keys, applied in the given order.
///
/// A name in stored metadata proves nothing. So a wrapped key is removed only after one that stays,
/// or a new one, was unwrapped and met the body's commitment.
#[derive(Debug, Clone, Default)]
pub struct KeyChanges {
    changes: Vec<Change>,
    allows_unproven: bool,
    proves_present: bool,
    rebinds: bool,
}

#[derive(Debug, Clone)]
pub(crate) enum Change {
    Add(Arc<dyn Keyring>),
    Replace(Arc<dyn Keyring>),
    ReplaceS3ec(Arc<dyn crate::s3ec::Keyring>),
    Remove(String),
    Refresh,
}

/// A key change by the names of its wrapping keys. AWS KMS keys are named by their ARNs.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
#[serde(rename_all = "kebab-case")]
pub enum KeyChange {
    /// [`KeyChanges::add_keys`].
    Add(Vec<String>),
    /// [`KeyChanges::replace_keys`].
    Replace(Vec<String>),
    /// [`KeyChanges::replace_s3ec_key`]. The names of its wrapping keys are unknown.
    ReplaceS3ec,
    /// [`KeyChanges::remove_key`].
    Remove(String),
    /// [`KeyChanges::refresh_keys`].
    Refresh,
}

/// Adds the setters of key changes to a fluent builder. `$and` takes a [`Change`].
macro_rules! key_change_setters {
    ($and:ident) => {
        /// Adds wrapped keys: wraps the data key under the wrapping keys of `keyring`, too.
        pub fn add_keys(self, keyring: impl sealwax_envelope::Keyring + 'static) -> Self {
            self.$and(Change::Add(std::sync::Arc::new(keyring)))
        }

        /// Replaces all wrapped keys: wraps the data key under the wrapping keys of `keyring` only.
        pub fn replace_keys(self, keyring: impl sealwax_envelope::Keyring + 'static) -> Self {
            self.$and(Change::Replace(std::sync::Arc::new(keyring)))
        }

        /// Replaces the wrapping key of an object of the S3 Encryption Client, for example by a raw
        /// key.
        pub fn replace_s3ec_key(self, keyring: impl crate::s3ec::Keyring + 'static) -> Self {
            self.$and(Change::ReplaceS3ec(std::sync::Arc::new(keyring)))
        }

        /// Removes all wrapped keys under `wrapping_key`, for AWS KMS a key ARN.
        ///
        /// The last key is never removed. If no key is added or replaced at the same time, the
        /// client's keyring must be able to unwrap one of the remaining keys.
        pub fn remove_key(self, wrapping_key: impl Into<String>) -> Self {
            self.$and(Change::Remove(wrapping_key.into()))
        }

        /// Refreshes the wrapped keys under the client's own wrapping keys after KMS rotated them.
        ///
        /// A wrapped key under older key material is wrapped again. It stays if KMS reports that it
        /// is under the newest material. (AWS KMS Developer Guide, "Rotating AWS KMS keys".)
        pub fn refresh_keys(self) -> Self {
            self.$and(Change::Refresh)
        }
    };
}
pub(super) use key_change_setters;

impl KeyChanges {
    /// Creates an empty list of key changes.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    key_change_setters!(and);

    /// Removes keys even if no key that stays could be proven, for a role that can't decrypt.
    ///
    /// Without it, such an object keeps the old keys beside the new ones.
    ///
    /// # Danger
    /// A wrapped key that an attacker planted in the metadata can then replace those that open the
    /// object.
    #[must_use]
    pub fn dangerous_allow_unproven(mut self) -> Self {
        self.allows_unproven = true;
        self
    }

    /// Proves keys to add that are present already: unwraps them, and replaces those that do not
    /// open the object. Costs one call to the key service for each.
    #[must_use]
    pub fn prove_present(mut self) -> Self {
        self.proves_present = true;
        self
    }

    /// Binds the wanted keys of a replica to its own place, even if the object has them bound to its
    /// place in the source.
    ///
    /// Without it, such keys count as present: readers that know the source accept them
    /// ([`crate::PlacePolicy::replica_of`]).
    #[must_use]
    pub fn rebind(mut self) -> Self {
        self.rebinds = true;
        self
    }

    /// `true` if there are no key changes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    pub(crate) fn refreshes(&self) -> bool {
        self.changes.iter().any(|change| matches!(change, Change::Refresh))
    }

    pub(crate) fn allows_unproven(&self) -> bool {
        self.allows_unproven
    }

    /// Returns the key changes by name.
    #[must_use]
    pub fn names(&self) -> Vec<KeyChange> {
        let wrap_context = WrapContext::for_names();
        let of = |keyring: &Arc<dyn Keyring>| {
            let keys = keyring.expected_keys(&wrap_context);
            keys.iter().map(|key| key.wrapping_key().to_owned()).collect()
        };
        let name = |change: &Change| match change {
            Change::Add(keyring) => KeyChange::Add(of(keyring)),
            Change::Replace(keyring) => KeyChange::Replace(of(keyring)),
            Change::ReplaceS3ec(_) => KeyChange::ReplaceS3ec,
            Change::Remove(wrapping_key) => KeyChange::Remove(wrapping_key.clone()),
            Change::Refresh => KeyChange::Refresh,
        };
        self.changes.iter().map(name).collect()
    }

    /// `true` if keys to add that are present already are to be proven.
    pub(crate) fn proves_present(&self) -> bool {
        self.proves_present
    }

    pub(crate) fn all(&self) -> &[Change] {
        &self.changes
    }

    /// Returns these changes and then `others`, with the options of both.
    pub(super) fn and_all(mut self, others: Self) -> Self {
        self.changes.extend(others.changes);
        self.allows_unproven |= others.allows_unproven;
        self.proves_present |= others.proves_present;
        self.rebinds |= others.rebinds;
        self
    }

    pub(super) fn and(mut self, change: Change) -> Self {
        self.changes.push(change);
        self
    }

    /// `true` if a missing key is still wanted after all changes.
    pub(super) fn leave_wanted(&self, missing: &MissingKey) -> bool {
        self.changes.iter().all(|change| match change {
            Change::Add(_) | Change::Refresh => true,
            Change::Remove(wrapping_key) => missing.wrapping_key() != wrapping_key,
            Change::Replace(_) | Change::ReplaceS3ec(_) => false,
        })
    }

    /// Returns the keyrings of the changes that make new keys.
    pub(crate) fn keyrings(&self) -> impl Iterator<Item = &Arc<dyn Keyring>> {
        self.changes.iter().filter_map(|change| match change {
            Change::Add(keyring) | Change::Replace(keyring) => Some(keyring),
            Change::ReplaceS3ec(_) | Change::Remove(_) | Change::Refresh => None,
        })
    }

    /// Returns the steps that change the object's keys; none if it already claims exactly the
    /// wanted keys.
    pub(super) fn steps<'a>(&'a self, object: &ObjectKeys<'_>) -> Result<Steps<'a>, Error> {
        let ObjectKeys { target, info, .. } = object;
        let mut keys = info.keys().to_vec();
        let (mut steps, mut claimed) = (Vec::new(), Vec::new());
        for (at, change) in self.changes.iter().enumerate() {
            match change {
                Change::ReplaceS3ec(_) => {
                    let message = "not an S3 Encryption Client object, and this key change applies \
                                   to those only";
                    return Err(target.error(ErrorKind::Unsupported, message));
                }
                Change::Refresh => {
                    object.trusted_keys()?;
                    let usable: Vec<_> =
                        keys.iter().map(|key| object.may_use(key)).collect::<Result<_, _>>()?;
                    if !usable.contains(&true) {
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
                    let new = NewKeys::of(at, &**keyring, (replaces_all, self.rebinds), object)?;
                    let present = new.present(object, &keys)?;
                    let proves = self.proves_present && !present.is_empty();
                    if proves {
                        let wanted = present.clone();
                        let rebinds = self.rebinds;
                        steps.push(Step::Prove { keyring, at, wanted, rebinds });
                    }
                    if new.plan(object, &mut keys)? {
                        steps.push(Step::Wrap(new));
                    } else if !proves {
                        add_names(&mut claimed, present);
                    }
                }
            }
        }
        claimed.retain(|name| keys.iter().any(|key| key.wrapping_key() == name));
        Ok(Steps { steps, claimed })
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
            format!("a sidecar cannot remove {wrapping_key}, which stays in the object's metadata");
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

/// Steps that change an object's keys.
#[derive(Debug)]
pub(super) struct Steps<'a> {
    pub(super) steps: Vec<Step<'a>>,
    /// Wrapping keys that are wanted and whose names are present already.
    pub(super) claimed: Vec<String>,
}

/// One step that changes an object's keys.
#[derive(Debug)]
pub(super) enum Step<'a> {
    /// Proves the wrapped keys under these wrapping keys, and replaces those that are disproved.
    Prove {
        /// Keyring that has the wrapping keys.
        keyring: &'a Arc<dyn Keyring>,
        /// Index of the key change.
        at: usize,
        /// Names of the wrapping keys.
        wanted: Vec<String>,
        /// `true` if keys that are bound to a source's place do not count.
        rebinds: bool,
    },
    /// Refreshes the wrapped keys under older material of the client's wrapping keys.
    Refresh {
        /// Index of the key change.
        at: usize,
    },
    /// Removes the wrapped keys under this wrapping key.
    Remove(&'a str),
    /// Makes new wrapped keys.
    Wrap(NewKeys<'a>),
}
