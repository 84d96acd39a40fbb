//! Proofs of an audit: each key that an object claims, unwrapped alone.

use std::collections::BTreeMap;

use futures_util::TryStreamExt as _;
use sealwax_jobs::{
    Summary as _,
    audit::{Audit, AuditSummary, AuditedObject, AuditedProof, Dependence},
    listing::Listing,
};
use sealwax_s3::{
    ErrorKind, KMS_PROVIDER, KeyChanges, KeyStorage, KmsKeyArn, ListedObject, PlacePolicy,
    RewrapOutcome, S3Uri, SealedClient, SidecarPolicy,
    aws_sdk_s3::Client,
    envelope::{CachingKeyring, EncryptedDataKey, ObjectHeader, WrapContext},
    s3ec::{CommitmentPolicy, S3ec},
};
use sealwax_tests::{Call, LocalStack, Reaction, Stored, Wire, east, read, west};

use super::Folder;

const EAST: &str = "us-east-1";
const WEST: &str = "us-west-2";

/// Audits the folder with proofs. Returns its objects by name.
async fn proofs(folder: &Folder, client: SealedClient) -> BTreeMap<String, AuditedObject> {
    let listing = Listing::objects(client.s3(), &folder.bucket, &folder.prefix);
    let found = Audit::new(client).prove().concurrency(1).run(listing);
    let by_name = |one: AuditedObject| (folder.name(&one.object.key).to_owned(), one);
    found.map_ok(by_name).try_collect().await.expect("a whole listing")
}

/// Returns the claimed keys with the names of their proofs.
fn keys(found: &AuditedObject) -> Vec<(&str, &'static str)> {
    found.keys.iter().map(|key| (key.wrapping_key.as_str(), key.proof.name())).collect()
}

fn problem(found: &AuditedObject) -> Option<ErrorKind> {
    found.problem.as_ref().map(sealwax_s3::Error::kind)
}

/// Returns the keys of KMS calls, all of which are `Decrypt`, with their Regions.
fn decrypts(wire: &Wire) -> Vec<(String, String)> {
    let calls = wire.calls().into_iter().filter(|call| call.service == "kms");
    calls
        .map(|call| {
            assert_eq!(call.operation, "Decrypt");
            (call.json["KeyId"].as_str().expect("a key").to_owned(), call.region)
        })
        .collect()
}

fn decrypt(key: &KmsKeyArn) -> (String, String) {
    (key.as_str().to_owned(), key.region().to_owned())
}

async fn header(client: &SealedClient, uri: &S3Uri) -> ObjectHeader {
    client.head().uri(uri).send().await.expect("head").header().expect("sealed").clone()
}

/// Stores the object with other keys, as anybody who can write to the bucket can.
async fn plant(s3: &Client, uri: &S3Uri, header: &ObjectHeader, keys: Vec<EncryptedDataKey>) {
    let header = header.rewrapped(keys).expect("valid keys");
    let stored = Stored::fetch(s3, uri).await;
    let planted = header.to_metadata().into_iter();
    planted.fold(stored, |stored, (name, value)| stored.with(name, value)).store(s3, uri).await;
}

fn wrapped(name: &KmsKeyArn, ciphertext: Vec<u8>, wrap_context: &WrapContext) -> EncryptedDataKey {
    EncryptedDataKey::new(KMS_PROVIDER, name.as_str(), ciphertext, wrap_context).expect("a key")
}

/// Every way to plant a key of the West in an object that only the East opens: the audit claims it,
/// and the proof finds out.
#[tokio::test]
async fn a_planted_key_is_claimed_and_then_disproved() {
    let (east, west) = (LocalStack::new(east()), LocalStack::new(west()));
    let (here, there, s3) = (&east.home.key, &west.home.key, east.s3());
    let folder = Folder::new(&east.home.bucket, "proof-planted");
    let both = east.client([here, there]);
    for name in ["garbage", "of-an-older-version", "by-generate-data-key"] {
        let uri = folder.put(&both, name, "older").await;
        let older = header(&both, &uri).await.keys()[1].ciphertext().to_vec();
        folder.put(&east.client([here]), name, "newer").await;
        let header = header(&both, &uri).await;
        let binding = header.keys()[0].wrap_context();
        let ciphertext = match name {
            "garbage" => vec![0; 3],
            "of-an-older-version" => older,
            _ => {
                let generate = west.kms().generate_data_key().key_id(there.as_str());
                let generate = generate
                    .key_spec(sealwax_s3::aws_sdk_kms::types::DataKeySpec::Aes256)
                    .set_encryption_context(Some(binding.pairs().into_iter().collect()));
                let generated = generate.send().await.expect("a data key of the attacker");
                generated.ciphertext_blob.expect("wrapped").into_inner()
            }
        };
        let keys = vec![header.keys()[0].clone(), wrapped(there, ciphertext, binding)];
        plant(&s3, &uri, &header, keys).await;
    }
    let claims =
        Audit::new(both.clone()).run(Listing::objects(&s3, &folder.bucket, &folder.prefix));
    for found in claims.try_collect::<Vec<_>>().await.expect("a whole listing") {
        assert_eq!(keys(&found), [(here.as_str(), "claimed"), (there.as_str(), "claimed")]);
        assert_eq!((found.proof.as_ref(), problem(&found)), (None, None));
        assert!(!found.lacks(WEST, &[]), "that is the claim");
        assert_eq!(found.dependence(here.as_str()), Dependence::Shared);
    }

    east.wire.forget();
    let proven = proofs(&folder, both).await;
    let mut summary = AuditSummary::default();
    for (name, found) in &proven {
        assert_eq!(
            keys(found),
            [(here.as_str(), "proven"), (there.as_str(), "disproved")],
            "{name}"
        );
        assert_eq!(problem(found), Some(ErrorKind::Authentication), "{name}");
        let said = found.problem.as_ref().expect("a problem").to_string();
        assert!(said.contains(there.as_str()), "{said}");
        assert!(found.lacks(WEST, &[]) && !found.lacks(EAST, &[]), "{name}");
        assert_eq!(found.dependence(here.as_str()), Dependence::Sole, "{name}");
        assert_eq!(found.dependence(there.as_str()), Dependence::None, "{name}");
        summary.record(found);
    }
    let expected = [decrypt(here), decrypt(there)];
    assert_eq!(decrypts(&east.wire), [&expected[..]; 3].concat(), "each key alone, and no other");
    assert_eq!((summary.failed(), &summary.proofs), (3, &[("proven", 3)].into()));
    let uses = &summary.keys[there.as_str()];
    assert_eq!((uses.objects, uses.proven, uses.disproved), (3, 0, 3));
    assert_eq!(summary.regions, [(vec![EAST.to_owned()], 3)].into());
}

#[tokio::test]
async fn all_duplicates_under_one_name_are_tried() {
    let stack = LocalStack::new(east());
    let (here, there) = (&stack.home.key, &west().key);
    let folder = Folder::new(&stack.home.bucket, "proof-duplicates");
    let client = stack.client([here, there]);
    let uri = folder.put(&client, "x", "x").await;
    let header = header(&client, &uri).await;
    let [own, genuine] = [header.keys()[0].clone(), header.keys()[1].clone()];
    let garbage = wrapped(there, vec![7; 40], own.wrap_context());
    plant(&stack.s3(), &uri, &header, vec![garbage, own, genuine]).await;
    let found = &proofs(&folder, client).await["x"];
    let there = there.as_str();
    assert_eq!(keys(found), [(there, "disproved"), (here.as_str(), "proven"), (there, "proven")]);
    assert!(!found.lacks(WEST, &[]));
    assert_eq!(found.dependence(here.as_str()), Dependence::Shared);
    assert_eq!(problem(found), Some(ErrorKind::Authentication), "the duplicate is none");
}

#[tokio::test]
async fn keys_that_cannot_be_asked_are_unknown_and_count_for_nothing() {
    let quiet = LocalStack::new(east());
    let (here, there, disabled) = (&quiet.home.key, &west().key, &quiet.new_key().await);
    let folder = Folder::new(&quiet.home.bucket, "proof-unknown");
    folder.put(&quiet.client([here, there]), "x", "x").await;
    let denies = |call: &Call| match call.region.as_str() {
        WEST if call.service == "kms" => {
            Reaction::Answer(400, r#"{"__type":"AccessDeniedException"}"#.into())
        }
        _ => Reaction::Pass,
    };
    let refuses = |call: &Call| match call.region.as_str() {
        WEST if call.service == "kms" => Reaction::Refuse,
        _ => Reaction::Pass,
    };
    for (wire, kind) in
        [(Wire::new(denies), ErrorKind::AccessDenied), (Wire::new(refuses), ErrorKind::Unavailable)]
    {
        let stack = LocalStack::over(wire, east());
        let found = &proofs(&folder, stack.client([here, there])).await["x"];
        assert_eq!(keys(found), [(here.as_str(), "proven"), (there.as_str(), "unknown")]);
        assert_eq!(problem(found), Some(kind));
        assert!(found.lacks(WEST, &[]), "{kind:?}");
        assert_eq!(found.dependence(here.as_str()), Dependence::Sole, "{kind:?}");
        assert_eq!(found.dependence(there.as_str()), Dependence::Shared, "it may be needed");
    }

    let folder = Folder::new(&quiet.home.bucket, "proof-disabled");
    folder.put(&quiet.client([disabled]), "x", "x").await;
    quiet.kms().disable_key().key_id(disabled.as_str()).send().await.expect("disable");
    let found = &proofs(&folder, quiet.client([disabled])).await["x"];
    assert_eq!(keys(found), [(disabled.as_str(), "unknown")]);
    assert_eq!(problem(found), Some(ErrorKind::KeyDisabled));
    assert_eq!(found.proof, Some(AuditedProof::Unknown));
    assert_eq!(found.dependence(disabled.as_str()), Dependence::Sole);
}

#[tokio::test]
async fn throttled_proofs_are_repeated() {
    let throttled = |call: &Call| match call.operation == "Decrypt" && call.nth < 4 {
        // More often than the SDK itself retries.
        true => Reaction::Answer(400, r#"{"__type":"ThrottlingException"}"#.into()),
        false => Reaction::Pass,
    };
    let stack = LocalStack::over(Wire::new(throttled), east());
    let folder = Folder::new(&stack.home.bucket, "proof-throttled");
    let client = stack.client([&stack.home.key]);
    folder.put(&client, "x", "x").await;
    let found = &proofs(&folder, client).await["x"];
    assert_eq!((keys(found), problem(found)), (vec![(stack.home.key.as_str(), "proven")], None));
}

/// KMS is asked only about keys that the client reads with: of its keyring, and at its places.
#[tokio::test]
async fn no_key_outside_of_the_readers_policy_is_asked() {
    let stack = LocalStack::new(east());
    let (here, there, strange) = (&stack.home.key, &west().key, &stack.home.key_2);
    let folder = Folder::new(&stack.home.bucket, "proof-policy");
    folder.put(&stack.client([here, strange]), "both", "x").await;
    folder.put(&stack.client([strange]), "strange", "x").await;
    stack.wire.forget();
    let found = proofs(&folder, stack.client([here, there])).await;
    assert_eq!(decrypts(&stack.wire), [decrypt(here)]);
    let both = &found["both"];
    assert_eq!(keys(both), [(here.as_str(), "proven"), (strange.as_str(), "claimed")]);
    assert_eq!(problem(both), None, "what the caller does not read with is no fault");
    assert_eq!(both.dependence(here.as_str()), Dependence::Sole);
    assert_eq!(both.dependence(strange.as_str()), Dependence::Shared);
    let strange = &found["strange"];
    assert_eq!(strange.proof, Some(AuditedProof::Claimed));
    assert_eq!(problem(strange), Some(ErrorKind::NoMatchingKey), "nothing is proven of it");
}

#[tokio::test]
async fn keys_of_another_bucket_count_only_for_its_replica() {
    let (east, west) = (LocalStack::new(east()), LocalStack::new(west()));
    let (here, there) = (&east.home.key, &west.home.key);
    let folder = Folder::new(&west.home.bucket, "proof-replica");
    let uri: S3Uri =
        format!("s3://{}/{}x", east.home.bucket, folder.prefix).parse().expect("a name");
    east.client([here, there]).put().uri(&uri).body("x").send().await.expect("put");
    let stored = Stored::fetch(&east.s3(), &uri).await;
    stored.store(&west.s3(), &folder.object("x")).await;

    west.wire.forget();
    let found = &proofs(&folder, west.client([here, there])).await["x"];
    assert_eq!(decrypts(&west.wire), []);
    assert_eq!(problem(found), Some(ErrorKind::PlaceMismatch));
    assert!(found.keys.iter().all(|key| !key.is_at_place));
    assert_eq!(found.keys[0].place.as_deref(), Some(&uri.to_string()["s3://".len()..]));
    assert!(found.lacks(EAST, &[]) && found.lacks(WEST, &[]));
    assert_eq!(found.dependence(here.as_str()), Dependence::Sole, "a reader may accept the place");

    let places = PlacePolicy::bound().replica_of(&west.home.bucket, &east.home.bucket);
    let replica = west.client_builder([here, there]).places(places).build();
    let found = &proofs(&folder, replica).await["x"];
    assert_eq!(keys(found), [(here.as_str(), "proven"), (there.as_str(), "proven")]);
    assert!(!found.lacks(EAST, &[]) && !found.lacks(WEST, &[]));
    assert_eq!(problem(found), None);
}

#[tokio::test]
async fn a_sidecars_keys_count_as_the_objects() {
    let stack = LocalStack::new(east());
    let (here, there) = (&stack.home.key, &west().key);
    let folder = Folder::new(&stack.home.bucket, "proof-sidecar");
    let uri = folder.put(&stack.client([here]), "x", "x").await;
    let client = || stack.client_builder([here, there]).sidecars(SidecarPolicy::read()).build();
    let rewrap = client().rewrap().uri(&uri).add_keys(stack.keyring([there]));
    rewrap.key_storage(KeyStorage::Sidecar).send().await.expect("a sidecar");

    let found = proofs(&folder, client()).await;
    let object = &found["x"];
    assert_eq!(keys(object), [(here.as_str(), "proven"), (there.as_str(), "proven")]);
    assert_eq!(object.keys.iter().map(|key| key.in_sidecar).collect::<Vec<_>>(), [false, true]);
    assert!(!object.lacks(WEST, &[]) && object.problem.is_none());
    assert_eq!(object.dependence(here.as_str()), Dependence::Shared);
    let beside = &found["x.sealwax"];
    assert_eq!(beside.dependence(there.as_str()), Dependence::None, "its object has the key");

    // Without a look for sidecars, nothing is known about this one's keys.
    let found = proofs(&folder, stack.client([here, there])).await;
    assert!(found["x"].lacks(WEST, &[]));
    assert_eq!(found["x.sealwax"].dependence(there.as_str()), Dependence::Unknown);

    // One that cannot be read may name any key.
    let s3 = stack.s3();
    let sidecar = folder.object("x.sealwax");
    let kind = "application/vnd.sealwax.sidecar+json";
    let put = s3.put_object().bucket(sidecar.bucket()).key(sidecar.key()).content_type(kind);
    put.body(b"{".to_vec().into()).send().await.expect("a damaged sidecar");
    let object = &proofs(&folder, client()).await["x"];
    assert_eq!(problem(object), Some(ErrorKind::Malformed));
    assert!(object.lacks(WEST, &[]));
    assert_eq!(object.dependence(there.as_str()), Dependence::Unknown);
    assert_eq!(object.dependence(here.as_str()), Dependence::Sole);
}

/// Returns the keys of one group, with a worthless ciphertext under the second name.
fn forged(keys: &[EncryptedDataKey]) -> Vec<EncryptedDataKey> {
    let mut ciphertext = keys[1].ciphertext().to_vec();
    let middle = ciphertext.len() / 2;
    ciphertext[middle] ^= 1;
    let (provider, name) = (keys[1].provider(), keys[1].wrapping_key());
    let form = EncryptedDataKey::new(provider, name, ciphertext, keys[1].wrap_context());
    let forged =
        keys[0].with_intermediate(form.expect("a key")).expect("the same intermediate key");
    assert!(forged.shares_group(&keys[0]));
    vec![keys[0].clone(), forged]
}

/// A key cache knows an intermediate key by its id: it would open an object under a worthless form
/// of that key.
#[tokio::test]
async fn an_intermediate_key_is_unwrapped_once_for_each_of_its_forms_and_from_no_cache() {
    let stack = LocalStack::new(east());
    let (here, there) = (&stack.home.key, &west().key);
    let folder = Folder::new(&stack.home.bucket, "proof-shared");
    let caching =
        SealedClient::builder(stack.s3(), CachingKeyring::new(stack.keyring([here, there])))
            .build();
    for name in ["1", "2", "3", "forged"] {
        folder.put(&caching, name, "x").await;
    }
    let uri = folder.object("forged");
    let genuine = header(&caching, &uri).await;
    plant(&stack.s3(), &uri, &genuine, forged(genuine.keys())).await;
    read(&caching, &uri).await.expect("by the East's form, which is cached then");

    stack.wire.forget();
    let found = proofs(&folder, caching).await;
    for name in ["1", "2", "3"] {
        let expected = [(here.as_str(), "proven"), (there.as_str(), "proven")];
        assert_eq!((keys(&found[name]), problem(&found[name])), (expected.to_vec(), None));
    }
    let expected = [(here.as_str(), "proven"), (there.as_str(), "disproved")];
    assert_eq!(keys(&found["forged"]), expected);
    assert!(found["forged"].lacks(WEST, &[]));
    let calls = [decrypt(here), decrypt(there), decrypt(there)];
    assert_eq!(decrypts(&stack.wire), calls, "one for each form");
}

/// The same for a rewrap: no key is removed because a key cache opens a worthless one.
#[tokio::test]
async fn a_cached_intermediate_key_is_no_proof_for_a_removal() {
    let stack = LocalStack::new(east());
    let (here, there) = (&stack.home.key, &west().key);
    let folder = Folder::new(&stack.home.bucket, "proof-removal");
    let caching = || CachingKeyring::new(stack.keyring([here, there]));
    let client = SealedClient::builder(stack.s3(), caching()).build();
    folder.put(&client, "first", "x").await;
    let uri = folder.put(&client, "forged", "x").await;
    let genuine = header(&client, &uri).await;
    plant(&stack.s3(), &uri, &genuine, forged(genuine.keys())).await;
    read(&client, &folder.object("first")).await.expect("its intermediate key is cached then");

    let before = Stored::fetch(&stack.s3(), &uri).await;
    let listed = ListedObject::new(uri.bucket(), uri.key());
    let rewrapper =
        client.rewrapper(KeyChanges::new().remove_key(here.as_str())).expect("a change");
    match rewrapper.rewrap_one(&listed).await {
        RewrapOutcome::Failed(error) => {
            assert_eq!(error.kind(), ErrorKind::Authentication, "{error}");
        }
        outcome => panic!("{}", outcome.name()),
    }
    assert_eq!(Stored::fetch(&stack.s3(), &uri).await, before);

    // `prove_present` replaces the worthless form.
    let changes = KeyChanges::new().prove_present();
    let rewrapper = client.rewrapper(changes.add_keys(caching())).expect("a change");
    assert_eq!(rewrapper.rewrap_one(&listed).await.name(), "rewrapped");
    let west_alone = stack.client([there]);
    assert_eq!(read(&west_alone, &uri).await.expect("the new form"), "x");
}

/// KMS names the key of an object that does not. V3 commits to its data key. V2 does not, so no call
/// could prove it; the client's policy says whether it is asked about.
#[tokio::test]
async fn objects_of_the_s3_encryption_client_are_proven_if_they_commit() {
    let stack = LocalStack::new(east());
    let key = &stack.home.key;
    let folder = Folder::new(&stack.home.bucket, "proof-s3ec");
    let client = stack.client([key]);
    for name in ["v3", "v3-exchanged", "v3-other-key"] {
        client.put().uri(&folder.object(name)).body("x").s3ec().send().await.expect("put");
    }
    let v2 = S3ec::new().commitment_policy(CommitmentPolicy::ForbidEncryptAllowDecrypt);
    let v2 = stack.client_builder([key]).s3ec(v2).build();
    v2.put().uri(&folder.object("v2")).body("x").s3ec().send().await.expect("put");
    let strange = stack.client([&stack.home.key_2]);
    let other = strange.put().uri(&folder.object("v3-other-key")).body("x").s3ec();
    other.send().await.expect("put");
    let s3 = stack.s3();
    let of_v3 = Stored::fetch(&s3, &folder.object("v3")).await.metadata["x-amz-3"].clone();
    let exchanged = folder.object("v3-exchanged");
    Stored::fetch(&s3, &exchanged).await.with("x-amz-3", of_v3).store(&s3, &exchanged).await;

    stack.wire.forget();
    let found = proofs(&folder, client).await;
    let of =
        |name: &str| (found[name].proof.as_ref().expect("asked").name(), problem(&found[name]));
    assert_eq!(of("v3"), ("proven", None));
    assert_eq!(found["v3"].dependence(key.as_str()), Dependence::Sole);
    assert_eq!(found["v3"].dependence(stack.home.key_2.as_str()), Dependence::None);
    assert!(!found["v3"].lacks(EAST, &[]) && found["v3"].lacks("us-west-2", &[]));
    assert_eq!(of("v3-exchanged"), ("disproved", Some(ErrorKind::Authentication)));
    // The object does not name its key: KMS's rejection proves nothing.
    assert_eq!(of("v3-other-key"), ("unknown", Some(ErrorKind::NoMatchingKey)));
    assert_eq!(of("v2"), ("unknown", Some(ErrorKind::PolicyRefused)));
    assert_eq!(decrypts(&stack.wire), [decrypt(key), decrypt(key), decrypt(key)], "V3 only");
    for name in ["v3-exchanged", "v3-other-key", "v2"] {
        let found = &found[name];
        assert_eq!(found.dependence(key.as_str()), Dependence::Unknown, "{name}");
        assert!(found.lacks(EAST, &[]), "{name}");
    }

    let found = &proofs(&folder, v2).await["v2"];
    assert_eq!(found.proof, Some(AuditedProof::Unwrapped { by: Some(key.as_str().to_owned()) }));
    assert_eq!((problem(found), found.dependence(key.as_str())), (None, Dependence::Sole));
    assert!(!found.lacks(EAST, &[]) && found.lacks("us-west-2", &[]));
    let mut summary = AuditSummary::default();
    summary.record(found);
    let uses = &summary.keys[key.as_str()];
    assert_eq!((uses.objects, uses.sole, uses.proven, uses.unwrapped), (1, 1, 0, 1));
}

/// The replica of a multi-Region key in another Region must not vouch for the one that is named.
#[tokio::test]
async fn a_multi_region_key_is_proven_by_the_key_that_is_named_first() {
    let (east, west) = (LocalStack::new(east()), LocalStack::new(west()));
    let (mrk, replica) = (&east.home.mrk, &west.home.mrk);
    let folder = Folder::new(&east.home.bucket, "proof-mrk");
    folder.put(&east.client([mrk]), "x", "x").await;
    // A reader in the West asks the replica first.
    west.wire.forget();
    let found = &proofs(&folder, west.client([mrk, replica])).await["x"];
    assert_eq!(decrypts(&west.wire), [decrypt(mrk)]);
    assert_eq!(found.proof, Some(AuditedProof::Proven { by: Some(mrk.as_str().to_owned()) }));
    assert!(!found.lacks(EAST, &[]) && found.lacks(WEST, &[]));

    let found = &proofs(&folder, west.client([replica])).await["x"];
    assert_eq!(found.proof, Some(AuditedProof::Proven { by: Some(replica.as_str().to_owned()) }));
    assert!(found.lacks(EAST, &[]) && !found.lacks(WEST, &[]));
}
