//! Folders of files, and the keys of objects in them.

use std::{
    fs, io,
    path::{Path, PathBuf},
    pin::Pin,
};

use futures_util::{Stream, stream};
use tokio::sync::mpsc;
use walkdir::WalkDir;

use crate::{args::FilterArgs, failure::Failure};

/// How many files a walk is ahead of its reader, at most.
const AHEAD: usize = 1000;

/// A file to be put.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct LocalFile {
    pub(crate) path: PathBuf,
    /// Its path in its folder, with `/`.
    pub(crate) relative: String,
}

/// What a walk came across.
pub(crate) type Found = Result<LocalFile, Unfit>;

/// What cannot be put, or be looked at.
#[derive(Debug)]
pub(crate) struct Unfit {
    pub(crate) path: PathBuf,
    /// Its path in its folder, as far as that is text.
    relative: String,
    /// Whether files may be in it that nobody can see.
    may_hide: bool,
    pub(crate) reason: String,
}

impl Unfit {
    fn new(root: &Path, path: PathBuf, may_hide: bool, reason: String) -> Self {
        let relative = inside_of(root, &path).to_string_lossy().into_owned();
        Self { path, relative, may_hide, reason }
    }

    /// A file that is not to be put after all.
    pub(crate) fn of(file: LocalFile, reason: String) -> Self {
        Self { path: file.path, relative: file.relative, may_hide: false, reason }
    }

    /// Whether it would have been put: what may hide such files counts, unless it is left out by name.
    pub(crate) fn is_meant(&self, filter: &FilterArgs) -> bool {
        if self.may_hide { !filter.excludes(&self.relative) } else { filter.takes(&self.relative) }
    }
}

/// All files of these files and folders. A folder's files have their path in it, a file has its name.
///
/// What is neither a file nor a folder, or cannot be looked at, is told as an error. Symbolic links are followed.
pub(crate) fn files(
    roots: Vec<PathBuf>,
) -> Pin<Box<dyn Stream<Item = Result<Found, Failure>> + Send>> {
    let (sender, receiver) = mpsc::channel(AHEAD);
    tokio::task::spawn_blocking(move || {
        for root in roots {
            for found in walk(&root) {
                if sender.blocking_send(Ok(found)).is_err() {
                    return;
                }
            }
        }
    });
    let next =
        |mut receiver: mpsc::Receiver<_>| async move { Some((receiver.recv().await?, receiver)) };
    Box::pin(stream::unfold(receiver, next))
}

fn walk(root: &Path) -> impl Iterator<Item = Found> + use<'_> {
    let entries = WalkDir::new(root).follow_links(true).sort_by_file_name();
    entries.into_iter().filter_map(move |entry| match entry {
        Ok(entry) if entry.file_type().is_dir() => None,
        Ok(entry) if !entry.file_type().is_file() => Some(Err(Unfit::new(
            root,
            entry.into_path(),
            false,
            "it is neither a file nor a folder".into(),
        ))),
        Ok(entry) => Some(relative(root, entry.into_path())),
        Err(error) => {
            let path = error.path().unwrap_or(root).to_owned();
            let reason = match (error.loop_ancestor(), error.io_error()) {
                (Some(ancestor), _) => format!("it links back to {}", ancestor.display()),
                (None, Some(error)) => error.to_string(),
                (None, None) => error.to_string(),
            };
            Some(Err(Unfit::new(root, path, true, reason)))
        }
    })
}

fn relative(root: &Path, path: PathBuf) -> Found {
    match inside_of(root, &path).to_str() {
        Some(relative) => Ok(LocalFile { relative: relative.to_owned(), path }),
        None => Err(Unfit::new(
            root,
            path,
            false,
            "its name is not UTF-8, as keys of objects are".into(),
        )),
    }
}

/// The path in the folder; of the root itself, its name.
fn inside_of<'a>(root: &Path, path: &'a Path) -> &'a Path {
    match path.strip_prefix(root) {
        Ok(inside) if !inside.as_os_str().is_empty() => inside,
        _ => Path::new(path.file_name().unwrap_or_default()),
    }
}

/// Where in `folder` the object with this key below the folder's prefix goes. Never outside: keys are made by whoever can
/// write to the bucket.
pub(crate) fn inside(folder: &Path, relative: &str) -> Result<PathBuf, String> {
    let mut path = folder.to_owned();
    for name in relative.split('/') {
        match name {
            "" => return Err("its key has an empty folder or file name".into()),
            "." | ".." => {
                return Err(format!("its key has `{name}` as a name, which leads elsewhere"));
            }
            _ if name.contains('\0') => return Err("its key has a zero byte in it".into()),
            _ => path.push(name),
        }
    }
    Ok(path)
}

/// Makes the folder of this file.
pub(crate) async fn create_parent(path: &Path) -> Result<(), Failure> {
    let folder: PathBuf = path.parent().unwrap_or(Path::new("")).to_owned();
    let made = tokio::task::spawn_blocking(move || match folder.as_os_str().is_empty() {
        true => Ok(()),
        false => fs::create_dir_all(&folder).map_err(|error| {
            io::Error::new(error.kind(), format!("{}: {error}", folder.display()))
        }),
    });
    made.await
        .map_err(Failure::other)?
        .map_err(|error| Failure::io("cannot make the folder", error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_leads_out_of_the_folder() {
        let folder = Path::new("f");
        assert_eq!(inside(folder, "a/b.txt"), Ok("f/a/b.txt".into()));
        assert_eq!(inside(folder, "..a/...b"), Ok("f/..a/...b".into()));
        for key in [
            "",
            "/",
            "/etc/passwd",
            "..",
            "../x",
            "a/../x",
            "a/..",
            "a//b",
            "a/",
            "./a",
            ".",
            "a/./b",
            "a\0b",
        ] {
            assert!(inside(folder, key).is_err(), "{key:?}");
        }
    }

    #[test]
    fn files_have_their_path_in_the_folder() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir(folder.path().join("sub")).expect("made");
        for name in ["b", "a", "sub/c"] {
            fs::write(folder.path().join(name), name).expect("written");
        }
        std::os::unix::fs::symlink(folder.path(), folder.path().join("loop")).expect("linked");
        std::os::unix::fs::symlink("nowhere", folder.path().join("dangling")).expect("linked");
        let (mut files, mut failed) = (Vec::new(), Vec::new());
        for found in walk(folder.path()) {
            match found {
                Ok(file) => files.push(file.relative),
                Err(unfit) => {
                    failed.push(unfit.path.strip_prefix(folder.path()).expect("inside").to_owned());
                }
            }
        }
        assert_eq!(files, ["a", "b", "sub/c"]);
        assert_eq!(failed, [Path::new("dangling"), Path::new("loop")]);
        let one: Vec<_> = walk(&folder.path().join("sub/c"))
            .map(|found| found.expect("a file").relative)
            .collect();
        assert_eq!(one, ["c"]);
    }
}
