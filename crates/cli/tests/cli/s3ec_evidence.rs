//! Reports of audits, verifications and lists on objects of the S3 Encryption Client, and the guide of
//! docs/S3-ENCRYPTION-CLIENT.md on objects that the official client for Python wrote.

use std::{
    collections::HashMap,
    env, fs,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Command, Stdio},
};

use serde_json::json;

use crate::support::{
    LostRegion, RawS3, Run, Scene, Sealwax, east_key, endpoint, json_lines, server_env, west_key,
};

const ALLOW: [&str; 2] = ["--commitment-policy", "require-encrypt-allow-decrypt"];

fn text(run: &Run) -> &str {
    std::str::from_utf8(&run.stdout).expect("text")
}

fn of(command: &str, scene: &Scene, args: &[&[&str]]) -> Run {
    Sealwax::new([command, &format!("{}/", scene.uri())]).args(args.concat()).run()
}

#[test]
fn an_object_that_does_not_name_its_key_is_unknown_until_kms_names_it() {
    let scene = Scene::new("s3ec-audit");
    let (east, west) = (east_key(), west_key());
    let keys = ["--key", &east, "--key", &west];
    scene.beside("v2").put(b"text", &["--format", "s3ec-v2"]).exits(0);
    scene.beside("v3").put(b"text", &["--format", "s3ec-v3"]).exits(0);
    let far = ["put", "-", &scene.beside("far").uri(), "--key", &west, "--format", "s3ec-v3"];
    Sealwax::new(far).input(b"text").run().exits(0);

    for question in [
        &["--depends-on", &east][..],
        &["--depends-on", &east, "--solely"],
        &["--depends-on", &east, "--versions"],
        &["--lacks", "us-west-2"],
    ] {
        let run = of("audit", &scene, &[question]).exits(8);
        assert_eq!(text(&run).lines().count(), 3, "{}", text(&run));
        assert!(text(&run).lines().all(|line| line.contains(", unknown")), "{}", text(&run));
        let error = "error: 3 of 3 objects do not name all of their wrapping keys\n";
        assert!(run.stderr.contains(error) && run.stderr.contains("--prove"), "{}", run.stderr);
    }
    // V2 is read only if the policy says so.
    let strict = of("audit", &scene, &[&["--prove", "--depends-on", &east], &keys]).exits(7);
    assert!(text(&strict).contains("/v3: s3ec-v3, sole, under arn:"), "{}", text(&strict));
    assert!(text(&strict).contains("/v2: s3ec-v2, unknown, key unknown: "), "{}", text(&strict));

    let proven = |more: &[&str]| of("audit", &scene, &[&["--prove"], more, &keys, &ALLOW]).exits(0);
    let lines = |more: &[&str]| {
        let mut lines: Vec<_> = text(&proven(more)).lines().map(str::to_owned).collect();
        lines.sort_unstable();
        lines
    };
    let line = |name: &str, what: &str| format!("{}: {what}", scene.beside(name).uri());
    let under = |key: &str, proof: &str| format!("sole, under {key} ({proof})");
    let expected = [
        line("v2", &format!("s3ec-v2, {}", under(&east, "unwrapped"))),
        line("v3", &format!("s3ec-v3, {}", under(&east, "proven"))),
    ];
    assert_eq!(lines(&["--depends-on", &east, "--solely"]), expected);
    let expected = [line("far", &format!("s3ec-v3, {}", under(&west, "proven")))];
    assert_eq!(lines(&["--depends-on", &west, "--solely"]), expected);
    assert_eq!(lines(&["--lacks", "us-west-2"]).len(), 2);
    let table = proven(&[]);
    assert!(text(&table).contains("proven    unwrapped    disproved      unknown  claimed"));

    let replaced = of("rewrap", &scene, &[&["-r", "--replace", &west, "--apply"], &keys, &ALLOW]);
    replaced.exits(0);
    assert_eq!(lines(&["--depends-on", &east, "--solely"]), [""; 0]);
}

#[test]
fn verify_and_drill_read_what_get_reads() {
    let scene = Scene::new("s3ec-verify");
    let west = west_key();
    let key = ["--key", &west];
    for format in ["s3ec-v2", "s3ec-v3"] {
        let uri = scene.beside(format).uri();
        let put = ["put", "-", &uri, "--format", format, "-c", "tenant=acme"];
        Sealwax::new(put).args(key).input(b"text").run().exits(0);
    }
    of("verify", &scene, &[&key]).exits(7).says("1 opened, 1 failed (policy-refused)");
    for depth in ["--keys", "--first-last", "--full"] {
        let run = of("verify", &scene, &[&[depth], &key, &ALLOW]).exits(0);
        assert_eq!(run.stderr, "2 objects: 2 opened\n", "{depth}");
    }
    of("verify", &scene, &[&["--no-s3ec"], &key]).exits(8).says("2 failed (policy-refused)");
    let raw = scene.file("raw", &[7; 32]);
    fs::set_permissions(&raw, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("set");
    let raw = ["--aes-key-file", raw.to_str().expect("text")];
    let source = scene.file("source", b"text");
    let put = Sealwax::new(["put"]).args([&source]).args([&*scene.beside("raw").uri()]);
    put.args(["--format", "s3ec-v3"]).args(raw).run().exits(0);
    let uri = scene.beside("raw").uri();
    Sealwax::new(["verify", &uri]).run().exits(8).says("failed (no-matching-key)");
    Sealwax::new(["verify", &uri]).args(raw).run().exits(0);
    let audit = Sealwax::new(["audit", &uri, "--prove", "--json"]).args(raw).run().exits(0);
    assert_eq!(json_lines(&audit)[0]["summary"]["proofs"], json!({ "proven": 1 }));
    RawS3::new().put(&scene.beside("raw"), Vec::new(), HashMap::new());
}

/// The samples of V1, V2 and V3 under raw keys, as other clients wrote them.
#[test]
fn each_format_is_verified_by_the_options_that_read_it() {
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/s3ec");
    let (scene, s3) = (Scene::new("s3ec-formats"), RawS3::new());
    let metadata = |id: &str, name: &str| -> HashMap<String, String> {
        let json = fs::read(samples.join(id).join(name)).expect("a sample");
        serde_json::from_slice(&json).expect("metadata")
    };
    for id in ["v1-rsa-cbc", "v2-rsa", "v2-rsa-instruction", "v3-rsa", "v3-rsa-instruction"] {
        let body = |name: &str| fs::read(samples.join(id).join(name)).expect("a sample");
        let object = scene.beside(id);
        s3.put(&object, body("ciphertext.bin"), metadata(id, "metadata.json"));
        if id.ends_with("-instruction") {
            let file = scene.beside(&format!("{id}.instruction"));
            s3.put(&file, body("instruction.json"), metadata(id, "instruction-metadata.json"));
        }
    }
    let pem = fs::read(samples.join("_keys/rsa2048-private-pkcs8.pem")).expect("a key");
    let pem = scene.file("key.pem", &pem);
    fs::set_permissions(&pem, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("set");
    let key = ["--rsa-key-file", pem.to_str().expect("text")];
    let legacy = ["--legacy-wrapping-algorithms", "--legacy-unauthenticated-modes"];
    for command in [&["verify", "--full"][..], &["audit", "--prove"]] {
        let run = |options: &[&[&str]]| of(command[0], &scene, &[&command[1..], &options.concat()]);
        run(&[&key]).exits(7).says("3 of 7 ");
        run(&[&key, &ALLOW]).exits(7).says("1 of 7 ");
        run(&[&key, &ALLOW, &legacy]).exits(0);
    }
    let all = [&key[..], &ALLOW, &legacy].concat();
    of("verify", &scene, &[&all]).exits(0).says("7 objects: 5 opened, 2 instruction files");
}

#[test]
fn an_instruction_file_may_have_any_suffix() {
    let (scene, s3) = (Scene::new("s3ec-suffix"), RawS3::new());
    let object = scene.beside("object");
    object.put(b"text", &["--format", "s3ec-v3", "--instruction-file"]).exits(0);
    let (file, metadata) = s3.get(&scene.beside("object.instruction"));
    s3.put(&scene.beside("object.key"), file, metadata);
    Sealwax::new(["rm", &scene.beside("object.instruction").uri()]).run().exits(0);
    let (uri, suffix) = (object.uri(), ["--instruction-file-suffix", ".key"]);
    for command in ["head", "inspect", "verify", "cat"] {
        Sealwax::new([command, &uri]).run().says("instruction file");
        Sealwax::new([command, &uri]).args(suffix).run().exits(0);
    }
    let listed = of("ls", &scene, &[&["--long"], &suffix]).exits(0);
    assert!(text(&listed).contains("  sealed  "), "{}", text(&listed));
    of("verify", &scene, &[&suffix]).exits(0).says("1 opened, 1 instruction file");
    let audit = json_lines(&of("audit", &scene, &[&["--json"], &suffix]).exits(0));
    let formats = json!({ "s3ec-v3": 1, "instruction-file": 1 });
    assert_eq!(audit[0]["summary"]["formats"], formats);
}

#[test]
fn an_instruction_file_is_deleted_with_its_object_if_asked() {
    let (scene, s3) = (Scene::new("s3ec-rm"), RawS3::new());
    let object = scene.beside("object");
    let file = scene.beside("object.instruction");
    let put = || object.put(b"text", &["--format", "s3ec-v3", "--instruction-file"]).exits(0);
    let rm = |args: &[&str]| Sealwax::new(["rm", &object.uri()]).args(args).run().exits(0);
    put();
    rm(&[]);
    assert!(s3.head(&file).is_some());
    s3.put(&object, b"text".to_vec(), HashMap::new());
    rm(&["--instruction-files=.other"]);
    assert!(s3.head(&file).is_some());
    s3.put(&object, b"text".to_vec(), HashMap::new());
    rm(&["--instruction-files"]);
    assert!(s3.head(&file).is_none() && s3.head(&object).is_none());
    // An object that only has the name stays.
    for scene in [&object, &file] {
        s3.put(scene, b"text".to_vec(), HashMap::new());
    }
    rm(&["--instruction-files"]);
    assert!(s3.head(&file).is_some() && s3.head(&object).is_none());
}

#[test]
fn older_versions_with_instruction_files_are_found() {
    let scene = Scene::new("s3ec-versions");
    let object = scene.beside("object");
    let file = ["--format", "s3ec-v2", "--instruction-file", "-c", "tenant=acme"];
    object.put(b"text", &file).exits(0);
    let east = east_key();
    let native = ["reencrypt", &object.uri(), "--to", "native", "--under", &east];
    Sealwax::new(native).args(ALLOW).args(["-c", "tenant=acme"]).run().exits(0);
    // The bucket keeps versions, so the instruction file stays; it is no failure.
    of("verify", &scene, &[&["--full"]]).exits(0).says("1 opened, 1 instruction file");
    let lines = json_lines(&of("audit", &scene, &[&["--versions", "--list", "--json"]]).exits(0));
    let mut found: Vec<_> = lines
        .iter()
        .filter(|line| line["object"].is_string())
        .map(|line| (line["format"].as_str(), line["is_latest"].as_bool()))
        .collect();
    found.sort_unstable();
    let expected = [
        (Some("instruction-file"), Some(true)),
        (Some("s3ec-instructed"), Some(false)),
        (Some("sealwax"), Some(true)),
    ];
    assert_eq!(found, expected);
    let gate = ["--versions", "--depends-on", &east, "--solely"];
    of("audit", &scene, &[&gate]).exits(7).says("2 of 3 objects do not name all");
    // KMS names the key in the file that was left, too.
    let proven = of("audit", &scene, &[&gate, &["--prove", "--json"], &ALLOW]).exits(0);
    let lines = json_lines(&proven);
    let depending = lines.iter().filter(|line| line["depends"] == "sole").count();
    assert_eq!(depending, 3, "{lines:?}");
}

#[test]
fn versions_are_listed_and_deleted() {
    let scene = Scene::new("rm-versions");
    let (one, two) = (scene.beside("one"), scene.beside("two"));
    for plaintext in [b"first", b"other"] {
        one.put(plaintext, &[]).exits(0);
    }
    two.put(b"text", &[]).exits(0);
    let versions = |scene: &Scene| json_lines(&of("ls", scene, &[&["--versions", "--json"]]));
    let listed = versions(&scene);
    assert_eq!(listed.len(), 3, "{listed:?}");
    let old = listed.iter().find(|line| line["is_latest"] == false).expect("an older version");
    let id = old["version_id"].as_str().expect("an id").to_owned();
    assert_eq!(old["object"], one.uri());
    let shown = of("ls", &scene, &[&["--versions", "--long"]]).exits(0);
    assert!(text(&shown).contains(&format!("{}  version {id}\n", one.uri())), "{}", text(&shown));
    assert_eq!(text(&shown).matches(" (latest)").count(), 2, "{}", text(&shown));
    Sealwax::new(["ls", "--versions"]).run().exits(2);

    // Each line as an audit prints it, its counts included.
    let audit = of("audit", &scene, &[&["--versions", "--list", "--json"]]).exits(0).stdout;
    let rm = |args: &[&str]| {
        let bucket = format!("{}/", scene.uri());
        Sealwax::new(["rm", &bucket, "--stdin"]).args(args).input(&audit).run()
    };
    rm(&[]).fails(2, "refusing to delete the listed versions without confirmation");
    let dry = rm(&["--dry-run"]).exits(7);
    assert_eq!(text(&dry), format!("would delete {} version {id}\n", one.uri()));
    assert_eq!(dry.stderr.matches("it is the current version: pass --current").count(), 2);
    assert_eq!(versions(&scene).len(), 3);
    rm(&["--yes"]).exits(7).says("deleted 1 version of ").says("; 2 failed");
    assert_eq!(versions(&scene).len(), 2);
    assert_eq!(one.get(&[]).exits(0).stdout, b"other");

    // Lines without a version, and of elsewhere.
    let elsewhere = Sealwax::new(["rm", &format!("{}/two", scene.uri()), "--stdin", "--yes"]);
    let run = elsewhere.input(format!("{}\n", one.uri()).as_bytes()).run().exits(8);
    run.says("no version id");
    let elsewhere = Sealwax::new(["rm", &two.uri(), "--stdin", "--yes"]);
    let line = json!({ "object": one.uri(), "version_id": "x" });
    elsewhere.input(format!("{line}\n").as_bytes()).run().exits(8).says("not below ");

    // By prefix.
    one.put(b"third", &[]).exits(0);
    let older = |args: &[&str]| of("rm", &scene, &[&["--recursive", "--versions"], args]);
    older(&[]).fails(2, "refusing to delete 1 version of");
    older(&["--dry-run"]).exits(0).says("would delete 1 version of ");
    older(&["--yes"]).exits(0).says("deleted 1 version of ");
    assert_eq!(one.get(&[]).exits(0).stdout, b"third");
    assert_eq!(versions(&scene).len(), 2);
    older(&["--yes", "--current"]).exits(0).says("deleted 2 versions of ");
    assert_eq!(versions(&scene).len(), 0);
    Sealwax::new(["rm", &one.uri(), "--current"]).run().exits(2).says("requires --versions");
}

#[test]
fn a_put_says_which_keys_its_objects_lack() {
    let scene = Scene::new("at-least");
    let (east, west) = (east_key(), west_key());
    for name in ["a", "b"] {
        scene.file(name, b"text");
    }
    let folder = scene.path("a").parent().expect("a folder").to_owned();
    let put = |args: &[&str]| {
        let put = Sealwax::new(["put", "--recursive"]).args([&folder]).args([scene.uri()]);
        put.args(["--key", &east, "--key", &west]).args(args)
    };
    let error = "error: --at-least 3, but only 2 keys are given\n";
    let run = put(&["--at-least", "3"]).run().exits(2);
    assert!(run.stderr.starts_with(error), "{}", run.stderr);
    let one = ["put", "-", &scene.uri(), "--key", &east, "--key", &east, "--at-least", "2"];
    let run = Sealwax::new(one).input(b"text").run().exits(2);
    assert!(run.stderr.starts_with("error: --at-least 2, but only 1 key is given\n"));

    let lost = LostRegion::start(&endpoint(), "us-west-2");
    let put = put(&["--at-least", "1", "--json"]).env("AWS_ENDPOINT_URL", lost.url());
    let run = put.run().exits(0);
    let says = format!("2 of them lack {west}: add it later with `sealwax rewrap --add`\n");
    assert!(run.stderr.contains(&says), "{}", run.stderr);
    let lines = json_lines(&run);
    assert_eq!(lines.len(), 2);
    for line in lines {
        assert_eq!((&line["keys"], &line["missing"]), (&json!([east]), &json!([west])), "{line}");
    }
    let copy = scene.beside("copy").uri();
    let cp = ["cp", &scene.beside("a").uri(), &copy, "--at-least", "2"];
    Sealwax::new(cp).run().fails(2, "at least 2 keys must wrap the data key, but there are only 1");
}

/// Writes objects with the official client for Python, under the key in us-east-1, in V2.
fn python_writes(bucket: &str, names: impl Iterator<Item = String>) {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("plaintext");
    fs::write(&file, b"plaintext").expect("written");
    let command = server_env("SEALWAX_TEST_S3EC_PYTHON");
    let mut words = command.split_ascii_whitespace();
    let mut peer = Command::new(words.next().expect("a command"))
        .args(words)
        .env("SEALWAX_PEER_ENDPOINT", endpoint())
        .env("SEALWAX_PEER_KEY", east_key())
        .envs([("AWS_REGION", "us-east-1"), ("AWS_DEFAULT_REGION", "us-east-1")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the peer");
    let mut calls = peer.stdin.take().expect("piped");
    let mut answers = BufReader::new(peer.stdout.take().expect("piped"));
    for name in names {
        let call = json!({
            "op": "put", "bucket": bucket, "key": name, "file": file, "suite": "v2",
            "context": { "dept": "research" },
        });
        writeln!(calls, "{call}").expect("the peer lives");
        let mut answer = String::new();
        answers.read_line(&mut answer).expect("the peer lives");
        assert_eq!(answer.trim(), "{}");
    }
    drop(calls);
    peer.wait().expect("it ends");
}

/// Objects of the official client in a replica, of which one still needs the Region of the source.
#[test]
fn a_drill_shows_which_objects_of_the_official_client_need_the_lost_region() {
    let (source, west) = (Scene::new("s3ec-drill"), west_key());
    python_writes(&source.bucket, ["a", "b"].map(|name| source.beside(name).key).into_iter());
    let mut replica = Scene::new("s3ec-drill");
    (replica.bucket, replica.key) = (server_env("SEALWAX_WEST_BUCKET"), source.key.clone());
    for name in ["a", "b"] {
        RawS3::new().copy(&source.beside(name), &replica.beside(name));
    }
    let rewrap = |object: &Scene| {
        let uri = object.uri();
        let rewrap = ["rewrap", &uri, "--replace", &west, "--key", &east_key()];
        Sealwax::new(rewrap).args(["--region", "us-west-2"]).args(ALLOW).run().exits(0);
    };
    rewrap(&replica.beside("a"));
    let from = format!("{}/", source.uri());
    let reported = |name: &str, more: &[&str], code: i32| -> serde_json::Value {
        let path = replica.path(name);
        let path = path.to_str().expect("ASCII");
        let fixed = ["--region", "us-west-2", "--block", "us-east-1", "--first-last"];
        let files = ["--source", &from, "--report", path];
        of("drill", &replica, &[&fixed, &files, more]).exits(code);
        let json = fs::read(format!("{path}.json")).expect("a report");
        serde_json::from_slice(&json).expect("JSON")
    };
    let strict = reported("strict", &[], 8);
    assert_eq!(strict["failures"][0]["reason"], "policy-refused");
    assert_eq!(strict["failures"][0]["objects"], 2);

    let keys = ["--key", &west, "--key", &east_key()];
    let one = reported("one", &[&ALLOW[..], &keys].concat(), 7);
    assert_eq!((&one["counts"]["opened"], &one["failed"]), (&1.into(), &1.into()));
    assert_eq!(one["failed_objects"][0]["object"], replica.beside("b").uri());
    assert_eq!(one["failed_objects"][0]["reason"], "unavailable");
    assert_eq!(
        (&one["unnamed_keys"], &one["blocked"][0]["objects_with_key"]),
        (&2.into(), &0.into())
    );

    rewrap(&replica.beside("b"));
    let all = reported("all", &[&ALLOW[..], &keys].concat(), 0);
    assert_eq!((&all["counts"]["opened"], &all["passed"]), (&2.into(), &true.into()));
    let decrypted = all["kms_keys"].as_array().expect("keys");
    assert!(decrypted.iter().all(|key| key["wrapping_key"] == *west), "{decrypted:?}");
    let plain = replica
        .beside("b")
        .get(&[&["--region", "us-west-2", "-c", "dept=research"], &ALLOW[..]].concat());
    assert_eq!(plain.exits(0).stdout, b"plaintext");
}

/// Runs each command of the guide on 200 objects of V2.
#[test]
fn the_guide_works_on_objects_of_the_official_client() {
    let scene = Scene::new("guide");
    let bucket = format!("s3ec-guide-{}", std::process::id());
    let s3 = RawS3::new();
    s3.make_bucket(&bucket);
    s3.version(&bucket);
    let names = || (0..200).map(|number| format!("by/python/{number}"));
    python_writes(&bucket, names());
    let (west, folder) = (server_env("SEALWAX_WEST_BUCKET"), &scene.key);
    for name in names() {
        s3.copy(&Scene::at(&bucket, &name), &Scene::at(&west, &format!("{folder}/{name}")));
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/S3-ENCRYPTION-CLIENT.md");
    let document = fs::read_to_string(path).expect("the document");
    let guide = document.split("<!-- test: guide -->").nth(1).expect("the guide");
    let bin = Path::new(env!("CARGO_BIN_EXE_sealwax")).parent().expect("a directory").to_owned();
    let path = env::join_paths(
        [bin].into_iter().chain(env::split_paths(&env::var_os("PATH").expect("a path"))),
    );
    let path = path.expect("a path");
    let mut blocks = 0;
    for block in guide.split("```sh\n").skip(1) {
        let commands = block.split("\n```").next().expect("a block");
        if commands.starts_with("export ") {
            continue;
        }
        blocks += 1;
        let line = format!("set -eu; cd '{}'\n{commands}", scene.path("").display());
        let run = Sealwax::by_shell(&line)
            .env("PATH", &path)
            .env("XDG_STATE_HOME", scene.path(""))
            .env("BUCKET", &bucket)
            .env("OLD_KEY", east_key())
            .env("NEW_KEY", server_env("SEALWAX_EAST_KEY_2"))
            .env("REPLICA", format!("{west}/{folder}"))
            .env("WEST_KEY", west_key())
            .env("ALLOW", ALLOW.join("="))
            .run();
        assert_eq!(run.code, Some(0), "{commands}\n{}{}", text(&run), run.stderr);
        let says = |expected: &str| {
            let all = format!("{}{}", text(&run), run.stderr);
            assert!(all.contains(expected), "{commands}: {expected:?} is not in: {all}");
        };
        match () {
            () if commands.contains("# lists nothing") => assert_eq!(text(&run), "", "{commands}"),
            () if commands.contains("retire.plan") && !commands.contains("--apply") => {
                says("200 to rewrap");
            }
            () if commands.contains("--save-plan") => {
                says("200 objects: 200 to reencrypt, 0 already in the target format");
                says("KMS in us-east-1: at most 400 calls");
                says("KMS in us-west-2: at most 200 calls");
            }
            () if commands.contains("verify") => says("200 objects: 200 opened"),
            () if commands.contains("rm ") => says("deleted 200 versions"),
            () if commands.contains("migrate.plan") => {
                says("200 re-encrypted, 0 already in the target format");
            }
            () if commands.contains("reencrypt") => {
                says("0 re-encrypted, 200 already in the target format");
            }
            () => {}
        }
    }
    assert!(blocks >= 11, "{blocks}");
}
