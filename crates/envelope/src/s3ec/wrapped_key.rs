//! Wrapped data keys of these formats.

use std::{collections::BTreeMap, fmt};

use super::{ContentSuite, WrapAlgorithm, header_names::SUITE_PAIR};
use crate::EncryptionContext;

/// A wrapped data key as stored in an envelope.
#[derive(Clone, PartialEq, Eq)]
pub struct WrappedKey {
    algorithm: WrapAlgorithm,
    encrypted_data_key: Vec<u8>,
    description: BTreeMap<String, String>,
}

impl WrappedKey {
    /// Creates a key wrapped with `algorithm`. `description` is the full encryption context for AWS
    /// KMS, otherwise the materials description, which nothing authenticates.
    #[must_use]
    pub fn new(
        algorithm: WrapAlgorithm,
        encrypted_data_key: Vec<u8>,
        description: BTreeMap<String, String>,
    ) -> Self {
        Self { algorithm, encrypted_data_key, description }
    }

    /// Returns the full encryption context that AWS KMS must authenticate with a data key for
    /// content encrypted with `suite`.
    #[must_use]
    pub fn kms_context(
        suite: ContentSuite,
        context: &EncryptionContext,
    ) -> BTreeMap<String, String> {
        let pairs = context.iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
        pairs.chain([(SUITE_PAIR.to_owned(), suite.binding().to_owned())]).collect()
    }

    /// Returns the wrapping algorithm.
    #[must_use]
    pub fn algorithm(&self) -> WrapAlgorithm {
        self.algorithm
    }

    /// Returns the ciphertext.
    #[must_use]
    pub fn encrypted_data_key(&self) -> &[u8] {
        &self.encrypted_data_key
    }

    /// Returns the full encryption context that AWS KMS authenticates, or the materials description
    /// for a raw key.
    #[must_use]
    pub fn description(&self) -> &BTreeMap<String, String> {
        &self.description
    }
}

impl fmt::Debug for WrappedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WrappedKey")
            .field("algorithm", &self.algorithm)
            .field("description", &self.description)
            .finish_non_exhaustive()
    }
}
