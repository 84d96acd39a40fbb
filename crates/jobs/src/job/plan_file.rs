//! Reads plans.

use std::{
    fs::File,
    io::{self, BufRead, BufReader},
    path::{Path, PathBuf},
};

use sealwax_s3::{Error, ErrorKind};
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};
use tokio::task::spawn_blocking;

use super::{PlanHeader, PlanSummary, PlannedObject, plan_format::VERSION, plan_summary::PlanEnd};
use crate::{
    background::{Background, ReceiverClosed},
    text_lines::next_line,
};

/// A complete plan in a file.
#[derive(Debug)]
pub struct PlanFile {
    path: PathBuf,
    header: PlanHeader,
    summary: PlanSummary,
    digest: String,
}

impl PlanFile {
    /// Opens a plan: reads all of it, and checks its first and its last line.
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
        let mut lines = PlanLines::open(&path)?;
        let (header, summary) = lines.check()?;
        let digest = lines.digest();
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

    /// Returns the plan's identity, a digest of the whole file: 32 hexadecimal digits.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Reads the objects, each with its position in the plan, from 1.
    pub(super) fn objects(&self) -> Background<Numbered> {
        let (path, expected) = (self.path.clone(), self.summary.objects);
        let digest = self.digest.clone();
        Background::spawn_blocking(("read", "the plan", ErrorKind::Io), move |output| {
            let mut lines = PlanLines::open(&path)?;
            let sent =
                lines.objects(expected, |number, object| output.blocking_send((number, object)));
            match sent? {
                Err(ReceiverClosed) => Ok(()),
                Ok(()) if lines.digest() == digest => Ok(()),
                Ok(()) => Err(wrong(&path, "it was changed while it was applied")),
            }
        })
    }
}

/// An object, after its position in the plan.
type Numbered = (u64, PlannedObject);

/// The lines of a plan, and the digest of those that were read.
pub(super) struct PlanLines<'a, R> {
    path: &'a Path,
    reader: R,
    line: Vec<u8>,
    digest: Sha256,
}

impl<'a> PlanLines<'a, BufReader<File>> {
    fn open(path: &'a Path) -> Result<Self, Error> {
        let reader = BufReader::new(File::open(path).map_err(|error| io(path, error))?);
        Ok(Self::new(path, reader))
    }
}

impl<'a, R: BufRead> PlanLines<'a, R> {
    /// Reads the plan at `path` from `reader`.
    pub(super) fn new(path: &'a Path, reader: R) -> Self {
        Self { path, reader, line: Vec::new(), digest: Sha256::new() }
    }

    /// Reads all lines, and parses the first and the last one.
    pub(super) fn check(&mut self) -> Result<(PlanHeader, PlanSummary), Error> {
        let path = self.path;
        let first = self.next()?.unwrap_or_default();
        let header: PlanHeader = parse(path, first, "its first line is not a plan header")?;
        if header.sealwax_plan != VERSION {
            let why = format!("its format is {}, not {VERSION}", header.sealwax_plan);
            return Err(wrong(path, why));
        }
        let mut last = Vec::new();
        while let Some(line) = self.next()? {
            line.clone_into(&mut last);
        }
        let cut_off = "it is incomplete: its last line is missing";
        let last = last.strip_suffix(b"\n").ok_or_else(|| wrong(path, cut_off))?;
        let PlanEnd { summary } = parse(path, last, cut_off)?;
        Ok((header, summary))
    }

    /// Reads all lines, and passes the `expected` objects on, each with its position, until `each`
    /// fails.
    pub(super) fn objects<E>(
        &mut self,
        expected: u64,
        mut each: impl FnMut(u64, PlannedObject) -> Result<(), E>,
    ) -> Result<Result<(), E>, Error> {
        let path = self.path;
        self.next()?;
        for number in 1..=expected {
            let line = self.next()?;
            let line = line.ok_or_else(|| wrong(path, "it has fewer lines than it says"))?;
            let what = format!("line {} is not an object", number.saturating_add(1));
            if let Err(error) = each(number, parse(path, line, &what)?) {
                return Ok(Err(error));
            }
        }
        let more = "it has more lines than it says";
        parse::<PlanEnd>(path, self.next()?.unwrap_or_default(), more)?;
        match self.next()? {
            Some(_) => Err(wrong(path, more)),
            None => Ok(Ok(())),
        }
    }

    /// Returns the next line, with its line break if it has one.
    fn next(&mut self) -> Result<Option<&[u8]>, Error> {
        match next_line(&mut self.reader, &mut self.line) {
            Ok(false) => Ok(None),
            Ok(true) => {
                self.digest.update(&self.line);
                Ok(Some(&self.line))
            }
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                Err(wrong(self.path, error.to_string()))
            }
            Err(error) => Err(io(self.path, error)),
        }
    }

    /// Returns the digest of the lines so far, in 32 hexadecimal digits.
    fn digest(self) -> String {
        self.digest.finalize()[..16].iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

fn parse<T: DeserializeOwned>(path: &Path, line: &[u8], what: &str) -> Result<T, Error> {
    serde_json::from_slice(line).map_err(|error| wrong(path, format!("{what} ({error})")))
}

fn wrong(path: &Path, why: impl Into<String>) -> Error {
    Error::new("read", format!("the plan {}", path.display()), ErrorKind::JobMismatch, why)
}

fn io(path: &Path, error: io::Error) -> Error {
    Error::new("read", format!("the plan {}", path.display()), ErrorKind::Io, error.to_string())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use futures_util::TryStreamExt as _;

    use super::*;

    const HEADER: &str = r#"{"sealwax_plan":1,"source":"s3://b/","edits":[],"begun":0}"#;

    /// Writes a plan of objects with these keys.
    fn written(keys: &[&str]) -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("plan");
        let object =
            |key: &&str| format!("{{\"bucket\":\"b\",\"key\":\"{key}\",\"action\":\"nothing\"}}");
        let end = format!("{{\"summary\":{{\"objects\":{}}}}}", keys.len());
        let lines: Vec<_> =
            [HEADER.to_owned()].into_iter().chain(keys.iter().map(object)).chain([end]).collect();
        fs::write(&path, lines.join("\n") + "\n").expect("written");
        (directory, path)
    }

    fn edit(path: &Path, from: &str, to: &str) {
        let text = fs::read_to_string(path).expect("a plan");
        assert!(text.contains(from));
        fs::write(path, text.replace(from, to)).expect("written");
    }

    /// The journal of a plan has the plan's digest, and names objects by their lines.
    #[tokio::test]
    async fn every_line_is_part_of_the_identity() {
        let (_directory, path) = written(&["one", "two", "three"]);
        let digest = PlanFile::open(&path).await.expect("a plan").digest().to_owned();
        assert_eq!(PlanFile::open(&path).await.expect("a plan").digest(), digest);
        for (from, to) in [("one", "ten"), ("\"begun\":0", "\"begun\":1"), ("}\n{\"s", "}\n{ \"s")]
        {
            edit(&path, from, to);
            assert_ne!(PlanFile::open(&path).await.expect("a plan").digest(), digest, "{to}");
            edit(&path, to, from);
        }
        assert_eq!(PlanFile::open(&path).await.expect("as before").digest(), digest);
    }

    #[tokio::test]
    async fn an_edit_while_the_plan_is_read_is_an_error() {
        let (_directory, path) = written(&["one", "two"]);
        let plan = PlanFile::open(&path).await.expect("a plan");
        let objects: Vec<_> = plan.objects().try_collect().await.expect("its objects");
        assert_eq!(
            objects.iter().map(|(line, it)| (*line, it.key.as_str())).collect::<Vec<_>>(),
            [(1, "one"), (2, "two")]
        );
        for (from, to, why) in [
            ("two", "ten", "was changed"),
            ("\"objects\":2", "\"objects\":3", "was changed"),
            ("{\"summary", "\n{\"summary", "more lines"),
        ] {
            edit(&path, from, to);
            let error = plan.objects().try_collect::<Vec<_>>().await.expect_err(why);
            assert_eq!(error.kind(), ErrorKind::JobMismatch);
            assert!(error.to_string().contains(why), "{error}");
            edit(&path, to, from);
        }
    }

    #[tokio::test]
    async fn what_is_no_whole_plan_does_not_open() {
        let (_directory, path) = written(&["one"]);
        let whole = fs::read(&path).expect("a plan");
        for (text, why) in [
            (Vec::new(), "first line is not a plan header"),
            (whole[..whole.len() - 1].to_vec(), "incomplete"),
            (whole[..whole.len() / 2].to_vec(), "incomplete"),
            (format!("{HEADER}\n").into_bytes(), "incomplete"),
            ([HEADER.as_bytes(), b"\n", &vec![b' '; 2 << 20]].concat(), "longer than 1 MiB"),
            (HEADER.replace(":1", ":2").into_bytes(), "its format is 2"),
        ] {
            fs::write(&path, text).expect("written");
            let error = PlanFile::open(&path).await.expect_err(why);
            assert_eq!(error.kind(), ErrorKind::JobMismatch);
            assert!(error.to_string().contains(why), "{error}");
        }
    }
}
