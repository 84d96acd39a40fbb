//! Wrapping an object's data key anew. The body is not read, moved or changed.

pub(super) mod acl;
pub(crate) mod copy;
pub(crate) mod edits;
mod forecast;
pub(crate) mod intermediate;
pub(crate) mod landing;
pub(crate) mod object;
pub(crate) mod present;
mod rewrapper;
mod s3ec;
pub(super) mod tags;
pub(crate) mod wrapping;

use sealwax_envelope::{EncryptedDataKey, Keyring, ObjectHeader};

pub use self::{
    edits::{EditName, Edits},
    forecast::{DataKeyWay, Forecast, ForecastAction, Forecaster, MetadataWay, RewrapCost},
    landing::Landing,
    rewrapper::{ObjectState, PlannedRewrap, RewrapOutcome, Rewrapper, Skipped},
};
use self::{intermediate::IntermediateKeys, present::Present, wrapping::Wrapping};
use super::object_setters;
use crate::{
    ObjectFormat, SealedClient,
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
    edits: Edits,
    accepted_places: Vec<String>,
    landing: Landing,
    instruction_file_suffix: Option<String>,
}

/// What became of the object.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RewrapOutput {
    /// `true` if the object has new keys; `false` if it already had the wanted ones and nothing
    /// was written.
    pub rewrapped: bool,
    /// The object's format and all that its metadata says in it, as it is stored now.
    pub format: ObjectFormat,
    /// The entity tag, as S3 gave it.
    pub e_tag: Option<String>,
    /// The version, in a versioned bucket.
    pub version_id: Option<String>,
    /// The key of the sidecar that was written instead of the object's metadata. [`RewrapOutput::header`] is what it
    /// holds.
    pub sidecar: Option<String>,
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

    /// The encrypted data keys of Sealwax's own format, as they are stored now; none of others.
    #[must_use]
    pub fn keys(&self) -> &[EncryptedDataKey] {
        self.header().map(ObjectHeader::keys).unwrap_or_default()
    }

    /// The generation, as it is stored now; 0 for other formats, which do not count.
    #[must_use]
    pub fn generation(&self) -> u32 {
        self.header().map(ObjectHeader::generation).unwrap_or_default()
    }
}

impl Rewrap {
    pub(crate) fn new(client: SealedClient) -> Self {
        Self {
            client,
            bucket: None,
            key: None,
            edits: Edits::new(),
            accepted_places: Vec::new(),
            landing: Landing::Copy,
            instruction_file_suffix: None,
        }
    }

    object_setters!();

    /// Wraps the data key under the wrapping keys of `keyring` too.
    pub fn add_keys(mut self, keyring: impl Keyring + 'static) -> Self {
        self.edits = self.edits.add_keys(keyring);
        self
    }

    /// Wraps the data key under the wrapping keys of `keyring` alone: all others are dropped.
    pub fn replace_keys(mut self, keyring: impl Keyring + 'static) -> Self {
        self.edits = self.edits.replace_keys(keyring);
        self
    }

    /// As [`Rewrap::replace_keys`], of an object of the S3 Encryption Client: under a raw key, say.
    pub fn replace_s3ec_key(mut self, keyring: impl crate::s3ec::Keyring + 'static) -> Self {
        self.edits = self.edits.replace_s3ec_key(keyring);
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
        self.edits = self.edits.remove_key(wrapping_key);
        self
    }

    /// Wraps anew what is wrapped under older material of the client's own wrapping keys: after KMS has rotated them. Where
    /// KMS tells that a wrap is under the newest material, it is left as it is. (AWS KMS Developer Guide, "Rotating AWS KMS
    /// keys".)
    pub fn refresh_keys(mut self) -> Self {
        self.edits = self.edits.refresh_keys();
        self
    }

    /// Accepts wraps that are bound to `place` (`bucket/key`): the object was moved here on purpose. The new wraps are
    /// bound to the place where it is now.
    pub fn accept_place(mut self, place: impl Into<String>) -> Self {
        self.accepted_places.push(place.into());
        self
    }

    /// Where the new keys are stored: in the object's metadata unless set.
    pub fn landing(mut self, landing: Landing) -> Self {
        self.landing = landing;
        self
    }

    /// Rewraps the object: one `HeadObject`, the KMS calls, one `CopyObject`; above 5 GiB, or above
    /// [`crate::SealedClientBuilder::copy_in_parts_above`], an `UploadPartCopy` for each of the object's parts instead.
    ///
    /// # Errors
    /// As [`crate::Get::send`]; [`ErrorKind::InvalidInput`] where no key would be left; [`ErrorKind::Conflict`] where the
    /// object changed meanwhile; [`ErrorKind::Unsupported`] for one that must be restored from an archive first. The object
    /// is unchanged then.
    #[tracing::instrument(name = "rewrap", skip_all, fields(bucket = self.bucket, key = self.key), err(level = "debug"))]
    pub async fn send(self) -> Result<RewrapOutput, Error> {
        let Self { client, bucket, key, edits, accepted_places, landing, instruction_file_suffix } =
            self;
        let target = Target::new("rewrap", client.s3(), bucket, key)?;
        if edits.is_empty() {
            return Err(target.error(
                ErrorKind::InvalidInput,
                "no key to add, replace, remove or refresh was given",
            ));
        }
        let present = Present::look(&client, &target).await?;
        let intermediate_keys = IntermediateKeys::default();
        let wrapping = Wrapping {
            client,
            edits,
            accepted_places,
            intermediate_keys,
            landing,
            instruction_file_suffix,
        };
        wrapping.rewrap(&target, present).await
    }
}
