//! Detached keys: the key store alone has their wrapped forms.

use sealwax_s3::{
    KeyChanges, PlacePolicy,
    envelope::{Unwrap, WrappedForms},
};
use sealwax_tests::{SeaweedFs, Stored};

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

/// A key store, and the same one in another bucket or another store. Objects are bound to no place, so
/// that one intermediate key serves both.
struct TwoKeyStores {
    stack: LocalStack,
    here: Keys,
    there: Keys,
}

impl TwoKeyStores {
    fn new(there: String) -> Self {
        let here = Keys::new();
        let there = Keys { bucket: there, ..here.clone() };
        Self { stack: LocalStack::new(east()), here, there }
    }

    fn client(&self, keyring: impl Keyring + 'static) -> SealedClient {
        let builder = SealedClient::builder(self.stack.s3(), keyring).places(PlacePolicy::off());
        builder.key_store(self.here.policy.clone()).build()
    }

    fn reader(&self) -> SealedClient {
        self.client(self.stack.keyring([&self.stack.home.key]))
    }

    fn caching(&self) -> CachingKeyring {
        CachingKeyring::new(self.stack.keyring([&self.stack.home.key]))
    }

    /// Stores an object under a detached key.
    async fn put_detached(&self) -> S3Uri {
        let source = self.stack.object("source");
        put(&self.client(self.caching().with_wrapped_forms(WrappedForms::Detached)), &source).await;
        source
    }

    fn object_there(&self) -> S3Uri {
        format!("s3://{}/{}", self.there.bucket, unique("copy")).parse().expect("a name")
    }
}

/// FORMAT.md W18: also where the copy is in another bucket, whose key store knew nothing of the key.
#[tokio::test]
async fn a_copy_in_another_bucket_has_its_key_objects_there() {
    let two = TwoKeyStores::new(west().bucket);
    let (source, s3) = (two.put_detached().await, two.stack.s3());
    let copy = || async {
        let (client, to) = (two.reader(), two.object_there());
        let copied = client.copy().source_uri(&source).uri(&to).send().await;
        (to, copied.map(|output| output.header))
    };
    let (to, header) = copy().await;
    assert_eq!(header.expect("copied").detached().len(), 1);
    let stored = two.here.objects(&s3).await;
    assert_eq!(two.there.objects(&s3).await, stored);
    assert_eq!(read(&two.reader(), &to).await.expect("get"), source.to_string());
    let (_, again) = copy().await;
    again.expect("the same key objects are there already");

    // Another wrapped form of the same key under the same wrapping key.
    let (at, content) = &stored[0];
    let first = KeyObject::parse(content).expect("a key object");
    let keyring = two.stack.keyring([&two.stack.home.key]);
    let forms = [first.form().clone()];
    let Unwrap::Unwrapped(key) = keyring.unwrap(&forms).await else { panic!("its own key") };
    let mut wrapped = keyring.wrap(&key, first.form().wrap_context()).await.expect("wrapped");
    let second = KeyObject::of_new(*first.id(), wrapped.remove(0)).expect("a form");
    assert_ne!(second, first);
    two.there.store(&s3, at, second.to_json()).await;
    let (to, again) = copy().await;
    again.expect("it was shown to hold the key");
    assert_eq!(read(&two.reader(), &to).await.expect("get"), source.to_string());

    // And one of another key.
    let other = keyring.generate(first.form().wrap_context(), None).await.expect("another key");
    let false_one =
        KeyObject::of_new(*first.id(), other.encrypted_data_keys()[0].clone()).expect("a form");
    two.there.store(&s3, at, false_one.to_json()).await;
    let (to, failed) = copy().await;
    let failed = failed.expect_err("it holds another key");
    assert_eq!(failed.kind(), ErrorKind::Authentication, "{failed}");
    assert!(failed.to_string().contains("nothing is stored"), "{failed}");
    two.there.store(&s3, at, "{}").await;
    let (_, failed) = copy().await;
    let failed = failed.expect_err("it is no key object");
    assert_eq!(failed.kind(), ErrorKind::Conflict, "{failed}");
    assert!(failed.to_string().contains(at), "{failed}");
    assert_kind(read(&two.reader(), &to).await, ErrorKind::NotFound, &to, "nothing is stored");
}

#[tokio::test]
async fn new_keys_of_a_copy_in_another_bucket_are_published_there() {
    let two = TwoKeyStores::new(west().bucket);
    let (source, s3) = (two.stack.object("source"), two.stack.s3());
    put(&two.reader(), &source).await;
    let to = two.object_there();
    let copy = two.reader().copy().source_uri(&source).uri(&to);
    let output = copy
        .keyring(CachingKeyring::new(two.stack.keyring([&west().key])))
        .send()
        .await
        .expect("copied");
    assert_eq!(two.here.objects(&s3).await, []);
    let [(_, content)] = &two.there.objects(&s3).await[..] else { panic!("not one key object") };
    let published = KeyObject::parse(content).expect("a key object");
    assert_eq!(output.header.keys()[0].intermediate_id(), Some(published.id()));
}

#[tokio::test]
async fn a_copy_in_another_store_has_its_key_objects_there() {
    let store = SeaweedFs::new().await;
    let two = TwoKeyStores::new(store.object("copy").bucket().to_owned());
    let source = two.put_detached().await;
    let builder = || {
        let keyring = two.stack.keyring([&two.stack.home.key]);
        store.client_builder(keyring).places(PlacePolicy::off())
    };
    let to = two.object_there();
    let copy = |there: &SealedClient| two.reader().copy_to(there).source_uri(&source).uri(&to);

    let without = builder().build();
    let failed = copy(&without).send().await.map(drop);
    let failed = assert_kind(failed, ErrorKind::InvalidInput, &to, "it could never be opened");
    assert!(failed.to_string().contains("no key store for them"), "{failed}");
    assert_kind(read(&without, &to).await, ErrorKind::NotFound, &to, "nothing is stored");

    let there = builder().key_store(two.there.policy.clone()).build();
    let output = copy(&there).prove_keys().send().await.expect("copied");
    assert_eq!(output.losses(), None);
    assert_eq!(read(&there, &to).await.expect("get"), source.to_string());
    assert_eq!(two.there.objects(&store.s3()).await, two.here.objects(&two.stack.s3()).await);

    // New keys are published there too.
    let copy = copy(&there)
        .keyring(CachingKeyring::new(two.stack.keyring([&west().key])))
        .send()
        .await
        .expect("copied");
    let key = copy.header.keys()[0].intermediate_id().expect("an intermediate key");
    let published = two.there.listed(&there).await;
    assert!(published.iter().any(|stored| stored.id() == key), "{published:?}");
    assert_eq!(two.here.objects(&two.stack.s3()).await.len(), 1);
}
