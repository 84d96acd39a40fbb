//! Keys by other names than their ARNs, grant tokens, and buckets by other names than their own.

use crate::support::{
    CallCounter, RawS3, Recorder, Run, Scene, Sealwax, east_key, endpoint, json_lines, make_alias,
    server_env, west_key,
};

/// Gives the key in us-east-1 another name, of this test alone.
fn alias(scene: &Scene, name: &str) -> String {
    let unique = scene.key.replace('/', "-");
    let alias = format!("alias/{unique}-{name}");
    make_alias(&alias);
    alias
}

fn keys(uri: &str) -> Vec<String> {
    let report = json_lines(&Sealwax::new(["inspect", uri, "--json"]).run().exits(0)).remove(0);
    let keys = report["keys"].as_array().expect("a list").clone();
    keys.iter().map(|key| key["wrapping_key"].as_str().expect("text").to_owned()).collect()
}

#[test]
fn writers_resolve_names_and_record_arns() {
    let scene = Scene::new("alias");
    let alias = alias(&scene, "writer");
    let (arn, key_id) = (east_key(), east_key().rsplit('/').next().expect("an id").to_owned());
    let alias_arn = format!("{}:{alias}", arn.rsplit_once(':').expect("an ARN").0);
    let put = |name: &str| -> Run {
        Sealwax::new(["put", "-", &scene.uri(), "--key", name]).input(b"text").run().exits(0)
    };
    for name in [&alias, &key_id, &alias_arn] {
        let run = put(name).says(&format!("{name} is {arn}\n"));
        assert_eq!(run.stderr.matches(&arn).count(), 1, "{}", run.stderr);
        assert_eq!(keys(&scene.uri()), std::slice::from_ref(&arn), "{name}");
    }
    assert!(!put(&arn).stderr.contains(" is arn:"), "an ARN is no news");
    // Each command that wraps.
    let (uri, copy) = (scene.uri(), scene.beside("copy").uri());
    let second = server_env("SEALWAX_EAST_KEY_2");
    Sealwax::new(["rewrap", &uri, "--replace", &second]).run().exits(0);
    Sealwax::new(["rewrap", &uri, "--add", &alias]).run().exits(0);
    assert_eq!(keys(&uri), [second, arn.clone()]);
    Sealwax::new(["cp", &uri, &copy, "--under", &alias]).run().exits(0);
    assert_eq!(keys(&copy), std::slice::from_ref(&arn));
    Sealwax::new(["reencrypt", &uri, "--under", &key_id]).run().exits(0);
    assert_eq!(keys(&uri), std::slice::from_ref(&arn));
    // A plan has the ARN, which stays what it is.
    let plan = scene.path("plan");
    let folder = format!("{uri}/");
    let rewrap = ["rewrap", &folder, "-r", "--add", &alias, "--key", &west_key(), "--save-plan"];
    Sealwax::new(rewrap).args([&plan]).run();
    let plan = std::fs::read_to_string(&plan).expect("a plan");
    assert!(plan.contains(&arn) && !plan.contains(&alias), "{plan}");
}

/// One look for each name, however many files are put.
#[test]
fn a_name_is_resolved_once() {
    let scene = Scene::new("alias-once");
    let alias = alias(&scene, "once");
    let folder = scene.path("folder");
    std::fs::create_dir(&folder).expect("made");
    for name in ["a", "b", "c"] {
        std::fs::write(folder.join(name), name).expect("written");
    }
    let counter = CallCounter::start(&endpoint());
    let uri = scene.uri();
    let put = Sealwax::new(["put"]).args([&folder]).args([&uri, "-r", "--key", &alias]);
    put.env("SEALWAX_KMS_ENDPOINT_URL", counter.url()).run().exits(0);
    let calls = counter.take();
    let expected = [("DescribeKey us-east-1", 1), ("GenerateDataKey us-east-1", 3)];
    let expected = expected.map(|(name, count)| (name.to_owned(), count));
    assert_eq!(calls, expected.into_iter().collect());
}

#[test]
fn readers_and_settings_take_arns_only_and_say_how_to_find_one() {
    let scene = Scene::new("alias-reader");
    scene.put(b"text", &[]).exits(0);
    let hint = "aws kms describe-key --key-id alias/x --query KeyMetadata.Arn --output text";
    for command in ["get", "cat", "verify"] {
        let uri = scene.uri();
        let words = [command, &uri, "-"];
        let words = if command == "get" { &words[..] } else { &words[..2] };
        let run = Sealwax::new(words).args(["--key", "alias/x"]).run().exits(2).says(hint);
        assert_eq!(run.stderr.matches("'alias/x'").count(), 1, "{}", run.stderr);
    }
    scene.get(&[]).exits(0);
    let get = Sealwax::new(["get", &scene.uri(), "-"]).env("SEALWAX_KEYS", "alias/x");
    get.run().fails(2, hint);
    let remove = Sealwax::new(["rewrap", &scene.uri(), "--remove", "alias/x"]);
    remove.run().exits(2).says(hint);
    let none = scene.put(b"x", &["--key", "alias/sealwax-no-such-alias"]);
    none.fails(5, "alias/sealwax-no-such-alias");
    scene.put(b"x", &["--key", "invoices"]).exits(2).says("a key id, or an alias (alias/NAME)");
}

/// The name of the bucket behind an access point stays the objects' place. LocalStack has no access
/// points, but a bucket with the name of an alias.
#[test]
fn objects_behind_an_access_point_are_bound_to_their_bucket() {
    let s3 = RawS3::new();
    let bucket = Scene::new("behind");
    let alias = format!("ap-{}-s3alias", std::process::id());
    s3.make_bucket(&alias);
    let point = Scene::at(&alias, &bucket.key);
    let named = ["--bucket-name", &bucket.bucket];
    point.put(b"text", &[]).fails(2, "is an access point, and objects that are bound to its name");
    point.put(b"text", &named).exits(0);
    assert_eq!(point.get(&named).exits(0).stdout, b"text");
    // Behind a real access point, this is the same object.
    s3.copy(&point, &bucket);
    assert_eq!(bucket.get(&[]).exits(0).stdout, b"text");
    point.get(&[]).fails(3, "its keys are bound to");
    let (uri, second) = (point.uri(), server_env("SEALWAX_EAST_KEY_2"));
    let rewrap = |more: &[&str]| Sealwax::new(["rewrap", &uri, "--add", &second]).args(more).run();
    rewrap(&[]).fails(2, "--bucket-name");
    rewrap(&named).exits(0);
    s3.copy(&point, &bucket);
    assert_eq!(bucket.get(&["--key", &second]).exits(0).stdout, b"text");
}

#[test]
fn grant_tokens_go_with_each_call_to_kms() {
    let (scene, recorder) = (Scene::new("grant"), Recorder::start());
    scene.put(b"text", &[]).exits(0);
    let (uri, key, west) = (scene.uri(), east_key(), west_key());
    let tokens = ["--grant-token", "one", "--grant-token", "two"];
    for command in [
        &["put", "-", &uri, "--key", &key][..],
        &["put", "-", &uri, "--key", "alias/x"],
        &["cat", &uri, "--key", &key],
        &["rewrap", &uri, "--add", &west, "--key", &key],
        &["reencrypt", &uri, "--key", &key],
    ] {
        let run = Sealwax::new(command).args(tokens).input(b"text");
        let run = run.env("SEALWAX_KMS_ENDPOINT_URL", recorder.url()).run();
        assert_ne!(run.code, Some(0), "{command:?}");
        let requests = recorder.requests();
        assert!(!requests.is_empty(), "{command:?}: {}", run.stderr);
        for request in requests {
            assert!(request.contains(r#""GrantTokens":["one","two"]"#), "{command:?}: {request}");
        }
    }
}

#[test]
fn the_doctor_resolves_names_as_writers_do() {
    let scene = Scene::new("alias-doctor");
    let alias = alias(&scene, "doctor");
    let (arn, key_id) = (east_key(), east_key().rsplit('/').next().expect("an id").to_owned());
    let doctor = |names: &[&str]| {
        let uri = scene.uri();
        let names = names.iter().flat_map(|name| ["--key", name]);
        Sealwax::new(["doctor", &uri, "--json"]).args(names).run()
    };
    let of = |run: &Run, check: &str| -> Vec<(String, String)> {
        let text = |value: &serde_json::Value| value.as_str().expect("text").to_owned();
        let lines = json_lines(run).into_iter().filter(|line| line["check"] == check);
        lines.map(|line| (text(&line["status"]), text(&line["message"]))).collect()
    };
    let ok = |message: String| ("ok".to_owned(), message);
    let run = doctor(&[&alias, &key_id]).exits(0);
    let expected = [ok(format!("{alias} is {arn}")), ok(format!("{key_id} is {arn}"))];
    assert_eq!(of(&run, "key name"), expected);
    let enabled = ok(format!("{arn} is enabled, single-Region"));
    assert_eq!(of(&run, "key"), [enabled.clone(), enabled]);
    assert_eq!(of(&run, "round trip").len(), 1);
    assert_eq!(of(&doctor(&[&arn]).exits(0), "key name"), [], "an ARN is no news");
    // A name that is not known is one failed check, and the others go on.
    let run = doctor(&["alias/sealwax-no-such-alias", &arn]).exits(1);
    let names = of(&run, "key name");
    assert_eq!((names.len(), names[0].0.as_str()), (1, "failed"));
    assert!(names[0].1.contains("alias/sealwax-no-such-alias"), "{names:?}");
    assert_eq!(of(&run, "key"), [ok(format!("{arn} is enabled, single-Region"))]);
}

/// No request is made: KMS in such a Region would have a name that no one knows.
#[test]
fn a_region_that_cannot_be_is_refused_with_the_nearest_one() {
    let scene = Scene::new("no-region");
    let recorder = Recorder::start();
    let (uri, copy) = (scene.uri(), scene.beside("copy").uri());
    let key = east_key().replace("us-east-1", "us-east1");
    let alias = "arn:aws:kms:us-east1:111122223333:alias/x";
    let reason = "\"us-east1\" is not an AWS Region, us-east-1 is";
    let run = |words: &[&str]| {
        let run = Sealwax::new(words).env("AWS_ENDPOINT_URL", recorder.url()).input(b"text").run();
        run.exits(2).says(reason)
    };
    for name in [key.as_str(), alias] {
        run(&["put", "-", &uri, "--key", name]);
        run(&["cp", &uri, &copy, "--under", name]);
        run(&["rewrap", &uri, "--add", name]);
        run(&["reencrypt", &uri, "--under", name]);
        run(&["doctor", &uri, "--key", name]);
    }
    run(&["cat", &uri, "--key", &key]);
    run(&["rewrap", &uri, "--remove", &key]);
    let settings = Sealwax::new(["cat", &uri]).env("SEALWAX_KEYS", &key);
    settings.env("AWS_ENDPOINT_URL", recorder.url()).run().exits(2).says(reason);
    assert_eq!(recorder.requests(), [""; 0]);
}
