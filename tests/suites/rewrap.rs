//! Rewraps: the changes to an object, the parts that stay the same, and concurrent writers.

use std::time::{Duration, SystemTime};

use futures_util::{FutureExt as _, future::BoxFuture};
use sealwax_s3::{
    Attributes, ErrorKind, KeyStorage, PlacePolicy, RequestHeaders, S3Uri, SealedClient,
    SidecarPolicy,
    aws_sdk_s3::{
        Client,
        primitives::DateTime,
        types::{
            BucketCannedAcl, MetadataDirective, ObjectCannedAcl, ObjectLockLegalHoldStatus,
            ObjectLockMode, ObjectOwnership, OwnershipControls, OwnershipControlsRule,
            ServerSideEncryption, StorageClass,
        },
    },
    envelope::{EncryptionContext, ObjectHeader},
};
use sealwax_tests::{
    Call, LocalStack, PART, Reaction, SeaweedFs, Stored, Wire, assert_kind, east, local_keyring,
    plaintext, read, unique, west,
};

/// Copies by a single `CopyObject`, up to S3's limit.
const WHOLE: u64 = 5 << 30;
/// Copies by `UploadPartCopy`, always.
const IN_PARTS: u64 = 0;

fn wrapping_keys(header: &ObjectHeader) -> Vec<&str> {
    header.keys().iter().map(|key| key.wrapping_key()).collect()
}

/// Copies an object as S3 Replication does.
async fn replicate(s3: &Client, from: &S3Uri, bucket: &str) -> S3Uri {
    let source = format!("{}/{}", from.bucket(), from.key());
    s3.copy_object()
        .copy_source(source)
        .bucket(bucket)
        .key(from.key())
        .send()
        .await
        .expect("replicate");
    format!("s3://{bucket}/{}", from.key()).parse().expect("an object's name")
}

#[tokio::test]
async fn a_replica_outlives_its_source_region() {
    type Edit = fn(sealwax_s3::Rewrap, &LocalStack, &str) -> sealwax_s3::Rewrap;
    let cases: [(&str, Edit, bool); 3] = [
        ("add", |rewrap, west, _| rewrap.add_keys(west.keyring([&west.home.key])), true),
        ("replace", |rewrap, west, _| rewrap.replace_keys(west.keyring([&west.home.key])), false),
        (
            "add and remove",
            |rewrap, west, old| rewrap.add_keys(west.keyring([&west.home.key])).remove_key(old),
            false,
        ),
    ];
    for size in [20_000, PART + 20_000] {
        for (case, edit, keeps_the_old_key) in cases {
            let (east, west, data) =
                (LocalStack::new(east()), LocalStack::new(west()), plaintext(size));
            let (east_key, uri) = (east.new_key().await, east.object("replica"));
            let source = east.client_builder([&east_key]).part_len(PART).build();
            let context =
                EncryptionContext::try_from_iter([("tenant", "acme")]).expect("a context");
            source
                .put()
                .uri(&uri)
                .body(data.clone())
                .encryption_context(context)
                .send()
                .await
                .expect("put");
            let replica = replicate(&west.s3(), &uri, &west.home.bucket).await;

            // On arrival, the replica is bound to its source's place and sealed under its source's
            // key.
            let west_alone = west.client([&west.home.key]);
            assert_kind(
                read(&west_alone, &replica).await,
                ErrorKind::PlaceMismatch,
                &replica,
                case,
            );
            let places = || PlacePolicy::bound().replica_of(&west.home.bucket, &east.home.bucket);
            let west_of_east = west.client_builder([&west.home.key]).places(places()).build();
            assert_kind(
                read(&west_of_east, &replica).await,
                ErrorKind::NoMatchingKey,
                &replica,
                case,
            );

            let both = west.client_builder([&west.home.key, &east_key]).places(places()).build();
            assert!(read(&both, &replica).await.expect("by the source's key") == data, "{case}");
            west.wire.forget();
            let rewrap = edit(both.rewrap().uri(&replica), &west, east_key.as_str())
                .send()
                .await
                .expect("rewrap");
            assert!(rewrap.rewrapped);
            assert_eq!(rewrap.header().expect("sealed").generation(), 2);
            let kms = [("Decrypt", "us-east-1"), ("Encrypt", "us-west-2")];
            assert_eq!(
                west.wire.kms(),
                kms.map(|(call, region)| (call.to_owned(), region.to_owned())),
                "{case}"
            );
            let calls = west.wire.calls().into_iter().filter(|call| call.service == "s3");
            assert_eq!(calls.map(|call| call.body_len).sum::<usize>(), 0, "{case}: body bytes");
            assert!(
                !west.wire.operations("s3").contains(&"GetObject".to_owned()),
                "{case}: the body was read"
            );

            east.kms().disable_key().key_id(east_key.as_str()).send().await.expect("disable");
            assert!(
                read(&west_alone, &replica).await.expect("by the Region's own key alone") == data,
                "{case}"
            );
            assert_kind(read(&source, &uri).await, ErrorKind::KeyDisabled, &uri, case);

            let info = west_alone.head().uri(&replica).send().await.expect("head");
            let old = keeps_the_old_key.then_some(east_key.as_str());
            let expected: Vec<_> = old.into_iter().chain([west.home.key.as_str()]).collect();
            assert_eq!(wrapping_keys(info.header().expect("sealed")), expected, "{case}");
            assert_eq!(
                (&info.e_tag, &info.version_id),
                (&rewrap.e_tag, &rewrap.version_id),
                "{case}"
            );
            assert_eq!(info.header(), rewrap.header(), "{case}");
        }
    }
}

#[tokio::test]
async fn a_rewrap_binds_a_moved_object_to_its_new_place_on_request() {
    let stack = LocalStack::new(east());
    let (client, uri) = (stack.client([&stack.home.key]), stack.object("moved"));
    client.put().uri(&uri).body("x").send().await.expect("put");
    let moved = stack.object("to");
    let source = format!("{}/{}", uri.bucket(), uri.key());
    let copy =
        stack.s3().copy_object().copy_source(&source).bucket(moved.bucket()).key(moved.key());
    copy.send().await.expect("copy");

    let error = assert_kind(read(&client, &moved).await, ErrorKind::PlaceMismatch, &moved, "moved");
    assert!(error.to_string().contains(&source), "{error}");
    let rewrap = || client.rewrap().uri(&moved).replace_keys(stack.keyring([&stack.home.key]));
    assert_kind(rewrap().send().await, ErrorKind::PlaceMismatch, &moved, "not accepted");
    let once = client.get().uri(&moved).accept_place(&source).send().await.expect("accepted once");
    assert_eq!(once.bytes().await.expect("bytes"), "x");
    rewrap().accept_place(&source).send().await.expect("accepted");
    assert_eq!(read(&client, &moved).await.expect("at home"), "x");
}

#[tokio::test]
async fn within_a_region_kms_re_encrypts() {
    let stack = LocalStack::new(east());
    let (uri, keys) =
        (stack.object("re-encrypt"), [&stack.home.key, &stack.home.key_2, &stack.home.mrk]);
    let client = stack.client(keys);
    stack.client([keys[0]]).put().uri(&uri).body("x").send().await.expect("put");
    // The new key is proven before another one goes.
    for (case, replace, key, expected, operations) in [
        ("replace", true, keys[1], vec![keys[1]], vec!["ReEncrypt", "Decrypt"]),
        ("add", false, keys[2], vec![keys[1], keys[2]], vec!["ReEncrypt"]),
    ] {
        stack.wire.forget();
        let keyring = stack.keyring([key]);
        let rewrap = client.rewrap().uri(&uri);
        let rewrap = if replace { rewrap.replace_keys(keyring) } else { rewrap.add_keys(keyring) };
        let rewrap = rewrap.send().await.expect(case);
        let calls = operations.iter().map(|it| ((*it).to_owned(), "us-east-1".to_owned()));
        assert_eq!(stack.wire.kms(), calls.collect::<Vec<_>>(), "{case}");
        assert_eq!(
            wrapping_keys(rewrap.header().expect("sealed")),
            expected.iter().map(|key| key.as_str()).collect::<Vec<_>>()
        );
        assert_eq!(read(&stack.client([key]), &uri).await.expect("by the new key alone"), "x");
    }
}

#[tokio::test]
async fn a_rewrap_to_the_current_keys_does_nothing() {
    let stack = LocalStack::new(east());
    let (uri, keys) = (stack.object("idempotent"), [&stack.home.key, &stack.home.key_2]);
    let client = stack.client(keys);
    client.put().uri(&uri).body("x").send().await.expect("put");
    let before = client.head().uri(&uri).send().await.expect("head");
    let rewraps = [
        client.rewrap().add_keys(stack.keyring([keys[0]])),
        client.rewrap().add_keys(stack.keyring([keys[1], keys[0]])),
        client.rewrap().replace_keys(stack.keyring(keys)),
        client.rewrap().remove_key(stack.home.mrk.as_str()),
    ];
    stack.wire.forget();
    for rewrap in rewraps {
        let rewrap = rewrap.uri(&uri).send().await.expect("rewrap");
        assert!(!rewrap.rewrapped);
        assert_eq!((rewrap.header(), &rewrap.version_id), (before.header(), &before.version_id));
    }
    assert_eq!(stack.wire.kms(), []);
    assert_eq!(stack.wire.operations("s3"), ["HeadObject"; 4]);
}

#[tokio::test]
async fn any_key_but_the_last_can_be_removed() {
    let stack = LocalStack::new(east());
    let (uri, keys) = (stack.object("remove"), [&stack.home.key, &stack.home.key_2]);
    let client = stack.client(keys);
    client.put().uri(&uri).body("x").send().await.expect("put");
    stack.wire.forget();
    let remove = client
        .rewrap()
        .uri(&uri)
        .remove_key(keys[0].as_str())
        .send()
        .await
        .expect("one key remains");
    assert_eq!(
        (
            wrapping_keys(remove.header().expect("sealed")),
            remove.header().expect("sealed").generation()
        ),
        (vec![keys[1].as_str()], 2)
    );
    assert_kind(
        read(&stack.client([keys[0]]), &uri).await,
        ErrorKind::NoMatchingKey,
        &uri,
        "removed",
    );
    let last = client.rewrap().uri(&uri).remove_key(keys[1].as_str()).send().await;
    assert_kind(last, ErrorKind::InvalidInput, &uri, "the last key");
    // Nor by adding a key and removing it in the same rewrap.
    let last = client
        .rewrap()
        .uri(&uri)
        .replace_keys(stack.keyring([keys[0]]))
        .remove_key(keys[0].as_str())
        .send()
        .await;
    assert_kind(last, ErrorKind::InvalidInput, &uri, "the last key, by a detour");
    assert_eq!(read(&client, &uri).await.expect("still there"), "x");
}

/// FORMAT.md W8: a remaining key must unwrap the data key before another one is removed.
#[tokio::test]
async fn no_key_is_removed_unless_a_remaining_key_opens_the_object() {
    let store = SeaweedFs::new().await;
    let (client, uri) = (store.client(local_keyring("a")), store.object("unproven"));
    client.put().uri(&uri).body("x").send().await.expect("put");
    client.rewrap().uri(&uri).add_keys(local_keyring("b")).send().await.expect("b is added");
    let unproven = client.rewrap().uri(&uri).remove_key("a").send().await;
    assert_kind(unproven, ErrorKind::NoMatchingKey, &uri, "this client cannot use b");
    assert_eq!(read(&client, &uri).await.expect("a is still there"), "x");
}

/// An attacker with write access to the bucket must not get another's data key wrapped under ours.
#[tokio::test]
async fn only_keys_that_the_client_reads_with_are_re_encrypted() {
    let (east, west) = (LocalStack::new(east()), LocalStack::new(west()));
    let uri = east.object("stranger");
    east.client([&east.home.key_2]).put().uri(&uri).body("x").send().await.expect("put");
    // The client reads only with the other Region's key.
    let client = east.client([&west.home.key]);
    east.wire.forget();
    let rewrap =
        client.rewrap().uri(&uri).replace_keys(east.keyring([&east.home.key])).send().await;
    assert_kind(rewrap, ErrorKind::NoMatchingKey, &uri, "a stranger's key");
    assert_eq!(east.wire.kms(), []);
}

#[tokio::test]
async fn objects_with_unusual_names_are_rewrapped() {
    let (stack, store) = (LocalStack::new(east()), SeaweedFs::new().await);
    for odd in
        ["a b+c é/%?&=#.txt", "%2F%20", "quote\"back\\slash'", "日本語", "~!@$^*(){}[]|;:,<>"]
    {
        for (client, uri) in [
            (stack.client([&stack.home.key]), stack.object("odd")),
            (store.client(local_keyring("a")), store.object("odd")),
        ] {
            let uri: S3Uri = format!("{uri}/{odd}").parse().expect("a name");
            client.put().uri(&uri).body(odd).send().await.expect(odd);
            let rewrap = client.rewrap().uri(&uri).add_keys(local_keyring("b")).send().await;
            rewrap.unwrap_or_else(|error| panic!("{odd}: {error:?}"));
            assert_eq!(read(&client, &uri).await.expect(odd), odd);
        }
    }
}

/// FORMAT.md W7: keys and generation change, and nothing else.
#[tokio::test]
async fn a_rewrap_keeps_everything_else_about_the_object() {
    let stack = LocalStack::new(east());
    let s3 = stack.s3();
    for (size, in_parts_above) in
        [(1000, WHOLE), (PART + 1000, WHOLE), (1000, IN_PARTS), (PART + 1000, IN_PARTS)]
    {
        let client = stack
            .client_builder([&stack.home.key])
            .part_len(PART)
            .copy_in_parts_above(in_parts_above)
            .build();
        let (uri, data) = (stack.object("kept"), plaintext(size));
        let attributes = Attributes::default()
            .cache_control("max-age=60")
            .content_disposition("attachment; filename=\"a b.pdf\"")
            .content_encoding("gzip")
            .content_language("fr")
            .content_type("application/pdf")
            .expires("Fri, 01 Jan 2100 00:00:00 GMT")
            .storage_class(StorageClass::StandardIa)
            .server_side_encryption(ServerSideEncryption::AwsKms)
            .ssekms_key_id(stack.home.key_2.as_str())
            .bucket_key_enabled(true)
            .tagging("team=blue&cost=1%202")
            .website_redirect_location("/elsewhere");
        let put = client
            .put()
            .uri(&uri)
            .body(data.clone())
            .attributes(attributes)
            .metadata("own", "a  b");
        put.send().await.expect("put");

        let all = || async {
            let head = s3.head_object().bucket(uri.bucket()).key(uri.key());
            let head = head
                .checksum_mode(sealwax_s3::aws_sdk_s3::types::ChecksumMode::Enabled)
                .send()
                .await
                .expect("head");
            let tags = s3
                .get_object_tagging()
                .bucket(uri.bucket())
                .key(uri.key())
                .send()
                .await
                .expect("tags");
            let mut tags: Vec<_> =
                tags.tag_set.into_iter().map(|tag| (tag.key, tag.value)).collect();
            tags.sort_unstable();
            let own = head.metadata().and_then(|metadata| metadata.get("own")).cloned();
            let kind = head.checksum_type.as_ref().map(ToString::to_string);
            let headers = [
                ("cache-control", head.cache_control.clone()),
                ("content-disposition", head.content_disposition.clone()),
                ("content-encoding", head.content_encoding.clone()),
                ("content-language", head.content_language.clone()),
                ("content-type", head.content_type.clone()),
                ("expires", head.expires_string.clone()),
                ("user-defined metadata", own),
                ("redirect", head.website_redirect_location.clone()),
                (
                    "server-side encryption",
                    head.server_side_encryption.as_ref().map(ToString::to_string),
                ),
                ("its key", head.ssekms_key_id.clone()),
                ("bucket key", head.bucket_key_enabled.map(|on| on.to_string())),
                ("storage class", head.storage_class.as_ref().map(ToString::to_string)),
                ("CRC-64/NVME", head.checksum_crc64_nvme.clone()),
                ("its type", kind),
            ];
            (headers, tags)
        };
        let before = all().await;
        for (name, value) in &before.0 {
            assert!(value.is_some(), "{size}: {name} was not stored in the first place");
        }
        client
            .rewrap()
            .uri(&uri)
            .add_keys(stack.keyring([&stack.home.key_2]))
            .send()
            .await
            .expect("rewrap");
        assert_eq!(all().await, before, "{size} bytes, in parts above {in_parts_above}");
        assert!(read(&client, &uri).await.expect("get") == data);
    }
}

#[tokio::test]
async fn a_rewrap_keeps_the_acl_if_the_bucket_has_acls() {
    let stack = LocalStack::new(east());
    let (s3, bucket) = (stack.s3(), unique("acl"));
    let rule = OwnershipControlsRule::builder()
        .object_ownership(ObjectOwnership::ObjectWriter)
        .build()
        .expect("a rule");
    let controls = OwnershipControls::builder().rules(rule).build().expect("controls");
    s3.create_bucket().bucket(&bucket).send().await.expect("a bucket");
    s3.put_bucket_ownership_controls()
        .bucket(&bucket)
        .ownership_controls(controls)
        .send()
        .await
        .expect("ownership");
    s3.delete_public_access_block().bucket(&bucket).send().await.expect("public access");
    s3.put_bucket_acl()
        .bucket(&bucket)
        .acl(BucketCannedAcl::PublicRead)
        .send()
        .await
        .expect("an ACL");
    let acls =
        [ObjectCannedAcl::PublicRead, ObjectCannedAcl::AuthenticatedRead, ObjectCannedAcl::Private];
    for (acl, in_parts_above) in acls.iter().flat_map(|acl| [(acl, WHOLE), (acl, IN_PARTS)]) {
        let client =
            stack.client_builder([&stack.home.key]).copy_in_parts_above(in_parts_above).build();
        let uri: S3Uri = format!("s3://{bucket}/{acl}").parse().expect("a name");
        let put =
            client.put().uri(&uri).body("x").attributes(Attributes::default().acl(acl.clone()));
        put.send().await.expect("put");
        let grants = || async {
            let acl =
                s3.get_object_acl().bucket(&bucket).key(uri.key()).send().await.expect("the ACL");
            let mut grants: Vec<_> =
                acl.grants().iter().map(|grant| format!("{grant:?}")).collect();
            grants.sort_unstable();
            grants
        };
        let before = grants().await;
        assert_eq!(
            before.len(),
            if *acl == ObjectCannedAcl::Private { 1 } else { 2 },
            "{acl}: {before:?}"
        );
        client
            .rewrap()
            .uri(&uri)
            .add_keys(stack.keyring([&stack.home.key_2]))
            .send()
            .await
            .expect("rewrap");
        assert_eq!(grants().await, before, "{acl}, in parts above {in_parts_above}");
    }
}

#[tokio::test]
async fn a_rewrap_keeps_object_lock_settings() {
    let stack = LocalStack::new(east());
    let (s3, bucket) = (stack.s3(), unique("lock"));
    s3.create_bucket()
        .bucket(&bucket)
        .object_lock_enabled_for_bucket(true)
        .send()
        .await
        .expect("a bucket");
    let until = |seconds| DateTime::from(SystemTime::now() + Duration::from_secs(seconds));
    let retention = |seconds| {
        let attributes = Attributes::default().object_lock_mode(ObjectLockMode::Governance);
        attributes.object_lock_retain_until_date(until(seconds))
    };
    let cases = [
        ("retention", retention(86_400)),
        (
            "hold",
            Attributes::default().object_lock_legal_hold_status(ObjectLockLegalHoldStatus::On),
        ),
        ("both", retention(86_400).object_lock_legal_hold_status(ObjectLockLegalHoldStatus::On)),
        // S3 refuses dates in the past, so an expired retention must not be sent.
        ("expired", retention(2)),
    ];
    let both_ways = cases
        .iter()
        .flat_map(|(case, attributes)| [(case, attributes, WHOLE), (case, attributes, IN_PARTS)]);
    for (case, attributes, in_parts_above) in both_ways {
        let client =
            stack.client_builder([&stack.home.key]).copy_in_parts_above(in_parts_above).build();
        let key = format!("{case}-{in_parts_above}");
        let uri: S3Uri = format!("s3://{bucket}/{key}").parse().expect("a name");
        client.put().uri(&uri).body("x").attributes(attributes.clone()).send().await.expect(case);
        if *case == "expired" {
            tokio::time::sleep(Duration::from_secs(3)).await;
        }
        let lock = || async {
            let head = s3.head_object().bucket(&bucket).key(&key).send().await.expect("head");
            (
                head.object_lock_mode,
                head.object_lock_retain_until_date,
                head.object_lock_legal_hold_status,
            )
        };
        let before = lock().await;
        let rewrap =
            client.rewrap().uri(&uri).add_keys(stack.keyring([&stack.home.key_2])).send().await;
        rewrap.unwrap_or_else(|error| panic!("{case}: {error:?}"));
        // LocalStack accepts any date; S3 does not.
        if *case == "expired" {
            let is_copy = |call: &Call| {
                ["CopyObject", "CreateMultipartUpload"].contains(&call.operation.as_str())
            };
            let copy = stack.wire.calls().into_iter().rfind(is_copy).expect("a copy");
            assert_eq!(
                copy.headers.get("x-amz-object-lock-retain-until-date"),
                None,
                "a date of the past was sent"
            );
        } else {
            assert_eq!(lock().await, before, "{case}");
        }
    }
}

/// LocalStack has no event holds, so the wire tells of one.
#[tokio::test]
async fn event_holds_are_kept_and_count_as_locks() {
    const HOLD: &str = "x-amz-object-lock-event-hold";
    let wire = Wire::new(|call| match call.operation.as_str() {
        "HeadObject" | "GetObject" => Reaction::AddHeader(HOLD, "ON".into()),
        _ => Reaction::Pass,
    });
    let stack = LocalStack::over(wire, east());
    let keys = || stack.keyring([&stack.home.key_2]);
    let stored_with = || {
        let stores = ["CopyObject", "CreateMultipartUpload", "PutObject"];
        let mut calls = stack.wire.calls().into_iter();
        let last = calls.rfind(|call| stores.contains(&call.operation.as_str()));
        let last = last.expect("stored");
        (last.operation.clone(), last.headers.get(HOLD).cloned())
    };
    let on = |operation: &str| (operation.to_owned(), Some("ON".to_owned()));
    for (in_parts_above, copies_by) in [(WHOLE, "CopyObject"), (IN_PARTS, "CreateMultipartUpload")]
    {
        let client = stack.client_builder([&stack.home.key]);
        let client = client.copy_in_parts_above(in_parts_above).build();
        let uri = stack.object("held");
        client.put().uri(&uri).body("x").send().await.expect("put");
        assert_eq!(stored_with(), ("PutObject".to_owned(), None));
        client.rewrap().uri(&uri).add_keys(keys()).send().await.expect("rewrap");
        assert_eq!(stored_with(), on(copies_by));
        let copy = client.copy().source_uri(&uri).uri(&stack.object("copy"));
        copy.send().await.expect("copy");
        assert_eq!(stored_with(), on(copies_by));
        client.reencrypt().uri(&uri).send().await.expect("reencrypt");
        assert_eq!(stored_with(), on("PutObject"));
    }
    let client = stack.client_builder([&stack.home.key]).sidecars(SidecarPolicy::read()).build();
    let uri = stack.object("held");
    client.put().uri(&uri).body("x").send().await.expect("put");
    let rewrap = client.rewrap().uri(&uri).add_keys(keys());
    let rewrapped = rewrap.key_storage(KeyStorage::SidecarWhereNeeded).send().await.expect("done");
    assert!(rewrapped.sidecar.is_some(), "a held object was copied");
}

/// Whatever the operation sends: background requests, parts and looks at the bucket included.
#[tokio::test]
async fn headers_go_with_every_request_to_a_bucket() {
    let stack = LocalStack::new(east());
    let headers = RequestHeaders::new().expected_bucket_owner("000000000000").requester_pays();
    for in_parts_above in [WHOLE, IN_PARTS] {
        let client = stack.client_builder([&stack.home.key]).request_headers(headers.clone());
        let client = client.part_len(PART).copy_in_parts_above(in_parts_above).build();
        for len in [10, PART + 10] {
            let (uri, copy, moved) =
                (stack.object("headers"), stack.object("copy"), stack.object("moved"));
            client.put().uri(&uri).body(plaintext(len)).send().await.expect("put");
            client.get().uri(&uri).send().await.expect("get").bytes().await.expect("read");
            client.inspect().uri(&uri).send().await.expect("inspect");
            client.verify().uri(&uri).send().await.expect("verify");
            let add = client.rewrap().uri(&uri).add_keys(stack.keyring([&stack.home.key_2]));
            add.send().await.expect("rewrap");
            client.copy().source_uri(&uri).uri(&copy).send().await.expect("copy");
            let mv = client.copy().source_uri(&copy).uri(&moved).delete_source();
            mv.send().await.expect("move");
            client.reencrypt().uri(&moved).send().await.expect("reencrypt");
            let survey = client.shred().uri(&moved).survey().await.expect("survey");
            assert!(!survey.is_empty());
            client.delete().uri(&moved).send().await.expect("delete");
        }
    }
    let calls = stack.wire.calls().into_iter().filter(|call| call.service == "s3");
    let mut operations = std::collections::BTreeSet::new();
    for call in calls {
        let header = |name: &str| call.headers.get(name).map(String::as_str);
        assert_eq!(header("x-amz-expected-bucket-owner"), Some("000000000000"), "{call:?}");
        assert_eq!(header("x-amz-request-payer"), Some("requester"), "{call:?}");
        let of_source = header("x-amz-copy-source").map(|_| "000000000000");
        assert_eq!(header("x-amz-source-expected-bucket-owner"), of_source, "{call:?}");
        operations.insert(call.operation);
    }
    for operation in [
        "CompleteMultipartUpload",
        "CopyObject",
        "CreateMultipartUpload",
        "DeleteObject",
        "GetBucketOwnershipControls",
        "GetObject",
        "GetObjectTagging",
        "HeadObject",
        "ListObjectVersions",
        "PutObject",
        "UploadPart",
        "UploadPartCopy",
    ] {
        assert!(operations.contains(operation), "no {operation}: {operations:?}");
    }
}

/// Returns a client whose first `CopyObject` waits until another client has done `meanwhile`.
async fn racing(
    meanwhile: impl Fn(SealedClient, S3Uri) -> BoxFuture<'static, ()> + Send + Sync + 'static,
) -> (SealedClient, SealedClient, S3Uri) {
    let quiet = SeaweedFs::new().await;
    let (other, uri) = (quiet.client(local_keyring("a")), quiet.object("race"));
    let rival = (other.clone(), uri.clone());
    let wire = Wire::new(move |call| match (call.operation.as_str(), call.nth) {
        ("CopyObject", 0) => Reaction::Await(meanwhile(rival.0.clone(), rival.1.clone())),
        _ => Reaction::Pass,
    });
    let racer = SeaweedFs::over(wire).await.client(local_keyring("a"));
    (racer, other, uri)
}

#[tokio::test]
async fn a_concurrent_overwrite_wins_over_a_rewrap() {
    let (racer, other, uri) = racing(|rival, uri| {
        async move { drop(rival.put().uri(&uri).body("newer").send().await.expect("overwrite")) }
            .boxed()
    })
    .await;
    other.put().uri(&uri).body("older").send().await.expect("put");
    let rewrap = racer.rewrap().uri(&uri).add_keys(local_keyring("b")).send().await;
    assert_kind(rewrap, ErrorKind::Conflict, &uri, "overwritten meanwhile");
    assert_eq!(read(&other, &uri).await.expect("get"), "newer");
    assert_eq!(other.head().uri(&uri).send().await.expect("head").generation(), 1);
}

#[tokio::test]
async fn a_concurrent_delete_wins_over_a_rewrap() {
    let (racer, other, uri) = racing(|rival, uri| {
        async move { drop(rival.delete().uri(&uri).send().await.expect("delete")) }.boxed()
    })
    .await;
    other.put().uri(&uri).body("x").send().await.expect("put");
    let rewrap = racer.rewrap().uri(&uri).add_keys(local_keyring("b")).send().await;
    assert_kind(rewrap, ErrorKind::NotFound, &uri, "it is gone");
    assert_kind(other.head().uri(&uri).send().await, ErrorKind::NotFound, &uri, "deleted");
}

/// A rewrap changes neither the body nor an MD5 entity tag, so the tag alone cannot tell two apart.
///
/// FORMAT.md W15: both happen in the same second.
#[tokio::test]
async fn concurrent_rewraps_do_not_undo_each_other() {
    let (racer, other, uri) = racing(|rival, uri| {
        async move {
            drop(
                rival.rewrap().uri(&uri).add_keys(local_keyring("c")).send().await.expect("add c"),
            );
        }
        .boxed()
    })
    .await;
    other.put().uri(&uri).body("x").send().await.expect("put");
    let rewrap = racer.rewrap().uri(&uri).add_keys(local_keyring("b")).send().await;
    let head = other.head().uri(&uri).send().await.expect("head");
    let keys = wrapping_keys(head.header().expect("sealed"));
    match rewrap {
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Conflict, "{error:?}");
            assert_eq!(keys, ["a", "c"]);
        }
        Ok(_) => assert_eq!(keys, ["a", "c", "b"], "a key that another rewrap added is lost"),
    }
}

/// A key that an administrator revoked must stay revoked.
#[tokio::test]
async fn a_concurrently_removed_key_does_not_come_back() {
    let (racer, other, uri) = racing(|rival, uri| {
        async move { drop(rival.rewrap().uri(&uri).remove_key("c").send().await.expect("remove c")) }.boxed()
    })
    .await;
    other.put().uri(&uri).body("x").send().await.expect("put");
    other.rewrap().uri(&uri).add_keys(local_keyring("c")).send().await.expect("add c");
    let _ = racer.rewrap().uri(&uri).add_keys(local_keyring("b")).send().await;
    let head = other.head().uri(&uri).send().await.expect("head");
    assert!(
        !wrapping_keys(head.header().expect("sealed")).contains(&"c"),
        "a key that was removed is back"
    );
}

#[tokio::test]
async fn concurrent_metadata_changes_are_not_undone() {
    let (racer, other, uri) = racing(|rival, uri| {
        async move {
            let stored = Stored::fetch(rival.s3(), &uri).await;
            let source = format!("{}/{}", uri.bucket(), uri.key());
            let copy =
                rival.s3().copy_object().copy_source(source).bucket(uri.bucket()).key(uri.key());
            let copy = copy
                .metadata_directive(MetadataDirective::Replace)
                .set_metadata(Some(stored.metadata));
            copy.content_type("text/newer").send().await.expect("another content type");
        }
        .boxed()
    })
    .await;
    other.put().uri(&uri).body("x").content_type("text/older").send().await.expect("put");
    let _ = racer.rewrap().uri(&uri).add_keys(local_keyring("b")).send().await;
    let head = other.head().uri(&uri).send().await.expect("head");
    assert_eq!(head.content_type.as_deref(), Some("text/newer"), "another writer's change is lost");
}

#[tokio::test]
async fn a_lost_response_to_a_rewrap_is_a_success() {
    for losses in [1, usize::MAX] {
        let store = SeaweedFs::over(Wire::new(move |call| {
            match call.operation == "CopyObject" && call.nth < losses {
                true => Reaction::LoseAnswer,
                false => Reaction::Pass,
            }
        }))
        .await;
        let (client, uri) = (store.client(local_keyring("a")), store.object("lost"));
        client.put().uri(&uri).body("x").send().await.expect("put");
        let rewrap =
            client.rewrap().uri(&uri).add_keys(local_keyring("b")).send().await.expect("rewrap");
        let head = client.head().uri(&uri).send().await.expect("head");
        assert_eq!(
            (head.header(), head.generation()),
            (rewrap.header(), 2),
            "{losses} answers lost"
        );
    }
}

#[tokio::test]
async fn a_failed_copy_leaves_the_object_unchanged() {
    for (status, code, kind) in [
        (403, "AccessDenied", ErrorKind::AccessDenied),
        (500, "InternalError", ErrorKind::Unavailable),
    ] {
        let body = format!("<Error><Code>{code}</Code><Message>says S3</Message></Error>");
        let store = SeaweedFs::over(Wire::answering("CopyObject", status, body)).await;
        let (client, uri) = (store.client(local_keyring("a")), store.object("failed"));
        client.put().uri(&uri).body("x").send().await.expect("put");
        let rewrap = client.rewrap().uri(&uri).replace_keys(local_keyring("b")).send().await;
        assert_kind(rewrap, kind, &uri, code);
        assert_eq!(client.head().uri(&uri).send().await.expect("head").generation(), 1);
        assert_eq!(read(&client, &uri).await.expect("get"), "x");
    }
}

#[tokio::test]
async fn the_generation_counts_rewraps() {
    let store = SeaweedFs::new().await;
    let (client, uri) = (store.client(local_keyring("a")), store.object("generation"));
    client.put().uri(&uri).body("x").send().await.expect("put");
    for (generation, name) in (2..).zip(["b", "c", "d"]) {
        let rewrap =
            client.rewrap().uri(&uri).add_keys(local_keyring(name)).send().await.expect("rewrap");
        assert_eq!(rewrap.header().expect("sealed").generation(), generation);
    }
    client.put().uri(&uri).body("y").send().await.expect("put");
    assert_eq!(client.head().uri(&uri).send().await.expect("head").generation(), 1);
}
