//! The choice of KMS keys: Regions, order, and encryption context.

use std::{net::TcpListener, time::Duration};

use sealwax_s3::{
    DiscoveryFilter, ErrorKind, KmsKeyArn, PlacePolicy, S3Uri, SealedClient, aws_sdk_kms,
    aws_sdk_s3,
    envelope::{EncryptionContext, Place},
};
use sealwax_tests::{
    LocalStack, Reaction, Wire, assert_kind, east, in_time, plaintext, read, west,
};
use serde_json::json;

const EAST: &str = "us-east-1";
const WEST: &str = "us-west-2";
const ACCOUNT: &str = "000000000000";

fn kms(calls: &[(&str, &str)]) -> Vec<(String, String)> {
    calls.iter().map(|(call, region)| ((*call).to_owned(), (*region).to_owned())).collect()
}

/// Puts an object in us-east-1 under these keys.
async fn sealed<'a>(keys: impl IntoIterator<Item = &'a KmsKeyArn>) -> S3Uri {
    let stack = LocalStack::new(east());
    let uri = stack.object("keys");
    stack.client(keys).put().uri(&uri).body("x").send().await.expect("put");
    uri
}

#[tokio::test]
async fn a_put_wraps_for_two_regions_and_each_reads_alone() {
    let (east, west) = (LocalStack::new(east()), LocalStack::new(west()));
    let (keys, uri) = ([&east.home.key, &west.home.key], east.object("two"));
    east.client(keys).put().uri(&uri).body("x").send().await.expect("put");
    assert_eq!(east.wire.kms(), kms(&[("GenerateDataKey", EAST), ("Encrypt", WEST)]));
    for (stack, key, region) in [(&east, keys[0], EAST), (&west, keys[1], WEST)] {
        stack.wire.forget();
        assert_eq!(read(&stack.client([key]), &uri).await.expect(region), "x");
        assert_eq!(stack.wire.kms(), kms(&[("Decrypt", region)]));
    }
}

#[tokio::test]
async fn the_callers_region_is_asked_first() {
    let (east, west) = (LocalStack::new(east()), LocalStack::new(west()));
    let keys = [&east.home.key, &west.home.key];
    let uri = sealed(keys).await;
    for (stack, region) in [(&east, EAST), (&west, WEST)] {
        // In either order of configuration.
        for keys in [[keys[0], keys[1]], [keys[1], keys[0]]] {
            stack.wire.forget();
            read(&stack.client(keys), &uri).await.expect(region);
            assert_eq!(stack.wire.kms(), kms(&[("Decrypt", region)]));
        }
    }
}

/// A Region that times out or refuses connections delays a read but does not fail it.
#[tokio::test]
async fn reads_skip_a_dead_region_and_writes_fail() {
    let keys = [east().key, west().key];
    let uri = sealed(&keys).await;
    for (case, dead) in
        [("silent", (|| Reaction::TimeOut) as fn() -> Reaction), ("refusing", || Reaction::Refuse)]
    {
        let wire = Wire::new(move |call| match (call.service.as_str(), call.region.as_str()) {
            ("kms", EAST) => dead(),
            _ => Reaction::Pass,
        });
        let stack = LocalStack::over(wire, east());
        let client = stack.client(&keys);
        assert_eq!(read(&client, &uri).await.expect(case), "x");
        assert_eq!(stack.wire.kms().last(), kms(&[("Decrypt", WEST)]).last(), "{case}");

        // A write needs all its keys, and stores nothing without them.
        stack.wire.forget();
        let another = stack.object("dead");
        let put = client.put().uri(&another).body("x").send().await;
        let error = assert_kind(put, ErrorKind::Unavailable, &another, case);
        assert!(
            error.to_string().contains(keys[0].as_str()),
            "{case}: the error does not name the key: {error}"
        );
        assert_eq!(stack.wire.operations("s3"), [""; 0], "{case}");
    }
}

fn kms_at(stack: &LocalStack, port: u16) -> aws_sdk_kms::Client {
    let config = aws_sdk_kms::config::Builder::from(&stack.config)
        .endpoint_url(format!("http://127.0.0.1:{port}"));
    aws_sdk_kms::Client::from_conf(config.build())
}

/// The keyring's timeout also covers a given client that has none of its own.
#[tokio::test]
async fn reads_skip_a_given_client_with_a_dead_endpoint() {
    let keys = [east().key, west().key];
    let (stack, uri) = (LocalStack::new(east()), sealed(&keys).await);
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let closed =
        TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a port").port();
    let silent_port = silent.local_addr().expect("an address").port();
    for (case, port) in [("closed", closed), ("silent", silent_port)] {
        // The silent case takes this long. The other Region answers in a few milliseconds, and has
        // half of it for each attempt.
        let keyring = stack
            .keyring_builder()
            .keys(&keys)
            .client(EAST, kms_at(&stack, port))
            .timeout(Duration::from_secs(20))
            .build()
            .expect("a keyring");
        let client = SealedClient::builder(stack.s3(), keyring).build();
        assert_eq!(in_time(case, read(&client, &uri)).await.expect(case), "x");
    }
}

#[tokio::test]
async fn a_read_is_unavailable_if_all_regions_are_dead() {
    let keys = [east().key, west().key];
    let uri = sealed(&keys).await;
    let stack = LocalStack::over(
        Wire::new(|call| if call.service == "kms" { Reaction::Refuse } else { Reaction::Pass }),
        east(),
    );
    let error = assert_kind(
        read(&stack.client(&keys), &uri).await,
        ErrorKind::Unavailable,
        &uri,
        "both dead",
    );
    assert!(
        keys.iter().all(|key| error.to_string().contains(key.as_str())),
        "the error does not name both keys: {error}"
    );
}

#[tokio::test]
async fn a_replica_of_a_multi_region_key_opens_the_object() {
    let (east, west) = (LocalStack::new(east()), LocalStack::new(west()));
    let uri = sealed([&east.home.mrk]).await;
    let discovering = |filter: DiscoveryFilter| {
        let keyring = west.keyring_builder().discovery(filter).build().expect("a keyring");
        SealedClient::builder(west.s3(), keyring).build()
    };
    let clients = [
        ("its replica", west.client([&west.home.mrk])),
        ("discovery", discovering(DiscoveryFilter::accounts([ACCOUNT]))),
        (
            "discovery in the Region",
            discovering(DiscoveryFilter::accounts([ACCOUNT]).regions([WEST])),
        ),
        ("discovery by ARN", discovering(DiscoveryFilter::keys([west.home.mrk.clone()]))),
    ];
    for (case, client) in clients {
        west.wire.forget();
        assert_eq!(read(&client, &uri).await.expect(case), "x");
        assert_eq!(west.wire.kms(), kms(&[("Decrypt", WEST)]), "{case}");
    }
    // Also the other way round, and by ReEncrypt within the Region.
    let replica = west.object("replica");
    west.client([&west.home.mrk]).put().uri(&replica).body("y").send().await.expect("put");
    assert_eq!(read(&east.client([&east.home.mrk]), &replica).await.expect("get"), "y");
    west.wire.forget();
    let client = west.client([&west.home.mrk]);
    client
        .rewrap()
        .uri(&uri)
        .add_keys(west.keyring([&west.home.key]))
        .send()
        .await
        .expect("rewrap");
    assert_eq!(west.wire.kms(), kms(&[("ReEncrypt", WEST)]));
    assert_eq!(read(&west.client([&west.home.key]), &uri).await.expect("get"), "x");
}

/// FORMAT.md R7: KMS is asked about no other key.
#[tokio::test]
async fn discovery_asks_only_about_keys_that_its_filter_allows() {
    let (stack, uri) = (LocalStack::new(east()), sealed([&east().key]).await);
    let read = async |filter: DiscoveryFilter| {
        let keyring = stack.keyring_builder().discovery(filter).build().expect("a keyring");
        stack.wire.forget();
        read(&SealedClient::builder(stack.s3(), keyring).build(), &uri).await
    };
    for (case, filter) in [
        ("no account", DiscoveryFilter::accounts([""; 0])),
        ("another account", DiscoveryFilter::accounts(["999999999999"])),
        ("another Region", DiscoveryFilter::accounts([ACCOUNT]).regions([WEST])),
        ("another partition", DiscoveryFilter::accounts([ACCOUNT]).partition("aws-cn")),
        ("another key", DiscoveryFilter::keys([east().key_2, west().key, east().mrk])),
        ("no key", DiscoveryFilter::keys([])),
    ] {
        assert_kind(read(filter).await, ErrorKind::NoMatchingKey, &uri, case);
        assert_eq!(stack.wire.kms(), [], "{case}");
    }
    for filter in
        [DiscoveryFilter::accounts([ACCOUNT]), DiscoveryFilter::keys([west().key, east().key])]
    {
        assert_eq!(read(filter).await.expect("allowed"), "x");
        assert_eq!(stack.wire.kms(), kms(&[("Decrypt", EAST)]));
    }
    // Discovery reads. A write needs a configured key.
    let reader =
        SealedClient::builder(stack.s3(), stack.keyring_builder().build().expect("a keyring"))
            .build();
    stack.wire.forget();
    let put = reader.put().uri(&uri).body("y").send().await;
    assert_kind(put, ErrorKind::KeyNotFound, &uri, "a keyring without keys");
    assert_eq!(stack.wire.calls().len(), 0);
}

/// FORMAT.md R8: KMS gets the complete wrap context.
#[tokio::test]
async fn each_call_carries_the_complete_context_and_names_its_key() {
    let (east, west) = (LocalStack::new(east()), LocalStack::new(west()));
    let (keys, uri) = ([&east.home.key, &west.home.key], east.object("context"));
    let client = east.client(keys);
    let context =
        EncryptionContext::try_from_iter([("tenant", "acmé"), ("empty", "")]).expect("a context");
    let put = client.put().uri(&uri).body("x").encryption_context(context).send().await;
    let metadata = put.expect("put").header.to_metadata();
    read(&client, &uri).await.expect("get");
    client
        .rewrap()
        .uri(&uri)
        .replace_keys(east.keyring([&east.home.key_2]))
        .send()
        .await
        .expect("re-encrypt");
    let both = east.client([&east.home.key_2]);
    both.rewrap()
        .uri(&uri)
        .replace_keys(west.keyring([&west.home.key_2]))
        .send()
        .await
        .expect("decrypt and encrypt");

    let place = format!("{}/{}", uri.bucket(), uri.key());
    let header = metadata.iter().find(|(name, _)| *name == "sealwax-header").expect("a header");
    let whole = json!({
        "tenant": "acmé",
        "empty": "",
        "sealwax:format": "v1",
        "sealwax:place": place,
        "sealwax:salt": header.1[..32],
    });
    let calls: Vec<_> = [&east, &west].into_iter().flat_map(|stack| stack.wire.calls()).collect();
    let calls: Vec<_> = calls.into_iter().filter(|call| call.service == "kms").collect();
    let operations: Vec<_> = calls.iter().map(|call| call.operation.as_str()).collect();
    assert_eq!(
        operations,
        [
            // The put, the get, the new key and its proof, and the same without `ReEncrypt`.
            "GenerateDataKey",
            "Encrypt",
            "Decrypt",
            "ReEncrypt",
            "Decrypt",
            "Decrypt",
            "Encrypt"
        ]
    );
    for call in calls {
        let (contexts, ids) = match call.operation.as_str() {
            "ReEncrypt" => (
                vec!["SourceEncryptionContext", "DestinationEncryptionContext"],
                vec!["SourceKeyId", "DestinationKeyId"],
            ),
            _ => (vec!["EncryptionContext"], vec!["KeyId"]),
        };
        assert!(contexts.iter().all(|name| call.json[name] == whole), "{}", call.json);
        for id in ids {
            let key: KmsKeyArn =
                call.json[id].as_str().expect("a key's name").parse().expect("an ARN");
            assert_eq!(key.region(), call.region, "{}: {id}", call.operation);
        }
    }
}

#[tokio::test]
async fn a_shared_bucket_name_opens_replicas_without_a_rewrap() {
    let (east, west) = (LocalStack::new(east()), LocalStack::new(west()));
    let places = PlacePolicy::bound()
        .bucket_name(&east.home.bucket, "documents")
        .bucket_name(&west.home.bucket, "documents");
    let (keys, uri, data) =
        ([&east.home.key, &west.home.key], east.object("shared"), plaintext(20_000));
    let client = east.client_builder(keys).places(places.clone()).build();
    client.put().uri(&uri).body(data.clone()).send().await.expect("put");
    let source = format!("{}/{}", uri.bucket(), uri.key());
    west.s3()
        .copy_object()
        .copy_source(source)
        .bucket(&west.home.bucket)
        .key(uri.key())
        .send()
        .await
        .expect("copy");
    let replica: S3Uri =
        format!("s3://{}/{}", west.home.bucket, uri.key()).parse().expect("a name");

    let client = west.client_builder([&west.home.key]).places(places).build();
    assert!(read(&client, &replica).await.expect("without a rewrap") == data);
    // Without the shared name it is a foreign place. Without binding, an unbound object opens
    // anywhere.
    assert_kind(
        read(&west.client([&west.home.key]), &replica).await,
        ErrorKind::PlaceMismatch,
        &replica,
        "no name",
    );
    let unbound = west.client_builder([&west.home.key]).places(PlacePolicy::off()).build();
    assert!(read(&unbound, &replica).await.expect("unbound reads all") == data);
    unbound.put().uri(&replica).body("z").send().await.expect("put");
    assert!(
        !unbound
            .head()
            .uri(&replica)
            .send()
            .await
            .expect("head")
            .keys()
            .iter()
            .any(|key| key.place().is_some())
    );
    assert_kind(
        read(&west.client([&west.home.key]), &replica).await,
        ErrorKind::PlaceMismatch,
        &replica,
        "bound",
    );
}

/// An access point has an ARN and an alias, and both differ from the bucket's name.
#[tokio::test]
async fn an_access_point_reads_its_buckets_objects_if_the_policy_allows_it() {
    let direct = LocalStack::new(east());
    let (bucket, uri) = (direct.home.bucket.as_str(), direct.object("access-point"));
    let by_bucket = direct.client([&direct.home.key]);
    by_bucket.put().uri(&uri).body("x").send().await.expect("put");
    for name in
        ["arn:aws:s3:us-east-1:000000000000:accesspoint/documents", "documents-a1b2c3-s3alias"]
    {
        let home = bucket.to_owned();
        let wire = Wire::new(move |call| match call.service.as_str() {
            "s3" => Reaction::Reroute(name.to_owned(), home.clone()),
            _ => Reaction::Pass,
        });
        let stack = LocalStack::over(wire, east());
        let client = |places| {
            SealedClient::builder(
                aws_sdk_s3::Client::new(&stack.config),
                stack.keyring([&stack.home.key]),
            )
            .places(places)
            .build()
        };
        let at = |key: &str| format!("s3://{name}/{key}").parse::<S3Uri>().expect("a name");
        let there = at(uri.key());
        let stranger = client(PlacePolicy::bound());
        let error =
            assert_kind(read(&stranger, &there).await, ErrorKind::PlaceMismatch, &there, name);
        let told = error.to_string();
        assert!(
            told.contains("a replica of that bucket") && told.contains("with that place accepted"),
            "the error does not name both remedies: {told}"
        );
        assert_eq!(stack.wire.kms(), [], "{name}");
        let replica = client(PlacePolicy::bound().replica_of(name, bucket));
        assert_eq!(read(&replica, &there).await.expect(name), "x");

        // A put through it is bound to its name, or to the bucket's name if the policy maps one to
        // the other.
        let (bound, shared) = (direct.object("access-point"), direct.object("access-point"));
        let place = |header: &sealwax_s3::envelope::ObjectHeader| {
            header.keys()[0].place().map(Place::to_string)
        };
        let put = stranger.put().uri(&at(bound.key())).body("y").send().await.expect(name);
        assert_eq!(place(&put.header), Some(format!("{name}/{}", bound.key())));
        assert_kind(read(&by_bucket, &bound).await, ErrorKind::PlaceMismatch, &bound, name);
        let named = client(PlacePolicy::bound().bucket_name(name, bucket));
        let put = named.put().uri(&at(shared.key())).body("z").send().await.expect(name);
        assert_eq!(place(&put.header), Some(format!("{bucket}/{}", shared.key())));
        assert_eq!(read(&by_bucket, &shared).await.expect(name), "z");
    }
}
