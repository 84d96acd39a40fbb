//! Operations on buckets: none of them changes one.

use std::sync::Arc;

use s3s::{
    S3Error, S3ErrorCode, S3Request, S3Response, S3Result,
    dto::{
        Bucket, BucketLocationConstraint, BucketVersioningStatus, CreateBucketInput,
        CreateBucketOutput, GetBucketLocationInput, GetBucketLocationOutput,
        GetBucketVersioningInput, GetBucketVersioningOutput, HeadBucketInput, HeadBucketOutput,
        ListBucketsOutput,
    },
};

use crate::{
    clients::ClientCredentials,
    failure::store_answer,
    upstream::{Upstream, timestamp},
};

/// Lists the buckets that `client` may use, as far as the store lists them.
pub(crate) async fn list(
    upstream: &Upstream,
    client: &Arc<ClientCredentials>,
) -> S3Result<S3Response<ListBucketsOutput>> {
    let s3 = upstream.client().s3();
    let output = s3.list_buckets().send().await;
    let output = output
        .map_err(|error| store_answer(upstream.client(), "ListBuckets", "the buckets", &error))?;
    let allowed = output
        .buckets()
        .iter()
        .filter(|bucket| bucket.name().is_some_and(|name| client.allows_bucket(name)));
    let buckets = allowed.map(|bucket| Bucket {
        name: bucket.name.clone(),
        creation_date: bucket.creation_date.and_then(timestamp),
        bucket_region: bucket.bucket_region.clone(),
    });
    let output =
        ListBucketsOutput { buckets: Some(buckets.collect()), ..ListBucketsOutput::default() };
    Ok(S3Response::new(output))
}

/// Tells whether a bucket exists.
pub(crate) async fn head(
    upstream: &Upstream,
    request: S3Request<HeadBucketInput>,
) -> S3Result<S3Response<HeadBucketOutput>> {
    let bucket_region = region_of(upstream, request.input.bucket).await?;
    Ok(S3Response::new(HeadBucketOutput { bucket_region, ..HeadBucketOutput::default() }))
}

/// Refuses to create a bucket. rclone and others try that before their first upload, and go on if
/// they are told that they own the bucket.
pub(crate) async fn create(
    upstream: &Upstream,
    request: S3Request<CreateBucketInput>,
) -> S3Result<S3Response<CreateBucketOutput>> {
    let (code, message) = match region_of(upstream, request.input.bucket).await {
        Ok(_) => (S3ErrorCode::BucketAlreadyOwnedByYou, "the bucket exists, and you may use it"),
        Err(error) if error.code() == &S3ErrorCode::NoSuchBucket => {
            (S3ErrorCode::NotImplemented, "the gateway creates no buckets")
        }
        Err(error) => return Err(error),
    };
    Err(S3Error::with_message(code, message))
}

/// Returns the Region of a bucket, if it exists and the store tells.
async fn region_of(upstream: &Upstream, bucket: String) -> S3Result<Option<String>> {
    let target = format!("s3://{bucket}");
    let output =
        upstream.client().s3().head_bucket().bucket(bucket).send().await.map_err(|error| {
            let mut answer = store_answer(upstream.client(), "HeadBucket", &target, &error);
            if answer.code() == &S3ErrorCode::NoSuchKey {
                answer.set_code(S3ErrorCode::NoSuchBucket);
            }
            answer
        })?;
    Ok(output.bucket_region)
}

/// Tells a bucket's Region.
pub(crate) async fn location(
    upstream: &Upstream,
    request: S3Request<GetBucketLocationInput>,
) -> S3Result<S3Response<GetBucketLocationOutput>> {
    let bucket = request.input.bucket;
    let target = format!("s3://{bucket}");
    let output = upstream.client().s3().get_bucket_location().bucket(&bucket).send().await;
    let region = match output {
        Ok(output) => output.location_constraint.map(|region| region.as_str().to_owned()),
        // SeaweedFS answers with another document.
        Err(error) if error.raw_response().is_some_and(|it| it.status().is_success()) => {
            region_of(upstream, bucket).await?
        }
        Err(error) => {
            return Err(store_answer(upstream.client(), "GetBucketLocation", &target, &error));
        }
    };
    Ok(S3Response::new(GetBucketLocationOutput {
        location_constraint: region
            .filter(|region| !region.is_empty())
            .map(BucketLocationConstraint::from),
    }))
}

/// Tells whether a bucket is versioned.
pub(crate) async fn versioning(
    upstream: &Upstream,
    request: S3Request<GetBucketVersioningInput>,
) -> S3Result<S3Response<GetBucketVersioningOutput>> {
    let bucket = request.input.bucket;
    let target = format!("s3://{bucket}");
    let output = upstream.client().s3().get_bucket_versioning().bucket(bucket).send().await;
    let output = output
        .map_err(|error| store_answer(upstream.client(), "GetBucketVersioning", &target, &error))?;
    let status =
        output.status.map(|status| BucketVersioningStatus::from(status.as_str().to_owned()));
    Ok(S3Response::new(GetBucketVersioningOutput { mfa_delete: None, status }))
}
