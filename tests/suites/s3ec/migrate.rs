//! Rewraps of S3 Encryption Client objects, and migration between formats.

use std::collections::HashMap;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use futures_util::TryStreamExt as _;
use sealwax_jobs::{
    Summary as _,
    job::JobSummary as _,
    listing::Listing,
    rewrap::{Action, Apply, JobInput, plan_one},
};
use sealwax_s3::{
    ErrorKind, KeyChanges, MetadataWay, Migrator, ObjectFormat, UnencryptedObjects, WriteFormat,
    aws_sdk_kms::primitives::Blob,
    aws_sdk_s3::{error::SdkError, operation::head_object::HeadObjectError},
    s3ec::{Format, S3ec},
};
use sealwax_tests::{
    LocalStack, PART, SeaweedFs, Stored, assert_kind, assert_unreadable, east, local_keyring,
    plaintext, read,
};

use crate::samples::{aes_key, beside, client, context, everything, rsa_key, store_sample, v2};

/// Moves to another KMS key by copy and by instruction file, without moving the body or changing
/// anything else.
#[tokio::test]
async fn a_rewrap_changes_only_the_keys() {
    let stack = LocalStack::new(east());
    let pairs = context(&[("dept", "research")]);
    for (name, writer) in [("V3", client(&stack, S3ec::new())), ("V2", client(&stack, v2()))] {
        for in_file in [false, true] {
            let (data, uri) = (plaintext(1000), stack.object("rewrap"));
            let put = writer
                .put()
                .uri(&uri)
                .body(data.clone())
                .metadata("colour", "red")
                .encryption_context(pairs.clone());
            let put = if in_file { put.s3ec().instruction_file() } else { put.s3ec() };
            put.send().await.expect(name);
            let before = Stored::fetch(&stack.s3(), &uri).await;

            let rewrap = writer.rewrap().uri(&uri).replace_keys(stack.keyring([&stack.home.key_2]));
            let output = rewrap.send().await.expect(name);
            assert!(output.rewrapped);
            let after = Stored::fetch(&stack.s3(), &uri).await;
            assert_eq!(after.body, before.body, "{name}");
            assert_eq!(after.metadata == before.metadata, in_file, "{name}");
            assert_eq!(after.metadata["colour"], "red");

            let get = |key| {
                let reader = stack.client_builder([key]).s3ec(everything()).build();
                let (uri, pairs) = (uri.clone(), pairs.clone());
                async move {
                    reader.get().uri(&uri).encryption_context(pairs).send().await?.bytes().await
                }
            };
            assert_eq!(get(&stack.home.key_2).await.expect("the new key"), data, "{name}");
            assert_kind(get(&stack.home.key).await, ErrorKind::Authentication, &uri, "the old key");

            // Also back, by a refresh under the same key, and to a key outside KMS, which binds no
            // context.
            let second = stack.client_builder([&stack.home.key_2]).s3ec(everything()).build();
            second.rewrap().uri(&uri).refresh_keys().send().await.expect("refresh");
            assert_eq!(get(&stack.home.key_2).await.expect("the same key"), data, "{name}");
            let stranger = stack.client_builder([&stack.home.key]).s3ec(everything()).build();
            let refused = stranger
                .rewrap()
                .uri(&uri)
                .replace_keys(stack.keyring([&stack.home.key]))
                .send()
                .await;
            assert_kind(refused, ErrorKind::Authentication, &uri, "a stranger");
            let added =
                second.rewrap().uri(&uri).add_keys(stack.keyring([&stack.home.key])).send().await;
            assert_kind(added, ErrorKind::Unsupported, &uri, "a second key");
        }
    }
    // From one raw key to another, and into KMS.
    let uri = stack.object("raw");
    let data = store_sample(&stack.s3(), &uri, "v3-rsa-instruction", ".instruction").await;
    let raw = client(&stack, everything().keyring(rsa_key()).keyring(aes_key()));
    raw.rewrap().uri(&uri).replace_s3ec_key(aes_key()).send().await.expect("to AES");
    assert_eq!(
        read(&client(&stack, everything().keyring(aes_key())), &uri).await.expect("AES"),
        data
    );
    raw.rewrap()
        .uri(&uri)
        .replace_keys(stack.keyring([&stack.home.key]))
        .send()
        .await
        .expect("to KMS");
    assert_eq!(read(&client(&stack, S3ec::new()), &uri).await.expect("KMS"), data);
}

/// Many objects, beside Sealwax's own: a plan shows how each is rewrapped and skips unsealed
/// objects.
#[tokio::test]
async fn a_bulk_rewrap_covers_all_formats() {
    let stack = LocalStack::new(east());
    let root = stack.object("many");
    let uri = |name: &str| beside(&root, &format!("/{name}"));
    let (v3, v2) = (client(&stack, S3ec::new()), client(&stack, v2()));
    v3.put().uri(&uri("native")).body("native").send().await.expect("native");
    v3.put().uri(&uri("v3")).body("v3").s3ec().send().await.expect("V3");
    v3.put()
        .uri(&uri("v3-file"))
        .body("v3-file")
        .s3ec()
        .instruction_file()
        .send()
        .await
        .expect("V3");
    v2.put().uri(&uri("v2")).body("v2").s3ec().send().await.expect("V2");
    Stored { body: plaintext(9), metadata: Default::default() }
        .store(&stack.s3(), &uri("plain"))
        .await;

    let client = stack.client_builder([&stack.home.key]).s3ec(everything()).build();
    let rewrapper = client
        .rewrapper(KeyChanges::new().replace_keys(stack.keyring([&stack.home.key_2])))
        .expect("edits");
    let listing = || Listing::objects(&stack.s3(), root.bucket(), format!("{}/", root.key()));
    let mut ways = Vec::new();
    let mut listed = listing();
    while let Some(object) = listed.try_next().await.expect("the listing") {
        if let Action::Rewrap { metadata, .. } = plan_one(&rewrapper, &object).await.action {
            ways.push((object.key.rsplit('/').next().expect("a name").to_owned(), metadata));
        }
    }
    let expected = [
        ("native", MetadataWay::Copy),
        ("v2", MetadataWay::Copy),
        ("v3", MetadataWay::Copy),
        ("v3-file", MetadataWay::InstructionFile),
    ];
    assert_eq!(ways, expected.map(|(name, way)| (name.to_owned(), way)));

    let tally = Apply::new(rewrapper.clone())
        .run(JobInput::listing(listing(), root.to_string()))
        .finish()
        .await
        .expect("applied");
    assert!(tally.is_complete(), "{tally:?}");
    assert_eq!(
        (tally.rewrapped, tally.counts.not_sealed, tally.counts.companions),
        (4, 1, 1),
        "{tally:?}"
    );
    let (new, old) = (
        stack.client_builder([&stack.home.key_2]).s3ec(everything()).build(),
        stack.client_builder([&stack.home.key]).s3ec(everything()).build(),
    );
    for (name, _) in expected {
        assert_eq!(read(&new, &uri(name)).await.expect(name), name);
        // Only Sealwax's format names the wrapping key. For the other formats, KMS refuses.
        let kind = match name {
            "native" => ErrorKind::NoMatchingKey,
            _ => ErrorKind::Authentication,
        };
        assert_kind(read(&old, &uri(name)).await, kind, &uri(name), name);
    }
}

/// Objects of every kind migrate to Sealwax's format and back, and keep attributes, metadata and
/// context.
#[tokio::test]
async fn a_migration_and_back_keeps_everything() {
    let stack = LocalStack::new(east());
    let pairs = context(&[("dept", "research")]);
    let client = stack
        .client_builder([&stack.home.key])
        .s3ec(S3ec::new().buffer_len(9))
        .part_len(PART)
        .build();
    for (len, in_file) in [(0, false), (1000, true), (2 * PART + 7, false)] {
        let (data, uri) = (plaintext(len), stack.object("migrate"));
        let put = client
            .put()
            .uri(&uri)
            .body(data.clone())
            .metadata("colour", "red")
            .content_type("text/plain");
        let put = put.encryption_context(pairs.clone()).s3ec();
        if in_file { put.instruction_file() } else { put }.send().await.expect("put");

        // As a reader: the whole context, which is not empty.
        assert_kind(
            client.reencrypt().uri(&uri).to(WriteFormat::Sealwax).send().await,
            ErrorKind::ContextMismatch,
            &uri,
            "without its context",
        );
        let native = client.reencrypt().uri(&uri).to(WriteFormat::Sealwax);
        let native = native.encryption_context(pairs.clone()).send().await.expect("to native");
        assert!(matches!(native.format, ObjectFormat::Sealwax(_)));
        let again = client.reencrypt().uri(&uri).context("dept", "research").send().await;
        assert!(matches!(again.expect("again").format, ObjectFormat::Sealwax(_)));
        assert_kind(
            client.reencrypt().uri(&uri).context("dept", "sales").send().await,
            ErrorKind::ContextMismatch,
            &uri,
            "another context",
        );
        let object = client.get().uri(&uri).send().await.expect("get");
        let info = object.info().clone();
        assert_eq!((info.encryption_context(), info.metadata["colour"].as_str()), (&pairs, "red"));
        assert_eq!(info.content_type.as_deref(), Some("text/plain"));
        assert!(object.bytes().await.expect("get") == data, "{len}");

        let back = client.reencrypt().uri(&uri).to(WriteFormat::S3ec).send().await.expect("back");
        assert!(
            matches!(&back.format, ObjectFormat::S3ec(envelope) if envelope.format() == Format::V3)
        );
        let info = client.head().uri(&uri).send().await.expect("head");
        assert_eq!((info.encryption_context(), info.metadata["colour"].as_str()), (&pairs, "red"));
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("plaintext");
        client.get().uri(&uri).encryption_context(pairs.clone()).to_file(&file).await.expect("get");
        assert!(std::fs::read(&file).expect("the file") == data, "{len}");
    }
}

/// An object that fails verification stays unchanged.
#[tokio::test]
async fn a_forged_object_is_not_migrated() {
    let stack = LocalStack::new(east());
    let client = stack.client_builder([&stack.home.key]).part_len(PART).build();
    for len in [100, 2 * PART + 7] {
        let uri = stack.object("forged");
        client.put().uri(&uri).body(plaintext(len)).s3ec().send().await.expect("put");
        let genuine = Stored::fetch(&stack.s3(), &uri).await;
        let mut body = genuine.body.to_vec();
        body[50] ^= 1;
        let forged = genuine.with_body(body);
        forged.store(&stack.s3(), &uri).await;
        assert_kind(
            client.reencrypt().uri(&uri).to(WriteFormat::Sealwax).send().await,
            ErrorKind::Authentication,
            &uri,
            "forged",
        );
        assert!(Stored::fetch(&stack.s3(), &uri).await == forged, "it was replaced");
    }
}

/// Old objects, including AES-CBC and V1. Without versioning, the instruction file is deleted.
#[tokio::test]
async fn old_objects_are_migrated() {
    let weed = SeaweedFs::new().await;
    let builder = || weed.client_builder(local_keyring("local"));
    let client = builder().s3ec(everything().keyring(aes_key()).keyring(rsa_key())).build();
    for id in [
        "v1-aes-cbc",
        "v1-rsa-cbc",
        "v2-aeswrap-gcm",
        "v2-aes-instruction",
        "v3-rsa-matdesc-instruction",
    ] {
        let uri = weed.object(id);
        let data = store_sample(&weed.s3(), &uri, id, ".instruction").await;
        let strict = builder().build();
        let refused = strict.reencrypt().uri(&uri).to(WriteFormat::Sealwax).send().await;
        // The default policy admits V3, for which the client lacks the key.
        let expected =
            if id.starts_with("v3") { ErrorKind::NoMatchingKey } else { ErrorKind::PolicyRefused };
        assert_kind(refused, expected, &uri, id);
        let migrated = client.reencrypt().uri(&uri).to(WriteFormat::Sealwax).send().await;
        migrated.expect(id);
        assert_eq!(
            read(&builder().s3ec(S3ec::refused()).build(), &uri).await.expect(id),
            data,
            "{id}"
        );
        let file = beside(&uri, ".instruction");
        let left = weed.s3().head_object().bucket(file.bucket()).key(file.key()).send().await;
        let left = left.map_err(SdkError::into_service_error);
        assert!(
            left.as_ref().is_err_and(HeadObjectError::is_not_found),
            "{id}: its instruction file is left: {left:?}"
        );
    }
}

/// Failed objects stay unchanged, migrated ones are skipped, and another run resumes the job.
#[tokio::test]
async fn a_prefix_is_migrated_and_back() {
    let weed = SeaweedFs::new().await;
    let settings = || S3ec::new().keyring(aes_key());
    let client = weed.client_builder(local_keyring("local")).s3ec(settings()).build();
    let root = weed.object("prefix");
    let uri = |name: &str| beside(&root, &format!("/{name}"));
    for number in 0..12 {
        let put = client.put().uri(&uri(&format!("{number:02}"))).body(plaintext(number * 100));
        match number % 3 {
            0 => drop(put.send().await.expect("put")),
            1 => drop(put.s3ec().send().await.expect("put")),
            _ => drop(put.s3ec().instruction_file().send().await.expect("put")),
        }
    }
    store_sample(&weed.s3(), &uri("v2"), "v2-aes", ".instruction").await;
    Stored { body: plaintext(9), metadata: Default::default() }
        .store(&weed.s3(), &uri("plain"))
        .await;

    let run = async |migrator: Migrator| {
        let listing = Listing::objects(&weed.s3(), root.bucket(), format!("{}/", root.key()));
        let job = Apply::new(migrator).run(JobInput::listing(listing, "prefix"));
        job.finish().await.expect("the listing")
    };
    let summary = run(client.migrator(WriteFormat::Sealwax)).await;
    assert_eq!(
        (summary.reencrypted, summary.unchanged, summary.failed()),
        (8, 4, 2),
        "{summary:?}"
    );
    let summary = run(client.migrator(WriteFormat::Sealwax)).await;
    assert_eq!(
        (summary.reencrypted, summary.unchanged, summary.counts.companions),
        (0, 12, 0),
        "{summary:?}"
    );
    let native = weed.client_builder(local_keyring("local")).s3ec(S3ec::refused()).build();
    for number in 0..12 {
        let read = read(&native, &uri(&format!("{number:02}"))).await;
        assert_eq!(read.expect("native"), plaintext(number * 100), "{number}");
    }

    let back = weed.client_builder(local_keyring("local")).s3ec(everything().keyring(aes_key()));
    let back = back.unencrypted(UnencryptedObjects::PassThrough).build();
    let summary = run(back.migrator(WriteFormat::S3ec)).await;
    assert_eq!(
        (summary.reencrypted, summary.unchanged, summary.failed()),
        (14, 0, 0),
        "{summary:?}"
    );
    for number in 0..12 {
        assert_eq!(
            read(&client, &uri(&format!("{number:02}"))).await.expect("V3"),
            plaintext(number * 100),
            "{number}"
        );
    }
    // An instruction file without its marker looks like any object. Sealing it would make its
    // object unreadable.
    let (object, file) = (uri("kept"), uri("kept.instruction"));
    client.put().uri(&object).body("kept").s3ec().instruction_file().send().await.expect("put");
    let stored = Stored::fetch(&weed.s3(), &file).await;
    Stored { metadata: Default::default(), ..stored }.store(&weed.s3(), &file).await;
    assert_kind(
        back.reencrypt().uri(&file).send().await,
        ErrorKind::Unsupported,
        &file,
        "an instruction file",
    );
    assert_eq!(read(&client, &object).await.expect("kept"), "kept");
}

/// An unencrypted object is sealed in place if the policy allows it.
#[tokio::test]
async fn unencrypted_objects_are_sealed() {
    let stack = LocalStack::new(east());
    let uri = stack.object("plain");
    Stored { body: plaintext(1000), metadata: Default::default() }.store(&stack.s3(), &uri).await;
    let strict = stack.client([&stack.home.key]);
    assert_kind(
        strict.reencrypt().uri(&uri).send().await,
        ErrorKind::NotSealed,
        &uri,
        "by default",
    );
    let mixed = stack
        .client_builder([&stack.home.key])
        .unencrypted(UnencryptedObjects::PassThrough)
        .build();
    mixed.reencrypt().uri(&uri).send().await.expect("seal it");
    assert_eq!(read(&strict, &uri).await.expect("get"), plaintext(1000));
}

/// The client's settings limit what an attacker can substitute for a native object.
#[tokio::test]
async fn a_client_without_s3ec_settings_refuses_its_objects() {
    let stack = LocalStack::new(east());
    let (writer, uri, other) =
        (stack.client([&stack.home.key]), stack.object("native"), stack.object("s3ec"));
    writer.put().uri(&uri).body("genuine").send().await.expect("put");
    writer.put().uri(&other).body("planted").s3ec().send().await.expect("put");
    Stored::fetch(&stack.s3(), &other).await.store(&stack.s3(), &uri).await;
    let careful = client(&stack, S3ec::refused());
    assert_unreadable(&careful, &uri, &[ErrorKind::PolicyRefused], b"", "planted").await;
}

/// Stores a mail as Amazon SES does: its data key is wrapped by the algorithm `kms`, under an
/// encryption context whose names AWS reserves. (Amazon SES Developer Guide, "Deliver to S3 bucket
/// action".)
async fn store_mail(stack: &LocalStack, uri: &sealwax_s3::S3Uri) -> Vec<u8> {
    let data = plaintext(500);
    client(stack, v2()).put().uri(uri).body(data.clone()).s3ec().send().await.expect("V2");
    let Stored { body, mut metadata } = Stored::fetch(&stack.s3(), uri).await;
    let blob = |text: &str| Blob::new(BASE64_STANDARD.decode(text).expect("base64"));
    let pairs =
        |text: &str| -> HashMap<String, String> { serde_json::from_str(text).expect("JSON") };
    let kms = stack.kms();
    let decrypt = kms.decrypt().ciphertext_blob(blob(&metadata["x-amz-key-v2"]));
    let decrypt = decrypt.set_encryption_context(Some(pairs(&metadata["x-amz-matdesc"])));
    let data_key = decrypt.send().await.expect("decrypted").plaintext.expect("a data key");
    let key = stack.home.key.as_str();
    let description = serde_json::json!({
        "aws:ses:message-id": "0000014a", "aws:ses:rule-name": "store", "kms_cmk_id": key,
    });
    let description = description.to_string();
    let encrypt = kms.encrypt().key_id(key).plaintext(data_key);
    let encrypt = encrypt.set_encryption_context(Some(pairs(&description)));
    let wrapped = encrypt.send().await.expect("encrypted").ciphertext_blob.expect("a ciphertext");
    metadata.insert("x-amz-key-v2".into(), BASE64_STANDARD.encode(wrapped));
    metadata.insert("x-amz-matdesc".into(), description);
    metadata.insert("x-amz-wrap-alg".into(), "kms".into());
    Stored { body, metadata }.store(&stack.s3(), uri).await;
    data.to_vec()
}

#[tokio::test]
async fn mail_of_amazon_ses_is_rewrapped_and_migrated() {
    let stack = LocalStack::new(east());
    for reader in [
        stack.keyring([&stack.home.key]),
        stack
            .keyring_builder()
            .discovery(sealwax_s3::DiscoveryFilter::accounts([stack.home.key.account()]))
            .build()
            .expect("a keyring"),
    ] {
        let reader = std::sync::Arc::new(reader);
        let builder =
            || sealwax_s3::SealedClient::builder(stack.s3(), std::sync::Arc::clone(&reader));
        let client = builder().s3ec(everything()).build();
        let (mail, other) = (stack.object("mail"), stack.object("mail"));
        let (data, other_data) =
            (store_mail(&stack, &mail).await, store_mail(&stack, &other).await);
        assert_eq!(read(&client, &mail).await.expect("SES's own"), data);

        let rewrapper = client
            .rewrapper(KeyChanges::new().replace_keys(stack.keyring([&stack.home.key_2])))
            .expect("edits");
        let listed = sealwax_s3::ListedObject::new(mail.bucket(), mail.key());
        let planned = plan_one(&rewrapper, &listed).await.action;
        assert!(matches!(planned, Action::Rewrap { .. }), "{planned:?}");
        let outcome = rewrapper.rewrap_one(&listed).await;
        assert_eq!(outcome.name(), "rewrapped", "{outcome:?}");
        assert_eq!(rewrapper.rewrap_one(&listed).await.name(), "unchanged");
        // AWS's names cannot be given as a required context, and so are not required.
        let by_new = stack.client_builder([&stack.home.key_2]).s3ec(everything()).build();
        assert_eq!(read(&by_new, &mail).await.expect("by the new key"), data);
        let more = by_new.get().uri(&mail).context("tenant", "acme").send().await;
        assert_eq!(more.expect_err("it has no such pair").kind(), ErrorKind::ContextMismatch);

        let keyring = stack.keyring([&stack.home.key_2]);
        let migrated = client.reencrypt().uri(&other).to(WriteFormat::Sealwax).keyring(keyring);
        migrated.send().await.expect("migrated");
        let native = stack.client([&stack.home.key_2]);
        assert_eq!(read(&native, &other).await.expect("Sealwax's"), other_data);
    }
}
