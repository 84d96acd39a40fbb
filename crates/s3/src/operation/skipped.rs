//! Reasons why jobs skip objects.

/// Reason why a job skips an object. Exhaustive: summaries count every reason.
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

    /// Returns the reason of this name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|why| why.name() == name)
    }
}
