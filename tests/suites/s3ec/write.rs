//! Writes of S3 Encryption Client objects.

use sealwax_s3::{
    ErrorKind, PlaintextSource,
    s3ec::{Format, S3ec, WrapAlgorithm},
};
use sealwax_tests::{
    LocalStack, PART, Stored, assert_kind, east, plaintext, read, unfinished_uploads, west,
};

use crate::samples::{aes_key, beside, client, context, everything, rsa_key, v2};

/// Covers every keyring, format, storage and kind of upload.
#[tokio::test]
async fn every_kind_of_object_round_trips() {
    let stack = LocalStack::new(east());
    let reader =
        |s3ec: S3ec| stack.client_builder([&stack.home.key]).s3ec(s3ec).part_len(PART).build();
    let settings: [(&str, S3ec, Format, WrapAlgorithm); 6] = [
        ("KMS V3", S3ec::new(), Format::V3, WrapAlgorithm::KmsContext),
        ("KMS V2", v2(), Format::V2, WrapAlgorithm::KmsContext),
        ("AES V3", S3ec::new().keyring(aes_key()), Format::V3, WrapAlgorithm::AesGcm),
        ("AES V2", v2().keyring(aes_key()), Format::V2, WrapAlgorithm::AesGcm),
        ("RSA V3", S3ec::new().keyring(rsa_key()), Format::V3, WrapAlgorithm::RsaOaepSha1),
        ("RSA V2", v2().keyring(rsa_key()), Format::V2, WrapAlgorithm::RsaOaepSha1),
    ];
    for (name, s3ec, format, algorithm) in settings {
        let client = reader(s3ec);
        for (len, in_file, sequential) in [
            (0, false, false),
            (33, true, false),
            (2 * PART + 3, false, false),
            (2 * PART, true, true),
        ] {
            let (data, uri) = (plaintext(len), stack.object("round-trip"));
            let body = if sequential {
                PlaintextSource::reader(std::io::Cursor::new(data.clone()))
            } else {
                data.clone().into()
            };
            let put = client
                .put()
                .uri(&uri)
                .body(body)
                .metadata("colour", "red")
                .content_type("text/plain")
                .s3ec();
            let put = if in_file { put.instruction_file() } else { put }.send().await.expect(name);
            assert_eq!(
                (put.envelope.format(), put.envelope.key().algorithm()),
                (format, algorithm),
                "{name}"
            );
            let object = client.get().uri(&uri).send().await.expect(name);
            let info = object.info().clone();
            assert_eq!(info.envelope(), Some(&put.envelope), "{name}");
            assert_eq!(
                (info.plaintext_len(), info.content_type.as_deref()),
                (len as u64, Some("text/plain")),
                "{name}"
            );
            assert_eq!(info.metadata, [("colour".to_owned(), "red".to_owned())].into(), "{name}");
            assert!(object.bytes().await.expect(name) == data, "{name}: {len}");
        }
    }
}

#[tokio::test]
async fn unwritable_objects_are_refused_before_any_kms_call() {
    let stack = LocalStack::new(east());
    let (kms, raw) = (client(&stack, S3ec::new()), client(&stack, S3ec::new().keyring(aes_key())));
    let uri = stack.object("refused");
    let with_context =
        raw.put().uri(&uri).body("x").encryption_context(context(&[("a", "b")])).s3ec();
    assert_kind(
        with_context.send().await,
        ErrorKind::InvalidInput,
        &uri,
        "a context under a raw key",
    );
    let resumed = kms.put().uri(&uri).body("x").state_file("/nowhere/state").s3ec();
    assert_kind(resumed.send().await, ErrorKind::InvalidInput, &uri, "a state file");
    let suffix = client(&stack, S3ec::new().instruction_file_suffix(""))
        .put()
        .uri(&uri)
        .body("x")
        .s3ec()
        .instruction_file();
    assert_kind(suffix.send().await, ErrorKind::InvalidInput, &uri, "no suffix");
    assert_eq!(stack.wire.kms(), []);
    let two = stack.client([&stack.home.key, &west().key]);
    let put = two.put().uri(&uri).body("x").s3ec().send().await;
    let error = assert_kind(put, ErrorKind::InvalidInput, &uri, "two keys");
    assert!(format!("{error:?}").contains("exactly one: name it"), "{error:?}");
    assert_eq!(stack.wire.kms(), []);
    let reserved = kms.put().uri(&uri).body("x").metadata("X-Amz-Iv", "x").s3ec();
    assert_kind(reserved.send().await, ErrorKind::InvalidInput, &uri, "a reserved name");
    assert_kind(read(&kms, &uri).await, ErrorKind::NotFound, &uri, "something was stored");
}

/// An object is unreadable without its instruction file. The file is not overwritten, and is
/// deleted if its object never appears.
#[tokio::test]
async fn an_old_object_stays_readable_until_the_new_one_is_safe() {
    let stack = LocalStack::new(east());
    let client = client(&stack, everything());
    let uri = stack.object("overwrite");
    let put = |body: &'static str| client.put().uri(&uri).body(body).s3ec().instruction_file();
    put("old").send().await.expect("put");
    let error = assert_kind(
        put("new").send().await,
        ErrorKind::Conflict,
        &beside(&uri, ".instruction"),
        "over a file",
    );
    assert!(error.to_string().contains("allow replacing the file"), "{error}");
    assert_eq!(read(&client, &uri).await.expect("the old one still opens"), "old");
    put("new").replace_instruction_file().send().await.expect("asked for");
    assert_eq!(read(&client, &uri).await.expect("the new one"), "new");
    // The metadata is complete, so the file does no harm.
    client.put().uri(&uri).body("newer").s3ec().send().await.expect("put");
    assert_eq!(read(&client, &uri).await.expect("the newest"), "newer");

    let taken = stack.object("taken");
    client.put().uri(&taken).body("there").send().await.expect("put");
    let conditional =
        client.put().uri(&taken).body("x").if_none_match("*").s3ec().instruction_file();
    assert_kind(conditional.send().await, ErrorKind::Conflict, &taken, "the object exists");
    let file = beside(&taken, ".instruction");
    assert_kind(
        read(&client, &file).await,
        ErrorKind::NotFound,
        &file,
        "an instruction file without an object is left",
    );
    assert_eq!(read(&client, &taken).await.expect("the old one still opens"), "there");
}

/// The source fails in the middle, and no object becomes visible.
#[tokio::test]
async fn a_broken_source_leaves_nothing() {
    let stack = LocalStack::new(east());
    let client = stack.client_builder([&stack.home.key]).part_len(PART).build();
    let uri = stack.object("broken");
    let pieces = [Ok(plaintext(PART + 9)), Err(std::io::Error::other("unplugged"))];
    let body = PlaintextSource::stream(futures_util::stream::iter(pieces));
    let error = client.put().uri(&uri).body(body).s3ec().send().await.expect_err("a broken source");
    assert_eq!(error.kind(), ErrorKind::Io);
    assert_eq!(unfinished_uploads(&stack.s3(), &uri).await, 0);
    assert_kind(read(&client, &uri).await, ErrorKind::NotFound, &uri, "nothing");
}

/// Names and values follow the format, and metadata that readers do not trust is not written.
#[tokio::test]
async fn metadata_follows_the_spelling_of_the_official_clients() {
    let stack = LocalStack::new(east());
    let client = client(&stack, S3ec::new());
    let uri = stack.object("spelled");
    client
        .put()
        .uri(&uri)
        .body("hello")
        .encryption_context(context(&[("é", "1")]))
        .s3ec()
        .send()
        .await
        .expect("put");
    let stored = Stored::fetch(&stack.s3(), &uri).await;
    let mut names: Vec<_> = stored.metadata.keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["x-amz-3", "x-amz-c", "x-amz-d", "x-amz-i", "x-amz-t", "x-amz-w"]);
    assert_eq!(
        (stored.metadata["x-amz-c"].as_str(), stored.metadata["x-amz-w"].as_str()),
        ("115", "12")
    );
    assert_eq!(stored.metadata["x-amz-t"], r#"{"aws:x-amz-cek-alg":"115","\u00e9":"1"}"#);
}
