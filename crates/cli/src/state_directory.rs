//! The user's state directory: state files of interrupted uploads and journals of jobs.

use std::{
    env,
    ffi::OsStr,
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

/// Returns the state directory and creates it. `what` and `option` are for the error message.
fn made_directory(what: &str, option: &str) -> Result<PathBuf, Failure> {
    let Some(directory) = directory() else {
        let advice = match option {
            "--journal" => "pass --journal, or set XDG_STATE_HOME or HOME",
            _ => "pass --state-file, or set XDG_STATE_HOME or HOME",
        };
        return Err(Failure::new(
            Exit::Usage,
            format!("no state directory for the {what}"),
            advice,
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
    let mut found = Vec::new();
    let entries = directory().and_then(|directory| fs::read_dir(directory).ok());
    for path in entries.into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path())) {
        if path.extension() == Some(OsStr::new(EXTENSION))
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
