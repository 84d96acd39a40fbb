//! Moves: whatever the store, the only copy of an object is never deleted.

use std::sync::Arc;

use futures_util::{FutureExt as _, future::BoxFuture};
use sealwax_s3::{
    Error, ErrorKind, MoveObject, PlacePolicy, S3Uri, SealedClient, SealedClientBuilder,
    SidecarPolicy,
    aws_sdk_s3::types::{BucketVersioningStatus, VersioningConfiguration},
    envelope::MultiKeyring,
};
use sealwax_tests::{
    LocalStack, PART, Reaction, SeaweedFs, Wire, assert_kind, east, local_keyring, plaintext, read,
    unique,
};

/// Suffix of the second name of a bucket.
const ALIAS: &str = "-s3alias";

/// Maps a bucket's second name to its first, and keys as a store does that normalizes them.
fn first_name(path: &str) -> String {
    path.replacen(ALIAS, "", 1)
        .replace("%2F%2F", "/")
        .replace("//", "/")
        .replace("second/", "first/")
}

/// Returns LocalStack as a store where objects have several names.
fn with_aliases() -> LocalStack {
    let wire = Wire::new(|call| match call.service.as_str() {
        "s3" => Reaction::Rename(first_name),
        _ => Reaction::Pass,
    });
    LocalStack::over(wire, east())
}

async fn new_bucket(stack: &LocalStack, is_versioned: bool) -> String {
    let (s3, bucket) = (stack.s3(), unique("moves"));
    s3.create_bucket().bucket(&bucket).send().await.expect("a bucket");
    if is_versioned {
        let on = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
        let put = s3.put_bucket_versioning().bucket(&bucket).versioning_configuration(on);
        put.send().await.expect("versioning");
    }
    bucket
}

fn uri(bucket: &str, key: &str) -> S3Uri {
    format!("s3://{bucket}/{key}").parse().expect("an object's name")
}

fn movement(client: &SealedClient, from: &S3Uri, to: &S3Uri) -> MoveObject {
    client.copy().source_uri(from).uri(to).delete_source()
}

fn deletions(wire: &Wire) -> usize {
    wire.operations("s3").iter().filter(|operation| *operation == "DeleteObject").count()
}

/// The names are compared before the copy. Where keys are bound to no place, the copy changes nothing,
/// and the move looks afterwards.
#[tokio::test]
async fn an_object_is_not_moved_to_its_own_other_name() {
    let (quiet, stack) = (LocalStack::new(east()), with_aliases());
    for (is_versioned, is_long, is_bound) in [false, true]
        .into_iter()
        .flat_map(|a| [(a, false, true), (a, true, true), (a, false, false)])
    {
        let bucket = new_bucket(&quiet, is_versioned).await;
        let client = |builder: SealedClientBuilder| {
            let places = if is_bound { PlacePolicy::bound() } else { PlacePolicy::off() };
            builder.part_len(PART).copy_in_parts_above(PART as u64).places(places).build()
        };
        let plain = client(quiet.client_builder([&quiet.home.key]));
        let client = client(stack.client_builder([&stack.home.key]));
        let data = plaintext(if is_long { PART + 1000 } else { 1000 });
        let alias = format!("{bucket}{ALIAS}");
        let from = uri(&bucket, "first/x");
        for to in [uri(&alias, "first/x"), uri(&bucket, "first//x"), uri(&alias, "second/x")] {
            let case = format!("{is_versioned} {is_long} {is_bound} {to}");
            plain.put().uri(&from).body(data.clone()).send().await.expect("put");
            let before = plain.head().uri(&from).send().await.expect("head").version_id;
            stack.wire.forget();
            let moved = movement(&client, &from, &to).send().await;
            let error = assert_kind(moved, ErrorKind::InvalidInput, &from, &case);
            assert_eq!(deletions(&stack.wire), 0, "{case}");
            let expected = match is_bound {
                true => format!("{to} is another name of it"),
                false => format!(
                    "copied to {to}, and kept the source: source and destination are two names of \
                     one object, which now opens under the destination's name"
                ),
            };
            assert_eq!(error.message(), expected, "{case}");
            assert!(read(&plain, &from).await.expect(&case) == data, "{case}");
            let after = plain.head().uri(&from).send().await.expect("head").version_id;
            assert_eq!(before == after, is_bound || !is_versioned, "{case}");

            // A copy onto such a name would bind the object to it.
            plain.put().uri(&from).body(data.clone()).send().await.expect("put");
            let copied = client.copy().source_uri(&from).uri(&to).send().await;
            if is_bound {
                let error = assert_kind(copied, ErrorKind::InvalidInput, &from, &case);
                assert_eq!(error.message(), expected, "{case}");
            }
            assert!(read(&plain, &from).await.expect(&case) == data, "{case}");
        }
    }
}

/// A store that does not show the destination beforehand shows afterwards what the copy did.
#[tokio::test]
async fn a_copy_that_replaced_its_source_says_so() {
    let quiet = LocalStack::new(east());
    let wire = Wire::new(|call| match (call.service.as_str(), call.operation.as_str()) {
        ("s3", "HeadObject") if call.uri.contains("second/") => {
            Reaction::Answer(403, String::new())
        }
        ("s3", _) => Reaction::Rename(first_name),
        _ => Reaction::Pass,
    });
    let stack = LocalStack::over(wire, east());
    let bucket = new_bucket(&quiet, false).await;
    let client = |stack: &LocalStack| stack.client([&stack.home.key]);
    let (from, to) = (uri(&bucket, "first/x"), uri(&bucket, "second/x"));
    client(&quiet).put().uri(&from).body("x").send().await.expect("put");
    let copied = client(&stack).copy().source_uri(&from).uri(&to).send().await;
    let error = assert_kind(copied, ErrorKind::InvalidInput, &from, "copied");
    let expected = format!(
        "copied to {to}: source and destination are two names of one object, which now opens under \
         the destination's name"
    );
    assert_eq!(error.message(), expected);
    assert_eq!(read(&client(&stack), &to).await.expect("under the other name"), "x");
    // Other objects are copied without a look at the destination.
    let other = uri(&bucket, "second/y");
    let apart = uri(&bucket, "third/x");
    client(&quiet).put().uri(&apart).body("z").send().await.expect("put");
    client(&stack).copy().source_uri(&apart).uri(&other).send().await.expect("two objects");
}

/// A store that does nothing, in all ways of saying that it did.
#[tokio::test]
async fn a_store_that_does_nothing_makes_no_copy() {
    const COPY: &str =
        "<CopyObjectResult><ETag>\"0123456789abcdef0123456789abcdef\"</ETag></CopyObjectResult>";
    const COMPLETE: &str = "<CompleteMultipartUploadResult><ETag>\"0123456789abcdef0123456789abcdef-2\"</ETag></CompleteMultipartUploadResult>";
    let quiet = SeaweedFs::new().await;
    for (call, answer, kind) in [
        ("CopyObject", "", ErrorKind::Service),
        ("CopyObject", "<CopyObjectResult></CopyObjectResult>", ErrorKind::Service),
        ("CopyObject", COPY, ErrorKind::Service),
        ("CompleteMultipartUpload", "", ErrorKind::Unavailable),
        ("CompleteMultipartUpload", COMPLETE, ErrorKind::Service),
        ("UploadPartCopy", "", ErrorKind::Service),
    ] {
        for there in [false, true] {
            let case = format!("{call} {answer} {there}");
            // The object that is at the destination was there before.
            let wire = Wire::new(move |it| match it.operation.as_str() {
                "HeadObject" if it.uri.contains("/to-") => {
                    Reaction::AddHeader("last-modified", "Thu, 01 Jan 2015 00:00:00 GMT".to_owned())
                }
                operation if operation == call => Reaction::Answer(200, answer.to_owned()),
                _ => Reaction::Pass,
            });
            let store = SeaweedFs::over(wire).await;
            let client = || {
                let builder = store.client_builder(local_keyring("a")).part_len(PART);
                let above = if call == "CopyObject" { 1 << 30 } else { 0 };
                builder.copy_in_parts_above(above).build()
            };
            let plain = quiet.client(local_keyring("a"));
            let (from, to) = (quiet.object("from"), quiet.object("to"));
            plain.put().uri(&from).body("x").send().await.expect("put");
            if there {
                plain.put().uri(&to).body("y").send().await.expect("put");
            }
            store.wire.forget();
            let moved = movement(&client(), &from, &to).send().await;
            assert_eq!(moved.expect_err(&case).kind(), kind, "{case}");
            let copied = client().copy().source_uri(&from).uri(&to).send().await;
            assert_eq!(copied.expect_err(&case).kind(), kind, "{case}");
            let rewrap = client().rewrap().uri(&from).add_keys(local_keyring("b")).send().await;
            // The object has its old metadata, as if the store ignored the directive.
            let kind = if answer.contains("0123") { ErrorKind::Unsupported } else { kind };
            assert_eq!(rewrap.expect_err(&case).kind(), kind, "{case}");
            assert_eq!(deletions(&store.wire), 0, "{case}");
            assert_eq!(read(&plain, &from).await.expect(&case), "x", "{case}");
        }
    }
}

/// A store that lies only later is found out by each move on its own.
#[tokio::test]
async fn each_move_looks_at_its_copy() {
    let store = SeaweedFs::over(Wire::new(|call| match (call.operation.as_str(), call.nth) {
        ("CopyObject", 1..) => Reaction::Answer(
            200,
            "<CopyObjectResult><ETag>\"0123456789abcdef0123456789abcdef\"</ETag></CopyObjectResult>".into(),
        ),
        _ => Reaction::Pass,
    }))
    .await;
    let client = store.client(local_keyring("a"));
    let (from, to) = (store.object("from"), store.object("to"));
    client.put().uri(&from).body("x").send().await.expect("put");
    movement(&client, &from, &to).send().await.expect("an honest copy");
    let error = movement(&client, &to, &from).send().await.expect_err("nothing was copied");
    assert_eq!(
        (error.kind(), error.message()),
        (
            ErrorKind::Service,
            format!("copied to {from}, and kept the source: the copy is not there").as_str()
        )
    );
    assert_eq!(read(&client, &to).await.expect("it stays"), "x");
}

/// Returns a client whose `nth` `operation` waits until another client has done `meanwhile`.
async fn racing(
    operation: &'static str,
    nth: usize,
    meanwhile: fn(SealedClient, S3Uri, S3Uri) -> BoxFuture<'static, ()>,
) -> (SealedClient, SealedClient, S3Uri, S3Uri) {
    let quiet = SeaweedFs::new().await;
    let (other, from, to) =
        (quiet.client(local_keyring("a")), quiet.object("from"), quiet.object("to"));
    let rival = (other.clone(), from.clone(), to.clone());
    let wire = Wire::new(move |call| match call.operation == operation && call.nth == nth {
        true => Reaction::Await(meanwhile(rival.0.clone(), rival.1.clone(), rival.2.clone())),
        false => Reaction::Pass,
    });
    other.put().uri(&from).body("x").send().await.expect("put");
    (SeaweedFs::over(wire).await.client(local_keyring("a")), other, from, to)
}

#[tokio::test]
async fn two_moves_of_one_object_end_truthfully() {
    let rival = |client: SealedClient, from: S3Uri, to: S3Uri| {
        async move {
            let elsewhere = uri(to.bucket(), &format!("{}-2", to.key()));
            movement(&client, &from, &elsewhere).send().await.expect("the rival's move");
        }
        .boxed()
    };
    for (operation, nth, ok) in [("HeadObject", 4, false), ("DeleteObject", 0, true)] {
        let (racer, other, from, to) = racing(operation, nth, rival).await;
        let result = movement(&racer, &from, &to).send().await;
        match ok {
            true => drop(result.expect("the source is gone, as it should be")),
            false => {
                let error = assert_kind(result, ErrorKind::Conflict, &from, operation);
                let expected = format!(
                    "copied to {to}, and kept the source: it was deleted or moved meanwhile, by \
                     someone else"
                );
                assert_eq!(error.message(), expected);
            }
        }
        assert_kind(read(&other, &from).await, ErrorKind::NotFound, &from, operation);
        assert_eq!(read(&other, &to).await.expect(operation), "x");
    }
}

#[tokio::test]
async fn a_source_that_was_replaced_stays() {
    let newer = |client: SealedClient, from: S3Uri, _: S3Uri| {
        async move { drop(client.put().uri(&from).body("newer").send().await.expect("put")) }
            .boxed()
    };
    for (operation, nth, why) in [
        ("HeadObject", 4, "it was replaced while it was being copied"),
        ("DeleteObject", 0, "another object was stored there meanwhile"),
    ] {
        let (racer, other, from, to) = racing(operation, nth, newer).await;
        let result = movement(&racer, &from, &to).send().await;
        let error = assert_kind(result, ErrorKind::Conflict, &from, operation);
        assert_eq!(error.message(), format!("copied to {to}, and kept the source: {why}"));
        assert_eq!(read(&other, &from).await.expect(operation), "newer");
        assert_eq!(read(&other, &to).await.expect(operation), "x");
    }
}

/// After any fault of any call, the object is where the result says.
#[tokio::test]
async fn the_result_of_a_move_is_true_after_any_fault() {
    const CALLS: [&str; 6] = [
        "HeadObject",
        "CopyObject",
        "CreateMultipartUpload",
        "UploadPartCopy",
        "CompleteMultipartUpload",
        "DeleteObject",
    ];
    type Fault = fn() -> Reaction;
    let faults: [(&str, Fault); 5] = [
        ("refused", || Reaction::Refuse),
        ("500", || Reaction::Answer(500, "<Error><Code>InternalError</Code></Error>".into())),
        ("lost answer", || Reaction::LoseAnswer),
        ("late answer", || Reaction::TimeOutAnswer),
        ("empty answer", || Reaction::Answer(200, String::new())),
    ];
    let case = |call: &'static str,
                name: &'static str,
                fault: Fault,
                after: usize,
                times: usize| async move {
        let case = format!("{call} {name} after {after}, {times} times");
        let quiet = SeaweedFs::new().await;
        let plain = quiet.client(local_keyring("a"));
        let wire = Wire::new(move |it| {
            match it.operation == call && it.nth >= after && it.nth - after < times {
                true => fault(),
                false => Reaction::Pass,
            }
        });
        let builder = SeaweedFs::over(wire).await.client_builder(local_keyring("a"));
        let in_parts = !matches!(call, "HeadObject" | "CopyObject" | "DeleteObject");
        let above = if in_parts { 0 } else { 1 << 30 };
        let client = builder.part_len(PART).copy_in_parts_above(above).build();
        let (from, to) = (quiet.object("from"), quiet.object("to"));
        plain.put().uri(&from).body("x").send().await.expect("put");
        let result = movement(&client, &from, &to).send().await;
        client.settle().await;
        let (at_source, at_target) =
            (read(&plain, &from).await.is_ok(), read(&plain, &to).await.is_ok());
        match &result {
            Ok(_) => assert!(!at_source && at_target, "{case}"),
            Err(error) => check_text(error, at_source, at_target, &case),
        }
        result.is_ok()
    };
    let mut cases = Vec::new();
    for (call, (name, fault)) in
        CALLS.iter().flat_map(|call| faults.iter().map(move |fault| (*call, *fault)))
    {
        let runs = if call == "HeadObject" { 0..6 } else { 0..1 };
        for (after, times) in runs.flat_map(|after| [(after, 1), (after, usize::MAX)]) {
            cases.push(case(call, name, fault, after, times));
        }
    }
    let done = futures_util::future::join_all(cases).await;
    let ok = done.iter().filter(|ok| **ok).count();
    assert!(ok > 10 && ok < done.len() - 10, "{ok} of {} went through", done.len());
}

fn check_text(error: &Error, at_source: bool, at_target: bool, case: &str) {
    let text = error.to_string();
    assert!(at_source || at_target, "{case}: {text}");
    assert!(at_target || !text.contains("copied to"), "{case}: {text}");
    // A store that answers for another, or not at all, leaves no more to say than this.
    let is_open = text.contains("may be deleted") || text.contains("S3 did not tell");
    assert!(at_source || is_open, "{case}: {text}");
    assert!(at_source || !text.contains("kept the source"), "{case}: {text}");
}

/// A move takes the sidecar's keys along. An interrupted one leaves a sidecar, which the next run
/// deletes.
#[tokio::test]
async fn a_sidecar_travels_with_its_object() {
    let store = SeaweedFs::new().await;
    let client = |name: &str| {
        store.client_builder(local_keyring(name)).sidecars(SidecarPolicy::read()).build()
    };
    let both = MultiKeyring::new(Arc::new(local_keyring("a")), [Arc::new(local_keyring("b")) as _]);
    let both = store.client_builder(both).sidecars(SidecarPolicy::read()).build();
    let (from, to) = (store.object("from"), store.object("to"));
    client("a").put().uri(&from).body("x").send().await.expect("put");
    let add = both.rewrap().uri(&from).add_keys(local_keyring("b"));
    add.key_storage(sealwax_s3::KeyStorage::Sidecar).send().await.expect("a sidecar");
    let sidecar = uri(from.bucket(), &format!("{}.sealwax", from.key()));
    let left = sealwax_tests::Stored::fetch(&store.s3(), &sidecar).await;

    movement(&both, &from, &to).send().await.expect("move");
    for name in ["a", "b"] {
        assert_eq!(read(&store.client(local_keyring(name)), &to).await.expect(name), "x");
    }
    let exists = async || {
        store.s3().head_object().bucket(sidecar.bucket()).key(sidecar.key()).send().await.is_ok()
    };
    assert!(!exists().await);

    // As if the first run had been killed before it deleted the sidecar.
    let put = store.s3().put_object().bucket(sidecar.bucket()).key(sidecar.key());
    let put = put.content_type("application/vnd.sealwax.sidecar+json").body(left.body.into());
    put.send().await.expect("put");
    let error = movement(&both, &from, &to).send().await.expect_err("no source");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let expected = format!("the sidecar that it left was deleted: {sidecar}");
    assert!(error.to_string().ends_with(&expected), "{error}");
    assert!(!exists().await);
}
