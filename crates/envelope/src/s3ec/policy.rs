//! Reader policies, applied before any key is used.

use std::collections::BTreeMap;

use super::{
    CommitmentPolicy, ContentSuite, Envelope, Error, WrapAlgorithm, header_names::SUITE_PAIR,
};
use crate::{EncryptionContext, ascii_json};

/// Objects that a reader accepts: V3 only, unless configured otherwise.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct ReadPolicy {
    commitment: CommitmentPolicy,
    legacy_unauthenticated_modes: bool,
    legacy_wrapping_algorithms: bool,
    raw_key_cbc: bool,
    any_encryption_context: bool,
}

impl ReadPolicy {
    /// Returns the default policy: V3, wrapped with a current algorithm, with exactly the required
    /// encryption context.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the commitment policy.
    #[must_use]
    pub fn commitment(mut self, policy: CommitmentPolicy) -> Self {
        self.commitment = policy;
        self
    }

    /// Accepts AES-CBC, if the commitment policy does. It is not authenticated: an attacker who can
    /// write to the bucket can change the plaintext, and may learn it if told whether it decrypts
    /// (CVE-2020-8911).
    #[must_use]
    pub fn legacy_unauthenticated_modes(mut self, allow: bool) -> Self {
        self.legacy_unauthenticated_modes = allow;
        self
    }

    /// Accepts data keys wrapped with `kms`, `AESWrap`, RSA-OAEP with SHA-256, and the algorithms
    /// of V1. These do not bind the content's suite: together with
    /// [`ReadPolicy::legacy_unauthenticated_modes`], AES-GCM content of these keys can be relabelled
    /// as AES-CBC (CVE-2020-8912).
    #[must_use]
    pub fn legacy_wrapping_algorithms(mut self, allow: bool) -> Self {
        self.legacy_wrapping_algorithms = allow;
        self
    }

    /// Accepts AES-CBC content whose data key is wrapped with `AES/GCM` or `RSA-OAEP-SHA1`, if
    /// [`ReadPolicy::legacy_unauthenticated_modes`] accepts AES-CBC. No known client writes this
    /// combination.
    ///
    /// # Danger
    /// These wrapped keys bind AES-CBC and AES-GCM by the same name, so AES-GCM content can be
    /// relabelled as AES-CBC (CVE-2020-8912). An attacker who can write to the bucket and learns
    /// whether reads succeed then has a decryption oracle: it confirms guesses of 16-byte blocks of
    /// plaintext.
    #[must_use]
    pub fn dangerous_raw_key_cbc(mut self, allow: bool) -> Self {
        self.raw_key_cbc = allow;
        self
    }

    /// Accepts an encryption context with more pairs than the reader requires. Unless set, the
    /// reader must give all pairs, because only they distinguish objects under one wrapping key.
    /// Pairs whose names AWS reserves do not count: no caller can give them.
    #[must_use]
    pub fn any_encryption_context(mut self, allow: bool) -> Self {
        self.any_encryption_context = allow;
        self
    }

    /// Returns the commitment policy.
    #[must_use]
    pub fn commitment_policy(&self) -> CommitmentPolicy {
        self.commitment
    }
}

/// An envelope accepted by a policy. Keyrings unwrap only these.
#[derive(Debug, Clone)]
pub struct Admitted(Envelope);

impl Envelope {
    /// Checks the envelope against `policy` and its encryption context against `required`, without
    /// using a key.
    ///
    /// # Errors
    /// [`Error::CommitmentPolicy`], [`Error::LegacyContent`], [`Error::LegacyWrap`],
    /// [`Error::RawKeyCbc`], [`Error::ContextMismatch`], [`Error::NoContext`], or
    /// [`Error::Malformed`] if the encryption context contradicts the content's suite.
    pub fn admit(
        self,
        policy: &ReadPolicy,
        required: &EncryptionContext,
    ) -> Result<Admitted, Error> {
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
            WrapAlgorithm::AesGcm | WrapAlgorithm::RsaOaepSha1
                if suite == ContentSuite::AesCbc && !policy.raw_key_cbc =>
            {
                return Err(Error::RawKeyCbc(algorithm));
            }
            WrapAlgorithm::KmsContext if bound_suite != Some(suite.binding()) => {
                return Err(Error::Malformed(format!(
                    "{SUITE_PAIR} in the encryption context does not match the content's suite"
                )));
            }
            // No client writes this pair with this algorithm: the wrapped key was relabelled as one
            // that binds no suite.
            WrapAlgorithm::Kms if bound_suite.is_some() => {
                return Err(Error::Malformed(format!(
                    "the encryption context has {SUITE_PAIR}, but the wrapping algorithm is kms"
                )));
            }
            _ => {}
        }
        self.check_context(policy, required)?;
        Ok(Admitted(self))
    }

    fn check_context(
        &self,
        policy: &ReadPolicy,
        required: &EncryptionContext,
    ) -> Result<(), Error> {
        // No reader can require a name that AWS reserves, as those of mail that Amazon SES stored.
        let stored: BTreeMap<_, _> = self.unreserved_pairs().collect();
        let has_required = required.iter().all(|(name, value)| stored.get(name) == Some(&value));
        let matches = match self.key().algorithm() {
            WrapAlgorithm::KmsContext => {
                has_required && (policy.any_encryption_context || stored.len() == required.len())
            }
            // KMS binds it too. Old readers named none of its pairs, so a reader need not name all.
            WrapAlgorithm::Kms => has_required,
            _ if required.is_empty() => true,
            // A description, which nothing authenticates.
            raw => return Err(Error::NoContext(raw)),
        };
        if matches { Ok(()) } else { Err(Error::ContextMismatch(ascii_json::to_string(&stored))) }
    }
}

impl Admitted {
    /// Returns the envelope.
    #[must_use]
    pub fn envelope(&self) -> &Envelope {
        &self.0
    }
}
