//! Which objects a command is about.

use std::pin::Pin;

use aws_sdk_s3::Client;
use clap::Args;
use futures_util::{Stream, TryStreamExt as _};
use sealwax_jobs::listing::{Listing, ManifestLocation};
use sealwax_s3::{Error, ListedObject};

use crate::prefix::Prefix;

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

impl ObjectsArgs {
    /// The same objects as [`ObjectsArgs::list`] gives, to be counted; `None` where they can be had only once.
    pub(crate) fn list_again(&self, s3: &Client) -> Option<Objects> {
        (!self.stdin).then(|| self.list(s3))
    }

    /// The objects, by `s3`.
    pub(crate) fn list(&self, s3: &Client) -> Objects {
        let Prefix { bucket, key } = self.prefix.clone();
        let listing = match &self.inventory {
            Some(manifest) => Listing::inventory(s3, manifest.clone()),
            None if self.stdin => Listing::lines(tokio::io::stdin(), Some(bucket.clone())),
            None if self.versions => Listing::versions(s3, &bucket, &key),
            None => Listing::objects(s3, &bucket, &key),
        };
        // Whoever names an object means it.
        let (all, exact) = (self.stdin, self.exact);
        let wanted = move |object: &ListedObject| {
            all || object.bucket == bucket
                && if exact { object.key == key } else { object.key.starts_with(&key) }
        };
        Box::pin(listing.try_filter(move |object| std::future::ready(wanted(object))))
    }
}
