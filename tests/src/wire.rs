//! The wire below the SDK: it records each request, retries included, and can disturb it.

mod cut;

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use aws_smithy_runtime_api::{
    client::{
        http::{
            HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings,
            SharedHttpClient, SharedHttpConnector,
        },
        orchestrator::{HttpRequest, HttpResponse},
        result::ConnectorError,
        runtime_components::RuntimeComponents,
    },
    http::StatusCode,
};
use aws_smithy_types::{body::SdkBody, byte_stream::ByteStream};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use serde_json::Value;

use self::cut::CutBody;
pub use self::cut::Ending;
use crate::environment::variable;

/// One HTTP request.
#[derive(Debug, Clone)]
pub struct Call {
    /// `s3` or `kms`.
    pub service: String,
    /// Region of its signature.
    pub region: String,
    /// Name of the API operation, such as `GetObject`.
    pub operation: String,
    /// Number of earlier requests of this operation over this wire, retries included.
    pub nth: usize,
    /// Part number of an `UploadPart`.
    pub part: Option<u32>,
    /// Length of its body in bytes.
    pub body_len: usize,
    /// Its URI, as sent.
    pub uri: String,
    /// Its headers.
    pub headers: HashMap<String, String>,
    /// Its body, if it is a request to KMS.
    pub json: Value,
    answered: Arc<AtomicBool>,
}

impl Call {
    /// `true` if the SDK has the server's whole response.
    #[must_use]
    pub fn is_answered(&self) -> bool {
        self.answered.load(Ordering::Relaxed)
    }
}

/// Effect of the wire on a request.
pub enum Reaction {
    /// Passes it on.
    Pass,
    /// Waits for this future, then passes it on.
    Await(BoxFuture<'static, ()>),
    /// Passes it on, and holds the response back until this future ends.
    HoldAnswer(BoxFuture<'static, ()>),
    /// Passes it on, and loses the response: the connection breaks.
    LoseAnswer,
    /// Does not send it, and fails as the HTTP client does when no response comes in time.
    TimeOut,
    /// Passes it on, and fails as the HTTP client does when no response comes in time.
    TimeOutAnswer,
    /// Responds in place of the server with this status and body.
    Answer(u16, String),
    /// Responds in place of S3 that an object was stored.
    Stored,
    /// Passes it on, and changes the body of the response.
    Edit(fn(&mut Vec<u8>)),
    /// Passes it on, and adds this header to the response.
    AddHeader(&'static str, String),
    /// Passes it on, and repeats this header of the response with another value.
    RepeatHeader(&'static str),
    /// Passes it on without this header.
    DropHeader(&'static str),
    /// Passes it on, and flips a bit of the response's body, in this byte modulo the length.
    Corrupt(usize),
    /// Passes it on, and cuts the response's body before this byte modulo the length.
    CutAnswer(usize, Ending),
    /// Breaks the connection before this byte of the request's body, modulo the length.
    CutRequest(usize),
    /// Sends it twice, and returns the second response.
    Duplicate,
    /// Sends a request for the first name to LocalStack's bucket of the second name. It emulates an
    /// access point, which LocalStack lacks.
    Reroute(String, String),
    /// Sends it with another path of bucket and key, and another source of a copy, to LocalStack,
    /// which checks no signature. It emulates a store where objects have several names.
    Rename(fn(&str) -> String),
    /// Refuses the connection.
    Refuse,
    /// Never responds.
    Hang,
}

impl fmt::Debug for Reaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reaction").finish_non_exhaustive()
    }
}

type React = dyn Fn(&Call) -> Reaction + Send + Sync;

/// A wire for any number of SDK clients. Clones share it.
#[derive(Clone)]
pub struct Wire {
    calls: Arc<Mutex<Vec<Call>>>,
    react: Arc<React>,
    http: SharedHttpClient,
}

impl Default for Wire {
    fn default() -> Self {
        Self::new(|_| Reaction::Pass)
    }
}

impl Wire {
    /// Returns a wire that treats each request as `react` says.
    #[must_use]
    pub fn new(react: impl Fn(&Call) -> Reaction + Send + Sync + 'static) -> Self {
        let http = aws_smithy_http_client::Builder::new().build_http();
        Self { calls: Arc::default(), react: Arc::new(react), http }
    }

    /// Returns a wire that responds to each `operation` in place of the server.
    #[must_use]
    pub fn answering(operation: &'static str, status: u16, body: impl Into<String>) -> Self {
        let body = body.into();
        Self::new(move |call| match call.operation == operation {
            true => Reaction::Answer(status, body.clone()),
            false => Reaction::Pass,
        })
    }

    /// Returns the requests so far.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Forgets the requests so far.
    pub fn forget(&self) {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Returns the names of one service's operations so far.
    #[must_use]
    pub fn operations(&self, service: &str) -> Vec<String> {
        self.calls()
            .into_iter()
            .filter(|call| call.service == service)
            .map(|call| call.operation)
            .collect()
    }

    /// Returns the KMS operations so far, each with its Region.
    #[must_use]
    pub fn kms(&self) -> Vec<(String, String)> {
        let calls = self.calls().into_iter().filter(|call| call.service == "kms");
        calls.map(|call| (call.operation, call.region)).collect()
    }

    fn note(&self, request: &HttpRequest) -> Call {
        let mut call = Call::of(request);
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        call.nth = calls.iter().filter(|other| other.operation == call.operation).count();
        calls.push(call.clone());
        call
    }
}

impl HttpClient for Wire {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(Connector {
            wire: self.clone(),
            next: self.http.http_connector(settings, components),
        })
    }
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire").finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Connector {
    wire: Wire,
    next: SharedHttpConnector,
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let call = self.wire.note(&request);
        let reaction = (self.wire.react)(&call);
        let next = self.next.clone();
        HttpConnectorFuture::new(async move {
            let whole = !matches!(
                reaction,
                Reaction::Answer(..) | Reaction::Corrupt(_) | Reaction::CutAnswer(..)
            );
            let answer = react(reaction, request, &next).await?;
            call.answered.store(whole, Ordering::Relaxed);
            Ok(answer)
        })
    }
}

async fn react(
    reaction: Reaction,
    mut request: HttpRequest,
    next: &SharedHttpConnector,
) -> Result<HttpResponse, ConnectorError> {
    match reaction {
        Reaction::Pass => next.call(request).await,
        Reaction::Await(first) => {
            first.await;
            next.call(request).await
        }
        Reaction::HoldAnswer(until) => {
            let answer = buffered(next.call(request).await?).await?;
            until.await;
            Ok(answer)
        }
        Reaction::LoseAnswer => {
            buffered(next.call(request).await?).await?;
            Err(lost())
        }
        Reaction::TimeOut => Err(timed_out()),
        Reaction::TimeOutAnswer => {
            buffered(next.call(request).await?).await?;
            Err(timed_out())
        }
        Reaction::Answer(status, body) => {
            let status = StatusCode::try_from(status).expect("an HTTP status");
            Ok(HttpResponse::new(status, SdkBody::from(body)))
        }
        Reaction::Stored => {
            let mut answer =
                HttpResponse::new(StatusCode::try_from(200).expect("OK"), SdkBody::empty());
            answer.headers_mut().insert("etag", "\"00000000000000000000000000000000\"");
            Ok(answer)
        }
        Reaction::Edit(edit) => edited(next.call(request).await?, edit).await,
        Reaction::AddHeader(name, value) => {
            let mut answer = next.call(request).await?;
            answer.headers_mut().insert(name, value);
            Ok(answer)
        }
        Reaction::RepeatHeader(name) => {
            let mut answer = next.call(request).await?;
            answer.headers_mut().append(name, "another value");
            Ok(answer)
        }
        Reaction::DropHeader(name) => {
            request.headers_mut().remove(name);
            next.call(request).await
        }
        Reaction::Corrupt(at) => {
            let invert = |body: &mut Vec<u8>| {
                if let Some(at) = at.checked_rem(body.len()) {
                    body[at] ^= 1 << (at % 8);
                }
            };
            edited(next.call(request).await?, invert).await
        }
        Reaction::CutAnswer(at, ending) => {
            let mut answer = buffered(next.call(request).await?).await?;
            let body = Bytes::copy_from_slice(answer.body().bytes().unwrap_or_default());
            let rest = body.slice(..at.checked_rem(body.len()).unwrap_or_default());
            if ending == Ending::Clean && !body.is_empty() {
                // Otherwise the SDK itself would notice that bytes are missing.
                answer.headers_mut().insert("content-length", rest.len().to_string());
            }
            *answer.body_mut() = SdkBody::from_body_1_x(CutBody::new(rest, ending));
            Ok(answer)
        }
        Reaction::CutRequest(at) => {
            let body = collected(request.take_body()).await?;
            if let Some(at) = at.checked_rem(body.len()) {
                *request.body_mut() =
                    SdkBody::from_body_1_x(CutBody::new(body.slice(..at), Ending::Broken));
                // The connection breaks, even if the server responded to the bytes that arrived.
                let _ = next.call(request).await;
            }
            Err(lost())
        }
        Reaction::Duplicate => {
            let body = collected(request.take_body()).await?;
            *request.body_mut() = SdkBody::from(body);
            let twin = request.try_clone().expect("its body is in memory");
            buffered(next.call(twin).await?).await?;
            next.call(request).await
        }
        Reaction::Reroute(name, bucket) => {
            // http://NAME.HOST/KEY, or http://HOST/NAME/KEY.
            let path = request.uri().splitn(4, '/').nth(3).expect("a path");
            let key =
                path.strip_prefix(name.as_str()).map_or(path, |rest| rest.trim_start_matches('/'));
            let uri = format!("{}/{bucket}/{key}", variable("SEALWAX_TEST_LOCALSTACK_URL"));
            request.set_uri(uri).expect("an address");
            next.call(request).await
        }
        Reaction::Rename(rename) => {
            let mut parts = request.uri().splitn(4, '/');
            let host: Vec<_> = parts.by_ref().take(3).collect();
            let (path, query) =
                parts.next().map_or(("", None), |rest| match rest.split_once('?') {
                    Some((path, query)) => (path, Some(query)),
                    None => (rest, None),
                });
            let query = query.map(|query| format!("?{query}")).unwrap_or_default();
            let uri = format!("{}/{}{query}", host.join("/"), rename(path));
            request.set_uri(uri).expect("an address");
            if let Some(source) = request.headers().get("x-amz-copy-source").map(str::to_owned) {
                request.headers_mut().insert("x-amz-copy-source", rename(&source));
            }
            next.call(request).await
        }
        Reaction::Refuse => Err(lost()),
        Reaction::Hang => std::future::pending().await,
    }
}

fn timed_out() -> ConnectorError {
    ConnectorError::timeout("the wire gave no answer in time".into())
}

fn lost() -> ConnectorError {
    ConnectorError::io("the wire was cut".into())
}

/// Reads the whole response, so that the server has carried out the request.
async fn buffered(mut answer: HttpResponse) -> Result<HttpResponse, ConnectorError> {
    *answer.body_mut() = SdkBody::from(collected(answer.take_body()).await?);
    Ok(answer)
}

async fn edited(
    answer: HttpResponse,
    edit: impl FnOnce(&mut Vec<u8>),
) -> Result<HttpResponse, ConnectorError> {
    let mut answer = buffered(answer).await?;
    let mut body = answer.body().bytes().unwrap_or_default().to_vec();
    edit(&mut body);
    if answer.headers().get("content-length").is_some() {
        // Otherwise the SDK itself would notice that bytes are missing.
        answer.headers_mut().insert("content-length", body.len().to_string());
    }
    *answer.body_mut() = SdkBody::from(body);
    Ok(answer)
}

async fn collected(body: SdkBody) -> Result<Bytes, ConnectorError> {
    let body =
        ByteStream::new(body).collect().await.map_err(|error| ConnectorError::io(error.into()))?;
    Ok(body.into_bytes())
}

impl Call {
    fn of(request: &HttpRequest) -> Self {
        let header = |name| request.headers().get(name).unwrap_or_default();
        // Credential=KEY/DATE/REGION/SERVICE/aws4_request
        let scope = header("authorization").split(['=', ',']).nth(1).unwrap_or_default();
        let mut scope = scope.split('/').skip(2).map(str::to_owned);
        let (region, service) =
            (scope.next().unwrap_or_default(), scope.next().unwrap_or_default());
        let query = request.uri().split_once('?').map_or("", |(_, query)| query);
        let body = request.body().bytes().unwrap_or_default();
        Self {
            operation: match header("x-amz-target").rsplit_once('.') {
                Some((_, operation)) => operation.to_owned(),
                None => s3_operation(request.method(), query),
            },
            nth: 0,
            part: parameter(query, "partNumber").and_then(|part| part.parse().ok()),
            body_len: body.len(),
            uri: request.uri().to_owned(),
            headers: request
                .headers()
                .iter()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            json: if service == "kms" {
                serde_json::from_slice(body).unwrap_or_default()
            } else {
                Value::Null
            },
            answered: Arc::default(),
            service,
            region,
        }
    }
}

fn parameter<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    let pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.into_iter().find(|(known, _)| *known == name).map(|(_, value)| value)
}

/// The SDK names most operations in `x-id`.
fn s3_operation(method: &str, query: &str) -> String {
    let has = |name| parameter(query, name).is_some();
    match (method, parameter(query, "x-id")) {
        (_, Some(id)) => id,
        ("HEAD", _) => "HeadObject",
        ("POST", _) if has("uploads") => "CreateMultipartUpload",
        ("POST", _) if has("uploadId") => "CompleteMultipartUpload",
        ("GET", _) if has("acl") => "GetObjectAcl",
        ("GET", _) if has("tagging") => "GetObjectTagging",
        ("GET", _) if has("ownershipControls") => "GetBucketOwnershipControls",
        ("GET", _) if has("versioning") => "GetBucketVersioning",
        ("GET", _) if has("replication") => "GetBucketReplication",
        ("GET", _) if has("uploads") => "ListMultipartUploads",
        ("GET", _) if has("list-type") => "ListObjectsV2",
        ("GET", _) if has("versions") => "ListObjectVersions",
        _ => return format!("{method} {query}"),
    }
    .to_owned()
}
