//! `sealwax audit`.

use std::{collections::HashMap, io::Write as _};

use crate::support::{
    HeldHeads, RawS3, RotatedKms, Run, Scene, Sealwax, Terminal, east_key, endpoint, json_lines,
    west_key,
};

/// Returns a prefix with an object of the East, one of both Regions, and an unsealed one.
fn folder(name: &str) -> Scene {
    let scene = Scene::new(name);
    scene.beside("east").put(b"text", &[]).exits(0);
    scene.beside("both").put(b"text", &["--key", &west_key()]).exits(0);
    RawS3::new().put(&scene.beside("plain"), b"text".to_vec(), HashMap::new());
    scene
}

fn audit(scene: &Scene, args: &[&str]) -> Run {
    Sealwax::new(["audit", &format!("{}/", scene.uri())]).args(args).run()
}

fn objects(run: &Run) -> Vec<String> {
    let lines = json_lines(run);
    let (summary, lines) = lines.split_last().expect("a summary");
    assert!(summary["summary"]["objects"].is_u64(), "{summary}");
    let name = |line: &serde_json::Value| {
        line["object"].as_str().expect("a name").rsplit('/').next().expect("it").to_owned()
    };
    let mut names: Vec<_> = lines.iter().map(name).collect();
    names.sort();
    names
}

#[test]
fn counts_by_format_key_and_region() {
    let scene = folder("audit-counts");
    let run = audit(&scene, &["--json"]).exits(0);
    let [report] = &json_lines(&run)[..] else { panic!("one line: {run:?}") };
    let summary = &report["summary"];
    assert_eq!(summary["objects"], 3);
    assert_eq!(summary["formats"], serde_json::json!({"sealwax": 2, "unsealed": 1}));
    let keys = summary["wrapping_keys"].as_array().expect("keys");
    let of =
        |key: String| keys.iter().find(|it| it["wrapping_key"] == key.as_str()).expect("a key");
    assert_eq!((&of(east_key())["objects"], &of(east_key())["sole"]), (&2.into(), &1.into()));
    assert_eq!((&of(west_key())["objects"], &of(west_key())["sole"]), (&1.into(), &0.into()));

    let table = String::from_utf8(audit(&scene, &[]).exits(0).stdout).expect("text");
    for expected in
        ["3  objects", "2    sealwax", "1    unsealed", &east_key(), "us-east-1, us-west-2"]
    {
        assert!(table.contains(expected), "{expected}: {table}");
    }
}

#[test]
fn objects_that_lack_a_region_or_depend_on_a_key_are_listed() {
    let scene = folder("audit-lists");
    assert_eq!(objects(&audit(&scene, &["--json", "--lacks", "us-west-2"]).exits(0)), ["east"]);
    assert_eq!(
        objects(&audit(&scene, &["--json", "--lacks", "eu-west-1"]).exits(0)),
        ["both", "east"]
    );
    assert_eq!(objects(&audit(&scene, &["--json", "--unsealed"]).exits(0)), ["plain"]);
    assert_eq!(objects(&audit(&scene, &["--json", "--list"]).exits(0)), ["both", "east", "plain"]);
    let (depends, east) = (["--json", "--depends-on"], east_key());
    assert_eq!(
        objects(&audit(&scene, &[&depends[..], &[&east]].concat()).exits(0)),
        ["both", "east"]
    );
    assert_eq!(
        objects(&audit(&scene, &[&depends[..], &[&east, "--solely"]].concat()).exits(0)),
        ["east"]
    );

    let run = audit(&scene, &["--lacks", "us-west-2"]).exits(0);
    let text = String::from_utf8(run.stdout).expect("text");
    assert_eq!(text, format!("{}: sealwax, under {}\n", scene.beside("east").uri(), east_key()));
    assert_eq!(run.stderr, "3 objects audited\n");
}

#[test]
fn an_exact_key_standard_input_and_versions() {
    let scene = folder("audit-which");
    let east = scene.beside("east");
    scene.beside("east-2").put(b"text", &[]).exits(0);
    let exact = Sealwax::new(["audit", &east.uri(), "--exact", "--list", "--json"]).run().exits(0);
    assert_eq!(objects(&exact), ["east"]);
    Sealwax::new(["rewrap", &east.uri(), "--replace", &west_key()]).run().exits(0);
    let versions = Sealwax::new([
        "audit",
        &east.uri(),
        "--exact",
        "--versions",
        "--depends-on",
        &east_key(),
        "--json",
    ]);
    assert_eq!(objects(&versions.run().exits(0)), ["east"], "an older version holds the key");
    let named =
        format!("{}\n{{\"key\":\"{}\"}}\n", scene.beside("both").uri(), scene.beside("plain").key);
    let bucket = format!("s3://{}", scene.bucket);
    let stdin =
        Sealwax::new(["audit", &bucket, "--stdin", "--list", "--json"]).input(named.as_bytes());
    assert_eq!(objects(&stdin.run().exits(0)), ["both", "plain"]);
}

#[test]
fn problems_are_counted_and_set_the_exit_code() {
    let scene = folder("audit-wrong");
    let broken = scene.beside("broken");
    let metadata = HashMap::from([("sealwax-format".to_owned(), "v1+Cobblestone-256".to_owned())]);
    RawS3::new().put(&broken, b"text".to_vec(), metadata);
    let run = audit(&scene, &["--json", "--lacks", "us-west-2"]).exits(7);
    assert_eq!(objects(&run), ["broken", "east"], "it may lack the Region");
    assert!(run.stderr.contains("1 of 4 objects"), "{}", run.stderr);
    let one = Sealwax::new(["audit", &broken.uri(), "--exact"]).run().exits(8);
    one.says("1 of 1 object could not be audited or have a problem");
    let absent = Sealwax::new(["audit", &format!("{}/absent", scene.uri())]).run().exits(4);
    absent.says("no object");
    let (bucket, manifest) = (format!("s3://{}", scene.bucket), scene.path("manifest.json"));
    writeln!(std::fs::File::create(&manifest).expect("a file"), "{{}}").expect("written");
    let inventory = Sealwax::new(["audit", &bucket, "--inventory"]).args([&manifest]).run();
    inventory.exits(2).says("manifest");
}

#[test]
fn objects_under_older_key_material_are_listed() {
    let scene = Scene::new("audit-material");
    for (name, tenant) in [("new", "new"), ("old", "old"), ("older", "old")] {
        scene.beside(name).put(b"text", &["-c", &format!("tenant={tenant}")]).exits(0);
    }
    scene.beside("west").put(b"text", &["--key", &west_key()]).exits(0);
    let (kms, folder, key) = (RotatedKms::start(), format!("{}/", scene.uri()), east_key());
    let audit = |args: &[&str]| {
        let fixed = ["audit", &folder, "--key", &key, "--kms-calls-per-second", "1000"];
        Sealwax::new(fixed).args(args).env("AWS_ENDPOINT_URL_KMS", kms.url()).run().exits(0)
    };
    assert_eq!(
        objects(&audit(&["--stale", "--json"])),
        ["old", "older", "west"],
        "unknown material may be older"
    );
    let text = String::from_utf8(audit(&["--stale"]).stdout).expect("text");
    let line = format!("{}: sealwax, under {key} (older material a)\n", scene.beside("old").uri());
    assert!(text.contains(&line), "{text}");
    let line = format!("under {key} (current material) {} (unknown material)\n", west_key());
    assert!(text.contains(&line), "{text}");

    let table = String::from_utf8(audit(&["--key-material"]).stdout).expect("text");
    for (count, age, id, key) in
        [(2, "older   ", "a", &key), (2, "current ", "b", &key), (1, "unknown ", "-", &west_key())]
    {
        assert!(table.contains(&format!("{count}  {age}  {id}  {key}\n")), "{table}");
    }
    let lines = json_lines(&audit(&["--key-material", "--list", "--json"]));
    let (report, lines) = lines.split_last().expect("a summary");
    let old = lines.iter().find(|line| line["object"] == scene.beside("old").uri()).expect("it");
    assert_eq!(
        old["wrapping_keys"][0]["material"],
        serde_json::json!({"id": "a", "is_newest": false})
    );
    let west = lines.iter().find(|line| line["object"] == scene.beside("west").uri()).expect("it");
    let of_west = west["wrapping_keys"]
        .as_array()
        .expect("keys")
        .iter()
        .find(|it| it["wrapping_key"] == west_key());
    assert!(of_west.expect("it").as_object().expect("a key")["material"].is_null());
    let older = serde_json::json!({"wrapping_key": key, "material": {"id": "a", "is_newest": false}, "objects": 2});
    assert!(
        report["summary"]["materials"].as_array().expect("a list").contains(&older),
        "{report}"
    );

    // LocalStack returns no key materials; without the option, KMS is not called.
    let told = Sealwax::new(["audit", &folder, "--stale", "--json"]).run().exits(0);
    assert_eq!(objects(&told), ["new", "old", "older", "west"]);
    let lines = json_lines(&Sealwax::new(["audit", &folder, "--list", "--json"]).run().exits(0));
    assert!(lines[0]["wrapping_keys"][0].as_object().expect("a key").get("material").is_none());
}

#[test]
fn a_progress_bar_shows_the_total_number() {
    let scene = folder("audit-progress");
    let (uri, west, state) = (format!("{}/", scene.uri()), west_key(), scene.path("state"));
    let rewrap = ["rewrap", &uri, "--recursive", "--add", &west];
    for command in [
        &["audit", &uri][..],
        &["verify", &uri, "--allow-unsealed"],
        &rewrap,
        &[&rewrap[..], &["--apply"]].concat(),
    ] {
        let held = HeldHeads::start(&endpoint());
        let command =
            Sealwax::new(command).env("AWS_ENDPOINT_URL", held.url()).env("XDG_STATE_HOME", &state);
        let terminal = Terminal::run(command);
        // Before the first object is done.
        terminal.shows("0 of 3 objects [");
        terminal.shows("0/s, ? left");
        held.let_go();
        terminal.ends().exits(0);
    }
    assert_eq!(audit(&scene, &[]).exits(0).stderr, "", "a bar, and no terminal");
}
