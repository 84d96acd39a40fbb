//! Results of a job's work on one object.

use std::fmt;

use sealwax_s3::Error;
use serde::{Deserialize, Serialize};

/// Result of the work on one object.
pub trait WorkOutcome: fmt::Debug + Send + Sync + 'static {
    /// Returns the name in journals and JSON output.
    fn name(&self) -> &'static str;

    /// Returns the failure, if any.
    fn error(&self) -> Option<&Error>;

    /// Returns what else a journal says about it.
    fn details(&self) -> OutcomeDetails;

    /// `true` if nothing is left to do for an object with the outcome of this name; `None` for an
    /// unknown name.
    fn is_done(name: &str) -> Option<bool>;
}

/// Details of an outcome. Field names are stable JSON output.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct OutcomeDetails {
    /// New generation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation: Option<u32>,
    /// Wrapping keys that were to be removed, and stay.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub kept: Vec<String>,
    /// Length of the re-encrypted plaintext in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plaintext_bytes: Option<u64>,
}
