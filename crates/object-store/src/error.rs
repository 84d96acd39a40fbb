//! Mapping of failures to `object_store`'s errors.

use object_store::{Error, path::Path};
use sealwax_s3::{
    ErrorKind,
    aws_sdk_s3::{
        Client,
        config::http::HttpResponse,
        error::{ProvideErrorMetadata, SdkError},
        operation::RequestId,
    },
};

pub(crate) const STORE: &str = "Sealwax";

/// The operation that failed; the same S3 error has different meanings by operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum During {
    Read,
    Write,
    /// A write that requires that no object exists.
    Creation,
    /// A write that requires a certain existing object.
    Update,
}

/// Maps a failed operation of the sealed client on the object at `location`.
pub(crate) fn of_operation(
    during: During,
    location: &Path,
) -> impl Fn(sealwax_s3::Error) -> Error + Send + 'static {
    let path = location.to_string();
    move |error| by_kind(during, path.clone(), error)
}

/// Maps a failed S3 call that reads or writes no object. `api` is the API's name.
pub(crate) fn of_call<E>(
    operation: &'static str,
    target: &str,
    (s3, api): (&Client, &str),
    error: &SdkError<E, HttpResponse>,
) -> Error
where
    E: ProvideErrorMetadata + RequestId + std::error::Error + Send + Sync + 'static,
{
    let region = s3.config().region().map(AsRef::as_ref);
    // Without the SDK's error, which holds the whole response.
    let error = sealwax_s3::Error::from_sdk(operation, target, api, region, error);
    by_kind(During::Read, target.to_owned(), error)
}

fn by_kind(during: During, path: String, error: sealwax_s3::Error) -> Error {
    let (kind, source) = (error.kind(), Box::new(error));
    match kind {
        // S3 answers so if the object to overwrite does not exist.
        ErrorKind::NotFound if during == During::Update => Error::Precondition { path, source },
        ErrorKind::NotFound | ErrorKind::NoSuchBucket => Error::NotFound { path, source },
        ErrorKind::Conflict if during == During::Creation => Error::AlreadyExists { path, source },
        ErrorKind::Conflict | ErrorKind::Changed => Error::Precondition { path, source },
        ErrorKind::NotModified => Error::NotModified { path, source },
        ErrorKind::AccessDenied => Error::PermissionDenied { path, source },
        ErrorKind::Credentials => Error::Unauthenticated { path, source },
        ErrorKind::Unsupported => Error::NotSupported { source },
        _ => Error::Generic { store: STORE, source },
    }
}

/// An error that did not come from a service.
pub(crate) fn generic(message: impl Into<String>) -> Error {
    Error::Generic { store: STORE, source: message.into().into() }
}
