//! `sealwax reencrypt`, and `rewrap --refresh`.

use serde_json::Value;

use crate::support::{RawS3, Scene, Sealwax, east_key, west_key};

fn inspect(scene: &Scene) -> Value {
    let run = Sealwax::new(["inspect", &scene.uri(), "--json"]).run().exits(0);
    serde_json::from_slice(&run.stdout).expect("JSON")
}

fn keys(report: &Value) -> Vec<&str> {
    let keys = report["keys"].as_array().expect("an array");
    keys.iter().map(|key| key["wrapping_key"].as_str().expect("text")).collect()
}

#[test]
fn an_object_is_re_encrypted_under_the_same_or_other_keys() {
    let (scene, s3) = (Scene::new("again"), RawS3::new());
    let context = ["-c", "tenant=acme", "--metadata", "own=1", "--content-type", "text/plain"];
    scene.put(b"text", &[&context[..], &["--key", &west_key()]].concat()).exits(0);
    let (before, _) = s3.get(&scene);
    let report = inspect(&scene);

    // The names in the metadata are no reason to wrap a new data key for anyone.
    let alone = Sealwax::new(["reencrypt", &scene.uri(), "-c", "tenant=acme"]).run();
    alone.fails(2, "--under");
    let (east, west) = (east_key(), west_key());
    let named = ["reencrypt", &scene.uri(), "--key", &east, "--key", &west];
    Sealwax::new(named).args(["-c", "tenant=other"]).run().fails(3, "encryption context");
    let run = Sealwax::new(named).args(["-c", "tenant=acme"]).run().exits(0);
    assert!(run.stderr.contains("(4 bytes, 2 keys)"), "{}", run.stderr);
    let (after, _) = s3.get(&scene);
    assert_ne!(before, after, "it is the same body");
    let now = inspect(&scene);
    assert_eq!(keys(&now), [east_key(), west_key()]);
    for name in ["encryption_context", "content_type", "metadata", "plaintext_bytes"] {
        assert_eq!(now[name], report[name], "{name}");
    }
    assert_eq!(now["generation"], 1);

    Sealwax::new(["reencrypt", &scene.uri(), "--under", &west_key()]).run().exits(0);
    assert_eq!(keys(&inspect(&scene)), [west_key()]);
    assert_eq!(scene.get(&[]).exits(0).stdout, b"text");
}

#[test]
fn a_refresh_rewraps_under_the_same_key() {
    let scene = Scene::new("refresh");
    scene.put(b"text", &[]).exits(0);
    Sealwax::new(["rewrap", &scene.uri(), "--refresh"]).run().exits(0);
    let report = inspect(&scene);
    assert_eq!((keys(&report), &report["generation"]), (vec![east_key().as_str()], &2.into()));
    assert_eq!(scene.get(&[]).exits(0).stdout, b"text");
    Sealwax::new(["rewrap", &scene.uri(), "--refresh", "--key", &west_key()])
        .run()
        .fails(5, "the keyring has none of this object's wrapping keys");
}

#[test]
fn missing_keys_are_shown() {
    let scene = Scene::new("missing");
    let elsewhere = "arn:aws:kms:eu-west-1:000000000000:key/1234abcd-12ab-34cd-56ef-1234567890ab";
    // A key that does not exist differs from an unavailable Region.
    scene.put(b"text", &["--key", elsewhere, "--at-least", "1"]).fails(5, elsewhere);
    scene.put(b"text", &["--key", &west_key(), "--at-least", "1"]).exits(0);
    assert_eq!(inspect(&scene)["missing"], serde_json::json!([]));
}
