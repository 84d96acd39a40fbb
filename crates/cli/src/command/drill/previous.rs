//! The previous drill, for comparison.

use std::{
    fs,
    io::Read as _,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{failure::Failure, report::sha256};

/// Kind of a drill's report.
pub(super) const KIND: &str = "sealwax-drill";
/// Longest report that is read. It is longer than any that is written.
const MAX_BYTES: u64 = 16 << 20;
/// Most files that are looked at: those whose names are last in the alphabet.
const MAX_FILES: usize = 1000;

/// Figures of the previous drill. Field names are stable JSON output.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Previous {
    pub(super) file: String,
    pub(super) sha256: String,
    pub(super) passed: bool,
    pub(super) started: String,
    pub(super) objects: u64,
    pub(super) opened: u64,
    pub(super) failed: u64,
    pub(super) median_seconds: Option<f64>,
    pub(super) p99_seconds: Option<f64>,
    /// Null if it was not compared with its source.
    pub(super) unreplicated: Option<u64>,
}

/// The part of a report that is compared.
#[derive(Debug, Deserialize)]
struct Read {
    kind: String,
    passed: bool,
    started: String,
    replica: String,
    region: String,
    blocked_regions: Vec<String>,
    counts: ReadCounts,
    failed: u64,
    recovery_time: ReadTimes,
    source: Option<ReadSource>,
}

#[derive(Debug, Deserialize)]
struct ReadCounts {
    objects: u64,
    opened: u64,
}

#[derive(Debug, Deserialize)]
struct ReadTimes {
    median_seconds: Option<f64>,
    p99_seconds: Option<f64>,
}

#[derive(Debug, Deserialize)]
struct ReadSource {
    absent: u64,
    outdated: u64,
}

/// Subject of a drill: two drills of the same one can be compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Subject {
    pub(super) replica: String,
    pub(super) region: String,
    pub(super) blocked: Vec<String>,
}

impl Previous {
    /// Reads the report that the user names.
    ///
    /// # Errors
    /// It can't be read, or is no report of a drill.
    pub(super) fn named(path: &Path) -> Result<Self, Failure> {
        let found = read(path).map_err(|error| {
            let error = format!("--previous {}: {error}", path.display());
            Failure::usage(error).advise("name the JSON file of an earlier drill")
        })?;
        Ok(found.1)
    }

    /// Finds the latest report about `subject` in `folder`.
    pub(super) fn beside(folder: &Path, subject: &Subject) -> Option<Self> {
        let is_json = |path: &PathBuf| path.extension().is_some_and(|it| it == "json");
        let entries = fs::read_dir(folder).ok()?.filter_map(Result::ok).map(|entry| entry.path());
        let mut paths: Vec<_> = entries.filter(is_json).collect();
        paths.sort_unstable();
        let found = paths.iter().rev().take(MAX_FILES).filter_map(|path| read(path).ok());
        let about_it = found.filter(|(about, _)| about == subject).map(|(_, previous)| previous);
        // Times in RFC 3339 are in the order of their text.
        about_it.max_by(|one, other| one.started.cmp(&other.started))
    }
}

fn read(path: &Path) -> Result<(Subject, Previous), String> {
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(|error| error.to_string())?;
    if !file.metadata().is_ok_and(|metadata| metadata.is_file()) {
        return Err("it is no file".to_owned());
    }
    let read = file.take(MAX_BYTES + 1).read_to_end(&mut bytes);
    if read.map_err(|error| error.to_string())? as u64 > MAX_BYTES {
        return Err("it is too long for a report".to_owned());
    }
    let read: Read = serde_json::from_slice(&bytes)
        .map_err(|error| format!("it is not the report of a drill: {error}"))?;
    if read.kind != KIND {
        return Err(format!("it is not the report of a drill: its kind is {}", read.kind));
    }
    let mut blocked = read.blocked_regions;
    blocked.sort_unstable();
    let subject = Subject { replica: read.replica, region: read.region, blocked };
    let previous = Previous {
        file: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        sha256: sha256(&bytes),
        passed: read.passed,
        started: read.started,
        objects: read.counts.objects,
        opened: read.counts.opened,
        failed: read.failed,
        median_seconds: read.recovery_time.median_seconds,
        p99_seconds: read.recovery_time.p99_seconds,
        unreplicated: read.source.map(|source| source.absent.saturating_add(source.outdated)),
    };
    Ok((subject, previous))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(replica: &str, started: &str, failed: u64) -> String {
        serde_json::json!({
            "kind": KIND, "passed": failed == 0, "started": started, "replica": replica,
            "region": "us-west-2", "blocked_regions": ["us-east-1", "eu-west-1"],
            "counts": {"objects": 9, "opened": 9 - failed}, "failed": failed,
            "recovery_time": {"median_seconds": 0.5, "p99_seconds": null},
            "source": {"absent": 1, "outdated": 2},
        })
        .to_string()
    }

    #[test]
    fn the_latest_of_the_same_drill_is_found() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| {
            fs::write(folder.path().join(name), text).expect("written");
        };
        let blocked = ["eu-west-1", "us-east-1"].map(str::to_owned).to_vec();
        let subject = Subject { replica: "s3://west/".into(), region: "us-west-2".into(), blocked };
        assert_eq!(Previous::beside(folder.path(), &subject), None);
        write("a.json", &report("s3://west/", "2026-10-01T00:00:00Z", 2));
        write("b.json", &report("s3://west/", "2026-09-01T00:00:00Z", 0));
        write("c.json", &report("s3://other/", "2026-11-01T00:00:00Z", 0));
        write("d.json", "{}");
        write("e.json", "no JSON");
        write("f.txt", &report("s3://west/", "2026-11-01T00:00:00Z", 0));
        fs::create_dir(folder.path().join("g.json")).expect("a folder");
        let found = Previous::beside(folder.path(), &subject).expect("a report");
        let text = report("s3://west/", "2026-10-01T00:00:00Z", 2);
        let expected = Previous {
            file: "a.json".into(),
            sha256: sha256(text.as_bytes()),
            passed: false,
            started: "2026-10-01T00:00:00Z".into(),
            objects: 9,
            opened: 7,
            failed: 2,
            median_seconds: Some(0.5),
            p99_seconds: None,
            unreplicated: Some(3),
        };
        assert_eq!(found, expected);
        assert_eq!(Previous::named(&folder.path().join("a.json")).expect("a report"), expected);
        let failure = Previous::named(&folder.path().join("d.json")).expect_err("no report");
        assert!(failure.in_one_line().contains("it is not the report of a drill"), "{failure:?}");
    }
}
