//! What can go wrong with these formats, by whose fault it is.

use super::{CommitmentPolicy, ContentSuite, WrapAlgorithm};

/// A failure to read or write a format of the S3 Encryption Client.
///
/// Whatever fails cryptographically is one and the same [`Error::Authentication`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The data did not authenticate, or not decrypt. Nothing of it was released.
    #[error(
        "the object failed authentication: the key, the encryption context or the stored bytes are not the original ones"
    )]
    Authentication,
    /// The envelope is not what any client writes; it may have been tampered with.
    #[error("malformed envelope of the S3 Encryption Client: {0}")]
    Malformed(String),
    /// It is no object of its own: it holds the wrapped data key of another one.
    #[error("it is the instruction file of another object")]
    InstructionFile,
    /// It names an algorithm that there is not.
    #[error("unsupported envelope of the S3 Encryption Client: {0}")]
    Unsupported(String),
    /// The commitment policy lets no such object through.
    #[error(
        "its content is encrypted with {suite}, which does not commit to the data key, and the commitment policy is {policy}: \
         if such objects are expected, read it under RequireEncryptAllowDecrypt"
    )]
    CommitmentPolicy {
        /// The content's suite.
        suite: ContentSuite,
        /// The policy of the reader.
        policy: CommitmentPolicy,
    },
    /// Legacy unauthenticated modes are off.
    #[error(
        "its content is encrypted with {0}, which is not authenticated: if such objects are expected, allow legacy \
         unauthenticated modes"
    )]
    LegacyContent(ContentSuite),
    /// Legacy wrapping algorithms are off.
    #[error(
        "its data key is wrapped with {0}, a legacy algorithm: if such objects are expected, allow legacy wrapping algorithms"
    )]
    LegacyWrap(WrapAlgorithm),
    /// The object's encryption context is not exactly the one that the reader gave.
    #[error("its encryption context is {0}, and another one was given")]
    ContextMismatch(String),
    /// The plaintext is longer than one AES-GCM message can be.
    #[error("the plaintext exceeds the 68,719,476,704 bytes (64 GiB - 32) of this format")]
    TooLong,
    /// The body is shorter than its tag.
    #[error("the object is truncated: it is shorter than its tag")]
    Truncated,
    /// The operating system gave no random bytes.
    #[error("the operating system's random number generator is unavailable")]
    RandomUnavailable,
    /// Metadata of the object's own cannot be stored with it, or not that much of it.
    #[error(transparent)]
    Metadata(#[from] crate::Error),
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
