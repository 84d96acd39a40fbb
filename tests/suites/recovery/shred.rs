//! Permanently removed keys, and their remaining holders.

use std::time::{Duration, SystemTime};

use sealwax_s3::{
    Attributes, ErrorKind, KeyHolder, S3Uri, SidecarPolicy,
    aws_sdk_s3::{primitives::DateTime, types::ObjectLockMode},
};
use sealwax_tests::{LocalStack, assert_kind, east, read, unique, west};

/// Describes each holder: in a replica, a sidecar, the latest version.
fn flags(holders: &[KeyHolder]) -> Vec<(bool, bool, bool)> {
    holders.iter().map(|holder| (holder.is_replica, holder.is_sidecar, holder.is_latest)).collect()
}

#[tokio::test]
async fn a_shred_without_confirmation_is_refused() {
    let stack = LocalStack::new(east());
    let (client, uri) = (stack.client([&stack.home.key]), stack.object("unconfirmed"));
    client.put().uri(&uri).body("x").send().await.expect("put");
    stack.wire.forget();
    for confirmation in [None, Some(uri.key().to_owned()), Some(format!("{uri}x"))] {
        let mut shred = client.shred().uri(&uri).delete_versions();
        if let Some(confirmation) = confirmation {
            shred = shred.confirm(confirmation);
        }
        assert_kind(shred.send().await, ErrorKind::InvalidInput, &uri, "not confirmed");
    }
    assert_eq!(stack.wire.operations("s3"), [""; 0]);
    assert_eq!(read(&client, &uri).await.expect("get"), "x");
}

#[tokio::test]
async fn a_shred_reports_versions_and_replicas_that_still_hold_a_key() {
    let (east, west) = (LocalStack::new(east()), LocalStack::new(west()));
    let client = east.client_builder([&east.home.key]).sidecars(SidecarPolicy::read()).build();
    let uri = east.object("shred");
    let first = client
        .put()
        .uri(&uri)
        .body("first")
        .send()
        .await
        .expect("put")
        .version_id
        .expect("a version");
    client
        .put()
        .uri(&uri)
        .body("second")
        .metadata("own", "stays")
        .content_type("text/x")
        .send()
        .await
        .expect("put");
    // Another object whose name starts with this one's.
    let other: S3Uri = format!("{uri}-other").parse().expect("a name");
    client.put().uri(&other).body("other").send().await.expect("put");
    let source = format!("{}/{}", uri.bucket(), uri.key());
    let copy = west.s3().copy_object().copy_source(source).bucket(&west.home.bucket).key(uri.key());
    copy.send().await.expect("replicate");

    let far = west.client([]);
    let shred =
        || client.shred().uri(&uri).confirm(uri.to_string()).replica(far.s3(), &west.home.bucket);
    let survey = shred().survey().await.expect("a survey");
    assert_eq!(flags(&survey), [(false, false, true), (false, false, false), (true, false, true)]);
    assert!(
        survey.iter().all(|holder| holder.wrapping_keys.contains(east.home.key.as_str())),
        "{survey:?}"
    );

    let shredded = shred().send().await.expect("shred");
    assert!(shredded.shredded);
    assert_eq!(shredded.deleted_versions, 0);
    // S3 does not change versions in place, so both remain behind the one without keys.
    assert_eq!(
        flags(&shredded.holders),
        [(false, false, false), (false, false, false), (true, false, true)]
    );
    assert_kind(read(&client, &uri).await, ErrorKind::Shredded, &uri, "shredded");
    let older = client.get().uri(&uri).version_id(&first).send().await.expect("it holds its key");
    assert_eq!(older.bytes().await.expect("bytes"), "first");
    let head =
        client.s3().head_object().bucket(uri.bucket()).key(uri.key()).send().await.expect("head");
    assert_eq!(head.content_type(), Some("text/x"));
    let metadata = head.metadata().expect("metadata");
    let mut names: Vec<_> = metadata.keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["own", "sealwax-shredded"]);

    let shredded = shred().delete_versions().send().await.expect("shred the rest");
    assert!(!shredded.shredded, "the newest version has no key any more");
    assert_eq!(shredded.deleted_versions, 2);
    assert_eq!(flags(&shredded.holders), [(true, false, true)]);
    let older = client.get().uri(&uri).version_id(&first).send().await;
    assert_kind(older, ErrorKind::NotFound, &uri, "its older version");
    assert_eq!(read(&client, &other).await.expect("another object"), "other");
}

#[tokio::test]
async fn a_bucket_without_versioning_holds_no_key_after_a_shred() {
    let stack = LocalStack::new(east());
    let bucket = unique("shred-unversioned");
    stack.s3().create_bucket().bucket(&bucket).send().await.expect("a bucket");
    let uri: S3Uri = format!("s3://{bucket}/x").parse().expect("a name");
    let client = stack.client([&stack.home.key]);
    client.put().uri(&uri).body("x").send().await.expect("put");
    let shredded = client
        .shred()
        .uri(&uri)
        .confirm(uri.to_string())
        .delete_versions()
        .send()
        .await
        .expect("shred");
    assert!(shredded.shredded);
    assert_eq!((shredded.deleted_versions, shredded.holders), (0, vec![]));
    assert_kind(read(&client, &uri).await, ErrorKind::Shredded, &uri, "shredded");

    let plain: S3Uri = format!("s3://{bucket}/plain").parse().expect("a name");
    super::store_plain(&stack.s3(), &plain, &[]).await;
    let refused =
        client.shred().uri(&plain).confirm(plain.to_string()).delete_versions().send().await;
    assert_kind(refused, ErrorKind::NotSealed, &plain, "nothing to shred");
    assert!(
        stack.s3().head_object().bucket(&bucket).key("plain").send().await.is_ok(),
        "it was deleted"
    );
}

#[tokio::test]
async fn a_shred_reports_a_locked_version_with_the_reason() {
    let stack = LocalStack::new(east());
    let bucket = unique("shred-locked");
    stack
        .s3()
        .create_bucket()
        .bucket(&bucket)
        .object_lock_enabled_for_bucket(true)
        .send()
        .await
        .expect("a bucket");
    let uri: S3Uri = format!("s3://{bucket}/x").parse().expect("a name");
    let client = stack.client([&stack.home.key]);
    let until = DateTime::from(SystemTime::now() + Duration::from_secs(86_400));
    let lock = Attributes::default()
        .object_lock_mode(ObjectLockMode::Compliance)
        .object_lock_retain_until_date(until);
    client.put().uri(&uri).body("x").attributes(lock).send().await.expect("put");
    let shredded = client
        .shred()
        .uri(&uri)
        .confirm(uri.to_string())
        .delete_versions()
        .send()
        .await
        .expect("shred");
    assert_eq!((shredded.shredded, shredded.deleted_versions), (true, 0));
    let [holder] = &shredded.holders[..] else { panic!("{:?}", shredded.holders) };
    assert!(holder.is_locked && !holder.is_latest);
    assert!(
        holder.failure.as_ref().is_some_and(|failure| failure.contains("DeleteObject")),
        "{holder:?}"
    );
}
