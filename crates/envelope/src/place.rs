//! The object's place, to which its wrapped keys are bound.

use std::fmt;

use crate::Error;

/// An object's place: `bucket/key`. The bucket may be a logical name that several Regions share.
///
/// A place is a name, not an address. KMS authenticates it with each wrapped data key, so an
/// attacker who can only write to the bucket cannot swap two of its objects.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place(String);

impl Place {
    /// Maximum length in bytes: a bucket name or access point ARN, a slash, and a key of at most
    /// 1,024 bytes (S3's limit).
    pub const MAX_LEN: usize = 1280;

    /// Creates the place of the object `key` in `bucket`.
    ///
    /// # Errors
    /// [`Error::Malformed`] if either is empty or the place exceeds [`Place::MAX_LEN`] bytes.
    pub fn new(bucket: &str, key: &str) -> Result<Self, Error> {
        if bucket.is_empty() || key.is_empty() {
            return Err(Error::Malformed("a place needs a bucket and a key".into()));
        }
        Self::parse(format!("{bucket}/{key}"))
    }

    /// Parses a stored place.
    pub(crate) fn parse(text: String) -> Result<Self, Error> {
        if text.is_empty() || text.len() > Self::MAX_LEN {
            return Err(Error::Malformed("a place has an invalid length".into()));
        }
        Ok(Self(text))
    }

    /// Returns the place as text, in the form used in the KMS encryption context.
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
