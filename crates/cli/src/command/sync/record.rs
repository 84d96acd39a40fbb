//! Records of a pass: lines for people, for programs and in the journal.

use std::{
    fs::{File, TryLockError},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::SystemTime,
};

use sealwax_files::create_or_append;
use sealwax_s3::envelope::ascii_json;
use serde::Serialize;

use crate::{
    args::time_text,
    console::print_json,
    failure::{Exit, Failure},
};

/// A change, or a failure. Field names are stable JSON output.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Change {
    /// `seal`, `open`, `copy` or `delete`.
    pub(super) action: &'static str,
    /// `done`, `planned`, `skipped` or `failed`.
    pub(super) result: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) source: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) destination: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) version_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) e_tag: Option<String>,
    /// Wrapping keys of the stored object.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) keys: Vec<String>,
    /// Wrapping keys that could not be used: `rewrap --add` adds them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) missing: Vec<String>,
    /// Reason of a failure, or why something was skipped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) message: Option<String>,
}

/// Counts of one pass. Field names are stable JSON output.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Counts {
    pub(super) pass: u64,
    pub(super) transferred: u64,
    pub(super) bytes: u64,
    pub(super) unchanged: u64,
    /// Number of unchanged objects whose wrapping keys and attributes no listing shows.
    pub(super) not_compared: u64,
    pub(super) skipped: u64,
    pub(super) deleted: u64,
    pub(super) failed: u64,
    /// Reason why the pass ended early, or why nothing was deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) message: Option<String>,
}

impl Counts {
    pub(super) fn new(pass: u64) -> Self {
        Self { pass, ..Self::default() }
    }

    pub(super) fn add(&mut self, summary: &crate::bulk::Summary) {
        self.transferred += summary.done;
        self.bytes += summary.bytes;
        self.unchanged += summary.unchanged;
        self.skipped += summary.skipped();
        self.failed += summary.failed;
    }
}

/// Last line of a pass.
#[derive(Debug, Serialize)]
struct Summary<'a> {
    summary: &'a Counts,
}

/// A line of the journal, with its time.
#[derive(Debug, Serialize)]
struct Timed<T> {
    time: Option<String>,
    #[serde(flatten)]
    line: T,
}

/// First line of each run in the journal.
#[derive(Debug, Serialize)]
struct Begin<'a> {
    sealwax_sync: u32,
    source: &'a str,
    destination: &'a str,
}

/// The record of a run: JSON on standard output, if wanted, and the journal.
#[derive(Debug)]
pub(super) struct Record {
    json: bool,
    journal: Option<Journal>,
}

#[derive(Debug)]
struct Journal {
    path: PathBuf,
    file: Mutex<File>,
    /// The first failure to write it.
    failure: Mutex<Option<io::Error>>,
}

impl Record {
    /// Opens the record, and locks its journal against other processes.
    ///
    /// # Errors
    /// The journal cannot be used.
    pub(super) fn open(json: bool, path: Option<&Path>) -> Result<Self, Failure> {
        let journal = path.map(Journal::open).transpose()?;
        Ok(Self { json, journal })
    }

    /// Writes the first line of a run.
    pub(super) fn begin(&self, source: &str, destination: &str) {
        if let Some(journal) = &self.journal {
            journal.append(&Begin { sealwax_sync: 1, source, destination });
        }
    }

    pub(super) fn change(&self, change: &Change) {
        if self.json {
            print_json(change);
        }
        // A dry run changes nothing, and proves nothing later.
        if let (Some(journal), true) = (&self.journal, change.result != "planned") {
            journal.append(change);
        }
    }

    /// Writes the last line of a pass.
    ///
    /// # Errors
    /// A line of the journal could not be written: it is not what happened.
    pub(super) fn end(&self, counts: &Counts) -> Result<(), Failure> {
        let summary = Summary { summary: counts };
        if self.json {
            print_json(&summary);
        }
        match &self.journal {
            Some(journal) => {
                journal.append(&summary);
                journal.sync()
            }
            None => Ok(()),
        }
    }
}

impl Journal {
    fn open(path: &Path) -> Result<Self, Failure> {
        let failed =
            |error| Failure::io(&format!("cannot use the journal {}", path.display()), error);
        let file = create_or_append(path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let error = format!("another process writes the journal {}", path.display());
                let advice = "pass another file with --journal, or wait for the other process";
                return Err(Failure::new(Exit::Failed, error, advice));
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        // A line that a crash cut off ends here.
        let is_torn = || {
            use std::os::unix::fs::FileExt as _;
            let len = file.metadata()?.len();
            let mut last = [b'\n'];
            if len > 0 {
                file.read_exact_at(&mut last, len - 1)?;
            }
            Ok(last != [b'\n'])
        };
        if is_torn().map_err(failed)? {
            (&file).write_all(b"\n").map_err(failed)?;
        }
        Ok(Self { path: path.to_owned(), file: Mutex::new(file), failure: Mutex::default() })
    }

    fn append(&self, line: &impl Serialize) {
        let time = time_text(&SystemTime::now().into());
        let text = ascii_json::to_string(&Timed { time, line }) + "\n";
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = file.write_all(text.as_bytes()) {
            let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
            failure.get_or_insert(error);
        }
    }

    fn sync(&self) -> Result<(), Failure> {
        let failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner).take();
        let synced = match failure {
            Some(error) => Err(error),
            None => self.file.lock().unwrap_or_else(PoisonError::into_inner).sync_data(),
        };
        synced.map_err(|error| {
            Failure::io(&format!("cannot write the journal {}", self.path.display()), error)
        })
    }
}
