//! The gate: checks requests before anything else sees them.
//!
//! It authenticates the client, decides which bucket, key and operation a request names, refuses what
//! the gateway does not have, and hands on a request of one form, whose body is verified as it passes.

mod authentication;
mod body;
mod chunked;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod object_headers;
mod operation;
mod percent;
mod query;
mod refusal;
mod signature;
mod target;

use std::{error::Error, sync::Arc, time::SystemTime};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Request, Uri,
    header::{
        AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HOST,
        TRANSFER_ENCODING,
    },
};

use self::{
    authentication::{Authenticated, Payload, authenticate, header},
    body::Framing,
    chunked::ChunkedDecoder,
    operation::BodyKind,
    query::Query,
    refusal::refuse,
    target::{Target, bucket_of_host},
};
// Not all are used yet.
#[allow(unused_imports)]
pub(crate) use self::{
    body::{Digests, VerifiedBody},
    object_headers::ObjectHeaders,
    operation::Operation,
    refusal::{BodyError, Code, Refusal},
    target::CopySource,
};
use crate::{
    checksums::{ChecksumAlgorithm, Verifier, decode_md5, encode},
    clients::{ClientCredentials, Clients},
    names::is_hidden,
};

/// Maximum length of an object of one request, and of a part: 5 GiB.
const MAX_PAYLOAD_LEN: u64 = 5 << 30;
/// Maximum length of a body with its framing: 6 GiB, so chunks of 8 KiB and much smaller ones fit.
const MAX_FRAMED_LEN: u64 = 6 << 30;

/// Headers that may occur several times. All others are refused then: which one counts would depend
/// on the reader.
const REPEATABLE: [&str; 11] = [
    "accept",
    "accept-encoding",
    "accept-language",
    "connection",
    "content-encoding",
    "cookie",
    "forwarded",
    "te",
    "via",
    "x-forwarded-for",
    "x-forwarded-proto",
];
/// Headers of authentication and framing, which end at the gate.
const CONSUMED: [&str; 12] = [
    "authorization",
    "content-md5",
    "expect",
    "transfer-encoding",
    // The context has it.
    "x-amz-bypass-governance-retention",
    // The C++ SDK sends the version of S3's API.
    "x-amz-api-version",
    "x-amz-content-sha256",
    "x-amz-date",
    "x-amz-decoded-content-length",
    "x-amz-security-token",
    // The Java and Ruby SDKs accept an MD5 digest after the body, and do without it.
    "x-amz-te",
    "x-amz-trailer",
];
/// Headers that presigned URLs of some SDKs have as query parameters, like checksums. They change
/// nothing that is stored, and the query is signed.
const HOISTED: [&str; 2] = ["x-amz-checksum-mode", "x-amz-user-agent"];

/// Settings of the gate.
#[derive(Debug)]
pub(crate) struct GateSettings {
    /// Clients that may come.
    pub(crate) clients: Arc<Clients>,
    /// Domains in front of which hosts name a bucket.
    pub(crate) domains: Vec<String>,
    /// Region that signatures must be for. `None` admits any.
    pub(crate) region: Option<String>,
}

/// Checks requests before anything else sees them.
#[derive(Debug)]
pub(crate) struct Gate {
    clients: Arc<Clients>,
    domains: Vec<String>,
    region: Option<String>,
}

/// An admitted request.
#[derive(Debug)]
pub(crate) struct Admitted<B> {
    /// Operation.
    pub(crate) operation: Operation,
    /// Client. Its rules allow the bucket and key, the listed prefix, and the source of a copy. The
    /// keys that `DeleteObjects` names are for the operation to check.
    pub(crate) client: Arc<ClientCredentials>,
    /// Bucket.
    pub(crate) bucket: Option<String>,
    /// Key.
    pub(crate) key: Option<String>,
    /// Source of a copy.
    pub(crate) copy_source: Option<CopySource>,
    /// Headers that describe the object, where s3s would read them otherwise than S3.
    pub(crate) object_headers: ObjectHeaders,
    /// `true` if versions that are retained in governance mode are to be deleted, too. The client may.
    pub(crate) bypasses_governance: bool,
    /// `true` if the request is that of a presigned URL.
    pub(crate) is_presigned: bool,
    /// Request in the form for s3s: the URI is path-style and encoded canonically; authentication,
    /// framing, and the checksums that the gate verifies are removed; `Content-Length` is that of the
    /// payload.
    pub(crate) request: Request<VerifiedBody<B>>,
    /// Checksum that the client announces of the plaintext, complete once the body has ended.
    pub(crate) digests: Digests,
}

impl<B> Admitted<B> {
    /// Returns the length of the document that the body is, in bytes: 0 for plaintext, or no body.
    pub(crate) fn document_len(&self) -> u64 {
        let len = self.request.headers().get(CONTENT_LENGTH).and_then(|len| len.to_str().ok());
        match self.operation.body() {
            BodyKind::Xml(_) => len.and_then(|len| len.parse().ok()).unwrap_or_default(),
            BodyKind::Empty | BodyKind::Payload => 0,
        }
    }
}

impl Gate {
    /// Creates a gate.
    pub(crate) fn new(settings: GateSettings) -> Self {
        let GateSettings { clients, domains, region } = settings;
        let domains = domains.iter().map(|it| it.to_ascii_lowercase()).collect();
        Self { clients, domains, region }
    }

    /// Admits a request, or refuses it before any of its body is read.
    pub(crate) fn admit<B>(
        &self,
        request: Request<B>,
        now: SystemTime,
    ) -> Result<Admitted<B>, Refusal>
    where
        B: http_body::Body<Data = Bytes>,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let (mut parts, body) = request.into_parts();
        check_method(&parts.method)?;
        check_repeated(&parts.headers)?;
        refuse_form(&parts.method, &parts.headers)?;
        let host = host_of(&parts.uri, &parts.headers)?;
        let mut query = Query::parse(parts.uri.query().unwrap_or_default())?;
        let signed = authentication::Request {
            method: &parts.method,
            path: parts.uri.path(),
            headers: &parts.headers,
            host: &host,
        };
        let region = self.region.as_deref();
        let authenticated = authenticate(&signed, &mut query, &self.clients, region, now)?;

        let host_bucket = bucket_of_host(&host, &self.domains)?;
        let target = Target::parse(host_bucket.as_deref(), parts.uri.path())?;
        query.take("x-id");
        if authenticated.is_presigned {
            move_to_headers(&mut query, &mut parts.headers)?;
        }
        let operation = Operation::of(&parts.method, &target, &query, &parts.headers)?;
        operation.check(&query, &parts.headers)?;
        let copy_source = match header(&parts.headers, "x-amz-copy-source")? {
            Some(source) if operation.is_copy() => Some(CopySource::parse(source)?),
            _ => None,
        };
        let prefix = query.get("prefix").unwrap_or_default();
        authorize(&authenticated.client, operation, &target, prefix, copy_source.as_ref())?;

        let bypasses_governance = bypasses_governance(&authenticated.client, &parts.headers)?;
        let object_headers = ObjectHeaders::take(operation, &mut parts.headers, &mut query)?;
        let length = announced_length(operation, authenticated.payload, &parts.headers)?;
        let checks = Checks::of(operation, authenticated.payload, &parts.headers)?;
        strip_headers(&mut parts.headers, operation, authenticated.payload, length)?;
        if !parts.headers.contains_key(HOST) {
            let host = HeaderValue::try_from(host).expect("an authority is a valid header");
            parts.headers.insert(HOST, host);
        }
        if let Some(source) = &copy_source {
            // Canonical, so that no other source can be read from it.
            let source = HeaderValue::try_from(source.header());
            let source = source.expect("percent-encoded text is a valid header");
            parts.headers.insert("x-amz-copy-source", source);
        }
        parts.uri = uri_of(&target, &query)?;

        let Authenticated { client, is_presigned, payload, signer, signature } = authenticated;
        let Checks { verifier, digests, trailers } = checks;
        let body = match payload {
            Payload::Chunked { is_signed, has_trailers } => {
                let signer = is_signed.then_some((signer, signature));
                let trailers = has_trailers.then_some(trailers);
                let decoder = ChunkedDecoder::new(length, signer, trailers);
                let framing = Framing::Chunked(Box::new(decoder));
                VerifiedBody::new(body, framing, length, verifier, digests.clone())
            }
            // It is not read, so it is verified at once.
            _ if length == 0 => {
                let verified = digests.complete(verifier);
                verified.map_err(|error| Refusal::new(error.code(), error.to_string()))?;
                VerifiedBody::empty()
            }
            _ => VerifiedBody::new(body, Framing::Plain, length, verifier, digests.clone()),
        };
        Ok(Admitted {
            operation,
            client,
            bucket: target.bucket,
            key: target.key,
            copy_source,
            object_headers,
            bypasses_governance,
            is_presigned,
            request: Request::from_parts(parts, body),
            digests,
        })
    }
}

fn check_method(method: &Method) -> Result<(), Refusal> {
    match *method {
        Method::GET | Method::HEAD | Method::PUT | Method::POST | Method::DELETE => Ok(()),
        _ => refuse(Code::MethodNotAllowed, "the gateway has no such method"),
    }
}

fn check_repeated(headers: &HeaderMap) -> Result<(), Refusal> {
    for name in headers.keys().map(http::HeaderName::as_str) {
        if !REPEATABLE.contains(&name) && headers.get_all(name).iter().count() > 1 {
            return refuse(Code::InvalidRequest, format!("the header {name} occurs twice"));
        }
    }
    Ok(())
}

/// Refuses forms of browsers, whose policy is in the body.
fn refuse_form(method: &Method, headers: &HeaderMap) -> Result<(), Refusal> {
    let content_type = headers.get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    let is_form = content_type.trim_ascii_start().get(.."multipart/".len());
    if method == Method::POST && is_form.is_some_and(|it| it.eq_ignore_ascii_case(b"multipart/")) {
        return refuse(Code::NotImplemented, "the gateway takes no forms");
    }
    Ok(())
}

/// Returns the host, from the header or, for HTTP/2, from the URI.
fn host_of(uri: &Uri, headers: &HeaderMap) -> Result<String, Refusal> {
    let authority = uri.authority().map(http::uri::Authority::as_str);
    if authority.is_some_and(|it| it.contains('@')) || !uri.path().starts_with('/') {
        return refuse(Code::InvalidURI, "the URI has another form than a path");
    }
    match (header(headers, HOST.as_str())?, authority) {
        (Some(host), Some(authority)) if !host.eq_ignore_ascii_case(authority) => {
            refuse(Code::InvalidRequest, "the URI and the Host header name different hosts")
        }
        (Some(host), _) | (None, Some(host)) if !host.is_empty() => Ok(host.into()),
        _ => refuse(Code::InvalidRequest, "the Host header is missing"),
    }
}

fn move_to_headers(query: &mut Query, headers: &mut HeaderMap) -> Result<(), Refusal> {
    let mut take = |name| query.take_header(name).map(|value| (name, value));
    let mut moved: Vec<_> = HOISTED.into_iter().filter_map(&mut take).collect();
    let algorithm = take("x-amz-sdk-checksum-algorithm");
    let checksums = ChecksumAlgorithm::ALL.into_iter().filter_map(|algorithm| {
        // Without a body to sign, the SDK for JavaScript signs the checksum of an empty one. S3
        // ignores it.
        let of_nothing = || encode(&algorithm.hasher().finish());
        take(algorithm.header()).filter(|(_, value)| *value != of_nothing())
    });
    let checksums: Vec<_> = checksums.collect();
    if !checksums.is_empty() {
        moved.extend(checksums.into_iter().chain(algorithm));
    }
    for (name, value) in moved {
        let Ok(value) = HeaderValue::try_from(value) else {
            return refuse(Code::InvalidArgument, format!("{name} is not a valid header"));
        };
        if headers.insert(name, value).is_some() {
            let message = format!("{name} is both a header and a query parameter");
            return refuse(Code::InvalidArgument, message);
        }
    }
    Ok(())
}

fn authorize(
    client: &ClientCredentials,
    operation: Operation,
    target: &Target,
    prefix: &str,
    copy_source: Option<&CopySource>,
) -> Result<(), Refusal> {
    let denied = |message: String| refuse(Code::AccessDenied, message);
    if operation.is_write() && client.is_read_only() {
        return denied(format!("the client may only read, not {}", operation.name()));
    }
    let allows =
        |bucket: &str, key: &str, write| !is_hidden(key) && client.allows(bucket, key, write);
    let is_allowed = match (&target.bucket, &target.key) {
        (Some(bucket), Some(key)) => allows(bucket, key, operation.is_write()),
        (Some(bucket), None) if operation.is_listing() => allows(bucket, prefix, false),
        (Some(bucket), None) => client.allows_bucket(bucket),
        (None, _) => true,
    };
    if !is_allowed {
        let what = if operation.is_listing() { "prefix" } else { "bucket or key" };
        return denied(format!("the client may not {} with this {what}", operation.name()));
    }
    match copy_source {
        Some(source) if !allows(&source.bucket, &source.key, false) => {
            denied("the client may not read the source of the copy".into())
        }
        _ => Ok(()),
    }
}

/// Returns `true` if the request is to delete versions that are retained in governance mode.
///
/// Such a retention guards the bucket from those who may write, so that is not enough: the file of
/// clients must say that this client may.
fn bypasses_governance(client: &ClientCredentials, headers: &HeaderMap) -> Result<bool, Refusal> {
    const NAME: &str = "x-amz-bypass-governance-retention";
    match header(headers, NAME)? {
        None => Ok(false),
        Some(value) if value.eq_ignore_ascii_case("false") => Ok(false),
        Some(value) if !value.eq_ignore_ascii_case("true") => {
            refuse(Code::InvalidArgument, format!("{NAME} must be true or false"))
        }
        Some(_) if client.may_bypass_governance() => Ok(true),
        Some(_) => refuse(
            Code::AccessDenied,
            format!("the client may not use {NAME}: its entry lacks bypass_governance = true"),
        ),
    }
}

/// Returns the length of the payload in bytes.
fn announced_length(
    operation: Operation,
    payload: Payload,
    headers: &HeaderMap,
) -> Result<u64, Refusal> {
    let length_in = |name| match header(headers, name)? {
        None => Ok(None),
        Some(text) if !text.is_empty() && text.bytes().all(|it| it.is_ascii_digit()) => {
            // Numbers beyond 64 bits are too large in any case.
            Ok(Some(text.parse().unwrap_or(u64::MAX)))
        }
        Some(_) => refuse(Code::InvalidArgument, format!("{name} must be a number")),
    };
    let length = length_in(CONTENT_LENGTH.as_str())?;
    let decoded = length_in("x-amz-decoded-content-length")?;
    let encoding = header(headers, TRANSFER_ENCODING.as_str())?;
    if encoding.is_some() && length.is_some() {
        let message = "Content-Length and Transfer-Encoding exclude each other";
        return refuse(Code::InvalidRequest, message);
    }
    if encoding.is_some_and(|it| !it.eq_ignore_ascii_case("chunked")) {
        return refuse(Code::NotImplemented, "Transfer-Encoding must be chunked");
    }
    let max = match operation.body() {
        BodyKind::Empty => {
            if length.unwrap_or(0) > 0 || encoding.is_some() || decoded.unwrap_or(0) > 0 {
                let message = format!("{} takes no body", operation.name());
                return refuse(Code::InvalidRequest, message);
            }
            if matches!(payload, Payload::Chunked { .. }) {
                let message = format!("{} takes no aws-chunked body", operation.name());
                return refuse(Code::InvalidRequest, message);
            }
            0
        }
        BodyKind::Payload => MAX_PAYLOAD_LEN,
        BodyKind::Xml(max) => max,
    };
    let too_large = || refuse(Code::EntityTooLarge, format!("the body has more than {max} bytes"));
    let missing = |name| refuse(Code::MissingContentLength, format!("{name} is required"));
    match (payload, decoded, length) {
        (Payload::Chunked { .. }, None, _) => missing("x-amz-decoded-content-length"),
        (Payload::Chunked { .. }, Some(decoded), _) if decoded > max => too_large(),
        (Payload::Chunked { .. }, Some(decoded), Some(length)) if length < decoded => {
            let message = "Content-Length is less than x-amz-decoded-content-length";
            refuse(Code::IncompleteBody, message)
        }
        (Payload::Chunked { .. }, _, Some(length)) if length > MAX_FRAMED_LEN => too_large(),
        (Payload::Chunked { .. }, Some(decoded), _) => Ok(decoded),
        (_, Some(_), _) => {
            let message = "x-amz-decoded-content-length is for aws-chunked bodies";
            refuse(Code::InvalidRequest, message)
        }
        (_, None, None) if operation.body() == BodyKind::Empty => Ok(0),
        (_, None, None) => missing("Content-Length"),
        (_, None, Some(length)) if length > max => too_large(),
        (_, None, Some(length)) => Ok(length),
    }
}

/// Digests that the body must have.
struct Checks {
    verifier: Verifier,
    digests: Digests,
    /// Names of the trailers, in lower case.
    trailers: Vec<String>,
}

impl Checks {
    fn of(operation: Operation, payload: Payload, headers: &HeaderMap) -> Result<Self, Refusal> {
        let md5 = match header(headers, "content-md5")? {
            None => None,
            Some(value) => match decode_md5(value) {
                Some(digest) => Some(digest),
                None => return refuse(Code::InvalidDigest, "Content-MD5 is not valid"),
            },
        };
        let trailers = announced_trailers(payload, headers)?;
        let (algorithm, value) = match operation.has_checksum_of_body() {
            true => announced_checksum(headers, &trailers)?,
            false => {
                if !trailers.is_empty() {
                    let message = format!("{} takes no trailers", operation.name());
                    return refuse(Code::InvalidRequest, message);
                }
                checksum_in_headers(headers, true)?;
                (None, None)
            }
        };
        let content_sha256 = match payload {
            Payload::Sha256(digest) => Some(digest),
            _ => None,
        };
        Ok(Self {
            verifier: Verifier::new(content_sha256, md5, algorithm),
            digests: Digests::new(algorithm, value),
            trailers,
        })
    }
}

/// Returns the names in `x-amz-trailer`.
fn announced_trailers(payload: Payload, headers: &HeaderMap) -> Result<Vec<String>, Refusal> {
    let Some(names) = header(headers, "x-amz-trailer")? else { return Ok(Vec::new()) };
    if !matches!(payload, Payload::Chunked { has_trailers: true, .. }) {
        let message = "x-amz-trailer needs an x-amz-content-sha256 that ends in -TRAILER";
        return refuse(Code::InvalidRequest, message);
    }
    let names: Vec<_> = names.split(',').map(|name| name.trim().to_ascii_lowercase()).collect();
    // S3 has no other trailers.
    match names.iter().all(|name| ChecksumAlgorithm::from_header(name).is_some()) {
        true => Ok(names),
        false => {
            let message = "The value specified in the x-amz-trailer header is not supported";
            refuse(Code::InvalidRequest, message)
        }
    }
}

/// Returns the checksum among the headers. There may be one. That of an object may be the digest of
/// its parts' digests, with the number of parts after a hyphen.
fn checksum_in_headers(
    headers: &HeaderMap,
    is_of_object: bool,
) -> Result<Option<(ChecksumAlgorithm, Vec<u8>)>, Refusal> {
    let mut checksum = None;
    for algorithm in ChecksumAlgorithm::ALL {
        let Some(value) = header(headers, algorithm.header())? else { continue };
        let digest = match value.split_once('-') {
            Some((digest, _)) if is_of_object => digest,
            _ => value,
        };
        let Some(digest) = algorithm.decode(digest) else {
            let message = format!("Value for {} header is invalid.", algorithm.header());
            return refuse(Code::InvalidRequest, message);
        };
        if checksum.replace((algorithm, digest)).is_some() {
            return refuse_second_checksum();
        }
    }
    Ok(checksum)
}

fn refuse_second_checksum<T>() -> Result<T, Refusal> {
    refuse(Code::InvalidRequest, "Expecting a single x-amz-checksum- header")
}

/// Returns algorithm and value of the body's checksum. A trailer's value is not known yet.
fn announced_checksum(
    headers: &HeaderMap,
    trailers: &[String],
) -> Result<(Option<ChecksumAlgorithm>, Option<Vec<u8>>), Refusal> {
    let mut algorithms = trailers.iter().filter_map(|name| ChecksumAlgorithm::from_header(name));
    let in_trailer = algorithms.next();
    let in_header = checksum_in_headers(headers, false)?;
    if algorithms.next().is_some() || (in_trailer.is_some() && in_header.is_some()) {
        return refuse_second_checksum();
    }
    let algorithm = in_trailer.or(in_header.as_ref().map(|(algorithm, _)| *algorithm));
    for name in ["x-amz-sdk-checksum-algorithm", "x-amz-checksum-algorithm"] {
        let Some(value) = header(headers, name)? else { continue };
        let Some(named) = ChecksumAlgorithm::from_name(value) else {
            return refuse(Code::InvalidRequest, format!("Value for {name} header is invalid."));
        };
        if algorithm != Some(named) {
            let message = format!(
                "{name} specified, but no corresponding x-amz-checksum-* or x-amz-trailer headers \
                 were found."
            );
            return refuse(Code::InvalidRequest, message);
        }
    }
    Ok((algorithm, in_header.map(|(_, value)| value)))
}

/// Removes the headers that end at the gate, and sets the length of the payload.
fn strip_headers(
    headers: &mut HeaderMap,
    operation: Operation,
    payload: Payload,
    length: u64,
) -> Result<(), Refusal> {
    let mut codings = Vec::new();
    for value in headers.get_all(CONTENT_ENCODING) {
        let Ok(value) = value.to_str() else {
            return refuse(Code::InvalidRequest, "the header content-encoding is not ASCII");
        };
        codings.extend(value.split(',').map(|it| it.trim().to_owned()));
    }
    let is_framing = |coding: &String| coding.eq_ignore_ascii_case("aws-chunked");
    if codings.iter().any(is_framing) && !matches!(payload, Payload::Chunked { .. }) {
        let message = "aws-chunked bodies need an x-amz-content-sha256 that begins with STREAMING";
        return refuse(Code::InvalidRequest, message);
    }
    codings.retain(|it| !is_framing(it) && !it.is_empty());
    headers.remove(CONTENT_ENCODING);
    if !codings.is_empty() {
        let value = HeaderValue::try_from(codings.join(","));
        headers.insert(CONTENT_ENCODING, value.expect("pieces of a header are valid"));
    }
    for name in CONSUMED {
        headers.remove(name);
    }
    if operation.has_checksum_of_body() {
        for algorithm in ChecksumAlgorithm::ALL {
            headers.remove(algorithm.header());
        }
        headers.remove("x-amz-checksum-algorithm");
        headers.remove("x-amz-sdk-checksum-algorithm");
    }
    debug_assert!(!headers.contains_key(AUTHORIZATION) && !headers.contains_key(EXPECT));
    match operation.body() {
        BodyKind::Empty => headers.remove(CONTENT_LENGTH),
        _ => headers.insert(CONTENT_LENGTH, HeaderValue::from(length)),
    };
    Ok(())
}

/// Returns the canonical URI of a path-style request.
fn uri_of(target: &Target, query: &Query) -> Result<Uri, Refusal> {
    let path = target.path();
    let query = query.canonical(None);
    let uri = if query.is_empty() { path } else { format!("{path}?{query}") };
    // Encoded, the query may be longer than a URI can be.
    Uri::try_from(uri).or_else(|_| refuse(Code::InvalidURI, "the query is too long"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
