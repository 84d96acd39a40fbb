//! Ways into the parsers of requests, for the fuzz targets.

use std::{
    sync::{Arc, LazyLock},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, header::AUTHORIZATION};
use http_body_util::{Empty, combinators::MapErr};
use s3s::path::{S3Path, parse_path_style};

use super::{
    ChunkedDecoder, Gate, GateSettings, Query, percent,
    signature::{ALGORITHM, SignedRequest, Signer, SigningTime},
};
use crate::clients::Clients;

/// Clients of the gate; the first one signs.
const CLIENTS: &str = r#"
    [[client]]
    name = "fuzz"
    access_key_id = "AKIDFUZZ"
    secret_access_key = "secret-of-the-fuzz-targets"
    buckets = ["bucket-1", "bucket-2/allowed/"]

    [[client]]
    name = "other"
    access_key_id = "AKIDOTHER"
    secret_access_key = "secret-of-another-client"
    buckets = ["bucket-3"]
"#;
const ID: &str = "AKIDFUZZ";
const SECRET: &str = "secret-of-the-fuzz-targets";
const REGION: &str = "us-east-1";

static GATE: LazyLock<Gate> = LazyLock::new(|| {
    let clients = Arc::new(Clients::parse(CLIENTS).expect("clients"));
    Gate::new(GateSettings { clients, domains: vec!["example.com".into()], region: None })
});

type Body = MapErr<Empty<Bytes>, fn(std::convert::Infallible) -> std::io::Error>;

/// A request without its body.
#[derive(Debug, Clone)]
pub struct Head {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
}

/// A request that was admitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdmittedHead {
    /// Name of the operation.
    pub operation: &'static str,
    /// Bucket that the client may use.
    pub bucket: Option<String>,
    /// Key that the client may use.
    pub key: Option<String>,
    /// Source of a copy.
    pub copy_source: Option<(String, String)>,
    /// Bucket and key that the router of s3s sees.
    pub routed: (Option<String>, Option<String>),
}

impl Head {
    /// Parses a request line and header lines, as far as HTTP has them; `None` if it has not.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut lines = text.split("\r\n");
        let (method, uri) = lines.next()?.split_once(' ')?;
        let mut headers = HeaderMap::new();
        for line in lines {
            let (name, value) = line.split_once(':')?;
            let name: HeaderName = name.parse().ok()?;
            headers.append(name, HeaderValue::from_str(value.trim()).ok()?);
        }
        Some(Self { method: method.parse().ok()?, uri: uri.parse().ok()?, headers })
    }

    /// Signs the request as a client that the gate knows. Returns `None` if it cannot be signed.
    #[must_use]
    pub fn signed(mut self) -> Option<Self> {
        let time = SigningTime::of(now())?;
        self.headers.insert("x-amz-date", HeaderValue::try_from(time.to_string()).ok()?);
        let payload = self.headers.entry("x-amz-content-sha256");
        let payload = payload.or_insert(HeaderValue::from_static("UNSIGNED-PAYLOAD")).clone();
        self.headers.remove(AUTHORIZATION);
        let mut signed_headers: Vec<_> = self.headers.keys().map(ToString::to_string).collect();
        signed_headers.sort();
        let query = Query::parse(self.uri.query().unwrap_or_default()).ok()?.canonical(None);
        let canonical = SignedRequest {
            method: &self.method,
            query: &query,
            headers: &self.headers,
            host: self.headers.get("host")?.to_str().ok()?,
            signed_headers: &signed_headers,
            payload: payload.to_str().ok()?,
        }
        .canonical(self.uri.path());
        let signature = Signer::new(SECRET, time, REGION).request(&canonical);
        let authorization = format!(
            "{ALGORITHM} Credential={ID}/{}/{REGION}/s3/aws4_request, SignedHeaders={}, \
             Signature={signature}",
            time.day(),
            signed_headers.join(";"),
        );
        self.headers.insert(AUTHORIZATION, HeaderValue::try_from(authorization).ok()?);
        Some(self)
    }

    /// Asks the gate; `None` if it refuses.
    #[must_use]
    pub fn admit(self) -> Option<AdmittedHead> {
        let body: Body = http_body_util::BodyExt::map_err(Empty::new(), |never| match never {});
        let mut request = Request::new(body);
        *request.method_mut() = self.method;
        *request.uri_mut() = self.uri;
        *request.headers_mut() = self.headers;
        let admitted = GATE.admit(request, now()).ok()?;
        let path = percent::decode(admitted.request.uri().path()).expect("a canonical path");
        let routed = match parse_path_style(&path).expect("a path of S3") {
            S3Path::Root => (None, None),
            S3Path::Bucket { bucket } => (Some(bucket.into()), None),
            S3Path::Object { bucket, key } => (Some(bucket.into()), Some(key.into())),
        };
        Some(AdmittedHead {
            operation: admitted.operation.name(),
            bucket: admitted.bucket,
            key: admitted.key,
            copy_source: admitted.copy_source.map(|source| (source.bucket, source.key)),
            routed,
        })
    }
}

/// Decodes an unsigned aws-chunked body whose payload is announced with `len` bytes. Returns the pieces
/// of the payload; `None` if the body is malformed, or incomplete.
pub fn unsigned_payload(
    len: u64,
    trailers: Option<Vec<String>>,
    body: impl IntoIterator<Item = Bytes>,
) -> Option<Vec<Bytes>> {
    let mut decoder = ChunkedDecoder::new(len, None, trailers);
    let mut pieces = Vec::new();
    for mut input in body {
        while let Some(piece) = decoder.decode(&mut input).ok()? {
            pieces.push(piece);
        }
    }
    decoder.is_finished().then_some(pieces)
}

/// 2026-03-01T12:30:15Z.
fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_772_368_215)
}
