//! Detached keys: the key store alone has their wrapped forms.

use sealwax_s3::{KeyChanges, envelope::WrappedForms};
use sealwax_tests::Stored;

use super::*;

fn detaching(stack: &LocalStack, keys: &Keys, key: &KmsKeyArn) -> SealedClient {
    let keyring = CachingKeyring::new(stack.keyring([key]));
    keys.client(stack, keyring.with_wrapped_forms(WrappedForms::Detached))
}

#[tokio::test]
async fn an_object_opens_by_its_key_object_alone() {
    let (stack, keys) = (LocalStack::new(east()), Keys::new());
    let uri = stack.object("detached");
    let header = put(&detaching(&stack, &keys, &stack.home.key), &uri).await;
    assert_eq!((header.keys().len(), header.detached().len()), (0, 1));
    let stored = Stored::fetch(&stack.s3(), &uri).await;
    assert!(!stored.metadata["sealwax-keys"].contains("aws-kms"), "{stored:?}");

    let reader = keys.reader(&stack, [&stack.home.key]);
    assert_eq!(read(&reader, &uri).await.expect("get"), uri.to_string());
    reader.verify().uri(&uri).send().await.expect("verified");
    let plain = stack.client([&stack.home.key]);
    let failed = assert_kind(read(&plain, &uri).await, ErrorKind::PolicyRefused, &uri, "no store");
    assert!(failed.to_string().contains("in a key store alone"), "{failed}");
    let other = keys.reader(&stack, [&west().key]);
    assert_kind(read(&other, &uri).await, ErrorKind::KeyObjectMissing, &uri, "west has none yet");

    let store = reader.stored_keys(&keys.bucket).expect("a key store");
    let key = keys.only(&reader).await;
    let add = KeyChanges::new().add_keys(stack.keyring([&west().key]));
    store.rewrap(&key, &add).await.expect("rewrapped");
    let other = keys.reader(&stack, [&west().key]);
    assert_eq!(read(&other, &uri).await.expect("get"), uri.to_string());
    assert_eq!(Stored::fetch(&stack.s3(), &uri).await, stored, "the object has none still");
}

/// Shreds the objects of an id, and no others.
#[tokio::test]
async fn without_its_key_objects_an_object_is_not_here_yet() {
    let (stack, keys) = (LocalStack::new(east()), Keys::new());
    let (gone, stays) = (stack.object("gone"), stack.object("stays"));
    put(&detaching(&stack, &keys, &stack.home.key), &gone).await;
    let reader = keys.reader(&stack, [&stack.home.key]);
    let key = keys.only(&reader).await;
    put(&detaching(&stack, &keys, &stack.home.key), &stays).await;
    let store = reader.stored_keys(&keys.bucket).expect("a key store");
    assert_eq!(store.shred(&key).await.expect("deleted"), 1);
    let reader = keys.reader(&stack, [&stack.home.key]);
    let failed =
        assert_kind(read(&reader, &gone).await, ErrorKind::KeyObjectMissing, &gone, "gone");
    assert!(failed.kind().is_retryable() && failed.to_string().contains("has no key object"));
    assert_eq!(read(&reader, &stays).await.expect("get"), stays.to_string());
}

#[tokio::test]
async fn a_put_without_a_key_store_is_refused_before_any_call() {
    let stack = LocalStack::new(east());
    let keyring = CachingKeyring::new(stack.keyring([&stack.home.key]));
    let keyring = keyring.with_wrapped_forms(WrappedForms::Detached);
    let client = SealedClient::builder(stack.s3(), keyring).build();
    let uri = stack.object("never");
    let put = client.put().uri(&uri).body("text").send().await.map(drop);
    assert_kind(put, ErrorKind::InvalidInput, &uri, "it could never be opened");
    assert_eq!(stack.wire.calls().len(), 0);
}

/// FORMAT.md W20: inside the scope, a copy is under the same detached key. Outside of it, its keys
/// are its own.
#[tokio::test]
async fn copies_in_scope_stay_detached() {
    let (stack, keys) = (LocalStack::new(east()), Keys::new());
    let source = stack.object("source");
    put(&detaching(&stack, &keys, &stack.home.key), &source).await;
    let client = keys.reader(&stack, [&stack.home.key]);
    let copy = |to: &S3Uri| client.copy().source_uri(&source).uri(to).send();

    let inside = stack.object("inside");
    let output = copy(&inside).await.expect("copied");
    assert_eq!((output.header.keys().len(), output.header.detached().len()), (0, 1));
    assert_eq!(read(&client, &inside).await.expect("get"), source.to_string());
    let key = keys.only(&client).await;
    assert_eq!(output.header.detached()[0].intermediate_id(), key.id());

    let outside: S3Uri =
        format!("s3://{}/{}", west().bucket, unique("outside")).parse().expect("a name");
    let output = copy(&outside).await.expect("copied");
    assert_eq!((output.header.keys().len(), output.header.detached().len()), (1, 0));
    assert_eq!(output.header.keys()[0].intermediate_id(), None);
    let plain = stack.client([&stack.home.key]);
    assert_eq!(read(&plain, &outside).await.expect("get"), source.to_string());

    let rewrap = client.rewrap().uri(&source).add_keys(stack.keyring([&west().key])).send().await;
    let failed = assert_kind(rewrap, ErrorKind::Unsupported, &source, "its keys are elsewhere");
    assert!(failed.to_string().contains("rewrap the keys there"), "{failed}");
}
