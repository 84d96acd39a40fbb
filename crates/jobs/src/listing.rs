//! Which objects a job is about: what a bucket lists, an S3 Inventory, or lines of text.

#[cfg(feature = "inventory")]
mod inventory;
mod lines;
#[cfg(feature = "inventory")]
mod location;

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use aws_sdk_s3::Client;
use futures_core::Stream;
use tokio::{
    io::AsyncRead,
    sync::mpsc::{self, Receiver, Sender},
    task::JoinHandle,
};

pub use sealwax_s3::ListedObject;
use sealwax_s3::{Error, ErrorKind, ListPages};

#[cfg(feature = "inventory")]
pub use self::location::ManifestLocation;

/// How many objects a listing is ahead of its reader, at most: a page of S3's.
const AHEAD: usize = 1000;

/// The objects of a job, one after another, in constant memory: a [`Stream`].
///
/// After an error it ends. A listing that ends without one was complete. Delete markers are no objects, and left out.
/// It works in the background on the runtime that it was made on, a thousand objects ahead.
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
    objects: Receiver<Result<ListedObject, Error>>,
    task: Option<JoinHandle<()>>,
}

impl Listing {
    /// The objects whose keys begin with `prefix`, each in its newest version, by `ListObjectsV2`.
    #[must_use]
    pub fn objects(s3: &Client, bucket: impl Into<String>, prefix: impl Into<String>) -> Self {
        let pages = ListPages::objects(s3, bucket, prefix);
        Self::of(|output| all(pages, output))
    }

    /// All versions of the objects whose keys begin with `prefix`, by `ListObjectVersions`.
    #[must_use]
    pub fn versions(s3: &Client, bucket: impl Into<String>, prefix: impl Into<String>) -> Self {
        let pages = ListPages::versions(s3, bucket, prefix);
        Self::of(|output| all(pages, output))
    }

    /// The objects of an S3 Inventory in CSV, or in Parquet with the crate's feature `parquet`.
    ///
    /// Each of its files is fetched to a temporary file as its turn comes, and read once its MD5 is the manifest's. A
    /// manifest in S3 has its files in the same bucket. The files of a local one are looked for under the directories
    /// above it by their keys, as `aws s3 sync` leaves them, then in the inventory's bucket.
    /// (Amazon S3 User Guide, "Locating your inventory list".)
    #[cfg(feature = "inventory")]
    #[must_use]
    pub fn inventory(s3: &Client, manifest: ManifestLocation) -> Self {
        let s3 = s3.clone();
        Self::of(|output| async move { inventory::objects(&s3, &manifest, &output).await })
    }

    /// The objects named by the lines of a text, in UTF-8: a key in `bucket`; or `s3://BUCKET/KEY`; or a JSON object with
    /// `key`, and perhaps `bucket` and `version_id`, or with `object` as `s3://BUCKET/KEY`.
    ///
    /// A key that itself begins with `s3://` or `{`, or holds a line break, is named by a JSON object.
    #[must_use]
    pub fn lines(text: impl AsyncRead + Send + Unpin + 'static, bucket: Option<String>) -> Self {
        Self::of(|output| async move { lines::objects(text, bucket, &output).await })
    }

    /// The objects that `work` gives out.
    fn of<F: Future<Output = Result<(), Error>> + Send + 'static>(
        work: impl FnOnce(Output) -> F,
    ) -> Self {
        let (sender, objects) = mpsc::channel(AHEAD);
        let work = work(Output(sender.clone()));
        let task = tokio::spawn(async move {
            if let Err(error) = work.await {
                // Nobody listens any more: nobody misses it.
                let _ = sender.send(Err(error)).await;
            }
        });
        Self { objects, task: Some(task) }
    }
}

impl Stream for Listing {
    type Item = Result<ListedObject, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(object) = ready!(self.objects.poll_recv(context)) {
            return Poll::Ready(Some(object));
        }
        // A task that died must not look like the end of the list.
        let Some(task) = &mut self.task else { return Poll::Ready(None) };
        let ended = ready!(Pin::new(task).poll(context));
        self.task = None;
        Poll::Ready(ended.err().map(|died| {
            Err(Error::new("list", "the list", ErrorKind::InvalidListing, died.to_string()))
        }))
    }
}

impl Drop for Listing {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// Where a listing's work puts what it finds.
#[derive(Debug, Clone)]
struct Output(Sender<Result<ListedObject, Error>>);

/// Nobody listens any more.
struct Unheard;

impl Output {
    async fn give(&self, object: ListedObject) -> Result<(), Unheard> {
        self.0.send(Ok(object)).await.map_err(|_| Unheard)
    }

    /// From a thread that may wait.
    #[cfg(feature = "inventory")]
    fn give_blocking(&self, object: ListedObject) -> Result<(), Unheard> {
        self.0.blocking_send(Ok(object)).map_err(|_| Unheard)
    }
}

/// Gives out all objects of a bucket's listing.
async fn all(mut pages: ListPages, output: Output) -> Result<(), Error> {
    while let Some(page) = pages.next_page().await? {
        for object in page {
            if let Err(Unheard) = output.give(object).await {
                return Ok(());
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt as _;

    use super::*;

    #[tokio::test]
    async fn a_task_that_dies_is_not_the_end_of_the_list() {
        let mut listing = Listing::of(|output| async move {
            let _ = output.give(ListedObject::new("b", "k")).await;
            panic!("by this test");
        });
        assert!(listing.next().await.expect("an object").is_ok());
        let error = listing.next().await.expect("more").expect_err("the panic");
        assert_eq!(error.kind(), ErrorKind::InvalidListing);
        assert!(listing.next().await.is_none());
    }
}
