//! Rewraps of many objects with the same key changes.

use std::sync::Arc;

use aws_sdk_s3::operation::head_object::HeadObjectOutput;

use super::{
    KeyChanges, KeyStorage, RewrapOutput,
    wrapping::{RewrappedTo, Wrapping},
};
use crate::{
    error::{Error, ErrorKind, ObjectRef},
    object_state::ObjectState,
    operation::Handle,
    store::{list::ListedObject, snapshot::Snapshot},
    vault::{intermediate::IntermediateKeys, object_kind::ObjectKind, proofs::Proofs},
};

/// Maximum number of attempts for an object that other writers change meanwhile.
const MAX_CONFLICTS: usize = 4;

/// Rewraps any number of objects with the same key changes, one at a time. Cloning is cheap.
///
/// Unlike [`Rewrap`](crate::Rewrap), it skips objects that are not eligible, tries again if another
/// writer changes the object meanwhile, and calls the key service once for each intermediate key
/// that objects share. The crate `sealwax-jobs` runs it over whole listings.
///
/// ```no_run
/// # async fn example(
/// #     client: sealwax_s3::SealedClient,
/// #     west: sealwax_s3::KmsKeyring,
/// # ) -> Result<(), sealwax_s3::Error> {
/// use sealwax_s3::{KeyChanges, ListedObject, RewrapOutcome};
///
/// let rewrapper = client.rewrapper(KeyChanges::new().add_keys(west))?;
/// for key in ["2026/0001.pdf", "2026/0002.pdf"] {
///     match rewrapper.rewrap_one(&ListedObject::new("invoices", key)).await {
///         RewrapOutcome::Failed(error) => eprintln!("{error}"),
///         outcome => println!("{key}: {}", outcome.name()),
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Rewrapper(pub(super) Arc<Wrapping>);

/// Result of the rewrap of one object. Exhaustive: summaries count every outcome.
#[derive(Debug)]
pub enum RewrapOutcome {
    /// The object has new keys.
    Rewrapped {
        /// Its new generation.
        generation: u32,
        /// Its new version id, in a versioned bucket.
        version_id: Option<String>,
    },
    /// The object has new keys, and still has old ones that were to be removed: nothing proved that
    /// the others open it.
    Kept {
        /// Its new generation.
        generation: u32,
        /// Wrapping keys that stay.
        wrapping_keys: Vec<String>,
    },
    /// The object already names the wanted keys. Nothing was written, and nothing proved them.
    Claimed,
    /// The object already had the wanted keys, and they opened it. Nothing was written.
    Proven,
    /// There was nothing to remove or to refresh. Nothing was written.
    Unchanged,
    /// Skipped: not eligible for rewrap.
    Skipped(Skipped),
    /// Failed: other writers changed the object during every attempt, and their last change stands.
    Changed(Error),
    /// The rewrap failed. The object is unchanged.
    Failed(Error),
}

/// Reason why an object is not eligible for rewrap. Exhaustive: summaries count every reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Skipped {
    /// No client encrypted the object.
    NotSealed,
    /// The object was shredded.
    Shredded,
    /// The object is an empty one that represents a folder.
    FolderMarker,
    /// The object is the sidecar or the instruction file of another object, whose keys change
    /// together with that object.
    Companion,
    /// The object was deleted after it was listed.
    Gone,
}

impl Skipped {
    /// All reasons.
    pub const ALL: [Self; 5] =
        [Self::NotSealed, Self::Shredded, Self::FolderMarker, Self::Companion, Self::Gone];

    /// Returns the name in plans and reports: `not-sealed`, `shredded`, `folder-marker`,
    /// `companion` or `gone`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NotSealed => "not-sealed",
            Self::Shredded => "shredded",
            Self::FolderMarker => "folder-marker",
            Self::Companion => "companion",
            Self::Gone => "gone",
        }
    }
}

impl RewrapOutcome {
    fn of(output: RewrapOutput) -> Self {
        let generation = output.generation();
        let RewrapOutput { rewrapped, version_id, report, .. } = output;
        match rewrapped {
            true if !report.kept.is_empty() => {
                Self::Kept { generation, wrapping_keys: report.kept }
            }
            true => Self::Rewrapped { generation, version_id },
            false if !report.claimed.is_empty() => Self::Claimed,
            false if !report.proven.is_empty() => Self::Proven,
            false => Self::Unchanged,
        }
    }

    /// Returns the failure, if any.
    #[must_use]
    pub fn error(&self) -> Option<&Error> {
        match self {
            Self::Changed(error) | Self::Failed(error) => Some(error),
            Self::Rewrapped { .. }
            | Self::Kept { .. }
            | Self::Claimed
            | Self::Proven
            | Self::Unchanged
            | Self::Skipped(_) => None,
        }
    }

    /// `true` if nothing is left to do for the object.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.error().is_none() && !matches!(self, Self::Kept { .. })
    }

    /// Returns the name in reports: `rewrapped`, `kept`, `claimed`, `proven`, `unchanged`,
    /// `changed`, `failed` or a reason of [`Skipped`].
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Rewrapped { .. } => "rewrapped",
            Self::Kept { .. } => "kept",
            Self::Claimed => "claimed",
            Self::Proven => "proven",
            Self::Unchanged => "unchanged",
            Self::Skipped(why) => why.name(),
            Self::Changed(_) => "changed",
            Self::Failed(_) => "failed",
        }
    }
}

/// Result of the rewrap of a planned object.
#[derive(Debug)]
#[non_exhaustive]
pub struct PlannedRewrap {
    /// Result of the rewrap.
    pub outcome: RewrapOutcome,
    /// `true` if the object changed since planning and was re-evaluated.
    pub replanned: bool,
    /// State in which the object was left, if nothing is left to do for it as long as it stays in
    /// that state. `None` if its state does not tell that, because its keys, or proof that it has
    /// none, are in other objects.
    pub state: Option<ObjectState>,
}

impl Rewrapper {
    pub(crate) fn new(handle: Handle, changes: KeyChanges) -> Result<Self, Error> {
        if changes.is_empty() {
            let message = "no key to add, replace, remove or refresh was given";
            return Err(Error::new("rewrap", "the objects", ErrorKind::InvalidInput, message));
        }
        Ok(Self::of(handle, changes, KeyStorage::Metadata))
    }

    fn of(handle: Handle, changes: KeyChanges, key_storage: KeyStorage) -> Self {
        Self(Arc::new(Wrapping {
            handle,
            changes,
            accepted_places: Vec::new(),
            intermediate_keys: IntermediateKeys::default(),
            proofs: Proofs::default(),
            key_storage,
        }))
    }

    /// Sets where the new keys are stored: in the objects' metadata by default. Starts with an
    /// empty cache of intermediate keys.
    #[must_use]
    pub fn key_storage(self, storage: KeyStorage) -> Self {
        Self::of(self.0.handle.clone(), self.0.changes.clone(), storage)
    }

    /// Returns the SDK's client.
    #[must_use]
    pub fn s3(&self) -> &aws_sdk_s3::Client {
        self.0.handle.store.s3()
    }

    /// Returns the key changes.
    #[must_use]
    pub fn changes(&self) -> &KeyChanges {
        &self.0.changes
    }

    /// Rewraps an object unless it already has the wanted keys.
    ///
    /// It costs one `HeadObject`, the KMS calls and one copy inside S3. KMS calls for an
    /// intermediate key are made once for all objects that share it.
    ///
    /// If another writer changes the object meanwhile, it is read and evaluated again, up to three
    /// times. Only the latest version can be rewrapped, because S3 does not change the metadata of
    /// a stored version.
    pub async fn rewrap_one(&self, object: &ListedObject) -> RewrapOutcome {
        let rewrapped = self.rewrap_planned(object, None, &|_| false).await;
        rewrapped.expect("no state counts as done").outcome
    }

    /// Rewraps an object as [`Rewrapper::rewrap_one`] does, and reports whether it changed.
    ///
    /// A change is one since the state `planned`, if there is a plan, or during the rewrap. Returns
    /// `None` if the object is in a state that `is_done` accepts, after one `HeadObject`.
    pub async fn rewrap_planned(
        &self,
        object: &ListedObject,
        planned: Option<&ObjectState>,
        is_done: &(dyn Fn(&ObjectState) -> bool + Send + Sync),
    ) -> Option<PlannedRewrap> {
        let target = match self.target(object) {
            Ok(target) => target,
            Err(error) => return Some(PlannedRewrap::without_state(RewrapOutcome::Failed(error))),
        };
        self.rewrap_at(&target, object, planned, is_done).await
    }

    async fn rewrap_at(
        &self,
        target: &ObjectRef,
        object: &ListedObject,
        planned: Option<&ObjectState>,
        is_done: &(dyn Fn(&ObjectState) -> bool + Send + Sync),
    ) -> Option<PlannedRewrap> {
        let (mut conflict, mut replanned) = (None, false);
        for _ in 0..MAX_CONFLICTS {
            let snapshot = match self.snapshot(target, object).await {
                Ok(snapshot) => snapshot,
                Err(absence) => {
                    let absent = PlannedRewrap::without_state(absence.into());
                    return Some(PlannedRewrap { replanned, ..absent });
                }
            };
            let now = ObjectState::of_snapshot(&snapshot);
            if is_done(&now) {
                return None;
            }
            replanned |= planned.is_some_and(|planned| !planned.is_still(&now));
            let head = snapshot.head.clone();
            // Boxed, for the compiler gives up on futures that are nested too deeply.
            let (outcome, state) = match Box::pin(self.0.rewrap(target, snapshot)).await {
                Ok(RewrappedTo { output, state }) => (RewrapOutcome::of(output), state),
                Err(error) => match error.kind() {
                    ErrorKind::NotSealed | ErrorKind::Shredded => {
                        match Box::pin(self.skipped(target, &head, error)).await {
                            Ok(why) => (RewrapOutcome::Skipped(why), None),
                            Err(error) => (RewrapOutcome::Failed(error), None),
                        }
                    }
                    ErrorKind::Conflict => {
                        conflict = Some(error);
                        continue;
                    }
                    _ => (RewrapOutcome::Failed(error), None),
                },
            };
            let state = state.filter(|_| outcome.is_done());
            return Some(PlannedRewrap { outcome, replanned, state });
        }
        let outcome = RewrapOutcome::Changed(conflict.expect("a conflict ended the last attempt"));
        Some(PlannedRewrap { replanned: true, ..PlannedRewrap::without_state(outcome) })
    }

    /// Returns why an object without keys of its own is not eligible, or `error` if its mark is
    /// wrong.
    pub(super) async fn skipped(
        &self,
        target: &ObjectRef,
        head: &HeadObjectOutput,
        error: Error,
    ) -> Result<Skipped, Error> {
        let Handle { store, vault, .. } = &self.0.handle;
        if error.kind() == ErrorKind::Shredded {
            return vault.check_shredded(store, target).await.map(|()| Skipped::Shredded);
        }
        Ok(match vault.kind(store, target, None, head).await? {
            ObjectKind::FolderMarker => Skipped::FolderMarker,
            kind if kind.is_companion() => Skipped::Companion,
            ObjectKind::Unsealed => Skipped::NotSealed,
            // It changed meanwhile, or its metadata contradicts itself.
            _ => return Err(error),
        })
    }

    pub(super) fn target(&self, object: &ListedObject) -> Result<ObjectRef, Error> {
        let target = ObjectRef::new(
            "rewrap",
            self.0.handle.store.s3(),
            Some(object.bucket.clone()),
            Some(object.key.clone()),
        )?;
        if object.is_latest == Some(false) {
            return Err(older(&target));
        }
        Ok(target)
    }

    /// Takes a snapshot of an object, unless it is gone or not the listed version.
    pub(super) async fn snapshot(
        &self,
        target: &ObjectRef,
        object: &ListedObject,
    ) -> Result<Snapshot, Absence> {
        match Snapshot::take(&self.0.handle.store, target).await {
            Ok(snapshot) => {
                let of_version = |id: &Option<String>| {
                    id.as_deref().filter(|id| *id != "null").map(str::to_owned)
                };
                let named = of_version(&object.version_id);
                // The version that was the latest when it was listed stands for the latest one now.
                if object.version_id.is_some()
                    && object.is_latest.is_none()
                    && named != of_version(&snapshot.head.version_id)
                {
                    return Err(Absence::Failed(older(target)));
                }
                Ok(snapshot)
            }
            // An object that was named but not listed may never have existed.
            Err(error) if error.kind() == ErrorKind::NotFound && object.size.is_some() => {
                Err(Absence::Skipped(Skipped::Gone))
            }
            Err(error) => Err(Absence::Failed(error)),
        }
    }
}

/// Reason why there is no object to work on.
pub(super) enum Absence {
    Skipped(Skipped),
    Failed(Error),
}

impl From<Absence> for RewrapOutcome {
    fn from(absence: Absence) -> Self {
        match absence {
            Absence::Skipped(why) => Self::Skipped(why),
            Absence::Failed(error) => Self::Failed(error),
        }
    }
}

impl PlannedRewrap {
    fn without_state(outcome: RewrapOutcome) -> Self {
        Self { outcome, replanned: false, state: None }
    }
}

fn older(target: &ObjectRef) -> Error {
    let message = "it is not the object's newest version, and S3 does not change the metadata of \
                   an older one";
    target.error(ErrorKind::Unsupported, message)
}
