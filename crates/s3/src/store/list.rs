//! Listing a bucket: pages of `ListObjectsV2`, `ListObjectVersions` and `ListMultipartUploads`.
//!
//! Nothing authenticates a list. What a store answers is checked against the request, so that a
//! consumer can rely on prefix and delimiter, and every listing ends.

mod page_tokens;

use std::{collections::VecDeque, fmt};

use aws_sdk_s3::{
    Client,
    primitives::DateTime,
    types::{EncodingType, MultipartUpload, Object, ObjectVersion},
};
use futures_core::Stream;
use futures_util::stream;

pub use self::page_tokens::PageTokens;
use crate::{
    backoff::unthrottled,
    error::{Error, ErrorKind, ObjectRef, aws_failure::AwsFailure},
    limited_http::LimitedHttp,
    limits::MAX_KEY_LEN,
    sdk_limits::with_sdk_limits,
};

/// Maximum length in bytes of the texts that name the next page. Amazon S3 needs far less.
const MAX_TOKEN_LEN: usize = 8 * 1024;

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

    /// `true` for an empty object whose key ends in `/`, by its listing: some tools represent a
    /// folder by it. No sealed object is empty as stored.
    #[must_use]
    pub fn is_folder_marker(&self) -> bool {
        self.size == Some(0) && self.key.ends_with('/')
    }
}

/// `s3://bucket/key`, without the version.
impl fmt::Display for ListedObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}/{}", self.bucket, self.key)
    }
}

/// One page of a listing.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct ListedPage {
    /// The objects or versions whose keys have no delimiter after the prefix.
    pub objects: Vec<ListedObject>,
    /// The common prefixes of the other keys, up to the next delimiter and including it.
    pub folders: Vec<String>,
}

/// Lists the objects of a bucket, page by page, in the order of their keys' bytes.
///
/// Listing needs no key: the objects of all formats are listed, and delete markers are left out. A
/// page lists only what the request asked for. If the store ignores the prefix or the delimiter, if
/// its pages have no end, or if one ends early, the listing fails.
///
/// ```no_run
/// # async fn example(client: sealwax_s3::SealedClient) -> Result<(), sealwax_s3::Error> {
/// let mut pages = sealwax_s3::ListPages::objects(client.s3(), "bucket", "2026/");
/// while let Some(page) = pages.next_page().await? {
///     for object in page.objects {
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
    delimiter: Option<String>,
    start_after: Option<String>,
    max_keys: Option<i32>,
    next: Next,
    tokens: PageTokens<Next>,
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
        Self {
            s3: with_sdk_limits(s3, LimitedHttp::DEFAULT_TIMEOUT),
            bucket,
            prefix,
            delimiter: None,
            start_after: None,
            max_keys: None,
            next,
            tokens: PageTokens::new(),
        }
    }

    /// Lists one level: keys with `delimiter` after the prefix are rolled up into folders.
    #[must_use]
    pub fn delimiter(self, delimiter: impl Into<String>) -> Self {
        Self { delimiter: Some(delimiter.into()), ..self }
    }

    /// Lists only objects whose keys come after `key`. It has no effect on versions.
    #[must_use]
    pub fn start_after(self, key: impl Into<String>) -> Self {
        Self { start_after: Some(key.into()), ..self }
    }

    /// Lists at most `count` objects and folders in each page.
    #[must_use]
    pub fn max_keys(self, count: i32) -> Self {
        Self { max_keys: Some(count), ..self }
    }

    /// Continues a listing of objects at the page with this [`ListPages::token`].
    #[must_use]
    pub fn resume_at(self, token: impl Into<String>) -> Self {
        Self { next: Next::Objects { token: Some(token.into()) }, ..self }
    }

    /// Returns the token of the next page of objects; `None` before the first page, after the last
    /// one, and for versions.
    #[must_use]
    pub fn token(&self) -> Option<&str> {
        match &self.next {
            Next::Objects { token } => token.as_deref(),
            Next::Versions { .. } | Next::End => None,
        }
    }

    /// Fetches the next page, which may be empty; `None` after the last one.
    ///
    /// # Errors
    /// S3 refuses the call, or sends a list that this crate cannot follow
    /// ([`ErrorKind::Service`]). After an error, the same page is fetched again.
    pub async fn next_page(&mut self) -> Result<Option<ListedPage>, Error> {
        let target = ObjectRef::of_prefix("list", &self.s3, &self.bucket, &self.prefix)?;
        let (mut page, next) = match self.next.clone() {
            Next::Objects { token } => self.page_of_objects(&target, token).await?,
            Next::Versions { key_marker, version_marker } => {
                self.page_of_versions(&target, key_marker, version_marker).await?
            }
            Next::End => return Ok(None),
        };
        self.check(&target, &page)?;
        next.check(&target)?;
        if let Some(start) = &self.start_after {
            // Some stores compare names in another order.
            page.objects.retain(|object| object.key > *start);
        }
        if next != Next::End && !self.tokens.advance(&next) {
            return Err(endless(&target));
        }
        self.next = next;
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
                    Ok(Some(next)) => page = next.objects.into(),
                    Ok(None) => return None,
                    Err(error) => return Some((Err(error), (None, page))),
                }
            }
        })
    }

    /// Checks a page against the request.
    fn check(&self, target: &ObjectRef, page: &ListedPage) -> Result<(), Error> {
        for ListedObject { key, .. } in &page.objects {
            let rest = below_prefix(target, key, &self.prefix)?;
            if self.delimiter.as_ref().is_some_and(|delimiter| rest.contains(delimiter)) {
                return Err(unasked(target, key, "which has the delimiter after the prefix"));
            }
        }
        for folder in &page.folders {
            let rest = below_prefix(target, folder, &self.prefix)?;
            let delimiter = self.delimiter.as_deref().unwrap_or_default();
            let name = rest.strip_suffix(delimiter);
            if delimiter.is_empty() || name.is_none_or(|name| name.contains(delimiter)) {
                return Err(unasked(target, folder, "which is no folder of the requested level"));
            }
        }
        Ok(())
    }

    async fn page_of_objects(
        &self,
        target: &ObjectRef,
        token: Option<String>,
    ) -> Result<(ListedPage, Next), Error> {
        // LocalStack compares the start with encoded names, if they are to be encoded.
        let encoding = self.start_after.is_none().then_some(EncodingType::Url);
        let request = self
            .s3
            .list_objects_v2()
            .bucket(&self.bucket)
            .set_prefix(self.given_prefix())
            .set_delimiter(self.delimiter.clone())
            .set_start_after(self.start_after.clone())
            .set_max_keys(self.max_keys)
            .set_encoding_type(encoding)
            .set_continuation_token(token);
        let send =
            || async { request.clone().send().await.map_err(|error| AwsFailure::new(&error)) };
        let page = unthrottled(send).await;
        let page = page.map_err(|failure| target.s3_failure("ListObjectsV2", failure))?;
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
        let folders = page.common_prefixes.unwrap_or_default().into_iter();
        let folders = folders.map(|folder| key(target, folder.prefix, is_encoded));
        let folders = folders.collect::<Result<_, _>>()?;
        let page_of = ListedPage { objects, folders };
        check_count(target, page.key_count, &page_of)?;
        let next = match (is_truncated(target, page.is_truncated)?, page.next_continuation_token) {
            (true, None) => return Err(endless(target)),
            (true, token) => Next::Objects { token },
            (false, _) => Next::End,
        };
        Ok((page_of, next))
    }

    async fn page_of_versions(
        &self,
        target: &ObjectRef,
        key_marker: Option<String>,
        version_marker: Option<String>,
    ) -> Result<(ListedPage, Next), Error> {
        let request = self
            .s3
            .list_object_versions()
            .bucket(&self.bucket)
            .set_prefix(self.given_prefix())
            .set_delimiter(self.delimiter.clone())
            .set_max_keys(self.max_keys)
            .encoding_type(EncodingType::Url)
            .set_key_marker(key_marker)
            .set_version_id_marker(version_marker);
        let send =
            || async { request.clone().send().await.map_err(|error| AwsFailure::new(&error)) };
        let page = unthrottled(send).await;
        let page = page.map_err(|failure| target.s3_failure("ListObjectVersions", failure))?;
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
        let objects =
            page.versions.unwrap_or_default().into_iter().map(listed).collect::<Result<_, _>>()?;
        let folders = page.common_prefixes.unwrap_or_default().into_iter();
        let folders = folders.map(|folder| key(target, folder.prefix, is_encoded));
        let folders = folders.collect::<Result<_, _>>()?;
        let next = match (is_truncated(target, page.is_truncated)?, page.next_key_marker) {
            (true, None) => return Err(endless(target)),
            (true, marker) => Next::Versions {
                key_marker: Some(key(target, marker, is_encoded)?),
                version_marker: page.next_version_id_marker,
            },
            (false, _) => Next::End,
        };
        Ok((ListedPage { objects, folders }, next))
    }

    fn given_prefix(&self) -> Option<String> {
        (!self.prefix.is_empty()).then(|| self.prefix.clone())
    }
}

impl Next {
    /// Checks that a request can name this page.
    fn check(&self, target: &ObjectRef) -> Result<(), Error> {
        match self {
            Self::Objects { token } => check_token(target, [token, &None]),
            Self::Versions { key_marker, version_marker } => {
                check_token(target, [key_marker, version_marker])
            }
            Self::End => Ok(()),
        }
    }
}

/// An incomplete multipart upload, of any program.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ListedUpload {
    /// The key of the object.
    pub key: String,
    /// The upload's id.
    pub upload_id: String,
    /// Time at which the upload began.
    pub initiated: Option<DateTime>,
}

/// Lists the incomplete multipart uploads of a bucket, page by page.
///
/// As [`ListPages`], it fails if the store ignores the prefix, or if its pages have no end.
#[derive(Debug)]
pub struct UploadPages {
    s3: Client,
    bucket: String,
    prefix: String,
    next: Option<UploadMarkers>,
    tokens: PageTokens<UploadMarkers>,
}

/// Position of a page of uploads: a key, and an upload's id.
type UploadMarkers = [Option<String>; 2];

impl UploadPages {
    /// Lists the uploads to keys that begin with `prefix`.
    #[must_use]
    pub fn new(s3: &Client, bucket: impl Into<String>, prefix: impl Into<String>) -> Self {
        Self {
            s3: with_sdk_limits(s3, LimitedHttp::DEFAULT_TIMEOUT),
            bucket: bucket.into(),
            prefix: prefix.into(),
            next: Some([None, None]),
            tokens: PageTokens::new(),
        }
    }

    /// Fetches the next page, which may be empty; `None` after the last one.
    ///
    /// # Errors
    /// As [`ListPages::next_page`].
    pub async fn next_page(&mut self) -> Result<Option<Vec<ListedUpload>>, Error> {
        let Some([key_marker, id_marker]) = self.next.clone() else { return Ok(None) };
        let target =
            ObjectRef::of_prefix("list the uploads of", &self.s3, &self.bucket, &self.prefix)?;
        let request = self
            .s3
            .list_multipart_uploads()
            .bucket(&self.bucket)
            .set_prefix(Some(self.prefix.clone()).filter(|prefix| !prefix.is_empty()))
            .set_key_marker(key_marker)
            .set_upload_id_marker(id_marker);
        let page = request.send().await;
        let page = page.map_err(|error| target.s3_error("ListMultipartUploads", &error))?;
        let listed = |upload: MultipartUpload| {
            let key = key(&target, upload.key, false)?;
            below_prefix(&target, &key, &self.prefix)?;
            let upload_id = upload.upload_id.filter(|id| !id.is_empty()).ok_or_else(|| {
                target.error(ErrorKind::Service, "S3 lists an upload without an id")
            })?;
            Ok::<_, Error>(ListedUpload { key, upload_id, initiated: upload.initiated })
        };
        let uploads = page.uploads.unwrap_or_default().into_iter().map(listed);
        let uploads = uploads.collect::<Result<_, _>>()?;
        let next = match (is_truncated(&target, page.is_truncated)?, page.next_key_marker) {
            (true, None) => return Err(endless(&target)),
            (true, key_marker) => Some([key_marker, page.next_upload_id_marker]),
            (false, _) => None,
        };
        if let Some([key_marker, id_marker]) = &next {
            check_token(&target, [key_marker, id_marker])?;
        }
        if next.as_ref().is_some_and(|next| !self.tokens.advance(next)) {
            return Err(endless(&target));
        }
        self.next = next;
        Ok(Some(uploads))
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
        target.error(ErrorKind::Service, "S3 lists an object without a key in UTF-8")
    })
}

/// Returns the part of a listed key after the requested prefix.
fn below_prefix<'a>(target: &ObjectRef, key: &'a str, prefix: &str) -> Result<&'a str, Error> {
    key.strip_prefix(prefix)
        .ok_or_else(|| unasked(target, key, "which does not begin with the requested prefix"))
}

fn unasked(target: &ObjectRef, key: &str, why: &str) -> Error {
    let shown = &key[..key.floor_char_boundary(MAX_KEY_LEN)];
    target.error(ErrorKind::Service, format!("S3 lists {shown:?}, {why}"))
}

/// `true` if another page follows. A list that does not say so may have been cut.
fn is_truncated(target: &ObjectRef, is_truncated: Option<bool>) -> Result<bool, Error> {
    let message = "S3 does not say whether its list is complete";
    is_truncated.ok_or_else(|| target.error(ErrorKind::Service, message))
}

/// Fails if a page has fewer entries than it says.
fn check_count(target: &ObjectRef, said: Option<i32>, page: &ListedPage) -> Result<(), Error> {
    let (said, listed) = (said.unwrap_or_default(), page.objects.len() + page.folders.len());
    if usize::try_from(said).is_ok_and(|said| said > listed) {
        let message = format!("S3 says that a page lists {said} names, and it lists {listed}");
        return Err(target.error(ErrorKind::Service, message));
    }
    Ok(())
}

fn endless(target: &ObjectRef) -> Error {
    target.error(ErrorKind::Service, "S3 does not say where the next page begins")
}

fn check_token(target: &ObjectRef, texts: [&Option<String>; 2]) -> Result<(), Error> {
    let len: usize = texts.into_iter().flatten().map(String::len).sum();
    if len > MAX_TOKEN_LEN {
        let message = format!("S3 names the next page in {len} bytes, more than {MAX_TOKEN_LEN}");
        return Err(target.error(ErrorKind::Service, message));
    }
    Ok(())
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
