//! Where new keys land: in the object's metadata, or in a sidecar.

use aws_sdk_s3::{
    operation::head_object::HeadObjectOutput, primitives::DateTime, types::StorageClass,
};
use sealwax_envelope::{ObjectHeader, metadata};

use super::present::Present;
use crate::ObjectInfo;

/// Where a rewrap stores the new keys.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Landing {
    /// In the object's own metadata, by a copy of the object onto itself.
    #[default]
    Copy,
    /// In a sidecar for objects under Object Lock, of which a copy would be one more locked version, and for archived ones,
    /// which S3 does not copy; else as [`Landing::Copy`].
    SidecarWhereNeeded,
    /// In a sidecar: the object stays as it is, and so do the keys in its own metadata. Only clients that look for sidecars
    /// find the new ones. ([`crate::SidecarPolicy`].)
    Sidecar,
}

impl Landing {
    /// Whether the new keys of this object land in a sidecar.
    pub(crate) fn is_sidecar(self, present: &Present) -> bool {
        match self {
            Self::Copy => false,
            Self::SidecarWhereNeeded => {
                is_archived(&present.head) || is_locked(&present.head, DateTime::from(present.now))
            }
            Self::Sidecar => true,
        }
    }
}

/// Whether S3 must restore it before it can be read or copied. (Amazon S3 User Guide, "Working with archived objects".)
pub(crate) fn is_archived(head: &HeadObjectOutput) -> bool {
    let archived =
        matches!(head.storage_class(), Some(StorageClass::Glacier | StorageClass::DeepArchive))
            || head.archive_status().is_some();
    archived && !head.restore().is_some_and(|restore| restore.contains("ongoing-request=\"false\""))
}

/// Whether Object Lock keeps this version from being deleted.
pub(crate) fn is_locked(head: &HeadObjectOutput, now: DateTime) -> bool {
    head.object_lock_legal_hold_status().is_some_and(|hold| hold.as_str() == "ON")
        || head.object_lock_retain_until_date().is_some_and(|until| *until > now)
}

/// Refuses, before KMS is asked, what the new keys' place does not hold.
pub(crate) fn check_fits(
    header: &ObjectHeader,
    info: &ObjectInfo,
    is_sidecar: bool,
) -> Result<(), sealwax_envelope::Error> {
    match is_sidecar {
        true => header.to_sidecar().map(drop),
        false => header.check_fits(metadata::pairs(&info.metadata)),
    }
}
