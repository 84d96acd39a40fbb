//! Writes the plaintext to a file that appears whole or not at all.

use std::{
    fs::File,
    io::{self, Write as _},
    ops::Range,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use sealwax_files::NewFile;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::{
    fetch::{FirstResponse, first_then_none},
    parts::{Download, PIECE_LEN},
};
use crate::{
    blocking::blocking,
    error::{Error, ErrorKind, ObjectRef},
};

/// Number of parts that are fetched, opened and written at a time.
const CONCURRENCY: usize = 8;

/// Number of pieces that wait to be written: three of each part, so that no connection stops while the
/// thread writes the pieces of others.
const QUEUED: usize = 24;

/// Writes the requested plaintext to `new`, each part at its offset.
///
/// One thread writes: several would wait for each other, since the system lets one at a time write
/// to a file.
pub(crate) async fn write(
    download: Download,
    first: Option<FirstResponse>,
    new: NewFile,
) -> Result<(), Error> {
    let new = PlaintextFile { new, target: download.target().clone() };
    let (window, mut first) = (&download.window, first);
    if window.end - window.start <= PIECE_LEN as u64
        && let Some(plaintext) = download.only_part(&mut first).await?
    {
        return new.complete_with(plaintext).await;
    }
    let (file, path) = (new.file()?, new.path());
    let (pieces, mut arrived) = mpsc::channel::<(Bytes, u64)>(QUEUED);
    let writer = blocking(move || {
        while let Some((piece, offset)) = arrived.blocking_recv() {
            file.write_all_at(&piece, offset)?;
        }
        Ok(())
    });

    let read = stream::iter(download.parts().zip(first_then_none(first)))
        .map(|(part, first)| {
            let (download, pieces) = (download.clone(), pieces.clone());
            let target = download.target().clone();
            let task =
                tokio::spawn(async move { read_part(&download, part, first, &pieces).await });
            let task = AbortOnDropHandle::new(task);
            async move {
                task.await
                    .unwrap_or_else(|error| Err(target.io("a part's task failed", error.into())))
            }
        })
        .buffer_unordered(CONCURRENCY)
        .try_collect::<()>()
        .await;
    drop(pieces);
    let written = writer.await.map_err(|error| unwritten(&new.target, &path, error));
    // A part that ends because the writer failed is no failure of its own.
    read.and(written)?;

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
    async fn complete(self) -> Result<(), Error> {
        self.complete_with(Bytes::new()).await
    }

    /// Appends `rest`, and gives the file its name after its content is on disk.
    pub(crate) async fn complete_with(self, rest: Bytes) -> Result<(), Error> {
        let path = self.path();
        let Self { new, target } = self;
        let completed = blocking(move || {
            new.file().write_all(&rest)?;
            new.complete().map(drop)
        });
        completed.await.map_err(|error| unwritten(&target, &path, error))
    }

    fn path(&self) -> PathBuf {
        self.new.path().to_owned()
    }

    fn file(&self) -> Result<Arc<File>, Error> {
        let file = self.new.file().try_clone();
        file.map(Arc::new).map_err(|error| unwritten(&self.target, self.new.path(), error))
    }
}

/// Reads a part, and hands its pieces over with their offsets in the file, until the writer takes no more.
async fn read_part(
    download: &Download,
    part: Range<u64>,
    first: Option<FirstResponse>,
    writer: &mpsc::Sender<(Bytes, u64)>,
) -> Result<(), Error> {
    let mut offset = part.start - download.window.start;
    let mut pieces = download.part(part, first, PIECE_LEN)?;
    while let Some(piece) = pieces.next_piece().await? {
        let len = piece.len() as u64;
        if writer.send((piece, offset)).await.is_err() {
            break;
        }
        offset += len;
    }
    Ok(())
}

/// Returns the failure of a file that cannot be written. One that only exists meanwhile, and must not
/// be replaced, is a conflict.
fn unwritten(target: &ObjectRef, path: &Path, error: io::Error) -> Error {
    if error.kind() == io::ErrorKind::AlreadyExists {
        return target.error(ErrorKind::Conflict, format!("{} already exists", path.display()));
    }
    target.io(format!("{} could not be written", path.display()), error)
}
