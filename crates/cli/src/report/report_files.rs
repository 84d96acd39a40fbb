//! The files of a report. None of them replaces an earlier one.

use std::{
    ffi::OsString,
    io::{self, Write as _},
    path::{Path, PathBuf},
    time::SystemTime,
};

use sealwax_files::NewFile;
use sealwax_s3::envelope::ascii_json;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::{Page, html, markdown, rfc3339};
use crate::{failure::Failure, leftovers::remove_leftovers};

/// Extensions of the files.
const EXTENSIONS: [&str; 3] = ["json", "md", "html"];

/// Names of the files of a report.
#[derive(Debug, Clone)]
pub(crate) struct ReportFiles {
    /// Path without an extension.
    base: PathBuf,
}

/// A report that was written.
#[derive(Debug)]
pub(crate) struct WrittenReport {
    paths: Vec<String>,
}

impl ReportFiles {
    /// Chooses the names: `given` with each extension. In a folder, and without `given`, the name is
    /// `name` and the time, such as `sealwax-drill-2026-11-28T080512Z`.
    ///
    /// # Errors
    /// One of the files exists.
    pub(crate) fn choose(
        given: Option<&Path>,
        name: &str,
        started: SystemTime,
    ) -> Result<Self, Failure> {
        let is_folder =
            |path: &&Path| path.is_dir() || path.as_os_str().as_encoded_bytes().ends_with(b"/");
        let folder = match given {
            Some(path) if !is_folder(&path) => return Self { base: path.to_owned() }.if_free(),
            folder => folder.unwrap_or(Path::new("")),
        };
        let dated = format!("{name}-{}", rfc3339(started).replace(':', ""));
        let first = Self { base: folder.join(&dated) }.if_free();
        // Of two reports of one second, the later one gets a number.
        (2..=9).fold(first, |chosen, number| {
            let next = || Self { base: folder.join(format!("{dated}-{number}")) };
            chosen.or_else(|_| next().if_free())
        })
    }

    /// Returns these names if no file has one of them.
    fn if_free(self) -> Result<Self, Failure> {
        let taken = EXTENSIONS
            .map(|extension| self.path(extension))
            .into_iter()
            .find(|path| path.symlink_metadata().is_ok());
        match taken {
            Some(path) => Err(exists(&path)),
            None => Ok(self),
        }
    }

    /// Returns the folder of the files.
    pub(crate) fn folder(&self) -> &Path {
        match self.base.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        }
    }

    fn path(&self, extension: &str) -> PathBuf {
        let mut path: OsString = self.base.clone().into_os_string();
        path.push(".");
        path.push(extension);
        path.into()
    }

    /// Writes `report` as JSON, and the page as Markdown and HTML.
    ///
    /// # Errors
    /// A file can't be written, or exists.
    pub(crate) fn write(
        &self,
        report: &impl Serialize,
        mut page: Page,
    ) -> Result<WrittenReport, Failure> {
        remove_leftovers(&self.base);
        let [json, ..] = EXTENSIONS.map(|extension| self.path(extension));
        let text = ascii_json::to_string_pretty(report) + "\n";
        let name = json.file_name().unwrap_or_default().to_string_lossy().into_owned();
        page.json = (name, sha256(text.as_bytes()));
        let texts = [text, markdown(&page), html(&page)];
        let mut paths = Vec::new();
        for (extension, text) in EXTENSIONS.into_iter().zip(texts) {
            let path = self.path(extension);
            write_new(&path, &text)?;
            paths.push(path.display().to_string());
        }
        Ok(WrittenReport { paths })
    }
}

impl WrittenReport {
    /// Returns the paths of the files: JSON, Markdown and HTML.
    pub(crate) fn paths(&self) -> &[String] {
        &self.paths
    }

    /// Returns the paths in words.
    pub(crate) fn text(&self) -> String {
        self.paths.join(", ")
    }
}

/// Returns a SHA-256 in hexadecimal digits, as `sha256sum` prints it.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn write_new(path: &Path, text: &str) -> Result<(), Failure> {
    let written = NewFile::create_new(path).and_then(|new| {
        new.file().write_all(text.as_bytes())?;
        new.complete()
    });
    written.map(drop).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => exists(path),
        _ => Failure::io(&format!("cannot write {}", path.display()), error),
    })
}

fn exists(path: &Path) -> Failure {
    let error = format!("{} exists: a report never replaces an earlier one", path.display());
    Failure::usage(error)
        .advise("pass another --report, or a folder, in which reports get names with their time")
}

#[cfg(test)]
mod tests {
    use std::{fs, time::Duration};

    use super::*;

    fn choose(given: Option<&Path>) -> Result<ReportFiles, Failure> {
        let started = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_939_512);
        ReportFiles::choose(given, "sealwax-drill", started)
    }

    #[test]
    fn names_carry_the_time_unless_they_are_given() {
        let folder = tempfile::tempdir().expect("a folder");
        let name = "sealwax-drill-2026-11-29T080512Z";
        assert_eq!(choose(None).expect("free").base, Path::new(name));
        assert_eq!(choose(None).expect("free").folder(), Path::new("."));
        let inside = choose(Some(folder.path())).expect("free");
        assert_eq!(inside.base, folder.path().join(name));
        fs::write(inside.path("md"), "of the same second").expect("written");
        let second = choose(Some(folder.path())).expect("free");
        assert_eq!(second.base, folder.path().join(format!("{name}-2")));
        let given = choose(Some(&folder.path().join("drill"))).expect("free");
        assert_eq!(given.path("json"), folder.path().join("drill.json"));
        assert_eq!(
            choose(Some(Path::new("new/"))).expect("free").base,
            Path::new("new").join(name)
        );
    }

    #[test]
    fn a_report_never_replaces_an_earlier_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let base = folder.path().join("drill");
        let files = choose(Some(&base)).expect("free");
        fs::write(files.path("html"), "of last month").expect("written");
        let failure = choose(Some(&base)).expect_err("it exists").text_for_tests();
        assert!(failure.contains("drill.html exists: a report never replaces"), "{failure}");
        // It came after the check.
        let failure = files.write(&"report", Page::default()).expect_err("it exists");
        assert!(failure.in_one_line().contains("drill.html exists"), "{failure:?}");
        assert_eq!(fs::read(files.path("html")).expect("there"), b"of last month");
    }
}
