//! Listings of folders: all objects, or one level.

use std::pin::Pin;

use futures_util::{Stream, TryStreamExt as _, stream};
use sealwax_jobs::{listing::Listing, merge::Keyed};
use sealwax_s3::{ListPages, ListedObject, SealedClient};

use crate::{
    args::{FilterArgs, Prefix},
    failure::Failure,
    lister::Lister,
};

/// Object in a folder.
#[derive(Debug, Clone)]
pub(crate) struct Listed {
    pub(crate) object: ListedObject,
    /// Key, relative to the folder.
    pub(crate) relative: String,
}

impl Keyed for Listed {
    fn key(&self) -> &str {
        &self.relative
    }
}

/// Lists the objects in a folder and its subfolders that the filter accepts.
pub(crate) fn objects<'a>(
    lister: impl Into<Lister<'a>>,
    folder: &Prefix,
    filter: FilterArgs,
) -> Pin<Box<dyn Stream<Item = Result<Listed, Failure>> + Send>> {
    let is_meant = move |listed: &Listed| {
        let Listed { relative, .. } = listed;
        std::future::ready(!relative.is_empty() && filter.takes(relative))
    };
    Box::pin(all_in(lister.into(), folder).try_filter(is_meant))
}

/// Lists the same objects and the folder's own marker object, if the filter accepts everything.
pub(crate) fn objects_and_folder<'a>(
    lister: impl Into<Lister<'a>>,
    folder: &Prefix,
    filter: FilterArgs,
) -> Pin<Box<dyn Stream<Item = Result<Listed, Failure>> + Send>> {
    if !filter.takes_all() {
        return objects(lister, folder, filter);
    }
    Box::pin(all_in(lister.into(), folder))
}

/// Lists the stored lengths of the objects that [`objects`] lists, in bytes.
pub(crate) fn lengths(
    client: &SealedClient,
    folder: &Prefix,
    filter: &FilterArgs,
) -> impl FnOnce() -> Pin<Box<dyn Stream<Item = Result<u64, Failure>> + Send>> + Send + Sync + use<>
{
    let (client, folder, filter) = (client.clone(), folder.clone(), filter.clone());
    move || {
        let objects = objects(&client, &folder, filter);
        Box::pin(objects.map_ok(|listed| listed.object.size.unwrap_or_default()))
    }
}

/// Lists all objects whose keys begin with the folder's.
fn all_in(
    lister: Lister<'_>,
    folder: &Prefix,
) -> impl Stream<Item = Result<Listed, Failure>> + Send + use<> {
    let prefix = folder.key.clone();
    let listed = move |object: ListedObject| Listed {
        // A listing has no other keys.
        relative: object.key.strip_prefix(&prefix).unwrap_or_default().to_owned(),
        object,
    };
    lister.objects(&folder.bucket, &folder.key).map_ok(listed).map_err(Failure::from)
}

/// Versions that a listing has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Versions {
    Latest,
    All,
}

/// Lists all objects under a prefix, or all of their versions.
pub(crate) fn beginning_with<'a>(
    lister: impl Into<Lister<'a>>,
    prefix: &Prefix,
    versions: Versions,
) -> Listing {
    let lister = lister.into();
    match versions {
        Versions::Latest => lister.objects(&prefix.bucket, &prefix.key),
        Versions::All => lister.versions(&prefix.bucket, &prefix.key),
    }
}

/// Entry of one level.
#[derive(Debug)]
pub(crate) enum Entry {
    /// Folder: the common prefix of its keys, with the trailing slash.
    Folder(String),
    Object(ListedObject),
}

impl Entry {
    pub(crate) fn key(&self) -> &str {
        match self {
            Self::Folder(key) => key,
            Self::Object(object) => &object.key,
        }
    }
}

/// Lists one level: the entries under `prefix` up to the next slash.
pub(crate) fn level<'a>(
    lister: impl Into<Lister<'a>>,
    prefix: &Prefix,
    versions: Versions,
) -> Pin<Box<dyn Stream<Item = Result<Entry, Failure>> + Send>> {
    let lister = lister.into();
    let (s3, key_store) = (lister.s3(), lister.key_store());
    let (key_store, named) = (key_store.clone(), prefix.key.clone());
    let pages = match versions {
        Versions::Latest => ListPages::objects(s3, &prefix.bucket, &prefix.key),
        Versions::All => ListPages::versions(s3, &prefix.bucket, &prefix.key),
    };
    let pages = pages.delimiter("/");
    let next = async |mut pages: ListPages| {
        let Some(page) = pages.next_page().await? else { return Ok(None) };
        let folders = page.folders.into_iter().map(Entry::Folder);
        let mut entries: Vec<_> =
            folders.chain(page.objects.into_iter().map(Entry::Object)).collect();
        entries.sort_by(|one, other| one.key().cmp(other.key()));
        Ok::<_, Failure>(Some((stream::iter(entries.into_iter().map(Ok)), pages)))
    };
    let is_meant = move |entry: &Entry| !key_store.leaves_alone(&named, entry.key());
    let entries = stream::try_unfold(pages, next).try_flatten();
    Box::pin(entries.try_filter(move |entry| std::future::ready(is_meant(entry))))
}
