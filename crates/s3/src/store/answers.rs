//! A store that answers without a server, for tests.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use aws_config::{BehaviorVersion, Region, retry::RetryConfig};
use aws_credential_types::Credentials;
use aws_smithy_runtime_api::{
    client::{
        http::{
            HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings,
            SharedHttpConnector,
        },
        orchestrator::{HttpRequest, HttpResponse},
        runtime_components::RuntimeComponents,
    },
    http::StatusCode,
};
use aws_smithy_types::body::SdkBody;
use sealwax_envelope::geometry;

use super::{
    Store, StoreSettings, acl::AclPolicy, checksum::BodyChecksum, condition_proof::ConditionPolicy,
    known_store::KnownStore,
};
use crate::{limited_http::LimitedHttp, request_headers::RequestHeaders};

/// An answer of S3: status, headers and body.
#[derive(Debug, Clone)]
pub(crate) struct Answer(u16, Vec<(String, String)>, Vec<u8>);

impl Answer {
    pub(crate) fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self(status, Vec::new(), body.into())
    }

    pub(crate) fn with(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.1.push((name.into(), value.into()));
        self
    }

    /// Returns a store that gives this answer to all requests.
    pub(crate) fn store(self) -> Store {
        answering(move |_| self.clone()).0
    }

    fn response(self) -> HttpResponse {
        let Self(status, headers, body) = self;
        let status = StatusCode::try_from(status).expect("an HTTP status");
        let len = body.len().to_string();
        let mut response = HttpResponse::new(status, SdkBody::from(body));
        response.headers_mut().insert("content-length", len);
        for (name, value) in headers {
            response.headers_mut().insert(name, value);
        }
        response
    }
}

/// Requests that a store got, as [`described`].
#[derive(Debug, Clone, Default)]
pub(crate) struct Requests(Arc<Mutex<Vec<String>>>);

impl Requests {
    /// Returns the requests since the last call.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Returns a store that computes its answers from the requests, [`described`].
pub(crate) fn answering(
    answer: impl Fn(&str) -> Answer + Send + Sync + 'static,
) -> (Store, Requests) {
    answering_as(KnownStore::default(), BodyChecksum::None, answer)
}

/// Returns a store as [`answering`] that is not AWS, to which checksums are sent if it takes them.
pub(crate) fn answering_elsewhere(
    answer: impl Fn(&str) -> Answer + Send + Sync + 'static,
) -> (Store, Requests) {
    answering_as(KnownStore::elsewhere(), BodyChecksum::IfSupported, answer)
}

fn answering_as(
    known: KnownStore,
    checksum: BodyChecksum,
    answer: impl Fn(&str) -> Answer + Send + Sync + 'static,
) -> (Store, Requests) {
    let requests = Requests::default();
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("test", "test", None, None, "test"))
        .retry_config(RetryConfig::disabled())
        .http_client(Answers { answer: Arc::new(answer), requests: requests.clone() });
    let settings = StoreSettings {
        part_len: geometry::CHUNK_LEN,
        copy_in_parts_above: u64::MAX,
        checksum,
        conditions: ConditionPolicy::default(),
        known,
        acls: AclPolicy::default(),
        headers: RequestHeaders::default(),
        timeout: LimitedHttp::DEFAULT_TIMEOUT,
    };
    (Store::new(aws_sdk_s3::Client::from_conf(config.build()), settings), requests)
}

/// Returns a store as [`answering`], except for deletions: the first look after one finds nothing.
pub(crate) fn deleting(
    answer: impl Fn(&str) -> Answer + Send + Sync + 'static,
) -> (Store, Requests) {
    let is_gone = AtomicBool::new(false);
    answering(move |request| match request.starts_with("DELETE") {
        true => {
            is_gone.store(true, Ordering::Relaxed);
            Answer::new(204, "")
        }
        false if is_gone.swap(false, Ordering::Relaxed) => Answer::new(404, ""),
        false => answer(request),
    })
}

/// Headers that not every store supports, and the words for them in descriptions.
const NOT_EVERYWHERE: [(&str, &str); 5] = [
    ("x-amz-sdk-checksum-algorithm", "checksum"),
    ("x-amz-checksum-algorithm", "checksum"),
    ("x-amz-mp-object-size", "size"),
    ("x-amz-tagging-directive", "tagging"),
    ("x-amz-bypass-governance-retention", "bypass"),
];

/// Returns a request as text: method, path, query, `Expires`, and the headers that make it
/// conditional or partial. For example, `GET /key?versionId=1 range:bytes=0-9`.
fn described(request: &HttpRequest) -> String {
    let after_scheme = request.uri().split_once("://").map_or("", |(_, rest)| rest);
    let path = after_scheme.find('/').map_or("/", |at| &after_scheme[at..]);
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let query: Vec<_> = query.split('&').filter(|pair| !pair.starts_with("x-id=")).collect();
    let query = query.join("&");
    let separator = if query.is_empty() { "" } else { "?" };
    let mut text = format!("{} {path}{separator}{query}", request.method());
    for name in ["range", "if-match", "if-none-match", "expires"] {
        if let Some(value) = request.headers().get(name) {
            text.push_str(&format!(" {name}:{value}"));
        }
    }
    for (name, word) in NOT_EVERYWHERE {
        if request.headers().get(name).is_some() {
            text.push_str(&format!(" +{word}"));
        }
    }
    text
}

#[derive(Clone)]
struct Answers {
    answer: Arc<dyn Fn(&str) -> Answer + Send + Sync>,
    requests: Requests,
}

impl HttpClient for Answers {
    fn http_connector(
        &self,
        _: &HttpConnectorSettings,
        _: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Answers {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let request = described(&request);
        let response = (self.answer)(&request).response();
        self.requests.0.lock().unwrap_or_else(PoisonError::into_inner).push(request);
        HttpConnectorFuture::ready(Ok(response))
    }
}

impl fmt::Debug for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answers").finish_non_exhaustive()
    }
}
