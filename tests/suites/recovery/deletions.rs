//! Deletions: a success counts only if the store made it.

use futures_util::FutureExt as _;
use sealwax_s3::{ErrorKind, S3Uri, SealedClient};
use sealwax_tests::{
    Call, LocalStack, Reaction, SeaweedFs, Wire, assert_kind, east, local_keyring, read,
};

const IGNORED: &str = "the store reported a deletion, and the object is still there";

/// Returns a wire over which deletes of addresses with `part` are answered and not made.
fn ignoring(part: &'static str) -> Wire {
    Wire::new(move |call| match call.operation == "DeleteObject" && call.uri.contains(part) {
        true => Reaction::Answer(204, String::new()),
        false => Reaction::Pass,
    })
}

async fn put(client: &SealedClient, uri: &S3Uri) {
    client.put().uri(uri).body("x").send().await.expect("put");
}

#[tokio::test]
async fn a_deletion_that_was_not_made_is_an_error() {
    let store = SeaweedFs::over(ignoring("")).await;
    let (client, uri) = (store.client(local_keyring("a")), store.object("ignored"));
    put(&client, &uri).await;
    // A store that was caught is not trusted the next time.
    for _ in 0..2 {
        store.wire.forget();
        let deleted = client.delete().uri(&uri).send().await;
        let error = assert_kind(deleted, ErrorKind::Service, &uri, "delete");
        assert_eq!(error.message(), IGNORED);
        assert_eq!(store.wire.operations("s3"), ["HeadObject", "DeleteObject", "HeadObject"]);
    }
    assert_eq!(read(&client, &uri).await.expect("still there"), "x");
}

#[tokio::test]
async fn an_honest_store_is_looked_at_once() {
    const BOTH: [&str; 3] = ["HeadObject", "DeleteObject", "HeadObject"];
    let amazon = |call: &Call| match call.operation.as_str() {
        "HeadObject" => Reaction::AddHeader("server", "AmazonS3".to_owned()),
        _ => Reaction::Pass,
    };
    let denied = |call: &Call| match call.operation.as_str() {
        "HeadObject" => Reaction::Answer(403, String::new()),
        _ => Reaction::Pass,
    };
    for (case, wire, first) in [
        ("honest", Wire::default(), &BOTH[..]),
        ("Amazon S3 is taken at its word", Wire::new(amazon), &BOTH[..2]),
        ("one who may not look", Wire::new(denied), &BOTH[..2]),
    ] {
        let store = SeaweedFs::over(wire).await;
        let client = store.client(local_keyring("a"));
        for expected in [first, &["DeleteObject"]] {
            let uri = store.object("honest");
            put(&client, &uri).await;
            store.wire.forget();
            client.delete().uri(&uri).send().await.expect(case);
            assert_eq!(store.wire.operations("s3"), expected, "{case}");
        }
    }
    // An object that is not there shows nothing.
    let store = SeaweedFs::new().await;
    let client = store.client(local_keyring("a"));
    for _ in 0..2 {
        store.wire.forget();
        client.delete().uri(&store.object("absent")).send().await.expect("gone");
        assert_eq!(store.wire.operations("s3"), ["HeadObject", "DeleteObject"]);
    }
}

#[tokio::test]
async fn a_new_object_is_not_the_deleted_one() {
    let quiet = SeaweedFs::new().await;
    let (other, uri) = (quiet.client(local_keyring("a")), quiet.object("replaced"));
    put(&other, &uri).await;
    let rival = (other.clone(), uri.clone());
    let wire = Wire::new(move |call| match (call.operation.as_str(), call.nth) {
        ("HeadObject", 1) => {
            let (other, uri) = rival.clone();
            Reaction::Await(async move { put(&other, &uri).await }.boxed())
        }
        _ => Reaction::Pass,
    });
    let client = SeaweedFs::over(wire).await.client(local_keyring("a"));
    client.delete().uri(&uri).send().await.expect("deleted, and stored again");
    assert_eq!(read(&other, &uri).await.expect("the new one"), "x");
}

/// In a versioned bucket, a delete marker hides an object. Deletions of versions are another thing.
#[tokio::test]
async fn deletions_of_versions_are_looked_at_apart() {
    let stack = LocalStack::over(ignoring("versionId"), east());
    let (client, uri) = (stack.client([&stack.home.key]), stack.object("versions"));
    put(&client, &uri).await;
    let version = client.head().uri(&uri).send().await.expect("head").version_id.expect("an id");
    let deleted = client.delete().uri(&uri).send().await.expect("hidden");
    assert!(deleted.delete_marker);
    let deleted = client.delete().uri(&uri).version_id(&version).send().await;
    let error = assert_kind(deleted, ErrorKind::Service, &uri, "a version");
    assert_eq!(error.message(), IGNORED);

    let quiet = LocalStack::new(east());
    let client = quiet.client([&quiet.home.key]);
    client.delete().uri(&uri).version_id(&version).send().await.expect("gone");
    let read = client.get().uri(&uri).version_id(&version).send().await;
    assert_eq!(read.expect_err("gone").kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_source_that_the_store_keeps_was_not_moved() {
    let store = SeaweedFs::over(ignoring("")).await;
    let client = store.client(local_keyring("a"));
    let (from, to) = (store.object("from"), store.object("to"));
    put(&client, &from).await;
    let moved = client.copy().source_uri(&from).uri(&to).delete_source().send().await;
    let error = assert_kind(moved, ErrorKind::Service, &from, "moved");
    assert_eq!(error.message(), format!("copied to {to}, and kept the source: {IGNORED}"));
    assert_eq!(read(&client, &from).await.expect("still there"), "x");
}

/// A version that stays holds a key that opens the object, so each of them is looked at.
#[tokio::test]
async fn a_version_that_was_not_deleted_is_reported_by_a_shred() {
    let stack = LocalStack::over(ignoring("versionId"), east());
    let (client, uri) = (stack.client([&stack.home.key]), stack.object("shred"));
    put(&client, &uri).await;
    let shred = client.shred().uri(&uri).confirm(uri.to_string()).delete_versions();
    let shredded = shred.send().await.expect("shredded");
    assert_eq!((shredded.shredded, shredded.deleted_versions), (true, 0));
    let [holder] = &shredded.holders[..] else { panic!("{:?}", shredded.holders) };
    let failure = holder.failure.as_ref().expect("a failure");
    assert_eq!(*failure, format!("cannot shred {uri} in us-east-1: {IGNORED}"));
}
