//! What a replica lacks.

use std::collections::BTreeMap;

use aws_sdk_s3::{Client, primitives::DateTime};
use futures_core::Stream;
use futures_util::{StreamExt as _, TryStreamExt as _, future::join_all};
use sealwax_s3::{Error, ErrorKind, ListedObject};

use super::ReplicationStatus;

/// How many objects that are not replicated are named.
const MAX_NAMED: usize = 1000;
/// How many objects S3 is asked about together.
const TOGETHER: usize = 64;

/// How a replica's listing differs from its source's.
///
/// An object counts as replicated where the replica has one of that key and length that is not older: S3 keeps the time of
/// the source's, and a rewrap of the replica makes it newer. (Amazon S3 User Guide, "What does Amazon S3 replicate?")
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Lag {
    /// Objects of the source.
    pub source_objects: u64,
    /// Objects of the replica.
    pub replica_objects: u64,
    /// Those of the source that the replica does not have.
    pub absent: u64,
    /// Those of which the replica has an older one, or one of another length.
    pub outdated: u64,
    /// Those of the replica that the source does not have: deleted there, say.
    pub surplus: u64,
    /// The oldest object of the source that is absent or outdated: what is lost with the source reaches back to it.
    pub oldest: Option<Unreplicated>,
    /// The first 1,000 objects of the source that are absent or outdated, in the order of their keys.
    pub named: Vec<Unreplicated>,
    /// All of them by what S3 says of their replication, where it was asked.
    pub statuses: BTreeMap<ReplicationStatus, u64>,
}

/// An object of the source that the replica does not have as it is.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Unreplicated {
    /// The object.
    pub object: ListedObject,
    /// Whether the replica has one of that key: an older one, or one of another length.
    pub is_outdated: bool,
    /// What S3 says of its replication, where it was asked.
    pub status: Option<ReplicationStatus>,
}

impl Lag {
    /// Compares two listings of the newest versions, both in the order of their keys' bytes, in constant memory. Keys have to
    /// be equal beneath the prefixes, which each is listed under.
    ///
    /// # Errors
    /// Those of the listings; [`ErrorKind::InvalidListing`] where one is not in order.
    pub async fn between(
        source: impl Stream<Item = Result<ListedObject, Error>> + Send,
        replica: impl Stream<Item = Result<ListedObject, Error>> + Send,
    ) -> Result<Self, Error> {
        Self::compare(None, source, replica).await
    }

    /// As [`Lag::between`], and asks `s3`, which reaches the source, about each object that is absent or outdated: one
    /// `HeadObject` for each. That it cannot be asked is no error, but told of the object.
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
        let (source, replica) = (in_order(source), in_order(replica));
        futures_util::pin_mut!(source, replica);
        let (mut lag, mut behind) = (Self::default(), Vec::new());
        let (mut ours, mut theirs) = (source.try_next().await?, replica.try_next().await?);
        loop {
            let order = match (&ours, &theirs) {
                (Some(ours), Some(theirs)) => ours.key.as_bytes().cmp(theirs.key.as_bytes()),
                (Some(_), None) => std::cmp::Ordering::Less,
                (None, Some(_)) => std::cmp::Ordering::Greater,
                (None, None) => {
                    lag.note(s3, &mut behind).await;
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
                if behind.len() == TOGETHER {
                    lag.note(s3, &mut behind).await;
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

    /// Objects of the source that are not as they should be in the replica.
    #[must_use]
    pub fn unreplicated(&self) -> u64 {
        self.absent + self.outdated
    }

    /// Takes note of objects that are not replicated, and of what S3 says of that.
    async fn note(&mut self, s3: Option<&Client>, behind: &mut Vec<Unreplicated>) {
        let seconds =
            |it: &Unreplicated| it.object.last_modified.as_ref().map_or(i64::MAX, DateTime::secs);
        if let Some(s3) = s3 {
            let statuses =
                join_all(behind.iter().map(|it| ReplicationStatus::of(s3, &it.object))).await;
            for (it, status) in behind.iter_mut().zip(statuses) {
                it.status = Some(status);
                *self.statuses.entry(status).or_default() += 1;
            }
        }
        for it in behind.drain(..) {
            if self.oldest.as_ref().is_none_or(|oldest| seconds(&it) < seconds(oldest)) {
                self.oldest = Some(it.clone());
            }
            if self.named.len() < MAX_NAMED {
                self.named.push(it);
            }
        }
    }
}

fn is_outdated(replica: &ListedObject, source: &ListedObject) -> bool {
    let older = replica
        .last_modified
        .zip(source.last_modified)
        .is_some_and(|(replica, source)| replica.secs() < source.secs());
    older || replica.size.zip(source.size).is_some_and(|(replica, source)| replica != source)
}

/// The listing, or an error where a key does not come after the one before it.
fn in_order(
    listing: impl Stream<Item = Result<ListedObject, Error>> + Send,
) -> impl Stream<Item = Result<ListedObject, Error>> + Send {
    let mut last: Option<String> = None;
    listing.map(move |object| {
        let object = object?;
        if last.as_ref().is_some_and(|last| last.as_bytes() >= object.key.as_bytes()) {
            let message = "its keys are not in order, each once, so that it cannot be compared";
            return Err(Error::new("list", object.to_string(), ErrorKind::InvalidListing, message));
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
    async fn what_is_absent_older_or_of_another_length_is_unreplicated() {
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
        assert!(lag.statuses.is_empty(), "nobody was asked");
    }

    #[tokio::test]
    async fn only_the_first_are_named_and_all_are_counted() {
        let names: Vec<_> = (0..MAX_NAMED + TOGETHER + 1).map(|n| format!("{n:08}")).collect();
        let source =
            stream::iter(names.iter().enumerate().map(|(at, name)| object(name, -(at as i64), 1)));
        let lag = Lag::between(source, stream::iter([])).await.expect("a comparison");
        assert_eq!((lag.absent, lag.named.len()), (names.len() as u64, MAX_NAMED));
        assert_eq!(lag.oldest.map(|oldest| oldest.object.key).as_ref(), names.last());
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
        assert!(Lag::between(list(&["a"]), list(&["a", "a"])).await.is_err());
    }
}
