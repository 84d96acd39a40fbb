//! Output of `sealwax verify` and part of a drill's report: lines of objects, and counts.

use std::collections::BTreeMap;

use sealwax_jobs::{
    Summary as _,
    verify::{VerifiedObject, VerifySummary},
};
use sealwax_s3::{ErrorKind, error_chain};
use serde::Serialize;

use crate::terminal_text::{Counted, Printable};

/// Line of one object. Field names are stable JSON output.
#[derive(Debug, Serialize)]
pub(crate) struct Line {
    pub(crate) object: String,
    pub(crate) version_id: Option<String>,
    pub(crate) opens: bool,
    /// Name of an error kind such as `not-sealed`, or `sidecar`.
    pub(crate) reason: Option<&'static str>,
    pub(crate) message: Option<String>,
}

/// Counts. Field names are stable JSON output.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Counts {
    pub(crate) objects: u64,
    pub(crate) opened: u64,
    pub(crate) unsealed: u64,
    pub(crate) sidecars: u64,
    pub(crate) failures: BTreeMap<&'static str, u64>,
    pub(crate) plaintext_bytes: u64,
    pub(crate) opened_bytes: u64,
}

impl Line {
    pub(crate) fn new(outcome: &VerifiedObject) -> Self {
        let failure = outcome.result.as_ref().err();
        Self {
            object: outcome.object.to_string(),
            version_id: outcome.object.version_id.clone(),
            opens: failure.is_none(),
            reason: failure
                .map(|error| if outcome.is_sidecar { "sidecar" } else { error.kind().name() }),
            message: failure.map(|error| error_chain(error)),
        }
    }

    /// `true` if the text output omits this object.
    pub(crate) fn is_fine(&self, allow_unsealed: bool) -> bool {
        let unsealed = self.reason == Some(ErrorKind::NotSealed.name());
        self.opens || self.reason == Some("sidecar") || allow_unsealed && unsealed
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
    pub(crate) fn new(summary: &VerifySummary) -> Self {
        Self {
            objects: summary.objects(),
            opened: summary.opened,
            unsealed: summary.unsealed,
            sidecars: summary.sidecars,
            failures: summary.failures.clone(),
            plaintext_bytes: summary.plaintext_bytes,
            opened_bytes: summary.opened_bytes,
        }
    }

    pub(crate) fn text(&self) -> String {
        let mut text = format!("{}: {} opened", Counted(self.objects, "object"), self.opened);
        for (count, what) in [(self.unsealed, "not sealed"), (self.sidecars, "sidecars")] {
            if count > 0 {
                text.push_str(&format!(", {count} {what}"));
            }
        }
        for (reason, count) in &self.failures {
            text.push_str(&format!(", {count} failed ({reason})"));
        }
        text
    }
}
