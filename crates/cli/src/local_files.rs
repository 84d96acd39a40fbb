//! Local folders: files to upload.

use std::{
    cmp::Ordering,
    collections::HashMap,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    pin::Pin,
};

use futures_util::{Stream, TryStreamExt as _, stream};
use sealwax_files::{FileState, Folder, RelativePath, is_incomplete_name};
use sealwax_jobs::merge::Keyed;
use tokio::sync::mpsc;
use walkdir::{DirEntry, WalkDir};

use crate::{
    args::FilterArgs,
    bulk::{Outcome, Skip},
    failure::Failure,
};

/// Maximum number of files that a walk is ahead of its reader.
const AHEAD: usize = 1000;

/// File to upload.
#[derive(Debug, Clone)]
pub(crate) struct LocalFile {
    pub(crate) path: PathBuf,
    /// Path in its folder, with `/`.
    pub(crate) relative: String,
    /// State that the walk saw; `None` if it cannot be told.
    pub(crate) state: Option<FileState>,
    /// Folder, if no link in it is followed, and the path there.
    inside: Option<(Folder, RelativePath)>,
}

impl LocalFile {
    /// Opens the file to read it. Blocks.
    ///
    /// # Errors
    /// It cannot be opened; or it became a link, and links are not followed.
    pub(crate) fn open(&self) -> io::Result<File> {
        match &self.inside {
            Some((folder, path)) => folder.open_file(path),
            None => File::open(&self.path),
        }
    }

    /// Returns the file's state now. Blocks.
    ///
    /// # Errors
    /// As [`LocalFile::open`].
    pub(crate) fn state_now(&self) -> io::Result<FileState> {
        self.open()?.metadata().map(|metadata| FileState::from(&metadata))
    }
}

impl Keyed for LocalFile {
    fn key(&self) -> &str {
        &self.relative
    }
}

/// Entry of a walk: all but folders.
#[derive(Debug, Clone)]
pub(crate) enum Found {
    File(LocalFile),
    /// A symbolic link that is not followed.
    Link(Unfit),
    /// A file that a download has not completed, or left behind.
    Incomplete(Unfit),
    /// An entry that cannot be uploaded or read.
    Unfit(Unfit),
}

impl Found {
    /// Returns the outcome for an entry that is no file.
    pub(crate) fn left_out(self) -> Outcome {
        match self {
            Self::Link(unfit) => {
                Outcome::Link(format!("skipped {}: {}", unfit.path.display(), unfit.reason))
            }
            Self::Incomplete(unfit) => Skip::IncompleteDownload.of(&unfit.path.display()),
            Self::Unfit(unfit) => {
                Outcome::Failed(unfit.path.display().to_string(), Failure::other(unfit.reason))
            }
            Self::File(file) => {
                let reason = Failure::other("it is a file, which was not asked for");
                Outcome::Failed(file.path.display().to_string(), reason)
            }
        }
    }

    /// `true` if the filter selects the entry.
    pub(crate) fn is_meant(&self, filter: &FilterArgs) -> bool {
        match self {
            Self::File(file) => filter.takes(&file.relative),
            Self::Link(unfit) | Self::Incomplete(unfit) | Self::Unfit(unfit) => {
                unfit.is_meant(filter)
            }
        }
    }
}

/// Entry that is not uploaded.
#[derive(Debug, Clone)]
pub(crate) struct Unfit {
    pub(crate) path: PathBuf,
    /// Path in its folder; parts that are not UTF-8 are replaced.
    pub(crate) relative: String,
    /// `true` for what may contain files: an unreadable folder, or a link to a folder.
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

    /// `true` if the filter selects the entry. A folder counts unless it is excluded.
    fn is_meant(&self, filter: &FilterArgs) -> bool {
        if self.may_hide { !filter.excludes(&self.relative) } else { filter.takes(&self.relative) }
    }
}

/// Lists all files in these files and folders, with paths relative to their folder: the files of each
/// in the order of the paths' bytes, as S3 lists keys.
///
/// An entry that is neither a file nor a folder, or cannot be read, is unsuitable. Symbolic links
/// below these folders are followed, or listed as links. Folders that the filter excludes are not
/// opened.
pub(crate) fn files(
    roots: Vec<PathBuf>,
    follow_links: bool,
    filter: FilterArgs,
) -> Pin<Box<dyn Stream<Item = Result<Found, Failure>> + Send>> {
    let (sender, receiver) = mpsc::channel(AHEAD);
    tokio::task::spawn_blocking(move || {
        for root in roots {
            for found in walk(&root, follow_links, &filter) {
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

/// Lists the files in a folder that the filter selects, as [`files`] does. Other selected entries go
/// to `other`.
pub(crate) fn selected<'a>(
    root: &Path,
    follow_links: bool,
    filter: &FilterArgs,
    mut other: impl FnMut(Found) + Send + 'a,
) -> impl Stream<Item = Result<LocalFile, Failure>> + Send + 'a {
    let filter = filter.clone();
    let found = files(vec![root.to_owned()], follow_links, filter.clone());
    found.try_filter_map(move |found| {
        std::future::ready(Ok(match found {
            found if !found.is_meant(&filter) => None,
            Found::File(file) => Some(file),
            found => {
                other(found);
                None
            }
        }))
    })
}

/// Lists the lengths in bytes of what [`files`] lists and the filter selects; 0 for all but files.
pub(crate) fn lengths(
    roots: Vec<PathBuf>,
    follow_links: bool,
    filter: FilterArgs,
) -> impl Stream<Item = Result<u64, Failure>> + Send {
    let meant = filter.clone();
    files(roots, follow_links, filter).try_filter_map(move |found| {
        let is_meant = found.is_meant(&meant);
        async move {
            Ok(match found {
                _ if !is_meant => None,
                // The upload itself reports a file that can't be read.
                Found::File(file) => {
                    Some(tokio::fs::metadata(file.path).await.map_or(0, |metadata| metadata.len()))
                }
                _ => Some(0),
            })
        }
    })
}

fn walk<'a>(
    root: &'a Path,
    follow_links: bool,
    filter: &'a FilterArgs,
) -> impl Iterator<Item = Found> + use<'a> {
    let entries = WalkDir::new(root).follow_links(follow_links).sort_by(by_key(follow_links));
    let is_open = move |entry: &DirEntry| {
        entry.depth() == 0
            || !entry.file_type().is_dir()
            || !filter.excludes_folder(&inside_of(root, entry.path()).to_string_lossy())
    };
    // A root that is a file is opened by the path that the user gave.
    let folder = if follow_links { None } else { Folder::open(root).ok() };
    entries.into_iter().filter_entry(is_open).filter_map(move |entry| {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => return Some(Found::Unfit(unreadable(root, &error))),
        };
        // A root that is a link is followed: the user named it.
        if entry.depth() == 0 && entry.path().is_dir() {
            return None;
        }
        let kind = entry.file_type();
        let state = entry.metadata().ok().as_ref().map(FileState::from);
        let path = entry.into_path();
        Some(match () {
            () if kind.is_dir() => return None,
            () if kind.is_symlink() => {
                let may_hide = fs::metadata(&path).is_ok_and(|target| target.is_dir());
                Found::Link(Unfit::new(root, path, may_hide, "a symbolic link".into()))
            }
            () if !kind.is_file() => {
                Found::Unfit(Unfit::new(root, path, false, "not a file or folder".into()))
            }
            () if path.file_name().is_some_and(is_incomplete_name) && path != root => {
                Found::Incomplete(Unfit::new(root, path, false, "an incomplete download".into()))
            }
            () => file(root, path, state, folder.as_ref()),
        })
    })
}

/// Returns the order of a folder's entries in which their keys are ordered: a folder is where its name
/// with a slash belongs.
fn by_key(follow_links: bool) -> impl FnMut(&DirEntry, &DirEntry) -> Ordering + Send + Sync {
    // Links to folders, found once: an order that changes while a folder is sorted is none.
    let mut links: HashMap<PathBuf, bool> = HashMap::new();
    let mut is_folder = move |entry: &DirEntry| match entry.file_type() {
        kind if kind.is_symlink() && follow_links => {
            if let Some(is_folder) = links.get(entry.path()) {
                return *is_folder;
            }
            let is_folder = entry.path().is_dir();
            links.insert(entry.path().to_owned(), is_folder);
            is_folder
        }
        kind => kind.is_dir(),
    };
    move |one, other| {
        let slash = |is_folder| if is_folder { &b"/"[..] } else { &b""[..] };
        let (of_one, of_other) = (slash(is_folder(one)), slash(is_folder(other)));
        let bytes = [one, other].map(|entry| entry.file_name().as_encoded_bytes());
        bytes[0].iter().chain(of_one).cmp(bytes[1].iter().chain(of_other))
    }
}

fn unreadable(root: &Path, error: &walkdir::Error) -> Unfit {
    let path = error.path().unwrap_or(root).to_owned();
    let reason = match (error.loop_ancestor(), error.io_error()) {
        (Some(ancestor), _) => format!("symbolic link loop to {}", ancestor.display()),
        (None, Some(error)) => error.to_string(),
        (None, None) => error.to_string(),
    };
    Unfit::new(root, path, true, reason)
}

fn file(root: &Path, path: PathBuf, state: Option<FileState>, folder: Option<&Folder>) -> Found {
    let inside = folder.and_then(|folder| {
        RelativePath::below(root, &path).map(|relative| (folder.clone(), relative))
    });
    match inside_of(root, &path).to_str().map(str::to_owned) {
        Some(relative) => Found::File(LocalFile { relative, path, state, inside }),
        None => {
            let reason = "the name is not UTF-8, which object keys require".into();
            Found::Unfit(Unfit::new(root, path, false, reason))
        }
    }
}

/// Returns the path in the folder, or the name of the root itself.
fn inside_of<'a>(root: &Path, path: &'a Path) -> &'a Path {
    match path.strip_prefix(root) {
        Ok(inside) if !inside.as_os_str().is_empty() => inside,
        _ => Path::new(path.file_name().unwrap_or_default()),
    }
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
    use std::os::unix::fs::symlink;

    use sealwax_files::Refusal;

    use super::*;

    #[test]
    fn files_have_paths_relative_to_their_folder() {
        let (folder, outside) = (tempfile::tempdir(), tempfile::tempdir());
        let (folder, outside) = (folder.expect("a folder"), outside.expect("a folder"));
        fs::create_dir(folder.path().join("sub")).expect("made");
        for name in ["b", "a", "sub/c"] {
            fs::write(folder.path().join(name), name).expect("written");
        }
        symlink(folder.path(), folder.path().join("loop")).expect("linked");
        symlink("nowhere", folder.path().join("dangling")).expect("linked");
        fs::write(outside.path().join("secret"), "secret").expect("written");
        symlink(outside.path(), folder.path().join("out")).expect("linked");
        symlink("a", folder.path().join("second-a")).expect("linked");
        // The folder itself may be named by a link.
        let root = outside.path().join("root");
        symlink(folder.path(), &root).expect("linked");

        let found = |follow_links| {
            let (mut files, mut links, mut failed) = (Vec::new(), Vec::new(), Vec::new());
            for found in walk(&root, follow_links, &FilterArgs::default()) {
                match found {
                    Found::File(file) => {
                        assert!(file.open().is_ok_and(|file| file.metadata().is_ok()));
                        files.push(file.relative);
                    }
                    Found::Link(unfit) => links.push(unfit.relative),
                    Found::Incomplete(unfit) => panic!("{unfit:?}"),
                    Found::Unfit(unfit) => failed.push(unfit.relative),
                }
            }
            (files, links, failed)
        };
        let (files, links, failed) = found(true);
        assert_eq!(files, ["a", "b", "out/secret", "second-a", "sub/c"]);
        assert_eq!(
            (links, failed),
            (vec![], vec!["dangling".into(), "loop".into(), "out/root".into()])
        );
        let (files, links, failed) = found(false);
        assert_eq!((files, failed), (vec!["a".into(), "b".into(), "sub/c".into()], vec![]));
        assert_eq!(links, ["dangling", "loop", "out", "second-a"]);

        for follow_links in [true, false] {
            let root = folder.path().join("sub/c");
            let filter = FilterArgs::default();
            let one = walk(&root, follow_links, &filter).map(|found| match found {
                Found::File(file) => file.open().map(|_| file.relative).expect("opened"),
                other => panic!("{other:?}"),
            });
            assert_eq!(one.collect::<Vec<_>>(), ["c"]);
        }
    }

    #[test]
    fn files_come_in_the_order_of_keys() {
        let folder = tempfile::tempdir().expect("a folder");
        for sub in ["a", "a-", "b"] {
            fs::create_dir(folder.path().join(sub)).expect("made");
        }
        for name in ["a/1", "a-/1", "a.txt", "a0", "b/1"] {
            fs::write(folder.path().join(name), name).expect("written");
        }
        symlink("b", folder.path().join("a+")).expect("linked");
        let all = FilterArgs::default();
        let found = walk(folder.path(), true, &all).map(|found| match found {
            Found::File(file) => file.relative,
            other => panic!("{other:?}"),
        });
        let found: Vec<_> = found.collect();
        assert_eq!(found, ["a+/1", "a-/1", "a.txt", "a/1", "a0", "b/1"]);
        assert!(found.is_sorted());
    }

    #[test]
    fn a_file_that_becomes_a_link_after_the_walk_is_not_followed() {
        let (folder, outside) = (tempfile::tempdir(), tempfile::tempdir());
        let (folder, outside) = (folder.expect("a folder"), outside.expect("a folder"));
        for folder in [folder.path().join("sub"), outside.path().join("sub")] {
            fs::create_dir(&folder).expect("made");
            fs::write(folder.join("file"), "text").expect("written");
        }
        let found: Vec<_> = walk(folder.path(), false, &FilterArgs::default()).collect();
        let [Found::File(file)] = &found[..] else { panic!("{found:?}") };
        file.open().expect("opened");
        let (sub, moved) = (folder.path().join("sub"), folder.path().join("moved"));
        fs::rename(&sub, &moved).expect("moved");
        symlink(outside.path().join("sub"), &sub).expect("linked");
        let error = file.open().expect_err("its folder is a link");
        assert_eq!(Refusal::of(&error), Some(&Refusal::LinkInside(sub.clone())));
        fs::remove_file(&sub).expect("removed");
        fs::rename(&moved, &sub).expect("moved back");
        fs::remove_file(sub.join("file")).expect("removed");
        symlink(outside.path().join("sub/file"), sub.join("file")).expect("linked");
        let error = file.open().expect_err("it is a link");
        assert_eq!(Refusal::of(&error), Some(&Refusal::LinkInside(sub.join("file"))));
    }
}
