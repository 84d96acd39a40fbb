//! Tests of the gate as a whole: each refusal has its exact code.

mod allow_lists;
mod bodies;
mod properties;
mod refusals;
mod routing;
mod vectors;

use std::{
    convert::Infallible,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use sha2::{Digest as _, Sha256};

use super::{
    signature::{ALGORITHM, SignedRequest, Signer, SigningTime, hex},
    *,
};

/// 2026-03-01T12:30:15Z.
const NOW: u64 = 1_772_368_215;
const ID: &str = "AKIDTEST";
const SECRET: &str = "secret-of-the-test";
const CLIENTS: &str = r#"
    [[client]]
    name = "test"
    access_key_id = "AKIDTEST"
    secret_access_key = "secret-of-the-test"
    buckets = ["bucket-1", "bucket-2/allowed/"]

    [[client]]
    name = "reader"
    access_key_id = "AKIDREADER"
    secret_access_key = "secret-of-the-test"
    buckets = ["bucket-1"]
    read_only = true

    [[client]]
    name = "keeper"
    access_key_id = "AKIDKEEPER"
    secret_access_key = "secret-of-the-test"
    buckets = ["bucket-1"]
    bypass_governance = true

    [[client]]
    name = "vectors"
    access_key_id = "AKIDVECTORS"
    secret_access_key = "vectors/secret+key/0123456789abcdefghijk"
    buckets = ["bucket-1"]
"#;

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(NOW)
}

fn gate(domains: &[&str]) -> Gate {
    Gate::new(GateSettings {
        clients: Arc::new(Clients::parse(CLIENTS).unwrap()),
        domains: domains.iter().map(ToString::to_string).collect(),
        region: None,
    })
}

/// A body that arrives in those frames.
type TestBody =
    StreamBody<futures_util::stream::Iter<std::vec::IntoIter<Result<Frame<Bytes>, Infallible>>>>;

fn body(frames: impl IntoIterator<Item = Bytes>) -> TestBody {
    let frames: Vec<_> = frames.into_iter().map(|it| Ok(Frame::data(it))).collect();
    StreamBody::new(futures_util::stream::iter(frames))
}

/// Reads a body. Returns the pieces before its end or its error.
fn read<B>(mut body: VerifiedBody<B>) -> (Vec<Bytes>, Result<(), Code>)
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let mut pieces = Vec::new();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        while let Some(frame) = body.frame().await {
            match frame {
                Ok(frame) => pieces.push(frame.into_data().unwrap()),
                Err(error) => {
                    assert!(body.frame().await.is_none(), "nothing follows an error");
                    return (pieces, Err(error.code()));
                }
            }
        }
        (pieces, Ok(()))
    })
}

/// A client of the tests: builds requests and signs them.
#[derive(Debug, Clone)]
struct TestRequest {
    method: Method,
    /// Path and query as sent.
    uri: String,
    headers: Vec<(String, Vec<u8>)>,
    /// Headers that are added after signing.
    unsigned: Vec<(String, Vec<u8>)>,
    host: String,
    body: Vec<Bytes>,
    id: String,
    secret: String,
    time: u64,
    region: String,
}

impl TestRequest {
    fn new(method: &str, uri: &str) -> Self {
        Self {
            method: method.parse().unwrap(),
            uri: uri.into(),
            headers: Vec::new(),
            unsigned: Vec::new(),
            host: "localhost:9000".into(),
            body: Vec::new(),
            id: ID.into(),
            secret: SECRET.into(),
            time: NOW,
            region: "us-east-1".into(),
        }
    }

    fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    fn unsigned(mut self, name: &str, value: &str) -> Self {
        self.unsigned.push((name.into(), value.into()));
        self
    }

    fn on(mut self, host: &str) -> Self {
        self.host = host.into();
        self
    }

    fn of(mut self, id: &str) -> Self {
        self.id = id.into();
        self
    }

    /// Sets the body and its length.
    fn body(mut self, body: &[u8]) -> Self {
        self.body = vec![Bytes::copy_from_slice(body)];
        self.with("content-length", &body.len().to_string())
    }

    fn header_map(headers: &[(String, Vec<u8>)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let name: HeaderName = name.parse().unwrap();
            map.append(name, HeaderValue::from_bytes(value).unwrap());
        }
        map
    }

    fn signer(&self) -> Signer {
        let time = UNIX_EPOCH + Duration::from_secs(self.time);
        Signer::new(&self.secret, SigningTime::of(time).unwrap(), &self.region)
    }

    fn date(&self) -> String {
        SigningTime::of(UNIX_EPOCH + Duration::from_secs(self.time)).unwrap().to_string()
    }

    fn credential(&self) -> String {
        format!("{}/{}/{}/s3/aws4_request", self.id, &self.date()[..8], self.region)
    }

    /// Signs in the header. Returns the signature, too.
    fn signed(self) -> (Request<TestBody>, String) {
        let mut headers = self.headers.clone();
        let mut add = |name: &str, value: String| {
            if !headers.iter().any(|(other, _)| other == name) {
                headers.push((name.into(), value.into_bytes()));
            }
        };
        add("host", self.host.clone());
        add("x-amz-date", self.date());
        let body: Vec<u8> = self.body.concat();
        add("x-amz-content-sha256", hex(&Sha256::digest(&body)));
        let map = Self::header_map(&headers);
        let mut names: Vec<_> = map.keys().map(ToString::to_string).collect();
        names.sort();
        let (path, query) = self.uri.split_once('?').unwrap_or((&self.uri, ""));
        let query = Query::parse(query).map(|it| it.canonical(None)).unwrap_or_default();
        let canonical = SignedRequest {
            method: &self.method,
            query: &query,
            headers: &map,
            host: &self.host,
            signed_headers: &names,
            payload: map["x-amz-content-sha256"].to_str().unwrap(),
        }
        .canonical(path);
        let signature = self.signer().request(&canonical);
        headers.extend(self.unsigned.clone());
        let authorization = format!(
            "{ALGORITHM} Credential={}, SignedHeaders={}, Signature={signature}",
            self.credential(),
            names.join(";"),
        );
        headers.push(("authorization".into(), authorization.into_bytes()));
        (self.request(&self.uri, &headers), signature)
    }

    /// Signs in the query, with `X-Amz-Expires=expires`.
    fn presigned(self, expires: &str) -> Request<TestBody> {
        let mut headers = self.headers.clone();
        headers.push(("host".into(), self.host.clone().into_bytes()));
        let map = Self::header_map(&headers);
        let mut names: Vec<_> = map.keys().map(ToString::to_string).collect();
        names.sort();
        let (path, query) = self.uri.split_once('?').unwrap_or((&self.uri, ""));
        let separator = if query.is_empty() { "" } else { "&" };
        let query = format!(
            "{query}{separator}X-Amz-Algorithm={ALGORITHM}&X-Amz-Credential={}&X-Amz-Date={}\
             &X-Amz-Expires={expires}&X-Amz-SignedHeaders={}",
            percent::encode(&self.credential()),
            self.date(),
            percent::encode(&names.join(";")),
        );
        let parsed = Query::parse(&query).unwrap();
        let payload = map
            .get("x-amz-content-sha256")
            .map(|it| it.to_str().unwrap())
            .or(parsed.get("X-Amz-Content-Sha256"))
            .unwrap_or("UNSIGNED-PAYLOAD");
        let canonical = SignedRequest {
            method: &self.method,
            query: &parsed.canonical(None),
            headers: &map,
            host: &self.host,
            signed_headers: &names,
            payload,
        }
        .canonical(path);
        let signature = self.signer().request(&canonical);
        headers.extend(self.unsigned.clone());
        self.request(&format!("{path}?{query}&X-Amz-Signature={signature}"), &headers)
    }

    fn request(&self, uri: &str, headers: &[(String, Vec<u8>)]) -> Request<TestBody> {
        let mut request = Request::new(body(self.body.clone()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = uri.parse().unwrap();
        *request.headers_mut() = Self::header_map(headers);
        request
    }

    /// Signs in the header, and asks the gate.
    fn admit(self) -> Result<Admitted<TestBody>, Refusal> {
        gate(&[]).admit(self.signed().0, now())
    }

    /// Returns the code of the refusal.
    fn code(self) -> Code {
        code(self.admit())
    }
}

fn code(admitted: Result<Admitted<TestBody>, Refusal>) -> Code {
    match admitted {
        Ok(admitted) => panic!("admitted: {admitted:?}"),
        Err(refusal) => {
            assert!(!refusal.to_string().contains(SECRET));
            refusal.code()
        }
    }
}
