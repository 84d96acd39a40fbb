//! Comparisons of an object with a file or another object, before a transfer and instead of one.

use std::{
    collections::HashSet,
    fmt,
    fs::File,
    io::{self, Read},
    sync::Arc,
    time::{Duration, SystemTime},
};

use futures_util::{Stream, TryStreamExt as _};
use sealwax_files::{FileState, ReadAt};
use sealwax_s3::{
    Error, ErrorKind, Get, ListedObject, ObjectInfo, SealedClient,
    envelope::{EncryptedDataKey, Keyring, WrapContext, geometry},
};
use tokio::task::spawn_blocking;

use crate::failure::Failure;

/// Way of finding out whether a transfer is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparison {
    /// It is needed.
    None,
    /// By metadata of the object, which nothing authenticates.
    Metadata,
    /// By the content: the object is opened.
    Content,
}

/// Knowledge about a file and a listed object, without a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ByListing {
    /// Neither has changed since the one was made from the other.
    Unchanged,
    /// The lengths differ.
    Differs,
    /// Only the object's metadata or its content tells.
    Unknown,
}

/// Time between reading a file and storing its object in which a change may go unnoticed. A longer
/// upload is compared with its file afterwards.
const MARGIN: Duration = Duration::from_secs(2);

/// Times of a store's listings, by the local clock.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct StoreTimes {
    /// Seconds by which the local clock is ahead of the store's.
    pub(crate) local_ahead: i64,
}

impl StoreTimes {
    /// Compares a file with the object that was made from it.
    ///
    /// A file of the same length, which was not written, renamed or given another time or mode since
    /// the object was stored, is what was stored.
    pub(crate) fn file_with_its_object(self, file: &FileState, object: &ListedObject) -> ByListing {
        self.compare(file, object, |stored| file.changed().max(file.modified()) + MARGIN < stored)
    }

    /// Compares an object with the file that was made from it.
    ///
    /// A file of the same length that was made after the object was stored, and has a modification time
    /// from before, is its content, unless another file of that age was put in its place.
    pub(crate) fn object_with_its_file(self, object: &ListedObject, file: &FileState) -> ByListing {
        // Listings tell whole seconds: what was stored in the same second may be newer.
        self.compare(file, object, |stored| {
            file.modified() <= stored && stored + MARGIN < file.changed()
        })
    }

    fn compare(
        self,
        file: &FileState,
        object: &ListedObject,
        is_unchanged: impl FnOnce(SystemTime) -> bool,
    ) -> ByListing {
        let Some(len) = object.size.and_then(geometry::plaintext_len) else {
            return ByListing::Differs;
        };
        if len != file.len {
            return ByListing::Differs;
        }
        match stored_at(object).and_then(|stored| self.local(stored)) {
            Some(stored) if is_unchanged(stored) => ByListing::Unchanged,
            _ => ByListing::Unknown,
        }
    }

    /// Returns a time of the store by the local clock.
    fn local(self, time: SystemTime) -> Option<SystemTime> {
        let shift = Duration::from_secs(self.local_ahead.unsigned_abs());
        match self.local_ahead < 0 {
            true => time.checked_sub(shift),
            false => time.checked_add(shift),
        }
    }
}

/// Returns the time at which a listed object was stored.
pub(crate) fn stored_at(object: &ListedObject) -> Option<SystemTime> {
    object.last_modified.and_then(|time| time.try_into().ok())
}

/// Properties, beside the content, in which an object is not what a command would store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Differences(Vec<&'static str>);

impl Differences {
    /// Adds `property` if it differs.
    pub(crate) fn add(&mut self, differs: bool, property: &'static str) {
        if differs {
            self.0.push(property);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Differences {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(" and "))
    }
}

/// `true` if the object claims a wrapped key under each wrapping key of `keyring`, or if all of its
/// keys are in the key store, where they are changed.
pub(crate) fn has_keys_of(info: &ObjectInfo, keyring: &dyn Keyring) -> bool {
    let names = |key: &EncryptedDataKey| (key.provider().to_owned(), key.wrapping_key().to_owned());
    let has: HashSet<_> = info.keys().iter().map(names).collect();
    let expected = keyring.expected_keys(&WrapContext::for_names());
    let is_detached = info.header().is_some_and(|header| !header.detached().is_empty());
    is_detached && has.is_empty() || expected.iter().map(names).all(|key| has.contains(&key))
}

/// Returns an object's tags in a fixed order; `None` if the store or the role does not tell them.
pub(crate) async fn tags_of(
    client: &SealedClient,
    (bucket, key): (&str, &str),
) -> Option<Vec<(String, String)>> {
    let answer = client.s3().get_object_tagging().bucket(bucket).key(key).send().await.ok()?;
    let tags = answer.tag_set.into_iter().map(|tag| (tag.key, tag.value));
    let mut tags: Vec<_> = tags.collect();
    tags.sort_unstable();
    Some(tags)
}

/// Describes the object if it opens, and its plaintext is the content of `file`, whose state was
/// `state`.
///
/// An object that is gone, not sealed or damaged has not that content.
///
/// # Errors
/// The object may be genuine and cannot be read; or the file cannot be read.
pub(crate) async fn having_content(
    get: Get,
    file: Arc<File>,
    state: FileState,
) -> Result<Option<ObjectInfo>, Failure> {
    match with_content(get, file, state).await {
        Err(failure) if failure.kind().is_some_and(is_other_kind) => Ok(None),
        info => info,
    }
}

/// Describes the object if its plaintext is the content of `file`, whose state was `state`.
///
/// # Errors
/// The object does not open, or the file cannot be read.
pub(crate) async fn with_content(
    get: Get,
    file: Arc<File>,
    state: FileState,
) -> Result<Option<ObjectInfo>, Failure> {
    let object = get.send().await?;
    if !object.info().plaintext_lens().contains(&state.len) {
        return Ok(None);
    }
    let info = object.info().clone();
    let (mut pieces, mut offset) = (object.into_stream(), 0);
    while let Some(piece) = pieces.try_next().await? {
        let (file, len) = (Arc::clone(&file), piece.len() as u64);
        let compared =
            spawn_blocking(move || starts_with(&mut ReadAt::new(&file, offset), &piece)).await;
        let compared = compared.map_err(Failure::other)?;
        if !compared.map_err(|error| Failure::io("cannot read the file", error))? {
            return Ok(None);
        }
        offset += len;
    }
    Ok((offset == state.len).then_some(info))
}

/// `true` if the failure shows that an object has not the wanted content.
pub(crate) fn is_other(error: &Error) -> bool {
    is_other_kind(error.kind())
}

fn is_other_kind(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::Authentication
            | ErrorKind::ContextMismatch
            | ErrorKind::Malformed
            | ErrorKind::NotFound
            | ErrorKind::NotSealed
            | ErrorKind::PlaceMismatch
            | ErrorKind::Shredded
            | ErrorKind::Truncated
    )
}

/// `true` if the next bytes of `source` are these.
fn starts_with(source: &mut impl Read, expected: &[u8]) -> io::Result<bool> {
    let mut buffer = vec![0; expected.len().min(256 << 10)];
    for expected in expected.chunks(buffer.len().max(1)) {
        let actual = &mut buffer[..expected.len()];
        match source.read_exact(actual) {
            Ok(()) if actual == expected => {}
            Ok(()) => return Ok(false),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

/// `true` if two streams have the same bytes, however they are cut into pieces.
///
/// # Errors
/// Either stream fails.
pub(crate) async fn are_same<B: AsRef<[u8]> + Send>(
    one: impl Stream<Item = Result<B, Error>> + Send,
    other: impl Stream<Item = Result<B, Error>> + Send,
) -> Result<bool, Error> {
    let (mut one, mut other) = (std::pin::pin!(one), std::pin::pin!(other));
    let (mut left, mut right) = (Rest::default(), Rest::default());
    loop {
        while left.rest().is_empty()
            && let Some(piece) = one.try_next().await?
        {
            left = Rest { piece: Some(piece), used: 0 };
        }
        while right.rest().is_empty()
            && let Some(piece) = other.try_next().await?
        {
            right = Rest { piece: Some(piece), used: 0 };
        }
        let len = left.rest().len().min(right.rest().len());
        if len == 0 {
            return Ok(left.rest().is_empty() && right.rest().is_empty());
        }
        if left.rest()[..len] != right.rest()[..len] {
            return Ok(false);
        }
        (left.used, right.used) = (left.used + len, right.used + len);
    }
}

/// A piece of a stream, of which some bytes were compared.
struct Rest<B> {
    piece: Option<B>,
    used: usize,
}

impl<B> Default for Rest<B> {
    fn default() -> Self {
        Self { piece: None, used: 0 }
    }
}

impl<B: AsRef<[u8]>> Rest<B> {
    fn rest(&self) -> &[u8] {
        self.piece.as_ref().map_or(&[], |piece| &piece.as_ref()[self.used..])
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Write as _};

    use futures_util::{FutureExt as _, stream};

    use super::*;

    fn object(size: u64, stored: SystemTime) -> ListedObject {
        let mut object = ListedObject::new("b", "k");
        (object.size, object.last_modified) = (Some(size), Some(stored.into()));
        object
    }

    #[test]
    fn a_listing_shows_what_is_unchanged() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        fs::write(&path, "text").expect("written");
        let state = FileState::from(&fs::metadata(&path).expect("there"));
        let sealed_len = |len: u64| {
            (len..).find(|stored| geometry::plaintext_len(*stored) == Some(len)).expect("a length")
        };
        let second = Duration::from_secs(1);
        let times = StoreTimes::default();
        let up = |size, stored| times.file_with_its_object(&state, &object(size, stored));
        let down = |size, stored| times.object_with_its_file(&object(size, stored), &state);
        let (changed, four) = (state.changed(), sealed_len(4));
        assert_eq!(up(four, changed + 3 * second), ByListing::Unchanged);
        assert_eq!(up(four, changed + second), ByListing::Unknown, "too close");
        assert_eq!(up(four, changed - second), ByListing::Unknown, "the file is newer");
        assert_eq!(up(four + 1, changed + second), ByListing::Differs);
        assert_eq!(
            up(0, changed + second),
            ByListing::Differs,
            "of no length that a sealed one has"
        );
        // The file was written now, and has the time of a file that was sealed an hour ago.
        let hour = Duration::from_secs(3600);
        assert_eq!(down(four, changed - hour), ByListing::Unknown, "the file was edited since");
        let file = File::options().write(true).open(&path).expect("opened");
        file.set_modified(changed - 2 * hour).expect("set");
        let state = FileState::from(&fs::metadata(&path).expect("there"));
        let down = |size, stored| times.object_with_its_file(&object(size, stored), &state);
        assert_eq!(down(four, changed - hour), ByListing::Unchanged);
        assert_eq!(down(four, state.changed() + second), ByListing::Unknown, "the object is newer");
        assert_eq!(down(four + 1, changed - hour), ByListing::Differs);
        // A file that was moved here after the upload is not known, whatever its modification time.
        let up = |size, stored| times.file_with_its_object(&state, &object(size, stored));
        assert_eq!(up(four, changed - hour), ByListing::Unknown);
        // The store's clock is two hours ahead.
        let times = StoreTimes { local_ahead: -7200 };
        let up = |stored| times.file_with_its_object(&state, &object(four, stored));
        assert_eq!(up(changed + hour), ByListing::Unknown);
        assert_eq!(up(changed + 3 * hour), ByListing::Unchanged);
    }

    #[test]
    fn streams_are_compared_however_they_are_cut() {
        let is = |one: &[&'static str], other: &[&'static str]| {
            let stream = |pieces: &[&'static str]| {
                stream::iter(pieces.iter().map(|it| Ok(it.as_bytes())).collect::<Vec<_>>())
            };
            let same = are_same(stream(one), stream(other)).now_or_never();
            same.expect("nothing waits").expect("no error")
        };
        assert!(is(&[], &[""]) && is(&["ab", "c"], &["a", "", "bc"]) && is(&["a"], &["a"]));
        assert!(!is(&["a"], &[]) && !is(&["a", "b"], &["a"]) && !is(&["ab"], &["ac"]));
    }

    #[test]
    fn a_file_begins_with_the_expected_bytes() {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(b"abcdef").expect("written");
        let begins = |expected: &[u8]| {
            use std::io::Seek as _;
            let mut file = file.try_clone().expect("cloned");
            file.rewind().expect("rewound");
            starts_with(&mut file, expected).expect("read")
        };
        assert!(begins(b"") && begins(b"abc") && begins(b"abcdef"));
        assert!(!begins(b"abd") && !begins(b"abcdefg"));
    }
}
