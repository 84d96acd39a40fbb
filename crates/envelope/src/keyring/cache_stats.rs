//! Counts of a cache of keys.

/// Counts of a [`CachingKeyring`](super::CachingKeyring), by what the intermediate keys were asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CacheStats {
    /// Intermediate keys for new objects.
    pub writing: CacheCounts,
    /// Intermediate keys of stored objects.
    pub reading: CacheCounts,
    /// Intermediate keys that were rewrapped, or refreshed after a rotation.
    pub rewrapping: CacheCounts,
}

/// Counts of one cache. `hits + joined + requests` is the number of lookups.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CacheCounts {
    /// Lookups that the cache answered.
    pub hits: u64,
    /// Lookups that waited for the request of another one.
    pub joined: u64,
    /// Lookups that asked the inner keyring.
    pub requests: u64,
    /// Keys in the cache now, and requests in flight.
    pub entries: usize,
}

impl CacheCounts {
    /// Returns the counts of two caches together.
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            hits: self.hits + other.hits,
            joined: self.joined + other.joined,
            requests: self.requests + other.requests,
            entries: self.entries + other.entries,
        }
    }
}
