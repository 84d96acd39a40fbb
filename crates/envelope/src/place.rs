//! Where an object lives, as far as its wrapped keys are bound to it.

use std::fmt;

use crate::Error;

/// The place of an object: `bucket/key`, where the bucket may be a logical name that several Regions share.
///
/// A place is a name, not an address. KMS authenticates it with each wrapped data key, so that two objects of a bucket
/// cannot be exchanged by somebody who can only write to the bucket.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place(String);

impl Place {
    /// Longest place in bytes: a bucket name or access point ARN, a slash, and a key of S3's 1,024 bytes.
    pub const MAX_LEN: usize = 1280;

    /// The place of `key` in `bucket`.
    ///
    /// # Errors
    /// [`Error::Malformed`] where either is empty or both together exceed [`Place::MAX_LEN`] bytes.
    pub fn new(bucket: &str, key: &str) -> Result<Self, Error> {
        if bucket.is_empty() || key.is_empty() {
            return Err(Error::Malformed("a place needs a bucket and a key".into()));
        }
        Self::parse(format!("{bucket}/{key}"))
    }

    /// Reads a place as it is stored.
    pub(crate) fn parse(text: String) -> Result<Self, Error> {
        if text.is_empty() || text.len() > Self::MAX_LEN {
            return Err(Error::Malformed("bad length of a place".into()));
        }
        Ok(Self(text))
    }

    /// The place as text, as it appears in the KMS encryption context.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
