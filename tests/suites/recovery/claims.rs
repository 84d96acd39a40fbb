//! Names of wrapping keys in stored metadata are claims. (FORMAT.md, "What proves a key".)

use sealwax_s3::{
    CopyObjectOutput, ErrorKind, KmsKeyArn, S3Uri, SealedClient, WrapPolicy,
    envelope::{MissingKey, ObjectHeader},
};
use sealwax_tests::{LocalStack, Stored, assert_kind, east, read};

fn wrapping_keys(header: &ObjectHeader) -> Vec<&str> {
    header.keys().iter().map(|key| key.wrapping_key()).collect()
}

/// An object under the first key, among whose keys an attacker planted the wrapped key of an older
/// version under the second.
pub(crate) async fn planted(stack: &LocalStack, first: &KmsKeyArn, second: &KmsKeyArn) -> S3Uri {
    let uri = stack.object("planted");
    stack.client([first, second]).put().uri(&uri).body("old").send().await.expect("put");
    let old = Stored::fetch(&stack.s3(), &uri).await.metadata["sealwax-keys"].clone();
    stack.client([first]).put().uri(&uri).body("new").send().await.expect("put");
    let stored = Stored::fetch(&stack.s3(), &uri).await;
    let at = old.find(&format!(r#",["aws-kms","{second}""#)).expect("the second key");
    let keys = stored.metadata["sealwax-keys"].strip_suffix("]}]").expect("one group").to_owned();
    stored.with("sealwax-keys", keys + &old[at..]).store(&stack.s3(), &uri).await;
    uri
}

async fn copy(
    client: &SealedClient,
    from: &S3Uri,
    to: &S3Uri,
    policy: WrapPolicy,
) -> CopyObjectOutput {
    let copy = client.copy().source_uri(from).uri(to).wrap_policy(policy).send().await;
    copy.unwrap_or_else(|error| panic!("{from}: {error:?}"))
}

/// FORMAT.md W13: a name that is present is claimed; a proof replaces what is disproved.
#[tokio::test]
async fn a_rewrap_reports_a_name_as_claimed() {
    let stack = LocalStack::new(east());
    let (first, second) = (&stack.home.key, &stack.home.key_2);
    let uri = planted(&stack, first, second).await;
    let client = stack.client([first, second]);
    let add = || client.rewrap().uri(&uri).add_keys(stack.keyring([second]));
    let claimed = add().send().await.expect("nothing to do");
    assert!(!claimed.rewrapped);
    assert_eq!(claimed.report.claimed, [second.as_str()]);
    assert!(claimed.report.added.is_empty() && claimed.report.proven.is_empty());
    assert_kind(
        read(&stack.client([second]), &uri).await,
        ErrorKind::Authentication,
        &uri,
        "the planted key",
    );

    let proven = add().prove_present().send().await.expect("replaced");
    assert!(proven.rewrapped);
    assert_eq!(
        (proven.report.disproved, proven.report.added),
        (vec![second.to_string()], vec![second.to_string()])
    );
    assert_eq!(read(&stack.client([second]), &uri).await.expect("it opens"), "new");
    let again = add().prove_present().send().await.expect("nothing to do");
    assert_eq!((again.rewrapped, again.report.proven), (false, vec![second.to_string()]));
}

/// FORMAT.md W8: the proof of a key that goes in the same rewrap counts for none that stays.
#[tokio::test]
async fn a_key_that_goes_is_no_proof() {
    let stack = LocalStack::new(east());
    let (first, second) = (&stack.home.key, &stack.home.key_2);
    let uri = planted(&stack, first, second).await;
    let client = stack.client([first, second]);
    let before = Stored::fetch(&stack.s3(), &uri).await;
    let rewrap = client.rewrap().uri(&uri).add_keys(stack.keyring([first])).prove_present();
    let refused = rewrap.remove_key(first.as_str()).send().await;
    assert_kind(refused, ErrorKind::Authentication, &uri, "only the planted key would stay");
    assert_eq!(Stored::fetch(&stack.s3(), &uri).await, before);
    assert_eq!(read(&client, &uri).await.expect("it opens"), "new");
}

/// FORMAT.md W10, W12: a copy drops and names what is disproved, and wraps for no name.
#[tokio::test]
async fn a_copy_carries_on_no_name_without_its_own_wrapped_key() {
    let stack = LocalStack::new(east());
    let (first, second) = (&stack.home.key, &stack.home.key_2);
    let client = stack.client([first, second]);
    let (from, to) = (planted(&stack, first, second).await, stack.object("copy"));
    let copied = copy(&client, &from, &to, WrapPolicy::All).await;
    assert_eq!(copied.report.disproved, [second.as_str()]);
    assert_eq!(
        (wrapping_keys(&copied.header), copied.header.missing().len()),
        (vec![first.as_str()], 0)
    );
    assert_eq!(read(&client, &to).await.expect("it opens"), "new");
    assert_kind(read(&stack.client([second]), &to).await, ErrorKind::NoMatchingKey, &to, "dropped");

    // A name that the attacker put on the list of missing keys.
    let (from, to) = (stack.object("missing"), stack.object("copy"));
    stack.client([first]).put().uri(&from).body("x").send().await.expect("put");
    let stored = Stored::fetch(&stack.s3(), &from).await;
    let missing = format!(r#"[["aws-kms","{second}"]]"#);
    stored.with("sealwax-missing", missing).store(&stack.s3(), &from).await;
    stack.wire.forget();
    let copied = copy(&client, &from, &to, WrapPolicy::All).await;
    assert_eq!(wrapping_keys(&copied.header), [first.as_str()]);
    let asked =
        stack.wire.calls().iter().any(|call| call.json.to_string().contains(second.as_str()));
    assert!(!asked, "KMS was asked about a name on the list");
}

/// FORMAT.md W12: a copy records and names what is unknown.
#[tokio::test]
async fn a_copy_records_a_disabled_key_as_missing() {
    let stack = LocalStack::new(east());
    let (first, disabled) = (&stack.home.key, &stack.new_key().await);
    let client = stack.client([first, disabled]);
    let (from, to) = (stack.object("unknown"), stack.object("copy"));
    client.put().uri(&from).body("x").send().await.expect("put");
    stack.kms().disable_key().key_id(disabled.as_str()).send().await.expect("disabled");

    let all = client.copy().source_uri(&from).uri(&to).send().await;
    assert_kind(all, ErrorKind::KeyDisabled, &from, "a copy needs all keys unless told otherwise");
    let copied = copy(&client, &from, &to, WrapPolicy::AtLeast(1)).await;
    assert_eq!(copied.report.missing, [disabled.as_str()]);
    assert_eq!(wrapping_keys(&copied.header), [first.as_str()]);
    let missing: Vec<_> = copied.header.missing().iter().map(MissingKey::wrapping_key).collect();
    assert_eq!(missing, [disabled.as_str()]);
}

/// FORMAT.md W11: a new data key is wrapped under the keys that the caller names.
#[tokio::test]
async fn a_new_data_key_is_not_wrapped_under_stored_names() {
    let stack = LocalStack::new(east());
    let (first, second) = (&stack.home.key, &stack.home.key_2);
    let uri = stack.object("known");
    let client = stack.client([first, second]);
    client.put().uri(&uri).body("x").send().await.expect("put");
    // Both wrapped keys prove; the caller names the first alone.
    let sealed = client.reencrypt().uri(&uri).keyring(stack.keyring([first])).send().await;
    let sealed = sealed.expect("sealed again");
    assert_eq!(wrapping_keys(sealed.header().expect("ours")), [first.as_str()]);
    assert_kind(
        read(&stack.client([second]), &uri).await,
        ErrorKind::NoMatchingKey,
        &uri,
        "second",
    );
    assert_eq!(read(&stack.client([first]), &uri).await.expect("it opens"), "x");
}
