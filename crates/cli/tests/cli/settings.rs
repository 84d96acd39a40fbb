//! `sealwax.toml`, environment variables and flags.

use crate::support::{Run, Scene, Sealwax, east_key, endpoint, json_lines, west_key};

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
