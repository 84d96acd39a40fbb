//! Comparison of a replica with its source.

use std::{cmp::Ordering, collections::BTreeMap, pin::pin, time::SystemTime};

use aws_sdk_s3::{Client, primitives::DateTime};
use futures_core::Stream;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use sealwax_s3::{Error, ErrorKind, ListedObject};
use tokio_util::sync::CancellationToken;

use super::{Ages, ReplicationStatus};
use crate::engine::{Engine, Pool, RetryPolicy};

/// Most unreplicated objects that are named.
const MAX_NAMED: usize = 1000;
/// Most objects that S3 is asked about at a time.
const BATCH: usize = 64;

/// Difference between the listings of a replica and of its source.
///
/// An object counts as replicated if the replica has an object of the same key and length that is
/// not older. S3 gives a replica the modification time of its source, and a rewrap of the replica
/// makes it newer. (Amazon S3 User Guide, "What does Amazon S3 replicate?")
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Lag {
    /// Objects in the source.
    pub source_objects: u64,
    /// Objects in the replica.
    pub replica_objects: u64,
    /// Objects of the source that the replica lacks.
    pub absent: u64,
    /// Objects of the source of which the replica has an older one, or one of another length.
    pub outdated: u64,
    /// Objects of the replica that the source lacks: deleted there, for example.
    pub surplus: u64,
    /// The oldest unreplicated object. A loss of the source loses changes since then.
    pub oldest: Option<Unreplicated>,
    /// The first 1,000 unreplicated objects, in the order of their keys.
    pub named: Vec<Unreplicated>,
    /// All unreplicated objects by their replication status, if S3 was asked.
    pub statuses: BTreeMap<ReplicationStatus, u64>,
    /// All unreplicated objects by their ages when the comparison began.
    pub ages: Ages,
}

/// An object of the source that is absent or outdated in the replica.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Unreplicated {
    /// The object.
    pub object: ListedObject,
    /// `true` if the replica has an older object of that key, or one of another length.
    pub is_outdated: bool,
    /// Its replication status, if S3 was asked.
    pub status: Option<ReplicationStatus>,
}

impl Unreplicated {
    /// Describes an object that is absent, or outdated.
    #[must_use]
    pub fn new(object: ListedObject, is_outdated: bool, status: Option<ReplicationStatus>) -> Self {
        Self { object, is_outdated, status }
    }
}

impl Lag {
    /// Compares two listings of latest versions in constant memory. Both must be in the order of
    /// their keys' bytes, and the keys of an object must be equal in both.
    ///
    /// # Errors
    /// A listing fails; [`ErrorKind::InvalidListing`] if one is not in order.
    pub async fn between(
        source: impl Stream<Item = Result<ListedObject, Error>> + Send,
        replica: impl Stream<Item = Result<ListedObject, Error>> + Send,
    ) -> Result<Self, Error> {
        Self::compare(None, source, replica).await
    }

    /// Compares as [`Lag::between`] does, and asks S3 for the replication status of each
    /// unreplicated object: one `HeadObject` each. `s3` is a client for the source. A status that
    /// can't be read is no error but [`ReplicationStatus::Unreadable`].
    ///
    /// # Errors
    /// As [`Lag::between`].
    pub async fn with_status(
        s3: &Client,
        source: impl Stream<Item = Result<ListedObject, Error>> + Send,
        replica: impl Stream<Item = Result<ListedObject, Error>> + Send,
    ) -> Result<Self, Error> {
        Self::compare(Some(s3), source, replica).await
    }

    async fn compare(
        s3: Option<&Client>,
        source: impl Stream<Item = Result<ListedObject, Error>> + Send,
        replica: impl Stream<Item = Result<ListedObject, Error>> + Send,
    ) -> Result<Self, Error> {
        let (engine, now) =
            (Engine::new(BATCH, &CancellationToken::new(), RetryPolicy::READ), SystemTime::now());
        let (mut source, mut replica) = (pin!(in_order(source)), pin!(in_order(replica)));
        let (mut lag, mut behind) = (Self::default(), Vec::new());
        let (mut ours, mut theirs) = (source.try_next().await?, replica.try_next().await?);
        loop {
            let order = match (&ours, &theirs) {
                (Some(ours), Some(theirs)) => ours.key.as_bytes().cmp(theirs.key.as_bytes()),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (None, None) => {
                    lag.record(&engine, s3, &mut behind, now).await?;
                    return Ok(lag);
                }
            };
            if order.is_le()
                && let Some(object) = ours.take()
            {
                lag.source_objects += 1;
                if order.is_lt() {
                    lag.absent += 1;
                    behind.push(Unreplicated { object, is_outdated: false, status: None });
                } else if theirs.as_ref().is_some_and(|theirs| is_outdated(theirs, &object)) {
                    lag.outdated += 1;
                    behind.push(Unreplicated { object, is_outdated: true, status: None });
                }
                if behind.len() == BATCH {
                    lag.record(&engine, s3, &mut behind, now).await?;
                }
                ours = source.try_next().await?;
            }
            if order.is_ge() {
                lag.replica_objects += 1;
                lag.surplus += u64::from(order.is_gt());
                theirs = replica.try_next().await?;
            }
        }
    }

    /// Returns the number of objects of the source that are absent or outdated in the replica.
    #[must_use]
    pub fn unreplicated(&self) -> u64 {
        self.absent + self.outdated
    }

    /// Records unreplicated objects, with their replication status if there is a client.
    async fn record(
        &mut self,
        engine: &Engine,
        s3: Option<&Client>,
        behind: &mut Vec<Unreplicated>,
        now: SystemTime,
    ) -> Result<(), Error> {
        if let Some(s3) = s3 {
            let objects: Vec<_> = behind.iter().map(|it| it.object.clone()).enumerate().collect();
            let s3 = s3.clone();
            let work = move |(at, object): (usize, ListedObject), retry| {
                let s3 = s3.clone();
                async move { (at, ReplicationStatus::of(&s3, &object, retry).await) }
            };
            let mut pool =
                Pool::new(engine.clone(), stream::iter(objects.into_iter().map(Ok)), work);
            while let Some(result) = pool.next().await {
                let (at, status) = result?;
                behind[at].status = Some(status);
                *self.statuses.entry(status).or_default() += 1;
            }
        }
        let seconds =
            |it: &Unreplicated| it.object.last_modified.as_ref().map_or(i64::MAX, DateTime::secs);
        for it in behind.drain(..) {
            self.ages.record(it.object.last_modified, now);
            if self.oldest.as_ref().is_none_or(|oldest| seconds(&it) < seconds(oldest)) {
                self.oldest = Some(it.clone());
            }
            if self.named.len() < MAX_NAMED {
                self.named.push(it);
            }
        }
        Ok(())
    }
}

fn is_outdated(replica: &ListedObject, source: &ListedObject) -> bool {
    let older = replica
        .last_modified
        .zip(source.last_modified)
        .is_some_and(|(replica, source)| replica.secs() < source.secs());
    older || replica.size.zip(source.size).is_some_and(|(replica, source)| replica != source)
}

/// Passes a listing through, and fails if a key does not come after the one before it.
fn in_order(
    listing: impl Stream<Item = Result<ListedObject, Error>> + Send,
) -> impl Stream<Item = Result<ListedObject, Error>> + Send {
    let mut last: Option<String> = None;
    listing.map(move |object| {
        let object = object?;
        if last.as_ref().is_some_and(|last| last.as_bytes() >= object.key.as_bytes()) {
            let message = "the keys are not in order, each once, so they cannot be compared";
            let kind = ErrorKind::InvalidListing;
            return Err(Error::new("list", object.to_string(), kind, message));
        }
        last = Some(object.key.clone());
        Ok(object)
    })
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    fn object(key: &str, seconds: i64, size: u64) -> Result<ListedObject, Error> {
        let mut object = ListedObject::new("b", key);
        (object.last_modified, object.size) = (Some(DateTime::from_secs(seconds)), Some(size));
        Ok(object)
    }

    #[tokio::test]
    async fn absent_older_and_longer_objects_are_unreplicated() {
        let source = [
            object("a", 10, 1),
            object("b", 20, 1),
            object("c", 5, 1),
            object("e", 30, 1),
            object("f", 1, 2),
        ];
        let replica = [
            object("a", 10, 1),
            object("b", 19, 1),
            object("d", 9, 1),
            object("e", 99, 1),
            object("f", 1, 3),
        ];
        let lag =
            Lag::between(stream::iter(source), stream::iter(replica)).await.expect("a comparison");
        assert_eq!((lag.source_objects, lag.replica_objects), (5, 5));
        assert_eq!((lag.absent, lag.outdated, lag.surplus, lag.unreplicated()), (1, 2, 1, 3));
        assert_eq!(lag.oldest.map(|oldest| oldest.object.key).as_deref(), Some("f"));
        let named: Vec<_> = lag
            .named
            .iter()
            .map(|it| (it.object.key.as_str(), it.is_outdated, it.status))
            .collect();
        assert_eq!(named, [("b", true, None), ("c", false, None), ("f", true, None)]);
        assert!(lag.statuses.is_empty(), "S3 was not asked");
    }

    #[tokio::test]
    async fn only_the_first_are_named_and_all_are_counted() {
        let names: Vec<_> = (0..MAX_NAMED + BATCH + 1).map(|n| format!("{n:08}")).collect();
        let source =
            stream::iter(names.iter().enumerate().map(|(at, name)| object(name, -(at as i64), 1)));
        let lag = Lag::between(source, stream::iter([])).await.expect("a comparison");
        assert_eq!((lag.absent, lag.named.len()), (names.len() as u64, MAX_NAMED));
        assert_eq!(lag.oldest.map(|oldest| oldest.object.key).as_ref(), names.last());
        assert_eq!(lag.ages.objects(), names.len() as u64);
    }

    #[tokio::test]
    async fn lists_of_different_lengths_are_compared_to_their_ends() {
        let list =
            |keys: &'static [&'static str]| stream::iter(keys.iter().map(|key| object(key, 1, 1)));
        let lag = Lag::between(list(&["a", "b"]), list(&[])).await.expect("a comparison");
        assert_eq!((lag.absent, lag.surplus), (2, 0));
        let lag = Lag::between(list(&[]), list(&["a", "b"])).await.expect("a comparison");
        assert_eq!((lag.absent, lag.surplus, lag.oldest), (0, 2, None));
        let disordered =
            Lag::between(list(&["b", "a"]), list(&[])).await.expect_err("not in order");
        assert_eq!(disordered.kind(), ErrorKind::InvalidListing);
        let repeated =
            Lag::between(list(&["a"]), list(&["a", "a"])).await.expect_err("a repeated key");
        assert_eq!(repeated.kind(), ErrorKind::InvalidListing);
    }
}
