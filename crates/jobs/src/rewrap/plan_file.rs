//! A plan, read again.

use std::{
    fs::File,
    io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures_core::Stream;
use sealwax_s3::{Error, ErrorKind};
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};
use tokio::{
    sync::mpsc,
    task::{JoinHandle, spawn_blocking},
};

use super::{
    PlanHeader, PlannedObject, Summary,
    plan_format::{PlanEnd, VERSION},
};

/// How many lines are read ahead.
const AHEAD: usize = 1000;
/// Longest last line that is looked for, in bytes.
const MAX_END_LEN: u64 = 1 << 20;

/// A plan in a file, which is complete.
#[derive(Debug)]
pub struct PlanFile {
    path: PathBuf,
    header: PlanHeader,
    summary: Summary,
    digest: String,
}

impl PlanFile {
    /// Opens a plan.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] where it cannot be read; [`ErrorKind::JobMismatch`] where it is no plan of this format, or was cut
    /// off.
    pub async fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref().to_owned();
        let opened = spawn_blocking(move || Self::open_blocking(path)).await;
        opened.map_err(|died| Error::new("read", "the plan", ErrorKind::Io, died.to_string()))?
    }

    fn open_blocking(path: PathBuf) -> Result<Self, Error> {
        let mut file = File::open(&path).map_err(|error| io(&path, error))?;
        let mut first = String::new();
        BufReader::new(&file).read_line(&mut first).map_err(|error| io(&path, error))?;
        let header: PlanHeader = parse(&path, &first, "it does not begin as a plan")?;
        if header.sealwax_plan != VERSION {
            return Err(wrong(
                &path,
                format!("its format is {}, not {VERSION}", header.sealwax_plan),
            ));
        }
        let len = file.metadata().map_err(|error| io(&path, error))?.len();
        let mut tail = Vec::new();
        file.seek(SeekFrom::Start(len.saturating_sub(MAX_END_LEN)))
            .map_err(|error| io(&path, error))?;
        file.read_to_end(&mut tail).map_err(|error| io(&path, error))?;
        let cut_off = "it was cut off: its last line is missing";
        let tail = tail.strip_suffix(b"\n").ok_or_else(|| wrong(&path, cut_off))?;
        let start = tail.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let last = str::from_utf8(&tail[start..]).map_err(|_| wrong(&path, cut_off))?;
        let PlanEnd { summary } = parse(&path, last, cut_off)?;
        let digest = Sha256::new_with_prefix(&first).chain_update(last).finalize();
        let digest = digest[..16].iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { path, header, summary, digest })
    }

    /// What it is a plan of.
    #[must_use]
    pub fn header(&self) -> &PlanHeader {
        &self.header
    }

    /// What it comes to.
    #[must_use]
    pub fn summary(&self) -> &Summary {
        &self.summary
    }

    /// What tells it from other plans, in hexadecimal digits.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Its objects, each with the number of its line, from 1 for the first object.
    pub(super) fn objects(&self) -> PlannedObjects {
        let (sender, lines) = mpsc::channel(AHEAD);
        let (path, expected) = (self.path.clone(), self.summary.objects);
        let task = spawn_blocking(move || {
            let failed = match give_lines(&path, expected, &sender) {
                Ok(()) => return,
                Err(error) => error,
            };
            // Nobody listens any more: nobody misses it.
            let _ = sender.blocking_send(Err(failed));
        });
        PlannedObjects { lines, task: Some(task) }
    }
}

type Numbered = (u64, PlannedObject);

/// The objects of a plan.
#[derive(Debug)]
pub(super) struct PlannedObjects {
    lines: mpsc::Receiver<Result<Numbered, Error>>,
    task: Option<JoinHandle<()>>,
}

impl Stream for PlannedObjects {
    type Item = Result<Numbered, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(line) = ready!(self.lines.poll_recv(context)) {
            return Poll::Ready(Some(line));
        }
        // A thread that died must not look like the end of the plan.
        let Some(task) = &mut self.task else { return Poll::Ready(None) };
        let ended = ready!(Pin::new(task).poll(context));
        self.task = None;
        Poll::Ready(
            ended
                .err()
                .map(|died| Err(Error::new("read", "the plan", ErrorKind::Io, died.to_string()))),
        )
    }
}

fn give_lines(
    path: &Path,
    expected: u64,
    sender: &mpsc::Sender<Result<Numbered, Error>>,
) -> Result<(), Error> {
    let file = BufReader::new(File::open(path).map_err(|error| io(path, error))?);
    for (number, line) in (0..).zip(file.lines()) {
        let line = line.map_err(|error| io(path, error))?;
        if number == 0 {
            continue;
        }
        if number > expected {
            parse::<PlanEnd>(path, &line, "it has more lines than it says")?;
            return Ok(());
        }
        let object: PlannedObject =
            parse(path, &line, &format!("line {} is not an object", number + 1))?;
        if sender.blocking_send(Ok((number, object))).is_err() {
            return Ok(());
        }
    }
    Err(wrong(path, "it has fewer lines than it says"))
}

fn parse<T: DeserializeOwned>(path: &Path, line: &str, what: &str) -> Result<T, Error> {
    serde_json::from_str(line).map_err(|error| wrong(path, format!("{what} ({error})")))
}

fn wrong(path: &Path, why: impl Into<String>) -> Error {
    Error::new("read", format!("the plan {}", path.display()), ErrorKind::JobMismatch, why)
}

fn io(path: &Path, error: std::io::Error) -> Error {
    Error::new("read", format!("the plan {}", path.display()), ErrorKind::Io, error.to_string())
}
