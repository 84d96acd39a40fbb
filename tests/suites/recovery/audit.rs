//! An audit's findings about each kind of object.

use std::collections::BTreeMap;

use futures_util::TryStreamExt as _;
use sealwax_jobs::{
    Summary as _,
    audit::{Audit, AuditSummary, AuditedMaterial, AuditedObject, Dependence},
    listing::Listing,
};
use sealwax_s3::{
    DiscoveryFilter, ErrorKind, KeyStorage, KmsKeyArn, ObjectKind, SealedClient, SidecarPolicy,
    envelope::{CachingKeyring, EncryptionContext, KeyMaterial},
    s3ec::{CommitmentPolicy, S3ec},
};
use sealwax_tests::{Call, LocalStack, Reaction, Stored, Wire, east, west};

use super::{Folder, store_plain};

/// Metadata of an object in format V1, under a raw AES key.
const V1: [(&str, &str); 3] = [
    ("x-amz-key", "N1yT6R8yH8sFjHkImwb+uo0+Wl3fkHuwM4v+emAOmpld3jj7GfxqjtHMyyZIKxBX"),
    ("x-amz-iv", "x1Rw1c3HBIkViZzUIn6gXQ=="),
    ("x-amz-matdesc", "{}"),
];

#[tokio::test]
async fn an_audit_reports_every_object_with_its_keys_or_its_kind() {
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
        ("real.instruction", &[("x-amz-crypto-instr-file", "x")]),
        ("shredded", &[("sealwax-shredded", "2026-01-01T00:00:00Z")]),
    ] {
        store_plain(&s3, &folder.object(name), metadata).await;
    }
    let metadata = V1.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    let v1 = Stored { body: vec![0; 16].into(), metadata };
    v1.store(&s3, &folder.object("v1")).await;
    east.client([here]).put().uri(&folder.object("v3")).body("x").s3ec().send().await.expect("put");
    let v2 = S3ec::new().commitment_policy(CommitmentPolicy::ForbidEncryptAllowDecrypt);
    let v2 = east.client_builder([here]).s3ec(v2).build();
    for name in ["v2", "instructed"] {
        v2.put().uri(&folder.object(name)).body("x").s3ec().send().await.expect("put");
    }
    // The same envelope in an instruction file.
    let Stored { body, metadata } = Stored::fetch(&s3, &folder.object("instructed")).await;
    let file = serde_json::to_string(&metadata).expect("text");
    for (name, body) in
        [("instructed", body), ("instructed.instruction", file.into()), ("folder/", "".into())]
    {
        let stored = Stored { body, metadata: Default::default() };
        stored.store(&s3, &folder.object(name)).await;
    }

    east.wire.forget();
    let client = east.client_builder([]).sidecars(SidecarPolicy::read()).build();
    let listing = Listing::objects(&s3, &folder.bucket, &folder.prefix);
    let found: Vec<AuditedObject> =
        Audit::new(client).run(listing).try_collect().await.expect("a whole listing");
    assert_eq!(east.wire.kms(), [], "an audit needs no key");
    let formats: BTreeMap<_, _> =
        found.iter().map(|one| (folder.name(&one.object.key), one.kind)).collect();
    let expected = [
        ("both", ObjectKind::Sealwax),
        ("broken", ObjectKind::Unreadable),
        ("east", ObjectKind::Sealwax),
        ("folder/", ObjectKind::FolderMarker),
        ("instructed", ObjectKind::EncryptionClientInstructed),
        ("instructed.instruction", ObjectKind::InstructionFile),
        ("mrk", ObjectKind::Sealwax),
        ("plain", ObjectKind::Unsealed),
        ("real.instruction", ObjectKind::Unsealed),
        ("shredded", ObjectKind::Shredded),
        ("v1", ObjectKind::EncryptionClientV1),
        ("v2", ObjectKind::EncryptionClientV2),
        ("v3", ObjectKind::EncryptionClientV3),
    ];
    let problem = found.iter().find(|one| one.object.key.ends_with("v1")).map(|one| &one.problem);
    assert_eq!(formats, expected.into(), "{problem:?}");

    let by_name =
        |name: &str| found.iter().find(|one| folder.name(&one.object.key) == name).expect(name);
    assert_eq!(by_name("east").dependence(here.as_str()), Dependence::Sole);
    assert_eq!(by_name("both").dependence(here.as_str()), Dependence::Shared);
    assert_eq!(by_name("mrk").dependence(west.home.mrk.as_str()), Dependence::Sole);
    let replicas = ["us-west-2".to_owned()];
    let lacking = found.iter().filter(|one| one.lacks("us-west-2", &replicas));
    let mut lacking: Vec<_> = lacking.map(|one| folder.name(&one.object.key)).collect();
    lacking.sort_unstable();
    assert_eq!(
        lacking,
        ["broken", "east", "instructed", "v1", "v2", "v3"],
        "those that do not tell may lack it"
    );
    for name in ["broken", "instructed", "v1", "v2", "v3"] {
        assert_eq!(by_name(name).dependence(here.as_str()), Dependence::Unknown, "{name}");
    }
    // The instruction file holds the key of an object that is listed.
    for name in ["plain", "shredded", "instructed.instruction"] {
        assert_eq!(by_name(name).dependence(here.as_str()), Dependence::None, "{name}");
    }
    assert!(by_name("broken").problem.is_some());

    let mut summary = AuditSummary::default();
    found.iter().for_each(|one| summary.record(one));
    assert_eq!((summary.objects, summary.failed()), (13, 1));
    assert_eq!(summary.kinds.values().sum::<u64>(), 13);
    assert_eq!((summary.keys[here.as_str()].objects, summary.keys[here.as_str()].sole), (2, 1));
    assert_eq!(summary.keys[there.as_str()].sole, 0);
    assert_eq!(summary.regions[&vec!["us-east-1".to_owned()]], 2);
}

#[tokio::test]
async fn an_audit_reports_older_versions() {
    let stack = LocalStack::new(east());
    let folder = Folder::new(&stack.home.bucket, "audit-versions");
    let client = stack.client([&stack.home.key, &stack.home.key_2]);
    let uri = folder.put(&stack.client([&stack.home.key]), "x", "x").await;
    client
        .rewrap()
        .uri(&uri)
        .replace_keys(stack.keyring([&stack.home.key_2]))
        .send()
        .await
        .expect("rewrap");
    let listing = Listing::versions(&stack.s3(), &folder.bucket, &folder.prefix);
    let found: Vec<AuditedObject> =
        Audit::new(client).run(listing).try_collect().await.expect("a whole listing");
    let depends =
        found.iter().filter(|one| one.dependence(stack.home.key.as_str()) == Dependence::Sole);
    assert_eq!(depends.map(|one| one.object.is_latest).collect::<Vec<_>>(), [Some(false)]);
    assert_eq!(found.len(), 2);
}

/// Responds as KMS does for a rotated key, in place of LocalStack, which does not report key
/// materials. Data keys wrapped for the `tenant` of that name are under the older material.
fn rotated(call: &Call) -> Reaction {
    if call.operation != "ReEncrypt" {
        return Reaction::Pass;
    }
    let (from, to) = (&call.json["SourceKeyId"], &call.json["DestinationKeyId"]);
    assert_eq!(
        (from, &call.json["SourceEncryptionContext"]),
        (to, &call.json["DestinationEncryptionContext"])
    );
    let material = if call.json["SourceEncryptionContext"]["tenant"] == "old" { "a" } else { "b" };
    Reaction::Answer(
        200,
        format!(
            r#"{{"CiphertextBlob":"AAAA","SourceKeyId":{from},"KeyId":{to},"SourceKeyMaterialId":"{material}","DestinationKeyMaterialId":"b"}}"#
        ),
    )
}

/// Puts an object of a tenant.
async fn put_for(folder: &Folder, client: &SealedClient, name: &str, tenant: &str) {
    let context = EncryptionContext::try_from_iter([("tenant", tenant)]).expect("a context");
    client
        .put()
        .uri(&folder.object(name))
        .encryption_context(context)
        .body("x")
        .send()
        .await
        .expect("put");
}

/// Audits a folder. Returns its objects by name.
async fn audited(folder: &Folder, client: SealedClient) -> BTreeMap<String, AuditedObject> {
    let listing = Listing::objects(client.s3(), &folder.bucket, &folder.prefix);
    let found = Audit::new(client).key_material().run(listing);
    let by_name = |one: AuditedObject| (folder.name(&one.object.key).to_owned(), one);
    found.map_ok(by_name).try_collect().await.expect("a whole listing")
}

fn materials(found: &AuditedObject) -> Vec<(&str, &AuditedMaterial)> {
    found.keys.iter().map(|key| (key.wrapping_key.as_str(), &key.material)).collect()
}

#[tokio::test]
async fn an_audit_asks_kms_once_for_each_wrapped_or_intermediate_key() {
    let stack = LocalStack::over(Wire::new(rotated), east());
    let (key, strange) = (&stack.home.key, &stack.home.key_2);
    let folder = Folder::new(&stack.home.bucket, "material");
    for (name, tenant, keys) in [
        ("new", "new", &[key][..]),
        ("old", "old", &[key]),
        ("two-keys", "old", &[key, strange]),
        ("strange", "old", &[strange]),
    ] {
        put_for(&folder, &stack.client(keys.iter().copied()), name, tenant).await;
    }
    let caching =
        SealedClient::builder(stack.s3(), CachingKeyring::new(stack.keyring([key]))).build();
    for name in ["shared-1", "shared-2", "shared-3"] {
        put_for(&folder, &caching, name, "old").await;
    }
    let beside = stack.client_builder([key]).sidecars(SidecarPolicy::read()).build();
    put_for(&folder, &stack.client([&west().key]), "sidecar", "new").await;
    let both = stack.client_builder([key, &west().key]).sidecars(SidecarPolicy::read()).build();
    let added = both
        .rewrap()
        .uri(&folder.object("sidecar"))
        .add_keys(LocalStack::new(east()).keyring([key]));
    added.key_storage(KeyStorage::Sidecar).send().await.expect("a sidecar");

    stack.wire.forget();
    let found = audited(&folder, beside).await;
    let known = |id: &str, is_newest| AuditedMaterial::Known(KeyMaterial::new(id, is_newest));
    let (newest, older, unknown) = (known("b", true), known("a", false), AuditedMaterial::Unknown);
    assert_eq!(materials(&found["new"]), [(key.as_str(), &newest)]);
    assert_eq!(materials(&found["old"]), [(key.as_str(), &older)]);
    assert_eq!(
        materials(&found["two-keys"]),
        [(key.as_str(), &older), (strange.as_str(), &unknown)]
    );
    assert_eq!(materials(&found["strange"]), [(strange.as_str(), &unknown)]);
    assert_eq!(
        materials(&found["sidecar"]),
        [(west().key.as_str(), &unknown), (key.as_str(), &newest)]
    );
    for name in ["shared-1", "shared-2", "shared-3"] {
        assert_eq!(materials(&found[name]), [(key.as_str(), &older)], "{name}");
    }
    assert!(found.values().all(|one| one.problem.is_none()));
    // Four objects and one intermediate key. The client asks nothing about keys that it does not
    // read with.
    assert_eq!(stack.wire.kms(), vec![("ReEncrypt".to_owned(), "us-east-1".to_owned()); 5]);
    assert!(
        stack
            .wire
            .calls()
            .iter()
            .all(|call| call.service != "kms" || call.json["SourceKeyId"] == key.as_str())
    );

    let mut summary = AuditSummary::default();
    found.values().for_each(|one| summary.record(one));
    let of = |key: &KmsKeyArn, material: &AuditedMaterial| {
        summary.materials[&(key.as_str().to_owned(), material.clone())]
    };
    assert_eq!((of(key, &newest), of(key, &older), of(strange, &unknown)), (2, 5, 2));
}

#[tokio::test]
async fn materials_that_kms_does_not_report_are_unknown() {
    let stack = LocalStack::new(east());
    let folder = Folder::new(&stack.home.bucket, "material-unknown");
    put_for(&folder, &stack.client([&stack.home.key, &west().key]), "x", "new").await;
    // The account's keys in the Region that the filter allows.
    let filter = DiscoveryFilter::accounts([stack.home.key.account()]).regions(["us-east-1"]);
    let client = SealedClient::builder(
        stack.s3(),
        stack.keyring_builder().discovery(filter).build().expect("a keyring"),
    )
    .build();
    stack.wire.forget();
    let found = audited(&folder, client).await;
    let unknown = AuditedMaterial::Unknown;
    assert_eq!(
        materials(&found["x"]),
        [(stack.home.key.as_str(), &unknown), (west().key.as_str(), &unknown)]
    );
    assert_eq!(stack.wire.kms(), [("ReEncrypt".to_owned(), "us-east-1".to_owned())]);
}

#[tokio::test]
async fn an_audit_records_refusals_of_kms_and_retries_throttled_calls() {
    let throttled = |call: &Call| match call.operation == "ReEncrypt" && call.nth < 4 {
        // More often than the SDK itself retries.
        true => Reaction::Answer(400, r#"{"__type":"ThrottlingException"}"#.into()),
        false => rotated(call),
    };
    let stack = LocalStack::over(Wire::new(throttled), east());
    let folder = Folder::new(&stack.home.bucket, "material-refused");
    put_for(&folder, &stack.client([&stack.home.key]), "x", "old").await;
    let found = audited(&folder, stack.client([&stack.home.key])).await;
    assert!(
        found["x"].problem.is_none() && found["x"].keys[0].material.is_older(),
        "{:?}",
        found["x"]
    );
    let heads = stack
        .wire
        .operations("s3")
        .into_iter()
        .filter(|operation| operation == "HeadObject")
        .count();
    assert_eq!(heads, 1, "only KMS is asked again");

    let denied = Wire::answering("ReEncrypt", 400, r#"{"__type":"AccessDeniedException"}"#);
    let stack = LocalStack::over(denied, east());
    let found = audited(&folder, stack.client([&stack.home.key])).await;
    let problem = found["x"].problem.as_ref().expect("a problem");
    assert_eq!(problem.kind(), ErrorKind::AccessDenied);
    assert!(problem.to_string().contains(stack.home.key.as_str()), "{problem}");
    assert_eq!(
        (found["x"].kind, &found["x"].keys[0].material),
        (ObjectKind::Sealwax, &AuditedMaterial::Unknown)
    );
    let mut summary = AuditSummary::default();
    summary.record(&found["x"]);
    assert_eq!(summary.failed(), 1);
}

#[tokio::test]
async fn a_region_that_is_down_is_not_asked_for_every_object() {
    let quiet = LocalStack::new(east());
    let folder = Folder::new(&quiet.home.bucket, "material-down");
    let (here, there) = (&quiet.home.key, &west().key);
    for n in 0..8 {
        put_for(&folder, &quiet.client([here, there]), &n.to_string(), "old").await;
    }
    let down = Wire::new(|call| match (call.service.as_str(), call.region.as_str()) {
        ("kms", "us-west-2") => Reaction::Refuse,
        _ => rotated(call),
    });
    let stack = LocalStack::over(down, east());
    let listing = Listing::objects(&stack.s3(), &folder.bucket, &folder.prefix);
    let found = Audit::new(stack.client([here, there])).key_material().concurrency(1).run(listing);
    let found: Vec<AuditedObject> = found.try_collect().await.expect("a whole listing");
    assert_eq!(found.len(), 8);
    for one in &found {
        assert!(one.keys[0].material.is_older(), "the other Region responds: {one:?}");
        assert_eq!(one.keys[1].material, AuditedMaterial::Unknown);
        assert_eq!(one.problem.as_ref().map(sealwax_s3::Error::kind), Some(ErrorKind::Unavailable));
    }
    // The SDK makes three attempts.
    let tries = stack.wire.kms().into_iter().filter(|(_, region)| region == "us-west-2").count();
    assert!((1..8 * 3).contains(&tries), "{tries} tries");
}
