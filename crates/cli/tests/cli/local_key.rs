//! `sealwax keygen` and `--local-key`: without KMS.

use std::{fs, os::unix::fs::PermissionsExt as _};

use crate::support::{LostRegion, Run, Scene, Sealwax, east_key, endpoint, json_lines, west_key};

fn keygen(scene: &Scene, name: &str) -> String {
    let path = scene.path(name);
    let run = Sealwax::new(["keygen"]).args([&path]).without_env("AWS_REGION").run().exits(0);
    assert!(run.stderr.starts_with("created local key ") && run.stdout.is_empty(), "{run:?}");
    path.to_str().expect("text").to_owned()
}

/// Runs the command with KMS and STS unreachable.
fn without_kms(args: &[&str], input: &[u8]) -> Run {
    let nowhere = "http://127.0.0.1:1";
    Sealwax::new(args)
        .env("AWS_ENDPOINT_URL_KMS", nowhere)
        .env("AWS_ENDPOINT_URL_STS", nowhere)
        .input(input)
        .run()
}

#[test]
fn objects_under_a_local_key_need_no_kms() {
    let scene = Scene::new("local");
    let key = keygen(&scene, "key");
    let uri = scene.uri();
    without_kms(&["put", "-", &uri, "--local-key", &key, "-c", "a=b"], b"text").exits(0);
    assert_eq!(without_kms(&["cat", &uri, "--local-key", &key], b"").exits(0).stdout, b"text");
    let report = json_lines(&without_kms(&["inspect", &uri, "--json"], b"").exits(0)).remove(0);
    assert_eq!(report["keys"][0]["provider"], "local");
    let other = keygen(&scene, "other");
    without_kms(&["cat", &uri, "--local-key", &other], b"")
        .fails(5, "none of this object's wrapping keys");
    scene.get(&[]).fails(5, "none of this object's wrapping keys");

    let copy = format!("{uri}-copy");
    without_kms(&["cp", &uri, &copy, "--local-key", &key], b"").exits(0);
    assert_eq!(without_kms(&["cat", &copy, "--local-key", &key], b"").exits(0).stdout, b"text");
    without_kms(&["reencrypt", &copy, "--local-key", &key], b"").exits(0);
    assert_eq!(without_kms(&["cat", &copy, "--local-key", &key], b"").exits(0).stdout, b"text");
    let run = without_kms(&["verify", &copy, "--local-key", &key], b"").exits(0);
    assert!(run.stderr.contains("1 opened"), "{}", run.stderr);
}

/// `--at-least` counts the KMS keys.
#[test]
fn beside_a_local_key_a_lost_region_is_tolerated_as_without_one() {
    let scene = Scene::new("local-at-least");
    let key = keygen(&scene, "key");
    let lost = LostRegion::start(&endpoint(), "us-west-2");
    let put = |more: &[&str]| {
        let (uri, east, west) = (scene.uri(), east_key(), west_key());
        let args = ["put", "-", &uri, "--local-key", &key, "--key", &east, "--key", &west];
        Sealwax::new(args)
            .args(more)
            .env("AWS_ENDPOINT_URL", lost.url())
            .env("AWS_MAX_ATTEMPTS", "1")
            .input(b"text")
            .run()
    };
    put(&[]).exits(1);
    put(&["--at-least", "1"]).exits(0);
    let report = Sealwax::new(["inspect", &scene.uri(), "--json"]).run().exits(0);
    let report = json_lines(&report).remove(0);
    assert_eq!(report["keys"].as_array().map(Vec::len), Some(2), "{report}");
    assert_eq!(without_kms(&["cat", &scene.uri(), "--local-key", &key], b"").stdout, b"text");
}

#[test]
fn a_local_key_or_a_kms_key_opens_alone() {
    let scene = Scene::new("local-and-kms");
    let key = keygen(&scene, "key");
    scene.put(b"text", &["--local-key", &key]).exits(0);
    assert_eq!(scene.get(&[]).exits(0).stdout, b"text", "by KMS");
    assert_eq!(
        without_kms(&["cat", &scene.uri(), "--local-key", &key], b"").exits(0).stdout,
        b"text"
    );
    // From a local key to KMS.
    let other = scene.beside("moved");
    without_kms(&["put", "-", &other.uri(), "--local-key", &key], b"text").exits(0);
    let add = ["rewrap", &other.uri(), "--local-key", &key, "--add", &east_key()];
    Sealwax::new(add).run().exits(0);
    assert_eq!(other.get(&[]).exits(0).stdout, b"text");
}

#[test]
fn key_files_are_protected() {
    let scene = Scene::new("key-files");
    let key = keygen(&scene, "key");
    let before = fs::read(&key).expect("there");
    Sealwax::new(["keygen", &key]).run().fails(6, "already exists");
    assert_eq!(fs::read(&key).expect("there"), before);
    Sealwax::new(["keygen", "-"]).run().fails(2, "cannot write a key to standard output");
    Sealwax::new(["keygen", &format!("{key}2"), "--name", "two words"])
        .run()
        .fails(2, "must be one word");
    Sealwax::new(["ls", "--local-key", &format!("{key}-absent")])
        .run()
        .fails(1, "cannot read local key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o604)).expect("set");
    Sealwax::new(["ls", "--local-key", &key]).run().fails(2, "is accessible to other users");
    let no_key = scene.file("no-key", b"text");
    fs::set_permissions(&no_key, fs::Permissions::from_mode(0o600)).expect("set");
    Sealwax::new(["ls", "--local-key"]).args([no_key]).run().fails(2, "is not a local key file");
}

#[test]
fn objects_are_rewrapped_to_and_from_a_local_key() {
    let scene = Scene::new("to-local");
    let key = scene.path("key");
    Sealwax::new(["keygen", "--name", "archive"]).args([&key]).run().exits(0);
    let key = key.to_str().expect("text");
    for name in ["a", "b"] {
        scene.beside(name).put(b"text", &[]).exits(0);
    }
    let (uri, east) = (format!("{}/", scene.uri()), east_key());
    let rewrap = |args: &[&str]| Sealwax::new(["rewrap"]).args(args).run();
    let opens = |name: &str, more: &[&str], code: i32| {
        without_kms(&[&["cat", &scene.beside(name).uri()], more].concat(), b"").exits(code)
    };

    // One object, and a folder by a plan.
    let one = scene.beside("a").uri();
    rewrap(&[&one, "--add", "local:archive"])
        .fails(2, "cannot wrap under local key archive: it is not loaded");
    rewrap(&[&one, "--add", "local:other", "--local-key", key])
        .fails(2, "cannot wrap under local key other: it is not loaded");
    let run = rewrap(&[&one, "--add", "archive"]).exits(2);
    assert!(run.stderr.contains("a local key is local:NAME"), "{}", run.stderr);
    rewrap(&[&one, "--add", "local:archive", "--local-key", key]).exits(0);
    assert_eq!(opens("a", &["--local-key", key], 0).stdout, b"text");
    let plan = scene.path("plan");
    let plan = plan.to_str().expect("text");
    rewrap(&[&uri, "-r", "--replace", "local:archive", "--local-key", key, "--save-plan", plan])
        .exits(0);
    rewrap(&["--plan", plan, "--apply"])
        .fails(2, "cannot wrap under local key archive: it is not loaded");
    let run = rewrap(&["--plan", plan, "--apply", "--local-key", key]).exits(0);
    assert!(
        run.stderr.contains("2 rewrapped")
            || String::from_utf8_lossy(&run.stdout).contains("2 rewrapped"),
        "{run:?}"
    );
    for name in ["a", "b"] {
        assert_eq!(opens(name, &["--local-key", key], 0).stdout, b"text");
        scene.beside(name).get(&[]).fails(5, "--local-key");
    }

    // Back, by name alone: removing a local key does not require its file.
    let run = rewrap(&[&uri, "-r", "--add", &east, "--local-key", key, "--apply"]);
    run.exits(0);
    rewrap(&[&uri, "-r", "--remove", "local:archive", "--apply"]).exits(0);
    let report = json_lines(&Sealwax::new(["inspect", &one, "--json"]).run().exits(0)).remove(0);
    assert_eq!(report["keys"].as_array().map(Vec::len), Some(1), "{report}");
    assert_eq!(report["keys"][0]["wrapping_key"], east);

    // New data keys, under a local key and a KMS key.
    let reencrypt =
        ["reencrypt", &one, "--under", &east, "--under", "local:archive", "--local-key", key];
    Sealwax::new(reencrypt).run().exits(0);
    assert_eq!(opens("a", &["--local-key", key], 0).stdout, b"text");
    assert_eq!(scene.beside("a").get(&[]).exits(0).stdout, b"text");
    let to_s3ec =
        ["reencrypt", &one, "--to", "s3ec-v3", "--under", "local:archive", "--local-key", key];
    Sealwax::new(to_s3ec).run().fails(2, "a local key requires --to native");
}
