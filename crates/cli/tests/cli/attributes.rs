//! Attributes that S3 stores with objects: content headers, tags, storage class, encryption, Object Lock.

use std::fs;

use aws_sdk_s3::{operation::head_object::HeadObjectOutput, types::ServerSideEncryption};
use serde_json::Value;

use crate::support::{
    RawS3, Recorder, Run, Scene, Sealwax, bytes, east_key, endpoint, json_lines, west_key,
};

/// All that can be told about an object in a bucket without Object Lock.
const GIVEN: [&str; 22] = [
    "--content-type",
    "text/x-own",
    "--content-encoding",
    "gzip",
    "--content-disposition",
    "attachment; filename=\"a b\"",
    "--content-language",
    "de",
    "--cache-control",
    "max-age=60",
    "--expires",
    "2033-12-31T00:00:00Z",
    "--tagging",
    "team=a%20b&stage=c",
    "--storage-class",
    "STANDARD_IA",
    "--sse",
    "aws:kms",
    "--metadata",
    "owner=me",
    "--website-redirect",
    "/other",
];

fn given() -> Vec<String> {
    let kms = ["--sse-kms-key-id".to_owned(), east_key(), "--bucket-key-enabled".to_owned()];
    GIVEN.map(str::to_owned).into_iter().chain(kms).collect()
}

fn told(head: &HeadObjectOutput) -> Vec<Option<String>> {
    let text = |text: Option<&str>| text.map(str::to_owned);
    vec![
        text(head.content_type()),
        text(head.content_encoding()),
        text(head.content_disposition()),
        text(head.content_language()),
        text(head.cache_control()),
        head.expires_string().map(str::to_owned),
        head.storage_class().map(|class| class.as_str().to_owned()),
        head.server_side_encryption().map(|sse| sse.as_str().to_owned()),
        text(head.ssekms_key_id()),
        head.metadata().and_then(|metadata| metadata.get("owner").cloned()),
    ]
}

fn expected() -> Vec<Option<String>> {
    let kms_key = east_key();
    [
        "text/x-own",
        "gzip",
        "attachment; filename=\"a b\"",
        "de",
        "max-age=60",
        "Sat, 31 Dec 2033 00:00:00 GMT",
        "STANDARD_IA",
        "aws:kms",
        &kms_key,
        "me",
    ]
    .map(|text| Some(text.to_owned()))
    .to_vec()
}

fn tags(scene: &Scene) -> Vec<(String, String)> {
    let mut tags = RawS3::new().tags(scene);
    tags.sort();
    tags
}

fn cp(from: &str, to: &str, args: &[&str]) -> Run {
    Sealwax::new(["cp", from, to]).args(args).run()
}

/// In one request, in parts, and of a folder.
#[test]
fn all_puts_store_what_is_given_and_copies_keep_it() {
    let s3 = RawS3::new();
    let all_tags =
        [("stage", "c"), ("team", "a b")].map(|(name, value)| (name.into(), value.into()));
    for (name, len) in [("single", 9), ("parts", 17 << 20)] {
        let scene = Scene::new(name);
        let given = given();
        let args: Vec<&str> = given.iter().map(String::as_str).collect();
        scene.put(&bytes(len), &args).exits(0);
        assert_eq!(told(&s3.head(&scene).expect("stored")), expected(), "{name}");
        assert_eq!(tags(&scene), all_tags, "{name}");

        let copy = scene.beside("copy");
        cp(&scene.uri(), &copy.uri(), &[]).exits(0);
        assert_eq!(told(&s3.head(&copy).expect("copied")), expected(), "{name}");
        assert_eq!(tags(&copy), all_tags, "{name}");
        assert!(copy.get(&[]).exits(0).stdout == bytes(len), "{name}");
    }
    let scene = Scene::new("folder");
    fs::create_dir(scene.path("f")).expect("made");
    fs::write(scene.path("f/a.txt"), "text").expect("written");
    let folder = scene.path("f");
    let to = format!("{}/", scene.uri());
    Sealwax::new(["put"])
        .args([folder])
        .args([to.as_str(), "-r", "--key", &east_key()])
        .args(given())
        .run()
        .exits(0);
    let stored = scene.beside("a.txt");
    assert_eq!(told(&s3.head(&stored).expect("stored")), expected());
    assert_eq!(tags(&stored), all_tags);
}

#[test]
fn a_copy_gets_what_is_given_and_keeps_the_rest() {
    let (s3, mut scene) = (RawS3::new(), Scene::new("override"));
    scene.bucket = format!("acls-{}", std::process::id());
    s3.make_bucket_with_acls(&scene.bucket);
    let given = given();
    scene.put(b"text", &given.iter().map(String::as_str).collect::<Vec<_>>()).exits(0);
    let target = scene.beside("other");
    let other = [
        "--content-type",
        "a/b",
        "--storage-class",
        "GLACIER_IR",
        "--sse",
        "AES256",
        "--tagging",
        "x=y",
        "--metadata",
        "Owner=you",
        "--acl",
        "public-read",
    ];
    cp(&scene.uri(), &target.uri(), &other).exits(0);
    let head = s3.head(&target).expect("copied");
    let mut expected = expected();
    expected[0] = Some("a/b".into());
    expected[6] = Some("GLACIER_IR".into());
    expected[7] = Some("AES256".into());
    expected[8] = None;
    expected[9] = Some("you".into());
    assert_eq!(told(&head), expected);
    assert_eq!(tags(&target), [("x".into(), "y".into())]);
    assert_eq!(s3.grants_to_groups(&target), ["READ"]);
    assert_eq!(target.get(&[]).exits(0).stdout, b"text");
    // A copy keeps the list, or has the default one.
    let (kept, ignored) = (scene.beside("kept"), scene.beside("ignored"));
    cp(&target.uri(), &kept.uri(), &[]).exits(0);
    assert_eq!(s3.grants_to_groups(&kept), ["READ"]);
    cp(&target.uri(), &ignored.uri(), &["--acl", "ignore"]).exits(0);
    assert!(s3.grants_to_groups(&ignored).is_empty());
    cp(&target.uri(), &ignored.uri(), &["--acl", "public"]).exits(2).says("or a canned ACL: ");
    let twice = ["--metadata", "a=1", "--metadata", "A=2"];
    cp(&target.uri(), &ignored.uri(), &twice).fails(2, "duplicate metadata name \"A\"");
    cp(&target.uri(), &ignored.uri(), &["--metadata", "sealwax-keys=1"]).fails(2, "sealwax-keys");
}

#[test]
fn put_sets_a_canned_acl() {
    let (s3, scene) = (RawS3::new(), Scene::new("acl"));
    for len in [4, 9 << 20] {
        scene.put(&bytes(len), &["--acl", "public-read"]).exits(0);
        assert_eq!(s3.grants_to_groups(&scene), ["READ"], "{len}");
    }
    scene.put(b"x", &["--acl", "keep"]).exits(2).says("invalid value 'keep' for '--acl <ACL>'");
}

#[test]
fn content_types_are_guessed_from_names() {
    let (s3, scene) = (RawS3::new(), Scene::new("types"));
    let put = |file: &str, to: &Scene, more: &[&str]| {
        let path = scene.file(file, b"text");
        let put = Sealwax::new(["put"]).args([path]);
        put.args([&to.uri(), "--key", &east_key()]).args(more).run().exits(0);
        s3.head(to).expect("stored").content_type
    };
    // The file's name, then the key's.
    assert_eq!(put("a.pdf", &scene.beside("x"), &[]).as_deref(), Some("application/pdf"));
    assert_eq!(put("file", &scene.beside("x.csv"), &[]).as_deref(), Some("text/csv"));
    assert_eq!(
        put("a.pdf", &scene.beside("y"), &["--content-type", "a/b"]).as_deref(),
        Some("a/b")
    );
    for (file, more) in [("file", &[][..]), ("a.pdf", &["--no-guess-content-type"])] {
        let unknown = put(file, &scene.beside("z"), more);
        let default = ["binary/octet-stream", "application/octet-stream"];
        assert!(default.contains(&unknown.as_deref().unwrap_or_default()), "{unknown:?}");
    }
    let piped = scene.beside("piped.json");
    piped.put(b"{}", &[]).exits(0);
    assert_eq!(s3.head(&piped).expect("stored").content_type.as_deref(), Some("application/json"));
}

#[test]
fn object_lock_is_set_kept_and_shown() {
    let s3 = RawS3::new();
    let mut scene = Scene::new("locked");
    scene.bucket = format!("locked-{}", std::process::id());
    s3.make_locked_bucket(&scene.bucket);
    let until = "2033-12-31T00:00:00Z";
    let lock = [
        "--object-lock-mode",
        "GOVERNANCE",
        "--object-lock-retain-until-date",
        until,
        "--object-lock-legal-hold-status",
        "ON",
    ];
    for len in [4, 9 << 20] {
        scene.put(&bytes(len), &lock).exits(0);
        let shown = json_lines(&Sealwax::new(["head", &scene.uri(), "--json"]).run().exits(0));
        let shown = shown.into_iter().next().expect("a line");
        assert_eq!(shown["object_lock_mode"], "GOVERNANCE");
        assert_eq!(shown["object_lock_retain_until_date"], until);
        assert_eq!(shown["object_lock_legal_hold_status"], "ON");
        assert_eq!(shown["object_lock_event_hold"], Value::Null);
    }
    let text = Sealwax::new(["head", &scene.uri()]).run().exits(0).stdout;
    let text = String::from_utf8(text).expect("text");
    assert!(text.contains("GOVERNANCE until 2033-12-31T00:00:00Z"), "{text}");
    // Without one of the two, S3 would answer with an error of its own.
    scene.put(b"x", &lock[..2]).exits(2).says("--object-lock-retain-until-date <TIME>");
    let copy = scene.beside("copy");
    let later = ["--object-lock-mode", "COMPLIANCE", "--object-lock-retain-until-date"];
    let later = [&later[..], &["2034-01-01T00:00:00Z"]].concat();
    cp(&scene.uri(), &copy.uri(), &later).exits(0);
    let head = s3.head(&copy).expect("copied");
    assert_eq!(head.object_lock_mode().map(|mode| mode.as_str()), Some("COMPLIANCE"));
    assert_eq!(head.object_lock_legal_hold_status().map(|status| status.as_str()), Some("ON"));
}

#[test]
fn a_key_of_server_side_encryption_requires_its_algorithm() {
    let scene = Scene::new("sse");
    scene.put(b"x", &["--sse-kms-key-id", "k"]).exits(2).says("--sse <ALGORITHM>");
    scene.put(b"x", &["--sse", "aes"]).exits(2).says("[possible values: AES256, aws:kms");
    scene.put(b"x", &["--sse", "aws:kms"]).exits(0);
    let head = RawS3::new().head(&scene).expect("stored");
    assert_eq!(head.server_side_encryption, Some(ServerSideEncryption::AwsKms));
}

/// A server that refuses all requests sees the headers of each command's first one.
#[test]
fn every_request_names_the_buckets_owner_and_who_pays() {
    let (scene, recorder) = (Scene::new("owner"), Recorder::start());
    let (uri, copy) = (scene.uri(), scene.beside("copy").uri());
    let folder = format!("{uri}/");
    let file = scene.file("file", b"text");
    let (file, east) = (file.to_str().expect("ASCII"), east_key());
    let options = ["--expected-bucket-owner", "111122223333", "--request-payer", "requester"];
    for command in [
        &["put", file, &uri, "--key", &east][..],
        &["get", &uri, "-", "--key", &east],
        &["get", &folder, "f", "-r", "--key", &east],
        &["cat", &uri, "--key", &east],
        &["head", &uri],
        &["inspect", &uri],
        &["ls", &folder],
        &["cp", &uri, &copy, "--key", &east],
        &["rewrap", &uri, "--add", &west_key(), "--key", &east],
        &["reencrypt", &uri, "--key", &east],
        &["audit", &folder],
        &["verify", &folder, "--key", &east],
        &["rm", &uri],
        &["shred", &uri],
        &["uploads", "ls", &folder],
    ] {
        let run = Sealwax::new(command).args(options).args(["--endpoint-url", recorder.url()]);
        let run = run.env("SEALWAX_KMS_ENDPOINT_URL", endpoint()).run();
        assert_ne!(run.code, Some(0), "{command:?}");
        let requests = recorder.requests();
        assert!(!requests.is_empty(), "{command:?}: {}", run.stderr);
        for head in requests {
            assert!(head.contains("x-amz-expected-bucket-owner: 111122223333\r"), "{head}");
            assert!(head.contains("x-amz-request-payer: requester\r"), "{head}");
        }
    }
    // The list of all buckets has no owner.
    let ls = Sealwax::new(["ls", "--endpoint-url", recorder.url()]).args(options).run();
    assert_ne!(ls.code, Some(0));
    assert!(recorder.requests().iter().all(|head| !head.contains("x-amz-expected-bucket-owner")));
    scene.put(b"text", &["--expected-bucket-owner", "1"]).exits(2).says("12 digits");
}

#[test]
fn an_old_version_is_restored_by_a_copy() {
    let (s3, mut scene) = (RawS3::new(), Scene::new("restore"));
    scene.bucket = format!("versions-{}", std::process::id());
    s3.make_bucket(&scene.bucket);
    s3.version(&scene.bucket);
    let old = json_lines(&scene.put(b"old", &["--json"]).exits(0)).remove(0);
    let new = json_lines(&scene.put(b"new", &["--json"]).exits(0)).remove(0);
    let head = s3.head(&scene).expect("stored");
    assert_eq!(new["version_id"].as_str(), head.version_id());
    assert_eq!(new["e_tag"].as_str(), head.e_tag());
    let (uri, old) = (scene.uri(), old["version_id"].as_str().expect("an id"));
    cp(&uri, &uri, &["--version-id", old]).exits(0);
    assert_eq!(scene.get(&[]).exits(0).stdout, b"old");
    assert_eq!(s3.versions(&scene.bucket, &scene.key), 3);
    let copy = scene.beside("copy");
    let run =
        cp(&uri, &copy.uri(), &["--version-id", new["version_id"].as_str().expect("id"), "--json"]);
    let copied = json_lines(&run.exits(0)).remove(0);
    assert_eq!(copied["version_id"].as_str(), s3.head(&copy).expect("copied").version_id());
    assert_eq!(copy.get(&[]).exits(0).stdout, b"new");
    cp(&uri, &copy.uri(), &["--version-id", old, "-r"]).exits(2).says("cannot be used with");
    cp(&uri, &copy.uri(), &["--version-id", "none"]).exits(4);
}
