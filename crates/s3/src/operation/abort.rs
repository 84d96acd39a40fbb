//! Aborts incomplete uploads that their state files describe.

use std::{io, path::Path};

use crate::{
    error::{Error, ErrorKind, ObjectRef},
    store::Store,
    upload::{
        recorded_upload,
        state_file::{StateFile, state_file_failed},
    },
    uri::S3Uri,
};

/// Aborts the upload to `uri` that the state file at `path` describes, and deletes the file. Returns
/// `false` if one of them did not exist any more.
pub(crate) async fn abort_unfinished(
    store: &Store,
    uri: &S3Uri,
    path: &Path,
) -> Result<bool, Error> {
    let (bucket, key) = (uri.bucket().to_owned(), uri.key().to_owned());
    let target = ObjectRef::new("abort the upload to", store.s3(), Some(bucket), Some(key))?;
    let opened = StateFile::open(path).await.map_err(state_file_failed(&target))?;
    let Some(state_file) = opened else { return Ok(false) };
    check_target(&state_file, &target)?;
    recorded_upload(store, &target, state_file).abort().await
}

/// Returns the object that the upload goes to that the state file or record at `path` describes.
///
/// # Errors
/// [`Io`](ErrorKind::Io) if the file cannot be used, or is none of these;
/// [`Locked`](ErrorKind::Locked) if its upload is in progress.
pub async fn recorded_object(path: impl AsRef<Path>) -> Result<Option<S3Uri>, Error> {
    let path = path.as_ref();
    let failed = |kind, message: String| {
        Error::new("abort the upload of", path.display().to_string(), kind, message)
    };
    let opened = StateFile::open(path).await.map_err(|error| {
        let kind = match error.kind() {
            io::ErrorKind::ResourceBusy => ErrorKind::Locked,
            _ => ErrorKind::Io,
        };
        failed(kind, error.to_string())
    })?;
    let Some(state_file) = opened else { return Ok(None) };
    let start = state_file.start();
    let uri = S3Uri::new(&start.bucket, &start.key);
    uri.map(Some).map_err(|error| failed(ErrorKind::Io, error.to_string()))
}

/// Fails if the upload that `state_file` describes goes to another object.
pub(super) fn check_target(state_file: &StateFile, target: &ObjectRef) -> Result<(), Error> {
    let start = state_file.start();
    if (&start.bucket, &start.key) == (&target.bucket, &target.key) {
        return Ok(());
    }
    let goes = format!("goes to s3://{}/{}", start.bucket, start.key);
    let message = format!("the upload that the state file describes {goes}");
    Err(target.error(ErrorKind::StateFileMismatch, message))
}
