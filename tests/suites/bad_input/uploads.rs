//! Failed uploads: no object becomes visible, and no incomplete upload costs storage.

use std::{
    fs, io,
    sync::atomic::{AtomicBool, Ordering},
};

use bytes::Bytes;
use futures_util::stream;
use sealwax_s3::{ConditionPolicy, ErrorKind, ErrorKind::*, PlaintextSource, S3Uri, SealedClient};
use sealwax_tests::{
    Call, Ending, LocalStack, PART, Reaction, Wire, assert_kind, east, local_keyring, plaintext,
    read, unfinished_uploads,
};

/// Returns a client with memory for one part, so that it reads a part only after sending the
/// previous one. It trusts the store, so that faults meet the requests of the upload itself.
fn client(stack: &LocalStack) -> SealedClient {
    let builder = SealedClient::builder(stack.s3(), local_keyring("a"));
    builder.part_len(PART).memory_budget(PART).conditions(ConditionPolicy::Trust).build()
}

async fn assert_nothing_left(uri: &S3Uri, case: &str) {
    let stack = LocalStack::new(east());
    assert_eq!(unfinished_uploads(&stack.s3(), uri).await, 0, "{case}: an upload was left behind");
    let head = client(&stack).head().uri(uri).send().await;
    assert_kind(head, NotFound, uri, case);
}

fn refuse(status: u16, code: &str) -> Reaction {
    Reaction::Answer(
        status,
        format!("<Error><Code>{code}</Code><Message>says S3</Message></Error>"),
    )
}

#[tokio::test]
async fn a_permanent_failure_of_a_call_fails_the_upload() {
    type Case = (&'static str, fn(&Call) -> bool, fn() -> Reaction, ErrorKind);
    let cases: [Case; 8] = [
        (
            "create denied",
            |call| call.operation == "CreateMultipartUpload",
            || refuse(403, "AccessDenied"),
            AccessDenied,
        ),
        ("part 1 fails", |call| call.part == Some(1), || refuse(500, "InternalError"), Unavailable),
        (
            "part 2 denied",
            |call| call.part == Some(2),
            || refuse(403, "AccessDenied"),
            AccessDenied,
        ),
        ("part 2 not sent", |call| call.part == Some(2), || Reaction::Refuse, Unavailable),
        (
            "the last part refused",
            |call| call.part == Some(3),
            || refuse(400, "InvalidPart"),
            Service,
        ),
        ("parts throttled", |call| call.part.is_some(), || refuse(503, "SlowDown"), Throttled),
        (
            "complete denied",
            |call| call.operation == "CompleteMultipartUpload",
            || refuse(403, "AccessDenied"),
            AccessDenied,
        ),
        (
            "complete fails",
            |call| call.operation == "CompleteMultipartUpload",
            || refuse(500, "InternalError"),
            Unavailable,
        ),
    ];
    for (case, on, reaction, kind) in cases {
        let stack = LocalStack::over(
            Wire::new(move |call| if on(call) { reaction() } else { Reaction::Pass }),
            east(),
        );
        let uri = stack.object("failed");
        let put = client(&stack).put().uri(&uri).body(plaintext(2 * PART + 10)).send().await;
        assert_kind(put, kind, &uri, case);
        assert_nothing_left(&uri, case).await;
    }
}

/// FORMAT.md W4: an object appears only as a whole.
#[tokio::test]
async fn a_failed_upload_leaves_the_existing_object() {
    let stack = LocalStack::over(
        Wire::new(|call| if call.part == Some(2) { Reaction::Refuse } else { Reaction::Pass }),
        east(),
    );
    let (client, uri) = (client(&stack), stack.object("before"));
    client.put().uri(&uri).body("original").send().await.expect("put");
    let put = client.put().uri(&uri).body(plaintext(2 * PART)).send().await;
    assert_kind(put, Unavailable, &uri, "part 2");
    assert_eq!(read(&client, &uri).await.expect("get"), "original");
}

#[tokio::test]
async fn a_transient_failure_is_retried() {
    let stack = LocalStack::over(
        Wire::new(|call| match (call.part, call.nth) {
            (Some(1), 0) => Reaction::Refuse,
            (Some(2), 2) => refuse(503, "SlowDown"),
            (Some(2), 3) => Reaction::LoseAnswer,
            _ => Reaction::Pass,
        }),
        east(),
    );
    let (client, uri, data) = (client(&stack), stack.object("retried"), plaintext(2 * PART + 10));
    client.put().uri(&uri).body(data.clone()).send().await.expect("put");
    assert!(read(&client, &uri).await.expect("get") == data);
}

/// FORMAT.md W4: an object appears whole, or not at all.
#[tokio::test]
async fn a_failing_source_fails_the_upload() {
    let pieces = |len: usize| {
        let data = (0..len.div_ceil(PART)).map(|_| Ok(plaintext(PART)));
        stream::iter(data.chain([Err(io::Error::other("the source broke"))]).collect::<Vec<_>>())
    };
    for parts in [0, 1, 2] {
        for case in ["stream", "reader"] {
            let stack = LocalStack::new(east());
            let uri = stack.object("source");
            let source = match case {
                "stream" => PlaintextSource::stream(pieces(parts * PART)),
                _ => {
                    PlaintextSource::reader(tokio_util::io::StreamReader::new(pieces(parts * PART)))
                }
            };
            let put = client(&stack).put().uri(&uri).body(source).send().await;
            let error = assert_kind(put, Io, &uri, case);
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            assert_eq!(cause.as_deref(), Some("the source broke"), "{parts} parts of a {case}");
            assert_nothing_left(&uri, case).await;
        }
    }
}

#[tokio::test]
async fn a_file_change_during_the_upload_fails_it() {
    type Change = fn(&std::path::Path) -> io::Result<()>;
    let cases: [(&str, Change); 4] = [
        ("emptied", |path| fs::write(path, "")),
        ("shortened", |path| {
            fs::OpenOptions::new().write(true).open(path)?.set_len(PART as u64 + 5)
        }),
        ("lengthened", |path| {
            fs::OpenOptions::new().write(true).open(path)?.set_len(4 * PART as u64)
        }),
        ("rewritten", |path| fs::write(path, vec![1; 2 * PART + 10])),
    ];
    // In parts, the file changes while the first part is sent; in one piece, while KMS generates
    // the key.
    for (len, when) in [(2 * PART + 10, "UploadPart"), (1000, "GenerateDataKey")] {
        for (case, change) in cases {
            let file = tempfile::NamedTempFile::new().expect("a file");
            fs::write(&file, plaintext(len)).expect("a file");
            let (path, done) = (file.path().to_owned(), AtomicBool::new(false));
            let wire = Wire::new(move |call| {
                if call.operation == when && !done.swap(true, Ordering::Relaxed) {
                    change(&path).expect(case);
                }
                Reaction::Pass
            });
            let stack = LocalStack::over(wire, east());
            let uri = stack.object("file");
            let client =
                stack.client_builder([&stack.home.key]).part_len(PART).memory_budget(PART).build();
            let put = client.put().uri(&uri).body(PlaintextSource::file(file.path())).send().await;
            assert_kind(put, Io, &uri, &format!("{case} during {when}"));
            assert_nothing_left(&uri, case).await;
        }
    }
}

/// An upload reads the file that it opened, which another one of its name does not replace.
#[tokio::test]
async fn an_upload_keeps_to_the_file_that_it_opened() {
    for (len, when) in [(2 * PART + 10, "UploadPart"), (1000, "GenerateDataKey")] {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        fs::write(&path, plaintext(len)).expect("a file");
        let (name, done) = (path.clone(), AtomicBool::new(false));
        let wire = Wire::new(move |call| {
            if call.operation == when && !done.swap(true, Ordering::Relaxed) {
                fs::remove_file(&name).expect("removed");
                fs::write(&name, vec![1; len]).expect("another file");
            }
            Reaction::Pass
        });
        let stack = LocalStack::over(wire, east());
        let uri = stack.object("file");
        let client =
            stack.client_builder([&stack.home.key]).part_len(PART).memory_budget(PART).build();
        client.put().uri(&uri).body(PlaintextSource::file(&path)).send().await.expect(when);
        assert!(read(&client, &uri).await.expect(when) == plaintext(len), "{when}");
    }
}

/// The SDK retries a conditional write after a lost response, and the retry then finds its own
/// object.
#[tokio::test]
async fn a_lost_response_to_a_put_is_resolved() {
    for (operation, len) in [("PutObject", 10), ("CompleteMultipartUpload", PART + 10)] {
        for losses in [1, usize::MAX] {
            let wire =
                Wire::new(move |call| match call.operation == operation && call.nth < losses {
                    true => Reaction::LoseAnswer,
                    false => Reaction::Pass,
                });
            let stack = LocalStack::over(wire, east());
            let (client, uri, data) = (client(&stack), stack.object("lost"), plaintext(len));
            let case = format!("{losses} lost answers to {operation}");
            let put = client.put().uri(&uri).body(data.clone()).if_none_match("*").send().await;
            let put = put.unwrap_or_else(|error| panic!("{case}: {error:?}"));
            let head = client.head().uri(&uri).send().await.expect("head");
            assert_eq!((head.e_tag, head.version_id), (put.e_tag, put.version_id), "{case}");
            assert!(read(&client, &uri).await.expect("get") == data, "{case}");
            assert_eq!(unfinished_uploads(client.s3(), &uri).await, 0, "{case}");
        }
    }
}

/// No request arrives, and the object is another writer's.
#[tokio::test]
async fn a_lost_response_does_not_claim_another_writers_object() {
    let wire = Wire::new(|call| match (call.operation.as_str(), call.nth) {
        ("PutObject", 1..) => Reaction::Refuse,
        _ => Reaction::Pass,
    });
    let stack = LocalStack::over(wire, east());
    let (client, uri) = (client(&stack), stack.object("theirs"));
    client.put().uri(&uri).body("theirs").send().await.expect("put");
    let put = client.put().uri(&uri).body(Bytes::from("ours")).send().await;
    assert_kind(put, Unavailable, &uri, "never sent");
    assert_eq!(read(&client, &uri).await.expect("get"), "theirs");
}

/// The response has a success status, and then the connection breaks.
#[tokio::test]
async fn a_response_that_breaks_off_is_resolved() {
    for (operation, len) in [("PutObject", 10), ("CompleteMultipartUpload", PART + 10)] {
        let wire = Wire::new(move |call| match call.operation == operation {
            true => Reaction::CutAnswer(0, Ending::Broken),
            false => Reaction::Pass,
        });
        let stack = LocalStack::over(wire, east());
        let (client, uri, data) = (client(&stack), stack.object("broken"), plaintext(len));
        let put = client.put().uri(&uri).body(data.clone()).send().await;
        put.unwrap_or_else(|error| panic!("{operation}: {error:?}"));
        assert!(read(&client, &uri).await.expect("get") == data, "{operation}");
    }
}
