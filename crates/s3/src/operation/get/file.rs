//! The plaintext as a file that appears whole or not at all.

use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::Path,
};

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use tempfile::NamedTempFile;
use tokio::task;

use super::PlaintextStream;
use crate::error::Error;

/// Plaintext bytes that are handed to a blocking thread at once.
const BATCH_LEN: usize = 1024 * 1024;

/// Writes all of `body` to a temporary file beside `path`, then renames it to `path`.
pub(super) async fn write(mut body: PlaintextStream, path: &Path) -> Result<(), Error> {
    let target = body.target().clone();
    let failed = |error| target.io(format!("{} could not be written", path.display()), error);
    let owned = path.to_owned();
    let mut file = blocking(move || create_beside(&owned)).await.map_err(failed)?;
    let mut batch: Vec<Bytes> = Vec::new();
    let mut batch_len = 0;
    loop {
        let piece = body.try_next().await?;
        let ended = piece.is_none();
        batch_len += piece.as_ref().map_or(0, Bytes::len);
        batch.extend(piece);
        if ended || batch_len >= BATCH_LEN {
            let pieces = std::mem::take(&mut batch);
            batch_len = 0;
            file = blocking(move || write_all(file, &pieces)).await.map_err(failed)?;
        }
        if ended {
            break;
        }
    }
    let owned = path.to_owned();
    blocking(move || {
        file.as_file().sync_all()?;
        file.persist(&owned).map_err(|error| error.error)?;
        Ok(())
    })
    .await
    .map_err(failed)
}

/// A temporary file in the directory of `path`, with the permissions that any new file would have.
fn create_beside(path: &Path) -> io::Result<NamedTempFile> {
    if path.is_dir() {
        return Err(io::Error::from(io::ErrorKind::IsADirectory));
    }
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    tempfile::Builder::new()
        .prefix(".sealwax-")
        .suffix(".part")
        .permissions(fs::Permissions::from_mode(0o666))
        .tempfile_in(directory)
}

fn write_all(mut file: NamedTempFile, pieces: &[Bytes]) -> io::Result<NamedTempFile> {
    for piece in pieces {
        file.write_all(piece)?;
    }
    Ok(file)
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    task::spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}
