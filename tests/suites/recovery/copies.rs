//! Multipart copies, which S3 requires above 5 GiB, here of shorter objects.

use std::sync::Arc;

use futures_util::{FutureExt as _, future::BoxFuture};
use sealwax_s3::{
    ErrorKind, S3Uri, SealedClient, SealedClientBuilder,
    aws_sdk_s3::{
        Client,
        types::{
            ChecksumAlgorithm, ChecksumMode, ChecksumType, CompletedMultipartUpload, CompletedPart,
        },
    },
};
use sealwax_tests::{
    LocalStack, PART, Reaction, SeaweedFs, Stored, Wire, assert_kind, east, local_keyring,
    plaintext, read, unfinished_uploads,
};
use tokio::sync::Notify;

/// Builds a client that copies everything in parts.
fn in_parts(client: SealedClientBuilder) -> SealedClient {
    client.part_len(PART).copy_in_parts_above(0).build()
}

async fn seaweedfs(wire: Wire) -> (SealedClient, S3Uri) {
    let store = SeaweedFs::over(wire).await;
    (in_parts(store.client_builder(local_keyring("a"))), store.object("copy"))
}

/// Returns the lengths of the object's parts, as read by part number.
async fn part_lens(s3: &Client, uri: &S3Uri) -> Vec<i64> {
    let part = async |number| {
        let head =
            s3.head_object().bucket(uri.bucket()).key(uri.key()).part_number(number).send().await;
        head.expect("a part")
    };
    let count = part(1).await.parts_count().unwrap_or(1);
    let mut lens = Vec::new();
    for number in 1..=count {
        lens.push(part(number).await.content_length().expect("a length"));
    }
    lens
}

#[tokio::test]
async fn a_multipart_copy_keeps_part_boundaries() {
    let (stack, store) = (LocalStack::new(east()), SeaweedFs::new().await);
    for (case, wire, client, uri) in [
        (
            "LocalStack",
            &stack.wire,
            in_parts(stack.client_builder([&stack.home.key])),
            stack.object("parts"),
        ),
        (
            "SeaweedFS",
            &store.wire,
            in_parts(store.client_builder(local_keyring("a"))),
            store.object("parts"),
        ),
    ] {
        let data = plaintext(2 * PART + 1000);
        client.put().uri(&uri).body(data.clone()).send().await.expect("put");
        let before = part_lens(client.s3(), &uri).await;
        assert_eq!(before.len(), 3, "{case}");
        let e_tag = client.head().uri(&uri).send().await.expect("head").e_tag;
        wire.forget();
        let rewrap =
            client.rewrap().uri(&uri).add_keys(local_keyring("b")).send().await.expect("rewrap");
        let calls = wire.calls();
        let count = |operation| calls.iter().filter(|call| call.operation == operation).count();
        assert_eq!(
            (count("UploadPartCopy"), count("CopyObject"), count("GetObject")),
            (3, 0, 0),
            "{case}"
        );
        let body_bytes = calls
            .iter()
            .filter(|call| call.operation != "CompleteMultipartUpload" && call.service == "s3");
        assert_eq!(body_bytes.map(|call| call.body_len).sum::<usize>(), 0, "{case}: body bytes");

        assert_eq!(part_lens(client.s3(), &uri).await, before, "{case}");
        let head = client.head().uri(&uri).send().await.expect("head");
        assert_eq!(
            (head.header(), &head.version_id),
            (rewrap.header(), &rewrap.version_id),
            "{case}"
        );
        assert_eq!(head.e_tag, e_tag, "{case}: an entity tag that is made of the parts'");
        assert!(read(&client, &uri).await.expect("get") == data, "{case}");
        assert_eq!(unfinished_uploads(client.s3(), &uri).await, 0, "{case}");
    }
}

/// S3 lists part lengths only for objects with part checksums.
#[tokio::test]
async fn parts_that_s3_does_not_list_are_asked_about_one_by_one() {
    for answer in [
        "<GetObjectAttributesResponse><ObjectParts><PartsCount>2</PartsCount></ObjectParts></GetObjectAttributesResponse>",
        "<Error><Code>NotImplemented</Code></Error>",
    ] {
        let status = if answer.starts_with("<Error>") { 501 } else { 200 };
        let (client, uri) = seaweedfs(Wire::answering("GetObjectAttributes", status, answer)).await;
        client.put().uri(&uri).body(plaintext(PART + 1000)).send().await.expect("put");
        let before = part_lens(client.s3(), &uri).await;
        client.rewrap().uri(&uri).add_keys(local_keyring("b")).send().await.expect("rewrap");
        assert_eq!(part_lens(client.s3(), &uri).await, before);
    }
}

#[tokio::test]
async fn an_object_without_parts_is_copied_in_even_parts() {
    let stack = LocalStack::new(east());
    let uri = stack.object("no-parts");
    let client = stack
        .client_builder([&stack.home.key])
        .part_len(3 * PART)
        .copy_in_parts_above(PART as u64)
        .build();
    let data = plaintext(2 * PART + 1000);
    client.put().uri(&uri).body(data.clone()).send().await.expect("put");
    client.rewrap().uri(&uri).add_keys(local_keyring("b")).send().await.expect("rewrap");
    let stored = Stored::fetch(client.s3(), &uri).await.body.len();
    assert_eq!(
        part_lens(client.s3(), &uri).await,
        [PART, PART, stored - 2 * PART].map(|len| len as i64)
    );
    assert!(read(&client, &uri).await.expect("get") == data);
}

/// Stores the object again in two parts, with checksums of this kind.
async fn store_with(
    s3: &Client,
    uri: &S3Uri,
    stored: Stored,
    algorithm: &ChecksumAlgorithm,
    kind: &ChecksumType,
) {
    let (bucket, key) = (uri.bucket(), uri.key());
    let create =
        s3.create_multipart_upload().bucket(bucket).key(key).set_metadata(Some(stored.metadata));
    let create = create
        .checksum_algorithm(algorithm.clone())
        .checksum_type(kind.clone())
        .send()
        .await
        .expect("create");
    let upload_id = create.upload_id().expect("an id");
    let mut parts = CompletedMultipartUpload::builder();
    for (number, body) in (1..).zip([stored.body.slice(..PART), stored.body.slice(PART..)]) {
        let part =
            s3.upload_part().bucket(bucket).key(key).upload_id(upload_id).part_number(number);
        let part = part
            .checksum_algorithm(algorithm.clone())
            .body(body.into())
            .send()
            .await
            .expect("a part");
        let done = CompletedPart::builder().part_number(number).set_e_tag(part.e_tag);
        let done = done
            .set_checksum_crc32(part.checksum_crc32)
            .set_checksum_crc32_c(part.checksum_crc32_c);
        parts = parts.parts(done.set_checksum_sha256(part.checksum_sha256).build());
    }
    let complete = s3.complete_multipart_upload().bucket(bucket).key(key).upload_id(upload_id);
    complete
        .multipart_upload(parts.build())
        .checksum_type(kind.clone())
        .send()
        .await
        .expect("complete");
}

#[tokio::test]
async fn checksums_keep_their_algorithm_type_and_value() {
    let stack = LocalStack::new(east());
    let client = in_parts(stack.client_builder([&stack.home.key]));
    for (algorithm, kind) in [
        (ChecksumAlgorithm::Crc32, ChecksumType::Composite),
        (ChecksumAlgorithm::Crc32, ChecksumType::FullObject),
        (ChecksumAlgorithm::Crc32C, ChecksumType::FullObject),
        (ChecksumAlgorithm::Sha256, ChecksumType::Composite),
    ] {
        let (case, uri) = (format!("{algorithm}, {kind}"), stack.object("checksum"));
        client.put().uri(&uri).body(plaintext(PART + 1000)).send().await.expect("put");
        let stored = Stored::fetch(client.s3(), &uri).await;
        store_with(client.s3(), &uri, stored, &algorithm, &kind).await;
        let checksums = async || {
            let head = client.s3().head_object().bucket(uri.bucket()).key(uri.key());
            let head = head.checksum_mode(ChecksumMode::Enabled).send().await.expect("head");
            (head.checksum_type, head.checksum_crc32, head.checksum_crc32_c, head.checksum_sha256)
        };
        let before = checksums().await;
        assert_eq!(before.0, Some(kind), "{case}");
        client.rewrap().uri(&uri).add_keys(local_keyring("b")).send().await.expect(&case);
        assert_eq!(checksums().await, before, "{case}");
    }
}

/// FORMAT.md W7: a copy happens as a whole or not at all.
#[tokio::test]
async fn a_failed_multipart_copy_is_aborted() {
    for operation in ["UploadPartCopy", "CompleteMultipartUpload"] {
        // The first part arrives.
        let wire =
            Wire::new(move |call| match call.operation == operation && call.part != Some(1) {
                true => Reaction::Answer(403, "<Error><Code>AccessDenied</Code></Error>".into()),
                false => Reaction::Pass,
            });
        let (quiet, uri) = seaweedfs(Wire::default()).await;
        let (client, _) = seaweedfs(wire).await;
        let data = plaintext(PART + 1000);
        quiet.put().uri(&uri).body(data.clone()).send().await.expect("put");
        let rewrap = client.rewrap().uri(&uri).add_keys(local_keyring("b")).send().await;
        assert_kind(rewrap, ErrorKind::AccessDenied, &uri, operation);
        assert_eq!(unfinished_uploads(quiet.s3(), &uri).await, 0, "{operation}");
        assert_eq!(
            quiet.head().uri(&uri).send().await.expect("head").generation(),
            1,
            "{operation}"
        );
        assert!(read(&quiet, &uri).await.expect("get") == data, "{operation}");
    }
}

#[tokio::test]
async fn a_dropped_multipart_copy_is_aborted() {
    for operation in ["CreateMultipartUpload", "UploadPartCopy", "CompleteMultipartUpload"] {
        let (reached, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (at, then) = (Arc::clone(&reached), Arc::clone(&go_on));
        let wire = Wire::new(move |call| {
            let (at, then) = (Arc::clone(&at), Arc::clone(&then));
            match call.operation == operation && call.nth == 0 {
                true => Reaction::HoldAnswer(Box::pin(async move {
                    at.notify_one();
                    then.notified().await;
                })),
                false => Reaction::Pass,
            }
        });
        let (quiet, uri) = seaweedfs(Wire::default()).await;
        let (client, _) = seaweedfs(wire).await;
        let data = plaintext(PART + 1000);
        quiet.put().uri(&uri).body(data.clone()).send().await.expect("put");
        let rewrap = client.rewrap().uri(&uri).add_keys(local_keyring("b")).send();
        tokio::select! {
            _ = rewrap => panic!("{operation}: it was not held"),
            () = reached.notified() => {}
        }
        go_on.notify_one();
        client.settle().await;
        assert_eq!(unfinished_uploads(quiet.s3(), &uri).await, 0, "{operation}");
        assert!(read(&quiet, &uri).await.expect("get") == data, "{operation}");
    }
}

/// Returns a client whose first `operation` waits until another client has done `meanwhile`.
async fn racing(
    operation: &'static str,
    meanwhile: fn(SealedClient, S3Uri) -> BoxFuture<'static, ()>,
) -> (SealedClient, SealedClient, S3Uri) {
    let (other, uri) = seaweedfs(Wire::default()).await;
    let rival = (other.clone(), uri.clone());
    let (racer, _) =
        seaweedfs(Wire::new(move |call| match call.operation == operation && call.nth == 0 {
            true => Reaction::Await(meanwhile(rival.0.clone(), rival.1.clone())),
            false => Reaction::Pass,
        }))
        .await;
    other.put().uri(&uri).body(plaintext(PART + 1000)).send().await.expect("put");
    (racer, other, uri)
}

#[tokio::test]
async fn a_concurrent_overwrite_wins_over_a_multipart_rewrap() {
    for operation in ["CreateMultipartUpload", "UploadPartCopy", "CompleteMultipartUpload"] {
        let overwrite = |rival: SealedClient, uri: S3Uri| {
            async move { drop(rival.put().uri(&uri).body("newer").send().await.expect("overwrite")) }.boxed()
        };
        let (racer, other, uri) = racing(operation, overwrite).await;
        let rewrap = racer.rewrap().uri(&uri).add_keys(local_keyring("b")).send().await;
        assert_kind(rewrap, ErrorKind::Conflict, &uri, operation);
        assert_eq!(read(&other, &uri).await.expect("get"), "newer", "{operation}");
        assert_eq!(unfinished_uploads(other.s3(), &uri).await, 0, "{operation}");
    }
}

/// A copy with the same parts has the same entity tag, so the tag cannot tell them apart.
#[tokio::test]
async fn a_concurrent_rewrap_wins_over_a_multipart_rewrap() {
    for operation in ["CreateMultipartUpload", "UploadPartCopy"] {
        let add = |rival: SealedClient, uri: S3Uri| {
            async move {
                drop(
                    rival
                        .rewrap()
                        .uri(&uri)
                        .add_keys(local_keyring("c"))
                        .send()
                        .await
                        .expect("add c"),
                );
            }
            .boxed()
        };
        let (racer, other, uri) = racing(operation, add).await;
        let rewrap = racer.rewrap().uri(&uri).add_keys(local_keyring("b")).send().await;
        assert_kind(rewrap, ErrorKind::Conflict, &uri, operation);
        let head = other.head().uri(&uri).send().await.expect("head");
        let keys: Vec<_> = head.keys().iter().map(|key| key.wrapping_key()).collect();
        assert_eq!(keys, ["a", "c"], "{operation}");
        assert_eq!(unfinished_uploads(other.s3(), &uri).await, 0, "{operation}");
    }
}

#[tokio::test]
async fn a_lost_response_to_a_multipart_rewrap_is_a_success() {
    for operation in ["UploadPartCopy", "CompleteMultipartUpload"] {
        let losses = if operation == "UploadPartCopy" { 1 } else { usize::MAX };
        let (client, uri) = seaweedfs(Wire::new(move |call| {
            match call.operation == operation && call.nth < losses {
                true => Reaction::LoseAnswer,
                false => Reaction::Pass,
            }
        }))
        .await;
        let (quiet, _) = seaweedfs(Wire::default()).await;
        quiet.put().uri(&uri).body(plaintext(PART + 1000)).send().await.expect("put");
        let rewrap =
            client.rewrap().uri(&uri).add_keys(local_keyring("b")).send().await.expect(operation);
        assert_eq!(
            client.head().uri(&uri).send().await.expect("head").header(),
            rewrap.header(),
            "{operation}"
        );
    }
}

/// After a permanent failure of any call, in any way, the object opens with its old keys or its new
/// ones, and nothing is left behind.
#[tokio::test]
async fn a_permanent_failure_of_any_call_leaves_a_readable_object() {
    const CALLS: [&str; 7] = [
        "HeadObject",
        "GET tagging",
        "GetObjectAttributes",
        "GetBucketOwnershipControls",
        "CreateMultipartUpload",
        "UploadPartCopy",
        "CompleteMultipartUpload",
    ];
    type Fault = fn() -> Reaction;
    let faults: [(&str, Fault); 4] = [
        ("refused", || Reaction::Refuse),
        ("500", || Reaction::Answer(500, "<Error><Code>InternalError</Code></Error>".into())),
        ("lost answer", || Reaction::LoseAnswer),
        ("empty answer", || Reaction::Answer(200, String::new())),
    ];
    let case = |call: &'static str, name: &'static str, fault: Fault, after: usize| async move {
        let case = format!("{call} {name} after {after}");
        let (quiet, uri) = seaweedfs(Wire::default()).await;
        let (client, _) = seaweedfs(Wire::new(move |it| {
            match it.operation.starts_with(call) && it.nth >= after {
                true => fault(),
                false => Reaction::Pass,
            }
        }))
        .await;
        let data = plaintext(PART + 1000);
        quiet.put().uri(&uri).body(data.clone()).send().await.expect(&case);
        let rewrap = client.rewrap().uri(&uri).add_keys(local_keyring("b")).send().await;
        client.settle().await;
        let head = quiet.head().uri(&uri).send().await.expect(&case);
        if let Ok(rewrap) = &rewrap {
            assert_eq!(head.header(), rewrap.header(), "{case}");
        }
        assert!(read(&quiet, &uri).await.expect(&case) == data, "{case}");
        // If the response with the upload ID was lost, the client cannot abort the upload.
        let unknown = call == "CreateMultipartUpload" && name == "lost answer";
        assert!(
            unknown || unfinished_uploads(quiet.s3(), &uri).await == 0,
            "{case}: an upload is left behind"
        );
        rewrap.is_ok()
    };
    let mut cases = Vec::new();
    for (call, (name, fault)) in
        CALLS.iter().flat_map(|call| faults.iter().map(move |fault| (*call, fault)))
    {
        let from = if call == "HeadObject" { 0..5 } else { 0..1 };
        cases.extend(from.map(|after| case(call, name, *fault, after)));
    }
    let done = futures_util::future::join_all(cases).await;
    let ok = done.iter().filter(|ok| **ok).count();
    assert!(ok > 0 && ok < done.len(), "{ok} of {} went through", done.len());
}
