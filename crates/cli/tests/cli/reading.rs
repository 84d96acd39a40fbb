//! `sealwax ls`, `head` and `cat`.

use std::collections::HashMap;

use crate::support::{RawS3, Scene, Sealwax, bytes, east_key, json_lines, west_key};

/// Creates a folder with sealed and unsealed objects.
fn objects(name: &str) -> Scene {
    let scene = Scene::new(name);
    scene
        .beside("sealed")
        .put(b"eleven text", &["-c", "tenant=acme", "--key", &west_key()])
        .exits(0);
    scene.beside("sub/deep").put(b"", &[]).exits(0);
    RawS3::new().put(&scene.beside("plain"), b"text".to_vec(), HashMap::new());
    // A length that a sealed object can have.
    RawS3::new().put(&scene.beside("plain-long"), vec![0; 100], HashMap::new());
    scene
}

#[test]
fn one_level_with_plaintext_lengths() {
    let scene = objects("ls");
    let run = Sealwax::new(["ls", &format!("{}/", scene.uri())]).run().exits(0);
    let text = String::from_utf8(run.stdout).expect("text");
    let of = |name: &str| {
        let line =
            text.lines().find(|line| line.contains(&format!("/{name}"))).expect("it is listed");
        line.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(of("sealed")[1], "11");
    assert_eq!(of("plain")[1..], ["4", &format!("{}/plain", scene.uri()), "(as", "stored)"]);
    assert_eq!(of("sub")[..], ["folder", &format!("{}/sub/", scene.uri())]);
    assert_eq!(text.lines().count(), 4, "{text}");
    let run = Sealwax::new(["ls", &format!("{}/nothing", scene.uri())]).run().exits(0);
    assert!(run.stdout.is_empty() && run.stderr.contains("no objects in"), "{run:?}");
}

#[test]
fn long_shows_sealed_objects_and_their_keys() {
    let scene = objects("ls-long");
    let run = Sealwax::new(["ls", &scene.uri(), "-r", "--long", "--json"]).run().exits(0);
    let lines = json_lines(&run);
    let of = |name: &str| {
        lines
            .iter()
            .find(|line| line["object"] == format!("{}/{name}", scene.uri()))
            .expect("listed")
    };
    assert_eq!(lines.len(), 4);
    let sealed = of("sealed");
    assert_eq!((&sealed["sealed"], &sealed["plaintext_bytes"]), (&true.into(), &11.into()));
    assert_eq!(sealed["keys"], serde_json::json!([east_key(), west_key()]));
    assert_eq!(sealed["encryption_context"], serde_json::json!({ "tenant": "acme" }));
    assert_eq!(of("sub/deep")["plaintext_bytes"], 0);
    for name in ["plain", "plain-long"] {
        assert_eq!(
            (&of(name)["sealed"], &of(name)["plaintext_bytes"]),
            (&false.into(), &serde_json::Value::Null)
        );
    }
    let run = Sealwax::new(["ls", &scene.uri(), "-rl", "--include", "sealed", "-H"]).run().exits(0);
    let text = String::from_utf8(run.stdout).expect("text");
    assert!(
        text.contains("11 bytes  sealed    us-east-1,us-west-2") && text.contains("tenant=acme"),
        "{text}"
    );
    let run = Sealwax::new(["ls", &scene.uri(), "-r", "--json"]).run().exits(0);
    assert!(json_lines(&run).iter().all(|line| line["sealed"] != true), "not inspected");
}

#[test]
fn buckets() {
    let scene = Scene::new("buckets");
    let text = String::from_utf8(Sealwax::new(["ls"]).run().exits(0).stdout).expect("text");
    assert!(text.lines().any(|line| line.ends_with(&format!("  s3://{}", scene.bucket))), "{text}");
    Sealwax::new(["ls", "s3://no-such-bucket-of-sealwax"]).run().fails(4, "NoSuchBucket");
}

#[test]
fn a_damaged_object_is_reported() {
    let scene = Scene::new("ls-damaged");
    // The length of a file is known, and stored with the object.
    let file = scene.file("file", b"text");
    Sealwax::new(["put"]).args([file]).args([&*scene.uri(), "--key", &east_key()]).run().exits(0);
    let (body, metadata) = RawS3::new().get(&scene);
    RawS3::new().put(&scene, body[..body.len() - 1].to_vec(), metadata);
    let run = Sealwax::new(["ls", &scene.uri(), "--long"]).run().exits(8);
    assert!(String::from_utf8_lossy(&run.stdout).contains("failed"), "{run:?}");
}

#[test]
fn head_of_sealed_and_other_objects() {
    let scene = objects("head");
    let head = |name: &str| {
        let run =
            Sealwax::new(["head", &format!("{}/{name}", scene.uri()), "--json"]).run().exits(0);
        json_lines(&run).remove(0)
    };
    let sealed = head("sealed");
    assert_eq!((&sealed["sealed"], &sealed["plaintext_bytes"]), (&true.into(), &11.into()));
    assert!(
        sealed["stored_bytes"].as_u64() > Some(11) && sealed["metadata"] == serde_json::json!({}),
        "{sealed}"
    );
    let plain = head("plain-long");
    assert_eq!((&plain["sealed"], &plain["stored_bytes"]), (&false.into(), &100.into()));
    let text = Sealwax::new(["head", &format!("{}/plain", scene.uri())]).run().exits(0).stdout;
    assert!(
        String::from_utf8_lossy(&text).contains("sealed         no"),
        "{}",
        String::from_utf8_lossy(&text)
    );
    Sealwax::new(["head", &format!("{}/absent", scene.uri())])
        .run()
        .fails(4, "cannot read the header of");
}

#[test]
fn ranges_of_an_object() {
    let scene = Scene::new("cat");
    let plaintext = bytes(100_000);
    scene.put(&plaintext, &["-c", "tenant=acme"]).exits(0);
    let cat = |range: &str| Sealwax::new(["cat", &scene.uri(), "--range", range]).run();
    for (range, expected) in [
        ("0-9", &plaintext[..10]),
        ("16383-16384", &plaintext[16_383..16_385]),
        ("99990-", &plaintext[99_990..]),
        ("99990-200000", &plaintext[99_990..]),
        ("-5", &plaintext[99_995..]),
    ] {
        assert!(cat(range).exits(0).stdout == expected, "{range}");
    }
    cat("200000-").fails(2, "range");
    let run = cat("5-4").exits(2);
    assert!(run.stderr.contains("the last byte is before the first"), "{}", run.stderr);
    Sealwax::new(["cat", &scene.uri(), "-c", "tenant=other"]).run().fails(3, "tenant");
    let whole = Sealwax::new(["cat", &scene.uri(), &scene.uri()]).run().exits(0);
    assert!(whole.stdout == [&plaintext[..], &plaintext].concat());
}
