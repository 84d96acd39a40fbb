//! Errors of the envelope core.

/// A failure of the envelope core.
///
/// All cryptographic failures are the same [`Error::Authentication`]. Neither the caller nor an
/// attacker can distinguish a wrong key, a changed byte and a changed encryption context.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The data does not authenticate under this key and encryption context. None of it was
    /// released.
    #[error(
        "the object failed authentication: the key, the encryption context or the stored bytes are \
         not the original ones"
    )]
    Authentication,
    /// The caller violated a rule of the API: a bug in the calling code.
    #[error("incorrect use of the API: {0}")]
    ApiMisuse(&'static str),
    /// The encryption context contains an invalid pair, or too many.
    #[error("invalid encryption context: {0}")]
    InvalidContext(String),
    /// The object's user-defined metadata or its number of encrypted data keys is invalid.
    #[error("invalid metadata: {0}")]
    InvalidMetadata(String),
    /// No wrapped key can be bound to this bucket and key.
    #[error("invalid place: {0}")]
    InvalidPlace(String),
    /// The stored metadata is not that of a sealed object.
    #[error("malformed sealed object: {0}")]
    Malformed(String),
    /// The metadata exceeds what S3 accepts with an object.
    #[error(
        "the object's metadata needs {needed} bytes, more than the maximum of {limit}: shorten the \
         encryption context or the user-defined metadata, or use fewer wrapping keys"
    )]
    MetadataTooLarge {
        /// Bytes that all names and values need.
        needed: usize,
        /// Maximum number of bytes.
        limit: usize,
    },
    /// The object has no Sealwax metadata.
    #[error("the object is not sealed: it carries no Sealwax metadata")]
    NotSealed,
    /// The operating system returned no random bytes.
    #[error("the operating system's random number generator is unavailable")]
    RandomUnavailable,
    /// The body exceeds the format's limit.
    #[error("the body exceeds the format's limit of 2^38 chunks (4 PiB)")]
    TooLong,
    /// The body ends before its final chunk.
    #[error("the object is truncated: its final chunk is missing")]
    Truncated,
    /// The object is sealed in a format that this version does not support.
    #[error("unsupported format {0:?}: a newer version of Sealwax may read it")]
    UnsupportedFormat(String),
}

impl From<crate::crypto::Unauthentic> for Error {
    fn from(_: crate::crypto::Unauthentic) -> Self {
        Self::Authentication
    }
}

impl From<crate::crypto::RandomUnavailable> for Error {
    fn from(_: crate::crypto::RandomUnavailable) -> Self {
        Self::RandomUnavailable
    }
}
