//! Local folders: files to upload, and safe paths for downloads.

use std::{
    fs, io,
    path::{Path, PathBuf},
    pin::Pin,
};

use futures_util::{Stream, stream};
use tokio::sync::mpsc;
use walkdir::WalkDir;

use crate::{args::FilterArgs, failure::Failure};

/// Maximum number of files that a walk is ahead of its reader.
const AHEAD: usize = 1000;

/// File to upload.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct LocalFile {
    pub(crate) path: PathBuf,
    /// Path in its folder, with `/`.
    pub(crate) relative: String,
}

/// File or unsuitable entry of a walk.
pub(crate) type Found = Result<LocalFile, Unfit>;

/// Entry that cannot be uploaded or read.
#[derive(Debug)]
pub(crate) struct Unfit {
    pub(crate) path: PathBuf,
    /// Path in its folder; parts that are not UTF-8 are replaced.
    relative: String,
    /// `true` for an unreadable folder, which may contain files.
    may_hide: bool,
    pub(crate) reason: String,
}

impl Unfit {
    fn new(root: &Path, path: PathBuf, may_hide: bool, reason: String) -> Self {
        let relative = inside_of(root, &path).to_string_lossy().into_owned();
        Self { path, relative, may_hide, reason }
    }

    /// Returns the entry for a file that must not be uploaded.
    pub(crate) fn of(file: LocalFile, reason: String) -> Self {
        Self { path: file.path, relative: file.relative, may_hide: false, reason }
    }

    /// `true` if the filter selects the entry. An unreadable folder counts unless it is excluded.
    pub(crate) fn is_meant(&self, filter: &FilterArgs) -> bool {
        if self.may_hide { !filter.excludes(&self.relative) } else { filter.takes(&self.relative) }
    }
}

/// Lists all files in these files and folders, with paths relative to their folder.
///
/// An entry that is neither a file nor a folder, or cannot be read, is unsuitable. Symbolic links
/// are followed.
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
        Ok(entry) if !entry.file_type().is_file() => {
            Some(Err(Unfit::new(root, entry.into_path(), false, "not a file or folder".into())))
        }
        Ok(entry) => Some(relative(root, entry.into_path())),
        Err(error) => {
            let path = error.path().unwrap_or(root).to_owned();
            let reason = match (error.loop_ancestor(), error.io_error()) {
                (Some(ancestor), _) => format!("symbolic link loop to {}", ancestor.display()),
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
            "the name is not UTF-8, which object keys require".into(),
        )),
    }
}

/// Returns the path in the folder, or the name of the root itself.
fn inside_of<'a>(root: &Path, path: &'a Path) -> &'a Path {
    match path.strip_prefix(root) {
        Ok(inside) if !inside.as_os_str().is_empty() => inside,
        _ => Path::new(path.file_name().unwrap_or_default()),
    }
}

/// Returns the path in `folder` of the object with this relative key.
///
/// The path is never outside the folder, although anyone who can write to the bucket chooses the
/// key.
pub(crate) fn inside(folder: &Path, relative: &str) -> Result<PathBuf, String> {
    let mut path = folder.to_owned();
    for name in relative.split('/') {
        match name {
            "" => return Err("the key has an empty folder or file name".into()),
            "." | ".." => {
                return Err(format!("the key contains `{name}`, which leads out of its folder"));
            }
            _ if name.contains('\0') => return Err("the key contains a NUL byte".into()),
            _ => path.push(name),
        }
    }
    Ok(path)
}

/// Creates the parent folder of this file.
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
        .map_err(|error| Failure::io("cannot create the folder", error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_leads_out_of_the_folder() {
        let folder = Path::new("f");
        assert_eq!(inside(folder, "a/b.txt"), Ok("f/a/b.txt".into()));
        assert_eq!(inside(folder, "..a/...b"), Ok("f/..a/...b".into()));
        let leads_out = |name| format!("the key contains `{name}`, which leads out of its folder");
        let empty = "the key has an empty folder or file name";
        for (reason, keys) in [
            (empty.to_owned(), &["", "/", "/etc/passwd", "a//b", "a/"][..]),
            (leads_out(".."), &["..", "../x", "a/../x", "a/.."]),
            (leads_out("."), &["./a", ".", "a/./b"]),
            ("the key contains a NUL byte".to_owned(), &["a\0b"]),
        ] {
            for key in keys {
                assert_eq!(inside(folder, key), Err(reason.clone()), "{key:?}");
            }
        }
    }

    #[test]
    fn files_have_paths_relative_to_their_folder() {
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
