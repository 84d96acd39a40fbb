//! A client whose wire follows a plan.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use sealwax_s3::{
    SealedClient, SealedClientBuilder,
    aws_sdk_s3::{
        Client,
        config::{
            StalledStreamProtectionConfig,
            retry::{RetryConfig, RetryPartition, TokenBucket},
        },
    },
    envelope::Keyring,
};
use sealwax_tests::{PART, Reaction, SeaweedFs, Wire, local_keyring, unique};
use tokio::sync::Notify;

use crate::{ledger::Ledger, plan::Plan};

/// A client under a plan.
pub(crate) struct PlannedClient {
    pub(crate) client: SealedClient,
    pub(crate) ledger: Ledger,
    drop_now: Arc<Notify>,
}

impl PlannedClient {
    /// `parts`: maximum number of parts in flight.
    pub(crate) fn new(clean: &SeaweedFs, plan: Plan, ledger: Ledger, parts: usize) -> Self {
        Self::with(clean, plan, ledger, parts, local_keyring("a"), |builder| builder)
    }

    /// As [`PlannedClient::new`], with this keyring and further settings.
    pub(crate) fn with(
        clean: &SeaweedFs,
        plan: Plan,
        ledger: Ledger,
        parts: usize,
        keyring: impl Keyring + 'static,
        change: impl FnOnce(SealedClientBuilder) -> SealedClientBuilder,
    ) -> Self {
        let drop_now = Arc::new(Notify::new());
        let wire = wire(plan, ledger.clone(), Arc::clone(&drop_now));
        let config = clean.s3().config().to_builder().http_client(wire);
        let backoff = RetryConfig::standard().with_initial_backoff(Duration::from_millis(1));
        let config = config
            .retry_config(backoff.with_max_backoff(Duration::from_millis(5)))
            // By default all clients of a process share one retry quota, and these would use it up.
            .retry_partition(
                RetryPartition::custom(unique("plan"))
                    .token_bucket(TokenBucket::unlimited())
                    .build(),
            )
            // Timeouts come from the plan. A server that is merely slow is no fault.
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
        let s3 = Client::from_conf(config.build());
        let client = SealedClient::builder(s3, keyring).part_len(PART).memory_budget(parts * PART);
        Self { client: change(client).build(), ledger, drop_now }
    }

    /// Runs `operation`, then waits for the tasks that it left behind. Returns `None` if the plan
    /// dropped the operation.
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
