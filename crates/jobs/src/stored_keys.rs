//! Rewraps and verifies the keys of a key store: for all objects that share them, without touching
//! one.
//!
//! An intermediate key takes one or two `GetObject` calls, one call to the key service and, if a
//! wrapping key is added, one `PutObject`, beside its share of the listing.
//!
//! ```no_run
//! # async fn example(
//! #     client: sealwax_s3::SealedClient,
//! #     west: sealwax_s3::KmsKeyring,
//! # ) -> Result<(), sealwax_s3::Error> {
//! use sealwax_jobs::{Summary as _, stored_keys::{RewrapKeys, VerifyKeys}};
//! use sealwax_s3::KeyChanges;
//!
//! let store = client.stored_keys("invoices")?;
//! let job = RewrapKeys::new(store.clone(), KeyChanges::new().add_keys(west));
//! let summary = job.run(store.list().into_stream()).finish().await?;
//! println!("{} rewrapped, {} failed", summary.rewrapped, summary.failed());
//!
//! let summary = VerifyKeys::new(store.clone()).run(store.list().into_stream()).finish().await?;
//! assert_eq!(summary.failed(), 0);
//! # Ok(())
//! # }
//! ```

mod rewrap_keys;
mod verify_keys;

use std::collections::BTreeMap;

use sealwax_s3::{Error, ListStoredKeys};
use serde::Serialize;

pub use self::{
    rewrap_keys::{RewrapKeys, RewrapKeysSummary, RewrappedKey, RewrappedKeyOutcome},
    verify_keys::{VerifiedKey, VerifiedKeyOutcome, VerifyKeys, VerifyKeysSummary},
};
use crate::bounded::bounded;

/// Number of names that are counted separately. Names are claims, and can be any number.
const MAX_NAMES: usize = 1_000;

/// Counts of a key store, by its listing alone: the names there are claims.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct StoredKeyCounts {
    /// Intermediate keys.
    pub intermediate_keys: u64,
    /// Key objects of these.
    pub key_objects: u64,
    /// Objects below the prefix that have no name of a key object.
    pub others: u64,
}

impl StoredKeyCounts {
    /// Counts what `listing` has left. It costs one `ListObjectsV2` for 1,000 objects, and takes constant
    /// memory.
    ///
    /// # Errors
    /// As [`ListStoredKeys::next_key`].
    pub async fn of(mut listing: ListStoredKeys) -> Result<Self, Error> {
        let mut counts = Self::default();
        while let Some(key) = listing.next_key().await? {
            counts.intermediate_keys += 1;
            counts.key_objects += key.key_objects();
        }
        counts.others = listing.strays();
        Ok(counts)
    }
}

/// Counts by the name of a wrapping key, of at most 1,000 names. Serialized as a map.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct CountsByKey {
    counts: BTreeMap<String, u64>,
    #[serde(skip)]
    others: u64,
}

impl CountsByKey {
    fn add<'a>(&mut self, names: impl IntoIterator<Item = &'a String>) {
        for name in names {
            let counts = (&mut self.counts, MAX_NAMES);
            if let Some(count) = bounded(counts, name.clone(), &mut self.others) {
                *count += 1;
            }
        }
    }

    /// Returns the name and the count of each wrapping key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.counts.iter().map(|(name, count)| (name.as_str(), *count))
    }

    /// Returns the count of one wrapping key.
    #[must_use]
    pub fn of(&self, wrapping_key: &str) -> u64 {
        self.counts.get(wrapping_key).copied().unwrap_or_default()
    }

    /// Returns the count of all names beyond the first 1,000.
    #[must_use]
    pub fn others(&self) -> u64 {
        self.others
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_counted_in_constant_memory() {
        let mut counts = CountsByKey::default();
        let names: Vec<_> = (0..MAX_NAMES + 7).map(|number| format!("{number:05}")).collect();
        counts.add(&names);
        counts.add([&names[0]]);
        assert_eq!((counts.iter().count(), counts.others()), (MAX_NAMES, 7));
        assert_eq!((counts.of("00000"), counts.of("00001"), counts.of("x")), (2, 1, 0));
    }
}
