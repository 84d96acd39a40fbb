//! `sealwax drill`.

use std::{collections::HashMap, fs};

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::support::{RawS3, Run, Scene, Sealwax, json_lines, server_env, west_key};

/// Returns a source and its replica, with one object of both Regions and one of the East alone.
fn replicated(name: &str) -> (Scene, Scene) {
    let (s3, source) = (RawS3::new(), Scene::new(name));
    source.beside("both").put(b"text", &["--key", &west_key()]).exits(0);
    source.beside("east").put(b"text", &[]).exits(0);
    let mut replica = Scene::new(name);
    (replica.bucket, replica.key) = (server_env("SEALWAX_WEST_BUCKET"), source.key.clone());
    for object in ["both", "east"] {
        s3.copy(&source.beside(object), &replica.beside(object));
    }
    (source, replica)
}

fn drill(source: &Scene, replica: &Scene, args: &[&str]) -> Run {
    drill_without("us-east-1", source, replica, args)
}

fn drill_without(region: &str, source: &Scene, replica: &Scene, args: &[&str]) -> Run {
    let (folder, report) = (format!("{}/", replica.uri()), replica.path("report"));
    let fixed =
        ["--replica-of", &source.bucket, "--region", "us-west-2", "--block", region, "--report"];
    Sealwax::new(["drill", &folder]).args(fixed).args([report]).args(args).run()
}

/// Takes the report away, so that the next drill can write its own.
fn report(replica: &Scene) -> (Value, String) {
    let take = |name: &str| {
        let text = fs::read_to_string(replica.path(name)).expect("a report");
        fs::remove_file(replica.path(name)).expect("removed");
        text
    };
    let (json, page, html) = (take("report.json"), take("report.md"), take("report.html"));
    let digest = sha256(json.as_bytes());
    assert!(page.contains(&digest) && html.contains(&digest), "the digest of the JSON");
    (serde_json::from_str(&json).expect("JSON"), page)
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_replica_that_needs_its_source_fails_and_passes_once_rewrapped() {
    let (source, replica) = replicated("drill");
    drill(&source, &replica, &[]).exits(7);
    let (json, page) = report(&replica);
    assert_eq!(
        (&json["passed"], &json["counts"]["objects"], &json["counts"]["opened"]),
        (&false.into(), &2.into(), &1.into())
    );
    assert_eq!(json["failed_objects"][0]["object"], replica.beside("east").uri());
    assert_eq!(
        json["blocked"],
        serde_json::json!([{
            "region": "us-east-1", "objects_with_key": 2, "objects_with_no_other_key": 1,
            "is_source_region": false,
        }])
    );
    assert_eq!(
        json["key_regions"],
        serde_json::json!([
            {"regions": ["us-east-1"], "objects": 1},
            {"regions": ["us-east-1", "us-west-2"], "objects": 1},
        ])
    );
    assert_eq!(
        json["kms_keys"],
        serde_json::json!([
            {"wrapping_key": west_key(), "region": "us-west-2", "decrypt_calls": 1}
        ]),
        "the key that opened"
    );
    assert_eq!(json["failures"][0]["reason"], "unavailable");
    assert_eq!(json["failures"][0]["objects"], 1);
    assert_eq!(json["caller"]["account"], "000000000000");
    let line = json["command_line"].as_str().expect("a command line");
    assert!(line.contains("drill s3://") && line.contains("--block us-east-1"), "{line}");
    assert_eq!((&json["kind"], &json["previous"]), (&"sealwax-drill".into(), &Value::Null));
    assert_eq!(json["failed_objects"][0]["reason"], "unavailable");
    assert!(
        page.contains("# Disaster recovery drill: Failed")
            && page.contains(&replica.beside("east").uri()),
        "{page}"
    );
    let refused = json["refused_requests"].as_array().expect("a list");
    let of = |service: &str| {
        refused.iter().find(|it| it["service"] == service).expect(service)["requests"].clone()
    };
    assert_eq!((of("s3"), of("sts")), (1.into(), 1.into()), "the probes");
    assert!(
        of("kms").as_u64() > Some(1),
        "the probe, and the object that needs the East: {refused:?}"
    );

    let east = replica.beside("east");
    let rewrap = [
        "rewrap",
        &east.uri(),
        "--add",
        &west_key(),
        "--replica-of",
        &source.bucket,
        "--region",
        "us-west-2",
    ];
    Sealwax::new(rewrap).run().exits(0);
    let from = format!("s3://{}/{}/", source.bucket, source.key);
    let run = drill(&source, &replica, &["--full", "--source", &from]).exits(0);
    assert!(run.stderr.contains("2 objects: 2 opened; report: "), "{}", run.stderr);
    let (json, page) = report(&replica);
    assert_eq!(
        (&json["passed"], &json["depth"], &json["blocked_regions"][0]),
        (&true.into(), &"full".into(), &"us-east-1".into())
    );
    assert_eq!((&json["source"]["objects"], &json["source"]["absent"]), (&2.into(), &0.into()));
    assert_eq!(json["source"]["oldest_unreplicated"], Value::Null);
    assert!(page.contains("# Disaster recovery drill: Passed"), "{page}");
}

#[test]
fn late_replication_fails_the_drill() {
    let (source, replica) = replicated("drill-lag");
    source.beside("late").put(b"text", &["--key", &west_key()]).exits(0);
    let from = format!("s3://{}/{}/", source.bucket, source.key);
    let late = ["--source", &from, "--key", &west_key(), "--key", &crate::support::east_key()];
    // The object of the East alone does not open; late objects are reported as well.
    drill(&source, &replica, &[&late[..], &["--lag", "1h"]].concat()).exits(7);
    let (json, page) = report(&replica);
    assert_eq!(
        (&json["source"]["absent"], &json["source"]["is_behind"]),
        (&1.into(), &false.into())
    );
    let oldest = &json["source"]["oldest_unreplicated"];
    assert_eq!(
        (&oldest["object"], &oldest["is_outdated"]),
        (&source.beside("late").uri().into(), &false.into())
    );
    // LocalStack returns no replication status.
    assert_eq!(oldest["replication_status"], "not-told");
    assert_eq!(json["source"]["unreplicated_objects"], Value::Array(vec![oldest.clone()]));
    assert_eq!(json["source"]["replication_statuses"], serde_json::json!({"not-told": 1}));
    let of = oldest["last_modified"].as_str().expect("a time");
    let age = oldest["age_seconds"].as_u64().expect("an age");
    assert!(age < 3600, "{age}");
    let line = format!("| `{}` | {of} | ", source.beside("late").uri());
    assert!(
        page.contains(&line)
            && page.contains(" | absent | not told |")
            && page.contains("| replication status of absent or outdated objects | 1 not told |"),
        "{page}"
    );

    let east = replica.beside("east");
    let rewrap = [
        "rewrap",
        &east.uri(),
        "--add",
        &west_key(),
        "--replica-of",
        &source.bucket,
        "--region",
        "us-west-2",
    ];
    Sealwax::new(rewrap).run().exits(0);
    let run = drill(&source, &replica, &[&late[..], &["--lag", "1h"]].concat()).exits(0);
    let told = "2 objects: 2 opened; 1 object of the source is not in the replica yet (oldest ";
    assert!(run.stderr.contains(told), "{}", run.stderr);
    drop(report(&replica));
    std::thread::sleep(std::time::Duration::from_secs(2));
    let run = drill(&source, &replica, &[&late[..], &["--lag", "1s"]].concat()).exits(7);
    assert!(run.stderr.contains("1 object of the source not replicated in time"), "{}", run.stderr);
    let (_, page) = report(&replica);
    assert!(page.contains("| within it | NO |"), "{page}");
}

#[test]
fn the_replicas_own_region_cannot_be_blocked() {
    let scene = Scene::new("drill-usage");
    let run = Sealwax::new(["drill", &scene.uri(), "--block", "us-east-1"]).run();
    run.fails(2, "it is the replica's Region");
    let drill = Sealwax::new(["drill", &scene.uri()]).run().exits(2);
    drill.says("required arguments were not provided:\n  --block");
    assert_eq!(scene.files(), [""; 0], "no report");
}

/// The command of every month: reports stay, and each is compared with the one before.
#[test]
fn reports_stay_and_are_compared() {
    let (source, replica) = replicated("drill-reports");
    drill(&source, &replica, &[]).exits(7);
    let json = fs::read(replica.path("report.json")).expect("a report");
    let run = drill(&source, &replica, &[]).exits(2);
    let file = replica.path("report.json");
    run.says(&format!("{} exists: a report never replaces an earlier one", file.display()));
    assert_eq!(fs::read(&file).expect("a report"), json);

    let folder = format!("{}/", replica.uri());
    let monthly = |more: &[&str]| {
        let drill = Sealwax::new(["drill", &folder, "--replica-of", &source.bucket]);
        let fixed = ["--region", "us-west-2", "--block", "us-east-1", "--report"];
        drill.args(fixed).args([replica.path("")]).args(more).run().exits(7)
    };
    monthly(&[]);
    let dated = replica.files().into_iter().find(|name| name.ends_with("Z.json"));
    let dated = dated.expect("a report with its time");
    assert!(dated.starts_with("sealwax-drill-20") && !dated.contains(':'), "{dated}");
    let second: Value =
        serde_json::from_slice(&fs::read(replica.path(&dated)).expect("there")).expect("JSON");
    assert_eq!(second["previous"]["file"], "report.json");
    assert_eq!(second["previous"]["sha256"], sha256(&json));
    assert_eq!((&second["previous"]["failed"], &second["failed"]), (&1.into(), &1.into()));
    drill(&source, &replica, &["--previous", "absent.json"]).exits(2);
}

/// A misspelt Region is not blocked by mistake: the drill would pass and prove nothing.
#[test]
fn a_region_that_nothing_uses_cannot_be_blocked() {
    let (source, replica) = replicated("drill-misspelt");
    for region in ["us-eats-1", "eu-west-1"] {
        let run = drill_without(region, &source, &replica, &[]).exits(2);
        assert_eq!(
            run.stderr,
            format!(
                "error: no object of {}/ has a key in {region}, and the source is not there: nothing was rehearsed\n  hint: --block us-east-1 (2 objects claim a key there)\n",
                replica.uri()
            )
        );
    }
    let from = format!("s3://{}/{}/", source.bucket, source.key);
    let run = drill_without("us-eats-1", &source, &replica, &["--source", &from]).exits(2);
    run.says(&format!("the source bucket {} is in us-east-1, not in us-eats-1", source.bucket))
        .says("hint: --block us-east-1 to rehearse the loss of the source's Region");
    let run = drill_without("US-EAST-1", &source, &replica, &[]).exits(2);
    run.says("AWS writes the names of Regions in lower case: us-east-1");
    assert_eq!(replica.files(), [""; 0], "no report");
}

#[test]
fn a_drill_that_opens_nothing_is_an_error() {
    let (s3, scene) = (RawS3::new(), Scene::new("drill-nothing"));
    s3.put(&scene.beside("folder/"), vec![], HashMap::new());
    let folder = format!("{}/", scene.uri());
    let drill = Sealwax::new(["drill", &folder, "--block", "us-west-2", "--report"]);
    let run = drill.args([scene.path("report")]).run().exits(4);
    run.says(&format!("no sealed object in {folder}: nothing was rehearsed"));
    assert_eq!(scene.files(), [""; 0], "no report");
}

#[test]
fn json_has_a_line_for_each_object_and_a_summary() {
    let (source, replica) = replicated("drill-json");
    let from = format!("s3://{}/{}/", source.bucket, source.key);
    source.beside("late").put(b"text", &[]).exits(0);
    let run = drill(&source, &replica, &["--json", "--source", &from]).exits(7);
    let mut lines = json_lines(&run);
    let summary = lines.pop().expect("a summary")["summary"].clone();
    lines.sort_by_key(|line| line["object"].to_string());
    let seconds = |line: &Value| assert!(line["seconds"].as_f64().is_some(), "{line}");
    lines.iter().for_each(seconds);
    assert_eq!(lines.len(), 2, "{lines:?}");
    let [both, east] = &lines[..] else { unreachable!() };
    assert_eq!(
        (&both["object"], &both["opens"]),
        (&replica.beside("both").uri().into(), &true.into())
    );
    assert_eq!(both["key_regions"], serde_json::json!(["us-east-1", "us-west-2"]));
    assert_eq!((&east["opens"], &east["reason"]), (&false.into(), &"unavailable".into()));
    assert_eq!(east["key_regions"], serde_json::json!(["us-east-1"]));
    let (report, _) = report(&replica);
    for name in ["passed", "failed", "conclusion", "blocked_regions"] {
        assert_eq!(summary[name], report[name], "{name}");
    }
    for name in ["objects", "opened", "failures"] {
        assert_eq!(summary[name], report["counts"][name], "{name}");
    }
    assert_eq!((&summary["passed"], &summary["failed"]), (&false.into(), &1.into()));
    assert_eq!(summary["unreplicated"], 1);
    let files = ["json", "md", "html"].map(|end| replica.path(&format!("report.{end}")));
    assert_eq!(summary["report"], serde_json::json!(files));

    // What rehearses nothing has no report, and says so.
    let run = drill_without("eu-west-1", &source, &replica, &["--json"]).exits(2);
    let lines = json_lines(&run);
    let summary = &lines.last().expect("a summary")["summary"];
    assert_eq!((&summary["objects"], &summary["passed"]), (&2.into(), &Value::Null));
    assert_eq!(summary["report"], Value::Null);
    assert!(!replica.path("report.json").exists());
}
