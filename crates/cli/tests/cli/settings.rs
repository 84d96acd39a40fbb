//! `sealwax.toml`, environment variables and flags.

use aws_sdk_s3::types::{ServerSideEncryption, StorageClass};

use serde_json::json;

use crate::support::{
    RawS3, Refusing, Run, Scene, Sealwax, east_key, endpoint, json_lines, server_env, west_key,
};

fn keys_of(scene: &Scene) -> Vec<String> {
    let report =
        json_lines(&Sealwax::new(["inspect", &scene.uri(), "--json"]).run().exits(0)).remove(0);
    let keys = report["keys"].as_array().expect("a list").clone();
    keys.iter().map(|key| key["wrapping_key"].as_str().expect("text").to_owned()).collect()
}

fn put(scene: &Scene, config: &str, args: &[&str]) -> Sealwax {
    let file = scene.file("sealwax.toml", config.as_bytes());
    let uri = scene.uri();
    Sealwax::new(["put", "-", &uri]).args(args).env("SEALWAX_CONFIG", file).input(b"text")
}

#[test]
fn flags_then_variables_then_the_file() {
    let scene = Scene::new("weight");
    let (east, west) = (east_key(), west_key());
    let config = format!(
        "[profiles.default]\nkeys = [\"{east}\"]\ncontext = {{ tenant = \"acme\" }}\n\n[profiles.west]\nkeys = [\"{west}\"]\n"
    );
    put(&scene, &config, &[]).run().exits(0);
    assert_eq!(keys_of(&scene), [east_key()]);
    scene.get(&["-c", "tenant=acme"]).exits(0);
    put(&scene, &config, &["--sealwax-profile", "west"]).run().exits(0);
    assert_eq!(keys_of(&scene), [west_key()]);
    scene.get(&["-c", "tenant=acme"]).fails(3, "tenant");
    put(&scene, &config, &["--sealwax-profile", "west"])
        .env("SEALWAX_KEYS", format!("{east},{west}"))
        .run()
        .exits(0);
    assert_eq!(keys_of(&scene), [east_key(), west_key()]);
    put(&scene, &config, &["--key", &west]).env("SEALWAX_KEYS", &east).run().exits(0);
    assert_eq!(keys_of(&scene), [west_key()]);
    // A profile's keys also restrict readers, so a key of another account is not used.
    let file = scene.file("sealwax.toml", config.as_bytes());
    let get = Sealwax::new(["cat", &scene.uri()]).env("SEALWAX_CONFIG", &file);
    get.run().fails(5, "none of this object's wrapping keys");
    let get = Sealwax::new(["rewrap", &scene.uri(), "--add", &east]).env("SEALWAX_CONFIG", &file);
    get.run().fails(5, "none of this object's wrapping keys");
}

#[test]
fn a_profile_sets_the_endpoints() {
    let scene = Scene::new("services-of-profile");
    let text =
        format!("[profiles.local]\nregion = \"us-east-1\"\nendpoint_url = \"{}\"\n", endpoint());
    let file = scene.file("sealwax.toml", text.as_bytes());
    let ls = || {
        let run = Sealwax::new(["ls", "--sealwax-profile", "local", "--config"]).args([&file]);
        run.without_env("AWS_ENDPOINT_URL").without_env("AWS_REGION")
    };
    ls().run().exits(0);
    let nowhere = ls().env("AWS_ENDPOINT_URL", "http://127.0.0.1:1").run();
    nowhere.fails(1, "the request could not be sent");
    ls().env("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
        .args(["--endpoint-url", &endpoint()])
        .run()
        .exits(0);
}

#[test]
fn mistakes_name_the_file_and_the_line() {
    let scene = Scene::new("mistakes");
    let fails = |config: &str, args: &[&str], text: &str| -> Run {
        put(&scene, config, args).run().fails(2, text)
    };
    fails("[profiles.default]\nkesy = []\n", &[], "sealwax.toml, line 2: unknown field `kesy`");
    fails("[profiles.default]\nkeys = [\n\"x\"\n]\n", &[], "sealwax.toml, line 3: ");
    fails("[profiles.a]\n[profiles.b]\n", &["--sealwax-profile", "c"], "sealwax.toml has: a, b");
    fails("", &[], "no key to wrap the data key under");
    let run = Sealwax::new(["ls"]).env("SEALWAX_CONFIG", scene.path("absent")).run();
    run.fails(2, "no such file");
    Sealwax::new(["ls", "--sealwax-profile", "absent"]).run().fails(2, "cannot read settings file");
    Sealwax::new(["ls"])
        .env("SEALWAX_KEYS", "x")
        .run()
        .fails(2, "cannot use environment variable SEALWAX_KEYS");
    // Help works all the same.
    let run = Sealwax::new(["ls", "--help"]).env("SEALWAX_KEYS", "x").run().exits(0);
    assert!(String::from_utf8_lossy(&run.stdout).starts_with("List objects"), "{run:?}");
}

#[test]
fn a_file_in_the_current_directory_is_ignored() {
    let scene = Scene::new("directory");
    let config = "[profiles.default]\nendpoint_url = \"http://127.0.0.1:1\"\n";
    scene.file("sealwax.toml", config.as_bytes());
    Sealwax::new(["ls"]).in_directory(&scene.path("")).run().exits(0);
}

#[test]
fn a_profile_says_how_s3_keeps_new_objects() {
    let scene = Scene::new("at-rest");
    let (east, key) = (east_key(), server_env("SEALWAX_EAST_KEY_2"));
    let config = format!(
        "[profiles.default]\nkeys = [\"{east}\"]\nstorage_class = \"STANDARD_IA\"\n\
         sse = \"aws:kms\"\nsse_kms_key_id = \"{key}\"\nbucket_key_enabled = true\n"
    );
    let told = |scene: &Scene| {
        let head = RawS3::new().head(scene).expect("an object");
        let sse = head.server_side_encryption().cloned();
        let key = head.ssekms_key_id().map(str::to_owned);
        (head.storage_class().cloned(), sse, key, head.bucket_key_enabled())
    };
    let (ia, kms) = (Some(StorageClass::StandardIa), Some(ServerSideEncryption::AwsKms));
    put(&scene, &config, &[]).run().exits(0);
    assert_eq!(told(&scene), (ia.clone(), kms.clone(), Some(key.clone()), Some(true)));
    // The key and the bucket key are those of the profile's algorithm.
    let flags = ["--sse", "AES256", "--storage-class", "STANDARD"];
    put(&scene, &config, &flags).run().exits(0);
    let (class, sse, of_sse, bucket_key) = told(&scene);
    assert_eq!((class, sse), (None, Some(ServerSideEncryption::Aes256)));
    assert_eq!((of_sse, bucket_key.unwrap_or_default()), (None, false));
    // A key alone is one for the profile's algorithm.
    put(&scene, &config, &["--sse-kms-key-id", &east]).run().exits(0);
    assert_eq!(told(&scene), (ia.clone(), kms.clone(), Some(east.clone()), Some(true)));
    let without = put(&scene, "", &["--key", &east, "--sse-kms-key-id", &east]);
    without.run().exits(2).says("--sse <ALGORITHM>");
    // Copies are new objects too.
    let (copy, file) = (scene.beside("copy"), scene.file("sealwax.toml", config.as_bytes()));
    let cp = Sealwax::new(["cp", &scene.uri(), &copy.uri()]).env("SEALWAX_CONFIG", &file);
    cp.run().exits(0);
    assert_eq!(told(&copy), (ia, kms, Some(key.clone()), Some(true)));
    // The doctor shows them.
    let doctor = Sealwax::new(["doctor", &scene.uri(), "--json"]).env("SEALWAX_CONFIG", &file);
    let lines = json_lines(&doctor.run().exits(0));
    let line = lines.iter().find(|line| line["check"] == "new objects").expect("a check");
    let expected = format!(
        "storage class STANDARD_IA; server-side encryption aws:kms under {key}, with a bucket key"
    );
    assert_eq!((&line["status"], &line["message"]), (&json!("ok"), &json!(expected)));
    let without = Sealwax::new(["doctor", "--json"]).run().exits(0);
    assert!(json_lines(&without).iter().all(|line| line["check"] != "new objects"));
}

/// A policy of the bucket may demand the encryption of every object, so of the doctor's too.
#[test]
fn the_doctors_objects_have_the_encryption_of_the_profile() {
    let scene = Scene::new("at-rest-doctor");
    let demanding = Refusing::by_line(&endpoint(), |head| {
        let head = head.to_ascii_lowercase();
        let stores = head.starts_with("put ") || head.contains("?uploads");
        let is_part = head.contains("partnumber=");
        let has = |header: &str| head.contains(header);
        // An archived object would not open.
        let is_fine = has("x-amz-server-side-encryption: aws:kms\r\n")
            && !has("x-amz-storage-class: deep_archive");
        (stores && !is_part && !is_fine).then_some((403, "AccessDenied"))
    });
    let doctor = |options: &[&str]| {
        let doctor = Sealwax::new(["doctor", &scene.uri(), "--key", &east_key(), "--json"]);
        doctor.args(options).env("AWS_ENDPOINT_URL_S3", &demanding.url).run()
    };
    let store = |run: &Run| {
        let lines = json_lines(run);
        let line = lines.iter().find(|line| line["check"] == "store").cloned();
        line.map(|line| line["status"].as_str().expect("text").to_owned())
    };
    assert_eq!(store(&doctor(&[]).exits(1)).as_deref(), Some("failed"));
    let options = ["--sse", "aws:kms", "--storage-class", "DEEP_ARCHIVE"];
    let run = doctor(&options).exits(0);
    assert_eq!(store(&run), None, "{run:?}");
    assert!(
        json_lines(&run)
            .iter()
            .any(|line| line["message"] == "an object was sealed, stored and opened")
    );
}
