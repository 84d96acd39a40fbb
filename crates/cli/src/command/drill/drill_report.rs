//! Report of a drill, as data. docs/REPORTS.md describes its fields.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use aws_sdk_s3::primitives::DateTimeFormat;
use sealwax_jobs::{
    audit::AuditedObject,
    drill::{BlockedRegions, KeyRegions, Lag, OpeningTimes, ReplicationStatus, Unreplicated},
    verify::{Sample as VerifySample, VerifiedObject, VerifyOutcome},
};
use sealwax_s3::KmsKeyArn;
use serde::Serialize;

use super::{Concluded, previous::Previous};
use crate::{
    args::{Prefix, TimeSpan},
    command::verify::verify_output::{Counts, Line},
    report::Provenance,
};

/// Most failed objects, and most examined ones, that a report names.
pub(super) const MAX_OBJECTS: usize = 1000;
/// Most objects that are named for each reason.
const MAX_SAMPLES: usize = 5;

/// Report of a drill. Field names are stable JSON output.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Report {
    pub(super) kind: &'static str,
    pub(super) schema: u32,
    pub(super) passed: bool,
    /// The conclusion, in full sentences.
    pub(super) conclusion: String,
    #[serde(flatten)]
    pub(super) provenance: Provenance,
    pub(super) replica: String,
    pub(super) region: String,
    /// Source bucket whose place the replica's keys may be bound to.
    pub(super) replica_of: Option<String>,
    pub(super) blocked_regions: Vec<String>,
    pub(super) blocked: Vec<Blocked>,
    /// Refused test requests, which prove that the Regions are blocked.
    pub(super) probes_refused: usize,
    /// All refused requests, including the test requests.
    pub(super) refused_requests: Vec<Refused>,
    pub(super) depth: &'static str,
    pub(super) sample: Option<Sample>,
    pub(super) unsealed_allowed: bool,
    /// Limits of this drill, in full sentences.
    pub(super) not_examined: Vec<String>,
    pub(super) counts: Counts,
    /// Number of objects that fail the drill.
    pub(super) failed: u64,
    /// Objects by the Regions of the keys that they claim.
    pub(super) key_regions: Vec<KeySet>,
    /// Sealed objects that may have keys that they don't name.
    pub(super) unnamed_keys: u64,
    /// KMS keys that decrypted, and the number of their calls.
    pub(super) kms_keys: Vec<KmsKey>,
    pub(super) recovery_time: RecoveryTime,
    /// Failed objects by reason.
    pub(super) failures: Vec<Failures>,
    pub(super) failed_objects: Vec<Line>,
    /// Number of failed objects that are not named.
    pub(super) more_failed_objects: u64,
    /// The first of the examined objects.
    pub(super) objects: Vec<Examined>,
    /// Number of examined objects that are not named.
    pub(super) more_objects: u64,
    /// Comparison of the replica with its source: the recovery point.
    pub(super) source: Option<Source>,
    pub(super) previous: Option<Previous>,
    pub(super) warnings: Vec<String>,
}

/// A blocked Region.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Blocked {
    pub(super) region: String,
    /// Objects that claim a key there.
    pub(super) objects_with_key: u64,
    /// Objects that claim no other key.
    pub(super) objects_with_no_other_key: u64,
    pub(super) is_source_region: bool,
}

/// Refused requests of one service to one Region.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Refused {
    pub(super) region: String,
    pub(super) service: String,
    pub(super) requests: u64,
}

/// Sample of the verified objects.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Sample {
    pub(super) fraction: f64,
    pub(super) seed: u64,
}

/// Objects whose keys are in these Regions, by their claims.
#[derive(Debug, Clone, Serialize)]
pub(super) struct KeySet {
    pub(super) regions: Vec<String>,
    pub(super) objects: u64,
}

/// A KMS key that decrypted.
#[derive(Debug, Clone, Serialize)]
pub(super) struct KmsKey {
    pub(super) wrapping_key: String,
    pub(super) region: Option<String>,
    /// Answered calls. One serves all objects that share an intermediate key.
    pub(super) decrypt_calls: u64,
}

/// Times that the objects took to open, retries included.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct RecoveryTime {
    /// Objects that opened.
    pub(super) objects: u64,
    /// Quantiles are upper bounds, at most 3.2 % above the exact values.
    pub(super) median_seconds: Option<f64>,
    pub(super) p99_seconds: Option<f64>,
    pub(super) longest_seconds: f64,
    /// Most objects in work at a time.
    pub(super) concurrency: u16,
    /// Duration of the verification of all examined objects.
    pub(super) seconds: f64,
    /// Objects in the listing, before a sample is taken.
    pub(super) listed_objects: u64,
    pub(super) listed_bytes: u64,
    /// Estimated duration for all listed objects, at the same pace.
    pub(super) estimated_seconds_for_all: Option<f64>,
    pub(super) histogram: Vec<TimeCount>,
}

/// Objects that opened within a time, and not within the one before.
#[derive(Debug, Clone, Serialize)]
pub(super) struct TimeCount {
    /// Null for those that took longer than all limits.
    pub(super) up_to_seconds: Option<f64>,
    pub(super) objects: u64,
}

/// Objects that failed for one reason.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Failures {
    pub(super) reason: &'static str,
    pub(super) objects: u64,
    /// The first of them.
    pub(super) samples: Vec<String>,
}

/// An examined object.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Examined {
    pub(super) object: String,
    pub(super) version_id: Option<String>,
    /// `opened`, or the reason why it is not.
    pub(super) outcome: &'static str,
    /// Regions of the keys that it claims.
    pub(super) key_regions: Vec<String>,
    pub(super) seconds: f64,
}

/// Line of an examined object. Field names are stable JSON output.
#[derive(Debug, Serialize)]
pub(super) struct ExaminedLine {
    #[serde(flatten)]
    line: Line,
    /// Regions of the keys that it claims.
    key_regions: Vec<String>,
    seconds: f64,
}

impl ExaminedLine {
    pub(super) fn new(outcome: &VerifiedObject) -> Self {
        let line = Line::new(outcome);
        let Examined { key_regions, seconds, .. } = Examined::new(&line, outcome);
        Self { line, key_regions, seconds }
    }
}

/// Last line of a drill. Field names are stable JSON output.
#[derive(Debug, Serialize)]
pub(super) struct DrillSummary {
    #[serde(flatten)]
    counts: Counts,
    /// Number of objects that fail the drill. Null without a report, as all that follows.
    failed: Option<u64>,
    passed: Option<bool>,
    conclusion: Option<String>,
    blocked_regions: Option<Vec<String>>,
    /// Objects of the source that are not in the replica. Null without a source, too.
    unreplicated: Option<u64>,
    /// Paths of the report's files.
    report: Option<Vec<String>>,
}

impl DrillSummary {
    /// Summarizes a drill, with its report unless it ended before.
    pub(super) fn new(counts: Counts, concluded: Option<&Concluded>) -> Self {
        let report = concluded.map(|concluded| &concluded.report);
        let source = report.and_then(|report| report.source.as_ref());
        Self {
            counts,
            failed: report.map(|report| report.failed),
            passed: report.map(|report| report.passed),
            conclusion: report.map(|report| report.conclusion.clone()),
            blocked_regions: report.map(|report| report.blocked_regions.clone()),
            unreplicated: source.map(|source| source.unreplicated),
            report: concluded.map(|concluded| concluded.written.paths().to_vec()),
        }
    }
}

/// Differences between the replica and its source.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Source {
    pub(super) source: String,
    pub(super) region: String,
    pub(super) objects: u64,
    pub(super) replica_objects: u64,
    pub(super) absent: u64,
    pub(super) outdated: u64,
    pub(super) surplus: u64,
    /// Absent and outdated objects together.
    pub(super) unreplicated: u64,
    pub(super) oldest_unreplicated: Option<Late>,
    /// Absent and outdated objects by replication status: S3's value, or a name such as `not-told`.
    pub(super) replication_statuses: BTreeMap<&'static str, u64>,
    /// The first of these objects.
    pub(super) unreplicated_objects: Vec<Late>,
    /// Number of unreplicated objects that are not named.
    pub(super) more_unreplicated_objects: u64,
    /// All unreplicated objects by age.
    pub(super) ages: Vec<AgeCount>,
    pub(super) tolerated_seconds: u64,
    /// `true` if an older object is not replicated.
    pub(super) is_behind: bool,
}

/// Object of the source that the replica lacks or has in another version.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Late {
    pub(super) object: String,
    pub(super) last_modified: Option<String>,
    /// Null if the listing has no time.
    pub(super) age_seconds: Option<u64>,
    /// `true` if the replica has an older object or one of another length; `false` if it has none.
    pub(super) is_outdated: bool,
    pub(super) replication_status: Option<&'static str>,
}

/// Objects up to an age, and above the one before.
#[derive(Debug, Clone, Serialize)]
pub(super) struct AgeCount {
    /// Null for those that are older than all limits, or whose age is unknown.
    pub(super) up_to_seconds: Option<u64>,
    pub(super) objects: u64,
}

/// Findings of a drill, collected from each object.
#[derive(Debug, Default)]
pub(super) struct Examination {
    pub(super) key_regions: KeyRegions,
    pub(super) times: OpeningTimes,
    pub(super) reasons: BTreeMap<&'static str, Failures>,
    pub(super) failed: Vec<Line>,
    pub(super) more_failed: u64,
    pub(super) objects: Vec<Examined>,
    pub(super) more_objects: u64,
}

impl Examination {
    /// Records the outcome of an object.
    pub(super) fn record(&mut self, outcome: &VerifiedObject, allow_unsealed: bool) {
        let line = Line::new(outcome);
        if let Some(claims) = &outcome.claims {
            self.key_regions.record(claims);
        }
        if line.opens {
            self.times.record(outcome.elapsed);
        }
        if self.objects.len() < MAX_OBJECTS {
            self.objects.push(Examined::new(&line, outcome));
        } else {
            self.more_objects += 1;
        }
        if !fails(outcome, allow_unsealed) {
            return;
        }
        let reason = line.reason.unwrap_or("unknown");
        let failures = self.reasons.entry(reason).or_insert_with(|| Failures {
            reason,
            objects: 0,
            samples: Vec::new(),
        });
        failures.objects += 1;
        if failures.samples.len() < MAX_SAMPLES {
            failures.samples.push(line.object.clone());
        }
        if self.failed.len() < MAX_OBJECTS {
            self.failed.push(line);
        } else {
            self.more_failed += 1;
        }
    }
}

/// `true` if the object fails the drill.
fn fails(object: &VerifiedObject, allow_unsealed: bool) -> bool {
    match &object.outcome {
        VerifyOutcome::Failed(_) => true,
        VerifyOutcome::Unsealed(_) => !allow_unsealed,
        VerifyOutcome::Opened(_)
        | VerifyOutcome::Shredded(_)
        | VerifyOutcome::FolderMarker
        | VerifyOutcome::Sidecar
        | VerifyOutcome::InstructionFile => false,
    }
}

impl Examined {
    fn new(line: &Line, outcome: &VerifiedObject) -> Self {
        let regions = |claims: &AuditedObject| claims.regions(&[]).into_iter().collect();
        Self {
            object: line.object.clone(),
            version_id: line.version_id.clone(),
            outcome: line.reason.unwrap_or("opened"),
            key_regions: outcome.claims.as_ref().map(regions).unwrap_or_default(),
            seconds: rounded(outcome.elapsed),
        }
    }
}

impl RecoveryTime {
    /// Describes the times of a verification that took `elapsed`, of `examined` of the `listed`
    /// objects.
    pub(super) fn new(
        times: &OpeningTimes,
        (elapsed, concurrency): (Duration, u16),
        examined: u64,
        (listed_objects, listed_bytes): (u64, u64),
    ) -> Self {
        const MILLIS: [u64; 16] =
            [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 30_000, 60_000];
        let counts = times.histogram(&MILLIS.map(Duration::from_millis));
        let limits = MILLIS.into_iter().map(|millis| Some(millis as f64 / 1e3)).chain([None]);
        let histogram = limits
            .zip(counts)
            .map(|(up_to_seconds, objects)| TimeCount { up_to_seconds, objects })
            .collect();
        let quantile = |per_mille| times.per_mille(per_mille).map(rounded);
        let all = (examined > 0)
            .then(|| elapsed.as_secs_f64() * listed_objects.max(examined) as f64 / examined as f64);
        Self {
            objects: times.objects(),
            median_seconds: quantile(500),
            p99_seconds: quantile(990),
            longest_seconds: rounded(times.longest()),
            concurrency,
            seconds: rounded(elapsed),
            listed_objects,
            listed_bytes,
            estimated_seconds_for_all: all.map(|seconds| (seconds * 1e3).round() / 1e3),
            histogram: trimmed(histogram, |count: &TimeCount| count.objects),
        }
    }
}

impl Sample {
    pub(super) fn new(sample: &VerifySample) -> Self {
        Self { fraction: sample.fraction(), seed: sample.seed() }
    }
}

/// Returns the refused requests by Region and service.
pub(super) fn refused(blocked: &BlockedRegions) -> Vec<Refused> {
    let refused = blocked.refused().into_iter();
    refused
        .map(|(calls, requests)| Refused { region: calls.region, service: calls.service, requests })
        .collect()
}

/// Returns the keys that decrypted.
pub(super) fn kms_keys(blocked: &BlockedRegions) -> Vec<KmsKey> {
    let region = |key: &str| key.parse::<KmsKeyArn>().ok().map(|arn| arn.region().to_owned());
    let keys = blocked.decrypts().into_iter();
    keys.map(|(key, calls)| KmsKey {
        region: region(&key),
        wrapping_key: key,
        decrypt_calls: calls,
    })
    .collect()
}

/// Returns the objects by the Regions of their keys.
pub(super) fn key_sets(keys: &KeyRegions) -> Vec<KeySet> {
    let sets = keys.sets.iter();
    sets.map(|(regions, objects)| KeySet {
        regions: regions.iter().cloned().collect(),
        objects: *objects,
    })
    .collect()
}

impl Source {
    /// Returns the differences in `lag` at the time `now`; objects younger than `tolerated` are no
    /// failure.
    pub(super) fn new(
        source: &Prefix,
        region: &str,
        lag: &Lag,
        TimeSpan(tolerated): TimeSpan,
        now: SystemTime,
    ) -> Self {
        let named: Vec<_> = lag.named.iter().map(|it| Late::new(it, now)).collect();
        let age = |(limit, objects): (Option<Duration>, u64)| AgeCount {
            up_to_seconds: limit.map(|limit| limit.as_secs()),
            objects,
        };
        let ages: Vec<_> = lag.ages.histogram().map(age).collect();
        let oldest = lag.oldest.as_ref().map(|oldest| Late::new(oldest, now));
        let too_old = |late: &Late| late.age_seconds.is_none_or(|age| age > tolerated.as_secs());
        Self {
            source: source.to_string(),
            region: region.to_owned(),
            objects: lag.source_objects,
            replica_objects: lag.replica_objects,
            absent: lag.absent,
            outdated: lag.outdated,
            surplus: lag.surplus,
            unreplicated: lag.unreplicated(),
            is_behind: oldest.as_ref().is_some_and(too_old),
            oldest_unreplicated: oldest,
            replication_statuses: lag
                .statuses
                .iter()
                .map(|(status, count)| (status.name(), *count))
                .collect(),
            more_unreplicated_objects: lag.unreplicated() - named.len() as u64,
            unreplicated_objects: named,
            ages: trimmed(ages, |count: &AgeCount| count.objects),
            tolerated_seconds: tolerated.as_secs(),
        }
    }
}

impl Late {
    fn new(it: &Unreplicated, now: SystemTime) -> Self {
        let modified = it.object.last_modified;
        let since = modified.and_then(|time| SystemTime::try_from(time).ok());
        Self {
            object: it.object.to_string(),
            last_modified: modified.and_then(|time| time.fmt(DateTimeFormat::DateTime).ok()),
            // The clocks of two machines may differ.
            age_seconds: since.map(|time| now.duration_since(time).unwrap_or_default().as_secs()),
            is_outdated: it.is_outdated,
            replication_status: it.status.map(ReplicationStatus::name),
        }
    }
}

/// Leaves out the empty counts at both ends.
fn trimmed<T>(mut counts: Vec<T>, count: impl Fn(&T) -> u64) -> Vec<T> {
    let last = counts.iter().rposition(|it| count(it) > 0);
    counts.truncate(last.map_or(0, |last| last + 1));
    let first = counts.iter().position(|it| count(it) > 0).unwrap_or_default();
    counts.split_off(first)
}

/// Returns a time in seconds, to a microsecond.
fn rounded(time: Duration) -> f64 {
    time.as_micros() as f64 / 1e6
}
