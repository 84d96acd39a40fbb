//! What the library warns of.

use std::{
    io,
    sync::{Mutex, PoisonError},
};

use sealwax_s3::S3Uri;
use tracing_subscriber::filter::LevelFilter;

static LOG: Mutex<Vec<u8>> = Mutex::new(Vec::new());

struct Log;

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LOG.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Keeps the warnings of the whole process from now on.
pub(crate) fn capture() {
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(LevelFilter::WARN)
        .with_ansi(false)
        .with_writer(|| Log);
    // Of the tests of this process, the first one does it for all.
    let _ = subscriber.try_init();
}

/// Whether there was a warning of an upload to `uri` that goes on costing storage.
pub(crate) fn tells_of(uri: &S3Uri) -> bool {
    let log = LOG.lock().unwrap_or_else(PoisonError::into_inner);
    let log = String::from_utf8_lossy(&log);
    log.lines().any(|line| line.contains(uri.key()) && line.contains("could not be aborted"))
}
