//! One object of many.

use std::{collections::BTreeSet, sync::Arc};

use sealwax_envelope::{EncryptedDataKey, ObjectHeader};

use super::{Edits, PlannedObject};
use crate::{
    RewrapOutcome, SealedClient,
    error::{Error, ErrorKind, Target},
    listing::ListedObject,
    operation::rewrap::{
        Landing, intermediate::IntermediateKeys, present::Present, wrapping::Wrapping,
    },
};

/// How often an object is looked at anew that another writer changes meanwhile.
const MAX_CONFLICTS: usize = 4;

/// Rewraps many objects in the same way. Cloning is cheap.
///
/// ```no_run
/// # async fn example(
/// #     client: sealwax_s3::SealedClient,
/// #     west: sealwax_s3::KmsKeyring,
/// # ) -> Result<(), sealwax_s3::Error> {
/// use sealwax_s3::{
///     listing::Listing,
///     rewrap::{Edits, Rewrapper, Work},
/// };
///
/// let rewrapper = Rewrapper::new(client.clone(), Edits::new().add_keys(west))?;
/// let objects = Listing::objects(client.s3(), "bucket", "2026/");
/// let tally = rewrapper.apply().journal("add-west.journal").send(Work::listing(objects, "s3://bucket/2026/")).await?;
/// assert!(tally.is_complete());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Rewrapper(pub(super) Arc<Wrapping>);

/// What became of an object.
#[derive(Debug)]
#[non_exhaustive]
pub enum Outcome {
    /// It has other keys now.
    Rewrapped {
        /// Its generation now.
        generation: u32,
        /// Its version now, in a versioned bucket.
        version_id: Option<String>,
    },
    /// It had the wanted keys already. Nothing was written.
    Unchanged,
    /// It is none to be rewrapped.
    Skipped(Skipped),
    /// Others changed it, again and again, while it was worked on. It is as they left it.
    Changed(Error),
    /// It is as it was.
    Failed(Error),
}

/// Why an object is none to be rewrapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Skipped {
    /// It is sealed by no client, or it is the instruction file of an object, whose keys are changed with it.
    NotSealed,
    /// It was deleted since it was listed.
    Gone,
}

impl Skipped {
    /// Its name in plans and reports: `not-sealed` or `gone`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NotSealed => "not-sealed",
            Self::Gone => "gone",
        }
    }
}

impl Outcome {
    /// The failure, if it is one.
    #[must_use]
    pub fn error(&self) -> Option<&Error> {
        match self {
            Self::Changed(error) | Self::Failed(error) => Some(error),
            Self::Rewrapped { .. } | Self::Unchanged | Self::Skipped(_) => None,
        }
    }
}

/// An object as it was when a plan was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    e_tag: Option<String>,
    version_id: Option<String>,
    generation: Option<u32>,
}

impl Seen {
    pub(super) fn of_plan(object: &PlannedObject) -> Self {
        Self {
            e_tag: object.e_tag.clone(),
            version_id: object.version_id.clone(),
            generation: object.generation,
        }
    }

    /// Puts it into a plan.
    pub(super) fn describe(self, object: PlannedObject) -> PlannedObject {
        PlannedObject {
            e_tag: self.e_tag,
            version_id: self.version_id,
            generation: self.generation,
            ..object
        }
    }

    pub(super) fn of_present(present: &Present) -> Self {
        let metadata = present.head.metadata().into_iter().flatten();
        let header =
            ObjectHeader::parse(metadata.map(|(name, value)| (name.as_str(), value.as_str())));
        Self {
            e_tag: present.head.e_tag.as_deref().map(|e_tag| e_tag.trim_matches('"').to_owned()),
            version_id: present.head.version_id.clone(),
            generation: header.ok().map(|header| header.generation()),
        }
    }
}

impl Rewrapper {
    /// Makes `edits` to objects that `client` reads.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for no edit.
    pub fn new(client: SealedClient, edits: Edits) -> Result<Self, Error> {
        if edits.is_empty() {
            let message = "no key to add, replace, remove or refresh was given";
            return Err(Error::of("rewrap", "the objects", ErrorKind::InvalidInput, message));
        }
        let (intermediate_keys, landing) = (IntermediateKeys::default(), Landing::Copy);
        Ok(Self(Arc::new(Wrapping {
            client,
            edits,
            accepted_places: Vec::new(),
            intermediate_keys,
            landing,
            instruction_file_suffix: None,
        })))
    }

    /// Where the new keys are stored: in the objects' metadata unless set. What was planned or done before is forgotten.
    #[must_use]
    pub fn landing(self, landing: Landing) -> Self {
        self.with(|wrapping| Wrapping { landing, ..wrapping })
    }

    /// What follows an object's key in that of its instruction file, which the S3 Encryption Client may have written:
    /// `.instruction` unless set.
    #[must_use]
    pub fn instruction_file_suffix(self, suffix: impl Into<String>) -> Self {
        self.with(|wrapping| Wrapping { instruction_file_suffix: Some(suffix.into()), ..wrapping })
    }

    fn with(self, change: impl FnOnce(Wrapping) -> Wrapping) -> Self {
        let Wrapping { client, edits, accepted_places, landing, instruction_file_suffix, .. } =
            &*self.0;
        Self(Arc::new(change(Wrapping {
            client: client.clone(),
            edits: edits.clone(),
            accepted_places: accepted_places.clone(),
            intermediate_keys: IntermediateKeys::default(),
            landing: *landing,
            instruction_file_suffix: instruction_file_suffix.clone(),
        })))
    }

    /// The client.
    #[must_use]
    pub fn client(&self) -> &SealedClient {
        &self.0.client
    }

    /// Rewraps an object, if it has not the wanted keys already: one `HeadObject`, the KMS calls, one copy inside S3. Calls
    /// for intermediate keys are made once for many objects.
    ///
    /// Where another writer changes the object meanwhile, it is looked at and decided anew, a few times. A version that is
    /// not the newest cannot be rewrapped: its metadata is as it is for good.
    pub async fn rewrap_one(&self, object: &ListedObject) -> Outcome {
        self.rewrap_seen(object, None).await.0
    }

    /// As [`Rewrapper::rewrap_one`]; also whether the object was not as it was `seen`.
    pub(super) async fn rewrap_seen(
        &self,
        object: &ListedObject,
        seen: Option<&Seen>,
    ) -> (Outcome, bool) {
        let target = match self.target(object) {
            Ok(target) => target,
            Err(error) => return (Outcome::Failed(error), false),
        };
        let (mut is_other, mut conflict) = (false, None);
        for _ in 0..MAX_CONFLICTS {
            let present = match self.look(&target, object).await {
                Ok(present) => present,
                Err(Absence::Skipped(why)) => return (Outcome::Skipped(why), is_other),
                Err(Absence::Failed(error)) => return (Outcome::Failed(error), is_other),
            };
            is_other |= seen.is_some_and(|seen| *seen != Seen::of_present(&present));
            match self.0.rewrap(&target, present).await {
                Ok(output) if output.outcome == RewrapOutcome::Unchanged => {
                    return (Outcome::Unchanged, is_other);
                }
                Ok(output) => {
                    let (generation, version_id) = (output.generation(), output.version_id);
                    return (Outcome::Rewrapped { generation, version_id }, is_other);
                }
                Err(error) => match error.kind() {
                    ErrorKind::NotSealed => {
                        return (Outcome::Skipped(Skipped::NotSealed), is_other);
                    }
                    ErrorKind::Conflict => conflict = Some(error),
                    _ => return (Outcome::Failed(error), is_other),
                },
            }
        }
        (Outcome::Changed(conflict.expect("a conflict ended the last try")), true)
    }

    pub(super) fn target(&self, object: &ListedObject) -> Result<Target, Error> {
        let target = Target::new(
            "rewrap",
            self.0.client.s3(),
            Some(object.bucket.clone()),
            Some(object.key.clone()),
        )?;
        if object.is_latest == Some(false) {
            return Err(older(&target));
        }
        Ok(target)
    }

    /// Looks at an object.
    pub(super) async fn look(
        &self,
        target: &Target,
        object: &ListedObject,
    ) -> Result<Present, Absence> {
        match Present::look(&self.0.client, target).await {
            Ok(present) => {
                let of_version = |id: &Option<String>| {
                    id.as_deref().filter(|id| *id != "null").map(str::to_owned)
                };
                let named = of_version(&object.version_id);
                // One that was the newest when it was listed is replaced by the newest of now.
                if object.version_id.is_some()
                    && object.is_latest.is_none()
                    && named != of_version(&present.head.version_id)
                {
                    return Err(Absence::Failed(older(target)));
                }
                Ok(present)
            }
            // Of one that was merely named, nobody knows that it ever was there.
            Err(error) if error.kind() == ErrorKind::NotFound && object.size.is_some() => {
                Err(Absence::Skipped(Skipped::Gone))
            }
            Err(error) => Err(Absence::Failed(error)),
        }
    }
}

/// Why there is no object to work on.
pub(super) enum Absence {
    Skipped(Skipped),
    Failed(Error),
}

fn older(target: &Target) -> Error {
    let message = "it is not the object's newest version, and S3 does not change the metadata of an older one";
    target.error(ErrorKind::Unsupported, message)
}

/// The names of wrapping keys, each once.
pub(super) fn names<'a>(keys: impl IntoIterator<Item = &'a EncryptedDataKey>) -> BTreeSet<String> {
    keys.into_iter().map(|key| key.wrapping_key().to_owned()).collect()
}
