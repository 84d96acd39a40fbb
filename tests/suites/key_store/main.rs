//! The key store: the wrapped forms of intermediate keys in the bucket.

mod audit;
mod detached;
mod drill;
mod hostile;
mod jobs;
mod refresh;
mod retire;
mod rewrap;
mod writers;

use std::collections::{BTreeMap, BTreeSet};

use sealwax_s3::{
    ErrorKind, KeyStorePolicy, KmsKeyArn, S3Uri, SealedClient, StoredKey,
    aws_sdk_s3::Client,
    envelope::{CachingKeyring, EncryptionContext, KeyObject, Keyring, ObjectHeader},
};
use sealwax_tests::{LocalStack, Reaction, Wire, assert_kind, east, read, unique, west};

/// A key store of its own.
#[derive(Debug, Clone)]
struct Keys {
    bucket: String,
    policy: KeyStorePolicy,
}

impl Keys {
    fn new() -> Self {
        Self { bucket: east().bucket, policy: KeyStorePolicy::with_prefix(unique("keys")) }
    }

    fn prefix(&self) -> &str {
        self.policy.prefix().expect("a key store")
    }

    /// Returns a client of this key store that caches intermediate keys under `keys`.
    fn writer<'a>(
        &self,
        stack: &LocalStack,
        keys: impl IntoIterator<Item = &'a KmsKeyArn>,
    ) -> SealedClient {
        self.client(stack, CachingKeyring::new(stack.keyring(keys)))
    }

    fn reader<'a>(
        &self,
        stack: &LocalStack,
        keys: impl IntoIterator<Item = &'a KmsKeyArn>,
    ) -> SealedClient {
        self.client(stack, stack.keyring(keys))
    }

    fn client(&self, stack: &LocalStack, keyring: impl Keyring + 'static) -> SealedClient {
        SealedClient::builder(stack.s3(), keyring).key_store(self.policy.clone()).build()
    }

    /// Lists the intermediate keys.
    async fn listed(&self, client: &SealedClient) -> Vec<StoredKey> {
        let mut listing = client.stored_keys(&self.bucket).expect("a key store").list();
        let mut keys = Vec::new();
        while let Some(key) = listing.next_key().await.expect("a listing") {
            keys.push(key);
        }
        keys
    }

    /// Returns the only intermediate key.
    async fn only(&self, client: &SealedClient) -> StoredKey {
        let [key] = &self.listed(client).await[..] else { panic!("not one intermediate key") };
        key.clone()
    }

    /// Returns the key objects, by their keys.
    async fn objects(&self, s3: &Client) -> Vec<(String, Vec<u8>)> {
        let listed = s3.list_objects_v2().bucket(&self.bucket).prefix(self.prefix()).send();
        let listed = listed.await.expect("a listing").contents.unwrap_or_default();
        let mut objects = Vec::new();
        for object in listed {
            let key = object.key.expect("a key");
            objects.push((key.clone(), self.content(s3, &key).await));
        }
        objects
    }

    async fn content(&self, s3: &Client, key: &str) -> Vec<u8> {
        let got = s3.get_object().bucket(&self.bucket).key(key).send().await.expect("an object");
        got.body.collect().await.expect("its body").to_vec()
    }

    async fn store(&self, s3: &Client, key: &str, content: impl Into<Vec<u8>>) {
        let put = s3.put_object().bucket(&self.bucket).key(key).body(content.into().into());
        put.send().await.expect("stored");
    }

    async fn delete_all(&self, s3: &Client) {
        for (key, _) in self.objects(s3).await {
            s3.delete_object().bucket(&self.bucket).key(key).send().await.expect("deleted");
        }
    }
}

fn tenant(name: &str) -> EncryptionContext {
    EncryptionContext::try_from_iter([("tenant", name)]).expect("a context")
}

async fn put(client: &SealedClient, uri: &S3Uri) -> ObjectHeader {
    let put = client.put().uri(uri).body(uri.to_string()).encryption_context(tenant("acme"));
    put.send().await.expect("put").header
}

/// Returns the operations on S3 and KMS in order, with what follows the key store's prefix as `*`.
fn operations(wire: &Wire, keys: &Keys) -> Vec<String> {
    let named = |call: sealwax_tests::Call| match call.uri.contains(keys.prefix()) {
        true => format!("{} *", call.operation),
        false => call.operation,
    };
    wire.calls().into_iter().map(named).collect()
}

/// FORMAT.md W18: the key object comes first.
#[tokio::test]
async fn a_key_object_is_stored_before_the_first_object_that_needs_it() {
    let (stack, keys) = (LocalStack::new(east()), Keys::new());
    let writer = keys.writer(&stack, [&stack.home.key, &west().key]);
    for _ in 0..3 {
        put(&writer, &stack.object("written")).await;
    }
    let expected = ["GenerateDataKey", "Encrypt", "PutObject *", "PutObject *"];
    assert_eq!(
        operations(&stack.wire, &keys),
        [&expected[..], &["PutObject", "PutObject", "PutObject"]].concat()
    );
    let stored = keys.objects(&stack.s3()).await;
    assert_eq!(stored.len(), 2);
    let mut wrapping_keys = BTreeSet::new();
    for (key, content) in &stored {
        let parsed = KeyObject::parse(content).expect("a key object");
        assert_eq!(*key, format!("{}{}", keys.prefix(), parsed.name()));
        assert_eq!(parsed.form().wrap_context().context(), &tenant("acme"));
        wrapping_keys.insert(parsed.form().wrapping_key().to_owned());
        let head = stack.s3().head_object().bucket(&keys.bucket).key(key).send().await;
        let content_type = head.expect("head").content_type;
        assert_eq!(content_type.as_deref(), Some("application/vnd.sealwax.key+json"));
    }
    let expected = [&stack.home.key, &west().key].map(|key| key.as_str().to_owned());
    assert_eq!(wrapping_keys, BTreeSet::from(expected));
    let key = keys.only(&writer).await;
    assert!(key.claims("aws-kms", west().key.as_str()), "{key:?}");
    assert!(!key.claims("aws-kms", "arn:aws:kms:eu-west-1:111122223333:key/other"));
}

#[tokio::test]
async fn nothing_is_stored_without_its_key_object() {
    let keys = Keys::new();
    let prefix = keys.prefix().to_owned();
    let wire = Wire::new(move |call| match call.uri.contains(&prefix) {
        true => Reaction::Answer(403, "<Error><Code>AccessDenied</Code></Error>".into()),
        false => Reaction::Pass,
    });
    let stack = LocalStack::over(wire, east());
    let writer = keys.writer(&stack, [&stack.home.key]);
    let uri = stack.object("unstored");
    let failed = writer.put().uri(&uri).body("text").send().await.expect_err("denied");
    assert_eq!(failed.kind(), ErrorKind::AccessDenied, "{failed}");
    assert!(failed.to_string().contains("a key object could not be stored"), "{failed}");
    assert_eq!(operations(&stack.wire, &keys), ["GenerateDataKey", "PutObject *"]);
    assert_kind(read(&writer, &uri).await, ErrorKind::NotFound, &uri, "nothing is there");
}

/// The normal read costs no request more.
#[tokio::test]
async fn an_objects_own_keys_come_first() {
    let (stack, keys) = (LocalStack::new(east()), Keys::new());
    let writer = keys.writer(&stack, [&stack.home.key]);
    let uri = stack.object("own");
    put(&writer, &uri).await;
    stack.wire.forget();
    let reader = keys.reader(&stack, [&stack.home.key]);
    assert_eq!(read(&reader, &uri).await.expect("get"), uri.to_string());
    assert_eq!(operations(&stack.wire, &keys), ["GetObject", "Decrypt"]);
}

/// While the key that an object was written under lives, losing key objects loses nothing.
#[tokio::test]
async fn objects_open_without_key_objects() {
    let (stack, keys) = (LocalStack::new(east()), Keys::new());
    let writer = keys.writer(&stack, [&stack.home.key]);
    let uri = stack.object("kept");
    put(&writer, &uri).await;
    keys.delete_all(&stack.s3()).await;
    let reader = keys.reader(&stack, [&stack.home.key]);
    assert_eq!(read(&reader, &uri).await.expect("get"), uri.to_string());
    let other = keys.reader(&stack, [&west().key]);
    let failed = assert_kind(read(&other, &uri).await, ErrorKind::NoMatchingKey, &uri, "west");
    let message = failed.to_string();
    assert!(message.contains("nor does the key store help"), "{message}");
    assert!(message.contains(keys.prefix()), "it says where it looked: {message}");
}

/// Without the permission to list, S3 answers 403 where there is no object.
#[tokio::test]
async fn a_denied_key_object_is_a_missing_one() {
    let keys = Keys::new();
    let prefix = keys.prefix().to_owned();
    let wire =
        Wire::new(move |call| match call.uri.contains(&prefix) && call.operation != "PutObject" {
            true => Reaction::Answer(403, "<Error><Code>AccessDenied</Code></Error>".into()),
            false => Reaction::Pass,
        });
    let stack = LocalStack::over(wire, east());
    let uri = stack.object("denied");
    put(&keys.writer(&stack, [&stack.home.key]), &uri).await;
    let other = keys.reader(&stack, [&west().key]);
    assert_kind(read(&other, &uri).await, ErrorKind::NoMatchingKey, &uri, "no key of the reader");
    let own = keys.reader(&stack, [&stack.home.key]);
    assert_eq!(read(&own, &uri).await.expect("get"), uri.to_string());
}

#[tokio::test]
async fn a_client_without_a_key_store_has_no_stored_keys() {
    let stack = LocalStack::new(east());
    let failed = stack.client([&stack.home.key]).stored_keys("bucket").expect_err("none");
    assert_eq!(failed.kind(), ErrorKind::InvalidInput, "{failed}");
}
