//! A client whose wire follows a plan.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use sealwax_s3::{
    S3Uri, SealedClient,
    aws_sdk_s3::{
        Client,
        config::{
            StalledStreamProtectionConfig,
            retry::{RetryConfig, RetryPartition, TokenBucket},
            timeout::TimeoutConfig,
        },
    },
};
use sealwax_tests::{Reaction, SeaweedFs, Wire, local_keyring, unfinished_uploads, unique};
use tokio::sync::Notify;

use crate::{ledger::Ledger, log, plan::Plan};

/// Plaintext bytes of one part: S3's least.
pub(crate) const PART: usize = 5 << 20;
/// How long the SDK waits for an answer. The servers answer within a fraction of it, even when they have much to do.
const PATIENCE: Duration = Duration::from_secs(3);

/// A client under a plan.
pub(crate) struct Rig {
    pub(crate) client: SealedClient,
    pub(crate) ledger: Ledger,
    drop_now: Arc<Notify>,
}

impl Rig {
    /// `parts`: how many may be sent at once.
    pub(crate) fn new(clean: &SeaweedFs, plan: Plan, ledger: Ledger, parts: usize) -> Self {
        let drop_now = Arc::new(Notify::new());
        let wire = wire(plan, ledger.clone(), Arc::clone(&drop_now));
        let config = clean.s3().config().to_builder().http_client(wire);
        let backoff = RetryConfig::standard().with_initial_backoff(Duration::from_millis(1));
        let config = config
            .retry_config(backoff.with_max_backoff(Duration::from_millis(5)))
            // Without this all clients of the process would share their patience, and use it up.
            .retry_partition(
                RetryPartition::custom(unique("plan"))
                    .token_bucket(TokenBucket::unlimited())
                    .build(),
            )
            .timeout_config(TimeoutConfig::builder().operation_attempt_timeout(PATIENCE).build())
            .stalled_stream_protection(
                StalledStreamProtectionConfig::enabled().grace_period(PATIENCE / 3).build(),
            );
        let s3 = Client::from_conf(config.build());
        let client = SealedClient::builder(s3, local_keyring("a"))
            .part_len(PART)
            .memory_budget(parts * PART);
        Self { client: client.build(), ledger, drop_now }
    }

    /// Runs `operation`, and drops it where the plan says so: `None`. Then waits until what it left behind is done.
    pub(crate) async fn run<T>(&self, operation: impl Future<Output = T>) -> Option<T> {
        let output = tokio::select! {
            output = operation => Some(output),
            () = self.drop_now.notified() => None,
        };
        self.client.settle().await;
        output
    }
}

fn wire(plan: Plan, ledger: Ledger, drop_now: Arc<Notify>) -> Wire {
    let state: Mutex<(HashMap<_, usize>, Option<String>)> = Mutex::default();
    Wire::new(move |call| {
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        let index = ledger.len();
        let (tries, struck) = &mut *state;
        let tries = tries
            .entry((call.operation.clone(), call.part, call.headers.get("range").cloned()))
            .or_default();
        let strike = plan.strike(call, index, *tries, struck.as_deref());
        *tries += 1;
        if strike.is_some() && struck.is_none() {
            *struck = Some(call.operation.clone());
        }
        ledger.note((call.clone(), strike.map(|(fault, _)| fault)));
        if plan.drop_at == Some(index) {
            drop_now.notify_one();
        }
        strike.map_or(Reaction::Pass, |(fault, at)| fault.reaction(at))
    })
}

/// No multipart upload to `uri` is left but those that the client could not know of or could not abort. These are
/// aborted here; says how many there were.
pub(crate) async fn assert_no_orphans(clean: &Client, uri: &S3Uri, ledgers: &[&Ledger]) -> Orphans {
    let left = unfinished_uploads(clean, uri).await;
    let unknown: usize = ledgers.iter().map(|ledger| ledger.unknown_uploads()).sum();
    let unaborted = ledgers.iter().filter(|ledger| ledger.aborts_were_prevented()).count();
    assert!(
        left <= unknown + unaborted,
        "{left} unfinished uploads are left: {unknown} unknown, {unaborted} not aborted"
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
    assert!(unaborted == 0 || log::tells_of(uri), "an upload was left behind without a word");
    Orphans { unaborted, unknown: left - unaborted }
}

/// Multipart uploads that were left behind.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Orphans {
    /// All attempts to abort them were prevented.
    pub(crate) unaborted: usize,
    /// The answer that would have named them was lost.
    pub(crate) unknown: usize,
}
