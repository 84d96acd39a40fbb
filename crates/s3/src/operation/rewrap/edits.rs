//! What a rewrap is to change, and what that means for one object: decided without asking any service.

use std::sync::Arc;

use sealwax_envelope::{EncryptedDataKey, Keyring, MissingWrap};
use serde::{Deserialize, Serialize};

use super::{landing, object::Object};
use crate::{
    client::envelope_error,
    error::{Error, ErrorKind},
};

/// What a rewrap changes: edits, made in the order in which they are given.
///
/// ```
/// use sealwax_s3::{Edits, envelope::LocalKeyring};
/// # fn example(new: LocalKeyring) {
/// let edits = Edits::new().add_keys(new).remove_key("old");
/// # }
/// ```
#[derive(Debug, Clone, Default)]
pub struct Edits(Vec<Edit>);

#[derive(Debug, Clone)]
pub(super) enum Edit {
    Add(Arc<dyn Keyring>),
    Replace(Arc<dyn Keyring>),
    ReplaceS3ec(Arc<dyn crate::s3ec::Keyring>),
    Remove(String),
    Refresh,
}

/// An edit by the names of its wrapping keys: for AWS KMS their ARNs.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
#[serde(rename_all = "kebab-case")]
pub enum EditName {
    /// [`Edits::add_keys`].
    Add(Vec<String>),
    /// [`Edits::replace_keys`].
    Replace(Vec<String>),
    /// [`Edits::replace_s3ec_key`], of whose keyring no name is known.
    ReplaceS3ec,
    /// [`Edits::remove_key`].
    Remove(String),
    /// [`Edits::refresh_keys`].
    Refresh,
}

impl Edits {
    /// Changes nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Wraps the data key under the wrapping keys of `keyring` too.
    #[must_use]
    pub fn add_keys(self, keyring: impl Keyring + 'static) -> Self {
        self.and(Edit::Add(Arc::new(keyring)))
    }

    /// Wraps the data key under the wrapping keys of `keyring` alone: all others are dropped.
    #[must_use]
    pub fn replace_keys(self, keyring: impl Keyring + 'static) -> Self {
        self.and(Edit::Replace(Arc::new(keyring)))
    }

    /// As [`Edits::replace_keys`], of objects of the S3 Encryption Client: under a raw key, say.
    #[must_use]
    pub fn replace_s3ec_key(self, keyring: impl crate::s3ec::Keyring + 'static) -> Self {
        self.and(Edit::ReplaceS3ec(Arc::new(keyring)))
    }

    /// Drops all wraps under `wrapping_key`: for AWS KMS the ARN of a key. The last key is not removed; and where no key
    /// is added or replaced beside it, the client's keyring must unwrap one of those that are left.
    #[must_use]
    pub fn remove_key(self, wrapping_key: impl Into<String>) -> Self {
        self.and(Edit::Remove(wrapping_key.into()))
    }

    /// Wraps anew what is wrapped under older material of the client's own wrapping keys: after KMS has rotated them. Where
    /// KMS tells that a wrap is under the newest material, it is left as it is. (AWS KMS Developer Guide, "Rotating AWS KMS
    /// keys".)
    #[must_use]
    pub fn refresh_keys(self) -> Self {
        self.and(Edit::Refresh)
    }

    /// Whether nothing is to be changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The edits by name.
    #[must_use]
    pub fn names(&self) -> Vec<EditName> {
        let of = |keyring: &Arc<dyn Keyring>| {
            keyring.outline(None).iter().map(|key| key.wrapping_key().to_owned()).collect()
        };
        let name = |edit: &Edit| match edit {
            Edit::Add(keyring) => EditName::Add(of(keyring)),
            Edit::Replace(keyring) => EditName::Replace(of(keyring)),
            Edit::ReplaceS3ec(_) => EditName::ReplaceS3ec,
            Edit::Remove(wrapping_key) => EditName::Remove(wrapping_key.clone()),
            Edit::Refresh => EditName::Refresh,
        };
        self.0.iter().map(name).collect()
    }

    /// All of them.
    pub(super) fn all(&self) -> &[Edit] {
        &self.0
    }

    fn and(mut self, edit: Edit) -> Self {
        self.0.push(edit);
        self
    }

    /// Whether a wrap that is missing is still to be added after all edits.
    pub(super) fn leave_wanted(&self, missing: &MissingWrap) -> bool {
        self.0.iter().all(|edit| match edit {
            Edit::Add(_) | Edit::Refresh => true,
            Edit::Remove(wrapping_key) => missing.wrapping_key() != wrapping_key,
            Edit::Replace(_) | Edit::ReplaceS3ec(_) => false,
        })
    }

    /// What has to be done with the object's keys: nothing, where it has just those that it should have.
    pub(crate) fn changes<'a>(&'a self, object: &Object<'_>) -> Result<Vec<Change<'a>>, Error> {
        let Object { client, target, info, .. } = object;
        let header = info.sealed_header(target)?;
        let mut keys = info.keys().to_vec();
        let mut changes = Vec::new();
        for (at, edit) in self.0.iter().enumerate() {
            match edit {
                Edit::ReplaceS3ec(_) => {
                    let message = "it is no object of the S3 Encryption Client, whose key alone was to be replaced";
                    return Err(target.error(ErrorKind::Unsupported, message));
                }
                Edit::Refresh => {
                    if !keys.iter().any(|key| client.keyring().accepts(key)) {
                        let message = "none of its wrapping keys is the keyring's";
                        return Err(target.error(ErrorKind::NoMatchingKey, message));
                    }
                    changes.push(Change::Refresh { at });
                }
                Edit::Remove(wrapping_key) => {
                    if object.is_sidecar
                        && object.own_keys.iter().any(|key| key.wrapping_key() == wrapping_key)
                    {
                        let message = format!(
                            "a sidecar takes no key away: {wrapping_key} stays in the object's metadata"
                        );
                        return Err(target.error(ErrorKind::Unsupported, message));
                    }
                    let before = keys.len();
                    keys.retain(|key| key.wrapping_key() != wrapping_key);
                    if keys.is_empty() {
                        let message = format!(
                            "{wrapping_key} is its last wrapping key: nobody could read it any more"
                        );
                        return Err(target.error(ErrorKind::InvalidInput, message));
                    }
                    if keys.len() < before {
                        changes.push(Change::Remove(wrapping_key));
                    }
                }
                Edit::Add(keyring) | Edit::Replace(keyring) => {
                    let wrap = Wrap {
                        at,
                        keyring: keyring.as_ref(),
                        outline: keyring.outline(object.place.as_ref()),
                        drops_others: matches!(edit, Edit::Replace(_)),
                    };
                    let is_there = |new: &EncryptedDataKey| {
                        keys.iter()
                            .any(|key| same_wrapping_key(new, key) && key.place() == new.place())
                    };
                    let others = keys.iter().filter(|key| wrap.keeps(key)).count();
                    if wrap.outline.iter().all(is_there)
                        && others + wrap.outline.len() == keys.len()
                    {
                        continue;
                    }
                    keys.retain(|key| wrap.keeps(key));
                    keys.extend(wrap.outline.iter().cloned());
                    // Measured before KMS is asked for a wrap that could not be stored.
                    header
                        .rewrapped(keys.clone())
                        .and_then(|header| landing::check_fits(&header, info, object.is_sidecar))
                        .map_err(envelope_error(target))?;
                    changes.push(Change::Wrap(wrap));
                }
            }
        }
        Ok(changes)
    }
}

/// One thing to be done with an object's keys.
#[derive(Debug)]
pub(crate) enum Change<'a> {
    /// Those of the client's keyring are wrapped anew, if under older material.
    Refresh {
        /// Number of the edit.
        at: usize,
    },
    /// Those under this wrapping key are dropped.
    Remove(&'a str),
    /// New ones are made.
    Wrap(Wrap<'a>),
}

/// New wraps.
#[derive(Debug)]
pub(crate) struct Wrap<'a> {
    /// Number of the edit.
    pub(crate) at: usize,
    pub(crate) keyring: &'a dyn Keyring,
    /// What is expected of the keyring.
    pub(crate) outline: Vec<EncryptedDataKey>,
    pub(crate) drops_others: bool,
}

impl Wrap<'_> {
    /// Whether `key` stays beside the new ones.
    pub(crate) fn keeps(&self, key: &EncryptedDataKey) -> bool {
        !self.drops_others && !self.outline.iter().any(|new| same_wrapping_key(new, key))
    }
}

fn same_wrapping_key(a: &EncryptedDataKey, b: &EncryptedDataKey) -> bool {
    a.provider() == b.provider() && a.wrapping_key() == b.wrapping_key()
}
