//! `sealwax sync`.

use std::{
    collections::HashMap,
    fs,
    os::unix::fs::symlink,
    path::Path,
    sync::{Arc, Once},
    time::SystemTime,
};

use crate::{
    folders::{folder, tree},
    support::{
        CallCounter, HeldHeads, PartsProxy, RawS3, Refusing, Run, Scene, Sealwax, Terminal, bytes,
        east_key, endpoint, json_lines, second_s3, wait_until, west_key,
    },
};

fn up(folder: &Path, scene: &Scene, args: &[&str]) -> Sealwax {
    let key = east_key();
    Sealwax::new(["sync"]).args([folder]).args([&*scene.uri(), "--key", &key]).args(args)
}

fn down(scene: &Scene, folder: &Path, args: &[&str]) -> Sealwax {
    Sealwax::new(["sync", &scene.uri()]).args([folder]).args(args)
}

/// Returns the keys below the scene's, without its own.
fn keys(scene: &Scene) -> Vec<String> {
    let below = format!("{}/", scene.key);
    let keys = RawS3::new().keys(&scene.bucket, &below);
    keys.iter().map(|key| key[below.len()..].to_owned()).collect()
}

/// Waits until listings tell that what exists is older than what is stored from now on.
fn seconds_pass() {
    let now = SystemTime::now();
    wait_until("some seconds pass", || now.elapsed().is_ok_and(|it| it.as_secs() >= 4));
}

#[test]
fn a_prefix_and_a_folder_become_equal_to_their_source() {
    let scene = Scene::new("equal");
    let long = bytes(9 * 1024 * 1024);
    let files = [("a.txt", &b"one"[..]), ("a/b", b"two"), ("a/empty", b""), ("long", &long)];
    let source = folder(&scene, &files);
    let run = up(&source, &scene, &[]).run().exits(0);
    let all = long.len() + 6;
    let expected =
        format!("sealed 4 files of {} under {}/ ({all} bytes)\n", source.display(), scene.uri());
    assert_eq!(run.stderr, expected);
    let run = up(&source, &scene, &[]).run().exits(0);
    assert!(run.stderr.contains("(0 bytes); 4 unchanged"), "{}", run.stderr);

    let target = scene.path("target");
    let run = down(&scene, &target, &[]).run().exits(0);
    let expected =
        format!("opened 4 objects of {}/ in {} ({all} bytes)\n", scene.uri(), target.display());
    assert_eq!(run.stderr, expected);
    assert!(tree(&target) == tree(&source), "{:?}", tree(&target).keys());
    let time = |path: &Path| fs::metadata(path).and_then(|it| it.modified()).expect("a time");
    assert_eq!(time(&target.join("a/b")), time(&source.join("a/b")));
    let run = down(&scene, &target, &[]).run().exits(0);
    assert!(run.stderr.contains("(0 bytes); 4 unchanged"), "{}", run.stderr);

    // Of the same length, but written later.
    fs::write(source.join("a.txt"), "1 1").expect("written");
    fs::write(source.join("new"), "new").expect("written");
    fs::remove_file(source.join("a/b")).expect("removed");
    let run = up(&source, &scene, &["--delete", "-n"]).run().exits(0);
    let planned = String::from_utf8(run.stdout).expect("text");
    let (from, to) = (source.display(), scene.uri());
    let expected = [
        format!("would seal {from}/a.txt as {to}/a.txt"),
        format!("would seal {from}/new as {to}/new"),
        format!("would delete {to}/a/b"),
    ];
    let mut planned: Vec<_> = planned.lines().collect();
    planned[..2].sort_unstable();
    assert_eq!(planned, expected);
    assert_eq!(keys(&scene), ["a.txt", "a/b", "a/empty", "long"], "nothing is changed");
    up(&source, &scene, &[]).run().exits(0);
    assert_eq!(keys(&scene), ["a.txt", "a/b", "a/empty", "long", "new"]);
    let run = up(&source, &scene, &["--delete", "--yes"]).run().exits(0);
    let deleted = format!("deleted 1 object of {to}/\n");
    assert!(run.stderr.ends_with(&deleted), "{}", run.stderr);
    assert_eq!(keys(&scene), ["a.txt", "a/empty", "long", "new"]);

    fs::create_dir_all(target.join("extra/deep")).expect("made");
    fs::write(target.join("extra/deep/file"), "x").expect("written");
    let run = down(&scene, &target, &["--delete", "--yes"]).run().exits(0);
    let deleted = format!("deleted 2 files of {}\n", target.display());
    assert!(run.stderr.ends_with(&deleted), "{}", run.stderr);
    assert!(tree(&target) == tree(&source), "{:?}", tree(&target).keys());
    assert!(!target.join("extra").exists(), "empty folders go with their files");
}

#[test]
fn what_is_up_to_date_costs_a_listing_and_a_look() {
    let scene = Scene::new("listing");
    // Files that were not changed in the last seconds.
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/args");
    let count = tree(&source).len();
    up(&source, &scene, &[]).run().exits(0);
    let counter = CallCounter::start(&endpoint());
    let run = up(&source, &scene, &[]).env("AWS_ENDPOINT_URL", counter.url()).run().exits(0);
    // No listing shows keys and attributes. The first object tells whether the options changed.
    let left = count - 1;
    let closing = format!(
        "(0 bytes); {count} unchanged; wrapping keys, context and attributes of {left} not compared \
         (--check compares them)\n"
    );
    assert!(run.stderr.ends_with(&closing), "{}", run.stderr);
    let calls: Vec<_> = counter.take().into_iter().collect();
    assert_eq!(calls, [("GET".to_owned(), 1), ("HEAD".to_owned(), 1)]);

    seconds_pass();
    let target = scene.path("target");
    down(&scene, &target, &[]).run().exits(0);
    let again = |args: &[&str]| {
        let key = east_key();
        let args = [&["--key", &*key], args].concat();
        let run = down(&scene, &target, &args).env("AWS_ENDPOINT_URL", counter.url()).run();
        (run.exits(0).stderr, counter.take().into_iter().collect::<Vec<_>>())
    };
    let (said, calls) = again(&[]);
    assert!(said.ends_with(&format!("(0 bytes); {count} unchanged\n")), "{said}");
    assert_eq!(calls, [("GET".to_owned(), 1)]);
    // An edited file is newer than its object, whatever its length: one more look at it.
    let path = target.join("prefix.rs");
    let modified = fs::metadata(&path).and_then(|it| it.modified()).expect("a time");
    let mut text = fs::read(&path).expect("there");
    text[0] ^= 1;
    fs::write(&path, text).expect("written");
    let (said, calls) = again(&["-n"]);
    assert!(said.contains(&format!("; {} unchanged", count - 1)), "{said}");
    assert_eq!(calls, [("GET".to_owned(), 1), ("HEAD".to_owned(), 1)]);
    // One with the time of the old one is found by its content alone.
    let file = fs::File::options().write(true).open(&path).expect("opened");
    file.set_modified(modified).expect("set");
    let (said, _) = again(&[]);
    assert!(said.ends_with(&format!("(0 bytes); {count} unchanged\n")), "{said}");
    let (said, _) = again(&["--check"]);
    assert!(said.starts_with("opened 1 object of "), "{said}");
    assert!(said.contains(&format!("; {} unchanged", count - 1)), "{said}");
    assert_eq!(tree(&target), tree(&source));
}

#[test]
fn a_check_compares_contents() {
    let scene = Scene::new("contents");
    let long = bytes(9 * 1024 * 1024);
    let source = folder(&scene, &[("a", b"one"), ("long", &long), ("empty", b"")]);
    up(&source, &scene, &[]).run().exits(0);
    let modified = fs::metadata(source.join("long")).and_then(|it| it.modified());
    let mut other = long;
    *other.last_mut().expect("not empty") ^= 1;
    fs::write(source.join("long"), other).expect("written");
    let file = fs::File::options().write(true).open(source.join("long")).expect("opened");
    file.set_modified(modified.expect("a time")).expect("set");
    let run = up(&source, &scene, &[]).run().exits(0);
    assert!(run.stderr.contains("; 3 unchanged"), "by its times: {}", run.stderr);
    let run = up(&source, &scene, &["--check"]).run().exits(0);
    assert!(run.stderr.starts_with("sealed 1 file of "), "{}", run.stderr);
    assert!(run.stderr.contains("; 2 unchanged"), "{}", run.stderr);
    let run = up(&source, &scene, &["--check"]).run().exits(0);
    assert!(run.stderr.contains("; 3 unchanged"), "{}", run.stderr);
    // A damaged object is stored again; one that cannot be opened for another reason is not.
    let s3 = RawS3::new();
    let at = scene.beside("a");
    let (mut body, metadata) = s3.get(&at);
    *body.last_mut().expect("not empty") ^= 1;
    s3.put(&at, body, metadata);
    let run = up(&source, &scene, &["--check"]).run().exits(0);
    assert!(run.stderr.starts_with("sealed 1 file of "), "{}", run.stderr);
    assert_eq!(at.get(&[]).exits(0).stdout, b"one");
}

#[test]
fn nothing_is_deleted_unless_everything_else_succeeded() {
    let scene = Scene::new("safe");
    let source = folder(&scene, &[("a", b"one"), ("b", b"two")]);
    up(&source, &scene, &[]).run().exits(0);
    let yes = ["--delete", "--yes"];

    fs::remove_file(source.join("b")).expect("removed");
    symlink("nowhere", source.join("dangling")).expect("linked");
    let run = up(&source, &scene, &yes).run().exits(7);
    run.says("error: 1 of 2 files failed; nothing was deleted\n");
    assert_eq!(keys(&scene), ["a", "b"]);
    fs::remove_file(source.join("dangling")).expect("removed");

    // The second page of requests fails: the listing, or the transfers.
    fs::write(source.join("c"), "three").expect("written");
    for first in 0..=1 {
        let refusing = Refusing::expired_from(first, &endpoint());
        let run = up(&source, &scene, &yes).env("AWS_ENDPOINT_URL", &refusing.url).run().exits(5);
        run.says("nothing was deleted");
        assert_eq!(keys(&scene)[..2], ["a", "b"]);
    }

    let empty = scene.path("empty");
    fs::create_dir(&empty).expect("made");
    let run = up(&empty, &scene, &yes).run().fails(4, "has no files, so nothing was deleted");
    assert!(run.stderr.contains("objects of"), "{}", run.stderr);
    up(&source, &scene, &[&yes[..], &["--include", "none"]].concat()).run().exits(0);
    up(&scene.path("absent"), &scene, &yes).run().fails(1, "cannot read");
    let target = scene.path("target");
    fs::create_dir(&target).expect("made");
    fs::write(target.join("mine"), "mine").expect("written");
    let nothing = scene.beside("nothing");
    down(&nothing, &target, &yes).run().fails(4, "has no objects, so nothing was deleted");
    assert_eq!(tree(&target).len(), 1);
    // Without --delete, an empty source is no failure.
    down(&nothing, &target, &[]).run().exits(0);
    assert!(keys(&scene).starts_with(&["a".into(), "b".into()]));
}

#[test]
fn deletions_are_asked_for() {
    let scene = Scene::new("asked");
    let source = folder(&scene, &[("a", b"one"), ("b", b"two"), ("c", b"three")]);
    up(&source, &scene, &[]).run().exits(0);
    for name in ["b", "c"] {
        fs::remove_file(source.join(name)).expect("removed");
    }
    fs::write(source.join("new"), "new").expect("written");
    // Before anything is stored.
    up(&source, &scene, &["--delete"])
        .run()
        .fails(2, "refusing --delete without confirmation: not a terminal");
    assert_eq!(keys(&scene), ["a", "b", "c"]);
    up(&source, &scene, &["--delete", "--watch", "1s"])
        .run()
        .fails(2, "--delete with --watch cannot ask before each deletion");

    let (from, to) = (source.display().to_string(), scene.uri());
    let question = format!("This deletes 2 objects of {to}/ that {from} does not have.");
    let mut terminal = Terminal::run(up(&source, &scene, &["--delete"]));
    terminal.shows("[y/N]");
    terminal.types("n");
    let run = terminal.ends().exits(1);
    assert!(run.stderr.replace("\r\n", "").contains(&question), "{:?}", run.stderr);
    assert_eq!(keys(&scene), ["a", "b", "c", "new"], "transfers come first");
    let mut terminal = Terminal::run(up(&source, &scene, &["--delete"]));
    terminal.shows("[y/N]");
    terminal.types("y");
    terminal.ends().exits(0);
    assert_eq!(keys(&scene), ["a", "new"]);
}

#[test]
fn hostile_names_stay_outside_and_end_deletions() {
    let scene = Scene::new("hostile");
    let names = ["good", "../escaped", "/escaped", "a/../../escaped", "a//escaped", "./escaped"];
    for name in names {
        let uri = format!("{}/{name}", scene.uri());
        Sealwax::new(["put", "-", &uri, "--key", &east_key()]).input(b"text").run().exits(0);
    }
    let target = scene.path("inside");
    fs::create_dir(&target).expect("made");
    fs::write(target.join("mine"), "mine").expect("written");
    let run = down(&scene, &target, &["--delete", "--yes"]).run().exits(7);
    assert_eq!(run.stderr.matches("failed: ").count(), 5, "{}", run.stderr);
    let run = run.says("5 of 6 objects failed; nothing was deleted");
    assert!(!run.stderr.contains("deleted 1"), "{}", run.stderr);
    let mut found: Vec<_> = tree(&target).into_keys().collect();
    found.sort();
    assert_eq!(found, ["good", "mine"]);
    assert_eq!(scene.files(), ["inside"]);
    assert!(!Path::new("/escaped").exists());
}

#[test]
fn links_lead_nowhere() {
    let scene = Scene::new("links");
    let source = folder(&scene, &[("kept/a", b"one"), ("b", b"two")]);
    up(&source, &scene, &[]).run().exits(0);
    let (target, outside) = (scene.path("target"), scene.path("outside"));
    down(&scene, &target, &[]).run().exits(0);
    fs::create_dir(&outside).expect("made");
    fs::write(outside.join("precious"), "mine").expect("written");
    symlink(&outside, target.join("link")).expect("linked");
    let yes = ["--delete", "--yes"];
    let run = down(&scene, &target, &yes).run().exits(0);
    assert!(run.stderr.ends_with("; 1 symbolic link skipped\n"), "{}", run.stderr);
    assert_eq!(fs::read(outside.join("precious")).expect("there"), b"mine");
    assert!(target.join("link").symlink_metadata().is_ok());

    // A folder of the destination became a link to the outside.
    fs::remove_dir_all(target.join("kept")).expect("removed");
    symlink(&outside, target.join("kept")).expect("linked");
    let run = down(&scene, &target, &yes).run().exits(7);
    assert!(run.stderr.contains("nothing was deleted"), "{}", run.stderr);
    assert_eq!(tree(&outside).len(), 1);

    // The source's link is skipped: what it stands for is unknown, and not deleted.
    fs::rename(source.join("kept"), scene.path("moved")).expect("moved");
    symlink(scene.path("moved"), source.join("kept")).expect("linked");
    fs::remove_file(source.join("b")).expect("removed");
    fs::write(source.join("c"), "three").expect("written");
    let run = up(&source, &scene, &[&yes[..], &["--no-follow-symlinks"]].concat()).run().exits(0);
    assert!(run.stderr.contains("; 1 symbolic link skipped"), "{}", run.stderr);
    assert_eq!(keys(&scene), ["c", "kept/a"]);
}

#[test]
fn excluded_and_companion_objects_stay() {
    let scene = Scene::new("kept");
    let source = folder(&scene, &[("a", b"one"), ("cache/b", b"two"), ("c.tmp", b"three")]);
    up(&source, &scene, &[]).run().exits(0);
    let s3 = RawS3::new();
    s3.put(&scene.beside("folder/"), Vec::new(), HashMap::new());
    let sealed = scene.beside("a");
    let uri = sealed.uri();
    Sealwax::new(["rewrap", &uri, "--add", &west_key(), "--to-sidecar"]).run().exits(0);
    s3.put(&scene.beside("plain.sealwax"), b"no sidecar".to_vec(), HashMap::new());
    for name in ["cache/b", "c.tmp"] {
        fs::remove_file(source.join(name)).expect("removed");
    }
    let exclude = ["--delete", "--yes", "--exclude", "cache", "--exclude", "*.tmp"];
    let run = up(&source, &scene, &exclude).run().exits(0);
    run.says("deleted 1 object of").says("1 folder marker skipped").says("1 sidecar skipped");
    assert_eq!(keys(&scene), ["a", "a.sealwax", "c.tmp", "cache/b", "folder/"]);
}

#[test]
fn what_changed_since_the_listing_is_not_overwritten() {
    let scene = Scene::new("meanwhile");
    let source = folder(&scene, &[("a", b"one")]);
    up(&source, &scene, &[]).run().exits(0);
    // Of the same length and newer than the object: a look decides.
    fs::write(source.join("a"), "two").expect("written");
    let held = HeldHeads::start(&endpoint());
    let child = up(&source, &scene, &[]).env("AWS_ENDPOINT_URL", held.url()).spawn();
    wait_until("it looks", || held.is_holding());
    let there = scene.beside("a");
    there.put(b"by another program", &[]).exits(0);
    held.let_go();
    let run = Run::new(child.wait_with_output().expect("it ends")).exits(8);
    run.says("changed since it was listed");
    assert_eq!(there.get(&[]).exits(0).stdout, b"by another program");
    up(&source, &scene, &[]).run().exits(0);
    assert_eq!(there.get(&[]).exits(0).stdout, b"two");

    // The same with a file.
    let target = scene.path("target");
    down(&scene, &target, &[]).run().exits(0);
    fs::write(target.join("a"), "old").expect("written");
    let held = HeldHeads::start(&endpoint());
    let child = down(&scene, &target, &[]).env("AWS_ENDPOINT_URL", held.url()).spawn();
    wait_until("it looks", || held.is_holding());
    fs::write(target.join("a"), "edited meanwhile").expect("written");
    held.let_go();
    let run = Run::new(child.wait_with_output().expect("it ends")).exits(8);
    run.says("changed since it was listed");
    assert_eq!(fs::read(target.join("a")).expect("there"), b"edited meanwhile");
}

#[test]
fn a_killed_run_is_continued() {
    let scene = Scene::new("killed");
    let long = bytes(24 * 1024 * 1024);
    let source = folder(&scene, &[("a", b"one"), ("long", &long)]);
    let (s3, held) = (RawS3::new(), PartsProxy::holding_after(&endpoint(), 1));
    let mut child = up(&source, &scene, &[]).env("AWS_ENDPOINT_URL_S3", held.url()).spawn();
    // One part proves that the store honours the condition of an upload.
    wait_until("one file is stored", || keys(&scene) == ["a"]);
    wait_until("the other one begins", || s3.unfinished_uploads(&scene.beside("long")) == 1);
    child.kill().expect("killed");
    child.wait().expect("it ends");
    let run = up(&source, &scene, &[]).run().exits(0);
    let told = format!("warning: 1 incomplete upload below {}/, of a killed run", scene.uri());
    assert!(run.stderr.starts_with(&told), "{}", run.stderr);
    assert!(run.stderr.contains("\nsealed 1 file of "), "{}", run.stderr);
    assert!(run.stderr.contains("; 1 unchanged"), "{}", run.stderr);
    let target = scene.path("target");
    down(&scene, &target, &[]).run().exits(0);
    assert!(tree(&target) == tree(&source));
}

#[test]
fn one_kms_call_serves_many_files() {
    let scene = Scene::new("key-cache");
    let source = folder(&scene, &[("a", b"1"), ("b", b"2"), ("c", b"3"), ("d", b"4")]);
    let counter = CallCounter::start(&endpoint());
    let url = counter.url().to_owned();
    up(&source, &scene, &["--key-cache"]).env("AWS_ENDPOINT_URL", &url).run().exits(0);
    assert_eq!(counter.take().get("GenerateDataKey us-east-1"), Some(&1));
    let target = scene.path("target");
    let key = east_key();
    down(&scene, &target, &["--key", &key]).env("AWS_ENDPOINT_URL", &url).run().exits(0);
    assert_eq!(counter.take().get("Decrypt us-east-1"), Some(&1));
    assert_eq!(tree(&target), tree(&source));
    let (from, again) = (format!("{}/", scene.uri()), scene.path("again"));
    let get = Sealwax::new(["get", &from]).args([&again]).args(["-r"]);
    for command in [get, Sealwax::new(["verify", &from])] {
        command.args(["--key", &key]).env("AWS_ENDPOINT_URL", &url).run().exits(0);
        assert_eq!(counter.take().get("Decrypt us-east-1"), Some(&1));
    }
    assert_eq!(tree(&again), tree(&source));
}

#[test]
fn a_watch_repeats_and_its_journal_is_evidence() {
    let scene = Scene::new("watch");
    let source = folder(&scene, &[("a", b"one"), ("b", b"two")]);
    let journal = scene.path("journal");
    let journal_text = journal.to_str().expect("text");
    let watch = [
        "--watch",
        "1s",
        "--passes",
        "3",
        "--delete",
        "--yes",
        "--json",
        "--journal",
        journal_text,
    ];
    let child = up(&source, &scene, &watch).spawn();
    wait_until("the first pass ends", || {
        fs::read_to_string(&journal).is_ok_and(|text| text.contains("summary"))
    });
    up(&source, &scene, &["--journal", journal_text])
        .run()
        .fails(1, "another process writes the journal");
    symlink("nowhere", source.join("dangling")).expect("linked");
    wait_until("the second pass fails", || {
        fs::read_to_string(&journal).is_ok_and(|text| text.contains("failed\":1"))
    });
    fs::remove_file(source.join("dangling")).expect("removed");
    fs::remove_file(source.join("b")).expect("removed");
    let run = Run::new(child.wait_with_output().expect("it ends")).exits(0);
    assert!(
        run.stderr.contains("error: 1 of 3 files failed; nothing was deleted"),
        "{}",
        run.stderr
    );
    assert_eq!(keys(&scene), ["a"]);

    let lines = json_lines(&run);
    let key = east_key();
    let (source, scene_uri) = (source.display().to_string(), scene.uri());
    let sealed: Vec<_> = lines.iter().filter(|line| line["action"] == "seal").collect();
    assert_eq!(sealed.len(), 3, "{lines:?}");
    for name in ["a", "b"] {
        let line = sealed.iter().find(|line| line["destination"] == format!("{scene_uri}/{name}"));
        let line = line.expect("its line");
        assert_eq!(line["result"], "done");
        assert_eq!(line["source"], format!("{source}/{name}"));
        assert_eq!((&line["bytes"], &line["keys"][0]), (&3.into(), &key.as_str().into()));
        assert!(line["e_tag"].is_string());
    }
    let failed = sealed.iter().find(|line| line["result"] == "failed").expect("a failure");
    assert!(failed["source"].as_str().is_some_and(|it| it.ends_with("dangling")), "{failed}");
    let deleted = lines.iter().find(|line| line["action"] == "delete").expect("a deletion");
    assert_eq!(deleted["destination"], format!("{scene_uri}/b"));
    let summaries: Vec<_> = lines.iter().filter_map(|line| line.get("summary")).collect();
    let counts = |at: usize, name: &str| summaries[at][name].as_u64().expect("a number");
    assert_eq!(summaries.len(), 3);
    assert_eq!((counts(0, "transferred"), counts(0, "bytes"), counts(0, "pass")), (2, 6, 1));
    assert_eq!((counts(1, "unchanged"), counts(1, "failed"), counts(1, "deleted")), (2, 1, 0));
    assert_eq!((counts(2, "unchanged"), counts(2, "deleted")), (1, 1));
    let message = summaries[1]["message"].as_str().expect("a reason");
    assert_eq!(message, "1 of 3 files failed; nothing was deleted");

    let text = fs::read_to_string(&journal).expect("the journal");
    let mut entries: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(entries.len(), lines.len() + 1);
    let begin = entries.remove(0);
    assert_eq!((&begin["source"], &begin["sealwax_sync"]), (&source.into(), &1.into()));
    for (entry, line) in entries.iter_mut().zip(&lines) {
        let time = entry.as_object_mut().and_then(|entry| entry.remove("time")).expect("a time");
        assert!(time.as_str().is_some_and(|time| time.ends_with('Z')), "{time}");
        assert_eq!(entry, line);
    }
}

#[test]
fn a_watch_ends_at_once_if_it_cannot_begin() {
    let scene = Scene::new("watch-nothing");
    let watch = ["--watch", "1h"];
    let absent = Scene::at("sealwax-absent-bucket", "x");
    down(&absent, &scene.path("target"), &watch).run().exits(4);
    let run = Sealwax::new(["sync", "a", "b"]).run();
    run.fails(2, "neither side is in S3");
    let run = Sealwax::new(["sync", "-", "s3://b"]).run().exits(2);
    run.says("standard streams cannot be synchronized");
}

/// Stores objects below the scene's, and returns their names and contents.
fn objects(scene: &Scene) -> Vec<(&'static str, Vec<u8>)> {
    let objects = vec![
        ("a", b"one".to_vec()),
        ("b/c", b"two".to_vec()),
        ("empty", Vec::new()),
        ("long", bytes(20 << 20)),
    ];
    for (name, content) in &objects {
        scene.beside(name).put(content, &["-c", "tenant=acme"]).exits(0);
    }
    objects
}

#[test]
fn two_prefixes_of_one_store_become_equal() {
    let (here, there) = (Scene::new("here"), Scene::new("there"));
    let objects = objects(&here);
    RawS3::new().put(&here.beside("plain"), b"plain".to_vec(), HashMap::new());
    RawS3::new().put(&here.beside("marker/"), Vec::new(), HashMap::new());
    let sync = |args: &[&str]| {
        let key = east_key();
        Sealwax::new(["sync", &here.uri(), &there.uri(), "--key", &key]).args(args)
    };
    let run = sync(&["--dry-run"]).run().exits(0);
    assert!(run.stderr.starts_with("would copy 5 objects of "), "{}", run.stderr);
    let run = sync(&[]).run().exits(7).says("plain: ").says("is not sealed");
    assert!(run.stderr.contains("copied 4 objects of "), "{}", run.stderr);
    for (name, content) in &objects {
        let opened = there.beside(name).get(&["-c", "tenant=acme"]).exits(0);
        assert!(opened.stdout == *content, "{name}");
    }
    let exclude = ["--exclude", "plain"];
    let counter = CallCounter::start(&endpoint());
    let run = sync(&exclude).env("AWS_ENDPOINT_URL", counter.url()).run().exits(0);
    let unchanged = "(0 bytes); 4 unchanged; 1 folder marker skipped";
    let left = |count: usize| {
        let left = "not compared (--check compares them)";
        format!("{unchanged}; wrapping keys and attributes of {count} {left}\n")
    };
    assert!(run.stderr.ends_with(&left(2)), "{}", run.stderr);
    // Two listings; the long one, which was stored in parts, has another entity tag in its copy; and
    // the metadata of one of the others is read.
    let calls: Vec<_> = counter.take().into_iter().collect();
    assert_eq!(calls, [("GET".to_owned(), 2), ("HEAD".to_owned(), 4)]);

    // A rewrap makes the source newer, and keeps its content: metadata tells that.
    seconds_pass();
    let rewrap = ["rewrap", &here.beside("a").uri(), "--add", &west_key()].map(str::to_owned);
    Sealwax::new(rewrap).run().exits(0);
    let run = sync(&exclude).env("AWS_ENDPOINT_URL", counter.url()).run().exits(0);
    assert!(run.stderr.ends_with(&left(1)), "{}", run.stderr);
    assert_eq!(counter.take().get("HEAD"), Some(&6));

    // New content of the same length, a deleted object, and one that only the destination has.
    here.beside("a").put(b"1 1", &["-c", "tenant=acme"]).exits(0);
    there.beside("extra").put(b"extra", &[]).exits(0);
    let run = sync(&["--exclude", "plain", "--delete", "--yes", "--json"]).run().exits(0);
    let lines = json_lines(&run);
    let [copied, deleted, summary] = &lines[..] else { panic!("{lines:?}") };
    assert_eq!((&copied["action"], &copied["result"]), (&"copy".into(), &"done".into()));
    assert_eq!(copied["keys"], serde_json::json!([east_key()]));
    assert_eq!(deleted["destination"], there.beside("extra").uri());
    assert_eq!(summary["summary"]["transferred"], 1);
    assert_eq!(there.beside("a").get(&["-c", "tenant=acme"]).exits(0).stdout, b"1 1");
    assert_eq!(keys(&there), ["a", "b/c", "empty", "long"]);
    let run = sync(&["--exclude", "plain", "--check"]).run().exits(0);
    assert!(run.stderr.ends_with(&format!("{unchanged}\n")), "{}", run.stderr);

    let nested = here.beside("b");
    for (from, to) in [(&here, &nested), (&nested, &here)] {
        let run = Sealwax::new(["sync", &from.uri(), &to.uri(), "--delete", "--yes"]).run();
        run.fails(2, "into itself");
    }
    assert_eq!(keys(&here).len(), 6);
}

#[test]
fn copies_to_another_store_pass_through_sealed() {
    let here = Scene::new("pass-through");
    let objects = objects(&here);
    let other = RawS3::at(&second_s3());
    other.make_bucket(&here.bucket);
    let there = Scene::at(&here.bucket, &format!("{}-there", here.key));
    let url = second_s3();
    let (east, west) = (east_key(), west_key());
    let sync = |args: &[&str]| {
        let to = ["--to-endpoint-url", &url, "--key", &east, "--under", &west];
        Sealwax::new(["sync", &here.uri(), &there.uri()]).args(to).args(args)
    };
    let counter = CallCounter::start(&endpoint());
    let run = sync(&["--json"]).env("AWS_ENDPOINT_URL", counter.url()).run().exits(0);
    assert!(run.stderr.starts_with("copied 4 objects of "), "{}", run.stderr);
    // The data keys stay inside KMS, or are opened to be wrapped in another Region; no body is.
    let calls = counter.take();
    assert!(!calls.keys().any(|call| call.starts_with("GenerateDataKey")), "{calls:?}");
    for line in json_lines(&run).iter().filter(|line| line["action"] == "copy") {
        assert_eq!(line["keys"], serde_json::json!([west]));
    }
    for (name, content) in &objects {
        let (stored, metadata) = RawS3::new().get(&here.beside(name));
        let at = Scene::at(&there.bucket, &format!("{}/{name}", there.key));
        let (copied, of_copy) = other.get(&at);
        assert!(stored == copied, "{name}: the sealed bytes are the same");
        assert_eq!(metadata["sealwax-header"], of_copy["sealwax-header"]);
        let get = ["get", &at.uri(), "-", "--key", &west, "-c", "tenant=acme"];
        let opened = Sealwax::new(get).env("AWS_ENDPOINT_URL_S3", &url).run().exits(0);
        assert!(opened.stdout == *content, "{name}");
    }
    let run = sync(&[]).run().exits(0);
    assert!(run.stderr.contains("(0 bytes); 4 unchanged"), "{}", run.stderr);
    // New content, by a line that throttles half of all requests.
    here.beside("b/c").put(b"2 2", &["-c", "tenant=acme"]).exits(0);
    let refusing = Refusing::half_throttled(&endpoint());
    let run = sync(&[]).env("AWS_ENDPOINT_URL", &refusing.url).run().exits(0);
    assert!(run.stderr.contains("copied 1 object of "), "{}", run.stderr);
    assert!(refusing.refused() > 0);
    let run = sync(&["--check", "--key", &west]).run().exits(0);
    assert!(run.stderr.contains("(0 bytes); 4 unchanged"), "{}", run.stderr);
    let run = Sealwax::new(["check", &here.uri(), &there.uri(), "--to-endpoint-url", &url]).run();
    run.exits(0).says("4 same; 0 different;");

    // Back to the place of the source: the two are one object.
    let back = ["--to-endpoint-url", &endpoint()].map(str::to_owned);
    let run = Sealwax::new(["sync", &here.uri(), &here.uri(), "--check"]).args(back).run();
    run.exits(0).says("; 4 unchanged");
}

#[test]
fn changed_keys_context_and_attributes_are_told() {
    let scene = Scene::new("options");
    // Files that were not changed in the last seconds.
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/args");
    let (east, west) = (east_key(), west_key());
    let sync = |args: &[&str]| {
        let only = ["--include", "prefix.rs", "--include", "values.rs", "--key", &east];
        Sealwax::new(["sync"]).args([&source]).args([&*scene.uri()]).args(only).args(args).run()
    };
    sync(&[]).exits(0);
    let unchanged = sync(&[]).exits(0).stderr;
    let closing = "2 unchanged; wrapping keys, context and attributes of 1 not compared (--check \
                   compares them)\n";
    assert!(unchanged.ends_with(closing) && !unchanged.contains("warning"), "{unchanged}");

    let changes: [(&[&str], &str); 5] = [
        (&["--key", &west], "wrapping keys"),
        (&["-c", "tenant=acme"], "encryption context"),
        (&["--cache-control", "no-store"], "content headers"),
        (&["--expires", "2033-12-31T00:00:00Z"], "content headers"),
        (&["--metadata", "origin=here"], "metadata"),
    ];
    for (args, property) in changes {
        let run = sync(args).exits(0);
        let warning = format!(
            "warning: {}/prefix.rs has other {property} than this command would store",
            scene.uri()
        );
        let run = run.says(&warning).says("sealed 0 files of ");
        assert!(run.stderr.ends_with(closing), "{}", run.stderr);
    }
    let json = sync(&["--key", &west, "-c", "a=b", "--json"]).exits(0);
    let lines = json_lines(&json);
    let [told, summary] = &lines[..] else { panic!("{lines:?}") };
    assert_eq!((&told["action"], &told["result"]), (&"seal".into(), &"skipped".into()));
    assert_eq!(told["message"], "unchanged, but with other wrapping keys and encryption context");
    assert_eq!(summary["summary"]["not_compared"], 1);

    // A comparison of everything stores what differs, and then nothing.
    for args in [
        &["--check", "--key", &*west][..],
        &["--check", "--cache-control", "no-store"],
        &["--check", "--cache-control", "no-store", "--tagging", "team=a+b&tier=%31"],
    ] {
        sync(args).exits(0).says("sealed 2 files of ");
        let run = sync(args).exits(0).says("sealed 0 files of ");
        assert!(run.stderr.ends_with("(0 bytes); 2 unchanged\n"), "{}", run.stderr);
    }
    let tags = RawS3::new().tags(&scene.beside("values.rs"));
    assert_eq!(tags, [("team".into(), "a b".into()), ("tier".into(), "1".into())]);
}

#[test]
fn copies_under_other_keys_are_told() {
    let (here, there) = (Scene::new("under-here"), Scene::new("under-there"));
    for name in ["a", "b"] {
        here.beside(name).put(b"text", &[]).exits(0);
    }
    let (east, west) = (east_key(), west_key());
    let sync = |args: &[&str]| {
        Sealwax::new(["sync", &here.uri(), &there.uri(), "--key", &east]).args(args).run()
    };
    sync(&[]).exits(0).says("copied 2 objects of ");
    let under = ["--under", &*west];
    let warning = format!(
        "warning: {} has other wrapping keys than this command would store; its content is \
         unchanged, so it stays: --check stores such objects again, and `sealwax rewrap` changes \
         wrapping keys alone",
        there.beside("a").uri()
    );
    sync(&under).exits(0).says(&warning).says("copied 0 objects of ");
    let check = ["--under", &west, "--key", &west, "--check"];
    sync(&check).exits(0).says("copied 2 objects of ");
    let run = sync(&check).exits(0);
    assert!(run.stderr.ends_with("(0 bytes); 2 unchanged\n"), "{}", run.stderr);
    let run = sync(&under).exits(0);
    assert!(!run.stderr.contains("warning"), "{}", run.stderr);
}

#[test]
fn a_profile_names_the_account_of_the_destination() {
    let here = Scene::new("to-profile");
    here.beside("a").put(b"text", &[]).exits(0);
    let other = RawS3::at(&second_s3());
    other.make_bucket(&here.bucket);
    let there = Scene::at(&here.bucket, &format!("{}-there", here.key));
    let config = format!(
        "[profile there]\nregion = us-east-1\nendpoint_url = {}\n\
         services = there\naws_access_key_id = test\naws_secret_access_key = test\n\
         [services there]\ns3 =\n  endpoint_url = {}\n",
        endpoint(),
        second_s3()
    );
    let config = here.file("config", config.as_bytes());
    let sync = |profile: &str| {
        let to = ["--to-profile", profile, "--key", &east_key()].map(str::to_owned);
        let sync = Sealwax::new(["sync", &here.uri(), &there.uri()]).args(to);
        sync.env("AWS_CONFIG_FILE", &config)
            .without_env("AWS_ENDPOINT_URL")
            .env("AWS_ENDPOINT_URL_KMS", endpoint())
            .args(["--endpoint-url", &endpoint()])
            .run()
    };
    sync("absent").fails(2, "no profile absent in the AWS files, which have: there");
    sync("there").exits(0).says("copied 1 object of ");
    let (stored, _) = RawS3::new().get(&here.beside("a"));
    let at = Scene::at(&there.bucket, &format!("{}/a", there.key));
    assert!(other.get(&at).0 == stored, "the sealed bytes are the same");
    assert!(RawS3::new().head(&at).is_none(), "it is in the other store alone");
    sync("there").exits(0).says("(0 bytes); 1 unchanged");
}

/// Runs a copy of a source that another program replaces right before its second range is read.
/// Returns the copy, and that of a second run, which must copy `copied_next` objects.
fn copy_a_changing_source(here: &Scene, copied_next: usize) -> (Vec<u8>, Vec<u8>) {
    here.beside("long").put(&bytes(20 << 20), &[]).exits(0);
    let url = second_s3();
    let other = RawS3::at(&url);
    other.make_bucket(&here.bucket);
    let there = Scene::at(&here.bucket, &format!("{}-there", here.key));
    let at = Scene::at(&there.bucket, &format!("{}/long", there.key));
    let (source, replaced) = (Arc::new(here.beside("long")), Arc::new(Once::new()));
    let changing = Refusing::by_line(&endpoint(), move |head| {
        let head = head.to_ascii_lowercase();
        let range = head.split("\r\nrange: bytes=").nth(1);
        if head.starts_with("get ") && range.is_some_and(|range| !range.starts_with("0-")) {
            replaced.call_once(|| drop(source.put(&[7; 20 << 20], &[]).exits(0)));
        }
        None
    });
    let sync = || {
        let args = ["--to-endpoint-url", &url, "--key", &east_key()].map(str::to_owned);
        Sealwax::new(["sync", &here.uri(), &there.uri()]).args(args)
    };
    let content = || {
        let get = ["get", &at.uri(), "-"].map(str::to_owned);
        Sealwax::new(get).env("AWS_ENDPOINT_URL_S3", &url).run().exits(0).stdout
    };
    let sync_changing = sync().env("AWS_ENDPOINT_URL", &changing.url);
    sync_changing.run().exits(0).says("copied 1 object of ");
    let first = content();
    assert_eq!(other.unfinished_uploads(&at), 0);
    sync().run().exits(0).says(&format!("copied {copied_next} object"));
    (first, content())
}

#[test]
fn a_source_that_changes_while_it_passes_through_is_never_mixed() {
    let (old, new) = (bytes(20 << 20), vec![7; 20 << 20]);
    // In a versioned bucket, the version that was read first is copied to its end.
    let versioned = Scene::new("changing");
    let (first, second) = copy_a_changing_source(&versioned, 1);
    assert!(first == old && second == new);

    // In another one, the copy is given up, and begins again with the new object.
    let scene = Scene::new("changing");
    let plain = Scene::at(&format!("plain-{}", std::process::id()), &scene.key);
    RawS3::new().make_bucket(&plain.bucket);
    let (first, second) = copy_a_changing_source(&plain, 0);
    assert!(first == new && second == new);
}

#[test]
fn folders_that_a_store_lists_with_a_length_are_markers() {
    let scene = Scene::new("listed-folders");
    scene.beside("sub/a").put(b"text", &[]).exits(0);
    // As the console of AWS creates them, and s3proxy lists them: with the length on its disk.
    for marker in ["sub/", "empty/"] {
        RawS3::new().put(&scene.beside(marker), Vec::new(), HashMap::new());
    }
    let listing = Refusing::listing_empty_objects_with_a_length(&endpoint());
    let run = |args: &[&str]| {
        let run = Sealwax::new(args).env("AWS_ENDPOINT_URL", &listing.url).run().exits(0);
        assert_eq!(run.stderr.matches("folder marker").count(), 1, "told once: {}", run.stderr);
        run.says("; 2 folder markers skipped")
    };
    let (uri, folder) = (format!("{}/", scene.uri()), scene.path("target"));
    let folder = folder.to_str().expect("text");
    run(&["get", "-r", &uri, folder]).says("opened 1 object of ");
    run(&["sync", &uri, folder]).says("1 unchanged");
    let copy = format!("{}-copy/", scene.uri());
    run(&["cp", "-r", &uri, &copy]).says("copied 1 object of ");
    run(&["sync", &uri, &copy]).says("1 unchanged");
    assert_eq!(tree(Path::new(folder)).into_keys().collect::<Vec<_>>(), ["sub/a"]);
}

#[test]
fn a_sealed_folder_marker_is_no_file() {
    let (scene, raw) = (Scene::new("sealed-markers"), RawS3::new());
    scene.beside("a").put(b"text", &[]).exits(0);
    scene.beside("empty").put(b"", &[]).exits(0);
    // As programs store it through the gateway.
    let (body, metadata) = raw.get(&scene.beside("empty"));
    raw.put(&scene.beside("sub/"), body, metadata);
    let (uri, folder) = (format!("{}/", scene.uri()), scene.path("target"));
    let folder = folder.to_str().expect("text");
    let run = |args: &[&str]| Sealwax::new(args).run();
    run(&["get", "-r", &uri, folder]).exits(0).says("; 1 folder marker skipped");
    run(&["sync", &uri, folder]).exits(0).says("2 unchanged; 1 folder marker skipped");
    assert!(!Path::new(folder).join("sub").exists());

    // One with content is an object, for which there can be no file.
    let (body, metadata) = raw.get(&scene.beside("a"));
    raw.put(&scene.beside("sub/"), body, metadata);
    let reason = "the key has an empty folder or file name";
    run(&["get", "-r", &uri, folder]).exits(7).says(reason);
    run(&["sync", &uri, folder]).exits(7).says(reason);
}

#[test]
fn a_check_finds_every_difference() {
    let scene = Scene::new("check");
    let long = bytes(9 * 1024 * 1024);
    let files = [("a", &b"one"[..]), ("b", b"two"), ("d", b"four"), ("long", &long), ("z", b"")];
    let source = folder(&scene, &files);
    up(&source, &scene, &[]).run().exits(0);
    let uri = scene.uri();
    let check = |args: &[&str], is_turned: bool| {
        let key = east_key();
        let mut sides = [source.as_os_str(), uri.as_ref()];
        if is_turned {
            sides.reverse();
        }
        Sealwax::new(["check"]).args(sides).args(["--key", &key]).args(args).run()
    };
    for is_turned in [false, true] {
        check(&[], is_turned).exits(0).says("5 same; 0 different; 0 only in");
    }
    // The same length and time, a new file, an object without a file, one that is not sealed.
    let time = fs::metadata(source.join("a")).and_then(|it| it.modified()).expect("a time");
    fs::write(source.join("a"), "1 1").expect("written");
    let file = fs::File::options().write(true).open(source.join("a")).expect("opened");
    file.set_modified(time).expect("set");
    fs::write(source.join("c"), "three").expect("written");
    fs::remove_file(source.join("d")).expect("removed");
    let s3 = RawS3::new();
    s3.put(&scene.beside("b"), b"two".to_vec(), HashMap::new());
    s3.put(&scene.beside("folder/"), Vec::new(), HashMap::new());
    let run = check(&[], false).exits(9).says("error: 4 differences found");
    let mut lines: Vec<_> = std::str::from_utf8(&run.stdout).expect("text").lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["different: a", "missing-here: d", "missing-there: c", "not-sealed: b"]);
    let expected = format!(
        "2 same; 1 different; 1 only in {from}; 1 only in {uri}/; 1 not sealed; 1 skipped; 0 failed\n",
        from = source.display()
    );
    assert!(run.stderr.starts_with(&expected), "{}", run.stderr);
    let run = check(&["--json"], true).exits(9);
    let lines = json_lines(&run);
    let of = |path: &str| lines.iter().find(|line| line["path"] == path).expect("a line");
    assert_eq!(
        (&of("c")["result"], &of("d")["result"]),
        (&"missing-here".into(), &"missing-there".into())
    );
    let summary = lines.last().expect("a summary")["summary"].clone();
    let expected = serde_json::json!({
        "same": 2, "different": 1, "missing_here": 1, "missing_there": 1, "not_sealed": 1,
        "skipped": 1, "failed": 0
    });
    assert_eq!(summary, expected);
    check(&["--include", "z", "--include", "long"], false).exits(0);
    check(&["--include", "nothing"], false).fails(4, "no file or objects in");

    // A damaged object is neither the same nor different: it does not open.
    let at = scene.beside("long");
    let (mut body, metadata) = s3.get(&at);
    *body.last_mut().expect("not empty") ^= 1;
    s3.put(&at, body, metadata);
    check(&[], false).exits(7).says("failed: long: ");
    Sealwax::new(["check", "a", "b"]).run().fails(2, "neither side is in S3");
    let absent = scene.path("absent");
    let run = Sealwax::new(["check"]).args([&absent]).args([&uri]).run();
    run.fails(1, "cannot read");
}
