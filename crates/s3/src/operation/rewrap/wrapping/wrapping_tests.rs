//! Keys of an object after its key changes, without a server.

use sealwax_envelope::{
    Keyring, KeyringErrorKind, MissingKey, Place, PlaintextDataKey, Unwrap, geometry,
};

use super::{super::KeyChange, *};
use crate::{
    store::answers::{Answer, answering},
    upload::budget::UploadBudget,
    vault::{
        Vault,
        samples::{self, Sample, Service, both, local, vault, vault_with},
        sidecar::SidecarPolicy,
    },
};

const DENIED: KeyringErrorKind = KeyringErrorKind::AccessDenied;
const DOWN: KeyringErrorKind = KeyringErrorKind::Unavailable;

fn wrapping(vault: &Vault, changes: KeyChanges) -> Wrapping {
    let (store, vault) = (Answer::new(500, Vec::new()).store(), vault.clone());
    Wrapping {
        handle: Handle { store, vault, budget: UploadBudget::new(1) },
        changes,
        accepted_places: Vec::new(),
        intermediate_keys: IntermediateKeys::default(),
        proofs: Proofs::default(),
        key_storage: KeyStorage::Metadata,
    }
}

/// Changes the keys of `object`. Returns the names of its keys then, and the report.
async fn changed(
    object: &ObjectKeys<'_>,
    changes: KeyChanges,
) -> Result<(Vec<String>, KeyReport), ErrorKind> {
    let wrapping = wrapping(object.vault, changes);
    let Steps { steps, claimed } = wrapping.changes.steps(object).expect("steps");
    let report = KeyReport { claimed, ..KeyReport::default() };
    let changed = wrapping.changed_keys(object, &steps, report).await;
    let ChangedKeys { keys, report } = changed.map_err(|error| error.kind())?;
    Ok((samples::names(&keys).into_iter().map(str::to_owned).collect(), report))
}

async fn keys_of(sample: &Sample, names: &[&str]) -> Vec<EncryptedDataKey> {
    let mut keys = Vec::new();
    for name in names {
        keys.extend(sample.wrapped(&local(name)).await);
    }
    keys
}

/// The proof of a key that goes in the same rewrap counts for none that stays.
#[tokio::test]
async fn a_proof_before_a_replacement_does_not_prove_the_new_key() {
    let sample = Sample::new("here");
    let vault = vault(local("a"));
    let object = sample.object(&vault, keys_of(&sample, &["a", "b"]).await, "here");
    let new = || Service::new("c").re_encrypts_from("a");
    let replaced = |new: Service| {
        let changes = KeyChanges::new().add_keys(local("b")).replace_keys(new).prove_present();
        changed(&object, changes)
    };
    let (keys, report) = replaced(new().fails("unwrap", DENIED)).await.expect("possible");
    assert_eq!(keys, ["a", "b", "c"], "nothing proves the new key");
    assert_eq!(
        (report.kept, report.opens.is_proven()),
        (vec!["a".to_owned(), "b".to_owned()], false)
    );
    assert_eq!((report.proven, report.added), (vec!["b".to_owned()], vec!["c".to_owned()]));

    let (keys, report) = replaced(new()).await.expect("possible");
    assert_eq!(keys, ["c"]);
    assert_eq!((report.kept.as_slice(), report.opens.is_proven()), (&[][..], true));
    let failed = replaced(new().fails("unwrap", DOWN)).await.expect_err("nothing is proven");
    assert_eq!(failed, ErrorKind::Unavailable);
}

/// A role that may re-encrypt, and not decrypt.
#[tokio::test]
async fn an_unproven_replacement_keeps_the_old_keys_unless_that_is_allowed() {
    let sample = Sample::new("here");
    let at_old = local("c").wrap(&sample.data_key, &sample.binding("old")).await.expect("wrapped");
    let keys = [keys_of(&sample, &["a"]).await, at_old].concat();
    let vault = vault(local("a"));
    let object = sample.object(&vault, keys, "here");
    let changes = || {
        let new = Service::new("c").re_encrypts_from("a").fails("unwrap", DENIED);
        KeyChanges::new().replace_keys(new)
    };
    let (keys, report) = changed(&object, changes()).await.expect("possible");
    assert_eq!(keys, ["a", "c", "c"]);
    // The name that is new is not among those that stay against the wish.
    assert_eq!((report.kept, report.opens.is_proven()), (vec!["a".to_owned()], false));
    let allowed = changes().dangerous_allow_unproven();
    let (keys, report) = changed(&object, allowed).await.expect("possible");
    assert_eq!((keys, report.opens.is_proven()), (vec!["c".to_owned()], false));
    assert_eq!((report.kept, report.added), (Vec::new(), vec!["c".to_owned()]));
}

#[tokio::test]
async fn an_unproven_new_key_lets_no_other_go() {
    let sample = Sample::new("here");
    let vault = vault(Service::new("a").fails("unwrap", DENIED));
    let object = sample.object(&vault, keys_of(&sample, &["a", "b"]).await, "here");
    let new = Service::new("c").re_encrypts_from("a").fails("unwrap", DENIED);
    let changes = KeyChanges::new().add_keys(new).remove_key("b");
    let (keys, report) = changed(&object, changes).await.expect("possible");
    assert_eq!(keys, ["b", "a", "c"]);
    assert_eq!((report.kept, report.opens.is_proven()), (vec!["b".to_owned()], false));
}

/// A key service that can't re-encrypt now is asked later if it says so; otherwise the data key is
/// unwrapped.
#[tokio::test]
async fn re_encryption_that_fails_is_replaced_by_unwrapping() {
    let sample = Sample::new("here");
    let vault = vault(local("a"));
    let object = sample.object(&vault, keys_of(&sample, &["a"]).await, "here");
    let added = |kind| {
        let new = Service::new("c").re_encrypts_from("a").fails("rewrap", kind);
        changed(&object, KeyChanges::new().add_keys(new))
    };
    let (keys, report) = added(DENIED).await.expect("by unwrapping");
    assert_eq!((keys, report.opens.is_proven()), (vec!["a".to_owned(), "c".to_owned()], true));
    let failed = added(KeyringErrorKind::Throttled).await.expect_err("later");
    assert_eq!(failed, ErrorKind::Throttled);
}

#[tokio::test]
async fn only_the_disproved_of_several_keys_are_made_again() {
    let sample = Sample::new("here");
    let other = PlaintextDataKey::generate().expect("random");
    let planted = local("b").wrap(&other, &sample.binding("here")).await.expect("wrapped");
    let keys = [keys_of(&sample, &["a"]).await, planted, keys_of(&sample, &["c"]).await].concat();
    let vault = vault(local("a"));
    let object = sample.object(&vault, keys, "here");
    let changes = KeyChanges::new().add_keys(both(local("b"), local("c"))).prove_present();
    let (keys, report) = changed(&object, changes).await.expect("possible");
    assert_eq!(keys, ["a", "c", "b"]);
    let [b, c] = ["b", "c"].map(|name| vec![name.to_owned()]);
    assert_eq!((report.disproved, report.proven, report.added), (b.clone(), c, b));
    assert!(report.opens.is_proven());
}

/// KMS re-encrypts a planted key as well as a genuine one.
#[tokio::test]
async fn new_keys_of_a_planted_one_are_made_again() {
    let sample = Sample::new("here");
    let other = PlaintextDataKey::generate().expect("random");
    let planted = local("a").wrap(&other, &sample.binding("here")).await.expect("wrapped");
    let keys = [planted, keys_of(&sample, &["b"]).await].concat();
    let vault = vault(both(local("a"), local("b")));
    let object = sample.object(&vault, keys, "here");
    let new = Service::new("c").re_encrypts_from("a");
    let wrapping = wrapping(&vault, KeyChanges::new().replace_keys(new));
    let steps = wrapping.changes.steps(&object).expect("steps").steps;
    let changed = wrapping.changed_keys(&object, &steps, KeyReport::default()).await;
    let ChangedKeys { keys, report } = changed.expect("one key is genuine");
    assert_eq!((samples::names(&keys), report.opens.is_proven()), (vec!["c"], true));
    let Unwrap::Unwrapped(opened) = local("c").unwrap(&keys).await else {
        panic!("it has that key");
    };
    assert_eq!(opened.expose_secret(), sample.data_key.expose_secret());
}

/// A wrapped key under the name of a new one goes only if the new one was made from it.
#[tokio::test]
async fn an_unproven_new_key_leaves_others_of_its_name() {
    let sample = Sample::new("here");
    let old = ["bucket/old".to_owned()];
    let at_old = local("b").wrap(&sample.data_key, &sample.binding("old")).await.expect("wrapped");
    let (one, two) = (vault(local("a")), vault(both(local("a"), local("b"))));
    let a = keys_of(&sample, &["a"]).await;
    let twice = keys_of(&sample, &["a", "b", "b"]).await;
    let once = [a, at_old].concat();
    for (vault, keys, expected) in [
        (&two, &once, &["a", "b"][..]),
        // The client doesn't read with it.
        (&one, &once, &["a", "b", "b"]),
        (&two, &twice, &["a", "b", "b", "b"]),
    ] {
        let object =
            ObjectKeys { accepted_places: &old, ..sample.object(vault, keys.clone(), "here") };
        let new = Service::new("b").re_encrypts_from("a").fails("unwrap", DENIED);
        let (names, report) =
            changed(&object, KeyChanges::new().add_keys(new)).await.expect("possible");
        assert_eq!(names, expected);
        assert_eq!((report.added, report.opens.is_proven()), (vec!["b".to_owned()], false));
    }
}

#[tokio::test]
async fn a_failure_that_says_more_is_reported() {
    let sample = Sample::new("here");
    let keys = keys_of(&sample, &["a"]).await;
    for (client, change, expected) in [
        (Service::new("a").fails("unwrap", DOWN), Service::new("b"), ErrorKind::Unavailable),
        (Service::new("b"), Service::new("a").fails("unwrap", DENIED), ErrorKind::AccessDenied),
        (
            Service::new("a").fails("unwrap", KeyringErrorKind::Rejected),
            Service::new("a").fails("unwrap", DENIED),
            ErrorKind::Authentication,
        ),
        (Service::new("b"), Service::new("c"), ErrorKind::NoMatchingKey),
    ] {
        let vault = vault(client);
        let object = sample.object(&vault, keys.clone(), "here");
        let wrapping = wrapping(&vault, KeyChanges::new().add_keys(change));
        let failed = wrapping.prove_any(&object, &keys).await.expect_err("no key is usable");
        assert_eq!(failed.kind(), expected);
    }
}

#[tokio::test]
async fn a_key_that_is_not_there_takes_no_step_to_remove() {
    let sample = Sample::new("here");
    let vault = vault(local("a"));
    let object = sample.object(&vault, keys_of(&sample, &["a", "b"]).await, "here");
    for (name, expected) in [("b", 1), ("c", 0)] {
        let changes = KeyChanges::new().remove_key(name);
        assert_eq!(changes.steps(&object).expect("steps").steps.len(), expected, "{name}");
    }
}

#[test]
fn changes_are_joined_with_their_options() {
    let plain = || KeyChanges::new().remove_key("a");
    let unproven = || plain().dangerous_allow_unproven();
    for (joined, expected) in [
        (plain().and_all(plain()), false),
        (plain().and_all(unproven()), true),
        (unproven().and_all(plain()), true),
        (unproven().and_all(unproven()), true),
    ] {
        assert_eq!((joined.allows_unproven(), joined.all().len()), (expected, 2));
    }
}

#[test]
fn a_missing_key_stays_wanted_unless_it_is_removed_or_replaced() {
    let missing = MissingKey::new("local", "a").expect("a name");
    for (changes, expected) in [
        (KeyChanges::new(), true),
        (KeyChanges::new().add_keys(local("b")).refresh_keys(), true),
        (KeyChanges::new().remove_key("b"), true),
        (KeyChanges::new().remove_key("a"), false),
        (KeyChanges::new().remove_key("b").remove_key("a"), false),
        (KeyChanges::new().replace_keys(local("b")), false),
    ] {
        assert_eq!(changes.leave_wanted(&missing), expected, "{:?}", changes.names());
    }
}

/// A sidecar needs no copy of its object.
#[tokio::test]
async fn an_object_that_cannot_be_copied_gets_its_keys_in_a_sidecar_only() {
    // So long that it has no sidecar yet, and none is looked for.
    let sample = Sample::new(&"k".repeat(1020));
    let vault = vault(local("a"));
    let head = Answer::new(200, Vec::new())
        .with("last-modified", "Sat, 28 Nov 2026 12:00:00 GMT")
        .with("x-amz-storage-class", "GLACIER")
        .with("x-amz-missing-meta", "1");
    let snapshot = Snapshot::take(&head.store(), &sample.target).await.expect("a snapshot");
    for (key_storage, expected) in [
        (KeyStorage::Metadata, Err(ErrorKind::Unsupported)),
        (KeyStorage::SidecarWhereNeeded, Ok(true)),
        (KeyStorage::Sidecar, Ok(true)),
    ] {
        let info = sample.object(&vault, keys_of(&sample, &["a"]).await, "here").info;
        let wrapping = Wrapping { key_storage, ..wrapping(&vault, KeyChanges::new()) };
        let object = wrapping.object_keys(&sample.target, info, &snapshot).await;
        let found = object.map(|object| object.is_sidecar).map_err(|error| error.kind());
        assert_eq!(found, expected, "{key_storage:?}");
    }
}

/// A proof of a key that goes counts for none that stays.
#[tokio::test]
async fn a_removal_after_a_proof_needs_another_proof() {
    let sample = Sample::new("here");
    let keys = keys_of(&sample, &["a", "b"]).await;
    let changes = || KeyChanges::new().add_keys(local("b")).prove_present();
    let denied = vault(Service::new("a").fails("unwrap", DENIED));
    let object = sample.object(&denied, keys.clone(), "here");
    let failed = changed(&object, changes().remove_key("b")).await;
    assert_eq!(failed.expect_err("nothing proves the other"), ErrorKind::AccessDenied);
    let (left, report) = changed(&object, changes().remove_key("a")).await.expect("b is proven");
    assert_eq!((left, report.opens.is_proven()), (vec!["b".to_owned()], true));
    let vault = vault(local("a"));
    let object = sample.object(&vault, keys, "here");
    let (left, report) = changed(&object, changes().remove_key("b")).await.expect("a opens it");
    assert_eq!((left, report.opens.is_proven()), (vec!["a".to_owned()], true));
}

#[tokio::test]
async fn only_the_clients_own_keys_are_refreshed() {
    let sample = Sample::new("here");
    let keys = keys_of(&sample, &["a", "b"]).await;
    let vault = vault(Service::new("a"));
    let object = sample.object(&vault, keys.clone(), "here");
    let wrapping = wrapping(&vault, KeyChanges::new().refresh_keys());
    let steps = wrapping.changes.steps(&object).expect("steps").steps;
    let changed = wrapping.changed_keys(&object, &steps, KeyReport::default()).await;
    let refreshed = changed.expect("refreshed").keys;
    assert_eq!(samples::names(&refreshed), ["a", "b"]);
    assert_ne!(refreshed[0], keys[0]);
    assert_eq!(refreshed[1], keys[1]);
}

#[tokio::test]
async fn a_refresh_needs_a_key_of_the_client() {
    let sample = Sample::new("here");
    let keys = keys_of(&sample, &["a", "b"]).await;
    let changes = KeyChanges::new().refresh_keys();
    for (name, expected) in [("a", Ok(1)), ("b", Ok(1)), ("c", Err(ErrorKind::NoMatchingKey))] {
        let vault = vault(local(name));
        let steps = changes.steps(&sample.object(&vault, keys.clone(), "here"));
        let steps = steps.map(|steps| steps.steps.len()).map_err(|error| error.kind());
        assert_eq!(steps, expected, "{name}");
    }
}

/// Only the disproved of the wanted keys are made again, and nothing is wrapped without need.
#[tokio::test]
async fn proven_keys_are_not_made_again() {
    let sample = Sample::new("here");
    let other = PlaintextDataKey::generate().expect("random");
    let planted = local("b").wrap(&other, &sample.binding("here")).await.expect("wrapped");
    let (a, b) = (keys_of(&sample, &["a"]).await, keys_of(&sample, &["b"]).await);
    let names = |names: &[&str]| Vec::from_iter(names.iter().map(|name| (*name).to_owned()));
    for (keys, new, left, added, calls) in [
        ([a.clone(), b].concat(), Service::new("b"), &["a", "b"][..], &[][..], &["unwrap"][..]),
        (
            [a.clone(), planted.clone()].concat(),
            Service::new("b"),
            &["a", "b"],
            &["b"],
            &["unwrap", "wrap"],
        ),
    ] {
        let asked = new.calls();
        let vault = vault(local("a"));
        let object = sample.object(&vault, keys, "here");
        let changes = KeyChanges::new().add_keys(new).prove_present();
        let (keys, report) = changed(&object, changes).await.expect("possible");
        assert_eq!((keys, report.added), (names(left), names(added)));
        assert_eq!(asked.take(), calls);
    }
    // A keyring whose other key is not there yet: each is made and named once.
    let vault = vault(local("a"));
    let object = sample.object(&vault, [a, planted].concat(), "here");
    let changes = KeyChanges::new().add_keys(both(local("b"), local("c"))).prove_present();
    let (keys, report) = changed(&object, changes).await.expect("possible");
    assert_eq!((keys, report.disproved), (names(&["a", "b", "c"]), names(&["b"])));
    assert_eq!(report.added, names(&["b", "c"]));
}

#[tokio::test]
async fn a_claim_counts_only_while_its_key_stays() {
    let sample = Sample::new("here");
    let vault = vault(local("a"));
    let object = sample.object(&vault, keys_of(&sample, &["a", "b", "c"]).await, "here");
    let adds = || KeyChanges::new().add_keys(both(local("b"), local("c")));
    for (changes, steps, claimed) in [
        (adds(), 0, &["b", "c"][..]),
        (adds().remove_key("b"), 1, &["c"]),
        (adds().prove_present(), 1, &[]),
        (KeyChanges::new().add_keys(local("d")).prove_present(), 1, &[]),
        (KeyChanges::new().add_keys(local("d")), 1, &[]),
    ] {
        let planned = changes.steps(&object).expect("steps");
        assert_eq!(planned.steps.len(), steps, "{changes:?}");
        assert_eq!(planned.claimed, claimed, "{changes:?}");
    }
}

/// The keys in the object's metadata stay there.
#[tokio::test]
async fn a_sidecar_removes_only_a_key_of_its_own() {
    let sample = Sample::new("here");
    let vault = vault(local("a"));
    let keys = keys_of(&sample, &["a", "b"]).await;
    let own_keys = vec![keys[0].clone()];
    for (is_sidecar, name, expected) in [
        (true, "a", Err(ErrorKind::Unsupported)),
        (true, "b", Ok(1)),
        (false, "a", Ok(1)),
        (false, "b", Ok(1)),
    ] {
        let object = sample.object(&vault, keys.clone(), "here");
        let object = ObjectKeys { own_keys: own_keys.clone(), is_sidecar, ..object };
        let changes = KeyChanges::new().remove_key(name);
        let steps = changes.steps(&object).map(|steps| steps.steps.len());
        assert_eq!(steps.map_err(|error| error.kind()), expected, "{is_sidecar} {name}");
    }
}

#[test]
fn changes_have_names() {
    let raw = crate::s3ec::RawAesKeyring::new(&mut [1; 32]).expect("a key");
    let changes = KeyChanges::new()
        .add_keys(both(local("a"), local("b")))
        .replace_keys(local("c"))
        .remove_key("d")
        .replace_s3ec_key(raw);
    assert!(!changes.is_empty() && KeyChanges::new().is_empty());
    assert!(!changes.refreshes());
    let changes = changes.refresh_keys();
    assert!(changes.refreshes());
    let names = |names: &[&str]| Vec::from_iter(names.iter().map(|name| (*name).to_owned()));
    assert_eq!(
        changes.names(),
        [
            KeyChange::Add(names(&["a", "b"])),
            KeyChange::Replace(names(&["c"])),
            KeyChange::Remove("d".into()),
            KeyChange::ReplaceS3ec,
            KeyChange::Refresh,
        ]
    );
}

/// A key at the place of a source is present, unless the changes rebind, also when they are joined.
#[tokio::test]
async fn options_of_joined_changes_count() {
    let sample = Sample::new("here");
    let places = crate::PlacePolicy::bound().replica_of("bucket", "origin");
    let vault = vault_with(local("a"), |settings| settings.places = places);
    let origin = Place::new("origin", "here").expect("a place");
    let binding = sample.binding_to(Some(origin));
    let keys = local("a").wrap(&sample.data_key, &binding).await.expect("wrapped");
    let object = sample.object(&vault, keys, "here");
    let add = || KeyChanges::new().add_keys(local("a"));
    let (plain, none) = (add, KeyChanges::new);
    for (changes, expected) in [
        (plain(), &["claims"][..]),
        (plain().rebind(), &["wraps"]),
        (plain().and_all(none().rebind()), &["wraps"]),
        (plain().rebind().and_all(none()), &["wraps"]),
        (plain().prove_present(), &["proves"]),
        (plain().and_all(none().prove_present()), &["proves"]),
        (plain().prove_present().and_all(none()), &["proves"]),
    ] {
        let Steps { steps, claimed } = changes.steps(&object).expect("steps");
        let step = |step: &Step<'_>| match step {
            Step::Prove { .. } => "proves",
            Step::Wrap(_) => "wraps",
            Step::Refresh { .. } | Step::Remove(_) => "else",
        };
        let mut found: Vec<_> = steps.iter().map(step).collect();
        found.extend(claimed.iter().map(|_| "claims"));
        assert_eq!(found, expected, "{changes:?}");
    }
}

/// Rewraps the object, whose sidecar's address is empty. Returns if it was rewrapped, the report,
/// and if its state alone tells that.
async fn rewrapped(
    sidecars: SidecarPolicy,
    key_storage: KeyStorage,
    changes: KeyChanges,
) -> (bool, KeyReport, bool) {
    let sample = Sample::new("here");
    let keys = keys_of(&sample, &["a"]).await;
    let vault = vault_with(local("a"), |settings| settings.sidecars = sidecars);
    let stored = sample.header(keys).to_metadata();
    let (store, _) = answering(move |request| {
        if !request.starts_with("HEAD") {
            return Answer::new(404, "");
        }
        let len = geometry::body_len(0).expect("a length");
        let head = Answer::new(200, vec![0; usize::try_from(len).expect("short")])
            .with("last-modified", "Sat, 28 Nov 2026 12:00:00 GMT")
            .with("etag", "\"e\"");
        stored
            .iter()
            .fold(head, |head, (name, value)| head.with(format!("x-amz-meta-{name}"), value))
    });
    let snapshot = Snapshot::take(&store, &sample.target).await.expect("a snapshot");
    let wrapping = wrapping(&vault, changes);
    let handle = Handle { store, ..wrapping.handle.clone() };
    let wrapping = Wrapping { handle, key_storage, ..wrapping };
    let RewrappedTo { output, state } =
        wrapping.rewrap(&sample.target, snapshot).await.expect("nothing to do");
    (output.rewrapped, output.report, state.is_some())
}

/// A sidecar can change while the object stays as it is.
#[tokio::test]
async fn an_objects_state_tells_that_it_is_done_unless_it_may_have_a_sidecar() {
    let (off, read) = (SidecarPolicy::off, SidecarPolicy::read);
    let (metadata, sidecar) = (KeyStorage::Metadata, KeyStorage::Sidecar);
    for (sidecars, storage, alone) in [
        (off(), metadata, true),
        (off(), sidecar, false),
        (read(), metadata, false),
        (read(), sidecar, false),
    ] {
        let claimed = vec!["a".to_owned()];
        let claims = KeyReport { claimed, ..KeyReport::default() };
        let adds = KeyChanges::new().add_keys(local("a"));
        let found = rewrapped(sidecars.clone(), storage, adds).await;
        assert_eq!(found, (false, claims, alone), "{sidecars:?} {storage:?}");
        // A local key has no newer material.
        let refreshes = KeyChanges::new().refresh_keys();
        let found = rewrapped(sidecars.clone(), storage, refreshes).await;
        assert_eq!(found, (false, KeyReport::default(), alone), "{sidecars:?} {storage:?}");
    }
}

/// S3 writes a companion whatever became of its object.
#[tokio::test]
async fn an_object_is_looked_at_again_after_its_companion_was_written() {
    let sample = Sample::new("here");
    let time = "Sat, 28 Nov 2026 12:00:00 GMT";
    let head = |e_tag: &str| {
        Answer::new(200, "x").with("last-modified", time).with("etag", format!("\"{e_tag}\""))
    };
    let conflict = |message: &str| Err((ErrorKind::Conflict, message.to_owned()));
    let snapshot = Snapshot::take(&head("e").store(), &sample.target).await.expect("a snapshot");
    for (answer, expected) in [
        (head("e"), Ok(())),
        (head("f"), conflict("it changed while its new keys were being made")),
        (Answer::new(404, ""), conflict("it was deleted meanwhile")),
    ] {
        let wrapping = wrapping(&vault(local("a")), KeyChanges::new());
        let handle = Handle { store: answer.store(), ..wrapping.handle.clone() };
        let wrapping = Wrapping { handle, ..wrapping };
        let still = wrapping.check_still(&sample.target, &snapshot).await;
        assert_eq!(still.map_err(|error| (error.kind(), error.message().to_owned())), expected);
    }
    let wrapping = wrapping(&vault(local("a")), KeyChanges::new());
    let failed = wrapping.check_still(&sample.target, &snapshot).await.expect_err("S3 fails");
    assert_eq!(failed.kind(), ErrorKind::Unavailable);
}
