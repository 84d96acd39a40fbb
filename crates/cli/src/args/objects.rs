//! Which objects a command is about.

use std::pin::Pin;

use aws_sdk_s3::Client;
use clap::Args;
use futures_util::{Stream, TryStreamExt as _};
use sealwax_jobs::listing::{Listing, ManifestLocation};
use sealwax_s3::{Error, ListedObject};

use super::prefix::Prefix;

/// Which objects.
#[derive(Debug, Args)]
pub(crate) struct ObjectsArgs {
    /// The bucket, and what the keys begin with
    #[arg(value_name = "s3://BUCKET[/PREFIX]")]
    pub(crate) prefix: Prefix,

    /// Only the object with just this key
    #[arg(long, conflicts_with_all = ["inventory", "stdin"], help_heading = "Which objects")]
    pub(crate) exact: bool,

    /// All versions, not the newest alone
    #[arg(long, conflicts_with_all = ["inventory", "stdin"], help_heading = "Which objects")]
    pub(crate) versions: bool,

    /// Those of an S3 Inventory: its `manifest.json`, in S3 or in a local directory; objects of other prefixes are left out
    #[arg(long, value_name = "MANIFEST", conflicts_with = "stdin", help_heading = "Which objects")]
    pub(crate) inventory: Option<ManifestLocation>,

    /// Those that standard input names, a line each: a key of the bucket, `s3://BUCKET/KEY`, or JSON with `key` and perhaps
    /// `version_id`
    #[arg(long, help_heading = "Which objects")]
    pub(crate) stdin: bool,

    /// How many objects are worked on together
    #[arg(long, value_name = "NUMBER", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) concurrency: u16,
}

/// Objects of a listing.
pub(crate) type Objects = Pin<Box<dyn Stream<Item = Result<ListedObject, Error>> + Send>>;

/// Where the objects of a bulk command are listed.
#[derive(Debug, Clone, Copy)]
pub(crate) enum ObjectSource<'a> {
    /// The bucket: the newest versions of keys that begin with the prefix.
    Prefix,
    /// The bucket: only the object whose key is the prefix.
    Exact,
    /// The bucket: all versions of keys that begin with the prefix.
    Versions,
    /// An S3 Inventory.
    Inventory(&'a ManifestLocation),
    /// Lines of standard input.
    Stdin,
}

impl ObjectSource<'_> {
    /// Lists the objects under `prefix`. Objects that standard input names are not filtered.
    pub(crate) fn list(self, s3: &Client, prefix: &Prefix) -> Objects {
        let Prefix { bucket, key } = prefix.clone();
        let listing = match self {
            Self::Prefix | Self::Exact => Listing::objects(s3, &bucket, &key),
            Self::Versions => Listing::versions(s3, &bucket, &key),
            Self::Inventory(manifest) => Listing::inventory(s3, manifest.clone()),
            Self::Stdin => Listing::lines(tokio::io::stdin(), Some(bucket.clone())),
        };
        let (all, exact) = (matches!(self, Self::Stdin), matches!(self, Self::Exact));
        let wanted = move |object: &ListedObject| {
            all || object.bucket == bucket
                && if exact { object.key == key } else { object.key.starts_with(&key) }
        };
        Box::pin(listing.try_filter(move |object| std::future::ready(wanted(object))))
    }

    /// Lists the same objects again, to count them; `None` if they can be read only once.
    pub(crate) fn list_again(self, s3: &Client, prefix: &Prefix) -> Option<Objects> {
        (!matches!(self, Self::Stdin)).then(|| self.list(s3, prefix))
    }
}

impl ObjectsArgs {
    fn source(&self) -> ObjectSource<'_> {
        match &self.inventory {
            Some(manifest) => ObjectSource::Inventory(manifest),
            None if self.stdin => ObjectSource::Stdin,
            None if self.versions => ObjectSource::Versions,
            None if self.exact => ObjectSource::Exact,
            None => ObjectSource::Prefix,
        }
    }

    /// Lists the objects by `s3`.
    pub(crate) fn list(&self, s3: &Client) -> Objects {
        self.source().list(s3, &self.prefix)
    }

    /// Lists the same objects again, to count them; `None` if they can be read only once.
    pub(crate) fn list_again(&self, s3: &Client) -> Option<Objects> {
        self.source().list_again(s3, &self.prefix)
    }
}
