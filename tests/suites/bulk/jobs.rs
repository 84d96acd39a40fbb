//! Plans predict jobs, and a job rewraps each object once.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use futures_util::{TryStreamExt as _, stream};
use sealwax_jobs::{
    CancellationToken,
    job::JobSummary as _,
    rewrap::{Action, Apply, JobInput, Plan, PlanFile, PlannedObject, plan_one},
};
use sealwax_s3::{
    DataKeyWay, ErrorKind, KeyChanges, ListedObject, MetadataWay, PlacePolicy, RewrapOutcome,
    Rewrapper, Skipped,
    envelope::{CachingKeyring, EncryptionContext},
};
use sealwax_tests::{LocalStack, Reaction, Wire, east, local_keyring, read, west};

use crate::objects::{Objects, add_b, rewrapper, run};

/// Plans into a file, and opens the file.
async fn plan(rewrapper: &Rewrapper, objects: &Objects, directory: &tempfile::TempDir) -> PlanFile {
    let path = directory.path().join("plan");
    let file = std::fs::File::create(&path).expect("a file");
    let listing = objects.list(rewrapper.s3());
    Plan::new(rewrapper.clone())
        .run(listing, &objects.prefix, file)
        .finish()
        .await
        .expect("a plan");
    PlanFile::open(&path).await.expect("a plan")
}

#[tokio::test]
async fn a_job_costs_one_head_and_one_copy_an_object_and_no_body() {
    let (objects, wire, directory) = (
        Objects::new("calls", 20, true).await,
        Wire::default(),
        tempfile::tempdir().expect("a directory"),
    );
    let rewrapper = rewrapper(&wire, add_b()).await;
    let plan = plan(&rewrapper, &objects, &directory).await;
    assert_eq!(
        (plan.summary().objects, plan.summary().rewrap, plan.summary().copies),
        (20, 20, 20)
    );
    let calls = |wire: &Wire| {
        let mut calls = BTreeMap::new();
        for call in wire.calls() {
            assert_eq!(call.body_len, 0, "{call:?}");
            *calls.entry(call.operation).or_insert(0) += 1;
        }
        calls
    };
    assert_eq!(calls(&wire).get("HeadObject"), Some(&20));
    assert!(!calls(&wire).contains_key("CopyObject"), "a plan changes nothing");
    wire.forget();
    let (reports, tally) = run(Apply::new(rewrapper.clone()), JobInput::plan(plan)).await;
    let tally = tally.expect("done");
    assert!(tally.is_complete());
    assert_eq!((reports.len(), tally.rewrapped, tally.counts.replanned), (20, 20, 0));
    let calls = calls(&wire);
    // After its first copy, the job looks whether this store replaces metadata; and after each one,
    // as it isn't Amazon S3, whether the object is the one that it copied.
    assert_eq!((calls["HeadObject"], calls["CopyObject"]), (41, 20));
    assert!(!calls.contains_key("GetObject"));
    objects.assert_open("b").await;
    objects.assert_open("a").await;

    // A second run does nothing.
    wire.forget();
    let (_, tally) = run(Apply::new(rewrapper.clone()), objects.work(rewrapper.s3())).await;
    assert_eq!(tally.expect("done").claimed, 20);
    assert!(!wire.operations("s3").contains(&"CopyObject".to_owned()));
}

#[tokio::test]
async fn an_object_that_changed_since_the_plan_is_evaluated_again() {
    let (objects, wire, directory) = (
        Objects::new("replan", 5, false).await,
        Wire::default(),
        tempfile::tempdir().expect("a directory"),
    );
    let rewrapper = rewrapper(&wire, add_b()).await;
    let plan = plan(&rewrapper, &objects, &directory).await;
    // One is overwritten, one rewrapped, one deleted, one replaced by an unsealed object.
    let (client, uris) = (&objects.client, &objects.uris);
    client.put().uri(&uris[0]).body("newer").send().await.expect("put");
    client.rewrap().uri(&uris[1]).add_keys(local_keyring("b")).send().await.expect("rewrap");
    client.delete().uri(&uris[2]).send().await.expect("delete");
    client
        .s3()
        .put_object()
        .bucket(uris[3].bucket())
        .key(uris[3].key())
        .body(b"x".to_vec().into())
        .send()
        .await
        .expect("put");
    let (reports, tally) = run(Apply::new(rewrapper.clone()), JobInput::plan(plan)).await;
    assert!(tally.expect("done").is_complete());
    let found: BTreeMap<_, _> = reports
        .iter()
        .map(|report| (report.object.to_string(), (report.outcome.name(), report.replanned)))
        .collect();
    let expected = [
        ("rewrapped", true),
        ("claimed", true),
        ("gone", false),
        ("not-sealed", true),
        ("rewrapped", false),
    ];
    for (uri, expected) in uris.iter().zip(expected) {
        assert_eq!(found.get(&uri.to_string()), Some(&expected), "{uri}");
    }
    assert_eq!(read(client, &uris[0]).await.expect("the newer one"), "newer");
}

#[tokio::test]
async fn a_stopped_job_resumes_where_it_was() {
    let (objects, directory) =
        (Objects::new("stop", 60, true).await, tempfile::tempdir().expect("a directory"));
    let journal = directory.path().join("journal");
    let rewrapper = rewrapper(&Wire::default(), add_b()).await;
    let (mut runs, mut seen, stop_after) = (0, 0, 7);
    loop {
        runs += 1;
        assert!(runs < 30, "it never ends");
        let cancellation = CancellationToken::new();
        let apply = Apply::new(rewrapper.clone()).concurrency(3).journal(&journal);
        let mut outcomes =
            apply.cancellation(cancellation.clone()).run(objects.work(rewrapper.s3()));
        let mut told = 0;
        while let Some(object) = outcomes.try_next().await.expect("a run") {
            let line = serde_json::to_string(&object).expect("a line") + "\n";
            let on_disk = std::fs::read_to_string(&journal).expect("a journal");
            assert!(on_disk.contains(&line), "{line} is told before it is on disk");
            told += 1;
            if told == stop_after {
                cancellation.cancel();
            }
        }
        let tally = outcomes.summary();
        assert_eq!(tally.counts.done_before, seen);
        seen += tally.done();
        if !tally.counts.stopped {
            assert!(tally.is_complete());
            break;
        }
    }
    assert!(runs > 3, "it was stopped {runs} times");
    assert_eq!(seen, 60, "each object in one run alone");
    assert_eq!(objects.generations().await, [2; 60]);
    objects.assert_open("b").await;
}

/// Credentials that expire fail the job, and no object. The next run does what is left.
#[tokio::test]
async fn a_job_whose_credentials_expire_stops_and_resumes() {
    let (objects, directory) =
        (Objects::new("expire", 12, true).await, tempfile::tempdir().expect("a directory"));
    let journal = directory.path().join("journal");
    let (heads, gets) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (seen_heads, seen_gets) = (Arc::clone(&heads), Arc::clone(&gets));
    // Answers to HEAD have no body.
    let wire = Wire::new(move |call| {
        let expired = "<Error><Code>ExpiredToken</Code><Message>by this test</Message></Error>";
        match &*call.operation {
            // One more for the first object, and two for each of the first six.
            "HeadObject" if seen_heads.fetch_add(1, Ordering::Relaxed) >= 13 => {
                Reaction::Answer(400, String::new())
            }
            "GetObject" => {
                seen_gets.fetch_add(1, Ordering::Relaxed);
                Reaction::Answer(400, expired.to_owned())
            }
            _ => Reaction::Pass,
        }
    });
    let expiring = rewrapper(&wire, add_b()).await;
    let apply = Apply::new(expiring.clone()).concurrency(1).journal(&journal);
    let (reports, ended) = run(apply, objects.work(expiring.s3())).await;
    let error = ended.expect_err("the credentials expired");
    assert_eq!(error.kind(), ErrorKind::Credentials);
    let expected = "cannot continue the job: AWS does not accept the credentials, or no longer: what \
                    is left was not done";
    assert_eq!(error.to_string(), expected);
    assert!((5..7).contains(&reports.len()), "{reports:?}");
    assert!(reports.iter().all(|report| report.outcome.is_done()), "{reports:?}");
    assert_eq!(gets.load(Ordering::Relaxed), 1, "no further object was tried");

    let signed_in = rewrapper(&Wire::default(), add_b()).await;
    let apply = Apply::new(signed_in.clone()).journal(&journal);
    let (_, summary) = run(apply, objects.work(signed_in.s3())).await;
    let summary = summary.expect("a run");
    assert_eq!((summary.counts.done_before, summary.all_objects()), (reports.len() as u64, 12));
    assert!(summary.is_complete());
    objects.assert_open("b").await;
}

#[tokio::test]
async fn failures_are_reported_and_the_rest_is_done() {
    let (objects, directory) =
        (Objects::new("fail", 6, true).await, tempfile::tempdir().expect("a directory"));
    // The job lacks the key of two of them.
    let other = sealwax_tests::SeaweedFs::new().await.client(local_keyring("c"));
    for uri in &objects.uris[..2] {
        other.put().uri(uri).body(uri.key().to_owned()).send().await.expect("put");
    }
    let rewrapper = rewrapper(&Wire::default(), add_b()).await;
    let plan = plan(&rewrapper, &objects, &directory).await;
    assert_eq!(plan.summary().impossible, [("no-matching-key".to_owned(), 2)].into());
    let journal = directory.path().join("journal");
    for run_of_two in 0..2 {
        let (reports, tally) =
            run(Apply::new(rewrapper.clone()).journal(&journal), objects.work(rewrapper.s3()))
                .await;
        let tally = tally.expect("a run");
        let expected = if run_of_two == 0 { (4, 2, 0) } else { (0, 2, 4) };
        assert_eq!(
            (tally.rewrapped, tally.counts.errors, tally.claimed, tally.counts.done_before),
            (expected.0, expected.1, expected.2, 0),
            "a run that tried every object is followed by one that tries each again"
        );
        assert!(!tally.is_complete());
        let failed: Vec<_> = reports
            .iter()
            .filter(|report| matches!(report.outcome, RewrapOutcome::Failed(_)))
            .collect();
        assert_eq!(failed.len(), 2);
        for report in failed {
            let error = report.outcome.error().expect("a failure");
            assert_eq!(error.kind(), ErrorKind::NoMatchingKey);
        }
    }
    for uri in &objects.uris[..2] {
        assert_eq!(read(&other, uri).await.expect("it still opens"), uri.key());
    }
}

#[tokio::test]
async fn older_versions_are_reported_and_left() {
    let stack = LocalStack::new(east());
    let (client, uri) = (stack.client([&stack.home.key]), stack.object("older"));
    for text in ["old", "new"] {
        client.put().uri(&uri).body(text).send().await.expect("put");
    }
    let listing = sealwax_jobs::listing::Listing::versions(client.s3(), uri.bucket(), uri.key());
    let rewrapper = client
        .rewrapper(KeyChanges::new().add_keys(stack.keyring([&stack.home.key_2])))
        .expect("edits");
    let (reports, tally) =
        run(Apply::new(rewrapper.clone()), JobInput::listing(listing, "versions")).await;
    assert_eq!(
        (tally.as_ref().expect("done").rewrapped, tally.expect("done").counts.errors),
        (1, 1)
    );
    let failed = reports
        .iter()
        .find(|report| matches!(report.outcome, RewrapOutcome::Failed(_)))
        .expect("one");
    assert_eq!(failed.outcome.error().expect("a failure").kind(), ErrorKind::Unsupported);
    assert_eq!(read(&client, &uri).await.expect("the newest"), "new");
    // A named version that is not the latest is not rewrapped as the latest.
    let named = ListedObject::new(uri.bucket(), uri.key()).version("not-the-newest");
    let outcome = rewrapper.rewrap_one(&named).await;
    assert!(
        matches!(&outcome, RewrapOutcome::Failed(error) if error.kind() == ErrorKind::Unsupported),
        "{outcome:?}"
    );
    let gone = ListedObject::new(uri.bucket(), format!("{}-not-there", uri.key()));
    let outcome = rewrapper.rewrap_one(&gone).await;
    assert!(
        matches!(&outcome, RewrapOutcome::Failed(error) if error.kind() == ErrorKind::NotFound),
        "it was never listed, so it is not a deleted object: {outcome:?}"
    );
    let mut listed = gone;
    listed.size = Some(1);
    assert!(matches!(rewrapper.rewrap_one(&listed).await, RewrapOutcome::Skipped(Skipped::Gone)));
}

#[tokio::test]
async fn a_plan_counts_methods_and_calls_by_region() {
    let (stack, other) = (LocalStack::new(east()), west());
    let (client, uri) = (stack.client([&stack.home.key]), stack.object("ways"));
    client.put().uri(&uri).body("x").send().await.expect("put");
    let object = ListedObject::new(uri.bucket(), uri.key());
    let near = || KeyChanges::new().add_keys(stack.keyring([&stack.home.key_2]));
    type Case = (&'static str, KeyChanges, DataKeyWay, &'static [(&'static str, u64)]);
    let cases: [Case; 3] = [
        ("within the Region", near(), DataKeyWay::ReEncrypt, &[("us-east-1", 1)]),
        (
            "across Regions",
            KeyChanges::new().replace_keys(stack.keyring([&other.key])),
            DataKeyWay::DecryptEncrypt,
            &[("us-east-1", 1), ("us-west-2", 1)],
        ),
        ("refresh", KeyChanges::new().refresh_keys(), DataKeyWay::ReEncrypt, &[("us-east-1", 1)]),
    ];
    for (case, edits, way, calls) in cases {
        stack.wire.forget();
        let rewrapper = client.rewrapper(edits).expect("edits");
        let PlannedObject { action: Action::Rewrap { data_key, metadata, kms_calls, .. }, .. } =
            plan_one(&rewrapper, &object).await
        else {
            panic!("{case}: nothing to do")
        };
        assert_eq!((data_key, metadata), (way, MetadataWay::Copy), "{case}");
        let expected: BTreeMap<_, _> =
            calls.iter().map(|(region, calls)| ((*region).to_owned(), *calls)).collect();
        assert_eq!(kms_calls, expected, "{case}");
        assert_eq!(stack.wire.kms(), [], "{case}: no key is used for a plan");
    }
    let last =
        client.rewrapper(KeyChanges::new().remove_key(stack.home.key.as_str())).expect("edits");
    let Action::Impossible { kind, .. } = plan_one(&last, &object).await.action else {
        panic!("the last key goes")
    };
    assert_eq!(kind, "invalid-input");
    let there = client
        .rewrapper(KeyChanges::new().add_keys(stack.keyring([&stack.home.key])))
        .expect("edits");
    assert_eq!(plan_one(&there, &object).await.action, Action::Nothing);
}

/// All objects of one intermediate key cost as many KMS calls as one object: within a Region,
/// across Regions, and after a move.
#[tokio::test]
async fn an_intermediate_key_is_wrapped_once_for_all_its_objects() {
    let (source, replica) = (LocalStack::new(east()), LocalStack::new(west()));
    let context = EncryptionContext::try_from_iter([("tenant", "acme")]).expect("a context");
    let cached = CachingKeyring::new(source.keyring([&source.home.key]));
    let writer = sealwax_s3::SealedClient::builder(source.s3(), cached).build();
    let prefix = source.object("intermediate");
    let uris: Vec<sealwax_s3::S3Uri> = (0..12)
        .map(|n| {
            format!("s3://{}/{}/{n}", prefix.bucket(), prefix.key()).parse().expect("an address")
        })
        .collect();
    for uri in &uris {
        writer
            .put()
            .uri(uri)
            .body(uri.key().to_owned())
            .encryption_context(context.clone())
            .send()
            .await
            .expect("put");
    }
    let listed = |bucket: &str| {
        let objects: Vec<_> =
            uris.iter().map(|uri| Ok(ListedObject::new(bucket, uri.key()))).collect();
        JobInput::listing(stream::iter(objects), "these")
    };
    let count = |stack: &LocalStack| {
        let mut counts = BTreeMap::new();
        for (call, region) in stack.wire.kms() {
            *counts.entry(format!("{call} {region}")).or_insert(0) += 1;
        }
        counts
    };

    // Within the Region.
    let client = source.client([&source.home.key]);
    let rewrapper = client
        .rewrapper(KeyChanges::new().add_keys(source.keyring([&source.home.key_2])))
        .expect("edits");
    source.wire.forget();
    let (_, tally) = run(Apply::new(rewrapper.clone()), listed(prefix.bucket())).await;
    assert_eq!(tally.expect("done").rewrapped, 12);
    assert_eq!(count(&source), [("ReEncrypt us-east-1".to_owned(), 1)].into());
    let by_new = source.client([&source.home.key_2]);
    for uri in &uris {
        assert_eq!(read(&by_new, uri).await.expect("by the new key"), uri.key());
    }

    // In a replica in another Region, where they are bound to their new places.
    for uri in &uris {
        let copy =
            replica.s3().copy_object().copy_source(format!("{}/{}", uri.bucket(), uri.key()));
        copy.bucket(&replica.home.bucket).key(uri.key()).send().await.expect("replicate");
    }
    let places = PlacePolicy::bound().replica_of(&replica.home.bucket, prefix.bucket());
    let client =
        replica.client_builder([&replica.home.key, &source.home.key]).places(places).build();
    let rewrapper = client
        .rewrapper(KeyChanges::new().replace_keys(replica.keyring([&replica.home.key])))
        .expect("edits");
    replica.wire.forget();
    let (_, tally) = run(Apply::new(rewrapper.clone()), listed(&replica.home.bucket)).await;
    assert_eq!(tally.expect("done").rewrapped, 12);
    // The replica's bucket is outside of the intermediate key's scope: its objects get keys of
    // their own.
    let expected = [("Decrypt us-east-1".to_owned(), 12), ("Encrypt us-west-2".to_owned(), 12)];
    assert_eq!(count(&replica), expected.into());
    let alone = replica.client([&replica.home.key]);
    for uri in &uris {
        let uri =
            format!("s3://{}/{}", replica.home.bucket, uri.key()).parse().expect("an address");
        let object =
            alone.get().uri(&uri).send().await.expect("by the Region's own key, at its own place");
        assert_eq!(object.bytes().await.expect("its bytes"), uri.key());
        let info = alone.head().uri(&uri).send().await.expect("head");
        assert_eq!(
            info.keys()[0].place().expect("bound").as_str(),
            format!("{}/{}", uri.bucket(), uri.key())
        );
        assert!(info.keys()[0].intermediate().is_none(), "it has a key of its own");
    }

    // A single object is rewrapped the same way.
    let one =
        format!("s3://{}/{}", replica.home.bucket, uris[0].key()).parse().expect("an address");
    let rewrap = alone
        .rewrap()
        .uri(&one)
        .add_keys(replica.keyring([&replica.home.key]))
        .send()
        .await
        .expect("rewrap");
    assert!(!rewrap.rewrapped);
}

/// A truncated plan would silently skip objects.
#[tokio::test]
async fn a_truncated_plan_is_refused() {
    let (objects, directory) =
        (Objects::new("cut", 4, false).await, tempfile::tempdir().expect("a directory"));
    let rewrapper = rewrapper(&Wire::default(), add_b()).await;
    plan(&rewrapper, &objects, &directory).await;
    let path = directory.path().join("plan");
    let whole = std::fs::read(&path).expect("a plan");
    let ends: Vec<_> = (0..whole.len()).filter(|at| whole[*at] == b'\n').collect();
    for len in ends.iter().flat_map(|end| [end - 1, *end, end + 1]).filter(|len| *len < whole.len())
    {
        std::fs::write(&path, &whole[..len]).expect("cut off");
        let error = PlanFile::open(&path).await.expect_err("it is truncated");
        assert_eq!(error.kind(), ErrorKind::JobMismatch, "{len} bytes: {error}");
    }
    // A missing line in the middle is detected when the plan is applied.
    let lines: Vec<_> = std::str::from_utf8(&whole).expect("text").lines().collect();
    let without: String = [0, 1, 3, 4, 5].iter().map(|at| format!("{}\n", lines[*at])).collect();
    std::fs::write(&path, without).expect("written");
    let plan = PlanFile::open(&path).await.expect("its ends are whole");
    let (_, tally) = run(Apply::new(rewrapper.clone()), JobInput::plan(plan)).await;
    assert_eq!(tally.expect_err("a line is missing").kind(), ErrorKind::JobMismatch);
    // A plan belongs to its own key changes.
    std::fs::write(&path, &whole).expect("written");
    let plan = PlanFile::open(&path).await.expect("whole again");
    let other = crate::objects::rewrapper(
        &Wire::default(),
        KeyChanges::new().replace_keys(local_keyring("b")),
    )
    .await;
    let (_, tally) = run(Apply::new(other.clone()), JobInput::plan(plan)).await;
    assert_eq!(tally.expect_err("other edits").kind(), ErrorKind::JobMismatch);
    assert!(objects.generations().await.iter().all(|generation| *generation <= 2));
}
