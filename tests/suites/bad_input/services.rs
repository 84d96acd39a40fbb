//! S3 denies, is missing something, breaks off, or does not respond.

use std::net::TcpListener;

use bytes::Bytes;
use sealwax_s3::{
    ErrorKind::{self, *},
    S3Uri, SealedClient,
};
use sealwax_tests::{
    LocalStack, Reaction, SeaweedFs, Wire, assert_kind, assert_unreadable, east, local_keyring,
    plaintext, read,
};

type Edit = fn(&mut Vec<u8>);

/// Asserts that each operation fails with this kind of error. Operations that start with a HEAD,
/// whose response has no error code, fail with `of_head`.
async fn assert_all_fail(
    client: &SealedClient,
    uri: &S3Uri,
    kind: ErrorKind,
    of_head: ErrorKind,
    case: &str,
) {
    assert_kind(client.put().uri(uri).body("x").send().await, kind, uri, case);
    let parts = client.put().uri(uri).body(plaintext(9 << 20));
    assert_kind(parts.send().await, kind, uri, case);
    assert_kind(client.head().uri(uri).send().await, of_head, uri, case);
    assert_unreadable(client, uri, &[kind], &[], case).await;
    assert_kind(
        client.rewrap().uri(uri).add_keys(local_keyring("b")).send().await,
        of_head,
        uri,
        case,
    );
    assert_kind(client.delete().uri(uri).send().await, kind, uri, case);
}

#[tokio::test]
async fn a_wrong_secret_is_denied() {
    let store = SeaweedFs::new().await;
    let uri = store.object("denied");
    store.client(local_keyring("a")).put().uri(&uri).body("x").send().await.expect("put");
    let denied = SeaweedFs::with_secret(Wire::default(), "wrong");
    assert_all_fail(
        &denied.client(local_keyring("a")),
        &uri,
        Credentials,
        Credentials,
        "a wrong secret",
    )
    .await;
    assert_eq!(read(&store.client(local_keyring("a")), &uri).await.expect("untouched"), "x");
}

#[tokio::test]
async fn missing_objects_and_buckets_are_not_found() {
    let stack = LocalStack::new(east());
    let client = stack.client([&stack.home.key]);
    let no_object = stack.object("absent");
    assert_unreadable(&client, &no_object, &[NotFound], &[], "no object").await;
    assert_kind(client.head().uri(&no_object).send().await, NotFound, &no_object, "no object");
    let rewrap =
        client.rewrap().uri(&no_object).add_keys(stack.keyring([&stack.home.key_2])).send().await;
    assert_kind(rewrap, NotFound, &no_object, "no object");
    client.delete().uri(&no_object).send().await.expect("as S3 does");
    assert_eq!(stack.wire.kms(), []);

    let no_bucket: S3Uri = "s3://sealwax-no-such-bucket/k".parse().expect("a name");
    assert_all_fail(&client, &no_bucket, NoSuchBucket, NotFound, "no bucket").await;
}

#[tokio::test]
async fn a_dead_endpoint_is_reported_as_unavailable() {
    let closed = TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a port");
    let dead = SeaweedFs::at(&format!("http://{closed}"));
    let uri: S3Uri = "s3://b/k".parse().expect("a name");
    let client = dead.client(local_keyring("a"));
    assert_kind(client.put().uri(&uri).body("x").send().await, Unavailable, &uri, "put");
    let error = assert_kind(client.get().uri(&uri).send().await, Unavailable, &uri, "get");
    assert!(error.kind().is_retryable());
}

#[tokio::test]
async fn missing_credentials_are_named_as_the_cause() {
    let client = SeaweedFs::without_credentials().client(local_keyring("a"));
    let uri: S3Uri = "s3://b/k".parse().expect("a name");
    let error = client.get().uri(&uri).send().await.expect_err("no credentials");
    let text = format!("{error}: {:?}", std::error::Error::source(&error).map(ToString::to_string));
    assert!(text.contains("credentials"), "the error does not name the cause: {text}");
    assert_eq!(error.kind(), Credentials);
    assert!(!error.kind().is_retryable(), "a retry finds none either: {error:?}");
}

#[tokio::test]
async fn each_refusal_of_s3_has_its_kind() {
    let store = SeaweedFs::new().await;
    let uri = store.object("refused");
    store.client(local_keyring("a")).put().uri(&uri).body("x").send().await.expect("put");
    for (status, code, kind) in [
        (503, "SlowDown", Throttled),
        (503, "ServiceUnavailable", Unavailable),
        (500, "InternalError", Unavailable),
        (403, "AccessDenied", AccessDenied),
        (403, "InvalidObjectState", Archived),
        (301, "PermanentRedirect", WrongRegion),
        (400, "AuthorizationHeaderMalformed", Service),
    ] {
        let body = format!("<Error><Code>{code}</Code><Message>says S3</Message></Error>");
        let refused = SeaweedFs::over(Wire::answering("GetObject", status, body)).await;
        assert_kind(read(&refused.client(local_keyring("a")), &uri).await, kind, &uri, code);
    }
}

#[tokio::test]
async fn a_body_changed_in_transit_is_not_released() {
    let (first, last): (Edit, Edit) =
        (|body| body[60] ^= 1, |body| *body.last_mut().expect("a byte") ^= 1);
    for (case, edit, kind) in
        [("at the start", first, Authentication), ("at the end", last, Authentication)]
    {
        let (damaged, uri, data) = damaged_on_the_way(move |_| Reaction::Edit(edit)).await;
        assert_unreadable(&damaged, &uri, &[kind], &data, case).await;
    }
}

/// A body that breaks off is resumed. If it never arrives whole, the read fails.
///
/// FORMAT.md R14: a body that ends before its announced length is truncated.
#[tokio::test]
async fn a_body_that_breaks_off_is_not_taken_as_whole() {
    let (middle, chunk): (Edit, Edit) =
        (|body| body.truncate(50_000), |body| body.truncate(56 + 2 * 16_400));
    for (case, edit) in [("in the middle", middle), ("after a chunk", chunk)] {
        let once = move |nth| if nth == 0 { Reaction::Edit(edit) } else { Reaction::Pass };
        let (resumed, uri, data) = damaged_on_the_way(once).await;
        assert!(read(&resumed, &uri).await.expect(case) == data, "{case}");
        let then_dead = move |nth| if nth == 0 { Reaction::Edit(edit) } else { Reaction::Refuse };
        let (broken, uri, _) = damaged_on_the_way(then_dead).await;
        assert_kind(read(&broken, &uri).await, Unavailable, &uri, case);
    }
}

/// Returns a client that gets the nth `GetObject` response as `reaction` says, an object to read,
/// and its plaintext.
async fn damaged_on_the_way(
    reaction: impl Fn(usize) -> Reaction + Send + Sync + 'static,
) -> (SealedClient, S3Uri, Bytes) {
    let wire = Wire::new(move |call| match call.operation == "GetObject" {
        true => reaction(call.nth),
        false => Reaction::Pass,
    });
    let store = SeaweedFs::over(wire).await;
    let (client, uri, data) =
        (store.client(local_keyring("a")), store.object("damaged"), plaintext(100_000));
    client.put().uri(&uri).body(data.clone()).send().await.expect("put");
    (client, uri, data)
}
