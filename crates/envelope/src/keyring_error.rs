//! Failures of wrapping keys, for both keyring traits.

use std::fmt;

/// Reason a wrapping key could not be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KeyringErrorKind {
    /// The caller may not use this wrapping key in this way or with this encryption context.
    AccessDenied,
    /// The wrapping key is disabled, pending deletion or otherwise unusable at present.
    Disabled,
    /// The wrapping key does not exist, or not in this Region.
    NotFound,
    /// The ciphertext does not decrypt under this wrapping key and encryption context: a
    /// cryptographic failure.
    Rejected,
    /// The key service throttles requests.
    Throttled,
    /// The key service does not answer: a network failure, a timeout, or an outage of the Region.
    Unavailable,
    /// The connection to the key service would not be encrypted. It was not called.
    InsecureEndpoint,
    /// The keyring cannot do this for the object. The key service was not called.
    Unsuitable,
    /// Any other failure.
    Other,
}

impl fmt::Display for KeyringErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AccessDenied => "access denied",
            Self::Disabled => "the key is disabled or pending deletion",
            Self::NotFound => "no such key",
            Self::Rejected => "the wrapped data key failed authentication",
            Self::Throttled => "the key service throttles",
            Self::Unavailable => "the key service is unreachable",
            Self::InsecureEndpoint => "the key service was not called",
            Self::Unsuitable => "it cannot be used here",
            Self::Other => "the key service refused",
        })
    }
}

/// Failure of one wrapping key.
#[derive(Debug, thiserror::Error)]
#[error("wrapping key {wrapping_key}: {kind}")]
pub struct KeyringError {
    kind: KeyringErrorKind,
    wrapping_key: String,
    #[source]
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl KeyringError {
    /// Creates the error for `wrapping_key`, which should name its location (an ARN includes the
    /// Region).
    #[must_use]
    pub fn new(kind: KeyringErrorKind, wrapping_key: impl Into<String>) -> Self {
        Self { kind, wrapping_key: wrapping_key.into(), source: None }
    }

    /// Replaces the name of the wrapping key that failed.
    #[must_use]
    pub fn with_wrapping_key(self, wrapping_key: impl Into<String>) -> Self {
        Self { wrapping_key: wrapping_key.into(), ..self }
    }

    /// Adds the cause, which must contain no secret.
    #[must_use]
    pub fn with_source(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Returns the reason.
    #[must_use]
    pub fn kind(&self) -> KeyringErrorKind {
        self.kind
    }

    /// Returns the name of the wrapping key that failed.
    #[must_use]
    pub fn wrapping_key(&self) -> &str {
        &self.wrapping_key
    }
}
