//! Output of a job.

use std::{
    collections::BTreeMap,
    io::{self, Write as _},
};

use sealwax_jobs::job::{
    Action, AppliedObject, Estimate, JobSummary as _, PermissionNeed, PlanSummary, PlannedObject,
    StorageEstimate, WorkOutcome as _,
};
use sealwax_s3::{envelope::ascii_json, error_chain};
use serde::Serialize;
use serde_json::json;

use super::JobKind;
use crate::{
    console::Lines,
    failure::{Exit, Failure},
    figures::size,
    session::Session,
    terminal_text::{Counted, Printable},
};

/// Maximum number of impossible objects in a dry run's text; the plan and the JSON
/// contain all of them.
pub(super) const SHOWN: usize = 20;

/// Standard output: everything as JSON, or a summary as text.
#[derive(Debug)]
pub(super) struct Output {
    json: bool,
}

impl Output {
    pub(super) fn new(json: bool) -> Self {
        Self { json }
    }

    /// Prints an object of a plan as JSON.
    pub(super) fn planned(&mut self, object: &PlannedObject) {
        if self.json {
            print(&text(object));
        }
    }

    /// Prints an object's outcome; as text, only if it failed or there is something to note.
    pub(super) fn applied<W: JobKind>(&mut self, applied: &AppliedObject<W::Outcome>) {
        if self.json {
            print(&text(applied));
        } else if let Some(error) = applied.outcome.error() {
            let (what, object) = (applied.outcome.name(), applied.object.to_string());
            let why = error_chain(error);
            print(&format!("{what} {}: {}\n", Printable(&object), Printable(&why)));
        } else if let Some(note) = W::note(&applied.outcome) {
            let (what, object) = (applied.outcome.name(), applied.object.to_string());
            print(&format!("{what} {}: {}\n", Printable(&object), Printable(&note)));
        }
    }

    /// Prints the summary of a plan.
    pub(super) fn plan_summary<W: JobKind>(
        self,
        summary: &PlanSummary,
        impossible: &[PlannedObject],
    ) -> Result<(), Failure> {
        if self.json {
            return write(&text(&json!({ "summary": summary })));
        }
        let mut said = format!(
            "{}: {} to {}, {} {}\n",
            Counted(summary.objects, "object"),
            summary.changes(),
            W::VERB,
            summary.nothing,
            W::NOTHING,
        );
        for (why, count) in &summary.skip {
            said.push_str(&format!("  {count} skipped: {why}\n"));
        }
        for (kind, count) in &summary.impossible {
            said.push_str(&format!("  {count} cannot be {}: {kind}\n", W::DONE));
        }
        for object in impossible {
            if let Action::Impossible { why, .. } = &object.action {
                said.push_str(&format!(
                    "    s3://{}/{}: {}\n",
                    object.bucket,
                    Printable(&object.key),
                    Printable(why)
                ));
            }
        }
        if summary.changes() > 0 {
            said.push_str(&W::plan_text(summary));
            for (region, calls) in &summary.kms_calls {
                said.push_str(&format!("  KMS in {region}: at most {}\n", Counted(*calls, "call")));
            }
            said.push_str(&permissions(&summary.permissions));
            if summary.locked > 0 {
                said.push_str(&format!(
                    "  Object Lock: {}; each copy is one more version under the same lock \
                     (--to-sidecar=needed leaves them as they are)\n",
                    Counted(summary.locked, "locked object")
                ));
            }
        }
        let estimate = &summary.estimate;
        said.push_str(&format!(
            "  estimate: {:.0} s at the quotas, {} for requests ({})\n",
            estimate.seconds.ceil(),
            price(estimate),
            estimate.note
        ));
        for (bucket, storage) in &summary.storage {
            for line in stored(storage) {
                said.push_str(&format!("  storage in {}: {line}\n", Printable(bucket)));
            }
        }
        write(&said)
    }

    /// Prints the summary of a job.
    pub(super) fn job_summary<W: JobKind>(
        self,
        session: &Session,
        summary: &W::Summary,
    ) -> Result<(), Failure> {
        if self.json {
            write(&text(&json!({ "summary": summary })))?;
        }
        let counts = summary.counts();
        let all = [
            (counts.not_sealed, "not sealed"),
            (counts.shredded, "shredded"),
            (counts.folder_markers, "folder markers"),
            (counts.companions, "sidecars or instruction files"),
            (counts.gone, "deleted meanwhile"),
            (counts.changed, "changed repeatedly"),
            (counts.errors, "failed"),
            (counts.replanned, "changed since planning and re-evaluated"),
            (counts.done_before, "completed by earlier runs"),
        ];
        // The first two are always told.
        let all = W::counts(summary).into_iter().chain(all).enumerate();
        let told = all.filter(|(at, (count, _))| *at < 2 || *count > 0);
        let told: Vec<_> = told.map(|(_, (count, what))| format!("{count} {what}")).collect();
        let said = told.join(", ");
        session.say(said);
        Ok(())
    }
}

/// Returns the price of all requests. A small one is not said to be none.
fn price(estimate: &Estimate) -> String {
    let Estimate { cost, currency, .. } = estimate;
    match *cost {
        cost if cost < 0.01 => format!("under 0.01 {currency}"),
        cost => format!("{cost:.2} {currency}"),
    }
}

/// Returns the permissions that an apply needs, a line for each resource.
fn permissions(needs: &[PermissionNeed]) -> String {
    let (mut said, mut untried) = (String::new(), BTreeMap::<_, Vec<_>>::new());
    for PermissionNeed { action, resource, objects, denied, .. } in needs {
        if *denied {
            said.push_str(&format!(
                "  denied: {action} on {}: the copy of an object with tags fails ({} to copy)\n",
                Printable(resource),
                Counted(*objects, "object")
            ));
        } else {
            untried.entry(resource).or_default().push(action.as_str());
        }
    }
    for (resource, actions) in untried {
        let (resource, actions) = (Printable(resource), actions.join(", "));
        said.push_str(&format!("  permissions needed and not tried: {actions} on {resource}\n"));
    }
    said
}

/// Returns what the copies of a bucket's objects take.
fn stored(storage: &StorageEstimate) -> Vec<String> {
    let copied = size(storage.bytes_stored());
    let mut lines = Vec::new();
    match storage.new_version_bytes {
        Some(0) => return lines,
        Some(bytes) => {
            lines.push(format!("{} more until noncurrent versions are deleted", size(bytes)));
        }
        None => lines.push(format!(
            "unknown (s3:GetBucketVersioning); if the bucket is versioned, {copied} more until \
             noncurrent versions are deleted"
        )),
    }
    let at_most = if storage.tags_unknown > 0 { "at most " } else { "" };
    match &storage.replicated_bytes {
        Some(replicas) => lines.extend(replicas.iter().map(|(replica, bytes)| {
            let replica = Printable(replica).to_string();
            format!(
                "replication sends {at_most}{} again to {replica}, and stores them there",
                size(*bytes)
            )
        })),
        None => lines.push(format!(
            "unknown (s3:GetReplicationConfiguration) whether replication sends {copied} again to \
             each replica"
        )),
    }
    lines
}

fn text(value: &impl Serialize) -> String {
    ascii_json::to_string(value) + "\n"
}

/// Prints during a job, which continues if the output is closed.
fn print(text: &str) {
    let _ = io::stdout().lock().write_all(text.as_bytes());
}

fn write(text: &str) -> Result<(), Failure> {
    let mut lines = Lines::new();
    lines.text(text)?;
    lines.finish()
}

/// Fails if the selection contains no object.
pub(super) fn check_any(objects: u64) -> Result<(), Failure> {
    match objects {
        0 => Err(Failure::new(
            Exit::NotFound,
            "no objects match",
            "check the bucket and the prefix, or the list of objects",
        )),
        _ => Ok(()),
    }
}
