//! Listing of objects, with plaintext lengths.

use async_trait::async_trait;
use futures_core::stream::BoxStream;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use object_store::{
    ListResult, ObjectMeta, Result,
    list::{PaginatedListOptions, PaginatedListResult, PaginatedListStore},
    path::{DELIMITER, Path},
};
use sealwax_s3::{
    aws_sdk_s3::{operation::list_objects_v2::ListObjectsV2Output, types::Object},
    envelope::geometry,
};

use crate::{SealedStore, error, time};

/// Parameters of a listing.
#[derive(Debug, Clone, Default)]
struct Listing {
    prefix: Option<String>,
    offset: Option<String>,
    delimiter: Option<String>,
    max_keys: Option<i32>,
}

impl SealedStore {
    pub(crate) fn list_objects(
        &self,
        prefix: Option<&Path>,
        offset: Option<&Path>,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let offset =
            offset.map(|path| path.as_ref().to_owned()).filter(|offset| !offset.is_empty());
        let listing = Listing { prefix: folder(prefix), offset, ..Listing::default() };
        let pages = self.clone().pages(listing);
        pages
            .map_ok(|page| stream::iter(page.contents().to_vec()).map(|object| meta(&object)))
            .try_flatten()
            .boxed()
    }

    pub(crate) async fn list_folder(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let delimiter = Some(DELIMITER.to_owned());
        let listing = Listing { prefix: folder(prefix), delimiter, ..Listing::default() };
        let mut pages = self.clone().pages(listing);
        let mut result = ListResult { common_prefixes: Vec::new(), objects: Vec::new() };
        while let Some(page) = pages.try_next().await? {
            let ListResult { common_prefixes, objects } = listed(&page)?;
            result.common_prefixes.extend(common_prefixes);
            result.objects.extend(objects);
        }
        Ok(result)
    }

    /// Streams the pages; each is requested on demand.
    fn pages(self, listing: Listing) -> BoxStream<'static, Result<ListObjectsV2Output>> {
        let pages = stream::try_unfold(Some(None), move |next: Option<Option<String>>| {
            let (store, listing) = (self.clone(), listing.clone());
            async move {
                let Some(token) = next else { return Ok(None) };
                let page = store.page(listing, token).await?;
                let next = next_token(&page).map(Some);
                Ok(Some((page, next)))
            }
        });
        pages.boxed()
    }

    async fn page(&self, listing: Listing, token: Option<String>) -> Result<ListObjectsV2Output> {
        let target =
            format!("s3://{}/{}", self.bucket(), listing.prefix.as_deref().unwrap_or_default());
        let s3 = self.client().s3();
        let request = s3.list_objects_v2().bucket(self.bucket()).set_prefix(listing.prefix);
        let request = request.set_start_after(listing.offset).set_delimiter(listing.delimiter);
        let request = request.set_max_keys(listing.max_keys).set_continuation_token(token);
        let page = request.send().await;
        page.map_err(|error| error::of_call("list", &target, (s3, "ListObjectsV2"), &error))
    }
}

#[async_trait]
impl PaginatedListStore for SealedStore {
    async fn list_paginated(
        &self,
        prefix: Option<&str>,
        options: PaginatedListOptions,
    ) -> Result<PaginatedListResult> {
        let listing = Listing {
            prefix: prefix.map(str::to_owned),
            offset: options.offset,
            delimiter: options.delimiter.map(Into::into),
            max_keys: options.max_keys.map(|keys| i32::try_from(keys).unwrap_or(i32::MAX)),
        };
        let page = self.page(listing, options.page_token).await?;
        Ok(PaginatedListResult { result: listed(&page)?, page_token: next_token(&page) })
    }
}

/// Returns the prefix of all keys below `path`.
fn folder(path: Option<&Path>) -> Option<String> {
    path.filter(|path| !path.is_root()).map(|path| format!("{path}{DELIMITER}"))
}

fn next_token(page: &ListObjectsV2Output) -> Option<String> {
    page.next_continuation_token().filter(|_| page.is_truncated() == Some(true)).map(str::to_owned)
}

fn listed(page: &ListObjectsV2Output) -> Result<ListResult> {
    let prefixes = page.common_prefixes().iter().filter_map(|common| common.prefix());
    Ok(ListResult {
        common_prefixes: prefixes.map(|prefix| Ok(Path::parse(prefix)?)).collect::<Result<_>>()?,
        objects: page.contents().iter().map(meta).collect::<Result<_>>()?,
    })
}

fn meta(object: &Object) -> Result<ObjectMeta> {
    let stored_len = object.size().and_then(|size| u64::try_from(size).ok()).unwrap_or_default();
    Ok(ObjectMeta {
        location: Path::parse(object.key().unwrap_or_default())?,
        last_modified: time::from_aws(object.last_modified().copied()),
        size: plaintext_len(stored_len),
        e_tag: object.e_tag().map(str::to_owned),
        version: None,
    })
}

/// Computes the plaintext length from the stored length. An object whose length no sealed object
/// has is not sealed, and keeps its stored length.
fn plaintext_len(stored_len: u64) -> u64 {
    geometry::plaintext_len(stored_len).unwrap_or(stored_len)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(key: &str, size: i64) -> Object {
        Object::builder().key(key).size(size).build()
    }

    #[test]
    fn lengths_are_plaintext_lengths() {
        for len in [0, 1, 16_383, 16_384, 16_385, 5 << 30] {
            let stored = geometry::body_len(len).expect("within limit");
            assert_eq!(
                meta(&object("k", i64::try_from(stored).expect("fits"))).expect("a path").size,
                len
            );
        }
        assert_eq!(
            meta(&object("k", 71)).expect("a path").size,
            71,
            "no sealed object is this short"
        );
    }

    #[test]
    fn an_error_names_the_key_that_is_not_a_path() {
        let error = meta(&object("a//b", 72)).expect_err("an empty segment");
        assert!(error.to_string().contains("a//b"), "{error}");
    }

    #[test]
    fn prefixes_end_with_a_slash() {
        assert_eq!(folder(None), None);
        assert_eq!(folder(Some(&Path::from("/"))), None);
        assert_eq!(folder(Some(&Path::from("a/b"))).as_deref(), Some("a/b/"));
    }
}
