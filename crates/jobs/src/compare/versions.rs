//! The versions of each key in a listing, reduced to those that a comparison needs.

use std::{pin::Pin, time::SystemTime};

use futures_core::Stream;
use futures_util::{StreamExt as _, stream};
use sealwax_s3::{Error, ErrorKind, ListedObject};

/// Versions of one key.
#[derive(Debug, Clone, Default)]
pub(super) struct Versions {
    pub(super) key: String,
    /// The newest version; `None` if the object is deleted.
    pub(super) newest: Option<ListedObject>,
    /// The newest version that is older than the time.
    pub(super) base: Option<ListedObject>,
    /// `true` if a version was stored since the time, or has no time.
    pub(super) is_touched: bool,
}

impl Versions {
    fn add(&mut self, version: ListedObject, since: SystemTime) {
        let stored = version.last_modified.and_then(|time| SystemTime::try_from(time).ok());
        if version.is_latest != Some(false) {
            self.newest = Some(version.clone());
        }
        if stored.is_none_or(|stored| stored >= since) {
            self.is_touched = true;
        } else if self.base.is_none() {
            self.base = Some(version);
        }
    }
}

/// Groups a listing of versions by key, in constant memory.
///
/// A listing whose keys are not in the order of their bytes is [`ErrorKind::InvalidListing`].
pub(super) fn by_key(
    listing: impl Stream<Item = Result<ListedObject, Error>> + Send + 'static,
    since: SystemTime,
) -> Pin<Box<dyn Stream<Item = Result<Versions, Error>> + Send>> {
    let listing = Box::pin(listing);
    let grouped = stream::try_unfold(
        (listing, None::<ListedObject>),
        move |(mut listing, first)| async move {
            let first = match first {
                Some(first) => first,
                None => match listing.next().await.transpose()? {
                    Some(first) => first,
                    None => return Ok(None),
                },
            };
            let mut versions = Versions { key: first.key.clone(), ..Versions::default() };
            versions.add(first, since);
            loop {
                match listing.next().await.transpose()? {
                    Some(next) if next.key == versions.key => versions.add(next, since),
                    Some(next) if next.key.as_bytes() < versions.key.as_bytes() => {
                        let message = "the keys are not in order, so they cannot be compared";
                        let kind = ErrorKind::InvalidListing;
                        return Err(Error::new("list", next.to_string(), kind, message));
                    }
                    next => return Ok(Some((versions, (listing, next)))),
                }
            }
        },
    );
    Box::pin(grouped)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use aws_sdk_s3::primitives::DateTime;
    use futures_util::TryStreamExt as _;

    use super::*;

    fn version(key: &str, id: &str, seconds: i64, is_latest: bool) -> Result<ListedObject, Error> {
        let mut object = ListedObject::new("b", key).version(id);
        (object.last_modified, object.is_latest) =
            (Some(DateTime::from_secs(seconds)), Some(is_latest));
        Ok(object)
    }

    type Named = (String, Option<String>, Option<String>, bool);

    async fn grouped(listing: Vec<Result<ListedObject, Error>>) -> Result<Vec<Named>, Error> {
        let since = UNIX_EPOCH + Duration::from_secs(100);
        let id = |version: Option<ListedObject>| version.and_then(|version| version.version_id);
        let name = |it: Versions| (it.key, id(it.newest), id(it.base), it.is_touched);
        by_key(stream::iter(listing), since).map_ok(name).try_collect().await
    }

    #[tokio::test]
    async fn the_newest_version_and_the_one_before_the_time_are_kept() {
        let listing = vec![
            version("a", "3", 300, true),
            version("a", "2", 100, false),
            version("a", "1", 99, false),
            version("a", "0", 1, false),
            version("b", "1", 99, true),
            version("c", "1", 99, false),
            version("d", "1", 100, true),
        ];
        let text = |text: &str| Some(text.to_owned());
        let expected = [
            ("a".to_owned(), text("3"), text("1"), true),
            ("b".to_owned(), text("1"), text("1"), false),
            ("c".to_owned(), None, text("1"), false),
            ("d".to_owned(), text("1"), None, true),
        ];
        assert_eq!(grouped(listing).await.expect("in order"), expected);
        assert_eq!(grouped(vec![]).await.expect("none"), []);
    }

    #[tokio::test]
    async fn keys_out_of_order_are_an_error() {
        let listing = vec![version("b", "1", 1, true), version("a", "1", 1, true)];
        let error = grouped(listing).await.expect_err("not in order");
        assert_eq!(error.kind(), ErrorKind::InvalidListing);
    }
}
