//! What a rewrap of many objects prints.

use std::io::{self, Write as _};

use sealwax_jobs::rewrap::{Action, PlannedObject, Report, Summary, Tally, Verdict};
use serde::Serialize;
use serde_json::json;

use crate::{
    console::Lines,
    failure::{Exit, Failure},
    session::Session,
    terminal_text::{Counted, Printable},
};

/// How many objects that cannot be rewrapped a dry run shows; the plan and the JSON have all of them.
pub(super) const SHOWN: usize = 20;

/// Standard output: in JSON everything, else what people need to see.
#[derive(Debug)]
pub(super) struct Output {
    json: bool,
}

impl Output {
    pub(super) fn new(json: bool) -> Self {
        Self { json }
    }

    /// An object of a plan, in JSON.
    pub(super) fn planned(&mut self, object: &PlannedObject) {
        if self.json {
            print(&text(object));
        }
    }

    /// What became of an object: in words only where it failed.
    pub(super) fn report(&mut self, report: &Report) {
        if self.json {
            print(&text(report));
        } else if !report.outcome.is_done() {
            let what = if report.outcome == Verdict::Changed { "changed" } else { "failed" };
            let why = report.why.as_deref().unwrap_or("for an unknown reason");
            print(&format!("{what} {}: {}\n", Printable(&report.object), Printable(why)));
        }
    }

    /// What a plan comes to.
    pub(super) fn summary(
        self,
        summary: &Summary,
        impossible: &[PlannedObject],
    ) -> Result<(), Failure> {
        if self.json {
            return write(&text(&json!({ "summary": summary })));
        }
        let mut said = format!(
            "{}: {} to rewrap, {} have the wanted keys\n",
            Counted(summary.objects, "object"),
            summary.rewrap,
            summary.nothing
        );
        for (why, count) in &summary.skip {
            said.push_str(&format!("  {count} left out: {why}\n"));
        }
        for (kind, count) in &summary.impossible {
            said.push_str(&format!("  {count} cannot be rewrapped as they are: {kind}\n"));
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
        if summary.rewrap > 0 {
            said.push_str(&format!(
                "  data keys: {} re-encrypted inside KMS, {} by way of this process\n",
                summary.re_encrypt, summary.decrypt_encrypt
            ));
            said.push_str(&format!(
                "  copies inside S3: {} by one call, {} in parts, {}; {}\n",
                summary.copies,
                summary.multipart_copies,
                Counted(summary.sidecars, "sidecar"),
                Counted(summary.bytes_copied, "byte"),
            ));
            for (region, calls) in &summary.kms_calls {
                said.push_str(&format!(
                    "  KMS in {region}: {}, at most\n",
                    Counted(*calls, "call")
                ));
            }
        }
        let estimate = &summary.estimate;
        said.push_str(&format!(
            "  about {:.0} s at the quotas, about {:.2} {} ({})\n",
            estimate.seconds.ceil(),
            estimate.cost,
            estimate.currency,
            estimate.note
        ));
        write(&said)
    }

    /// What came of a job.
    pub(super) fn tally(self, session: &Session, tally: &Tally) -> Result<(), Failure> {
        if self.json {
            write(&text(&json!({ "summary": tally })))?;
        }
        let mut said = format!("{} rewrapped, {} unchanged", tally.rewrapped, tally.unchanged);
        let more = [
            (tally.not_sealed, "not sealed"),
            (tally.gone, "gone meanwhile"),
            (tally.changed, "changed again and again"),
            (tally.failed, "failed"),
            (tally.replanned, "not as planned, and decided anew"),
            (tally.done_before, "done by earlier runs"),
        ];
        for (count, what) in more.into_iter().filter(|(count, _)| *count > 0) {
            said.push_str(&format!(", {count} {what}"));
        }
        session.say(said);
        Ok(())
    }
}

fn text(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("names are strings") + "\n"
}

/// Prints amid a job, which goes on where nobody reads it any more.
fn print(text: &str) {
    let _ = io::stdout().lock().write_all(text.as_bytes());
}

fn write(text: &str) -> Result<(), Failure> {
    let mut lines = Lines::new();
    lines.text(text)?;
    lines.finish()
}

/// Whoever names no object has named the wrong ones.
pub(super) fn check_any(objects: u64) -> Result<(), Failure> {
    match objects {
        0 => Err(Failure::new(
            Exit::NotFound,
            "there is no such object",
            "check the bucket and the prefix, or the list",
        )),
        _ => Ok(()),
    }
}
