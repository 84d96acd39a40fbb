//! Temporary names in a folder, and their end.

use std::{
    ffi::OsStr,
    fs::File,
    io,
    os::{fd::OwnedFd, unix::ffi::OsStrExt as _},
    sync::Arc,
};

use rustix::{
    fs::{AtFlags, Mode, OFlags, linkat, openat, renameat, unlinkat},
    io::Errno,
};

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
                    return Ok((
                        Self { folder: Arc::clone(folder), name: Some(name) },
                        file.into(),
                    ));
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
    Ok(format!(".sealwax-{:032x}.part", u128::from_be_bytes(bytes)))
}
