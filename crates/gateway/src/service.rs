//! The operations behind the router of s3s.
//!
//! Each takes the context that the gate made, and only that of its own operation: a request that is
//! routed otherwise than it was admitted is refused.

use std::fmt;

use async_trait::async_trait;
use s3s::{S3, S3Request, S3Response, S3Result, dto};

use crate::{
    context::RequestContext,
    gate::Operation,
    multipart::Uploads,
    operations::{buckets, copying, deleting, listing, reading, tagging, uploads, writing},
    upstream::Upstream,
};

/// Everything that the operations need. Cloning is cheap.
#[derive(Clone)]
pub(crate) struct Service {
    pub(crate) upstream: Upstream,
    pub(crate) uploads: Uploads,
}

/// Implements the operations of s3s that the gateway has.
macro_rules! operations {
    ($($(#[$doc:meta])* $name:ident($input:ident) -> $output:ident as $operation:ident: |$service:ident, $context:ident, $request:ident| $run:expr;)*) => {
        #[async_trait]
        impl S3 for Service {
            $(
                async fn $name(
                    &self,
                    request: S3Request<dto::$input>,
                ) -> S3Result<S3Response<dto::$output>> {
                    let $context = &RequestContext::of(&request, Operation::$operation)?;
                    let ($service, $request) = (self, request);
                    let result: S3Result<_> = $run;
                    result.map_err(|mut error| {
                        error.set_request_id(&$context.id);
                        error
                    })
                }
            )*
        }
    };
}

operations! {
    list_buckets(ListBucketsInput) -> ListBucketsOutput as ListBuckets:
        |service, context, _request| buckets::list(&service.upstream, &context.client).await;
    head_bucket(HeadBucketInput) -> HeadBucketOutput as HeadBucket:
        |service, context, request| buckets::head(&service.upstream, request).await;
    create_bucket(CreateBucketInput) -> CreateBucketOutput as CreateBucket:
        |service, context, request| buckets::create(&service.upstream, request).await;
    get_bucket_location(GetBucketLocationInput) -> GetBucketLocationOutput as GetBucketLocation:
        |service, context, request| buckets::location(&service.upstream, request).await;
    get_bucket_versioning(GetBucketVersioningInput) -> GetBucketVersioningOutput as GetBucketVersioning:
        |service, context, request| buckets::versioning(&service.upstream, request).await;
    list_objects(ListObjectsInput) -> ListObjectsOutput as ListObjects:
        |service, context, request| listing::objects_v1(&service.upstream, request).await;
    list_objects_v2(ListObjectsV2Input) -> ListObjectsV2Output as ListObjectsV2:
        |service, context, request| listing::objects(&service.upstream, request).await;
    list_object_versions(ListObjectVersionsInput) -> ListObjectVersionsOutput as ListObjectVersions:
        |service, context, request| listing::versions(&service.upstream, request).await;
    head_object(HeadObjectInput) -> HeadObjectOutput as HeadObject:
        |service, context, request| reading::head(&service.upstream, request).await;
    get_object(GetObjectInput) -> GetObjectOutput as GetObject:
        |service, context, request| reading::get(&service.upstream, context, request).await;
    put_object(PutObjectInput) -> PutObjectOutput as PutObject:
        |service, context, request| {
            writing::put(&service.upstream, &service.uploads, context, request).await
        };
    copy_object(CopyObjectInput) -> CopyObjectOutput as CopyObject:
        |service, context, request| {
            copying::copy(&service.upstream, &service.uploads, context, request).await
        };
    delete_object(DeleteObjectInput) -> DeleteObjectOutput as DeleteObject:
        |service, context, request| deleting::one(&service.upstream, context, request).await;
    delete_objects(DeleteObjectsInput) -> DeleteObjectsOutput as DeleteObjects:
        |service, context, request| {
            deleting::many(&service.upstream, context, request).await
        };
    get_object_tagging(GetObjectTaggingInput) -> GetObjectTaggingOutput as GetObjectTagging:
        |service, context, request| tagging::get(&service.upstream, request).await;
    put_object_tagging(PutObjectTaggingInput) -> PutObjectTaggingOutput as PutObjectTagging:
        |service, context, request| tagging::put(&service.upstream, request).await;
    delete_object_tagging(DeleteObjectTaggingInput) -> DeleteObjectTaggingOutput as DeleteObjectTagging:
        |service, context, request| tagging::delete(&service.upstream, request).await;
    create_multipart_upload(CreateMultipartUploadInput) -> CreateMultipartUploadOutput as CreateMultipartUpload:
        |service, context, request| {
            let Service { upstream, uploads: all, .. } = service;
            uploads::create(upstream, all, context, request).await
        };
    upload_part(UploadPartInput) -> UploadPartOutput as UploadPart:
        |service, context, request| {
            uploads::part(&service.uploads, context, request).await
        };
    upload_part_copy(UploadPartCopyInput) -> UploadPartCopyOutput as UploadPartCopy:
        |service, context, request| {
            let Service { upstream, uploads: all, .. } = service;
            uploads::part_copy(upstream, all, context, request).await
        };
    list_parts(ListPartsInput) -> ListPartsOutput as ListParts:
        |service, context, request| {
            uploads::list_parts(&service.uploads, &context.client, request)
        };
    list_multipart_uploads(ListMultipartUploadsInput) -> ListMultipartUploadsOutput as ListMultipartUploads:
        |service, context, request| {
            let Service { upstream, uploads: all, .. } = service;
            uploads::list(upstream, all, &context.client, request).await
        };
    complete_multipart_upload(CompleteMultipartUploadInput) -> CompleteMultipartUploadOutput as CompleteMultipartUpload:
        |service, context, request| {
            uploads::complete(&service.uploads, context, request).await
        };
    abort_multipart_upload(AbortMultipartUploadInput) -> AbortMultipartUploadOutput as AbortMultipartUpload:
        |service, context, request| {
            uploads::abort(&service.uploads, &context.client, request)
        };
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").finish_non_exhaustive()
    }
}
