//! `sealwax verify`.

pub(crate) mod verify_output;

use std::future::ready;

use clap::Args;
use futures_util::TryStreamExt as _;
use sealwax_jobs::{
    Summary as _,
    verify::{Sample, VerifiedObject, VerifyAll, VerifyOutcome, VerifySummary},
};
use sealwax_s3::{SealedClient, VerifyDepth};

use self::verify_output::{Counts, Line};
use crate::{
    args::{Objects, ObjectsArgs, ReaderArgs, S3ecPolicyArgs, fraction},
    console::Lines,
    failure::{Exit, Failure, Unfinished},
    interrupt::unless_stopped,
    progress::Cleared,
    session::Session,
    terminal_text::{Counted, this_command_line},
};

const EXAMPLES: &str = "\
Examples:
  sealwax verify s3://bucket-west --replica-of bucket-east \\
      --region us-west-2 --keys-in us-west-2
  sealwax verify s3://bucket/2026/ --first-last
  sealwax verify s3://bucket --full --sample 0.01 --seed 7 --json |
      jq -r 'select(.opens == false).object'";

/// Verify that objects open.
///
/// Objects that are not sealed, cannot be read or do not open are counted and listed with the
/// reason. Shredded objects are listed, too, but do not fail. Folder markers, sidecars and
/// instruction files are counted only; their content shows that they are such files.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct VerifyArgs {
    #[command(flatten)]
    pub(crate) objects: ObjectsArgs,

    #[command(flatten)]
    pub(crate) how: HowToVerify,

    /// Use only wrapping keys in this Region; repeatable
    #[arg(long, value_name = "REGION", help_heading = "Wrapping keys to read with")]
    pub(crate) keys_in: Vec<String>,

    /// Print one JSON object per line, the counts last; without it, only objects that do not open
    /// are listed
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) reader: ReaderArgs,

    #[command(flatten)]
    pub(crate) s3ec: S3ecPolicyArgs,
}

/// Depth and extent of a verification.
#[derive(Debug, Clone, Args)]
pub(crate) struct HowToVerify {
    /// Unwrap the data key and check it against the object's commitment, without opening the body;
    /// this is the default
    #[arg(long = "keys", group = "depth", help_heading = "Depth")]
    pub(crate) keys_alone: bool,

    /// Also open the first and last chunk of each object
    #[arg(long, group = "depth", help_heading = "Depth")]
    pub(crate) first_last: bool,

    /// Open each object completely
    #[arg(long, group = "depth", help_heading = "Depth")]
    pub(crate) full: bool,

    /// Verify approximately this fraction of the objects, such as 0.01
    #[arg(long, value_name = "FRACTION", help_heading = "Depth", value_parser = fraction)]
    pub(crate) sample: Option<f64>,

    /// Seed of the sample: the same seed selects the same objects
    #[arg(
        long,
        value_name = "NUMBER",
        requires = "sample",
        default_value_t = 0,
        help_heading = "Depth"
    )]
    pub(crate) seed: u64,

    /// Don't count unsealed objects as failures
    #[arg(long, help_heading = "Depth")]
    pub(crate) allow_unsealed: bool,
}

/// Verifies that objects open.
pub(super) async fn run(session: &Session, args: VerifyArgs) -> Result<(), Failure> {
    let VerifyArgs { objects, how, keys_in, json, reader, s3ec } = args;
    let keyring = session.keyrings().verifying_in(reader, &keys_in).await?;
    let client = session.client_builder_of(&objects.prefix.bucket, keyring);
    let client = client.s3ec(s3ec.settings()?).build();
    let (mut lines, mut summary) = (Lines::new(), VerifySummary::default());
    let each = |outcome: &VerifiedObject, lines: &mut Lines| {
        let line = Line::new(outcome);
        match json {
            true => lines.json(&line),
            false if !is_told(outcome, how.allow_unsealed) => Ok(()),
            false => lines.line(line.text()),
        }
    };
    let mut each = |outcome: &VerifiedObject| each(outcome, &mut lines);
    let done = unless_stopped(verify(
        session,
        (how.job(client.clone()), objects.list(&client)),
        &client,
        &objects,
        &how,
        &mut summary,
        &mut each,
    ))
    .await;
    let counts = Counts::new(&summary);
    if json {
        lines.json(&serde_json::json!({ "summary": &counts }))?;
    }
    lines.finish()?;
    session.say(counts.text());
    let unfinished = Unfinished::new(
        "the remaining objects were not verified; rerun the command to verify all of them",
        "to verify all of them",
        this_command_line(),
    );
    unfinished.check(done)?;
    summary_failure(&objects, &summary, how.allow_unsealed)
}

/// Verifies the objects of a listing by a job, and counts them in `summary`.
pub(super) async fn verify(
    session: &Session,
    (job, listing): (VerifyAll, Objects),
    client: &SealedClient,
    objects: &ObjectsArgs,
    how: &HowToVerify,
    summary: &mut VerifySummary,
    each: &mut (impl FnMut(&VerifiedObject) -> Result<(), Failure> + Send),
) -> Result<(), Failure> {
    let progress = Cleared(session.job_progress(None));
    let _counting = progress.0.count(|| {
        let (all, sample) = (objects.list_again(client)?, how.sample());
        Some(all.try_filter(move |object| {
            ready(sample.as_ref().is_none_or(|sample| sample.contains(object)))
        }))
    });
    let mut outcomes = job.concurrency(objects.concurrency.into()).run(listing);
    while let Some(outcome) = outcomes.try_next().await? {
        summary.record(&outcome);
        let mut told = Ok(());
        progress.0.suspend(|| told = each(&outcome));
        told?;
        progress.0.one_more(failed(summary, how.allow_unsealed));
    }
    Ok(())
}

/// `true` if the text output lists the object: it does not open, or was shredded.
fn is_told(object: &VerifiedObject, allow_unsealed: bool) -> bool {
    match &object.outcome {
        VerifyOutcome::Failed(_) | VerifyOutcome::Shredded(_) => true,
        VerifyOutcome::Unsealed(_) => !allow_unsealed,
        VerifyOutcome::Opened(_)
        | VerifyOutcome::FolderMarker
        | VerifyOutcome::Sidecar
        | VerifyOutcome::InstructionFile => false,
    }
}

/// Returns the number of objects that count as failures.
pub(super) fn failed(summary: &VerifySummary, allow_unsealed: bool) -> u64 {
    summary.failed() + if allow_unsealed { 0 } else { summary.unsealed }
}

/// Returns an error if an object failed or no object was verified.
pub(super) fn summary_failure(
    objects: &ObjectsArgs,
    summary: &VerifySummary,
    allow_unsealed: bool,
) -> Result<(), Failure> {
    let all = summary.objects();
    if all == 0 {
        let advice = "check the bucket and the prefix, or use a larger sample";
        return Err(Failure::new(
            Exit::NotFound,
            format!("no object in {} was verified", objects.prefix),
            advice,
        ));
    }
    let failed = failed(summary, allow_unsealed);
    Failure::of_many(
        failed,
        all - summary.skipped(),
        format!("{failed} of {} failed", Counted(all, "object")),
    )
}

impl HowToVerify {
    /// Returns the job that verifies with `client`.
    pub(super) fn job(&self, client: SealedClient) -> VerifyAll {
        let job = VerifyAll::new(client).depth(self.depth());
        match self.sample() {
            Some(sample) => job.sample(sample),
            None => job,
        }
    }

    /// Returns the verification depth.
    pub(super) fn depth(&self) -> VerifyDepth {
        match (self.first_last, self.full) {
            (true, _) => VerifyDepth::FirstLast,
            (_, true) => VerifyDepth::Full,
            _ => VerifyDepth::Keys,
        }
    }

    /// Returns the depth's name, as in the options.
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
