//! Counts the requests to S3 and KMS.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use aws_smithy_runtime_api::client::{
    http::{
        HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
        SharedHttpConnector,
    },
    orchestrator::HttpRequest,
    runtime_components::RuntimeComponents,
};

use super::report::Calls;

/// An HTTP client that counts its requests.
#[derive(Debug, Clone)]
pub(crate) struct Counting {
    inner: SharedHttpClient,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    kms: AtomicU64,
    s3: AtomicU64,
}

impl Counting {
    pub(crate) fn new() -> Self {
        let inner = aws_smithy_http_client::Builder::new().build_http();
        Self { inner, counts: Arc::default() }
    }

    pub(crate) fn calls(&self) -> Calls {
        let Counts { kms, s3 } = &*self.counts;
        Calls { kms: kms.load(Ordering::Relaxed), s3: s3.load(Ordering::Relaxed) }
    }
}

impl HttpClient for Counting {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        let inner = self.inner.http_connector(settings, components);
        SharedHttpConnector::new(Connector { inner, counts: Arc::clone(&self.counts) })
    }
}

#[derive(Debug)]
struct Connector {
    inner: SharedHttpConnector,
    counts: Arc<Counts>,
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        // Only KMS has operations in a header.
        let count = match request.headers().get("x-amz-target") {
            Some(_) => &self.counts.kms,
            None => &self.counts.s3,
        };
        count.fetch_add(1, Ordering::Relaxed);
        self.inner.call(request)
    }
}
