//! Wrapping an object's data key anew. The body is not read, moved or changed.

pub(super) mod acl;
mod copy;
pub(super) mod present;
mod s3ec;

use std::{collections::HashMap, sync::Arc};

use sealwax_envelope::{
    EncryptedDataKey, Keyring, KeyringErrorKind, MissingWrap, ObjectHeader, Opener, Place, WrapContext,
};

use self::present::Present;
use super::object_setters;
use crate::{
    ObjectFormat, ObjectInfo, SealedClient,
    client::{envelope_error, wrap_error},
    error::{Error, ErrorKind, Target},
};

/// Wraps an object's data key anew: adds wrapping keys, replaces them or removes some.
///
/// The new metadata lands by a copy of the object onto itself inside S3, on the condition that the object is still as it
/// was looked at; S3 tells that by the second, so the rewrap of an object that changed just now waits up to two seconds
/// and looks again. Content headers, the user's own metadata, tags, storage class, server-side encryption, Object
/// Lock settings, website redirect and ACL are kept. In a versioned bucket the object gets a new version; older versions
/// keep their keys.
///
/// New wraps are bound to the place where the object is now.
///
/// An object of the Amazon S3 Encryption Client has one wrapping key, which can be replaced or refreshed: by such a copy, or
/// by writing its instruction file. The new wrap is bound to the encryption context as the old one, and to no place.
#[derive(Debug, Clone)]
#[must_use = "nothing happens before `send`"]
pub struct Rewrap {
    client: SealedClient,
    bucket: Option<String>,
    key: Option<String>,
    edits: Vec<Edit>,
    accepted_places: Vec<String>,
    instruction_file_suffix: Option<String>,
}

#[derive(Debug, Clone)]
enum Edit {
    Add(Arc<dyn Keyring>),
    Replace(Arc<dyn Keyring>),
    ReplaceS3ec(Arc<dyn crate::s3ec::Keyring>),
    Remove(String),
    Refresh,
}

/// Whether anything had to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RewrapOutcome {
    /// The object has other keys now.
    Rewrapped,
    /// The object had just these keys already; nothing was written.
    Unchanged,
}

/// What became of the object.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RewrapOutput {
    /// Whether anything had to be done.
    pub outcome: RewrapOutcome,
    /// The object's format and all that its metadata says in it, as it is stored now.
    pub format: ObjectFormat,
    /// The entity tag, as S3 gave it.
    pub e_tag: Option<String>,
    /// The version, in a versioned bucket.
    pub version_id: Option<String>,
}

impl RewrapOutput {
    /// Sealwax's metadata, as it is stored now; `None` for other formats.
    #[must_use]
    pub fn header(&self) -> Option<&ObjectHeader> {
        match &self.format {
            ObjectFormat::Sealwax(header) => Some(header),
            ObjectFormat::S3ec(_) | ObjectFormat::Unencrypted => None,
        }
    }
}

impl Rewrap {
    pub(crate) fn new(client: SealedClient) -> Self {
        Self {
            client,
            bucket: None,
            key: None,
            edits: Vec::new(),
            accepted_places: Vec::new(),
            instruction_file_suffix: None,
        }
    }

    object_setters!();

    /// Wraps the data key under the wrapping keys of `keyring` too.
    pub fn add_keys(mut self, keyring: impl Keyring + 'static) -> Self {
        self.edits.push(Edit::Add(Arc::new(keyring)));
        self
    }

    /// Wraps the data key under the wrapping keys of `keyring` alone: all others are dropped.
    pub fn replace_keys(mut self, keyring: impl Keyring + 'static) -> Self {
        self.edits.push(Edit::Replace(Arc::new(keyring)));
        self
    }

    /// As [`Rewrap::replace_keys`], of an object of the S3 Encryption Client: under a raw key, say.
    pub fn replace_s3ec_key(mut self, keyring: impl crate::s3ec::Keyring + 'static) -> Self {
        self.edits.push(Edit::ReplaceS3ec(Arc::new(keyring)));
        self
    }

    /// What follows the object's key in that of its instruction file, which the S3 Encryption Client may have written:
    /// `.instruction` unless set.
    pub fn instruction_file_suffix(mut self, suffix: impl Into<String>) -> Self {
        self.instruction_file_suffix = Some(suffix.into());
        self
    }

    /// Drops all wraps under `wrapping_key`: for AWS KMS the ARN of a key. The last key is not removed; and where no key
    /// is added or replaced in the same rewrap, the client's keyring must unwrap one of those that are left.
    pub fn remove_key(mut self, wrapping_key: impl Into<String>) -> Self {
        self.edits.push(Edit::Remove(wrapping_key.into()));
        self
    }

    /// Wraps anew what is wrapped under older material of the client's own wrapping keys: after KMS has rotated them. Where
    /// KMS tells that a wrap is under the newest material, it is left as it is. (AWS KMS Developer Guide, "Rotating AWS KMS
    /// keys".)
    pub fn refresh_keys(mut self) -> Self {
        self.edits.push(Edit::Refresh);
        self
    }

    /// Accepts wraps that are bound to `place` (`bucket/key`): the object was moved here on purpose. The new wraps are
    /// bound to the place where it is now.
    pub fn accept_place(mut self, place: impl Into<String>) -> Self {
        self.accepted_places.push(place.into());
        self
    }

    /// Rewraps the object: one `HeadObject`, the KMS calls, one `CopyObject`.
    ///
    /// # Errors
    /// As [`crate::Get::send`]; [`ErrorKind::InvalidInput`] where no key would be left; [`ErrorKind::Conflict`] where the
    /// object changed meanwhile; [`ErrorKind::Unsupported`] for an object above S3's 5 GiB for one copy, and for one that
    /// must be restored from an archive first. The object is unchanged then.
    #[tracing::instrument(name = "rewrap", skip_all, fields(bucket = self.bucket, key = self.key), err(level = "debug"))]
    pub async fn send(self) -> Result<RewrapOutput, Error> {
        let s3 = self.client.s3();
        let target = Target::new("rewrap", s3, self.bucket.clone(), self.key.clone())?;
        if self.edits.is_empty() {
            return Err(target.error(ErrorKind::InvalidInput, "no key to add, replace, remove or refresh was given"));
        }
        let present = Present::look(&self.client, &target).await?;
        let suffix = self.instruction_file_suffix.as_deref();
        let format = ObjectFormat::of(&self.client, &target, present.head.metadata(), suffix).await?;
        let info = ObjectInfo::of_head(&target, &present.head, format)?;
        copy::check_possible(&target, &present.head)?;
        if let Some(envelope) = info.envelope().cloned() {
            return self.s3ec(&target, present, info, &envelope).await;
        }

        let place = self.client.places().to_bind(&target)?;
        let keys = self.edited_keys(&target, &info, place.as_ref()).await?;
        if keys == info.keys() {
            return Ok(unchanged(info));
        }
        let header = info.sealed_header(&target)?.rewrapped(keys).map_err(envelope_error(&target))?;
        let wanted =
            header.missing().iter().filter(|missing| self.edits.iter().all(|edit| edit.leaves_wanted(missing)));
        let wanted = wanted.cloned().collect();
        let header = header.with_missing(wanted);
        header.check_fits(own(&info.metadata)).map_err(envelope_error(&target))?;
        if header.keys().iter().all(|key| info.keys().contains(key)) {
            // Keys were removed and no other was used: one that is left must be seen to work.
            let proof = self.client.opener(&target, &header, &self.accepted_places).await;
            proof.map_err(|error| error.meaning("nothing is removed, because none of the keys left could be used"))?;
        }

        tracing::debug!(generation = header.generation(), keys = header.keys().len(), "storing new metadata");
        let present = present.settled(&self.client, &target).await?;
        let format = ObjectFormat::Sealwax(header);
        let stored = copy::onto_itself(&self.client, &target, &present, &format, &info.metadata).await?;
        Ok(RewrapOutput {
            outcome: RewrapOutcome::Rewrapped,
            format,
            e_tag: stored.e_tag,
            version_id: stored.version_id,
        })
    }

    /// The object's keys after all edits.
    async fn edited_keys(
        &self,
        target: &Target,
        info: &ObjectInfo,
        place: Option<&Place>,
    ) -> Result<Vec<EncryptedDataKey>, Error> {
        let mut keys = info.keys().to_vec();
        for edit in &self.edits {
            match edit {
                Edit::Refresh => self.refresh(target, info, &mut keys).await?,
                Edit::Remove(wrapping_key) => {
                    keys.retain(|key| key.wrapping_key() != wrapping_key);
                    if keys.is_empty() {
                        let message = format!("{wrapping_key} is its last wrapping key: nobody could read it any more");
                        return Err(target.error(ErrorKind::InvalidInput, message));
                    }
                }
                Edit::ReplaceS3ec(_) => {
                    let message = "it is no object of the S3 Encryption Client, whose key alone was to be replaced";
                    return Err(target.error(ErrorKind::Unsupported, message));
                }
                Edit::Add(keyring) | Edit::Replace(keyring) => {
                    let outline = keyring.outline(place);
                    let kept = |key: &EncryptedDataKey| {
                        matches!(edit, Edit::Add(_)) && !outline.iter().any(|new| same_wrapping_key(new, key))
                    };
                    let is_there = |new: &EncryptedDataKey| {
                        keys.iter().any(|key| same_wrapping_key(new, key) && key.place() == new.place())
                    };
                    let others = keys.iter().filter(|key| kept(key)).count();
                    if outline.iter().all(is_there) && others + outline.len() == keys.len() {
                        continue;
                    }
                    let mut edited: Vec<_> = keys.iter().filter(|key| kept(key)).cloned().collect();
                    // Measured before KMS is asked for a wrap that could not be stored.
                    info.sealed_header(target)?
                        .rewrapped(edited.iter().cloned().chain(outline).collect())
                        .and_then(|header| header.check_fits(own(&info.metadata)))
                        .map_err(envelope_error(target))?;
                    edited.extend(self.wrap(target, info, keyring.as_ref(), place).await?);
                    keys = edited;
                }
            }
        }
        Ok(keys)
    }

    /// Wraps anew those of `keys` that are under older material of the client's wrapping keys.
    async fn refresh(&self, target: &Target, info: &ObjectInfo, keys: &mut [EncryptedDataKey]) -> Result<(), Error> {
        let keyring = self.client.keyring();
        if !keys.iter().any(|key| keyring.accepts(key)) {
            return Err(target.error(ErrorKind::NoMatchingKey, "none of its wrapping keys is the keyring's"));
        }
        for key in keys {
            if keyring.accepts(key)
                && let Some(refreshed) =
                    keyring.refresh(key, info.encryption_context()).await.map_err(wrap_error(target))?
            {
                *key = refreshed;
            }
        }
        Ok(())
    }

    /// Wraps the object's data key under the keys of `keyring`.
    async fn wrap(
        &self,
        target: &Target,
        info: &ObjectInfo,
        keyring: &dyn Keyring,
        place: Option<&Place>,
    ) -> Result<Vec<EncryptedDataKey>, Error> {
        let header = info.sealed_header(target)?;
        let keys = self.client.places().acceptable_keys(target, header, &self.accepted_places)?;

        // Only from keys that this client would read with: KMS re-encrypts for a stranger's key just as well.
        let trusted: Vec<_> = keys.iter().filter(|key| self.client.keyring().accepts(key)).cloned().collect();
        match keyring.rewrap(&trusted, header.context(), place).await {
            Ok(Some(wrapped)) => return Ok(wrapped),
            Ok(None) => {}
            Err(error) if error.kind() == KeyringErrorKind::Throttled => return Err(wrap_error(target)(error)),
            Err(error) => tracing::debug!(%error, "not re-encrypted inside the key service: unwrapping"),
        }

        let data_key = self.client.unwrap(target, header, &keys).await?;
        // A wrap of anything but the body's own key would lose the object.
        Opener::new(&data_key, &header.context().body_context(), header.body_header())
            .map_err(envelope_error(target))?;
        let binding = WrapContext::new(header.context(), place);
        let wrapped = keyring.wrap(&data_key, binding).await.map_err(wrap_error(target))?;
        if wrapped.is_empty() {
            return Err(target.error(ErrorKind::InvalidInput, "the keyring has no key to wrap under"));
        }
        Ok(wrapped)
    }
}

impl Edit {
    /// Whether a wrap that is missing is still to be added after this edit.
    fn leaves_wanted(&self, missing: &MissingWrap) -> bool {
        match self {
            Self::Add(_) | Self::Refresh => true,
            Self::Remove(wrapping_key) => missing.wrapping_key() != wrapping_key,
            Self::Replace(_) | Self::ReplaceS3ec(_) => false,
        }
    }
}

fn unchanged(info: ObjectInfo) -> RewrapOutput {
    RewrapOutput {
        outcome: RewrapOutcome::Unchanged,
        format: info.format().clone(),
        e_tag: info.e_tag,
        version_id: info.version_id,
    }
}

fn same_wrapping_key(a: &EncryptedDataKey, b: &EncryptedDataKey) -> bool {
    a.provider() == b.provider() && a.wrapping_key() == b.wrapping_key()
}

fn own(metadata: &HashMap<String, String>) -> impl Iterator<Item = (&str, &str)> {
    metadata.iter().map(|(name, value)| (name.as_str(), value.as_str()))
}
