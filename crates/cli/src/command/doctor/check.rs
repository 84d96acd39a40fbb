//! One check and what came of it.

use serde::Serialize;

use crate::{
    console::Lines,
    failure::Failure,
    terminal_text::{Colors, Printable},
};

/// What came of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Status {
    Ok,
    /// It works, but something is worth a look.
    Warning,
    Failed,
    /// It cannot be told.
    Unknown,
    Skipped,
}

/// A check. Its names are those of the JSON, and stay as they are.
#[derive(Debug, Serialize)]
pub(super) struct Check {
    check: &'static str,
    status: Status,
    message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

impl Check {
    pub(super) fn ok(check: &'static str, message: impl Into<String>) -> Self {
        Self { check, status: Status::Ok, message: message.into(), hint: None }
    }

    pub(super) fn warning(
        check: &'static str,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self { check, status: Status::Warning, message: message.into(), hint: Some(hint.into()) }
    }

    pub(super) fn failed(
        check: &'static str,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self { status: Status::Failed, ..Self::warning(check, message, hint) }
    }

    pub(super) fn unknown(
        check: &'static str,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self { status: Status::Unknown, ..Self::warning(check, message, hint) }
    }

    pub(super) fn skipped(
        check: &'static str,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self { status: Status::Skipped, ..Self::warning(check, message, hint) }
    }

    fn text(&self, paint: Colors) -> String {
        let status = match self.status {
            Status::Ok => paint.good("ok     "),
            Status::Warning => paint.doubtful("warning"),
            Status::Failed => paint.bad("failed "),
            Status::Unknown => paint.doubtful("unknown"),
            Status::Skipped => paint.note("skipped"),
        };
        let mut text = format!("{status}  {:<12} {}", self.check, Printable(&self.message));
        if let Some(hint) = &self.hint {
            text.push_str(&format!(
                "\n         {:<12} {} {}",
                "",
                paint.note("hint:"),
                Printable(hint)
            ));
        }
        text
    }
}

/// All checks, printed as they come.
#[derive(Debug)]
pub(super) struct Checks {
    lines: Lines,
    json: bool,
    paint: Colors,
    all: u64,
    failed: u64,
    doubtful: u64,
}

impl Checks {
    pub(super) fn new(json: bool, paint: Colors) -> Self {
        Self { lines: Lines::new(), json, paint, all: 0, failed: 0, doubtful: 0 }
    }

    pub(super) fn add(&mut self, check: Check) -> Result<(), Failure> {
        self.all += 1;
        match check.status {
            Status::Failed => self.failed += 1,
            Status::Warning | Status::Unknown => self.doubtful += 1,
            Status::Ok | Status::Skipped => {}
        }
        if self.json {
            self.lines.json(&check)?;
        } else {
            self.lines.line(check.text(self.paint))?;
        }
        // Some checks take a while.
        self.lines.finish()
    }

    pub(super) fn finish(&mut self) -> Result<(), Failure> {
        self.lines.finish()
    }

    pub(super) fn all(&self) -> u64 {
        self.all
    }

    pub(super) fn failed(&self) -> u64 {
        self.failed
    }

    pub(super) fn doubtful(&self) -> u64 {
        self.doubtful
    }
}
