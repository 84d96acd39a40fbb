//! `sealwax drill`.

use std::fs;

use serde_json::Value;

use crate::support::{RawS3, Run, Scene, Sealwax, server_env, west_key};

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
    let (folder, report) = (format!("{}/", replica.uri()), replica.path("report"));
    let fixed = [
        "--replica-of",
        &source.bucket,
        "--region",
        "us-west-2",
        "--block",
        "us-east-1",
        "--report",
    ];
    Sealwax::new(["drill", &folder]).args(fixed).args([report]).args(args).run()
}

fn report(replica: &Scene) -> (Value, String) {
    let json = fs::read_to_string(replica.path("report.json")).expect("a report");
    (
        serde_json::from_str(&json).expect("JSON"),
        fs::read_to_string(replica.path("report.md")).expect("a page"),
    )
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
    assert_eq!(json["failed_objects"][0]["reason"], "unavailable");
    assert!(
        page.contains("# Disaster recovery drill: FAILED")
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
    assert!(page.contains("# Disaster recovery drill: passed"), "{page}");
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
    let line = format!("| `{}` | {of} | absent | not told |", source.beside("late").uri());
    assert!(
        page.contains(&line)
            && page.contains("| replication status of absent and older objects | 1 not told |"),
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
    drill(&source, &replica, &[&late[..], &["--lag", "1h"]].concat()).exits(0);
    std::thread::sleep(std::time::Duration::from_secs(2));
    let run = drill(&source, &replica, &[&late[..], &["--lag", "1s"]].concat()).exits(7);
    assert!(run.stderr.contains("1 object of the source not replicated in time"), "{}", run.stderr);
    let (_, page) = report(&replica);
    assert!(page.contains("| replicated in time | NO |"), "{page}");
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
