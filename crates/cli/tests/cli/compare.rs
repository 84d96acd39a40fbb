//! `sealwax compare`: what differs between a source and its replica after a fail-over.

use std::{fs, thread, time::Duration};

use serde_json::Value;

use crate::support::{RawS3, Run, Scene, Sealwax, json_lines, west_key};

/// A source and its replica, both with versions, in one test's buckets.
struct Sides {
    s3: RawS3,
    source: Scene,
    replica: Scene,
    since: String,
}

impl Sides {
    fn new(name: &str) -> Self {
        let s3 = RawS3::new();
        let (mut source, mut replica) = (Scene::new(name), Scene::new(name));
        let unique = source.key.split('/').nth(1).expect("a unique part").to_lowercase();
        let unique = unique.replace(['_', '.'], "-");
        (source.bucket, replica.bucket) = (format!("{unique}-source"), format!("{unique}-replica"));
        (source.key, replica.key) = ("2026".into(), "2026".into());
        for bucket in [&source.bucket, &replica.bucket] {
            s3.make_bucket(bucket);
            s3.version(bucket);
        }
        Self { s3, source, replica, since: String::new() }
    }

    fn put_in(&self, side: &Scene, key: &str, text: &str) {
        side.beside(key).put(text.as_bytes(), &["--key", &west_key()]).exits(0);
    }

    fn replicate(&self, key: &str) {
        self.s3.copy(&self.source.beside(key), &self.replica.beside(key));
    }

    /// Both sides have the same object, and the source is lost.
    fn lose_source(&mut self, keys: &[&str]) {
        for key in keys {
            self.put_in(&self.source, key, "before");
            self.replicate(key);
        }
        // S3's times are whole seconds.
        thread::sleep(Duration::from_millis(1100));
        let now = std::process::Command::new("date").args(["-u", "+%Y-%m-%dT%H:%M:%SZ"]).output();
        self.since = String::from_utf8(now.expect("the time").stdout).expect("text").trim().into();
    }

    fn rewrap_replica(&self, key: &str) {
        let object = self.replica.beside(key).uri();
        let rewrap = ["rewrap", &object, "--add", &west_key(), "--replica-of", &self.source.bucket];
        Sealwax::new(rewrap).args(["--rebind"]).run().exits(0);
    }

    fn compare(&self, more: &[&str]) -> Run {
        let prefix = format!("{}/", self.source.uri());
        let replica = format!("{}=us-east-1", self.replica.bucket);
        let compare = ["compare", &prefix, "--replica", &replica, "--since", &self.since];
        Sealwax::new(compare).args(more).run()
    }
}

/// Returns the differences as `difference key`, sorted, and the counts.
fn differences(run: &Run) -> (Vec<String>, Value) {
    let mut lines = json_lines(run);
    let summary = lines.pop().expect("a summary")["summary"].clone();
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let name = |line: &Value| format!("{} {}", text(&line["difference"]), text(&line["key"]));
    let mut names: Vec<_> = lines.iter().map(name).collect();
    names.sort();
    (names, summary)
}

#[test]
fn each_kind_of_difference_is_told() {
    let mut sides = Sides::new("compare");
    let all = [
        "untouched",
        "rewrapped",
        "overwritten",
        "both",
        "source",
        "deleted",
        "deleted-and-changed",
        "unreplicated",
        "gone",
    ];
    sides.lose_source(&all);
    // An update that the replica never got, just before the loss: the replica still has the older one.
    sides.rewrap_replica("rewrapped");
    let changes: [(&Scene, &str); 6] = [
        (&sides.replica, "overwritten"),
        (&sides.replica, "new"),
        (&sides.replica, "both"),
        (&sides.source, "both"),
        (&sides.source, "source"),
        (&sides.source, "deleted-and-changed"),
    ];
    for (side, key) in changes {
        sides.put_in(side, key, "since");
    }
    for (side, key) in [
        (&sides.replica, "deleted"),
        (&sides.replica, "deleted-and-changed"),
        (&sides.source, "gone"),
        (&sides.replica, "gone"),
    ] {
        Sealwax::new(["rm", &side.beside(key).uri(), "--yes"]).run().exits(0);
    }
    let manifest = sides.source.path("manifest.csv");
    let run = sides.compare(&["--json", "--manifest", manifest.to_str().expect("ASCII")]).exits(9);
    let (names, summary) = differences(&run);
    assert_eq!(
        names,
        [
            "conflict 2026/both",
            "conflict 2026/deleted-and-changed",
            "deleted-in-replica 2026/deleted",
            "replica-only 2026/new",
            "replica-only 2026/overwritten",
            "source-only 2026/source",
        ]
    );
    assert_eq!(
        summary,
        serde_json::json!({
            "keys": 10, "untouched": 3, "same": 1, "replica_only": 2, "source_only": 1,
            "deleted_in_replica": 1, "conflicts": 2, "companions": 0, "unknown": 0,
        })
    );
    assert!(run.stderr.ends_with(
        "error: 3 keys for people to decide\n  hint: keep the version that is to go under another \
         name with `sealwax cp`, before you copy the other one\n"
    ));
    let replica = &sides.replica.bucket;
    let written = fs::read_to_string(&manifest).expect("a manifest");
    let mut written: Vec<_> = written.lines().collect();
    written.sort_unstable();
    let expected = ["new", "overwritten"].map(|key| format!("{replica},2026/{key}"));
    assert_eq!(written, expected);
    let text = String::from_utf8(sides.compare(&[]).exits(9).stdout).expect("text");
    assert!(text.contains("replica-only 2026/new: none in the source, replica 20"), "{text}");
}

/// The source's last version never reached the replica, whose writers replaced an older one.
#[test]
fn a_version_that_was_never_replicated_is_a_conflict_once_the_replica_is_written() {
    let mut sides = Sides::new("compare-late");
    sides.put_in(&sides.source, "late", "older");
    sides.replicate("late");
    sides.put_in(&sides.source, "late", "newer");
    sides.lose_source(&["other"]);
    let (names, _) = differences(&sides.compare(&["--json"]).exits(0));
    assert_eq!(names, [""; 0], "nothing was written since");
    sides.put_in(&sides.replica, "late", "meanwhile");
    let (names, _) = differences(&sides.compare(&["--json"]).exits(9));
    assert_eq!(names, ["conflict 2026/late"]);
}

/// Metadata that claims the content of another object is found by the keys.
#[test]
fn the_same_content_is_proven_by_the_keys() {
    let mut sides = Sides::new("compare-prove");
    sides.lose_source(&["a"]);
    sides.rewrap_replica("a");
    let (names, summary) = differences(&sides.compare(&["--json", "--prove"]).exits(0));
    assert_eq!((names.len(), &summary["same"]), (0, &1.into()));
    // A copy of the object at another key: its claims are those of the content, and its keys are not.
    sides.put_in(&sides.source, "b", "b");
    sides.s3.copy(&sides.replica.beside("a"), &sides.replica.beside("b"));
    let run = sides.compare(&["--json", "--prove"]).exits(9);
    assert_eq!(differences(&run).0, ["conflict 2026/b"]);
    sides.s3.copy(&sides.source.beside("a"), &sides.source.beside("b"));
    let run = sides.compare(&["--json"]).exits(0);
    assert_eq!(differences(&run).1["same"], 2);
    let run = sides.compare(&["--json", "--prove"]).exits(7);
    assert_eq!(differences(&run).0, ["unknown 2026/b"]);
    run.says("1 of 2 keys unknown");
}

#[test]
fn wrong_arguments_are_refused() {
    let sides = Sides::new("compare-usage");
    let compare = |replica: &str, since: &str| {
        let prefix = format!("{}/", sides.source.uri());
        Sealwax::new(["compare", &prefix, "--replica", replica, "--since", since]).run()
    };
    let run = compare("bucket=us-west-2", "yesterday").exits(2);
    run.says("must be a time such as 2026-11-28T08:00:00Z");
    compare("bucket", "2026-11-28T08:00:00Z").exits(2).says("must be NAME=VALUE");
    let empty = format!("{}=us-east-1", sides.replica.bucket);
    let run = compare(&empty, "2026-11-28T08:00:00Z").exits(4);
    run.says(&format!("and none in s3://{}/2026/", sides.replica.bucket));
}
