//! Drills: a Region blocked inside the process, and objects missing from a replica.

use futures_util::TryStreamExt as _;
use sealwax_jobs::{
    drill::{BlockedRegions, Lag},
    listing::Listing,
    verify::{VerifiedObject, VerifyAll},
};
use sealwax_s3::{ErrorKind, PlacePolicy, aws_sdk_s3::error::SdkError};
use sealwax_tests::{LocalStack, Reaction, Wire, east, west};

use super::Folder;

/// Returns LocalStack as seen from us-west-2, with us-east-1 blocked.
fn blocked() -> (LocalStack, BlockedRegions) {
    let mut stack = LocalStack::over(Wire::default(), west());
    let blocked = BlockedRegions::over(["us-east-1"], stack.wire.clone());
    stack.config = stack.config.to_builder().http_client(blocked.clone()).build();
    (stack, blocked)
}

#[tokio::test]
async fn no_request_reaches_a_blocked_region() {
    let (stack, blocked) = blocked();
    let elsewhere = LocalStack { home: east(), ..stack.clone() };
    let config = elsewhere
        .config
        .to_builder()
        .region(sealwax_s3::aws_config::Region::new("us-east-1"))
        .build();
    let elsewhere = LocalStack { config, ..elsewhere };
    let s3 = elsewhere.s3().list_buckets().send().await.expect_err("blocked");
    let kms = elsewhere.kms().list_keys().send().await.expect_err("blocked");
    assert!(matches!(s3, SdkError::DispatchFailure(_)), "{s3:?}");
    assert!(matches!(kms, SdkError::DispatchFailure(_)), "{kms:?}");
    assert!(stack.kms().list_keys().send().await.is_ok());
    let refused: Vec<_> = blocked
        .refused()
        .into_iter()
        .map(|(calls, count)| (calls.service, calls.region, count))
        .collect();
    let us_east = |service: &str| (service.to_owned(), "us-east-1".to_owned(), 1);
    assert_eq!(refused, [us_east("kms"), us_east("s3")]);
    assert!(
        stack.wire.calls().iter().all(|call| call.region == "us-west-2"),
        "a request got through"
    );
}

#[tokio::test]
async fn a_drill_counts_only_objects_that_the_replicas_region_opens() {
    let source = LocalStack::new(east());
    let (stack, blocked) = blocked();
    let folder = Folder::new(&stack.home.bucket, "drill");
    let (here, there) = (&stack.home.key, &source.home.key);
    let writer = LocalStack::new(west());
    folder.put(&writer.client([there, here]), "ready", "x").await;
    folder.put(&writer.client([there]), "not-rewrapped", "x").await;

    // Both keys may be used, but us-east-1 does not respond.
    let client = stack.client([here, there]);
    let listing = Listing::objects(client.s3(), &folder.bucket, &folder.prefix);
    let outcomes: Vec<VerifiedObject> =
        VerifyAll::new(client).run(listing).try_collect().await.expect("a listing");
    for outcome in &outcomes {
        let failure = outcome.outcome.error().map(|error| (error.kind(), error.to_string()));
        match folder.name(&outcome.object.key) {
            "ready" => assert_eq!(failure, None),
            _ => assert_eq!(failure.expect("it needs the East").0, ErrorKind::Unavailable),
        }
    }
    assert_eq!(outcomes.len(), 2);
    assert!(
        blocked
            .refused()
            .keys()
            .any(|calls| (calls.service.as_str(), calls.region.as_str()) == ("kms", "us-east-1"))
    );
    assert!(
        stack.wire.calls().iter().all(|call| call.region == "us-west-2"),
        "a request got through"
    );
}

#[tokio::test]
async fn objects_that_were_never_replicated_are_reported() {
    let (east, west) = (LocalStack::new(east()), LocalStack::new(west()));
    let source = Folder::new(&east.home.bucket, "lag");
    let replica = Folder { bucket: west.home.bucket.clone(), prefix: source.prefix.clone() };
    let client = east.client([&east.home.key]);
    for name in ["1-replicated", "2-absent", "3-longer"] {
        source.put(&client, name, "x").await;
    }
    for name in ["1-replicated", "3-longer"] {
        let (from, to) = (source.object(name), replica.object(name));
        let copy = west.s3().copy_object().copy_source(format!("{}/{}", from.bucket(), from.key()));
        copy.bucket(to.bucket()).key(to.key()).send().await.expect("replicate");
    }
    source.put(&client, "3-longer", "another one").await;
    let places = PlacePolicy::bound().replica_of(&west.home.bucket, &east.home.bucket);
    let both = west.client_builder([&east.home.key, &west.home.key]).places(places).build();
    let rewrap =
        both.rewrap().uri(&replica.object("1-replicated")).add_keys(west.keyring([&west.home.key]));
    rewrap.send().await.expect("rewrap the replica");

    let lag = Lag::between(
        Listing::objects(&east.s3(), &source.bucket, &source.prefix),
        Listing::objects(&west.s3(), &replica.bucket, &replica.prefix),
    );
    let lag = lag.await.expect("a comparison");
    assert_eq!((lag.source_objects, lag.replica_objects), (3, 2));
    assert_eq!((lag.absent, lag.outdated, lag.surplus), (1, 1, 0));
    assert_eq!(
        lag.oldest.map(|oldest| oldest.object.key),
        Some(source.object("2-absent").key().to_owned())
    );
    assert_eq!(source.prefix, replica.prefix);
}

/// LocalStack reports no replication status. The wire responds in its place, except for one object.
#[tokio::test]
async fn an_unreplicated_object_has_the_status_that_s3_reports() {
    let statuses = ["PENDING", "FAILED", "COMPLETED", "REPLICA"];
    let quiet = LocalStack::new(east());
    let source = Folder::new(&quiet.home.bucket, "lag-status");
    for name in statuses.iter().copied().chain(["replicated", "silent", "denied", "gone"]) {
        source.put(&quiet.client([&quiet.home.key]), name, "x").await;
    }
    let wire = Wire::new(move |call| match call.operation == "HeadObject" {
        true if call.uri.ends_with("/denied") => Reaction::Answer(403, String::new()),
        true if call.uri.ends_with("/gone") => Reaction::Answer(404, String::new()),
        true => match statuses.iter().find(|status| call.uri.ends_with(&format!("/{status}"))) {
            Some(status) => Reaction::AddHeader("x-amz-replication-status", (*status).into()),
            None => Reaction::Pass,
        },
        false => Reaction::Pass,
    });
    let stack = LocalStack::over(wire, east());
    let list = || Listing::objects(&quiet.s3(), &source.bucket, &source.prefix);
    let replica =
        list().try_filter(|object| std::future::ready(object.key.ends_with("/replicated")));
    let lag = Lag::with_status(&stack.s3(), list(), replica).await.expect("a comparison");
    let named: Vec<_> = lag
        .named
        .iter()
        .map(|it| {
            (source.name(&it.object.key).to_owned(), it.status.expect("asked").name().to_owned())
        })
        .collect();
    let expected = [
        ("COMPLETED", "COMPLETED"),
        ("FAILED", "FAILED"),
        ("PENDING", "PENDING"),
        ("REPLICA", "REPLICA"),
        ("denied", "access-denied"),
        ("gone", "gone"),
        ("silent", "not-told"),
    ];
    assert_eq!(named, expected.map(|(name, status)| (name.to_owned(), status.to_owned())));
    assert_eq!(lag.statuses.len(), 7);
    assert!(lag.statuses.values().all(|count| *count == 1), "{:?}", lag.statuses);
    assert_eq!(
        lag.oldest.and_then(|oldest| oldest.status),
        lag.named
            .iter()
            .min_by_key(|it| { it.object.last_modified.expect("a time").secs() })
            .and_then(|it| it.status)
    );
    assert_eq!(stack.wire.operations("s3"), vec!["HeadObject"; 7], "only unreplicated objects");
}

/// Without a given HTTP client, the SDK's own one is below it.
#[tokio::test]
async fn requests_to_other_regions_pass() {
    let blocked = BlockedRegions::new(["us-east-1"]);
    let mut stack = LocalStack::new(west());
    stack.config = stack.config.to_builder().http_client(blocked.clone()).build();
    let (client, uri) = (stack.client([&stack.home.key]), stack.object("unblocked"));
    client.put().uri(&uri).body("x").send().await.expect("put");
    assert_eq!(sealwax_tests::read(&client, &uri).await.expect("get"), "x");
    assert!(blocked.refused().is_empty());
}
