//! The AWS environment variables and files are honoured as every AWS tool honours them.

use crate::support::{Scene, Sealwax, east_key, endpoint};

/// Variables of the test environment that would override the files.
const VARIABLES: [&str; 4] =
    ["AWS_ENDPOINT_URL", "AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"];

fn with_files_alone(scene: &Scene, config: &str, args: &[&str]) -> Sealwax {
    let file = scene.file("config", config.as_bytes());
    VARIABLES
        .into_iter()
        .fold(Sealwax::new(args), Sealwax::without_env)
        .env("AWS_CONFIG_FILE", file)
}

#[test]
fn a_profile() {
    let scene = Scene::new("profile");
    scene.put(b"text", &[]).exits(0);
    let config = format!(
        "[profile seal]\nregion = us-east-1\nendpoint_url = {}\naws_access_key_id = test\naws_secret_access_key = test\n",
        endpoint()
    );
    let uri = scene.uri();
    let run =
        with_files_alone(&scene, &config, &["get", &uri, "-", "--profile", "seal"]).run().exits(0);
    assert_eq!(run.stdout, b"text");
    let run = with_files_alone(&scene, &config, &["get", &uri, "-"])
        .env("AWS_PROFILE", "seal")
        .run()
        .exits(0);
    assert_eq!(run.stdout, b"text");
    let other = ["get", &uri, "-", "--profile", "other"];
    with_files_alone(&scene, &config, &other)
        .run()
        .fails(2, "no profile other in the AWS files, which have: seal");
}

#[test]
fn the_profile_option_takes_precedence_over_the_environment() {
    // The test server takes an access key of 12 digits as the caller's account.
    let file = "[profile it]\naws_access_key_id = 111111111111\naws_secret_access_key = test\n[profile bare]\noutput = json\n";
    let scene = Scene::new("typed");
    let file = scene.file("config", file.as_bytes());
    let account = |variable: Option<&str>, args: &[&str]| {
        let run = Sealwax::new(["doctor"])
            .args(args)
            .env("AWS_CONFIG_FILE", &file)
            .env("AWS_PROFILE", variable.unwrap_or(""));
        let said = String::from_utf8(run.run().exits(0).stdout).expect("text");
        said.split_once("account ").expect("an account").1[..12].to_owned()
    };
    assert_eq!(account(None, &[]), "000000000000");
    assert_eq!(
        account(Some("it"), &[]),
        "000000000000",
        "of two variables, the keys count, as for every AWS tool"
    );
    assert_eq!(account(None, &["--profile", "it"]), "111111111111");
    assert_eq!(account(None, &["--profile", "bare"]), "000000000000", "it has none of its own");
}

#[test]
fn endpoints_of_single_services() {
    let scene = Scene::new("services");
    scene.put(b"text", &[]).exits(0);
    // A host name that works with path-style requests only.
    let endpoint = endpoint().replace("127.0.0.1", "localhost");
    let config = format!(
        "[default]\nregion = us-east-1\nservices = local\naws_access_key_id = test\naws_secret_access_key = test\n\
         [services local]\ns3 =\n  endpoint_url = {endpoint}\nkms =\n  endpoint_url = {endpoint}\n"
    );
    let args = ["get", &scene.uri(), "-", "--key", &east_key()];
    assert_eq!(with_files_alone(&scene, &config, &args).run().exits(0).stdout, b"text");

    let run = Sealwax::new(args)
        .without_env("AWS_ENDPOINT_URL")
        .env("AWS_ENDPOINT_URL_S3", &endpoint)
        .env("AWS_ENDPOINT_URL_KMS", &endpoint);
    assert_eq!(run.run().exits(0).stdout, b"text");
}

#[test]
fn options_take_precedence_over_the_environment() {
    let scene = Scene::new("options");
    scene.put(b"text", &[]).exits(0);
    let args = ["get", &scene.uri(), "-", "--region", "us-east-1"];
    let run = Sealwax::new(args)
        .args(["--endpoint-url", &endpoint(), "--kms-endpoint-url", &endpoint()])
        .env("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
        .env("AWS_REGION", "nowhere-1")
        .run();
    assert_eq!(run.exits(0).stdout, b"text");
}

#[test]
fn no_region() {
    let inspect = || Sealwax::new(["inspect", "s3://bucket/key"]);
    inspect().without_env("AWS_REGION").run().fails(2, "no AWS Region");
    inspect().env("AWS_REGION", "").run().fails(2, "no AWS Region");
}

#[test]
fn no_credentials() {
    let key = east_key();
    for args in [
        &["inspect", "s3://bucket/key"][..],
        &["get", "s3://bucket/key", "-"],
        &["put", "-", "s3://bucket/key", "--key", &key],
    ] {
        let run = Sealwax::new(args)
            .without_env("AWS_ACCESS_KEY_ID")
            .without_env("AWS_SECRET_ACCESS_KEY")
            .run();
        let run = run.fails(5, "credentials");
        // Whether S3 or KMS was called first, the error blames no policy and has real line breaks.
        assert!(
            run.stderr.contains("hint: sign in") && !run.stderr.contains("\\u{a}"),
            "{}",
            run.stderr
        );
    }
}
