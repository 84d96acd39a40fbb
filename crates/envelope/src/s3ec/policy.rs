//! What a reader lets through, before any key is used.

use std::collections::BTreeMap;

use super::{
    CommitmentPolicy, ContentSuite, Envelope, Error, WrapAlgorithm, header_names::SUITE_PAIR,
};
use crate::{EncryptionContext, ascii_json};

/// What a reader lets through: V3 alone, unless told otherwise.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct ReadPolicy {
    commitment: CommitmentPolicy,
    legacy_unauthenticated_modes: bool,
    legacy_wrapping_algorithms: bool,
    any_context: bool,
}

impl ReadPolicy {
    /// V3, wrapped by a current algorithm, with exactly the encryption context that is given.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether content must commit to its key.
    #[must_use]
    pub fn commitment(mut self, policy: CommitmentPolicy) -> Self {
        self.commitment = policy;
        self
    }

    /// Lets AES-CBC through, where the commitment policy does. It is not authenticated: whoever can write to the bucket
    /// can change the plaintext, and may learn it if told whether it decrypts (CVE-2020-8911).
    #[must_use]
    pub fn legacy_unauthenticated_modes(mut self, allow: bool) -> Self {
        self.legacy_unauthenticated_modes = allow;
        self
    }

    /// Lets data keys through that are wrapped by `kms`, `AESWrap`, RSA-OAEP with SHA-256, and the algorithms of V1. They
    /// do not bind the content's suite.
    #[must_use]
    pub fn legacy_wrapping_algorithms(mut self, allow: bool) -> Self {
        self.legacy_wrapping_algorithms = allow;
        self
    }

    /// Lets an encryption context through of which only a part is given. Unless set, the reader must give all of it: it is
    /// what tells two objects of one wrapping key apart.
    #[must_use]
    pub fn any_context(mut self, allow: bool) -> Self {
        self.any_context = allow;
        self
    }

    /// The commitment policy.
    #[must_use]
    pub fn commitment_policy(&self) -> CommitmentPolicy {
        self.commitment
    }
}

/// An envelope that a policy let through: what a keyring may be asked to unwrap.
#[derive(Debug, Clone)]
pub struct Admitted(Envelope);

impl Envelope {
    /// Holds the envelope to `policy`, and its encryption context to the one that the reader gives. No key is used.
    ///
    /// # Errors
    /// [`Error::CommitmentPolicy`], [`Error::LegacyContent`], [`Error::LegacyWrap`], [`Error::ContextMismatch`], or
    /// [`Error::Malformed`] where the encryption context contradicts the content's suite.
    pub fn admit(self, policy: &ReadPolicy, given: &EncryptionContext) -> Result<Admitted, Error> {
        let suite = self.content().suite();
        let commits = suite == ContentSuite::AesGcmCommitKey;
        if !commits && policy.commitment == CommitmentPolicy::RequireEncryptRequireDecrypt {
            return Err(Error::CommitmentPolicy { suite, policy: policy.commitment });
        }
        if suite == ContentSuite::AesCbc && !policy.legacy_unauthenticated_modes {
            return Err(Error::LegacyContent(suite));
        }
        let algorithm = self.key().algorithm();
        if algorithm.is_legacy() && !policy.legacy_wrapping_algorithms {
            return Err(Error::LegacyWrap(algorithm));
        }
        let bound_suite = self.key().description().get(SUITE_PAIR).map(String::as_str);
        match algorithm {
            WrapAlgorithm::KmsContext if bound_suite != Some(suite.binding()) => {
                return Err(Error::Malformed(format!(
                    "{SUITE_PAIR} of its encryption context is not its suite's"
                )));
            }
            // No client wrote it with this algorithm: the wrap was relabelled, to pass for one that binds nothing.
            WrapAlgorithm::Kms if bound_suite.is_some() => {
                return Err(Error::Malformed(format!(
                    "its encryption context has {SUITE_PAIR}, and it is wrapped by kms"
                )));
            }
            _ => {}
        }
        self.check_context(policy, given)?;
        Ok(Admitted(self))
    }

    fn check_context(&self, policy: &ReadPolicy, given: &EncryptionContext) -> Result<(), Error> {
        let stored: BTreeMap<_, _> = self.context_pairs().collect();
        let has_given = given.iter().all(|(name, value)| stored.get(name) == Some(&value));
        let matches = match self.key().algorithm() {
            WrapAlgorithm::KmsContext => {
                has_given && (policy.any_context || stored.len() == given.len())
            }
            // What a raw key, or a legacy wrap, does not bind cannot be required of it.
            _ => given.is_empty(),
        };
        if matches { Ok(()) } else { Err(Error::ContextMismatch(ascii_json::to_string(&stored))) }
    }
}

impl Admitted {
    /// The envelope.
    #[must_use]
    pub fn envelope(&self) -> &Envelope {
        &self.0
    }
}
