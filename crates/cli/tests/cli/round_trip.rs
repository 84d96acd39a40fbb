//! Round trips: get returns what put stored, and standard output has nothing else.

use std::{fs, io::Read as _};

use crate::support::{RawS3, Run, Scene, Sealwax, bytes, east_key, west_key};

#[test]
fn a_file() {
    let scene = Scene::new("file");
    let plaintext = bytes(100_000);
    let (source, target) = (scene.file("source", &plaintext), scene.path("target"));
    let put = Sealwax::new(["put"]).args([&source]).args([
        &*scene.uri(),
        "--key",
        &east_key(),
        "-c",
        "tenant=acme",
    ]);
    let put = put.run().exits(0);
    assert_eq!(put.stdout, b"");
    assert_eq!(
        put.stderr,
        format!("sealed {} as {} (100000 bytes, 1 key)\n", source.display(), scene.uri()),
        "one line"
    );
    let (stored, _) = RawS3::new().get(&scene);
    assert!(!stored.windows(32).any(|window| window == &plaintext[..32]), "plaintext in S3");

    let get = Sealwax::new(["get", &scene.uri()])
        .args([&target])
        .args(["-c", "tenant=acme"])
        .run()
        .exits(0);
    assert_eq!(get.stdout, b"");
    assert_eq!(
        get.stderr,
        format!("opened {} as {} (100000 bytes)\n", scene.uri(), target.display())
    );
    assert_eq!(fs::read(&target).expect("there"), plaintext);
    assert_eq!(scene.files(), ["source", "target"]);
}

#[test]
fn a_file_in_several_parts() {
    let scene = Scene::new("parts");
    let plaintext = bytes(20 * 1024 * 1024 + 7);
    let (source, target) =
        (scene.file("source", &plaintext), scene.file("target", b"what was here before"));
    Sealwax::new(["put"])
        .args([&source])
        .args([&*scene.uri(), "--key", &east_key()])
        .run()
        .exits(0);
    let e_tag = RawS3::new().head(&scene).and_then(|head| head.e_tag).expect("an entity tag");
    assert!(e_tag.contains('-'), "not a multipart upload: {e_tag}");
    Sealwax::new(["get", &scene.uri()]).args([&target]).run().exits(0);
    assert!(fs::read(&target).expect("there") == plaintext, "another plaintext");
}

#[test]
fn standard_input_to_standard_output() {
    let scene = Scene::new("stdio");
    let plaintext = bytes(9 * 1024 * 1024 + 1);
    let put = scene.put(&plaintext, &["--key", &west_key()]).exits(0);
    assert_eq!(put.stdout, b"");
    assert_eq!(
        put.stderr,
        format!("sealed standard input as {} (9437185 bytes, 2 keys)\n", scene.uri())
    );
    let get = scene.get(&[]).exits(0);
    assert!(get.stdout == plaintext, "another plaintext");
    assert_eq!(get.stderr, "");
}

#[test]
fn an_empty_plaintext() {
    let scene = Scene::new("empty");
    scene.put(b"", &[]).exits(0);
    assert_eq!(scene.get(&[]).exits(0).stdout, b"");
}

#[test]
fn quiet_prints_nothing() {
    let scene = Scene::new("quiet");
    assert_eq!(scene.put(b"text", &["--quiet"]).exits(0).stderr, "");
    let target = scene.path("target");
    let get = Sealwax::new(["-q", "get", &scene.uri()]).args([&target]).run().exits(0);
    assert_eq!((get.stdout, get.stderr.as_str()), (vec![], ""));
}

#[test]
fn a_version() {
    let scene = Scene::new("version");
    scene.put(b"old", &[]).exits(0);
    let version =
        RawS3::new().head(&scene).and_then(|head| head.version_id).expect("a versioned bucket");
    scene.put(b"new", &[]).exits(0);
    assert_eq!(scene.get(&[]).exits(0).stdout, b"new");
    assert_eq!(scene.get(&["--version-id", &version]).exits(0).stdout, b"old");
}

#[test]
fn a_closed_pipe_is_no_failure() {
    let scene = Scene::new("pipe");
    scene.put(&bytes(4 * 1024 * 1024), &[]).exits(0);
    let mut child = Sealwax::new(["get", &scene.uri(), "-"]).spawn();
    let mut some = [0; 10];
    child.stdout.take().expect("piped").read_exact(&mut some).expect("some bytes");
    let run = Run::new(child.wait_with_output().expect("it ends")).exits(0);
    assert_eq!(run.stderr, "");
}

#[test]
fn logging_everything_shows_no_data_key() {
    let scene = Scene::new("trace");
    let uri = scene.uri();
    let put = Sealwax::new(["put", "-", &uri, "--key", &east_key(), "--key", &west_key(), "-vvv"]);
    let put =
        put.env("RUST_LOG", "trace,aws_smithy_runtime=trace").env("LOG_SENSITIVE_BODIES", "true");
    let put = put.input(b"text").run().exits(0);
    assert!(put.stderr.contains("DEBUG"), "RUST_LOG is honoured");
    assert!(!put.stderr.contains("Plaintext"), "the body of a KMS answer was logged");
    assert!(!put.stderr.contains("TRACE"));
}
