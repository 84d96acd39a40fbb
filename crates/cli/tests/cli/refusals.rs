//! Refusals: their exit codes, and that no file is damaged.

use std::{collections::HashMap, fs};

use crate::support::{RawS3, Scene, Sealwax, bytes, east_key, west_key};

/// Asserts that a get into a file fails and leaves the directory unchanged, with and without a
/// file.
#[track_caller]
fn refused_into_a_file(scene: &Scene, more: &[&str], code: i32, text: &str) {
    let get =
        |name: &str| Sealwax::new(["get", &scene.uri()]).args([scene.path(name)]).args(more).run();
    get("absent").fails(code, text);
    assert_eq!(scene.files(), [""; 0], "a file was left behind");
    let present = scene.file("present", b"what was here before");
    get("present").fails(code, text);
    assert_eq!(scene.files(), ["present"], "a file was left behind");
    assert_eq!(fs::read(present).expect("there"), b"what was here before");
}

#[test]
fn another_context_than_required() {
    let scene = Scene::new("context");
    scene.put(b"text", &["-c", "tenant=acme"]).exits(0);
    refused_into_a_file(
        &scene,
        &["-c", "tenant=other"],
        3,
        "does not have the required \"tenant\"",
    );
    scene.get(&["-c", "tenant=acme", "-c", "class=x"]).fails(3, "\"class\"");
}

#[test]
fn a_changed_body() {
    let scene = Scene::new("changed");
    scene.put(&bytes(40_000), &[]).exits(0);
    let s3 = RawS3::new();
    let (mut body, metadata) = s3.get(&scene);
    body[30_000] ^= 1;
    s3.put(&scene, body, metadata);
    refused_into_a_file(&scene, &[], 3, "failed authentication");
}

#[test]
fn a_body_cut_at_a_chunk() {
    let scene = Scene::new("cut");
    scene.put(&bytes(40_000), &[]).exits(0);
    let s3 = RawS3::new();
    let (mut body, metadata) = s3.get(&scene);
    body.truncate(56 + 16_400);
    s3.put(&scene, body, metadata);
    refused_into_a_file(&scene, &[], 3, "error: ");
}

#[test]
fn an_object_that_is_not_sealed() {
    let scene = Scene::new("plain");
    RawS3::new().put(&scene, b"text".to_vec(), HashMap::new());
    refused_into_a_file(&scene, &[], 4, "not sealed");
    Sealwax::new(["inspect", &scene.uri()]).run().fails(4, "not sealed");
    Sealwax::new(["rewrap", &scene.uri(), "--add", &east_key()]).run().fails(4, "not sealed");
}

#[test]
fn no_object() {
    let scene = Scene::new("missing");
    refused_into_a_file(&scene, &[], 4, "no such object");
    Sealwax::new(["inspect", &scene.uri()]).run().fails(4, "no such object");
    Sealwax::new(["get", "s3://sealwax-no-such-bucket/key", "-"]).run().fails(4, "no such bucket");
}

#[test]
fn keys_that_the_reader_does_not_allow() {
    let scene = Scene::new("keys");
    scene.put(b"text", &[]).exits(0);
    refused_into_a_file(&scene, &["--key", &west_key()], 5, "none of this object's wrapping keys");
    scene.get(&["--account", "111122223333"]).fails(5, "--account");
    assert_eq!(scene.get(&["--account", "000000000000"]).exits(0).stdout, b"text");
    assert_eq!(scene.get(&["--key", &west_key(), "--key", &east_key()]).exits(0).stdout, b"text");
}

#[test]
fn a_key_that_does_not_exist() {
    let scene = Scene::new("no-key");
    let key = "arn:aws:kms:us-east-1:000000000000:key/00000000-0000-0000-0000-000000000000";
    Sealwax::new(["put", "-", &scene.uri(), "--key", key]).run().fails(5, key);
    assert!(RawS3::new().head(&scene).is_none());
}

/// No object and no file gets a name that nobody meant.
#[test]
fn destinations_that_name_no_file_and_no_object() {
    let key = east_key();
    for (args, error, hint) in [
        (
            &["put", "-", "s3://bucket/dumps/", "--key", &key][..],
            "standard input has no name, and s3://bucket/dumps/ is a folder",
            "append the object's name: s3://bucket/dumps/NAME",
        ),
        (
            &["put", "s3://bucket/a", "s3://bucket/b", "--key", &key],
            "s3://bucket/a is in S3, and put reads local files",
            "`sealwax cp`",
        ),
        (
            &["put", "a", "s3://bucket/a", "s3://bucket/b/", "--key", &key],
            "s3://bucket/a is in S3, and put reads local files",
            "`sealwax get`",
        ),
        (
            &["get", "s3://bucket/a", "s3://bucket/b"],
            "s3://bucket/b is in S3, and get writes local files",
            "`sealwax cp`",
        ),
        (
            &["get", "s3://bucket/a/", "s3://bucket/b/", "-r"],
            "s3://bucket/b/ is in S3, and get writes local files",
            "`sealwax cp`",
        ),
    ] {
        let run = Sealwax::new(args).input(b"text").run().fails(2, error);
        assert!(run.stderr.contains(hint), "{}", run.stderr);
    }
}

#[test]
fn wrong_usage() {
    let key = east_key();
    let uri = "s3://bucket/key";
    for args in [
        &[][..],
        &["seal"],
        &["put", "-", uri],
        &["put", "-", "--key", &key],
        &["put", "-", "s3://bucket", "--key", &key],
        &["put", "-", "http://bucket/key", "--key", &key],
        &["put", "-", uri, "--key", "no key"],
        &["get", uri, "-", "--key", "alias/mine"],
        &["put", "-", uri, "--key", &key, "-c", "no-equals-sign"],
        &["put", "-", uri, "--key", &key, "-c", "a=1", "-c", "a=2"],
        &["put", "-", uri, "--key", &key, "-c", "aws:x=1"],
        &["put", "-", uri, "--key", &key, "--metadata", "sealwax-x=1"],
        &["put", "-", uri, "--key", &key, "--metadata", "a=1", "--metadata", "A=2"],
        &["put", "-", uri, "--key", &key, "--metadata", "a b=1"],
        &["put", "-", uri, "--key", &key, "--metadata", "a=\u{e9}"],
        &["put", "-", uri, "--key", &key, "--metadata", "a=1\n2"],
        &["put", "-", uri, "--key", &key, "--metadata", "a= 1"],
        &["put", "-", uri, "--key", &key, "--content-type", "\n"],
        &["put", "-", uri, "--key", &key, "--resume"],
        &["put", "Cargo.toml", uri, "--key", &key, "--state-file", "state"],
        &["put", "-", uri, "--key", &key, "--replica-of", "other", "--no-place-binding"],
        &["get", uri],
        &["get", uri, "-", "--key", &key, "--account", "000000000000"],
        &["get", uri, "-", "--account", "mine"],
        &["inspect"],
        &["inspect", uri, "--endpoint-url", "localhost"],
        &["rewrap", uri, "--add", &key, "--accept-place", "bucket"],
        &["uploads"],
        &["uploads", "ls"],
        &["uploads", "ls", "bucket"],
        &["uploads", "ls", uri, "--older-than", "7"],
        &["uploads", "abort", uri],
        &["uploads", "abort", "s3://bucket"],
        &["uploads", "abort", "s3://bucket", "--upload-id", "id"],
        &["uploads", "abort", uri, "--upload-id", ""],
        &["uploads", "abort", uri, "--upload-id", "id", "--older-than", "1d"],
        &["uploads", "abort", uri, "--older-than", "0d"],
        &["uploads", "abort", uri, "--state-file", "no-such-file"],
    ] {
        let run = Sealwax::new(args).run();
        assert_eq!(run.code, Some(2), "{args:?}: {}", run.stderr);
        assert!(run.stderr.starts_with("error: ") || args.len() < 2, "{args:?}: {}", run.stderr);
        assert!(run.stdout.is_empty(), "{args:?}");
    }
}

#[test]
fn too_much_metadata() {
    let scene = Scene::new("metadata");
    scene.put(b"text", &["--metadata", &format!("long={}", "x".repeat(2048))]).fails(2, "2048");
    assert!(RawS3::new().head(&scene).is_none());
}

#[test]
fn an_existing_object_is_not_overwritten() {
    let scene = Scene::new("overwrite");
    scene.put(b"first", &["--no-overwrite"]).exits(0);
    scene.put(b"second", &["--no-overwrite"]).fails(6, "an object exists there already");
    scene
        .put(&bytes(9 * 1024 * 1024), &["--no-overwrite"])
        .fails(6, "an object exists there already");
    assert_eq!(RawS3::new().unfinished_uploads(&scene), 0);
    assert_eq!(scene.get(&[]).exits(0).stdout, b"first");
    scene.put(b"third", &[]).exits(0);
    assert_eq!(scene.get(&[]).exits(0).stdout, b"third");
}

#[test]
fn files_that_cannot_be_used() {
    let scene = Scene::new("files");
    let put =
        |path| Sealwax::new(["put"]).args([path]).args([&*scene.uri(), "--key", &east_key()]).run();
    put(scene.path("absent")).fails(1, "No such file");
    put(scene.path("")).fails(2, "directory");
    scene.put(b"text", &[]).exits(0);
    let get = |path| Sealwax::new(["get", &scene.uri()]).args([path]).run();
    scene.file("plain", b"a file");
    get(scene.path("plain/file")).fails(1, "cannot create the folder");
    fs::create_dir_all(scene.path("files/x")).expect("made");
    get(scene.path("")).fails(2, "it is a folder, not a regular file");
}

#[test]
fn an_unreachable_service() {
    let run =
        Sealwax::new(["inspect", "s3://bucket/key", "--endpoint-url", "http://127.0.0.1:1"]).run();
    run.fails(1, "cannot");
}
