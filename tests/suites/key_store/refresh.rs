//! Refreshes of key objects: new ciphertexts under the same wrapping keys.

use std::sync::{Arc, OnceLock};

use sealwax_s3::{KeyChanges, StoredKeyOutput, envelope::WrappedForms};

use super::*;

/// An object under a detached key that two wrapping keys of one Region wrap.
struct Detached {
    stack: LocalStack,
    keys: Keys,
    uri: S3Uri,
}

impl Detached {
    async fn over(wire: Wire) -> Self {
        let (stack, keys) = (LocalStack::over(wire, east()), Keys::new());
        let clean = LocalStack::new(east());
        let keyring = CachingKeyring::new(clean.keyring([&clean.home.key, &clean.home.key_2]));
        let writer = keys.client(&clean, keyring.with_wrapped_forms(WrappedForms::Detached));
        let uri = clean.object("refreshed");
        put(&writer, &uri).await;
        Self { stack, keys, uri }
    }

    async fn new() -> Self {
        Self::over(Wire::default()).await
    }

    /// Refreshes the key objects under the first key.
    async fn refresh(
        &self,
        change: impl FnOnce(KeyChanges) -> KeyChanges,
    ) -> Result<StoredKeyOutput, sealwax_s3::Error> {
        let operator = self.keys.reader(&self.stack, [&self.stack.home.key]);
        let store = operator.stored_keys(&self.keys.bucket).expect("a key store");
        let key = self.keys.only(&operator).await;
        self.stack.wire.forget();
        store.rewrap(&key, &change(KeyChanges::new().refresh_keys())).await
    }

    /// Returns the key objects by their wrapping keys.
    async fn objects(&self) -> BTreeMap<String, KeyObject> {
        let clean = LocalStack::new(east());
        let objects = self.keys.objects(&clean.s3()).await.into_iter();
        let parsed = objects.map(|(_, content)| KeyObject::parse(&content).expect("a key object"));
        parsed.map(|it| (it.form().wrapping_key().to_owned(), it)).collect()
    }

    /// Returns the key of the key object under the first key.
    async fn key_of_first(&self) -> String {
        let name = self.objects().await[self.first()].name();
        format!("{}{name}", self.keys.prefix())
    }

    fn first(&self) -> &str {
        self.stack.home.key.as_str()
    }

    /// Asserts that the object opens by each of the two keys alone.
    async fn assert_opens(&self) {
        let clean = LocalStack::new(east());
        for key in [&clean.home.key, &clean.home.key_2] {
            let reader = self.keys.reader(&clean, [key]);
            assert_eq!(read(&reader, &self.uri).await.expect("get"), self.uri.to_string());
        }
    }
}

/// LocalStack tells no key material, so what KMS returns counts as newer.
#[tokio::test]
async fn only_the_ciphertext_under_the_operators_keys_changes() {
    let detached = Detached::new().await;
    let before = detached.objects().await;
    let output = detached.refresh(|changes| changes).await.expect("refreshed");
    assert_eq!(output.refreshed, [detached.first()]);
    assert!(!output.is_unchanged() && output.report.opens.is_proven(), "{output:?}");
    assert!(output.report.added.is_empty() && output.removed.is_empty());
    let wire = &detached.stack.wire;
    // The second key object is read: its name does not tell whether the keyring may use it.
    let expected = ["GetObject *", "ReEncrypt", "Decrypt", "PutObject *", "GetObject *"];
    assert_eq!(operations(wire, &detached.keys), expected);
    let put = wire.calls().into_iter().find(|call| call.operation == "PutObject").expect("a put");
    assert!(put.headers.contains_key("if-match"), "{put:?}");

    let after = detached.objects().await;
    assert_eq!(before.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>());
    for (wrapping_key, old) in &before {
        let new = &after[wrapping_key];
        assert_eq!(new == old, wrapping_key != detached.first(), "{wrapping_key}");
        assert_eq!(
            (new.name(), new.form().wrap_context()),
            (old.name(), old.form().wrap_context())
        );
    }
    detached.assert_opens().await;
}

/// `KMS` says that the material is the newest, as it does on AWS.
#[tokio::test]
async fn what_is_under_the_newest_material_is_not_written() {
    let wire = Wire::new(|call| match call.operation.as_str() {
        "ReEncrypt" => Reaction::Edit(|body| {
            let mut answer: serde_json::Value = serde_json::from_slice(body).expect("JSON");
            answer["SourceKeyMaterialId"] = "m".repeat(64).into();
            answer["DestinationKeyMaterialId"] = "m".repeat(64).into();
            *body = answer.to_string().into_bytes();
        }),
        _ => Reaction::Pass,
    });
    let detached = Detached::over(wire).await;
    let before = detached.objects().await;
    let output = detached.refresh(|changes| changes).await.expect("up to date");
    assert_eq!(output, StoredKeyOutput::default());
    assert_eq!(detached.objects().await, before);
}

/// FORMAT.md W23: without a proof of the new ciphertext, the old one stays.
#[tokio::test]
async fn a_role_that_may_not_decrypt_keeps_the_old_ciphertext() {
    let denied = || {
        Wire::new(|call| match call.operation.as_str() {
            "Decrypt" => Reaction::Answer(
                400,
                r#"{"__type":"AccessDeniedException","message":"no Decrypt"}"#.into(),
            ),
            _ => Reaction::Pass,
        })
    };
    let detached = Detached::over(denied()).await;
    let before = detached.objects().await;
    let output = detached.refresh(|changes| changes).await.expect("kept");
    assert_eq!(output.report.kept, [detached.first()]);
    assert!(output.is_unchanged() && !output.report.opens.is_proven(), "{output:?}");
    assert_eq!(detached.objects().await, before);

    let output = detached.refresh(KeyChanges::dangerous_allow_unproven).await.expect("refreshed");
    assert_eq!(
        (&output.refreshed[..], output.report.kept.len()),
        (&[detached.first().to_owned()][..], 0)
    );
    assert!(!output.report.opens.is_proven(), "ReEncrypt shows no key");
    assert_ne!(detached.objects().await, before);
    detached.assert_opens().await;
}

/// KMS makes no ciphertext for the operator of what an attacker stored.
#[tokio::test]
async fn a_planted_key_object_is_named_and_not_refreshed() {
    let (detached, other) = (Detached::new().await, Detached::new().await);
    let (objects, others) = (detached.objects().await, other.objects().await);
    let (genuine, foreign) = (&objects[detached.first()], &others[detached.first()]);
    let at = detached.key_of_first().await;
    let planted = foreign.to_json().replace(&foreign.id().to_string(), &genuine.id().to_string());
    detached.keys.store(&detached.stack.s3(), &at, planted).await;
    let before = detached.objects().await;
    for change in [|changes: KeyChanges| changes, KeyChanges::dangerous_allow_unproven] {
        let output = detached.refresh(change).await.expect("named");
        let first = [detached.first().to_owned()];
        assert_eq!(
            (&output.report.disproved[..], &output.report.kept[..]),
            (&first[..], &first[..])
        );
        assert!(output.is_unchanged(), "{output:?}");
        assert_eq!(detached.objects().await, before);
    }
}

/// A removal, or another refresh, that comes in between wins.
#[tokio::test]
async fn what_changed_meanwhile_is_not_overwritten() {
    for deletes in [true, false] {
        let at: Arc<OnceLock<(String, String)>> = Arc::default();
        let known = Arc::clone(&at);
        let wire = Wire::new(move |call| match (call.operation.as_str(), known.get()) {
            ("Decrypt", Some((bucket, key))) => {
                let (bucket, key) = (bucket.clone(), key.clone());
                Reaction::Await(Box::pin(async move {
                    let s3 = LocalStack::new(east()).s3();
                    if deletes {
                        let deletion = s3.delete_object().bucket(bucket).key(key).send().await;
                        deletion.expect("deleted");
                    } else {
                        let put = s3.put_object().bucket(bucket).key(key);
                        put.body("another one".to_owned().into_bytes().into())
                            .send()
                            .await
                            .expect("put");
                    }
                }))
            }
            _ => Reaction::Pass,
        });
        let detached = Detached::over(wire).await;
        let key = detached.key_of_first().await;
        at.set((detached.keys.bucket.clone(), key.clone())).expect("set once");
        let failed =
            detached.refresh(|changes| changes).await.expect_err("it is not what was read");
        assert_eq!(failed.kind(), ErrorKind::Conflict, "{failed}");
        let s3 = LocalStack::new(east()).s3();
        let stored = detached.keys.objects(&s3).await;
        let stored = stored.into_iter().find(|(at, _)| *at == key).map(|(_, content)| content);
        assert_eq!(stored, (!deletes).then(|| b"another one".to_vec()));
    }
}
