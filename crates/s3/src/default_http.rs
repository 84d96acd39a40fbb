//! The HTTP client of the SDK's clients: HTTP/1.1, and roots of trust that are read only when HTTPS
//! needs them.

mod authorities;
mod direct;

use std::{
    env,
    error::Error,
    fmt,
    sync::{Arc, LazyLock, Mutex, PoisonError},
    time::Duration,
};

use aws_sdk_s3::config::{HttpClient, RuntimeComponents, SharedHttpClient, http::HttpRequest};
use aws_smithy_http_client::{
    Connector,
    proxy::ProxyConfig,
    tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::client::{
    connector_metadata::ConnectorMetadata,
    http::{HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector},
    result::ConnectorError,
};

use rustls::ClientConfig;

use self::{authorities::UnreadableBundle, direct::Direct};
use crate::causes::find_cause;

/// Returns the HTTP client that Sealwax gives to the SDK's clients. Clones share connections.
///
/// It speaks HTTP/1.1. The certificates of authorities are read when the first request over HTTPS is
/// sent, and not when a client is built: those in the file that `AWS_CA_BUNDLE` names, or else the
/// system's, for which `SSL_CERT_FILE` and `SSL_CERT_DIR` are honoured.
///
/// If `HTTPS_PROXY`, `HTTP_PROXY` or `ALL_PROXY` is set, the SDK's own client sends all requests. It
/// honours `NO_PROXY`, too.
#[must_use]
pub fn default_http_client() -> SharedHttpClient {
    SharedHttpClient::new(DefaultHttp::new(LARGE_BUFFER_LEN))
}

/// Returns the client of [`default_http_client`] with small buffers, for programs that read many
/// objects slowly, as a server does for its clients.
///
/// A connection keeps at most 64 KiB of an answer that is not read yet, instead of 408 KiB. Long
/// bodies over plain HTTP cost some 10 % more CPU time.
#[must_use]
pub fn small_buffer_http_client() -> SharedHttpClient {
    SharedHttpClient::new(DefaultHttp::new(SMALL_BUFFER_LEN))
}

/// hyper's own maximum.
const LARGE_BUFFER_LEN: usize = 408 * 1024;
const SMALL_BUFFER_LEN: usize = 64 * 1024;

#[derive(Debug)]
struct DefaultHttp {
    /// Maximum bytes of an answer that a connection keeps for its reader.
    max_buffer_len: usize,
    tls: SharedTls,
    /// Connectors by their settings, as the SDK's client keeps them.
    connectors: Mutex<Vec<(Settings, SharedHttpConnector)>>,
}

/// Limits of a connector.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Settings {
    /// Time until a connection is made, with TLS.
    connect_timeout: Option<Duration>,
    /// Time until the head of the answer is there.
    read_timeout: Option<Duration>,
    /// As in [`DefaultHttp`].
    max_buffer_len: usize,
}

impl DefaultHttp {
    fn new(max_buffer_len: usize) -> Self {
        let tls = || authorities::tls().map_err(Arc::new);
        Self { max_buffer_len, tls: Arc::new(LazyLock::new(tls)), connectors: Mutex::default() }
    }
}

/// Settings of TLS, which all connectors share: to read the authorities takes longer than a handshake.
type SharedTls = Arc<LazyLock<Result<ClientConfig, Arc<UnreadableBundle>>>>;

impl HttpClient for DefaultHttp {
    fn http_connector(
        &self,
        given: &HttpConnectorSettings,
        // They must not be kept: they hold the interceptors of one request, and with these a data
        // key.
        _: &RuntimeComponents,
    ) -> SharedHttpConnector {
        let settings = Settings {
            connect_timeout: given.connect_timeout(),
            read_timeout: given.read_timeout(),
            max_buffer_len: self.max_buffer_len,
        };
        let mut connectors = self.connectors.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, connector)) = connectors.iter().find(|(of, _)| *of == settings) {
            return connector.clone();
        }
        let connector = ByScheme::new(settings, given.clone(), Arc::clone(&self.tls));
        let connector = SharedHttpConnector::new(connector);
        connectors.push((settings, connector.clone()));
        connector
    }

    fn connector_metadata(&self) -> Option<ConnectorMetadata> {
        Some(ConnectorMetadata::new("hyper", Some("1.x".into())))
    }
}

/// A connector that is built when the first request needs it.
type LazyConnector = LazyLock<BuiltConnector, Box<dyn FnOnce() -> BuiltConnector + Send + Sync>>;

type BuiltConnector = Result<Box<dyn HttpConnector>, Arc<UnreadableBundle>>;

struct ByScheme {
    /// `None` if requests over plain HTTP need the other one too: a proxy may be reached over HTTPS.
    plain: Option<Box<dyn HttpConnector>>,
    secure: LazyConnector,
}

impl ByScheme {
    fn new(settings: Settings, given: HttpConnectorSettings, tls: SharedTls) -> Self {
        if has_proxy() {
            let secure = move || Ok(Box::new(through_proxies(given).map_err(Arc::new)?) as _);
            return Self { plain: None, secure: LazyLock::new(Box::new(secure)) };
        }
        let secure = move || match &**tls {
            Ok(tls) => Ok(Box::new(Direct::secure(tls.clone(), settings)) as _),
            Err(failure) => Err(Arc::clone(failure)),
        };
        Self {
            plain: Some(Box::new(Direct::plain(settings))),
            secure: LazyLock::new(Box::new(secure)),
        }
    }
}

/// Returns the SDK's connector, which knows proxies.
fn through_proxies(settings: HttpConnectorSettings) -> Result<Connector, UnreadableBundle> {
    let mut trusted = TlsContext::builder();
    if let Some(bundle) = authorities::bundle_as_pem()? {
        trusted = trusted.with_trust_store(TrustStore::empty().with_pem_certificate(bundle));
    }
    Ok(Connector::builder()
        .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
        .tls_context(trusted.build().expect("a list of certificates is all that is set"))
        .connector_settings(settings)
        .proxy_config(ProxyConfig::from_env())
        .build())
}

impl HttpConnector for ByScheme {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        if let Some(plain) = &self.plain
            && request.uri().starts_with("http://")
        {
            return plain.call(request);
        }
        match &*self.secure {
            Ok(secure) => secure.call(request),
            Err(failure) => {
                HttpConnectorFuture::ready(Err(ConnectorError::user(Arc::clone(failure).into())))
            }
        }
    }
}

impl fmt::Debug for ByScheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ByScheme").field("plain", &self.plain).finish_non_exhaustive()
    }
}

/// `true` if this is why no request over HTTPS can be sent: `AWS_CA_BUNDLE` has no certificate.
pub(crate) fn is_unreadable_bundle(error: &(dyn Error + 'static)) -> bool {
    find_cause::<Arc<UnreadableBundle>>(error).is_some()
}

/// `true` if requests can have a proxy.
fn has_proxy() -> bool {
    ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"]
        .into_iter()
        .any(|name| env::var_os(name).is_some_and(|value| !value.is_empty()))
}

#[cfg(test)]
mod tests {
    use aws_sdk_s3::config::RuntimeComponentsBuilder;

    use super::*;

    #[test]
    fn a_connector_is_shared_by_all_with_the_same_timeouts() {
        let client = DefaultHttp::new(SMALL_BUFFER_LEN);
        let components = RuntimeComponentsBuilder::for_tests().build().expect("components");
        let connector = |seconds| {
            let timeout = Duration::from_secs(seconds);
            let settings = HttpConnectorSettings::builder().connect_timeout(timeout).build();
            drop(client.http_connector(&settings, &components));
            client.connectors.lock().expect("not poisoned").len()
        };
        assert_eq!([1, 1, 2, 1].map(connector), [1, 1, 2, 2]);
    }
}
