//! `sealwax verify`.

pub(crate) mod verify_output;

use std::future::ready;

use clap::Args;
use futures_util::TryStreamExt as _;
use sealwax_jobs::verify::{Sample, VerifyAll, VerifyOutcome, VerifySummary};
use sealwax_s3::{SealedClient, VerifyDepth};

use self::verify_output::{Counts, Line};
use crate::{
    args::{ObjectsArgs, ReaderArgs, fraction},
    console::Lines,
    failure::{Exit, Failure},
    interrupt::unless_stopped,
    progress::Cleared,
    session::Session,
    terminal_text::Counted,
};

const EXAMPLES: &str = "\
Examples:
  sealwax verify s3://bucket-west --replica-of bucket-east --region us-west-2 --keys-in us-west-2
  sealwax verify s3://bucket/2026/ --first-last
  sealwax verify s3://bucket --full --sample 0.01 --seed 7 --json | jq -r 'select(.opens == false).object'";

/// Prove that objects open.
///
/// Nothing is skipped unsaid: objects that are not sealed, that could not be looked at, or that do not open, are counted and
/// listed with the reason.
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

    /// Print one JSON object a line, the counts last; without it, only the objects that do not open are listed
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) reader: ReaderArgs,
}

/// How much is opened.
#[derive(Debug, Clone, Args)]
pub(crate) struct HowToVerify {
    /// Open no body: the data key is unwrapped and must meet the object's commitment. This is the default
    #[arg(long = "keys", group = "depth", help_heading = "How much")]
    pub(crate) keys_alone: bool,

    /// Open the first and the last chunk of each object too
    #[arg(long, group = "depth", help_heading = "How much")]
    pub(crate) first_last: bool,

    /// Open all of each object
    #[arg(long, group = "depth", help_heading = "How much")]
    pub(crate) full: bool,

    /// Verify about this fraction of the objects, such as 0.01
    #[arg(long, value_name = "FRACTION", help_heading = "How much", value_parser = fraction)]
    pub(crate) sample: Option<f64>,

    /// Which ones: the same seed gives the same ones
    #[arg(
        long,
        value_name = "NUMBER",
        requires = "sample",
        default_value_t = 0,
        help_heading = "How much"
    )]
    pub(crate) seed: u64,

    /// Count objects that are not sealed, but do not call them failures
    #[arg(long, help_heading = "How much")]
    pub(crate) allow_unsealed: bool,
}

/// Proves that objects open.
pub(super) async fn run(session: &Session, args: VerifyArgs) -> Result<(), Failure> {
    let VerifyArgs { objects, how, keys_in, json, reader } = args;
    let keyring = session.keyrings().reading_in(reader, &keys_in).await?;
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
