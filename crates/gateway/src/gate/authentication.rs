//! Authentication of requests by Signature Version 4, in the header or in the query.

use std::{sync::Arc, time::SystemTime};

use http::{HeaderMap, Method};

use super::{
    percent::encode_path,
    query::Query,
    refusal::{Code, Refusal, refuse},
    signature::{ALGORITHM, SignedRequest, Signer, SigningTime, decode_sha256, is_equal},
};
use crate::clients::{ClientCredentials, Clients};

/// Maximum difference of the clocks in seconds: 15 minutes.
const MAX_SKEW: i64 = 15 * 60;
/// Longest validity of a presigned URL in seconds: 7 days.
const MAX_EXPIRES: i64 = 7 * 24 * 60 * 60;
/// Stands in for the secret of an unknown access key ID, so that the answer takes as long.
const NO_SECRET: &str = "0000000000000000000000000000000000000000";
/// Answer to Signature Version 2, in the words of S3.
const ONLY_V4: &str = "The authorization mechanism you have provided is not supported. \
                       Please use AWS4-HMAC-SHA256.";

/// Query parameters of a presigned URL. All but the last are required.
const PRESIGNED: [&str; 7] = [
    "X-Amz-Algorithm",
    "X-Amz-Credential",
    "X-Amz-Date",
    "X-Amz-Expires",
    "X-Amz-SignedHeaders",
    "X-Amz-Signature",
    "X-Amz-Content-Sha256",
];

/// Way in which the body is authenticated: `x-amz-content-sha256`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Payload {
    /// The body has that digest.
    Sha256([u8; 32]),
    /// Not at all.
    Unsigned,
    /// The body is aws-chunked.
    Chunked {
        /// `true` if each chunk has a signature.
        is_signed: bool,
        /// `true` if trailers may follow.
        has_trailers: bool,
    },
}

impl Payload {
    fn parse(value: &str) -> Result<Self, Refusal> {
        match value {
            "UNSIGNED-PAYLOAD" => Ok(Self::Unsigned),
            "STREAMING-AWS4-HMAC-SHA256-PAYLOAD" => {
                Ok(Self::Chunked { is_signed: true, has_trailers: false })
            }
            "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER" => {
                Ok(Self::Chunked { is_signed: true, has_trailers: true })
            }
            "STREAMING-UNSIGNED-PAYLOAD-TRAILER" => {
                Ok(Self::Chunked { is_signed: false, has_trailers: true })
            }
            _ if value.starts_with("STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD") => {
                refuse(Code::NotImplemented, "Signature Version 4A is not supported")
            }
            _ => match decode_sha256(value) {
                Some(digest) => Ok(Self::Sha256(digest)),
                None => refuse(
                    Code::InvalidArgument,
                    "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, one of the STREAMING values, \
                     or a SHA-256 digest in lower-case hexadecimal digits",
                ),
            },
        }
    }
}

/// An authenticated request.
#[derive(Debug)]
pub(super) struct Authenticated {
    pub(super) client: Arc<ClientCredentials>,
    pub(super) is_presigned: bool,
    pub(super) payload: Payload,
    /// Signs the chunks of the body.
    pub(super) signer: Signer,
    /// Signature of the request, with which the chain of the chunks' signatures begins.
    pub(super) signature: String,
}

/// A request to authenticate.
#[derive(Debug)]
pub(super) struct Request<'a> {
    pub(super) method: &'a Method,
    pub(super) path: &'a str,
    pub(super) headers: &'a HeaderMap,
    pub(super) host: &'a str,
}

/// Claims of a request: who signed what, and when.
struct Claims {
    credential: String,
    time: SigningTime,
    signed_headers: String,
    signature: String,
    payload: String,
    /// Canonical query.
    query: String,
    /// Code for malformed claims.
    malformed: Code,
}

/// Authenticates a request, and removes the parameters of authentication from the query.
pub(super) fn authenticate(
    request: &Request<'_>,
    query: &mut Query,
    clients: &Clients,
    region: Option<&str>,
    now: SystemTime,
) -> Result<Authenticated, Refusal> {
    let headers = request.headers;
    let is_presigned = PRESIGNED.iter().any(|name| query.get(name).is_some());
    let authorization = header(headers, "authorization")?;
    if headers.contains_key("x-amz-security-token") || query.get("X-Amz-Security-Token").is_some() {
        return refuse(Code::InvalidToken, "the gateway issues no session tokens");
    }
    let is_v2 = ["Signature", "AWSAccessKeyId"].iter().any(|name| query.get(name).is_some());
    let claims = match authorization {
        Some(_) if is_presigned || is_v2 => {
            let message = "Only one auth mechanism allowed";
            return refuse(Code::InvalidArgument, message);
        }
        _ if is_v2 => return refuse(Code::InvalidRequest, ONLY_V4),
        Some(authorization) => {
            let claims = claims_of_header(authorization, headers, query)?;
            if claims.time.age(now).saturating_abs() > MAX_SKEW {
                let message = "the clocks of client and gateway differ by more than 15 minutes";
                return refuse(Code::RequestTimeTooSkewed, message);
            }
            claims
        }
        None if is_presigned => claims_of_query(headers, query, now)?,
        None => return refuse(Code::AccessDenied, "the request is not signed"),
    };
    let (id, request_region) = parse_credential(&claims, region)?;
    let signed_headers = parse_signed_headers(&claims, headers)?;
    let payload = Payload::parse(&claims.payload)?;
    if is_presigned && matches!(payload, Payload::Chunked { .. }) {
        return refuse(Code::NotImplemented, "presigned URLs take no aws-chunked bodies");
    }

    let client = clients.find(id);
    let secret = client.as_ref().map_or(NO_SECRET, |client| client.secret());
    let signer = Signer::new(secret, claims.time, request_region);
    let signed = SignedRequest {
        method: request.method,
        query: &claims.query,
        headers,
        host: request.host,
        signed_headers: &signed_headers,
        payload: &claims.payload,
    };
    // The signature covers the path encoded canonically. Clients that encode otherwise, or not at
    // all, sign what they send; both forms decode to one key.
    let decoded = super::percent::decode(request.path);
    let path = encode_path(&decoded.ok_or_else(invalid_path)?);
    let matches = |path| is_equal(&signer.request(&signed.canonical(path)), &claims.signature);
    let is_match = matches(&path) || (path != request.path && matches(request.path));
    match client {
        None => refuse(Code::InvalidAccessKeyId, "no client has this access key ID"),
        Some(_) if !is_match => refuse(
            Code::SignatureDoesNotMatch,
            "the request's signature is wrong: check the secret access key and the request",
        ),
        Some(client) => {
            let signature = claims.signature;
            Ok(Authenticated { client, is_presigned, payload, signer, signature })
        }
    }
}

/// Returns a header's value. Headers that the gate reads occur once.
pub(super) fn header<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, Refusal> {
    match headers.get(name).map(http::HeaderValue::to_str) {
        None => Ok(None),
        Some(Ok(value)) => Ok(Some(value.trim())),
        Some(Err(_)) => refuse(Code::InvalidRequest, format!("the header {name} is not ASCII")),
    }
}

fn invalid_path() -> Refusal {
    Refusal::new(Code::InvalidURI, "the path is not percent-encoded UTF-8")
}

fn claims_of_header(
    authorization: &str,
    headers: &HeaderMap,
    query: &Query,
) -> Result<Claims, Refusal> {
    let malformed = |message: &str| Refusal::new(Code::AuthorizationHeaderMalformed, message);
    let (scheme, fields) = authorization.split_once([' ', '\t']).unwrap_or((authorization, ""));
    match scheme {
        ALGORITHM => {}
        "AWS" => return refuse(Code::InvalidRequest, ONLY_V4),
        "AWS4-ECDSA-P256-SHA256" => {
            return refuse(Code::NotImplemented, "Signature Version 4A is not supported");
        }
        _ => return refuse(Code::InvalidArgument, "Unsupported Authorization Type"),
    }
    let [mut credential, mut signed_headers, mut signature] = [const { None }; 3];
    for field in fields.split(',') {
        let (name, value) =
            field.trim().split_once('=').ok_or_else(|| malformed("a field has no value"))?;
        let slot = match name {
            "Credential" => &mut credential,
            "SignedHeaders" => &mut signed_headers,
            "Signature" => &mut signature,
            _ => return Err(malformed("a field is unknown")),
        };
        if slot.replace(value.to_owned()).is_some() {
            return Err(malformed("a field occurs twice"));
        }
    }
    let missing = || malformed("Credential, SignedHeaders and Signature are required");
    let time = match (header(headers, "x-amz-date")?, header(headers, "date")?) {
        (Some(date), _) => SigningTime::parse(date),
        (None, Some(date)) => SigningTime::parse_http(date).or_else(|| SigningTime::parse(date)),
        (None, None) => None,
    };
    let no_date = "AWS authentication requires a valid Date or x-amz-date header";
    let no_payload = "Missing required header for this request: x-amz-content-sha256";
    let payload = header(headers, "x-amz-content-sha256")?;
    Ok(Claims {
        credential: credential.ok_or_else(missing)?,
        signed_headers: signed_headers.ok_or_else(missing)?,
        signature: signature.ok_or_else(missing)?,
        time: time.ok_or_else(|| Refusal::new(Code::AccessDenied, no_date))?,
        payload: payload.ok_or_else(|| Refusal::new(Code::InvalidRequest, no_payload))?.into(),
        query: query.canonical(None),
        malformed: Code::AuthorizationHeaderMalformed,
    })
}

fn claims_of_query(
    headers: &HeaderMap,
    query: &mut Query,
    now: SystemTime,
) -> Result<Claims, Refusal> {
    const MALFORMED: Code = Code::AuthorizationQueryParametersError;
    let canonical = query.canonical(Some("X-Amz-Signature"));
    let mut required = |name: &str| {
        let missing = || Refusal::new(MALFORMED, format!("the query parameter {name} is required"));
        query.take(name).ok_or_else(missing)
    };
    let algorithm = required("X-Amz-Algorithm")?;
    let credential = required("X-Amz-Credential")?;
    let date = required("X-Amz-Date")?;
    let expires = required("X-Amz-Expires")?;
    let signed_headers = required("X-Amz-SignedHeaders")?;
    let signature = required("X-Amz-Signature")?;
    match algorithm.as_str() {
        ALGORITHM => {}
        "AWS4-ECDSA-P256-SHA256" => {
            return refuse(Code::NotImplemented, "Signature Version 4A is not supported");
        }
        _ => return refuse(MALFORMED, "X-Amz-Algorithm must be AWS4-HMAC-SHA256"),
    }
    let Some(time) = SigningTime::parse(&date) else {
        return refuse(MALFORMED, "X-Amz-Date must have the form YYYYMMDDTHHMMSSZ");
    };
    let is_number = (1..=6).contains(&expires.len()) && expires.bytes().all(|b| b.is_ascii_digit());
    let expires = expires.parse().ok().filter(|it| is_number && (1..=MAX_EXPIRES).contains(it));
    let Some(expires) = expires else {
        return refuse(MALFORMED, "X-Amz-Expires must be 1 to 604800 seconds");
    };
    let age = time.age(now);
    if age < -MAX_SKEW {
        return refuse(Code::AccessDenied, "Request is not valid yet");
    }
    if age > expires {
        return refuse(Code::AccessDenied, "Request has expired");
    }
    let payload =
        match (query.take("X-Amz-Content-Sha256"), header(headers, "x-amz-content-sha256")?) {
            (Some(_), Some(_)) => {
                let message = "x-amz-content-sha256 is both a header and a query parameter";
                return refuse(Code::InvalidArgument, message);
            }
            (Some(value), None) => value,
            (None, Some(value)) => value.to_owned(),
            (None, None) => "UNSIGNED-PAYLOAD".into(),
        };
    Ok(Claims {
        credential,
        time,
        signed_headers,
        signature,
        payload,
        query: canonical,
        malformed: MALFORMED,
    })
}

/// Returns the access key ID and the region.
fn parse_credential<'a>(
    claims: &'a Claims,
    configured_region: Option<&str>,
) -> Result<(&'a str, &'a str), Refusal> {
    let malformed = |message: String| refuse(claims.malformed, message);
    let mut fields = claims.credential.rsplitn(5, '/');
    let fields = [(); 5].map(|()| fields.next());
    let [Some(end), Some(service), Some(region), Some(day), Some(id)] = fields else {
        return malformed("the credential must be ID/YYYYMMDD/REGION/s3/aws4_request".into());
    };
    if end != "aws4_request" {
        return malformed("the credential must end in aws4_request".into());
    }
    if service != "s3" {
        return malformed("the credential's service must be s3".into());
    }
    if day != claims.time.day() {
        return malformed("the credential's day is not that of the request".into());
    }
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if !(1..=64).contains(&region.len()) || !region.bytes().all(is_plain) {
        return malformed("the credential's region is not valid".into());
    }
    match configured_region {
        Some(expected) if expected != region => {
            malformed(format!("the region '{region}' is wrong; expecting '{expected}'"))
        }
        _ => Ok((id, region)),
    }
}

/// Returns the names of the signed headers, among which are all that must be.
fn parse_signed_headers(claims: &Claims, headers: &HeaderMap) -> Result<Vec<String>, Refusal> {
    let names: Vec<String> = claims.signed_headers.split(';').map(String::from).collect();
    let is_name = |name: &String| {
        let bytes = name.bytes();
        !name.is_empty()
            && bytes.clone().all(|it| it.is_ascii_graphic() && !it.is_ascii_uppercase())
    };
    if !names.iter().all(is_name) || !names.is_sorted_by(|one, next| one < next) {
        let message = "SignedHeaders must be names in lower case, sorted, each once";
        return refuse(claims.malformed, message);
    }
    if names.iter().any(|name| name == "authorization") {
        return refuse(claims.malformed, "SignedHeaders must not contain authorization");
    }
    let is_signed = |name: &str| names.iter().any(|it| it == name);
    let unsigned = |name: &&str| name.starts_with("x-amz-") && !is_signed(name);
    let unsigned = headers.keys().map(http::HeaderName::as_str).find(unsigned);
    if let Some(name) = unsigned.or((!is_signed("host")).then_some("host")) {
        let message = "There were headers present in the request which were not signed";
        return refuse(Code::AccessDenied, format!("{message}: {name}"));
    }
    match names.iter().find(|name| *name != "host" && !headers.contains_key(name.as_str())) {
        Some(_) => refuse(Code::SignatureDoesNotMatch, "a signed header is missing"),
        None => Ok(names),
    }
}
