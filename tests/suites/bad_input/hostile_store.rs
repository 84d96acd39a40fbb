//! A store that lies: about lengths, and in its listings.

use futures_util::StreamExt as _;
use sealwax_jobs::{listing::Listing, verify::VerifyAll};
use sealwax_s3::{
    ErrorKind, ErrorKind::*, ListPages, SealedClient, UnencryptedObjects, UploadPages,
};
use sealwax_tests::{
    LocalStack, Reaction, Stored, Wire, assert_kind, assert_unreadable, east, local_keyring,
    plaintext,
};

/// Returns LocalStack with its answers to `GetObject` changed: the object has `total` bytes, of which
/// these are the first `len`.
fn claiming(len: u64, total: u64) -> LocalStack {
    let range = format!("bytes 0-{}/{total}", len - 1);
    let wire = Wire::new(move |call| match call.operation.as_str() {
        "GetObject" => Reaction::AddHeader("content-range", range.clone()),
        _ => Reaction::Pass,
    });
    LocalStack::over(wire, east())
}

/// A list of the parts of such an object would not fit into memory.
#[tokio::test]
async fn a_length_that_the_store_claims_costs_no_memory() {
    let honest = LocalStack::new(east());
    let uri = honest.object("claimed");
    honest.client([&honest.home.key]).put().uri(&uri).body("secret").send().await.expect("put");
    let stored = Stored::fetch(&honest.s3(), &uri).await;
    stored.without("sealwax-length").store(&honest.s3(), &uri).await;
    let chunks = |count: u64| 56 + count * 16_400 - 16_384;
    let cases: [(u64, &[ErrorKind]); 4] = [
        (chunks(1 << 36), &[Service]),
        (chunks(1 << 38), &[Service]),
        (chunks(1 << 38) + 16_400, &[Truncated]),
        (u64::MAX, &[Truncated]),
    ];
    for (total, kinds) in cases {
        let stack = claiming(78, total);
        let client = stack.client([&stack.home.key]);
        assert_unreadable(&client, &uri, kinds, &[], &total.to_string()).await;
    }
}

#[tokio::test]
async fn a_plain_object_of_any_claimed_length_costs_no_memory() {
    let honest = LocalStack::new(east());
    let uri = honest.object("plain");
    let put = honest.s3().put_object().bucket(uri.bucket()).key(uri.key());
    put.body(b"123456".to_vec().into()).send().await.expect("put");
    let stack = claiming(6, u64::MAX);
    let builder = SealedClient::builder(stack.s3(), local_keyring("a"));
    let client = builder.unencrypted(UnencryptedObjects::PassThrough).build();
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("file");
    assert_kind(client.get().uri(&uri).to_file(&path).await, Service, &uri, "to a file");
    assert!(!path.exists());
    let object = client.get().uri(&uri).send().await.expect("its first bytes");
    assert_eq!(object.info().plaintext_len(), u64::MAX);
    assert_kind(object.bytes().await, Service, &uri, "into memory");
}

/// The SDK panics on addresses above 65,534 bytes. Keys come from listings, plans and events.
#[tokio::test]
async fn a_key_that_no_object_has_is_refused_before_any_call() {
    let stack = LocalStack::new(east());
    let client = stack.client([&stack.home.key]);
    let uri = stack.object("long");
    for len in [1025, 70_000] {
        let (key, bucket, other) = ("k".repeat(len), uri.bucket(), uri.key());
        let keyring = || local_keyring("a");
        let results = [
            ("put", client.put().bucket(bucket).key(&key).body("x").send().await.err()),
            ("get", client.get().bucket(bucket).key(&key).send().await.err()),
            ("head", client.head().bucket(bucket).key(&key).send().await.err()),
            ("inspect", client.inspect().bucket(bucket).key(&key).send().await.err()),
            ("verify", client.verify().bucket(bucket).key(&key).send().await.err()),
            ("delete", client.delete().bucket(bucket).key(&key).send().await.err()),
            (
                "rewrap",
                client.rewrap().bucket(bucket).key(&key).add_keys(keyring()).send().await.err(),
            ),
            ("reencrypt", client.reencrypt().bucket(bucket).key(&key).send().await.err()),
            ("copy to", client.copy().source_uri(&uri).bucket(bucket).key(&key).send().await.err()),
            (
                "copy from",
                client
                    .copy()
                    .source_bucket(bucket)
                    .source_key(&key)
                    .bucket(bucket)
                    .key(other)
                    .send()
                    .await
                    .err(),
            ),
        ];
        for (operation, error) in results {
            let error = error.expect(operation);
            assert_eq!(error.kind(), InvalidInput, "{operation}: {error}");
            assert!(error.to_string().len() < 1300, "{operation}: {}", error.to_string().len());
        }
        let error = client.get().bucket(&key).key("k").send().await.expect_err("a long bucket");
        assert_eq!(error.kind(), InvalidInput);
    }
    assert_eq!(stack.wire.calls().len(), 0, "{:?}", stack.wire.calls());
}

#[tokio::test]
async fn a_version_that_no_object_has_is_refused_before_any_call() {
    let stack = LocalStack::new(east());
    let (client, uri) = (stack.client([&stack.home.key]), stack.object("long"));
    let version = "v".repeat(70_000);
    for (operation, error) in [
        ("get", client.get().uri(&uri).version_id(&version).send().await.err()),
        ("head", client.head().uri(&uri).version_id(&version).send().await.err()),
        ("delete", client.delete().uri(&uri).version_id(&version).send().await.err()),
    ] {
        assert_eq!(error.expect(operation).kind(), InvalidInput, "{operation}");
    }
    assert_eq!(stack.wire.calls().len(), 0, "{:?}", stack.wire.calls());
}

/// The store names an upload by an id that makes the address of its parts too long.
#[tokio::test]
async fn an_upload_id_of_any_length_is_an_error() {
    let answer = format!(
        "<InitiateMultipartUploadResult><Bucket>b</Bucket><Key>k</Key><UploadId>{}</UploadId>\
         </InitiateMultipartUploadResult>",
        "u".repeat(70_000)
    );
    let stack = LocalStack::over(Wire::answering("CreateMultipartUpload", 200, answer), east());
    let (client, uri) = (stack.client([&stack.home.key]), stack.object("upload-id"));
    let put = client.put().uri(&uri).body(plaintext(9 << 20)).send().await;
    assert_kind(put, InvalidInput, &uri, "a long upload id");
}

/// Returns LocalStack whose answer to the `n`-th call of `operation` is `answer(n)`.
fn answering(
    operation: &'static str,
    answer: impl Fn(usize) -> String + Send + Sync + 'static,
) -> LocalStack {
    let wire = Wire::new(move |call| match call.operation == operation {
        true => Reaction::Answer(200, answer(call.nth)),
        false => Reaction::Pass,
    });
    LocalStack::over(wire, east())
}

/// Returns a page of objects. A key with a trailing `>` is a folder.
fn page(keys: &[&str], next: Option<&str>) -> String {
    let entry = |key: &&str| match key.strip_suffix('>') {
        Some(folder) => format!("<CommonPrefixes><Prefix>{folder}</Prefix></CommonPrefixes>"),
        None => format!("<Contents><Key>{key}</Key><Size>78</Size></Contents>"),
    };
    let entries: String = keys.iter().map(entry).collect();
    let next = next.map_or_else(
        || "<IsTruncated>false</IsTruncated>".to_owned(),
        |token| {
            format!(
                "<IsTruncated>true</IsTruncated>\
                 <NextContinuationToken>{token}</NextContinuationToken>"
            )
        },
    );
    format!("<ListBucketResult>{next}{entries}</ListBucketResult>")
}

#[tokio::test]
async fn a_list_of_other_objects_than_the_requested_ones_is_an_error() {
    let listing =
        |keys: &'static [&'static str]| answering("ListObjectsV2", move |_| page(keys, None)).s3();
    let level = |keys| ListPages::objects(&listing(keys), "b", "é/").delimiter("/");
    let after = |keys| ListPages::objects(&listing(keys), "b", "é/").start_after("é/m");
    for (pages, why) in [
        (level(&["é/a", "other"]), r#"lists "other", which does not begin with"#),
        (level(&["é"]), "does not begin with"),
        (level(&["e\u{301}/a"]), "does not begin with"),
        (level(&["é/a/b"]), "has the delimiter after the prefix"),
        (level(&["other/>"]), "does not begin with"),
        (level(&["é/a/b/>"]), "is no folder of the requested level"),
        (level(&["é/a>"]), "is no folder of the requested level"),
        (ListPages::objects(&listing(&["é/a/>"]), "b", "é/"), "is no folder of the requested"),
    ] {
        let mut pages = pages;
        let error = pages.next_page().await.expect_err(why);
        assert_eq!(error.kind(), Service);
        assert!(error.to_string().contains(why), "{error}");
    }
    let page = level(&["é/", "é/a", "é/b/>"]).next_page().await.expect("as requested");
    let page = page.expect("a page");
    assert_eq!((page.objects.len(), page.folders), (2, vec!["é/b/".to_owned()]));
    // Some stores compare names in another order: what comes before the start is left out.
    let page = after(&["é/m", "é/z", "é/a"]).next_page().await.expect("as requested");
    let keys: Vec<_> = page.expect("a page").objects.into_iter().map(|it| it.key).collect();
    assert_eq!(keys, ["é/z"]);
}

/// Each of these stores would keep a client busy for ever, or let it panic.
#[tokio::test]
async fn a_listing_without_an_end_is_an_error() {
    let objects = |tokens: &'static [&'static str]| {
        let cycle = move |nth: usize| page(&[], Some(tokens[nth % tokens.len()]));
        let stack = answering("ListObjectsV2", cycle);
        ListPages::objects(&stack.s3(), "b", "")
    };
    for pages in [objects(&["A"]), objects(&["A", "B"]), objects(&["A", "B", "C", "D", "E"])] {
        let listed: Vec<_> = pages.into_stream().collect().await;
        let [Err(error)] = &listed[..] else { panic!("{listed:?}") };
        assert_eq!(error.kind(), Service, "{error}");
    }
    let cycling = |nth: usize| {
        let marker = ["A", "B"][nth % 2];
        format!(
            "<ListVersionsResult><IsTruncated>true</IsTruncated>\
             <NextKeyMarker>k</NextKeyMarker><NextVersionIdMarker>{marker}</NextVersionIdMarker>\
             </ListVersionsResult>"
        )
    };
    let stack = answering("ListObjectVersions", cycling);
    let listed: Vec<_> = ListPages::versions(&stack.s3(), "b", "").into_stream().collect().await;
    let [Err(error)] = &listed[..] else { panic!("{listed:?}") };
    assert_eq!(error.kind(), Service, "{error}");

    let uploads = answering("ListMultipartUploads", |nth| {
        let marker = ["A", "B", "C"][nth % 3];
        format!(
            "<ListMultipartUploadsResult><IsTruncated>true</IsTruncated>\
             <NextKeyMarker>k</NextKeyMarker><NextUploadIdMarker>{marker}</NextUploadIdMarker>\
             </ListMultipartUploadsResult>"
        )
    });
    let mut pages = UploadPages::new(&uploads.s3(), "b", "");
    let error = loop {
        match pages.next_page().await {
            Ok(page) => assert_eq!(page.map(|page| page.len()), Some(0)),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), Service, "{error}");
    assert!(uploads.wire.calls().len() < 10, "{}", uploads.wire.calls().len());

    let long = answering("ListObjectsV2", |_| page(&[], Some(&"t".repeat(70_000))));
    let error = ListPages::objects(&long.s3(), "b", "").next_page().await.expect_err("too long");
    assert_eq!(error.kind(), Service, "{error}");
}

/// A listing passes such an object on, and the job reports it as every other failure.
#[tokio::test]
async fn a_listed_key_that_no_object_has_fails_alone() {
    let honest = LocalStack::new(east());
    let good = honest.object("long-list/good");
    honest.client([&honest.home.key]).put().uri(&good).body("x").send().await.expect("put");
    let (long, fine) = (format!("long-list/{}", "k".repeat(70_000)), good.key().to_owned());
    let stack = answering("ListObjectsV2", move |_| page(&[&long, &fine], None));
    let client = stack.client([&stack.home.key]);
    let listing = Listing::objects(&stack.s3(), good.bucket(), "long-list/");
    let mut verified = VerifyAll::new(client).run(listing);
    let mut outcomes = Vec::new();
    while let Some(object) = verified.next().await {
        let object = object.expect("the listing goes on");
        outcomes.push((object.object.key.len(), object.outcome.error().map(|error| error.kind())));
    }
    outcomes.sort_unstable();
    assert_eq!(outcomes.len(), 2);
    assert_eq!(outcomes[0], (good.key().len(), None));
    assert_eq!(outcomes[1].1, Some(InvalidInput));
}

/// The SDK would gather the whole answer in memory.
#[tokio::test]
async fn an_answer_without_an_end_is_not_gathered() {
    let long = |status| {
        let wire = Wire::new(move |_| Reaction::Answer(status, " ".repeat(40 << 20)));
        LocalStack::over(wire, east())
    };
    let uri = LocalStack::new(east()).object("long-answer");
    let listing = long(200);
    let mut pages = ListPages::objects(&listing.s3(), uri.bucket(), "");
    let error = pages.next_page().await.expect_err("too long");
    assert_eq!(error.kind(), Unavailable, "{error:?}");
    // An error's text is gathered too.
    let failing = long(404);
    let get = failing.client([&failing.home.key]).get().uri(&uri).send().await;
    assert_kind(get, NotFound, &uri, "a long error");
}
