//! Errors of the jobs' own S3 calls.

use aws_sdk_s3::{
    Client,
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
    operation::RequestId,
};
use sealwax_s3::{Error, S3Uri};

/// Describes a failed call on an object; `call` is the API's name, such as `GetObject`.
pub(crate) fn s3_error<E>(
    operation: &'static str,
    s3: &Client,
    uri: &S3Uri,
    call: &str,
    error: &SdkError<E, HttpResponse>,
) -> Error
where
    E: ProvideErrorMetadata + RequestId + std::error::Error + Send + Sync + 'static,
{
    let region = s3.config().region().map(AsRef::as_ref);
    let object = match region {
        Some(region) => format!("{uri} in {region}"),
        None => uri.to_string(),
    };
    Error::from_sdk(operation, object, call, region, error)
}
