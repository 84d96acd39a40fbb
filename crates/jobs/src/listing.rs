//! Objects for a job: from a bucket's listing, an S3 Inventory or lines of text.

#[cfg(feature = "inventory")]
pub(crate) mod inventory;
mod lines;
#[cfg(feature = "inventory")]
mod location;

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
};

use aws_sdk_s3::Client;
use futures_core::Stream;
use sealwax_s3::{Error, ErrorKind, KeyStorePolicy, ListPages, ListedObject};
use tokio::io::AsyncRead;

#[cfg(feature = "inventory")]
pub use self::location::ManifestLocation;
use crate::background::{self, Background, ReceiverClosed};

/// Output of the task that lists objects.
type Output = background::Output<ListedObject>;

/// The objects for a job: a [`Stream`] in constant memory.
///
/// The objects of a key store are left alone, unless the prefix leads there by itself: no job rewraps,
/// copies or deletes them by accident. [`lines`](Self::lines) name each object, and are not filtered.
///
/// It ends after an error; a listing that ends without an error is complete. Delete markers are left
/// out. A task on the current runtime lists up to 1,000 objects ahead of the reader.
///
/// ```no_run
/// # async fn example(s3: sealwax_s3::aws_sdk_s3::Client) -> Result<(), sealwax_s3::Error> {
/// use futures_util::TryStreamExt as _;
/// use sealwax_jobs::listing::Listing;
///
/// let mut listing = Listing::objects(&s3, "bucket", "2026/");
/// while let Some(object) = listing.try_next().await? {
///     println!("{object}: {:?} bytes", object.size);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Listing {
    objects: Background<ListedObject>,
    /// Prefix that the caller named; `None` if the caller named each object.
    named: Option<String>,
    key_store: KeyStorePolicy,
    left_alone: LeftAloneCounter,
}

/// Objects of a key store that a [`Listing`] left alone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LeftAlone {
    /// Number of objects, or of versions.
    pub objects: u64,
    /// Length of their stored bodies in bytes.
    pub bytes: u64,
}

/// Count of what a [`Listing`] leaves alone, while a job reads it.
#[derive(Debug, Clone, Default)]
pub struct LeftAloneCounter(Arc<Mutex<LeftAlone>>);

impl LeftAloneCounter {
    /// Returns the count so far.
    #[must_use]
    pub fn so_far(&self) -> LeftAlone {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, object: &ListedObject) {
        let mut count = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        count.objects += 1;
        // The store claims the lengths.
        count.bytes = count.bytes.saturating_add(object.size.unwrap_or_default());
    }
}

impl Listing {
    /// Lists the latest versions of the objects whose keys begin with `prefix`, by `ListObjectsV2`.
    #[must_use]
    pub fn objects(s3: &Client, bucket: impl Into<String>, prefix: impl Into<String>) -> Self {
        let prefix = prefix.into();
        let pages = ListPages::objects(s3, bucket, &prefix);
        Self::spawn(Some(prefix), |output| all(pages, output))
    }

    /// Lists all versions of the objects whose keys begin with `prefix`, by `ListObjectVersions`.
    #[must_use]
    pub fn versions(s3: &Client, bucket: impl Into<String>, prefix: impl Into<String>) -> Self {
        let prefix = prefix.into();
        let pages = ListPages::versions(s3, bucket, &prefix);
        Self::spawn(Some(prefix), |output| all(pages, output))
    }

    /// Lists the objects of an S3 Inventory in CSV, or in Parquet with the feature `parquet`.
    ///
    /// Each inventory file is fetched to a temporary file when its turn comes, and read only if its
    /// MD5 matches the manifest. The files of a manifest in S3 are in the same bucket. The files of
    /// a local manifest are searched by their keys in the directories above it, where
    /// `aws s3 sync` puts them, then in the inventory's bucket. (Amazon S3 User Guide, "Locating
    /// your inventory list".)
    #[cfg(feature = "inventory")]
    #[must_use]
    pub fn inventory(s3: &Client, manifest: ManifestLocation) -> Self {
        let s3 = s3.clone();
        Self::spawn(Some(String::new()), |output| async move {
            inventory::objects(&s3, &manifest, &output).await
        })
    }

    /// Lists the objects that the lines of a text in UTF-8 name. A line is a key in `bucket`,
    /// `s3://BUCKET/KEY`, or a JSON object: with `key` and optionally `bucket` and `version_id`, or
    /// with `object` as `s3://BUCKET/KEY`. A JSON object with `summary` alone, as at the end of a
    /// report, is skipped.
    ///
    /// Use a JSON object for a key that begins with `s3://` or `{` or holds a line break.
    #[must_use]
    pub fn lines(text: impl AsyncRead + Send + Unpin + 'static, bucket: Option<String>) -> Self {
        Self::spawn(None, |output| async move { lines::objects(text, bucket, &output).await })
    }

    fn spawn<F: Future<Output = Result<(), Error>> + Send + 'static>(
        named: Option<String>,
        work: impl FnOnce(Output) -> F,
    ) -> Self {
        let objects = Background::spawn(("list", "the list", ErrorKind::InvalidListing), work);
        let (key_store, left_alone) = (KeyStorePolicy::off(), LeftAloneCounter::default());
        Self { objects, named, key_store, left_alone }
    }

    /// Leaves the objects of this key store alone too, beside those below the default prefix.
    #[must_use]
    pub fn key_store(self, key_store: &KeyStorePolicy) -> Self {
        Self { key_store: key_store.clone(), ..self }
    }

    /// Sets the prefix that the caller named, of a list that has other objects too: an inventory.
    #[must_use]
    pub fn named(self, prefix: impl Into<String>) -> Self {
        Self { named: self.named.map(|_| prefix.into()), ..self }
    }

    /// Returns the count of objects that were left alone so far.
    #[must_use]
    pub fn left_alone(&self) -> LeftAlone {
        self.left_alone.so_far()
    }

    /// Returns the counter of [`left_alone`](Self::left_alone), for a listing that a job takes.
    #[must_use]
    pub fn left_alone_counter(&self) -> LeftAloneCounter {
        self.left_alone.clone()
    }

    fn leaves_alone(&self, object: &ListedObject) -> bool {
        let named = self.named.as_deref();
        named.is_some_and(|named| self.key_store.leaves_alone(named, &object.key))
    }
}

impl Stream for Listing {
    type Item = Result<ListedObject, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            let next = ready!(Pin::new(&mut self.objects).poll_next(context));
            match next {
                Some(Ok(object)) if self.leaves_alone(&object) => self.left_alone.add(&object),
                next => return Poll::Ready(next),
            }
        }
    }
}

/// Sends all objects of a bucket's listing.
async fn all(mut pages: ListPages, output: Output) -> Result<(), Error> {
    while let Some(page) = pages.next_page().await? {
        for object in page.objects {
            if let Err(ReceiverClosed) = output.send(object).await {
                return Ok(());
            }
        }
    }
    Ok(())
}
