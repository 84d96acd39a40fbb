//! The HTTP client of the SDK, which reads the system's root certificates only for HTTPS.

use std::{
    env, fmt,
    sync::{LazyLock, Mutex, PoisonError},
    time::Duration,
};

use aws_sdk_s3::config::{
    HttpClient, RuntimeComponents, SharedAsyncSleep, SharedHttpClient, http::HttpRequest,
};
use aws_smithy_http_client::{
    Connector, ConnectorBuilder,
    proxy::ProxyConfig,
    tls::{Provider, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::client::{
    connector_metadata::ConnectorMetadata,
    http::{HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector},
};

/// Returns the HTTP client that the SDK uses by default: it honours `HTTPS_PROXY` and the like.
///
/// Unlike the SDK's, it reads the system's root certificates when the first request over HTTPS is
/// sent, and not when a client is built. Clones share connections.
#[must_use]
pub fn default_http_client() -> SharedHttpClient {
    SharedHttpClient::new(DefaultHttp::default())
}

/// Connectors by their timeouts, as the SDK's client keeps them.
#[derive(Debug, Default)]
struct DefaultHttp(Mutex<Vec<(Timeouts, SharedHttpConnector)>>);

/// Timeouts for a connection and for the beginning of an answer.
type Timeouts = (Option<Duration>, Option<Duration>);

impl HttpClient for DefaultHttp {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        let timeouts = (settings.connect_timeout(), settings.read_timeout());
        let mut connectors = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, connector)) = connectors.iter().find(|(of, _)| *of == timeouts) {
            return connector.clone();
        }
        // The components themselves must not be kept: they hold the interceptors of one request, and
        // with these a data key.
        let connector = ByScheme::new(settings.clone(), components.sleep_impl());
        let connector = SharedHttpConnector::new(connector);
        connectors.push((timeouts, connector.clone()));
        connector
    }

    fn connector_metadata(&self) -> Option<ConnectorMetadata> {
        Some(ConnectorMetadata::new("hyper", Some("1.x".into())))
    }
}

/// A connector that is built when the first request needs it.
type LazyConnector = LazyLock<Connector, Box<dyn FnOnce() -> Connector + Send + Sync>>;

struct ByScheme {
    /// `None` if requests over plain HTTP need the other one too.
    plain: Option<Connector>,
    secure: LazyConnector,
}

impl ByScheme {
    fn new(settings: HttpConnectorSettings, sleep: Option<SharedAsyncSleep>) -> Self {
        let plain = || with(Connector::builder(), &settings, sleep.clone()).build_http();
        let plain = (!has_proxy()).then(plain);
        let secure = move || {
            let secure = Connector::builder().tls_provider(Provider::Rustls(CryptoMode::AwsLc));
            with(secure, &settings, sleep).proxy_config(ProxyConfig::from_env()).build()
        };
        Self { plain, secure: LazyLock::new(Box::new(secure)) }
    }
}

impl HttpConnector for ByScheme {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        match &self.plain {
            Some(plain) if request.uri().starts_with("http://") => plain.call(request),
            _ => self.secure.call(request),
        }
    }
}

impl fmt::Debug for ByScheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ByScheme").field("plain", &self.plain).finish_non_exhaustive()
    }
}

fn with<T>(
    mut builder: ConnectorBuilder<T>,
    settings: &HttpConnectorSettings,
    sleep: Option<SharedAsyncSleep>,
) -> ConnectorBuilder<T> {
    builder.set_connector_settings(Some(settings.clone()));
    builder.set_sleep_impl(sleep);
    builder
}

/// `true` if requests over plain HTTP can have a proxy, which itself may be reached over HTTPS.
fn has_proxy() -> bool {
    ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"]
        .into_iter()
        .any(|name| env::var_os(name).is_some_and(|value| !value.is_empty()))
}

#[cfg(test)]
mod tests {
    use aws_sdk_s3::config::RuntimeComponentsBuilder;

    use super::*;

    #[test]
    fn a_connector_is_shared_by_all_with_the_same_timeouts() {
        let client = DefaultHttp::default();
        let components = RuntimeComponentsBuilder::for_tests().build().expect("components");
        let connector = |seconds| {
            let timeout = Duration::from_secs(seconds);
            let settings = HttpConnectorSettings::builder().connect_timeout(timeout).build();
            drop(client.http_connector(&settings, &components));
            client.0.lock().expect("not poisoned").len()
        };
        assert_eq!([1, 1, 2, 1].map(connector), [1, 1, 2, 2]);
    }
}
