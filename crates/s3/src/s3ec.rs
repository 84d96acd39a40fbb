//! Objects of the Amazon S3 Encryption Client: how a client reads and writes them.

pub(crate) mod instruction_file;

use std::{fmt, sync::Arc};

pub use sealwax_envelope::s3ec::{
    CommitmentPolicy, Content, ContentSuite, Envelope, Format, INSTRUCTION_FILE_SUFFIX, Keyring,
    RawAesKeyring, RawRsaKeyring, Storage, WrapAlgorithm, WrappedKey,
};
use sealwax_envelope::{
    EncryptionContext, KeyringError, PlaintextDataKey,
    s3ec::{Admitted, Error as FormatError, ReadPolicy},
};

use crate::{
    SealedClient,
    error::{Error, ErrorKind, Target},
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
}

impl Default for S3ec {
    fn default() -> Self {
        Self {
            refused: false,
            keyrings: Vec::new(),
            policy: ReadPolicy::new(),
            buffer_len: DEFAULT_BUFFER_LEN,
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
            .finish()
    }
}

impl SealedClient {
    /// The keyrings for these objects: those that were given, else the client's own.
    pub(crate) fn s3ec_keyrings(&self) -> impl Iterator<Item = &dyn Keyring> {
        let given = &self.s3ec().keyrings;
        let own = if given.is_empty() { self.keyring().s3ec() } else { None };
        given.iter().map(|keyring| &**keyring).chain(own)
    }

    /// Holds an envelope to the policy. `context` is what the reader requires, all of it unless `any_context`.
    pub(crate) fn admit(
        &self,
        target: &Target,
        envelope: Envelope,
        context: &EncryptionContext,
        any_context: bool,
    ) -> Result<Admitted, Error> {
        let policy = self.s3ec().policy;
        let policy = if any_context { policy.any_context(true) } else { policy };
        envelope.admit(&policy, context).map_err(|error| target.s3ec(error))
    }

    /// Unwraps the data key of an object with `plaintext_len` bytes; of V3, checks that it is that of the content.
    pub(crate) async fn check_s3ec_key(
        &self,
        target: &Target,
        envelope: &Envelope,
        plaintext_len: u64,
    ) -> Result<(), Error> {
        let admitted = self.admit(target, envelope.clone(), &EncryptionContext::new(), true)?;
        let data_key = self.unwrap_s3ec(target, &admitted).await?;
        let stored_len =
            envelope.stored_len(plaintext_len).ok_or_else(|| target.s3ec(FormatError::TooLong))?;
        admitted.opener(&data_key, stored_len).map(drop).map_err(|error| target.s3ec(error))
    }

    /// Unwraps the data key of an envelope that was let through.
    pub(crate) async fn unwrap_s3ec(
        &self,
        target: &Target,
        envelope: &Admitted,
    ) -> Result<PlaintextDataKey, Error> {
        let algorithm = envelope.envelope().key().algorithm();
        let mut failures: Vec<KeyringError> = Vec::new();
        for keyring in self.s3ec_keyrings().filter(|keyring| keyring.accepts(algorithm)) {
            match keyring.unwrap(envelope).await {
                Ok(data_key) => return Ok(data_key),
                Err(error) => failures.push(error),
            }
        }
        if failures.is_empty() {
            let message =
                format!("its data key is wrapped by {algorithm}, for which there is no keyring");
            return Err(target.error(ErrorKind::NoMatchingKey, message));
        }
        Err(target.keyring(failures))
    }
}

impl Target {
    /// A failure of these formats.
    pub(crate) fn s3ec(&self, error: FormatError) -> Error {
        let kind = match error {
            FormatError::Authentication => ErrorKind::Authentication,
            FormatError::InstructionFile => ErrorKind::NotSealed,
            FormatError::Unsupported(_) => ErrorKind::Unsupported,
            FormatError::CommitmentPolicy { .. }
            | FormatError::LegacyContent(_)
            | FormatError::LegacyWrap(_) => ErrorKind::PolicyRefused,
            FormatError::ContextMismatch(_) => ErrorKind::ContextMismatch,
            FormatError::TooLong => ErrorKind::InvalidInput,
            FormatError::Truncated => ErrorKind::Truncated,
            FormatError::RandomUnavailable => ErrorKind::Io,
            FormatError::Metadata(error) => return self.envelope(error),
            _ => ErrorKind::Malformed,
        };
        self.error(kind, error.to_string())
    }
}
