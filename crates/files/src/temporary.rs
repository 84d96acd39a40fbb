//! Temporary names in a folder, and their end.
//!
//! A process holds a lock on each of its files. A file without one was left behind by a process that
//! was killed.

use std::{
    ffi::OsStr,
    fs::File,
    io,
    os::{fd::OwnedFd, unix::ffi::OsStrExt as _},
    path::Path,
    sync::Arc,
};

use rustix::{
    fs::{AtFlags, Dir, FileType, Mode, OFlags, fstat, linkat, openat, renameat, statat, unlinkat},
    io::Errno,
    process::geteuid,
};

const BEFORE: &str = ".sealwax-";
const AFTER: &str = ".part";
/// Number of hexadecimal digits between them.
const DIGITS: usize = 32;

/// Most attempts to find a free name. The names are random: a second attempt is already unlikely.
const MAX_ATTEMPTS: usize = 8;

/// A file's temporary name. It is removed on drop, unless the file was renamed.
#[derive(Debug)]
pub(crate) struct Temporary {
    folder: Arc<OwnedFd>,
    /// `None` once the file has its final name.
    name: Option<String>,
}

impl Temporary {
    /// Creates an empty file with this mode, less the umask, under a random name.
    pub(crate) fn create(folder: &Arc<OwnedFd>, mode: Mode) -> io::Result<(Self, File)> {
        let flags =
            OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut attempts = 1;
        loop {
            let name = random_name()?;
            match openat(folder, &name, flags, mode) {
                Ok(file) => {
                    let file = File::from(file);
                    let this = Self { folder: Arc::clone(folder), name: Some(name) };
                    // Some file systems have no locks. There, nothing is taken for left behind.
                    let _ = file.lock();
                    if fstat(&file)?.st_nlink > 0 || attempts == MAX_ATTEMPTS {
                        return Ok((this, file));
                    }
                    // Another process took it for left behind before it was locked.
                    attempts += 1;
                }
                Err(Errno::EXIST) if attempts < MAX_ATTEMPTS => attempts += 1,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Gives the file its final name, and replaces what has it.
    pub(crate) fn rename(mut self, to: &OsStr) -> io::Result<()> {
        if let Some(name) = &self.name {
            renameat(&self.folder, name, &self.folder, to)?;
            self.name = None;
        }
        Ok(())
    }

    /// Gives the file its final name, which must be free.
    pub(crate) fn rename_to_free(mut self, to: &OsStr) -> io::Result<()> {
        let Some(name) = &self.name else { return Ok(()) };
        match rename_to_free(&self.folder, name.as_ref(), to) {
            // The file system cannot do it in one step. Only one name is left in the end.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                linkat(&self.folder, name, &self.folder, to, AtFlags::empty())?;
            }
            renamed => {
                renamed?;
                self.name = None;
            }
        }
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Some(name) = &self.name {
            // Nothing can be done about a failure; the name says whose file it is.
            let _ = unlinkat(&self.folder, name, AtFlags::empty());
        }
    }
}

#[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
fn rename_to_free(folder: &OwnedFd, from: &OsStr, to: &OsStr) -> rustix::io::Result<()> {
    use rustix::fs::{RenameFlags, renameat_with};

    renameat_with(folder, from.as_bytes(), folder, to.as_bytes(), RenameFlags::NOREPLACE)
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
fn rename_to_free(_: &OwnedFd, _: &OsStr, _: &OsStr) -> rustix::io::Result<()> {
    Err(Errno::NOSYS)
}

/// Returns a name with 128 random bits.
fn random_name() -> io::Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(format!("{BEFORE}{:0DIGITS$x}{AFTER}", u128::from_be_bytes(bytes)))
}

/// `true` for a name that incomplete files have: `.sealwax-`, 32 hexadecimal digits, `.part`.
#[must_use]
pub fn is_incomplete_name(name: &OsStr) -> bool {
    let digits = name.to_str().and_then(|name| name.strip_prefix(BEFORE)?.strip_suffix(AFTER));
    digits.is_some_and(|digits| {
        digits.len() == DIGITS
            && digits.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
    })
}

/// Removes the incomplete files that processes of this user left in a folder when they were killed.
/// Returns their number.
///
/// Files that a process still writes are locked, and stay. So does everything on a file system
/// without locks.
///
/// # Errors
/// The folder cannot be listed.
pub fn remove_leftovers(folder: impl AsRef<Path>) -> io::Result<u64> {
    let path = match folder.as_ref() {
        path if path.as_os_str().is_empty() => Path::new("."),
        path => path,
    };
    remove_leftovers_in(rustix::fs::CWD, path)
}

pub(crate) fn remove_leftovers_in(parent: impl std::os::fd::AsFd, path: &Path) -> io::Result<u64> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = openat(parent, path, flags, Mode::empty())?;
    let mut removed = 0;
    for entry in Dir::read_from(&folder)? {
        let entry = entry?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if is_incomplete_name(name) && remove_if_left(&folder, name).unwrap_or_default() {
            removed += 1;
        }
    }
    Ok(removed)
}

/// Removes a file that no process has locked.
fn remove_if_left(folder: &OwnedFd, name: &OsStr) -> io::Result<bool> {
    // Without waiting for the other end of a pipe.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(openat(folder, name, flags, Mode::empty())?);
    let stat = fstat(&file)?;
    let is_ours = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
        && stat.st_uid == geteuid().as_raw();
    if !is_ours || file.try_lock().is_err() {
        return Ok(false);
    }
    // The name may be another file's by now.
    let named = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
    if (named.st_dev, named.st_ino) != (stat.st_dev, stat.st_ino) {
        return Ok(false);
    }
    unlinkat(folder, name, AtFlags::empty())?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use rustix::fs::Mode;

    use super::*;
    use crate::new_file::FOLDER;

    #[test]
    fn only_names_of_incomplete_files_are_recognized() {
        let digits = "0123456789abcdef0123456789abcdef";
        assert!(is_incomplete_name(OsStr::new(&format!(".sealwax-{digits}.part"))));
        for name in [
            ".sealwax-.part".to_owned(),
            format!(".sealwax-{}.part", &digits[1..]),
            format!(".sealwax-{digits}0.part"),
            format!(".sealwax-{}.part", digits.to_uppercase()),
            format!("sealwax-{digits}.part"),
            format!(".sealwax-{digits}.parts"),
        ] {
            assert!(!is_incomplete_name(OsStr::new(&name)), "{name}");
        }
    }

    #[test]
    fn files_of_dead_processes_are_removed_and_no_others() {
        let scratch = tempfile::tempdir().expect("a folder");
        let folder = openat(rustix::fs::CWD, scratch.path(), FOLDER, Mode::empty()).expect("open");
        let folder = Arc::new(folder);
        let (alive, _file) = Temporary::create(&folder, Mode::RUSR).expect("created");
        let alive = alive.name.clone().expect("a name");
        let name = |digit: char| format!(".sealwax-{}.part", String::from(digit).repeat(32));
        fs::write(scratch.path().join(name('d')), "of a process that was killed").expect("written");
        fs::write(scratch.path().join("a.part"), "of the user").expect("written");
        fs::create_dir(scratch.path().join(name('e'))).expect("made");
        symlink("a.part", scratch.path().join(name('f'))).expect("linked");
        assert_eq!(remove_leftovers(scratch.path()).expect("listed"), 1);
        let mut left: Vec<_> = fs::read_dir(scratch.path())
            .expect("listed")
            .map(|entry| entry.expect("an entry").file_name().into_string().expect("text"))
            .collect();
        left.sort();
        let mut expected = vec![alive, "a.part".to_owned(), name('e'), name('f')];
        expected.sort();
        assert_eq!(left, expected);
        let error = remove_leftovers(scratch.path().join("none")).expect_err("no folder");
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
