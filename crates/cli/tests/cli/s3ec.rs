//! Objects of the S3 Encryption Client.

use std::{fs, os::unix::fs::PermissionsExt as _};

use serde_json::Value;

use crate::support::{RawS3, Scene, Sealwax, bytes, east_key, west_key};

const ALLOW: [&str; 2] = ["--commitment-policy", "require-encrypt-allow-decrypt"];

fn inspect(scene: &Scene) -> Value {
    let run = Sealwax::new(["inspect", &scene.uri(), "--json"]).run().exits(0);
    serde_json::from_slice(&run.stdout).expect("JSON")
}

#[test]
fn both_formats_round_trip() {
    for (format, name) in [
        ("s3ec-v3", "Amazon S3 Encryption Client V3"),
        ("s3ec-v2", "Amazon S3 Encryption Client V2"),
    ] {
        let scene = Scene::new(format);
        let plaintext = bytes(9 * 1024 * 1024 + 1);
        let put = scene
            .put(&plaintext, &["-c", "tenant=acme", "--metadata", "own=1", "--format", format])
            .exits(0);
        assert!(put.stderr.contains("of the S3 Encryption Client"), "{}", put.stderr);
        let report = inspect(&scene);
        assert_eq!(
            (&report["format"], &report["wrapping_algorithm"]),
            (&name.into(), &"kms+context".into())
        );
        assert_eq!(
            (&report["plaintext_bytes"], &report["in_instruction_file"]),
            (&plaintext.len().into(), &false.into())
        );
        assert_eq!(report["metadata"]["own"], "1");

        let allow = if format == "s3ec-v2" { &ALLOW[..] } else { &[] };
        if format == "s3ec-v2" {
            scene.get(&["-c", "tenant=acme"]).fails(3, "commitment policy");
        }
        scene.get(allow).fails(3, "encryption context");
        let context = ["-c", "tenant=acme"];
        assert!(
            scene.get(&[&context[..], allow].concat()).exits(0).stdout == plaintext,
            "another plaintext"
        );
        assert!(
            scene
                .get(&[allow, &["--any-context", "--release-unverified"]].concat())
                .exits(0)
                .stdout
                == plaintext
        );
        scene.get(&["--no-s3ec"]).fails(3, "this client refuses those");

        Sealwax::new(["rewrap", &scene.uri(), "--replace", &west_key()]).args(allow).run().exits(0);
        let key = west_key();
        let reader = [&context[..], &["--key", &key], allow].concat();
        assert!(scene.get(&reader).exits(0).stdout == plaintext, "another plaintext");

        Sealwax::new([
            "reencrypt",
            &scene.uri(),
            "--to",
            "native",
            "--under",
            &east_key(),
            "--key",
            &west_key(),
            "-c",
            "tenant=acme",
        ])
        .args(allow)
        .run()
        .exits(0);
        assert_eq!(inspect(&scene)["format"], "v1+Cobblestone-256");
        assert!(
            scene.get(&["--no-s3ec", "-c", "tenant=acme"]).exits(0).stdout == plaintext,
            "another plaintext"
        );
        Sealwax::new(["reencrypt", &scene.uri(), "--to", format, "--under", &east_key()])
            .run()
            .exits(0);
        // Its format stays unless another one is asked for by name.
        let kept = Sealwax::new(["reencrypt", &scene.uri(), "--under", &east_key()]).run();
        kept.fails(2, "--to native");
        assert_eq!(inspect(&scene)["format"], name);
        assert!(
            scene.get(&[&context[..], allow].concat()).exits(0).stdout == plaintext,
            "another plaintext"
        );
    }
}

#[test]
fn raw_keys_and_instruction_files() {
    let scene = Scene::new("raw");
    let (source, key, short) =
        (scene.file("source", b"text"), scene.file("key", &[7; 32]), scene.file("short", &[7; 31]));
    for key in [&key, &short] {
        fs::set_permissions(key, fs::Permissions::from_mode(0o600)).expect("set");
    }
    let put = |key: &std::path::Path| {
        let put = Sealwax::new(["put"]).args([&source]).args([
            &*scene.uri(),
            "--format",
            "s3ec-v3",
            "--instruction-file",
        ]);
        put.args(["--aes-key-file"]).args([key]).run()
    };
    put(&short).fails(2, "16, 24 or 32 bytes");
    put(&scene.path("absent")).fails(1, "key file");
    put(&key).exits(0);
    put(&key).fails(6, "instruction file already");
    assert_eq!(inspect(&scene)["in_instruction_file"], true);
    scene.get(&[]).fails(5, "no keyring");
    let key = key.to_str().expect("text");
    assert_eq!(scene.get(&["--aes-key-file", key]).exits(0).stdout, b"text");
    let (mut body, _) = RawS3::new().get(&scene);
    assert_eq!(body.len(), 4 + 16);
    body.truncate(10);
    let native = Sealwax::new(["put"]).args([&source]).args([&*scene.uri(), "--aes-key-file", key]);
    native.run().fails(2, "--format s3ec-v3");
}

/// AES-GCM content of a raw key, relabelled as AES-CBC (CVE-2020-8912): refused unless the flag for
/// it is given, which requires the other one.
#[test]
fn relabelled_content_is_refused() {
    let scene = Scene::new("relabelled");
    let key = scene.file("key", &[7; 32]);
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("set");
    let key = ["--aes-key-file", key.to_str().expect("text")];
    let source = scene.file("source", b"plaintext");
    let put = Sealwax::new(["put"]).args([&source]).args([&*scene.uri(), "--format", "s3ec-v2"]);
    put.args(key).run().exits(0);
    let (body, mut metadata) = RawS3::new().get(&scene);
    metadata.insert("x-amz-cek-alg".into(), "AES/CBC/PKCS5Padding".into());
    metadata.insert("x-amz-iv".into(), "BwcHBwcHBwcHBwcHBwcHBw==".into());
    RawS3::new().put(&scene, body[..16].to_vec(), metadata);
    let legacy = [&key[..], &ALLOW, &["--legacy-unauthenticated-modes"]].concat();
    scene.get(&legacy).fails(3, "the content may be relabelled AES-GCM");
    let wraps_too = [&legacy[..], &["--legacy-wrapping-algorithms"]].concat();
    scene.get(&wraps_too).fails(3, "the content may be relabelled AES-GCM");
    let dangerous = [&legacy[..], &["--dangerous-raw-key-cbc"]].concat();
    scene.get(&dangerous).fails(3, "the object failed authentication");
    let alone = scene.get(&["--dangerous-raw-key-cbc"]).exits(2);
    assert!(alone.stderr.contains("--legacy-unauthenticated-modes"), "{}", alone.stderr);
}

#[test]
fn unencrypted_objects() {
    let scene = Scene::new("plain");
    RawS3::new().put(&scene, b"plain".to_vec(), Default::default());
    scene.get(&[]).fails(4, "not sealed");
    assert_eq!(scene.get(&["--pass-unencrypted"]).exits(0).stdout, b"plain");
    Sealwax::new(["reencrypt", &scene.uri(), "--under", &east_key()]).run().fails(4, "not sealed");
    Sealwax::new(["reencrypt", &scene.uri(), "--under", &east_key(), "--seal-unencrypted"])
        .run()
        .exits(0);
    assert_eq!(scene.get(&[]).exits(0).stdout, b"plain");
}

#[test]
fn a_prefix() {
    let scene = Scene::new("prefix");
    scene.put(b"text", &["--format", "s3ec-v3"]).exits(0);
    let migrate = |more: &[&str]| {
        Sealwax::new(["reencrypt", &scene.uri(), "--recursive", "--to", "native"]).args(more).run()
    };
    let run = migrate(&[]).exits(2);
    assert!(run.stderr.contains("--under"), "{}", run.stderr);
    let (key, state) = (east_key(), scene.path(""));
    let migrate = |more: &[&str]| {
        let args = ["reencrypt", &scene.uri(), "--recursive", "--to", "native", "--under", &key];
        Sealwax::new(args).args(more).env("XDG_STATE_HOME", &state).run()
    };
    let (body, _) = RawS3::new().get(&scene);
    let run = migrate(&[]).exits(0);
    assert!(run.stderr.starts_with("nothing was changed; pass --apply to reencrypt\n"), "{run:?}");
    let plan = String::from_utf8(run.stdout).expect("text");
    assert!(
        plan.starts_with("1 object: 1 to reencrypt, 0 already in the target format\n"),
        "{plan}"
    );
    assert_eq!(RawS3::new().get(&scene).0, body, "a dry run changes nothing");
    let run = migrate(&["--apply"]).exits(0);
    assert_eq!(run.stderr, "1 re-encrypted, 0 already in the target format\n");
    assert_eq!(scene.get(&["--no-s3ec"]).exits(0).stdout, b"text");
    let run = migrate(&["--apply"]).exits(0);
    assert_eq!(run.stderr, "0 re-encrypted, 1 already in the target format\n");
    Sealwax::new([
        "reencrypt",
        &format!("{}-nothing", scene.uri()),
        "--recursive",
        "--to",
        "native",
        "--under",
        &east_key(),
    ])
    .run()
    .exits(4)
    .says("no objects match");
}
