//! Requests that botocore signed: `tests/vectors/generate.py` wrote them.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use serde_json::Value;

use super::*;

const VECTORS: &str = include_str!("../../../tests/vectors/botocore.json");

fn bytes(value: &Value) -> Vec<u8> {
    value.as_str().map(|it| BASE64.decode(it).unwrap()).unwrap_or_default()
}

fn request_of(vector: &Value) -> Request<TestBody> {
    let mut request = Request::new(body([Bytes::from(bytes(&vector["body"]))]));
    *request.method_mut() = vector["method"].as_str().unwrap().parse().unwrap();
    *request.uri_mut() = vector["uri"].as_str().unwrap().parse().unwrap();
    for header in vector["headers"].as_array().unwrap() {
        let name: HeaderName = header[0].as_str().unwrap().parse().unwrap();
        // As Latin-1, of which each character is a byte.
        let value: Vec<u8> = header[1].as_str().unwrap().chars().map(|it| it as u8).collect();
        request.headers_mut().append(name, HeaderValue::from_bytes(&value).unwrap());
    }
    request
}

/// Returns the vectors, and their requests.
pub(super) fn requests() -> impl Iterator<Item = (Value, Request<TestBody>)> {
    let mut vectors: Value = serde_json::from_str(VECTORS).unwrap();
    let vectors = vectors["requests"].as_array_mut().map(std::mem::take).unwrap();
    vectors.into_iter().map(|vector| {
        let request = request_of(&vector);
        (vector, request)
    })
}

#[test]
fn requests_of_botocore_are_admitted_as_it_meant_them() {
    let vectors: Value = serde_json::from_str(VECTORS).unwrap();
    assert_eq!(vectors["now"].as_u64(), Some(NOW));
    let gate = gate(&[]);
    let vectors = vectors["requests"].as_array().unwrap();
    assert!(vectors.len() >= 300, "{}", vectors.len());
    for vector in vectors {
        let admitted = match gate.admit(request_of(vector), now()) {
            Ok(admitted) => admitted,
            Err(refusal) => panic!("{refusal}: {vector}"),
        };
        assert_eq!(admitted.operation.name(), vector["operation"], "{vector}");
        assert_eq!(admitted.bucket.as_deref(), vector["bucket"].as_str(), "{vector}");
        assert_eq!(admitted.key.as_deref(), vector["key"].as_str(), "{vector}");
        assert_eq!(admitted.is_presigned, vector["presigned"] == true, "{vector}");
        assert_eq!(admitted.client.name(), "vectors");
        let query = Query::parse(admitted.request.uri().query().unwrap_or_default()).unwrap();
        for (name, value) in vector["parameters"].as_object().into_iter().flatten() {
            assert_eq!(query.get(name), value.as_str(), "{vector}");
        }
        let plaintext = match vector.get("plaintext") {
            Some(plaintext) => bytes(plaintext),
            None => bytes(&vector["body"]),
        };
        let (pieces, result) = read(admitted.request.into_body());
        match vector["body_error"].as_str() {
            Some(code) => assert_eq!(result.unwrap_err().as_str(), code, "{vector}"),
            None => {
                assert_eq!(result, Ok(()), "{vector}");
                assert_eq!(pieces.concat(), plaintext, "{vector}");
                assert!(admitted.digests.is_complete());
            }
        }
    }
}

#[test]
fn changed_requests_of_botocore_are_refused() {
    let vectors: Value = serde_json::from_str(VECTORS).unwrap();
    let gate = gate(&[]);
    for vector in vectors["requests"].as_array().unwrap() {
        let mut request = request_of(vector);
        *request.method_mut() = match *request.method() {
            Method::GET => Method::DELETE,
            _ => Method::GET,
        };
        assert_eq!(code(gate.admit(request, now())), Code::SignatureDoesNotMatch, "{vector}");

        let mut request = request_of(vector);
        let uri = request.uri().to_string();
        let (path, query) = uri.split_once('?').unwrap_or((&uri, ""));
        *request.uri_mut() = format!("{path}x?{query}").parse().unwrap();
        assert_eq!(code(gate.admit(request, now())), Code::SignatureDoesNotMatch, "{vector}");

        let mut request = request_of(vector);
        let separator = if query.is_empty() { "" } else { "&" };
        *request.uri_mut() = format!("{path}?{query}{separator}acl").parse().unwrap();
        assert_eq!(code(gate.admit(request, now())), Code::SignatureDoesNotMatch, "{vector}");

        let mut request = request_of(vector);
        request.headers_mut().insert("x-amz-copy-source", HeaderValue::from_static("b/k"));
        let expected = match request_of(vector).headers().contains_key("x-amz-copy-source") {
            true => Code::SignatureDoesNotMatch,
            false => Code::AccessDenied,
        };
        assert_eq!(code(gate.admit(request, now())), expected, "{vector}");
    }
}
