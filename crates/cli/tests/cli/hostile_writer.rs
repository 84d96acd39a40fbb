//! The commands on objects that a writer to the bucket changed: a sample, by processes. The suite
//! `hostile_writer` has all changes and the library calls of all commands.

use serde_json::Value;

use crate::support::{RawS3, Run, Scene, Sealwax, east_key, json_lines, server_env, west_key};

/// The attacker's key, of the operator's account.
fn foreign_key() -> String {
    server_env("SEALWAX_EAST_KEY_2")
}

/// A key that the operator adds.
fn new_key() -> String {
    server_env("SEALWAX_EAST_MRK")
}

/// One change of the list of wrapped keys; `older` is the list of an older version.
type Change = fn(keys: &mut Vec<Value>, older: &[Value]);

/// Expected behavior of the commands with an object after a change.
struct Expected {
    /// Exit code of commands that open the object.
    opens: i32,
    /// Exit code of copies and rewraps.
    changes: i32,
    /// Names that a copy drops.
    disproved: Vec<String>,
}

/// Stores an object of two versions under the keys of both Regions, and changes its wrapped keys.
fn tampered(name: &str, change: Change) -> Scene {
    let (scene, s3, west) = (Scene::new(name), RawS3::new(), west_key());
    let mut lists = Vec::new();
    for text in ["older", "text"] {
        scene.put(text.as_bytes(), &["--key", &west, "-c", "tenant=acme"]).exits(0);
        let keys: Value = serde_json::from_str(&s3.get(&scene).1["sealwax-keys"]).expect("a list");
        lists.push(keys[0]["keys"].as_array().expect("keys").clone());
    }
    let (body, mut metadata) = s3.get(&scene);
    let [older, keys] = &mut lists[..] else { unreachable!() };
    change(keys, older);
    let place = format!("{}/{}", scene.bucket, scene.key);
    let keys = serde_json::to_string(keys).expect("JSON");
    metadata.insert("sealwax-keys".to_owned(), format!(r#"[{{"place":"{place}","keys":{keys}}}]"#));
    s3.put(&scene, body, metadata);
    scene
}

fn run(args: &[&str]) -> Run {
    Sealwax::new(args).run()
}

/// Asserts that the attacker's key opens nothing.
fn assert_closed(scene: &Scene) {
    let get = scene.get(&["--key", &foreign_key()]);
    assert!([Some(3), Some(5)].contains(&get.code), "{get:?}");
    assert!(get.stdout.is_empty(), "plaintext for the attacker");
}

/// Runs each command on an object of its own.
fn check(name: &str, change: Change, expected: &Expected) {
    let Expected { opens, changes, disproved } = expected;
    let scene = tampered(name, change);
    let uri = scene.uri();
    let (new, east, foreign) = (new_key(), east_key(), foreign_key());

    // Commands that only read.
    let got = scene.get(&["-c", "tenant=acme"]).exits(*opens);
    assert_eq!(got.stdout, if *opens == 0 { &b"text"[..] } else { b"" }, "{name}");
    run(&["verify", &uri]).exits(if *opens == 0 { 0 } else { 8 });
    run(&["head", &uri]).exits(0);
    run(&["audit", &uri]).exits(0);
    let listed = json_lines(&run(&["ls", &uri, "--long", "--json"]).exits(0)).remove(0);
    let inspected = json_lines(&run(&["inspect", &uri, "--json"]).exits(0)).remove(0);
    let names = |keys: &Value, of: fn(&Value) -> &Value| -> Vec<String> {
        let keys = keys.as_array().expect("keys").iter();
        keys.map(|key| of(key).as_str().expect("a name").to_owned()).collect()
    };
    let claimed = names(&inspected["keys"], |key| &key["wrapping_key"]);
    assert_eq!(names(&listed["keys"], |key| key), claimed, "{name}");

    // Copies.
    let copy = scene.beside("copy");
    let copied = run(&["cp", &uri, &copy.uri(), "--json"]).exits(*changes);
    if *changes == 0 {
        let report = json_lines(&copied).remove(0);
        let dropped = report.get("disproved").map(|keys| names(keys, |key| key));
        assert_eq!(dropped.unwrap_or_default(), *disproved, "{name}: {report}");
        assert!(!names(&report["keys"], |key| key).contains(&foreign), "{name}: {report}");
        assert_eq!(copy.get(&["--key", &east]).exits(0).stdout, b"text", "{name}");
        assert_closed(&copy);
    }
    let moved = scene.beside("moved");
    if *changes == 0 && disproved.is_empty() {
        let source = tampered(&format!("{name}-mv"), change);
        run(&["mv", &source.uri(), &moved.uri()]).exits(0);
        source.get(&[]).fails(4, "");
        assert_eq!(moved.get(&[]).exits(0).stdout, b"text", "{name}");
    } else {
        let why = if *changes == 0 { "kept the source" } else { "" };
        let code = if *changes == 0 { 1 } else { *changes };
        run(&["mv", &uri, &moved.uri()]).fails(code, why);
        assert_eq!(scene.get(&[]).exits(*opens).stdout, got.stdout, "{name}");
    }
    for scene in [&scene, &moved] {
        if RawS3::new().head(scene).is_some() {
            assert_closed(scene);
        }
    }

    // Key changes. An object that nothing opens stays unchanged.
    for args in [["--add", &new], ["--replace", &new]] {
        let scene = tampered(&format!("{name}-rewrap"), change);
        Sealwax::new(["rewrap", &scene.uri()]).args(args).run().exits(*changes);
        if *changes == 0 {
            assert_eq!(scene.get(&["--key", &new]).exits(0).stdout, b"text", "{name} {args:?}");
        }
        assert_closed(&scene);
    }
    run(&["reencrypt", &uri, "-c", "tenant=acme", "--under", &new]).exits(*opens);
    if *opens == 0 {
        assert_eq!(scene.get(&["--key", &new]).exits(0).stdout, b"text", "{name}");
        scene.get(&["--key", &east]).fails(5, "none of this object's wrapping keys");
    }
    assert_closed(&scene);
    run(&["rm", &uri, "--yes"]).exits(0);
}

fn key(name: String, ciphertext: &str) -> Value {
    serde_json::json!(["aws-kms", name, ciphertext])
}

#[test]
fn a_foreign_name() {
    let change: Change = |keys, _| keys.push(key(foreign_key(), "AAAA"));
    check("foreign", change, &Expected { opens: 0, changes: 0, disproved: vec![foreign_key()] });
}

#[test]
fn an_older_key_before_the_genuine_one() {
    let change: Change = |keys, older| keys.insert(0, older[0].clone());
    check("older", change, &Expected { opens: 0, changes: 0, disproved: Vec::new() });
}

#[test]
fn a_replaced_key() {
    let change: Change = |keys, older| keys[1] = older[1].clone();
    check("replaced", change, &Expected { opens: 0, changes: 0, disproved: vec![west_key()] });
}

#[test]
fn exchanged_keys() {
    let change: Change = |keys, _| {
        let (east, west) = (keys[0][2].clone(), keys[1][2].clone());
        (keys[0][2], keys[1][2]) = (west, east);
    };
    check("exchanged", change, &Expected { opens: 3, changes: 3, disproved: Vec::new() });
}
