//! Checks and their results.

use std::io;

use serde::Serialize;

use crate::{
    console::Lines,
    failure::Failure,
    terminal_text::{Colors, Printable, Width},
};

/// Result of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Status {
    Ok,
    /// Works, but with a risk.
    Warning,
    Failed,
    /// Could not be determined.
    Unknown,
    Skipped,
}

/// Check and its result. Field names are stable JSON output.
#[derive(Debug, Serialize)]
pub(super) struct Check {
    check: &'static str,
    status: Status,
    message: String,
    /// Instruction to fix the problem.
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

    fn text(&self, colors: Colors, width: Width) -> String {
        let status = match self.status {
            Status::Ok => colors.green("ok     "),
            Status::Warning => colors.yellow("warning"),
            Status::Failed => colors.red("failed "),
            Status::Unknown => colors.yellow("unknown"),
            Status::Skipped => colors.bold("skipped"),
        };
        let fill = |text: &str, indent| width.fill(&Printable(text).to_string(), indent);
        let mut text = format!("{status}  {:<12} {}", self.check, fill(&self.message, 22));
        if let Some(hint) = &self.hint {
            text.push_str(&format!(
                "\n         {:<12} {} {}",
                "",
                colors.bold("hint:"),
                fill(hint, 28)
            ));
        }
        text
    }
}

/// All checks, each printed when it is done.
#[derive(Debug)]
pub(super) struct Checks {
    lines: Lines,
    json: bool,
    colors: Colors,
    width: Width,
    all: u64,
    failed: u64,
    doubtful: u64,
}

impl Checks {
    /// Returns no check yet, for standard output.
    pub(super) fn new(json: bool) -> Self {
        let (colors, width) = (Colors::of(&io::stdout()), Width::of(&io::stdout()));
        Self { lines: Lines::new(), json, colors, width, all: 0, failed: 0, doubtful: 0 }
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
            self.lines.line(check.text(self.colors, self.width))?;
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
