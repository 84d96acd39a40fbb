//! Rewraps of many objects with the same key changes.

use std::sync::Arc;

use futures_util::TryFutureExt as _;

use super::{
    KeyChanges, KeyStorage, RewrapOutput,
    wrapping::{RewrappedTo, Wrapping},
};
use crate::{
    error::{Error, ErrorKind},
    object_state::ObjectState,
    operation::{
        Handle,
        listed::{Attempt, Listed, Processed},
        skipped::Skipped,
    },
    store::list::ListedObject,
    vault::{intermediate::IntermediateKeys, proofs::Proofs},
};

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
    ) -> Option<Processed<RewrapOutcome>> {
        let listed = match Listed::new("rewrap", &self.0.handle, object) {
            Ok(listed) => listed,
            Err(error) => return Some(Processed::without_state(RewrapOutcome::Failed(error))),
        };
        let of = |RewrappedTo { output, state }| (RewrapOutcome::of(output), state);
        // Boxed, for the compiler gives up on futures that are nested too deeply.
        let work = |snapshot| Box::pin(self.0.rewrap(listed.target(), snapshot)).map_ok(of);
        let processed = listed.process(planned, is_done, work).await?.map(RewrapOutcome::from);
        Some(processed.with_state_if(RewrapOutcome::is_done))
    }
}

impl From<Attempt<Self>> for RewrapOutcome {
    fn from(attempt: Attempt<Self>) -> Self {
        match attempt {
            Attempt::Done(outcome) => outcome,
            Attempt::Skipped(why) => Self::Skipped(why),
            Attempt::Changed(error) => Self::Changed(error),
            Attempt::Failed(error) => Self::Failed(error),
        }
    }
}
