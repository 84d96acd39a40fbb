//! What can go wrong in the core, by whose fault it is.

/// A failure of the envelope core.
///
/// Whatever fails cryptographically is one and the same [`Error::Authentication`]: a wrong key, a changed byte and a
/// changed encryption context cannot be told apart, by the caller or by an attacker.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The data did not authenticate under this key and encryption context. Nothing of it was released.
    #[error(
        "the object failed authentication: the key, the encryption context or the stored bytes are not the original ones"
    )]
    Authentication,
    /// The caller broke a rule of the API that is visible in its own code.
    #[error("wrong use of the API: {0}")]
    ApiMisuse(&'static str),
    /// An encryption context pair cannot be used.
    #[error("bad encryption context: {0}")]
    InvalidContext(String),
    /// Metadata of the object's own cannot be stored with it.
    #[error("bad metadata: {0}")]
    InvalidMetadata(String),
    /// Stored metadata is not what a sealed object has.
    #[error("malformed sealed object: {0}")]
    Malformed(String),
    /// The metadata exceeds what S3 accepts with an object.
    #[error(
        "object metadata would take {needed} bytes, above the {limit} that S3 stores: shorten the encryption context or the object's own metadata, or use fewer wrapping keys"
    )]
    MetadataTooLarge {
        /// Bytes that all names and values would take.
        needed: usize,
        /// Bytes that are allowed.
        limit: usize,
    },
    /// The object carries none of Sealwax's metadata.
    #[error("the object is not sealed: it carries no Sealwax metadata")]
    NotSealed,
    /// The operating system gave no random bytes.
    #[error("the operating system's random number generator is unavailable")]
    RandomUnavailable,
    /// The body is larger than the format allows.
    #[error("the body would exceed the format's limit of 2^38 chunks (4 PiB)")]
    TooLong,
    /// The body ends before its final chunk.
    #[error("the object is truncated: its final chunk is missing")]
    Truncated,
    /// The object was sealed in a format that this version does not know.
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
