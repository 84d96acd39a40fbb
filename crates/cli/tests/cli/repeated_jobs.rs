//! Jobs that run again: after an interrupt, and every night. What changed since is done again.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _},
};

use crate::{
    bulk::Many,
    support::{
        HeldHeads, RawS3, Run, Scene, Sealwax, east_key, endpoint, second_s3, send, server_env,
        wait_until, west_key,
    },
};

/// Runs a job over `held`, which passes the first requests on, and interrupts it when `done`
/// objects are in its journal.
pub(crate) fn interrupt(command: Sealwax, held: &HeldHeads, journal: &str, done: usize) -> Run {
    let mut child = command.env("AWS_ENDPOINT_URL_S3", held.url()).spawn();
    let lines = || fs::read_to_string(journal).map_or(0, |text| text.lines().count());
    wait_until("some objects are done", || lines() > done);
    send("INT", &child);
    let mut stderr = BufReader::new(child.stderr.take().expect("piped"));
    let mut said = String::new();
    while !said.contains("stopping") {
        assert_ne!(stderr.read_line(&mut said).expect("text"), 0, "{said}");
    }
    held.let_go();
    stderr.read_to_string(&mut said).expect("text");
    let run = Run::new(child.wait_with_output().expect("it ends"));
    Run { stderr: said, ..run }.exits(130)
}

/// Returns the indices of the objects in a journal.
pub(crate) fn in_journal(many: &Many, journal: &str) -> Vec<usize> {
    let text = fs::read_to_string(journal).expect("a journal");
    let is_in = |uri: String| text.contains(&format!("\"object\":\"{uri}\""));
    let found = many.uris.iter().enumerate().filter(|(_, uri)| is_in(uri.to_string()));
    found.map(|(at, _)| at).collect()
}

#[test]
fn an_object_that_was_replaced_after_an_interrupt_is_rewrapped() {
    let many = Many::new("replaced", 20);
    let (east, west) = (east_key(), west_key());
    let journal = many.path("journal");
    let args = ["--add", &west, "--apply", "--concurrency", "2", "--journal", &journal];
    let held = HeldHeads::after(24, &second_s3());
    interrupt(many.rewrap(&args), &held, &journal, 4);
    let done = in_journal(&many, &journal);
    assert!(done.len() >= 4 && done.len() < 20, "{done:?}");
    many.overwrite(done[0], &east);

    let run = many.rewrap(&args).env("AWS_ENDPOINT_URL_S3", held.url()).run().exits(0);
    let (rewrapped, earlier) = (20 - done.len() + 1, done.len() - 1);
    let expected =
        format!("{rewrapped} rewrapped, 0 unchanged, {earlier} completed by earlier runs\n");
    assert_eq!(run.stderr, expected);
    let lacking = many.command(&["audit", &many.address(), "--lacks", "us-west-2"]).run().exits(0);
    assert!(!String::from_utf8_lossy(&lacking.stdout).contains("s3://"), "{lacking:?}");
    assert_eq!(many.opened_by(&west), [2; 20]);
}

/// Without its journal, or under another endpoint, a job knows nothing of another store.
#[test]
fn a_job_at_another_endpoint_is_another_job() {
    let many = Many::new("stores", 20);
    let west = west_key();
    let journal = many.path("journal");
    let args = ["--add", &west, "--apply", "--concurrency", "2"];
    let held = HeldHeads::after(24, &second_s3());
    let with_journal = [&args[..], &["--journal", &journal]].concat();
    interrupt(many.rewrap(&with_journal), &held, &journal, 4);

    // LocalStack has objects of the same names.
    let s3 = RawS3::new();
    s3.make_bucket(many.uris[0].bucket());
    for uri in &many.uris {
        Sealwax::new(["put", "-", &uri.to_string(), "--key", &east_key()]).run().exits(0);
    }
    let there = || many.rewrap(&args).env("AWS_ENDPOINT_URL_S3", endpoint());
    let refused = there().args(["--journal", &journal]).run();
    refused.fails(2, "it is of another job: other objects, keys or settings");
    let run = there().run().exits(0);
    assert_eq!(run.stderr, "20 rewrapped, 0 unchanged\n");
}

/// A job that runs every night, while one object fails for good.
struct Nightly {
    scene: Scene,
    put: Vec<&'static str>,
    changes: Vec<String>,
}

impl Nightly {
    fn object(&self, name: &str) -> Scene {
        self.scene.beside(name)
    }

    fn write(&self, name: &str) {
        self.object(name).put(name.as_bytes(), &self.put).exits(0);
    }

    fn run(&self, expected: &str, code: i32) -> Run {
        let prefix = format!("{}/", self.scene.uri());
        let args = ["rewrap", &prefix, "--recursive", "--apply"];
        let state = self.scene.path("");
        let command = Sealwax::new(args).args(&self.changes).env("XDG_STATE_HOME", &state);
        let run = command.run().exits(code);
        assert_eq!(run.stderr.lines().next(), Some(expected), "{}", run.stderr);
        let left = fs::read_dir(state.join("sealwax")).expect("the state directory").count();
        assert_eq!(left, 0, "every object was tried, so the journal is gone");
        run
    }
}

#[test]
fn a_nightly_job_with_a_permanent_failure_rewraps_what_was_overwritten() {
    let changes = vec!["--add".into(), west_key()];
    let nightly = Nightly { scene: Scene::new("cron"), put: vec![], changes };
    nightly.write("ok1");
    nightly.write("ok2");
    // Another tool copied it: it is not at its place.
    RawS3::new().copy(&nightly.object("ok1"), &nightly.object("bad"));
    let first = nightly.run("2 rewrapped, 0 unchanged, 1 failed", 7);
    first.says("error: 1 of 3 objects were not rewrapped");

    nightly.write("ok1");
    nightly.write("new1");
    let claimed = "claimed to have the wanted keys (--prove checks)";
    nightly.run(&format!("2 rewrapped, 0 unchanged, 1 {claimed}, 1 failed"), 7);
    let lacks = ["audit", &format!("{}/", nightly.scene.uri()), "--lacks", "us-west-2"];
    let lacking = Sealwax::new(lacks).run();
    let lacking = String::from_utf8(lacking.stdout).expect("text");
    let objects: Vec<_> = lacking.lines().filter_map(|line| line.split_once(": ")).collect();
    let listed: Vec<_> = objects.iter().filter(|(name, _)| name.starts_with("s3://")).collect();
    assert!(listed.len() == 1 && listed[0].0.ends_with("/bad"), "{lacking}");

    // Nothing new: still some of all failed, not all.
    let third = nightly.run(&format!("0 rewrapped, 0 unchanged, 3 {claimed}, 1 failed"), 7);
    third.says("error: 1 of 4 objects were not rewrapped");
}

#[test]
fn a_nightly_job_rewraps_s3_encryption_client_objects_that_were_overwritten() {
    let changes = vec!["--replace".into(), server_env("SEALWAX_EAST_KEY_2")];
    let nightly = Nightly { scene: Scene::new("s3ec"), put: vec!["--format", "s3ec-v3"], changes };
    for name in ["a", "b", "c"] {
        nightly.write(name);
    }
    let s3 = RawS3::new();
    let broken = nightly.object("c");
    let (body, whole) = s3.get(&broken);
    let mut metadata = whole.clone();
    metadata.remove("x-amz-i").expect("the message id of V3");
    s3.put(&broken, body.clone(), metadata);
    nightly.run("2 rewrapped, 0 unchanged, 1 failed", 7);

    // The application writes one again under the old key, and another one is repaired.
    nightly.write("a");
    s3.put(&broken, body, whole);
    nightly.run("2 rewrapped, 0 unchanged, 1 proven to have the wanted keys", 0);
    let by_new = ["--key", &server_env("SEALWAX_EAST_KEY_2")];
    for name in ["a", "b", "c"] {
        let run = nightly.object(name).get(&by_new).exits(0);
        assert_eq!(run.stdout, name.as_bytes());
    }
}
