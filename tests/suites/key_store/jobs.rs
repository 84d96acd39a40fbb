//! Jobs over a key store.

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use sealwax_jobs::{
    CancellationToken, Summary as _,
    stored_keys::{RewrapKeys, RewrapKeysSummary, VerifiedKeyOutcome, VerifyKeys},
};
use sealwax_s3::{KeyChanges, StoredKeys};

use super::*;

/// A key store with an intermediate key for each of these tenants.
async fn filled(stack: &LocalStack, keys: &Keys, tenants: usize) {
    let writer = keys.writer(stack, [&stack.home.key]);
    for number in 0..tenants {
        let uri = stack.object("written");
        let put = writer.put().uri(&uri).body("text");
        let put = put.encryption_context(tenant(&format!("{number}")));
        put.send().await.expect("put");
    }
}

fn store(keys: &Keys, client: &SealedClient) -> StoredKeys {
    client.stored_keys(&keys.bucket).expect("a key store")
}

async fn rewrap(store: &StoredKeys, changes: KeyChanges) -> RewrapKeysSummary {
    let job = RewrapKeys::new(store.clone(), changes);
    job.run(store.list().into_stream()).finish().await.expect("a listing")
}

/// Returns the sorted operations with their counts.
fn counts(stack: &LocalStack) -> Vec<(String, usize)> {
    let mut counts = BTreeMap::<String, usize>::new();
    for call in stack.wire.calls() {
        *counts.entry(call.operation).or_default() += 1;
    }
    counts.into_iter().collect()
}

fn expected(counts: &[(&str, usize)]) -> Vec<(String, usize)> {
    counts.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
}

#[tokio::test]
async fn each_intermediate_key_costs_one_call_and_one_object() {
    let (stack, keys) = (LocalStack::new(east()), Keys::new());
    filled(&stack, &keys, 5).await;
    let operator = keys.reader(&stack, [&stack.home.key]);
    let (store, west) = (store(&keys, &operator), west().key);
    let add = || KeyChanges::new().add_keys(stack.keyring([&stack.home.key_2]));
    stack.wire.forget();
    let summary = rewrap(&store, add()).await;
    assert_eq!((summary.rewrapped, summary.objects(), summary.failed()), (5, 5, 0));
    assert_eq!(summary.added.of(stack.home.key_2.as_str()), 5);
    let calls = [("GetObject", 5), ("ListObjectsV2", 1), ("PutObject", 5), ("ReEncrypt", 5)];
    assert_eq!(counts(&stack), expected(&calls));

    stack.wire.forget();
    let summary = rewrap(&store, add()).await;
    assert_eq!((summary.claimed, summary.objects(), summary.failed()), (5, 5, 0));
    assert_eq!(counts(&stack), expected(&[("ListObjectsV2", 1)]), "a claim costs nothing");

    // A role that can't use the second key: the first one stays, and that is a failure.
    let replace = KeyChanges::new().replace_keys(stack.keyring([&west]));
    let summary = rewrap(&store, replace).await;
    assert_eq!(
        (summary.rewrapped, summary.failed()),
        (5, 0),
        "unwrapped to add the other Region's"
    );
    assert_eq!(summary.removed.iter().map(|(_, count)| count).collect::<Vec<_>>(), [5, 5]);
    let summary = rewrap(&store, KeyChanges::new().remove_key(west.as_str())).await;
    assert_eq!(summary.failures.into_iter().collect::<Vec<_>>(), [("invalid-input", 5)]);
    let strangers = rewrap(&store, add()).await;
    assert_eq!(strangers.failures.into_iter().collect::<Vec<_>>(), [("key-object-missing", 5)]);
}

#[tokio::test]
async fn an_intermediate_key_that_no_key_opens_is_a_failure() {
    let (stack, keys) = (LocalStack::new(east()), Keys::new());
    filled(&stack, &keys, 3).await;
    let client = keys.reader(&stack, [&stack.home.key]);
    stack.wire.forget();
    let of = store(&keys, &client);
    let summary = VerifyKeys::new(of.clone()).run(of.list().into_stream()).finish().await;
    let summary = summary.expect("a listing");
    assert_eq!((summary.proven, summary.failed(), summary.detached), (3, 0, 0));
    assert_eq!(summary.proven_by.of(stack.home.key.as_str()), 3);
    assert_eq!(counts(&stack), expected(&[("Decrypt", 3), ("GetObject", 3), ("ListObjectsV2", 1)]));

    let stranger = keys.reader(&stack, [&west().key]);
    let of = store(&keys, &stranger);
    stack.wire.forget();
    let mut outcomes = VerifyKeys::new(of.clone()).run(of.list().into_stream());
    while let Some(key) = outcomes.try_next().await.expect("a listing") {
        let VerifiedKeyOutcome::Failed(error) = &key.outcome else { panic!("{key:?}") };
        assert_eq!(error.kind(), ErrorKind::NoMatchingKey);
        assert!(error.to_string().contains(keys.prefix()), "it says where: {error}");
    }
    let summary = outcomes.summary();
    assert_eq!((summary.not_asked, summary.failures["no-matching-key"]), (3, 3));
    assert_eq!(
        counts(&stack),
        expected(&[("GetObject", 3), ("ListObjectsV2", 1)]),
        "none is asked"
    );

    // What is planted under the operator's name does not count, and does not hide the others.
    let listed = keys.listed(&client).await;
    let objects = keys.objects(&stack.s3()).await;
    let name = |number: usize| format!("{}{}", keys.prefix(), listed[number].names()[0]);
    keys.store(&stack.s3(), &name(0), objects[1].1.clone()).await;
    keys.store(&stack.s3(), &name(1), "{}").await;
    let of = store(&keys, &client).afresh();
    let summary = VerifyKeys::new(of.clone()).run(of.list().into_stream()).finish().await;
    let summary = summary.expect("a listing");
    assert_eq!((summary.proven, summary.failures["malformed"]), (1, 2), "{summary:?}");
}

#[tokio::test]
async fn throttled_calls_are_repeated_and_a_cancelled_job_starts_nothing() {
    // More often than the SDK tries.
    let wire = Wire::new(|call| match (call.operation.as_str(), call.nth) {
        ("Decrypt", 0..5) => {
            Reaction::Answer(400, r#"{"__type":"ThrottlingException","message":"slower"}"#.into())
        }
        _ => Reaction::Pass,
    });
    let (stack, keys) = (LocalStack::over(wire, east()), Keys::new());
    filled(&stack, &keys, 1).await;
    let client = keys.reader(&stack, [&stack.home.key]);
    let of = store(&keys, &client);
    let summary = VerifyKeys::new(of.clone()).run(of.list().into_stream()).finish().await;
    assert_eq!(summary.expect("a listing").proven, 1);

    let cancelled = CancellationToken::new();
    cancelled.cancel();
    stack.wire.forget();
    let job = VerifyKeys::new(of.clone()).cancellation(cancelled);
    let summary = job.run(of.list().into_stream()).finish().await.expect("no failure");
    assert_eq!((summary.objects(), stack.wire.calls().len()), (0, 0));
}

/// The listing is a stream, and no list of ids is kept.
#[tokio::test]
async fn a_million_keys_are_worked_on_as_they_are_listed() {
    let (stack, keys) = (LocalStack::new(east()), Keys::new());
    filled(&stack, &keys, 1).await;
    let client = keys.reader(&stack, [&stack.home.key]);
    let (of, key) = (store(&keys, &client), keys.only(&client).await);
    let claim = KeyChanges::new().add_keys(stack.keyring([&stack.home.key]));
    let many = stream::iter(0..1_000_000).map(move |_| Ok(key.clone()));
    stack.wire.forget();
    let summary = RewrapKeys::new(of, claim).run(many).finish().await.expect("no failure");
    assert_eq!((summary.claimed, stack.wire.calls().len()), (1_000_000, 0));
}
