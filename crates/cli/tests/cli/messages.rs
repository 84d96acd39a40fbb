//! Messages, hints and exit codes of faults outside of the object: the same for every command,
//! whichever request comes first.

use crate::support::{Refusing, Scene, Sealwax, bytes, east_key, endpoint, west_key};

/// Commands that read or write one object; most of them begin with a HEAD, whose answer has no code.
fn commands<'a>(uri: &'a str, other: &'a str, keys: &'a [String; 2]) -> [Vec<&'a str>; 8] {
    let [east, west] = keys;
    [
        vec!["get", uri, "-"],
        vec!["cat", uri, "--range", "0-1"],
        vec!["head", uri],
        vec!["inspect", uri],
        vec!["cp", uri, other],
        vec!["rewrap", uri, "--add", west],
        vec!["reencrypt", uri, "--under", east],
        vec!["put", "-", uri],
    ]
}

/// Runs all commands at a server that gives this answer to every request to S3, and demands the exit
/// code, the end of the first line and the hint.
#[track_caller]
fn all_say(answer: (u16, &'static str), code: i32, said: &str, hint: &str) {
    let scene = Scene::new("messages");
    scene.put(b"text", &[]).exits(0);
    let server = Refusing::by_line(&endpoint(), move |_| Some(answer));
    let (uri, other) = (scene.uri(), scene.beside("other").uri());
    let keys = [east_key(), west_key()];
    for args in commands(&uri, &other, &keys) {
        let run = Sealwax::new(&args)
            .input(b"more")
            .env("AWS_ENDPOINT_URL_S3", &server.url)
            .env("SEALWAX_KEYS", keys.join(","))
            .run()
            .exits(code);
        let line = run.stderr.lines().next().expect("an error");
        assert!(line.starts_with("error: ") && line.ends_with(said), "{args:?}: {}", run.stderr);
        assert!(run.stderr.contains(&format!("\n  hint: {hint}")), "{args:?}: {}", run.stderr);
    }
}

#[test]
fn credentials_that_expired() {
    let said = "was denied: the AWS credentials have expired, or AWS does not know them";
    let hint = "sign in, or configure credentials as for every AWS tool";
    all_say((400, "ExpiredToken"), 5, said, hint);
    // A HEAD is answered 403 without a code.
    all_say((403, "InvalidAccessKeyId"), 5, said, hint);
}

#[test]
fn a_clock_that_is_off() {
    let said = "was denied: this machine's clock is not the service's";
    all_say((403, "RequestTimeTooSkewed"), 5, said, "set the clock, for example by NTP");
}

#[test]
fn a_denied_call() {
    all_say((403, "AccessDenied"), 5, "was denied", "check the caller's IAM policy");
}

#[test]
fn no_credentials() {
    let scene = Scene::new("no-credentials");
    let (uri, other) = (scene.uri(), scene.beside("other").uri());
    let keys = [east_key(), west_key()];
    let commands = commands(&uri, &other, &keys).into_iter();
    for args in commands.chain([vec!["ls", uri.as_str()], vec!["uploads", "ls", uri.as_str()]]) {
        Sealwax::new(&args)
            .input(b"more")
            .without_env("AWS_ACCESS_KEY_ID")
            .without_env("AWS_SECRET_ACCESS_KEY")
            .env("SEALWAX_KEYS", keys.join(","))
            .run()
            .fails(5, ": there are no AWS credentials\n")
            .says("  hint: sign in, or configure credentials as for every AWS tool");
    }
}

#[test]
fn an_archived_object() {
    let scene = Scene::new("archived");
    scene.put(b"text", &[]).exits(0);
    let server = Refusing::by_line(&endpoint(), |line| {
        let is_read = line.starts_with("GET ") || line.starts_with("PUT ");
        is_read.then_some((403, "InvalidObjectState"))
    });
    let uri = scene.uri();
    for (args, call) in [
        (vec!["get", &uri, "-"], "GetObject"),
        (vec!["rewrap", &uri, "--add", &west_key(), "--acl", "ignore"], "CopyObject"),
    ] {
        Sealwax::new(&args)
            .env("AWS_ENDPOINT_URL_S3", &server.url)
            .run()
            .fails(1, &format!("{call} found the object in an archive\n"))
            .says(
                "  hint: restore the object (aws s3api restore-object), wait until it is restored",
            );
    }
}

/// S3 says: upload the object again. (Amazon S3 User Guide, "Conditional write behavior".)
#[test]
fn another_write_when_an_upload_is_completed() {
    let scene = Scene::new("concurrent");
    let server = Refusing::by_line(&endpoint(), |line| {
        let is_completion = line.starts_with("POST ") && line.contains("uploadId=");
        is_completion.then_some((409, "ConditionalRequestConflict"))
    });
    let file = scene.file("long", &bytes(9 << 20));
    Sealwax::new(["put", file.to_str().expect("text"), &scene.uri(), "--key", &east_key()])
        .env("AWS_ENDPOINT_URL_S3", &server.url)
        .run()
        .fails(
            6,
            "CompleteMultipartUpload met another write of the object, which was in progress: \
             nothing was stored\n",
        )
        .says("  hint: rerun the command: the whole object is uploaded again");
}

#[test]
fn endpoints_that_are_no_urls() {
    let scene = Scene::new("endpoints");
    let uri = scene.uri();
    for (name, value) in [
        ("AWS_ENDPOINT_URL", ""),
        ("AWS_ENDPOINT_URL", "localhost:4566"),
        ("AWS_ENDPOINT_URL_S3", "http://"),
        ("AWS_ENDPOINT_URL_KMS", "ftp://host"),
    ] {
        let said = format!(
            "error: cannot use environment variable {name}: must be an http:// or https:// URL (got \
             {value:?})\n  hint: correct it or unset it\n"
        );
        Sealwax::new(["head", &uri]).env(name, value).run().fails(2, &said);
    }
    let file = scene.file("aws", b"[default]\nendpoint_url = nothing\n");
    Sealwax::new(["head", &uri])
        .without_env("AWS_ENDPOINT_URL")
        .env("AWS_CONFIG_FILE", file)
        .run()
        .fails(
            2,
            "error: the endpoint_url of S3 must be an http:// or https:// URL (got \"nothing\")\n",
        )
        .says("  hint: correct the AWS files (by default ~/.aws/config), or pass --endpoint-url\n");
}

#[test]
fn a_host_that_does_not_exist() {
    let scene = Scene::new("host");
    Sealwax::new(["head", &scene.uri(), "--endpoint-url", "http://sealwax.invalid"])
        .env("AWS_MAX_ATTEMPTS", "1")
        .run()
        .fails(1, "HeadObject found no host of that name\n")
        .says("  hint: check --endpoint-url (or AWS_ENDPOINT_URL), the Region's name, and the network");
}

#[test]
fn aws_files_and_profiles() {
    let scene = Scene::new("files");
    let uri = scene.uri();
    let broken = scene.file("broken", b"[default\nregion = x\n");
    Sealwax::new(["head", &uri])
        .env("AWS_CONFIG_FILE", broken)
        .run()
        .fails(2, "error: could not parse profile file\n")
        .says("  hint: correct the AWS files");
    Sealwax::new(["head", &uri])
        .env("AWS_PROFILE", "nosuch")
        .run()
        .fails(2, "error: no profile nosuch in the AWS files, which have: none\n")
        .says("  hint: check AWS_PROFILE; for a profile of sealwax.toml, use --sealwax-profile");
}

#[test]
fn a_state_directory_that_cannot_be_written_to() {
    let scene = Scene::new("state");
    let file = scene.file("file", b"no directory");
    let text = scene.file("text", b"text");
    let prefix = scene.beside("folder/").uri();
    let cases = [
        (
            vec!["rewrap", &prefix, "--recursive", "--apply", "--add"],
            west_key(),
            "the journal of the rewrap",
            "--journal",
        ),
        (
            vec!["put", text.to_str().expect("text"), &prefix, "--resume", "--key"],
            east_key(),
            "the state of the upload",
            "--state-file",
        ),
    ];
    for (args, key, what, option) in cases {
        let run = Sealwax::new(&args).args([&key]).env("XDG_STATE_HOME", &file).run();
        run.fails(1, &format!("error: cannot create directory {}/sealwax for {what}: ", file.display()))
            .says(&format!(
                "  hint: set XDG_STATE_HOME to a directory that you can write to, or pass {option} FILE\n"
            ));
    }
    let journal = file.join("journal");
    Sealwax::new(["rewrap", &prefix, "--recursive", "--apply", "--add", &west_key(), "--journal"])
        .args([&journal])
        .run()
        .fails(1, &format!("error: cannot use the journal {}: ", journal.display()))
        .says(
            "  hint: check its directory and the free space, or pass another file with --journal",
        );
}

#[test]
fn a_key_that_cannot_have_its_name() {
    let scene = Scene::new("name");
    Sealwax::new(["keygen", "--name", "é"]).args([scene.path("key")]).run().fails(
        2,
        "error: the key cannot be named \"é\": a name must be one word of printable ASCII \
         characters, without quotes and backslashes\n  hint: pass another --name, or none",
    );
}

#[test]
fn settings_that_demand_something_are_named() {
    let scene = Scene::new("origins");
    scene.put(b"text", &[]).exits(0);
    let toml = scene.file("sealwax.toml", b"[profiles.default]\ncontext = { tenant = \"acme\" }\n");
    let cat = || Sealwax::new(["cat", &scene.uri()]).env("SEALWAX_CONFIG", &toml);
    let origin = format!("profile default of {}", toml.display());
    let demanded = |origin: &str| {
        format!(
            "\n  hint: {origin} demands it: pass --no-context to do without, or -c with the \
             object's own\n"
        )
    };
    cat().run().fails(3, "does not have the required \"tenant\"").says(&demanded(&origin));
    let variable = cat().env("SEALWAX_CONTEXT", "class=a").run();
    variable.fails(3, "does not have the required \"class\"").says(&demanded("SEALWAX_CONTEXT"));
    let typed = cat().args(["-c", "name=b"]).run().fails(3, "does not have the required \"name\"");
    typed.says("\n  hint: see the object's encryption context with `sealwax inspect`");
    assert_eq!(cat().args(["--no-context"]).run().exits(0).stdout, b"text");
    let both = cat().env("SEALWAX_CONTEXT", "class=a").args(["--no-context"]).run();
    assert_eq!(both.exits(0).stdout, b"text");
    let other = cat().args(["--no-context"]).env("SEALWAX_KEYS", west_key()).run();
    other.fails(5, "none of this object's wrapping keys").says(
        "\n  hint: SEALWAX_KEYS says which keys may be used: name one of the object's with --key",
    );
}

/// LocalStack ignores this condition of a copy.
#[test]
fn a_condition_that_the_store_ignores() {
    let scene = Scene::new("ignored");
    scene.put(b"text", &[]).exits(0);
    let target = scene.beside("target").uri();
    let copy = |more: &[&str]| {
        Sealwax::new(["cp", &scene.uri(), &target, "--no-overwrite"]).args(more).run()
    };
    copy(&[])
        .fails(
            1,
            "the store ignores If-None-Match of CopyObject, so another object could be replaced: \
             nothing was stored\n",
        )
        .says("  hint: pass --conditions=look to look at the target right before instead");
    Sealwax::new(["head", &target]).run().exits(4);
    copy(&["--conditions=look"]).exits(0).says(
        "note: the store ignores conditions of writes, so each object is checked right before: a \
         write of someone else in the moment between is not noticed\n",
    );
    copy(&["--conditions=look"]).fails(6, "already exists");
    let ls = Sealwax::new(["ls", "-r"]).args([scene.beside("").uri()]).run().exits(0);
    let listed = String::from_utf8(ls.stdout).expect("text");
    assert!(!listed.contains(".sealwax-probe-"), "a test object is left: {listed}");
}

#[test]
fn documents_that_hints_refer_to_are_printed() {
    let scene = Scene::new("documents");
    let broken = scene.file("sealwax.toml", b"[profiles.default]\nkyes = []\n");
    let run = Sealwax::new(["ls"]).env("SEALWAX_CONFIG", &broken).run();
    run.fails(2, "kyes").says("  hint: correct the file; `sealwax doctor --print settings` shows");
    let print = |what: &str| {
        let run = Sealwax::new(["doctor", "--print", what]).env("SEALWAX_CONFIG", &broken).run();
        String::from_utf8(run.exits(0).stdout).expect("text")
    };
    assert!(print("settings").contains("\nkeys = [\n"));
    let rules: serde_json::Value = serde_json::from_str(&print("lifecycle")).expect("JSON");
    assert!(rules["Rules"][0]["AbortIncompleteMultipartUpload"].is_object());
    Sealwax::new(["doctor", "--print", "lifecycle", "s3://b"]).run().exits(2);
}
