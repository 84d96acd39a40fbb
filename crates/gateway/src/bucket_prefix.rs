//! A bucket, or a prefix of the keys in it.

use std::str::FromStr;

use crate::names::is_bucket_name;

/// A bucket, or a prefix of the keys in it: `BUCKET` or `BUCKET/PREFIX/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketPrefix {
    bucket: String,
    /// Empty, or ends in `/`.
    prefix: String,
}

/// Reason that a text names no bucket or prefix.
#[derive(Debug, thiserror::Error)]
pub enum InvalidBucketPrefix {
    /// The text begins with no bucket name.
    #[error("{0:?} does not begin with a bucket name")]
    Bucket(String),
    /// The prefix does not end in a slash, so it would cover its neighbours too.
    #[error("the prefix in {0:?} must end in a slash")]
    Prefix(String),
}

impl BucketPrefix {
    /// Returns the bucket.
    #[must_use]
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// Returns `true` if all keys that begin with `key_or_prefix` are in the bucket and have the prefix,
    /// and no segment of it is `..`.
    #[must_use]
    pub fn covers(&self, bucket: &str, key_or_prefix: &str) -> bool {
        // A store on a file system might leave the prefix.
        let climbs = || key_or_prefix.split('/').any(|segment| segment == "..");
        self.bucket == bucket
            && key_or_prefix.starts_with(&self.prefix)
            && (self.prefix.is_empty() || !climbs())
    }
}

impl FromStr for BucketPrefix {
    type Err = InvalidBucketPrefix;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (bucket, prefix) = text.split_once('/').unwrap_or((text, ""));
        if !is_bucket_name(bucket) {
            return Err(InvalidBucketPrefix::Bucket(text.into()));
        }
        // Without it, `backup` would cover `backup-of-others/` too.
        if !prefix.is_empty() && !prefix.ends_with('/') {
            return Err(InvalidBucketPrefix::Prefix(text.into()));
        }
        Ok(Self { bucket: bucket.into(), prefix: prefix.into() })
    }
}
