//! Copies keep their keys where the key service can't re-encrypt.

use sealwax_s3::ErrorKind;
use sealwax_tests::{LocalStack, Wire, assert_kind, east, read, west};

use crate::claims::planted;

/// Answers of services without `ReEncrypt`, and of a policy that denies it.
const ANSWERS: [(u16, &str); 5] = [
    (400, r#"{"__type":"InvalidAction","message":"The action ReEncrypt is not valid"}"#),
    (400, r#"{"__type":"UnknownOperationException"}"#),
    (404, r#"{"__type":"UnknownOperation"}"#),
    (501, ""),
    (400, r#"{"__type":"AccessDeniedException"}"#),
];

#[tokio::test]
async fn a_copy_has_the_same_keys_without_re_encrypt() {
    let quiet = LocalStack::new(east());
    let keys = [quiet.home.key.clone(), west().key];
    for (status, answer) in ANSWERS {
        let stack = LocalStack::over(Wire::answering("ReEncrypt", status, answer), east());
        let client = stack.client(&keys);
        let (from, to) = (stack.object("from"), stack.object("to"));
        quiet.client(&keys).put().uri(&from).body("x").send().await.expect("put");
        let copied = client.copy().source_uri(&from).uri(&to).send().await.expect(answer);
        assert!(copied.report.disproved.is_empty() && copied.report.missing.is_empty(), "{answer}");
        let mut calls = stack.wire.kms();
        calls.sort();
        let expected = |operation: &str| {
            ["us-east-1", "us-west-2"].map(|region| (operation.to_owned(), region.to_owned()))
        };
        // Each wrapped key is unwrapped alone, and wrapped under its own key.
        let expected: Vec<_> = ["Decrypt", "Encrypt", "ReEncrypt"].map(expected).concat();
        assert_eq!(calls, expected, "{answer}");
        for key in &keys {
            assert_eq!(read(&quiet.client([key]), &to).await.expect(answer), "x", "{key}");
        }
    }
}

/// A wrapped key that somebody planted is rejected in both ways, and no name gains a key by another.
#[tokio::test]
async fn a_planted_key_is_dropped_without_re_encrypt() {
    let quiet = LocalStack::new(east());
    let (own, other) = (&quiet.home.key, &quiet.home.key_2);
    let (status, answer) = ANSWERS[0];
    let stack = LocalStack::over(Wire::answering("ReEncrypt", status, answer), east());
    let (from, to) = (planted(&quiet, own, other).await, stack.object("to"));
    let client = stack.client([own, other]);
    let copied = client.copy().source_uri(&from).uri(&to).send().await.expect("copied");
    assert_eq!(copied.report.disproved, [other.as_str()]);
    assert_eq!(copied.header.keys().len(), 1);
    assert_eq!(read(&quiet.client([own]), &to).await.expect("opens"), "new");
    let by_other = read(&quiet.client([other]), &to).await;
    assert_kind(by_other, ErrorKind::NoMatchingKey, &to, "the name has no key");
}
