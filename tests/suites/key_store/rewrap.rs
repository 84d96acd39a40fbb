//! Rewraps of keys, for objects that nothing touches.

use sealwax_s3::{KeyChanges, KeyProof, StoredKeyOutput};
use sealwax_tests::{Stored, local_keyring};

use super::*;

/// Objects under one key, of which the reader in the other Region has none.
struct Written {
    stack: LocalStack,
    keys: Keys,
    uris: Vec<S3Uri>,
}

impl Written {
    async fn new() -> Self {
        let (stack, keys) = (LocalStack::new(east()), Keys::new());
        let writer = keys.writer(&stack, [&stack.home.key]);
        let uris: Vec<_> = (0..3).map(|_| stack.object("shared")).collect();
        for uri in &uris {
            put(&writer, uri).await;
        }
        Self { stack, keys, uris }
    }

    async fn rewrap(&self, client: &SealedClient, changes: KeyChanges) -> StoredKeyOutput {
        let store = client.stored_keys(&self.keys.bucket).expect("a key store");
        let key = self.keys.only(client).await;
        store.rewrap(&key, &changes).await.expect("rewrapped")
    }

    /// Returns all stored objects.
    async fn stored(&self) -> Vec<Stored> {
        let mut stored = Vec::new();
        for uri in &self.uris {
            stored.push(Stored::fetch(&self.stack.s3(), uri).await);
        }
        stored
    }
}

#[tokio::test]
async fn one_call_opens_all_objects_of_a_key_elsewhere() {
    let written = Written::new().await;
    let (stack, keys) = (&written.stack, &written.keys);
    let before = written.stored().await;
    let operator = keys.reader(stack, [&stack.home.key]);
    stack.wire.forget();
    let changes = || KeyChanges::new().add_keys(stack.keyring([&west().key]));
    let output = written.rewrap(&operator, changes()).await;
    assert_eq!(output.report.added, [west().key.as_str()]);
    assert!(output.report.opens.is_proven(), "it met its id");
    assert_eq!(
        operations(&stack.wire, keys),
        ["ListObjectsV2", "GetObject *", "Decrypt", "Encrypt", "PutObject *"]
    );
    assert_eq!(written.stored().await, before, "no object was touched");

    stack.wire.forget();
    let reader = keys.writer(stack, [&west().key]);
    for uri in &written.uris {
        assert_eq!(read(&reader, uri).await.expect("get"), uri.to_string());
    }
    let expected =
        ["GetObject", "GetObject *", "Decrypt", "GetObject", "GetObject"].map(String::from);
    assert_eq!(operations(&stack.wire, keys), expected, "one key object, and one call");

    stack.wire.forget();
    let output = written.rewrap(&operator, changes()).await;
    assert_eq!(
        (output.report.claimed.as_slice(), output.is_unchanged()),
        (&[west().key.to_string()][..], true)
    );
    assert_eq!(operations(&stack.wire, keys), ["ListObjectsV2"], "a claim costs nothing");
    let output = written.rewrap(&operator, changes().prove_present()).await;
    assert_eq!(output.report.proven, [west().key.as_str()]);
    assert!(output.report.opens.is_proven());
}

/// Inside a Region, the key never leaves KMS. (AWS KMS API Reference, `ReEncrypt`.)
#[tokio::test]
async fn inside_a_region_a_key_is_re_encrypted() {
    let written = Written::new().await;
    let (stack, keys) = (&written.stack, &written.keys);
    let operator = keys.reader(stack, [&stack.home.key]);
    stack.wire.forget();
    let second = &stack.home.key_2;
    let output =
        written.rewrap(&operator, KeyChanges::new().add_keys(stack.keyring([second]))).await;
    assert_eq!(output.report.added, [second.as_str()]);
    assert!(!output.report.opens.is_proven(), "ReEncrypt shows no key");
    let expected = ["ListObjectsV2", "GetObject *", "ReEncrypt", "PutObject *"];
    assert_eq!(operations(&stack.wire, keys), expected);
    let reader = keys.reader(stack, [second]);
    assert_eq!(read(&reader, &written.uris[0]).await.expect("get"), written.uris[0].to_string());
}

/// The provider of the new key can't re-encrypt, so the key is unwrapped.
#[tokio::test]
async fn a_local_key_is_added_through_this_process() {
    let written = Written::new().await;
    let (stack, keys) = (&written.stack, &written.keys);
    let operator = keys.reader(stack, [&stack.home.key]);
    let output =
        written.rewrap(&operator, KeyChanges::new().add_keys(local_keyring("escrow"))).await;
    assert_eq!(output.report.added, ["escrow"]);
    assert!(output.report.opens.is_proven(), "it met the id");
    let reader = keys.client(stack, local_keyring("escrow"));
    for uri in &written.uris {
        assert_eq!(read(&reader, uri).await.expect("get"), uri.to_string());
    }
    let key = keys.only(&reader).await;
    let proven =
        reader.stored_keys(&keys.bucket).expect("a store").prove(&key).await.expect("read");
    let proofs: Vec<_> = proven
        .iter()
        .map(|it| (it.form.provider(), matches!(it.proof, KeyProof::Proven { .. })))
        .collect();
    assert!(
        proofs.contains(&("local", true)) && proofs.contains(&("aws-kms", false)),
        "{proven:?}"
    );
}

/// FORMAT.md W22: a key goes only after another one was unwrapped.
#[tokio::test]
async fn a_key_goes_only_after_another_one_is_proven() {
    let written = Written::new().await;
    let (stack, keys) = (&written.stack, &written.keys);
    let (home, west) = (&stack.home.key, west());
    let operator = keys.reader(stack, [home]);
    let store = operator.stored_keys(&keys.bucket).expect("a key store");
    let remove = || KeyChanges::new().remove_key(home.as_str());
    let key = keys.only(&operator).await;
    let failed = store.rewrap(&key, &remove()).await.expect_err("the last one");
    assert_eq!(failed.kind(), ErrorKind::InvalidInput, "{failed}");

    written.rewrap(&operator, KeyChanges::new().add_keys(stack.keyring([&west.key]))).await;
    // The operator reads with the key that goes, and may not ask the other one.
    let output = written.rewrap(&operator, remove()).await;
    assert_eq!((output.report.kept.as_slice(), output.removed.len()), (&[home.to_string()][..], 0));
    assert_eq!(keys.only(&operator).await.names().len(), 2);
    let output = written.rewrap(&operator, remove().dangerous_allow_unproven()).await;
    assert_eq!(output.removed, [home.as_str()]);

    let operator = keys.reader(stack, [&west.key]);
    let replace = KeyChanges::new().replace_keys(stack.keyring([home]));
    let output = written.rewrap(&operator, replace).await;
    assert_eq!(
        (&output.report.added[..], &output.removed[..]),
        (&[home.to_string()][..], &[west.key.to_string()][..])
    );
    assert!(output.report.opens.is_proven());
    let key = keys.only(&operator).await;
    assert!(key.claims("aws-kms", home.as_str()) && key.names().len() == 1);
}

#[tokio::test]
async fn a_keyring_without_any_of_the_keys_changes_nothing() {
    let written = Written::new().await;
    let (stack, keys) = (&written.stack, &written.keys);
    let stranger = keys.reader(stack, [&west().key]);
    let store = stranger.stored_keys(&keys.bucket).expect("a key store");
    let key = keys.only(&stranger).await;
    let add = KeyChanges::new().add_keys(stack.keyring([&west().key]));
    let failed = store.rewrap(&key, &add).await.expect_err("no key of the operator's");
    assert_eq!(failed.kind(), ErrorKind::KeyObjectMissing, "{failed}");
    let failed = store.rewrap(&key, &KeyChanges::new().refresh_keys()).await;
    assert_eq!(failed.expect_err("no key of the operator's").kind(), ErrorKind::KeyObjectMissing);
    assert_eq!(keys.only(&stranger).await, key);
}

/// A key that is removed and added in one rewrap stays.
#[tokio::test]
async fn a_key_that_is_removed_and_added_again_is_not_lost() {
    let written = Written::new().await;
    let (stack, keys) = (&written.stack, &written.keys);
    let operator = keys.reader(stack, [&stack.home.key]);
    let before = keys.objects(&stack.s3()).await;
    let home = || stack.keyring([&stack.home.key]);
    let changes = KeyChanges::new().remove_key(stack.home.key.as_str()).add_keys(home());
    let output = written.rewrap(&operator, changes).await;
    assert_eq!(output.report.claimed, [stack.home.key.as_str()]);
    assert!(output.is_unchanged(), "{output:?}");
    assert_eq!(keys.objects(&stack.s3()).await, before);
}
