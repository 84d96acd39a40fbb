//! Findings of an operation about an object's keys.

/// Wrapping keys of an object after an operation that changed its keys, by what became of them.
///
/// A name in stored metadata is a claim. Only a wrapped key that was unwrapped, and met the body's
/// commitment, is proven.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyReport {
    /// Wrapping keys that were wanted and have a new wrapped key.
    pub added: Vec<String>,
    /// Wrapping keys that were wanted and whose names were present already. Nothing proves that
    /// their wrapped keys open the object.
    pub claimed: Vec<String>,
    /// Wrapping keys that were wanted and present already, and whose wrapped keys were proven.
    pub proven: Vec<String>,
    /// Wrapping keys that were dropped because none of their wrapped keys opens the object. A refresh of
    /// a key store drops none, and names them in `kept` too.
    pub disproved: Vec<String>,
    /// Wrapping keys that were to be removed, and stay: nothing proved the others. In a key store, also
    /// those that were to be refreshed and whose key objects stay as they were: nothing proved the new
    /// ciphertext.
    pub kept: Vec<String>,
    /// Wrapping keys that could not be used, and are recorded as missing.
    pub missing: Vec<String>,
    /// Evidence that the object opens by the keys that it has now.
    pub opens: Opening,
}

/// Evidence that an object opens by the keys that it has after an operation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Opening {
    /// No proof: the operation unwrapped none of them, or may not.
    #[default]
    Unproven,
    /// One of them was unwrapped in this operation, and met the body's commitment.
    Proven,
}

impl Opening {
    pub(crate) fn of(proven: bool) -> Self {
        if proven { Self::Proven } else { Self::Unproven }
    }

    /// `true` if one of the keys was shown to open the object.
    #[must_use]
    pub fn is_proven(self) -> bool {
        self == Self::Proven
    }
}

/// Adds those of `new` that `names` lacks: a report names each wrapping key once.
pub(crate) fn add_names(names: &mut Vec<String>, new: impl IntoIterator<Item = String>) {
    for name in new {
        if !names.contains(&name) {
            names.push(name);
        }
    }
}
