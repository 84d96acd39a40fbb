//! `sealwax keys verify`.

use futures_util::TryStreamExt as _;
use sealwax_jobs::{
    Summary as _,
    stored_keys::{VerifiedKey, VerifyKeys, VerifyKeysSummary},
};
use sealwax_s3::{KeyProof, ProvenForm, error_chain};
use serde::Serialize;

use super::{Store, args::KeysVerifyArgs, name_of, rewrap::empty};
use crate::{
    console::Lines,
    failure::{Failure, Unfinished},
    interrupt::unless_stopped,
    progress::Cleared,
    session::Session,
    terminal_text::{Counted, Printable, this_command_line},
};

/// Line of one intermediate key. Field names are stable JSON output.
#[derive(Debug, Serialize)]
struct Line {
    key: String,
    id: String,
    /// `true` if one of the wrapping keys that may be used unwraps it.
    proven: bool,
    /// `true` if no object carries its wrapped forms, by the claim of all key objects.
    detached: bool,
    forms: Vec<Form>,
    /// Objects with the name of a key object that are none, or that no reader looks at.
    unusable: u64,
    /// Error kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
}

/// A key object. Field names are stable JSON output.
#[derive(Debug, Serialize)]
struct Form {
    provider: String,
    wrapping_key: String,
    /// `proven`, `disproved`, `unknown` or `not-asked`.
    proof: &'static str,
    /// Wrapping key that unwrapped it: the named one, or a replica of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
}

/// Verifies that intermediate keys can be unwrapped.
pub(super) async fn run(session: &Session, args: KeysVerifyArgs) -> Result<(), Failure> {
    let mut reader = args.reader.clone();
    reader.source_region = session.source_region().await;
    let kms = session.keyrings().kms(reader, &[], args.job.kms_calls_per_second).await?;
    let store = Store::open(session, &args.bucket, session.keyrings().with_local(kms))?;
    let (mut lines, mut summary) = (Lines::new(), VerifyKeysSummary::default());
    let progress = Cleared(session.job_progress(None));
    let done = unless_stopped(async {
        let keys = store.select(&args.ids).await?;
        let job = VerifyKeys::new(store.keys.clone());
        let mut outcomes = job.concurrency(args.job.concurrency.into()).run(keys);
        while let Some(key) = outcomes.try_next().await? {
            summary.record(&key);
            let line = Line::new(&key);
            let mut told = Ok(());
            progress.0.suspend(|| {
                told = match (args.job.json, line.is_told()) {
                    (true, _) => lines.json(&line),
                    (false, true) => lines.line(line.text()),
                    (false, false) => {
                        session.detail(line.text());
                        Ok(())
                    }
                };
            });
            told?;
            progress.0.one_more(summary.failed());
        }
        Ok::<_, Failure>(())
    })
    .await;
    drop(progress);
    if args.job.json {
        lines.json(&serde_json::json!({ "summary": &summary }))?;
    }
    lines.finish()?;
    let consequence = "the other keys were not verified; rerun the command to verify all of them";
    Unfinished::new(consequence, "to verify all of them", this_command_line()).check(done)?;
    let (all, failed) = (summary.objects(), summary.failed());
    if all == 0 {
        return Err(empty(&store));
    }
    session.say(text_of(&summary));
    let what = format!("{failed} of {} not proven", Counted(all, "intermediate key"));
    Failure::of_many(failed, all, what)
}

impl Line {
    fn new(key: &VerifiedKey) -> Self {
        Self {
            key: name_of(&key.key),
            id: key.key.id().to_string(),
            proven: key.error().is_none(),
            detached: key.is_detached(),
            forms: key.forms.iter().map(Form::new).collect(),
            unusable: key.unusable(),
            reason: key.error().map(|error| error.kind().name()),
            message: key.error().map(|error| error_chain(error)),
        }
    }

    /// `true` if text output lists the key: it is not proven, or one of its key objects is wrong.
    fn is_told(&self) -> bool {
        !self.proven || self.forms.iter().any(|form| form.proof == "disproved")
    }

    fn text(&self) -> String {
        let mut text = self.key.clone();
        match (self.reason, &self.message) {
            (Some(reason), Some(message)) => {
                text.push_str(&format!(": {reason}: {}", Printable(message)));
            }
            _ => {
                let of = |proof: &str| {
                    let forms = self.forms.iter().filter(move |form| form.proof == proof);
                    forms.map(|form| form.wrapping_key.as_str()).collect::<Vec<_>>().join(", ")
                };
                text.push_str(&format!(": proven by {}", Printable(&of("proven"))));
                if !of("disproved").is_empty() {
                    let names = of("disproved");
                    text.push_str(&format!("; something else is under {}", Printable(&names)));
                }
            }
        }
        text
    }
}

impl Form {
    fn new(ProvenForm { form, proof, .. }: &ProvenForm) -> Self {
        let (proof, by, message) = match proof {
            KeyProof::Proven { by } => ("proven", by.clone(), None),
            KeyProof::Disproved(error) => ("disproved", None, Some(error_chain(error))),
            KeyProof::Unknown(error) => ("unknown", None, Some(error_chain(error))),
            _ => ("not-asked", None, None),
        };
        Self {
            provider: form.provider().to_owned(),
            wrapping_key: form.wrapping_key().to_owned(),
            proof,
            by,
            message,
        }
    }
}

fn text_of(summary: &VerifyKeysSummary) -> String {
    let all = Counted(summary.objects(), "intermediate key");
    let mut text = format!("{all}: {} proven", summary.proven);
    if summary.detached > 0 {
        text.push_str(&format!(", {} detached", summary.detached));
    }
    for (reason, count) in &summary.failures {
        text.push_str(&format!(", {count} failed ({reason})"));
    }
    for (name, count) in summary.proven_by.iter() {
        text.push_str(&format!("; proven by {name}: {count}"));
    }
    for (count, what) in
        [(summary.disproved, "that hold something else"), (summary.unusable, "that readers ignore")]
    {
        if count > 0 {
            text.push_str(&format!("; {} {what}", Counted(count, "key object")));
        }
    }
    text
}
