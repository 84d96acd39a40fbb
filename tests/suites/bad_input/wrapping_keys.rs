//! Unusable wrapping keys.

use sealwax_s3::{
    Error, ErrorKind,
    ErrorKind::*,
    KmsKeyArn, S3Uri, SealedClient,
    envelope::{EncryptionContext, LocalKeyring},
};
use sealwax_tests::{
    Ending, LocalStack, Reaction, SeaweedFs, Wire, assert_kind, assert_unreadable, east,
    local_keyring, plaintext, read,
};

type Edit = fn(&mut Vec<u8>);

/// Puts an object under `key`.
async fn sealed(stack: &LocalStack, key: &KmsKeyArn) -> S3Uri {
    let uri = stack.object("key");
    stack.client([key]).put().uri(&uri).body(plaintext(20_000)).send().await.expect("put");
    uri
}

#[tokio::test]
async fn a_required_context_is_checked_before_any_kms_call() {
    let stack = LocalStack::new(east());
    let (client, uri) = (stack.client([&stack.home.key]), stack.object("context"));
    let context = |pairs: &[(&str, &str)]| {
        EncryptionContext::try_from_iter(pairs.iter().copied()).expect("a context")
    };
    let put = client
        .put()
        .uri(&uri)
        .body("x")
        .encryption_context(context(&[("tenant", "acme"), ("class", "a")]));
    put.send().await.expect("put");
    stack.wire.forget();
    for pairs in [
        &[("tenant", "other")][..],
        &[("absent", "acme")],
        &[("tenant", "acme"), ("class", "b")],
        &[("tenant", "")],
    ] {
        let get = client.get().uri(&uri).encryption_context(context(pairs)).send().await;
        assert_kind(get, ContextMismatch, &uri, &format!("{pairs:?}"));
    }
    assert_eq!(stack.wire.kms(), []);
    client
        .get()
        .uri(&uri)
        .encryption_context(context(&[("class", "a")]))
        .send()
        .await
        .expect("it has that pair");
}

#[tokio::test]
async fn a_key_that_did_not_wrap_the_object_is_never_asked() {
    let stack = LocalStack::new(east());
    let uri = sealed(&stack, &stack.home.key).await;
    stack.wire.forget();
    for keys in [&[][..], &[&stack.home.key_2], &[&stack.home.key_2, &stack.home.mrk]] {
        let client = stack.client(keys.iter().copied());
        assert_unreadable(&client, &uri, &[NoMatchingKey], &[], &format!("{keys:?}")).await;
    }
    assert_eq!(stack.wire.kms(), []);
}

#[tokio::test]
async fn another_local_key_of_the_same_name_does_not_open() {
    let store = SeaweedFs::new().await;
    let uri = store.object("local");
    store
        .client(local_keyring("a"))
        .put()
        .uri(&uri)
        .body(plaintext(20_000))
        .send()
        .await
        .expect("put");
    let same_name = LocalKeyring::new("a", &mut [1; 32]).expect("a key");
    assert_unreadable(&store.client(same_name), &uri, &[Authentication], &[], "the same name")
        .await;
    assert_unreadable(
        &store.client(local_keyring("b")),
        &uri,
        &[NoMatchingKey],
        &[],
        "another name",
    )
    .await;
}

#[tokio::test]
async fn each_state_of_an_unusable_key_has_its_kind() {
    let stack = LocalStack::new(east());
    let (kms, key) = (stack.kms(), stack.new_key().await);
    let (client, uri) = (stack.client([&key]), sealed(&stack, &key).await);
    let assert_unusable = async |kind: ErrorKind, case: &str| {
        assert_unreadable(&client, &uri, &[kind], &[], case).await;
        let another = stack.object("unusable");
        let error =
            assert_kind(client.put().uri(&another).body("x").send().await, kind, &another, case);
        assert!(error.to_string().contains(key.as_str()), "{case}: the key is not named: {error}");
        assert_kind(client.head().uri(&another).send().await, NotFound, &another, case);
    };
    kms.disable_key().key_id(key.as_str()).send().await.expect("disable");
    assert_unusable(KeyDisabled, "disabled").await;
    kms.schedule_key_deletion()
        .key_id(key.as_str())
        .pending_window_in_days(7)
        .send()
        .await
        .expect("schedule deletion");
    assert_unusable(KeyDisabled, "pending deletion").await;
    kms.cancel_key_deletion().key_id(key.as_str()).send().await.expect("cancel deletion");
    kms.enable_key().key_id(key.as_str()).send().await.expect("enable");
    assert!(read(&client, &uri).await.expect("enabled again") == plaintext(20_000));

    let absent: KmsKeyArn =
        "arn:aws:kms:us-east-1:000000000000:key/00000000-1111-2222-3333-444444444444"
            .parse()
            .expect("an ARN");
    let put = stack.client([&absent]).put().uri(&uri).body("x").send().await;
    assert_kind(put, KeyNotFound, &uri, "no such key");
    assert!(read(&client, &uri).await.expect("untouched") == plaintext(20_000));
}

/// Each KMS error code, and the SDK's retries of some.
#[tokio::test]
async fn every_refusal_of_kms_has_its_kind() {
    let stack = LocalStack::new(east());
    let uri = sealed(&stack, &stack.home.key).await;
    for (status, code, kind) in [
        (400, "AccessDeniedException", AccessDenied),
        (400, "DisabledException", KeyDisabled),
        (400, "KMSInvalidStateException", KeyDisabled),
        (400, "NotFoundException", KeyNotFound),
        (400, "InvalidCiphertextException", Authentication),
        (400, "IncorrectKeyException", Authentication),
        (400, "ThrottlingException", Throttled),
        (400, "LimitExceededException", Throttled),
        (500, "KeyUnavailableException", Unavailable),
        (500, "KMSInternalException", Unavailable),
        (400, "InvalidGrantTokenException", Service),
    ] {
        for operation in ["Decrypt", "GenerateDataKey"] {
            let body = format!(r#"{{"__type":"{code}","message":"says KMS"}}"#);
            let denied = LocalStack::over(Wire::answering(operation, status, body), east());
            let client = denied.client([&denied.home.key]);
            let error = match operation {
                "Decrypt" => assert_kind(read(&client, &uri).await, kind, &uri, code),
                _ => assert_kind(client.put().uri(&uri).body("x").send().await, kind, &uri, code),
            };
            assert!(
                !denied.wire.operations("s3").iter().any(|it| it == "PutObject"),
                "{code}: something was stored"
            );
            if kind != Authentication {
                assert!(
                    error.to_string().contains(denied.home.key.as_str()),
                    "{code}: the key is not named: {error}"
                );
            }
        }
    }
}

#[tokio::test]
async fn nonsensical_kms_responses_are_refused() {
    let stack = LocalStack::new(east());
    let uri = sealed(&stack, &stack.home.key).await;
    let cases: [(&str, Edit); 4] = [
        ("for another key", |body| replace(body, "arn:aws:kms:us-east-1", "arn:aws:kms:us-west-2")),
        ("without a data key", |body| replace(body, "\"Plaintext\"", "\"Nothing\"")),
        ("with a short data key", |body| {
            replace(body, "\"Plaintext\":\"", "\"Plaintext\":\"AAAA\",\"Ignored\":\"");
        }),
        ("no JSON", |body| body.truncate(20)),
    ];
    for (case, edit) in cases {
        for operation in ["Decrypt", "GenerateDataKey"] {
            let wire = Wire::new(move |call| match call.operation == operation {
                true => Reaction::Edit(edit),
                false => Reaction::Pass,
            });
            let stack = LocalStack::over(wire, east());
            let client = stack.client([&stack.home.key]);
            let result = calling(operation, &client, &uri).await;
            assert_kind(result, Service, &uri, &format!("{operation} {case}"));
            assert!(
                !stack.wire.operations("s3").iter().any(|it| it == "PutObject"),
                "{case}: something was stored"
            );
        }
    }
}

/// Reads the object, or stores it again, whichever calls this operation of KMS.
async fn calling(operation: &str, client: &SealedClient, uri: &S3Uri) -> Result<(), Error> {
    match operation {
        "Decrypt" => read(client, uri).await.map(drop),
        _ => client.put().uri(uri).body("x").send().await.map(drop),
    }
}

#[tokio::test]
async fn a_kms_answer_that_breaks_off_is_an_outage() {
    let stack = LocalStack::new(east());
    let uri = sealed(&stack, &stack.home.key).await;
    for operation in ["Decrypt", "GenerateDataKey"] {
        let wire = Wire::new(move |call| match call.operation == operation {
            true => Reaction::CutAnswer(20, Ending::Broken),
            false => Reaction::Pass,
        });
        let stack = LocalStack::over(wire, east());
        let client = stack.client([&stack.home.key]);
        let result = calling(operation, &client, &uri).await;
        let error = assert_kind(result, Unavailable, &uri, operation);
        let text = sealwax_s3::error_chain(&error);
        assert!(text.contains("the answer broke off"), "{text}");
    }
}

fn replace(body: &mut Vec<u8>, from: &str, to: &str) {
    let text = String::from_utf8_lossy(body).replace("\": \"", "\":\"").replace(from, to);
    *body = text.into_bytes();
}

/// FORMAT.md R8: if one key fails, the others are tried.
#[tokio::test]
async fn a_bad_wrapped_key_does_not_prevent_the_use_of_a_good_one() {
    let stack = LocalStack::new(east());
    let (lost, uri) = (stack.new_key().await, stack.object("second"));
    let client = stack.client([&lost, &stack.home.key]);
    client.put().uri(&uri).body("x").send().await.expect("put");
    stack.kms().disable_key().key_id(lost.as_str()).send().await.expect("disable");
    assert_eq!(read(&client, &uri).await.expect("by the other key"), "x");
    // Both fail: the error has the kind that the caller can act on.
    let only = stack.client([&lost]);
    assert_kind(read(&only, &uri).await, KeyDisabled, &uri, "the only key");
}
