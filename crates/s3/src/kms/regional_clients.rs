//! One KMS client per Region, with its rate limit and its health.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
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

use super::{key_arn::KmsKeyArn, keyring_error::keyring_error, rate_limiter::RateLimiter};
use crate::{attempts::AttemptEvents, plain_http::RefusePlainHttp, sdk_limits::limited};

/// Time during which a Region that did not answer is tried last.
const DOWN_FOR: Duration = Duration::from_secs(30);

/// Maximum number of Regions that have a client. Objects name Regions, and anybody who can write
/// to the bucket can name any. AWS has fewer.
const MAX_REGIONS: usize = 128;

/// Clients by Region, created on first use. Of too many, the one that was used last long ago is
/// forgotten, and with it the Region's rate limit and health.
#[derive(Debug)]
pub(super) struct RegionalClients {
    config: aws_sdk_kms::config::Builder,
    timeout: Duration,
    calls_per_second: Option<u32>,
    allow_http: bool,
    regions: Mutex<HashMap<String, Regional>>,
}

#[derive(Debug, Clone)]
struct Regional {
    client: Client,
    limiter: Option<RateLimiter>,
    /// Time of the last call, if KMS did not answer it.
    silent_since: Option<Instant>,
    used: Instant,
    /// `true` if the application gave the client. It is never forgotten.
    given: bool,
}

impl RegionalClients {
    /// Creates clients from `config`, except for the Regions in `given`. Each call ends within
    /// `timeout`, and each Region gets at most `calls_per_second`. Plain HTTP to other machines is
    /// refused unless `allow_http`.
    pub(super) fn new(
        config: &SdkConfig,
        timeout: Duration,
        calls_per_second: Option<u32>,
        allow_http: bool,
        given: HashMap<String, Client>,
    ) -> Self {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(timeout.min(Duration::from_secs(3)))
            .operation_attempt_timeout(timeout / 2)
            .operation_timeout(timeout)
            .build();
        let config = aws_sdk_kms::config::Builder::from(config).timeout_config(timeouts);
        let regional = |client| Regional {
            given: true,
            ..Regional::new(client, timeout, calls_per_second, allow_http)
        };
        let regions =
            given.into_iter().map(|(region, client)| (region, regional(client))).collect();
        Self { config, timeout, calls_per_second, allow_http, regions: Mutex::new(regions) }
    }

    /// Runs a call with `key` once the rate limit allows it, and fails if it exceeds the timeout. A
    /// client that the application gave may have no timeout of its own.
    pub(super) async fn in_time<T, E>(
        &self,
        key: &KmsKeyArn,
        call: impl Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    ) -> Result<T, KeyringError>
    where
        E: ProvideErrorMetadata + RequestId + std::error::Error + Send + Sync + 'static,
    {
        if let Some(limiter) = self.regional(key.region()).limiter {
            limiter.turn().await;
        }
        let call =
            call.instrument(tracing::debug_span!("kms", region = key.region(), key = key.as_str()));
        let result = match timeout(self.timeout, call).await {
            Ok(result) => result.map_err(|error| keyring_error(key, &error)),
            Err(_) => Err(KeyringError::new(KeyringErrorKind::Unavailable, key.as_str())
                .with_source(format!("no answer within {:?}", self.timeout))),
        };
        let silent =
            result.as_ref().is_err_and(|error| error.kind() == KeyringErrorKind::Unavailable);
        if let Some(regional) = self.lock().get_mut(key.region()) {
            regional.silent_since = silent.then(Instant::now);
        }
        result
    }

    pub(super) fn in_region(&self, region: &str) -> Client {
        self.regional(region).client
    }

    /// `true` if the Region failed to answer within the last 30 seconds.
    pub(super) fn is_down(&self, region: &str) -> bool {
        let silent_since = self.lock().get(region).and_then(|regional| regional.silent_since);
        silent_since.is_some_and(|since| since.elapsed() < DOWN_FOR)
    }

    fn regional(&self, region: &str) -> Regional {
        let new = || {
            let client = Client::from_conf(
                self.config.clone().region(Region::new(region.to_owned())).build(),
            );
            Regional::new(client, self.timeout, self.calls_per_second, self.allow_http)
        };
        let mut regions = self.lock();
        if regions.len() >= MAX_REGIONS && !regions.contains_key(region) {
            let own = regions.iter().filter(|(_, regional)| !regional.given);
            let oldest =
                own.min_by_key(|(_, regional)| regional.used).map(|(name, _)| name.clone());
            oldest.and_then(|name| regions.remove(&name));
        }
        let regional = regions.entry(region.to_owned()).or_insert_with(new);
        regional.used = Instant::now();
        regional.clone()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Regional>> {
        self.regions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Regional {
    fn new(
        client: Client,
        timeout: Duration,
        calls_per_second: Option<u32>,
        allow_http: bool,
    ) -> Self {
        let limiter = calls_per_second.map(RateLimiter::per_second);
        let http = limited(client.config().http_client(), timeout);
        let mut config = client.config().to_builder().http_client(http).interceptor(AttemptEvents);
        if let Some(limiter) = &limiter {
            config = config.interceptor(limiter.clone());
        }
        if !allow_http {
            config = config.interceptor(RefusePlainHttp);
        }
        Self {
            client: Client::from_conf(config.build()),
            limiter,
            silent_since: None,
            used: Instant::now(),
            given: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use aws_config::{BehaviorVersion, retry::RetryConfig};
    use aws_sdk_kms::{
        config::{
            Credentials, HttpClient, RuntimeComponents, SharedCredentialsProvider,
            http::HttpRequest,
        },
        primitives::Blob,
    };
    use aws_sdk_s3::primitives::SdkBody;
    use aws_smithy_runtime_api::{
        client::http::{
            HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
        },
        http::StatusCode,
    };

    use super::*;

    /// KMS that throttles every call, and counts them.
    #[derive(Debug, Clone, Default)]
    struct Throttling(Arc<AtomicUsize>);

    impl HttpClient for Throttling {
        fn http_connector(
            &self,
            _: &HttpConnectorSettings,
            _: &RuntimeComponents,
        ) -> SharedHttpConnector {
            SharedHttpConnector::new(self.clone())
        }
    }

    impl HttpConnector for Throttling {
        fn call(&self, _: HttpRequest) -> HttpConnectorFuture {
            self.0.fetch_add(1, Ordering::Relaxed);
            let status = StatusCode::try_from(400).expect("an HTTP status");
            let body = SdkBody::from(r#"{"__type":"ThrottlingException"}"#);
            HttpConnectorFuture::ready(Ok(HttpResponse::new(status, body)))
        }
    }

    fn config(kms: &Throttling, attempts: u32) -> SdkConfig {
        let credentials = Credentials::new("test", "test", None, None, "tests");
        SdkConfig::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .region(Region::new("us-east-1"))
            .retry_config(
                RetryConfig::standard()
                    .with_max_attempts(attempts)
                    .with_initial_backoff(Duration::from_millis(1)),
            )
            .http_client(kms.clone())
            .build()
    }

    /// Objects can name any number of Regions.
    #[test]
    fn clients_are_bounded_and_those_in_use_stay() {
        let config = config(&Throttling::default(), 1);
        let given = HashMap::from([("given-1".to_owned(), Client::new(&config))]);
        let clients = RegionalClients::new(&config, Duration::from_secs(1), None, false, given);
        for number in 0..10 * MAX_REGIONS {
            clients.in_region(&format!("made-up-{number}"));
            clients.in_region("us-east-1");
            assert!(clients.lock().len() <= MAX_REGIONS);
        }
        let regions = clients.lock();
        let last = format!("made-up-{}", 10 * MAX_REGIONS - 1);
        assert_eq!(regions.len(), MAX_REGIONS);
        assert!(["given-1", "us-east-1", &last].iter().all(|name| regions.contains_key(*name)));
        assert!(!regions.contains_key("made-up-0"));
    }

    fn key() -> KmsKeyArn {
        "arn:aws:kms:us-east-1:123456789012:key/a".parse().expect("an ARN")
    }

    /// The endpoint of the configuration, or of a client that the application gave.
    #[tokio::test]
    async fn plain_http_to_another_machine_sends_no_request() {
        let (kms, key) = (Throttling::default(), key());
        for (endpoint, allow_http, expected) in [
            ("http://kms.example:4566", false, KeyringErrorKind::InsecureEndpoint),
            ("http://kms.example:4566", true, KeyringErrorKind::Throttled),
            ("http://127.0.0.1:4566", false, KeyringErrorKind::Throttled),
            ("https://kms.example", false, KeyringErrorKind::Throttled),
        ] {
            let plain = config(&kms, 4);
            let there = plain.to_builder().endpoint_url(endpoint).build();
            let given = HashMap::from([(key.region().to_owned(), Client::new(&there))]);
            for (config, given) in [(&there, HashMap::new()), (&plain, given)] {
                let before = kms.0.load(Ordering::Relaxed);
                let clients =
                    RegionalClients::new(config, Duration::from_secs(600), None, allow_http, given);
                let call = clients
                    .in_region(key.region())
                    .decrypt()
                    .key_id(key.as_str())
                    .ciphertext_blob(Blob::new([1]));
                let error = clients.in_time(&key, call.send()).await.expect_err("it throttles");
                assert_eq!(error.kind(), expected, "{endpoint}, allowed: {allow_http}");
                let sent = kms.0.load(Ordering::Relaxed) - before;
                if expected == KeyringErrorKind::InsecureEndpoint {
                    let why = std::error::Error::source(&error).expect("the reason").to_string();
                    assert!(
                        why.starts_with("refusing to call KMS at http://kms.example:4566: plain"),
                        "{why}"
                    );
                    assert_eq!(sent, 0, "a request was sent");
                    assert!(!clients.is_down(key.region()), "the Region is not down");
                } else {
                    assert_eq!(sent, 4, "{endpoint}");
                }
            }
        }
    }

    #[tokio::test]
    async fn retries_count_against_the_rate_limit() {
        let (config, key) = (config(&Throttling::default(), 4), key());
        let patience = Duration::from_secs(600);
        let ours = RegionalClients::new(&config, patience, Some(1), false, HashMap::new());
        let theirs = HashMap::from([(key.region().to_owned(), Client::new(&config))]);
        let theirs = RegionalClients::new(&config, patience, Some(1), false, theirs);
        for clients in [ours, theirs] {
            let begun = Instant::now();
            let call = clients
                .in_region(key.region())
                .decrypt()
                .key_id(key.as_str())
                .ciphertext_blob(Blob::new([1]));
            let error = clients.in_time(&key, call.send()).await.expect_err("it throttles");
            assert_eq!(error.kind(), KeyringErrorKind::Throttled);
            // One call a second, and there were four.
            let wait = clients.regional(key.region()).limiter.expect("it is set").reserve(begun);
            assert!(wait >= Duration::from_secs(4), "the next call waits for {wait:?}");
        }
    }
}
