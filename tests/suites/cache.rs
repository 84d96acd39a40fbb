//! The caching keyring over KMS: calls, stored keys, and bindings.

use std::{collections::HashSet, sync::Arc};

use futures_util::{StreamExt as _, stream};
use sealwax_s3::{
    ErrorKind, KmsKeyArn, PlacePolicy, S3Uri, SealedClient,
    envelope::{
        CacheCounts, CachingKeyring, EncryptedDataKey, EncryptionContext, ObjectHeader, Place,
    },
};
use sealwax_tests::{LocalStack, Reaction, Wire, assert_kind, east, read, west};
use serde_json::json;

fn cached<'a>(stack: &LocalStack, keys: impl IntoIterator<Item = &'a KmsKeyArn>) -> SealedClient {
    SealedClient::builder(stack.s3(), CachingKeyring::new(stack.keyring(keys))).build()
}

fn calls(stack: &LocalStack) -> Vec<String> {
    stack.wire.kms().into_iter().map(|(call, _)| call).collect()
}

fn data_keys(header: &ObjectHeader) -> Vec<(&str, Option<&str>, bool)> {
    let key = |key: &'_ EncryptedDataKey| key.intermediate().is_some();
    header
        .keys()
        .iter()
        .map(|it| (it.wrapping_key(), it.place().map(Place::as_str), key(it)))
        .collect()
}

/// A busy client makes this many puts in minutes. The wire accepts the objects in place of S3.
#[tokio::test]
async fn ten_thousand_puts_cost_one_call() {
    let wire = Wire::new(|call| match call.service.as_str() {
        "s3" => Reaction::Stored,
        _ => Reaction::Pass,
    });
    let stack = LocalStack::over(wire, east());
    let (client, context) =
        (cached(&stack, [&stack.home.key]), EncryptionContext::try_from_iter([("tenant", "acme")]));
    let context = context.expect("a context");
    let put = |n: usize| {
        client
            .put()
            .bucket("b")
            .key(n.to_string())
            .body("x")
            .encryption_context(context.clone())
            .send()
    };
    let stored =
        stream::iter((0..10_000).map(put)).buffer_unordered(32).map(|put| put.expect("put").header);
    let headers: Vec<ObjectHeader> = stored.collect().await;
    assert_eq!(calls(&stack), ["GenerateDataKey"]);
    assert_eq!(stack.wire.operations("s3").len(), 10_000);
    let first = headers[0].keys()[0].ciphertext();
    assert!(
        headers.iter().all(|header| header.keys()[0].ciphertext() == first),
        "one intermediate key"
    );
    let distinct: HashSet<_> =
        headers.iter().map(|header| header.body_header().to_bytes()).collect();
    assert_eq!(distinct.len(), headers.len(), "each has its own salt and data key");
}

#[tokio::test]
async fn concurrent_writes_and_later_reads_cost_one_call_each_way() {
    let stack = LocalStack::new(east());
    let keys = [&stack.home.key, &west().key];
    let writer = cached(&stack, keys);
    let uris: Vec<S3Uri> = (0..100).map(|_| stack.object("cached")).collect();
    let put = |uri: &S3Uri| writer.put().uri(uri).body(uri.to_string()).send();
    stream::iter(uris.iter().map(put))
        .buffer_unordered(16)
        .for_each(|put| async { drop(put.expect("put")) })
        .await;
    assert_eq!(calls(&stack), ["GenerateDataKey", "Encrypt"], "one for each wrapping key");

    stack.wire.forget();
    let reader = cached(&stack, [keys[0]]);
    for uri in &uris {
        assert_eq!(read(&reader, uri).await.expect("get"), uri.to_string());
    }
    assert_eq!(calls(&stack), ["Decrypt"]);

    // Also without a cache, and from either Region.
    for key in keys {
        assert_eq!(read(&stack.client([key]), &uris[7]).await.expect("get"), uris[7].to_string());
    }
    let call = stack.wire.calls().into_iter().rfind(|call| call.service == "kms").expect("a call");
    let stored = writer.inspect().uri(&uris[7]).send().await.expect("inspect");
    let id = stored.keys[0].key.intermediate_id().expect("an intermediate key").to_string();
    let context = call.json["EncryptionContext"].as_object().expect("pairs");
    // 21 characters of the id depend on the random part alone.
    let random = context["sealwax:intermediate"].as_str().expect("text");
    assert_eq!((random.len(), &random[..21]), (22, &id[..21]));
    let whole = json!({
        "sealwax:format": "v1/intermediate",
        "sealwax:intermediate": random,
        "sealwax:scope": format!("{}/", uris[7].bucket()),
    });
    assert_eq!(call.json["EncryptionContext"], whole);
}

#[tokio::test]
async fn a_cache_counts_its_lookups() {
    let stack = LocalStack::new(east());
    let keyring = Arc::new(CachingKeyring::new(stack.keyring([&stack.home.key])));
    let client = SealedClient::builder(stack.s3(), Arc::clone(&keyring)).build();
    let uris: Vec<S3Uri> = (0..3).map(|_| stack.object("counted")).collect();
    for uri in &uris {
        client.put().uri(uri).body("text").send().await.expect("put");
    }
    for uri in &uris {
        read(&client, uri).await.expect("get");
    }
    let stats = keyring.stats();
    for counts in [stats.writing, stats.reading] {
        assert_eq!((counts.requests, counts.hits, counts.joined), (1, 2, 0), "{stats:?}");
        assert_eq!(counts.entries, 1, "{stats:?}");
    }
    assert_eq!(stats.rewrapping, CacheCounts::default());
    assert_eq!(calls(&stack), ["GenerateDataKey", "Decrypt"]);
}

#[tokio::test]
async fn cached_keys_serve_reads_and_writes_while_kms_is_down() {
    let wire = Wire::new(|call| match call.service == "kms" && call.nth > 0 {
        true => Reaction::Refuse,
        false => Reaction::Pass,
    });
    let stack = LocalStack::over(wire, east());
    let (client, one, two) =
        (cached(&stack, [&stack.home.key]), stack.object("gone"), stack.object("gone"));
    client.put().uri(&one).body("one").send().await.expect("put");
    assert_eq!(read(&client, &one).await.expect("get: the first Decrypt"), "one");
    client.put().uri(&two).body("two").send().await.expect("put without KMS");
    assert_eq!(read(&client, &two).await.expect("get without KMS"), "two");
    assert_eq!(calls(&stack), ["GenerateDataKey", "Decrypt"]);
    let uncached = stack.client([&stack.home.key]);
    assert_kind(read(&uncached, &two).await, ErrorKind::Unavailable, &two, "no cache");
}

/// FORMAT.md R11: a data key under an intermediate key is bound to its place.
#[tokio::test]
async fn objects_under_one_intermediate_key_cannot_be_swapped() {
    let stack = LocalStack::new(east());
    let (client, one, two) =
        (cached(&stack, [&stack.home.key]), stack.object("swap"), stack.object("swap"));
    for uri in [&one, &two] {
        client.put().uri(uri).body(uri.to_string()).send().await.expect("put");
    }
    let copy = stack.s3().copy_object().copy_source(format!("{}/{}", one.bucket(), one.key()));
    copy.bucket(two.bucket()).key(two.key()).send().await.expect("copy");
    assert_kind(read(&client, &two).await, ErrorKind::PlaceMismatch, &two, "the place is another");

    // Nor if the attacker writes the expected place into the metadata.
    let head =
        stack.s3().head_object().bucket(one.bucket()).key(one.key()).send().await.expect("head");
    let metadata = head.metadata.expect("metadata").into_iter();
    let metadata =
        metadata.map(|(name, value)| (name, value.replace(one.key(), two.key()))).collect();
    let copy = stack.s3().copy_object().copy_source(format!("{}/{}", one.bucket(), one.key()));
    let copy = copy.bucket(two.bucket()).key(two.key()).set_metadata(Some(metadata));
    let replace = sealwax_s3::aws_sdk_s3::types::MetadataDirective::Replace;
    copy.metadata_directive(replace).send().await.expect("copy");
    for reader in [client, stack.client([&stack.home.key])] {
        assert_kind(
            read(&reader, &two).await,
            ErrorKind::Authentication,
            &two,
            "the place is forged",
        );
    }
}

/// Within a Region, KMS re-encrypts the intermediate key once for all its objects.
#[tokio::test]
async fn rewraps_within_a_region_cost_one_call_for_all_objects() {
    let stack = LocalStack::new(east());
    let (writer, uris) =
        (cached(&stack, [&stack.home.key]), [(); 4].map(|()| stack.object("rewrap")));
    for uri in &uris {
        writer.put().uri(uri).body("x").send().await.expect("put");
    }
    stack.wire.forget();
    let other = Arc::new(CachingKeyring::new(stack.keyring([&stack.home.key_2])));
    for uri in &uris {
        let rewrap =
            writer.rewrap().uri(uri).add_keys(Arc::clone(&other)).send().await.expect("rewrap");
        assert!(rewrap.rewrapped);
        let place = format!("{}/{}", uri.bucket(), uri.key());
        let expected = [&stack.home.key, &stack.home.key_2]
            .map(|key| (key.as_str(), Some(place.as_str()), true));
        assert_eq!(data_keys(rewrap.header().expect("ours")), expected);
    }
    assert_eq!(calls(&stack), ["ReEncrypt"]);
    for key in [&stack.home.key, &stack.home.key_2] {
        assert_eq!(read(&stack.client([key]), &uris[3]).await.expect("get"), "x");
    }
}

/// Across Regions and places, the data key is unwrapped in one Region and wrapped in the other.
#[tokio::test]
async fn rewraps_of_replicas_cost_one_call_each_way_for_all_objects() {
    let (east, west) = (LocalStack::new(east()), LocalStack::new(west()));
    let writer = cached(&east, [&east.home.key]);
    let mut replicas = Vec::new();
    for n in 0..4 {
        let uri = east.object("replica");
        writer.put().uri(&uri).body(format!("object {n}")).send().await.expect("put");
        let copy = west.s3().copy_object().copy_source(format!("{}/{}", uri.bucket(), uri.key()));
        copy.bucket(&west.home.bucket).key(uri.key()).send().await.expect("replicated");
        replicas.push(
            format!("s3://{}/{}", west.home.bucket, uri.key()).parse::<S3Uri>().expect("a name"),
        );
    }
    let places = PlacePolicy::bound().replica_of(&west.home.bucket, &east.home.bucket);
    let reader = CachingKeyring::new(west.keyring([&east.home.key]));
    let client = SealedClient::builder(west.s3(), reader).places(places).build();
    let target = Arc::new(CachingKeyring::new(west.keyring([&west.home.key])));
    for uri in &replicas {
        client.rewrap().uri(uri).replace_keys(Arc::clone(&target)).send().await.expect("rewrap");
    }
    assert_eq!(calls(&west), ["Decrypt", "GenerateDataKey"]);
    for (n, uri) in replicas.iter().enumerate() {
        assert_eq!(
            read(&west.client([&west.home.key]), uri).await.expect("get"),
            format!("object {n}")
        );
    }
}
