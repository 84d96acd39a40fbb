//! State files of uploads, and journals of jobs: in the user's state directory, or where the user
//! wants them.

use std::{
    env,
    ffi::{OsStr, OsString},
    fs::{self, DirBuilder},
    io,
    os::unix::{ffi::OsStrExt as _, fs::DirBuilderExt as _},
    path::{Path, PathBuf},
};

use sealwax_s3::{S3Uri, UnfinishedUpload};
use sha2::{Digest as _, Sha256};

use crate::failure::{Exit, Failure};

/// Extension of state files.
const EXTENSION: &str = "upload";

/// Returns the state file for an upload of `file` to `uri`, and creates the state directory.
///
/// # Errors
/// The directory cannot be determined or created.
pub(crate) fn path_for(file: &Path, uri: &S3Uri) -> Result<PathBuf, Failure> {
    let directory = made_directory("state of the upload", "--state-file")?;
    // A missing file fails later, when it is opened.
    let file = fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    Ok(directory.join(name(&file, uri)))
}

/// Returns the journal for the job that `job` describes, and creates the state directory. `verb` is
/// for the error message.
///
/// # Errors
/// The directory cannot be determined or created.
pub(crate) fn journal_for(job: &[u8], extension: &str, verb: &str) -> Result<PathBuf, Failure> {
    let directory = made_directory(&format!("journal of the {verb}"), "--journal")?;
    Ok(directory.join(format!("{}.{extension}", short_digest(job))))
}

/// State files of the copies to one bucket, whose uploads a killed process may leave.
#[derive(Debug)]
pub(crate) struct CopyStates {
    directory: PathBuf,
    /// Beginning of the names of these files.
    prefix: OsString,
}

impl CopyStates {
    /// Returns the state files of the copies to `bucket` at `endpoint`, where `None` is AWS's own: beside
    /// `journal`, else in the state directory, which is created.
    ///
    /// # Errors
    /// The directory cannot be determined or created.
    pub(crate) fn new(
        journal: Option<&Path>,
        endpoint: Option<&str>,
        bucket: &str,
    ) -> Result<Self, Failure> {
        let (directory, mut prefix) = match journal {
            Some(journal) => {
                let mut prefix = journal.file_name().unwrap_or_default().to_owned();
                prefix.push(".");
                let directory = journal.parent().filter(|parent| !parent.as_os_str().is_empty());
                (directory.unwrap_or(Path::new(".")).to_owned(), prefix)
            }
            None => (made_directory("state of copies", "--journal")?, OsString::new()),
        };
        // Neither an address nor a bucket name contains a NUL byte.
        let store = [endpoint.unwrap_or_default(), bucket].join("\0");
        prefix.push(short_digest(store.as_bytes()) + "-");
        Ok(Self { directory, prefix })
    }

    /// Returns the state file of the copy to `key`.
    pub(crate) fn path_for(&self, key: &str) -> PathBuf {
        let mut name = self.prefix.clone();
        name.push(format!("{}.{EXTENSION}", short_digest(key.as_bytes())));
        self.directory.join(name)
    }

    /// Returns the uploads that have a state file: in progress, or left by a killed process.
    pub(crate) async fn all(&self) -> Vec<(PathBuf, UnfinishedUpload)> {
        states_in(&self.directory, self.prefix.as_bytes()).await
    }
}

/// Returns the spool of the gateway, and creates it.
///
/// # Errors
/// The directory cannot be determined or created.
pub(crate) fn for_gateway() -> Result<PathBuf, Failure> {
    let spool = made_directory("spool of the gateway", "--spool")?.join("gateway");
    let made = DirBuilder::new().recursive(true).mode(0o700).create(&spool);
    made.map_err(|error| {
        Failure::io(&format!("cannot create directory {}", spool.display()), error)
    })?;
    Ok(spool)
}

/// Returns the state directory and creates it. `what` and `option` are for the error message.
fn made_directory(what: &str, option: &str) -> Result<PathBuf, Failure> {
    let Some(directory) = directory() else {
        return Err(Failure::new(
            Exit::Usage,
            format!("no state directory for the {what}"),
            format!("pass {option}, or set XDG_STATE_HOME or HOME"),
        ));
    };
    let made = DirBuilder::new().recursive(true).mode(0o700).create(&directory);
    made.map_err(|error| {
        let what = format!("cannot create directory {} for the {what}", directory.display());
        Failure::io(&what, error).advise(format!(
            "set XDG_STATE_HOME to a directory that you can write to, or pass {option} FILE"
        ))
    })?;
    // A folder that cannot be listed can be written all the same.
    let _ = sealwax_files::remove_leftovers(&directory);
    Ok(directory)
}

/// Returns the state files in the state directory.
pub(crate) async fn all() -> Vec<(PathBuf, UnfinishedUpload)> {
    match directory() {
        Some(directory) => states_in(&directory, b"").await,
        None => Vec::new(),
    }
}

/// Returns the state files in `directory` whose names begin with `prefix`.
async fn states_in(directory: &Path, prefix: &[u8]) -> Vec<(PathBuf, UnfinishedUpload)> {
    let mut found = Vec::new();
    let entries = fs::read_dir(directory).into_iter().flatten();
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        let name = path.file_name().unwrap_or_default().as_bytes();
        if path.extension() == Some(OsStr::new(EXTENSION))
            && name.starts_with(prefix)
            && let Ok(Some(upload)) = UnfinishedUpload::from_state_file(&path).await
        {
            found.push((path, upload));
        }
    }
    found
}

/// Deletes a state file or a journal.
///
/// # Errors
/// The file exists but cannot be deleted.
pub(crate) fn remove(path: &Path) -> Result<(), Failure> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Failure::io(&format!("cannot delete {}", path.display()), error))
        }
        _ => Ok(()),
    }
}

fn directory() -> Option<PathBuf> {
    directory_from(env::var_os("XDG_STATE_HOME").as_deref(), env::home_dir())
}

/// Ignores a relative `XDG_STATE_HOME`. (XDG Base Directory Specification, "Basics".)
fn directory_from(state_home: Option<&OsStr>, home: Option<PathBuf>) -> Option<PathBuf> {
    let set = state_home.map(PathBuf::from).filter(|path| path.is_absolute());
    let home = home.filter(|path| path.is_absolute()).map(|home| home.join(".local/state"));
    set.or(home).map(|directory| directory.join("sealwax"))
}

fn name(file: &Path, uri: &S3Uri) -> String {
    // Neither a path nor a bucket name contains a NUL byte.
    let named =
        [file.as_os_str().as_bytes(), uri.bucket().as_bytes(), uri.key().as_bytes()].join(&0);
    format!("{}.{EXTENSION}", short_digest(&named))
}

fn short_digest(named: &[u8]) -> String {
    Sha256::digest(named)[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_directory_follows_the_environment() {
        let home = || Some(PathBuf::from("/home/me"));
        let directory = |state_home: &str| directory_from(Some(OsStr::new(state_home)), home());
        assert_eq!(directory("/state"), Some("/state/sealwax".into()));
        assert_eq!(directory("state"), Some("/home/me/.local/state/sealwax".into()));
        assert_eq!(directory(""), Some("/home/me/.local/state/sealwax".into()));
        assert_eq!(directory_from(None, None), None);
    }

    #[test]
    fn states_of_copies_are_told_apart_by_store_bucket_and_key() {
        let path = |journal: &str, endpoint, bucket, key| {
            let states = CopyStates::new(Some(Path::new(journal)), endpoint, bucket);
            states.unwrap_or_else(|_| panic!("beside the journal")).path_for(key)
        };
        let known = path("dir/sync.journal", None, "b", "k");
        assert_eq!(known.parent(), Some(Path::new("dir")));
        let name = known.file_name().and_then(OsStr::to_str).expect("text");
        assert!(name.starts_with("sync.journal.") && name.ends_with(".upload"), "{name}");
        assert_eq!(path("sync.journal", None, "b", "k").parent(), Some(Path::new(".")));
        for other in [
            path("dir/other.journal", None, "b", "k"),
            path("dir/sync.journal", Some("http://127.0.0.1:8333"), "b", "k"),
            path("dir/sync.journal", None, "c", "k"),
            path("dir/sync.journal", None, "b", "l"),
        ] {
            assert_ne!(known, other);
        }
    }

    #[test]
    fn names_differ_with_source_and_destination() {
        let name = |file: &str, uri: &str| name(Path::new(file), &uri.parse().expect("an address"));
        let known = name("/a", "s3://b/k");
        assert_eq!(known, name("/a", "s3://b/k"));
        for other in [
            name("/b", "s3://b/k"),
            name("/a", "s3://c/k"),
            name("/a", "s3://b/l"),
            name("/a", "s3://bk/k"),
        ] {
            assert_ne!(known, other);
        }
    }
}
