//! What an audit tells of each kind of object.

use std::collections::BTreeMap;

use futures_util::TryStreamExt as _;
use sealwax_s3::{
    SidecarPolicy,
    audit::{Audit, AuditSummary, AuditedObject, Dependence, ObjectKind},
    listing::Listing,
};
use sealwax_tests::{LocalStack, Stored, east, west};

use super::{Folder, store_plain};

#[tokio::test]
async fn every_object_is_told_by_its_keys_or_by_what_it_is() {
    let (east, west) = (LocalStack::new(east()), LocalStack::new(west()));
    let folder = Folder::new(&east.home.bucket, "audit");
    let (here, there, mrk) = (&east.home.key, &west.home.key, &east.home.mrk);
    folder.put(&east.client([here]), "east", "x").await;
    folder.put(&east.client([here, there]), "both", "x").await;
    folder.put(&east.client([mrk]), "mrk", "x").await;
    let s3 = east.s3();
    let broken = folder.put(&east.client([here]), "broken", "x").await;
    Stored::fetch(&s3, &broken).await.with("sealwax-generation", "0").store(&s3, &broken).await;
    for (name, metadata) in [
        ("plain", &[][..]),
        ("v1", &[("x-amz-key", "a"), ("x-amz-iv", "b")]),
        ("v2", &[("x-amz-key-v2", "a"), ("x-amz-iv", "b")]),
        ("v3", &[("x-amz-c", "115"), ("x-amz-d", "a"), ("x-amz-i", "b"), ("x-amz-3", "c")]),
        ("instructed", &[]),
        ("instructed.instruction", &[("x-amz-crypto-instr-file", "x")]),
        ("shredded", &[("sealwax-shredded", "2026-01-01T00:00:00Z")]),
    ] {
        store_plain(&s3, &folder.object(name), metadata).await;
    }

    east.wire.forget();
    let client = east.client_builder([]).sidecars(SidecarPolicy::read()).build();
    let listing = Listing::objects(&s3, &folder.bucket, &folder.prefix);
    let found: Vec<AuditedObject> = Audit::new(client).run(listing).try_collect().await.expect("a whole listing");
    assert_eq!(east.wire.kms(), [], "an audit needs no key");
    let formats: BTreeMap<_, _> = found.iter().map(|one| (folder.name(&one.object.key), one.kind)).collect();
    let expected = [
        ("both", ObjectKind::Sealwax),
        ("broken", ObjectKind::Unreadable),
        ("east", ObjectKind::Sealwax),
        ("instructed", ObjectKind::EncryptionClientInstructed),
        ("instructed.instruction", ObjectKind::InstructionFile),
        ("mrk", ObjectKind::Sealwax),
        ("plain", ObjectKind::Unsealed),
        ("shredded", ObjectKind::Shredded),
        ("v1", ObjectKind::EncryptionClientV1),
        ("v2", ObjectKind::EncryptionClientV2),
        ("v3", ObjectKind::EncryptionClientV3),
    ];
    assert_eq!(formats, expected.into());

    let by_name = |name: &str| found.iter().find(|one| folder.name(&one.object.key) == name).expect(name);
    assert_eq!(by_name("east").dependence(here.as_str()), Dependence::Sole);
    assert_eq!(by_name("both").dependence(here.as_str()), Dependence::Shared);
    assert_eq!(by_name("mrk").dependence(west.home.mrk.as_str()), Dependence::Sole);
    let replicas = ["us-west-2".to_owned()];
    let lacking: Vec<_> = found.iter().filter(|one| one.lacks("us-west-2", &replicas)).collect();
    assert_eq!(lacking.iter().map(|one| folder.name(&one.object.key)).collect::<Vec<_>>(), ["east"]);
    assert!(by_name("broken").problem.is_some());

    let mut summary = AuditSummary::default();
    found.iter().for_each(|one| summary.count(one));
    assert_eq!((summary.objects, summary.failed()), (11, 1));
    assert_eq!(summary.kinds.values().sum::<u64>(), 11);
    assert_eq!((summary.keys[here.as_str()].objects, summary.keys[here.as_str()].sole), (2, 1));
    assert_eq!(summary.keys[there.as_str()].sole, 0);
    assert_eq!(summary.regions[&vec!["us-east-1".to_owned()]], 2);
}

#[tokio::test]
async fn older_versions_are_told_of_too() {
    let stack = LocalStack::new(east());
    let folder = Folder::new(&stack.home.bucket, "audit-versions");
    let client = stack.client([&stack.home.key, &stack.home.key_2]);
    let uri = folder.put(&stack.client([&stack.home.key]), "x", "x").await;
    client.rewrap().uri(&uri).replace_keys(stack.keyring([&stack.home.key_2])).send().await.expect("rewrap");
    let listing = Listing::versions(&stack.s3(), &folder.bucket, &folder.prefix);
    let found: Vec<AuditedObject> = Audit::new(client).run(listing).try_collect().await.expect("a whole listing");
    let depends = found.iter().filter(|one| one.dependence(stack.home.key.as_str()) == Dependence::Sole);
    assert_eq!(depends.map(|one| one.object.is_latest).collect::<Vec<_>>(), [Some(false)]);
    assert_eq!(found.len(), 2);
}
