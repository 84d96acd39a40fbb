//! Key rotation: refreshed key material, new data keys, and missing keys that are added later.

use futures_util::FutureExt as _;
use sealwax_s3::{
    Attributes, ErrorKind, KmsKeyArn, PlacePolicy, S3Uri, SealedClient, WrapPolicy,
    envelope::{
        BodySalt, CachingKeyring, EncryptionContext, Keyring as _, KeyringErrorKind, MissingKey,
        ObjectHeader, WrapContext,
    },
};
use sealwax_tests::{
    LocalStack, PART, Reaction, SeaweedFs, Stored, Wire, assert_kind, east, local_keyring,
    plaintext, read, unfinished_uploads, west,
};

fn missing(header: &ObjectHeader) -> Vec<&str> {
    header.missing().iter().map(MissingKey::wrapping_key).collect()
}

fn wrapping_keys(header: &ObjectHeader) -> Vec<&str> {
    header.keys().iter().map(|key| key.wrapping_key()).collect()
}

fn names<'a>(keys: impl IntoIterator<Item = &'a KmsKeyArn>) -> Vec<&'a str> {
    keys.into_iter().map(KmsKeyArn::as_str).collect()
}

#[tokio::test]
async fn a_refresh_re_encrypts_under_the_same_key_inside_kms() {
    let stack = LocalStack::new(east());
    let (client, uri) = (stack.client([&stack.home.key, &west().key]), stack.object("refresh"));
    let put = client.put().uri(&uri).body("x").send().await.expect("put");
    stack.wire.forget();
    let rewrap = client.rewrap().uri(&uri).refresh_keys().send().await.expect("refresh");
    let kms = [
        ("ReEncrypt".to_owned(), "us-east-1".to_owned()),
        ("ReEncrypt".to_owned(), "us-west-2".to_owned()),
    ];
    assert_eq!(stack.wire.kms(), kms);
    assert_eq!(wrapping_keys(rewrap.header().expect("ours")), wrapping_keys(&put.header));
    for (old, new) in put.header.keys().iter().zip(rewrap.keys()) {
        assert_eq!(old.place(), new.place());
        assert_ne!(old.ciphertext(), new.ciphertext(), "the wrapped key is unchanged");
    }
    assert_eq!(read(&client, &uri).await.expect("get"), "x");

    let stranger = stack.client([&stack.home.key_2]);
    assert_kind(
        stranger.rewrap().uri(&uri).refresh_keys().send().await,
        ErrorKind::NoMatchingKey,
        &uri,
        "a stranger",
    );
}

/// LocalStack does not report key materials, so the wire responds as AWS does.
#[tokio::test]
async fn a_refresh_skips_keys_under_the_newest_material() {
    let key = east().key;
    for (source, newest) in [("a", true), ("b", false)] {
        let answer = format!(
            r#"{{"CiphertextBlob":"AAAA","SourceKeyId":"{key}","KeyId":"{key}","SourceKeyMaterialId":"{source}","DestinationKeyMaterialId":"a"}}"#
        );
        let stack = LocalStack::over(Wire::answering("ReEncrypt", 200, answer), east());
        let (client, uri) = (stack.client([&key]), stack.object("newest"));
        client.put().uri(&uri).body("x").send().await.expect("put");
        let refresh = client.rewrap().uri(&uri).refresh_keys().send().await.expect("refresh");
        assert_eq!(refresh.rewrapped, !newest, "{source}");
    }
}

#[tokio::test]
async fn one_call_refreshes_all_objects_under_one_intermediate_key() {
    let stack = LocalStack::new(east());
    let client =
        SealedClient::builder(stack.s3(), CachingKeyring::new(stack.keyring([&stack.home.key])))
            .build();
    let uris = [(); 3].map(|()| stack.object("refresh"));
    for uri in &uris {
        client.put().uri(uri).body("x").send().await.expect("put");
    }
    stack.wire.forget();
    for uri in &uris {
        let refresh = client.rewrap().uri(uri).refresh_keys().send().await.expect("refresh");
        assert!(refresh.rewrapped);
    }
    assert_eq!(stack.wire.kms(), [("ReEncrypt".to_owned(), "us-east-1".to_owned())]);
    assert_eq!(read(&stack.client([&stack.home.key]), &uris[2]).await.expect("get"), "x");
}

#[tokio::test]
async fn a_re_encryption_keeps_everything_about_the_object() {
    let store = SeaweedFs::new().await;
    let client = store.client_builder(local_keyring("a")).part_len(PART).build();
    for len in [10, 2 * PART + 7] {
        let (uri, data) = (store.object("sealed"), plaintext(len));
        let context = EncryptionContext::try_from_iter([("tenant", "acme")]).expect("a context");
        let expires = "Fri, 01 Jan 2100 00:00:00 GMT";
        let attributes = Attributes::default().cache_control("no-store").expires(expires);
        let attributes = attributes.tagging("a=1&b=x%20y");
        let put = client
            .put()
            .uri(&uri)
            .body(data.clone())
            .encryption_context(context.clone())
            .metadata("own", "value");
        let put = put.attributes(attributes).content_type("text/plain").send().await.expect("put");
        let before = Stored::fetch(client.s3(), &uri).await;

        let sealed = client
            .reencrypt()
            .uri(&uri)
            .keyring(local_keyring("b"))
            .send()
            .await
            .expect("re-encrypted");
        assert_eq!(wrapping_keys(sealed.header().expect("ours")), ["b"]);
        assert_ne!(sealed.header().expect("ours").body_header(), put.header.body_header());
        let after = Stored::fetch(client.s3(), &uri).await;
        assert!(before.body[56..] != after.body[56..], "the body is unchanged");
        let other = store.client(local_keyring("b"));
        assert!(read(&other, &uri).await.expect("get") == data);
        assert_kind(read(&client, &uri).await, ErrorKind::NoMatchingKey, &uri, "the old key");

        let head = client
            .s3()
            .head_object()
            .bucket(uri.bucket())
            .key(uri.key())
            .send()
            .await
            .expect("head");
        assert_eq!(
            (head.cache_control(), head.content_type(), head.expires_string()),
            (Some("no-store"), Some("text/plain"), Some(expires))
        );
        assert_eq!(
            head.metadata().and_then(|own| own.get("own")).map(String::as_str),
            Some("value")
        );
        let tags = client
            .s3()
            .get_object_tagging()
            .bucket(uri.bucket())
            .key(uri.key())
            .send()
            .await
            .expect("tags");
        let mut tags: Vec<_> = tags
            .tag_set()
            .iter()
            .map(|tag| (tag.key().to_owned(), tag.value().to_owned()))
            .collect();
        tags.sort();
        assert_eq!(tags, [("a".to_owned(), "1".to_owned()), ("b".to_owned(), "x y".to_owned())]);
        assert_eq!(
            other.head().uri(&uri).send().await.expect("head").encryption_context(),
            &context
        );
    }
}

#[tokio::test]
async fn an_object_that_fails_verification_is_not_re_encrypted() {
    let store = SeaweedFs::new().await;
    let client = store.client_builder(local_keyring("a")).part_len(PART).build();
    for len in [10, 2 * PART + 7] {
        let uri = store.object("broken");
        client.put().uri(&uri).body(plaintext(len)).send().await.expect("put");
        let stored = Stored::fetch(client.s3(), &uri).await;
        let mut body = stored.body.to_vec();
        *body.last_mut().expect("a byte") ^= 1;
        stored.with_body(body.clone()).store(client.s3(), &uri).await;
        assert_kind(
            client.reencrypt().uri(&uri).send().await,
            ErrorKind::Authentication,
            &uri,
            "a flipped bit",
        );
        assert!(Stored::fetch(client.s3(), &uri).await.body == body, "it was replaced");
        assert_eq!(unfinished_uploads(client.s3(), &uri).await, 0);
    }
}

#[tokio::test]
async fn a_re_encryption_does_not_overwrite_a_concurrent_change() {
    let quiet = SeaweedFs::new().await;
    let (other, uri) = (quiet.client(local_keyring("a")), quiet.object("race"));
    for operation in ["GetObject", "PutObject"] {
        let rival = (other.clone(), uri.clone());
        let wire = Wire::new(move |call| match call.operation == operation && call.nth == 0 {
            true => {
                let (rival, uri) = rival.clone();
                Reaction::Await(
                    async move { drop(rival.put().uri(&uri).body("new").send().await.expect("put")) }.boxed(),
                )
            }
            false => Reaction::Pass,
        });
        let racer = SeaweedFs::over(wire).await.client(local_keyring("a"));
        other.put().uri(&uri).body("old").send().await.expect("put");
        assert_kind(racer.reencrypt().uri(&uri).send().await, ErrorKind::Conflict, &uri, operation);
        assert_eq!(read(&other, &uri).await.expect("get"), "new");
    }
}

#[tokio::test]
async fn a_put_with_a_region_down_needs_enough_keys_and_a_rewrap_adds_the_rest() {
    let keys = [east().key, west().key];
    let wire = Wire::new(|call| match (call.service.as_str(), call.region.as_str()) {
        ("kms", "us-west-2") => Reaction::Refuse,
        _ => Reaction::Pass,
    });
    let down = LocalStack::over(wire, east());
    let keyring = |stack: &LocalStack, policy| {
        stack.keyring_builder().keys(&keys).wrap_policy(policy).build().expect("a keyring")
    };
    let uri = down.object("missing");
    for policy in [WrapPolicy::All, WrapPolicy::AtLeast(2)] {
        let client = SealedClient::builder(down.s3(), keyring(&down, policy)).build();
        assert_kind(
            client.put().uri(&uri).body("x").send().await,
            ErrorKind::Unavailable,
            &uri,
            "a key is missing",
        );
    }
    let client = SealedClient::builder(down.s3(), keyring(&down, WrapPolicy::AtLeast(1))).build();
    let put = client.put().uri(&uri).body("x").send().await.expect("one is enough");
    assert_eq!(
        (wrapping_keys(&put.header), missing(&put.header)),
        (names([&keys[0]]), names([&keys[1]]))
    );
    assert_eq!(client.head().uri(&uri).send().await.expect("head").header(), Some(&put.header));

    // For a while, the Region that is down is not asked again.
    down.wire.forget();
    client.put().uri(&uri).body("y").send().await.expect("put");
    assert_eq!(down.wire.kms(), [("GenerateDataKey".to_owned(), "us-east-1".to_owned())]);

    let up = LocalStack::new(east());
    let client = SealedClient::builder(up.s3(), keyring(&up, WrapPolicy::All)).build();
    let added = client
        .rewrap()
        .uri(&uri)
        .add_keys(keyring(&up, WrapPolicy::All))
        .send()
        .await
        .expect("added");
    assert_eq!(
        (wrapping_keys(added.header().expect("ours")), missing(added.header().expect("ours"))),
        (names(&keys), vec![])
    );
    let places = PlacePolicy::bound();
    let far = LocalStack::new(west());
    let reader = SealedClient::builder(up.s3(), far.keyring([&keys[1]])).places(places).build();
    assert_eq!(read(&reader, &uri).await.expect("get"), "y");
}

/// If the first key is unavailable, another one generates the data key.
#[tokio::test]
async fn any_key_can_generate() {
    let keys = [east().key, west().key];
    let wire = Wire::new(|call| match (call.service.as_str(), call.region.as_str()) {
        ("kms", "us-east-1") => Reaction::Refuse,
        _ => Reaction::Pass,
    });
    let stack = LocalStack::over(wire, east());
    let keyring = stack
        .keyring_builder()
        .keys(&keys)
        .wrap_policy(WrapPolicy::AtLeast(1))
        .build()
        .expect("a keyring");
    let (client, uri) =
        (SealedClient::builder(stack.s3(), keyring).build(), stack.object("generator"));
    let put = client.put().uri(&uri).body("x").send().await.expect("put");
    assert_eq!(
        (wrapping_keys(&put.header), missing(&put.header)),
        (names([&keys[1]]), names([&keys[0]]))
    );
    assert_eq!(read(&client, &uri).await.expect("get"), "x");
}

#[tokio::test]
async fn a_read_remembers_which_region_is_down() {
    let keys = [east().key, west().key];
    let sealed = LocalStack::new(east());
    let uri: S3Uri = sealed.object("down");
    sealed.client(&keys).put().uri(&uri).body("x").send().await.expect("put");
    let wire = Wire::new(|call| match (call.service.as_str(), call.region.as_str()) {
        ("kms", "us-east-1") => Reaction::Refuse,
        _ => Reaction::Pass,
    });
    let stack = LocalStack::over(wire, east());
    let client = stack.client(&keys);
    read(&client, &uri).await.expect("by the other Region");
    stack.wire.forget();
    read(&client, &uri).await.expect("by the other Region");
    assert_eq!(stack.wire.kms(), [("Decrypt".to_owned(), "us-west-2".to_owned())]);
}

/// Under a quota, calls are spread out and none is lost.
#[tokio::test]
async fn calls_keep_to_the_configured_rate() {
    let stack = LocalStack::new(east());
    let keyring = stack
        .keyring_builder()
        .key(stack.home.key.clone())
        .calls_per_second(50)
        .build()
        .expect("a keyring");
    let client = SealedClient::builder(stack.s3(), keyring).build();
    let puts = (0..20).map(|_| {
        let (client, uri) = (client.clone(), stack.object("pace"));
        async move { client.put().uri(&uri).body("x").send().await }
    });
    let done = futures_util::future::join_all(puts).await;
    assert!(done.into_iter().all(|put| put.is_ok()));
    assert_eq!(stack.wire.kms().len(), 20);
}

/// The SDK has one retry quota for a Region, shared by all keyrings. When KMS throttles every call,
/// retries stop before they triple the load. Each error names its Region and key.
#[tokio::test]
async fn all_keyrings_share_one_retry_quota() {
    // In a Region that no other test uses, because the quota belongs to the process.
    let key: KmsKeyArn = "arn:aws:kms:eu-south-2:000000000000:key/budget".parse().expect("an ARN");
    let throttled = r#"{"__type":"ThrottlingException","message":"Rate exceeded"}"#;
    let stack = LocalStack::over(Wire::answering("GenerateDataKey", 400, throttled), east());
    let keyrings = [(); 2].map(|()| stack.keyring([&key]));
    let salt = BodySalt::generate().expect("random");
    let wrap_context = WrapContext::for_data_key(EncryptionContext::new(), None, &salt);
    let calls = (0..200).map(|n| keyrings[n % 2].generate(&wrap_context, None));
    for outcome in futures_util::future::join_all(calls).await {
        let error = outcome.err().expect("throttled");
        assert_eq!(
            (error.kind(), error.wrapping_key()),
            (KeyringErrorKind::Throttled, key.as_str())
        );
    }
    // 500 tokens at 5 a retry allow 100 of the 400 possible retries.
    let retries = stack.wire.kms().len() - 200;
    assert!((90..=110).contains(&retries), "{retries} retries");
}

/// KMS throttles with an error code that the SDK's model of KMS lacks.
#[tokio::test]
async fn throttled_calls_are_retried_and_named_if_that_fails() {
    let throttled = r#"{"__type":"ThrottlingException","message":"Rate exceeded"}"#;
    for (times, expected) in [(2, true), (usize::MAX, false)] {
        let wire =
            Wire::new(move |call| match call.operation == "GenerateDataKey" && call.nth < times {
                true => Reaction::Answer(400, throttled.into()),
                false => Reaction::Pass,
            });
        let stack = LocalStack::over(wire, east());
        let (client, uri) = (stack.client([&stack.home.key]), stack.object("throttled"));
        let put = client.put().uri(&uri).body("x").send().await;
        if expected {
            put.expect("in the end");
        } else {
            let error = assert_kind(put, ErrorKind::Throttled, &uri, "for ever");
            assert!(error.to_string().contains(stack.home.key.as_str()), "{error}");
        }
    }
}
