//! `sealwax drill`.

mod drill_report;

use std::{
    io::{self, Write as _},
    path::{Path, PathBuf},
    time::SystemTime,
};

use clap::Args;
use futures_util::TryStreamExt as _;
use sealwax_files::NewFile;
use sealwax_jobs::{
    drill::{BlockedRegions, Lag},
    listing::Listing,
    verify::{VerifiedObject, VerifySummary},
};
use sealwax_s3::aws_sdk_kms;

use self::drill_report::{Report, Source, time};
use super::verify::{
    HowToVerify, summary_failure, verify,
    verify_output::{Counts, Line},
};
use crate::{
    args::{ObjectsArgs, Prefix, ReaderArgs, S3ecPolicyArgs, TimeSpan},
    failure::{Exit, Failure},
    interrupt::unless_stopped,
    progress::Cleared,
    session::Session,
    terminal_text::Counted,
};

const EXAMPLES: &str = "\
Examples:
  sealwax drill s3://bucket-west --replica-of bucket-east --region us-west-2 --block us-east-1
  sealwax drill s3://bucket-west --replica-of bucket-east --region us-west-2 --block us-east-1 \\
      --source s3://bucket-east --first-last --report drill-2026-11";

/// Rehearse the loss of a Region: prove that a replica opens without it.
///
/// Every request of this process to S3, KMS or STS in the blocked Regions is refused before it is
/// sent, and counted. An object that opens in the drill opens without these Regions.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DrillArgs {
    #[command(flatten)]
    pub(crate) objects: ObjectsArgs,

    /// Region whose loss is rehearsed; repeatable
    #[arg(long, required = true, value_name = "REGION")]
    pub(crate) block: Vec<String>,

    /// First compare the replica with this source, to find objects that were never replicated and
    /// their replication status
    #[arg(long, value_name = "s3://BUCKET[/PREFIX]")]
    pub(crate) source: Option<Prefix>,

    /// Region of the source [default: the first blocked Region]
    #[arg(long, value_name = "REGION", requires = "source")]
    pub(crate) source_region: Option<String>,

    /// Maximum age of a source object that is not in the replica yet
    #[arg(long, value_name = "AGE", requires = "source", default_value = "15m")]
    pub(crate) lag: TimeSpan,

    /// Write the report to PATH.json and PATH.md
    #[arg(long, value_name = "PATH", default_value = "sealwax-drill")]
    pub(crate) report: PathBuf,

    #[command(flatten)]
    pub(crate) how: HowToVerify,

    #[command(flatten)]
    pub(crate) reader: ReaderArgs,

    #[command(flatten)]
    pub(crate) s3ec: S3ecPolicyArgs,
}

/// Maximum number of failed objects that the report names.
const MAX_FAILURES: usize = 1000;

/// Rehearses the loss of Regions.
pub(super) async fn run(session: &Session, args: DrillArgs) -> Result<(), Failure> {
    if args.block.iter().any(|region| region == session.region()) {
        let error = format!("cannot block {}: it is the replica's Region", session.region());
        return Err(Failure::usage(error));
    }
    let (json, page) = (beside(&args.report, "json"), beside(&args.report, "md"));
    for path in [&json, &page] {
        NewFile::check(path).map_err(|error| unwritten(path, error))?;
    }
    let started = SystemTime::now();
    let stopped =
        |signal| Failure::stopped(signal, "the drill is incomplete, and no report was written");
    let source = unless_stopped(compare(session, &args)).await.map_err(stopped)??;

    let blocked = BlockedRegions::new(args.block.iter().cloned());
    let beyond = session.without(&blocked).await?;
    for region in &args.block {
        let reached =
            unless_stopped(reached_services(&beyond, region, &blocked)).await.map_err(stopped)?;
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
    let probes = 3 * args.block.len();

    let keyring = beyond.keyrings().reading(args.reader.clone()).await?;
    let client = beyond.client_builder_of(&args.objects.prefix.bucket, keyring);
    let client = client.s3ec(args.s3ec.settings()?).build();
    let (mut summary, mut failures, mut more) = (VerifySummary::default(), Vec::new(), 0_u64);
    let mut each = |outcome: &VerifiedObject| {
        if outcome.outcome.error().is_some() {
            match failures.len() {
                MAX_FAILURES => more += 1,
                _ => failures.push(Line::new(outcome)),
            }
        }
        Ok(())
    };
    let done =
        unless_stopped(verify(&beyond, client, &args.objects, &args.how, &mut summary, &mut each))
            .await;
    done.map_err(stopped)??;

    let verdict =
        summary_failure(&args.objects, &summary, args.how.allow_unsealed).and_then(|()| {
            match &source {
                Some(source) if source.is_behind => {
                    let error = format!(
                        "{} of the source not replicated in time",
                        Counted(source.unreplicated(), "object")
                    );
                    Err(Failure::new(
                        Exit::SomeFailed,
                        error,
                        "check the oldest one in the report, and the replication rule",
                    ))
                }
                _ => Ok(()),
            }
        });
    let report = Report {
        tool: concat!("sealwax ", env!("CARGO_PKG_VERSION")),
        passed: verdict.is_ok(),
        started: time(started),
        ended: time(SystemTime::now()),
        seconds: started.elapsed().map(|elapsed| elapsed.as_secs_f64()).unwrap_or_default(),
        replica: args.objects.prefix.to_string(),
        region: session.region().to_owned(),
        blocked_regions: args.block.clone(),
        probes_refused: probes,
        refused_requests: drill_report::refused(&blocked),
        depth: args.how.depth_name(),
        sample: args.how.sample().map(|sample| drill_report::Sample {
            fraction: sample.fraction(),
            seed: sample.seed(),
        }),
        unsealed_allowed: args.how.allow_unsealed,
        counts: Counts::new(&summary),
        failed_objects: failures,
        more_failed_objects: more,
        source,
    };
    write(&json, &report.json())?;
    write(&page, &report.markdown())?;
    session.say(format!(
        "{}; report: {}, {}",
        report.counts.text(),
        json.display(),
        page.display()
    ));
    verdict
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
    let list = |session: &Session, Prefix { bucket, key }: &Prefix| {
        Listing::objects(&session.s3(), bucket, key)
    };
    let (there, progress) = (session.in_region(region), Cleared(session.job_progress(None)));
    let objects = list(&there, source).inspect_ok(|_| progress.0.one_more(0));
    let lag = Lag::with_status(&there.s3(), objects, list(session, replica)).await?;
    Ok(Some(Source::new(source, region, &lag, args.lag)))
}

fn beside(path: &Path, extension: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(".");
    path.push(extension);
    path.into()
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let written = NewFile::create(path).and_then(|new| {
        new.file().write_all(text.as_bytes())?;
        new.complete()
    });
    written.map(drop).map_err(|error| unwritten(path, error))
}

fn unwritten(path: &Path, error: io::Error) -> Failure {
    Failure::io(&format!("cannot write {}", path.display()), error)
}
