//! Objects under KMS keys, tampered with by an attacker who can write to the bucket.

use sealwax_s3::{ErrorKind, ErrorKind::*, envelope::EncryptionContext};
use sealwax_tests::{
    LocalStack, PART, Reaction, SeaweedFs, Stored, Wire, assert_unreadable, east, local_keyring,
    plaintext, read,
};

/// The change, the stored object, the allowed kinds of error, and the KMS calls of one read.
type Case = (&'static str, Stored, &'static [ErrorKind], usize);

const CHUNK: usize = 16_400;

/// Returns the body with its chunks in another order.
fn reordered(stored: &Stored, order: &[usize]) -> Stored {
    let (header, chunks) = stored.body.split_at(56);
    let chunks: Vec<_> = chunks.chunks(CHUNK).collect();
    stored.with_body(
        [header].into_iter().chain(order.iter().map(|n| chunks[*n])).collect::<Vec<_>>().concat(),
    )
}

fn flipped(text: &str, at: usize) -> String {
    let mut bytes = text.as_bytes().to_vec();
    bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
    String::from_utf8(bytes).expect("ASCII")
}

/// FORMAT.md R1 to R15, as errors of a client. All cryptographic failures have one kind (R15).
#[tokio::test]
async fn tampered_objects_are_refused_even_after_a_rewrap() {
    let stack = LocalStack::new(east());
    let (client, s3) = (stack.client([&stack.home.key]), stack.s3());
    let (uri, elsewhere) = (stack.object("tampered"), stack.object("elsewhere"));
    let (data, other_data) = (plaintext(2 * 16_384 + 100), plaintext(2 * 16_384 + 99));
    let context = EncryptionContext::try_from_iter([("tenant", "acme")]).expect("a context");
    let mut stored = Vec::new();
    for (at, data) in [(&elsewhere, &other_data), (&uri, &other_data), (&uri, &data)] {
        client
            .put()
            .uri(at)
            .body(data.clone())
            .encryption_context(context.clone())
            .send()
            .await
            .expect("put");
        stored.push(Stored::fetch(&s3, at).await);
    }
    let [elsewhere_, older, good] = &stored[..] else { unreachable!() };
    let unmeasured = good.without("sealwax-length");
    let keys = &good.metadata["sealwax-keys"];
    let moved_here = |text: &str| text.replace(elsewhere.key(), uri.key());
    let many_keys =
        keys.replace("]]}]", &format!("]{}]}}]", r#",["aws-kms","k","AA"]"#.repeat(16)));
    let chunks = [0, 1, 2].map(|n| 56 + n * CHUNK);

    let cases: Vec<Case> = vec![
        (
            "no metadata at all",
            Stored { metadata: Default::default(), ..good.clone() },
            &[NotSealed],
            0,
        ),
        ("no format", good.without("sealwax-format"), &[Malformed], 0),
        ("another format", good.with("sealwax-format", "v2+Cobblestone-256"), &[Unsupported], 0),
        ("no keys", good.without("sealwax-keys"), &[Malformed], 0),
        ("an empty list of keys", good.with("sealwax-keys", "[]"), &[Malformed], 0),
        ("too many keys", good.with("sealwax-keys", many_keys), &[Malformed], 0),
        ("keys that are no JSON", good.with("sealwax-keys", &keys[1..]), &[Malformed], 0),
        ("no header", good.without("sealwax-header"), &[Malformed], 0),
        ("no generation", good.without("sealwax-generation"), &[Malformed], 0),
        ("generation 0", good.with("sealwax-generation", "0"), &[Malformed], 0),
        ("an unknown name", good.with("sealwax-later", "1"), &[Malformed], 0),
        ("a longer length", good.with("sealwax-length", "32869"), &[Truncated], 0),
        ("a shorter length", good.with("sealwax-length", "32867"), &[Malformed], 0),
        ("a length that is no number", good.with("sealwax-length", "1e3"), &[Malformed], 0),
        ("no context", good.without("sealwax-context"), &[Authentication], 1),
        (
            "another context",
            good.with("sealwax-context", r#"{"tenant":"acne"}"#),
            &[Authentication],
            1,
        ),
        (
            "a longer context",
            good.with("sealwax-context", r#"{"a":"b","tenant":"acme"}"#),
            &[Authentication],
            1,
        ),
        (
            "a context with blanks",
            good.with("sealwax-context", r#"{"tenant": "acme"}"#),
            &[Malformed],
            0,
        ),
        (
            "another place",
            good.with("sealwax-keys", keys.replace(uri.key(), "x")),
            &[PlaceMismatch],
            0,
        ),
        ("no place", good.with("sealwax-keys", without_place(keys)), &[PlaceMismatch], 0),
        (
            "a stranger's key",
            good.with("sealwax-keys", keys.replace("000000000000", "999999999999")),
            &[NoMatchingKey],
            0,
        ),
        (
            "another of our keys",
            good.with("sealwax-keys", under(keys, &stack)),
            &[NoMatchingKey],
            0,
        ),
        (
            "another provider",
            good.with("sealwax-keys", keys.replace("aws-kms", "local")),
            &[NoMatchingKey],
            0,
        ),
        (
            "a changed data key",
            good.with("sealwax-keys", flipped(keys, keys.len() - 20)),
            &[Authentication],
            1,
        ),
        (
            "another data key",
            good.with("sealwax-keys", &older.metadata["sealwax-keys"]),
            &[Authentication],
            1,
        ),
        (
            "a changed header",
            good.with("sealwax-header", &older.metadata["sealwax-header"]),
            &[Authentication],
            1,
        ),
        ("an older version's body", good.with_body(older.body.clone()), &[Truncated], 0),
        (
            "an older version's body, no length",
            unmeasured.with_body(older.body.clone()),
            &[Authentication],
            1,
        ),
        (
            "an older version's metadata",
            older.without("sealwax-length").with_body(good.body.clone()),
            &[Authentication],
            1,
        ),
        ("another object's metadata", elsewhere_.with_body(good.body.clone()), &[Malformed], 0),
        ("another object", elsewhere_.clone(), &[PlaceMismatch], 0),
        (
            "another object, its place forged",
            elsewhere_.with("sealwax-keys", moved_here(&elsewhere_.metadata["sealwax-keys"])),
            &[Authentication],
            1,
        ),
        ("chunks 0 and 1 exchanged", reordered(good, &[1, 0, 2]), &[Authentication], 1),
        ("chunk 1 twice", reordered(good, &[0, 1, 1]), &[Truncated], 0),
        ("chunk 0 twice", reordered(good, &[0, 0, 2]), &[Authentication], 1),
        ("chunk 1 left out", reordered(good, &[0, 2]), &[Truncated], 0),
        ("chunk 1 left out, no length", reordered(&unmeasured, &[0, 2]), &[Authentication], 1),
        (
            "the last chunk first, no length",
            reordered(&unmeasured, &[2, 0, 1]),
            &[Authentication],
            1,
        ),
        ("a chunk more, no length", reordered(&unmeasured, &[0, 1, 1, 2]), &[Authentication], 1),
        ("a byte more", good.with_body([&good.body[..], &[0]].concat()), &[Malformed], 0),
        (
            "a byte more, no length",
            unmeasured.with_body([&good.body[..], &[0]].concat()),
            &[Authentication],
            1,
        ),
        ("an empty body", good.with_body(""), &[Truncated], 0),
        ("a body of zeros", good.with_body(vec![0; good.body.len()]), &[Authentication], 1),
        ("a plain body", good.with_body(data.slice(..)), &[Truncated], 0),
        (
            "chunk 2 alone changed",
            good.with_body(changed(&good.body, chunks[2] + 5)),
            &[Authentication],
            1,
        ),
        (
            "chunk 1 alone changed",
            good.with_body(changed(&good.body, chunks[1] + 5)),
            &[Authentication],
            1,
        ),
        (
            "chunk 0 alone changed",
            good.with_body(changed(&good.body, chunks[0] + 5)),
            &[Authentication],
            1,
        ),
    ];
    for (case, tampered, kinds, kms_calls) in cases {
        tampered.store(&s3, &uri).await;
        stack.wire.forget();
        assert_unreadable(&client, &uri, kinds, &data, case).await;
        assert_eq!(stack.wire.kms().len(), 3 * kms_calls, "{case}: KMS calls of three reads");

        // A rewrap does not read the body, so it may succeed. It must not repair the object.
        let _ =
            client.rewrap().uri(&uri).replace_keys(stack.keyring([&stack.home.key_2])).send().await;
        let reader = stack.client([&stack.home.key, &stack.home.key_2]);
        let Err(error) = read(&reader, &uri).await else {
            panic!("{case}: readable after a rewrap")
        };
        let kind = error.kind();
        // With both keys, the reader may get as far as KMS.
        assert!(kinds.contains(&kind) || kind == Authentication, "{case}: {error:?}");
    }

    // Untampered objects open, so no case was refused for another reason. Only HEAD needs the
    // length.
    for (case, untampered) in [("unchanged", good), ("no length", &unmeasured)] {
        untampered.store(&s3, &uri).await;
        assert!(read(&client, &uri).await.expect(case) == data, "{case}");
    }
}

fn changed(body: &[u8], at: usize) -> Vec<u8> {
    let mut body = body.to_vec();
    body[at] ^= 0x10;
    body
}

fn without_place(keys: &str) -> String {
    let keys_start = keys.find(r#""keys":"#).expect("the keys");
    format!("[{{{}", &keys[keys_start..])
}

fn under(keys: &str, stack: &LocalStack) -> String {
    keys.replace(stack.home.key.as_str(), stack.home.key_2.as_str())
}

#[tokio::test]
async fn an_unsealed_object_is_reported_as_not_sealed() {
    let stack = LocalStack::new(east());
    let (client, uri) = (stack.client([&stack.home.key]), stack.object("plain"));
    for own in [None, Some(("mine", "1"))] {
        let metadata =
            own.map(|(name, value)| (name.to_owned(), value.to_owned())).into_iter().collect();
        Stored { body: plaintext(100_000), metadata }.store(client.s3(), &uri).await;
        assert_unreadable(&client, &uri, &[NotSealed], &[], "plain").await;
        let rewrap =
            client.rewrap().uri(&uri).add_keys(stack.keyring([&stack.home.key])).send().await;
        assert_eq!(rewrap.expect_err("not sealed").kind(), NotSealed);
        assert_eq!(client.head().uri(&uri).send().await.expect_err("not sealed").kind(), NotSealed);
    }
    assert_eq!(stack.wire.kms(), []);
}

/// The object is at fault, not the caller's argument.
#[tokio::test]
async fn a_reserved_name_in_a_stored_context_is_malformed() {
    let stack = LocalStack::new(east());
    let (client, uri) = (stack.client([&stack.home.key]), stack.object("reserved"));
    client.put().uri(&uri).body("x").send().await.expect("put");
    let stored = Stored::fetch(client.s3(), &uri).await;
    stack.wire.forget();
    stored.with("sealwax-context", r#"{"sealwax:place":"a/b"}"#).store(client.s3(), &uri).await;
    assert_unreadable(&client, &uri, &[Malformed], &[], "a reserved name").await;
    assert_eq!(stack.wire.kms(), []);
}

/// The object is read in parts, several at once.
#[tokio::test]
async fn damage_in_any_part_of_a_long_object_fails_the_read() {
    let store = SeaweedFs::new().await;
    let client = store.client_builder(local_keyring("a")).part_len(PART).build();
    let (uri, data) = (store.object("parts"), plaintext(3 * PART + 100));
    client.put().uri(&uri).body(data.clone()).send().await.expect("put");
    let sealed = Stored::fetch(client.s3(), &uri).await;
    let part = |n: usize| 56 + n * (PART / 16_384) * CHUNK;
    let mut exchanged = sealed.body.to_vec();
    exchanged[part(1)..part(3)].rotate_left(part(2) - part(1));
    let cases = [
        ("the first chunk", changed(&sealed.body, 60)),
        ("the end of part 0", changed(&sealed.body, part(1) - 1)),
        ("the start of part 1", changed(&sealed.body, part(1))),
        ("the middle of part 2", changed(&sealed.body, part(2) + 100 * CHUNK)),
        ("the last byte", changed(&sealed.body, sealed.body.len() - 1)),
        ("parts 1 and 2 exchanged", exchanged),
    ];
    for (case, body) in cases {
        sealed.with_body(body).store(client.s3(), &uri).await;
        assert_unreadable(&client, &uri, &[Authentication], &data, case).await;
    }
}

/// Parts of two objects never mix.
#[tokio::test]
async fn an_object_replaced_during_a_read_is_an_error() {
    let quiet = SeaweedFs::new().await;
    let (writer, uri) = (quiet.client(local_keyring("a")), quiet.object("replaced"));
    let (old, new) = (plaintext(2 * PART + 100), plaintext(2 * PART + 100).slice(1..));
    let rival = (writer.clone(), uri.clone(), new);
    // After the first part of a read, a newer object replaces the old one.
    let wire = Wire::new(move |call| match (call.operation.as_str(), call.headers.get("range")) {
        ("GetObject", Some(range)) if !range.starts_with("bytes=0-") => {
            let (writer, uri, new) = rival.clone();
            Reaction::Await(Box::pin(async move {
                writer.put().uri(&uri).body(new).send().await.expect("replace");
            }))
        }
        _ => Reaction::Pass,
    });
    let reader =
        SeaweedFs::over(wire).await.client_builder(local_keyring("a")).part_len(PART).build();
    writer.put().uri(&uri).body(old.clone()).send().await.expect("put");
    let directory = tempfile::tempdir().expect("a directory");
    for case in ["bytes", "file"] {
        let result = match case {
            "bytes" => read(&reader, &uri).await.map(drop),
            _ => reader.get().uri(&uri).to_file(directory.path().join("file")).await.map(drop),
        };
        let error = result.expect_err(case);
        assert_eq!(error.kind(), Changed, "{case}: {error:?}");
        assert!(error.to_string().contains(&uri.to_string()), "{error}");
    }
    assert_eq!(
        std::fs::read_dir(&directory).expect("the directory").count(),
        0,
        "files were left behind"
    );
}
