//! s3s routes an admitted request to the operation that the gate authorized.

use s3s::{S3, service::S3ServiceBuilder};

use super::*;

/// Has no operations: each answers with its name.
#[derive(Debug)]
struct Nothing;

impl S3 for Nothing {}

/// Returns the operation that s3s calls, from its answer.
fn routed(request: Request<VerifiedBody<TestBody>>) -> String {
    let service = S3ServiceBuilder::new(Nothing).build();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let answer = runtime.block_on(async {
        let request = request.map(s3s::Body::http_body_unsync);
        let response = service.call(request).await.unwrap();
        response.into_body().collect().await.unwrap().to_bytes()
    });
    let answer = String::from_utf8(answer.to_vec()).unwrap();
    let name = answer.split_once("<Message>").and_then(|(_, rest)| rest.split_once(' '));
    match name {
        Some((name, rest)) if rest.starts_with("is not implemented yet") => name.into(),
        _ => panic!("{answer}"),
    }
}

#[test]
fn requests_of_botocore_reach_their_operation() {
    let gate = gate(&[]);
    let mut seen = std::collections::BTreeSet::new();
    for (vector, request) in vectors::requests() {
        if vector.get("body_error").is_some() {
            continue;
        }
        let admitted = gate.admit(request, now()).unwrap();
        let operation = admitted.operation.name();
        seen.insert(operation);
        // s3s answers HEAD without a body, and refuses odd values of headers.
        let is_unanswered = admitted.request.method() == Method::HEAD
            || vector["uri"].as_str().is_some_and(|it| it.contains("response-content-type"));
        if is_unanswered {
            continue;
        }
        assert_eq!(routed(admitted.request), operation, "{vector}");
    }
    assert_eq!(seen.len(), Operation::ALL.len());
}
