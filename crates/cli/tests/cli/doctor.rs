//! `sealwax doctor`.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpListener,
    sync::mpsc,
    thread,
};

use serde_json::{Value, json};

use crate::support::{RawS3, Run, Scene, Sealwax, east_key, json_lines, second_s3, west_key};

/// Returns the statuses of one check, such as `ok` or `warning,ok`.
fn found(run: &Run, check: &str) -> String {
    let lines = json_lines(run);
    let of = lines.iter().filter(|line| line["check"] == check);
    of.map(|line| line["status"].as_str().expect("text")).collect::<Vec<_>>().join(",")
}

#[test]
fn all_is_well() {
    let scene = Scene::new("doctor");
    let prefix = scene.uri();
    let args = [
        "doctor",
        &prefix,
        "--json",
        "--key",
        &east_key(),
        "--key",
        &west_key(),
        "-c",
        "tenant=acme",
    ];
    let run = Sealwax::new(args).run().exits(0);
    for check in
        ["settings", "credentials", "clock", "Regions", "bucket", "versioning", "round trip"]
    {
        assert_eq!(found(&run, check), "ok", "{check}: {run:?}");
    }
    assert_eq!(found(&run, "key"), "ok,ok");
    assert_eq!(found(&run, "key policy"), "ok,ok,ok,ok,ok,ok,ok,ok");
    assert!(run.stderr.contains("0 failed"), "{}", run.stderr);
    // LocalStack ignores `DryRun`, and the message says so.
    let said =
        |line: &Value| line["message"].as_str().is_some_and(|text| text.contains("ignores DryRun"));
    assert!(json_lines(&run).iter().any(said), "{run:?}");
    assert_eq!(RawS3::new().versions(&scene.bucket, &scene.key), 0, "something is left behind");
    let run = Sealwax::new(["doctor", &prefix, "--read-only"]).run().exits(0);
    let text = String::from_utf8(run.stdout).expect("text");
    assert!(
        text.contains("skipped  store") && text.contains("hint: ") && !text.contains('\u{1b}'),
        "{text}"
    );
}

#[test]
fn conditional_requests_of_a_store() {
    let scene = Scene::new("doctor-store");
    let run = Sealwax::new(["doctor", &scene.uri(), "--json"]).run().exits(0);
    let of = |run: &Run, what: &str| {
        let lines = json_lines(run);
        let line = lines
            .iter()
            .find(|line| line["message"].as_str().is_some_and(|text| text.starts_with(what)));
        line.unwrap_or_else(|| panic!("{what}: {run:?}"))["status"]
            .as_str()
            .expect("text")
            .to_owned()
    };
    assert_eq!(of(&run, "If-None-Match on puts"), "ok");
    assert_eq!(of(&run, "If-Match on the target of copies"), "warning", "LocalStack ignores it");

    let second = RawS3::at(&second_s3());
    second.make_bucket(&scene.bucket);
    let run = Sealwax::new(["doctor", &scene.uri(), "--json"])
        .env("AWS_ENDPOINT_URL_S3", second_s3())
        .run()
        .exits(0);
    assert_eq!(of(&run, "If-None-Match on puts"), "ok");
    assert_eq!(second.keys(&scene.bucket, &scene.key).len(), 0, "something is left behind");
}

/// Returns the ARN of a key that does not exist, in the Region and account of `key`.
fn another_key_than(key: &str) -> String {
    let (start, last) = key.split_at(key.len() - 1);
    format!("{start}{}", if last == "0" { "1" } else { "0" })
}

#[test]
fn failed_checks_have_hints() {
    let scene = Scene::new("doctor-wrong");
    let absent = another_key_than(&east_key());
    let run =
        Sealwax::new(["doctor", "s3://no-such-bucket-of-sealwax", "--json", "--key", &absent])
            .run()
            .exits(1);
    assert_eq!((found(&run, "key"), found(&run, "bucket")), ("failed".into(), "failed".into()));
    assert!(
        json_lines(&run)
            .iter()
            .filter(|line| line["status"] == "failed")
            .all(|line| line["hint"].is_string())
    );
    assert!(run.stderr.contains("error: 2 of "), "{}", run.stderr);
    let run = Sealwax::new(["doctor", &scene.uri(), "--json"]);
    let run =
        run.without_env("AWS_ACCESS_KEY_ID").without_env("AWS_SECRET_ACCESS_KEY").run().exits(1);
    assert_eq!(found(&run, "credentials"), "failed");
    assert_eq!(found(&run, "bucket"), "", "not checked without credentials");
}

/// Starts a KMS that answers dry runs as AWS does, unlike the test servers, and denies `denied`.
///
/// It reports the calls. (AWS KMS Developer Guide, "Test your AWS KMS API calls".)
fn kms_with_dry_runs(denied: &'static str) -> (String, mpsc::Receiver<(String, Value)>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let (sender, asked) = mpsc::channel();
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let mut client = BufReader::new(client);
            let (mut call, mut len) = (String::new(), 0);
            let mut line = String::new();
            while client.read_line(&mut line).is_ok_and(|read| read > 0) && line != "\r\n" {
                let (name, value) = line.trim_end().split_once(": ").unwrap_or_default();
                match name.to_ascii_lowercase().as_str() {
                    "x-amz-target" => call = value.trim_start_matches("TrentService.").to_owned(),
                    "content-length" => len = value.parse().expect("a length"),
                    _ => {}
                }
                line.clear();
            }
            let mut body = vec![0; len];
            client.read_exact(&mut body).expect("a body");
            let body: Value = serde_json::from_slice(&body).expect("JSON");
            let (status, answer) = match call.as_str() {
                "DescribeKey" => (
                    200,
                    json!({ "KeyMetadata": { "KeyId": body["KeyId"], "KeyState": "Enabled" } }),
                ),
                call if call == denied => {
                    (400, json!({ "__type": "AccessDeniedException", "message": "not you" }))
                }
                _ => (
                    400,
                    json!({ "__type": "DryRunOperationException", "message": "it would have succeeded" }),
                ),
            };
            let answer = answer.to_string();
            let head = format!(
                "HTTP/1.1 {status} -\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                answer.len()
            );
            let _ = client.get_mut().write_all(format!("{head}{answer}").as_bytes());
            let _ = sender.send((call, body));
        }
    });
    (url, asked)
}

#[test]
fn key_policies_are_checked_by_dry_runs() {
    for (denied, status, code) in [
        ("", "ok,ok,ok,ok", 0),
        ("ReEncrypt", "ok,ok,ok,warning", 0),
        ("Decrypt", "ok,ok,failed,ok", 1),
    ] {
        let (kms, asked) = kms_with_dry_runs(denied);
        let doctor = Sealwax::new(["doctor", "--json", "--key", &east_key(), "-c", "tenant=acme"]);
        let run = doctor.env("AWS_ENDPOINT_URL_KMS", &kms).run().exits(code);
        assert_eq!(found(&run, "key policy"), status, "{denied}: {run:?}");
        let asked: Vec<_> = asked.try_iter().filter(|(call, _)| call != "DescribeKey").collect();
        assert_eq!(asked.len(), 4, "{asked:?}");
        for (call, body) in asked {
            assert_eq!(body["DryRun"], true, "{call}");
            let needs_none = matches!(call.as_str(), "Decrypt" | "ReEncrypt");
            assert_eq!(
                body["DryRunModifiers"][0] == "IGNORE_CIPHERTEXT",
                needs_none,
                "{call}: {body}"
            );
            let context =
                if call == "ReEncrypt" { "SourceEncryptionContext" } else { "EncryptionContext" };
            assert_eq!(body[context]["tenant"], "acme", "{call}: {body}");
        }
    }
}

#[test]
fn without_a_region_the_other_checks_run() {
    let scene = Scene::new("doctor-no-region");
    let run = Sealwax::new(["doctor", &scene.uri(), "--json", "--key", &east_key()])
        .without_env("AWS_REGION")
        .run()
        .exits(1);
    let lines = json_lines(&run);
    let settings = lines.iter().find(|line| line["check"] == "settings").expect("a check");
    assert_eq!(settings["status"], "failed");
    let message = settings["message"].as_str().expect("text");
    assert!(message.starts_with("no AWS Region is set, so us-east-1 is assumed"), "{message}");
    assert!(settings["hint"].as_str().is_some_and(|hint| hint.contains("--region")), "{settings}");
    for check in ["credentials", "bucket", "round trip"] {
        assert_eq!(found(&run, check), "ok", "{check}: {run:?}");
    }
}
