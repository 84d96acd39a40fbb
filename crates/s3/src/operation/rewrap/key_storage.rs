//! Storage of new keys: in the object's metadata, or in a sidecar.

use crate::store::snapshot::{Snapshot, is_archived, is_locked};

/// Where a rewrap stores the new keys.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KeyStorage {
    /// In the object's metadata, by a copy of the object onto itself.
    #[default]
    Metadata,
    /// In a sidecar for objects under Object Lock, because a copy would be one more locked version,
    /// and for archived objects, which S3 does not copy. For all others as
    /// [`KeyStorage::Metadata`].
    SidecarWhereNeeded,
    /// In a sidecar. The object and the keys in its metadata stay unchanged. Only clients that look
    /// for sidecars find the new keys: [`crate::SidecarPolicy`].
    Sidecar,
}

impl KeyStorage {
    /// `true` if the new keys of this object are stored in a sidecar.
    pub(crate) fn is_sidecar(self, snapshot: &Snapshot) -> bool {
        match self {
            Self::Metadata => false,
            Self::SidecarWhereNeeded => {
                is_archived(&snapshot.head) || is_locked(&snapshot.head, snapshot.now.into())
            }
            Self::Sidecar => true,
        }
    }
}
