//! Dry runs say what an apply would meet, without writing: denied objects, archived and locked ones,
//! ACLs, tags and replication.

use sealwax_jobs::{
    Summary as _,
    rewrap::{Plan, PlanSummary},
};
use sealwax_s3::KeyStorage;
use sealwax_tests::{Call, Reaction, Wire};

use crate::objects::{Objects, add_b, rewrapper};

const DENIED: &str =
    "<Error><Code>AccessDenied</Code><Message>denied by this test</Message></Error>";
const NO_CONTROLS: &str =
    "<Error><Code>OwnershipControlsNotFoundError</Code><Message>none</Message></Error>";
const FOR_YOU: &str = "<AccessControlPolicy><Owner><ID>me</ID></Owner><AccessControlList><Grant>\
    <Grantee xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xsi:type=\"CanonicalUser\">\
    <ID>you</ID></Grantee><Permission>READ</Permission></Grant></AccessControlList>\
    </AccessControlPolicy>";
const VERSIONED: &str =
    "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
const REPLICATED: &str = "<ReplicationConfiguration><Role>r</Role><Rule><ID>i</ID><Priority>1</Priority>\
    <Status>Enabled</Status><Filter><Tag><Key>send</Key><Value>yes</Value></Tag></Filter>\
    <Destination><Bucket>arn:aws:s3:::west</Bucket></Destination></Rule></ReplicationConfiguration>";

/// Plans the rewrap of `objects` over a wire that reacts so; returns the summary.
async fn plan(
    objects: &Objects,
    storage: KeyStorage,
    react: impl Fn(&Call) -> Reaction + Send + Sync + 'static,
) -> (PlanSummary, Wire) {
    let wire = Wire::new(react);
    let rewrapper = rewrapper(&wire, add_b()).await.key_storage(storage);
    let listing = objects.list(rewrapper.s3());
    let plan = Plan::new(rewrapper).run(listing, &objects.prefix, std::io::sink());
    let summary = plan.finish().await.expect("a plan");
    let reads =
        |it: &String| it.starts_with("Get") || it.starts_with("Head") || it.starts_with("List");
    let operations = wire.operations("s3");
    assert!(operations.iter().all(reads), "{operations:?}");
    (summary, wire)
}

fn calls(wire: &Wire, operation: &str) -> usize {
    wire.operations("s3").iter().filter(|it| *it == operation).count()
}

/// Returns the permissions: action, objects, and whether S3 denied it.
fn needs(summary: &PlanSummary) -> Vec<(&str, u64, bool)> {
    summary.permissions.iter().map(|it| (it.action.as_str(), it.objects, it.denied)).collect()
}

/// The answer to HEAD has no body, so it names no cause but its status.
#[tokio::test]
async fn objects_that_may_not_be_read_are_counted_as_denied() {
    let objects = Objects::new("denied", 3, false).await;
    let (summary, wire) = plan(&objects, KeyStorage::Metadata, |call| {
        match call.operation == "HeadObject" && call.uri.contains("0001") {
            true => Reaction::Answer(403, String::new()),
            false => Reaction::Pass,
        }
    })
    .await;
    assert_eq!((summary.objects, summary.rewrap, summary.failed()), (3, 2, 1));
    assert_eq!(summary.impossible, [("access-denied".to_owned(), 1)].into());
    assert_eq!(calls(&wire, "HeadObject"), 3, "a denial is not asked for again");
}

#[tokio::test]
async fn archived_objects_are_counted_as_archived_unless_their_keys_go_to_sidecars() {
    let objects = Objects::new("archived", 2, false).await;
    let archive = |call: &Call| match call.operation == "HeadObject" && call.uri.contains("0001") {
        true => Reaction::AddHeader("x-amz-storage-class", "GLACIER".to_owned()),
        false => Reaction::Pass,
    };
    let (summary, _) = plan(&objects, KeyStorage::Metadata, archive).await;
    assert_eq!((summary.rewrap, summary.copies, summary.sidecars), (1, 1, 0));
    assert_eq!(summary.impossible, [("archived".to_owned(), 1)].into());
    let (summary, _) = plan(&objects, KeyStorage::SidecarWhereNeeded, archive).await;
    assert_eq!((summary.rewrap, summary.copies, summary.sidecars), (2, 1, 1));
    assert_eq!(summary.failed(), 0);
}

/// Object Lock protects versions, so a locked object can be copied onto itself. The copy is locked
/// too, and takes a permission of its own.
#[tokio::test]
async fn locked_objects_are_counted_as_one_more_locked_version() {
    let objects = Objects::new("locked", 2, false).await;
    let lock = |call: &Call| match call.operation == "HeadObject" && call.uri.contains("0001") {
        true => Reaction::AddHeader("x-amz-object-lock-legal-hold", "ON".to_owned()),
        false => Reaction::Pass,
    };
    let (summary, _) = plan(&objects, KeyStorage::Metadata, lock).await;
    assert_eq!((summary.rewrap, summary.copies, summary.locked), (2, 2, 1));
    let expected = [("s3:PutObject", 2, false), ("s3:PutObjectLegalHold", 1, false)];
    assert_eq!(needs(&summary), expected);
    let (summary, _) = plan(&objects, KeyStorage::SidecarWhereNeeded, lock).await;
    assert_eq!((summary.copies, summary.sidecars, summary.locked), (1, 1, 0));
    assert_eq!(needs(&summary), [("s3:PutObject", 2, false)]);
}

#[tokio::test]
async fn an_acl_that_may_not_be_read_or_must_be_written_is_told() {
    let objects = Objects::new("acls", 2, false).await;
    let acl = |status, answer: &'static str| {
        move |call: &Call| match call.operation.as_str() {
            "GetBucketOwnershipControls" => Reaction::Answer(404, NO_CONTROLS.to_owned()),
            "GetObjectAcl" => Reaction::Answer(status, answer.to_owned()),
            _ => Reaction::Pass,
        }
    };
    let (summary, wire) = plan(&objects, KeyStorage::Metadata, acl(403, DENIED)).await;
    assert_eq!((summary.rewrap, summary.failed()), (0, 2));
    assert_eq!(summary.impossible, [("access-denied".to_owned(), 2)].into());
    assert_eq!(calls(&wire, "GetObjectAcl"), 2);
    let (summary, _) = plan(&objects, KeyStorage::Metadata, acl(200, FOR_YOU)).await;
    assert_eq!((summary.rewrap, summary.failed()), (2, 0));
    let expected = [("s3:PutObject", 2, false), ("s3:PutObjectAcl", 2, false)];
    assert_eq!(needs(&summary), expected);
    // A sidecar leaves the object's ACL as it is.
    let (summary, wire) = plan(&objects, KeyStorage::Sidecar, acl(403, DENIED)).await;
    assert_eq!((summary.sidecars, calls(&wire, "GetObjectAcl")), (2, 0));
}

#[tokio::test]
async fn tags_that_may_not_be_read_are_told_and_asked_for_once() {
    let objects = Objects::new("tags", 5, false).await;
    let (summary, wire) =
        plan(&objects, KeyStorage::Metadata, |call| match call.operation.as_str() {
            "GetObjectTagging" => Reaction::Answer(403, DENIED.to_owned()),
            "GetBucketVersioning" => Reaction::Answer(200, VERSIONED.to_owned()),
            "GetBucketReplication" => Reaction::Answer(200, REPLICATED.to_owned()),
            _ => Reaction::Pass,
        })
        .await;
    let expected = [("s3:GetObjectTagging", 5, true), ("s3:PutObject", 5, false)];
    assert_eq!(needs(&summary), expected);
    assert_eq!(calls(&wire, "GetObjectTagging"), 1);
    let storage = &summary.storage[&objects.bucket];
    assert_eq!(storage.tags_unknown, 5);
    let at_most = [("west".to_owned(), summary.bytes_copied)].into();
    assert_eq!(storage.replicated_bytes, Some(at_most));
}

#[tokio::test]
async fn a_replication_rule_with_tags_counts_the_objects_that_have_them() {
    let objects = Objects::new("replicated", 5, false).await;
    let (summary, wire) = plan(&objects, KeyStorage::Metadata, |call| {
        let tagged = call.uri.contains("0001") || call.uri.contains("0002");
        let value = if tagged { "yes" } else { "no" };
        match call.operation.as_str() {
            "GetObjectTagging" => Reaction::Answer(
                200,
                format!(
                    "<Tagging><TagSet><Tag><Key>send</Key><Value>{value}</Value></Tag></TagSet></Tagging>"
                ),
            ),
            "GetBucketVersioning" => Reaction::Answer(200, VERSIONED.to_owned()),
            "GetBucketReplication" => Reaction::Answer(200, REPLICATED.to_owned()),
            _ => Reaction::Pass,
        }
    })
    .await;
    let storage = &summary.storage[&objects.bucket];
    // Their keys, and so their lengths, are alike.
    let of_two = [("west".to_owned(), summary.bytes_copied / 5 * 2)].into();
    assert_eq!((&storage.replicated_bytes, storage.tags_unknown), (&Some(of_two), 0));
    // One for each object, and one for the bucket.
    assert_eq!(calls(&wire, "GetObjectTagging"), 6);
    assert_eq!(calls(&wire, "GetBucketReplication"), 1);
}
