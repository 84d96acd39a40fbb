//! A writer to the bucket who brings key objects back, plants or exchanges them, gains nothing.

use std::collections::HashMap;

use sealwax_s3::{
    DiscoveryFilter, KeyChanges,
    aws_sdk_kms::{primitives::Blob, types::DataKeySpec},
    envelope::WrappedForms,
};
use sealwax_tests::{Stored, local_keyring};

use super::*;

/// Junk, and the key objects of others, hide no key and open no object.
#[tokio::test]
async fn what_is_planted_in_the_place_of_a_key_object_is_no_key() {
    let (stack, keys, others) = (LocalStack::new(east()), Keys::new(), Keys::new());
    let (uri, other) = (stack.object("victim"), stack.object("other"));
    put(&keys.writer(&stack, [&stack.home.key]), &uri).await;
    put(&others.writer(&stack, [&stack.home.key]), &other).await;
    let s3 = stack.s3();
    let [(at, genuine)] = &keys.objects(&s3).await[..] else { panic!("one key object") };
    let [(_, foreign)] = &others.objects(&s3).await[..] else { panic!("one key object") };
    let detached = String::from_utf8(genuine.clone()).expect("text");
    let detached = detached.replace("v1/intermediate", "v1/detached");
    // The object's own keys are damaged, so that the key object alone could open it.
    let stored = Stored::fetch(&s3, &uri).await;
    let damaged =
        stored.metadata["sealwax-keys"].replace(stack.home.key.as_str(), west().key.as_str());
    stored.with("sealwax-keys", damaged).store(&s3, &uri).await;
    for (case, content, opens) in [
        ("genuine", genuine.clone(), true),
        ("another id", foreign.clone(), false),
        ("another kind", detached.into_bytes(), false),
        ("junk", b"junk".to_vec(), false),
        ("empty", Vec::new(), false),
        ("too long", vec![b' '; 20_000], false),
        ("a blank more", [genuine.as_slice(), b" "].concat(), false),
    ] {
        keys.store(&s3, at, content).await;
        let reader = keys.reader(&stack, [&stack.home.key]);
        let result = read(&reader, &uri).await;
        assert_eq!(result.is_ok(), opens, "{case}: {result:?}");
        if !opens {
            assert_kind(result, ErrorKind::NoMatchingKey, &uri, case);
        }
    }
}

/// Somebody who may call `GenerateDataKey` has another key wrapped for the same context, scope and
/// random half of the id.
#[tokio::test]
async fn a_genuine_wrapped_key_of_another_key_is_disproved_and_replaced() {
    let (stack, keys) = (LocalStack::new(east()), Keys::new());
    let uri = stack.object("victim");
    let keyring = CachingKeyring::new(stack.keyring([&stack.home.key]));
    put(&keys.client(&stack, keyring.with_wrapped_forms(WrappedForms::Detached)), &uri).await;
    let (s3, west) = (stack.s3(), west());
    let [(_, genuine)] = &keys.objects(&s3).await[..] else { panic!("one key object") };
    let genuine = KeyObject::parse(genuine).expect("a key object");
    let planted = planted(&stack, &genuine, &west.key).await;
    let name = genuine.name().under("aws-kms", west.key.as_str());
    keys.store(&s3, &format!("{}{name}", keys.prefix()), planted).await;

    let reader = keys.reader(&stack, [&west.key]);
    let failed = assert_kind(read(&reader, &uri).await, ErrorKind::Authentication, &uri, "planted");
    assert!(failed.to_string().contains(&uri.to_string()));
    // What is planted hides no other key object.
    let account = DiscoveryFilter::accounts(["000000000000"]);
    let keyring = stack.keyring_builder().keys([&west.key]).discovery(account);
    let both = keys.client(&stack, keyring.build().expect("parsed ARNs"));
    assert_eq!(read(&both, &uri).await.expect("get"), uri.to_string());
    let operator = keys.reader(&stack, [&stack.home.key]);
    let store = operator.stored_keys(&keys.bucket).expect("a key store");
    let key = keys.only(&operator).await;
    let add = || KeyChanges::new().add_keys(stack.keyring([&west.key]));
    let output = store.rewrap(&key, &add()).await.expect("a claim");
    assert_eq!(
        (&output.report.claimed[..], output.is_unchanged()),
        (&[west.key.to_string()][..], true)
    );
    // The planted one is no proof on which the true one could go.
    let remove =
        KeyChanges::new().add_keys(stack.keyring([&west.key])).remove_key(stack.home.key.as_str());
    let output = store.rewrap(&key, &remove).await.expect("kept");
    assert_eq!(
        (&output.report.kept[..], &output.removed[..]),
        (&[stack.home.key.to_string()][..], &[][..])
    );
    let output = store.rewrap(&key, &add().prove_present()).await.expect("replaced");
    assert_eq!(output.report.disproved, [west.key.as_str()]);
    assert_eq!(output.report.added, [west.key.as_str()]);
    let reader = keys.reader(&stack, [&west.key]);
    assert_eq!(read(&reader, &uri).await.expect("get"), uri.to_string());
}

/// Returns a key object of a key that the attacker knows, under `key`, in place of `genuine`.
async fn planted(stack: &LocalStack, genuine: &KeyObject, key: &KmsKeyArn) -> String {
    let pairs: HashMap<String, String> =
        genuine.form().wrap_context().pairs().into_iter().collect();
    let away = LocalStack::over(stack.wire.clone(), west());
    let made = away
        .kms()
        .generate_data_key()
        .key_id(key.as_str())
        .key_spec(DataKeySpec::Aes256)
        .set_encryption_context(Some(pairs))
        .send()
        .await
        .expect("made");
    let ciphertext = made.ciphertext_blob.map(Blob::into_inner).expect("a ciphertext");
    let text = genuine.to_json();
    let quoted = |bytes: &[u8]| {
        use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
        STANDARD_NO_PAD.encode(bytes)
    };
    let text = text.replace(&quoted(genuine.form().ciphertext()), &quoted(&ciphertext));
    text.replace(genuine.form().wrapping_key(), key.as_str())
}

/// FORMAT.md, "Limits": 64 planted key objects stand before the genuine one in each listing.
#[tokio::test]
async fn more_key_objects_than_anybody_looks_at_hide_none_that_a_reader_can_name() {
    let (stack, keys) = (LocalStack::new(east()), Keys::new());
    let uri = stack.object("victim");
    let keyring = CachingKeyring::new(stack.keyring([&stack.home.key]));
    put(&keys.client(&stack, keyring.with_wrapped_forms(WrappedForms::Detached)), &uri).await;
    let s3 = stack.s3();
    let [(at, genuine)] = &keys.objects(&s3).await[..] else { panic!("one key object") };
    let genuine = KeyObject::parse(genuine).expect("a key object").name();
    let planted = (0..).map(|n| genuine.under("aws-kms", &format!("planted {n}")));
    let planted = planted.map(|name| format!("{}{name}", keys.prefix()));
    for before in planted.filter(|name| name < at).take(64) {
        keys.store(&s3, &before, "{}").await;
    }

    let client = keys.reader(&stack, [&stack.home.key]);
    let key = keys.only(&client).await;
    assert_eq!((key.names().len(), key.others()), (64, 1));
    stack.wire.forget();
    assert_eq!(read(&client, &uri).await.expect("get"), uri.to_string());
    assert_eq!(operations(&stack.wire, &keys), ["GetObject", "GetObject *", "Decrypt"]);
    // A rewrap finds it in the same way, and claims no removal of what it did not see.
    let store = client.stored_keys(&keys.bucket).expect("a key store");
    let add = || KeyChanges::new().add_keys(stack.keyring([&west().key]));
    for changes in [
        add().remove_key("a key"),
        add().remove_key(stack.home.key.as_str()),
        KeyChanges::new().replace_keys(stack.keyring([&west().key])),
    ] {
        stack.wire.forget();
        let failed = store.rewrap(&key, &changes).await.expect_err("it may be among the others");
        assert_eq!(failed.kind(), ErrorKind::Unsupported, "{failed}");
        assert_eq!(operations(&stack.wire, &keys), [""; 0], "it is refused before any call");
    }
    let output = store.rewrap(&key, &add()).await.expect("rewrapped");
    assert!(output.report.opens.is_proven());
    let reader = keys.reader(&stack, [&west().key]);
    assert_eq!(read(&reader, &uri).await.expect("get"), uri.to_string());
}

/// FORMAT.md W21: the names in key objects are claims. Nothing is wrapped for them, and none of them
/// is asked about.
#[tokio::test]
async fn no_key_that_the_store_names_is_used() {
    let (stack, keys) = (LocalStack::new(east()), Keys::new());
    let uri = stack.object("victim");
    put(&keys.writer(&stack, [&stack.home.key]), &uri).await;
    let s3 = stack.s3();
    let [(_, genuine)] = &keys.objects(&s3).await[..] else { panic!("one key object") };
    let genuine = KeyObject::parse(genuine).expect("a key object");
    let stranger = "arn:aws:kms:eu-west-1:999988887777:key/1234abcd-12ab-34cd-56ef-1234567890ab";
    let text = genuine.to_json().replace(genuine.form().wrapping_key(), stranger);
    let name = genuine.name().under("aws-kms", stranger);
    keys.store(&s3, &format!("{}{name}", keys.prefix()), text).await;
    stack.wire.forget();
    let operator = keys.reader(&stack, [&stack.home.key]);
    let store = operator.stored_keys(&keys.bucket).expect("a key store");
    let key = keys.only(&operator).await;
    assert_eq!(key.names().len(), 2);
    store.rewrap(&key, &KeyChanges::new().add_keys(local_keyring("new"))).await.expect("rewrapped");
    store.prove(&key).await.expect("read");
    let asked: BTreeSet<_> = stack
        .wire
        .calls()
        .iter()
        .filter(|call| call.service == "kms")
        .map(|call| call.json["KeyId"].as_str().expect("a key").to_owned())
        .collect();
    assert_eq!(asked, BTreeSet::from([stack.home.key.to_string()]));
}
