//! Objects read back as they were put: every boundary size, every source, every target.

use std::{fs, io, sync::Arc, sync::atomic::AtomicU64, sync::atomic::Ordering};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use sealwax_s3::{
    Attributes, BodyChecksum, ConditionPolicy, ErrorKind, LateConditions, PlaintextSource, S3Uri,
    SealedClient,
    aws_sdk_s3::types::StorageClass,
    envelope::{EncryptionContext, geometry},
    recorded_object,
};
use sealwax_tests::{
    LocalStack, PART, Reaction, SeaweedFs, Stored, Wire, assert_hidden, assert_kind, east,
    local_keyring, plaintext, read, unfinished_uploads, wait_until,
};
use tempfile::TempDir;
use tokio::io::AsyncReadExt as _;

/// Lengths on both sides of a chunk and a part, and of several parts.
const SIZES: [usize; 10] =
    [0, 1, 16_383, 16_384, 16_385, PART - 1, PART, PART + 1, 2 * PART, 2 * PART + 12_345];

fn context() -> EncryptionContext {
    EncryptionContext::try_from_iter([("tenant", "acmé"), ("class", "invoice")]).expect("a context")
}

/// Returns a source of each kind over the same bytes.
fn sources(data: &Bytes, directory: &TempDir) -> [(&'static str, PlaintextSource); 5] {
    let path = directory.path().join("source");
    fs::write(&path, data).expect("a file");
    // Pieces of 0, 1, 2 … bytes, which meet boundaries only by chance.
    let mut rest = data.clone();
    let pieces = (0..).step_by(997).map_while(|len| {
        (len == 0 || !rest.is_empty()).then(|| Ok(rest.split_to(len.min(rest.len()))))
    });
    [
        ("bytes", data.clone().into()),
        ("file", PlaintextSource::file(path)),
        ("reader", PlaintextSource::reader(io::Cursor::new(data.clone()))),
        ("blocking reader", PlaintextSource::blocking_reader(io::Cursor::new(data.clone()))),
        ("stream", PlaintextSource::stream(stream::iter(pieces.collect::<Vec<_>>()))),
    ]
}

async fn assert_round_trip(
    client: &SealedClient,
    uri: &S3Uri,
    source: PlaintextSource,
    data: &Bytes,
    case: &str,
) {
    let is_sequential = matches!(case.rsplit(' ').next(), Some("reader" | "stream"));
    let progress = Arc::new(AtomicU64::new(0));
    let seen = Arc::clone(&progress);
    let put = client.put().uri(uri).body(source).encryption_context(context());
    let put = put.on_progress(move |bytes| {
        seen.fetch_add(bytes, Ordering::Relaxed);
    });
    let put = put.send().await.unwrap_or_else(|error| panic!("{case}: {error:?}"));
    assert_eq!(put.plaintext_len, data.len() as u64, "{case}");
    assert_eq!(progress.load(Ordering::Relaxed), data.len() as u64, "{case}: progress");
    assert_eq!(put.header.plaintext_len(), (!is_sequential).then_some(data.len() as u64), "{case}");

    let got = client.get().uri(uri).encryption_context(context()).send().await.expect(case);
    assert_eq!(got.info().plaintext_len(), data.len() as u64, "{case}");
    assert_eq!(got.info().header(), Some(&put.header), "{case}");
    assert!(got.bytes().await.expect(case) == data, "{case}: other bytes came back");

    let stored =
        client.s3().head_object().bucket(uri.bucket()).key(uri.key()).send().await.expect(case);
    let body_len = geometry::body_len(data.len() as u64).and_then(|len| i64::try_from(len).ok());
    assert_eq!(stored.content_length(), body_len, "{case}");
    assert_eq!(unfinished_uploads(client.s3(), uri).await, 0, "{case}");
}

#[tokio::test]
async fn every_size_and_source_round_trips_on_localstack_with_kms() {
    let (stack, directory) = (LocalStack::new(east()), TempDir::new().expect("a directory"));
    let client = stack.client_builder([&stack.home.key]).part_len(PART).build();
    for size in SIZES {
        let data = plaintext(size);
        for (kind, source) in sources(&data, &directory) {
            assert_round_trip(
                &client,
                &stack.object("size"),
                source,
                &data,
                &format!("{size} bytes from a {kind}"),
            )
            .await;
        }
    }
}

#[tokio::test]
async fn every_size_and_source_round_trips_on_seaweedfs_with_a_local_key() {
    let (store, directory) = (SeaweedFs::new().await, TempDir::new().expect("a directory"));
    let client = store.client_builder(local_keyring("a")).part_len(PART).build();
    for size in SIZES {
        let data = plaintext(size);
        for (kind, source) in sources(&data, &directory) {
            assert_round_trip(
                &client,
                &store.object("size"),
                source,
                &data,
                &format!("{size} bytes from a {kind}"),
            )
            .await;
        }
    }
}

#[tokio::test]
async fn a_put_has_more_parts_than_its_memory_budget() {
    let store = SeaweedFs::new().await;
    let client = store.client_builder(local_keyring("a")).part_len(PART).memory_budget(1).build();
    let (uri, data) = (store.object("budget"), plaintext(4 * PART + 1));
    client.put().uri(&uri).body(data.clone()).send().await.expect("put");
    assert!(read(&client, &uri).await.expect("get") == data);
    assert_eq!(store.wire.operations("s3").iter().filter(|it| *it == "UploadPart").count(), 5);
}

#[tokio::test]
async fn every_target_gets_the_same_bytes() {
    let (store, directory) = (SeaweedFs::new().await, TempDir::new().expect("a directory"));
    let client = store.client(local_keyring("a"));
    for size in [0, 1, 16_384, 100_000, 3 << 20] {
        let (uri, data, path) =
            (store.object("target"), plaintext(size), directory.path().join("target"));
        client.put().uri(&uri).body(data.clone()).send().await.expect("put");
        let get = || async { client.get().uri(&uri).send().await.expect("get") };

        let pieces: Vec<Bytes> = get().await.into_stream().try_collect().await.expect("a stream");
        assert!(
            pieces.iter().all(|piece| (1..=8 << 20).contains(&piece.len())),
            "{size}: the pieces' lengths"
        );
        assert!(pieces.concat() == data, "{size}: a stream");

        let mut read = Vec::new();
        get().await.into_async_read().read_to_end(&mut read).await.expect("a reader");
        assert!(read == data, "{size}: a reader");

        // First as a new file, then over it.
        for _ in 0..2 {
            let info = client.get().uri(&uri).to_file(&path).await.expect("a file");
            assert_eq!(info.plaintext_len(), size as u64);
            assert!(fs::read(&path).expect("the file") == data, "{size}: a file");
        }
        assert_eq!(
            fs::read_dir(&directory).expect("the directory").count(),
            1,
            "{size}: something was left behind"
        );
        fs::remove_file(&path).expect("the file");
    }
}

#[tokio::test]
async fn a_put_and_a_get_cost_one_kms_call_each_and_the_rest_none() {
    let stack = LocalStack::new(east());
    let client = stack.client_builder([&stack.home.key]).part_len(PART).build();
    for size in [10, PART + 1] {
        let uri = stack.object("calls");
        let kms = |operation: &str| vec![(operation.to_owned(), "us-east-1".to_owned())];

        client.put().uri(&uri).body(plaintext(size)).send().await.expect("put");
        assert_eq!(stack.wire.kms(), kms("GenerateDataKey"), "put");
        stack.wire.forget();
        read(&client, &uri).await.expect("get");
        assert_eq!(stack.wire.kms(), kms("Decrypt"), "get");
        assert_eq!(stack.wire.operations("s3"), vec!["GetObject"; size.div_ceil(PART)], "get");
        stack.wire.forget();
        client.head().uri(&uri).send().await.expect("head");
        client.delete().uri(&uri).send().await.expect("delete");
        // A store's first deletion in a bucket is looked at, before and after.
        let expected = match size {
            10 => &["HeadObject", "HeadObject", "DeleteObject", "HeadObject"][..],
            _ => &["HeadObject", "DeleteObject"],
        };
        assert_eq!(stack.wire.operations("s3"), expected);
        assert_eq!(stack.wire.kms(), [], "head and delete");
        assert_kind(client.head().uri(&uri).send().await, ErrorKind::NotFound, &uri, "deleted");
        stack.wire.forget();
    }
}

#[tokio::test]
async fn stored_bytes_show_no_plaintext() {
    let stack = LocalStack::new(east());
    let client = stack.client_builder([&stack.home.key]).part_len(PART).build();
    for data in [plaintext(100_000), plaintext(PART + 50_000), Bytes::from(vec![b'a'; 70_000])] {
        let uri = stack.object("hidden");
        client.put().uri(&uri).body(data.clone()).send().await.expect("put");
        let stored = Stored::fetch(client.s3(), &uri).await;
        assert_hidden(&data, &stored.body);
        // Equal chunks do not look equal.
        let chunk = |n: usize| &stored.body[56 + n * 16_400..][..16_384];
        assert_ne!(chunk(0), chunk(1));
    }
}

/// FORMAT.md W1: each object has a data key of its own.
#[tokio::test]
async fn equal_plaintexts_have_different_keys() {
    let store = SeaweedFs::new().await;
    let (client, uri) = (store.client(local_keyring("a")), store.object("again"));
    let mut bodies = Vec::new();
    for _ in 0..2 {
        client.put().uri(&uri).body("the same").send().await.expect("put");
        bodies.push(Stored::fetch(client.s3(), &uri).await.body);
    }
    assert_ne!(bodies[0][..56], bodies[1][..56]);
    assert_ne!(bodies[0][56..], bodies[1][56..]);
}

#[tokio::test]
async fn attributes_and_metadata_are_stored_by_both_kinds_of_upload() {
    let stack = LocalStack::new(east());
    let client = stack.client_builder([&stack.home.key]).part_len(PART).build();
    for size in [100, PART + 1] {
        let uri = stack.object("attributes");
        let attributes = Attributes::default()
            .cache_control("max-age=60")
            .content_disposition("attachment; filename=\"a b.pdf\"")
            .content_encoding("gzip")
            .content_language("fr")
            .expires("Fri, 01 Jan 2100 00:00:00 GMT")
            .storage_class(StorageClass::StandardIa)
            .tagging("team=blue&cost=1%202");
        let put = client.put().uri(&uri).body(plaintext(size)).attributes(attributes);
        let put =
            put.content_type("application/pdf").metadata("Invoice", "42").metadata("note", "a  b");
        put.send().await.expect("put");

        let info = client.get().uri(&uri).send().await.expect("get").info().clone();
        assert_eq!(info.content_type.as_deref(), Some("application/pdf"));
        assert_eq!(info.storage_class, Some(StorageClass::StandardIa));
        assert_eq!(info.expires.as_deref(), Some("Fri, 01 Jan 2100 00:00:00 GMT"));
        let own = [("invoice", "42"), ("note", "a  b")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(info.metadata, own.into(), "{size}");

        let head = client
            .s3()
            .head_object()
            .bucket(uri.bucket())
            .key(uri.key())
            .send()
            .await
            .expect("head");
        assert_eq!(head.cache_control(), Some("max-age=60"));
        assert_eq!(head.content_disposition(), Some("attachment; filename=\"a b.pdf\""));
        assert_eq!(head.content_encoding(), Some("gzip"));
        assert_eq!(head.content_language(), Some("fr"));
        assert_eq!(head.expires_string(), Some("Fri, 01 Jan 2100 00:00:00 GMT"));
        let tags = client
            .s3()
            .get_object_tagging()
            .bucket(uri.bucket())
            .key(uri.key())
            .send()
            .await
            .expect("tags");
        let mut tags: Vec<_> = tags.tag_set().iter().map(|tag| (tag.key(), tag.value())).collect();
        tags.sort_unstable();
        assert_eq!(tags, [("cost", "1 2"), ("team", "blue")], "{size}");
    }
}

#[tokio::test]
async fn head_reports_all_that_is_known_without_a_key() {
    let stack = LocalStack::new(east());
    let (keys, uri) = ([&stack.home.key, &stack.home.key_2], stack.object("head"));
    let put =
        stack.client(keys).put().uri(&uri).body(plaintext(12_345)).encryption_context(context());
    let put = put.send().await.expect("put");
    let info = stack.client([]).head().uri(&uri).send().await.expect("head");
    assert_eq!(info.plaintext_len(), 12_345);
    assert_eq!(info.encryption_context(), &context());
    assert_eq!(info.generation(), 1);
    assert_eq!(
        info.keys().iter().map(|key| key.wrapping_key()).collect::<Vec<_>>(),
        keys.map(|key| key.as_str())
    );
    assert!(info.keys().iter().all(|key| key.provider() == "aws-kms"));
    let place = format!("{}/{}", uri.bucket(), uri.key());
    assert!(info.keys().iter().all(|key| key.place().is_some_and(|bound| bound.as_str() == place)));
    assert_eq!((info.e_tag, info.version_id), (put.e_tag, put.version_id));
}

#[tokio::test]
async fn older_versions_are_read_by_version_id() {
    let stack = LocalStack::new(east());
    let (client, uri) = (stack.client([&stack.home.key]), stack.object("versions"));
    let old = client
        .put()
        .uri(&uri)
        .body("old")
        .send()
        .await
        .expect("put")
        .version_id
        .expect("a version");
    client.put().uri(&uri).body("newer").send().await.expect("put");
    let get = client.get().uri(&uri).version_id(&old).send().await.expect("get");
    assert_eq!(get.bytes().await.expect("bytes"), "old");
    assert_eq!(
        client.head().uri(&uri).version_id(&old).send().await.expect("head").plaintext_len(),
        3
    );
    client.delete().uri(&uri).version_id(&old).send().await.expect("delete");
    assert_kind(
        client.head().uri(&uri).version_id(&old).send().await,
        ErrorKind::NotFound,
        &uri,
        "a deleted version",
    );
    assert_eq!(read(&client, &uri).await.expect("get"), "newer");
}

#[tokio::test]
async fn a_put_writes_nothing_if_its_condition_fails() {
    let store = SeaweedFs::new().await;
    let client = store.client_builder(local_keyring("a")).part_len(PART).build();
    for size in [10, PART + 1] {
        let (uri, data, other) = (store.object("conditions"), plaintext(size), plaintext(size + 1));
        let put = |data: &Bytes| client.put().uri(&uri).body(data.clone());
        let first = put(&data).if_none_match("*").send().await.expect("no object exists yet");
        assert_kind(
            put(&other).if_none_match("*").send().await,
            ErrorKind::Conflict,
            &uri,
            "if-none-match",
        );
        assert_kind(
            put(&other).if_match("\"0123\"").send().await,
            ErrorKind::Conflict,
            &uri,
            "if-match",
        );
        assert!(
            read(&client, &uri).await.expect("get") == data,
            "a refused put changed the object"
        );
        assert_eq!(unfinished_uploads(client.s3(), &uri).await, 0);

        let e_tag = first.e_tag.expect("an entity tag");
        put(&other).if_match(&e_tag).send().await.expect("the entity tag matches");
        assert!(read(&client, &uri).await.expect("get") == other);
        let get = client.get().uri(&uri).if_match(&e_tag).send().await;
        assert_kind(get, ErrorKind::Conflict, &uri, "get if-match");
    }
}

/// The conditions are known when the plaintext has ended, as those of a multipart upload's completion.
#[tokio::test]
async fn late_conditions_hold() {
    let store = SeaweedFs::new().await;
    let client = store.client_builder(local_keyring("a")).part_len(PART).build();
    for size in [10, PART + 1] {
        let (uri, data) = (store.object("late"), plaintext(size));
        let put = |if_none_match: Option<&str>, body: Bytes| {
            let late = LateConditions::default();
            let (set, if_none_match) = (late.clone(), if_none_match.map(str::to_owned));
            let end = stream::once(async move {
                set.set(None, if_none_match);
                Ok(Bytes::new())
            });
            let body = PlaintextSource::stream(stream::iter([Ok(body)]).chain(end));
            client.put().uri(&uri).body(body).late_conditions(&late).send()
        };
        put(Some("*"), data.clone()).await.expect("no object exists yet");
        let refused = put(Some("*"), plaintext(size + 1)).await;
        assert_kind(refused, ErrorKind::Conflict, &uri, "late");
        assert!(read(&client, &uri).await.expect("get") == data);
        assert_eq!(unfinished_uploads(client.s3(), &uri).await, 0);
        put(None, plaintext(size + 1)).await.expect("without a condition");
    }
}

#[tokio::test]
async fn a_recorded_upload_can_be_aborted_from_its_record() {
    let store = SeaweedFs::new().await;
    let client = store.client_builder(local_keyring("a")).part_len(PART).build();
    let (uri, directory) = (store.object("recorded"), TempDir::new().expect("a directory"));
    let record = directory.path().join("record.upload");
    // A put that ends leaves no record.
    let body = || PlaintextSource::stream(stream::iter([Ok(plaintext(PART + 1))]));
    client.put().uri(&uri).body(body()).record(&record).send().await.expect("stored");
    assert!(!record.exists());
    assert_eq!(recorded_object(&record).await.expect("no file"), None);

    let endless = stream::iter([Ok(plaintext(2 * PART))]).chain(stream::pending());
    let other = store.client_builder(local_keyring("a")).part_len(PART).build();
    let put = other.put().uri(&uri).body(PlaintextSource::stream(endless)).record(&record).send();
    let kept = directory.path().join("kept.upload");
    let in_progress = async {
        wait_until("a part is stored", || async { record.exists() }).await;
        let locked = recorded_object(&record).await.expect_err("its upload is in progress");
        assert_eq!(locked.kind(), ErrorKind::Locked);
        // As a process that is killed leaves it.
        fs::copy(&record, &kept).expect("copied");
    };
    tokio::select! {
        put = put => panic!("it is endless: {put:?}"),
        () = in_progress => {}
    }
    assert_eq!(recorded_object(&kept).await.expect("a record"), Some(uri.clone()));
    other.settle().await;
    assert_eq!(unfinished_uploads(client.s3(), &uri).await, 0, "a dropped put is aborted");
    // The store may answer that it does not have the upload any more.
    client.abort_unfinished(&uri, &kept).await.expect("aborted, or gone");
    assert!(!kept.exists());
}

#[tokio::test]
async fn a_slow_stream_has_short_pieces_and_the_same_bytes() {
    let store = SeaweedFs::new().await;
    let client = store.client_builder(local_keyring("a")).part_len(PART).build();
    for size in [0, 1, PART, 3 * PART + 5] {
        let (uri, data) = (store.object("slow"), plaintext(size));
        client.put().uri(&uri).body(data.clone()).send().await.expect("stored");
        for range in [0..size as u64, 0..1, (size / 2) as u64..size as u64] {
            let (start, end) = (range.start as usize, (range.end as usize).min(size));
            if start >= end && size > 0 {
                continue;
            }
            let get = client.get().uri(&uri);
            let get = if size == 0 { get } else { get.range(range) };
            let pieces = get.send().await.expect("found").into_slow_stream();
            let pieces: Vec<Bytes> = pieces.try_collect().await.expect("verified");
            assert!(pieces.iter().all(|piece| piece.len() <= 256 << 10), "{size}");
            assert!(pieces.concat() == data[start..end], "{size}: {start}..{end}");
        }
    }
}

#[tokio::test]
async fn many_objects_are_deleted_with_one_request() {
    let store = SeaweedFs::new().await;
    let client = store.client(local_keyring("a"));
    let first = store.object("batch");
    let (bucket, key) = (first.bucket(), first.key());
    let keys = [key.to_owned(), format!("{key} &<>\"' ä"), format!("{key}-missing")];
    for key in &keys[..2] {
        let put = client.put().bucket(bucket).key(key).body("x");
        put.send().await.expect("stored");
    }
    store.wire.forget();
    let mut batch = client.delete_batch(bucket);
    for key in &keys {
        batch = batch.object(key);
    }
    let results = batch.send().await.expect("answered");
    assert_eq!(results.len(), 3);
    for result in results {
        result.expect("deleted, or never there");
    }
    assert_eq!(store.wire.operations("s3"), ["POST delete"]);
    for key in &keys {
        let head = client.head().bucket(bucket).key(key).send().await;
        let uri = S3Uri::new(bucket, key).expect("a name");
        assert_kind(head, ErrorKind::NotFound, &uri, "deleted");
    }
    let mut too_many = client.delete_batch(bucket);
    for number in 0..1_001 {
        too_many = too_many.object(format!("{number}"));
    }
    let refused = too_many.send().await.map(drop).expect_err("too many");
    assert_eq!(refused.kind(), ErrorKind::InvalidInput);
}

/// Each object gets what the store said about it, and one that the store did not name has failed.
#[tokio::test]
async fn a_batch_of_deletions_has_a_result_for_each_object() {
    let answer = "<DeleteResult><Deleted><Key>one</Key></Deleted><Error><Key>two</Key>\
                  <Code>AccessDenied</Code><Message>no</Message></Error></DeleteResult>";
    let store = SeaweedFs::over(Wire::answering("POST delete", 200, answer)).await;
    let client = store.client(local_keyring("a"));
    let bucket = store.object("results").bucket().to_owned();
    let batch = client.delete_batch(&bucket).object("one").object("two").object("three");
    let kinds: Vec<_> = batch
        .send()
        .await
        .expect("answered")
        .into_iter()
        .map(|result| result.map(drop).map_err(|error| error.kind()))
        .collect();
    assert_eq!(kinds, [Ok(()), Err(ErrorKind::AccessDenied), Err(ErrorKind::Service)]);
}

/// A conflict with a concurrent write is neither a failed condition nor a reason to give up.
#[tokio::test]
async fn a_conditional_put_is_retried_after_a_conflict() {
    let conflict = "<Error><Code>ConditionalRequestConflict</Code></Error>";
    for (conflicts, expected) in [(2, true), (usize::MAX, false)] {
        let wire =
            Wire::new(move |call| match call.operation == "PutObject" && call.nth < conflicts {
                true => Reaction::Answer(409, conflict.into()),
                false => Reaction::Pass,
            });
        let store = SeaweedFs::over(wire).await;
        let uri = store.object("conflict");
        // The conflicts are to meet the put itself, and no proof that the store honours conditions.
        let client = store.client_builder(local_keyring("a")).conditions(ConditionPolicy::Trust);
        let client = client.build();
        let put = client.put().uri(&uri).body("x").if_none_match("*").send().await;
        if expected {
            put.expect("stored in the end");
            assert_eq!(read(&client, &uri).await.expect("get"), "x");
        } else {
            assert_kind(put, ErrorKind::Conflict, &uri, "for ever");
            assert_kind(
                client.head().uri(&uri).send().await,
                ErrorKind::NotFound,
                &uri,
                "nothing was stored",
            );
        }
    }
}

#[tokio::test]
async fn a_server_without_checksums_gets_none() {
    for (checksum, expected) in [(BodyChecksum::Crc64Nvme, true), (BodyChecksum::None, false)] {
        let store = SeaweedFs::new().await;
        let client =
            store.client_builder(local_keyring("a")).part_len(PART).checksum(checksum).build();
        for size in [10, PART + 1] {
            let (uri, data) = (store.object("checksum"), plaintext(size));
            client.put().uri(&uri).body(data.clone()).send().await.expect("put");
            assert!(read(&client, &uri).await.expect("get") == data);
        }
        for call in store.wire.calls().iter().filter(|call| call.operation != "GetObject") {
            let named = call.headers.keys().any(|name| name.contains("checksum"));
            assert_eq!(named, expected && call.operation != "HeadObject", "{checksum:?}: {call:?}");
            assert!(!call.headers.contains_key("content-encoding"), "{call:?}");
        }
    }
}

/// CRC-64/NVME, bit by bit. (Catalogue of parametrised CRC algorithms.)
fn crc64_nvme(bytes: &[u8]) -> u64 {
    let reflected = 0xad93_d235_94c9_3659_u64.reverse_bits();
    !bytes.iter().fold(u64::MAX, |crc, byte| {
        (0..8).fold(crc ^ u64::from(*byte), |crc, _| (crc >> 1) ^ ((crc & 1) * reflected))
    })
}

/// The checksums are computed while the bytes are sealed, and must be those of the stored bytes.
#[tokio::test]
async fn checksums_that_are_sent_are_those_of_the_stored_bytes() {
    assert_eq!(crc64_nvme(b"123456789"), 0xae8b_1486_0a79_9888);
    let directory = TempDir::new().expect("a directory");
    let (store, stack) = (SeaweedFs::new().await, LocalStack::new(east()));
    let (own, compatible) = (store.client(local_keyring("a")), stack.client([&stack.home.key]));
    for size in [0, 10, 16_384, 100_000, PART, PART + 1] {
        let data = plaintext(size);
        for (kind, source) in sources(&data, &directory) {
            store.wire.forget();
            let uri = store.object("summed");
            own.put().uri(&uri).body(source).send().await.expect(kind);
            let stored = Stored::fetch(&store.s3(), &uri).await.body;
            assert_checksums(&store.wire, &stored, &format!("{size} bytes from a {kind}"));
        }
        stack.wire.forget();
        let uri = stack.object("summed");
        compatible.put().uri(&uri).body(data).s3ec().send().await.expect("put");
        let stored = Stored::fetch(&stack.s3(), &uri).await.body;
        assert_checksums(&stack.wire, &stored, &format!("{size} bytes in another format"));
    }
}

/// Compares the checksums of the requests that stored `stored` with those of their bytes.
fn assert_checksums(wire: &Wire, stored: &[u8], case: &str) {
    let mut calls = wire.calls();
    calls.retain(|call| ["PutObject", "UploadPart"].contains(&call.operation.as_str()));
    calls.sort_by_key(|call| call.part);
    let mut rest = stored;
    for call in calls {
        let (body, after) = rest.split_at(call.body_len);
        let expected = STANDARD.encode(crc64_nvme(body).to_be_bytes());
        let sent = call.headers.get("x-amz-checksum-crc64nvme");
        assert_eq!(sent, Some(&expected), "{case}: part {:?}", call.part);
        rest = after;
    }
    assert!(rest.is_empty(), "{case}");
}

#[tokio::test]
async fn objects_with_unusual_names_round_trip() {
    let (stack, store) = (LocalStack::new(east()), SeaweedFs::new().await);
    let clients = [
        (stack.client([&stack.home.key]), stack.object("odd")),
        (store.client(local_keyring("a")), store.object("odd")),
    ];
    for (client, uri) in clients {
        for odd in [
            "a b+c é/%?&=#.txt",
            "%2F%20",
            "a//b",
            "quote\"back\\slash'",
            "日本語",
            "~!@$^*(){}[]|;:,<>",
        ] {
            let uri: S3Uri = format!("{uri}/{odd}").parse().expect("a name");
            client
                .put()
                .uri(&uri)
                .body(odd)
                .send()
                .await
                .unwrap_or_else(|error| panic!("{odd}: {error:?}"));
            assert_eq!(
                read(&client, &uri).await.unwrap_or_else(|error| panic!("{odd}: {error:?}")),
                odd
            );
        }
    }
}

#[tokio::test]
async fn text_is_returned_as_text() {
    let stack = LocalStack::new(east());
    let (client, uri) = (stack.client([&stack.home.key]), stack.object("text"));
    client.put().uri(&uri).body("größer").send().await.expect("put");
    let get = || client.get().uri(&uri);
    let text = get().send().await.expect("get").text().await.expect("text");
    assert_eq!(text, "größer");
    let half = get().range(..3).send().await.expect("get").text().await;
    assert_kind(half, ErrorKind::InvalidInput, &uri, "the range ends inside of a character");
}
