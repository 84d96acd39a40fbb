//! Listings of folders: all objects, or one level.

use std::pin::Pin;

use aws_sdk_s3::{Client, types::EncodingType};
use futures_util::{Stream, TryStreamExt as _, stream};
use sealwax_jobs::listing::Listing;
use sealwax_s3::{Error, ListedObject};

use crate::{
    args::{FilterArgs, Prefix},
    failure::Failure,
    session::Session,
};

/// Object in a folder.
#[derive(Debug)]
pub(crate) struct Listed {
    pub(crate) object: ListedObject,
    /// Key, relative to the folder.
    pub(crate) relative: String,
}

/// Lists the objects in a folder and its subfolders that the filter accepts.
pub(crate) fn objects(
    s3: &Client,
    folder: &Prefix,
    filter: FilterArgs,
) -> Pin<Box<dyn Stream<Item = Result<Listed, Failure>> + Send>> {
    let skip = folder.key.len();
    let listed = move |object: ListedObject| {
        let relative = object.key[skip..].to_owned();
        let is_meant = !relative.is_empty() && filter.takes(&relative);
        std::future::ready(Ok::<_, Error>(is_meant.then_some(Listed { object, relative })))
    };
    let listing = Listing::objects(s3, &folder.bucket, &folder.key).try_filter_map(listed);
    Box::pin(listing.map_err(Failure::from))
}

/// Lists the same objects and the folder's own marker object, if the filter accepts everything.
pub(crate) fn objects_and_folder(
    s3: &Client,
    folder: &Prefix,
    filter: FilterArgs,
) -> Pin<Box<dyn Stream<Item = Result<Listed, Failure>> + Send>> {
    if !filter.takes_all() {
        return objects(s3, folder, filter);
    }
    let skip = folder.key.len();
    let listing = Listing::objects(s3, &folder.bucket, &folder.key);
    let listed =
        move |object: ListedObject| Listed { relative: object.key[skip..].to_owned(), object };
    Box::pin(listing.map_ok(listed).map_err(Failure::from))
}

/// Lists all objects under a prefix.
pub(crate) fn beginning_with(
    s3: &Client,
    prefix: &Prefix,
) -> impl Stream<Item = Result<ListedObject, Failure>> + Send + use<> {
    Listing::objects(s3, &prefix.bucket, &prefix.key).map_err(Failure::from)
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
pub(crate) fn level(
    session: &Session,
    prefix: Prefix,
) -> Pin<Box<dyn Stream<Item = Result<Entry, Failure>> + Send>> {
    let (session, s3) = (session.clone(), session.s3());
    let next = move |from: Option<Option<String>>| {
        let (session, s3, prefix) = (session.clone(), s3.clone(), prefix.clone());
        async move {
            let Some(token) = from else { return Ok(None) };
            let (entries, next) = page(&session, &s3, &prefix, token).await?;
            Ok::<_, Failure>(Some((stream::iter(entries.into_iter().map(Ok)), next.map(Some))))
        }
    };
    Box::pin(stream::try_unfold(Some(None), next).try_flatten())
}

/// Returns one page and the token of the next one.
async fn page(
    session: &Session,
    s3: &Client,
    prefix: &Prefix,
    token: Option<String>,
) -> Result<(Vec<Entry>, Option<String>), Failure> {
    let call = s3.list_objects_v2().bucket(&prefix.bucket).prefix(&prefix.key).delimiter("/");
    let page =
        call.encoding_type(EncodingType::Url).set_continuation_token(token.clone()).send().await;
    let page = page.map_err(|error| session.call_error("list", prefix, "ListObjectsV2", &error))?;
    let is_encoded = page.encoding_type == Some(EncodingType::Url);
    let key = |key: Option<String>| key.map(|key| if is_encoded { decoded(&key) } else { key });
    let folders = page.common_prefixes.unwrap_or_default().into_iter();
    let folders = folders.filter_map(|folder| key(folder.prefix)).map(Entry::Folder);
    let objects = page.contents.unwrap_or_default().into_iter().filter_map(|object| {
        let mut listed = ListedObject::new(&prefix.bucket, key(object.key)?);
        listed.size = object.size.and_then(|size| size.try_into().ok());
        listed.e_tag = object.e_tag.map(|e_tag| e_tag.trim_matches('"').to_owned());
        listed.last_modified = object.last_modified;
        listed.storage_class = object.storage_class.map(|class| class.as_str().to_owned());
        Some(Entry::Object(listed))
    });
    let mut entries: Vec<_> = folders.chain(objects).collect();
    entries.sort_by(|one, other| one.key().cmp(other.key()));
    match (page.is_truncated, page.next_continuation_token) {
        (Some(true), next) if next.is_none() || next == token => {
            Err(Failure::endless_list(&format!("cannot list the objects of {prefix}")))
        }
        (Some(true), next) => Ok((entries, next)),
        _ => Ok((entries, None)),
    }
}

/// Decodes a URL-encoded key of a listing.
fn decoded(key: &str) -> String {
    percent_encoding::percent_decode_str(&key.replace('+', " ")).decode_utf8_lossy().into_owned()
}
