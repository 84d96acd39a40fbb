//! Multipart uploads that an operation leaves behind, and the warnings about them.

use std::{
    io,
    sync::{Mutex, PoisonError},
};

use sealwax_s3::{S3Uri, aws_sdk_s3::Client};
use sealwax_tests::unfinished_uploads;
use tracing_subscriber::filter::LevelFilter;

use crate::ledger::Ledger;

/// Counts of multipart uploads that were left behind.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Orphans {
    /// Every attempt to abort them was prevented.
    pub(crate) unaborted: usize,
    /// The answer that names them was lost.
    pub(crate) unknown: usize,
}

/// Asserts that the only multipart uploads left at `uri` are those that the client couldn't know
/// about or couldn't abort. Aborts and counts them.
pub(crate) async fn assert_no_orphans(clean: &Client, uri: &S3Uri, ledgers: &[&Ledger]) -> Orphans {
    let left = unfinished_uploads(clean, uri).await;
    let unknown: usize = ledgers.iter().map(|ledger| ledger.unknown_uploads()).sum();
    let unaborted = ledgers.iter().filter(|ledger| ledger.aborts_were_prevented()).count();
    assert!(
        left <= unknown + unaborted,
        "{left} incomplete uploads are left: {unknown} unknown, {unaborted} not aborted"
    );
    let listed = clean
        .list_multipart_uploads()
        .bucket(uri.bucket())
        .prefix(uri.key())
        .send()
        .await
        .expect("a list");
    for upload in listed.uploads().iter().filter(|upload| upload.key() == Some(uri.key())) {
        let abort = clean.abort_multipart_upload().bucket(uri.bucket()).key(uri.key());
        abort.set_upload_id(upload.upload_id.clone()).send().await.expect("abort what was left");
    }
    let unaborted = left.min(unaborted);
    assert!(unaborted == 0 || was_warned_about(uri), "an upload was left behind without a warning");
    Orphans { unaborted, unknown: left - unaborted }
}

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

/// Captures the warnings of the whole process from now on.
pub(crate) fn capture_warnings() {
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(LevelFilter::WARN)
        .with_ansi(false)
        .with_writer(|| Log);
    // The first test of the process does it for all.
    let _ = subscriber.try_init();
}

/// `true` if there was a warning that an upload to `uri` still costs storage.
fn was_warned_about(uri: &S3Uri) -> bool {
    let log = LOG.lock().unwrap_or_else(PoisonError::into_inner);
    let log = String::from_utf8_lossy(&log);
    log.lines().any(|line| line.contains(uri.key()) && line.contains("could not be aborted"))
}
