//! State files and journals: private files that grow by lines.

use std::{
    fs::{self, File, Metadata, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use rustix::fs::OFlags;

use crate::refusal::{FileKind, Refusal};

/// Opens an existing regular file, or a link to one, to read it and to append to it.
///
/// # Errors
/// An error with a [`Refusal`] if it is anything else, or a link to nothing.
pub fn open_to_append(path: impl AsRef<Path>) -> io::Result<Option<File>> {
    let path = path.as_ref();
    match fs::metadata(path) {
        Ok(metadata) => refuse_special(&metadata)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return match fs::symlink_metadata(path) {
                Ok(_) => Err(Refusal::DanglingLink.into()),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(error),
            };
        }
        Err(error) => return Err(error),
    }
    // Without waiting for the other end of a pipe that took the file's place.
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits();
    let file = OpenOptions::new().read(true).append(true).custom_flags(flags as i32).open(path)?;
    refuse_special(&file.metadata()?)?;
    Ok(Some(file))
}

/// Opens a file as [`open_to_append`] does, or creates it with mode 0600.
///
/// # Errors
/// As [`open_to_append`]; and if the file cannot be created.
pub fn create_or_append(path: impl AsRef<Path>) -> io::Result<File> {
    let path = path.as_ref();
    loop {
        if let Some(file) = open_to_append(path)? {
            return Ok(file);
        }
        // Follows no link.
        let options =
            OpenOptions::new().read(true).append(true).create_new(true).mode(0o600).open(path);
        match options {
            // Another process created it in the meantime.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            created => return created,
        }
    }
}

fn refuse_special(metadata: &Metadata) -> io::Result<()> {
    FileKind::of_metadata(metadata).map_or(Ok(()), |kind| Err(Refusal::NotRegular(kind).into()))
}
