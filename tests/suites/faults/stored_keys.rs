//! The key store: an object that can be read has its key object, and a rewrap of keys loses none.

use std::sync::Arc;

use sealwax_s3::{
    KeyChanges, KeyStorePolicy, SealedClient, SealedClientBuilder, StoredKey,
    envelope::{
        BoxFuture, CachingKeyring, EncryptedDataKey, EncryptionMaterials, Keyring, KeyringError,
        LocalKeyring, MultiKeyring, PlaintextDataKey, Unwrap, WrapContext, WrappedForms,
    },
};
use sealwax_tests::{local_keyring, read, unique};

use crate::{
    ledger::Ledger,
    orphans::Orphans,
    plan::Plan,
    planned_client::PlannedClient,
    tally::{Outcome, Run},
    world::{BEFORE, World},
};

fn detaching() -> CachingKeyring {
    CachingKeyring::new(local_keyring("a")).with_wrapped_forms(WrappedForms::Detached)
}

fn reader(world: &World, policy: &KeyStorePolicy, keyring: impl Keyring + 'static) -> SealedClient {
    world.clean.client_builder(keyring).key_store(policy.clone()).build()
}

/// Puts an object under a detached key. If it is there, its key object is.
pub(crate) async fn put(world: &World, plan: Plan, ledgers: &[Ledger]) -> Run {
    let policy = KeyStorePolicy::with_prefix(unique("keys"));
    let uri = world.clean.object("put");
    let change = |builder: SealedClientBuilder| builder.key_store(policy.clone());
    let planned =
        PlannedClient::with(&world.clean, plan, ledgers[0].clone(), 1, detaching(), change);
    let result = planned.run(planned.client.put().uri(&uri).body(BEFORE).send()).await;
    let outcome = Outcome::of(&result);

    let exists = world.client.head().uri(&uri).send().await.is_ok();
    if exists {
        let client = reader(world, &policy, local_keyring("a"));
        assert_eq!(read(&client, &uri).await.expect("it has its key object"), BEFORE);
    }
    let mut hidden = false;
    match result {
        Some(Ok(_)) => assert!(exists, "the put succeeded"),
        failed => {
            hidden = exists;
            let could_know = failed.is_some() && !planned.ledger.hid_the_outcome();
            assert!(!hidden || !could_know, "it was stored, but the put failed: {failed:?}");
        }
    }
    world.remove(&uri).await;
    Run { operation: "put key", outcomes: vec![outcome], orphans: Orphans::default(), hidden }
}

/// Replaces the key `a` of an intermediate key by `b`. Whatever happens, the object opens.
pub(crate) async fn rewrap(world: &World, plan: Plan, ledgers: &[Ledger]) -> Run {
    let policy = KeyStorePolicy::with_prefix(unique("keys"));
    let uri = world.clean.object("put");
    let writer = reader(world, &policy, detaching());
    writer.put().uri(&uri).body(BEFORE).send().await.expect("put");
    let key = only(&writer, uri.bucket()).await;

    let both = || {
        let second = Arc::new(local_keyring("b")) as Arc<dyn Keyring>;
        MultiKeyring::new(Arc::new(local_keyring("a")), [second])
    };
    let change = |builder: SealedClientBuilder| builder.key_store(policy.clone());
    let planned = PlannedClient::with(&world.clean, plan, ledgers[0].clone(), 1, both(), change);
    let store = planned.client.stored_keys(uri.bucket()).expect("a key store");
    let changes = KeyChanges::new().replace_keys(local_keyring("b"));
    let result = planned.run(store.rewrap(&key, &changes)).await;
    let outcome = Outcome::of(&result);

    let client = reader(world, &policy, both());
    assert_eq!(read(&client, &uri).await.expect("one of the keys is there"), BEFORE);
    let mut hidden = false;
    let now = only(&writer, uri.bucket()).await;
    let has = |name: &str| now.claims("local", name);
    match result {
        // An answer that stays damaged proves nothing.
        Some(Ok(output)) if !output.report.kept.is_empty() => assert!(has("a"), "{now:?}"),
        Some(Ok(_)) => assert_eq!((has("a"), has("b")), (false, true), "{now:?}"),
        failed => {
            hidden = !has("a");
            assert!(!hidden || has("b"), "no key object is left");
            let could_know = failed.is_some() && !planned.ledger.hid_the_outcome();
            assert!(!hidden || !could_know, "it was rewrapped, but failed: {failed:?}");
        }
    }
    world.remove(&uri).await;
    Run { operation: "rewrap key", outcomes: vec![outcome], orphans: Orphans::default(), hidden }
}

/// A local key whose every ciphertext counts as one of an older key material.
#[derive(Debug)]
struct Rotated(LocalKeyring);

impl Keyring for Rotated {
    fn generate<'a>(
        &'a self,
        wrap_context: &'a WrapContext,
        len: Option<u64>,
    ) -> BoxFuture<'a, Result<EncryptionMaterials, KeyringError>> {
        self.0.generate(wrap_context, len)
    }

    fn wrap<'a>(
        &'a self,
        data_key: &'a PlaintextDataKey,
        wrap_context: &'a WrapContext,
    ) -> BoxFuture<'a, Result<Vec<EncryptedDataKey>, KeyringError>> {
        self.0.wrap(data_key, wrap_context)
    }

    fn rewrap<'a>(
        &'a self,
        keys: &'a [EncryptedDataKey],
        wrap_context: &'a WrapContext,
    ) -> BoxFuture<'a, Result<Option<Vec<EncryptedDataKey>>, KeyringError>> {
        self.0.rewrap(keys, wrap_context)
    }

    fn refresh<'a>(
        &'a self,
        key: &'a EncryptedDataKey,
    ) -> BoxFuture<'a, Result<Option<EncryptedDataKey>, KeyringError>> {
        self.0.carry(key, key.wrap_context())
    }

    fn unwrap<'a>(&'a self, keys: &'a [EncryptedDataKey]) -> BoxFuture<'a, Unwrap> {
        self.0.unwrap(keys)
    }

    fn accepts(&self, key: &EncryptedDataKey) -> bool {
        self.0.accepts(key)
    }

    fn expected_keys(&self, wrap_context: &WrapContext) -> Vec<EncryptedDataKey> {
        self.0.expected_keys(wrap_context)
    }
}

/// Refreshes the only key object of an intermediate key. Whatever happens, the object opens.
pub(crate) async fn refresh(world: &World, plan: Plan, ledgers: &[Ledger]) -> Run {
    let policy = KeyStorePolicy::with_prefix(unique("keys"));
    let uri = world.clean.object("put");
    let writer = reader(world, &policy, detaching());
    writer.put().uri(&uri).body(BEFORE).send().await.expect("put");
    let key = only(&writer, uri.bucket()).await;
    let form = async || {
        let client = reader(world, &policy, local_keyring("a"));
        let store = client.stored_keys(uri.bucket()).expect("a key store");
        store.inspect(&key).await.expect("read").pop().expect("a key object")
    };
    let before = form().await;

    let keyring = Rotated(local_keyring("a"));
    let change = |builder: SealedClientBuilder| builder.key_store(policy.clone());
    let planned = PlannedClient::with(&world.clean, plan, ledgers[0].clone(), 1, keyring, change);
    let store = planned.client.stored_keys(uri.bucket()).expect("a key store");
    let result = planned.run(store.rewrap(&key, &KeyChanges::new().refresh_keys())).await;
    let outcome = Outcome::of(&result);

    let client = reader(world, &policy, local_keyring("a"));
    assert_eq!(read(&client, &uri).await.expect("its key object is there"), BEFORE);
    let is_new = form().await != before;
    let mut hidden = false;
    match result {
        // An answer that stays damaged holds no key.
        Some(Ok(output)) if !output.report.kept.is_empty() => assert!(!is_new, "{output:?}"),
        Some(Ok(output)) => assert!(is_new, "{output:?}"),
        failed => {
            hidden = is_new;
            let could_know = failed.is_some() && !planned.ledger.hid_the_outcome();
            assert!(!hidden || !could_know, "it was refreshed, but failed: {failed:?}");
        }
    }
    world.remove(&uri).await;
    Run { operation: "refresh key", outcomes: vec![outcome], orphans: Orphans::default(), hidden }
}

async fn only(client: &SealedClient, bucket: &str) -> StoredKey {
    let mut listing = client.stored_keys(bucket).expect("a key store").list();
    listing.next_key().await.expect("listed").expect("a key")
}
