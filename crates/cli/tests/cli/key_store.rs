//! The key store, the key cache, and `sealwax keys`.

use std::{fs, path::Path};

use serde_json::Value;

use crate::{
    folders::{folder, tree},
    support::{
        CallCounter, RawS3, Run, Scene, Sealwax, bytes, east_key, endpoint, json_lines, west_key,
    },
};

/// A bucket of one test, with a folder of sealed objects.
struct Bucket {
    scene: Scene,
    s3: RawS3,
}

impl Bucket {
    fn new(name: &str) -> Self {
        Self::made(name, |s3, bucket| s3.make_bucket(bucket))
    }

    fn made(name: &str, make: impl FnOnce(&RawS3, &str)) -> Self {
        let random: String = Scene::new(name)
            .key
            .chars()
            .filter(char::is_ascii_alphanumeric)
            .map(|it| it.to_ascii_lowercase())
            .collect();
        let (bucket, s3) = (format!("keys-{}", &random[..random.len().min(50)]), RawS3::new());
        make(&s3, &bucket);
        Self { scene: Scene::at(&bucket, "data"), s3 }
    }

    fn uri(&self) -> String {
        format!("s3://{}", self.scene.bucket)
    }

    /// Stores files under one intermediate key.
    fn filled(&self, files: &[(&str, &[u8])], more: &[&str]) -> std::path::PathBuf {
        let source = folder(&self.scene, files);
        let (uri, key) = (self.scene.uri(), east_key());
        let put = Sealwax::new(["put"]).args([&source]);
        let args = [&uri, "-r", "--key", &key, "--key-store", "--key-cache"];
        put.args(args).args(more).run().exits(0);
        source
    }

    fn keys(&self, args: &[&str]) -> Sealwax {
        let (command, rest) = args.split_first().expect("a command");
        Sealwax::new(["keys", command, &self.uri()]).args(rest)
    }

    /// Returns the keys of all key objects.
    fn key_objects(&self) -> Vec<String> {
        self.s3.keys(&self.scene.bucket, ".sealwax/")
    }

    /// Returns the only intermediate key, as `keys ls` shows it.
    fn only(&self) -> String {
        let run = self.keys(&["ls", "--json"]).run().exits(0);
        let lines = json_lines(&run);
        assert_eq!(lines.len(), 2, "one key and the summary: {lines:?}");
        lines[0]["key"].as_str().expect("text").to_owned()
    }
}

const FILES: [(&str, &[u8]); 3] = [("a", b"1"), ("b", b"22"), ("sub/c", b"333")];

fn text(run: &Run) -> &str {
    std::str::from_utf8(&run.stdout).expect("text")
}

#[test]
fn one_kms_call_serves_a_folder() {
    let scene = Scene::new("cached");
    let contents: Vec<_> = (0..50).map(|number| (format!("{number:02}"), bytes(number))).collect();
    let files: Vec<_> = contents.iter().map(|(name, it)| (name.as_str(), it.as_slice())).collect();
    let source = folder(&scene, &files);
    let (uri, key, counter) = (scene.uri(), east_key(), CallCounter::start(&endpoint()));
    let url = counter.url().to_owned();
    let put = |more: &[&str]| {
        let run = Sealwax::new(["put"]).args([&source]).args([&*uri, "-r", "--key", &key]);
        run.args(more).env("AWS_ENDPOINT_URL", &url).run().exits(0);
        counter.take().get("GenerateDataKey us-east-1").copied()
    };
    assert_eq!(put(&["--key-cache"]), Some(1));
    assert_eq!(put(&["--key-cache=1h", "--key-cache-objects", "25"]), Some(2));
    assert_eq!(put(&[]), Some(50));
    let (settings, profile) =
        (scene.path("sealwax.toml"), "[profiles.default]\nkey_cache = \"1h\"");
    fs::write(&settings, profile).expect("written");
    assert_eq!(put(&["--config", settings.to_str().expect("text")]), Some(1));
    let target = scene.path("target");
    Sealwax::new(["get", &uri]).args([&target]).args(["-r"]).run().exits(0);
    assert_eq!(tree(&target), tree(&source));
}

#[test]
fn copies_and_migrations_share_intermediate_keys_too() {
    let bucket = Bucket::new("shared");
    let source = folder(&bucket.scene, &FILES);
    let (uri, key, west) = (bucket.scene.uri(), east_key(), west_key());
    Sealwax::new(["put"]).args([&source]).args([&*uri, "-r", "--key", &key]).run().exits(0);
    let counter = CallCounter::start(&endpoint());
    let cached = |args: &[&str]| {
        let run = Sealwax::new(args.iter().copied()).args(["--key-cache", "--key-store"]);
        run.env("AWS_ENDPOINT_URL", counter.url()).run().exits(0);
        let calls = counter.take();
        let generated = |it: &(String, usize)| it.0.starts_with("GenerateDataKey");
        calls.into_iter().filter(generated).map(|(_, count)| count).collect::<Vec<_>>()
    };
    let copies = format!("{}/copies/", bucket.uri());
    assert_eq!(cached(&["cp", &uri, &copies, "-r", "--under", &west]), [1]);
    let again = ["reencrypt", &uri, "-r", "--to", "native", "--under", &key, "--apply"];
    // What is in the format already stays.
    assert_eq!(cached(&again), [0; 0]);
    let one = format!("{uri}/a");
    assert_eq!(cached(&["reencrypt", &one, "--under", &key]), [1]);
    assert_eq!(bucket.key_objects().len(), 2, "one of each command");
    let synced = format!("{}/synced/", bucket.uri());
    assert_eq!(cached(&["sync", &format!("{uri}/"), &synced, "--under", &key]), [1]);
    // A key cache without new keys, as a profile may set it, is no mistake.
    cached(&["cp", &uri, &copies, "-r"]);
    let target = bucket.scene.path("target");
    Sealwax::new(["get", &copies]).args([&target]).args(["-r"]).run().exits(0);
    assert_eq!(tree(&target), tree(&source));
}

#[test]
fn a_context_of_many_values_shares_keys_by_its_bound_pairs() {
    let (bucket, key) = (Bucket::new("bound"), east_key());
    let counter = CallCounter::start(&endpoint());
    for (document, expected) in [("1", 1), ("2", 1)] {
        let source = bucket.scene.file(document, document.as_bytes());
        let put = Sealwax::new(["put"]).args([&source]);
        let put = put.args([&format!("{}/{document}", bucket.scene.uri()), "--key", &key]);
        let document = format!("document={document}");
        let put = put.args(["-c", "tenant=acme", "-c", &document, "--key-store", "--key-cache"]);
        put.args(["--key-context", "tenant"]).env("AWS_ENDPOINT_URL", counter.url()).run().exits(0);
        assert_eq!(counter.take().get("GenerateDataKey us-east-1"), Some(&expected));
    }
    let run = bucket.keys(&["ls", "--json"]).run().exits(0);
    let lines = json_lines(&run);
    let keys: Vec<_> = lines[..2].iter().map(|it| it["key"].as_str().expect("text")).collect();
    let run = bucket.keys(&["inspect", keys[0], keys[1], "--json"]).run().exits(0);
    for shown in json_lines(&run) {
        assert_eq!(shown["forms"][0]["context"], serde_json::json!({ "tenant": "acme" }));
    }
}

#[test]
fn arguments_of_the_cache_need_one_another() {
    let scene = Scene::new("arguments");
    let put = |more: &[&str]| scene.put(b"text", more);
    for option in [&["--key-cache-objects", "5"][..], &["--key-context", "t"], &["--detached-keys"]]
    {
        put(option).fails(2, &format!("{} requires --key-cache", option[0]));
    }
    put(&["--key-cache", "--detached-keys"]).fails(2, "--detached-keys requires --key-store");
    put(&["--key-cache=5"]).exits(2).says("a unit of s, m, h, d or w");
}

#[test]
fn keys_are_listed_rewrapped_and_verified() {
    let (bucket, east, west) = (Bucket::new("rewrapped"), east_key(), west_key());
    let source = bucket.filled(&FILES, &["-c", "tenant=acme"]);
    assert_eq!(bucket.key_objects().len(), 1);
    let key = bucket.only();
    let id = key.split('/').nth(1).expect("an id").to_owned();
    let address = format!("s3://{}/.sealwax/keys/", bucket.scene.bucket);

    let run = bucket.keys(&["ls", "--key", &west]).run().exits(0);
    assert!(text(&run).ends_with(&format!("{:>6}  {key}  lacks {west}\n", 1)), "{}", text(&run));
    let said = format!("1 intermediate key, 1 key object in {address}; 1 without {west}\n");
    assert_eq!(run.stderr, said);
    let run = bucket.keys(&["ls", "--key", &east, "--lacking"]).run().exits(0);
    assert_eq!(text(&run), "");

    let run = bucket.keys(&["inspect", "--", &id]).run().exits(0);
    let expected = format!("in objects too, context tenant=acme, scope {}/", bucket.scene.bucket);
    assert!(text(&run).contains(&expected), "{}", text(&run));
    assert!(text(&run).contains(&format!("  {east}\n    provider aws-kms\n")), "{}", text(&run));

    // The other Region's key opens nothing yet.
    let target = bucket.scene.path("west");
    let get = || {
        let get = Sealwax::new(["get", &bucket.scene.uri()]).args([&target]);
        get.args(["-r", "--key", &west, "--key-store"]).run()
    };
    get().exits(8);
    let verify = |key: &str| bucket.keys(&["verify", "--key", key]).run();
    verify(&west).exits(8).says("1 of 1 intermediate key not proven");

    let counter = CallCounter::start(&endpoint());
    let rewrap = |more: &[&str]| {
        let run = bucket.keys(&["rewrap", "--add", &west]).args(more);
        let run = run.env("AWS_ENDPOINT_URL", counter.url()).run().exits(0);
        (run, counter.take().into_iter().collect::<Vec<_>>())
    };
    let call = |name: &str, count| (name.to_owned(), count);
    let (run, calls) = rewrap(&["-n", "--key", &east]);
    assert_eq!(calls, [call("GET", 1)], "it lists");
    run.says(
        "would rewrap 1 of 1 intermediate key: 1 key object to write, 0 key objects to delete",
    );
    let (run, calls) = rewrap(&["--key", &east, "--json"]);
    let expected = [
        call("Decrypt us-east-1", 1),
        call("Encrypt us-west-2", 1),
        call("GET", 2),
        call("PUT", 1),
    ];
    assert_eq!(calls, expected, "a list, a key object, and no object");
    let lines = json_lines(&run);
    assert_eq!(lines[0]["outcome"], "rewrapped");
    assert_eq!(lines[0]["added"], serde_json::json!([west]));
    assert_eq!(lines[1]["summary"]["rewrapped"], 1);
    assert_eq!(lines[1]["summary"]["added"], serde_json::json!({ west.as_str(): 1 }));
    let (run, calls) = rewrap(&["--key", &east]);
    assert_eq!(calls, [call("GET", 1)], "a claim costs nothing");
    run.says("0 rewrapped, 1 claimed to have the wanted keys (--prove checks)");

    get().exits(0);
    assert_eq!(tree(&target), tree(&source));
    let run = verify(&west).exits(0);
    let said = format!("1 intermediate key: 1 proven; proven by {west}: 1\n");
    assert_eq!(run.stderr, said);
    let run = bucket.keys(&["verify", "--key", &east, "--key", &west, "--json"]).run().exits(0);
    let lines = json_lines(&run);
    let proofs: Vec<_> = lines[0]["forms"].as_array().expect("forms").iter().collect();
    assert!(proofs.iter().all(|form| form["proof"] == "proven") && proofs.len() == 2);

    let (name, before) = (east.clone(), bucket.key_objects());
    let run = bucket.keys(&["rewrap", "--refresh", "--key", &east, "--json"]).run().exits(0);
    let lines = json_lines(&run);
    assert_eq!(
        (&lines[0]["outcome"], &lines[0]["refreshed"]),
        (&"rewrapped".into(), &serde_json::json!([name]))
    );
    assert_eq!(lines[1]["summary"]["refreshed"], serde_json::json!({ name.as_str(): 1 }));
    assert_eq!(bucket.key_objects(), before);
    verify(&east).exits(0).says("1 proven");
    let run = bucket.keys(&["rewrap", "--refresh", "-n", "--json"]).run().exits(0);
    let lines = json_lines(&run);
    assert_eq!((&lines[0]["refresh"], &lines[1]["summary"]["refresh"]), (&2.into(), &2.into()));
    bucket
        .keys(&["rewrap", "--refresh", "--replace", &east])
        .run()
        .exits(2)
        .says("cannot be used with");

    // The old key goes only after the other one was unwrapped.
    bucket.keys(&["rewrap", "--remove", &east, "--key", &west]).run().exits(0).says("1 rewrapped");
    assert_eq!(bucket.key_objects().len(), 1);
    let run = bucket.keys(&["rewrap", "--remove", &west, "--key", &west, "--json"]).run().exits(8);
    assert_eq!(json_lines(&run)[0]["reason"], "invalid-input", "never the last one");
    assert_eq!(bucket.key_objects().len(), 1);
}

#[test]
fn a_detached_object_needs_the_key_store_and_is_shredded_by_its_key() {
    let bucket = Bucket::made("detached", |s3, bucket| {
        s3.make_bucket(bucket);
        s3.version(bucket);
    });
    bucket.filled(&FILES, &["--detached-keys"]);
    let (key, uri) = (bucket.only(), format!("{}/a", bucket.scene.uri()));
    let id = key.split('/').nth(1).expect("an id");
    let get = |more: &[&str]| Sealwax::new(["get", &uri, "-"]).args(more).run();
    get(&[]).fails(3, "its wrapped keys are in a key store alone").says("pass --key-store");
    assert_eq!(get(&["--key-store"]).exits(0).stdout, b"1");

    for command in ["head", "inspect"] {
        let run = Sealwax::new([command, &uri]).run().exits(0);
        let words: Vec<_> = text(&run).split_whitespace().collect();
        let expected = format!("detached key {id}, in the key store");
        assert!(words.join(" ").contains(&expected), "{command}: {}", text(&run));
        let run = Sealwax::new([command, &uri, "--json"]).run().exits(0);
        assert_eq!(json_lines(&run)[0]["detached"], serde_json::json!([id]), "{command}");
    }

    let run = bucket.keys(&["shred", &key]).run().exits(2);
    run.says("refusing to delete 1 version of 1 intermediate key for ever without confirmation");
    let run = bucket.keys(&["shred", &key, "-n"]).run().exits(0);
    run.says("all versions are deleted; not seen, and not deleted: replicas of the bucket")
        .says("would delete 1 version of 1 intermediate key for ever; nothing was deleted");
    assert_eq!(get(&["--key-store"]).exits(0).stdout, b"1");
    let run = bucket.keys(&["shred", "--yes", "--json", "--", id]).run().exits(0);
    let lines = json_lines(&run);
    assert_eq!(
        (&lines[0]["deleted"], &lines[0]["key"]),
        (&Value::from(1), &Value::from(key.clone()))
    );
    assert_eq!(lines[1]["summary"]["deleted"], 1);
    get(&["--key-store"])
        .fails(1, "has no key object of its intermediate key")
        .says("hint: pass --key-store, with the prefix if it is another one; retry when");
    assert_eq!(bucket.s3.versions(&bucket.scene.bucket, ".sealwax/"), 0);
    bucket.keys(&["shred", &key, "--yes"]).run().fails(4, "no key object of");
}

#[test]
fn keys_of_objects_that_carry_theirs_are_not_shredded() {
    let bucket = Bucket::new("attached");
    bucket.filled(&FILES, &[]);
    let key = bucket.only();
    let run = bucket.keys(&["shred", &key, "--yes"]).run().exits(2);
    run.says("is not detached: its objects carry wrapped keys of their own").says("--attached");
    assert_eq!(bucket.key_objects().len(), 1);
    bucket.keys(&["shred", &key, "--yes", "--attached"]).run().exits(0);
    assert_eq!(bucket.key_objects().len(), 0);
    let uri = format!("{}/a", bucket.scene.uri());
    assert_eq!(Sealwax::new(["get", &uri, "-"]).run().exits(0).stdout, b"1");
}

#[test]
fn a_locked_key_object_is_not_shredded_by_halves() {
    let bucket = Bucket::made("locked", RawS3::make_locked_bucket);
    bucket.filled(&FILES, &["--detached-keys"]);
    let (key, objects) = (bucket.only(), bucket.key_objects());
    bucket.s3.lock(&Scene::at(&bucket.scene.bucket, &objects[0]));
    let run = bucket.keys(&["shred", &key, "--yes"]).run().exits(1);
    let run = run.says(&format!("Object Lock protects 1 version of {key}: nothing was deleted"));
    assert!(text(&run).contains("1 key object, 1 version, 1 locked; detached"), "{}", text(&run));
    assert_eq!(bucket.key_objects(), objects);
}

/// Returns what a command prints about key objects, and asserts that they are all still there.
fn leaves(bucket: &Bucket, run: Sealwax) -> Run {
    let before = bucket.key_objects();
    let run = run.run();
    assert_eq!(bucket.key_objects(), before, "key objects are left alone: {}", run.stderr);
    let printed = format!("{}{}", text(&run), run.stderr);
    assert!(!printed.contains(&before[0]), "{printed}");
    run
}

#[test]
fn walkers_leave_key_objects_alone() {
    let (bucket, other) = (Bucket::new("walked"), Bucket::new("walked-copy"));
    bucket.filled(&FILES, &[]);
    let (all, there, key) = (bucket.uri(), other.uri(), east_key());
    let target = bucket.scene.path("target");
    let target = target.to_str().expect("text");
    let run = |args: &[&str]| leaves(&bucket, Sealwax::new(args.iter().copied()));

    let listed = run(&["ls", &all, "-r", "--json"]).exits(0);
    assert_eq!(json_lines(&listed).len(), 3);
    let level = run(&["ls", &all, "--json"]).exits(0);
    assert_eq!(json_lines(&level), [serde_json::json!({ "folder": format!("{all}/data/") })]);
    let named = Sealwax::new(["ls", &format!("{all}/.sealwax/"), "-r", "--json"]).run().exits(0);
    assert_eq!(json_lines(&named).len(), 1, "a prefix that leads there");

    let du = json_lines(&run(&["du", &all, "--json"]).exits(0));
    let of_keys = du.iter().find_map(|line| line.get("key_store")).expect("a line of its own");
    assert_eq!((&of_keys["objects"], &du[2]["objects"]), (&1.into(), &3.into()), "{du:?}");

    run(&["get", &all, target, "-r"]).exits(0).says("opened 3 objects");
    assert_eq!(tree(Path::new(target)).len(), 3);
    run(&["cp", &format!("{all}/"), &format!("{there}/"), "-r"]).exits(0).says("copied 3 objects");
    run(&["sync", &format!("{all}/"), &format!("{there}/sync/")]).exits(0);
    assert_eq!(other.s3.keys(&other.scene.bucket, "").len(), 6, "no key object was copied");
    let versions = run(&["ls", &all, "-r", "--versions", "--json"]).exits(0);
    assert_eq!(json_lines(&versions).len(), 3);
    let (replica, since) = (format!("{}=us-east-1", other.scene.bucket), "2020-01-01T00:00:00Z");
    let compared = run(&["compare", &all, "--replica", &replica, "--since", since, "--json"]);
    let summary = &json_lines(&compared).pop().expect("a summary")["summary"];
    assert_eq!(summary["keys"], 6, "{summary}");
    run(&["check", target, &format!("{all}/")]).exits(0);
    let audited = json_lines(&run(&["audit", &all, "--list", "--json"]).exits(0));
    assert_eq!(audited.iter().filter(|line| line.get("object").is_some()).count(), 3);
    run(&["verify", &all]).exits(0).says("3 objects: 3 opened");
    run(&["rewrap", &all, "-r", "--add", &west_key(), "--apply"]).exits(0).says("3 rewrapped");
    run(&["reencrypt", &all, "-r", "--to", "native", "--under", &key]).exits(0);

    // Both sides of a synchronization, and what it deletes.
    let empty = bucket.scene.path("empty");
    fs::create_dir(&empty).expect("made");
    fs::write(empty.join("one"), b"1").expect("written");
    let empty = empty.to_str().expect("text");
    run(&["sync", empty, &format!("{all}/"), "--key", &key, "--delete", "--yes"]).exits(0);
    assert_eq!(bucket.s3.keys(&bucket.scene.bucket, "data").len(), 0);
    let into = format!("{all}/.sealwax/keys/");
    let deletes = Sealwax::new(["sync", empty, &into, "--key", &key, "--delete", "--yes"]);
    let before = bucket.key_objects();
    deletes.run().exits(0);
    assert!(before.iter().all(|key| bucket.key_objects().contains(key)), "not even if it is named");
    run(&["mv", &format!("{all}/"), &format!("{there}/moved/"), "-r"]).exits(0);
    run(&["rm", &all, "-r", "--yes"]).exits(0);
}

#[test]
fn key_objects_are_deleted_only_on_request() {
    let bucket = Bucket::new("removed");
    bucket.filled(&FILES, &[]);
    let (all, object) = (bucket.uri(), bucket.key_objects().remove(0));
    let folder = format!("{all}/.sealwax/keys/");
    let object = format!("{all}/{object}");
    for args in [
        &["rm", &object][..],
        &["rm", &folder, "-r", "--yes"],
        &["rm", &folder, "-r", "--versions", "--current", "--yes"],
        &["rm", &format!("{all}/.sealwax"), "-r", "--yes"],
    ] {
        let run = Sealwax::new(args.iter().copied()).run();
        run.fails(2, "is in the key store").says("or pass --shred-keys");
    }
    let line = format!("{{\"object\":\"{object}\",\"version_id\":\"null\"}}\n");
    let listed = Sealwax::new(["rm", &all, "--stdin", "--current", "--yes"]).input(line.as_bytes());
    listed.run().exits(8).says("is in the key store");
    assert_eq!(bucket.key_objects().len(), 1);
    Sealwax::new(["rm", &object, "--shred-keys"]).run().exits(0);
    assert_eq!(bucket.key_objects().len(), 0);
}

#[test]
fn another_prefix_is_a_setting_and_the_default_is_reserved_too() {
    let bucket = Bucket::new("prefix");
    let scene = &bucket.scene;
    let source = folder(scene, &FILES);
    let settings = scene.path("sealwax.toml");
    let profile = "[profiles.default]\nkey_store = \"data/team keys\"\nkey_cache = \"1h\"\n";
    fs::write(&settings, profile).expect("written");
    let config = settings.to_str().expect("text");
    let (uri, key) = (scene.uri(), east_key());
    let put = Sealwax::new(["put"]).args([&source]).args([&*uri, "-r", "--key", &key]);
    put.args(["--config", config]).run().exits(0);
    let stored = bucket.s3.keys(&scene.bucket, "data/team keys/");
    assert_eq!(stored.len(), 1);
    let listed = Sealwax::new(["ls", &uri, "-r", "--json", "--config", config]).run().exits(0);
    assert_eq!(json_lines(&listed).len(), 3);
    let of_profile = bucket.keys(&["ls", "--json", "--config", config]).run().exits(0);
    assert_eq!(json_lines(&of_profile)[1]["summary"]["keys"], 1);
    let by_variable = bucket.keys(&["ls", "--json"]).env("SEALWAX_KEY_STORE", "data/team keys");
    assert_eq!(json_lines(&by_variable.run().exits(0))[1]["summary"]["keys"], 1);
    let none = bucket.keys(&["ls"]).run().exits(0);
    assert_eq!(none.stderr, format!("no key objects in s3://{}/.sealwax/keys/\n", scene.bucket));
    bucket.keys(&["rewrap", "--add", &west_key(), "--key", &key]).run().fails(4, "no key objects");
    bucket.keys(&["ls"]).args(["s3://b/k"]).run().exits(2);
    let off = Sealwax::new(["ls", &uri, "-r", "--json", "--config", config, "--key-store="]);
    assert_eq!(json_lines(&off.run().exits(0)).len(), 4, "no key store, no reservation");
}

#[test]
fn a_key_is_safe_to_delete_once_every_version_opens_without_it() {
    let bucket = Bucket::new("retired");
    bucket.filled(&FILES, &[]);
    let (uri, old, new) = (bucket.uri(), east_key(), west_key());
    let retire = |more: &[&str]| {
        let both = ["--wrapping-key", &old, "--key", &new, "--key", &old, "--key-store"];
        Sealwax::new(["retire", &uri]).args(both).args(more).run()
    };
    let run = retire(&[]).exits(9);
    assert_eq!(text(&run).lines().count(), 3, "{run:?}");
    assert!(text(&run).contains("/sub/c"), "{run:?}");
    assert!(run.stderr.contains("is not safe to delete: 3 versions may need it"), "{}", run.stderr);

    bucket.keys(&["rewrap", "--add", &new, "--key", &old]).run().exits(0);
    let run = retire(&["--json"]).exits(0);
    let lines = json_lines(&run);
    let summary = &lines[3]["summary"];
    assert_eq!((&summary["versions"], &summary["confirmed"]), (&3.into(), &1.into()));
    assert_eq!(summary["verdicts"], serde_json::json!({ "covered-by-key-store": 3 }));
    assert_eq!(summary["safe_to_delete"], true);
    assert!(lines[..3].iter().all(|line| line["held"] == false), "{lines:?}");
    assert!(run.stderr.contains("is safe to delete as far as"), "{}", run.stderr);

    // Without the key store, nothing covers them.
    let args = ["--wrapping-key", &old, "--key", &new, "--key", &old];
    Sealwax::new(["retire", &uri]).args(args).run().exits(9);
    let empty = Bucket::new("nothing");
    let run = Sealwax::new(["retire", &empty.uri()]).args(args).run().exits(4);
    assert!(run.stderr.contains("nothing says that the key is safe to delete"), "{}", run.stderr);
}

#[test]
fn the_doctor_finds_settings_that_endanger_key_objects() {
    let bucket = Bucket::new("doctor");
    let of = |run: &Run| -> Vec<(String, String)> {
        let checks = json_lines(run).into_iter().filter(|line| line["check"] == "key store");
        let text = |line: &Value, name: &str| line[name].as_str().expect("text").to_owned();
        checks.map(|line| (text(&line, "status"), text(&line, "message"))).collect()
    };
    let doctor = || {
        let args = ["--read-only", "--json", "--key-store"];
        Sealwax::new(["doctor", &bucket.uri()]).args(args).run()
    };
    let found = of(&doctor());
    assert!(
        matches!(&found[..], [(status, text)] if status == "warning" && text.starts_with("without versioning")),
        "{found:?}"
    );
    bucket.s3.expire_all(&bucket.scene.bucket, 30);
    let found = of(&doctor().exits(1));
    assert!(
        found
            .iter()
            .any(|(status, text)| status == "failed" && text.contains("deletes key objects")),
        "{found:?}"
    );
    let run = Sealwax::new(["doctor", &bucket.uri(), "--read-only", "--json"]).run().exits(0);
    assert_eq!(of(&run), [], "no key store is used");
}

/// Text of an audit: each line without the blanks around it.
fn trimmed(run: &Run) -> Vec<String> {
    text(run).lines().map(|line| line.trim().to_owned()).collect()
}

#[test]
fn an_audit_tells_what_is_under_an_intermediate_key() {
    let bucket = Bucket::made("audited", |s3, bucket| {
        s3.make_bucket(bucket);
        s3.version(bucket);
    });
    bucket.filled(&FILES, &["--detached-keys"]);
    let key = bucket.only();
    let id = key.split('/').nth(1).expect("an id").to_owned();
    let other = bucket.scene.beside("other");
    other.put(b"older", &["--key-cache"]).exits(0);
    other.put(b"newer", &[]).exits(0);
    let uri = bucket.uri();
    let audit = |more: &[&str]| Sealwax::new(["audit", &uri]).args(more).run();

    let run = audit(&[]).exits(0);
    let lines = trimmed(&run);
    assert!(
        lines.contains(&"3  objects under 1 intermediate key, 3.0 per key".into()),
        "{lines:?}"
    );
    assert!(lines.iter().any(|line| *line == format!("3  {id} {}/", bucket.scene.bucket)));
    let left_out = lines.iter().find(|line| line.contains("key store")).expect("a line");
    assert!(left_out.starts_with("1  object of the key store left out, "), "{left_out}");
    let run = audit(&["--key-store", "--versions"]).exits(0);
    let lines = trimmed(&run);
    for line in [
        "4  objects under 2 intermediate keys, 2.0 per key",
        "1  key object of 1 intermediate key in the key store",
    ] {
        assert!(lines.contains(&line.into()), "{line}: {lines:?}");
    }
    let run = audit(&["--json", "--key-store"]).exits(0);
    let summary = json_lines(&run).pop().expect("a summary")["summary"].clone();
    let expected = serde_json::json!({
        "objects": 3, "keys": 1, "keys_are_all": true, "objects_per_key": 3.0,
    });
    assert_eq!(summary["under_intermediate_keys"], expected);
    let stored = &summary["key_store"];
    assert_eq!(stored["left_out"]["objects"], 1);
    assert!(stored["left_out"]["stored_bytes"].as_u64() > Some(100), "{stored}");
    let expected = serde_json::json!({ "intermediate_keys": 1, "key_objects": 1, "others": 0 });
    assert_eq!(stored["stored"], expected);
    let run = audit(&["--json"]).exits(0);
    assert_eq!(
        json_lines(&run).pop().expect("a summary")["summary"]["key_store"]["stored"],
        Value::Null
    );

    // What hangs on the key, with or without the key store, before it is shredded.
    for name in [&id, &key] {
        let run = audit(&["--versions", "--intermediate-key", name, "--json"]).exits(0);
        let lines = json_lines(&run);
        let mut listed: Vec<_> = lines.iter().filter_map(|it| it["object"].as_str()).collect();
        listed.sort_unstable();
        let expected = ["a", "b", "sub/c"].map(|name| format!("{}/{name}", bucket.scene.uri()));
        assert_eq!(listed, expected, "{name}");
        assert_eq!(lines[0]["detached"], serde_json::json!([id]));
    }
    let run = audit(&["--intermediate-key", &id, "--fail-if-any"]).exits(9);
    assert!(text(&run).contains(&format!(", detached intermediate key {id}\n")), "{}", text(&run));
    let unused = "A".repeat(43);
    let run = audit(&["--intermediate-key", &unused, "--fail-if-any"]).exits(0);
    assert_eq!(text(&run), "");
    audit(&["--intermediate-key", "id"]).exits(2).says("must be an id of 43 characters");
    let both = ["--versions", "--intermediate-key", &unused, "--intermediate-key", &id];
    assert_eq!(text(&audit(&both).exits(0)).lines().count(), 3);

    bucket
        .keys(&["shred", &key, "-n"])
        .run()
        .exits(0)
        .says(&format!("their objects: sealwax audit {uri} --versions --intermediate-key={id}\n"));
}

/// The objects' own keys are all in the lost Region.
#[test]
fn a_drill_passes_by_key_objects_alone_and_leaves_them_alone() {
    let mut scene = Scene::new("drilled");
    scene.bucket = crate::support::server_env("SEALWAX_WEST_BUCKET");
    let (s3, uri, east, west) = (RawS3::new(), scene.uri(), east_key(), west_key());
    let prefix = format!("{}/keys/", scene.key);
    let store = format!("--key-store={prefix}");
    let source = folder(&scene, &FILES);
    let there = ["--region", "us-west-2", &store];
    let put = Sealwax::new(["put"]).args([&source]).args([&uri, "-r", "--key", &east]);
    put.args(["--key-cache"]).args(there).run().exits(0);
    let objects = || s3.keys(&scene.bucket, &prefix);
    assert_eq!(objects().len(), 1);

    let report = |name: &str| scene.path(name).with_extension("json");
    let drill = |name: &str, more: &[&str]| {
        let run = Sealwax::new(["drill", &format!("{uri}/"), "--block", "us-east-1", "--report"]);
        let run = run.args([scene.path(name)]).args(there).args(more).run();
        let json = fs::read_to_string(report(name)).expect("a report");
        (run, serde_json::from_str::<Value>(&json).expect("JSON"))
    };
    let (run, json) = drill("without", &["--key", &west, "--key", &east]);
    run.exits(8).says("3 objects: 0 opened, 3 failed");
    assert_eq!((&json["passed"], &json["counts"]["objects"]), (&false.into(), &3.into()));
    assert_eq!(
        (&json["failures"][0]["reason"], &json["failures"][0]["objects"]),
        (&"unavailable".into(), &3.into())
    );
    assert_eq!(json["blocked"][0]["objects_with_no_other_key"], 3);

    let bucket = format!("s3://{}", scene.bucket);
    let rewrap = Sealwax::new(["keys", "rewrap", &bucket, "--add", &west, "--key", &east]);
    rewrap.args(there).run().exits(0);
    let stored = objects();
    assert_eq!(stored.len(), 2);
    let (run, json) = drill("with", &["--key", &west, "--key", &east, "--full"]);
    run.exits(0).says("3 objects: 3 opened");
    assert_eq!((&json["passed"], &json["counts"]["objects"]), (&true.into(), &3.into()));
    assert_eq!(json["blocked"][0]["objects_with_key"], 3);
    assert_eq!(json["blocked"][0]["objects_with_no_other_key"], 0);
    assert_eq!(json["kms_keys"][0]["wrapping_key"], west);
    assert_eq!(objects(), stored, "they are left alone");
}
