//! Unusable arguments are refused before any call.

use sealwax_s3::{
    ErrorKind,
    ErrorKind::*,
    KmsKeyArn, PlaintextSource, Put,
    envelope::{EncryptionContext, Keyring, MultiKeyring},
};
use sealwax_tests::{LocalStack, SeaweedFs, assert_kind, east, local_keyring, read, west};

type Edit = Box<dyn Fn(Put) -> Put + Send + Sync>;

fn context(value_len: usize) -> EncryptionContext {
    EncryptionContext::try_from_iter([("tenant", "t".repeat(value_len))]).expect("a context")
}

/// FORMAT.md W3: the check precedes the request for a data key.
#[tokio::test]
async fn unstorable_arguments_are_refused_before_any_call() {
    let stack = LocalStack::new(east());
    let (client, uri) = (stack.client([&stack.home.key]), stack.object("arguments"));
    let metadata = |name: &str, value: &str| -> Edit {
        let (name, value) = (name.to_owned(), value.to_owned());
        Box::new(move |put| put.metadata(&name, &value))
    };
    let cases: Vec<(&str, Edit, ErrorKind)> = vec![
        ("user-defined metadata of 2 KB", metadata("n", &"v".repeat(2048)), MetadataTooLarge),
        (
            "user-defined metadata that leaves no room for ours",
            metadata("n", &"v".repeat(1700)),
            MetadataTooLarge,
        ),
        ("user-defined metadata of long names", metadata(&"n".repeat(2000), "v"), MetadataTooLarge),
        (
            "user-defined metadata of wide characters",
            metadata("n", &"é".repeat(900)),
            MetadataTooLarge,
        ),
        ("a long context", Box::new(|put| put.encryption_context(context(2000))), MetadataTooLarge),
        ("a reserved name", metadata("sealwax-keys", "v"), InvalidInput),
        ("a reserved name in capitals", metadata("SealWax-Keys", "v"), InvalidInput),
        ("a reserved prefix", metadata("sealwaxes", "v"), InvalidInput),
        ("no such file", Box::new(|put| put.body(PlaintextSource::file("/nonexistent"))), Io),
        ("a directory", Box::new(|put| put.body(PlaintextSource::file("/tmp"))), Io),
        ("no bucket", Box::new(|put| put.bucket("")), InvalidInput),
        ("no key", Box::new(|put| put.key("")), InvalidInput),
    ];
    let mut others = Vec::new();
    for (case, edit, kind) in cases {
        let error = edit(client.put().uri(&uri).body("x")).send().await.expect_err(case);
        if error.kind() != kind {
            others.push(format!("{case}: {error:?}, expected {kind:?}"));
        }
        assert_eq!(stack.wire.calls().len(), 0, "{case}: {:?}", stack.wire.calls());
    }
    assert_eq!(others, [""; 0]);
    let error = client.put().uri(&uri).send().await.expect_err("no body");
    assert_eq!((error.kind(), stack.wire.calls().len()), (InvalidInput, 0));
}

/// HTTP cannot carry these values, so no retry succeeds.
#[tokio::test]
async fn header_values_that_http_cannot_carry_are_invalid() {
    let stack = LocalStack::new(east());
    let (client, uri) = (stack.client([&stack.home.key]), stack.object("headers"));
    let mut others = Vec::new();
    let cases: [(&str, Edit); 4] = [
        ("a line break in a value", Box::new(|put| put.metadata("n", "a\r\nb"))),
        ("a blank in a name", Box::new(|put| put.metadata("a b", "v"))),
        ("another script in a name", Box::new(|put| put.metadata("é", "v"))),
        (
            "a line break in the content type",
            Box::new(|put| put.content_type("text/plain\r\nx-amz-acl: public-read")),
        ),
    ];
    for (case, edit) in cases {
        for len in [1, 9 << 20] {
            let error =
                edit(client.put().uri(&uri).body(vec![0; len])).send().await.expect_err(case);
            if error.kind() != InvalidInput {
                others.push(format!("{case}, {len} bytes: {error:?}"));
            }
            assert_kind(client.head().uri(&uri).send().await, NotFound, &uri, case);
        }
    }
    assert_eq!(others, [""; 0]);
}

/// FORMAT.md W3: the check precedes the request for a data key.
#[tokio::test]
async fn too_many_keys_are_refused_before_any_kms_call() {
    let stack = LocalStack::new(east());
    let uri = stack.object("many");
    let many: Vec<KmsKeyArn> = (0..17)
        .map(|n| format!("arn:aws:kms:us-east-1:000000000000:key/{n}").parse().expect("an ARN"))
        .collect();
    for (count, kind) in [(8, MetadataTooLarge), (17, InvalidInput)] {
        let put = stack.client(&many[..count]).put().uri(&uri).body("x").send().await;
        assert_kind(put, kind, &uri, &format!("{count} keys"));
    }
    assert_eq!(stack.wire.calls().len(), 0);
}

#[tokio::test]
async fn the_metadata_limit_is_exact_to_the_byte() {
    let store = SeaweedFs::new().await;
    let client = store.client(local_keyring("a"));
    // The place is stored, so the key's length counts. All names here have the same length.
    let needed = |uri: &sealwax_s3::S3Uri| {
        let client = client.clone();
        let uri = uri.clone();
        async move {
            let put = client.put().uri(&uri).body("x").send().await.expect("put");
            put.header
                .to_metadata()
                .iter()
                .map(|(name, value)| name.len() + value.len())
                .sum::<usize>()
        }
    };
    let uri = store.object("limit");
    let own = "v".repeat(2048 - needed(&uri).await - 1);
    client.put().uri(&uri).body("x").metadata("n", &own).send().await.expect("2,048 bytes");
    let put = client.put().uri(&uri).body("y").metadata("nn", &own).send().await;
    assert_kind(put, MetadataTooLarge, &uri, "2,049 bytes");
    assert_eq!(read(&client, &uri).await.expect("get"), "x");
}

#[tokio::test]
async fn an_unstorable_rewrap_makes_no_kms_call_and_no_copy() {
    let stack = LocalStack::new(east());
    let (client, uri) = (stack.client([&stack.home.key]), stack.object("rewrap"));
    let put = client.put().uri(&uri).body("x").metadata("own", "v".repeat(1000));
    let put = put.send().await.expect("put");
    stack.wire.forget();

    let west = west();
    let more = || stack.keyring([&stack.home.key_2, &stack.home.mrk, &west.key]);
    let add = client.rewrap().uri(&uri).add_keys(more()).send().await;
    assert_kind(add, MetadataTooLarge, &uri, "three keys more");
    let many: Vec<_> =
        (0..17).map(|n| std::sync::Arc::new(local_keyring(&n.to_string())) as _).collect();
    let mut many = many.into_iter();
    let many = MultiKeyring::new(
        many.next().expect("17"),
        many.collect::<Vec<std::sync::Arc<dyn Keyring>>>(),
    );
    let replace = client.rewrap().uri(&uri).replace_keys(many).send().await;
    assert_kind(replace, InvalidInput, &uri, "17 keys");
    assert_kind(client.rewrap().uri(&uri).send().await, InvalidInput, &uri, "no edit");
    assert_kind(
        client.rewrap().uri(&uri).remove_key(stack.home.key.as_str()).send().await,
        InvalidInput,
        &uri,
        "the last key",
    );
    let remove = client
        .rewrap()
        .uri(&uri)
        .remove_key(stack.home.key_2.as_str())
        .send()
        .await
        .expect("it has no such key");
    assert!(!remove.rewrapped);

    assert_eq!(stack.wire.kms(), []);
    assert!(stack.wire.operations("s3").iter().all(|it| it == "HeadObject"));
    assert_eq!(client.head().uri(&uri).send().await.expect("head").e_tag, put.e_tag);
}

/// Files that the system generates on read: those in /proc have length 0, those in /sys that of a
/// page.
#[tokio::test]
#[cfg(target_os = "linux")]
async fn a_file_of_another_length_than_it_says_is_stored_whole() {
    let store = SeaweedFs::new().await;
    let client = store.client(local_keyring("a"));
    for path in ["/proc/version", "/sys/kernel/mm/transparent_hugepage/enabled"] {
        let content = std::fs::read(path).expect(path);
        let len = std::fs::metadata(path).expect(path).len();
        assert_ne!(len, content.len() as u64, "{path}: its length is true");
        let uri = store.object("generated");
        client.put().uri(&uri).body(PlaintextSource::file(path)).send().await.expect(path);
        assert_eq!(read(&client, &uri).await.expect(path), content, "{path}");
    }
}
