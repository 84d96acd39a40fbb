//! The store and its `ObjectStore` implementation.

use std::{fmt, ops::Range, sync::Arc};

use super::super::object_store::{
    CopyMode, CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions,
    RenameTargetMode, Result, path::Path,
};
use async_trait::async_trait;
use bytes::Bytes;
use futures_core::stream::BoxStream;
use sealwax_s3::{CopyObject, SealedClient, envelope::EncryptionContext};

use super::error::{During, of_operation};

/// One bucket of sealed objects, as an [`ObjectStore`].
///
/// Clones are cheap and share the client. For one prefix of a bucket, wrap the store in
/// [`PrefixStore`](super::super::object_store::prefix::PrefixStore).
#[derive(Clone)]
pub struct SealedStore(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    client: SealedClient,
    bucket: String,
    context: EncryptionContext,
    required_context: EncryptionContext,
}

impl SealedStore {
    /// Creates a store for the objects of `bucket`, a bucket name or an access point ARN.
    #[must_use]
    pub fn new(client: SealedClient, bucket: impl Into<String>) -> Self {
        Self(Arc::new(Inner {
            client,
            bucket: bucket.into(),
            context: EncryptionContext::new(),
            required_context: EncryptionContext::new(),
        }))
    }

    /// Sets the encryption context of new objects. A put can override it with an
    /// [`EncryptionContext`] in the `extensions` of its options.
    ///
    /// The context is stored in clear and appears in CloudTrail, so it must not contain personal
    /// data or secrets.
    #[must_use]
    pub fn encryption_context(mut self, context: EncryptionContext) -> Self {
        Arc::make_mut(&mut self.0).context = context;
        self
    }

    /// Rejects reads of objects whose encryption context lacks any of these pairs. A get can
    /// require other pairs with an [`EncryptionContext`] in the `extensions` of its options.
    ///
    /// Heads and lists need no key and ignore the requirement.
    #[must_use]
    pub fn require_context(mut self, pairs: EncryptionContext) -> Self {
        Arc::make_mut(&mut self.0).required_context = pairs;
        self
    }

    /// The client, for operations that `ObjectStore` does not have, such as rewrap.
    #[must_use]
    pub fn client(&self) -> &SealedClient {
        &self.0.client
    }

    /// The bucket name or access point ARN.
    #[must_use]
    pub fn bucket(&self) -> &str {
        &self.0.bucket
    }

    pub(crate) fn context(&self) -> &EncryptionContext {
        &self.0.context
    }

    pub(crate) fn required_context(&self) -> &EncryptionContext {
        &self.0.required_context
    }

    /// Copies inside S3: S3 copies the body, and KMS rewraps the data key for the new place.
    fn copy_object(&self, from: &Path, to: &Path, mode: CopyMode) -> (CopyObject, During) {
        let bucket = self.bucket();
        let copy = self
            .client()
            .copy()
            .source_bucket(bucket)
            .source_key(from.as_ref())
            .bucket(bucket)
            .key(to.as_ref());
        match mode {
            CopyMode::Overwrite => (copy, During::Write),
            CopyMode::Create => (copy.if_none_match("*"), During::Creation),
        }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl ObjectStore for SealedStore {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        self.put_object(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        Ok(Box::new(self.begin_upload(location, options)?))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        if options.head {
            self.head_object(location, options).await
        } else {
            self.get_object(location, options).await
        }
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let get = self.client().get().bucket(self.bucket()).key(location.as_ref());
        let get = get.encryption_context(self.required_context().clone());
        get.ranges(ranges).await.map_err(of_operation(During::Read, location))
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.delete_objects(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.list_objects(prefix, None)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.list_objects(prefix, Some(offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.list_folder(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let (copy, during) = self.copy_object(from, to, options.mode);
        copy.send().await.map(drop).map_err(of_operation(during, to))
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        let mode = match options.target_mode {
            RenameTargetMode::Overwrite => CopyMode::Overwrite,
            RenameTargetMode::Create => CopyMode::Create,
        };
        let (copy, during) = self.copy_object(from, to, mode);
        let copied = copy.delete_source().copy().await.map_err(of_operation(during, to))?;
        copied.delete_source().await.map(drop).map_err(of_operation(During::Write, from))
    }
}

impl fmt::Debug for SealedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealedStore").field("bucket", &self.0.bucket).finish_non_exhaustive()
    }
}

impl fmt::Display for SealedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealedStore({})", self.0.bucket)
    }
}
