//! Dry runs say what an apply would do: what it refuses, which Regions it calls, what it stores.

use serde_json::{Value, json};

use crate::support::{RawS3, Run, Scene, Sealwax, east_key, json_lines, server_env, west_key};

const V2: [&str; 2] = ["--commitment-policy", "require-encrypt-allow-decrypt"];

fn rewrap(scene: &Scene, args: &[&str]) -> Sealwax {
    let prefix = format!("{}/", scene.uri());
    let state = scene.path("");
    Sealwax::new(["rewrap", &prefix, "--recursive"]).args(args).env("XDG_STATE_HOME", state)
}

fn text(run: &Run) -> String {
    String::from_utf8(run.stdout.clone()).expect("text")
}

fn summary(run: &Run) -> Value {
    json_lines(run).pop().expect("a summary")["summary"].clone()
}

/// A dry run refuses the same objects as its apply, and a plan is applied under the policy that it
/// was made with.
#[test]
fn a_dry_run_and_its_plan_keep_the_s3_encryption_clients_policy() {
    let scene = Scene::new("policy");
    scene.beside("v2").put(b"v2", &["--format", "s3ec-v2"]).exits(0);
    let new = server_env("SEALWAX_EAST_KEY_2");
    let replace = ["--replace", new.as_str()];
    let dry = rewrap(&scene, &replace).run().exits(8);
    let said = text(&dry);
    assert!(said.contains("\n  1 cannot be rewrapped: policy-refused\n"), "{said}");
    let refused = rewrap(&scene, &replace).args(["--apply"]).run().exits(8);
    assert!(text(&refused).contains("commitment policy"), "{refused:?}");

    let plan = scene.path("plan");
    let plan = plan.to_str().expect("a path in ASCII");
    rewrap(&scene, &replace).args(V2).args(["--save-plan", plan]).run().exits(0);
    let state = scene.path("");
    let apply =
        || Sealwax::new(["rewrap", "--plan", plan, "--apply"]).env("XDG_STATE_HOME", &state);
    let other = apply().args(["--no-s3ec"]).run();
    other.fails(2, "the plan has other options for the S3 Encryption Client");
    let run = apply().args(V2).run().exits(0);
    assert_eq!(run.stderr, "1 rewrapped, 0 unchanged\n");
    let get = scene.beside("v2");
    let get = ["get", &get.uri(), "-", "--key", &new];
    assert_eq!(Sealwax::new(get).args(V2).run().stdout, b"v2");
}

/// The wrapped key does not name its key, so the keys to read with say where KMS is called.
#[test]
fn kms_calls_are_counted_in_the_regions_where_they_are_made() {
    let scene = Scene::new("regions");
    for name in ["a", "b"] {
        scene.beside(name).put(b"v3", &["--format", "s3ec-v3"]).exits(0);
    }
    let (east, west) = (east_key(), west_key());
    let args = ["--replace", &west, "--key", &east, "--json"];
    for region in ["us-east-1", "us-west-2"] {
        let run = rewrap(&scene, &args).args(["--region", region]).run().exits(0);
        let expected = json!({ "us-east-1": 2, "us-west-2": 2 });
        assert_eq!(summary(&run)["kms_calls"], expected, "from {region}");
        let expected = json!([
            { "action": "kms:Decrypt", "resource": east, "objects": 2, "denied": false },
            { "action": "kms:Encrypt", "resource": west, "objects": 2, "denied": false },
            {
                "action": "s3:PutObject", "resource": format!("{}/*", scene.bucket), "objects": 2,
                "denied": false,
            },
        ]);
        assert_eq!(summary(&run)["permissions"], expected, "from {region}");
    }
    let said = text(&rewrap(&scene, &args[..4]).run().exits(0));
    let expected = format!(
        "  permissions needed and not tried: kms:Decrypt on {east}\n  permissions needed and not tried: \
         kms:Encrypt on {west}\n  permissions needed and not tried: s3:PutObject on {}/*\n",
        scene.bucket
    );
    assert!(said.contains(&expected), "{said}");
}

#[test]
fn a_dry_run_states_the_storage_of_new_versions_and_of_replicas() {
    let mut scene = Scene::new("storage");
    let (s3, bucket) = (RawS3::new(), "sealwax-storage");
    s3.make_bucket(bucket);
    s3.make_bucket("sealwax-storage-replica");
    s3.version("sealwax-storage-replica");
    scene.bucket = bucket.to_owned();
    scene.beside("a").put(&[7; 100_000], &[]).exits(0);
    let replicated = format!("{}/replicated/", scene.key);
    scene.beside("replicated/b").put(&[7; 50_000], &[]).exits(0);
    s3.version(bucket);
    s3.replicate(bucket, &replicated, "sealwax-storage-replica");
    let add = ["--add", &west_key()].map(str::to_owned);
    let add: Vec<_> = add.iter().map(String::as_str).collect();

    let json = rewrap(&scene, &add).args(["--json"]).run().exits(0);
    let storage = &summary(&json)["storage"][bucket];
    let copied = summary(&json)["bytes_copied"].as_u64().expect("a number");
    let again = storage["replicated_bytes"]["sealwax-storage-replica"].as_u64().expect("a number");
    assert_eq!(storage["new_version_bytes"].as_u64(), Some(copied));
    assert!((50_000..51_000).contains(&again) && (150_000..151_000).contains(&copied), "{storage}");

    let said = text(&rewrap(&scene, &add).run().exits(0));
    let expected = format!(
        "  storage in {bucket}: 147 KiB more until noncurrent versions are deleted\n  storage in \
         {bucket}: replication sends 48.9 KiB again to sealwax-storage-replica, and stores them there\n"
    );
    assert!(said.ends_with(&expected), "{said}");
}
