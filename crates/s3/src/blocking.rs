//! Work that may block, off the async threads.

use std::io;

use futures_util::FutureExt as _;
use tokio::task;

/// Starts `work` on a blocking thread, and returns its result. A panic is an error.
pub(crate) fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> impl Future<Output = io::Result<T>> + Send {
    task::spawn_blocking(work).map(|done| done.unwrap_or_else(|error| Err(io::Error::other(error))))
}
