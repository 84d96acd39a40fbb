//! Mapping of failures to `object_store`'s errors.

use super::super::object_store::{Error, path::Path};
use sealwax_s3::ErrorKind;

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
    move |error| {
        let (kind, path, source) = (error.kind(), path.clone(), Box::new(error));
        match kind {
            // S3 answers so if the object to overwrite does not exist.
            ErrorKind::NotFound if during == During::Update => Error::Precondition { path, source },
            ErrorKind::NotFound | ErrorKind::NoSuchBucket => Error::NotFound { path, source },
            ErrorKind::Conflict if during == During::Creation => {
                Error::AlreadyExists { path, source }
            }
            ErrorKind::Conflict | ErrorKind::Changed => Error::Precondition { path, source },
            ErrorKind::NotModified => Error::NotModified { path, source },
            ErrorKind::AccessDenied => Error::PermissionDenied { path, source },
            ErrorKind::Credentials => Error::Unauthenticated { path, source },
            ErrorKind::Unsupported | ErrorKind::Archived => Error::NotSupported { source },
            _ => Error::Generic { store: STORE, source },
        }
    }
}

/// An error that did not come from a service.
pub(crate) fn generic(message: impl Into<String>) -> Error {
    Error::Generic { store: STORE, source: message.into().into() }
}
