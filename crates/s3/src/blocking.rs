//! Work that may block, off the async threads.

use std::io;

use tokio::task;

/// Runs `work` on a blocking thread. A panic is an error.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    task::spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}
