//! Output of `sealwax verify` and part of a drill's report: lines of objects, and counts.

use std::{collections::BTreeMap, fmt};

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

/// Objects that neither opened nor failed to, of one kind.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Others {
    pub(crate) count: u64,
    kind: OtherKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OtherKind {
    Unsealed,
    Shredded,
    /// Other objects, by their name in the plural.
    Named(&'static str),
}

impl Others {
    /// Returns the name of the kind, such as `not sealed` or `sidecars`.
    pub(crate) fn name(self) -> &'static str {
        match self.kind {
            OtherKind::Unsealed => "not sealed",
            OtherKind::Shredded => "shredded",
            OtherKind::Named(nouns) => nouns,
        }
    }

    /// `true` for objects that no client encrypted.
    pub(crate) fn is_unsealed(self) -> bool {
        self.kind == OtherKind::Unsealed
    }
}

/// The count and its kind, such as `2 not sealed` or `1 sidecar`.
impl fmt::Display for Others {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            OtherKind::Named(nouns) => Counted(self.count, nouns.trim_end_matches('s')).fmt(f),
            _ => write!(f, "{} {}", self.count, self.name()),
        }
    }
}

impl Counts {
    /// Returns the objects that neither opened nor failed to, by kind, as far as there are any.
    pub(crate) fn others(&self) -> impl Iterator<Item = Others> {
        let all = [
            (self.unsealed, OtherKind::Unsealed),
            (self.shredded, OtherKind::Shredded),
            (self.folder_markers, OtherKind::Named("folder markers")),
            (self.sidecars, OtherKind::Named("sidecars")),
            (self.instruction_files, OtherKind::Named("instruction files")),
        ];
        let others = all.into_iter().map(|(count, kind)| Others { count, kind });
        others.filter(|others| others.count > 0)
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
        for others in self.others() {
            text.push_str(&format!(", {others}"));
        }
        for (reason, count) in &self.failures {
            text.push_str(&format!(", {count} failed ({reason})"));
        }
        text
    }
}
