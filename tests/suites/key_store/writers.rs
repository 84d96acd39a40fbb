//! Many writers to one key store lose nothing, with and without conditional writes.

use futures_util::future::join_all;
use sealwax_s3::KeyChanges;
use sealwax_tests::{SeaweedFs, local_keyring};

use super::*;

/// Adds four keys at the same time, by four clients that know nothing of each other.
async fn add_at_once(client: impl Fn() -> SealedClient, bucket: &str, uri: &S3Uri) {
    let names = ["one", "two", "three", "four"];
    let listed = |client: &SealedClient| {
        let listing = client.stored_keys(bucket).expect("a key store").list();
        async move {
            let mut listing = listing;
            listing.next_key().await.expect("listed").expect("one")
        }
    };
    let key = listed(&client()).await;
    let add = |name: &'static str| {
        let (client, key) = (client(), key.clone());
        async move {
            // Each adds its own key, and one that another adds too.
            let changes =
                KeyChanges::new().add_keys(local_keyring(name)).add_keys(local_keyring("both"));
            let store = client.stored_keys(bucket).expect("a key store");
            store.rewrap(&key, &changes).await.expect("rewrapped").report
        }
    };
    let reports = join_all(names.map(add)).await;
    for (name, report) in names.iter().zip(&reports) {
        assert!(report.added.iter().any(|added| added == name), "{name}: {report:?}");
    }
    let key = listed(&client()).await;
    assert_eq!(key.names().len(), 6, "the first, four, and the one that all wanted");
    for name in names.iter().chain(&["both"]) {
        assert!(key.claims("local", name), "{name} is lost");
    }
    let proven = client().stored_keys(bucket).expect("a key store").prove(&key).await;
    assert_eq!(proven.expect("read").len(), 6);
    assert_eq!(read(&client(), uri).await.expect("get"), uri.to_string());
}

#[tokio::test]
async fn on_localstack() {
    let (stack, keys) = (LocalStack::new(east()), Keys::new());
    let uri = stack.object("shared");
    put(&keys.client(&stack, CachingKeyring::new(local_keyring("first"))), &uri).await;
    let client = || keys.client(&LocalStack::new(east()), local_keyring("first"));
    add_at_once(client, &keys.bucket, &uri).await;
}

#[tokio::test]
async fn on_a_store_that_ignores_conditions() {
    let keys = Keys::new();
    let ignoring = || {
        let drop_condition =
            |call: &sealwax_tests::Call| match call.headers.contains_key("if-none-match") {
                true => Reaction::DropHeader("if-none-match"),
                false => Reaction::Pass,
            };
        LocalStack::over(Wire::new(drop_condition), east())
    };
    let uri = ignoring().object("shared");
    put(&keys.client(&ignoring(), CachingKeyring::new(local_keyring("first"))), &uri).await;
    add_at_once(|| keys.client(&ignoring(), local_keyring("first")), &keys.bucket, &uri).await;
}

#[tokio::test]
async fn on_seaweedfs() {
    let (store, policy) = (SeaweedFs::new().await, KeyStorePolicy::with_prefix(unique("keys")));
    let client =
        |keyring: Box<dyn Keyring>| store.client_builder(keyring).key_store(policy.clone()).build();
    let uri = store.object("shared");
    put(&client(Box::new(CachingKeyring::new(local_keyring("first")))), &uri).await;
    add_at_once(|| client(Box::new(local_keyring("first"))), uri.bucket(), &uri).await;
}
