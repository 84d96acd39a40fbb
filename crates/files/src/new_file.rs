//! Files that replace their target whole or not at all.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, File},
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use rustix::{
    fs::{
        AtFlags, FileType, Gid, Mode, OFlags, RawMode, Stat, Uid, fchmod, fchown, fstat, openat,
        statat,
    },
    io::Errno,
};

use crate::{
    refusal::{FileKind, Refusal},
    temporary::Temporary,
};

/// Bits of a mode that a new file gets: all but set-user-id, set-group-id and sticky.
const PERMISSIONS: RawMode = 0o777;

/// A file that gets its name when it is complete, and is removed on drop otherwise.
///
/// Until then it has mode 0600 and an unpredictable name in the folder of its target.
#[derive(Debug)]
pub struct NewFile {
    target: Target,
    temporary: Temporary,
    file: File,
    modified: Option<SystemTime>,
    kind: Kind,
}

/// Relation of a new file to one of the same name, and the mode that it gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Replaces the other one and has its mode, or the usual one.
    Replacing,
    /// Must be the first of its name, with the usual mode.
    First,
    /// Must be the first of its name, and stays private.
    Private,
}

impl NewFile {
    /// Creates a file that will replace the one at `path`, or appear there.
    ///
    /// # Errors
    /// An error with a [`Refusal`] if `path` cannot be replaced; any other if there is no such
    /// folder or it cannot be written.
    pub fn create(path: impl AsRef<Path>) -> io::Result<Self> {
        Self::of(Target::resolve(path.as_ref())?)
    }

    /// Creates a private file: `path` must not exist, and the file keeps mode 0600.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`] if anything has this name, a link included; any other if
    /// there is no such folder or it cannot be written.
    pub fn create_private(path: impl AsRef<Path>) -> io::Result<Self> {
        Self::first(Target::unresolved(path.as_ref())?, Kind::Private)
    }

    /// Creates a file that replaces none: `path` must not exist, neither now nor when the file is
    /// complete.
    ///
    /// # Errors
    /// As [`NewFile::create_private`].
    pub fn create_new(path: impl AsRef<Path>) -> io::Result<Self> {
        Self::first_of(Target::unresolved(path.as_ref())?)
    }

    /// Creates a file for this target, which must not exist.
    pub(crate) fn first_of(target: Target) -> io::Result<Self> {
        Self::first(target, Kind::First)
    }

    fn first(target: Target, kind: Kind) -> io::Result<Self> {
        match target.stat()? {
            Some(_) => Err(io::ErrorKind::AlreadyExists.into()),
            None => Self::with(target, kind),
        }
    }

    /// Checks that [`NewFile::create`] would not refuse `path`. Creates nothing; the folder need
    /// not exist.
    ///
    /// # Errors
    /// An error with a [`Refusal`].
    pub fn check(path: impl AsRef<Path>) -> io::Result<()> {
        match Target::resolve(path.as_ref()) {
            Ok(target) => target.replaceable().map(drop),
            Err(error) if Refusal::of(&error).is_some() => Err(error),
            // Other failures show when the file is created: a missing folder, most of all.
            Err(_) => Ok(()),
        }
    }

    /// Creates a file for this target, which may exist.
    pub(crate) fn of(target: Target) -> io::Result<Self> {
        if let Some(existing) = target.replaceable()? {
            // Known before the work, not after it.
            let (_probe, file) = Temporary::create(&target.folder, Mode::empty())?;
            keep_owner(&file, &existing)?;
        }
        Self::with(target, Kind::Replacing)
    }

    fn with(target: Target, kind: Kind) -> io::Result<Self> {
        let (temporary, file) = Temporary::create(&target.folder, Mode::RUSR | Mode::WUSR)?;
        Ok(Self { target, temporary, file, modified: None, kind })
    }

    /// Returns the file to write to.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Returns the path that was given for the target.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.target.path
    }

    /// Sets the modification time that the complete file gets.
    #[must_use]
    pub fn modified(self, modified: Option<SystemTime>) -> Self {
        Self { modified, ..self }
    }

    /// Gives the file its mode and its name, after its content is on disk. A private file stays locked
    /// until the returned one is closed.
    ///
    /// # Errors
    /// An error with a [`Refusal`] if the target cannot be replaced any more; any other if the
    /// file cannot be written or renamed. The target is then what it was before.
    pub fn complete(self) -> io::Result<File> {
        let Self { target, temporary, file, modified, kind } = self;
        if let Some(modified) = modified {
            file.set_modified(modified)?;
        }
        // Its kind may have changed since the file was created.
        let existing = match kind {
            Kind::Replacing => target.replaceable()?,
            Kind::First | Kind::Private => None,
        };
        let mode = match &existing {
            Some(existing) => {
                keep_owner(&file, existing)?;
                keep_access_list(&target, &file)?;
                Some(existing.st_mode & PERMISSIONS)
            }
            None if kind == Kind::Private => None,
            None => Some(target.mode_of_new_files()?),
        };
        if let Some(mode) = mode {
            fchmod(&file, Mode::from_raw_mode(mode))?;
        }
        file.sync_all()?;
        if kind == Kind::Replacing {
            temporary.rename(&target.name)?;
        } else {
            temporary.rename_to_free(&target.name)?;
            target.sync_folder()?;
        }
        // It is no longer incomplete. A private file stays locked for its writer, who may have locked
        // it before it has its name. Without locks there is nothing to end.
        if kind != Kind::Private {
            let _ = file.unlock();
        }
        Ok(file)
    }
}

/// A name in an open folder, for a file that may exist.
#[derive(Debug)]
pub(crate) struct Target {
    folder: Arc<OwnedFd>,
    name: OsString,
    /// The path that was given.
    path: PathBuf,
    /// `true` if the name is in a [`Folder`](crate::Folder), where no link is followed.
    inside_folder: bool,
}

impl Target {
    /// Follows a link to a regular file, and opens the folder.
    fn resolve(path: &Path) -> io::Result<Self> {
        let is_link = fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink());
        if !is_link {
            return Self::unresolved(path);
        }
        let dangling = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => Refusal::DanglingLink.into(),
            _ => error,
        };
        // Before its path: the links in /proc lead to files without one.
        if let Some(kind) = FileKind::of_metadata(&fs::metadata(path).map_err(dangling)?) {
            return Err(Refusal::LinkTo(kind).into());
        }
        let real = fs::canonicalize(path).map_err(dangling)?;
        Ok(Self { path: path.to_owned(), ..Self::unresolved(&real)? })
    }

    /// Opens the folder. The path to it may contain links.
    fn unresolved(path: &Path) -> io::Result<Self> {
        let name = match path.file_name() {
            Some(name) if !is_of_folder(path) => name.to_owned(),
            _ => return Err(Refusal::NotRegular(FileKind::Folder).into()),
        };
        let folder = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let folder = openat(rustix::fs::CWD, folder, FOLDER, Mode::empty())?;
        let (folder, path) = (Arc::new(folder), path.to_owned());
        Ok(Self { folder, name, path, inside_folder: false })
    }

    /// Returns the target with this name in an open folder, in which no link is followed.
    pub(crate) fn inside(folder: Arc<OwnedFd>, name: &OsStr, path: PathBuf) -> Self {
        Self { folder, name: name.to_owned(), path, inside_folder: true }
    }

    /// Describes what has the name now, without following a link.
    fn stat(&self) -> io::Result<Option<Stat>> {
        match statat(&self.folder, &self.name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Describes the regular file that has the name now; `None` if there is nothing.
    fn replaceable(&self) -> io::Result<Option<Stat>> {
        let Some(stat) = self.stat()? else { return Ok(None) };
        match FileKind::of(FileType::from_raw_mode(stat.st_mode)) {
            None => Ok(Some(stat)),
            Some(FileKind::Link) if self.inside_folder => {
                Err(Refusal::LinkInside(self.path.clone()).into())
            }
            Some(kind) => Err(Refusal::NotRegular(kind).into()),
        }
    }

    /// Returns the mode that the umask, or the folder's default access control list, gives to a
    /// new file. Only a file can tell: the umask belongs to the process, and reading it changes it.
    fn mode_of_new_files(&self) -> io::Result<RawMode> {
        let (_probe, file) = Temporary::create(&self.folder, Mode::from_raw_mode(0o666))?;
        Ok(fstat(&file)?.st_mode & PERMISSIONS)
    }

    fn sync_folder(&self) -> io::Result<()> {
        // A descriptor for paths alone cannot be synced.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        File::from(openat(&self.folder, c".", flags, Mode::empty())?).sync_all()
    }
}

/// `true` if the path ends with a slash or a dot, so that only a folder can have it.
fn is_of_folder(path: &Path) -> bool {
    let text = path.as_os_str().as_encoded_bytes();
    text.ends_with(b"/") || text.ends_with(b"/.")
}

/// Flags to open a folder whose entries are then named relative to it.
pub(crate) const FOLDER: OFlags = if cfg!(any(target_os = "linux", target_os = "android")) {
    // Needs no permission to list the folder.
    PATH_ONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC)
} else {
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC)
};

#[cfg(any(target_os = "linux", target_os = "android"))]
const PATH_ONLY: OFlags = OFlags::PATH;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const PATH_ONLY: OFlags = OFlags::empty();

/// Gives the file the owner and the group of the existing one.
fn keep_owner(file: &File, existing: &Stat) -> io::Result<()> {
    let own = fstat(file)?;
    if (own.st_uid, own.st_gid) == (existing.st_uid, existing.st_gid) {
        return Ok(());
    }
    let differs = |own: u32, existing: u32| (own != existing).then_some(existing);
    let uid = differs(own.st_uid, existing.st_uid).map(Uid::from_raw);
    let gid = differs(own.st_gid, existing.st_gid).map(Gid::from_raw);
    fchown(file, uid, gid).map_err(|error| match error {
        Errno::PERM | Errno::ACCESS | Errno::INVAL => {
            Refusal::Owner { uid: existing.st_uid, gid: existing.st_gid }.into()
        }
        error => error.into(),
    })
}

/// Gives the file the access control list of the existing one, or none if that has none. With a
/// list, the group bits of a mode are the list's mask; without one, they are the group's.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn keep_access_list(target: &Target, file: &File) -> io::Result<()> {
    use std::os::fd::AsRawFd as _;

    use rustix::fs::{XattrFlags, fremovexattr, fsetxattr, lgetxattr};

    const NAME: &str = "system.posix_acl_access";
    // Linux limits a value to 64 KiB.
    let mut list = vec![0; 64 << 10];
    let existing = Path::new("/proc/self/fd").join(target.folder.as_raw_fd().to_string());
    match lgetxattr(existing.join(&target.name), NAME, &mut list) {
        Ok(len) => Ok(fsetxattr(file, NAME, &list[..len], XattrFlags::empty())?),
        // The folder's default list, if there is one, is not the existing file's.
        Err(Errno::NODATA) => match fremovexattr(file, NAME) {
            Ok(()) | Err(Errno::NODATA) => Ok(()),
            Err(error) => Err(error.into()),
        },
        // The file system has no lists, or /proc is not there.
        Err(Errno::OPNOTSUPP | Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn keep_access_list(_: &Target, _: &File) -> io::Result<()> {
    Ok(())
}
