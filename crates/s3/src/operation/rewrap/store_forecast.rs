//! Forecast of the write that stores new metadata.

use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, ErrorKind, ObjectRef},
    operation::permission::Permissions,
    store::{
        Store,
        attributes::Attributes,
        snapshot::{Snapshot, is_archived, is_locked},
    },
};

/// Way of storing new metadata. Exhaustive: summaries count every way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MetadataWay {
    /// One `CopyObject` of the object onto itself.
    Copy,
    /// `UploadPartCopy` of each of its parts.
    MultipartCopy,
    /// A sidecar beside the object.
    Sidecar,
    /// The instruction file of an object of the S3 Encryption Client.
    InstructionFile,
}

/// The copy of an object onto itself, or the write of a companion beside it.
pub(super) struct StoreForecast {
    pub(super) metadata: MetadataWay,
    pub(super) is_locked: bool,
    pub(super) permissions: Permissions,
}

impl StoreForecast {
    /// Examines what a copy keeps with the same calls as the copy itself, as far as they write
    /// nothing: it fails where the copy would.
    pub(super) async fn copy(
        store: &Store,
        target: &ObjectRef,
        snapshot: &Snapshot,
    ) -> Result<Self, Error> {
        let Snapshot { head, now, .. } = snapshot;
        check_not_archived(target, head)?;
        let mut forecast = Self::of(MetadataWay::Copy, target);
        let mut needs = |actions: &[&'static str]| {
            forecast.permissions.on_objects(actions, &target.bucket);
        };
        let grants = store.grants_to_keep(target, head.version_id()).await?;
        let kept = grants.onto(Attributes::of_stored(head, (*now).into()));
        needs(&kept.permissions());
        let mut has_tags = head.tag_count().is_some_and(|count| count > 0);
        if store.copies_in_parts(head) {
            forecast.metadata = MetadataWay::MultipartCopy;
            has_tags |= store.tags_to_keep(target, head).await?.is_some();
            needs(&["s3:AbortMultipartUpload"]);
        }
        if has_tags {
            needs(&["s3:PutObjectTagging"]);
        }
        forecast.is_locked = is_locked(head, (*now).into());
        Ok(forecast)
    }

    /// Returns the forecast of a write of the object's companion.
    pub(super) fn companion(metadata: MetadataWay, target: &ObjectRef) -> Self {
        Self::of(metadata, target)
    }

    fn of(metadata: MetadataWay, target: &ObjectRef) -> Self {
        let mut permissions = Permissions::default();
        permissions.on_objects(&["s3:PutObject"], &target.bucket);
        Self { metadata, is_locked: false, permissions }
    }
}

/// Refuses an archived object: S3 copies it only after a restore. (Amazon S3 User Guide, "Restoring
/// an archived object".)
fn check_not_archived(target: &ObjectRef, head: &HeadObjectOutput) -> Result<(), Error> {
    if is_archived(head) {
        return Err(target.error(
            ErrorKind::Archived,
            "it is archived: restore it first, or store its new keys in a sidecar",
        ));
    }
    Ok(())
}
