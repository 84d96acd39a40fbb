//! Outcomes of rewraps, and their lines in the journal.

use sealwax_s3::{ListedObject, ObjectState, RewrapOutcome, Skipped, error_chain};
use serde::{Deserialize, Serialize, Serializer};

/// Outcome of the rewrap of one object. Serialized, it is a line of the journal.
#[derive(Debug)]
#[non_exhaustive]
pub struct AppliedObject {
    /// The object, as it was listed or planned.
    pub object: ListedObject,
    /// Position in the plan, from 1.
    pub line: Option<u64>,
    /// Outcome of the rewrap.
    pub outcome: RewrapOutcome,
    /// `true` if the object changed since planning and was re-evaluated.
    pub replanned: bool,
    /// State in which the object was left, if nothing is left to do for it as long as it stays in
    /// that state.
    pub state: Option<ObjectState>,
}

impl Serialize for AppliedObject {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let generation = match self.outcome {
            RewrapOutcome::Rewrapped { generation, .. }
            | RewrapOutcome::Kept { generation, .. } => Some(generation),
            _ => None,
        };
        let error = self.outcome.error();
        let kept = match &self.outcome {
            RewrapOutcome::Kept { wrapping_keys, .. } => wrapping_keys.clone(),
            _ => Vec::new(),
        };
        let entry = Entry {
            object: self.object.to_string(),
            version_id: self.object.version_id.clone(),
            line: self.line,
            outcome: self.outcome.name().to_owned(),
            generation,
            kept,
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
    outcome: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    generation: Option<u32>,
    /// Wrapping keys that were to be removed, and stay.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    kept: Vec<String>,
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

impl Entry {
    /// `true` if nothing is left to do for the object; `None` for an unknown outcome.
    pub(super) fn is_done(&self) -> Option<bool> {
        match self.outcome.as_str() {
            "rewrapped" | "claimed" | "proven" | "unchanged" => Some(true),
            "kept" | "changed" | "failed" => Some(false),
            name => Skipped::ALL.iter().any(|why| why.name() == name).then_some(true),
        }
    }
}

#[cfg(test)]
mod tests {
    use sealwax_s3::{Error, ErrorKind};

    use super::*;

    fn failure() -> Error {
        Error::new("rewrap", "s3://b/k", ErrorKind::AccessDenied, "by this test")
    }

    #[test]
    fn lines_are_stable_and_read_back() {
        let rewrapped = RewrapOutcome::Rewrapped { generation: 2, version_id: Some("new".into()) };
        let outcomes = [
            (rewrapped, true, r#""rewrapped","generation":2,"replanned":true"#),
            (RewrapOutcome::Unchanged, true, r#""unchanged","replanned":true"#),
            (RewrapOutcome::Claimed, true, r#""claimed","replanned":true"#),
            (RewrapOutcome::Proven, true, r#""proven","replanned":true"#),
            (
                RewrapOutcome::Kept { generation: 3, wrapping_keys: vec!["old".into()] },
                false,
                r#""kept","generation":3,"kept":["old"],"replanned":true"#,
            ),
            (RewrapOutcome::Skipped(Skipped::NotSealed), true, r#""not-sealed","replanned":true"#),
            (RewrapOutcome::Skipped(Skipped::Shredded), true, r#""shredded","replanned":true"#),
            (
                RewrapOutcome::Skipped(Skipped::FolderMarker),
                true,
                r#""folder-marker","replanned":true"#,
            ),
            (RewrapOutcome::Skipped(Skipped::Companion), true, r#""companion","replanned":true"#),
            (RewrapOutcome::Skipped(Skipped::Gone), true, r#""gone","replanned":true"#),
            (
                RewrapOutcome::Changed(failure()),
                false,
                r#""changed","replanned":true,"kind":"access-denied","why":"cannot rewrap s3://b/k: by this test""#,
            ),
            (
                RewrapOutcome::Failed(failure()),
                false,
                r#""failed","replanned":true,"kind":"access-denied","why":"cannot rewrap s3://b/k: by this test""#,
            ),
        ];
        for (outcome, is_done, expected) in outcomes {
            let object = ListedObject::new("b", "k").version("v");
            let line = Some(7);
            let object = AppliedObject { object, line, outcome, replanned: true, state: None };
            let text = serde_json::to_string(&object).expect("names are strings");
            let begin = r#"{"object":"s3://b/k","version_id":"v","line":7,"outcome":"#;
            assert_eq!(text, format!("{begin}{expected}}}"));
            let entry: Entry = serde_json::from_str(&text).expect("an entry");
            assert_eq!(entry.is_done(), Some(is_done));
        }
    }
}
