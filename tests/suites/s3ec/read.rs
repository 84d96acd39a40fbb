//! Reads of S3 Encryption Client objects.

use std::fs;

use futures_util::StreamExt as _;
use sealwax_s3::{
    ErrorKind, ObjectFormat, UnencryptedObjects,
    s3ec::{CommitmentPolicy, Format, S3ec, Storage},
};
use sealwax_tests::{
    LocalStack, PART, Stored, assert_kind, assert_unreadable, east, plaintext, read,
};

use crate::samples::{
    aes_key, beside, client, context, everything, rsa_key, sample_file, store_sample, v2,
};

/// Reads all samples under raw keys from S3: as a stream, to a file, by HEAD, with each suffix of
/// an instruction file.
#[tokio::test]
async fn every_sample_opens() {
    let stack = LocalStack::new(east());
    let reader = |suffix: &str| {
        let s3ec = everything().keyring(aes_key()).keyring(rsa_key());
        client(&stack, s3ec.instruction_file_suffix(suffix))
    };
    let manifest: serde_json::Value =
        serde_json::from_slice(&sample_file("manifest.json")).expect("JSON");
    let ids = manifest["entries"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|entry| entry["id"].as_str().expect("text"));
    let mut opened = 0;
    for id in ids.filter(|id| !id.contains("kms")) {
        for suffix in [".instruction", ".of-bob"] {
            let uri = stack.object(id);
            let expected = store_sample(&stack.s3(), &uri, id, suffix).await;
            let reader = reader(suffix);
            let get = || reader.get().uri(&uri);
            assert_eq!(get().send().await.expect(id).bytes().await.expect(id), expected, "{id}");
            let directory = tempfile::tempdir().expect("a directory");
            let file = directory.path().join("plaintext");
            let info = get().to_file(&file).await.expect(id);
            assert_eq!(fs::read(&file).expect("the file"), expected, "{id}");
            let head = reader.head().uri(&uri).send().await.expect(id);
            assert_eq!(head.format(), info.format(), "{id}");
            let in_file = head.envelope().expect(id).storage() == Storage::InstructionFile;
            assert_eq!(in_file, id.ends_with("-instruction"), "{id}");
            opened += 1;
        }
    }
    assert_eq!(opened, 2 * 17);
}

/// By default only V3 is allowed. For a refused object no key is unwrapped and KMS is not called.
#[tokio::test]
async fn a_refused_object_costs_no_kms_call() {
    let stack = LocalStack::new(east());
    let (old, strict) = (client(&stack, v2()), client(&stack, S3ec::new()));
    let uri = stack.object("policy");
    old.put().uri(&uri).body("x").s3ec().send().await.expect("put");
    stack.wire.forget();
    assert_kind(read(&strict, &uri).await, ErrorKind::PolicyRefused, &uri, "V2");
    assert_eq!(stack.wire.kms(), []);
    assert_eq!(read(&old, &uri).await.expect("V2 is allowed"), "x");

    let uri = stack.object("refused");
    strict.put().uri(&uri).body("x").s3ec().send().await.expect("put");
    assert_kind(
        read(&client(&stack, S3ec::refused()), &uri).await,
        ErrorKind::PolicyRefused,
        &uri,
        "refused",
    );
    stack.wire.forget();
    let other = stack.client([&stack.home.key_2]);
    assert_kind(read(&other, &uri).await, ErrorKind::Authentication, &uri, "another key");
    let none = client(&stack, S3ec::new().keyring(aes_key()));
    assert_kind(read(&none, &uri).await, ErrorKind::NoMatchingKey, &uri, "no keyring for it");
}

#[tokio::test]
async fn the_encryption_context_must_be_complete() {
    let stack = LocalStack::new(east());
    let reader = client(&stack, S3ec::new());
    let uri = stack.object("context");
    let pairs = context(&[("dept", "research"), ("é", "ü")]);
    reader
        .put()
        .uri(&uri)
        .body("x")
        .encryption_context(pairs.clone())
        .s3ec()
        .send()
        .await
        .expect("put");
    let get = |pairs| reader.get().uri(&uri).encryption_context(pairs);
    stack.wire.forget();
    assert_kind(read(&reader, &uri).await, ErrorKind::ContextMismatch, &uri, "none");
    assert_kind(
        get(context(&[("dept", "research")])).send().await,
        ErrorKind::ContextMismatch,
        &uri,
        "a part",
    );
    assert_eq!(stack.wire.kms(), []);
    let object = get(pairs.clone()).send().await.expect("all of it");
    assert_eq!(object.info().encryption_context(), &pairs);
    assert_eq!(object.bytes().await.expect("get"), "x");
    assert_eq!(
        read(&client(&stack, S3ec::new().any_encryption_context(true)), &uri).await.expect("any"),
        "x"
    );
}

/// In discovery, KMS reports the key, and a key of another account is refused.
#[tokio::test]
async fn keys_are_discovered_within_the_filter() {
    use sealwax_s3::{DiscoveryFilter, SealedClient};
    let stack = LocalStack::new(east());
    let uri = stack.object("discovery");
    stack.client([&stack.home.key]).put().uri(&uri).body("x").s3ec().send().await.expect("put");
    let reader = |account: &str| {
        let keyring = stack
            .keyring_builder()
            .discovery(DiscoveryFilter::accounts([account]))
            .build()
            .expect("a keyring");
        SealedClient::builder(stack.s3(), keyring).build()
    };
    assert_eq!(
        read(&reader(stack.home.key.account()), &uri).await.expect("the account's key"),
        "x"
    );
    assert_kind(
        read(&reader("999999999999"), &uri).await,
        ErrorKind::AccessDenied,
        &uri,
        "another account",
    );
}

/// A stream is buffered up to a limit; files and unverified streams have no limit. A forged object
/// leaves nothing behind.
#[tokio::test]
async fn plaintext_is_released_only_after_verification() {
    let stack = LocalStack::new(east());
    let bounded = stack
        .client_builder([&stack.home.key])
        .s3ec(S3ec::new().buffer_len(PART as u64))
        .part_len(PART)
        .build();
    // A stream does not begin with more than it can hold back.
    let by_way = |stored, of_file| match stored > PART + 16 {
        true => [ErrorKind::Unsupported, of_file],
        false => [of_file; 2],
    };
    for len in [0, 1, PART - 16, PART, 2 * PART + 5] {
        let (data, uri) = (plaintext(len), stack.object("release"));
        let put = bounded.put().uri(&uri).body(data.clone()).s3ec().send().await.expect("put");
        assert_eq!(put.plaintext_len, len as u64);
        let whole = read(&bounded, &uri).await;
        if len <= PART {
            assert_eq!(whole.expect("get"), data, "{len}");
        } else {
            let error = assert_kind(whole, ErrorKind::Unsupported, &uri, "longer than the bound");
            assert!(error.to_string().contains("release it unverified"), "{error}");
        }
        let mut unverified =
            bounded.get().uri(&uri).send().await.expect("get").release_unverified();
        let mut released = Vec::new();
        while let Some(piece) = unverified.next().await {
            released.extend_from_slice(&piece.expect("genuine"));
        }
        assert_eq!(released, data, "{len}");
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("plaintext");
        bounded.get().uri(&uri).to_file(&file).await.expect("get");
        assert_eq!(fs::read(&file).expect("the file"), data, "{len}");

        let stored = Stored::fetch(&stack.s3(), &uri).await;
        assert_eq!(stored.body.len(), len + 16);
        for at in [0, stored.body.len() / 2, stored.body.len() - 1] {
            let mut body = stored.body.to_vec();
            body[at] ^= 1;
            stored.with_body(body).store(&stack.s3(), &uri).await;
            let kinds = by_way(stored.body.len(), ErrorKind::Authentication);
            assert_unreadable(&bounded, &uri, &kinds, b"", &format!("{len}, byte {at} flipped"))
                .await;
            let mut unverified =
                bounded.get().uri(&uri).send().await.expect("get").release_unverified();
            let mut last = None;
            while let Some(piece) = unverified.next().await {
                last = Some(piece);
            }
            let error = last.expect("an error").expect_err("the tag is wrong");
            assert_eq!(error.kind(), ErrorKind::Authentication);
        }
        for cut in [stored.body.len() - 1, 16, 15, 0] {
            if cut < stored.body.len() {
                stored.with_body(stored.body.slice(..cut)).store(&stack.s3(), &uri).await;
                let kind = if cut < 16 { ErrorKind::Truncated } else { ErrorKind::Authentication };
                let kinds = by_way(cut, kind);
                assert_unreadable(&bounded, &uri, &kinds, b"", &format!("{len}, cut at {cut}"))
                    .await;
            }
        }
    }
}

#[tokio::test]
async fn ranges_need_the_dangerous_method() {
    let stack = LocalStack::new(east());
    let (data, reader) = (plaintext(70_001), client(&stack, v2()));
    for writer in [client(&stack, S3ec::new()), client(&stack, v2())] {
        let uri = stack.object("range");
        writer.put().uri(&uri).body(data.clone()).s3ec().send().await.expect("put");
        assert_kind(
            reader.get().uri(&uri).range(1..9).send().await,
            ErrorKind::Unsupported,
            &uri,
            "a range",
        );
        assert_kind(
            reader.get().uri(&uri).suffix(9).send().await,
            ErrorKind::Unsupported,
            &uri,
            "a suffix",
        );
        let two = [0..5, 60_000..60_001];
        assert_kind(
            reader.get().uri(&uri).ranges(&two).await,
            ErrorKind::Unsupported,
            &uri,
            "ranges",
        );
        for (start, end) in [
            (0, 1),
            (15, 17),
            (16, 32),
            (0, 70_001),
            (69_990, 70_001),
            (20_000, 60_000),
            (70_000, 80_000),
        ] {
            let object = reader
                .get()
                .uri(&uri)
                .dangerous_unauthenticated_range(start..end)
                .send()
                .await
                .expect("range");
            let expected = data.slice(
                usize::try_from(start).expect("short")
                    ..data.len().min(usize::try_from(end).expect("short")),
            );
            assert_eq!(object.bytes().await.expect("range"), expected, "{start}..{end}");
        }
        let beyond = reader.get().uri(&uri).dangerous_unauthenticated_range(70_001..).send().await;
        assert_kind(beyond, ErrorKind::InvalidInput, &uri, "beyond the end");
    }
}

#[tokio::test]
async fn unencrypted_objects_pass_only_by_policy() {
    let stack = LocalStack::new(east());
    let strict = stack.client([&stack.home.key]);
    let mixed = stack
        .client_builder([&stack.home.key])
        .unencrypted(UnencryptedObjects::PassThrough)
        .build();
    for len in [0, 1, 50, 70_000] {
        let (data, uri) = (plaintext(len), stack.object("plain"));
        let metadata = [("colour".to_owned(), "red".to_owned())].into();
        Stored { body: data.clone(), metadata }.store(&stack.s3(), &uri).await;
        assert_kind(read(&strict, &uri).await, ErrorKind::NotSealed, &uri, "by default");
        let object = mixed.get().uri(&uri).send().await.expect("it passes");
        assert_eq!(
            (object.info().format(), object.info().metadata["colour"].as_str()),
            (&ObjectFormat::Unencrypted, "red")
        );
        assert_eq!(object.bytes().await.expect("get"), data, "{len}");
        if len > 9 {
            let range =
                mixed.get().uri(&uri).range(3..9).send().await.expect("range").bytes().await;
            assert_eq!(range.expect("range"), data.slice(3..9));
            let suffix = mixed.get().uri(&uri).suffix(4).send().await.expect("range").bytes().await;
            assert_eq!(suffix.expect("range"), data.slice(len - 4..));
        }
        let required =
            mixed.get().uri(&uri).encryption_context(context(&[("a", "b")])).send().await;
        assert_kind(required, ErrorKind::ContextMismatch, &uri, "a context is required");
    }
    // An encrypted object does not pass as unencrypted, even if parts of it are lost.
    for (id, kind) in [
        ("v3-aes", ErrorKind::NoMatchingKey),
        ("v2-aes", ErrorKind::PolicyRefused),
        ("v3-aes-instruction", ErrorKind::Malformed),
    ] {
        let uri = stack.object(id);
        store_sample(&stack.s3(), &uri, id, ".lost").await;
        assert_kind(read(&mixed, &uri).await, kind, &uri, id);
    }
}

/// A wrong instruction file beside the object is refused.
#[tokio::test]
async fn an_instruction_file_must_belong_to_its_object() {
    let stack = LocalStack::new(east());
    let reader =
        client(&stack, S3ec::new().commitment_policy(CommitmentPolicy::RequireEncryptAllowDecrypt));
    let put = |uri| reader.put().uri(&uri).body("one").s3ec().instruction_file().send();
    let (one, other) = (stack.object("one"), stack.object("other"));
    put(one.clone()).await.expect("put");
    put(other.clone()).await.expect("put");
    let file = beside(&one, ".instruction");
    assert_eq!(read(&reader, &one).await.expect("get"), "one");
    assert_kind(read(&reader, &file).await, ErrorKind::NotSealed, &file, "the file as an object");

    // CVE-2025-14763: another object's file, under the same key and context.
    let planted = Stored::fetch(&stack.s3(), &beside(&other, ".instruction")).await;
    let genuine = Stored::fetch(&stack.s3(), &file).await;
    planted.store(&stack.s3(), &file).await;
    assert_unreadable(&reader, &one, &[ErrorKind::Authentication], b"", "another object's file")
        .await;
    // The same with its commitment in the file.
    let mut pairs: serde_json::Map<_, _> = serde_json::from_slice(&planted.body).expect("JSON");
    let theirs = Stored::fetch(&stack.s3(), &other).await;
    pairs.extend(theirs.metadata.into_iter().map(|(name, value)| (name, value.into())));
    planted.with_body(serde_json::to_vec(&pairs).expect("JSON")).store(&stack.s3(), &file).await;
    assert_unreadable(&reader, &one, &[ErrorKind::Malformed], b"", "a commitment in the file")
        .await;
    // A file that never ends.
    genuine.with_body(vec![b' '; 70_000]).store(&stack.s3(), &file).await;
    assert_unreadable(&reader, &one, &[ErrorKind::Malformed], b"", "a long file").await;
    stack.s3().delete_object().bucket(file.bucket()).key(file.key()).send().await.expect("delete");
    let error = assert_kind(read(&reader, &one).await, ErrorKind::Malformed, &one, "no file");
    assert!(error.to_string().contains("instruction file"), "{error}");
    genuine.store(&stack.s3(), &file).await;
    let info = reader.get().uri(&one).send().await.expect("get").info().clone();
    assert_eq!(info.envelope().expect("an envelope").format(), Format::V3);
}
