//! Copies that pass through the process, and are killed.
//!
//! The destination is SeaweedFS, as in the tests of resumed puts.

use std::{
    collections::BTreeSet,
    fs,
    path::PathBuf,
    process::Child,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use serde_json::Value;

use crate::support::{
    RawS3, Refusing, Run, Scene, Sealwax, bytes, east_key, second_s3, send, wait_until, west_key,
};

/// Five parts of the sealed body.
const LEN: usize = 36 << 20;
const PARTS: usize = 5;

/// A replication of one long object to another store, by way of a proxy that can hold its parts.
struct Replication {
    here: Scene,
    /// The copy.
    there: Scene,
    other: RawS3,
    proxy: Refusing,
    sent: Arc<Mutex<Vec<i32>>>,
    most: Arc<AtomicUsize>,
    content: Vec<u8>,
}

impl Replication {
    fn new(name: &str) -> Self {
        let here = Scene::new(name);
        let content = bytes(LEN);
        here.beside("long").put(&content, &["-c", "tenant=acme"]).exits(0);
        let other = RawS3::at(&second_s3());
        other.make_bucket(&here.bucket);
        let there = Scene::at(&here.bucket, &format!("{}-there/long", here.key));
        let (sent, most) = (Arc::<Mutex<Vec<i32>>>::default(), Arc::new(AtomicUsize::new(0)));
        let (of_proxy, at_most) = (Arc::clone(&sent), Arc::clone(&most));
        let path = format!("/{}?", there.key);
        let proxy = Refusing::by_line(&second_s3(), move |head| {
            let line = head.lines().next().unwrap_or_default();
            let number = part_number(line).filter(|_| line.contains(&path))?;
            let mut sent = of_proxy.lock().expect("no panic");
            if sent.len() >= at_most.load(Ordering::Relaxed) {
                drop(sent);
                // The client is killed before this part arrives.
                loop {
                    thread::park();
                }
            }
            sent.push(number);
            None
        });
        Self { here, there, other, proxy, sent, most, content }
    }

    fn sync(&self, args: &[&str]) -> Sealwax {
        let to = format!("s3://{}/{}-there/", self.here.bucket, self.here.key);
        let key = east_key();
        let sync = ["sync", &self.here.uri(), &to, "--to-endpoint-url", &self.proxy.url];
        let sync = Sealwax::new(sync).args(["--key", &key]).args(args);
        sync.env("XDG_STATE_HOME", self.here.path("state"))
    }

    /// Lets this many more parts pass, and forgets which ones have passed.
    fn let_pass(&self, most: usize) {
        self.sent.lock().expect("no panic").clear();
        self.most.store(most, Ordering::Relaxed);
    }

    /// Returns the numbers of the parts that have passed, in order.
    fn sent(&self) -> Vec<i32> {
        let mut sent = self.sent.lock().expect("no panic").clone();
        sent.sort_unstable();
        sent
    }

    /// Returns the only state file.
    fn state_file(&self) -> Option<PathBuf> {
        let entries = [self.here.path("state/sealwax"), self.here.path("journals")];
        let entries = entries.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten();
        let mut files = entries
            .map(|entry| entry.expect("an entry").path())
            .filter(|path| path.extension().is_some_and(|it| it == "upload"));
        let file = files.next();
        assert_eq!(files.next(), None, "a second state file");
        file
    }

    /// Returns the numbers of the parts that the state file says are stored.
    fn recorded(&self) -> Vec<i32> {
        let text = self.state_file().and_then(|path| fs::read_to_string(path).ok());
        let text = text.unwrap_or_default();
        let lines = text[..text.rfind('\n').map_or(0, |end| end + 1)].lines();
        let lines = lines.map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        let numbers = lines.filter_map(|line| line["stored"]["part"].as_i64());
        let mut numbers: Vec<_> = numbers.map(|number| number.try_into().expect("short")).collect();
        numbers.sort_unstable();
        numbers
    }

    /// Starts a run, and returns when it has stored `parts` parts of the object.
    fn begun(&self, parts: usize, args: &[&str]) -> Child {
        self.let_pass(parts);
        let child = self.sync(args).spawn();
        wait_until("parts are stored", || {
            let (sent, recorded) = (self.sent(), self.recorded());
            sent.len() == parts && sent.iter().all(|part| recorded.contains(part))
        });
        child
    }

    /// Kills a run when it has stored `parts` parts of the object.
    fn killed(&self, parts: usize, args: &[&str]) {
        let mut child = self.begun(parts, args);
        send("KILL", &child);
        child.wait().expect("it ends");
        assert_eq!(self.other.unfinished_uploads(&self.there), 1);
        assert!(self.other.head(&self.there).is_none(), "visible before all of it was stored");
    }

    /// Runs it to its end.
    #[track_caller]
    fn rest(&self, args: &[&str]) -> Run {
        self.let_pass(usize::MAX);
        self.sync(args).run().exits(0)
    }

    #[track_caller]
    fn assert_done(&self, key: &str, content: &[u8]) {
        let get = ["get", &self.there.uri(), "-", "--key", key, "-c", "tenant=acme"];
        let opened = Sealwax::new(get).env("AWS_ENDPOINT_URL_S3", second_s3()).run().exits(0);
        assert!(opened.stdout == content, "other bytes were copied");
        self.assert_nothing_left();
    }

    #[track_caller]
    fn assert_nothing_left(&self) {
        assert_eq!(self.state_file(), None, "the state file was left behind");
        let ls = Sealwax::new(["uploads", "ls", &self.there.uri()]);
        let listed = ls.env("AWS_ENDPOINT_URL_S3", second_s3()).run().exits(0);
        assert!(listed.stdout.is_empty(), "{}", String::from_utf8_lossy(&listed.stdout));
    }
}

fn part_number(line: &str) -> Option<i32> {
    let rest = line.strip_prefix("PUT ")?.split("partNumber=").nth(1)?;
    rest.split(['&', ' ']).next()?.parse().ok()
}

/// Returns the numbers of all parts, as if each was sent once.
fn all_parts() -> Vec<i32> {
    (1..=PARTS as i32).collect()
}

#[test]
fn a_killed_copy_goes_on_within_the_object() {
    let copy = Replication::new("replication");
    copy.killed(2, &[]);
    let first = copy.recorded();
    // Killed again: what both runs stored counts.
    copy.killed(1, &[]);
    let stored: BTreeSet<_> = copy.recorded().into_iter().collect();
    assert!(stored.len() == 3 && first.iter().all(|part| stored.contains(part)));
    let run = copy.rest(&[]);
    assert!(run.stderr.starts_with("copied 1 object of "), "{}", run.stderr);
    let missing: Vec<_> = all_parts().into_iter().filter(|part| !stored.contains(part)).collect();
    assert_eq!(copy.sent(), missing, "only the missing parts are sent");
    copy.assert_done(&east_key(), &copy.content);
    assert!(copy.rest(&[]).stderr.contains("; 1 unchanged"));
    assert!(copy.sent().is_empty());
}

#[test]
fn a_copy_killed_before_its_completion_is_completed() {
    let copy = Replication::new("replication-end");
    // Other options do not matter: the same keys are wanted, and the same object.
    let args = ["--under", &west_key()];
    copy.killed(PARTS - 1, &args);
    copy.rest(&["--under", &west_key(), "--concurrency", "1", "--check"]);
    assert_eq!(copy.sent().len(), 1);
    copy.assert_done(&west_key(), &copy.content);
}

#[test]
fn the_parts_of_one_upload_are_of_one_version_and_for_one_set_of_keys() {
    let copy = Replication::new("replication-changed");
    // The state of the upload is beside the journal.
    fs::create_dir(copy.here.path("journals")).expect("made");
    let journal = copy.here.path("journals/sync.journal");
    let journal = ["--journal", journal.to_str().expect("text")];
    copy.killed(2, &journal);
    let state_file = copy.state_file().expect("a state file");
    let name = state_file.file_name().and_then(|name| name.to_str()).expect("text");
    assert!(name.starts_with("sync.journal."), "{name}");
    let new = vec![7; LEN];
    copy.here.beside("long").put(&new, &["-c", "tenant=acme"]).exits(0);
    copy.rest(&journal);
    assert_eq!(copy.sent(), all_parts(), "nothing of the old version is kept");
    copy.assert_done(&east_key(), &new);

    // The same version, for other keys.
    let copy = Replication::new("replication-keys");
    copy.killed(2, &[]);
    copy.killed(2, &["--under", &west_key()]);
    copy.rest(&["--under", &west_key(), "--under", &east_key()]);
    assert_eq!(copy.sent(), all_parts(), "nothing that is wrapped under other keys is kept");
    copy.assert_done(&west_key(), &copy.content);
}

#[test]
fn an_upload_that_s3_does_not_have_any_more_begins_again() {
    let copy = Replication::new("replication-aborted");
    copy.killed(2, &[]);
    let text = fs::read_to_string(copy.state_file().expect("a state file")).expect("text");
    let start: Value = serde_json::from_str(text.lines().next().expect("a line")).expect("JSON");
    copy.other.abort(&copy.there, start["upload_id"].as_str().expect("an id"));
    copy.rest(&[]);
    copy.assert_done(&east_key(), &copy.content);
}

#[test]
fn uploads_of_other_programs_are_left_alone() {
    let copy = Replication::new("replication-foreign");
    let foreign = copy.other.begin_upload(&copy.there.bucket, &copy.there.key);
    let mut child = copy.begun(2, &[]);
    send("KILL", &child);
    child.wait().expect("it ends");
    assert_eq!(copy.other.unfinished_uploads(&copy.there), 2);
    let run = copy.rest(&[]).says("warning: 1 incomplete upload below ");
    assert!(!run.stderr.contains("aborted"), "{}", run.stderr);
    assert_eq!(copy.sent().len(), PARTS - 2);
    assert!(copy.other.parts(&copy.there, &foreign).is_some(), "it still exists");
    assert_eq!(copy.other.unfinished_uploads(&copy.there), 1);
    assert_eq!(copy.state_file(), None);
    copy.other.abort(&copy.there, &foreign);
    copy.assert_done(&east_key(), &copy.content);
}

#[test]
fn the_upload_of_an_object_that_is_gone_is_aborted() {
    let copy = Replication::new("replication-gone");
    copy.here.beside("other").put(b"short", &[]).exits(0);
    copy.killed(2, &[]);
    let (uri, source) = (copy.there.uri(), copy.here.beside("long").uri());
    let state_file = copy.state_file().expect("a state file");
    let state_file = state_file.to_str().expect("text");
    let elsewhere = |command: Sealwax| {
        let command = command.env("AWS_ENDPOINT_URL_S3", second_s3());
        command.env("XDG_STATE_HOME", copy.here.path("state"))
    };
    let listed = elsewhere(Sealwax::new(["uploads", "ls", &uri, "--json"])).run().exits(0);
    let listed: Value = serde_json::from_slice(&listed.stdout).expect("one upload");
    assert_eq!(listed["state_file"], state_file);
    // A put does not take it for one of its own.
    let file = copy.here.file("file", b"text");
    let put = Sealwax::new(["put"]).args([&file]).args([&uri, "--key", &east_key(), "--resume"]);
    let run = elsewhere(put.args(["--state-file", state_file])).run();
    assert!(run.code.is_some_and(|code| code > 0), "{}", run.stderr);
    run.says("the upload that the state file describes is that of a copy");
    Sealwax::new(["rm", &source]).run().exits(0);
    // A dry run changes nothing.
    copy.rest(&["--dry-run"]);
    assert_eq!(copy.other.unfinished_uploads(&copy.there), 1);
    copy.rest(&[]).says(&format!("aborted the upload of a killed run to {uri}"));
    copy.assert_nothing_left();
    assert!(copy.sent().is_empty());
}

#[test]
fn an_interrupted_copy_is_aborted_at_once() {
    let copy = Replication::new("replication-stopped");
    let child = copy.begun(2, &[]);
    // Another run of the same copy does not touch it.
    let run = copy.sync(&[]).run().exits(8).says("another process is copying it");
    assert!(!run.stderr.contains("aborted"), "{}", run.stderr);
    assert_eq!(copy.other.unfinished_uploads(&copy.there), 1);
    send("INT", &child);
    Run::new(child.wait_with_output().expect("it ends")).exits(130);
    copy.assert_nothing_left();
}
