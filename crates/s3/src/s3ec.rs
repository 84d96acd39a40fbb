//! Settings for objects of the Amazon S3 Encryption Client.

use std::{fmt, sync::Arc};

use sealwax_envelope::s3ec::ReadPolicy;
pub use sealwax_envelope::s3ec::{
    CommitmentPolicy, Content, ContentSuite, Envelope, Format, INSTRUCTION_FILE_SUFFIX, Keyring,
    RawAesKeyring, RawRsaKeyring, Storage, WrapAlgorithm, WrappedKey,
};

/// Default bound on plaintext that is held back until it is verified, in bytes: 64 MiB, as in the
/// official Java client.
const DEFAULT_BUFFER_LEN: u64 = 64 << 20;

/// Settings of a [`SealedClient`](crate::SealedClient) for objects of the Amazon S3 Encryption
/// Client, which it recognizes by their metadata.
///
/// By default a client reads objects of format V3 whose data key AWS KMS wrapped under the client's
/// own wrapping keys, and whose encryption context is exactly the required one. Their keys are bound
/// to no place: an attacker who can write to the bucket can replace any object by another such
/// object. [`S3ec::refused`] rules that out.
///
/// ```
/// use sealwax_s3::s3ec::{CommitmentPolicy, RawAesKeyring, S3ec};
///
/// let key = RawAesKeyring::new(&mut [7; 32])?;
/// // Also reads objects of official clients from before 2025.
/// let s3ec = S3ec::new().keyring(key).commitment_policy(CommitmentPolicy::RequireEncryptAllowDecrypt);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct S3ec {
    refused: bool,
    keyrings: Vec<Arc<dyn Keyring>>,
    policy: ReadPolicy,
    buffer_len: u64,
    instruction_file_suffix: String,
}

impl Default for S3ec {
    fn default() -> Self {
        Self {
            refused: false,
            keyrings: Vec::new(),
            policy: ReadPolicy::new(),
            buffer_len: DEFAULT_BUFFER_LEN,
            instruction_file_suffix: INSTRUCTION_FILE_SUFFIX.to_owned(),
        }
    }
}

impl S3ec {
    /// Uses the settings of the newest official clients: format V3 only.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Refuses all objects of the S3 Encryption Client.
    #[must_use]
    pub fn refused() -> Self {
        Self { refused: true, ..Self::default() }
    }

    /// Adds a keyring for these objects, instead of the client's own. The first keyring writes, and
    /// all of them read.
    #[must_use]
    pub fn keyring(mut self, keyring: impl Keyring + 'static) -> Self {
        self.keyrings.push(Arc::new(keyring));
        self
    }

    /// Sets which content is written and read:
    /// [`CommitmentPolicy::RequireEncryptRequireDecrypt`] by default.
    #[must_use]
    pub fn commitment_policy(mut self, policy: CommitmentPolicy) -> Self {
        self.policy = self.policy.commitment(policy);
        self
    }

    /// Allows AES-CBC, which is not authenticated, if the commitment policy allows it too. Off by
    /// default.
    #[must_use]
    pub fn legacy_unauthenticated_modes(mut self, allow: bool) -> Self {
        self.policy = self.policy.legacy_unauthenticated_modes(allow);
        self
    }

    /// Allows data keys that were wrapped by the algorithms of older clients. Off by default.
    ///
    /// These wrapped keys do not bind the content's cipher. Together with
    /// [`S3ec::legacy_unauthenticated_modes`], AES-GCM content of these keys can be relabelled as
    /// AES-CBC (CVE-2020-8912).
    #[must_use]
    pub fn legacy_wrapping_algorithms(mut self, allow: bool) -> Self {
        self.policy = self.policy.legacy_wrapping_algorithms(allow);
        self
    }

    /// Allows AES-CBC content whose data key is wrapped with `AES/GCM` or `RSA-OAEP-SHA1`, if
    /// [`S3ec::legacy_unauthenticated_modes`] allows AES-CBC. Off by default; no known client writes
    /// this combination.
    ///
    /// # Danger
    /// AES-GCM content can then be relabelled as AES-CBC (CVE-2020-8912). An attacker who can write
    /// to the bucket and learns whether reads succeed confirms guesses of 16-byte blocks of
    /// plaintext.
    #[must_use]
    pub fn dangerous_raw_key_cbc(mut self, allow: bool) -> Self {
        self.policy = self.policy.dangerous_raw_key_cbc(allow);
        self
    }

    /// Allows reads that require only a part of the encryption context, or none. Off by default: only
    /// the encryption context tells two objects under one wrapping key apart.
    #[must_use]
    pub fn any_encryption_context(mut self, allow: bool) -> Self {
        self.policy = self.policy.any_encryption_context(allow);
        self
    }

    /// Sets how many bytes of plaintext a stream holds back in memory until the tag at the object's
    /// end is verified: 64 MiB by default. Longer objects must be read into a file, or released
    /// unverified.
    #[must_use]
    pub fn buffer_len(mut self, bytes: u64) -> Self {
        self.buffer_len = bytes;
        self
    }

    /// Sets the suffix of instruction files, which follows the object's key: `.instruction` by
    /// default.
    ///
    /// An empty suffix would name the object itself; writing such a file is refused.
    #[must_use]
    pub fn instruction_file_suffix(mut self, suffix: impl Into<String>) -> Self {
        self.instruction_file_suffix = suffix.into();
        self
    }

    /// Returns the suffix of instruction files.
    #[must_use]
    pub fn file_suffix(&self) -> &str {
        &self.instruction_file_suffix
    }

    pub(crate) fn keyrings(&self) -> &[Arc<dyn Keyring>] {
        &self.keyrings
    }

    pub(crate) fn read_policy(&self) -> ReadPolicy {
        self.policy
    }

    pub(crate) fn is_refused(&self) -> bool {
        self.refused
    }

    pub(crate) fn max_buffer_len(&self) -> u64 {
        self.buffer_len
    }

    /// Returns the commitment policy, which decides which content is read and written.
    #[must_use]
    pub fn policy(&self) -> CommitmentPolicy {
        self.policy.commitment_policy()
    }
}

impl fmt::Debug for S3ec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3ec")
            .field("refused", &self.refused)
            .field("keyrings", &self.keyrings)
            .field("policy", &self.policy)
            .field("buffer_len", &self.buffer_len)
            .field("instruction_file_suffix", &self.instruction_file_suffix)
            .finish()
    }
}
