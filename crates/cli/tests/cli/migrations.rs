//! `sealwax reencrypt` of many objects: planned, applied, interrupted and resumed.

use std::{collections::BTreeMap, fs};

use serde_json::{Value, json};

use crate::{
    bulk::Many,
    repeated_jobs::{in_journal, interrupt},
    support::{
        CallCounter, HeldHeads, RawS3, Run, Scene, Sealwax, east_key, endpoint, json_lines,
        second_s3, west_key,
    },
};

const ALLOW: [&str; 2] = ["--commitment-policy", "require-encrypt-allow-decrypt"];
const TO_NATIVE: [&str; 3] = ["--to", "native", "--under"];

/// Returns the command for all objects of the scene, without `--apply`.
fn migrate(scene: &Scene, args: &[&str]) -> Sealwax {
    let prefix = format!("{}/", scene.uri());
    let command = Sealwax::new(["reencrypt", &prefix, "--recursive"]).args(args);
    command.env("XDG_STATE_HOME", scene.path(""))
}

fn text(run: &Run) -> &str {
    std::str::from_utf8(&run.stdout).expect("text")
}

/// KMS is asked about the key of each object once, and never whether the new key unwraps it. The
/// dry run forecasts that, call by call.
#[test]
fn each_object_costs_one_call_of_the_old_key_and_one_of_each_new_one() {
    let (east, west) = (east_key(), west_key());
    let calls = |expected: &[(&str, usize)]| -> BTreeMap<String, usize> {
        expected.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
    };
    let native = [&TO_NATIVE[..], &[&west, "--under", &east]].concat();
    let native_calls = calls(&[
        ("Decrypt us-east-1", 3),
        ("Encrypt us-east-1", 3),
        ("GenerateDataKey us-west-2", 3),
    ]);
    let other = ["--to", "s3ec-v3", "--under", &west];
    let other_calls = calls(&[("Decrypt us-east-1", 3), ("GenerateDataKey us-west-2", 3)]);
    for (to, expected) in [(&native[..], native_calls), (&other[..], other_calls)] {
        for reader in [&["--key", east.as_str()][..], &[]] {
            let scene = Scene::new("calls");
            for name in ["a", "b", "c"] {
                let put = ["--format", "s3ec-v2"];
                scene.beside(name).put(name.as_bytes(), &put).exits(0);
            }
            let kms = CallCounter::start(&endpoint());
            let args = [to, reader, &ALLOW].concat();
            let run = |more: &[&str]| {
                migrate(&scene, &args).args(more).env("AWS_ENDPOINT_URL_KMS", kms.url()).run()
            };
            let plan = json_lines(&run(&["--json"]).exits(0)).pop().expect("a summary");
            assert_eq!(kms.take(), BTreeMap::new(), "a dry run calls no key");
            let by_region = &plan["summary"]["kms_calls"];
            let forecast: u64 = by_region
                .as_object()
                .expect("counts")
                .values()
                .map(|count| count.as_u64().expect("a number"))
                .sum();
            let applied = run(&["--apply"]).exits(0);
            assert_eq!(applied.stderr, "3 re-encrypted, 0 already in the target format\n");
            let called = kms.take();
            assert_eq!(called, expected, "{args:?}");
            assert_eq!(called.values().sum::<usize>() as u64, forecast);
            for (region, count) in by_region.as_object().expect("counts") {
                let there = called.iter().filter(|(name, _)| name.ends_with(region.as_str()));
                assert_eq!(there.map(|(_, count)| *count as u64).sum::<u64>(), *count);
            }
        }
    }
}

/// An object that was overwritten after an interrupt is migrated again. The listing shows the others,
/// so that none of them costs a request.
#[test]
fn an_interrupted_migration_resumes_by_the_listing() {
    let many = Many::new("migrated", 20);
    let (east, journal) = (east_key(), many.path("journal"));
    let address = many.address();
    let args = ["--to", "s3ec-v3", "--under", &east, "--apply"];
    let command = || {
        let command = many.command(&["reencrypt", &address, "--recursive"]).args(args);
        command.args(["--concurrency", "2", "--journal", &journal])
    };
    // The endpoint belongs to the job, so all runs have the same one.
    let s3 = CallCounter::start(&second_s3());
    let held = HeldHeads::after(12, s3.url());
    interrupt(command(), &held, &journal, 4);
    let done = in_journal(&many, &journal);
    assert!(done.len() >= 4 && done.len() < 20, "{done:?}");
    many.overwrite(done[0], &east);

    s3.take();
    let command = || command().env("AWS_ENDPOINT_URL_S3", held.url());
    let run = command().run().exits(0);
    let (migrated, earlier) = (20 - done.len() + 1, done.len() - 1);
    let expected = format!(
        "{migrated} re-encrypted, 0 already in the target format, {earlier} completed by earlier \
         runs\n"
    );
    assert_eq!(run.stderr, expected);
    assert_eq!(s3.take()["HEAD"], migrated, "only those that are not done are looked at");
    let audit = many.command(&["audit", &address, "--json"]).run().exits(0);
    assert_eq!(json_lines(&audit)[0]["summary"]["formats"], json!({ "s3ec-v3": 20 }));

    // Every object was tried, so the next run starts again.
    let run = command().run().exits(0);
    assert_eq!(run.stderr, "0 re-encrypted, 20 already in the target format\n");
}

#[test]
fn a_nightly_migration_with_a_permanent_failure_migrates_what_was_overwritten() {
    let scene = Scene::new("nightly");
    let (east, s3) = (east_key(), RawS3::new());
    let write = |name: &str| {
        scene.beside(name).put(name.as_bytes(), &["--format", "s3ec-v3"]).exits(0);
    };
    for name in ["a", "b", "broken"] {
        write(name);
    }
    let broken = scene.beside("broken");
    let (body, mut metadata) = s3.get(&broken);
    metadata.remove("x-amz-i").expect("the message id of V3");
    s3.put(&broken, body, metadata);
    let args = [&TO_NATIVE[..], &[&east, "--apply"]].concat();
    let night = |expected: &str| {
        let run = migrate(&scene, &args).run().exits(7);
        assert_eq!(run.stderr.lines().next(), Some(expected), "{}", run.stderr);
        run.says("error: 1 of 3 objects were not re-encrypted");
        let left = fs::read_dir(scene.path("sealwax")).expect("the state directory").count();
        assert_eq!(left, 0, "every object was tried, so the journal is gone");
    };
    night("2 re-encrypted, 0 already in the target format, 1 failed");
    write("a");
    night("1 re-encrypted, 1 already in the target format, 1 failed");
    night("0 re-encrypted, 2 already in the target format, 1 failed");
    assert_eq!(scene.beside("a").get(&["--no-s3ec"]).exits(0).stdout, b"a");
}

/// The dry run counts as impossible what the apply refuses, for the same reason.
#[test]
fn a_dry_run_applies_the_policy_of_the_apply() {
    let scene = Scene::new("policy");
    let (east, s3) = (east_key(), RawS3::new());
    let put = |name: &str, args: &[&str]| scene.beside(name).put(b"text", args).exits(0);
    put("v2", &["--format", "s3ec-v2", "-c", "tenant=acme"]);
    put("v3", &["--format", "s3ec-v3", "-c", "tenant=acme"]);
    put("other", &["--format", "s3ec-v3", "-c", "tenant=other"]);
    put("native", &[]);
    s3.put(&scene.beside("plain"), b"plain".to_vec(), Default::default());
    s3.put(&scene.beside("folder/"), Vec::new(), Default::default());

    let args = [&TO_NATIVE[..], &[&east, "-c", "tenant=acme", "--json"]].concat();
    let planned = json_lines(&migrate(&scene, &args).run().exits(7));
    let applied = json_lines(&migrate(&scene, &args).args(["--apply"]).run().exits(7));
    let summary = &planned.last().expect("a summary")["summary"];
    let expected = json!({ "not-sealed": 1, "context-mismatch": 1, "policy-refused": 1 });
    assert_eq!(summary["impossible"], expected);
    assert_eq!((&summary["reencrypt"], &summary["nothing"]), (&json!(1), &json!(1)));
    assert_eq!(summary["skip"], json!({ "folder-marker": 1 }));
    let name = |object: &str| object.rsplit_once("policy/").expect("below").1.to_owned();
    let of_plan: BTreeMap<_, _> = planned
        .iter()
        .filter_map(|line| Some((name(line["key"].as_str()?), line["kind"].clone())))
        .collect();
    let of_apply: BTreeMap<_, _> = applied
        .iter()
        .filter_map(|line| Some((name(line["object"].as_str()?), line["kind"].clone())))
        .collect();
    assert_eq!(of_plan, of_apply);
    let summary = &applied.last().expect("a summary")["summary"];
    for (count, expected) in
        [("reencrypted", 1), ("unchanged", 1), ("failed", 3), ("folder_markers", 1)]
    {
        assert_eq!(summary[count], json!(expected), "{count}");
    }
}

#[test]
fn a_plan_is_applied_with_its_settings_and_sees_what_changed_since() {
    let scene = Scene::new("plan");
    let (east, west) = (east_key(), west_key());
    let put = ["--format", "s3ec-v2", "-c", "tenant=acme"];
    for name in ["a", "b", "c"] {
        scene.beside(name).put(name.as_bytes(), &put).exits(0);
    }
    let plan = scene.path("migrate.plan");
    let plan = plan.to_str().expect("text");
    let args = [&TO_NATIVE[..], &[&west, "-c", "tenant=acme", "--save-plan", plan], &ALLOW];
    let run = migrate(&scene, &args.concat()).run().exits(0);
    assert!(run.stderr.ends_with("; nothing was changed\n"), "{run:?}");
    let said = text(&run);
    assert!(said.starts_with("3 objects: 3 to reencrypt, 0 already in the target"), "{said}");
    for line in [
        "  bodies: 51 bytes downloaded, ",
        "  requests: 3 HeadObject calls, 9 that read, 3 that write\n",
        "  KMS in us-east-1: at most 3 calls\n",
        "  KMS in us-west-2: at most 3 calls\n",
        "  estimate: 1 s at the quotas, under 0.01 USD for requests",
        " more until noncurrent versions are deleted\n",
    ] {
        assert!(said.contains(line), "{line:?} is not in: {said}");
    }
    let by_plan = |args: &[&str]| {
        let command = Sealwax::new(["reencrypt", "--plan", plan]).args(args);
        command.env("XDG_STATE_HOME", scene.path("")).run()
    };
    assert_eq!(text(&by_plan(&[]).exits(0)), said, "the plan says the same");
    by_plan(&["--under", &east]).exits(2).says("cannot be used with");
    Sealwax::new(["rewrap", "--plan", plan, "--apply"]).run().fails(2, "`sealwax reencrypt`");

    scene.beside("b").put(b"new", &put).exits(0);
    let run = by_plan(&["--apply", "--json"]).exits(0);
    let mut lines = json_lines(&run);
    let summary = lines.pop().expect("a summary");
    let expected = json!({
        "reencrypted": 3, "plaintext_bytes": 5, "unchanged": 0, "not_sealed": 0, "shredded": 0,
        "folder_markers": 0, "companions": 0, "gone": 0, "changed": 0, "failed": 0, "replanned": 1,
        "done_before": 0, "stopped": false,
    });
    assert_eq!(summary["summary"], expected);
    let mut numbers: Vec<_> = lines.iter().map(|line| line["line"].as_u64()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [Some(1), Some(2), Some(3)]);
    lines.sort_unstable_by_key(|line| line["object"].to_string());
    for (line, name) in lines.iter().zip(["a", "b", "c"]) {
        assert!(line["state"]["e_tag"].is_string(), "{line}");
        // The bucket is versioned.
        assert!(line["version_id"].is_string(), "{line}");
        let mut expected = json!({
            "object": scene.beside(name).uri(), "version_id": line["version_id"],
            "line": line["line"], "outcome": "reencrypted",
            "plaintext_bytes": if name == "b" { 3 } else { 1 },
            "state": { "e_tag": line["state"]["e_tag"], "by_body": true },
        });
        if name == "b" {
            expected["replanned"] = json!(true);
        }
        assert_eq!(*line, expected);
    }
    let reader = ["--no-s3ec", "--key", &west, "--region", "us-west-2"];
    for (name, expected) in [("a", "a"), ("b", "new"), ("c", "c")] {
        let run = Sealwax::new(["cat", &scene.beside(name).uri()]).args(reader).run();
        assert_eq!(run.exits(0).stdout, expected.as_bytes());
    }
}

#[test]
fn objects_are_named_by_standard_input() {
    let scene = Scene::new("stdin");
    for name in ["a", "b"] {
        scene.beside(name).put(name.as_bytes(), &["--format", "s3ec-v3"]).exits(0);
    }
    let east = east_key();
    let bucket = format!("s3://{}", scene.bucket);
    let line: Value = json!({ "object": scene.beside("b").uri() });
    let args = ["reencrypt", &bucket, "--stdin", "--kms-calls-per-second", "100", "--apply"];
    let command = Sealwax::new(args).args(TO_NATIVE).args([&east]);
    let run = command.env("XDG_STATE_HOME", scene.path("")).input(format!("{line}\n").as_bytes());
    assert_eq!(run.run().exits(0).stderr, "1 re-encrypted, 0 already in the target format\n");
    scene.beside("a").get(&["--no-s3ec"]).exits(3);
    assert_eq!(scene.beside("b").get(&["--no-s3ec"]).exits(0).stdout, b"b");
    Sealwax::new(["reencrypt", &bucket, "--stdin", "--to", "native"]).run().exits(2);
}
