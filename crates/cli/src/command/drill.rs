//! `sealwax drill`.

mod report;

use std::{
    fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

use futures_util::TryStreamExt as _;
use sealwax_jobs::{
    drill::{BlockedRegions, Lag},
    listing::Listing,
    verify::{VerifyOutcome, VerifySummary},
};

use self::report::{Report, Source, time};
use super::verify::{Counts, Line, summary_failure, verify};
use crate::{
    args::DrillArgs,
    aws::Session,
    error::{Exit, Failure},
    interrupt::unless_stopped,
    objects::ObjectsArgs,
    prefix::Prefix,
    progress::Cleared,
    text::Counted,
};

/// How many objects that failed are named in the report.
const MAX_FAILURES: usize = 1000;

/// Rehearses the loss of Regions.
pub(super) async fn run(session: &Session, args: DrillArgs) -> Result<(), Failure> {
    if args.block.iter().any(|region| region == session.region()) {
        let error =
            format!("{} is the Region of the replica, and cannot be blocked", session.region());
        return Err(Failure::usage(error));
    }
    let started = SystemTime::now();
    let stopped =
        |signal| Failure::stopped(signal, "the drill proves nothing; no report was written");
    let source = unless_stopped(compare(session, &args)).await.map_err(stopped)??;

    let blocked = BlockedRegions::new(args.block.iter().cloned());
    let beyond = session.without(&blocked).await?;
    for region in &args.block {
        let reached = unless_stopped(beyond.reaches(region, &blocked)).await.map_err(stopped)?;
        if !reached.is_empty() {
            let error = format!(
                "{region} is not blocked for {}: the drill would prove nothing",
                reached.join(", ")
            );
            return Err(Failure::new(
                Exit::Failed,
                error,
                "report this, with the endpoints that are set up",
            ));
        }
    }
    let probes = 3 * args.block.len();

    let keyring = beyond.reading_keyring(args.reader.clone()).await?;
    let client = beyond.client_of(&args.objects.prefix.bucket, keyring);
    let (mut summary, mut failures, mut more) = (VerifySummary::default(), Vec::new(), 0_u64);
    let mut each = |outcome: &VerifyOutcome| {
        if outcome.result.is_err() && !outcome.is_sidecar {
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
                        "see the report for the oldest one, and the replication rule",
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
        refused_requests: report::refused(&blocked),
        depth: args.how.depth_name(),
        sample: args
            .how
            .sample()
            .map(|sample| report::Sample { fraction: sample.fraction(), seed: sample.seed() }),
        unsealed_allowed: args.how.allow_unsealed,
        counts: Counts::new(&summary),
        failed_objects: failures,
        more_failed_objects: more,
        source,
    };
    let (json, page) = (beside(&args.report, "json"), beside(&args.report, "md"));
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

/// Compares the replica with its source, if one is named, while that can still be reached.
async fn compare(session: &Session, args: &DrillArgs) -> Result<Option<Source>, Failure> {
    let Some(source) = &args.source else { return Ok(None) };
    let ObjectsArgs { prefix: replica, inventory, stdin, versions, exact, .. } = &args.objects;
    if inventory.is_some() || *stdin || *versions || *exact {
        return Err(Failure::usage(
            "a source can be compared with the whole of a replica's prefix alone",
        ));
    }
    if source.key != replica.key {
        return Err(Failure::usage(
            "source and replica have other prefixes, so that their keys cannot be compared",
        ));
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
    fs::write(path, text)
        .map_err(|error| Failure::io(&format!("cannot write {}", path.display()), error))
}
