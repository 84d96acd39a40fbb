//! `sealwax drill`.

mod blocked;
mod drill_page;
mod drill_report;
mod previous;
#[cfg(test)]
mod tests;

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use clap::Args;
use futures_util::TryStreamExt as _;
use sealwax_jobs::{
    Summary as _,
    drill::{BlockedRegions, Lag},
    verify::{VerifiedObject, VerifySummary},
};
use sealwax_s3::aws_sdk_kms;
use serde_json::json;

use self::{
    drill_report::{
        Blocked, DrillSummary, Examination, ExaminedLine, RecoveryTime, Report, Source,
    },
    previous::{KIND, Previous, Subject},
};
use super::verify::{
    HowToVerify, failed as failed_objects, summary_failure, verify, verify_output::Counts,
};
use crate::{
    args::{Objects, ObjectsArgs, Prefix, ReaderArgs, S3ecPolicyArgs, TimeSpan},
    console::Lines,
    failure::{Exit, Failure, Unfinished},
    interrupt::unless_stopped,
    lister::Lister,
    progress::Cleared,
    report::{Provenance, ReportFiles, WrittenReport, text_of},
    session::Session,
    terminal_text::{Counted, this_command_line},
};

const EXAMPLES: &str = "\
Examples:
  sealwax drill s3://bucket-west --replica-of bucket-east \\
      --region us-west-2 --block us-east-1
  sealwax drill s3://bucket-west --replica-of bucket-east \\
      --region us-west-2 --block us-east-1 \\
      --source s3://bucket-east --first-last --report drills/
  sealwax drill s3://bucket-west --replica-of bucket-east \\
      --region us-west-2 --block us-east-1 --json |
      jq -r 'select(.opens == false).object'";

/// Rehearse the loss of a Region on a replica of its objects.
///
/// Every request of this process to S3, KMS or STS in the blocked Regions is refused before it is
/// sent, and counted. An object that opens in the drill opens without these Regions.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DrillArgs {
    #[command(flatten)]
    pub(crate) objects: ObjectsArgs,

    /// Region whose loss is rehearsed; repeatable
    #[arg(long, required = true, value_name = "REGION", value_parser = blocked::region_name)]
    pub(crate) block: Vec<String>,

    /// First compare the replica with this source, to find objects that were never replicated and
    /// their replication status
    #[arg(long, value_name = "s3://BUCKET[/PREFIX]")]
    pub(crate) source: Option<Prefix>,

    /// Region of the source [default: the first blocked Region]
    #[arg(long, value_name = "REGION", requires = "source", value_parser = blocked::region_name)]
    pub(crate) source_region: Option<String>,

    /// Maximum age of a source object that is not in the replica yet
    #[arg(long, value_name = "AGE", requires = "source", default_value = "15m")]
    pub(crate) lag: TimeSpan,

    /// Write the report to PATH.json, PATH.md and PATH.html, or to files with the time in their names
    /// if PATH is a folder [default: the current folder]
    ///
    /// A report never replaces an earlier one.
    #[arg(long, value_name = "PATH")]
    pub(crate) report: Option<PathBuf>,

    /// Compare with the drill of this JSON report [default: the latest one of the same replica and
    /// Regions in the report's folder]
    #[arg(long, value_name = "FILE")]
    pub(crate) previous: Option<PathBuf>,

    /// Print one JSON object for each examined object, and a summary last
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) how: HowToVerify,

    #[command(flatten)]
    pub(crate) reader: ReaderArgs,

    #[command(flatten)]
    pub(crate) s3ec: S3ecPolicyArgs,
}

/// Rehearses the loss of Regions.
pub(super) async fn run(session: &Session, args: DrillArgs) -> Result<(), Failure> {
    if args.block.iter().any(|region| region == session.region()) {
        let error = format!("cannot block {}: it is the replica's Region", session.region());
        return Err(Failure::usage(error));
    }
    let started = SystemTime::now();
    let files = ReportFiles::choose(args.report.as_deref(), KIND, started)?;
    let replica = args.objects.prefix.to_string();
    let mut blocked_regions = args.block.clone();
    blocked_regions.sort_unstable();
    blocked_regions.dedup();
    let previous = match &args.previous {
        Some(path) => Some(Previous::named(path)?),
        None => {
            let (replica, region) = (replica.clone(), session.region().to_owned());
            let subject = Subject { replica, region, blocked: blocked_regions.clone() };
            Previous::beside(files.folder(), &subject)
        }
    };
    let unfinished = || {
        let consequence = "the drill is incomplete, and no report was written";
        Unfinished::new(consequence, "to run the drill again", this_command_line())
    };
    let source = unfinished().check(unless_stopped(compare(session, &args)).await)?;

    let blocked = BlockedRegions::new(blocked_regions.iter().cloned());
    let beyond = session.without(&blocked).await?;
    for region in &blocked_regions {
        let reached = unless_stopped(reached_services(&beyond, region, &blocked)).await;
        let reached = unfinished().check(reached.map(Ok))?;
        if !reached.is_empty() {
            let error = format!(
                "cannot run the drill: requests to {} in {region} are not blocked",
                reached.join(", ")
            );
            return Err(Failure::new(
                Exit::Failed,
                error,
                "report a bug, with the configured endpoints",
            ));
        }
    }

    let keyring = beyond.keyrings().verifying_in(args.reader.clone(), &[]).await?;
    let client = beyond.client_builder_of(&args.objects.prefix.bucket, keyring);
    let client = client.s3ec(args.s3ec.settings()?).build();
    let (mut summary, mut examination) = (VerifySummary::default(), Examination::default());
    let allow_unsealed = args.how.allow_unsealed;
    let mut lines = Lines::new();
    let mut each = |outcome: &VerifiedObject| {
        examination.record(outcome, allow_unsealed);
        if args.json { lines.json(&ExaminedLine::new(outcome)) } else { Ok(()) }
    };
    let (objects, listed) = counted(args.objects.list(&client));
    let job = args.how.job(client.clone()).claims();
    let verification = Instant::now();
    let done = unless_stopped(verify(
        &beyond,
        (job, objects),
        &client,
        &args.objects,
        &args.how,
        &mut summary,
        &mut each,
    ))
    .await;
    let verification = verification.elapsed();
    if let Ok(Err(_)) = &done {
        session.say(format!("{}; no report was written", Counts::new(&summary).text()));
    }
    let counts = Counts::new(&summary);
    let pace = (verification, listed.so_far());
    let concluded = match unfinished().check(done) {
        Ok(()) => {
            let drill = Drill { blocked, blocked_regions, source, previous, started };
            conclude(&beyond, &args, drill, (&summary, examination), pace, &files).await
        }
        Err(failure) => Err(failure),
    };
    if args.json {
        lines.json(&json!({ "summary": DrillSummary::new(counts, concluded.as_ref().ok()) }))?;
    }
    lines.finish()?;
    let Concluded { report, written, verdict } = concluded?;
    let behind = report.source.as_ref().filter(|source| source.unreplicated > 0);
    let behind = behind.map(|source| format!("; {}", source.unreplicated_text()));
    session.say(format!(
        "{}{}; report: {}",
        report.counts.text(),
        behind.unwrap_or_default(),
        written.text()
    ));
    verdict
}

/// Circumstances of a drill.
struct Drill {
    blocked: BlockedRegions,
    blocked_regions: Vec<String>,
    source: Option<Source>,
    previous: Option<Previous>,
    started: SystemTime,
}

/// Result of a drill that examined all objects.
struct Concluded {
    report: Report,
    written: WrittenReport,
    /// Why the drill failed, if it did.
    verdict: Result<(), Failure>,
}

/// Writes the report.
///
/// # Errors
/// Nothing was rehearsed, or the report can't be written.
async fn conclude(
    beyond: &Session,
    args: &DrillArgs,
    drill: Drill,
    (summary, examination): (&VerifySummary, Examination),
    (verification, listed): (Duration, (u64, u64)),
    files: &ReportFiles,
) -> Result<Concluded, Failure> {
    let Drill { blocked, blocked_regions, source, previous, started } = drill;
    let (replica, allow_unsealed) = (args.objects.prefix.to_string(), args.how.allow_unsealed);

    let failed_count = failed_objects(summary, allow_unsealed);
    if summary.objects() > 0 && summary.opened == 0 && failed_count == 0 {
        let error = format!("no sealed object in {replica}: nothing was rehearsed");
        return Err(Failure::new(Exit::NotFound, error, "check the bucket and the prefix"));
    }
    let source_region = source.as_ref().map(|source| source.region.as_str());
    let warnings = blocked::check_rehearsed(
        &args.objects.prefix,
        beyond.region(),
        &blocked_regions,
        source_region,
        &examination.key_regions,
    )?;
    warnings.iter().for_each(|warning| beyond.say(format!("warning: {warning}")));
    let verdict = verdict(args, summary, source.as_ref());

    let counts = Counts::new(summary);
    let Examination { key_regions, times, reasons, failed, more_failed, objects, more_objects } =
        examination;
    let uses = |region: &String| {
        let uses = key_regions.with_key_in(region);
        Blocked {
            region: region.clone(),
            objects_with_key: uses.objects,
            objects_with_no_other_key: uses.sole,
            is_source_region: source_region == Some(region),
        }
    };
    let pace = (verification, args.objects.concurrency);
    let mut report = Report {
        kind: KIND,
        schema: 1,
        passed: verdict.is_ok(),
        conclusion: String::new(),
        provenance: Provenance::of(beyond, started).await,
        replica,
        region: beyond.region().to_owned(),
        replica_of: beyond.places().0.map(str::to_owned),
        blocked: blocked_regions.iter().map(uses).collect(),
        // One for each service.
        probes_refused: 3 * blocked_regions.len(),
        blocked_regions,
        refused_requests: drill_report::refused(&blocked),
        depth: args.how.depth_name(),
        sample: args.how.sample().as_ref().map(drill_report::Sample::new),
        unsealed_allowed: allow_unsealed,
        not_examined: limits(args),
        failed: failed_count,
        key_regions: drill_report::key_sets(&key_regions),
        unnamed_keys: key_regions.unnamed,
        kms_keys: drill_report::kms_keys(&blocked),
        recovery_time: RecoveryTime::new(&times, pace, counts.objects, listed),
        counts,
        failures: reasons.into_values().collect(),
        failed_objects: failed,
        more_failed_objects: more_failed,
        objects,
        more_objects,
        source,
        previous,
        warnings,
    };
    report.conclusion = text_of(&report.conclusion());
    let written = files.write(&report, report.page())?;
    Ok(Concluded { report, written, verdict })
}

/// Returns why the drill failed, if it did.
fn verdict(
    args: &DrillArgs,
    summary: &VerifySummary,
    source: Option<&Source>,
) -> Result<(), Failure> {
    summary_failure(&args.objects, summary, args.how.allow_unsealed)?;
    match source {
        Some(source) if source.is_behind => {
            let error = format!(
                "{} of the source not replicated in time",
                Counted(source.unreplicated, "object")
            );
            Err(Failure::new(
                Exit::SomeFailed,
                error,
                "check the oldest one in the report, and the replication rule",
            ))
        }
        _ => Ok(()),
    }
}

/// Returns what this drill does not show, in full sentences.
fn limits(args: &DrillArgs) -> Vec<String> {
    let mut limits = args.objects.left_out("examines");
    let mut add = |text: &str| limits.push(text.to_owned());
    if args.how.sample.is_some() {
        add("Objects that are not in the sample.");
    }
    match args.how.depth_name() {
        "keys" => add("The bodies: a body that was damaged or replaced would not have been found."),
        "first-last" => add("The middle of each body."),
        _ => {}
    }
    if args.source.is_none() {
        add("Objects that were never replicated: the replica was not compared with its source.");
    }
    add(
        "Sidecars, instruction files, folder markers and shredded objects: they are counted, and hold nothing to open.",
    );
    add(
        "The application: its configuration, credentials, DNS and network, and the time that people take to switch it.",
    );
    add("Requests of other processes: only those of this process were blocked.");
    limits
}

/// Objects and stored bytes of a listing, while it is read.
#[derive(Debug, Clone, Default)]
struct Listed(Arc<(AtomicU64, AtomicU64)>);

impl Listed {
    fn so_far(&self) -> (u64, u64) {
        (self.0.0.load(Ordering::Relaxed), self.0.1.load(Ordering::Relaxed))
    }
}

/// Counts the objects of a listing.
fn counted(objects: Objects) -> (Objects, Listed) {
    let listed = Listed::default();
    let count = listed.clone();
    let objects = objects.inspect(move |object| {
        count.0.0.fetch_add(1, Ordering::Relaxed);
        count.0.1.fetch_add(object.size.unwrap_or_default(), Ordering::Relaxed);
    });
    (objects, listed)
}

/// Returns the services in `region` whose requests are not refused before they leave this process.
async fn reached_services(
    session: &Session,
    region: &str,
    blocked: &BlockedRegions,
) -> Vec<&'static str> {
    let there = session.in_region(region);
    let refused = |service: &str| {
        let calls = blocked.refused().into_iter().filter(|(calls, _)| {
            (calls.region.as_str(), calls.service.as_str()) == (region, service)
        });
        calls.map(|(_, count)| count).sum::<u64>()
    };
    let mut reached = Vec::new();
    for service in ["s3", "kms", "sts"] {
        let before = refused(service);
        match service {
            "s3" => drop(there.s3().list_buckets().send().await),
            "kms" => drop(aws_sdk_kms::Client::new(there.kms_config()).list_keys().send().await),
            _ => {
                drop(
                    aws_sdk_sts::Client::new(there.kms_config()).get_caller_identity().send().await,
                );
            }
        }
        if refused(service) == before {
            reached.push(service);
        }
    }
    reached
}

/// Compares the replica with its source, if one is named, before its Region is blocked.
async fn compare(session: &Session, args: &DrillArgs) -> Result<Option<Source>, Failure> {
    let Some(source) = &args.source else { return Ok(None) };
    let ObjectsArgs { prefix: replica, inventory, stdin, versions, exact, .. } = &args.objects;
    if inventory.is_some() || *stdin || *versions || *exact {
        return Err(Failure::usage(
            "--source requires the whole prefix of the replica: omit --inventory, --stdin, --versions and --exact",
        ));
    }
    if source.key != replica.key {
        return Err(Failure::usage("--source must have the same prefix as the replica"));
    }
    let region =
        args.source_region.as_ref().or(args.block.first()).map(String::as_str).unwrap_or_default();
    blocked::check_source_region(session, source, region).await?;
    let list = |session: &Session, Prefix { bucket, key }: &Prefix| {
        Lister::new(&session.s3(), &session.key_store()).objects(bucket, key)
    };
    let (there, progress) = (session.in_region(region), Cleared(session.job_progress(None)));
    let objects = list(&there, source).inspect_ok(|_| progress.0.one_more(0));
    let lag = Lag::with_status(&there.s3(), objects, list(session, replica)).await?;
    Ok(Some(Source::new(source, region, &lag, args.lag, SystemTime::now())))
}
