//! Connections without a proxy.

use std::{
    fmt, io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use aws_sdk_s3::{
    config::http::{HttpRequest, HttpResponse},
    error::BoxError,
    primitives::SdkBody,
};
use aws_smithy_runtime_api::client::{
    connection::{CaptureSmithyConnection, ConnectionMetadata},
    http::{HttpConnector, HttpConnectorFuture},
    result::ConnectorError,
};
use aws_smithy_types::retry::ErrorKind;
use hyper::Uri;
use hyper_rustls::HttpsConnector;
use hyper_util::{
    client::legacy::{
        self, Client,
        connect::{
            CaptureConnection, Connect, Connected, HttpConnector as Tcp, HttpInfo,
            capture_connection,
        },
    },
    rt::{TokioExecutor, TokioTimer},
};
use rustls::ClientConfig;
use tokio::time::timeout;
use tower_service::Service;

use super::Settings;
use crate::causes::find_cause;

/// A client that connects to servers itself, and speaks HTTP/1.1: over HTTP/2, one reader that
/// pauses holds up others on the same connection.
pub(super) struct Direct<C> {
    client: Client<WithTimeout<C>, SdkBody>,
    read_timeout: Option<Duration>,
}

impl Direct<Tcp> {
    /// Returns a client for plain HTTP.
    pub(super) fn plain(settings: Settings) -> Self {
        Self::over(tcp(), settings)
    }
}

impl Direct<HttpsConnector<Tcp>> {
    /// Returns a client for HTTPS.
    pub(super) fn secure(mut tls: ClientConfig, settings: Settings) -> Self {
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        let mut tcp = tcp();
        tcp.enforce_http(false);
        Self::over(HttpsConnector::from((tcp, tls)), settings)
    }
}

fn tcp() -> Tcp {
    let mut tcp = Tcp::new();
    tcp.set_nodelay(true);
    tcp
}

impl<C> Direct<C>
where
    WithTimeout<C>: Connect + Clone,
{
    fn over(connect: C, settings: Settings) -> Self {
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .http1_max_buf_size(settings.max_buffer_len)
            .build(WithTimeout { connect, limit: settings.connect_timeout });
        Self { client, read_timeout: settings.read_timeout }
    }
}

impl<C> fmt::Debug for Direct<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Direct").field("read_timeout", &self.read_timeout).finish_non_exhaustive()
    }
}

impl<C> HttpConnector for Direct<C>
where
    C: Send + Sync + 'static,
    WithTimeout<C>: Connect + Clone + Send + Sync + 'static,
{
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let mut request = match request.try_into_http1x() {
            Ok(request) => request,
            Err(failure) => {
                return HttpConnectorFuture::ready(Err(ConnectorError::user(failure.into())));
            }
        };
        let connection = capture_connection(&mut request);
        if let Some(capture) = request.extensions().get::<CaptureSmithyConnection>() {
            capture.set_connection_retriever(move || described(&connection));
        }
        let answer = self.client.request(request);
        let limit = self.read_timeout;
        HttpConnectorFuture::new(async move {
            let answer = within(limit, "an answer", answer).await.map_err(classified)?;
            HttpResponse::try_from(answer.map(SdkBody::from_body_1_x))
                .map_err(|failure| ConnectorError::other(failure.into(), None))
        })
    }
}

/// Returns what the SDK wants to know of a connection, and how it forbids further use of it.
fn described(connection: &CaptureConnection) -> Option<ConnectionMetadata> {
    let connected = connection.connection_metadata();
    let connected = connected.as_ref()?;
    let mut extras = hyper::http::Extensions::new();
    connected.get_extras(&mut extras);
    let mut described = ConnectionMetadata::builder();
    let addresses = extras.get::<HttpInfo>();
    described.set_local_addr(addresses.map(HttpInfo::local_addr));
    described.set_remote_addr(addresses.map(HttpInfo::remote_addr));
    let connection = connection.clone();
    let poison = move || _ = connection.connection_metadata().as_ref().map(Connected::poison);
    Some(described.proxied(false).poison_fn(poison).build())
}

/// A connector with a time limit.
#[derive(Clone)]
pub(super) struct WithTimeout<C> {
    connect: C,
    limit: Option<Duration>,
}

impl<C> Service<Uri> for WithTimeout<C>
where
    C: Service<Uri, Response: 'static, Error: Into<BoxError> + 'static, Future: Send + 'static>,
{
    type Response = C::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<C::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.connect.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, server: Uri) -> Self::Future {
        Box::pin(within(self.limit, "a connection", self.connect.call(server)))
    }
}

/// Returns the result of `future`, or fails after `limit`.
async fn within<T, E: Into<BoxError>>(
    limit: Option<Duration>,
    what: &'static str,
    future: impl Future<Output = Result<T, E>>,
) -> Result<T, BoxError> {
    match limit {
        None => future.await.map_err(Into::into),
        Some(limit) => match timeout(limit, future).await {
            Ok(result) => result.map_err(Into::into),
            Err(_) => Err(TimedOut { what, limit }.into()),
        },
    }
}

/// A time limit that has passed.
#[derive(Debug, thiserror::Error)]
#[error("waited {limit:?} for {what}")]
struct TimedOut {
    what: &'static str,
    limit: Duration,
}

/// Returns a failure as one of the kinds by which the SDK decides whether to try again.
fn classified(failure: BoxError) -> ConnectorError {
    if find_cause::<TimedOut>(&*failure).is_some() {
        return ConnectorError::timeout(failure);
    }
    if let Some(http) = find_cause::<hyper::Error>(&*failure) {
        return match () {
            () if http.is_timeout() => ConnectorError::timeout(failure),
            () if http.is_user() => ConnectorError::user(failure),
            () if http.is_closed() || http.is_canceled() => ConnectorError::io(failure),
            () if find_cause::<io::Error>(http).is_some() => ConnectorError::io(failure),
            () if http.is_incomplete_message() => {
                ConnectorError::other(failure, Some(ErrorKind::TransientError))
            }
            () => ConnectorError::other(failure, None),
        };
    }
    let is_io = find_cause::<legacy::Error>(&*failure).is_some_and(legacy::Error::is_connect)
        || find_cause::<io::Error>(&*failure).is_some();
    match is_io {
        true => ConnectorError::io(failure),
        false => ConnectorError::other(failure, None),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read as _, Write as _},
        net::TcpListener,
        sync::Arc,
        thread,
    };

    use rustls::{RootCertStore, crypto::aws_lc_rs};

    use super::*;

    /// Starts a server that answers the first connection with these bytes, and then closes it, or
    /// keeps it open for good.
    fn server(answer: &'static [u8], closes: bool) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address").to_string();
        thread::spawn(move || {
            let (mut client, _) = listener.accept().expect("a client");
            let mut request = [0; 1024];
            let _ = client.read(&mut request).expect("a request");
            client.write_all(answer).expect("open");
            if !closes {
                loop {
                    thread::park();
                }
            }
        });
        address
    }

    fn secure(settings: Settings) -> Direct<HttpsConnector<Tcp>> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        Direct::secure(tls, settings)
    }

    async fn failure(connector: impl HttpConnector, url: &str) -> ConnectorError {
        let mut request = HttpRequest::get(url).expect("an address");
        request.headers_mut().insert("x-test", "1");
        connector.call(request).await.expect_err("a failure")
    }

    #[tokio::test]
    async fn failures_have_the_kinds_by_which_the_sdk_decides_whether_to_try_again() {
        let soon = Some(Duration::from_millis(50));
        let never = Settings { connect_timeout: None, read_timeout: None, max_buffer_len: 65536 };
        let plain = || Direct::plain(never);

        let no_one = TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr();
        let refused = failure(plain(), &format!("http://{}", no_one.expect("an address"))).await;
        assert!(refused.is_io(), "{refused:?}");

        let cut = failure(plain(), &format!("http://{}", server(b"HTTP/1.1 2", true))).await;
        assert_eq!(cut.as_other(), Some(ErrorKind::TransientError), "{cut:?}");

        let garbage = failure(plain(), &format!("http://{}", server(b"SSH-2.0\r\n", true))).await;
        assert!(garbage.is_other() && garbage.as_other().is_none(), "{garbage:?}");

        let silent = Direct::plain(Settings { read_timeout: soon, ..never });
        let silent = failure(silent, &format!("http://{}", server(b"", false))).await;
        assert!(silent.is_timeout(), "{silent:?}");
        assert_eq!(silent.into_source().to_string(), "waited 50ms for an answer");

        // A connection is not made before TLS is.
        let half = secure(Settings { connect_timeout: soon, ..never });
        let half = failure(half, &format!("https://{}", server(b"", false))).await;
        assert!(half.is_timeout(), "{half:?}");

        let no_tls =
            failure(secure(never), &format!("https://{}", server(b"HTTP/1.1", true))).await;
        assert!(no_tls.is_io(), "{no_tls:?}");
    }
}
