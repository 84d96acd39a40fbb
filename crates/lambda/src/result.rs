//! What became of an object, in the words of S3 Batch Operations.

use std::fmt;

use sealwax_s3::{
    Error, error_chain,
    rewrap::{Outcome, Skipped},
};

use crate::batch_operations::Code;

/// Longest text of a result, in bytes.
const MAX_TEXT_LEN: usize = 1024;

/// What became of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ObjectResult {
    pub(crate) code: Code,
    /// One line, short, nothing secret.
    pub(crate) text: String,
}

impl ObjectResult {
    /// As it was, and will be if it is tried again.
    pub(crate) fn permanent(why: impl fmt::Display) -> Self {
        Self { code: Code::PermanentFailure, text: short(&why.to_string()) }
    }

    /// As it was, and to be tried again.
    pub(crate) fn temporary(why: impl fmt::Display) -> Self {
        Self { code: Code::TemporaryFailure, text: short(&why.to_string()) }
    }

    fn succeeded(what: impl Into<String>) -> Self {
        Self { code: Code::Succeeded, text: what.into() }
    }

    pub(crate) fn is_success(&self) -> bool {
        self.code == Code::Succeeded
    }
}

impl From<Outcome> for ObjectResult {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Rewrapped { generation, .. } => {
                Self::succeeded(format!("rewrapped: generation {generation}"))
            }
            Outcome::Unchanged => Self::succeeded("unchanged: it has the wanted keys"),
            Outcome::Skipped(why @ (Skipped::NotSealed | Skipped::Gone)) => {
                Self::succeeded(format!("skipped: {}", why.name()))
            }
            Outcome::Changed(error) => Self::temporary(described(&error)),
            Outcome::Failed(error) => Self::from(error),
            other => {
                Self::permanent(format!("an outcome that this function does not know: {other:?}"))
            }
        }
    }
}

impl From<Error> for ObjectResult {
    fn from(error: Error) -> Self {
        match error.kind().is_retryable() {
            true => Self::temporary(described(&error)),
            false => Self::permanent(described(&error)),
        }
    }
}

/// Returns the error's kind, the error and its causes.
fn described(error: &Error) -> String {
    format!("{}: {}", error.kind().name(), error_chain(error))
}

/// One line of at most [`MAX_TEXT_LEN`] bytes.
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
    use super::*;

    #[test]
    fn what_is_done_or_need_not_be_succeeds() {
        for (outcome, expected) in [
            (Outcome::Rewrapped { generation: 2, version_id: None }, "rewrapped: generation 2"),
            (Outcome::Unchanged, "unchanged: it has the wanted keys"),
            (Outcome::Skipped(Skipped::NotSealed), "skipped: not-sealed"),
            (Outcome::Skipped(Skipped::Gone), "skipped: gone"),
        ] {
            let expected = ObjectResult { code: Code::Succeeded, text: expected.into() };
            assert_eq!(ObjectResult::from(outcome), expected);
        }
    }

    #[test]
    fn texts_are_short_lines() {
        assert_eq!(short("a\r\nb\u{1b}c"), "a  b c");
        let long = short(&"é".repeat(2000));
        assert!(long.len() <= MAX_TEXT_LEN && long.ends_with("é…"), "{}", long.len());
        assert_eq!(short(&"x".repeat(MAX_TEXT_LEN)).len(), MAX_TEXT_LEN);
    }
}
