//! Reasons to refuse a request, with the codes of S3.

use std::error::Error;

use http::StatusCode;

/// Error codes of S3 that the gate answers with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Code {
    /// The client may not do this, or the request is not signed as it must be.
    AccessDenied,
    /// The Authorization header is malformed.
    AuthorizationHeaderMalformed,
    /// The query parameters of a presigned URL are malformed.
    AuthorizationQueryParametersError,
    /// A checksum differs from the announced one.
    BadDigest,
    /// The body is too long.
    EntityTooLarge,
    /// The body ends early.
    IncompleteBody,
    /// No client has the access key ID.
    InvalidAccessKeyId,
    /// A parameter is invalid.
    InvalidArgument,
    /// The bucket name is invalid.
    InvalidBucketName,
    /// A signed chunk is too short or too long.
    InvalidChunkSizeError,
    /// The Content-MD5 header is malformed.
    InvalidDigest,
    /// The request is invalid.
    InvalidRequest,
    /// The request has a session token.
    InvalidToken,
    /// The URI is malformed.
    InvalidURI,
    /// The key has more than 1,024 bytes.
    KeyTooLongError,
    /// The trailers are malformed, or not the announced ones.
    MalformedTrailerError,
    /// The resource has no such method.
    MethodNotAllowed,
    /// The request does not announce the length of its body.
    MissingContentLength,
    /// The gateway does not have this.
    NotImplemented,
    /// The clocks differ by more than 15 minutes.
    RequestTimeTooSkewed,
    /// The signature is wrong.
    SignatureDoesNotMatch,
    /// The body's SHA-256 digest differs from the announced one.
    XAmzContentSHA256Mismatch,
    /// The connection failed.
    RequestTimeout,
}

impl Code {
    /// Returns the code as S3 writes it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::AccessDenied => "AccessDenied",
            Self::AuthorizationHeaderMalformed => "AuthorizationHeaderMalformed",
            Self::AuthorizationQueryParametersError => "AuthorizationQueryParametersError",
            Self::BadDigest => "BadDigest",
            Self::EntityTooLarge => "EntityTooLarge",
            Self::IncompleteBody => "IncompleteBody",
            Self::InvalidAccessKeyId => "InvalidAccessKeyId",
            Self::InvalidArgument => "InvalidArgument",
            Self::InvalidBucketName => "InvalidBucketName",
            Self::InvalidChunkSizeError => "InvalidChunkSizeError",
            Self::InvalidDigest => "InvalidDigest",
            Self::InvalidRequest => "InvalidRequest",
            Self::InvalidToken => "InvalidToken",
            Self::InvalidURI => "InvalidURI",
            Self::KeyTooLongError => "KeyTooLongError",
            Self::MalformedTrailerError => "MalformedTrailerError",
            Self::MethodNotAllowed => "MethodNotAllowed",
            Self::MissingContentLength => "MissingContentLength",
            Self::NotImplemented => "NotImplemented",
            Self::RequestTimeTooSkewed => "RequestTimeTooSkewed",
            Self::SignatureDoesNotMatch => "SignatureDoesNotMatch",
            Self::XAmzContentSHA256Mismatch => "XAmzContentSHA256Mismatch",
            Self::RequestTimeout => "RequestTimeout",
        }
    }

    /// Returns the status of a response with the code.
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::AccessDenied
            | Self::InvalidAccessKeyId
            | Self::InvalidChunkSizeError
            | Self::RequestTimeTooSkewed
            | Self::SignatureDoesNotMatch => StatusCode::FORBIDDEN,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::MissingContentLength => StatusCode::LENGTH_REQUIRED,
            Self::NotImplemented => StatusCode::NOT_IMPLEMENTED,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}

/// A refused request. Nothing of its body was read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", .code.as_str())]
pub(crate) struct Refusal {
    code: Code,
    message: String,
}

impl Refusal {
    /// Creates a refusal. The message goes to the client.
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// Returns S3's code.
    pub(crate) fn code(&self) -> Code {
        self.code
    }

    /// Returns the status of the response.
    #[cfg(test)]
    pub(crate) fn status(&self) -> StatusCode {
        self.code.status()
    }

    /// Returns the message for the client.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }
}

/// Creates the error branch of a check.
pub(super) fn refuse<T>(code: Code, message: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal::new(code, message))
}

/// Reason that a body ended with an error.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    /// A checksum differs from the announced one. `what` is the header's name.
    #[error("the body does not match {what}")]
    BadDigest {
        /// Name of the header or trailer.
        what: &'static str,
    },
    /// The body differs from `x-amz-content-sha256`.
    #[error("the body does not match x-amz-content-sha256")]
    XAmzContentSHA256Mismatch,
    /// The body is shorter than announced, or its final chunk is missing.
    #[error("the body ended before all announced bytes arrived")]
    IncompleteBody,
    /// A chunk's signature, or that of the trailers, is wrong.
    #[error("the signature of a chunk or of the trailers is wrong")]
    SignatureDoesNotMatch,
    /// A signed chunk other than the last has less than 8 KiB, or a chunk more than 1 MiB.
    #[error("signed chunks must have 8 KiB to 1 MiB, except for the last one")]
    InvalidChunkSize,
    /// The body's framing is malformed, or it is longer than announced.
    #[error("malformed body: {0}")]
    InvalidRequest(&'static str),
    /// The trailers are malformed, or not the announced ones.
    #[error("malformed trailers: {0}")]
    MalformedTrailer(&'static str),
    /// The connection failed.
    #[error("the body could not be received")]
    Transport(#[source] Box<dyn Error + Send + Sync>),
}

impl BodyError {
    /// Returns S3's code.
    pub(crate) fn code(&self) -> Code {
        match self {
            Self::BadDigest { .. } => Code::BadDigest,
            Self::XAmzContentSHA256Mismatch => Code::XAmzContentSHA256Mismatch,
            Self::IncompleteBody => Code::IncompleteBody,
            Self::SignatureDoesNotMatch => Code::SignatureDoesNotMatch,
            Self::InvalidChunkSize => Code::InvalidChunkSizeError,
            Self::InvalidRequest(_) => Code::InvalidRequest,
            Self::MalformedTrailer(_) => Code::MalformedTrailerError,
            Self::Transport(_) => Code::RequestTimeout,
        }
    }

    /// Returns the status of the response.
    #[cfg(test)]
    pub(crate) fn status(&self) -> StatusCode {
        self.code().status()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_those_of_s3() {
        for (code, name, status) in [
            (Code::AccessDenied, "AccessDenied", 403),
            (Code::BadDigest, "BadDigest", 400),
            (Code::InvalidAccessKeyId, "InvalidAccessKeyId", 403),
            (Code::InvalidURI, "InvalidURI", 400),
            (Code::KeyTooLongError, "KeyTooLongError", 400),
            (Code::MethodNotAllowed, "MethodNotAllowed", 405),
            (Code::MissingContentLength, "MissingContentLength", 411),
            (Code::NotImplemented, "NotImplemented", 501),
            (Code::RequestTimeTooSkewed, "RequestTimeTooSkewed", 403),
            (Code::SignatureDoesNotMatch, "SignatureDoesNotMatch", 403),
            (Code::XAmzContentSHA256Mismatch, "XAmzContentSHA256Mismatch", 400),
        ] {
            let refusal = Refusal::new(code, "why");
            assert_eq!(refusal.status(), status);
            assert_eq!((refusal.code().as_str(), refusal.message()), (name, "why"));
            assert_eq!(refusal.to_string(), format!("{name}: why"));
        }
        assert_eq!(BodyError::InvalidChunkSize.status(), 403);
        assert_eq!(BodyError::IncompleteBody.status(), 400);
    }
}
