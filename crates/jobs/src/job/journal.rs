//! The journal of a job: JSON lines that are appended and never rewritten. An object counts as
//! completed when its line is on disk, as long as it stays in the state that the line names.

use std::{
    fs::{File, TryLockError},
    io::{self, BufRead, BufReader, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};

use sealwax_files::create_or_append;
use sealwax_s3::{Error, ErrorKind, envelope::ascii_json};
use serde::{Deserialize, Serialize};
use tokio::{
    sync::mpsc,
    task::{JoinError, JoinHandle, spawn_blocking},
};

use super::{AppliedObject, JobSummary, Work, WorkOutcome, applied::Entry, completed::Completed};
use crate::{engine::Summary as _, text_lines::next_line};

/// Most lines that are written at a time.
const BATCH: usize = 1000;

/// The first line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Begin {
    sealwax_journal: u32,
    job: String,
}

/// The last line of a run that tried every object. If the same job runs again, it starts again behind
/// this line and ignores earlier entries.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct End<S> {
    ended: S,
}

/// A journal that a thread of its own writes.
pub(super) struct Journal<W: Work> {
    entries: Option<mpsc::Sender<Applied<W>>>,
    /// Objects whose lines are on disk. Unbounded, but never longer than two batches: the job reads
    /// it before it appends more.
    written: mpsc::UnboundedReceiver<Applied<W>>,
    writer: JoinHandle<Result<Written<W>, Error>>,
}

type Applied<W> = AppliedObject<<W as Work>::Outcome>;

/// Summary of all lines of this run, and the file.
type Written<W> = (<W as Work>::Summary, Option<(File, PathBuf)>);

impl<W: Work> Journal<W> {
    /// Opens or creates the journal of `job`, and returns the objects that it lists as completed.
    /// Without a path, outcomes pass through and nothing is stored.
    pub(super) async fn open(
        path: Option<PathBuf>,
        job: String,
    ) -> Result<(Self, Completed), Error> {
        let opened = spawn_blocking(move || match path {
            Some(path) => {
                open::<W>(&path, job).map(|(file, completed)| (Some((file, path)), completed))
            }
            None => Ok((None, Completed::default())),
        });
        let (file, completed) = opened.await.map_err(died)??;
        let (entries, received) = mpsc::channel(BATCH);
        let (sender, written) = mpsc::unbounded_channel();
        let writer = spawn_blocking(move || write::<W>(file, received, &sender));
        Ok((Self { entries: Some(entries), written, writer }, completed))
    }

    /// Appends a line. Fails when the journal can no longer be written.
    pub(super) async fn append(&self, object: Applied<W>) -> Result<(), Error> {
        let refused = || unusable(Path::new("?"), "it can no longer be written");
        let entries = self.entries.as_ref().ok_or_else(refused)?;
        entries.send(object).await.map_err(|_| refused())
    }

    /// Returns the next object whose line is on disk; `None` after [`Journal::end`] when there are
    /// no more, and when the journal can no longer be written.
    pub(super) async fn next_written(&mut self) -> Option<Applied<W>> {
        self.written.recv().await
    }

    /// Takes no more lines.
    pub(super) fn end(&mut self) {
        self.entries = None;
    }

    /// Waits until all lines are on disk. `finish` completes the summary; if the job was not stopped
    /// by that, writes the closing line.
    pub(super) async fn close(mut self, finish: impl FnOnce(&mut W::Summary)) -> Result<(), Error> {
        self.end();
        let (mut summary, file) = self.writer.await.map_err(died)??;
        finish(&mut summary);
        let is_stopped = summary.counts().stopped;
        let Some((mut file, path)) = file.filter(|_| !is_stopped) else { return Ok(()) };
        let end = line(&End { ended: summary });
        let ended = spawn_blocking(move || {
            file.write_all(end.as_bytes())
                .and_then(|()| file.sync_data())
                .map_err(|error| io_error(&path, error))
        });
        ended.await.map_err(died)?
    }
}

/// Writes lines in batches, and passes objects on when their lines are on disk.
fn write<W: Work>(
    mut file: Option<(File, PathBuf)>,
    mut received: mpsc::Receiver<Applied<W>>,
    written: &mpsc::UnboundedSender<Applied<W>>,
) -> Result<Written<W>, Error> {
    let mut summary = W::Summary::default();
    let mut batch = Vec::new();
    while let Some(object) = received.blocking_recv() {
        batch.push(object);
        while batch.len() < BATCH
            && let Ok(object) = received.try_recv()
        {
            batch.push(object);
        }
        if let Some((file, path)) = &mut file {
            let lines: String = batch.iter().map(line).collect();
            let synced = file.write_all(lines.as_bytes()).and_then(|()| file.sync_data());
            synced.map_err(|error| io_error(path, error))?;
        }
        for object in batch.drain(..) {
            summary.record(&object);
            // The job may have been dropped. Its lines count all the same.
            let _ = written.send(object);
        }
    }
    Ok((summary, file))
}

fn line(of: &impl Serialize) -> String {
    ascii_json::to_string(of) + "\n"
}

/// Opens a journal to append to it, and locks it against other processes.
fn open<W: Work>(path: &Path, job: String) -> Result<(File, Completed), Error> {
    let failed = |error| io_error(path, error);
    let mut file = create_or_append(path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let message = "another process is running this job";
            return Err(Error::new("use", name(path), ErrorKind::Locked, message));
        }
        Err(TryLockError::Error(error)) => return Err(failed(error)),
    }
    let Contents { len, is_begun, completed } = read::<W>(path, BufReader::new(&file), &job)?;
    // A torn last line, after a crash or on a full disk, does not count.
    if file.metadata().map_err(failed)?.len() > len {
        file.set_len(len).map_err(failed)?;
        file.seek(SeekFrom::End(0)).map_err(failed)?;
    }
    if !is_begun {
        file.write_all(line(&Begin { sealwax_journal: 1, job }).as_bytes()).map_err(failed)?;
        file.sync_all().map_err(failed)?;
        let directory =
            path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(directory).and_then(|directory| directory.sync_all()).map_err(failed)?;
    }
    Ok((file, completed))
}

/// Contents of a journal.
pub(super) struct Contents {
    /// Length of all whole lines in bytes.
    pub(super) len: u64,
    /// `true` if the job has begun and has not tried every object.
    pub(super) is_begun: bool,
    pub(super) completed: Completed,
}

/// A line of any kind.
#[derive(Deserialize)]
#[serde(untagged)]
enum Line<S> {
    Begin(Begin),
    /// Its summary is for people.
    End(#[allow(dead_code, reason = "it must be there")] End<S>),
    Entry(Box<Entry>),
}

pub(super) fn read<W: Work>(
    path: &Path,
    mut reader: impl BufRead,
    job: &str,
) -> Result<Contents, Error> {
    let mut contents = Contents { len: 0, is_begun: false, completed: Completed::default() };
    let mut line = Vec::new();
    for number in 1_u64.. {
        next_line(&mut reader, &mut line).map_err(|error| io_error(path, error))?;
        if line.last() != Some(&b'\n') {
            break;
        }
        let invalid = || unusable(path, format!("line {number} is not a valid journal entry"));
        match (contents.is_begun, serde_json::from_slice::<Line<W::Summary>>(&line)) {
            (false, Ok(Line::Begin(begin))) if begin.sealwax_journal == 1 => {
                if begin.job != job {
                    let why = "it is of another job: other objects, keys or settings";
                    return Err(unusable(path, why));
                }
                contents.is_begun = true;
            }
            (true, Ok(Line::End(_))) => {
                (contents.is_begun, contents.completed) = (false, Completed::default());
            }
            (true, Ok(Line::Entry(entry))) => {
                if W::Outcome::is_done(&entry.outcome).ok_or_else(invalid)?
                    && let Some(state) = &entry.state
                {
                    contents.completed.add(&entry.object, state);
                }
            }
            _ => return Err(invalid()),
        }
        contents.len += line.len() as u64;
    }
    Ok(contents)
}

fn name(path: &Path) -> String {
    format!("the journal {}", path.display())
}

fn unusable(path: &Path, why: impl Into<String>) -> Error {
    Error::new("use", name(path), ErrorKind::JobMismatch, why)
}

fn io_error(path: &Path, error: io::Error) -> Error {
    Error::new("use", name(path), ErrorKind::Io, error.to_string())
}

fn died(error: JoinError) -> Error {
    unusable(Path::new("?"), error.to_string())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use sealwax_s3::{ListedObject, ObjectState, RewrapOutcome, Rewrapper, Skipped};

    use super::*;
    use crate::rewrap::RewrapSummary;

    type Applied = AppliedObject<RewrapOutcome>;
    type Journal = super::Journal<Rewrapper>;

    /// State of the object of a line, in a versioned bucket.
    fn state(line: u64) -> ObjectState {
        let mut state = ObjectState::default();
        state.version_id = Some(line.to_string());
        state
    }

    fn applied(line: u64, outcome: RewrapOutcome) -> Applied {
        let object = ListedObject::new("b", line.to_string());
        let state = outcome.is_done().then(|| state(line));
        Applied { object, line: Some(line), outcome, replanned: false, state }
    }

    fn has(completed: &Completed, line: u64) -> bool {
        completed.has(&format!("s3://b/{line}"), &state(line))
    }

    fn rewrapped(line: u64) -> Applied {
        applied(line, RewrapOutcome::Rewrapped { generation: 2, version_id: None })
    }

    fn failure() -> Error {
        Error::new("rewrap", "s3://b/k", ErrorKind::AccessDenied, "by this test")
    }

    fn stopped(summary: &mut RewrapSummary) {
        summary.counts.stopped = true;
    }

    /// Runs a job that is stopped after `objects`.
    async fn run(
        path: &Path,
        job: &str,
        objects: impl IntoIterator<Item = Applied>,
    ) -> Result<(RewrapSummary, Completed), Error> {
        let (mut journal, completed) = Journal::open(Some(path.to_owned()), job.to_owned()).await?;
        let mut summary = RewrapSummary::default();
        for object in objects {
            journal.append(object).await?;
            summary.record(&journal.next_written().await.expect("its line is on disk"));
        }
        journal.close(stopped).await?;
        Ok((summary, completed))
    }

    #[tokio::test]
    async fn completed_objects_are_known_again_after_any_cut() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("journal");
        let objects = [
            rewrapped(1),
            applied(2, RewrapOutcome::Failed(failure())),
            applied(3, RewrapOutcome::Claimed),
            applied(4, RewrapOutcome::Unchanged),
            applied(5, RewrapOutcome::Skipped(Skipped::Shredded)),
        ];
        let (summary, completed) = run(&path, "a", objects).await.expect("a journal");
        assert_eq!((summary.done(), summary.failed(), completed.len()), (4, 1, 0));
        let whole = fs::read(&path).expect("a journal");
        let ends: Vec<_> =
            (0..whole.len()).filter(|at| whole[*at] == b'\n').map(|at| at + 1).collect();
        for len in 0..=whole.len() {
            fs::write(&path, &whole[..len]).expect("cut off");
            let (_, completed) = run(&path, "a", [rewrapped(9)]).await.expect("still a journal");
            let lines = ends.iter().filter(|end| **end <= len).count();
            let expected = [1, 3, 4, 5].map(|line| line < lines);
            assert_eq!([1, 3, 4, 5].map(|line| has(&completed, line)), expected, "{len} bytes");
            assert!(!has(&completed, 2), "a failed object is worked on again");
            let (_, completed) = run(&path, "a", []).await.expect("still a journal");
            assert!(has(&completed, 9), "the line after a torn one is whole, at {len} bytes");
        }
    }

    #[tokio::test]
    async fn an_outcome_is_on_disk_before_it_is_told() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("journal");
        let (mut journal, _) =
            Journal::open(Some(path.clone()), "a".into()).await.expect("a journal");
        for number in 1..20 {
            journal.append(rewrapped(number)).await.expect("appended");
            let object = journal.next_written().await.expect("written");
            let text = fs::read_to_string(&path).expect("a journal");
            assert_eq!(text.lines().count() as u64, 1 + number);
            assert!(text.ends_with(&line(&object)), "{text}");
        }
        journal.close(stopped).await.expect("closed");
    }

    /// Failures included: they are tried again with all others, in whatever state these are then.
    #[tokio::test]
    async fn a_job_that_tried_every_object_starts_again() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("journal");
        for _ in 0..3 {
            let (journal, completed) =
                Journal::open(Some(path.clone()), "a".into()).await.expect("a journal");
            assert_eq!(completed.len(), 0, "earlier entries are ignored");
            journal.append(rewrapped(1)).await.expect("appended");
            let failed = applied(2, RewrapOutcome::Failed(failure()));
            journal.append(failed).await.expect("appended");
            journal.close(|_| {}).await.expect("closed");
        }
        assert_eq!(fs::read_to_string(&path).expect("a journal").lines().count(), 12);
    }

    /// A line without a state, as of an object whose keys are in a sidecar, completes nothing.
    #[tokio::test]
    async fn an_object_without_a_state_is_looked_at_again() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("journal");
        let unknown = Applied { state: None, ..rewrapped(1) };
        run(&path, "a", [unknown, rewrapped(2)]).await.expect("a journal");
        let (_, completed) = run(&path, "a", []).await.expect("a journal");
        assert_eq!((completed.len(), has(&completed, 2)), (1, true));
    }

    #[tokio::test]
    async fn a_journal_serves_one_job_and_one_process_at_a_time() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("journal");
        run(&path, "a", []).await.expect("a journal");
        assert_eq!(run(&path, "b", []).await.expect_err("of a").kind(), ErrorKind::JobMismatch);
        let (open, _) = Journal::open(Some(path.clone()), "a".into()).await.expect("a journal");
        assert_eq!(run(&path, "a", []).await.expect_err("in use").kind(), ErrorKind::Locked);
        open.close(|_| {}).await.expect("closed");
        for text in [
            "something else\n",
            "{\"sealwax_journal\":1,\"job\":\"a\"}\n{\"object\":\"s3://b/k\",\"outcome\":\"lost\"}\n",
        ] {
            fs::write(&path, text).expect("written");
            let error = run(&path, "a", []).await.expect_err("not a journal");
            assert_eq!(error.kind(), ErrorKind::JobMismatch);
            assert_eq!(fs::read_to_string(&path).expect("it"), text, "it is left unchanged");
        }
    }
}
