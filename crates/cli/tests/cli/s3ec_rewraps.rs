//! Rewraps of objects of the S3 Encryption Client, which do not name their wrapping key.

use serde_json::json;

use crate::support::{RawS3, Run, Scene, Sealwax, east_key, json_lines, server_env, west_key};

const ALLOW: [&str; 2] = ["--commitment-policy", "require-encrypt-allow-decrypt"];

fn all(scene: &Scene, args: &[&str]) -> Sealwax {
    let prefix = format!("{}/", scene.uri());
    let state = scene.path("");
    let command = Sealwax::new(["rewrap", &prefix, "--recursive"]).args(args).args(ALLOW);
    command.env("XDG_STATE_HOME", state)
}

fn first_line(run: &Run) -> &str {
    run.stderr.lines().next().unwrap_or_default()
}

/// Only the first run stores anything, whether the keys to read with are named or found by KMS.
#[test]
fn a_second_rewrap_changes_nothing() {
    let (old, new) = (east_key(), server_env("SEALWAX_EAST_KEY_2"));
    for reader in [&["--key", old.as_str()][..], &[]] {
        let scene = Scene::new("again");
        scene.beside("v2").put(b"v2", &["--format", "s3ec-v2"]).exits(0);
        scene.beside("v3").put(b"v3", &["--format", "s3ec-v3"]).exits(0);
        let apply = [&["--replace", new.as_str(), "--apply"][..], reader].concat();
        let first = all(&scene, &apply).run().exits(0);
        assert_eq!(first.stderr, "2 rewrapped, 0 unchanged\n");

        let s3 = RawS3::new();
        let stored = || ["v2", "v3"].map(|name| s3.get(&scene.beside(name)).1);
        let before = stored();
        let again = all(&scene, &apply).run().exits(0);
        // V3 commits to its data key, so a key can be proven. KMS says which key V2's is under.
        let expected = "0 rewrapped, 1 unchanged, 1 proven to have the wanted keys\n";
        assert_eq!((again.stderr.as_str(), stored() == before), (expected, true), "{reader:?}");
        for name in ["v2", "v3"] {
            let run = scene.beside(name).get(&[&ALLOW[..], &["--key", &new]].concat()).exits(0);
            assert_eq!(run.stdout, name.as_bytes());
        }
    }
}

/// In a replica, KMS is asked in the source's Region too. Without a source, the error says what was
/// asked and names no key that does not exist.
#[test]
fn a_replica_is_rewrapped_without_naming_the_old_key() {
    let (source, mut replica) = (Scene::new("moved"), Scene::new("moved"));
    (replica.bucket, replica.key) = (server_env("SEALWAX_WEST_BUCKET"), source.key.clone());
    let s3 = RawS3::new();
    for (name, format) in [("v2", "s3ec-v2"), ("v3", "s3ec-v3")] {
        source.beside(name).put(name.as_bytes(), &["--format", format]).exits(0);
        s3.copy(&source.beside(name), &replica.beside(name));
    }
    let west = west_key();
    let there = ["--replace", west.as_str(), "--region", "us-west-2"];
    let alone = Sealwax::new(["rewrap", &replica.beside("v3").uri()]).args(there).run();
    let alone = alone.fails(5, "wrapping key (any in us-west-2): no such key");
    assert!(alone.stderr.contains("the object does not name its wrapping key"), "{alone:?}");
    assert!(!alone.stderr.contains("key/any"), "{alone:?}");

    let named = [&there[..], &["--replica-of", &source.bucket]].concat();
    let plan = all(&replica, &named).args(["--json"]).run().exits(0);
    let calls = &json_lines(&plan).pop().expect("a summary")["summary"]["kms_calls"];
    assert_eq!(*calls, json!({ "us-east-1": 2, "us-west-2": 2 }));
    let run = all(&replica, &named).args(["--apply"]).run().exits(0);
    assert_eq!(first_line(&run), "2 rewrapped, 0 unchanged");
    let again = all(&replica, &named).args(["--apply"]).run().exits(0);
    let expected = "0 rewrapped, 1 unchanged, 1 proven to have the wanted keys";
    assert_eq!(first_line(&again), expected);
    for name in ["v2", "v3"] {
        let reader = [&ALLOW[..], &["--key", &west, "--region", "us-west-2"]].concat();
        assert_eq!(replica.beside(name).get(&reader).exits(0).stdout, name.as_bytes());
    }
}
