//! Outcomes of a job's work, and their lines in the journal.

use sealwax_s3::{ListedObject, ObjectState, error_chain};
use serde::{Deserialize, Serialize, Serializer};

use super::{OutcomeDetails, WorkOutcome};

/// Outcome of the work on one object. Serialized, it is a line of the journal.
#[derive(Debug)]
#[non_exhaustive]
pub struct AppliedObject<O> {
    /// The object, as it was listed or planned.
    pub object: ListedObject,
    /// Position in the plan, from 1.
    pub line: Option<u64>,
    /// Outcome of the work.
    pub outcome: O,
    /// `true` if the object changed since planning and was re-evaluated.
    pub replanned: bool,
    /// State in which the object was left, if nothing is left to do for it as long as it stays in
    /// that state.
    pub state: Option<ObjectState>,
}

impl<O: WorkOutcome> Serialize for AppliedObject<O> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let error = self.outcome.error();
        let entry = Entry {
            object: self.object.to_string(),
            version_id: self.object.version_id.clone(),
            line: self.line,
            outcome: self.outcome.name().to_owned(),
            details: self.outcome.details(),
            replanned: self.replanned,
            state: self.state.clone(),
            kind: error.map(|error| error.kind().name().to_owned()),
            why: error.map(|error| error_chain(error)),
        };
        entry.serialize(serializer)
    }
}

/// A line about one object. Field names are stable JSON output.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Entry {
    /// `s3://bucket/key`.
    pub(super) object: String,
    /// The version id, if the object was listed or planned with one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version_id: Option<String>,
    /// Position in the plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    line: Option<u64>,
    /// Name of the outcome.
    pub(super) outcome: String,
    #[serde(flatten)]
    details: OutcomeDetails,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    replanned: bool,
    /// State in which the object was left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) state: Option<ObjectState>,
    /// Name of the error kind, such as `access-denied`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kind: Option<String>,
    /// The error with its causes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}
