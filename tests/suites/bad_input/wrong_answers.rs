//! Answers that are none to their requests: other bytes, another version, another object.

use bytes::Bytes;
use sealwax_s3::{
    ErrorKind, KeyStorage, ListPages, S3Uri, SealedClient, SidecarPolicy, UploadPages,
};
use sealwax_tests::{
    Call, Ending, LocalStack, PART, Reaction, SeaweedFs, Wire, assert_kind, east, local_keyring,
    plaintext, read,
};

const LEN: usize = 2 * PART + 100_000;

/// Stores an object of three parts in a bucket with versioning.
async fn long_object(name: &str) -> (S3Uri, Bytes) {
    let stack = LocalStack::new(east());
    let (uri, data) = (stack.object(name), plaintext(LEN));
    let client = stack.client_builder([&stack.home.key]).part_len(PART).build();
    client.put().uri(&uri).body(data.clone()).send().await.expect("put");
    (uri, data)
}

fn client(react: impl Fn(&Call) -> Reaction + Send + Sync + 'static) -> SealedClient {
    let wire = Wire::new(move |call| match call.operation == "GetObject" {
        true => react(call),
        false => Reaction::Pass,
    });
    let stack = LocalStack::over(wire, east());
    stack.client_builder([&stack.home.key]).part_len(PART).build()
}

/// Some stores ignore the range always, others where a version is named.
#[tokio::test]
async fn a_store_that_ignores_ranges_is_read_from_the_right_place() {
    let (uri, data) = long_object("ignored").await;
    let whole = |_: &Call| Reaction::DropHeader("range");
    let of_version = |call: &Call| match call.uri.contains("versionId=") {
        true => Reaction::DropHeader("range"),
        false => Reaction::Pass,
    };
    for client in [client(whole), client(of_version)] {
        assert!(read(&client, &uri).await.expect("all of it") == data);
        let folder = tempfile::tempdir().expect("a directory");
        let path = folder.path().join("file");
        client.get().uri(&uri).to_file(&path).await.expect("a file");
        assert!(std::fs::read(&path).expect("read") == data);
        let middle = PART as u64 + 5..PART as u64 + 100_000;
        let range = client.get().uri(&uri).range(middle.clone()).send().await.expect("a range");
        let expected = data.slice(PART + 5..PART + 100_000);
        assert!(range.bytes().await.expect("bytes") == expected);
        let ranges = client.get().uri(&uri).ranges(&[middle, 0..5]).await.expect("ranges");
        assert!(ranges == [expected, data.slice(..5)]);
        let end = client.get().uri(&uri).suffix(70_000).send().await.expect("the end");
        assert!(end.bytes().await.expect("bytes") == data.slice(LEN - 70_000..));
        client.verify().uri(&uri).send().await.expect("it opens");
    }
}

#[tokio::test]
async fn wrong_bytes_are_the_stores_fault_and_no_tampering() {
    let (uri, _) = long_object("wrong").await;
    type Answer = fn() -> Reaction;
    let answers: [(&str, Answer); 4] = [
        ("other bytes", || Reaction::AddHeader("content-range", "bytes 7-8/9".into())),
        ("no bytes", || Reaction::AddHeader("content-range", "bytes */9".into())),
        ("nothing", || Reaction::AddHeader("content-range", String::new())),
        ("another version", || Reaction::AddHeader("x-amz-version-id", "other".into())),
    ];
    for (case, answer) in answers {
        for first in [0, 1] {
            let client = client(move |call| match call.nth >= first {
                true => answer(),
                false => Reaction::Pass,
            });
            if (case, first) == ("another version", 0) {
                // The first answer says which version it is.
                continue;
            }
            let result = read(&client, &uri).await;
            let error = assert_kind(result, ErrorKind::Service, &uri, case);
            let expected = match case {
                "another version" => "S3 answers with version",
                _ => "the store does not serve ranges as S3 does",
            };
            assert!(error.to_string().contains(expected), "{case}: {error}");
        }
    }
    let other = client(|call| match call.nth {
        0 => Reaction::Pass,
        _ => Reaction::AddHeader("etag", "\"0123\"".into()),
    });
    assert_kind(read(&other, &uri).await, ErrorKind::Changed, &uri, "another object");
    let any = client(|_| Reaction::Pass);
    let e_tag = any.head().uri(&uri).send().await.expect("head").e_tag.expect("a tag");
    let other = client(|_| Reaction::AddHeader("etag", "\"0123\"".into()));
    let result = other.get().uri(&uri).if_match(e_tag).send().await;
    assert_kind(result, ErrorKind::Conflict, &uri, "a condition that is ignored");
}

#[tokio::test]
async fn a_sidecar_is_read_from_a_store_that_ignores_ranges() {
    let stack = LocalStack::new(east());
    let quiet = SealedClient::builder(stack.s3(), local_keyring("a")).build();
    let uri = stack.object("sidecar");
    quiet.put().uri(&uri).body("x").send().await.expect("put");
    let add = quiet.rewrap().uri(&uri).add_keys(local_keyring("b"));
    add.key_storage(KeyStorage::Sidecar).send().await.expect("a sidecar");
    let wire = Wire::new(|call| match call.operation == "GetObject" {
        true => Reaction::DropHeader("range"),
        false => Reaction::Pass,
    });
    let other = SealedClient::builder(LocalStack::over(wire, east()).s3(), local_keyring("b"));
    let reader = other.sidecars(SidecarPolicy::read()).build();
    assert_eq!(read(&reader, &uri).await.expect("by the sidecar"), "x");
}

/// FORMAT.md R1, R3.
#[tokio::test]
async fn metadata_that_is_there_twice_is_malformed() {
    let (uri, _) = long_object("twice").await;
    for operation in ["GetObject", "HeadObject"] {
        let wire = Wire::new(move |call| match call.operation == operation {
            true => Reaction::RepeatHeader("x-amz-meta-sealwax-keys"),
            false => Reaction::Pass,
        });
        let stack = LocalStack::over(wire, east());
        let client = stack.client([&stack.home.key]);
        let result = match operation {
            "GetObject" => read(&client, &uri).await.map(drop),
            _ => client.head().uri(&uri).send().await.map(drop),
        };
        let error = assert_kind(result, ErrorKind::Malformed, &uri, operation);
        assert_eq!(
            error.message(),
            format!(
                "{operation} returned headers that cannot be read: one is there twice, is not in \
                 ASCII, or has an invalid value"
            )
        );
    }
}

/// Each attempt brings something, and the whole would take hours.
#[tokio::test]
async fn a_line_that_brings_a_few_bytes_at_a_time_is_given_up() {
    let (uri, _) = long_object("slow").await;
    let wire = Wire::new(|call| match call.operation == "GetObject" {
        true => Reaction::CutAnswer(300, Ending::Broken),
        false => Reaction::Pass,
    });
    let stack = LocalStack::over(wire, east());
    let client = stack.client_builder([&stack.home.key]).part_len(PART).build();
    let get = client.get().uri(&uri).range(..20_000).send().await.expect("a response");
    let error = get.bytes().await.expect_err("given up");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    let gets = stack.wire.operations("s3").iter().filter(|it| *it == "GetObject").count();
    assert_eq!(gets, 64);
}

/// Removes the last entry, and what follows it.
fn cut(body: &mut Vec<u8>) {
    let text = String::from_utf8(body.clone()).expect("XML");
    let entries = ["<Contents>", "<Version>", "<Upload>"].into_iter();
    let at = entries.filter_map(|entry| text.rfind(entry)).max().expect("an entry");
    body.truncate(at);
}

/// Removes the last entry alone.
fn drop_one(body: &mut Vec<u8>) {
    let text = String::from_utf8(body.clone()).expect("XML");
    let (start, end) = (text.rfind("<Contents>"), text.rfind("</Contents>"));
    body.drain(start.expect("an entry")..end.expect("its end") + "</Contents>".len());
}

fn drop_truncated(body: &mut Vec<u8>) {
    let text = String::from_utf8(body.clone()).expect("XML");
    let text = text.replace("<IsTruncated>false</IsTruncated>", "");
    *body = text.into_bytes();
}

/// A page that was cut between two elements is not taken for the whole list.
#[tokio::test]
async fn a_list_that_ends_early_is_an_error() {
    type Edit = fn(&mut Vec<u8>);
    let edits: [(&str, Edit, &str); 3] = [
        ("cut", cut, "the answer ends early: its XML is not complete"),
        ("without an end", drop_truncated, "S3 does not say whether its list is complete"),
        ("with fewer objects", drop_one, "and it lists 1"),
    ];
    for (case, edit, why) in edits {
        let wire = move |operation: &'static str| {
            Wire::new(move |call| match call.operation == operation {
                true => Reaction::Edit(edit),
                false => Reaction::Pass,
            })
        };
        for is_seaweed in [false, true] {
            let (s3, clean, uri) = match is_seaweed {
                true => {
                    let store = SeaweedFs::new().await;
                    let edited = async |it| SeaweedFs::over(wire(it)).await.s3();
                    let clients = [
                        edited("ListObjectsV2").await,
                        edited("ListObjectVersions").await,
                        edited("ListMultipartUploads").await,
                    ];
                    (clients, store.s3(), store.object("lists/a"))
                }
                false => {
                    let stack = LocalStack::new(east());
                    let edited = |it| LocalStack::over(wire(it), east()).s3();
                    let clients = [
                        edited("ListObjectsV2"),
                        edited("ListObjectVersions"),
                        edited("ListMultipartUploads"),
                    ];
                    (clients, stack.s3(), stack.object("lists/a"))
                }
            };
            let (bucket, prefix) = (uri.bucket(), uri.key());
            for name in ["1", "2"] {
                let key = format!("{prefix}{name}");
                clean.put_object().bucket(bucket).key(&key).send().await.expect("put");
                let upload = clean.create_multipart_upload().bucket(bucket).key(&key);
                upload.send().await.expect("an upload");
            }
            let mut honest = ListPages::objects(&clean, bucket, prefix);
            let page = honest.next_page().await.expect("a list").expect("a page");
            assert_eq!(page.objects.len(), 2);
            let [objects, versions, uploads] = &s3;
            let error = ListPages::objects(objects, bucket, prefix).next_page().await;
            let mut errors = vec![error.expect_err(case)];
            if case != "with fewer objects" {
                let error = ListPages::versions(versions, bucket, prefix).next_page().await;
                errors.push(error.expect_err(case));
                let error = UploadPages::new(uploads, bucket, prefix).next_page().await;
                errors.push(error.expect_err(case));
            }
            for error in errors {
                let text = sealwax_s3::error_chain(&error);
                assert_eq!(error.kind(), ErrorKind::Service, "{case} {is_seaweed}: {text}");
                assert!(text.contains(why), "{case} {is_seaweed}: {text}");
            }
        }
    }
}
