//! Report of a drill.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    time::{Duration, SystemTime},
};

use aws_sdk_s3::primitives::{DateTime, DateTimeFormat};
use sealwax_jobs::drill::{BlockedRegions, Lag, ReplicationStatus, Unreplicated};
use sealwax_s3::envelope::ascii_json;
use serde::Serialize;

use crate::args::{Prefix, TimeSpan};
use crate::command::verify::verify_output::{Counts, Line};

/// Report of a drill. Field names are stable JSON output.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) tool: &'static str,
    pub(super) passed: bool,
    /// Start time. Times are as in RFC 3339.
    pub(super) started: String,
    pub(super) ended: String,
    pub(super) seconds: f64,
    pub(super) replica: String,
    pub(super) region: String,
    pub(super) blocked_regions: Vec<String>,
    /// Refused test requests, which prove that the Regions are blocked.
    pub(super) probes_refused: usize,
    /// All refused requests, including the test requests.
    pub(super) refused_requests: Vec<Refused>,
    pub(super) depth: &'static str,
    pub(super) sample: Option<Sample>,
    pub(super) unsealed_allowed: bool,
    pub(super) counts: Counts,
    pub(super) failed_objects: Vec<Line>,
    /// Number of failed objects that are not named.
    pub(super) more_failed_objects: u64,
    pub(super) source: Option<Source>,
}

/// Refused requests of one service to one Region.
#[derive(Debug, Serialize)]
pub(super) struct Refused {
    region: String,
    service: String,
    requests: u64,
}

/// Sample of the verified objects.
#[derive(Debug, Serialize)]
pub(super) struct Sample {
    pub(super) fraction: f64,
    pub(super) seed: u64,
}

/// Differences between the replica and its source.
#[derive(Debug, Serialize)]
pub(super) struct Source {
    source: String,
    region: String,
    objects: u64,
    replica_objects: u64,
    absent: u64,
    outdated: u64,
    surplus: u64,
    oldest_unreplicated: Option<Late>,
    /// Absent and outdated objects by replication status: S3's value, or a name such as `not-told`.
    replication_statuses: BTreeMap<&'static str, u64>,
    /// The first of these objects.
    unreplicated_objects: Vec<Late>,
    /// Number of unreplicated objects that are not named.
    more_unreplicated_objects: u64,
    tolerated_seconds: u64,
    /// `true` if an older object is not replicated.
    pub(super) is_behind: bool,
}

/// Object of the source that the replica lacks or has in another version.
#[derive(Debug, Serialize)]
struct Late {
    object: String,
    last_modified: Option<String>,
    /// `true` if the replica has an older object or one of another length; `false` if it has none.
    is_outdated: bool,
    replication_status: Option<&'static str>,
}

/// Returns the refused requests by Region and service.
pub(super) fn refused(blocked: &BlockedRegions) -> Vec<Refused> {
    let refused = blocked.refused().into_iter();
    refused
        .map(|(calls, requests)| Refused { region: calls.region, service: calls.service, requests })
        .collect()
}

/// Returns a time as in RFC 3339.
pub(super) fn time(time: SystemTime) -> String {
    let seconds = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .map(|since| since.as_secs())
        .unwrap_or_default();
    let time = DateTime::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX));
    time.fmt(DateTimeFormat::DateTime).unwrap_or_else(|_| "unknown".into())
}

impl Source {
    /// Returns the differences in `lag`; objects younger than `tolerated` are no failure.
    pub(super) fn new(
        source: &Prefix,
        region: &str,
        lag: &Lag,
        TimeSpan(tolerated): TimeSpan,
    ) -> Self {
        let since = SystemTime::now() - tolerated;
        let is_behind = lag.oldest.as_ref().is_some_and(|oldest| {
            oldest.object.last_modified.is_none_or(|modified| {
                SystemTime::try_from(modified).is_ok_and(|time| time < since)
            })
        });
        Self {
            source: source.to_string(),
            region: region.to_owned(),
            objects: lag.source_objects,
            replica_objects: lag.replica_objects,
            absent: lag.absent,
            outdated: lag.outdated,
            surplus: lag.surplus,
            oldest_unreplicated: lag.oldest.as_ref().map(Late::new),
            replication_statuses: lag
                .statuses
                .iter()
                .map(|(status, count)| (status.name(), *count))
                .collect(),
            unreplicated_objects: lag.named.iter().map(Late::new).collect(),
            more_unreplicated_objects: lag.unreplicated() - lag.named.len() as u64,
            tolerated_seconds: tolerated.as_secs(),
            is_behind,
        }
    }

    /// Returns the number of source objects that are absent from or outdated in the replica.
    pub(super) fn unreplicated(&self) -> u64 {
        self.absent + self.outdated
    }
}

impl Report {
    /// Returns the report as JSON.
    pub(super) fn json(&self) -> String {
        ascii_json::to_string_pretty(self) + "\n"
    }

    /// Returns the report as Markdown.
    pub(super) fn markdown(&self) -> String {
        let mut page = format!(
            "# Disaster recovery drill: {}\n\n",
            if self.passed { "passed" } else { "FAILED" }
        );
        let counts = &self.counts;
        let _ = writeln!(page, "| | |\n|---|---|");
        let sample = self.sample.as_ref().map_or_else(
            || "all objects".to_owned(),
            |sample| format!("fraction {}, seed {}", sample.fraction, sample.seed),
        );
        let regions = self.blocked_regions.join(", ");
        for (name, value) in [
            ("replica", format!("{} in {}", code(&self.replica), self.region)),
            ("blocked Regions", regions),
            ("started", self.started.clone()),
            ("ended", format!("{} ({:.1} seconds)", self.ended, self.seconds)),
            ("tool", self.tool.to_owned()),
            ("sample", sample),
            ("depth", self.depth.to_owned()),
            ("objects", counts.objects.to_string()),
            ("opened objects", counts.opened.to_string()),
            ("plaintext bytes of opened objects", counts.plaintext_bytes.to_string()),
            ("verified plaintext bytes", counts.opened_bytes.to_string()),
            (
                "not sealed",
                format!(
                    "{}{}",
                    counts.unsealed,
                    if self.unsealed_allowed { " (allowed)" } else { "" }
                ),
            ),
            ("shredded", counts.shredded.to_string()),
            ("folder markers", counts.folder_markers.to_string()),
            ("sidecars", counts.sidecars.to_string()),
            ("instruction files", counts.instruction_files.to_string()),
            ("failed", counts.failures.values().sum::<u64>().to_string()),
        ] {
            let _ = writeln!(page, "| {name} | {value} |");
        }

        let _ = writeln!(
            page,
            "\n## Refused requests\n\n| Region | service | requests |\n|---|---|---|"
        );
        for Refused { region, service, requests } in &self.refused_requests {
            let _ = writeln!(page, "| {region} | {service} | {requests} |");
        }
        let probes = self.probes_refused;
        let _ = writeln!(
            page,
            "\n{probes} of them were test requests, to prove that the Regions are blocked."
        );

        let _ = writeln!(page, "\n## Replication\n");
        match &self.source {
            None => page.push_str("The replica was not compared with its source.\n"),
            Some(source) => source.describe(&mut page),
        }

        if !self.failed_objects.is_empty() {
            let _ = writeln!(
                page,
                "\n## Objects that do not open\n\n| object | version | reason | |\n|---|---|---|---|"
            );
        }
        for line in &self.failed_objects {
            let version = line.version_id.as_deref().unwrap_or_default();
            let (reason, message) =
                (line.reason.unwrap_or_default(), line.message.as_deref().unwrap_or_default());
            let _ = writeln!(
                page,
                "| {} | {} | {reason} | {} |",
                code(&line.object),
                plain(version),
                plain(message)
            );
        }
        if self.more_failed_objects > 0 {
            let _ = writeln!(page, "\nAnd {} more.", self.more_failed_objects);
        }
        page
    }
}

impl Source {
    fn describe(&self, page: &mut String) {
        let tolerated = Duration::from_secs(self.tolerated_seconds);
        let _ = writeln!(page, "| | |\n|---|---|");
        let oldest = self.oldest_unreplicated.as_ref().map_or_else(
            || "none".to_owned(),
            |oldest| {
                format!(
                    "{} of {}",
                    code(&oldest.object),
                    oldest.last_modified.as_deref().unwrap_or("unknown")
                )
            },
        );
        let statuses: Vec<_> = self
            .replication_statuses
            .iter()
            .map(|(status, count)| format!("{count} {}", in_words(status)))
            .collect();
        let statuses = if statuses.is_empty() { "-".into() } else { statuses.join(", ") };
        for (name, value) in [
            ("source", format!("{} in {}", code(&self.source), self.region)),
            ("objects of the source", self.objects.to_string()),
            ("objects of the replica", self.replica_objects.to_string()),
            ("absent from the replica", self.absent.to_string()),
            ("older or of another length in the replica", self.outdated.to_string()),
            ("only in the replica", self.surplus.to_string()),
            ("replication status of absent and older objects", statuses),
            ("oldest unreplicated object", oldest),
            ("tolerated age", format!("{tolerated:?}")),
            ("replicated in time", if self.is_behind { "NO" } else { "yes" }.to_owned()),
        ] {
            let _ = writeln!(page, "| {name} | {value} |");
        }
        if self.unreplicated_objects.is_empty() {
            return;
        }
        let _ = writeln!(
            page,
            "\n### Not replicated\n\n| object | last modified | in the replica | status |\n|---|---|---|---|"
        );
        for late in &self.unreplicated_objects {
            let of = late.last_modified.as_deref().unwrap_or("unknown");
            let there = if late.is_outdated { "older or of another length" } else { "absent" };
            let status = late.replication_status.map_or_else(String::new, in_words);
            let _ = writeln!(page, "| {} | {of} | {there} | {status} |", code(&late.object));
        }
        if self.more_unreplicated_objects > 0 {
            let _ = writeln!(page, "\nAnd {} more.", self.more_unreplicated_objects);
        }
    }
}

impl Late {
    fn new(it: &Unreplicated) -> Self {
        Self {
            object: it.object.to_string(),
            last_modified: it
                .object
                .last_modified
                .and_then(|time| time.fmt(DateTimeFormat::DateTime).ok()),
            is_outdated: it.is_outdated,
            replication_status: it.status.map(ReplicationStatus::name),
        }
    }
}

/// Returns a status in words, such as `not told`.
fn in_words(status: &str) -> String {
    status.replace('-', " ")
}

/// Returns an untrusted name as code in a table cell.
fn code(text: &str) -> String {
    format!("`{}`", plain(text).replace('`', "'"))
}

/// Escapes untrusted text so that it cannot end a cell, a line or a page.
fn plain(text: &str) -> String {
    let escaped: String = text
        .chars()
        .map(|char| if char.is_control() { char.escape_unicode().to_string() } else { char.into() })
        .collect();
    escaped.replace('|', "\\|").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn untrusted_names_stay_in_their_cells() {
        assert_eq!(code("s3://b/a|b`c\n<x>"), "`s3://b/a\\|b'c\\u{a}&lt;x>`");
    }

    #[test]
    fn times_are_in_utc() {
        assert_eq!(
            time(SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000)),
            "2023-11-14T22:13:20Z"
        );
    }
}
