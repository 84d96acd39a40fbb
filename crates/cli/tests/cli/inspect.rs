//! `sealwax inspect`.

use serde_json::{Value, json};

use crate::support::{Scene, Sealwax, east_key, west_key};

fn inspected(name: &str) -> Scene {
    let scene = Scene::new(name);
    let more = [
        "--key",
        &west_key(),
        "-c",
        "tenant=acme",
        "--metadata",
        "colour=blue",
        "--content-type",
        "text/plain",
    ];
    scene.put(b"twelve bytes", &more).exits(0);
    scene
}

#[test]
fn as_text() {
    let scene = inspected("text");
    let run = Sealwax::new(["inspect", &scene.uri()]).run().exits(0);
    assert_eq!(run.stderr, "");
    let text = String::from_utf8(run.stdout).expect("text");
    for expected in [
        &scene.uri(),
        "v1+Cobblestone-256",
        "12 bytes",
        "tenant = acme",
        "colour = blue",
        "text/plain",
        &east_key(),
        &west_key(),
        "us-west-2",
        &format!("{}/{}", scene.bucket, scene.key),
        "Not authenticated: no key was used.",
    ] {
        assert!(text.contains(expected), "{expected:?} is not in:\n{text}");
    }
}

#[test]
fn as_json() {
    let scene = inspected("json");
    let run = Sealwax::new(["inspect", "--json", &scene.uri()]).run().exits(0);
    assert_eq!(run.stderr, "");
    assert_eq!(run.stdout.iter().filter(|byte| **byte == b'\n').count(), 1, "one line");
    let mut report: Value = serde_json::from_slice(&run.stdout).expect("JSON");
    for changing in ["version_id", "e_tag", "last_modified"] {
        let value = report[changing].take();
        assert!(value.as_str().is_some_and(|text| !text.is_empty()), "{changing}: {value}");
    }
    let place = format!("{}/{}", scene.bucket, scene.key);
    let key = |arn: String, region| json!({ "provider": "aws-kms", "wrapping_key": arn, "region": region, "place": place });
    let expected = json!({
        "object": scene.uri(),
        "authenticated": false,
        "format": "v1+Cobblestone-256",
        "plaintext_bytes": 12,
        "encryption_context": { "tenant": "acme" },
        "generation": 1,
        "keys": [key(east_key(), "us-east-1"), key(west_key(), "us-west-2")],
        "missing": [],
        "content_type": "text/plain",
        "storage_class": null,
        "version_id": null,
        "e_tag": null,
        "last_modified": null,
        "metadata": { "colour": "blue" },
    });
    assert_eq!(report, expected);
}

#[test]
fn needs_no_kms_and_no_sts() {
    let scene = inspected("no-kms");
    let nowhere = "http://127.0.0.1:1";
    let run = Sealwax::new(["inspect", &scene.uri()])
        .env("AWS_ENDPOINT_URL_KMS", nowhere)
        .env("AWS_ENDPOINT_URL_STS", nowhere)
        .run();
    run.exits(0);
}

#[test]
fn stored_text_cannot_control_the_terminal() {
    let scene = Scene::new("terminal");
    scene.put(b"", &["-c", "evil=\u{1b}[31m"]).exits(0);
    let run = Sealwax::new(["inspect", &scene.uri()]).run().exits(0);
    assert!(!run.stdout.contains(&0x1b), "an escape character");
}
