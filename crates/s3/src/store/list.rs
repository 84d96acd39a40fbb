//! Listing a bucket: pages of `ListObjectsV2` and `ListObjectVersions`.

use std::{collections::VecDeque, fmt};

use aws_sdk_s3::{
    Client,
    primitives::DateTime,
    types::{EncodingType, Object, ObjectVersion},
};
use futures_core::Stream;
use futures_util::stream;

use crate::error::{Error, ErrorKind, ObjectRef};

/// An object as a listing names it. A field is `None` where the listing does not have it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ListedObject {
    /// The bucket: a name, or the ARN of an access point.
    pub bucket: String,
    /// The key.
    pub key: String,
    /// The version id; `null` for a version that is older than the bucket's versioning.
    pub version_id: Option<String>,
    /// `true` for the latest version.
    pub is_latest: Option<bool>,
    /// Length of the stored body in bytes.
    pub size: Option<u64>,
    /// The entity tag, without quotes.
    pub e_tag: Option<String>,
    /// Time at which this version was stored.
    pub last_modified: Option<DateTime>,
    /// Storage class, such as `STANDARD`.
    pub storage_class: Option<String>,
}

impl ListedObject {
    /// Creates an object of which only the name is known.
    #[must_use]
    pub fn new(bucket: impl Into<String>, key: impl Into<String>) -> Self {
        Self {
            bucket: bucket.into(),
            key: key.into(),
            version_id: None,
            is_latest: None,
            size: None,
            e_tag: None,
            last_modified: None,
            storage_class: None,
        }
    }

    /// Names one version of the object.
    #[must_use]
    pub fn version(self, version_id: impl Into<String>) -> Self {
        Self { version_id: Some(version_id.into()), ..self }
    }
}

/// `s3://bucket/key`, without the version.
impl fmt::Display for ListedObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}/{}", self.bucket, self.key)
    }
}

/// Lists the objects of a bucket, page by page, in the order of their keys' bytes.
///
/// Listing needs no key: the objects of all formats are listed, and delete markers are left out.
///
/// ```no_run
/// # async fn example(client: sealwax_s3::SealedClient) -> Result<(), sealwax_s3::Error> {
/// let mut pages = sealwax_s3::ListPages::objects(client.s3(), "bucket", "2026/");
/// while let Some(page) = pages.next_page().await? {
///     for object in page {
///         println!("{object}: {:?} bytes", object.size);
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct ListPages {
    s3: Client,
    bucket: String,
    prefix: String,
    next: Next,
}

/// Position of the next page.
#[derive(Debug, Clone, PartialEq)]
enum Next {
    Objects { token: Option<String> },
    Versions { key_marker: Option<String>, version_marker: Option<String> },
    End,
}

impl ListPages {
    /// Lists the latest versions of the objects whose keys begin with `prefix`.
    #[must_use]
    pub fn objects(s3: &Client, bucket: impl Into<String>, prefix: impl Into<String>) -> Self {
        Self::new(s3, bucket.into(), prefix.into(), Next::Objects { token: None })
    }

    /// Lists all versions of the objects whose keys begin with `prefix`.
    #[must_use]
    pub fn versions(s3: &Client, bucket: impl Into<String>, prefix: impl Into<String>) -> Self {
        let first = Next::Versions { key_marker: None, version_marker: None };
        Self::new(s3, bucket.into(), prefix.into(), first)
    }

    fn new(s3: &Client, bucket: String, prefix: String, next: Next) -> Self {
        Self { s3: s3.clone(), bucket, prefix, next }
    }

    /// Fetches the next page, which may be empty; `None` after the last one.
    ///
    /// # Errors
    /// S3 refuses the call, or sends a list that this crate cannot follow
    /// ([`ErrorKind::InvalidListing`]). After an error, the same page is fetched again.
    pub async fn next_page(&mut self) -> Result<Option<Vec<ListedObject>>, Error> {
        let target = ObjectRef::of_prefix("list", &self.s3, &self.bucket, &self.prefix)?;
        let (mut page, next) = match self.next.clone() {
            Next::Objects { token } => self.page_of_objects(&target, token).await?,
            Next::Versions { key_marker, version_marker } => {
                self.page_of_versions(&target, key_marker, version_marker).await?
            }
            Next::End => return Ok(None),
        };
        if next == self.next {
            return Err(endless(&target));
        }
        self.next = next;
        // Not every store that speaks S3 heeds the prefix.
        page.retain(|object| object.key.starts_with(&self.prefix));
        Ok(Some(page))
    }

    /// Lists the objects one by one. The stream ends after an error.
    pub fn into_stream(self) -> impl Stream<Item = Result<ListedObject, Error>> + Send {
        stream::unfold((Some(self), VecDeque::new()), |(mut pages, mut page)| async move {
            loop {
                if let Some(object) = page.pop_front() {
                    return Some((Ok(object), (pages, page)));
                }
                match pages.as_mut()?.next_page().await {
                    Ok(Some(next)) => page = next.into(),
                    Ok(None) => return None,
                    Err(error) => return Some((Err(error), (None, page))),
                }
            }
        })
    }

    async fn page_of_objects(
        &self,
        target: &ObjectRef,
        token: Option<String>,
    ) -> Result<(Vec<ListedObject>, Next), Error> {
        let request = self
            .s3
            .list_objects_v2()
            .bucket(&self.bucket)
            .set_prefix(self.given_prefix())
            .encoding_type(EncodingType::Url)
            .set_continuation_token(token);
        let page =
            request.send().await.map_err(|error| target.s3_error("ListObjectsV2", &error))?;
        let is_encoded = page.encoding_type == Some(EncodingType::Url);
        let listed = |object: Object| {
            Ok::<_, Error>(ListedObject {
                size: object.size.and_then(|size| size.try_into().ok()),
                e_tag: object.e_tag.as_deref().map(unquoted),
                last_modified: object.last_modified,
                storage_class: object.storage_class.map(|class| class.as_str().to_owned()),
                is_latest: Some(true),
                ..ListedObject::new(&self.bucket, key(target, object.key, is_encoded)?)
            })
        };
        let objects =
            page.contents.unwrap_or_default().into_iter().map(listed).collect::<Result<_, _>>()?;
        let next = match (page.is_truncated, page.next_continuation_token) {
            (Some(true), None) => return Err(endless(target)),
            (Some(true), token) => Next::Objects { token },
            _ => Next::End,
        };
        Ok((objects, next))
    }

    async fn page_of_versions(
        &self,
        target: &ObjectRef,
        key_marker: Option<String>,
        version_marker: Option<String>,
    ) -> Result<(Vec<ListedObject>, Next), Error> {
        let request = self
            .s3
            .list_object_versions()
            .bucket(&self.bucket)
            .set_prefix(self.given_prefix())
            .encoding_type(EncodingType::Url)
            .set_key_marker(key_marker)
            .set_version_id_marker(version_marker);
        let page =
            request.send().await.map_err(|error| target.s3_error("ListObjectVersions", &error))?;
        let is_encoded = page.encoding_type == Some(EncodingType::Url);
        let listed = |version: ObjectVersion| {
            Ok::<_, Error>(ListedObject {
                version_id: version.version_id,
                is_latest: version.is_latest,
                size: version.size.and_then(|size| size.try_into().ok()),
                e_tag: version.e_tag.as_deref().map(unquoted),
                last_modified: version.last_modified,
                storage_class: version.storage_class.map(|class| class.as_str().to_owned()),
                ..ListedObject::new(&self.bucket, key(target, version.key, is_encoded)?)
            })
        };
        let versions =
            page.versions.unwrap_or_default().into_iter().map(listed).collect::<Result<_, _>>()?;
        let next = match (page.is_truncated, page.next_key_marker) {
            (Some(true), None) => return Err(endless(target)),
            (Some(true), marker) => Next::Versions {
                key_marker: Some(key(target, marker, is_encoded)?),
                version_marker: page.next_version_id_marker,
            },
            _ => Next::End,
        };
        Ok((versions, next))
    }

    fn given_prefix(&self) -> Option<String> {
        (!self.prefix.is_empty()).then(|| self.prefix.clone())
    }
}

/// Decodes a key as S3 encodes it in listings, inventories in CSV and event notifications: `+` is
/// a space, `%XX` a byte. `None` where the result is not UTF-8.
///
/// (Amazon S3 API Reference, `ListObjectsV2`, "encoding-type".)
///
/// ```
/// assert_eq!(sealwax_s3::decode_key("a/b+c%2B%C3%A9").as_deref(), Some("a/b c+é"));
/// assert_eq!(sealwax_s3::decode_key("%ff"), None);
/// ```
#[must_use]
pub fn decode_key(text: &str) -> Option<String> {
    let spaced = text.replace('+', " ");
    percent_encoding::percent_decode_str(&spaced).decode_utf8().ok().map(Into::into)
}

fn unquoted(e_tag: &str) -> String {
    e_tag.trim_matches('"').to_owned()
}

fn key(target: &ObjectRef, key: Option<String>, is_encoded: bool) -> Result<String, Error> {
    let decoded = key.and_then(|key| if is_encoded { decode_key(&key) } else { Some(key) });
    decoded.ok_or_else(|| {
        target.error(ErrorKind::InvalidListing, "S3 lists an object without a key in UTF-8")
    })
}

fn endless(target: &ObjectRef) -> Error {
    target.error(ErrorKind::InvalidListing, "S3 does not say where the next page begins")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_decoded() {
        assert_eq!(decode_key("a/b+c%2B%C3%A9%22%0A").as_deref(), Some("a/b c+é\"\n"));
        assert_eq!(decode_key("%ff"), None);
    }
}
