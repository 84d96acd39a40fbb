//! `sealwax verify`.

use std::future::ready;

use futures_util::TryStreamExt as _;
use sealwax_jobs::verify::{Sample, VerifyAll, VerifyOutcome, VerifySummary};
use sealwax_s3::{Error, ErrorKind, SealedClient, VerifyDepth};
use serde::Serialize;

use crate::{
    args::{HowToVerify, VerifyArgs},
    aws::Session,
    error::{Exit, Failure},
    interrupt::unless_stopped,
    objects::ObjectsArgs,
    output::Lines,
    progress::Cleared,
    text::{Counted, Printable},
};

/// What is printed of one object. Its names are those of the JSON, and stay as they are.
#[derive(Debug, Serialize)]
pub(super) struct Line {
    pub(super) object: String,
    pub(super) version_id: Option<String>,
    pub(super) opens: bool,
    /// `not-sealed`, `no-matching-key` and so on; `sidecar`.
    pub(super) reason: Option<&'static str>,
    pub(super) message: Option<String>,
}

/// The counts, in JSON.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Counts {
    pub(super) objects: u64,
    pub(super) opened: u64,
    pub(super) unsealed: u64,
    pub(super) sidecars: u64,
    pub(super) failures: std::collections::BTreeMap<&'static str, u64>,
    pub(super) plaintext_bytes: u64,
    pub(super) opened_bytes: u64,
}

/// Proves that objects open.
pub(super) async fn run(session: &Session, args: VerifyArgs) -> Result<(), Failure> {
    let VerifyArgs { objects, how, keys_in, json, reader } = args;
    let keyring = session.regional_keyring(reader, &keys_in).await?;
    let client = session.client_of(&objects.prefix.bucket, keyring);
    let (mut lines, mut summary) = (Lines::new(), VerifySummary::default());
    let each = |outcome: &VerifyOutcome, lines: &mut Lines| {
        let line = Line::new(outcome);
        match json {
            true => lines.json(&line),
            false if line.is_fine(how.allow_unsealed) => Ok(()),
            false => lines.line(line.text()),
        }
    };
    let mut each = |outcome: &VerifyOutcome| each(outcome, &mut lines);
    let done =
        unless_stopped(verify(session, client, &objects, &how, &mut summary, &mut each)).await;
    let counts = Counts::new(&summary);
    if json {
        lines.json(&serde_json::json!({ "summary": &counts }))?;
    }
    lines.finish()?;
    session.say(counts.text());
    done.map_err(|signal| {
        Failure::stopped(
            signal,
            "the other objects were not verified; run it again for all of them",
        )
    })??;
    summary_failure(&objects, &summary, how.allow_unsealed)
}

/// Verifies the objects, and counts them in `summary`.
pub(super) async fn verify(
    session: &Session,
    client: SealedClient,
    objects: &ObjectsArgs,
    how: &HowToVerify,
    summary: &mut VerifySummary,
    each: &mut (impl FnMut(&VerifyOutcome) -> Result<(), Failure> + Send),
) -> Result<(), Failure> {
    let listing = objects.list(client.s3());
    let progress = Cleared(session.job_progress(None));
    let _counting = progress.0.count(|| {
        let (all, sample) = (objects.list_again(client.s3())?, how.sample());
        Some(all.try_filter(move |object| {
            ready(sample.as_ref().is_none_or(|sample| sample.has(object)))
        }))
    });
    let mut verify =
        VerifyAll::new(client).depth(how.depth()).concurrency(objects.concurrency.into());
    if let Some(sample) = how.sample() {
        verify = verify.sample(sample);
    }
    let mut outcomes = verify.run(listing);
    while let Some(outcome) = outcomes.try_next().await? {
        summary.count(&outcome);
        let mut told = Ok(());
        progress.0.suspend(|| told = each(&outcome));
        told?;
        progress.0.one_more(failed(summary, how.allow_unsealed));
    }
    Ok(())
}

/// How many objects are not as they should be.
fn failed(summary: &VerifySummary, allow_unsealed: bool) -> u64 {
    summary.failed() + if allow_unsealed { 0 } else { summary.unsealed }
}

/// The failure that this is, if it is one.
pub(super) fn summary_failure(
    objects: &ObjectsArgs,
    summary: &VerifySummary,
    allow_unsealed: bool,
) -> Result<(), Failure> {
    let all = summary.objects();
    if all == 0 {
        let advice = "check the bucket and the prefix, or take a greater sample";
        return Err(Failure::new(
            Exit::NotFound,
            format!("no object of {} was verified", objects.prefix),
            advice,
        ));
    }
    let failed = failed(summary, allow_unsealed);
    Failure::of_many(
        failed,
        all - summary.sidecars,
        format!("{failed} of {} failed", Counted(all, "object")),
    )
}

impl HowToVerify {
    /// How much of each object is opened.
    pub(super) fn depth(&self) -> VerifyDepth {
        match (self.first_last, self.full) {
            (true, _) => VerifyDepth::FirstLast,
            (_, true) => VerifyDepth::Full,
            _ => VerifyDepth::Keys,
        }
    }

    /// The same in words of the options.
    pub(super) fn depth_name(&self) -> &'static str {
        match self.depth() {
            VerifyDepth::FirstLast => "first-last",
            VerifyDepth::Full => "full",
            _ => "keys",
        }
    }

    pub(super) fn sample(&self) -> Option<Sample> {
        self.sample.and_then(|fraction| Sample::new(fraction, self.seed))
    }
}

impl Line {
    pub(super) fn new(outcome: &VerifyOutcome) -> Self {
        let failure = outcome.result.as_ref().err();
        Self {
            object: outcome.object.to_string(),
            version_id: outcome.object.version_id.clone(),
            opens: failure.is_none(),
            reason: failure
                .map(|error| if outcome.is_sidecar { "sidecar" } else { error.kind().name() }),
            message: failure.map(message),
        }
    }

    /// Whether there is nothing to say of it.
    fn is_fine(&self, allow_unsealed: bool) -> bool {
        let unsealed = self.reason == Some(ErrorKind::NotSealed.name());
        self.opens || self.reason == Some("sidecar") || allow_unsealed && unsealed
    }

    fn text(&self) -> String {
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

/// What failed, with its cause.
pub(super) fn message(error: &Error) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

impl Counts {
    pub(super) fn new(summary: &VerifySummary) -> Self {
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

    pub(super) fn text(&self) -> String {
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
