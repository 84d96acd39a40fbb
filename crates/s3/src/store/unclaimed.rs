//! Uploads that began during a call whose answer was lost.
//!
//! S3 may begin a multipart upload and its answer, with the upload's id, get lost. The SDK's retry
//! begins another one. The first stays, and costs storage. Nothing tells it from an upload of
//! another program, so it is reported and never aborted.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, SystemTime},
};

use aws_sdk_s3::{
    config::{
        ConfigBag, Intercept, RuntimeComponents, interceptors::FinalizerInterceptorContextRef,
    },
    error::BoxError,
    primitives::DateTime,
};
use aws_smithy_runtime_api::client::interceptors::dyn_dispatch_hint;
use tokio::time::Instant;

use super::{
    Store,
    list::{ListedUpload, UploadPages},
    server_clock::ServerClock,
};
use crate::error::{ObjectRef, error_chain};

/// Maximum number of uploads that are kept for a report.
const MAX_KEPT: usize = 1_000;
/// Difference of the clocks that tell when the call and the upload began.
const ROUNDING: Duration = Duration::from_secs(2);

/// An incomplete multipart upload that the client may have begun.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnclaimedUpload {
    /// The bucket.
    pub bucket: String,
    /// The key.
    pub key: String,
    /// The upload's id.
    pub upload_id: String,
    /// Time at which the upload began.
    pub initiated: Option<DateTime>,
}

/// All such uploads of a client.
#[derive(Debug, Default)]
pub(super) struct UnclaimedUploads(Mutex<Vec<UnclaimedUpload>>);

impl UnclaimedUploads {
    pub(super) fn all(&self) -> Vec<UnclaimedUpload> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn add(&self, upload: UnclaimedUpload) {
        let mut uploads = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if uploads.len() < MAX_KEPT && !uploads.contains(&upload) {
            uploads.push(upload);
        }
    }
}

/// An SDK interceptor for one call that begins an upload. It counts the attempts whose outcome is
/// unknown.
#[derive(Debug, Clone)]
pub(super) struct BeginCall {
    unanswered: Arc<AtomicU32>,
    pub(super) clock: ServerClock,
    began: Instant,
}

impl BeginCall {
    pub(super) fn now() -> Self {
        Self { unanswered: Arc::default(), clock: ServerClock::default(), began: Instant::now() }
    }

    /// Time at which the call began, by S3's clock if it told the time.
    fn began_at(&self) -> Option<SystemTime> {
        let now = self.clock.time().unwrap_or_else(SystemTime::now);
        now.checked_sub(self.began.elapsed() + ROUNDING)
    }
}

#[dyn_dispatch_hint]
impl Intercept for BeginCall {
    fn name(&self) -> &'static str {
        "BeginCall"
    }

    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let status = context.response().map(|response| response.status());
        if status.is_none_or(|status| status.is_server_error()) {
            self.unanswered.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }
}

impl Store {
    /// Looks for uploads that `call` may have begun beside `ours`, and keeps them for a report.
    pub(super) async fn find_unclaimed(
        &self,
        target: &ObjectRef,
        call: &BeginCall,
        ours: Option<&str>,
    ) {
        if call.unanswered.load(Ordering::Relaxed) == 0 {
            return;
        }
        let began = call.began_at().map(DateTime::from);
        let is_meant = |upload: &ListedUpload| {
            let is_later =
                upload.initiated.is_none_or(|time| began.is_none_or(|began| time >= began));
            upload.key == target.key && Some(upload.upload_id.as_str()) != ours && is_later
        };
        let mut pages = UploadPages::new(self.s3(), &target.bucket, &target.key);
        loop {
            let page = match pages.next_page().await {
                Ok(Some(page)) => page,
                Ok(None) => return,
                Err(error) => {
                    tracing::warn!(
                        bucket = target.bucket,
                        key = target.key,
                        failure = error_chain(&error),
                        "the answer to CreateMultipartUpload was lost, and uploads cannot be \
                         listed: an incomplete one may continue to cost storage"
                    );
                    return;
                }
            };
            for upload in page.into_iter().filter(is_meant) {
                let ListedUpload { key, upload_id, initiated, .. } = upload;
                tracing::debug!(
                    key,
                    upload_id,
                    "an upload whose id was lost, or another program's"
                );
                let bucket = target.bucket.clone();
                self.0.unclaimed.add(UnclaimedUpload { bucket, key, upload_id, initiated });
            }
        }
    }
}
