//! Copies of sealed objects: the same data key, wrapped for another place.

use sealwax_s3::{
    Attributes, ErrorKind, PlacePolicy, S3Uri, SealedClient,
    aws_sdk_s3::types::{MetadataDirective, StorageClass},
    envelope::{CachingKeyring, EncryptionContext},
};
use sealwax_tests::{
    LocalStack, Reaction, SeaweedFs, Wire, assert_kind, east, local_keyring, plaintext, read,
    unique, west,
};

#[tokio::test]
async fn a_copy_keeps_everything_but_its_place() {
    let stack = LocalStack::new(east());
    let (client, from, to) =
        (stack.client([&stack.home.key]), stack.object("from"), stack.object("to é+?"));
    let context = EncryptionContext::try_from_iter([("tenant", "acme")]).expect("a context");
    let attributes = Attributes::default()
        .cache_control("no-store")
        .content_disposition("attachment")
        .content_encoding("identity")
        .content_language("de")
        .content_type("text/plain")
        .expires("Thu, 01 Jan 1970 00:00:00 GMT")
        .storage_class(StorageClass::StandardIa)
        .tagging("a=b&c=d");
    let put = client.put().uri(&from).body(plaintext(40_000)).encryption_context(context.clone());
    put.metadata("own", "x").attributes(attributes).send().await.expect("put");

    let copied = client.copy().source_uri(&from).uri(&to).send().await.expect("copy");
    let object = client
        .get()
        .uri(&to)
        .encryption_context(context)
        .send()
        .await
        .expect("it is bound to its new place");
    let (info, source) =
        (object.info().clone(), client.head().uri(&from).send().await.expect("the source"));
    assert_eq!(object.bytes().await.expect("bytes"), plaintext(40_000));
    assert_eq!((&info.e_tag, &info.version_id), (&copied.e_tag, &copied.version_id));
    assert_eq!((info.generation(), info.header()), (2, Some(&copied.header)));
    assert_eq!(
        info.header().map(|it| *it.body_header()),
        source.header().map(|it| *it.body_header())
    );
    assert_eq!((info.metadata, info.content_type), (source.metadata, source.content_type));
    assert_eq!(
        (info.cache_control, info.content_language, info.expires),
        (source.cache_control, source.content_language, source.expires)
    );
    assert_eq!(
        (info.content_disposition, info.content_encoding),
        (source.content_disposition, source.content_encoding)
    );
    assert_eq!(
        (&info.storage_class, info.storage_class.as_ref()),
        (&source.storage_class, Some(&StorageClass::StandardIa))
    );
    let tags = stack
        .s3()
        .get_object_tagging()
        .bucket(to.bucket())
        .key(to.key())
        .send()
        .await
        .expect("tags");
    assert_eq!(tags.tag_set().len(), 2);
    let head =
        stack.s3().head_object().bucket(to.bucket()).key(to.key()).send().await.expect("head");
    assert_eq!(head.expires_string(), Some("Thu, 01 Jan 1970 00:00:00 GMT"));

    let plain = client
        .copy()
        .source_uri(&from)
        .uri(&to)
        .attributes(Attributes::default().content_type("a/b"));
    plain.send().await.expect("with other attributes");
    let info = client.head().uri(&to).send().await.expect("head");
    assert_eq!(
        (info.content_type.as_deref(), info.cache_control, info.storage_class),
        (Some("a/b"), None, None)
    );
}

#[tokio::test]
async fn a_copy_keeps_the_wrapped_keys_of_other_keyrings() {
    let stack = LocalStack::new(east());
    let (keys, from, to) =
        ([&stack.home.key, &stack.home.key_2], stack.object("from"), stack.object("to"));
    stack.client(keys).put().uri(&from).body("x").send().await.expect("put");
    let copied =
        stack.client([keys[0]]).copy().source_uri(&from).uri(&to).send().await.expect("copy");
    let place = |uri: &S3Uri| format!("{}/{}", uri.bucket(), uri.key());
    let bound: Vec<_> = copied
        .header
        .keys()
        .iter()
        .map(|key| (key.wrapping_key(), key.place().map(|it| it.as_str().to_owned())))
        .collect();
    assert_eq!(
        bound,
        [(keys[0].as_str(), Some(place(&to))), (keys[1].as_str(), Some(place(&from)))]
    );
    assert_eq!(read(&stack.client([keys[0]]), &to).await.expect("by the newly wrapped key"), "x");
    let other = stack.client([keys[1]]);
    assert_kind(read(&other, &to).await, ErrorKind::NoMatchingKey, &to, "the other key");
    let accepted = other
        .get()
        .uri(&to)
        .accept_place(place(&from))
        .send()
        .await
        .expect("by the place that it came from");
    assert_eq!(accepted.bytes().await.expect("bytes"), "x");

    // Under another key, without the place of the old keys.
    let moved = stack.object("moved");
    let copy = stack
        .client([keys[0]])
        .copy()
        .source_uri(&from)
        .uri(&moved)
        .keyring(stack.keyring([keys[1]]));
    copy.send().await.expect("copy");
    assert_eq!(read(&other, &moved).await.expect("by the given key"), "x");
}

#[tokio::test]
async fn a_copy_costs_at_most_one_kms_call() {
    let (stack, west) = (LocalStack::new(east()), LocalStack::new(west()));
    let to = || stack.object("to");
    let (keyring, from) =
        (CachingKeyring::new(stack.keyring([&stack.home.key])), stack.object("from"));
    let cached = SealedClient::builder(stack.s3(), keyring).build();
    cached.put().uri(&from).body("x").send().await.expect("put");
    stack.wire.forget();
    let copy = to();
    cached.copy().source_uri(&from).uri(&copy).send().await.expect("copy");
    assert!(stack.wire.kms().is_empty() || stack.wire.kms().len() == 1, "{:?}", stack.wire.kms());
    assert_eq!(read(&cached, &copy).await.expect("read"), "x");

    // To another Region's key: unwrapped in one Region and wrapped in the other.
    let (plain, uri) = (stack.client([&stack.home.key]), stack.object("from"));
    plain.put().uri(&uri).body("x").send().await.expect("put");
    stack.wire.forget();
    let copy = to();
    let other = plain.copy().source_uri(&uri).uri(&copy).keyring(stack.keyring([&west.home.key]));
    other.send().await.expect("copy");
    let calls = stack.wire.kms();
    assert_eq!(
        calls,
        [("Decrypt", "us-east-1"), ("Encrypt", "us-west-2")]
            .map(|(a, b)| (a.to_owned(), b.to_owned()))
    );
    assert_eq!(read(&stack.client([&west.home.key]), &copy).await.expect("read"), "x");

    // If places do not matter or are shared, no key needs to be wrapped.
    let off = stack.client_builder([&stack.home.key]).places(PlacePolicy::off()).build();
    off.put().uri(&uri).body("y").send().await.expect("put");
    stack.wire.forget();
    off.copy().source_uri(&uri).uri(&copy).send().await.expect("copy");
    assert_eq!(stack.wire.kms(), []);
    assert_eq!(read(&off, &copy).await.expect("read"), "y");
}

#[tokio::test]
async fn an_older_version_becomes_the_current_one_again() {
    let stack = LocalStack::new(east());
    let (client, uri) = (stack.client([&stack.home.key]), stack.object("version"));
    let old = client.put().uri(&uri).body("old").send().await.expect("put");
    client.put().uri(&uri).body("new").send().await.expect("put");
    let onto_itself = client.copy().source_uri(&uri).uri(&uri).send().await;
    assert_kind(onto_itself, ErrorKind::InvalidInput, &uri, "onto itself");
    let copy = client
        .copy()
        .source_uri(&uri)
        .source_version_id(old.version_id.expect("a version"))
        .uri(&uri);
    copy.send().await.expect("copy");
    assert_eq!(read(&client, &uri).await.expect("read"), "old");
}

#[tokio::test]
async fn objects_that_must_not_be_copied_are_refused() {
    let stack = LocalStack::new(east());
    let (client, from, to) =
        (stack.client([&stack.home.key]), stack.object("from"), stack.object("to"));
    let copy = || client.copy().source_uri(&from).uri(&to);
    assert_kind(copy().send().await, ErrorKind::NotFound, &from, "nothing there");
    stack.s3().put_object().bucket(from.bucket()).key(from.key()).send().await.expect("put");
    assert_kind(copy().send().await, ErrorKind::NotSealed, &from, "not sealed");

    // Under a foreign key, which KMS would re-encrypt to one of ours.
    stack.client([&stack.home.key_2]).put().uri(&from).body("x").send().await.expect("put");
    stack.wire.forget();
    assert_kind(copy().send().await, ErrorKind::NoMatchingKey, &from, "a stranger's key");
    assert_eq!(stack.wire.kms(), []);

    client.put().uri(&from).body("x").send().await.expect("put");
    assert_kind(
        copy().source_if_match("\"other\"").send().await,
        ErrorKind::Conflict,
        &from,
        "another source",
    );
    let moved = stack.object("moved");
    let source = format!("{}/{}", from.bucket(), from.key());
    let plain =
        stack.s3().copy_object().copy_source(&source).bucket(moved.bucket()).key(moved.key());
    plain.metadata_directive(MetadataDirective::Copy).send().await.expect("a plain S3 copy");
    assert_kind(
        client.copy().source_uri(&moved).uri(&to).send().await,
        ErrorKind::PlaceMismatch,
        &moved,
        "moved",
    );
    client.copy().source_uri(&moved).uri(&to).accept_place(source).send().await.expect("accepted");
    assert_eq!(read(&client, &to).await.expect("read"), "x");
}

#[tokio::test]
async fn a_copy_honours_conditions_on_source_and_destination() {
    let server = SeaweedFs::new().await;
    let (client, from, to) =
        (server.client(local_keyring("copies")), server.object("from"), server.object("to"));
    let source = client.put().uri(&from).body("x").send().await.expect("put");
    let there = client.put().uri(&to).body("y").send().await.expect("put");
    let copy = || client.copy().source_uri(&from).uri(&to);
    assert_kind(
        copy().if_none_match("*").send().await,
        ErrorKind::Conflict,
        &to,
        "the destination exists",
    );
    assert_kind(
        copy().if_match("\"other\"").send().await,
        ErrorKind::Conflict,
        &to,
        "another object exists",
    );
    assert_eq!(read(&client, &to).await.expect("still the other object"), "y");
    let copy = copy()
        .if_match(there.e_tag.expect("an entity tag"))
        .source_if_match(source.e_tag.expect("one"));
    copy.send().await.expect("both hold");
    assert_eq!(read(&client, &to).await.expect("read"), "x");
}

#[tokio::test]
async fn a_source_replaced_during_a_copy_is_not_mixed() {
    let server = SeaweedFs::new().await;
    let rival = (server.client(local_keyring("copies")), server.object(&unique("from")));
    let (client, from) = rival.clone();
    client.put().uri(&from).body("old").send().await.expect("put");
    let wire = Wire::new(move |call| match call.operation == "CopyObject" && call.nth == 0 {
        true => {
            let (client, from) = rival.clone();
            Reaction::Await(Box::pin(async move {
                client.put().uri(&from).body("new").send().await.expect("put");
            }))
        }
        false => Reaction::Pass,
    });
    let to = server.object("to");
    let slow = SeaweedFs::over(wire).await.client(local_keyring("copies"));
    let error = assert_kind(
        slow.copy().source_uri(&from).uri(&to).send().await,
        ErrorKind::Changed,
        &from,
        "changed",
    );
    assert!(error.kind().is_retryable());
    assert_kind(read(&client, &to).await, ErrorKind::NotFound, &to, "nothing was stored");
}

#[tokio::test]
async fn a_lost_response_to_a_copy_is_a_success() {
    let server = SeaweedFs::new().await;
    let (from, to) = (server.object("from"), server.object("to"));
    server.client(local_keyring("copies")).put().uri(&from).body("x").send().await.expect("put");
    let wire = Wire::new(|call| match call.operation == "CopyObject" && call.nth == 0 {
        true => Reaction::LoseAnswer,
        false => Reaction::Pass,
    });
    let client = SeaweedFs::over(wire).await.client(local_keyring("copies"));
    client
        .copy()
        .source_uri(&from)
        .uri(&to)
        .if_none_match("*")
        .send()
        .await
        .expect("our own object");
    assert_eq!(read(&client, &to).await.expect("read"), "x");
}
