//! Failures, as `object_store` tells them apart. The source keeps what failed, where, and what to do.

use object_store::{Error, path::Path};
use sealwax_s3::{
    ErrorKind,
    aws_sdk_s3::{
        config::http::HttpResponse,
        error::{DisplayErrorContext, SdkError},
    },
};

pub(crate) const STORE: &str = "Sealwax";

/// What was being done: the same answer of S3 means different things.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum During {
    Read,
    Write,
    /// A write where there must be no object yet.
    Creation,
    /// A write over an object that must be there, and be a certain one.
    Update,
}

/// A failed operation of the client on the object at `location`.
pub(crate) fn stored(
    during: During,
    location: &Path,
) -> impl Fn(sealwax_s3::Error) -> Error + Send + 'static {
    let path = location.to_string();
    move |error| {
        let (kind, path, source) = (error.kind(), path.clone(), Box::new(error));
        match kind {
            // S3 says so of a write over an object that is not there.
            ErrorKind::NotFound if during == During::Update => Error::Precondition { path, source },
            ErrorKind::NotFound | ErrorKind::NoSuchBucket => Error::NotFound { path, source },
            ErrorKind::Conflict if during == During::Creation => {
                Error::AlreadyExists { path, source }
            }
            ErrorKind::Conflict | ErrorKind::Changed => Error::Precondition { path, source },
            ErrorKind::NotModified => Error::NotModified { path, source },
            ErrorKind::AccessDenied => Error::PermissionDenied { path, source },
            ErrorKind::Credentials => Error::Unauthenticated { path, source },
            ErrorKind::Unsupported => Error::NotSupported { source },
            _ => Error::Generic { store: STORE, source },
        }
    }
}

/// A failed call of S3 that reads or writes no object.
pub(crate) fn call<E>(call: &str, place: &str, error: &SdkError<E, HttpResponse>) -> Error
where
    E: std::error::Error + 'static,
{
    let status = error.raw_response().map(|response| response.status().as_u16());
    let source = format!("cannot {call} {place}: {}", DisplayErrorContext(error)).into();
    let path = place.to_owned();
    match status {
        Some(403) => Error::PermissionDenied { path, source },
        Some(401) => Error::Unauthenticated { path, source },
        Some(404) => Error::NotFound { path, source },
        _ => Error::Generic { store: STORE, source },
    }
}

/// A failure that is no service's.
pub(crate) fn generic(message: impl Into<String>) -> Error {
    Error::Generic { store: STORE, source: message.into().into() }
}
