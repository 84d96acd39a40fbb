//! Arguments that select the objects of a bulk command.

use std::{
    future::ready,
    pin::Pin,
    task::{Context, Poll},
};

use clap::Args;
use futures_util::{Stream, TryStreamExt as _};
use sealwax_jobs::listing::{LeftAloneCounter, Listing, ManifestLocation};
use sealwax_s3::{Error, ListedObject, SealedClient};

use super::prefix::Prefix;
use crate::lister::Lister;

/// Objects of a bulk command.
#[derive(Debug, Args)]
pub(crate) struct ObjectsArgs {
    /// Bucket, and prefix of the keys
    #[arg(value_name = "s3://BUCKET[/PREFIX]")]
    pub(crate) prefix: Prefix,

    /// Only the object with exactly this key
    #[arg(long, conflicts_with_all = ["inventory", "stdin"], help_heading = "Which objects")]
    pub(crate) exact: bool,

    /// All versions, not only the latest
    #[arg(long, conflicts_with_all = ["inventory", "stdin"], help_heading = "Which objects")]
    pub(crate) versions: bool,

    /// Objects of an S3 Inventory: its `manifest.json`, in S3 or a local directory; objects with
    /// another prefix are skipped
    #[arg(long, value_name = "MANIFEST", conflicts_with = "stdin", help_heading = "Which objects")]
    pub(crate) inventory: Option<ManifestLocation>,

    /// Objects that standard input lists, one a line: a key, `s3://BUCKET/KEY`, or JSON with `key`
    /// and optionally `version_id`
    #[arg(long, help_heading = "Which objects")]
    pub(crate) stdin: bool,

    /// Number of objects in parallel
    #[arg(long, value_name = "NUMBER", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) concurrency: u16,
}

impl ObjectsArgs {
    /// Returns the objects that a report does not show because of these arguments, in full
    /// sentences. `verb` is what `--versions` does to older versions.
    pub(crate) fn left_out(&self, verb: &str) -> Vec<String> {
        let mut left_out = Vec::new();
        if !self.versions && self.inventory.is_none() && !self.stdin {
            left_out.push(format!("Older versions of the objects: --versions {verb} them."));
        }
        let others = if self.inventory.is_some() {
            "Objects that were stored after the inventory, and objects of other prefixes."
        } else if self.stdin {
            "Objects that the list on standard input does not name."
        } else if self.exact {
            "Other objects of the bucket."
        } else if !self.prefix.key.is_empty() {
            "Objects outside of the prefix."
        } else {
            return left_out;
        };
        left_out.push(others.to_owned());
        left_out
    }
}

/// Objects of a listing.
pub(crate) struct Objects {
    objects: Pin<Box<dyn Stream<Item = Result<ListedObject, Error>> + Send>>,
    left_alone: LeftAloneCounter,
}

impl Objects {
    /// Returns the counter of the objects in a key store that the listing leaves alone.
    pub(crate) fn left_alone(&self) -> LeftAloneCounter {
        self.left_alone.clone()
    }

    /// Leaves out the objects that are not `wanted`.
    fn filter(self, wanted: impl Fn(&ListedObject) -> bool + Send + 'static) -> Self {
        let objects = Box::pin(self.objects.try_filter(move |object| ready(wanted(object))));
        Self { objects, ..self }
    }

    /// Calls `each` with each object.
    pub(crate) fn inspect(self, each: impl Fn(&ListedObject) + Send + 'static) -> Self {
        Self { objects: Box::pin(self.objects.inspect_ok(each)), ..self }
    }
}

impl From<Listing> for Objects {
    fn from(listing: Listing) -> Self {
        Self { left_alone: listing.left_alone_counter(), objects: Box::pin(listing) }
    }
}

impl Stream for Objects {
    type Item = Result<ListedObject, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.objects.as_mut().poll_next(context)
    }
}

/// Source of a bulk command's objects.
#[derive(Debug, Clone, Copy)]
pub(crate) enum ObjectSource<'a> {
    /// The bucket: the latest versions of keys that begin with the prefix.
    Prefix,
    /// The bucket: the latest version of the object with exactly this key.
    Single,
    /// The bucket: all versions of keys that begin with the prefix.
    Versions,
    /// An S3 Inventory.
    Inventory(&'a ManifestLocation),
    /// Lines of standard input.
    Stdin,
}

impl ObjectSource<'_> {
    /// Lists the objects under `prefix`. Objects that standard input names are not filtered.
    pub(crate) fn list(self, client: &SealedClient, prefix: &Prefix) -> Objects {
        let (Prefix { bucket, key }, lister) = (prefix.clone(), Lister::from(client));
        let listing = match self {
            Self::Prefix | Self::Single => lister.objects(&bucket, &key),
            Self::Versions => lister.versions(&bucket, &key),
            Self::Inventory(manifest) => lister.inventory(manifest.clone(), &key),
            Self::Stdin => Listing::lines(tokio::io::stdin(), Some(bucket.clone())),
        };
        let (all, single) = (matches!(self, Self::Stdin), matches!(self, Self::Single));
        let wanted = move |object: &ListedObject| {
            let is_named = if single { object.key == key } else { object.key.starts_with(&key) };
            all || object.bucket == bucket && is_named
        };
        Objects::from(listing).filter(wanted)
    }

    /// Returns the listing's name. It is part of a job's identity, so it must stay the same.
    pub(crate) fn name(self, prefix: &Prefix) -> String {
        match self {
            Self::Inventory(manifest) => format!("the inventory {manifest} of {prefix}"),
            Self::Stdin => format!("standard input, of {prefix}"),
            Self::Versions => format!("all versions of {prefix}"),
            Self::Prefix => prefix.to_string(),
            Self::Single => format!("the object {prefix}"),
        }
    }

    /// `true` if S3 lists the objects now, as they are.
    pub(crate) fn is_live(self) -> bool {
        matches!(self, Self::Prefix | Self::Single | Self::Versions)
    }

    /// Lists the same objects again, to count them; `None` if they can be read only once.
    pub(crate) fn list_again(self, client: &SealedClient, prefix: &Prefix) -> Option<Objects> {
        (!matches!(self, Self::Stdin)).then(|| self.list(client, prefix))
    }
}

impl ObjectsArgs {
    fn source(&self) -> ObjectSource<'_> {
        match &self.inventory {
            Some(manifest) => ObjectSource::Inventory(manifest),
            None if self.stdin => ObjectSource::Stdin,
            None if self.versions => ObjectSource::Versions,
            None => ObjectSource::Prefix,
        }
    }

    /// Lists the objects by `client`.
    pub(crate) fn list(&self, client: &SealedClient) -> Objects {
        self.exact_only(self.source().list(client, &self.prefix))
    }

    /// Lists the same objects again, to count them; `None` if they can be read only once.
    pub(crate) fn list_again(&self, client: &SealedClient) -> Option<Objects> {
        self.source().list_again(client, &self.prefix).map(|objects| self.exact_only(objects))
    }

    /// Leaves out all other keys if `--exact` is set. Objects that standard input names are not
    /// filtered.
    fn exact_only(&self, objects: Objects) -> Objects {
        if !self.exact || self.stdin {
            return objects;
        }
        let key = self.prefix.key.clone();
        objects.filter(move |object| object.key == key)
    }
}
