//! Storage location of new keys: the object's metadata or a sidecar.

use crate::store::snapshot::{Snapshot, is_archived, is_locked};

/// Storage location of a rewrap's new keys.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KeyStorage {
    /// In the object's metadata, by a copy of the object onto itself.
    #[default]
    Metadata,
    /// In a sidecar if the object is under Object Lock or archived, and otherwise as with
    /// [`KeyStorage::Metadata`].
    ///
    /// A copy of a locked object would be one more locked version. S3 does not copy archived
    /// objects.
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
