//! Sidecars: keys beside an object, used only if the object's own keys do not open it.

use std::collections::BTreeMap;

use futures_util::FutureExt as _;
use sealwax_jobs::rewrap::{Action, plan_one};
use sealwax_s3::{
    Attributes, ErrorKind, KeyChanges, KeyStorage, ListedObject, MetadataWay, S3Uri, SealedClient,
    SidecarPolicy,
    aws_sdk_s3::Client,
    aws_sdk_s3::types::ObjectLockLegalHoldStatus,
    envelope::ObjectHeader,
    envelope::metadata::{self, SIDECAR_LIMIT},
};
use sealwax_tests::{
    LocalStack, Reaction, SeaweedFs, Stored, Wire, assert_kind, east, local_keyring, read, unique,
};

fn beside(uri: &S3Uri) -> S3Uri {
    format!("{uri}.sealwax").parse().expect("a name")
}

/// Stores a sidecar as anyone with write access to the bucket can.
async fn store(s3: &Client, uri: &S3Uri, sidecar: impl Into<Vec<u8>>) {
    let put = s3.put_object().bucket(uri.bucket()).key(beside(uri).key());
    let put = put.content_type("application/vnd.sealwax.sidecar+json").body(sidecar.into().into());
    put.send().await.expect("a sidecar");
}

async fn exists(s3: &Client, uri: &S3Uri) -> bool {
    s3.head_object().bucket(uri.bucket()).key(uri.key()).send().await.is_ok()
}

/// Puts an object under the key `a`. Returns its header as rewrapped to `b`.
async fn under_a(store: &SeaweedFs, name: &str) -> (S3Uri, ObjectHeader) {
    let (client, uri) = (store.client(local_keyring("a")), store.object(name));
    client.put().uri(&uri).body("x").send().await.expect("put");
    let before = Stored::fetch(client.s3(), &uri).await;
    let rewrap =
        client.rewrap().uri(&uri).replace_keys(local_keyring("b")).send().await.expect("rewrap");
    before.store(client.s3(), &uri).await;
    (uri, rewrap.header().expect("ours").clone())
}

fn reader(store: &SeaweedFs, key: &str, sidecars: SidecarPolicy) -> SealedClient {
    store.client_builder(local_keyring(key)).sidecars(sidecars).build()
}

fn gets(store: &SeaweedFs) -> usize {
    store.wire.operations("s3").iter().filter(|operation| *operation == "GetObject").count()
}

/// FORMAT.md R16: only if the policy allows it, and only if the object's own keys do not open it.
#[tokio::test]
async fn a_sidecar_is_read_if_the_policy_allows_it_and_the_metadata_does_not_open() {
    let store = SeaweedFs::new().await;
    let (uri, header) = under_a(&store, "policy").await;
    let absent = read(&reader(&store, "b", SidecarPolicy::read()), &uri).await;
    assert_kind(absent, ErrorKind::NoMatchingKey, &uri, "no sidecar exists");
    self::store(
        &store.client(local_keyring("a")).s3().clone(),
        &uri,
        header.to_sidecar().expect("a sidecar"),
    )
    .await;

    for (key, policy, requests, opens) in [
        ("a", SidecarPolicy::off(), 1, true),
        ("a", SidecarPolicy::read(), 1, true),
        ("b", SidecarPolicy::off(), 1, false),
        ("b", SidecarPolicy::read(), 2, true),
        ("b", SidecarPolicy::with_suffix(".sealwax"), 2, true),
        ("b", SidecarPolicy::with_suffix(".keys"), 2, false),
        ("c", SidecarPolicy::read(), 2, false),
    ] {
        let case = format!("{key}, {policy:?}");
        let client = reader(&store, key, policy);
        store.wire.forget();
        let got = read(&client, &uri).await;
        assert_eq!(gets(&store), requests, "{case}");
        let verified = client.verify().uri(&uri).send().await;
        if opens {
            assert_eq!(got.expect(&case), "x");
            verified.expect(&case);
        } else {
            assert_kind(got, ErrorKind::NoMatchingKey, &uri, &case);
            assert_kind(verified, ErrorKind::NoMatchingKey, &uri, &case);
        }
    }
}

/// FORMAT.md R17, R18, R19: a forged sidecar, a damaged one and one for another body open nothing.
#[tokio::test]
async fn a_forged_or_foreign_sidecar_opens_nothing() {
    let store = SeaweedFs::new().await;
    let ((uri, header), (other, of_other)) =
        (under_a(&store, "forged").await, under_a(&store, "other").await);
    let s3 = store.s3();
    let client = reader(&store, "b", SidecarPolicy::read());
    let fine = header.to_sidecar().expect("a sidecar");

    // Another object's keys under this object's header: their data key does not match the
    // commitment.
    let mut forged: BTreeMap<_, _> = header.to_metadata().into_iter().collect();
    forged.extend(of_other.to_metadata().into_iter().filter(|(name, _)| *name == metadata::KEYS));
    let forged = serde_json::to_string(&forged).expect("texts");
    let moved = format!("{}/{}", other.bucket(), other.key());
    let accepting = async || {
        let get = client.get().uri(&uri).accept_place(&moved).send().await;
        get.map(drop)
    };
    for (case, sidecar, kind) in [
        ("of another object", of_other.to_sidecar().expect("a sidecar"), ErrorKind::NoMatchingKey),
        ("another object's keys", forged, ErrorKind::NoMatchingKey),
        ("blank", format!(" {fine}"), ErrorKind::NoMatchingKey),
        ("empty", String::new(), ErrorKind::NoMatchingKey),
        ("not JSON", "x".into(), ErrorKind::NoMatchingKey),
        ("too long", "x".repeat(SIDECAR_LIMIT + 1), ErrorKind::NoMatchingKey),
        ("huge", "x".repeat(20 << 20), ErrorKind::NoMatchingKey),
    ] {
        self::store(&s3, &uri, sidecar).await;
        assert_kind(read(&client, &uri).await, kind, &uri, case);
        assert_kind(accepting().await, kind, &uri, case);
    }
    self::store(&s3, &uri, fine).await;
    assert_eq!(read(&client, &uri).await.expect("the true one"), "x");
}

#[tokio::test]
async fn a_new_object_is_not_confused_by_an_old_sidecar() {
    let store = SeaweedFs::new().await;
    let (uri, header) = under_a(&store, "stale").await;
    self::store(&store.s3(), &uri, header.to_sidecar().expect("a sidecar")).await;
    store.client(local_keyring("a")).put().uri(&uri).body("newer").send().await.expect("put");
    let a = reader(&store, "a", SidecarPolicy::read());
    assert_eq!(read(&a, &uri).await.expect("by its own key"), "newer");
    let b = reader(&store, "b", SidecarPolicy::read());
    assert_kind(
        read(&b, &uri).await,
        ErrorKind::NoMatchingKey,
        &uri,
        "a sidecar of the older body",
    );
}

/// S3 responds with 403 instead of 404 to a caller who may not list the bucket.
#[tokio::test]
async fn an_error_names_the_permission_to_look_for_sidecars() {
    let wire = Wire::new(|call| match call.uri.contains(".sealwax") {
        true => Reaction::Answer(403, "<Error><Code>AccessDenied</Code></Error>".into()),
        false => Reaction::Pass,
    });
    let store = SeaweedFs::over(wire).await;
    let uri = store.object("denied");
    let client = reader(&store, "a", SidecarPolicy::read());
    client.put().uri(&uri).body("x").send().await.expect("put");
    assert_eq!(read(&client, &uri).await.expect("its own keys open it"), "x");
    let rewrap =
        client.rewrap().uri(&uri).add_keys(local_keyring("b")).send().await.expect_err("denied");
    let other = read(&reader(&store, "b", SidecarPolicy::read()), &uri).await.expect_err("denied");
    let delete = client.delete().uri(&uri).send().await.expect_err("denied");
    for (error, kind) in [
        (rewrap, ErrorKind::AccessDenied),
        (delete, ErrorKind::AccessDenied),
        (other, ErrorKind::NoMatchingKey),
    ] {
        assert_eq!(error.kind(), kind);
        assert!(error.to_string().contains("s3:ListBucket"), "{error}");
    }
}

#[tokio::test]
async fn a_delete_removes_the_sidecar_and_nothing_else() {
    let store = SeaweedFs::new().await;
    let s3 = store.s3();
    let (uri, header) = under_a(&store, "delete").await;
    let sidecar = header.to_sidecar().expect("a sidecar");
    self::store(&s3, &uri, sidecar.clone()).await;
    reader(&store, "a", SidecarPolicy::off()).delete().uri(&uri).send().await.expect("delete");
    assert!(exists(&s3, &beside(&uri)).await, "this client knows of no sidecars");
    let client = reader(&store, "a", SidecarPolicy::read());
    client.delete().uri(&uri).send().await.expect("delete");
    assert!(!exists(&s3, &beside(&uri)).await, "its sidecar");
    client.delete().uri(&uri).send().await.expect("delete what is not there");

    // A user's file that happens to have that name.
    let own = beside(&uri);
    super::store_plain(&s3, &own, &[]).await;
    client.delete().uri(&uri).send().await.expect("delete");
    assert!(exists(&s3, &own).await, "a file that is not a sidecar was deleted");
}

fn names(header: &ObjectHeader) -> Vec<&str> {
    header.keys().iter().map(|key| key.wrapping_key()).collect()
}

/// FORMAT.md W16, W17: the object stays unchanged.
#[tokio::test]
async fn a_rewrap_to_a_sidecar_leaves_the_object_unchanged() {
    let store = SeaweedFs::new().await;
    let (client, uri) = (store.client(local_keyring("a")), store.object("rewrap"));
    client.put().uri(&uri).body("x").send().await.expect("put");
    let before = Stored::fetch(client.s3(), &uri).await;
    let add = |name: &str| {
        client.rewrap().uri(&uri).add_keys(local_keyring(name)).key_storage(KeyStorage::Sidecar)
    };

    store.wire.forget();
    let rewrap = add("b").send().await.expect("rewrap");
    // The second look shows that the object is still the one whose keys were stored.
    assert_eq!(store.wire.operations("s3"), ["HeadObject", "GetObject", "PutObject", "HeadObject"]);
    assert_eq!((names(rewrap.header().expect("ours")), rewrap.generation()), (vec!["a", "b"], 2));
    assert_eq!(rewrap.sidecar.as_deref(), Some(beside(&uri).key()));
    assert_eq!(Stored::fetch(client.s3(), &uri).await, before);
    assert_eq!(
        read(&reader(&store, "b", SidecarPolicy::read()), &uri).await.expect("by the sidecar"),
        "x"
    );
    assert!(!add("b").send().await.expect("again").rewrapped);

    let rewrap = add("c").send().await.expect("one more");
    assert_eq!(
        (names(rewrap.header().expect("ours")), rewrap.generation()),
        (vec!["a", "b", "c"], 3)
    );
    let without_b =
        client.rewrap().uri(&uri).remove_key("b").key_storage(KeyStorage::Sidecar).send().await;
    assert_eq!(names(without_b.expect("a key of the sidecar").header().expect("ours")), ["a", "c"]);
    let without_a =
        client.rewrap().uri(&uri).remove_key("a").key_storage(KeyStorage::Sidecar).send().await;
    assert_kind(without_a, ErrorKind::Unsupported, &uri, "it stays in the metadata");
    assert_eq!(Stored::fetch(client.s3(), &uri).await, before);

    // A new object makes the sidecar stale, and the next sidecar replaces it.
    client.put().uri(&uri).body("newer").send().await.expect("put");
    let rewrap = add("b").send().await.expect("rewrap");
    assert_eq!((names(rewrap.header().expect("ours")), rewrap.generation()), (vec!["a", "b"], 2));
    assert_eq!(
        read(&reader(&store, "b", SidecarPolicy::read()), &uri).await.expect("by the sidecar"),
        "newer"
    );
}

/// What others do to an object while new keys of it are written to a sidecar.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Meanwhile {
    Shredded,
    Deleted,
    Replaced,
}

/// Keys beside an object that was shredded would undo that, and keys of an older body are none of the
/// new object: nothing of either is reported as done.
#[tokio::test]
async fn an_object_that_changes_meanwhile_keeps_no_sidecar_of_what_it_was() {
    for (meanwhile, extends) in [
        (Meanwhile::Shredded, false),
        (Meanwhile::Deleted, false),
        (Meanwhile::Replaced, false),
        (Meanwhile::Shredded, true),
        (Meanwhile::Replaced, true),
    ] {
        let case = format!("{meanwhile:?}, of a sidecar: {extends}");
        let rival = SeaweedFs::new().await;
        let (other, uri) = (rival.client(local_keyring("a")), rival.object("meanwhile"));
        let act = {
            let (other, uri) = (other.clone(), uri.clone());
            move || {
                let (other, uri) = (other.clone(), uri.clone());
                async move {
                    match meanwhile {
                        Meanwhile::Shredded => {
                            let shred = other.shred().uri(&uri).confirm(uri.to_string());
                            shred.send().await.map(drop).expect("shredded");
                        }
                        Meanwhile::Deleted => {
                            other.delete().uri(&uri).send().await.map(drop).expect("deleted");
                        }
                        Meanwhile::Replaced => {
                            let put = other.put().uri(&uri).body("newer");
                            put.send().await.map(drop).expect("put");
                        }
                    }
                }
            }
        };
        let wire = Wire::new(move |call| match call.operation.as_str() {
            "PutObject" if call.nth == 0 => Reaction::Await(act().boxed()),
            _ => Reaction::Pass,
        });
        let store = SeaweedFs::over(wire).await;
        other.put().uri(&uri).body("x").send().await.expect("put");
        if extends {
            let rewrap = other.rewrap().uri(&uri).add_keys(local_keyring("c"));
            rewrap.key_storage(KeyStorage::Sidecar).send().await.expect("a sidecar");
        }
        let client = store.client(local_keyring("a"));
        let rewrap = client.rewrap().uri(&uri).add_keys(local_keyring("b"));
        let rewrapped = rewrap.key_storage(KeyStorage::Sidecar).send().await;
        assert_kind(rewrapped, ErrorKind::Conflict, &uri, &case);
        // Without versions, keys that were there before stay.
        let is_left = extends && meanwhile == Meanwhile::Replaced;
        assert_eq!(exists(&rival.s3(), &beside(&uri)).await, is_left, "{case}");
    }
}

#[tokio::test]
async fn a_copy_moves_the_sidecars_keys_into_the_object() {
    let store = SeaweedFs::new().await;
    let (uri, header) = under_a(&store, "fold").await;
    self::store(&store.s3(), &uri, header.to_sidecar().expect("a sidecar")).await;
    // This client reaches the data key only through the sidecar.
    let b = reader(&store, "b", SidecarPolicy::read());
    let rewrap = b.rewrap().uri(&uri).add_keys(local_keyring("c")).send().await.expect("rewrap");
    assert_eq!(
        (names(rewrap.header().expect("ours")), rewrap.generation()),
        (vec!["a", "b", "c"], 3)
    );
    assert_eq!(
        read(&reader(&store, "c", SidecarPolicy::off()), &uri).await.expect("without a sidecar"),
        "x"
    );
}

#[tokio::test]
async fn one_of_two_concurrent_writers_of_a_sidecar_wins() {
    for first in [true, false] {
        let quiet = SeaweedFs::new().await;
        let (other, uri) = (quiet.client(local_keyring("a")), quiet.object("race"));
        let rival = (other.clone(), uri.clone());
        let store = SeaweedFs::over(Wire::new(move |call| {
            match call.operation == "PutObject" && call.nth == 0 {
                true => {
                    let (rival, uri) = rival.clone();
                    let add = async move {
                        let add = rival
                            .rewrap()
                            .uri(&uri)
                            .add_keys(local_keyring("c"))
                            .key_storage(KeyStorage::Sidecar);
                        add.send().await.expect("add c");
                    };
                    Reaction::Await(add.boxed())
                }
                false => Reaction::Pass,
            }
        }))
        .await;
        other.put().uri(&uri).body("x").send().await.expect("put");
        if !first {
            let add = other
                .rewrap()
                .uri(&uri)
                .add_keys(local_keyring("d"))
                .key_storage(KeyStorage::Sidecar);
            add.send().await.expect("a sidecar exists");
        }
        let racer = store.client(local_keyring("a"));
        let rewrap = racer
            .rewrap()
            .uri(&uri)
            .add_keys(local_keyring("b"))
            .key_storage(KeyStorage::Sidecar)
            .send()
            .await;
        assert!(
            rewrap.is_err_and(|error| error.kind() == ErrorKind::Conflict),
            "the first sidecar: {first}"
        );
        assert_eq!(
            read(&reader(&quiet, "c", SidecarPolicy::read()), &uri).await.expect("the rival's"),
            "x"
        );
    }
}

#[tokio::test]
async fn an_object_that_is_not_a_sidecar_is_not_overwritten() {
    let store = SeaweedFs::new().await;
    let (client, uri) = (store.client(local_keyring("a")), store.object("occupied"));
    client.put().uri(&uri).body("x").send().await.expect("put");
    super::store_plain(client.s3(), &beside(&uri), &[]).await;
    let rewrap = client
        .rewrap()
        .uri(&uri)
        .add_keys(local_keyring("b"))
        .key_storage(KeyStorage::Sidecar)
        .send()
        .await;
    assert_kind(rewrap, ErrorKind::Malformed, &beside(&uri), "something of the user's own");
    assert_eq!(Stored::fetch(client.s3(), &beside(&uri)).await.body, "plain");
}

#[tokio::test]
async fn a_lost_response_to_a_sidecar_write_is_a_success() {
    let store =
        SeaweedFs::over(Wire::new(|call| match call.operation == "PutObject" && call.nth > 0 {
            true => Reaction::LoseAnswer,
            false => Reaction::Pass,
        }))
        .await;
    let (client, uri) = (store.client(local_keyring("a")), store.object("lost"));
    client.put().uri(&uri).body("x").send().await.expect("put");
    let rewrap = client
        .rewrap()
        .uri(&uri)
        .add_keys(local_keyring("b"))
        .key_storage(KeyStorage::Sidecar)
        .send()
        .await;
    assert_eq!(names(rewrap.expect("the sidecar is stored").header().expect("ours")), ["a", "b"]);
}

#[tokio::test]
async fn locked_objects_get_a_sidecar_and_others_a_copy() {
    let stack = LocalStack::new(east());
    let bucket = unique("sidecar-lock");
    stack
        .s3()
        .create_bucket()
        .bucket(&bucket)
        .object_lock_enabled_for_bucket(true)
        .send()
        .await
        .expect("a bucket");
    let client = stack.client([&stack.home.key]);
    let hold = Attributes::default().object_lock_legal_hold_status(ObjectLockLegalHoldStatus::On);
    let edits = || KeyChanges::new().add_keys(stack.keyring([&stack.home.key_2]));
    let rewrapper =
        client.rewrapper(edits()).expect("an edit").key_storage(KeyStorage::SidecarWhereNeeded);
    for (name, attributes, way) in
        [("locked", hold, MetadataWay::Sidecar), ("free", Attributes::default(), MetadataWay::Copy)]
    {
        let uri: S3Uri = format!("s3://{bucket}/{name}").parse().expect("a name");
        let put =
            client.put().uri(&uri).body("x").attributes(attributes).send().await.expect("put");
        let planned = plan_one(&rewrapper, &ListedObject::new(&bucket, name)).await;
        let Action::Rewrap { metadata, .. } = planned.action else { panic!("{name}: {planned:?}") };
        assert_eq!(metadata, way, "{name}");
        let done = rewrapper.rewrap_one(&ListedObject::new(&bucket, name)).await;
        assert!(done.error().is_none(), "{name}: {done:?}");
        let is_as_it_was =
            client.head().uri(&uri).send().await.expect("head").version_id == put.version_id;
        assert_eq!(is_as_it_was, way == MetadataWay::Sidecar, "{name}");
        let other =
            stack.client_builder([&stack.home.key_2]).sidecars(SidecarPolicy::read()).build();
        assert_eq!(read(&other, &uri).await.expect("by the new key"), "x", "{name}");
    }
}
