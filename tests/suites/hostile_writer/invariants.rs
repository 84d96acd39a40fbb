//! Invariants that hold after every combination, whatever the table says.

use sealwax_s3::ErrorKind;
use sealwax_tests::read;
use serde_json::Value;

use crate::{
    change::{Change, Tampered},
    look::{Seen, State},
    loot::Plaintexts,
    operation::Operation,
    outcome::{Names, Outcome},
    s3ec,
    scene::{Kind, Name, Role, Scene},
};

/// Asserts the invariants, but those of KMS calls.
pub(crate) async fn check(
    scene: &Scene,
    operation: Operation,
    outcome: &Outcome,
    (before, after): (&State, &State),
    plaintexts: &Plaintexts,
) {
    let object = before.object.as_ref().expect("the object before");
    let is_sealed_again = operation == Operation::Reencrypt
        || (operation == Operation::Migrate && scene.kind.is_s3ec());
    check_strangers(operation, object, after);
    let is_stored = !matches!(outcome, Outcome::Failed(_) | Outcome::CopiedOnly(_));
    if !is_sealed_again {
        check_bodies(object, after);
    }
    if !is_stored || (is_reader(operation) && !is_sealed_again) {
        assert_eq!(after.object, before.object, "the object was changed");
        return;
    }
    check_nothing_is_lost((scene.kind, operation), outcome, object, after);
    if is_sealed_again {
        let client = scene.quiet_store.client_builder(scene.only(Name::East));
        let client = client.s3ec(s3ec::settings().any_encryption_context(true)).build();
        let now = read(&client, &scene.object).await.expect("sealed again");
        let versions = [&plaintexts.original, &plaintexts.older];
        assert!(versions.contains(&&now), "other bytes were sealed");
    }
}

/// No key outside of the operator's list opens anything new.
fn check_strangers(operation: Operation, before: &Seen, after: &State) {
    let listed: Names = match operation {
        Operation::Add
        | Operation::AddAndProve
        | Operation::AddToSidecar
        | Operation::AddAndRemove
        | Operation::Replace
        | Operation::ReplaceUnproven
        | Operation::ReplaceJob
        | Operation::Lambda
        | Operation::CopyUnderNew => [Name::New].into(),
        Operation::Reencrypt => [Name::East, Name::West].into(),
        Operation::Migrate => [Name::East].into(),
        _ => Names::new(),
    };
    for seen in [&after.object, &after.copy].into_iter().flatten() {
        for name in &seen.opens_anywhere {
            let is_known = before.opens_anywhere.contains(name) || listed.contains(name);
            assert!(is_known && *name != Name::Foreign, "{name:?} opens {seen:?}");
        }
    }
}

/// No operation changes a body, but those that seal it again.
fn check_bodies(before: &Seen, after: &State) {
    for seen in [&after.object, &after.copy].into_iter().flatten() {
        assert_eq!(seen.stored.body, before.stored.body, "the body was changed");
    }
}

/// `true` for operations that leave the object as it is.
fn is_reader(operation: Operation) -> bool {
    matches!(
        operation,
        Operation::Get
            | Operation::GetRange
            | Operation::StoreGet
            | Operation::Head
            | Operation::Inspect
            | Operation::Plan
            | Operation::Migrate
            | Operation::Audit
            | Operation::AuditKeyMaterial
            | Operation::Verify
            | Operation::VerifyFull
            | Operation::Drill
    )
}

/// Objects that opened for the operator's keys still open, unless the report says so.
fn check_nothing_is_lost(
    (kind, operation): (Kind, Operation),
    outcome: &Outcome,
    before: &Seen,
    after: &State,
) {
    let (mut kept, mut missing, mut opens) = (Names::new(), Names::new(), false);
    if let Outcome::Keys(report) = outcome {
        (kept, missing, opens) = (report.kept.clone(), report.missing.clone(), report.opens);
        let proven = after.object.iter().flat_map(|seen| &seen.opens).copied().collect();
        assert!(report.proven.is_subset(&proven), "not proven: {report:?}");
    }
    let operators = Names::from([Name::East, Name::West]);
    let had: Names = before.opens.intersection(&operators).copied().collect();
    let of = |seen: &Option<Seen>| seen.as_ref().map(|seen| seen.opens.clone()).unwrap_or_default();
    let (now, copied) = (of(&after.object), of(&after.copy));
    match operation {
        Operation::Shred => assert_eq!(now, Names::new(), "shredded"),
        Operation::Delete => assert_eq!(after.object, None, "deleted"),
        Operation::CopyNear
        | Operation::CopyFar
        | Operation::CopyAtLeastOne
        | Operation::StoreCopy => {
            assert_eq!(after.object.as_ref(), Some(before), "the source was changed");
            let lost: Names = had.difference(&copied).copied().collect();
            assert!(lost.is_subset(&missing), "the copy lost {lost:?}");
        }
        Operation::CopyUnderNew => {
            assert_eq!(after.object.as_ref(), Some(before), "the source was changed");
            assert!(!opens || copied.contains(&Name::New), "the copy does not open");
        }
        Operation::Move | Operation::StoreRename => {
            assert_eq!(after.object, None, "moved");
            assert!(had.is_subset(&copied), "the copy lost keys: {had:?} of {copied:?}");
            assert!(!copied.is_empty(), "moved and unreadable");
        }
        Operation::Replace | Operation::ReplaceJob => {
            let is_open = now.contains(&Name::New) || had.is_subset(&now);
            assert!(had.is_empty() || is_open, "replaced and unreadable: {now:?}");
            assert!(!opens || now.contains(&Name::New), "not proven");
        }
        Operation::Remove | Operation::AddAndRemove => {
            let lost: Names = had.difference(&now).copied().collect();
            assert!(lost.is_subset(&[Name::East].into()), "{lost:?} was lost");
            assert!(!kept.contains(&Name::East) || lost.is_empty(), "East was not kept");
            assert!(had.is_empty() || !now.is_empty(), "removed and unreadable");
        }
        // The operator allowed it.
        Operation::ReplaceUnproven => {}
        Operation::Reencrypt if !kind.is_s3ec() => {
            assert!(operators.is_subset(&now), "not all keys: {now:?}");
        }
        _ => assert!(had.is_subset(&now), "keys were lost: {now:?} of {had:?}"),
    }
}

/// Asserts that KMS was called only as the operation, the role and the object's binding allow.
pub(crate) fn check_kms_calls(
    scene: &Scene,
    (operation, change, role): (Operation, Change, Role),
    outcome: &Outcome,
    tampered: &Tampered,
) {
    let calls = scene.wire.calls();
    let mut calls = calls.iter().filter(|call| call.service == "kms").peekable();
    let refused = [
        ErrorKind::PlaceMismatch,
        ErrorKind::ContextMismatch,
        ErrorKind::Truncated,
        ErrorKind::Malformed,
        ErrorKind::Unsupported,
        ErrorKind::PolicyRefused,
    ];
    if matches!(outcome, Outcome::Failed(kind) if refused.contains(kind))
        && change != Change::LastGeneration
    {
        assert!(calls.peek().is_none(), "KMS was asked about a refused object: {:?}", calls.next());
    }
    let readers: Names = match role {
        Role::Account => Name::ALL.into(),
        _ => [Name::East, Name::West, Name::New].into(),
    };
    for call in calls {
        let name = |member: &str| {
            call.json[member].as_str().map(|arn| {
                let name = scene.name(arn).expect("a key of the scene");
                assert!(readers.contains(&name), "a foreign key was used: {call:?}");
                assert_eq!(call.region, scene.key(name).region(), "the wrong Region: {call:?}");
                name
            })
        };
        let (from, to, key) = (name("SourceKeyId"), name("DestinationKeyId"), name("KeyId"));
        let is_bound = |member: &str| check_binding(scene, operation, tampered, &call.json[member]);
        match (call.operation.as_str(), writes(operation, scene.kind)) {
            ("Decrypt", Writes::Nothing | Writes::Under(_) | Writes::SameKeys) => {
                assert!(key.is_some(), "no key was named: {call:?}");
                is_bound("EncryptionContext");
            }
            ("Encrypt" | "GenerateDataKey", Writes::Under(names)) => {
                assert!(key.is_some_and(|key| names.contains(&key)), "{call:?}");
                is_bound("EncryptionContext");
            }
            ("Encrypt", Writes::SameKeys) => is_bound("EncryptionContext"),
            ("ReEncrypt", writes @ (Writes::SameKeys | Writes::ItselfOnly | Writes::Under(_))) => {
                match writes {
                    Writes::Under(names) => {
                        assert!(to.is_some_and(|to| names.contains(&to)), "{call:?}");
                    }
                    _ => assert_eq!(from, to, "the data key went to another key: {call:?}"),
                }
                is_bound("SourceEncryptionContext");
                is_bound("DestinationEncryptionContext");
            }
            _ => panic!("{operation:?} does not need this call: {call:?}"),
        }
    }
}

/// Keys that an operation wraps under.
enum Writes {
    /// It uses no key at all.
    NoKey,
    Nothing,
    /// Each key under itself, inside KMS.
    ItselfOnly,
    /// Each key under itself.
    SameKeys,
    Under(&'static [Name]),
}

fn writes(operation: Operation, kind: Kind) -> Writes {
    match operation {
        // In the format of the S3 Encryption Client, or out of it.
        Operation::Refresh | Operation::Reencrypt | Operation::Migrate if kind.is_s3ec() => {
            Writes::Under(&[Name::East])
        }
        Operation::Head
        | Operation::Inspect
        | Operation::Plan
        | Operation::Migrate
        | Operation::Audit
        | Operation::Shred
        | Operation::Delete => Writes::NoKey,
        Operation::Get
        | Operation::GetRange
        | Operation::StoreGet
        | Operation::Verify
        | Operation::VerifyFull
        | Operation::Drill
        | Operation::Remove => Writes::Nothing,
        Operation::Refresh | Operation::AuditKeyMaterial => Writes::ItselfOnly,
        Operation::CopyNear
        | Operation::CopyFar
        | Operation::CopyAtLeastOne
        | Operation::Move
        | Operation::StoreCopy
        | Operation::StoreRename => Writes::SameKeys,
        Operation::Reencrypt => Writes::Under(&[Name::East, Name::West]),
        _ => Writes::Under(&[Name::New]),
    }
}

/// The encryption context is that of the object or of its copy, and has no other pairs.
fn check_binding(scene: &Scene, operation: Operation, tampered: &Tampered, context: &Value) {
    let context = context.as_object().expect("an encryption context");
    let metadata = &tampered.object.metadata;
    let places = [Some(&scene.object), operation.target(scene)];
    let places: Vec<_> = places.into_iter().flatten().map(Scene::place).collect();
    let is_new_body = matches!(operation, Operation::Reencrypt | Operation::Migrate);
    let mut needed = vec!["tenant"];
    for (name, value) in context {
        let value = value.as_str().expect("text");
        let is_allowed = match name.as_str() {
            // Only what the object itself claims is passed on, and refused by KMS.
            "tenant" => value == "acme" || value == "evil",
            "aws:x-amz-cek-alg" => scene.kind.is_s3ec(),
            "sealwax:format" if value == "v1" => {
                needed.extend(["sealwax:place", "sealwax:salt"]);
                true
            }
            "sealwax:format" => {
                needed.extend(["sealwax:scope", "sealwax:intermediate"]);
                value == "v1/intermediate"
            }
            "sealwax:place" => places.iter().any(|place| place == value),
            "sealwax:scope" => places.iter().any(|place| place.starts_with(value)),
            "sealwax:salt" => {
                let header = metadata.get("sealwax-header");
                is_new_body || header.is_some_and(|header| header.starts_with(value))
            }
            "sealwax:intermediate" => true,
            _ => false,
        };
        assert!(is_allowed, "{name}={value} is not of this object");
    }
    if needed.len() == 1 {
        needed.push("aws:x-amz-cek-alg");
    }
    for name in needed {
        assert!(context.contains_key(name), "{name} is missing: {context:?}");
    }
}
