//! Many writers to one key store lose nothing, with and without conditional writes.

use futures_util::future::join_all;
use sealwax_s3::KeyChanges;
use sealwax_tests::{SeaweedFs, local_keyring};

use super::*;

/// FORMAT.md W19: adds four keys at the same time, by four clients that know nothing of each other.
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

/// Copies the key objects of each bucket to the other one, as replication in both directions does.
async fn replicate(s3: &Client, keys: [&Keys; 2]) {
    let [here, there] = [keys[0].objects(s3).await, keys[1].objects(s3).await];
    for (objects, to) in [(here, keys[1]), (there, keys[0])] {
        for (key, content) in objects {
            to.store(s3, &key, content).await;
        }
    }
}

/// Where both add the same wrapping key, one of the two objects wins, and each of them holds the key.
#[tokio::test]
async fn in_two_buckets_that_replicate_into_each_other() {
    let (stack, here) = (LocalStack::new(east()), Keys::new());
    let there = Keys { bucket: west().bucket, ..here.clone() };
    let s3 = stack.s3();
    let uri = stack.object("shared");
    put(&here.client(&stack, CachingKeyring::new(local_keyring("first"))), &uri).await;
    replicate(&s3, [&here, &there]).await;
    let client = |keys: &Keys| keys.client(&LocalStack::new(east()), local_keyring("first"));
    let add = |keys: Keys, names: [&'static str; 2]| {
        let client = client(&keys);
        async move {
            let key = keys.only(&client).await;
            let store = client.stored_keys(&keys.bucket).expect("a key store");
            for name in names {
                let changes = KeyChanges::new().add_keys(local_keyring(name));
                store.rewrap(&key, &changes).await.expect("rewrapped");
            }
        }
    };
    let writers = [
        add(here.clone(), ["one", "both"]),
        add(there.clone(), ["two", "both"]),
        add(here.clone(), ["three", "one"]),
        add(there.clone(), ["four", "two"]),
    ];
    let replication = async {
        for _ in 0..3 {
            replicate(&s3, [&here, &there]).await;
        }
    };
    futures_util::future::join(join_all(writers), replication).await;
    replicate(&s3, [&here, &there]).await;
    for keys in [&here, &there] {
        let key = keys.only(&client(keys)).await;
        let names = ["first", "one", "two", "three", "four", "both"];
        assert_eq!(key.names().len(), names.len(), "{}", keys.bucket);
        for name in names {
            let reader = keys.client(&LocalStack::new(east()), local_keyring(name));
            let store = reader.stored_keys(&keys.bucket).expect("a key store");
            let proven = store.prove(&key).await.expect("read");
            let own = proven.iter().find(|it| it.form.wrapping_key() == name).expect(name);
            let is_proven = matches!(own.proof, sealwax_s3::KeyProof::Proven { .. });
            assert!(is_proven, "{name} in {}: {:?}", keys.bucket, own.proof);
        }
    }
}
