//! Ranges of an object: verified bytes, and no more of the body fetched than needed.

use std::{
    ops::Range,
    sync::atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use proptest::{prelude::*, test_runner::TestRunner};
use sealwax_s3::{
    Error, ErrorKind, S3Uri, SealedClient,
    envelope::geometry::{CHUNK_LEN, HEADER_LEN, SEALED_CHUNK_LEN},
};
use sealwax_tests::{
    PART, Reaction, SeaweedFs, Stored, Wire, assert_kind, local_keyring, plaintext,
};

/// Two parts and a remainder.
const LEN: usize = 2 * PART + 12_345;

/// A store with one object.
struct Fixture {
    store: SeaweedFs,
    client: SealedClient,
    uri: S3Uri,
    data: Bytes,
}

impl Fixture {
    async fn new(name: &str, len: usize) -> Self {
        Self::over(Wire::default(), name, len).await
    }

    async fn over(wire: Wire, name: &str, len: usize) -> Self {
        let store = SeaweedFs::over(wire).await;
        let client = store.client_builder(local_keyring("ranges")).part_len(PART).build();
        let (uri, data) = (store.object(name), plaintext(len));
        client.put().uri(&uri).body(data.clone()).send().await.expect("put");
        store.wire.forget();
        Self { store, client, uri, data }
    }

    async fn range(&self, range: Range<u64>) -> Result<Bytes, Error> {
        self.client.get().uri(&self.uri).range(range).send().await?.bytes().await
    }

    fn slice(&self, range: &Range<u64>) -> Bytes {
        let at = |at: u64| usize::try_from(at).expect("small").min(self.data.len());
        self.data.slice(at(range.start)..at(range.end))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_range_returns_its_bytes() {
    let it = Fixture::new("kinds", LEN).await;
    let len = LEN as u64;
    let get = || it.client.get().uri(&it.uri);
    let cases = [
        ("first byte", get().range(0..1), 0..1),
        ("last byte", get().range(len - 1..), len - 1..len),
        ("across two chunks", get().range(16_383..=16_384), 16_383..16_385),
        (
            "across two parts",
            get().range(PART as u64 - 1..PART as u64 + 1),
            PART as u64 - 1..PART as u64 + 1,
        ),
        ("open", get().range(len - 70_000..), len - 70_000..len),
        ("to an end", get().range(..=9), 0..10),
        ("cut off at the end", get().range(len - 5..len + 5), len - 5..len),
        ("of more than a part", get().range(3..len - 3), 3..len - 3),
        ("all", get().range(..), 0..len),
        ("suffix", get().suffix(1), len - 1..len),
        ("suffix of a chunk", get().suffix(CHUNK_LEN as u64), len - CHUNK_LEN as u64..len),
        ("suffix of more than a part", get().suffix(len - 1), 1..len),
        ("suffix longer than the object", get().suffix(len + 1), 0..len),
    ];
    for (case, get, range) in cases {
        let object = get.send().await.expect(case);
        assert_eq!(object.range(), range, "{case}");
        assert_eq!(object.info().plaintext_len(), len, "{case}");
        assert!(
            object.bytes().await.expect(case) == it.slice(&range),
            "{case}: other bytes came back"
        );
    }
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("range");
    get().range(5..len - 5).to_file(&path).await.expect("to a file");
    assert!(std::fs::read(&path).expect("the file") == it.slice(&(5..len - 5)));
}

#[tokio::test(flavor = "multi_thread")]
async fn random_ranges_agree_with_the_plaintext() {
    let objects =
        [0, 1, 16_384, 40_000].map(|len| async move { Fixture::new("random", len).await });
    for object in objects {
        let it = object.await;
        let len = it.data.len() as u64;
        let handle = tokio::runtime::Handle::current();
        let run =
            |range: Range<u64>| tokio::task::block_in_place(|| handle.block_on(it.range(range)));
        let mut runner = TestRunner::new(ProptestConfig::with_cases(24));
        let ranges = (0..50_000_u64, 1..50_000_u64).prop_map(|(start, len)| start..start + len);
        runner
            .run(&ranges, |range| {
                match run(range.clone()) {
                    Ok(bytes) => prop_assert!(range.start < len && bytes == it.slice(&range)),
                    Err(error) => {
                        prop_assert!(range.start >= len && error.kind() == ErrorKind::InvalidInput);
                    }
                }
                Ok(())
            })
            .expect("agreement");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_byte_costs_one_request_for_one_chunk() {
    let it = Fixture::new("cost", LEN).await;
    for byte in [0, 1, 16_384, PART as u64, LEN as u64 - 20_000] {
        it.store.wire.forget();
        let fetched = it.client.get().uri(&it.uri).range(byte..byte + 1).send().await.expect("get");
        assert_eq!(fetched.bytes().await.expect("bytes"), it.slice(&(byte..byte + 1)));
        assert_eq!(it.store.wire.operations("s3"), ["GetObject"]);
    }
    let stored = Stored::fetch(&it.store.s3(), &it.uri).await;
    // The figure itself: the bytes that S3 sends for the requested range.
    let chunk = it.store.s3().get_object().bucket(it.uri.bucket()).key(it.uri.key());
    let chunk = chunk
        .range(format!("bytes={HEADER_LEN}-{}", HEADER_LEN + SEALED_CHUNK_LEN - 1))
        .send()
        .await;
    assert_eq!(chunk.expect("a chunk").content_length(), Some(SEALED_CHUNK_LEN as i64));
    assert!(stored.body.len() > LEN);
}

#[tokio::test(flavor = "multi_thread")]
async fn close_ranges_share_requests() {
    let it = Fixture::new("several", LEN).await;
    let ranges = [9_000_000..9_000_010, 0..10, 50_000..50_001, 5..20, 6_000_000..8_000_000];
    let read = it.client.get().uri(&it.uri).ranges(&ranges).await.expect("ranges");
    for (range, bytes) in ranges.iter().zip(read) {
        assert!(bytes == it.slice(range), "{range:?}");
    }
    assert_eq!(it.store.wire.operations("s3"), ["GetObject"; 3], "0..50_001 is one request");
    assert!(it.client.get().uri(&it.uri).ranges(&[]).await.expect("no ranges").is_empty());
    for bad in [3..3, Range { start: 4, end: 2 }, 0..LEN as u64 + 1] {
        let result = it.client.get().uri(&it.uri).ranges(&[0..1, bad.clone()]).await;
        assert_kind(result, ErrorKind::InvalidInput, &it.uri, &format!("{bad:?}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ranges_without_bytes_are_refused() {
    let it = Fixture::new("nothing", 100).await;
    let get = || it.client.get().uri(&it.uri);
    let cases = [
        ("empty", get().range(5..5)),
        ("empty suffix", get().suffix(0)),
        ("at the end", get().range(100..)),
        ("beyond the end", get().range(1 << 40..(1 << 40) + 1)),
        ("beyond every end", get().range(u64::MAX..)),
    ];
    for (case, get) in cases {
        assert_kind(get.send().await, ErrorKind::InvalidInput, &it.uri, case);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_unsealed_object_is_reported_as_not_sealed() {
    let it = Fixture::new("unsealed", 1).await;
    for body in [&b""[..], b"plain"] {
        let uri = it.store.object("plain");
        let put = it
            .store
            .s3()
            .put_object()
            .bucket(uri.bucket())
            .key(uri.key())
            .body(Bytes::from(body).into());
        put.send().await.expect("a plain put");
        assert_kind(it.client.get().uri(&uri).send().await, ErrorKind::NotSealed, &uri, "whole");
        assert_kind(
            it.client.get().uri(&uri).range(9..).send().await,
            ErrorKind::NotSealed,
            &uri,
            "range",
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_fails_only_the_ranges_that_contain_it() {
    let it = Fixture::new("damage", 5 * CHUNK_LEN).await;
    let stored = Stored::fetch(&it.store.s3(), &it.uri).await;
    let mut body = stored.body.to_vec();
    body[HEADER_LEN + 2 * SEALED_CHUNK_LEN + 7] ^= 1;
    stored.with_body(body).store(&it.store.s3(), &it.uri).await;
    let chunk = |n: u64| n * CHUNK_LEN as u64..(n + 1) * CHUNK_LEN as u64;
    for good in [chunk(0), chunk(1), chunk(3), chunk(4)] {
        assert!(it.range(good.clone()).await.expect("an undamaged chunk") == it.slice(&good));
    }
    for bad in [chunk(2), 40_000..40_001, 0..81_920] {
        assert_kind(
            it.range(bad.clone()).await,
            ErrorKind::Authentication,
            &it.uri,
            &format!("{bad:?}"),
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_to_the_end_verifies_the_end() {
    let it = Fixture::new("end", 3 * CHUNK_LEN + 5).await;
    let stored = Stored::fetch(&it.store.s3(), &it.uri).await;
    // Cut in the second chunk, to a length that some plaintext has, and without the length in the
    // metadata.
    let cut = stored.body.slice(..HEADER_LEN + SEALED_CHUNK_LEN + 100);
    stored.with_body(cut).without("sealwax-length").store(&it.store.s3(), &it.uri).await;
    assert_eq!(
        it.range(0..CHUNK_LEN as u64).await.expect("a whole chunk"),
        it.slice(&(0..CHUNK_LEN as u64))
    );
    let get = || it.client.get().uri(&it.uri);
    for (case, get) in
        [("suffix", get().suffix(3)), ("open", get().range(CHUNK_LEN as u64..)), ("whole", get())]
    {
        let object = get.send().await.expect("the metadata is in order");
        assert_kind(object.bytes().await, ErrorKind::Authentication, &it.uri, case);
    }
}

/// Bytes of a body that arrive before the connection breaks.
const BROKEN_AFTER: usize = 100_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_body_resumes_from_its_last_byte() {
    static BREAKS: AtomicUsize = AtomicUsize::new(0);
    // The responses to the first three requests break off.
    let wire = Wire::new(|call| match call.operation.as_str() {
        "GetObject" if BREAKS.fetch_add(1, Ordering::Relaxed) < 3 => {
            Reaction::Edit(|body| body.truncate(BROKEN_AFTER))
        }
        _ => Reaction::Pass,
    });
    let it = Fixture::over(wire, "broken", 1 << 20).await;
    let object = it.client.get().uri(&it.uri).send().await.expect("get");
    assert!(object.bytes().await.expect("resumed") == it.data);
    assert_eq!(it.store.wire.operations("s3"), ["GetObject"; 4]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_never_arrives_fails_the_read() {
    let wire = Wire::new(|call| match call.operation.as_str() {
        "GetObject" => Reaction::Edit(Vec::clear),
        _ => Reaction::Pass,
    });
    let it = Fixture::over(wire, "never", 100_000).await;
    let object = it.client.get().uri(&it.uri).send().await.expect("the metadata comes");
    assert_kind(object.bytes().await, ErrorKind::Unavailable, &it.uri, "no body");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_changes_during_a_read_has_its_own_error() {
    let it = Fixture::new("changing", LEN).await;
    let object = it.client.get().uri(&it.uri).send().await.expect("get");
    it.client.put().uri(&it.uri).body(plaintext(LEN - 1)).send().await.expect("another put");
    let directory = tempfile::tempdir().expect("a directory");
    let result = object.to_file(directory.path().join("file")).await;
    let error = assert_kind(result, ErrorKind::Changed, &it.uri, "replaced");
    assert!(error.kind().is_retryable());
    assert_eq!(std::fs::read_dir(&directory).expect("the directory").count(), 0);
}
