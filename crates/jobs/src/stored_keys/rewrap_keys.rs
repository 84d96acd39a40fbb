//! Rewraps the keys of a key store.

use std::collections::BTreeMap;

use futures_core::Stream;
use sealwax_s3::{Error, ErrorKind, KeyChanges, StoredKey, StoredKeyOutput, StoredKeys};
use serde::Serialize;

use super::CountsByKey;
use crate::engine::{JobLimits, Outcomes, Pool, RetryPolicy, RetryState, Summary, limit_setters};

/// Changes the wrapping keys of the intermediate keys in a key store.
///
/// It needs no journal: an intermediate key that already has the wanted wrapping keys costs nothing
/// beyond its listing, so the same job goes on where another one ended.
#[derive(Debug, Clone)]
pub struct RewrapKeys {
    store: StoredKeys,
    changes: KeyChanges,
    limits: JobLimits,
}

/// An intermediate key that was worked on, with the outcome.
#[derive(Debug)]
#[non_exhaustive]
pub struct RewrappedKey {
    /// The intermediate key, as it was listed.
    pub key: StoredKey,
    /// Outcome of its rewrap.
    pub outcome: RewrappedKeyOutcome,
}

/// Outcome of the rewrap of one intermediate key. Exhaustive: summaries and reports count every one.
#[derive(Debug)]
pub enum RewrappedKeyOutcome {
    /// Key objects were written, refreshed or deleted.
    Rewrapped(StoredKeyOutput),
    /// Key objects that were to be deleted or refreshed are still there as they were: nothing proved that
    /// another one, or the new ciphertext, holds the key. What was to be added is there.
    Kept(StoredKeyOutput),
    /// The wanted key objects are there, by their names. Nothing proved them.
    Claimed(StoredKeyOutput),
    /// The wanted key objects are there, and hold the key.
    Proven(StoredKeyOutput),
    /// There was nothing to remove or to refresh.
    Unchanged(StoredKeyOutput),
    /// The rewrap failed. Key objects that were there before are still there.
    Failed(Error),
}

impl RewrappedKeyOutcome {
    fn of(output: StoredKeyOutput) -> Self {
        match &output.report {
            report if !report.kept.is_empty() => Self::Kept(output),
            _ if !output.is_unchanged() => Self::Rewrapped(output),
            report if !report.claimed.is_empty() => Self::Claimed(output),
            report if !report.proven.is_empty() => Self::Proven(output),
            _ => Self::Unchanged(output),
        }
    }

    /// Returns what was done, unless it failed.
    #[must_use]
    pub fn output(&self) -> Option<&StoredKeyOutput> {
        match self {
            Self::Rewrapped(output)
            | Self::Kept(output)
            | Self::Claimed(output)
            | Self::Proven(output)
            | Self::Unchanged(output) => Some(output),
            Self::Failed(_) => None,
        }
    }

    /// Returns the error of a rewrap that failed.
    #[must_use]
    pub fn error(&self) -> Option<&Error> {
        match self {
            Self::Failed(error) => Some(error),
            _ => None,
        }
    }

    /// Returns the name in reports: `rewrapped`, `kept`, `claimed`, `proven`, `unchanged` or `failed`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Rewrapped(_) => "rewrapped",
            Self::Kept(_) => "kept",
            Self::Claimed(_) => "claimed",
            Self::Proven(_) => "proven",
            Self::Unchanged(_) => "unchanged",
            Self::Failed(_) => "failed",
        }
    }
}

impl RewrapKeys {
    /// Creates a job that makes `changes` to the intermediate keys of `store`, by
    /// [`StoredKeys::rewrap`].
    #[must_use]
    pub fn new(store: StoredKeys, changes: KeyChanges) -> Self {
        Self { store, changes, limits: JobLimits::default() }
    }

    limit_setters! {
        concurrency: "Sets the largest number of intermediate keys in work at a time: 64 unless set, and at least \
                       1.",
        cancellation: "Sets a token that ends the job early. Intermediate keys in work are finished.",
    }

    /// Rewraps `keys`: those of [`StoredKeys::list`], or some of them.
    pub fn run(
        self,
        keys: impl Stream<Item = Result<StoredKey, Error>> + Send + 'static,
    ) -> Outcomes<RewrapKeysSummary> {
        let Self { store, changes, limits } = self;
        let engine = limits.engine(RetryPolicy::REWRAP);
        let work = move |key: StoredKey, mut retry: RetryState| {
            let (store, changes) = (store.clone(), changes.clone());
            async move {
                let outcome = loop {
                    let result = store.rewrap(&key, &changes).await;
                    let failure = result.as_ref().err().map(Error::kind);
                    // The listing is newer than any replication lag: time does not help.
                    let failure = failure.filter(|kind| *kind != ErrorKind::KeyObjectMissing);
                    if !retry.should_retry(failure).await {
                        break result;
                    }
                };
                let outcome =
                    outcome.map_or_else(RewrappedKeyOutcome::Failed, RewrappedKeyOutcome::of);
                RewrappedKey { key, outcome }
            }
        };
        Pool::new(engine, keys, work).into_outcomes()
    }
}

/// Counts of intermediate keys that were worked on. Field names are stable JSON output.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RewrapKeysSummary {
    /// Intermediate keys with new or refreshed key objects, or without old ones.
    pub rewrapped: u64,
    /// Intermediate keys with old key objects that stay as they were: nothing proved the new ones.
    pub kept: u64,
    /// Intermediate keys that have the wanted key objects, by their names.
    pub claimed: u64,
    /// Intermediate keys that have the wanted key objects, which were proven.
    pub proven: u64,
    /// Intermediate keys with nothing to remove or to refresh.
    pub unchanged: u64,
    /// Intermediate keys whose rewrap failed, by the name of the error kind.
    pub failures: BTreeMap<&'static str, u64>,
    /// Key objects that were written, by wrapping key.
    pub added: CountsByKey,
    /// Key objects that were deleted, by wrapping key.
    pub removed: CountsByKey,
    /// Key objects that were refreshed, by wrapping key.
    pub refreshed: CountsByKey,
}

impl Summary for RewrapKeysSummary {
    type Outcome = RewrappedKey;

    fn record(&mut self, key: &RewrappedKey) {
        let count = match &key.outcome {
            RewrappedKeyOutcome::Rewrapped(_) => &mut self.rewrapped,
            RewrappedKeyOutcome::Kept(_) => &mut self.kept,
            RewrappedKeyOutcome::Claimed(_) => &mut self.claimed,
            RewrappedKeyOutcome::Proven(_) => &mut self.proven,
            RewrappedKeyOutcome::Unchanged(_) => &mut self.unchanged,
            RewrappedKeyOutcome::Failed(error) => {
                self.failures.entry(error.kind().name()).or_default()
            }
        };
        *count += 1;
        if let Some(output) = key.outcome.output() {
            self.added.add(&output.report.added);
            self.removed.add(&output.removed);
            self.refreshed.add(&output.refreshed);
        }
    }

    /// Returns the number of intermediate keys that the job worked on.
    fn objects(&self) -> u64 {
        self.rewrapped + self.claimed + self.proven + self.unchanged + self.failed()
    }

    /// Returns the number of intermediate keys that do not have exactly the wanted wrapping keys.
    fn failed(&self) -> u64 {
        self.kept + self.failures.values().sum::<u64>()
    }
}
