//! Objects without keys of their own: shredded objects, folder markers and instruction files, in
//! every command that meets them.

use std::{collections::HashMap, fs};

use serde_json::{Value, json};

use crate::support::{RawS3, Run, Scene, Sealwax, east_key, json_lines};

fn text(run: &Run) -> &str {
    std::str::from_utf8(&run.stdout).expect("text")
}

/// Returns a folder with an object of each kind, and the raw client.
fn folder(name: &str) -> (Scene, RawS3) {
    let (scene, s3) = (Scene::new(name), RawS3::new());
    scene.beside("sealed").put(b"text", &[]).exits(0);
    let shredded = scene.beside("shredded");
    shredded.put(b"text", &[]).exits(0);
    let uri = shredded.uri();
    Sealwax::new(["shred", &uri, "--delete-versions", "--confirm", &uri]).run().exits(0);
    s3.put(&scene.beside("folder/"), Vec::new(), HashMap::new());
    let file = ["--format", "s3ec-v3", "--instruction-file"];
    scene.beside("s3ec").put(b"text", &file).exits(0);
    // As the client for Ruby writes it.
    let file = scene.beside("s3ec.instruction");
    let (body, _) = s3.get(&file);
    s3.put(&file, body, HashMap::new());
    (scene, s3)
}

#[test]
fn a_shredded_object_is_called_so_by_every_command() {
    let (scene, _) = folder("shredded");
    let shredded = scene.beside("shredded");
    let (uri, key) = (shredded.uri(), east_key());
    let other = scene.beside("other").uri();
    for args in [
        &["get", &uri, "-"][..],
        &["get", &uri, "-", "--pass-unencrypted"],
        &["cat", &uri],
        &["inspect", &uri],
        &["rewrap", &uri, "--replace", &key],
        &["reencrypt", &uri, "--under", &key],
        &["reencrypt", &uri, "--under", &key, "--seal-unencrypted"],
        &["cp", &uri, &other],
        &["mv", &uri, &other],
    ] {
        let run = Sealwax::new(args).run().fails(4, " it was shredded on 20");
        let line = run.stderr.lines().next().expect("a line");
        assert!(line.ends_with("Z: its keys are gone for good"), "{args:?}: {line}");
        assert!(
            run.stderr.contains("hint: delete the object when the record of it is no longer"),
            "{args:?}: {}",
            run.stderr
        );
    }
    let head = Sealwax::new(["head", &uri]).run().exits(0);
    assert!(text(&head).contains("sealed         no: it was shredded on 20"), "{}", text(&head));
    let head = Sealwax::new(["head", &uri, "--json"]).run().exits(0);
    let head: Value = serde_json::from_slice(&head.stdout).expect("JSON");
    let said = head["shredded"].as_str().expect("a text");
    assert!(said.ends_with("its keys are gone for good"), "{said}");
    let listed = Sealwax::new(["ls", &uri, "--long"]).run().exits(0);
    assert!(text(&listed).contains(&format!("  shredded  {:<20}  {uri}", "-")), "{listed:?}");
    assert!(text(&listed).trim_end().ends_with("its keys are gone for good"), "{listed:?}");
    let verify = Sealwax::new(["verify", &uri]).run().exits(0);
    assert_eq!(verify.stderr, "1 object: 0 opened, 1 shredded\n");
    assert!(text(&verify).starts_with(&format!("{uri}: shredded: cannot verify {uri}")));
}

#[test]
fn jobs_count_them_apart_and_do_not_fail() {
    let (scene, s3) = folder("kinds");
    let folder = format!("{}/", scene.uri());
    let run = |args: &[&str]| Sealwax::new([args[0], &folder]).args(&args[1..]).run();
    let counts = "1 shredded, 1 folder marker, 1 instruction file";

    let verify = run(&["verify", "--full"]).exits(0);
    assert_eq!(verify.stderr, format!("5 objects: 2 opened, {counts}\n"));
    let lines = json_lines(&run(&["verify", "--json"]).exits(0));
    let reason = |name: &str| {
        let line = lines.iter().find(|line| line["object"] == scene.beside(name).uri());
        line.expect(name)["reason"].clone()
    };
    for (name, expected) in [
        ("sealed", Value::Null),
        ("s3ec", Value::Null),
        ("s3ec.instruction", "instruction-file".into()),
        ("shredded", "shredded".into()),
        ("folder/", "folder-marker".into()),
    ] {
        assert_eq!(reason(name), expected, "{name}");
    }

    let audit = run(&["audit", "--json"]).exits(0);
    let audit = json_lines(&audit).pop().expect("a line");
    let formats = json!({
        "sealwax": 1, "s3ec-v3": 1, "shredded": 1, "folder-marker": 1, "instruction-file": 1,
    });
    assert_eq!(audit["summary"]["formats"], formats);
    let unsealed = run(&["audit", "--unsealed"]).exits(0);
    assert_eq!(text(&unsealed), "");

    let key = east_key();
    let rewrap = run(&["rewrap", "--recursive", "--replace", &key]).exits(0);
    for skipped in ["1 skipped: shredded", "1 skipped: folder-marker", "1 skipped: companion"] {
        assert!(text(&rewrap).contains(&format!("  {skipped}\n")), "{}", text(&rewrap));
    }
    assert!(text(&rewrap).contains(", 0 sidecars, 1 instruction file; "), "{}", text(&rewrap));
    let rewrap = run(&["rewrap", "--recursive", "--replace", &key, "--apply"]).exits(0);
    rewrap.says(", 1 shredded, 1 folder markers, 1 sidecars or instruction files");

    let local = scene.path("local");
    let get = run(&["get", local.to_str().expect("text"), "--recursive"]).exits(0);
    get.says("; 1 folder marker skipped; 1 instruction file skipped; 1 shredded object skipped");
    assert_eq!(fs::read(local.join("sealed")).expect("written"), b"text");
    assert!(!local.join("shredded").exists() && !local.join("folder").exists());

    let report = scene.path("drill");
    let report = report.to_str().expect("text");
    run(&["drill", "--block", "us-west-2", "--report", report]).says(counts);

    let to = Scene::new("kinds-copied").uri();
    let copied = run(&["cp", &to, "--recursive", "--exclude", "s3ec*", "--exclude", "shredded"]);
    copied.exits(0).says("copied 1 object").says("; 1 folder marker skipped");

    // Its name makes no object an instruction file.
    s3.put(&scene.beside("real.instruction"), b"text".to_vec(), HashMap::new());
    let verify = run(&["verify"]).exits(7);
    verify.says("2 opened, 1 not sealed, 1 shredded").says("error: 1 of ");
    let unsealed = run(&["audit", "--unsealed"]).exits(0);
    assert_eq!(text(&unsealed), format!("{}: unsealed\n", scene.beside("real.instruction").uri()));
    let local = scene.path("again");
    run(&["get", local.to_str().expect("text"), "--recursive"]).exits(7).says("1 failed");
}
