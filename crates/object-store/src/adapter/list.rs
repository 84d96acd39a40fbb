//! Listing of objects, with plaintext lengths.

use super::super::{
    object_store::{
        ListResult, ObjectMeta, Result,
        list::{PaginatedListOptions, PaginatedListResult, PaginatedListStore},
        path::{DELIMITER, Path},
    },
    results,
};
use async_trait::async_trait;
use futures_core::stream::BoxStream;
use futures_util::{StreamExt as _, TryStreamExt as _, future::ready};
use sealwax_s3::{ListPages, ListedObject, ListedPage, envelope::geometry};

use super::{
    SealedStore,
    error::{During, of_operation},
    time,
};

impl SealedStore {
    pub(crate) fn list_objects(
        &self,
        prefix: Option<&Path>,
        offset: Option<&Path>,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let pages = self.pages(folder(prefix));
        let offset = offset.filter(|offset| !offset.as_ref().is_empty());
        let pages = match offset {
            Some(offset) => pages.start_after(offset.as_ref()),
            None => pages,
        };
        let failed = of_operation(During::Read, prefix.unwrap_or(&Path::default()));
        let (key_store, named) = (self.client().key_store().clone(), folder(prefix));
        let is_own =
            move |key: &str| !key_store.leaves_alone(named.as_deref().unwrap_or_default(), key);
        let objects = pages.into_stream().map_err(failed);
        let objects = objects.try_filter(move |object| ready(is_own(&object.key)));
        objects.and_then(|object| ready(meta(&object))).boxed()
    }

    pub(crate) async fn list_folder(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let mut pages = self.pages(folder(prefix)).delimiter(DELIMITER);
        let failed = of_operation(During::Read, prefix.unwrap_or(&Path::default()));
        let mut result = results::of_list(Vec::new(), Vec::new());
        while let Some(page) = pages.next_page().await.map_err(&failed)? {
            let page = self.without_key_objects(page, folder(prefix).as_deref());
            let ListResult { common_prefixes, objects, .. } = listed(&page)?;
            result.common_prefixes.extend(common_prefixes);
            result.objects.extend(objects);
        }
        Ok(result)
    }

    /// Leaves the objects of a key store out, unless `prefix` leads there by itself.
    fn without_key_objects(&self, mut page: ListedPage, prefix: Option<&str>) -> ListedPage {
        let (key_store, named) = (self.client().key_store(), prefix.unwrap_or_default());
        page.objects.retain(|object| !key_store.leaves_alone(named, &object.key));
        page.folders.retain(|folder| !key_store.leaves_alone(named, folder));
        page
    }

    fn pages(&self, prefix: Option<String>) -> ListPages {
        ListPages::objects(self.client().s3(), self.bucket(), prefix.unwrap_or_default())
    }
}

#[async_trait]
impl PaginatedListStore for SealedStore {
    async fn list_paginated(
        &self,
        prefix: Option<&str>,
        options: PaginatedListOptions,
    ) -> Result<PaginatedListResult> {
        let mut pages = self.pages(prefix.map(str::to_owned));
        if let Some(offset) = options.offset {
            pages = pages.start_after(offset);
        }
        if let Some(delimiter) = options.delimiter {
            pages = pages.delimiter(delimiter);
        }
        if let Some(keys) = options.max_keys {
            pages = pages.max_keys(i32::try_from(keys).unwrap_or(i32::MAX));
        }
        if let Some(token) = options.page_token {
            pages = pages.resume_at(token);
        }
        let path = Path::from(prefix.unwrap_or_default());
        let page = pages.next_page().await.map_err(of_operation(During::Read, &path))?;
        let page = self.without_key_objects(page.unwrap_or_default(), prefix);
        let result = listed(&page)?;
        Ok(PaginatedListResult { result, page_token: pages.token().map(str::to_owned) })
    }
}

/// Returns the prefix of all keys below `path`.
fn folder(path: Option<&Path>) -> Option<String> {
    path.filter(|path| !path.is_root()).map(|path| format!("{path}{DELIMITER}"))
}

fn listed(page: &ListedPage) -> Result<ListResult> {
    let folders = page.folders.iter().map(|folder| Ok(Path::parse(folder)?));
    Ok(results::of_list(
        folders.collect::<Result<_>>()?,
        page.objects.iter().map(meta).collect::<Result<_>>()?,
    ))
}

fn meta(object: &ListedObject) -> Result<ObjectMeta> {
    Ok(ObjectMeta {
        location: Path::parse(&object.key)?,
        last_modified: time::from_aws(object.last_modified),
        size: plaintext_len(object.size.unwrap_or_default()),
        e_tag: object.e_tag.as_ref().map(|e_tag| format!("\"{e_tag}\"")),
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

    fn object(key: &str, size: u64) -> ListedObject {
        let mut object = ListedObject::new("bucket", key);
        object.size = Some(size);
        object
    }

    #[test]
    fn lengths_are_plaintext_lengths() {
        for len in [0, 1, 16_383, 16_384, 16_385, 5 << 30] {
            let stored = geometry::body_len(len).expect("within limit");
            assert_eq!(meta(&object("k", stored)).expect("a path").size, len);
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
        assert!(
            matches!(error, super::super::super::object_store::Error::InvalidPath { .. }),
            "{error:?}"
        );
        assert!(error.to_string().contains("a//b"), "{error}");
    }

    #[test]
    fn prefixes_end_with_a_slash() {
        assert_eq!(folder(None), None);
        assert_eq!(folder(Some(&Path::from("/"))), None);
        assert_eq!(folder(Some(&Path::from("a/b"))).as_deref(), Some("a/b/"));
    }
}
