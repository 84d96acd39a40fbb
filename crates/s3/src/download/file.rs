//! Writes the plaintext to a file that appears whole or not at all.

use std::{
    fs::{File, Permissions},
    io::{self, Write as _},
    ops::Range,
    os::unix::fs::{FileExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tempfile::NamedTempFile;
use tokio_util::task::AbortOnDropHandle;

use super::{
    fetch::{FirstResponse, first_then_none},
    parts::Download,
};
use crate::{
    blocking::blocking,
    error::{Error, ObjectRef},
};

/// Number of parts that are fetched, opened and written at a time.
const CONCURRENCY: usize = 8;

/// Writes the requested plaintext to a temporary file beside `path`, each part at its offset. Then
/// renames the file to `path`.
pub(crate) async fn write(
    download: Download,
    first: Option<FirstResponse>,
    path: &Path,
) -> Result<(), Error> {
    let new = NewFile::beside(path, download.target().clone()).await?;
    let file = Arc::new(
        new.temporary.as_file().try_clone().map_err(|error| unwritten(&new.target, path, error))?,
    );

    stream::iter(download.parts().zip(first_then_none(first)))
        .map(|(part, first)| {
            let (download, file, path) = (download.clone(), Arc::clone(&file), path.to_owned());
            let target = download.target().clone();
            let task =
                tokio::spawn(async move { write_part(&download, part, first, file, &path).await });
            let task = AbortOnDropHandle::new(task);
            async move {
                task.await
                    .unwrap_or_else(|error| Err(target.io("a part's task failed", error.into())))
            }
        })
        .buffer_unordered(CONCURRENCY)
        .try_collect::<()>()
        .await?;

    new.persist().await
}

/// A temporary file that gets its name when it is complete, and is deleted otherwise.
pub(crate) struct NewFile {
    temporary: NamedTempFile,
    path: PathBuf,
    target: ObjectRef,
}

impl NewFile {
    /// Creates a file in the directory of `path`, to hold the object `target`.
    pub(crate) async fn beside(path: &Path, target: ObjectRef) -> Result<Self, Error> {
        let owned = path.to_owned();
        let temporary = blocking(move || create_beside(&owned))
            .await
            .map_err(|error| unwritten(&target, path, error))?;
        Ok(Self { temporary, path: path.to_owned(), target })
    }

    pub(crate) async fn append(&mut self, bytes: Vec<u8>) -> Result<(), Error> {
        let file = self.temporary.as_file().try_clone();
        blocking(move || file?.write_all(&bytes))
            .await
            .map_err(|error| unwritten(&self.target, &self.path, error))
    }

    /// Gives the file its name, after its content is on disk.
    pub(crate) async fn persist(self) -> Result<(), Error> {
        let Self { temporary, path, target } = self;
        let to = path.clone();
        blocking(move || {
            temporary.as_file().sync_all()?;
            temporary.persist(&to).map_err(|error| error.error)?;
            Ok(())
        })
        .await
        .map_err(|error| unwritten(&target, &path, error))
    }
}

async fn write_part(
    download: &Download,
    part: Range<u64>,
    first: Option<FirstResponse>,
    file: Arc<File>,
    path: &Path,
) -> Result<(), Error> {
    let offset = part.start - download.window.start;
    let plaintext = download.part(part, first).await?;
    blocking(move || file.write_all_at(&plaintext, offset))
        .await
        .map_err(|error| unwritten(download.target(), path, error))
}

fn unwritten(target: &ObjectRef, path: &Path, error: io::Error) -> Error {
    target.io(format!("{} could not be written", path.display()), error)
}

/// Creates a temporary file in the directory of `path`, with the permissions that any new file
/// would have.
fn create_beside(path: &Path) -> io::Result<NamedTempFile> {
    match path.metadata() {
        Ok(existing) if existing.is_dir() => {
            return Err(io::Error::from(io::ErrorKind::IsADirectory));
        }
        // A device, a pipe or a socket: a file in its place would destroy it.
        Ok(existing) if !existing.is_file() => {
            return Err(io::Error::other("it exists and is not a regular file"));
        }
        _ => {}
    }
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    tempfile::Builder::new()
        .prefix(".sealwax-")
        .suffix(".part")
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(directory)
}
