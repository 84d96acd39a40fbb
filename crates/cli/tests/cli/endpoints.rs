//! Endpoints at which each service is called, and the refusal of plain HTTP.

use std::fs;

use crate::support::{Recorder, Run, Scene, Sealwax, TlsServer, east_key, json_lines, tunnel};

/// A key that no call reaches.
const KEY: &str = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

/// Settings of one run. `{a}`, `{b}` and `{c}` stand for the addresses of three servers.
#[derive(Debug, Clone, Copy, Default)]
struct Settings {
    args: &'static [&'static str],
    env: &'static [(&'static str, &'static str)],
    /// `sealwax.toml`, its profile `default`.
    toml: &'static str,
    /// The AWS config file.
    aws: &'static str,
}

impl Settings {
    /// Returns a command with these settings and no others.
    fn command(&self, scene: &Scene, fill: impl Fn(&str) -> String, words: &[&str]) -> Sealwax {
        let toml = format!("[profiles.default]\n{}\n", fill(self.toml));
        let aws = scene.file("aws", fill(self.aws).as_bytes());
        let command = Sealwax::new(words)
            .args(self.args.iter().map(|arg| fill(arg)))
            .without_env("AWS_ENDPOINT_URL")
            .env("AWS_MAX_ATTEMPTS", "1")
            .env("AWS_CONFIG_FILE", aws)
            .env("SEALWAX_CONFIG", scene.file("sealwax.toml", toml.as_bytes()));
        self.env.iter().fold(command, |command, (name, value)| command.env(name, fill(value)))
    }
}

/// Commands whose first request goes to S3, KMS and STS.
fn first_calls(uri: &str) -> [(&'static str, Vec<&str>); 3] {
    [
        ("s3", vec!["head", uri]),
        ("kms", vec!["put", "-", uri, "--key", KEY]),
        ("sts", vec!["cat", uri]),
    ]
}

/// Each row says where S3, KMS and STS are called: at one of the servers, or at AWS (`-`).
#[test]
fn each_setting_means_its_services() {
    const ALL: &[(&str, &str)] = &[("AWS_ENDPOINT_URL", "{a}")];
    const TOML: &str = "endpoint_url = \"{a}\"\nkms_endpoint_url = \"{b}\"";
    const AWS: &str =
        "[default]\nendpoint_url = {a}\nservices = x\n[services x]\nkms =\n  endpoint_url = {b}\n";
    let with = Settings::default();
    let rows = [
        ("- - -", with),
        ("a - -", Settings { args: &["--endpoint-url", "{a}"], ..with }),
        ("- b b", Settings { args: &["--kms-endpoint-url", "{b}"], ..with }),
        ("- b b", Settings { env: &[("SEALWAX_KMS_ENDPOINT_URL", "{b}")], ..with }),
        ("a a a", Settings { env: ALL, ..with }),
        ("b a a", Settings { args: &["--endpoint-url", "{b}"], env: ALL, ..with }),
        ("a b b", Settings { args: &["--kms-endpoint-url", "{b}"], env: ALL, ..with }),
        ("b - -", Settings { env: &[("AWS_ENDPOINT_URL_S3", "{b}")], ..with }),
        ("- b -", Settings { env: &[("AWS_ENDPOINT_URL_KMS", "{b}")], ..with }),
        ("- - b", Settings { env: &[("AWS_ENDPOINT_URL_STS", "{b}")], ..with }),
        (
            "a b c",
            Settings {
                env: &[
                    ("AWS_ENDPOINT_URL", "{a}"),
                    ("AWS_ENDPOINT_URL_KMS", "{b}"),
                    ("AWS_ENDPOINT_URL_STS", "{c}"),
                ],
                ..with
            },
        ),
        // Flags and Sealwax's own variable take precedence over AWS's variables of one service.
        (
            "a b b",
            Settings {
                args: &["--endpoint-url", "{a}", "--kms-endpoint-url", "{b}"],
                env: &[
                    ("AWS_ENDPOINT_URL_S3", "{c}"),
                    ("AWS_ENDPOINT_URL_KMS", "{c}"),
                    ("AWS_ENDPOINT_URL_STS", "{c}"),
                    ("SEALWAX_KMS_ENDPOINT_URL", "{c}"),
                ],
                ..with
            },
        ),
        (
            "a b b",
            Settings {
                env: &[("AWS_ENDPOINT_URL", "{a}"), ("SEALWAX_KMS_ENDPOINT_URL", "{b}")],
                ..with
            },
        ),
        // Variables take precedence over sealwax.toml, and it over the AWS files.
        ("a b b", Settings { toml: TOML, ..with }),
        ("c c c", Settings { toml: TOML, env: &[("AWS_ENDPOINT_URL", "{c}")], ..with }),
        ("c b b", Settings { toml: TOML, env: &[("AWS_ENDPOINT_URL_S3", "{c}")], ..with }),
        ("a c -", Settings { toml: TOML, env: &[("AWS_ENDPOINT_URL_KMS", "{c}")], ..with }),
        ("a c c", Settings { toml: TOML, env: &[("SEALWAX_KMS_ENDPOINT_URL", "{c}")], ..with }),
        ("a b a", Settings { aws: AWS, ..with }),
        ("a c c", Settings { aws: AWS, toml: "kms_endpoint_url = \"{c}\"", ..with }),
        ("c b a", Settings { aws: AWS, toml: "endpoint_url = \"{c}\"", ..with }),
        (
            "c c c",
            Settings {
                aws: AWS,
                env: &[("AWS_ENDPOINT_URL", "{c}"), ("AWS_ENDPOINT_URL_KMS", "{c}")],
                ..with
            },
        ),
        // What AWS's tools are told to ignore, and nothing else.
        (
            "- - -",
            Settings {
                aws: AWS,
                env: &[
                    ("AWS_ENDPOINT_URL", "{a}"),
                    ("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true"),
                ],
                ..with
            },
        ),
        (
            "a b b",
            Settings {
                toml: TOML,
                aws: AWS,
                env: &[
                    ("AWS_ENDPOINT_URL", "{c}"),
                    ("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true"),
                ],
                ..with
            },
        ),
        (
            "- b b",
            Settings {
                args: &["--kms-endpoint-url", "{b}"],
                aws: "[default]\nendpoint_url = {a}\nignore_configured_endpoint_urls = true\n",
                ..with
            },
        ),
    ];
    let servers = [("a", Recorder::start()), ("b", Recorder::start()), ("c", Recorder::start())];
    let fill = |text: &str| {
        servers.iter().fold(text.to_owned(), |text, (name, server)| {
            text.replace(&format!("{{{name}}}"), server.url())
        })
    };
    let scene = Scene::new("endpoints");
    let uri = scene.uri();
    for (expected, settings) in rows {
        let expected: Vec<_> = expected.split(' ').collect();
        // What doctor says, before its first request.
        let doctor = settings.command(&scene, fill, &["doctor", "--json", "--key", KEY]);
        let reported: Vec<_> = json_lines(&doctor.without_env("AWS_ACCESS_KEY_ID").run())
            .into_iter()
            .filter(|line| line["check"] == "endpoint")
            .map(|line| line["message"].as_str().expect("text").to_owned())
            .collect();
        let url_of = |name: &str, aws: &str| match name {
            "-" => format!("https://{aws}.us-east-1.amazonaws.com"),
            name => fill(&format!("{{{name}}}")),
        };
        let kms = url_of(expected[1], "kms");
        let kms = if expected[1] == "-" { kms } else { format!("{kms}, which is not AWS") };
        assert_eq!(
            reported,
            [
                format!("S3: {}", url_of(expected[0], "s3")),
                format!("STS: {}", url_of(expected[2], "sts")),
                format!("KMS in us-east-1: {kms}"),
            ],
            "{settings:?}"
        );
        // What is called.
        for ((service, words), server) in first_calls(&uri).iter().zip(&expected) {
            if *server == "-" {
                continue;
            }
            settings.command(&scene, fill, words).input(b"text").run();
            for (name, recorder) in &servers {
                let mut called = recorder.called();
                // A HEAD that is denied is followed by a GET, which tells why.
                called.dedup();
                let expected: &[&str] = if name == server { &[service] } else { &[] };
                assert_eq!(called, expected, "{words:?} at {name}: {settings:?}");
            }
        }
    }
}

/// Settings that lead KMS and STS to another machine over plain HTTP, however they are made.
#[test]
fn plain_http_to_another_machine_is_refused() {
    const KMS: &str = "http://kms.example:4566";
    let with = Settings::default();
    let sources = [
        Settings { args: &["--kms-endpoint-url", KMS], ..with },
        Settings { env: &[("SEALWAX_KMS_ENDPOINT_URL", KMS)], ..with },
        Settings { toml: "kms_endpoint_url = \"http://kms.example:4566\"", ..with },
        Settings { env: &[("AWS_ENDPOINT_URL", KMS)], ..with },
        Settings { env: &[("AWS_ENDPOINT_URL_KMS", KMS), ("AWS_ENDPOINT_URL_STS", KMS)], ..with },
        Settings { aws: "[default]\nendpoint_url = http://kms.example:4566\n", ..with },
        Settings {
            aws: "[default]\nservices = x\n[services x]\nkms =\n  endpoint_url = http://kms.example:4566\n\
                  sts =\n  endpoint_url = http://kms.example:4566\n",
            ..with
        },
    ];
    // A proxy sees what would go to another machine.
    let network = Recorder::start();
    let scene = Scene::new("plain-http");
    let uri = scene.uri();
    let run = |settings: &Settings, words: &[&str], more: &[(&str, &str)]| -> Run {
        let command = settings.command(&scene, str::to_owned, words);
        let command = command.env("HTTP_PROXY", network.url()).env("http_proxy", network.url());
        more.iter()
            .fold(command, |command, (name, value)| command.env(name, value))
            .input(b"text")
            .run()
    };
    let [_, (_, put), (_, cat)] = first_calls(&uri);
    for source in &sources {
        for (service, words, refusal) in [("KMS", &put, 1), ("STS", &cat, 5)] {
            let refused = run(source, words, &[]);
            let message = format!("refusing to call {service} at {KMS}: plain HTTP");
            let refused = refused.fails(2, &message);
            assert!(refused.stderr.contains("use an https:// endpoint or, if"), "{source:?}");
            assert!(refused.stderr.contains("or pass --allow-http-kms"), "{}", refused.stderr);
            assert_eq!(network.called(), [""; 0], "{service}: a request was sent: {source:?}");
            let allowed = run(source, words, &[("SEALWAX_ALLOW_HTTP_KMS", "true")]);
            let allowed = allowed.exits(refusal).says("403");
            let called = network.called();
            assert_eq!(called, [service.to_lowercase()], "{source:?}: {}", allowed.stderr);
        }
    }
    // The ways out.
    let at = Settings { args: &["--kms-endpoint-url", KMS], ..with };
    let flag = Settings { args: &["--kms-endpoint-url", KMS, "--allow-http-kms"], ..with };
    let toml = Settings { toml: "allow_http_kms = true", ..at };
    for (settings, variable, is_sent) in [
        (&flag, "", true),
        (&flag, "false", true),
        (&toml, "", true),
        (&toml, "0", false),
        (&at, "1", true),
        (&at, "false", false),
    ] {
        let done = run(settings, &put, &[("SEALWAX_ALLOW_HTTP_KMS", variable)]);
        assert_eq!(done.code == Some(2), !is_sent, "{settings:?} {variable}: {}", done.stderr);
        let expected: &[&str] = if is_sent { &["kms"] } else { &[] };
        assert_eq!(network.called(), expected, "{settings:?} {variable}");
    }
    run(&at, &put, &[("SEALWAX_ALLOW_HTTP_KMS", "yes")])
        .fails(2, "cannot use environment variable SEALWAX_ALLOW_HTTP_KMS: must be true or false");
    run(&at, &put, &[("SEALWAX_KMS_ENDPOINT_URL", "kms.example")]).fails(
        2,
        "cannot use environment variable SEALWAX_KMS_ENDPOINT_URL: must be an http:// or https:// URL",
    );
    assert_eq!(network.called(), [""; 0]);

    // S3 sees sealed bodies only.
    let s3 = Settings { args: &["--endpoint-url", "http://s3.example"], ..with };
    run(&s3, &["head", &uri], &[]);
    // The HEAD is denied, and a GET tells why.
    assert_eq!(network.called(), ["s3", "s3"]);
    // A local key needs no KMS.
    let local = scene.path("local.key");
    Sealwax::new(["keygen"]).args([&local]).run().exits(0);
    let words = ["put", "-", &uri, "--local-key", local.to_str().expect("text")];
    run(&Settings { env: &[("AWS_ENDPOINT_URL", KMS)], ..with }, &words, &[]);
    assert_eq!(network.called(), ["s3"]);
}

/// The SDK asks STS for credentials by clients of its own.
#[test]
fn credentials_from_sts_over_plain_http_are_refused() {
    const MESSAGE: &str = "refusing to call STS at http://sts.example:4566: plain HTTP";
    let network = Recorder::start();
    let scene = Scene::new("assumed");
    let (token, uri) = (scene.file("token", b"a-token"), scene.uri());
    let with = Settings {
        env: &[("AWS_ENDPOINT_URL_STS", "http://sts.example:4566")],
        ..Settings::default()
    };
    let role = "[profile r]\nrole_arn = arn:aws:iam::111122223333:role/r\nsource_profile = s\n\
                [profile s]\naws_access_key_id = test\naws_secret_access_key = test\n";
    let assumed = Settings { aws: role, args: &["--profile", "r"], ..with };
    let by_role = || assumed.command(&scene, str::to_owned, &["head", &uri]);
    let by_token = || {
        with.command(&scene, str::to_owned, &["head", &uri])
            .without_env("AWS_ACCESS_KEY_ID")
            .without_env("AWS_SECRET_ACCESS_KEY")
            .env("AWS_WEB_IDENTITY_TOKEN_FILE", &token)
            .env("AWS_ROLE_ARN", "arn:aws:iam::111122223333:role/r")
    };
    for (command, sent) in [(&by_role as &dyn Fn() -> Sealwax, "sts"), (&by_token, "unsigned ")] {
        let run = |allow: &str| {
            let command = command().env("SEALWAX_ALLOW_HTTP_KMS", allow);
            command.env("HTTP_PROXY", network.url()).env("http_proxy", network.url()).run()
        };
        let refused = run("false").exits(2);
        assert!(refused.stderr.contains(MESSAGE), "{}", refused.stderr);
        assert_eq!(network.called(), [""; 0]);
        run("true");
        let called = network.called();
        assert!(!called.is_empty() && called[0].starts_with(sent), "{called:?}");
    }
}

#[test]
fn doctor_warns_of_plain_http() {
    let scene = Scene::new("doctor-http");
    let with = Settings {
        env: &[("AWS_ENDPOINT_URL", "http://secret:word@aws.example/")],
        ..Settings::default()
    };
    for (allow, expected) in
        [("false", "warning failed failed"), ("true", "warning warning warning")]
    {
        let doctor = with.command(&scene, str::to_owned, &["doctor", "--json"]);
        let run = doctor
            .env("SEALWAX_ALLOW_HTTP_KMS", allow)
            .without_env("AWS_ACCESS_KEY_ID")
            .run()
            .exits(1);
        let lines = json_lines(&run);
        let endpoints: Vec<_> = lines.iter().filter(|line| line["check"] == "endpoint").collect();
        let statuses: Vec<_> =
            endpoints.iter().map(|line| line["status"].as_str().expect("text")).collect();
        assert_eq!(statuses.join(" "), expected, "{run:?}");
        for line in endpoints {
            let message = line["message"].as_str().expect("text");
            assert!(message.contains("http://aws.example/, over plain HTTP"), "{message}");
            assert!(line["hint"].is_string(), "{line}");
        }
    }
}

/// Each service is called first by one of the commands.
#[test]
fn a_certificate_that_is_not_trusted_is_told_as_that() {
    let (scene, server) = (Scene::new("tls"), TlsServer::start());
    let (uri, key) = (scene.uri(), east_key());
    let to_s3 = ["--endpoint-url", server.url()];
    let to_kms = ["--kms-endpoint-url", server.url()];
    let hint = "\n  hint: check --endpoint-url and --kms-endpoint-url (or AWS_ENDPOINT_URL); to trust \
                a certificate authority of your own, set AWS_CA_BUNDLE to its file\n";
    for command in [
        &[&["cat", &uri, "--key", &key][..], &to_s3].concat(),
        &[&["head", &uri][..], &to_s3].concat(),
        &[&["ls", &uri][..], &to_s3].concat(),
        &[&["put", "-", &uri, "--key", &key][..], &to_kms].concat(),
        &[&["put", "-", &uri, "--key", "alias/x"][..], &to_kms].concat(),
    ] {
        let run = || Sealwax::new(command).input(b"text");
        let untrusted = run().run().fails(1, "certificate").says(hint);
        assert!(untrusted.stderr.contains("UnknownIssuer"), "{command:?}: {}", untrusted.stderr);
        assert_eq!(server.answered(), 0, "{command:?}");
    }
}

/// A request arrives where the server's authority is trusted, and nowhere else. The system's
/// authorities are in a file and in folders; `AWS_CA_BUNDLE` replaces both.
#[test]
fn authorities_are_those_of_the_bundle_or_else_of_the_system() {
    const UNTRUSTED: &str = "UnknownIssuer";
    const HINT: &str = "set AWS_CA_BUNDLE to its file";
    const UNREADABLE: &str =
        "AWS_CA_BUNDLE is /missing, a file in which no certificate can be read";
    let (scene, server) = (Scene::new("authorities"), TlsServer::start());
    let (uri, proxy) = (scene.uri(), tunnel(server.url()));
    let [folder, empty] = ["folder", "empty"].map(|name| scene.path(name));
    for folder in [&folder, &empty] {
        fs::create_dir(folder).expect("a folder");
    }
    let (right, wrong) = (TlsServer::authority(), TlsServer::certificate());
    fs::copy(&right, folder.join("1234abcd.0")).expect("a copy");
    let [right, wrong, folder, empty] =
        [right, wrong, folder, empty].map(|path| path.to_str().expect("text").to_owned());
    let missing = "/missing".to_owned();
    let sources = [
        // AWS_CA_BUNDLE, SSL_CERT_FILE and SSL_CERT_DIR.
        ([Some(&right), None, None], None),
        ([Some(&right), Some(&wrong), Some(&empty)], None),
        ([Some(&wrong), Some(&right), Some(&folder)], Some(UNTRUSTED)),
        ([Some(&missing), Some(&right), None], Some(UNREADABLE)),
        ([None, Some(&right), Some(&empty)], None),
        ([None, Some(&wrong), Some(&folder)], None),
        ([None, Some(&missing), Some(&folder)], None),
        ([None, None, Some(&folder)], None),
        ([None, Some(&wrong), Some(&empty)], Some(UNTRUSTED)),
    ];
    for (variables, refusal) in sources {
        for proxy in ["", &proxy] {
            let head = Sealwax::new(["head", &uri, "--endpoint-url", server.url()])
                .without_env("https_proxy")
                .env("HTTPS_PROXY", proxy)
                .without_env("no_proxy")
                .env("NO_PROXY", "")
                .env("AWS_MAX_ATTEMPTS", "1");
            let named = ["AWS_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"].into_iter();
            let head = named.zip(variables).fold(head, |head, (name, path)| match path {
                Some(path) => head.env(name, path),
                None => head.without_env(name),
            });
            let before = server.answered();
            match refusal {
                None => drop(head.run().exits(5)),
                Some(message) => drop(head.run().fails(1, message).says(HINT)),
            }
            let arrived = server.answered() > before;
            assert_eq!(arrived, refusal.is_none(), "{variables:?}, {proxy:?}");
        }
    }
}
