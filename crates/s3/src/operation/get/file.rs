//! The plaintext as a file that appears whole or not at all.

use std::{
    fs::{File, Permissions},
    io,
    ops::Range,
    os::unix::fs::{FileExt as _, PermissionsExt as _},
    path::Path,
    sync::Arc,
};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tempfile::NamedTempFile;
use tokio::task;
use tokio_util::task::AbortOnDropHandle;

use super::download::{Download, FirstBody};
use crate::error::{Error, Target};

/// Parts that are fetched, opened and written at once.
const CONCURRENCY: usize = 8;

/// Writes all that is wanted to a temporary file beside `path`, each part at its place, then renames it to `path`.
pub(super) async fn write(download: Download, first: Option<FirstBody>, path: &Path) -> Result<(), Error> {
    let target = download.target.clone();
    let failed = |error| unwritten(&target, path, error);
    let owned = path.to_owned();
    let temporary = blocking(move || create_beside(&owned)).await.map_err(failed)?;
    let file = Arc::new(temporary.as_file().try_clone().map_err(failed)?);

    let firsts = std::iter::once(first).chain(std::iter::repeat_with(|| None));
    stream::iter(download.parts().into_iter().zip(firsts))
        .map(|(part, first)| {
            let (download, file, path) = (download.clone(), Arc::clone(&file), path.to_owned());
            let target = download.target.clone();
            let task = tokio::spawn(async move { write_part(&download, part, first, file, &path).await });
            let task = AbortOnDropHandle::new(task);
            async move { task.await.unwrap_or_else(|error| Err(target.io("a part's task failed", error.into()))) }
        })
        .buffer_unordered(CONCURRENCY)
        .try_collect::<()>()
        .await?;

    let owned = path.to_owned();
    blocking(move || {
        temporary.as_file().sync_all()?;
        temporary.persist(&owned).map_err(|error| error.error)?;
        Ok(())
    })
    .await
    .map_err(failed)
}

async fn write_part(
    download: &Download,
    part: Range<u64>,
    first: Option<FirstBody>,
    file: Arc<File>,
    path: &Path,
) -> Result<(), Error> {
    let offset = part.start - download.window.start;
    let plaintext = download.part(part, first).await?;
    let written = blocking(move || file.write_all_at(&plaintext, offset)).await;
    written.map_err(|error| unwritten(&download.target, path, error))
}

fn unwritten(target: &Target, path: &Path, error: io::Error) -> Error {
    target.io(format!("{} could not be written", path.display()), error)
}

/// A temporary file in the directory of `path`, with the permissions that any new file would have.
fn create_beside(path: &Path) -> io::Result<NamedTempFile> {
    match path.metadata() {
        Ok(there) if there.is_dir() => return Err(io::Error::from(io::ErrorKind::IsADirectory)),
        // A device, a pipe or a socket, which a file in its place would destroy.
        Ok(there) if !there.is_file() => return Err(io::Error::other("it exists and is no regular file")),
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

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    task::spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}
