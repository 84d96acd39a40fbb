//! Errors of these formats.

use super::{CommitmentPolicy, ContentSuite, WrapAlgorithm};

/// A failure to read or write a format of the S3 Encryption Client.
///
/// All cryptographic failures are the same [`Error::Authentication`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The data does not authenticate or decrypt. None of it was released.
    #[error(
        "the object failed authentication: the key, the encryption context or the stored bytes are \
         not the original ones"
    )]
    Authentication,
    /// No client writes such an envelope; it may have been tampered with.
    #[error("malformed envelope of the S3 Encryption Client: {0}")]
    Malformed(String),
    /// The object is an instruction file: it holds the wrapped data key of another object.
    #[error("the object is the instruction file of another object")]
    InstructionFile,
    /// The envelope names an unknown or unsupported algorithm.
    #[error("unsupported envelope of the S3 Encryption Client: {0}")]
    Unsupported(String),
    /// The commitment policy does not permit the object.
    #[error(
        "the content is encrypted with {suite}, which does not commit to the data key, and the \
         commitment policy is {policy}: if such objects are expected, use \
         RequireEncryptAllowDecrypt"
    )]
    CommitmentPolicy {
        /// The content's suite.
        suite: ContentSuite,
        /// The policy of the reader.
        policy: CommitmentPolicy,
    },
    /// Legacy unauthenticated modes are off.
    #[error(
        "the content is encrypted with {0}, which is not authenticated: if such objects are \
         expected, allow legacy unauthenticated modes"
    )]
    LegacyContent(ContentSuite),
    /// Legacy wrapping algorithms are off.
    #[error(
        "the data key is wrapped with {0}, a legacy algorithm: if such objects are expected, allow \
         legacy wrapping algorithms"
    )]
    LegacyWrap(WrapAlgorithm),
    /// AES-CBC content whose data key is wrapped with a current algorithm of a raw key. That
    /// wrapped key does not tell AES-CBC from AES-GCM.
    #[error(
        "the content is labelled as ALG_AES_256_CBC_IV16_NO_KDF, but its data key is wrapped with \
         {0}: no known client writes that, and the content may be relabelled AES-GCM"
    )]
    RawKeyCbc(WrapAlgorithm),
    /// The object's encryption context differs from the one that the reader requires.
    #[error("{}", context_mismatch(.0))]
    ContextMismatch(String),
    /// An encryption context is required, and the data key is wrapped with a raw key, which binds none.
    #[error(
        "its data key is wrapped with {0}, a raw key's algorithm, which binds no encryption context, \
         and one is required"
    )]
    NoContext(WrapAlgorithm),
    /// The plaintext exceeds the length of one AES-GCM message.
    #[error("the plaintext exceeds the 68,719,476,704 bytes (64 GiB - 32) of this format")]
    TooLong,
    /// The object is shorter than its tag.
    #[error("the object is truncated: it is shorter than its tag")]
    Truncated,
    /// The operating system returned no random bytes.
    #[error("the operating system's random number generator is unavailable")]
    RandomUnavailable,
    /// The metadata is invalid or too large, or a raw key is invalid.
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

fn context_mismatch(stored: &str) -> String {
    match stored {
        "{}" => "the object has no encryption context, and one is required".to_owned(),
        _ => format!("the encryption context is {stored}, which is not the required one"),
    }
}
