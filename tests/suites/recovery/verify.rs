//! Findings and costs of `verify`.

use std::collections::BTreeMap;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use sealwax_jobs::{
    Summary as _,
    audit::{Audit, Dependence},
    listing::Listing,
    verify::{Sample, VerifiedObject, VerifyAll, VerifyOutcome, VerifySummary},
};
use sealwax_s3::{
    Error, ErrorKind, KeyStorage, ListedObject, ObjectKind, SealedClient, SidecarPolicy,
    VerifyDepth,
    envelope::{ObjectHeader, metadata},
};
use sealwax_tests::{
    LocalStack, Reaction, SeaweedFs, Stored, Wire, assert_kind, east, local_keyring, plaintext,
    west,
};

use super::{Folder, store_plain};

async fn all(verify: VerifyAll, objects: Listing) -> (Vec<VerifiedObject>, VerifySummary) {
    let outcomes: Vec<_> = verify.run(objects).try_collect().await.expect("a whole listing");
    let mut summary = VerifySummary::default();
    outcomes.iter().for_each(|outcome| summary.record(outcome));
    (outcomes, summary)
}

#[tokio::test]
async fn each_depth_has_its_documented_cost() {
    let stack = LocalStack::new(east());
    let client = stack.client([&stack.home.key]);
    for (len, ends) in [(100_000, 16_384 + 100_000 % 16_384), (32_768, 32_768), (1, 1), (0, 0)] {
        let uri = stack.object("depth");
        client.put().uri(&uri).body(plaintext(len)).send().await.expect("put");
        for (depth, gets, opened) in [
            (VerifyDepth::Keys, 0..=0, 0),
            (VerifyDepth::FirstLast, 1..=2, ends),
            (VerifyDepth::Full, 1..=1, len),
        ] {
            stack.wire.forget();
            let verified = client.verify().uri(&uri).depth(depth).send().await.expect("it opens");
            assert_eq!((verified.depth, verified.opened), (depth, opened as u64), "{len}");
            assert_eq!(stack.wire.kms().len(), 1, "{len}, {depth:?}");
            let calls = stack.wire.operations("s3");
            let count = |operation: &str| calls.iter().filter(|call| *call == operation).count();
            assert_eq!(count("HeadObject"), 1, "{len}, {depth:?}");
            assert!(gets.contains(&count("GetObject")), "{len}, {depth:?}: {calls:?}");
        }
    }
}

/// A look at an object's claims and the proof that one of its keys opens it share one `HeadObject`.
#[tokio::test]
async fn claims_cost_no_further_request() {
    let stack = LocalStack::new(east());
    let client = stack.client([&stack.home.key]);
    let folder = Folder::new(&stack.home.bucket, "claims");
    for name in ["a", "b"] {
        folder.put(&client, name, "text").await;
    }
    store_plain(&stack.s3(), &folder.object("plain"), &[]).await;
    for (depth, gets) in [(VerifyDepth::Keys, 0), (VerifyDepth::Full, 2)] {
        stack.wire.forget();
        let job = VerifyAll::new(client.clone()).depth(depth).claims();
        let listing = Listing::objects(client.s3(), &folder.bucket, &folder.prefix);
        let (outcomes, summary) = all(job, listing).await;
        assert_eq!((summary.opened, summary.unsealed), (2, 1), "{outcomes:?}");
        for VerifiedObject { object, claims, .. } in &outcomes {
            let keys = claims.as_ref().expect("claims").keys.len();
            assert_eq!(keys, usize::from(folder.name(&object.key) != "plain"), "{object}");
        }
        let calls = stack.wire.operations("s3");
        let count = |operation: &str| calls.iter().filter(|call| *call == operation).count();
        assert_eq!((count("HeadObject"), stack.wire.kms().len()), (3, 2), "{calls:?}");
        // Whether the plain object has an instruction file is asked besides.
        let of_objects = stack.wire.calls();
        let of_objects = of_objects.iter().filter(|call| call.operation == "GetObject");
        let of_sealed = of_objects.filter(|call| !call.uri.contains("plain")).count();
        assert_eq!(of_sealed, gets, "{depth:?}");
    }
}

#[tokio::test]
async fn each_depth_finds_the_damage_in_the_parts_that_it_reads() {
    use ErrorKind::{Authentication, Truncated};
    use VerifyDepth::{FirstLast, Full, Keys};
    let store = SeaweedFs::new().await;
    let (client, uri) = (store.client(local_keyring("a")), store.object("damage"));
    client.put().uri(&uri).body(plaintext(100_000)).send().await.expect("put");
    let intact = Stored::fetch(client.s3(), &uri).await;
    let flipped = |at: usize| {
        let mut body = intact.body.to_vec();
        body[at] ^= 1;
        intact.with_body(body)
    };
    let last = intact.body.len() - 1;
    for (case, damaged, fails_from) in [
        ("nothing", intact.clone(), None),
        ("first chunk", flipped(60), Some((FirstLast, Authentication))),
        ("a chunk within", flipped(40_000), Some((Full, Authentication))),
        ("last chunk", flipped(last), Some((FirstLast, Authentication))),
        ("cut", intact.with_body(intact.body.slice(..last)), Some((Keys, Truncated))),
        ("commitment", intact.with("sealwax-header", "A".repeat(75)), Some((Keys, Authentication))),
    ] {
        damaged.store(client.s3(), &uri).await;
        for depth in [Keys, FirstLast, Full] {
            let verified = client.verify().uri(&uri).depth(depth).send().await;
            let expected = fails_from.filter(|(from, _)| depth >= *from).map(|(_, kind)| kind);
            let kind = verified.as_ref().err().map(Error::kind);
            assert_eq!(kind, expected, "{case}, {depth:?}: {verified:?}");
        }
    }
}

/// One object of each kind, with its outcome.
#[tokio::test]
async fn every_object_has_an_outcome() {
    let store = SeaweedFs::new().await;
    let folder = Folder::new(store.object("").bucket(), "verify");
    let (ours, others) = (store.client(local_keyring("a")), store.client(local_keyring("b")));
    for name in ["opens-1", "opens-2"] {
        folder.put(&ours, name, "x").await;
    }
    folder.put(&others, "not-mine", "x").await;
    let broken = folder.put(&ours, "malformed", "x").await;
    Stored::fetch(ours.s3(), &broken)
        .await
        .with("sealwax-keys", "[]")
        .store(ours.s3(), &broken)
        .await;
    store_plain(ours.s3(), &folder.object("plain"), &[]).await;
    // Neither a name nor a mark makes an object a companion, and no instruction file needs a mark.
    store_plain(ours.s3(), &folder.object("opens-2.sealwax"), &[]).await;
    store_plain(ours.s3(), &folder.object("real.instruction"), &[("x-amz-crypto-instr-file", "")])
        .await;
    let sidecar = Stored::fetch(ours.s3(), &folder.object("opens-1")).await;
    let sidecar = ObjectHeader::parse(metadata::pairs(&sidecar.metadata)).expect("sealed");
    let file = r#"{"x-amz-key-v2":"a","x-amz-iv":"b"}"#.to_owned();
    for (name, body) in [
        ("opens-1.sealwax", sidecar.to_sidecar().expect("a sidecar")),
        ("alone.instruction", file),
        ("dir/", String::new()),
    ] {
        let stored = Stored { body: body.into(), metadata: Default::default() };
        stored.store(ours.s3(), &folder.object(name)).await;
    }
    let mark = [("sealwax-shredded", "2026-11-28T08:08:53Z")];
    store_plain(ours.s3(), &folder.object("shredded"), &mark).await;

    let client = store.client_builder(local_keyring("a")).sidecars(SidecarPolicy::read()).build();
    let listing = Listing::objects(client.s3(), &folder.bucket, &folder.prefix);
    let (outcomes, summary) = all(VerifyAll::new(client), listing).await;
    let found: BTreeMap<_, _> = outcomes
        .iter()
        .map(|outcome| (folder.name(&outcome.object.key), outcome.outcome.name()))
        .collect();
    let expected = [
        ("alone.instruction", "instruction-file"),
        ("dir/", "folder-marker"),
        ("malformed", "malformed"),
        ("not-mine", "no-matching-key"),
        ("opens-1", "opened"),
        ("opens-1.sealwax", "sidecar"),
        ("opens-2", "opened"),
        ("opens-2.sealwax", "not-sealed"),
        ("plain", "not-sealed"),
        ("real.instruction", "not-sealed"),
        ("shredded", "shredded"),
    ];
    assert_eq!(found, expected.into());
    let mut expected = VerifySummary::default();
    (expected.opened, expected.plaintext_bytes, expected.unsealed) = (2, 2, 3);
    (expected.shredded, expected.folder_markers) = (1, 1);
    (expected.sidecars, expected.instruction_files) = (1, 1);
    expected.failures = [("malformed", 1), ("no-matching-key", 1)].into();
    assert_eq!(summary, expected);
    assert_eq!((summary.objects(), summary.skipped(), summary.failed()), (11, 4, 2));
}

/// Anyone who can write to the bucket can mark any object as shredded. One that still has keys does not
/// pass, wherever the keys are.
#[tokio::test]
async fn an_object_with_keys_is_not_shredded_whatever_its_mark_says() {
    let stack = LocalStack::new(east());
    let folder = Folder::new(&stack.home.bucket, "marked");
    let client = stack.client_builder([&stack.home.key]).sidecars(SidecarPolicy::read()).build();
    let time = "2026-11-28T08:08:53Z";
    let sealed = folder.put(&client, "metadata", "x").await;
    let stored = Stored::fetch(client.s3(), &sealed).await;
    stored.clone().with("sealwax-shredded", time).store(client.s3(), &sealed).await;
    let mark_alone =
        Stored { body: stored.body, metadata: [("sealwax-shredded".into(), time.into())].into() };

    let in_sidecar = folder.put(&client, "sidecar", "x").await;
    let rewrap = client.rewrap().uri(&in_sidecar).key_storage(KeyStorage::Sidecar);
    let rewrap = rewrap.add_keys(stack.keyring([&stack.home.key_2]));
    rewrap.send().await.expect("a sidecar");
    mark_alone.store(client.s3(), &in_sidecar).await;

    let s3ec = folder.object("s3ec");
    client.put().uri(&s3ec).body("x").s3ec().send().await.expect("put");
    let stored = Stored::fetch(client.s3(), &s3ec).await;
    stored.with("sealwax-shredded", time).store(client.s3(), &s3ec).await;

    let in_file = folder.object("file");
    client.put().uri(&in_file).body("x").s3ec().instruction_file().send().await.expect("put");
    mark_alone.store(client.s3(), &in_file).await;
    let plain = folder.object("plain");
    let undated = Stored {
        body: "x".into(),
        metadata: [("sealwax-shredded".to_owned(), "some day".to_owned())].into(),
    };
    undated.store(client.s3(), &plain).await;

    let listing = Listing::objects(client.s3(), &folder.bucket, &folder.prefix);
    let (outcomes, summary) = all(VerifyAll::new(client.clone()), listing).await;
    let found: BTreeMap<_, _> = outcomes
        .iter()
        .map(|outcome| (folder.name(&outcome.object.key), outcome.outcome.name()))
        .collect();
    let expected = [
        ("file", "malformed"),
        ("file.instruction", "instruction-file"),
        ("metadata", "malformed"),
        ("plain", "shredded"),
        ("s3ec", "malformed"),
        ("sidecar", "malformed"),
        ("sidecar.sealwax", "sidecar"),
    ];
    assert_eq!(found, expected.into());
    assert_eq!((summary.shredded, summary.failed()), (1, 4));
    let message = |name: &str| {
        let outcome = outcomes.iter().find(|one| folder.name(&one.object.key) == name);
        let error = match &outcome.expect(name).outcome {
            VerifyOutcome::Shredded(error) | VerifyOutcome::Failed(error) => error,
            other => panic!("{name}: {other:?}"),
        };
        error.message().to_owned()
    };
    let at = |name: &str| format!("s3://{}/{}{name}", folder.bucket, folder.prefix);
    let still = |name: &str| {
        format!(
            "it is marked as shredded, but {} still holds keys of it; shred the object again, or \
             delete that object",
            at(name)
        )
    };
    for (name, expected) in [
        (
            "metadata",
            "it is marked as shredded, but it still has metadata of a sealed object: malformed \
             sealed object: unknown metadata name \"sealwax-shredded\""
                .to_owned(),
        ),
        (
            "s3ec",
            "it is marked as shredded, but it still has metadata of the S3 Encryption Client"
                .to_owned(),
        ),
        ("sidecar", still("sidecar.sealwax")),
        ("file", still("file.instruction")),
        ("plain", "it was shredded on an unknown date: its keys are gone for good".to_owned()),
    ] {
        assert_eq!(message(name), expected, "{name}");
    }

    // An audit says the same, and counts none of them as one without keys.
    let listing = Listing::objects(client.s3(), &folder.bucket, &folder.prefix);
    let audited: Vec<_> =
        Audit::new(client).run(listing).try_collect().await.expect("a whole listing");
    for object in audited {
        let name = folder.name(&object.object.key);
        let is_companion = object.kind.is_companion();
        let is_fine = object.problem.is_none() && object.kind == ObjectKind::Shredded;
        assert_eq!(is_fine, name == "plain", "{name}: {object:?}");
        let depends = object.dependence(stack.home.key.as_str());
        let depends_on_none = depends == Dependence::None;
        assert_eq!(depends_on_none, name == "plain" || name == "sidecar.sealwax", "{name}");
        assert_eq!(is_companion, name.contains('.'), "{name}");
    }
}

#[tokio::test]
async fn verify_asks_only_the_clients_keys() {
    let (east, west) = (LocalStack::new(east()), LocalStack::new(west()));
    let folder = Folder::new(&west.home.bucket, "region");
    let both = west.client([&east.home.key, &west.home.key]);
    folder.put(&both, "both", "x").await;
    folder.put(&west.client([&east.home.key]), "east", "x").await;
    west.wire.forget();
    let client = west.client([&west.home.key]);
    let listing = Listing::objects(client.s3(), &folder.bucket, &folder.prefix);
    let (_, summary) = all(VerifyAll::new(client), listing).await;
    assert_eq!((summary.opened, summary.failures), (1, [("no-matching-key", 1)].into()));
    assert_eq!(west.wire.kms(), [("Decrypt".to_owned(), "us-west-2".to_owned())]);
}

#[tokio::test]
async fn throttled_objects_are_retried() {
    let wire = Wire::new(|call| match call.operation == "HeadObject" && call.nth < 4 {
        true => Reaction::Answer(503, String::new()),
        false => Reaction::Pass,
    });
    let store = SeaweedFs::over(wire).await;
    let folder = Folder::new(store.object("").bucket(), "throttled");
    let client = store.client(local_keyring("a"));
    folder.put(&SeaweedFs::new().await.client(local_keyring("a")), "x", "x").await;
    let listing = Listing::objects(client.s3(), &folder.bucket, &folder.prefix);
    let (_, summary) = all(VerifyAll::new(client), listing).await;
    assert_eq!((summary.opened, summary.failed()), (1, 0));
}

#[tokio::test]
async fn a_broken_listing_is_an_error() {
    let store = SeaweedFs::new().await;
    let (client, uri) = (store.client(local_keyring("a")), store.object("broken-listing"));
    let broken = client.get().uri(&uri).send().await;
    let broken = assert_kind(broken, ErrorKind::NotFound, &uri, "it is absent");
    let listing = stream::iter([Ok(ListedObject::new(uri.bucket(), uri.key())), Err(broken)]);
    let outcomes: Vec<_> = VerifyAll::new(client).run(listing).collect().await;
    let broken: Vec<_> = outcomes.iter().filter_map(|outcome| outcome.as_ref().err()).collect();
    assert_eq!(broken.iter().map(|error| error.kind()).collect::<Vec<_>>(), [ErrorKind::NotFound]);
    assert_eq!(outcomes.len(), 2);
}

#[tokio::test]
async fn a_sample_is_the_same_each_time() {
    let store = SeaweedFs::new().await;
    let folder = Folder::new(store.object("").bucket(), "sample");
    let client = store.client(local_keyring("a"));
    for number in 0..12 {
        folder.put(&client, &number.to_string(), "x").await;
    }
    let run = async |client: SealedClient, seed| {
        let listing = Listing::objects(client.s3(), &folder.bucket, &folder.prefix);
        let sample = Sample::new(0.5, seed).expect("a fraction");
        let expected = Listing::objects(client.s3(), &folder.bucket, &folder.prefix);
        let expected: Vec<_> = expected
            .try_filter(|object| std::future::ready(sample.contains(object)))
            .try_collect()
            .await
            .expect("a list");
        let (outcomes, _) = all(VerifyAll::new(client).sample(sample), listing).await;
        let mut keys: Vec<_> = outcomes.into_iter().map(|outcome| outcome.object.key).collect();
        keys.sort();
        let mut expected: Vec<_> = expected.into_iter().map(|object| object.key).collect();
        expected.sort();
        assert_eq!(keys, expected);
        keys
    };
    assert_eq!(run(client.clone(), 1).await, run(client, 1).await);
}

#[tokio::test]
async fn an_older_version_is_verified() {
    let stack = LocalStack::new(east());
    let (client, uri) = (stack.client([&stack.home.key]), stack.object("version"));
    let older = client.put().uri(&uri).body("older").send().await.expect("put");
    client.put().uri(&uri).body("newest one").send().await.expect("put");
    let version_id = older.version_id.expect("a version");
    let verified =
        client.verify().uri(&uri).version_id(&version_id).depth(VerifyDepth::Full).send().await;
    let verified = verified.expect("it opens");
    assert_eq!((verified.opened, verified.info.version_id), (5, Some(version_id)));
    let absent = client.verify().uri(&stack.object("absent")).send().await;
    assert!(absent.is_err_and(|error| error.kind() == ErrorKind::NotFound));
    let other = stack.client([&stack.home.key_2]).verify().uri(&uri).send().await;
    assert_kind(other, ErrorKind::NoMatchingKey, &uri, "another key");
}
