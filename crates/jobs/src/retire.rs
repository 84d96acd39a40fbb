//! Finds out whether a wrapping key may be deleted: whether every object opens without it.
//!
//! It looks at every version, proves the keys of each that names the wrapping key, and in the end
//! proves once more what it relied on in a key store. What it can't see, it can't tell: replicas,
//! backups, other buckets, and objects whose metadata does not name the key although they need it,
//! because somebody changed it.
//!
//! ```no_run
//! # async fn example(client: sealwax_s3::SealedClient, old: &str) -> Result<(), sealwax_s3::Error> {
//! use futures_util::TryStreamExt as _;
//! use sealwax_jobs::{listing::Listing, retire::Retire};
//!
//! let versions = Listing::versions(client.s3(), "invoices", "");
//! let retire = Retire::new(client, old);
//! let mut outcomes = retire.clone().run(versions);
//! while let Some(version) = outcomes.try_next().await? {
//!     if !version.verdict.is_free() {
//!         println!("{}: {}", version.audited.object, version.verdict.name());
//!     }
//! }
//! let confirmed = retire.confirm(outcomes.summary()).await?;
//! println!("safe to delete: {}", confirmed.is_safe());
//! # Ok(())
//! # }
//! ```

use std::{
    collections::{BTreeMap, BTreeSet},
    pin::pin,
};

use futures_core::Stream;
use futures_util::{StreamExt as _, TryStreamExt as _};
use sealwax_s3::{Error, KeyProof, KmsKeyArn, ListedObject, SealedClient, StoredKey, StoredKeys};

use crate::{
    audit::{Audit, AuditedObject, Dependence},
    engine::{JobLimits, Outcomes, Step, Summary, limit_setters},
};

/// Intermediate keys that are proven at a time, in the end.
const CONCURRENCY: usize = 32;

/// Finds out whether the objects of a listing open without one wrapping key.
#[derive(Debug, Clone)]
pub struct Retire {
    client: SealedClient,
    wrapping_key: String,
    limits: JobLimits,
}

/// Outcome for one version of an object.
#[derive(Debug)]
#[non_exhaustive]
pub struct RetiredVersion {
    /// The version, with its keys and what became of their proofs.
    pub audited: AuditedObject,
    /// Need of the wrapping key.
    pub verdict: Verdict,
}

/// Need of a version for a wrapping key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Verdict {
    /// It does not name the key, or it is not sealed.
    Unrelated,
    /// Another key, in its metadata or its sidecar, was proven to open it.
    Covered,
    /// Another key, of a key object alone, was proven to open it.
    CoveredByKeyStore,
    /// It names the key, and no other key was proven to open it.
    Needed,
    /// It may need the key: its keys can't be told, or it could not be read.
    Unknown,
}

impl Verdict {
    /// Returns the name in reports, such as `covered`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Unrelated => "unrelated",
            Self::Covered => "covered",
            Self::CoveredByKeyStore => "covered-by-key-store",
            Self::Needed => "needed",
            Self::Unknown => "unknown",
        }
    }

    /// `true` if the version does not stand in the way of a deletion of the key.
    #[must_use]
    pub fn is_free(self) -> bool {
        matches!(self, Self::Unrelated | Self::Covered | Self::CoveredByKeyStore)
    }

    fn of(audited: &AuditedObject, wrapping_key: &str) -> Self {
        match audited.dependence(wrapping_key) {
            Dependence::None => Self::Unrelated,
            Dependence::Shared => {
                let others = || audited.counting_keys().filter(|key| !key.is(wrapping_key));
                match others().any(|key| !key.in_key_store) {
                    true => Self::Covered,
                    false => Self::CoveredByKeyStore,
                }
            }
            Dependence::Sole => Self::Needed,
            Dependence::Unknown => Self::Unknown,
        }
    }
}

/// Counts of versions by their need of the wrapping key. Takes memory for each intermediate key
/// whose key objects alone cover a version.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RetireSummary {
    /// All versions.
    pub versions: u64,
    /// Versions by verdict.
    pub verdicts: BTreeMap<Verdict, u64>,
    /// Buckets, and the ids of the intermediate keys there, whose key objects were relied on.
    pub relied_on: BTreeMap<String, BTreeSet<String>>,
}

impl RetireSummary {
    /// Returns the number of versions that stand in the way.
    #[must_use]
    pub fn held(&self) -> u64 {
        let held = self.verdicts.iter().filter(|(verdict, _)| !verdict.is_free());
        held.map(|(_, count)| count).sum()
    }
}

impl Summary for RetireSummary {
    type Outcome = RetiredVersion;

    fn record(&mut self, version: &RetiredVersion) {
        self.versions += 1;
        *self.verdicts.entry(version.verdict).or_default() += 1;
        if version.verdict == Verdict::CoveredByKeyStore {
            let AuditedObject { object, keys, .. } = &version.audited;
            let relied_on = self.relied_on.entry(object.bucket.clone()).or_default();
            let good = keys.iter().filter(|key| key.in_key_store && key.proof.is_proven());
            relied_on.extend(good.filter_map(|key| key.intermediate.clone()));
        }
    }

    fn objects(&self) -> u64 {
        self.versions
    }

    fn failed(&self) -> u64 {
        self.held()
    }
}

/// Result of [`Retire::confirm`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Confirmed {
    /// Versions that stand in the way.
    pub held: u64,
    /// Intermediate keys that versions rely on, proven once more.
    pub proven: u64,
    /// Ids of intermediate keys that versions rely on, and of which no other key is proven any more.
    pub lost: BTreeSet<String>,
    /// All versions of the summary.
    pub versions: u64,
}

impl Confirmed {
    /// `true` if every version of the summary opens without the key.
    #[must_use]
    pub fn is_safe(&self) -> bool {
        self.held == 0 && self.lost.is_empty() && self.versions > 0
    }
}

impl Retire {
    /// Creates a job that asks about `wrapping_key`, for AWS KMS a key ARN; its replicas in other
    /// Regions count as the same key. `client` reads with the keys that stay, and with its key store
    /// and sidecars.
    #[must_use]
    pub fn new(client: SealedClient, wrapping_key: impl Into<String>) -> Self {
        Self { client, wrapping_key: wrapping_key.into(), limits: JobLimits::default() }
    }

    limit_setters! {
        concurrency: "Sets the largest number of versions in work at a time, as [`Audit::concurrency`] does.",
        cancellation: "Sets a token that ends the job early. Versions in flight are finished.",
    }

    /// Looks at `versions`: pass [`Listing::versions`](crate::listing::Listing::versions) of the whole
    /// bucket, because an older version can be restored.
    pub fn run(
        self,
        versions: impl Stream<Item = Result<ListedObject, Error>> + Send + 'static,
    ) -> Outcomes<RetireSummary> {
        let JobLimits { concurrency, cancellation } = self.limits;
        let audit = Audit::new(self.client).prove();
        let audit = audit.concurrency(concurrency).cancellation(cancellation);
        let wrapping_key = self.wrapping_key;
        Outcomes::new(audit.run(versions).map(move |audited| {
            audited.map(|audited| {
                let verdict = Verdict::of(&audited, &wrapping_key);
                Step::Outcome(RetiredVersion { audited, verdict })
            })
        }))
    }

    /// Proves once more what the versions of `summary` rely on in key stores. Call it right before the
    /// key is deleted.
    ///
    /// # Errors
    /// A key store can't be listed or read.
    pub async fn confirm(&self, summary: &RetireSummary) -> Result<Confirmed, Error> {
        let mut confirmed =
            Confirmed { held: summary.held(), versions: summary.versions, ..Confirmed::default() };
        for (bucket, ids) in &summary.relied_on {
            // A client of its own has not read any key object yet.
            let store = self.client.stored_keys(bucket)?.afresh();
            let mut lost = ids.clone();
            let proof = |key: StoredKey| {
                let store = store.clone();
                async move {
                    let id = key.id().to_string();
                    let is_proven = ids.contains(&id) && self.is_proven(&store, &key).await?;
                    Ok::<_, Error>(is_proven.then_some(id))
                }
            };
            let proofs = store.list().into_stream().map_ok(proof).try_buffer_unordered(CONCURRENCY);
            let mut proofs = pin!(proofs);
            while let Some(proven) = proofs.try_next().await? {
                if let Some(id) = proven {
                    lost.remove(&id);
                    confirmed.proven += 1;
                }
            }
            confirmed.lost.extend(lost);
        }
        Ok(confirmed)
    }

    /// `true` if a key object of another wrapping key holds the intermediate key.
    async fn is_proven(&self, store: &StoredKeys, key: &StoredKey) -> Result<bool, Error> {
        let proven = store.prove(key).await?;
        Ok(proven.iter().any(|it| {
            let by = match &it.proof {
                KeyProof::Proven { by: Some(by) } => by,
                _ => return false,
            };
            ![by.as_str(), it.form.wrapping_key()].iter().any(|name| self.is_it(name))
        }))
    }

    /// `true` for the wrapping key and its replicas.
    fn is_it(&self, name: &str) -> bool {
        let arns = (name.parse::<KmsKeyArn>(), self.wrapping_key.parse::<KmsKeyArn>());
        name == self.wrapping_key
            || matches!(arns, (Ok(one), Ok(other)) if one.is_related_to(&other))
    }
}
