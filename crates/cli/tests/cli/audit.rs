//! `sealwax audit`.

use std::{collections::HashMap, io::Write as _};

use crate::support::{
    HeldHeads, RawS3, RotatedKms, Run, Scene, Sealwax, Terminal, east_key, endpoint, json_lines,
    server_env, west_key,
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
    for expected in [
        "3  objects",
        "2    sealwax",
        "1    unsealed",
        "only key  claimed wrapping key",
        &east_key(),
        "Regions of claimed KMS keys",
        "us-east-1, us-west-2",
    ] {
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
    assert_eq!(text, format!("{}: sealwax, claims {}\n", scene.beside("east").uri(), east_key()));
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
    let line = format!("{}: sealwax, claims {key} (older material a)\n", scene.beside("old").uri());
    assert!(text.contains(&line), "{text}");
    let line = format!("claims {key} (current material) {} (unknown material)\n", west_key());
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

/// Stores the object with a worthless wrapped key under the West's key, as anyone who can write to
/// the bucket can.
fn plant(scene: &Scene) {
    let s3 = RawS3::new();
    let (body, mut metadata) = s3.get(scene);
    let keys = metadata.get_mut("sealwax-keys").expect("sealed");
    *keys =
        keys.replace(r#""keys":["#, &format!(r#""keys":[["aws-kms","{}","AAAA"],"#, west_key()));
    s3.put(scene, body, metadata);
}

#[test]
fn prove_tells_a_planted_key_from_a_genuine_one() {
    let scene = Scene::new("audit-prove");
    scene.beside("both").put(b"text", &["--key", &west_key()]).exits(0);
    scene.beside("planted").put(b"text", &[]).exits(0);
    plant(&scene.beside("planted"));
    let (uri, east, west) = (scene.beside("planted").uri(), east_key(), west_key());
    assert_eq!(objects(&audit(&scene, &["--json", "--lacks", "us-west-2"]).exits(0)), [""; 0]);

    let run = audit(&scene, &["--prove", "--lacks", "us-west-2"]).exits(7);
    let text = String::from_utf8(run.stdout).expect("text");
    let line = format!("{uri}: sealwax, claims {west} (disproved) {east} (proven): ");
    assert!(text.starts_with(&line), "{text}");
    assert!(text.contains("does not open it"), "{text}");
    assert!(run.stderr.contains("1 of 2 objects"), "{}", run.stderr);

    let run = audit(&scene, &["--prove", "--depends-on", &east, "--solely", "--json"]).exits(7);
    let lines = json_lines(&run);
    let [line, summary] = &lines[..] else { panic!("one object: {lines:?}") };
    assert_eq!((&line["object"], &line["depends"]), (&uri.into(), &"sole".into()));
    let keys = line["wrapping_keys"].as_array().expect("keys");
    let proofs: Vec<_> = keys.iter().map(|key| (&key["proof"], &key["is_at_place"])).collect();
    let yes = true.into();
    assert_eq!(proofs, [(&"disproved".into(), &yes), (&"proven".into(), &yes)]);
    assert_eq!((&line["proof"], &keys[1]["proven_by"]), (&"proven".into(), &east.clone().into()));
    let summary = &summary["summary"];
    assert_eq!(summary["proofs"], serde_json::json!({"proven": 2}));
    assert_eq!(summary["problems"], serde_json::json!({"authentication": 1}));
    let counts = summary["wrapping_keys"].as_array().expect("keys");
    let of_west = counts.iter().find(|count| count["wrapping_key"] == west.as_str());
    let expected = serde_json::json!({
        "wrapping_key": west, "objects": 2, "sole": 0, "proven": 1, "unwrapped": 0,
        "disproved": 1, "unknown": 0,
    });
    assert_eq!(of_west, Some(&expected));

    let run = audit(&scene, &["--prove", "--kms-calls-per-second", "100"]).exits(7);
    let failed = format!("failed: {}: ", scene.beside("planted").uri());
    assert!(run.stderr.contains(&failed), "{}", run.stderr);
    let table = String::from_utf8(run.stdout).expect("text");
    let count = |count: u64| format!("{count:>12}");
    for expected in [
        format!("{}  proven\n", count(2)),
        [2, 0, 1, 0, 1, 0].map(count).join(" ") + &format!("  {west}\n"),
        [2, 1, 2, 0, 0, 0].map(count).join(" ") + &format!("  {east}\n"),
        "objects     only key       proven    unwrapped    disproved      unknown  claimed wrapping key".into(),
        "Regions of proven KMS keys".into(),
    ] {
        assert!(table.contains(&expected), "{expected}: {table}");
    }
}

#[test]
fn keys_bound_to_another_place_are_listed_apart() {
    let scene = Scene::new("audit-moved");
    let source = scene.beside("source");
    source.put(b"text", &[]).exits(0);
    let moved = Scene::at(&server_env("SEALWAX_WEST_BUCKET"), &source.key);
    RawS3::new().copy(&source, &moved);
    let (uri, place) = (moved.uri(), format!("{}/{}", source.bucket, source.key));
    let audit = |args: &[&str]| Sealwax::new(["audit", &uri, "--exact"]).args(args).run();
    let text = String::from_utf8(audit(&["--list"]).exits(0).stdout).expect("text");
    let elsewhere = format!("{uri}: sealwax, bound to another place: {} ({place})\n", east_key());
    assert_eq!(text, elsewhere);
    let lines = json_lines(&audit(&["--lacks", "us-east-1", "--json"]).exits(0));
    assert_eq!(lines[0]["wrapping_keys"][0]["place"], place.as_str());
    assert_eq!(lines[0]["wrapping_keys"][0]["is_at_place"], false);
    assert_eq!(lines[1]["summary"]["elsewhere"], serde_json::json!({ east_key(): 1 }));
    assert_eq!(lines[1]["summary"]["wrapping_keys"], serde_json::json!([]));
    let lines = json_lines(&audit(&["--depends-on", &east_key(), "--json"]).exits(0));
    assert_eq!(lines[0]["depends"], "sole", "a reader may accept the place");
    let run = audit(&["--prove"]).exits(8);
    assert!(run.stderr.contains("bound to another place"), "{}", run.stderr);

    let replica = ["--replica-of", &source.bucket];
    let lacking = audit(&[&replica[..], &["--lacks", "us-east-1", "--json"]].concat()).exits(0);
    assert_eq!(objects(&lacking), [""; 0]);
    audit(&[&replica[..], &["--prove"]].concat()).exits(0);
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
        // Before the first object is done: there is no rate yet, and no time left.
        terminal.shows("0 of 3 objects  [--------------------]");
        held.let_go();
        terminal.ends().exits(0);
    }
    assert_eq!(audit(&scene, &[]).exits(0).stderr, "", "a bar, and no terminal");
}

/// The report says what standard output says, in three forms, and replaces no other.
#[test]
fn an_audit_writes_a_report() {
    let scene = Scene::new("audit-report");
    scene.beside("both").put(b"text", &["--key", &west_key()]).exits(0);
    scene.beside("east").put(b"text", &[]).exits(0);
    let folder = format!("{}/", scene.uri());
    let audit = || {
        let audit = Sealwax::new(["audit", &folder, "--lacks", "us-west-2", "--report"]);
        audit.args([scene.path("report")]).run()
    };
    let run = audit().exits(0);
    assert!(run.stderr.contains("2 objects audited\nreport: "), "{}", run.stderr);
    let text = |name: &str| std::fs::read_to_string(scene.path(name)).expect("a report");
    let json: serde_json::Value = serde_json::from_str(&text("report.json")).expect("JSON");
    assert_eq!(json["kind"], "sealwax-audit");
    assert_eq!((&json["passed"], &json["proven"]), (&true.into(), &false.into()));
    assert_eq!((&json["matching"], &json["failed"]), (&1.into(), &0.into()));
    assert_eq!(json["matching_objects"][0]["object"], scene.beside("east").uri());
    assert_eq!(json["summary"]["objects"], 2);
    assert_eq!(json["questions"]["lacks"], serde_json::json!(["us-west-2"]));
    assert_eq!(json["caller"]["account"], "000000000000");
    let conclusion = format!(
        "2 objects of {folder} were audited; their keys are what their metadata claims, and were not used. 1 object matches --lacks us-west-2."
    );
    assert_eq!(json["conclusion"], conclusion);
    for page in ["report.md", "report.html"] {
        assert!(text(page).contains(&scene.beside("east").uri()), "{page}");
    }
    audit().exits(2).says("a report never replaces an earlier one");
}

/// A monitor learns from the exit code whether any object is listed, and whether all were examined.
#[test]
fn the_exit_code_tells_a_monitor_what_was_found() {
    let scene = folder("audit-monitor");
    let monitored = |args: &[&str]| audit(&scene, &[args, &["--fail-if-any"]].concat());
    let run = monitored(&["--lacks", "us-west-2"]).exits(9);
    assert!(
        run.stderr.ends_with(
            "error: 1 of 3 objects found\n  hint: see the list; without --fail-if-any, the exit code is 0\n"
        ),
        "{}",
        run.stderr
    );
    audit(&scene, &["--lacks", "us-west-2"]).exits(0);
    monitored(&["--unsealed"]).exits(9).says("1 of 3 objects found");
    monitored(&["--depends-on", &east_key()]).exits(9).says("2 of 3 objects found");
    monitored(&["--depends-on", &east_key(), "--solely"]).exits(9).says("1 of 3 objects found");
    let other = server_env("SEALWAX_EAST_KEY_2");
    monitored(&["--depends-on", &other]).exits(0);
    // What is unknown outweighs what was found.
    scene.beside("unnamed").put(b"text", &["--format", "s3ec-v3"]).exits(0);
    monitored(&["--lacks", "us-west-2"]).exits(7).says("1 of 4 objects do not name all");
    let run = monitored(&["--list"]).exits(2);
    run.says("required arguments were not provided");
}
