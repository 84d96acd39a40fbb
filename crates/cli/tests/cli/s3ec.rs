//! Objects of the S3 Encryption Client.

use std::{collections::HashMap, fs, os::unix::fs::PermissionsExt as _, path::Path};

use serde_json::{Value, json};

use crate::support::{RawS3, Run, Scene, Sealwax, bytes, east_key, json_lines, west_key};

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
    let put = |key: &Path| {
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

fn text(run: &Run) -> &str {
    std::str::from_utf8(&run.stdout).expect("text")
}

/// Stores a sample that another client wrote, with changed metadata.
fn store_sample(id: &str, at: &Scene, change: impl FnOnce(&mut HashMap<String, String>)) {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/s3ec").join(id);
    let read = |name: &str| fs::read(sample.join(name)).expect("a sample");
    let mut metadata = serde_json::from_slice(&read("metadata.json")).expect("metadata");
    change(&mut metadata);
    RawS3::new().put(at, read("ciphertext.bin"), metadata);
}

/// Returns the options that read the samples under the RSA key.
fn rsa_key(scene: &Scene) -> Vec<String> {
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/s3ec");
    let pem = fs::read(samples.join("_keys/rsa2048-private-pkcs8.pem")).expect("a key");
    let pem = scene.file("key.pem", &pem);
    fs::set_permissions(&pem, fs::Permissions::from_mode(0o600)).expect("set");
    let legacy = ["--legacy-wrapping-algorithms", "--legacy-unauthenticated-modes"];
    let key = ["--rsa-key-file", pem.to_str().expect("ASCII")];
    ALLOW.iter().chain(&legacy).chain(&key).map(|text| (*text).to_owned()).collect()
}

#[test]
fn folders_are_stored_in_the_clients_formats() {
    let scene = Scene::new("s3ec-folder");
    let (source, back) = (scene.path("source"), scene.path("back"));
    fs::create_dir(&source).expect("made");
    for (name, content) in [("a", "one"), ("b", "three")] {
        fs::write(source.join(name), content).expect("written");
    }
    let key = east_key();
    let put = |more: &[&str]| {
        let put = Sealwax::new(["put"]).args([&source]).args([&*scene.uri(), "-r"]);
        put.args(more).run()
    };
    let kms = ["--key", &key, "-c", "tenant=acme"];
    for format in ["s3ec-v3", "s3ec-v2"] {
        let options = [&kms[..], &["--format", format, "-u"]].concat();
        let run = put(&[&options[..], &["--json"]].concat()).exits(0);
        let lines = json_lines(&run);
        assert_eq!(lines.len(), 2, "{format}: {run:?}");
        for line in &lines {
            let name = format!("Amazon S3 Encryption Client {}", &format[5..].to_uppercase());
            assert_eq!((&line["format"], &line["keys"]), (&json!(name), &json!([])));
            assert!(line["version_id"].is_string() && line["e_tag"].is_string(), "{line}");
        }
        let again = put(&options).exits(0);
        assert!(again.stderr.contains("2 unchanged"), "{format}: {}", again.stderr);
        // They come back, once.
        let allow = if format == "s3ec-v2" { &ALLOW[..] } else { &[] };
        let get = || {
            let get =
                Sealwax::new(["get", &scene.uri(), back.to_str().expect("ASCII"), "-r", "-u"]);
            get.args(["-c", "tenant=acme"]).args(allow).run().exits(0)
        };
        let first = get();
        if format == "s3ec-v3" {
            assert!(first.stderr.starts_with("opened 2 objects"), "{}", first.stderr);
        }
        assert_eq!(fs::read(back.join("b")).expect("there"), b"three");
        assert!(get().stderr.contains("2 unchanged"));
    }
    let run = put(&[&kms[..], &["-u"]].concat()).exits(0);
    assert!(run.stderr.contains("sealed 2 files"), "another format is a change: {}", run.stderr);

    // A raw key, in instruction files.
    let raw = scene.file("aes.key", &[7; 32]);
    fs::set_permissions(&raw, fs::Permissions::from_mode(0o600)).expect("set");
    let options = [
        "--format",
        "s3ec-v3",
        "--instruction-file",
        "--aes-key-file",
        raw.to_str().expect("ASCII"),
    ];
    put(&options).exits(0);
    let keys = RawS3::new().keys(&scene.bucket, &scene.key);
    let names: Vec<_> = keys.iter().filter_map(|key| key.rsplit('/').next()).collect();
    assert_eq!(names, ["a", "a.instruction", "b", "b.instruction"]);
    put(&options).exits(8).says("an instruction file already exists");
}

/// The padding of AES-CBC hides the length of the plaintext: 464 stored bytes may hold 448 to 463.
#[test]
fn the_length_of_cbc_content_is_a_bound_until_it_is_opened() {
    let scene = Scene::new("s3ec-cbc");
    let object = scene.beside("v1");
    store_sample("v1-rsa-cbc", &object, |_| {});
    let (uri, folder) = (object.uri(), format!("{}/", scene.uri()));
    let options = rsa_key(&scene);
    for command in ["head", "inspect"] {
        let line = &json_lines(&Sealwax::new([command, &uri, "--json"]).run().exits(0))[0];
        assert_eq!(line["plaintext_bytes"], Value::Null, "{command}");
        assert_eq!(line["plaintext_bytes_at_most"], 463, "{command}");
        let run = Sealwax::new([command, &uri]).run().exits(0);
        assert!(text(&run).contains("  plaintext      at most 463 bytes\n"), "{}", text(&run));
    }
    let ls = Sealwax::new(["ls", "-l", &folder]).run().exits(0);
    assert!(text(&ls).contains("          <=463  sealed "), "{}", text(&ls));
    let ls = Sealwax::new(["ls", "-l", "--json", &folder]).run().exits(0);
    let line = &json_lines(&ls)[0];
    assert_eq!(
        (&line["plaintext_bytes"], &line["plaintext_bytes_at_most"]),
        (&Value::Null, &json!(463))
    );
    let get = |more: &[&str]| {
        let file = scene.path("out");
        let get = Sealwax::new(["get", &uri, file.to_str().expect("ASCII")]).args(&options);
        get.args(more).run().exits(0)
    };
    get(&["--dry-run"]).says("(at most 463 bytes)");
    get(&[]).says("(450 bytes)");
    assert_eq!(json_lines(&get(&["--json"]))[0]["bytes"], 450);
    // Folders compare by what the length can be.
    let back = scene.path("back");
    let back = back.to_str().expect("ASCII");
    let again = || {
        let get = Sealwax::new(["get", &folder, back, "-r", "-u"]).args(&options);
        get.run().exits(0)
    };
    again().says("opened 1 object");
    again().says("1 unchanged");
    Sealwax::new(["check", back, &folder]).args(&options).run().exits(0);
}

#[test]
fn a_raw_keys_description_is_no_encryption_context() {
    let scene = Scene::new("s3ec-matdesc");
    store_sample("v2-rsa-matdesc", &scene, |_| {});
    let report = inspect(&scene);
    assert_eq!(report["encryption_context"], json!({}));
    assert_eq!(report["materials_description"], json!({ "team": "payments", "version": "1.0" }));
    let run = Sealwax::new(["inspect", &scene.uri()]).run().exits(0);
    let expected = "  materials description (of a raw key: not bound)\n    team = payments\n";
    assert!(text(&run).contains(expected), "{}", text(&run));
    assert!(!text(&run).contains("encryption context"), "{}", text(&run));
    let options = rsa_key(&scene);
    let options: Vec<_> = options.iter().map(String::as_str).collect();
    let reason = "its data key is wrapped with RSA-OAEP-SHA1, a raw key's algorithm, which binds no \
                  encryption context, and one is required";
    scene.get(&[&options[..], &["-c", "team=payments"]].concat()).fails(3, reason);
    scene.get(&options).exits(0);
}

/// KMS binds the pairs of the algorithm `kms` too.
#[test]
fn the_context_of_the_legacy_kms_algorithm_is_compared_before_kms_is_asked() {
    let scene = Scene::new("s3ec-legacy-kms");
    store_sample("v2-kmsv1-cbc", &scene, |metadata| {
        let pairs = r#"{"kms_cmk_id": "arn:aws:kms:us-east-1:000000000000:key/8df2dabb-c80e-4623-8628-709b1ca2f76d", "dept": "x", "year": "2019"}"#;
        metadata.insert("x-amz-matdesc".into(), pairs.into());
    });
    let legacy = ["--legacy-wrapping-algorithms", "--legacy-unauthenticated-modes"];
    let get = |context: &[&str]| {
        scene.get(&[&ALLOW[..], &legacy, &["--key", &east_key()], context].concat())
    };
    let reason =
        r#"the encryption context is {"dept":"x","year":"2019"}, which is not the required one"#;
    get(&["-c", "dept=y"]).fails(3, reason);
    get(&["-c", "tenant=acme"]).fails(3, reason);
    // KMS is asked: the test server has not the sample's key.
    for context in [&[][..], &["-c", "dept=x"], &["-c", "dept=x", "-c", "year=2019"]] {
        get(context).fails(3, "the object failed authentication");
    }
}

/// An envelope that no client reads is a failure of the audit, not an object without a known key.
#[test]
fn an_audit_parses_the_envelopes() {
    let scene = Scene::new("s3ec-envelopes");
    store_sample("v2-rsa", &scene.beside("fine"), |_| {});
    store_sample("v2-rsa", &scene.beside("no-iv"), |metadata| {
        metadata.remove("x-amz-iv").expect("there");
    });
    store_sample("v2-rsa", &scene.beside("suite"), |metadata| {
        metadata.insert("x-amz-cek-alg".into(), "AES/ROT13".into());
    });
    store_sample("v3-rsa-instruction", &scene.beside("no-file"), |_| {});
    let folder = format!("{}/", scene.uri());
    let run = Sealwax::new(["audit", &folder, "--json"]).run().exits(7);
    let summary = &json_lines(&run)[0]["summary"];
    assert_eq!(summary["formats"], json!({ "s3ec-v2": 1, "unreadable": 3 }));
    assert_eq!(summary["problems"], json!({ "malformed": 2, "unsupported": 1 }));
    run.says("malformed envelope of the S3 Encryption Client: x-amz-iv is missing\n")
        .says("unknown content algorithm \"AES/ROT13\"\n")
        .says("its wrapped data key is in an instruction file, and no file with the suffix");
    // None of them may be lost with a key.
    let run = Sealwax::new(["audit", &folder, "--depends-on", &east_key()]).run().exits(8);
    assert_eq!(text(&run).lines().filter(|line| line.contains("unreadable, unknown")).count(), 3);
}
