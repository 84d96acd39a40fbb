//! The journal of a job: JSON lines, appended to and never rewritten. An object counts as done when its line is on disk.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, BufRead as _, BufReader, Seek as _, SeekFrom, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use futures_util::future::BoxFuture;
use sealwax_s3::{Error, ErrorKind, ListedObject, RewrapOutcome, Skipped, error_chain};
use serde::{Deserialize, Serialize};
use tokio::{
    sync::mpsc,
    task::{JoinHandle, spawn_blocking},
};

use super::completed::Completed;

/// Most lines that are written at once.
const BATCH: usize = 1000;

/// The first line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Begin {
    sealwax_journal: u32,
    job: String,
}

/// The last line of a job that is complete. The same job again begins anew behind it: nothing of before counts for it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct End {
    ended: Tally,
}

/// What became of one object: a line of the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Report {
    /// The object, as `s3://bucket/key`.
    pub object: String,
    /// The version that was named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version_id: Option<String>,
    /// Which object of the plan it is, counted from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// What became of it.
    pub outcome: Verdict,
    /// Its generation, where it has other keys now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u32>,
    /// Whether it was no more as it was planned, and was decided anew.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub replanned: bool,
    /// What kind of failure it is, such as `access-denied`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// [`RewrapOutcome`], by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Verdict {
    /// [`RewrapOutcome::Rewrapped`].
    Rewrapped,
    /// [`RewrapOutcome::Unchanged`].
    Unchanged,
    /// [`Skipped::NotSealed`].
    NotSealed,
    /// [`Skipped::Gone`].
    Gone,
    /// [`RewrapOutcome::Changed`].
    Changed,
    /// [`RewrapOutcome::Failed`].
    Failed,
}

impl Verdict {
    /// Whether nothing is left to be done.
    #[must_use]
    pub fn is_done(self) -> bool {
        !matches!(self, Self::Changed | Self::Failed)
    }
}

impl Report {
    pub(super) fn new(
        object: &ListedObject,
        line: Option<u64>,
        (outcome, replanned): (RewrapOutcome, bool),
    ) -> Self {
        let error =
            outcome.error().map(|error| (error.kind().name().to_owned(), error_chain(error)));
        let (kind, why) = error.unzip();
        let (generation, outcome) = match outcome {
            RewrapOutcome::Rewrapped { generation, .. } => (Some(generation), Verdict::Rewrapped),
            RewrapOutcome::Unchanged => (None, Verdict::Unchanged),
            RewrapOutcome::Skipped(Skipped::NotSealed) => (None, Verdict::NotSealed),
            RewrapOutcome::Skipped(Skipped::Gone) => (None, Verdict::Gone),
            RewrapOutcome::Changed(_) => (None, Verdict::Changed),
            RewrapOutcome::Failed(_) => (None, Verdict::Failed),
        };
        let version_id = object.version_id.clone();
        Self {
            object: object.to_string(),
            version_id,
            line,
            outcome,
            generation,
            replanned,
            kind,
            why,
        }
    }
}

/// How many objects came to what.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Tally {
    /// Objects that have other keys now.
    pub rewrapped: u64,
    /// Objects that had the wanted keys.
    pub unchanged: u64,
    /// Objects that Sealwax did not seal.
    pub not_sealed: u64,
    /// Objects that were deleted since they were listed.
    pub gone: u64,
    /// Objects that others kept changing.
    pub changed: u64,
    /// Objects that failed.
    pub failed: u64,
    /// Objects that were decided anew, because they were not as planned. They count above too.
    pub replanned: u64,
    /// Objects that earlier runs did.
    pub done_before: u64,
    /// Whether the job was asked to end early: there may be more objects.
    pub stopped: bool,
}

impl Tally {
    /// Objects that this run came to.
    #[must_use]
    pub fn objects(&self) -> u64 {
        self.done() + self.undone()
    }

    /// Objects of this run of which nothing is left to be done.
    #[must_use]
    pub fn done(&self) -> u64 {
        self.rewrapped + self.unchanged + self.not_sealed + self.gone
    }

    /// Objects of this run that are not as they should be.
    #[must_use]
    pub fn undone(&self) -> u64 {
        self.changed + self.failed
    }

    /// Whether all objects are as they should be.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.undone() == 0 && !self.stopped
    }

    /// Counts one object more.
    pub fn count(&mut self, report: &Report) {
        let count = match report.outcome {
            Verdict::Rewrapped => &mut self.rewrapped,
            Verdict::Unchanged => &mut self.unchanged,
            Verdict::NotSealed => &mut self.not_sealed,
            Verdict::Gone => &mut self.gone,
            Verdict::Changed => &mut self.changed,
            Verdict::Failed => &mut self.failed,
        };
        *count += 1;
        self.replanned += u64::from(report.replanned);
    }
}

/// Told of each object once its line is on disk.
pub(super) type Listener = Box<dyn FnMut(&Report) + Send>;

/// A journal at work in a thread of its own.
pub(super) struct Journal {
    reports: mpsc::Sender<Report>,
    writer: JoinHandle<Result<Written, Error>>,
}

/// What came of all lines, and the file that they are in.
type Written = (Tally, Option<(File, PathBuf)>);

impl Journal {
    /// Opens the journal of `job`, or begins it, and says what it tells; without a path nothing is kept.
    pub(super) async fn open(
        path: Option<PathBuf>,
        job: String,
        mut tell: Listener,
    ) -> Result<(Self, Completed), Error> {
        let opened = spawn_blocking(move || match path {
            Some(path) => open(&path, job).map(|(file, done)| (Some((file, path)), done)),
            None => Ok((None, Completed::default())),
        });
        let (mut file, done) =
            opened.await.map_err(|died| no_journal(Path::new("?"), died.to_string()))??;
        let (reports, mut received) = mpsc::channel::<Report>(BATCH);
        let writer = spawn_blocking(move || {
            let mut tally = Tally::default();
            let mut batch = Vec::new();
            while let Some(report) = received.blocking_recv() {
                batch.push(report);
                while batch.len() < BATCH
                    && let Ok(report) = received.try_recv()
                {
                    batch.push(report);
                }
                if let Some((file, path)) = &mut file {
                    let lines: String = batch.iter().map(line).collect();
                    let written = file.write_all(lines.as_bytes()).and_then(|()| file.sync_data());
                    written.map_err(|error| io_error(path, error))?;
                }
                for report in batch.drain(..) {
                    tally.count(&report);
                    tell(&report);
                }
            }
            Ok((tally, file))
        });
        Ok((Self { reports, writer }, done))
    }

    /// Hands lines over. Fails when the journal can no longer be written.
    pub(super) fn taker(
        &self,
    ) -> impl FnMut(Report) -> BoxFuture<'static, Result<(), Error>> + Send + use<> {
        let reports = self.reports.clone();
        move |report| {
            let reports = reports.clone();
            Box::pin(async move {
                let refused = |_| no_journal(Path::new("?"), "it can no longer be written".into());
                reports.send(report).await.map_err(refused)
            })
        }
    }

    /// Waits until all lines are on disk. `finish` completes the tally; where the job is complete by that, the journal says
    /// so.
    pub(super) async fn close(self, finish: impl FnOnce(Tally) -> Tally) -> Result<Tally, Error> {
        drop(self.reports);
        let died = |died: tokio::task::JoinError| no_journal(Path::new("?"), died.to_string());
        let (tally, file) = self.writer.await.map_err(died)??;
        let tally = finish(tally);
        let Some((mut file, path)) = file.filter(|_| tally.is_complete()) else { return Ok(tally) };
        let end = line(&End { ended: tally });
        let ended = spawn_blocking(move || {
            file.write_all(end.as_bytes())
                .and_then(|()| file.sync_data())
                .map_err(|error| io_error(&path, error))
        });
        ended.await.map_err(died)??;
        Ok(tally)
    }
}

fn line(of: &impl Serialize) -> String {
    serde_json::to_string(of).expect("names are strings") + "\n"
}

/// Opens a journal, locked against other processes, to be appended to.
fn open(path: &Path, job: String) -> Result<(File, Completed), Error> {
    let failed = |error| io_error(path, error);
    let options = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path);
    let mut file = options.map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let what = format!("the journal {}", path.display());
            return Err(Error::new(
                "use",
                what,
                ErrorKind::Locked,
                "another process is at work on this job",
            ));
        }
        Err(TryLockError::Error(error)) => return Err(failed(error)),
    }
    let Read { whole, begun, done } = read(path, &file, &job)?;
    // A line that was cut off, by a crash or a full disk, says nothing.
    if file.metadata().map_err(failed)?.len() > whole {
        file.set_len(whole).map_err(failed)?;
        file.seek(SeekFrom::End(0)).map_err(failed)?;
    }
    if !begun {
        file.write_all(line(&Begin { sealwax_journal: 1, job }).as_bytes()).map_err(failed)?;
        file.sync_all().map_err(failed)?;
        let directory =
            path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(directory).and_then(|directory| directory.sync_all()).map_err(failed)?;
    }
    Ok((file, done))
}

/// What a journal says.
struct Read {
    /// Length of all whole lines.
    whole: u64,
    /// Whether the job was begun, and is not complete.
    begun: bool,
    done: Completed,
}

/// A line, of whichever kind.
#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    Begin(Begin),
    /// What it says is for people.
    End(#[expect(dead_code, reason = "it must be there")] End),
    Report(Report),
}

fn read(path: &Path, file: &File, job: &str) -> Result<Read, Error> {
    let mut reader = BufReader::new(file);
    let mut found = Read { whole: 0, begun: false, done: Completed::default() };
    let mut line = Vec::new();
    for number in 1_u64.. {
        line.clear();
        let len = reader.read_until(b'\n', &mut line).map_err(|error| io_error(path, error))?;
        if line.last() != Some(&b'\n') {
            break;
        }
        match (found.begun, serde_json::from_slice(&line)) {
            (false, Ok(Line::Begin(begin))) if begin.sealwax_journal == 1 => {
                if begin.job != job {
                    return Err(no_journal(
                        path,
                        "it is of another job: other objects, keys or settings".into(),
                    ));
                }
                found.begun = true;
            }
            (true, Ok(Line::End(_))) => (found.begun, found.done) = (false, Completed::default()),
            (true, Ok(Line::Report(report))) => match report.line {
                _ if !report.outcome.is_done() => {}
                Some(line) => found.done.add_line(line),
                None => found.done.add_name(&report.object, report.version_id.as_deref()),
            },
            _ => return Err(no_journal(path, format!("line {number} is none of a journal"))),
        }
        found.whole += len as u64;
    }
    Ok(found)
}

fn no_journal(path: &Path, why: String) -> Error {
    Error::new("use", format!("the journal {}", path.display()), ErrorKind::JobMismatch, why)
}

fn io_error(path: &Path, error: io::Error) -> Error {
    Error::new("use", format!("the journal {}", path.display()), ErrorKind::Io, error.to_string())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn report(line: u64, outcome: Verdict) -> Report {
        Report {
            object: format!("s3://b/{line}"),
            version_id: None,
            line: Some(line),
            outcome,
            generation: None,
            replanned: false,
            kind: None,
            why: None,
        }
    }

    async fn run(
        path: &Path,
        job: &str,
        reports: impl IntoIterator<Item = Report>,
    ) -> Result<(Tally, Completed), Error> {
        let (journal, done) =
            Journal::open(Some(path.to_owned()), job.to_owned(), Box::new(|_| {})).await?;
        for report in reports {
            journal.taker()(report).await?;
        }
        Ok((journal.close(|tally| Tally { stopped: true, ..tally }).await?, done))
    }

    #[tokio::test]
    async fn what_was_done_is_known_again_whatever_was_cut_off() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("journal");
        let reports = [
            (1, Verdict::Rewrapped),
            (2, Verdict::Failed),
            (3, Verdict::NotSealed),
            (4, Verdict::Unchanged),
        ];
        let reports = reports.map(|(line, outcome)| report(line, outcome));
        let (tally, done) = run(&path, "a", reports).await.expect("a journal");
        assert_eq!((tally.done(), tally.undone(), done.count()), (3, 1, 0));
        let whole = fs::read(&path).expect("a journal");
        let ends: Vec<_> =
            (0..whole.len()).filter(|at| whole[*at] == b'\n').map(|at| at + 1).collect();
        for len in 0..=whole.len() {
            fs::write(&path, &whole[..len]).expect("cut off");
            let (_, done) =
                run(&path, "a", [report(9, Verdict::Rewrapped)]).await.expect("still a journal");
            let lines = ends.iter().filter(|end| **end <= len).count();
            let expected = [1, 3, 4].map(|line| line < lines);
            assert_eq!([1, 3, 4].map(|line| done.has_line(line)), expected, "{len} bytes");
            assert!(!done.has_line(2), "what failed is tried again");
            let (_, done) = run(&path, "a", []).await.expect("still a journal");
            assert!(done.has_line(9), "what came after a torn line is whole, at {len} bytes");
        }
    }

    #[tokio::test]
    async fn a_complete_job_begins_anew() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("journal");
        for _ in 0..3 {
            let (journal, done) = Journal::open(Some(path.clone()), "a".into(), Box::new(|_| {}))
                .await
                .expect("a journal");
            assert_eq!(done.count(), 0, "what was done before counts no more");
            journal.taker()(report(1, Verdict::Rewrapped)).await.expect("added");
            assert!(journal.close(|tally| tally).await.expect("closed").is_complete());
        }
        assert_eq!(fs::read_to_string(&path).expect("a journal").lines().count(), 9);
    }

    #[tokio::test]
    async fn a_journal_serves_one_job_and_one_process_at_a_time() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("journal");
        run(&path, "a", []).await.expect("a journal");
        assert_eq!(run(&path, "b", []).await.expect_err("of a").kind(), ErrorKind::JobMismatch);
        let open = Journal::open(Some(path.clone()), "a".into(), Box::new(|_| {}))
            .await
            .expect("a journal");
        assert_eq!(run(&path, "a", []).await.expect_err("in use").kind(), ErrorKind::Locked);
        open.0.close(|tally| tally).await.expect("closed");
        fs::write(&path, "something else\n").expect("written");
        assert_eq!(
            run(&path, "a", []).await.expect_err("no journal").kind(),
            ErrorKind::JobMismatch
        );
        assert_eq!(fs::read(&path).expect("it"), b"something else\n", "not ours: left as it is");
    }
}
