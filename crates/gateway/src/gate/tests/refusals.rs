//! Refusals before any of the body is read.

use super::*;
use crate::checksums::encode;

fn get() -> TestRequest {
    TestRequest::new("GET", "/bucket-1/key")
}

fn put() -> TestRequest {
    TestRequest::new("PUT", "/bucket-1/key")
}

/// Replaces text in the Authorization header of a signed request.
fn with_authorization(change: impl FnOnce(&str) -> String) -> Code {
    let (mut request, _) = get().signed();
    let changed = change(request.headers()["authorization"].to_str().unwrap());
    request.headers_mut().insert("authorization", changed.parse().unwrap());
    code(gate(&[]).admit(request, now()))
}

fn replaced(from: &str, to: &str) -> Code {
    with_authorization(|it| {
        assert!(it.contains(from), "{it}");
        it.replace(from, to)
    })
}

fn presigned(request: TestRequest, expires: &str) -> Result<Admitted<TestBody>, Refusal> {
    gate(&[]).admit(request.presigned(expires), now())
}

/// Replaces text in a presigned URL.
fn with_url(from: &str, to: &str) -> Code {
    let mut request = get().presigned("60");
    let uri = request.uri().to_string();
    assert!(uri.contains(from), "{uri}");
    *request.uri_mut() = uri.replace(from, to).parse().unwrap();
    code(gate(&[]).admit(request, now()))
}

#[test]
fn credentials() {
    let admitted = get().admit().unwrap();
    assert_eq!(admitted.client.name(), "test");
    assert!(!format!("{admitted:?} {:?}", gate(&[])).contains(SECRET));
    assert_eq!(get().of("AKIDNOBODY").code(), Code::InvalidAccessKeyId);
    let wrong = TestRequest { secret: "another-secret-than-that".into(), ..get() };
    assert_eq!(wrong.clone().code(), Code::SignatureDoesNotMatch);
    assert_eq!(code(presigned(wrong, "60")), Code::SignatureDoesNotMatch);
    assert_eq!(code(presigned(get().of("AKIDNOBODY"), "60")), Code::InvalidAccessKeyId);
}

#[test]
fn authorization_headers() {
    use Code::{
        AccessDenied, AuthorizationHeaderMalformed, InvalidArgument, InvalidRequest,
        NotImplemented, SignatureDoesNotMatch,
    };
    for (from, to, expected) in [
        ("AWS4-HMAC-SHA256 ", "AWS ", InvalidRequest),
        ("AWS4-HMAC-SHA256 ", "AWS4-ECDSA-P256-SHA256 ", NotImplemented),
        ("AWS4-HMAC-SHA256 ", "Bearer ", InvalidArgument),
        ("AWS4-HMAC-SHA256 ", "", InvalidArgument),
        ("AWS4-HMAC-SHA256 ", "aws4-hmac-sha256 ", InvalidArgument),
        ("/s3/", "/sts/", AuthorizationHeaderMalformed),
        ("/s3/", "/s3-object-lambda/", AuthorizationHeaderMalformed),
        ("/s3/", "/", AuthorizationHeaderMalformed),
        ("aws4_request", "aws5_request", AuthorizationHeaderMalformed),
        ("/20260301/", "/20260302/", AuthorizationHeaderMalformed),
        ("us-east-1", "us east", AuthorizationHeaderMalformed),
        ("us-east-1", "", AuthorizationHeaderMalformed),
        ("us-east-1", "us-east-2", SignatureDoesNotMatch),
        ("Credential=", "credential=", AuthorizationHeaderMalformed),
        ("Credential=", "", AuthorizationHeaderMalformed),
        (", Signature=", ", Foreign=", AuthorizationHeaderMalformed),
        (", Signature=", ", Signature=a, Signature=", AuthorizationHeaderMalformed),
        ("SignedHeaders=host;", "SignedHeaders=", AccessDenied),
        (";x-amz-date", "", AccessDenied),
        (";x-amz-content-sha256", "", AccessDenied),
        ("host;x-amz-content-sha256", "x-amz-content-sha256;host", AuthorizationHeaderMalformed),
        ("host;", "host;host;", AuthorizationHeaderMalformed),
        ("host;", "Host;", AuthorizationHeaderMalformed),
        ("host;", "host;;", AuthorizationHeaderMalformed),
        ("SignedHeaders=host;", "SignedHeaders=authorization;host;", AuthorizationHeaderMalformed),
        ("SignedHeaders=host;", "SignedHeaders=absent;host;", SignatureDoesNotMatch),
    ] {
        assert_eq!(replaced(from, to), expected, "{from} {to}");
    }
    assert_eq!(with_authorization(|it| format!("{it}0")), SignatureDoesNotMatch);
    assert_eq!(with_authorization(|it| it[..it.len() - 1].into()), SignatureDoesNotMatch);
    assert_eq!(with_authorization(|it| format!("{it}, ")), AuthorizationHeaderMalformed);
    // Without blanks after the commas, as some clients send it.
    let (mut request, _) = get().signed();
    let compact = request.headers()["authorization"].to_str().unwrap().replace(", ", ",");
    request.headers_mut().insert("authorization", compact.parse().unwrap());
    assert_eq!(gate(&[]).admit(request, now()).unwrap().operation, Operation::GetObject);
}

#[test]
fn anonymous_and_twofold_and_old_authentication() {
    let anonymous = |uri: &str| {
        let request = get().on("localhost").request(uri, &[("host".into(), b"localhost".into())]);
        code(gate(&[]).admit(request, now()))
    };
    assert_eq!(anonymous("/bucket-1/key"), Code::AccessDenied);
    assert_eq!(anonymous("/"), Code::AccessDenied);
    assert_eq!(
        anonymous("/bucket-1/key?AWSAccessKeyId=A&Expires=1&Signature=S"),
        Code::InvalidRequest
    );
    assert_eq!(anonymous("/bucket-1/key?Signature=S"), Code::InvalidRequest);
    assert_eq!(TestRequest::new("GET", "/bucket-1/key?Signature=S").code(), Code::InvalidArgument);
    for name in ["X-Amz-Signature", "X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Expires"] {
        let uri = format!("/bucket-1/key?{name}=a");
        assert_eq!(TestRequest::new("GET", &uri).code(), Code::InvalidArgument, "{name}");
        assert_eq!(anonymous(&uri), Code::AuthorizationQueryParametersError, "{name}");
    }
    let mut both = get().presigned("60");
    both.headers_mut().insert("authorization", "AWS4-HMAC-SHA256 a".parse().unwrap());
    assert_eq!(code(gate(&[]).admit(both, now())), Code::InvalidArgument);
}

#[test]
fn session_tokens() {
    assert_eq!(get().with("x-amz-security-token", "token").code(), Code::InvalidToken);
    let request = TestRequest::new("GET", "/bucket-1/key?X-Amz-Security-Token=token");
    assert_eq!(request.clone().code(), Code::InvalidToken);
    assert_eq!(code(presigned(request, "60")), Code::InvalidToken);
}

#[test]
fn clocks() {
    for (difference, expected) in [
        (-901, Some(Code::RequestTimeTooSkewed)),
        (-900, None),
        (900, None),
        (901, Some(Code::RequestTimeTooSkewed)),
    ] {
        let request = TestRequest { time: NOW.wrapping_add_signed(difference), ..get() };
        match expected {
            Some(expected) => assert_eq!(request.code(), expected, "{difference}"),
            None => assert_eq!(request.admit().unwrap().operation, Operation::GetObject),
        }
    }
    assert_eq!(get().with("x-amz-date", "yesterday").code(), Code::AccessDenied);
    let before_1970 = gate(&[]).admit(get().signed().0, UNIX_EPOCH - Duration::from_secs(1));
    assert_eq!(code(before_1970), Code::RequestTimeTooSkewed);
    let day_before = TestRequest { time: NOW - 86_400, ..get() };
    assert_eq!(day_before.code(), Code::RequestTimeTooSkewed);
}

#[test]
fn the_date_header_stands_in_for_x_amz_date() {
    let date = httpdate::fmt_http_date(now());
    let (mut request, _) = get().signed();
    request.headers_mut().remove("x-amz-date");
    assert_eq!(code(gate(&[]).admit(request, now())), Code::AccessDenied);

    // Signed without `x-amz-date`.
    let plain = get().with("date", &date);
    let payload = hex(&Sha256::digest(b""));
    let headers = TestRequest::header_map(&[
        ("date".into(), date.clone().into_bytes()),
        ("x-amz-content-sha256".into(), payload.clone().into_bytes()),
    ]);
    let names = ["date", "host", "x-amz-content-sha256"].map(String::from);
    let signature = plain.signer().request(
        &SignedRequest {
            method: &Method::GET,
            query: "",
            headers: &headers,
            host: "localhost:9000",
            signed_headers: &names,
            payload: &payload,
        }
        .canonical("/bucket-1/key"),
    );
    let authorization = format!(
        "{ALGORITHM} Credential={},SignedHeaders={},Signature={signature}",
        plain.credential(),
        names.join(";")
    );
    let mut request = plain.request("/bucket-1/key", &[]);
    *request.headers_mut() = headers;
    request.headers_mut().insert("host", "localhost:9000".parse().unwrap());
    request.headers_mut().insert("authorization", authorization.parse().unwrap());
    assert_eq!(gate(&[]).admit(request, now()).unwrap().operation, Operation::GetObject);
}

#[test]
fn presigned_urls() {
    use Code::{
        AccessDenied, AuthorizationQueryParametersError as Malformed, NotImplemented,
        SignatureDoesNotMatch,
    };
    let admitted = presigned(get(), "604800").unwrap();
    assert!(admitted.is_presigned);
    assert_eq!(admitted.request.uri(), "/bucket-1/key");
    for expires in ["0", "604801", "-1", "+1", "", "1.5", "99999999999999999999", "1 "] {
        let request = TestRequest::new("GET", "/bucket-1/key");
        assert_eq!(code(presigned(request, &percent::encode(expires))), Malformed, "{expires:?}");
    }
    for (from, to, expected) in [
        ("X-Amz-Algorithm=AWS4-HMAC-SHA256", "X-Amz-Algorithm=AWS4-HMAC-SHA1", Malformed),
        (
            "X-Amz-Algorithm=AWS4-HMAC-SHA256",
            "X-Amz-Algorithm=AWS4-ECDSA-P256-SHA256",
            NotImplemented,
        ),
        ("X-Amz-Algorithm=", "x-amz-algorithm=", Malformed),
        ("X-Amz-Signature=", "x-amz-signature=", Malformed),
        ("X-Amz-Date=20260301T123015Z", "X-Amz-Date=20260301", Malformed),
        ("%2F20260301%2F", "%2F20260302%2F", Malformed),
        ("X-Amz-Expires=60", "X-Amz-Expires=61", SignatureDoesNotMatch),
        ("X-Amz-Expires=60&", "", Malformed),
        ("%2Fs3%2F", "%2Fsts%2F", Malformed),
        ("X-Amz-SignedHeaders=host", "X-Amz-SignedHeaders=Host", Malformed),
        ("X-Amz-SignedHeaders=host", "X-Amz-SignedHeaders=", Malformed),
        ("X-Amz-SignedHeaders=host", "X-Amz-SignedHeaders=date", AccessDenied),
        ("X-Amz-Signature=", "X-Amz-Signature=0", SignatureDoesNotMatch),
        ("X-Amz-Expires=60", "X-Amz-Expires=60&X-Amz-Expires=60", Code::InvalidArgument),
        ("X-Amz-Expires=60", "X-Amz-Expires=60&acl", SignatureDoesNotMatch),
    ] {
        assert_eq!(with_url(from, to), expected, "{from} {to}");
    }
    for (age, expires, expected) in [
        (-901, "60", Some(AccessDenied)),
        (-900, "60", None),
        (60, "60", None),
        (61, "60", Some(AccessDenied)),
        (604_800, "604800", None),
        (604_801, "604800", Some(AccessDenied)),
    ] {
        let request = TestRequest { time: NOW.wrapping_add_signed(-age), ..get() };
        match expected {
            Some(expected) => assert_eq!(code(presigned(request, expires)), expected, "{age}"),
            None => assert!(presigned(request, expires).unwrap().is_presigned, "{age}"),
        }
    }
}

#[test]
fn headers_with_presigned_urls_must_be_signed() {
    let unsigned = put().body(b"abc").unsigned("x-amz-acl", "private");
    assert_eq!(code(presigned(unsigned, "60")), Code::AccessDenied);
    let unsigned = put().body(b"abc").unsigned("x-amz-copy-source", "bucket-1/other");
    assert_eq!(code(presigned(unsigned, "60")), Code::AccessDenied);
    let signed = put().body(b"abc").with("x-amz-acl", "private");
    assert_eq!(presigned(signed, "60").unwrap().operation, Operation::PutObject);
    // As AWS allows it.
    let unsigned = put().body(b"").unsigned("content-type", "text/plain");
    assert_eq!(presigned(unsigned, "60").unwrap().operation, Operation::PutObject);
}

#[test]
fn payloads_of_presigned_urls() {
    let wrong = "0".repeat(64);
    let right = hex(&Sha256::digest(b"abc"));
    let in_query = |value: &str| {
        let uri = format!("/bucket-1/key?X-Amz-Content-Sha256={value}");
        TestRequest::new("PUT", &uri).body(b"abc")
    };
    let in_header = |value: &str| put().body(b"abc").with("x-amz-content-sha256", value);
    for (request, expected) in [
        (in_query(&right), Ok(())),
        (in_query("UNSIGNED-PAYLOAD"), Ok(())),
        (in_query(&wrong), Err(Code::XAmzContentSHA256Mismatch)),
        (in_header(&right), Ok(())),
        (in_header(&wrong), Err(Code::XAmzContentSHA256Mismatch)),
    ] {
        let admitted = presigned(request, "60").unwrap();
        assert_eq!(admitted.request.uri(), "/bucket-1/key");
        assert_eq!(read(admitted.request.into_body()).1, expected);
    }
    for value in ["STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"] {
        assert_eq!(code(presigned(in_query(value), "60")), Code::NotImplemented);
        assert_eq!(code(presigned(in_header(value), "60")), Code::NotImplemented);
    }
    let both = in_query(&right).with("x-amz-content-sha256", &right);
    assert_eq!(code(presigned(both, "60")), Code::InvalidArgument);
}

#[test]
fn two_harmless_headers_of_presigned_urls_are_query_parameters() {
    let uri =
        "/bucket-1/key?x-amz-checksum-mode=ENABLED&x-amz-user-agent=aws-sdk-js&x-id=GetObject";
    let admitted = presigned(TestRequest::new("GET", uri), "60").unwrap();
    assert_eq!(admitted.request.uri(), "/bucket-1/key");
    assert_eq!(admitted.request.headers()["x-amz-checksum-mode"], "ENABLED");
    assert_eq!(TestRequest::new("GET", uri).code(), Code::NotImplemented);
    let on_put = TestRequest::new("PUT", uri).body(b"");
    assert_eq!(code(presigned(on_put, "60")), Code::NotImplemented);
    let both = TestRequest::new("GET", uri).with("x-amz-checksum-mode", "ENABLED");
    assert_eq!(code(presigned(both, "60")), Code::InvalidArgument);
    // The SDK for Go writes names with capitals.
    let uri = "/bucket-1/key?X-Amz-Checksum-Mode=ENABLED&x-id=GetObject";
    let admitted = presigned(TestRequest::new("GET", uri), "60").unwrap();
    assert_eq!(admitted.request.uri(), "/bucket-1/key");
    assert_eq!(admitted.request.headers()["x-amz-checksum-mode"], "ENABLED");
    let twice = "/bucket-1/key?X-Amz-Checksum-Mode=ENABLED&x-amz-checksum-mode=ENABLED";
    assert_eq!(code(presigned(TestRequest::new("GET", twice), "60")), Code::NotImplemented);
}

/// Receives the body of a presigned PUT with these parameters.
fn presigned_put(parameters: &str, body: &[u8]) -> Result<(), Code> {
    let request = TestRequest::new("PUT", &format!("/bucket-1/key?{parameters}")).body(body);
    let admitted = presigned(request, "60").map_err(|refusal| refusal.code())?;
    assert_eq!(admitted.request.uri(), "/bucket-1/key");
    read(admitted.request.into_body()).1
}

#[test]
fn checksums_of_presigned_urls_are_verified_unless_they_are_of_no_body() {
    let body = b"body";
    for algorithm in ChecksumAlgorithm::ALL {
        let parameters = |bytes: &[u8]| {
            let mut hasher = algorithm.hasher();
            hasher.update(bytes);
            let value = percent::encode(&encode(&hasher.finish()));
            format!(
                "{}={value}&x-amz-sdk-checksum-algorithm={}",
                algorithm.header(),
                algorithm.name()
            )
        };
        assert_eq!(presigned_put(&parameters(b""), body), Ok(()), "{algorithm}");
        assert_eq!(presigned_put(&parameters(body), body), Ok(()), "{algorithm}");
        assert_eq!(presigned_put(&parameters(b"other"), body), Err(Code::BadDigest), "{algorithm}");
        let on_get = format!("/bucket-1?list-type=2&{}", parameters(body));
        assert_eq!(code(presigned(TestRequest::new("GET", &on_get), "60")), Code::NotImplemented);
    }
    assert_eq!(presigned_put("x-amz-sdk-checksum-algorithm=CRC32", body), Ok(()));
    let two = "x-amz-checksum-crc32=AAAAAQ%3D%3D&x-amz-checksum-crc32c=AAAAAQ%3D%3D";
    assert_eq!(presigned_put(two, body), Err(Code::InvalidRequest));
    assert_eq!(presigned_put("x-amz-checksum-crc32=x", body), Err(Code::InvalidRequest));
}

#[test]
fn the_configured_region_is_required() {
    let clients = Arc::new(Clients::parse(CLIENTS).unwrap());
    let gate = Gate::new(GateSettings {
        clients,
        domains: Vec::new(),
        region: Some("eu-central-1".into()),
    });
    let code = |request: TestRequest| code(gate.admit(request.signed().0, now()));
    assert_eq!(code(get()), Code::AuthorizationHeaderMalformed);
    let request = TestRequest { region: "eu-central-1".into(), ..get() };
    assert_eq!(gate.admit(request.signed().0, now()).unwrap().operation, Operation::GetObject);
}

#[test]
fn every_x_amz_header_must_be_signed() {
    for name in ["x-amz-copy-source", "x-amz-meta-a", "x-amz-acl", "x-amz-unknown"] {
        let request = put().body(b"").unsigned(name, "private");
        assert_eq!(request.code(), Code::AccessDenied, "{name}");
    }
    let request = put().body(b"").unsigned("content-type", "text/plain").unsigned("x-amzn-id", "1");
    assert_eq!(request.admit().unwrap().operation, Operation::PutObject);
}

#[test]
fn single_valued_headers_occur_once() {
    for (name, value) in [
        ("authorization", "AWS4-HMAC-SHA256 a"),
        ("host", "localhost:9000"),
        ("x-amz-date", "20260301T123015Z"),
        ("x-amz-content-sha256", "UNSIGNED-PAYLOAD"),
        ("content-length", "3"),
        ("x-amz-meta-a", "b"),
        ("if-match", "\"a\""),
        ("cache-control", "no-cache"),
        ("range", "bytes=0-1"),
        ("content-type", "a/b"),
    ] {
        let (mut request, _) = put().body(b"abc").signed();
        request.headers_mut().append(name, value.parse().unwrap());
        request.headers_mut().append(name, value.parse().unwrap());
        assert_eq!(code(gate(&[]).admit(request, now())), Code::InvalidRequest, "{name}");
    }
    for name in [
        "x-amz-copy-source",
        "x-amz-decoded-content-length",
        "x-amz-checksum-crc32",
        "content-md5",
        "transfer-encoding",
        "expect",
    ] {
        let request = put().with(name, "a").with(name, "a").body(b"abc");
        assert_eq!(request.code(), Code::InvalidRequest, "{name}");
    }
}

#[test]
fn forms_are_refused_before_authentication() {
    for content_type in ["multipart/form-data; boundary=a", "Multipart/Form-Data", "multipart/x"] {
        let mut request = TestRequest::new("POST", "/bucket-1").request("/bucket-1", &[]);
        request.headers_mut().insert("content-type", content_type.parse().unwrap());
        assert_eq!(code(gate(&[]).admit(request, now())), Code::NotImplemented);
    }
}

#[test]
fn payload_hashes() {
    for value in ["", "unsigned-payload", "STREAMING", "0", &"0".repeat(63), &"g".repeat(64)] {
        let request = put().body(b"abc").with("x-amz-content-sha256", value);
        assert_eq!(request.code(), Code::InvalidArgument, "{value}");
    }
    for value in [
        "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD",
        "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD-TRAILER",
    ] {
        let request = put().body(b"abc").with("x-amz-content-sha256", value);
        assert_eq!(request.code(), Code::NotImplemented, "{value}");
    }
    let (mut request, _) = get().signed();
    request.headers_mut().remove("x-amz-content-sha256");
    assert_eq!(code(gate(&[]).admit(request, now())), Code::InvalidRequest);
    // Of requests without a body, too.
    let request = get().with("x-amz-content-sha256", &"0".repeat(64));
    assert_eq!(request.code(), Code::XAmzContentSHA256Mismatch);
    let request = put().body(b"").with("x-amz-content-sha256", &"0".repeat(64));
    assert_eq!(request.code(), Code::XAmzContentSHA256Mismatch);
    let request = get().with("x-amz-content-sha256", "UNSIGNED-PAYLOAD");
    assert_eq!(request.admit().unwrap().operation, Operation::GetObject);
}

const CHUNKED: &str = "STREAMING-UNSIGNED-PAYLOAD-TRAILER";

#[test]
fn lengths() {
    use Code::{
        EntityTooLarge, IncompleteBody, InvalidArgument, InvalidRequest, MissingContentLength,
    };
    const GIB_5: u64 = 5 << 30;
    let unsigned = || put().with("x-amz-content-sha256", "UNSIGNED-PAYLOAD");
    let chunked = || put().with("x-amz-content-sha256", CHUNKED);
    let decoded = |length: u64| chunked().with("x-amz-decoded-content-length", &length.to_string());
    let xml = |uri: &str, length: u64| {
        let request = TestRequest::new(if uri.ends_with("tagging") { "PUT" } else { "POST" }, uri);
        let request = request.with("x-amz-content-sha256", "UNSIGNED-PAYLOAD");
        request.with("content-length", &length.to_string())
    };
    for (request, expected) in [
        (unsigned(), MissingContentLength),
        (unsigned().with("transfer-encoding", "chunked"), MissingContentLength),
        (chunked().with("content-length", "3"), MissingContentLength),
        (unsigned().with("content-length", "a"), InvalidArgument),
        (unsigned().with("content-length", "+1"), InvalidArgument),
        (unsigned().with("content-length", ""), InvalidArgument),
        (unsigned().with("content-length", &(GIB_5 + 1).to_string()), EntityTooLarge),
        (unsigned().with("content-length", &"9".repeat(40)), EntityTooLarge),
        (decoded(GIB_5 + 1), EntityTooLarge),
        (decoded(1).with("content-length", &(7_u64 << 30).to_string()), EntityTooLarge),
        (decoded(4).with("content-length", "3"), IncompleteBody),
        (
            unsigned().with("content-length", "3").with("x-amz-decoded-content-length", "3"),
            InvalidRequest,
        ),
        (
            unsigned().with("content-length", "3").with("transfer-encoding", "chunked"),
            InvalidRequest,
        ),
        (unsigned().with("transfer-encoding", "gzip, chunked"), Code::NotImplemented),
        (
            unsigned().with("content-length", "3").with("content-encoding", "aws-chunked"),
            InvalidRequest,
        ),
        (xml("/bucket-1?delete", (2 << 20) + 1), EntityTooLarge),
        (xml("/bucket-1/key?uploadId=u", (4 << 20) + 1), EntityTooLarge),
        (xml("/bucket-1/key?tagging", (64 << 10) + 1), EntityTooLarge),
    ] {
        assert_eq!(request.clone().code(), expected, "{request:?}");
    }
    for request in [
        unsigned().with("content-length", &GIB_5.to_string()),
        decoded(GIB_5).with("content-length", &(GIB_5 + 100).to_string()),
        decoded(GIB_5).with("transfer-encoding", "chunked"),
        xml("/bucket-1?delete", 2 << 20),
    ] {
        let admitted = request.admit().unwrap();
        assert!(!admitted.request.headers().contains_key("transfer-encoding"));
        let length: u64 =
            admitted.request.headers()["content-length"].to_str().unwrap().parse().unwrap();
        let hint = http_body::Body::size_hint(admitted.request.body()).exact();
        assert_eq!(hint, Some(length));
    }
}

#[test]
fn bodies_where_there_are_none() {
    for method in ["GET", "HEAD", "DELETE"] {
        let request = || {
            TestRequest::new(method, "/bucket-1/key")
                .with("x-amz-content-sha256", "UNSIGNED-PAYLOAD")
        };
        let code = request().with("content-length", "1").code();
        assert_eq!(code, Code::InvalidRequest, "{method}");
        let code = request().with("transfer-encoding", "chunked").code();
        assert_eq!(code, Code::InvalidRequest, "{method}");
        let code = TestRequest::new(method, "/bucket-1/key")
            .with("x-amz-content-sha256", CHUNKED)
            .with("x-amz-decoded-content-length", "0")
            .code();
        assert_eq!(code, Code::InvalidRequest, "{method}");
        let admitted = request().with("content-length", "0").admit().unwrap();
        assert!(!admitted.request.headers().contains_key("content-length"));
        assert!(http_body::Body::is_end_stream(admitted.request.body()));
    }
    let copy = put().with("x-amz-copy-source", "bucket-1/a").body(b"abc");
    assert_eq!(copy.code(), Code::InvalidRequest);
}

#[test]
fn digests() {
    use Code::{InvalidDigest, InvalidRequest};
    let put = || put().body(b"abc");
    let trailing = || {
        TestRequest::new("PUT", "/bucket-1/key")
            .with("x-amz-content-sha256", CHUNKED)
            .with("x-amz-decoded-content-length", "0")
    };
    for (request, expected) in [
        (put().with("content-md5", "a"), InvalidDigest),
        (put().with("content-md5", "AAAA"), InvalidDigest),
        (put().with("x-amz-checksum-crc32", "AAAA"), InvalidRequest),
        (put().with("x-amz-checksum-crc32", "AAAAAA==-1"), InvalidRequest),
        (put().with("x-amz-checksum-sha256", "AAAAAA=="), InvalidRequest),
        (
            put()
                .with("x-amz-checksum-crc32", "AAAAAA==")
                .with("x-amz-checksum-crc32c", "AAAAAA=="),
            InvalidRequest,
        ),
        (put().with("x-amz-sdk-checksum-algorithm", "CRC32"), InvalidRequest),
        (put().with("x-amz-sdk-checksum-algorithm", "MD5"), InvalidRequest),
        (
            put()
                .with("x-amz-sdk-checksum-algorithm", "CRC32C")
                .with("x-amz-checksum-crc32", "AAAAAA=="),
            InvalidRequest,
        ),
        (
            put()
                .with("x-amz-checksum-algorithm", "CRC32C")
                .with("x-amz-checksum-crc32", "AAAAAA=="),
            InvalidRequest,
        ),
        (put().with("x-amz-trailer", "x-amz-checksum-crc32"), InvalidRequest),
        (trailing().with("x-amz-trailer", "x-amz-meta-a"), InvalidRequest),
        (trailing().with("x-amz-trailer", ""), InvalidRequest),
        (trailing().with("x-amz-trailer", "x-amz-checksum-crc32,"), InvalidRequest),
        (
            trailing().with("x-amz-trailer", "x-amz-checksum-crc32,x-amz-checksum-sha1"),
            InvalidRequest,
        ),
        (
            trailing().with("x-amz-trailer", "x-amz-checksum-crc32, x-amz-checksum-crc32"),
            InvalidRequest,
        ),
        (
            trailing()
                .with("x-amz-trailer", "x-amz-checksum-crc32")
                .with("x-amz-checksum-crc32", "AAAAAA=="),
            InvalidRequest,
        ),
        (
            trailing()
                .with("x-amz-trailer", "x-amz-checksum-crc32")
                .with("x-amz-sdk-checksum-algorithm", "SHA1"),
            InvalidRequest,
        ),
    ] {
        assert_eq!(request.clone().code(), expected, "{request:?}");
    }
    // An empty body is verified at once.
    let empty = TestRequest::new("PUT", "/bucket-1/key").body(b"");
    let code = empty.clone().with("content-md5", "AAAAAAAAAAAAAAAAAAAAAA==").code();
    assert_eq!(code, Code::BadDigest);
    assert_eq!(empty.with("x-amz-checksum-crc32", "AAAAAQ==").code(), Code::BadDigest);
    assert_eq!(get().with("x-amz-checksum-crc32", "AAAAAQ==").code(), Code::BadDigest);
}

#[test]
fn hosts() {
    let domains = ["S3.Example.com", "b.s3.example.com"];
    let target = |host: &str, uri: &str| {
        let (request, _) = TestRequest::new("GET", uri).on(host).signed();
        let admitted = gate(&domains).admit(request, now());
        admitted.map(|it| (it.bucket, it.key, it.request.uri().to_string()))
    };
    for (host, uri, key, expected) in [
        ("s3.example.com", "/bucket-1/key", Some("key"), "/bucket-1/key"),
        ("S3.example.COM:9000", "/bucket-1/key", Some("key"), "/bucket-1/key"),
        ("s3.example.com.", "/bucket-1/key", Some("key"), "/bucket-1/key"),
        ("bucket-1.s3.example.com", "/key", Some("key"), "/bucket-1/key"),
        ("Bucket-1.s3.example.com:443", "//key/", Some("/key/"), "/bucket-1//key/"),
        ("bucket-1.s3.example.com", "/", None, "/bucket-1"),
        ("bucket-1.s3.example.com", "/bucket-2/k", Some("bucket-2/k"), "/bucket-1/bucket-2/k"),
        ("bucket-1.b.s3.example.com", "/key", Some("key"), "/bucket-1/key"),
        ("127.0.0.1:9000", "/bucket-1/key", Some("key"), "/bucket-1/key"),
        ("[::1]:9000", "/bucket-1/key", Some("key"), "/bucket-1/key"),
        ("localhost", "/bucket-1/key", Some("key"), "/bucket-1/key"),
    ] {
        let (bucket, found, path) = target(host, uri).unwrap();
        assert_eq!(bucket.as_deref(), Some("bucket-1"), "{host}");
        assert_eq!((found.as_deref(), path.as_str()), (key, expected), "{host}");
    }
    for (host, expected) in [
        ("evil.example.com", Code::InvalidRequest),
        ("xs3.example.com", Code::InvalidRequest),
        ("bucket-1.s3.example.com.evil", Code::InvalidRequest),
        (".s3.example.com", Code::InvalidBucketName),
        ("bad_bucket.s3.example.com", Code::InvalidBucketName),
        ("", Code::InvalidRequest),
    ] {
        assert_eq!(target(host, "/bucket-1/key").unwrap_err().code(), expected, "{host}");
    }
    // Without domains, every host is path-style.
    let admitted = get().on("bucket-2.example.com").admit().unwrap();
    assert_eq!(admitted.bucket.as_deref(), Some("bucket-1"));
}

#[test]
fn hosts_of_http_2_are_in_the_uri() {
    let in_uri = |uri: &str, keep_header: bool| {
        let (mut request, _) = get().signed();
        *request.uri_mut() = uri.parse().unwrap();
        if !keep_header {
            request.headers_mut().remove("host");
        }
        gate(&[]).admit(request, now())
    };
    let admitted = in_uri("http://localhost:9000/bucket-1/key", false).unwrap();
    assert_eq!(admitted.request.uri(), "/bucket-1/key");
    assert_eq!(admitted.request.headers()["host"], "localhost:9000");
    in_uri("http://localhost:9000/bucket-1/key", true).unwrap();
    assert_eq!(code(in_uri("http://other:9000/bucket-1/key", true)), Code::InvalidRequest);
    assert_eq!(code(in_uri("http://other:9000/bucket-1/key", false)), Code::SignatureDoesNotMatch);
    assert_eq!(code(in_uri("http://a@localhost:9000/bucket-1/key", true)), Code::InvalidURI);
    assert_eq!(code(in_uri("/bucket-1/key", false)), Code::InvalidRequest);
    assert_eq!(code(in_uri("*", true)), Code::InvalidURI);
}

#[test]
fn names() {
    use Code::{AccessDenied, InvalidBucketName, InvalidURI, KeyTooLongError};
    let long_key = format!("/bucket-1/{}", "k".repeat(1025));
    let long_name = format!("/{}", "b".repeat(64));
    for (uri, expected) in [
        ("/bb", InvalidBucketName),
        (&*long_name, InvalidBucketName),
        ("/Bucket-1/key", InvalidBucketName),
        ("/bucket_1/key", InvalidBucketName),
        ("/-bucket/key", InvalidBucketName),
        ("/bucket-/key", InvalidBucketName),
        ("/.bucket/key", InvalidBucketName),
        ("/buc..ket/key", InvalidBucketName),
        ("/192.168.0.1/key", InvalidBucketName),
        ("/xn--bucket/key", InvalidBucketName),
        ("/bucket-1%2Fkey", InvalidBucketName),
        ("//bucket-1/key", InvalidBucketName),
        ("/bucket-1/%", InvalidURI),
        ("/bucket-1/%f", InvalidURI),
        ("/bucket-1/%fg", InvalidURI),
        ("/bucket-1/%ff", InvalidURI),
        ("/bucket-1/a%00b", InvalidURI),
        ("/bucket-1?prefix=%ff", InvalidURI),
        ("/bucket-1?prefix=%", InvalidURI),
        (&*long_key, KeyTooLongError),
        ("/other-bucket/key", AccessDenied),
    ] {
        assert_eq!(TestRequest::new("GET", uri).code(), expected, "{uri}");
    }
    for (uri, key) in [
        ("/bucket-1//", "/"),
        ("/bucket-1///a", "//a"),
        ("/bucket-1/./a", "./a"),
        ("/bucket-1/../a", "../a"),
        ("/bucket-1/a/..", "a/.."),
        ("/bucket-1/..%2F..%2Fbucket-2", "../../bucket-2"),
        ("/bucket-1/a%2Fb", "a/b"),
        ("/bucket-1/a+b", "a+b"),
        ("/bucket-1/a%2Bb", "a+b"),
        ("/bucket-1/a%252Fb", "a%2Fb"),
        ("/bucket-1/%0A%0D%09", "\n\r\t"),
        ("/bucket-1/%c3%a4", "\u{e4}"),
        ("/bucket-1/a!b'(c)", "a!b'(c)"),
        ("/bucket-1/%3F%23", "?#"),
    ] {
        let admitted = TestRequest::new("GET", uri).admit().unwrap();
        assert_eq!(admitted.key.as_deref(), Some(key), "{uri}");
        let path = admitted.request.uri().path();
        assert_eq!(percent::decode(path).unwrap(), format!("/bucket-1/{key}"));
    }
    let longest = format!("/bucket-1/{}", "k".repeat(1024));
    assert_eq!(TestRequest::new("GET", &longest).admit().unwrap().key.unwrap().len(), 1024);
    // The query is longer than a URI when it is encoded.
    let uri = format!("/bucket-1?prefix={}", "!".repeat(30_000));
    assert_eq!(TestRequest::new("GET", &uri).code(), InvalidURI);
    let many: Vec<_> = (0..65).map(|it| format!("p{it}")).collect();
    let uri = format!("/bucket-1?{}", many.join("&"));
    assert_eq!(TestRequest::new("GET", &uri).code(), Code::InvalidArgument);
    assert_eq!(
        TestRequest::new("GET", "/bucket-1?prefix=a&pref%69x=b").code(),
        Code::InvalidArgument
    );
}

#[test]
fn clients_stay_within_their_rules() {
    let allowed = [
        ("GET", "/", ""),
        ("GET", "/bucket-2?location", ""),
        ("HEAD", "/bucket-2", ""),
        ("GET", "/bucket-2/allowed/key", ""),
        ("GET", "/bucket-2?prefix=allowed/", ""),
        ("GET", "/bucket-2?list-type=2&prefix=allowed%2Fdeeper", ""),
        ("PUT", "/bucket-2/allowed/key", "bucket-1/any"),
        ("PUT", "/bucket-2/allowed/key", "/bucket-2/allowed/other?versionId=v"),
        ("PUT", "/bucket-1/key", "bucket-1/.sealwax"),
        ("GET", "/bucket-1?prefix=.sealwax", ""),
        ("GET", "/bucket-1/a/.sealwax/b", ""),
    ];
    let denied = [
        ("GET", "/bucket-3?location", ""),
        ("HEAD", "/bucket-3", ""),
        ("GET", "/bucket-2/other/key", ""),
        ("GET", "/bucket-2/allowed", ""),
        ("GET", "/bucket-2/allowedx/key", ""),
        ("GET", "/bucket-2//allowed/key", ""),
        ("GET", "/bucket-2", ""),
        ("GET", "/bucket-2?prefix=allowed", ""),
        ("GET", "/bucket-2?list-type=2&prefix=", ""),
        ("GET", "/bucket-2?list-type=2&start-after=allowed/", ""),
        ("GET", "/bucket-2?versions&prefix=other/", ""),
        ("GET", "/bucket-2?uploads", ""),
        ("DELETE", "/bucket-2/other", ""),
        ("PUT", "/bucket-2/allowed/key", "bucket-2/other/key"),
        ("PUT", "/bucket-2/allowed/key", "bucket-3/key"),
        ("PUT", "/bucket-1/key?uploadId=u&partNumber=1", "bucket-3/key"),
        // A store on a file system could leave the prefix.
        ("GET", "/bucket-2/allowed/../other", ""),
        ("GET", "/bucket-2/allowed/%2E%2E/other", ""),
        ("PUT", "/bucket-2/allowed/key", "bucket-2/allowed%2F..%2Fother/../../x"),
        ("GET", "/bucket-1/.sealwax/keys/a", ""),
        ("GET", "/bucket-1/.sealwax%2Fkeys/a", ""),
        ("GET", "/bucket-1/%2Esealwax/", ""),
        ("DELETE", "/bucket-1/.sealwax/keys/a", ""),
        ("GET", "/bucket-1?prefix=.sealwax/", ""),
        ("PUT", "/bucket-1/key", "bucket-1/.sealwax/keys/a"),
        ("PUT", "/bucket-1/key", "bucket-1%2F.sealwax%2Fkeys/a"),
    ];
    let request = |(method, uri, source): (&str, &str, &str)| {
        let request = TestRequest::new(method, uri);
        if source.is_empty() { request } else { request.with("x-amz-copy-source", source) }
    };
    for entry in allowed {
        request(entry).admit().unwrap_or_else(|refusal| panic!("{entry:?}: {refusal}"));
    }
    for entry in denied {
        assert_eq!(request(entry).code(), Code::AccessDenied, "{entry:?}");
    }
}

#[test]
fn readers_write_nothing() {
    for (method, uri) in [
        ("PUT", "/bucket-1/key"),
        ("DELETE", "/bucket-1/key"),
        ("POST", "/bucket-1/key?uploads"),
        ("PUT", "/bucket-1/key?uploadId=u&partNumber=1"),
        ("POST", "/bucket-1/key?uploadId=u"),
        ("DELETE", "/bucket-1/key?uploadId=u"),
        ("POST", "/bucket-1?delete"),
        ("PUT", "/bucket-1/key?tagging"),
        ("DELETE", "/bucket-1/key?tagging"),
    ] {
        let request = TestRequest::new(method, uri).of("AKIDREADER").body(b"");
        assert_eq!(request.code(), Code::AccessDenied, "{method} {uri}");
    }
    let copy = put().with("x-amz-copy-source", "bucket-1/a").of("AKIDREADER");
    assert_eq!(copy.code(), Code::AccessDenied);
    assert_eq!(get().of("AKIDREADER").admit().unwrap().client.name(), "reader");
}

#[test]
fn copy_sources() {
    let source = |text: &str| put().with("x-amz-copy-source", text).admit();
    for (text, key, version, canonical) in [
        ("bucket-1/a", "a", None, "bucket-1/a"),
        ("/bucket-1/a", "a", None, "bucket-1/a"),
        ("/bucket-1//a", "/a", None, "bucket-1//a"),
        ("%2Fbucket-1%2Fa%2Fb", "a/b", None, "bucket-1/a/b"),
        ("bucket-1/a+b%20c%2B", "a+b c+", None, "bucket-1/a%2Bb%20c%2B"),
        ("bucket-1/a%3FversionId=x", "a?versionId=x", None, "bucket-1/a%3FversionId%3Dx"),
        ("bucket-1/%e4%bd%a0", "\u{4f60}", None, "bucket-1/%E4%BD%A0"),
        ("bucket-1/../x/./", "../x/./", None, "bucket-1/../x/./"),
        ("bucket-1/a?versionId=v%2F1", "a", Some("v/1"), "bucket-1/a?versionId=v%2F1"),
        ("bucket-1/a?versionId=null", "a", Some("null"), "bucket-1/a?versionId=null"),
    ] {
        let admitted = source(text).unwrap();
        let expected = CopySource {
            bucket: "bucket-1".into(),
            key: key.into(),
            version_id: version.map(String::from),
        };
        assert_eq!(admitted.copy_source, Some(expected), "{text}");
        let header = admitted.request.headers()["x-amz-copy-source"].to_str().unwrap();
        assert_eq!(header, canonical);
        match s3s::dto::CopySource::parse(header).unwrap() {
            s3s::dto::CopySource::Bucket { bucket, key: parsed, version_id } => {
                assert_eq!((&*bucket, &*parsed), ("bucket-1", key));
                assert_eq!(version_id.as_deref(), version);
            }
            other => panic!("{other:?}"),
        }
    }
    let long = format!("bucket-1/{}", "k".repeat(1025));
    for (text, expected) in [
        ("", Code::InvalidArgument),
        ("bucket-1", Code::InvalidArgument),
        ("bucket-1/", Code::InvalidArgument),
        ("bucket-1/%", Code::InvalidArgument),
        ("bucket-1/%ff", Code::InvalidArgument),
        ("bucket-1/a?versionId=", Code::InvalidArgument),
        ("bucket-1/a?versionid=a", Code::InvalidArgument),
        ("bucket-1/a?b?versionId=a", Code::InvalidArgument),
        ("bucket-1/a%00", Code::InvalidURI),
        ("//bucket-1/a", Code::InvalidBucketName),
        ("B/a", Code::InvalidBucketName),
        (&long, Code::KeyTooLongError),
        ("arn:aws:s3:us-east-1:1:accesspoint/a/object/b", Code::NotImplemented),
    ] {
        assert_eq!(code(source(text)), expected, "{text}");
    }
}

#[test]
fn nothing_of_authentication_and_framing_is_handed_on() {
    let admitted = put()
        .with("x-amz-content-sha256", CHUNKED)
        .with("x-amz-decoded-content-length", "3")
        .with("x-amz-trailer", "X-Amz-Checksum-CRC32")
        .with("x-amz-sdk-checksum-algorithm", "CRC32")
        .with("x-amz-checksum-algorithm", "crc32")
        .with("content-md5", "kAFQmDzST7DWlj99KOF/cg==")
        .with("content-encoding", "aws-chunked, gzip")
        .with("expect", "100-continue")
        .with("transfer-encoding", "chunked")
        .with("content-type", "text/plain")
        .with("if-none-match", "*")
        .with("x-amz-meta-a", "b")
        .admit()
        .unwrap();
    let headers = admitted.request.headers();
    let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
    names.sort();
    let expected = ["content-encoding", "content-length", "content-type", "host", "if-none-match"];
    assert_eq!(names, expected);
    assert_eq!(headers["content-encoding"], "gzip");
    assert_eq!(headers["content-length"], "3");
    assert_eq!(admitted.digests.algorithm(), Some(ChecksumAlgorithm::Crc32));
    let admitted = put()
        .with("x-amz-content-sha256", CHUNKED)
        .with("x-amz-decoded-content-length", "0")
        .with("content-encoding", "AWS-chunked")
        .admit()
        .unwrap();
    assert!(!admitted.request.headers().contains_key("content-encoding"));
    let admitted = put().body(b"").with("content-encoding", "gzip,br").admit().unwrap();
    assert_eq!(admitted.request.headers()["content-encoding"], "gzip,br");
    let codings = put().with("content-encoding", "gzip").with("content-encoding", "br");
    let admitted = codings.body(b"").admit().unwrap();
    let values: Vec<_> = admitted.request.headers().get_all("content-encoding").iter().collect();
    assert_eq!(values, ["gzip,br"]);
    let admitted = get()
        .with("x-amz-te", "append-md5")
        .with("x-amz-checksum-crc32", "AAAAAA==")
        .with("x-amz-api-version", "2006-03-01")
        .admit()
        .unwrap();
    let mut names = admitted.request.headers().keys();
    assert_eq!((names.next().map(HeaderName::as_str), names.next()), (Some("host"), None));
}

#[test]
fn checksums_of_a_completion_are_the_objects() {
    let complete = || TestRequest::new("POST", "/bucket-1/key?uploadId=u").body(b"<xml/>");
    let admitted = complete()
        .with("x-amz-checksum-sha256", &format!("{}=-2", "A".repeat(43)))
        .with("x-amz-checksum-type", "COMPOSITE")
        .admit()
        .unwrap();
    assert!(admitted.request.headers()["x-amz-checksum-sha256"].to_str().unwrap().ends_with("=-2"));
    assert_eq!(admitted.digests.algorithm(), None);
    let (pieces, result) = read(admitted.request.into_body());
    assert_eq!((pieces.concat(), result), (b"<xml/>".to_vec(), Ok(())));
    assert_eq!(admitted.digests.checksum(), None);

    let wrong = complete().with("x-amz-checksum-crc32", "A").code();
    assert_eq!(wrong, Code::InvalidRequest);
    let wrong = complete().with("content-md5", "AAAAAAAAAAAAAAAAAAAAAA==").admit().unwrap();
    assert_eq!(read(wrong.request.into_body()).1, Err(Code::BadDigest));
    // Of keys to delete, the checksum is that of the list.
    let delete = TestRequest::new("POST", "/bucket-1?delete").body(b"<xml/>");
    let wrong = delete.with("x-amz-checksum-crc32", "AAAAAA==").admit().unwrap();
    assert_eq!(read(wrong.request.into_body()).1, Err(Code::BadDigest));
}
