//! One KMS client for each Region.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use aws_config::{Region, SdkConfig, timeout::TimeoutConfig};
use aws_sdk_kms::Client;

/// Clients by Region, made when first needed.
#[derive(Debug)]
pub(super) struct RegionalClients {
    config: aws_sdk_kms::config::Builder,
    clients: Mutex<HashMap<String, Client>>,
}

impl RegionalClients {
    /// Clients of `config`, whose calls end within `timeout`; `given` are used as they are.
    pub(super) fn new(config: &SdkConfig, timeout: Duration, given: HashMap<String, Client>) -> Self {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(timeout.min(Duration::from_secs(3)))
            .operation_attempt_timeout(timeout / 2)
            .operation_timeout(timeout)
            .build();
        let config = aws_sdk_kms::config::Builder::from(config).timeout_config(timeouts);
        Self { config, clients: Mutex::new(given) }
    }

    pub(super) fn in_region(&self, region: &str) -> Client {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Client::from_conf(self.config.clone().region(Region::new(region.to_owned())).build());
        clients.entry(region.to_owned()).or_insert_with(new).clone()
    }
}
