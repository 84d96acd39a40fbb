//! Settings for objects of the Amazon S3 Encryption Client.

use std::{fmt, sync::Arc};

use sealwax_envelope::s3ec::ReadPolicy;
pub use sealwax_envelope::s3ec::{
    CommitmentPolicy, Content, ContentSuite, Envelope, Format, INSTRUCTION_FILE_SUFFIX, Keyring,
    RawAesKeyring, RawRsaKeyring, Storage, WrapAlgorithm, WrappedKey,
};

/// Plaintext that is held back until it is verified, unless set: 64 MiB, as in the official Java client.
const DEFAULT_BUFFER_LEN: u64 = 64 << 20;

/// How a [`SealedClient`] treats objects of the Amazon S3 Encryption Client. They are recognised by their metadata.
///
/// Unless set otherwise, objects of format V3 are read whose data key is wrapped by AWS KMS under the client's own wrapping
/// keys, and whose encryption context is exactly the one that the reader requires. Their keys are bound to no place:
/// whoever can write to the bucket can put another such object in the place of any; [`S3ec::refused`] rules that out.
///
/// ```
/// use sealwax_s3::s3ec::{CommitmentPolicy, RawAesKeyring, S3ec};
///
/// let key = RawAesKeyring::new(&mut [7; 32])?;
/// // Reads what the clients before 2025 wrote, too.
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
    /// The settings of the newest official clients: V3 is written, and V3 alone is read.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Refuses all of these objects: of a client that has none.
    #[must_use]
    pub fn refused() -> Self {
        Self { refused: true, ..Self::default() }
    }

    /// Uses `keyring` for them, instead of the client's own; repeatable: the first writes, all read.
    #[must_use]
    pub fn keyring(mut self, keyring: impl Keyring + 'static) -> Self {
        self.keyrings.push(Arc::new(keyring));
        self
    }

    /// Which content is written and read: [`CommitmentPolicy::RequireEncryptRequireDecrypt`] unless set.
    #[must_use]
    pub fn commitment_policy(mut self, policy: CommitmentPolicy) -> Self {
        self.policy = self.policy.commitment(policy);
        self
    }

    /// Reads AES-CBC too, where the commitment policy lets it through: it is not authenticated. Off unless set.
    #[must_use]
    pub fn legacy_unauthenticated_modes(mut self, allow: bool) -> Self {
        self.policy = self.policy.legacy_unauthenticated_modes(allow);
        self
    }

    /// Reads what was wrapped by the algorithms of older clients too. Off unless set.
    #[must_use]
    pub fn legacy_wrapping_algorithms(mut self, allow: bool) -> Self {
        self.policy = self.policy.legacy_wrapping_algorithms(allow);
        self
    }

    /// Reads objects of which only a part of the encryption context is required, or none. Off unless set: it is what tells
    /// two objects under one wrapping key apart.
    #[must_use]
    pub fn any_context(mut self, allow: bool) -> Self {
        self.policy = self.policy.any_context(allow);
        self
    }

    /// How many bytes of plaintext are held back in memory until the tag at the object's end was checked: 64 MiB unless
    /// set. Longer objects are read into a file, or released unverified.
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
