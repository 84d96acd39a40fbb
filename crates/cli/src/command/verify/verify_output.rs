//! Output of `sealwax verify` and part of a drill's report: lines of objects, and counts.

use std::collections::BTreeMap;

use sealwax_jobs::{
    Summary as _,
    verify::{VerifiedObject, VerifyOutcome, VerifySummary},
};
use sealwax_s3::error_chain;
use serde::Serialize;

use crate::terminal_text::{Counted, Printable};

/// Line of one object. Field names are stable JSON output.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Line {
    pub(crate) object: String,
    pub(crate) version_id: Option<String>,
    pub(crate) opens: bool,
    /// Why it was not opened: an error kind such as `not-sealed`, or `shredded`, `folder-marker`,
    /// `sidecar` or `instruction-file`.
    pub(crate) reason: Option<&'static str>,
    pub(crate) message: Option<String>,
}

/// Counts. Field names are stable JSON output.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Counts {
    pub(crate) objects: u64,
    pub(crate) opened: u64,
    pub(crate) unsealed: u64,
    pub(crate) shredded: u64,
    pub(crate) folder_markers: u64,
    pub(crate) sidecars: u64,
    pub(crate) instruction_files: u64,
    pub(crate) failures: BTreeMap<&'static str, u64>,
    pub(crate) plaintext_bytes: u64,
    pub(crate) opened_bytes: u64,
}

impl Line {
    pub(crate) fn new(object: &VerifiedObject) -> Self {
        let VerifiedObject { object, outcome, .. } = object;
        let message = match outcome {
            VerifyOutcome::Unsealed(error)
            | VerifyOutcome::Failed(error)
            | VerifyOutcome::Shredded(error) => Some(error_chain(error)),
            _ => None,
        };
        let opens = matches!(outcome, VerifyOutcome::Opened(_));
        Self {
            object: object.to_string(),
            version_id: object.version_id.clone(),
            opens,
            reason: (!opens).then(|| outcome.name()),
            message,
        }
    }

    pub(crate) fn text(&self) -> String {
        let version = self
            .version_id
            .as_ref()
            .map(|id| format!(" version {}", Printable(id)))
            .unwrap_or_default();
        let (reason, message) =
            (self.reason.unwrap_or_default(), self.message.as_deref().unwrap_or_default());
        format!("{}{version}: {reason}: {}", Printable(&self.object), Printable(message))
    }
}

impl Counts {
    /// Returns the counts of objects that neither opened nor failed to, with their names.
    pub(crate) fn others(&self) -> [(u64, &'static str); 5] {
        [
            (self.unsealed, "not sealed"),
            (self.shredded, "shredded"),
            (self.folder_markers, "folder markers"),
            (self.sidecars, "sidecars"),
            (self.instruction_files, "instruction files"),
        ]
    }

    pub(crate) fn new(summary: &VerifySummary) -> Self {
        Self {
            objects: summary.objects(),
            opened: summary.opened,
            unsealed: summary.unsealed,
            shredded: summary.shredded,
            folder_markers: summary.folder_markers,
            sidecars: summary.sidecars,
            instruction_files: summary.instruction_files,
            failures: summary.failures.clone(),
            plaintext_bytes: summary.plaintext_bytes,
            opened_bytes: summary.opened_bytes,
        }
    }

    pub(crate) fn text(&self) -> String {
        let mut text = format!("{}: {} opened", Counted(self.objects, "object"), self.opened);
        for (count, what) in [(self.unsealed, "not sealed"), (self.shredded, "shredded")] {
            if count > 0 {
                text.push_str(&format!(", {count} {what}"));
            }
        }
        for (count, noun) in [
            (self.folder_markers, "folder marker"),
            (self.sidecars, "sidecar"),
            (self.instruction_files, "instruction file"),
        ] {
            if count > 0 {
                text.push_str(&format!(", {}", Counted(count, noun)));
            }
        }
        for (reason, count) in &self.failures {
            text.push_str(&format!(", {count} failed ({reason})"));
        }
        text
    }
}
