//! Limits of every call to a service that is not trusted: the time without progress, and the memory
//! that an answer takes.

mod answer_body;
mod pace;
mod request_body;

use std::{pin::pin, time::Duration};

use aws_sdk_s3::{
    config::{
        HttpClient, RuntimeComponents, SharedHttpClient,
        http::{HttpRequest, HttpResponse},
    },
    primitives::SdkBody,
};
use aws_smithy_runtime_api::client::{
    connector_metadata::ConnectorMetadata,
    http::{HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector},
    result::ConnectorError,
};
use tokio::time::{Instant, sleep_until};

use self::{answer_body::AnswerBody, pace::Pace, request_body::observed};
use crate::causes::find_cause;

/// Maximum length in bytes of a successful answer, unless it is an object's body: 8 MiB. A page of
/// 1,000 keys takes at most 5 MiB.
const MAX_ANSWER_LEN: u64 = 8 << 20;
/// Maximum length in bytes of an error, and of an answer of KMS: 256 KiB.
const MAX_SMALL_ANSWER_LEN: u64 = 256 << 10;
/// Maximum time for a copy or a completion, in units of the timeout: 15 minutes by default. The
/// service sends blanks meanwhile, which count as progress one by one.
const MAX_SERVER_WORK: u32 = 15;

/// An HTTP client for the SDK that ends calls without progress, and answers that would take too much
/// memory.
///
/// A request makes progress while the service takes its body, and an answer while its bytes arrive:
/// at least 1 KiB a second, averaged over the timeout. After a request's end, its answer must begin
/// within the timeout. So a long transfer over a slow line never ends for its duration.
///
/// An answer may have 8 MiB, an error and an answer of KMS 256 KiB. Bodies of objects have no limit:
/// the SDK doesn't keep them in memory.
///
/// Set it by [`ConfigLoader::http_client`]: then all clients of the configuration use
/// it, including those that fetch credentials. [`SealedClient`] and [`KmsKeyring`] put one over the
/// HTTP client of their SDK clients.
///
/// [`ConfigLoader::http_client`]: crate::aws_config::ConfigLoader::http_client
/// [`SealedClient`]: crate::SealedClient
/// [`KmsKeyring`]: crate::KmsKeyring
#[derive(Debug, Clone)]
pub struct LimitedHttp {
    next: SharedHttpClient,
    timeout: Duration,
}

impl LimitedHttp {
    /// Default timeout: 60 seconds.
    pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);
    /// Shortest timeout: 100 milliseconds.
    pub const MIN_TIMEOUT: Duration = Duration::from_millis(100);

    /// Creates a client that sends requests with `next`.
    #[must_use]
    pub fn over(next: impl HttpClient + 'static) -> Self {
        Self { next: SharedHttpClient::new(next), timeout: Self::DEFAULT_TIMEOUT }
    }

    /// Sets the time after which a call without progress ends: 60 seconds by default, and at least
    /// 100 milliseconds.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout.max(Self::MIN_TIMEOUT);
        self
    }
}

impl HttpClient for LimitedHttp {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        let next = self.next.http_connector(settings, components);
        SharedHttpConnector::new(Limited { next, timeout: self.timeout })
    }

    fn connector_metadata(&self) -> Option<ConnectorMetadata> {
        self.next.connector_metadata()
    }
}

#[derive(Debug)]
struct Limited {
    next: SharedHttpConnector,
    timeout: Duration,
}

impl HttpConnector for Limited {
    fn call(&self, mut request: HttpRequest) -> HttpConnectorFuture {
        let (limits, timeout) = (AnswerLimits::of(&request), self.timeout);
        let (body, sending) = observed(request.take_body(), timeout);
        *request.body_mut() = body;
        let answer = self.next.call(request);
        HttpConnectorFuture::new(async move {
            let started = Instant::now();
            let mut answer = pin!(answer);
            let mut response: HttpResponse = loop {
                let until = sending.deadline();
                tokio::select! {
                    biased;
                    answer = &mut answer => break answer?,
                    () = sleep_until(until) => if let Some(stalled) = sending.stalled() {
                        return Err(ConnectorError::timeout(stalled.into()));
                    },
                }
            };
            let pace = match limits.is_server_work {
                true => Pace::any_byte(timeout),
                false => Pace::new(timeout),
            };
            let last = limits.is_server_work.then(|| started + timeout * MAX_SERVER_WORK);
            let max_len = limits.max_len(response.status().is_success());
            let body = AnswerBody::new(response.take_body(), pace, last, max_len);
            *response.body_mut() = SdkBody::from_body_1_x(body);
            Ok(response)
        })
    }
}

/// Limits of the answer to one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct AnswerLimits {
    /// `true` if a success is an object's body, which is not kept in memory.
    is_object: bool,
    /// `true` for a request to KMS.
    is_kms: bool,
    /// `true` if the service sends blanks while it copies or assembles an object. (Amazon S3 API
    /// Reference, `CopyObject` and `CompleteMultipartUpload`.)
    is_server_work: bool,
}

impl AnswerLimits {
    fn of(request: &HttpRequest) -> Self {
        let query = request.uri().split_once('?').map_or("", |(_, query)| query);
        // The SDK encodes `&` and `=` in names, so no name can contain these.
        let mut pairs = query.split('&');
        Self {
            is_object: request.method() == "GET" && pairs.clone().any(|it| it == "x-id=GetObject"),
            is_kms: request.headers().get("x-amz-target").is_some(),
            is_server_work: match request.method() {
                "PUT" => request.headers().get("x-amz-copy-source").is_some(),
                "POST" => pairs.any(|pair| pair.starts_with("uploadId=")),
                _ => false,
            },
        }
    }

    /// Returns the maximum length of the answer in bytes.
    fn max_len(self, is_success: bool) -> Option<u64> {
        match is_success {
            true if self.is_object => None,
            true if !self.is_kms => Some(MAX_ANSWER_LEN),
            _ => Some(MAX_SMALL_ANSWER_LEN),
        }
    }
}

/// A limit that a call exceeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LimitExceeded {
    /// The service did not take the request's body.
    #[error("the service took less than 1 KiB a second of the request for {0:?}")]
    Sending(Duration),
    /// No answer came.
    #[error("no answer within {0:?}")]
    Waiting(Duration),
    /// The answer's body did not arrive.
    #[error("less than 1 KiB a second of the answer arrived for {0:?}")]
    Receiving(Duration),
    /// A copy or a completion did not end.
    #[error("the answer did not end within {0:?}")]
    Working(Duration),
    /// The answer is too long.
    #[error("the answer has more than {0} bytes")]
    TooLong(u64),
}

impl LimitExceeded {
    /// Returns the exceeded limit among an error's causes, if there is one.
    pub(crate) fn among_causes<'a>(
        error: &'a (dyn std::error::Error + 'static),
    ) -> Option<&'a Self> {
        find_cause(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(method: &str, uri: &str, header: Option<&'static str>) -> AnswerLimits {
        let mut request = HttpRequest::empty();
        request.set_method(method).expect("a method");
        request.set_uri(uri.to_owned()).expect("a URI");
        if let Some(name) = header {
            request.headers_mut().insert(name, "x");
        }
        AnswerLimits::of(&request)
    }

    #[test]
    fn only_the_body_of_an_object_has_no_limit() {
        const OBJECT: &str = "http://host/bucket/key?x-id=GetObject";
        for (method, uri, header, success) in [
            ("GET", OBJECT, None, None),
            ("GET", "http://host/b?list-type=2&prefix=x-id%3DGetObject", None, Some(8 << 20)),
            ("GET", "http://host/b/x-id=GetObject", None, Some(8 << 20)),
            ("PUT", OBJECT, None, Some(8 << 20)),
            ("POST", "http://host/", Some("x-amz-target"), Some(256 << 10)),
        ] {
            let limits = limits(method, uri, header);
            assert_eq!(limits.max_len(true), success, "{method} {uri}");
            assert_eq!(limits.max_len(false), Some(256 << 10), "{method} {uri}");
        }
    }

    #[test]
    fn copies_and_completions_may_send_blanks() {
        for (method, uri, header, expected) in [
            ("PUT", "http://host/b/k", Some("x-amz-copy-source"), true),
            ("PUT", "http://host/b/k?uploadId=u&partNumber=1", Some("x-amz-copy-source"), true),
            ("PUT", "http://host/b/k?uploadId=u&partNumber=1", None, false),
            ("POST", "http://host/b/k?uploadId=u", None, true),
            ("POST", "http://host/b/k?uploads", None, false),
            ("GET", "http://host/b/k?uploadId=u", None, false),
        ] {
            assert_eq!(limits(method, uri, header).is_server_work, expected, "{method} {uri}");
        }
    }
}
