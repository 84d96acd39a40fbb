//! One KMS client for each Region.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use aws_config::{Region, SdkConfig, timeout::TimeoutConfig};
use aws_sdk_kms::{
    Client,
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
    operation::RequestId,
};
use sealwax_envelope::{KeyringError, KeyringErrorKind};
use tokio::time::timeout;
use tracing::Instrument as _;

use super::{KmsKeyArn, failure::keyring_error};

/// Clients by Region, made when first needed.
#[derive(Debug)]
pub(super) struct RegionalClients {
    config: aws_sdk_kms::config::Builder,
    clients: Mutex<HashMap<String, Client>>,
    timeout: Duration,
}

impl RegionalClients {
    /// Clients of `config`; `given` are used as they are. Calls are to end within `timeout`.
    pub(super) fn new(config: &SdkConfig, timeout: Duration, given: HashMap<String, Client>) -> Self {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(timeout.min(Duration::from_secs(3)))
            .operation_attempt_timeout(timeout / 2)
            .operation_timeout(timeout)
            .build();
        let config = aws_sdk_kms::config::Builder::from(config).timeout_config(timeouts);
        Self { config, clients: Mutex::new(given), timeout }
    }

    /// The result of a call with `key`, in time or not at all: a client that was given may have no timeout of its own.
    pub(super) async fn in_time<T, E>(
        &self,
        key: &KmsKeyArn,
        call: impl Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    ) -> Result<T, KeyringError>
    where
        E: ProvideErrorMetadata + RequestId + std::error::Error + Send + Sync + 'static,
    {
        let call = call.instrument(tracing::debug_span!("kms", region = key.region(), key = key.as_str()));
        match timeout(self.timeout, call).await {
            Ok(result) => result.map_err(|error| keyring_error(key, &error)),
            Err(_) => Err(KeyringError::new(KeyringErrorKind::Unavailable, key.as_str())
                .with_source(format!("no answer within {:?}", self.timeout))),
        }
    }

    pub(super) fn in_region(&self, region: &str) -> Client {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Client::from_conf(self.config.clone().region(Region::new(region.to_owned())).build());
        clients.entry(region.to_owned()).or_insert_with(new).clone()
    }
}
