//! Options of commands on single objects: dry runs, JSON, files that must not be replaced.

use std::{collections::HashMap, fs};

use serde_json::{Value, json};

use crate::support::{
    RawS3, Refusing, Run, Scene, Sealwax, bytes, east_key, endpoint, json_lines, server_env,
    west_key,
};

fn one(run: Run) -> Value {
    let lines = json_lines(&run.exits(0));
    assert_eq!(lines.len(), 1, "{lines:?}");
    lines.into_iter().next().expect("a line")
}

#[test]
fn get_replaces_no_file_if_told_so() {
    let scene = Scene::new("no-overwrite");
    scene.put(b"new", &[]).exits(0);
    let file = scene.file("file", b"old");
    let get = |target: &std::path::Path, more: &[&str]| {
        Sealwax::new(["get", &scene.uri()]).args([target]).args(more).run()
    };
    get(&file, &["--no-overwrite"]).fails(6, "file already exists");
    assert_eq!(fs::read(&file).expect("there"), b"old");
    // A link has the name, wherever it leads.
    let link = scene.path("link");
    std::os::unix::fs::symlink("nowhere", &link).expect("linked");
    get(&link, &["--no-overwrite"]).exits(2);
    let fresh = scene.path("fresh");
    let doc = one(get(&fresh, &["--no-overwrite", "--json"]));
    assert_eq!(fs::read(&fresh).expect("there"), b"new");
    let head = RawS3::new().head(&scene).expect("stored");
    let expected = json!({
        "object": scene.uri(), "file": fresh, "bytes": 3,
        "version_id": head.version_id(), "e_tag": head.e_tag(),
    });
    assert_eq!(doc, expected);
    scene.get(&["--no-overwrite"]).fails(2, "require a file");
}

#[test]
fn a_folder_keeps_the_files_that_are_there() {
    let scene = Scene::new("keep");
    for name in ["a", "b"] {
        scene.beside(name).put(b"new", &[]).exits(0);
    }
    let folder = scene.path("f");
    fs::create_dir(&folder).expect("made");
    fs::write(folder.join("a"), "old").expect("written");
    let uri = scene.uri();
    let run = Sealwax::new(["get", &uri]).args([&folder]).args(["-r", "--no-overwrite", "--json"]);
    let run = run.run().exits(7).says("a already exists");
    assert_eq!(fs::read(folder.join("a")).expect("there"), b"old");
    assert_eq!(fs::read(folder.join("b")).expect("there"), b"new");
    let lines = json_lines(&run);
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0]["object"], scene.beside("b").uri());
}

/// Nothing is changed by any of them, and each says what would be done.
#[test]
fn every_change_has_a_dry_run() {
    let (s3, scene) = (RawS3::new(), Scene::new("dry"));
    scene.put(b"text", &[]).exits(0);
    let before = s3.head(&scene).expect("stored");
    let file = scene.file("file", b"local");
    let file = file.to_str().expect("ASCII");
    let (uri, other, west) = (scene.uri(), scene.beside("other").uri(), west_key());
    let target = scene.path("target");
    let target = target.to_str().expect("ASCII");
    let east = east_key();
    for (command, said) in [
        (&["put", file, &other, "--key", &east][..], format!("would seal {file} as {other}")),
        (&["put", "-", &other, "--key", &east], format!("would seal standard input as {other}")),
        (&["get", &uri, target], format!("would open {uri} as {target} (4 bytes)")),
        (&["cp", &uri, &other], format!("would copy {uri} to {other} (4 bytes)")),
        (&["mv", &uri, &other], format!("would move {uri} to {other} (4 bytes)")),
        (&["rm", &uri], format!("would delete {uri}")),
        (&["shred", &uri], "nothing was changed".to_owned()),
        (&["rewrap", &uri, "--add", &west], "nothing was changed".to_owned()),
        (
            &["reencrypt", &uri, "--to", "native", "--under", &west],
            "nothing was changed".to_owned(),
        ),
    ] {
        let run = Sealwax::new(command).args(["-n", "-v"]).run().exits(0);
        let all = format!("{}{}", run.stderr, String::from_utf8_lossy(&run.stdout));
        assert!(all.contains(&said), "{command:?}: {all}");
        let now = s3.head(&scene).expect("still there");
        assert_eq!((now.e_tag(), now.metadata()), (before.e_tag(), before.metadata()));
        assert!(s3.head(&scene.beside("other")).is_none(), "{command:?}");
        assert!(!scene.path("target").exists());
    }
    // A neighbour whose name only begins like it is not meant.
    scene.beside("neighbour").put(b"x", &[]).exits(0);
    let plan = Sealwax::new(["rewrap", &uri, "--add", &west, "-n", "--json"]).run().exits(0);
    let objects: Vec<_> =
        json_lines(&plan).into_iter().filter(|it| it["summary"].is_null()).collect();
    assert_eq!(objects.len(), 1, "{objects:?}");
    let missing = scene.beside("none").uri();
    Sealwax::new(["get", &missing, target, "-n"]).run().fails(4, "no such object");
    Sealwax::new(["rewrap", &missing, "--add", &west, "-n"]).run().exits(4);
}

#[test]
fn every_change_of_one_object_has_a_json_document() {
    let (s3, mut scene) = (RawS3::new(), Scene::new("json"));
    scene.bucket = format!("json-{}", std::process::id());
    s3.make_bucket(&scene.bucket);
    s3.version(&scene.bucket);
    let uri = scene.uri();
    scene.put(b"text", &[]).exits(0);
    let now = || {
        let head = s3.head(&scene).expect("stored");
        (Value::from(head.version_id), Value::from(head.e_tag))
    };
    let run = |args: &[&str]| one(Sealwax::new(args).args(["--json"]).run());
    let (second, west) = (server_env("SEALWAX_EAST_KEY_2"), west_key());
    let doc = run(&["rewrap", &uri, "--add", &second]);
    assert_eq!((doc["version_id"].clone(), doc["e_tag"].clone()), now());
    assert_eq!((&doc["rewrapped"], &doc["generation"]), (&true.into(), &2.into()));
    assert_eq!(doc["keys"], json!([east_key(), second]));
    let doc = run(&["reencrypt", &uri, "--under", &west]);
    assert_eq!((doc["version_id"].clone(), doc["e_tag"].clone()), now());
    assert_eq!((&doc["bytes"], &doc["keys"]), (&4.into(), &json!([west])));
    let doc = one(scene.put(b"four", &["--format", "s3ec-v3", "--json"]));
    assert_eq!((doc["version_id"].clone(), doc["e_tag"].clone()), now());
    assert_eq!(doc["format"], "Amazon S3 Encryption Client V3");
    let (version_id, _) = now();
    let doc = run(&["rm", &uri, "--version-id", version_id.as_str().expect("an id")]);
    assert_eq!((&doc["object"], &doc["version_id"]), (&uri.clone().into(), &version_id));
    assert_eq!((&doc["deleted"], &doc["delete_marker"]), (&true.into(), &false.into()));
    let doc = run(&["rm", &uri, "-n"]);
    assert_eq!((&doc["deleted"], &doc["version_id"]), (&false.into(), &Value::Null));
    let doc = run(&["rm", &uri]);
    assert_eq!((&doc["deleted"], &doc["delete_marker"]), (&true.into(), &true.into()));
}

#[test]
fn uploads_are_aborted_one_by_one_with_a_dry_run() {
    let (s3, scene) = (RawS3::new(), Scene::new("abort"));
    let id = s3.begin_upload(&scene.bucket, &scene.key);
    let uri = scene.uri();
    let abort = |more: &[&str]| {
        Sealwax::new(["uploads", "abort", &uri, "--upload-id", &id, "--json"]).args(more).run()
    };
    let dry = abort(&["-n"]).exits(0).says(&format!("would abort upload {id} to {uri}"));
    let line =
        |aborted| json!({ "object": uri, "upload_id": id, "aborted": aborted, "state_file": null });
    assert_eq!(json_lines(&dry), [line(false)]);
    assert_eq!(s3.unfinished_uploads(&scene), 1);
    assert_eq!(json_lines(&abort(&[]).exits(0)), [line(true)]);
    assert_eq!(s3.unfinished_uploads(&scene), 0);
    abort(&["-n"]).fails(4, "no upload");
}

#[test]
fn cat_passes_on_what_is_allowed() {
    let scene = Scene::new("cat");
    let plain = scene.beside("plain");
    RawS3::new().put(&plain, b"plain".to_vec(), HashMap::new());
    let cat = |uri: &str, more: &[&str]| Sealwax::new(["cat", uri]).args(more).run();
    cat(&plain.uri(), &[]).fails(4, "the object is not sealed");
    assert_eq!(cat(&plain.uri(), &["--pass-unencrypted"]).exits(0).stdout, b"plain");
    // More than is held back until it is verified.
    let long = bytes((64 << 20) + 1);
    scene.put(&long, &["--format", "s3ec-v3"]).exits(0);
    let refused = cat(&scene.uri(), &[]).exits(1);
    assert!(refused.stdout.is_empty(), "{}", refused.stderr);
    assert!(cat(&scene.uri(), &["--release-unverified"]).exits(0).stdout == long);
}

/// Only names of things that exist can be shredded.
#[test]
fn there_must_be_something_to_shred() {
    let scene = Scene::new("shred-nothing");
    let shred = |scene: &Scene| Sealwax::new(["shred", &scene.uri()]).run();
    shred(&scene).fails(4, "no such object");
    let plain = scene.beside("plain");
    RawS3::new().put(&plain, b"plain".to_vec(), HashMap::new());
    shred(&plain).exits(4);
    let theirs = scene.beside("theirs");
    theirs.put(b"x", &["--format", "s3ec-v3"]).exits(0);
    shred(&theirs).fails(4, "no wrapped keys of Sealwax to shred: Amazon S3 Encryption Client V3");
    scene.put(b"x", &[]).exits(0);
    let confirmed = ["--delete-versions", "--confirm", &scene.uri()].map(str::to_owned);
    Sealwax::new(["shred", &scene.uri()]).args(confirmed).run().exits(0);
    shred(&scene).exits(0).says("it was shredded on 20");
}

/// The rate itself is tested with a clock of its own; here, bodies pass in both directions.
#[test]
fn bodies_pass_at_a_limited_rate() {
    let scene = Scene::new("rate");
    let plaintext = bytes(9 << 20);
    scene.put(&plaintext, &["--limit-rate", "100M"]).exits(0);
    assert!(scene.get(&["--limit-rate", "100M"]).exits(0).stdout == plaintext);
    scene.put(b"x", &["--limit-rate", "fast"]).exits(2).says("such as 500K or 10M");
}

#[test]
fn lengths_are_summed_up_by_folder() {
    let scene = Scene::new("du");
    for (name, len) in [("a/1", 10), ("a/2", 20), ("b/c/3", 30), ("top", 5)] {
        scene.beside(name).put(&bytes(len), &[]).exits(0);
    }
    let folder = format!("{}/", scene.uri());
    let du = |more: &[&str]| Sealwax::new(["du", &folder]).args(more).run();
    let lines = json_lines(&du(&["--json"]).exits(0));
    let line = |name: Option<&str>, objects: u64, plaintext: u64| {
        let stored = plaintext + 72 * objects;
        let mut line = json!({
            "objects": objects, "stored_bytes": stored, "plaintext_bytes": plaintext,
        });
        match name {
            Some(name) => line["folder"] = format!("{folder}{name}").into(),
            None => line["prefix"] = folder.clone().into(),
        }
        line
    };
    let expected = [line(Some("a/"), 2, 30), line(Some("b/"), 1, 30), line(None, 4, 65)];
    assert_eq!(lines, expected);
    assert_eq!(json_lines(&du(&["--json", "-s"]).exits(0)), [line(None, 4, 65)]);
    let filtered = json_lines(&du(&["--json", "-s", "--include", "a/**"]).exits(0));
    assert_eq!(filtered, [line(None, 2, 30)]);
    let text = String::from_utf8(du(&["-s"]).exits(0).stdout).expect("text");
    assert_eq!(text, format!("{:>14} {:>14} {:>10}  {folder}\n", 65 + 4 * 72, 65, 4));
    Sealwax::new(["du", &format!("{folder}none/")]).run().fails(4, "no objects in");
    let listed = Sealwax::new(["ls", &folder, "-r", "--summarize"]).run().exits(0);
    let listed = String::from_utf8(listed.stdout).expect("text");
    let total = format!("total: 4 objects, {} bytes stored, 65 bytes of plaintext\n", 65 + 4 * 72);
    assert!(listed.ends_with(&total), "{listed}");
}

#[test]
fn mistyped_arguments_are_answered_with_the_right_ones() {
    let scene = Scene::new("typed");
    let (key, uri) = (east_key(), scene.uri());
    let file = scene.file("file", b"text");
    let file = file.to_str().expect("ASCII");
    let bare = uri.strip_prefix("s3://").expect("a scheme");
    let put = |to: &str, more: &[&str]| Sealwax::new(["put", file, to]).args(more).run();
    put(bare, &["--key", &key]).exits(2).says(&format!("did you mean {uri}?"));
    let folder = format!("{uri}/");
    Sealwax::new(["get", &folder, "f"]).run().fails(2, "is a folder").says("name one object");
    let keygen = scene.path("local.key");
    let keygen = Sealwax::new(["keygen", keygen.to_str().expect("ASCII"), "--name", "n", "--json"]);
    assert_eq!(one(keygen.run())["name"], "n");
}

#[test]
fn objects_of_the_s3_encryption_client_have_one_key_and_no_place() {
    let scene = Scene::new("s3ec-keys");
    let (key, second) = (east_key(), server_env("SEALWAX_EAST_KEY_2"));
    let raw = scene.file("aes.key", &[7; 32]);
    fs::set_permissions(&raw, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("set");
    let raw = raw.to_str().expect("ASCII");
    let v3 = ["--format", "s3ec-v3"];
    let put = |more: &[&str]| {
        Sealwax::new(["put", "-", &scene.uri()]).args(v3).args(more).input(b"text").run()
    };
    put(&["--key", &key, "--key", &second]).fails(2, "exactly one wrapping key");
    put(&["--key", &key, "--aes-key-file", raw]).exits(2).says("cannot be used with");
    put(&["--aes-key-file", raw]).exits(0);
    let cat = Sealwax::new(["cat", &scene.uri(), "--aes-key-file", raw, "-c", "a=b"]).run();
    cat.fails(3, "wrapped with AES/GCM, a raw key's algorithm, which binds no encryption context");
    put(&["--key", &key]).exits(0);
    let (uri, copy) = (scene.uri(), scene.beside("copy").uri());
    Sealwax::new(["rewrap", &uri, "--refresh"]).run().fails(2, "does not name its wrapping key");
    for under in [&[][..], &["--under", &key]] {
        let cp = Sealwax::new(["cp", &uri, &copy]).args(under).run();
        cp.fails(1, "is an object of the S3 Encryption Client").says("copy it with any S3 tool");
    }
}

/// The file appears while the rest of the object is on its way.
#[test]
fn a_file_that_appears_late_is_told_as_one_that_was_there() {
    let scene = Scene::new("late-file");
    scene.put(&bytes(9 << 20), &[]).exits(0);
    for recursive in [false, true] {
        let folder = scene.path(if recursive { "folder" } else { "single" });
        fs::create_dir(&folder).expect("made");
        let file = folder.join("late-file");
        let target = file.clone();
        let server = Refusing::by_line(&endpoint(), move |head| {
            // The first part has the name of the file free, the second one has not.
            let head = head.to_ascii_lowercase();
            if head.starts_with("get ") && head.contains("bytes=") && !head.contains("bytes=0-") {
                fs::write(&target, "theirs").expect("written");
            }
            None
        });
        let (uri, more) = match recursive {
            true => (scene.uri().replace("/late-file", "/"), vec!["-r", "--include", "late-file"]),
            false => (scene.uri(), vec![]),
        };
        let run = |env: &str| {
            let get = Sealwax::new(["get", &uri]).args([if recursive { &folder } else { &file }]);
            get.args(&more).args(["--no-overwrite"]).env("AWS_ENDPOINT_URL_S3", env).run()
        };
        let late = run(&server.url);
        assert_eq!(fs::read(&file).expect("there"), b"theirs", "{late:?}");
        let early = run(&endpoint());
        assert_eq!((late.code, &late.stderr), (early.code, &early.stderr));
        let said = format!("{} already exists", file.display());
        assert!(late.stderr.contains(&said), "{}", late.stderr);
        assert_eq!(late.code, Some(if recursive { 8 } else { 6 }));
        let left: Vec<_> = fs::read_dir(&folder).expect("a folder").collect();
        assert_eq!(left.len(), 1, "{left:?}");
    }
}
