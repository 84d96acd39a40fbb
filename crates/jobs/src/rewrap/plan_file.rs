//! Reads plans.

use std::{
    fs::File,
    io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
};

use sealwax_s3::{Error, ErrorKind};
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};
use tokio::task::spawn_blocking;

use super::{PlanHeader, PlanSummary, PlannedObject, plan_format::VERSION, summary::PlanEnd};
use crate::background::{Background, Output, ReceiverClosed};

/// Length of the longest last line in bytes.
const MAX_END_LEN: u64 = 1 << 20;

/// A complete plan in a file.
#[derive(Debug)]
pub struct PlanFile {
    path: PathBuf,
    header: PlanHeader,
    summary: PlanSummary,
    digest: String,
}

impl PlanFile {
    /// Opens a plan and checks its first and its last line.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if the file can't be read; [`ErrorKind::JobMismatch`] if it is not a plan
    /// of this format, or incomplete.
    pub async fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref().to_owned();
        let opened = spawn_blocking(move || Self::open_blocking(path)).await;
        opened.map_err(|died| Error::new("read", "the plan", ErrorKind::Io, died.to_string()))?
    }

    fn open_blocking(path: PathBuf) -> Result<Self, Error> {
        let mut file = File::open(&path).map_err(|error| io(&path, error))?;
        let mut first = String::new();
        BufReader::new(&file).read_line(&mut first).map_err(|error| io(&path, error))?;
        let header: PlanHeader = parse(&path, &first, "its first line is not a plan header")?;
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
        let cut_off = "it is incomplete: its last line is missing";
        let tail = tail.strip_suffix(b"\n").ok_or_else(|| wrong(&path, cut_off))?;
        let start = tail.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let last = str::from_utf8(&tail[start..]).map_err(|_| wrong(&path, cut_off))?;
        let PlanEnd { summary } = parse(&path, last, cut_off)?;
        let digest = Sha256::new_with_prefix(&first).chain_update(last).finalize();
        let digest = digest[..16].iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { path, header, summary, digest })
    }

    /// Returns the header.
    #[must_use]
    pub fn header(&self) -> &PlanHeader {
        &self.header
    }

    /// Returns the summary.
    #[must_use]
    pub fn summary(&self) -> &PlanSummary {
        &self.summary
    }

    /// Returns the plan's identity: 32 hexadecimal digits.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Reads the objects, each with its position in the plan, from 1.
    pub(super) fn objects(&self) -> Background<Numbered> {
        let (path, expected) = (self.path.clone(), self.summary.objects);
        Background::spawn_blocking(("read", "the plan", ErrorKind::Io), move |output| {
            send_lines(&path, expected, output)
        })
    }
}

/// An object, after its position in the plan.
type Numbered = (u64, PlannedObject);

fn send_lines(path: &Path, expected: u64, output: &Output<Numbered>) -> Result<(), Error> {
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
        if let Err(ReceiverClosed) = output.blocking_send((number, object)) {
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
