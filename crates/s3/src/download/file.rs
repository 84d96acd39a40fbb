//! Writes the plaintext to a file that appears whole or not at all.

use std::{
    fs::File,
    io::{self, Write as _},
    ops::Range,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use sealwax_files::NewFile;
use tokio_util::task::AbortOnDropHandle;

use super::{
    fetch::{FirstResponse, first_then_none},
    parts::Download,
};
use crate::{
    blocking::blocking,
    error::{Error, ErrorKind, ObjectRef},
};

/// Number of parts that are fetched, opened and written at a time.
const CONCURRENCY: usize = 8;

/// Writes the requested plaintext to `new`, each part at its offset.
pub(crate) async fn write(
    download: Download,
    first: Option<FirstResponse>,
    new: NewFile,
) -> Result<(), Error> {
    let new = PlaintextFile { new, target: download.target().clone() };
    let (file, path) = (new.file()?, new.path());

    stream::iter(download.parts().zip(first_then_none(first)))
        .map(|(part, first)| {
            let (download, file, path) = (download.clone(), Arc::clone(&file), path.clone());
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

    new.complete().await
}

/// A file for an object's plaintext, which gets its name when it is complete.
pub(crate) struct PlaintextFile {
    pub(crate) new: NewFile,
    pub(crate) target: ObjectRef,
}

impl PlaintextFile {
    /// Creates a file that will replace the one at `path`, for the object `target`.
    pub(crate) async fn create(path: &Path, target: &ObjectRef) -> Result<NewFile, Error> {
        let owned = path.to_owned();
        blocking(move || NewFile::create(owned))
            .await
            .map_err(|error| unwritten(target, path, error))
    }

    pub(crate) async fn append(&mut self, bytes: Vec<u8>) -> Result<(), Error> {
        let (file, path) = (self.file()?, self.path());
        blocking(move || (&*file).write_all(&bytes))
            .await
            .map_err(|error| unwritten(&self.target, &path, error))
    }

    /// Gives the file its name, after its content is on disk.
    pub(crate) async fn complete(self) -> Result<(), Error> {
        let path = self.path();
        let Self { new, target } = self;
        blocking(move || new.complete().map(drop))
            .await
            .map_err(|error| unwritten(&target, &path, error))
    }

    fn path(&self) -> PathBuf {
        self.new.path().to_owned()
    }

    fn file(&self) -> Result<Arc<File>, Error> {
        let file = self.new.file().try_clone();
        file.map(Arc::new).map_err(|error| unwritten(&self.target, self.new.path(), error))
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

/// Returns the failure of a file that cannot be written. One that only exists meanwhile, and must not
/// be replaced, is a conflict.
fn unwritten(target: &ObjectRef, path: &Path, error: io::Error) -> Error {
    if error.kind() == io::ErrorKind::AlreadyExists {
        return target.error(ErrorKind::Conflict, format!("{} already exists", path.display()));
    }
    target.io(format!("{} could not be written", path.display()), error)
}
