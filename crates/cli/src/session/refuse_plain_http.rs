//! HTTP client that refuses KMS and STS over plain HTTP.

use aws_sdk_s3::config::{HttpClient, RuntimeComponents, SharedHttpClient, http::HttpRequest};
use aws_smithy_runtime_api::client::{
    http::{HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector},
    result::ConnectorError,
};
use sealwax_s3::PlainHttp;

/// An HTTP client that refuses requests to KMS and STS that would cross the network over plain HTTP.
///
/// It serves all clients of a configuration. So it also sees what the SDK sends to STS for
/// credentials, by clients of its own.
#[derive(Debug, Clone)]
pub(super) struct RefusePlainHttp(SharedHttpClient);

impl RefusePlainHttp {
    /// Creates a client that sends all other requests with `next`.
    pub(super) fn over(next: impl HttpClient + 'static) -> Self {
        Self(SharedHttpClient::new(next))
    }
}

impl HttpClient for RefusePlainHttp {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(Refusing(self.0.http_connector(settings, components)))
    }
}

#[derive(Debug)]
struct Refusing(SharedHttpConnector);

impl HttpConnector for Refusing {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        match secret_service(&request).map_or(Ok(()), |name| PlainHttp::check(name, request.uri()))
        {
            Ok(()) => self.0.call(request),
            // A user error: the SDK does not retry it, for it would be refused again.
            Err(refused) => HttpConnectorFuture::ready(Err(ConnectorError::user(refused.into()))),
        }
    }
}

/// Returns the service that a request goes to, if its messages hold data keys or credentials.
///
/// A signature names its service. The one unsigned request to STS, `AssumeRoleWithWebIdentity`, is
/// the only form that the SDK posts without a signature.
fn secret_service(request: &HttpRequest) -> Option<&'static str> {
    let headers = request.headers();
    match headers.get("authorization") {
        Some(signature) if signature.contains("/kms/aws4_request") => Some("KMS"),
        Some(signature) if signature.contains("/sts/aws4_request") => Some("STS"),
        Some(_) => None,
        None => headers
            .get("content-type")
            .is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded"))
            .then_some("STS"),
    }
}
