//! Compares a replica with its source after a fail-over: which objects were written where, and which on
//! both sides.
//!
//! Two objects of one key are the same if their contents have the same [`ContentId`], which a rewrap
//! keeps. What changed since a time follows from each bucket's versions: the newest one, and the one
//! that was the newest at that time. In a bucket without versions, an object that was stored since
//! counts as changed.
//!
//! ```no_run
//! # async fn example(
//! #     source: sealwax_s3::SealedClient,
//! #     replica: sealwax_s3::SealedClient,
//! #     lost_at: std::time::SystemTime,
//! # ) -> Result<(), sealwax_s3::Error> {
//! use futures_util::TryStreamExt as _;
//! use sealwax_jobs::{compare::Compare, listing::Listing};
//!
//! let ours = Listing::versions(source.s3(), "invoices", "2026/");
//! let theirs = Listing::versions(replica.s3(), "invoices-west", "2026/");
//! let mut outcomes = Compare::new(source, replica, lost_at).run(ours, theirs);
//! while let Some(object) = outcomes.try_next().await? {
//!     if object.difference.is_for_people() {
//!         println!("{}: {}", object.key, object.difference.name());
//!     }
//! }
//! # Ok(())
//! # }
//! ```

mod versions;

use std::time::SystemTime;

use futures_core::Stream;
use futures_util::TryStreamExt as _;
use sealwax_s3::{ContentId, Error, ErrorKind, ListedObject, SealedClient};

use self::versions::{Versions, by_key};
use crate::{
    engine::{JobLimits, Outcomes, Pool, RetryPolicy, RetryState, Summary, limit_setters},
    merge::{Joined, Keyed, join},
};

/// Compares a source and its replica.
#[derive(Debug, Clone)]
pub struct Compare {
    source: SealedClient,
    replica: SealedClient,
    since: SystemTime,
    limits: JobLimits,
    proves: bool,
}

/// A key of the source, the replica or both, and how its objects differ.
#[derive(Debug)]
#[non_exhaustive]
pub struct ComparedObject {
    /// The key.
    pub key: String,
    /// The newest version in the source, if the key has an object there.
    pub source: Option<ListedObject>,
    /// The newest version in the replica, if the key has an object there.
    pub replica: Option<ListedObject>,
    /// Difference between the two.
    pub difference: Difference,
}

/// Difference between a source and its replica. Exhaustive: summaries count each.
#[derive(Debug)]
pub enum Difference {
    /// Neither side has a new version since the time.
    Untouched,
    /// Both sides have the same content.
    Same,
    /// The content was written in the replica since, over the content that the source has. To fail
    /// back is to copy it.
    ReplicaOnly,
    /// The source has content that the replica lacks, and the replica has none that the source lacks.
    /// Replication sends it, or has failed to.
    SourceOnly,
    /// The key was deleted in the replica, and the source still has the object.
    DeletedInReplica,
    /// Both sides have content that the other lacks: neither can be copied without a loss.
    Conflict,
    /// The object is a sidecar or an instruction file, which follows its object.
    Companion,
    /// It is unknown, because an object can't be read or does not open.
    Unknown(Error),
}

impl Difference {
    /// Returns the name in reports, such as `conflict`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Untouched => "untouched",
            Self::Same => "same",
            Self::ReplicaOnly => "replica-only",
            Self::SourceOnly => "source-only",
            Self::DeletedInReplica => "deleted-in-replica",
            Self::Conflict => "conflict",
            Self::Companion => "companion",
            Self::Unknown(_) => "unknown",
        }
    }

    /// `true` if people must decide what becomes of the key.
    #[must_use]
    pub fn is_for_people(&self) -> bool {
        matches!(self, Self::Conflict | Self::DeletedInReplica | Self::Unknown(_))
    }
}

/// Counts of compared keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CompareSummary {
    /// Keys without a new version.
    pub untouched: u64,
    /// Keys with the same content on both sides.
    pub same: u64,
    /// Keys that were written in the replica only.
    pub replica_only: u64,
    /// Keys of which the source has content that the replica lacks.
    pub source_only: u64,
    /// Keys that were deleted in the replica only.
    pub deleted_in_replica: u64,
    /// Keys with content on both sides that the other side lacks.
    pub conflicts: u64,
    /// Sidecars and instruction files.
    pub companions: u64,
    /// Keys whose difference is unknown.
    pub unknown: u64,
}

impl Summary for CompareSummary {
    type Outcome = ComparedObject;

    fn record(&mut self, object: &ComparedObject) {
        let count = match object.difference {
            Difference::Untouched => &mut self.untouched,
            Difference::Same => &mut self.same,
            Difference::ReplicaOnly => &mut self.replica_only,
            Difference::SourceOnly => &mut self.source_only,
            Difference::DeletedInReplica => &mut self.deleted_in_replica,
            Difference::Conflict => &mut self.conflicts,
            Difference::Companion => &mut self.companions,
            Difference::Unknown(_) => &mut self.unknown,
        };
        *count += 1;
    }

    fn objects(&self) -> u64 {
        self.untouched
            + self.same
            + self.replica_only
            + self.source_only
            + self.deleted_in_replica
            + self.conflicts
            + self.companions
            + self.unknown
    }

    /// Returns the number of keys whose difference is unknown.
    fn failed(&self) -> u64 {
        self.unknown
    }
}

impl Compare {
    /// Creates a job that reads the source and the replica with these clients, and compares what
    /// changed `since` a time by S3's clock. Their keyrings are not used unless [`Compare::prove`] is
    /// set.
    #[must_use]
    pub fn new(source: SealedClient, replica: SealedClient, since: SystemTime) -> Self {
        Self { source, replica, since, limits: JobLimits::default(), proves: false }
    }

    /// Unwraps the data keys of both objects before they count as the same: what metadata claims
    /// about the content then meets the key's commitment. It costs two key service calls for each
    /// such key, and does not read bodies.
    #[must_use]
    pub fn prove(self) -> Self {
        Self { proves: true, ..self }
    }

    limit_setters! {
        concurrency: "Sets the largest number of keys in work at a time: 64 unless set, and at least 1.",
        cancellation: "Sets a token that ends the job early. Keys in flight are finished.",
    }

    /// Compares two listings of versions, each in the order of the keys' bytes and newest version
    /// first, as S3 lists them.
    ///
    /// A key without a new version costs no request. Others cost a `HeadObject` for the newest version
    /// of each side, and up to two more for those that were the newest at the time.
    pub fn run(
        self,
        source: impl Stream<Item = Result<ListedObject, Error>> + Send + 'static,
        replica: impl Stream<Item = Result<ListedObject, Error>> + Send + 'static,
    ) -> Outcomes<CompareSummary> {
        let engine = self.limits.engine(RetryPolicy::READ);
        let pairs =
            join(by_key(source, self.since), by_key(replica, self.since)).map_ok(Pair::from);
        let work = move |pair: Pair, mut retry: RetryState| {
            let this = self.clone();
            async move {
                let difference = match this.difference(&pair, &mut retry).await {
                    Ok(difference) => difference,
                    Err(error) => Difference::Unknown(error),
                };
                ComparedObject {
                    key: pair.key,
                    source: pair.source.and_then(|versions| versions.newest),
                    replica: pair.replica.and_then(|versions| versions.newest),
                    difference,
                }
            }
        };
        Pool::new(engine, pairs, work).into_outcomes()
    }

    async fn difference(&self, pair: &Pair, retry: &mut RetryState) -> Result<Difference, Error> {
        let versions = |side: &Option<Versions>| side.clone().unwrap_or_default();
        let (ours, theirs) = (versions(&pair.source), versions(&pair.replica));
        let is_deleted = theirs.newest.is_none() && pair.replica.is_some();
        let is_touched = ours.is_touched || theirs.is_touched;
        if !is_touched && (!is_deleted || ours.newest.is_none()) {
            return Ok(Difference::Untouched);
        }
        let (mut source, mut replica) =
            (Side::new(&self.source, ours), Side::new(&self.replica, theirs));
        if source.is_companion(retry).await? || replica.is_companion(retry).await? {
            return Ok(Difference::Companion);
        }
        match (source.newest(retry).await?, replica.newest(retry).await?) {
            (None, None) => Ok(Difference::Untouched),
            (None, Some(_)) => Ok(match replica.is_changed(retry).await? {
                false => Difference::Untouched,
                // It was deleted in the source, and written again in the replica.
                true if pair.source.is_some() => Difference::Conflict,
                true => Difference::ReplicaOnly,
            }),
            (Some(_), None) if is_deleted => Ok(match source.is_changed(retry).await? {
                false => Difference::DeletedInReplica,
                true => Difference::Conflict,
            }),
            (Some(_), None) => Ok(Difference::SourceOnly),
            (Some(one), Some(other)) if one == other => {
                if self.proves {
                    source.prove(retry).await?;
                    replica.prove(retry).await?;
                }
                Ok(Difference::Same)
            }
            (Some(of_source), Some(_)) => {
                if !replica.is_changed(retry).await? {
                    return Ok(Difference::SourceOnly);
                }
                // The replica's writers replaced what the source still has, or never had it.
                let replaced = replica.base(retry).await?.as_ref() == Some(&of_source);
                Ok(match replaced {
                    true => Difference::ReplicaOnly,
                    false => Difference::Conflict,
                })
            }
        }
    }
}

/// Content of one version.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Content {
    /// Identity of a sealed content.
    Sealed(ContentId),
    /// Entity tag and length, for an object that no client encrypted.
    Plain(Option<String>, Option<u64>),
    Shredded,
    Companion,
}

/// The versions of a key on one side.
struct Side<'a> {
    client: &'a SealedClient,
    versions: Versions,
    newest: Option<Content>,
}

impl<'a> Side<'a> {
    fn new(client: &'a SealedClient, versions: Versions) -> Self {
        Self { client, versions, newest: None }
    }

    /// Returns the newest content, if there is an object.
    async fn newest(&mut self, retry: &mut RetryState) -> Result<Option<Content>, Error> {
        let Some(newest) = &self.versions.newest else { return Ok(None) };
        if self.newest.is_none() {
            self.newest = Some(content(self.client, newest, retry).await?);
        }
        Ok(self.newest.clone())
    }

    async fn is_companion(&mut self, retry: &mut RetryState) -> Result<bool, Error> {
        Ok(self.newest(retry).await? == Some(Content::Companion))
    }

    /// Returns the content that was the newest at the time.
    async fn base(&mut self, retry: &mut RetryState) -> Result<Option<Content>, Error> {
        if !self.versions.is_touched {
            return self.newest(retry).await;
        }
        match &self.versions.base {
            Some(base) => content(self.client, base, retry).await.map(Some),
            None => Ok(None),
        }
    }

    /// `true` if the newest content was written since. A rewrap writes none.
    async fn is_changed(&mut self, retry: &mut RetryState) -> Result<bool, Error> {
        Ok(self.newest(retry).await? != self.base(retry).await?)
    }

    /// Proves that the newest version's data key meets the commitment in its metadata.
    async fn prove(&self, retry: &mut RetryState) -> Result<(), Error> {
        let (Some(newest), Some(Content::Sealed(_))) = (&self.versions.newest, &self.newest) else {
            return Ok(());
        };
        let mut verify = self.client.verify().bucket(&newest.bucket).key(&newest.key);
        if let Some(version_id) = &newest.version_id {
            verify = verify.version_id(version_id);
        }
        retry.run(|| verify.clone().send()).await.map(drop)
    }
}

async fn content(
    client: &SealedClient,
    version: &ListedObject,
    retry: &mut RetryState,
) -> Result<Content, Error> {
    let mut head = client.head().bucket(&version.bucket).key(&version.key);
    let mut inspect = client.inspect().bucket(&version.bucket).key(&version.key);
    if let Some(version_id) = &version.version_id {
        head = head.version_id(version_id);
        inspect = inspect.version_id(version_id);
    }
    let plain = || Content::Plain(version.e_tag.clone(), version.size);
    match retry.run(|| head.clone().send()).await {
        Ok(info) => Ok(info.content_id().map_or_else(plain, Content::Sealed)),
        Err(error) if error.kind() == ErrorKind::Shredded => Ok(Content::Shredded),
        Err(error) if error.kind() == ErrorKind::NotSealed => {
            let inspected = retry.run(|| inspect.clone().send()).await?;
            Ok(if inspected.kind.is_companion() { Content::Companion } else { plain() })
        }
        Err(error) => Err(error),
    }
}

/// A key's versions on both sides.
struct Pair {
    key: String,
    source: Option<Versions>,
    replica: Option<Versions>,
}

impl Keyed for Versions {
    fn key(&self) -> &str {
        &self.key
    }
}

impl From<Joined<Versions, Versions>> for Pair {
    fn from(joined: Joined<Versions, Versions>) -> Self {
        let (source, replica) = match joined {
            Joined::Left(ours) => (Some(ours), None),
            Joined::Right(theirs) => (None, Some(theirs)),
            Joined::Both(ours, theirs) => (Some(ours), Some(theirs)),
        };
        let key = source.as_ref().or(replica.as_ref()).map(|versions| versions.key.clone());
        Self { key: key.unwrap_or_default(), source, replica }
    }
}
