//! Locations of inventory manifests.

use std::{convert::Infallible, fmt, path::PathBuf, str::FromStr};

use sealwax_s3::S3Uri;

/// Location of the `manifest.json` of an S3 Inventory.
///
/// ```
/// use sealwax_jobs::listing::ManifestLocation;
///
/// let inventory = "s3://inventories/bucket/daily/2026-11-23T00-00Z/manifest.json".parse()?;
/// assert!(matches!(inventory, ManifestLocation::S3(_)));
/// # Ok::<(), std::convert::Infallible>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ManifestLocation {
    /// An object in S3.
    S3(S3Uri),
    /// A local file.
    File(PathBuf),
}

/// Parses `s3://BUCKET/KEY`; any other text is a path.
impl FromStr for ManifestLocation {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(text.parse().map_or_else(|_| Self::File(text.into()), Self::S3))
    }
}

impl fmt::Display for ManifestLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::S3(uri) => uri.fmt(f),
            Self::File(path) => path.display().fmt(f),
        }
    }
}
