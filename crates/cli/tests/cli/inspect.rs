//! `sealwax inspect`.

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::support::{RawS3, Scene, Sealwax, east_key, west_key};

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
        "claimed wrapping keys",
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
    let key = |arn: String, region| json!({ "provider": "aws-kms", "wrapping_key": arn, "region": region, "place": place, "is_at_place": true, "in_sidecar": false, "intermediate": null, "scope": null });
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

/// An object of a caching keyring, moved here from `bucket/key`.
#[test]
fn places_intermediate_keys_and_missing_keys_are_shown() {
    const ID: &str = "sLGys7S1tre4ubq7vL2-vxVvrXa23bwObYrHEJSCsFg";
    let scene = Scene::new("intermediate");
    let wrapped = format!("{}{}", "oKGi".repeat(20), "");
    let keys = format!(
        r#"[{{"place":"bucket/key","scope":7,"intermediate":"{ID}","data-key":"{wrapped}","keys":[["local","first","YGFi"]]}}]"#
    );
    let header = "QEFCQ0RFRkdISUpLTE1OT1BRUlNUVVZXEduUBFffqVOwLbSC8j+5IvwnMkmfhay2RQS2yxvPvs0";
    let metadata = [
        ("sealwax-format", "v1+Cobblestone-256"),
        ("sealwax-generation", "1"),
        ("sealwax-header", header),
        ("sealwax-keys", &keys),
        ("sealwax-length", "8"),
        ("sealwax-missing", r#"[["local","second"]]"#),
    ];
    let metadata: HashMap<_, _> =
        metadata.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    RawS3::new().put(&scene, vec![0; 80], metadata);
    let json = Sealwax::new(["inspect", "--json", &scene.uri()]).run().exits(0);
    let report: Value = serde_json::from_slice(&json.stdout).expect("JSON");
    let key = json!({
        "provider": "local", "wrapping_key": "first", "region": null, "place": "bucket/key",
        "is_at_place": false, "in_sidecar": false, "intermediate": ID, "scope": "bucket/",
    });
    assert_eq!((&report["keys"], &report["missing"]), (&json!([key]), &json!(["second"])));
    let text = Sealwax::new(["inspect", &scene.uri()]).run().exits(0).stdout;
    let text = String::from_utf8(text).expect("text");
    for expected in [
        "place    bucket/key (another place: it opens nothing here)",
        &format!("intermediate key {ID}, scope bucket/"),
        "missing wrapping keys\n    second",
    ] {
        assert!(text.contains(expected), "{expected:?} is not in:\n{text}");
    }
    let other = ["inspect", "--json", &scene.uri(), "--no-place-binding"];
    let report = Sealwax::new(other).run().exits(0).stdout;
    let report: Value = serde_json::from_slice(&report).expect("JSON");
    assert_eq!(report["keys"][0]["is_at_place"], true, "every place is accepted");
}

#[test]
fn the_keys_of_a_sidecar_are_shown() {
    let scene = Scene::new("inspect-sidecar");
    scene.put(b"text", &[]).exits(0);
    let add = ["rewrap", &scene.uri(), "--add", &west_key(), "--to-sidecar"];
    Sealwax::new(add).run().exits(0);
    let keys = |more: &[&str]| {
        let run = Sealwax::new(["inspect", "--json", &scene.uri()]).args(more).run().exits(0);
        let report: Value = serde_json::from_slice(&run.stdout).expect("JSON");
        let keys = report["keys"].as_array().expect("keys").iter();
        keys.map(|key| (key["wrapping_key"].clone(), key["in_sidecar"].clone())).collect::<Vec<_>>()
    };
    let (own, more) = ((json!(east_key()), json!(false)), (json!(west_key()), json!(true)));
    assert_eq!(keys(&[]), std::slice::from_ref(&own));
    assert_eq!(keys(&["--sidecars"]), [own, more]);
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
