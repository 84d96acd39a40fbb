//! `sealwax rewrap`.

use serde_json::Value;

use crate::support::{RawS3, Run, Scene, Sealwax, east_key, server_env, west_key};

fn sealed(name: &str, more: &[&str]) -> Scene {
    let scene = Scene::new(name);
    scene.put(b"text", more).exits(0);
    scene
}

fn rewrap(scene: &Scene, args: &[&str]) -> Run {
    Sealwax::new(["rewrap", &scene.uri()]).args(args).run()
}

/// Returns the generation and the wrapping keys.
fn header(scene: &Scene) -> (u64, Vec<String>) {
    let run = Sealwax::new(["inspect", "--json", &scene.uri()]).run().exits(0);
    let report: Value = serde_json::from_slice(&run.stdout).expect("JSON");
    let keys = report["keys"].as_array().expect("keys").iter();
    let keys = keys.map(|key| key["wrapping_key"].as_str().expect("an ARN").to_owned()).collect();
    (report["generation"].as_u64().expect("a number"), keys)
}

#[test]
fn an_added_key_opens_alone() {
    let (east, west) = (east_key(), west_key());
    let scene = sealed("add", &[]);
    scene.get(&["--key", &west]).fails(5, "none of this object's wrapping keys");
    let run = rewrap(&scene, &["--add", &west]).exits(0);
    assert_eq!(
        run.stderr,
        format!("rewrapped {}: generation 2, keys: {east}, {west}\n", scene.uri())
    );
    assert_eq!(run.stdout, b"");
    assert_eq!(header(&scene), (2, vec![east, west.clone()]));
    assert_eq!(scene.get(&["--key", &west, "--region", "us-west-2"]).exits(0).stdout, b"text");
}

#[test]
fn nothing_to_do_writes_nothing() {
    let scene = sealed("unchanged", &[]);
    let run = rewrap(&scene, &["--add", &east_key()]).exits(0);
    assert_eq!(
        run.stderr,
        format!(
            "claimed (--prove checks the keys): {}: generation 1, keys: {}\n",
            scene.uri(),
            east_key()
        )
    );
    let run = rewrap(&scene, &["--add", &east_key(), "--prove"]).exits(0);
    assert_eq!(
        run.stderr,
        format!("proven: {}: generation 1, keys: {}\n", scene.uri(), east_key())
    );
}

#[test]
fn a_replaced_key_no_longer_opens() {
    let (east, west) = (east_key(), west_key());
    let scene = sealed("replace", &[]);
    rewrap(&scene, &["--replace", &west]).exits(0);
    assert_eq!(header(&scene), (2, vec![west.clone()]));
    scene.get(&["--key", &east]).fails(5, "none of this object's wrapping keys");
    assert_eq!(scene.get(&["--key", &west]).exits(0).stdout, b"text");
}

#[test]
fn a_key_is_removed_but_never_the_last() {
    let (east, west) = (east_key(), west_key());
    let scene = sealed("remove", &["--key", &west]);
    rewrap(&scene, &["--remove", &east]).exits(0);
    assert_eq!(header(&scene), (2, vec![west.clone()]));
    rewrap(&scene, &["--remove", &west]).fails(2, "last wrapping key");
    assert_eq!(header(&scene), (2, vec![west]));
    assert_eq!(scene.get(&[]).exits(0).stdout, b"text");
}

#[test]
fn one_key_is_exchanged_for_another_at_once() {
    let (east, west) = (east_key(), west_key());
    let scene = sealed("exchange", &[]);
    rewrap(&scene, &["--add", &west, "--remove", &east]).exits(0);
    assert_eq!(header(&scene), (2, vec![west]));
}

#[test]
fn contradictory_changes_are_refused() {
    let (scene, key) = (Scene::new("edits"), east_key());
    rewrap(&scene, &[]).exits(2).says("required arguments were not provided:\n  <--add");
    let with = |other: &str| format!("'--replace <KEY|local:NAME>' cannot be used with '{other}");
    rewrap(&scene, &["--replace", &key, "--add", &key]).exits(2).says(&with("--add"));
    rewrap(&scene, &["--replace", &key, "--remove", &key]).exits(2).says(&with("--remove"));
}

#[test]
fn a_replica_needs_its_source_named() {
    let source = sealed("replica", &[]);
    let mut replica = Scene::new("replica");
    (replica.bucket, replica.key) = (server_env("SEALWAX_WEST_BUCKET"), source.key.clone());
    RawS3::new().copy(&source, &replica);
    let named = ["--replica-of", &source.bucket, "--region", "us-west-2"];
    replica.get(&["--region", "us-west-2"]).fails(3, "bound to");
    assert_eq!(replica.get(&named).exits(0).stdout, b"text");
    assert_eq!(
        replica.get(&["--no-place-binding", "--region", "us-west-2"]).exits(0).stdout,
        b"text"
    );

    rewrap(&replica, &["--replace", &west_key(), "--region", "us-west-2"]).fails(3, "bound to");
    Sealwax::new(["rewrap", &replica.uri(), "--replace", &west_key()]).args(named).run().exits(0);
    assert_eq!(replica.get(&["--region", "us-west-2"]).exits(0).stdout, b"text");
}

/// S3 replicated the keys of a rewrap of the source, so a rewrap of the replica would only cost.
#[test]
fn a_key_at_the_sources_place_counts_in_a_replica_unless_it_is_to_be_rebound() {
    let west = west_key();
    let source = sealed("rebind", &["--key", &west]);
    let mut replica = Scene::new("rebind");
    (replica.bucket, replica.key) = (server_env("SEALWAX_WEST_BUCKET"), source.key.clone());
    RawS3::new().copy(&source, &replica);
    let there = ["--add", &west, "--replica-of", &source.bucket, "--region", "us-west-2"];
    let summary = |run: Run| run.stderr.lines().next().map(str::to_owned).expect("a line");

    let claimed = "claimed (--prove checks the keys):";
    let run = rewrap(&replica, &there).exits(0);
    assert!(summary(run).starts_with(&format!("{claimed} {}: generation 1,", replica.uri())));
    let run = rewrap(&replica, &[&there[..], &["--prove"]].concat()).exits(0);
    assert!(summary(run).starts_with(&format!("proven: {}: generation 1,", replica.uri())));
    let bulk = ["rewrap", &replica.uri(), "--recursive", "--apply"];
    let run = Sealwax::new(bulk).args(there).env("XDG_STATE_HOME", replica.path("")).run().exits(0);
    let expected = "0 rewrapped, 0 unchanged, 1 claimed to have the wanted keys (--prove checks)\n";
    assert_eq!(run.stderr, expected);
    let alone = ["--region", "us-west-2", "--key", &west];
    replica.get(&alone).fails(3, "bound to");

    let run = rewrap(&replica, &[&there[..], &["--rebind"]].concat()).exits(0);
    assert!(summary(run).starts_with(&format!("rewrapped {}: generation 2,", replica.uri())));
    assert_eq!(replica.get(&alone).exits(0).stdout, b"text");
    let run = rewrap(&replica, &[&there[..], &["--rebind"]].concat()).exits(0);
    assert!(summary(run).starts_with(claimed), "it is at its own place now");
}

#[test]
fn a_moved_object_needs_its_old_place_accepted() {
    let old = sealed("old-place", &[]);
    let new = Scene::new("new-place");
    RawS3::new().copy(&old, &new);
    new.get(&[]).fails(3, "bound to");
    rewrap(&new, &["--add", &east_key(), "--accept-place", &format!("{}/{}", old.bucket, old.key)])
        .exits(0);
    assert_eq!(new.get(&[]).exits(0).stdout, b"text");
}

#[test]
fn a_sidecar_is_found_only_with_the_option() {
    let (east, west) = (east_key(), west_key());
    let scene = sealed("sidecar", &[]);
    let run = rewrap(&scene, &["--add", &west, "--to-sidecar"]).exits(0);
    let sidecar = format!("{}.sealwax", scene.uri());
    assert_eq!(
        run.stderr,
        format!("rewrapped {} in {sidecar}: generation 2, keys: {east}, {west}\n", scene.uri())
    );
    assert_eq!(header(&scene), (1, vec![east]), "the object is as it was");
    scene.get(&["--key", &west]).fails(5, "none of this object's wrapping keys");
    assert_eq!(scene.get(&["--key", &west, "--sidecars"]).exits(0).stdout, b"text");
    scene
        .get(&["--key", &west, "--sidecars=.other"])
        .fails(5, "none of this object's wrapping keys");
    let verify = ["verify", &scene.uri(), "--keys-in", "us-west-2", "--sidecars"];
    let run = Sealwax::new(verify).run().exits(0);
    assert_eq!(run.stderr, "2 objects: 1 opened, 1 sidecar\n");
    // Neither locked nor archived, so the object is copied.
    rewrap(&scene, &["--add", &west, "--to-sidecar=needed"]).exits(0);
    assert_eq!(header(&scene).0, 2);
}
