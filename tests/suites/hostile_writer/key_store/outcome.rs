//! Outcomes of operations on a key store.

use std::collections::{BTreeMap, BTreeSet};

use sealwax_s3::ErrorKind;

use crate::{outcome::Names, scene::Name};

/// Wrapping keys of key objects; `None` for those that can't be read, which are named by their own
/// names.
pub(super) type Named = BTreeSet<Option<Name>>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The operator's own plaintext.
    Plaintext,
    /// There is no key object of the intermediate key.
    Gone,
    Keys(Report),
    Proofs(BTreeMap<Name, Proof>),
    /// Verdict of a retirement, by its name in reports, and `true` if the key is safe to delete.
    Retired(&'static str, bool),
    Copied {
        disproved: Names,
        missing: Names,
    },
    /// All key objects were deleted: so many.
    Shredded(u64),
    Failed(ErrorKind),
}

/// Fate of the key objects.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Report {
    pub(super) added: Names,
    pub(super) claimed: Names,
    pub(super) proven: Names,
    pub(super) disproved: Names,
    pub(super) kept: Named,
    pub(super) removed: Named,
    pub(super) refreshed: Names,
    pub(super) opens: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Proof {
    NotAsked,
    Proven,
    Disproved,
    Unknown(ErrorKind),
}
