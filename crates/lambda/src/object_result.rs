//! Results by object, with the result codes of S3 Batch Operations.

use std::fmt;

use sealwax_s3::{Error, RewrapOutcome, StoredKeyOutput, error_chain};

use crate::batch_operations::Code;

/// Maximum length of a result text, in bytes.
const MAX_TEXT_LEN: usize = 1024;

/// Result for one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ObjectResult {
    pub(crate) code: Code,
    /// One short line without secrets.
    pub(crate) text: String,
}

impl ObjectResult {
    /// A failure that a retry cannot fix; the object is unchanged.
    pub(crate) fn permanent(why: impl fmt::Display) -> Self {
        Self { code: Code::PermanentFailure, text: short(&why.to_string()) }
    }

    /// A failure to retry; the object is unchanged.
    pub(crate) fn temporary(why: impl fmt::Display) -> Self {
        Self { code: Code::TemporaryFailure, text: short(&why.to_string()) }
    }

    fn succeeded(text: impl Into<String>) -> Self {
        Self { code: Code::Succeeded, text: text.into() }
    }

    pub(crate) fn is_success(&self) -> bool {
        self.code == Code::Succeeded
    }
}

impl From<RewrapOutcome> for ObjectResult {
    fn from(outcome: RewrapOutcome) -> Self {
        match outcome {
            RewrapOutcome::Rewrapped { generation, .. } => {
                Self::succeeded(format!("rewrapped: generation {generation}"))
            }
            RewrapOutcome::Kept { wrapping_keys, .. } => Self::permanent(format!(
                "kept: nothing proved the new keys, so it still has {}",
                wrapping_keys.join(", ")
            )),
            RewrapOutcome::Claimed => {
                Self::succeeded("claimed: it names the wanted keys, and nothing proved them")
            }
            RewrapOutcome::Proven => Self::succeeded("proven: it has the wanted keys"),
            RewrapOutcome::Unchanged => Self::succeeded("unchanged: nothing to remove or refresh"),
            RewrapOutcome::Skipped(why) => Self::succeeded(format!("skipped: {}", why.name())),
            RewrapOutcome::Changed(error) => Self::temporary(described(&error)),
            RewrapOutcome::Failed(error) => Self::from(error),
        }
    }
}

/// Result for an intermediate key in a key store.
impl From<StoredKeyOutput> for ObjectResult {
    fn from(output: StoredKeyOutput) -> Self {
        let report = &output.report;
        if !report.kept.is_empty() {
            let kept = report.kept.join(", ");
            return Self::permanent(format!(
                "kept: nothing proved the new keys, so the key store still has {kept}"
            ));
        }
        if !output.is_unchanged() {
            let counts = [
                (report.added.len(), "added"),
                (output.removed.len(), "removed"),
                (output.refreshed.len(), "refreshed"),
            ];
            let counts = counts.map(|(count, what)| format!("{count} {what}"));
            return Self::succeeded(format!("rewrapped: key objects: {}", counts.join(", ")));
        }
        if !report.claimed.is_empty() {
            return Self::succeeded(
                "claimed: the key store names the wanted keys, and nothing proved them",
            );
        }
        if !report.proven.is_empty() {
            return Self::succeeded("proven: the key store has the wanted keys");
        }
        Self::succeeded("unchanged: nothing to add, remove or refresh")
    }
}

impl From<Error> for ObjectResult {
    fn from(error: Error) -> Self {
        if error.is_retryable() {
            Self::temporary(described(&error))
        } else {
            Self::permanent(described(&error))
        }
    }
}

/// Returns the error's kind, the error and its causes.
fn described(error: &Error) -> String {
    format!("{}: {}", error.kind().name(), error_chain(error))
}

/// Returns `text` as one line of at most [`MAX_TEXT_LEN`] bytes.
fn short(text: &str) -> String {
    let mut line: String =
        text.chars().map(|char| if char.is_control() { ' ' } else { char }).collect();
    if line.len() > MAX_TEXT_LEN {
        const MORE: &str = "…";
        let end = (0..=MAX_TEXT_LEN - MORE.len()).rev().find(|end| line.is_char_boundary(*end));
        line.truncate(end.unwrap_or_default());
        line.push_str(MORE);
    }
    line
}

#[cfg(test)]
mod tests {
    use sealwax_s3::Skipped;

    use super::*;

    #[test]
    fn rewrapped_unchanged_and_skipped_objects_succeed() {
        for (outcome, expected) in [
            (
                RewrapOutcome::Rewrapped { generation: 2, version_id: None },
                "rewrapped: generation 2",
            ),
            (RewrapOutcome::Unchanged, "unchanged: nothing to remove or refresh"),
            (RewrapOutcome::Claimed, "claimed: it names the wanted keys, and nothing proved them"),
            (RewrapOutcome::Proven, "proven: it has the wanted keys"),
            (RewrapOutcome::Skipped(Skipped::NotSealed), "skipped: not-sealed"),
            (RewrapOutcome::Skipped(Skipped::Shredded), "skipped: shredded"),
            (RewrapOutcome::Skipped(Skipped::FolderMarker), "skipped: folder-marker"),
            (RewrapOutcome::Skipped(Skipped::Companion), "skipped: companion"),
            (RewrapOutcome::Skipped(Skipped::Gone), "skipped: gone"),
        ] {
            let expected = ObjectResult { code: Code::Succeeded, text: expected.into() };
            assert_eq!(ObjectResult::from(outcome), expected);
        }
    }

    #[test]
    fn texts_are_cut_to_one_short_line() {
        assert_eq!(short("a\r\nb\u{1b}c"), "a  b c");
        let long = short(&"é".repeat(2000));
        assert!(long.len() <= MAX_TEXT_LEN && long.ends_with("é…"), "{}", long.len());
        assert_eq!(short(&"x".repeat(MAX_TEXT_LEN)).len(), MAX_TEXT_LEN);
    }
}
