//! Limits of calls: time without progress, the memory of answers, and the deadline.

use std::{fs, thread};

use crate::support::{
    BadServer, Fault, RawS3, Refusing, Run, Scene, Sealwax, bytes, east_key, second_s3, slow_line,
};

/// Runs the command against this S3 server, with a short timeout.
fn against(server: &BadServer, args: &[&str]) -> Run {
    Sealwax::new(args)
        .args(["--timeout", "1s"])
        .env("AWS_ENDPOINT_URL_S3", &server.url)
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .run()
}

const OBJECT: &str = "s3://bucket/key";
const FOLDER: &str = "s3://bucket/folder/";
const ACCOUNT: [&str; 2] = ["--account", "111122223333"];

#[test]
fn a_silent_server_ends_every_command() {
    let scene = Scene::new("silent");
    let (file, key) = (scene.file("file", b"text"), east_key());
    let (file, target) = (file.to_str().expect("text"), scene.path("target"));
    let target = target.to_str().expect("text");
    let commands: [Vec<&str>; 13] = [
        vec!["ls"],
        vec!["ls", FOLDER],
        vec!["uploads", "ls", FOLDER],
        vec!["head", OBJECT],
        vec!["put", file, OBJECT, "--key", &key],
        vec!["get", OBJECT, target, "--key", &key],
        vec!["get", "-r", FOLDER, target, "--key", &key],
        vec!["cp", OBJECT, "s3://bucket/other", "--key", &key],
        vec!["rm", OBJECT],
        vec!["rm", "-r", "--yes", FOLDER],
        vec!["rewrap", OBJECT, "--add", &key],
        [&["verify", FOLDER][..], &ACCOUNT].concat(),
        vec!["audit", FOLDER],
    ];
    thread::scope(|scope| {
        for args in commands {
            scope.spawn(move || {
                let server = BadServer::start(Fault::Silent);
                let run = against(&server, &args);
                assert_eq!(run.code, Some(1), "{args:?}: {run:?}");
                assert!(run.stderr.contains("no answer within 1s"), "{args:?}: {run:?}");
                // The SDK tries each call three times. After a put without an answer, the command looks
                // for the object.
                let expected = if args[0] == "put" { 6 } else { 3 };
                assert_eq!(server.requests(), expected, "{args:?}: {run:?}");
            });
        }
    });
}

#[test]
fn doctor_reports_a_silent_server() {
    let server = BadServer::start(Fault::Silent);
    let run = against(&server, &["doctor", FOLDER, "--key", &east_key()]).exits(1);
    let report = String::from_utf8(run.stdout).expect("text");
    assert!(report.contains("no answer within 1s"), "{report}");
    let kms = Sealwax::new(["doctor", "--key", &east_key(), "--timeout", "1s"])
        .env("AWS_ENDPOINT_URL_KMS", &server.url)
        .run()
        .exits(1);
    let report = String::from_utf8(kms.stdout).expect("text");
    assert!(report.contains("no answer within 1s"), "{report}");
}

#[test]
fn an_upload_that_nobody_reads_ends() {
    let scene = Scene::new("deaf");
    let file = scene.file("file", &bytes(7 << 20));
    let server = BadServer::start(Fault::Deaf);
    let (file, key) = (file.to_str().expect("text"), east_key());
    against(&server, &["put", file, OBJECT, "--key", &key])
        .fails(1, "the service took less than 1 KiB a second of the request for 1s");
}

#[test]
fn an_answer_that_trickles_ends() {
    for (status, args) in [
        (200, &["ls", FOLDER][..]),
        (200, &["cat", OBJECT, "--account", "111122223333"]),
        (500, &["ls", FOLDER]),
    ] {
        let server = BadServer::start(Fault::Trickles(status));
        let run = against(&server, args).exits(1);
        let text = "less than 1 KiB a second of the answer arrived for 1s";
        assert!(run.stderr.contains(text), "{args:?}: {run:?}");
    }
}

#[test]
fn answers_have_a_maximum_length() {
    const LIST: &str = "<ListBucketResult>";
    for (fault, args, text) in [
        (Fault::Endless(200, LIST), &["ls", FOLDER][..], "more than 8388608 bytes"),
        (Fault::Endless(404, "<Error>"), &["ls", FOLDER], "more than 262144 bytes"),
        (
            Fault::Endless(503, "<Error>"),
            &["cat", OBJECT, "--account", "111122223333"],
            "more than 262144 bytes",
        ),
    ] {
        let server = BadServer::start(fault);
        let run = against(&server, args);
        assert!(run.stderr.contains(text), "{fault:?}: {run:?}");
        assert!(run.code.is_some_and(|code| code != 0), "{fault:?}: {run:?}");
    }
    let server = BadServer::start(Fault::Endless(200, "{"));
    let scene = Scene::new("endless");
    let file = scene.file("file", b"text");
    Sealwax::new(["put", file.to_str().expect("text"), &scene.uri(), "--key", &east_key()])
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .env("AWS_ENDPOINT_URL_KMS", &server.url)
        .run()
        .fails(1, "more than 262144 bytes");
}

#[test]
fn only_the_beginning_of_a_long_error_is_printed() {
    let server = BadServer::start(Fault::LongCode(100_000));
    let run = against(&server, &["ls", FOLDER]).exits(1);
    assert!(run.stderr.contains(&format!("{}…", "x".repeat(1000))), "{run:?}");
    assert!(run.stderr.len() < 4000, "{} bytes", run.stderr.len());
}

#[test]
fn the_deadline_ends_a_command_as_an_interrupt_does() {
    let scene = Scene::new("deadline");
    let server = BadServer::start(Fault::Silent);
    let (file, key) = (scene.file("file", b"text"), east_key());
    let file = file.to_str().expect("text");
    for (args, text) in [
        (&["head", OBJECT][..], "the deadline passed: the command did not end in time"),
        (&["ls", FOLDER], "the deadline passed: the listing is incomplete"),
        (
            &["put", file, file, FOLDER, "--key", &key],
            "the deadline passed: the remaining files were not uploaded; rerun with \
             --skip-unchanged to continue",
        ),
    ] {
        let run = Sealwax::new(args)
            .args(["--deadline", "1s"])
            .env("AWS_ENDPOINT_URL_S3", &server.url)
            .run()
            .exits(124);
        assert!(run.stderr.contains(text), "{args:?}: {run:?}");
    }
    // A command that ends in time does not notice.
    scene.put(b"text", &["--deadline", "1h"]).exits(0);
}

#[test]
fn the_timeout_can_come_from_a_variable_or_the_settings() {
    let server = BadServer::start(Fault::Silent);
    let scene = Scene::new("settings");
    let settings = scene.file("sealwax.toml", b"[profiles.default]\ntimeout = \"1s\"\n");
    let ls = || Sealwax::new(["ls", FOLDER]).env("AWS_ENDPOINT_URL_S3", &server.url);
    ls().env("SEALWAX_TIMEOUT", "1s").run().fails(1, "no answer within 1s");
    let config = settings.to_str().expect("text");
    ls().args(["--config", config]).run().fails(1, "no answer within 1s");
    ls().env("SEALWAX_TIMEOUT", "60")
        .run()
        .fails(2, "cannot use environment variable SEALWAX_TIMEOUT: must be a number with a unit");
}

/// Returns the scene of a test in SeaweedFS.
fn in_second_s3(name: &str) -> Scene {
    let mut scene = Scene::new(name);
    scene.bucket = "sealwax-cli".into();
    RawS3::at(&second_s3()).make_bucket(&scene.bucket);
    scene
}

/// Parts that share the line take longer than the timeout, and succeed: four of 8 MiB take 32
/// seconds. The 4 MiB that each socket may hold take at most 16 seconds after a body's end.
#[test]
fn a_slow_line_takes_as_long_as_it_takes() {
    let (scene, data) = (in_second_s3("slow"), bytes(28 << 20));
    let (file, uri) = (scene.file("file", &data), scene.uri());
    let url = slow_line(&second_s3(), 1 << 20);
    let key = east_key();
    let on_line = |args: &[&str]| {
        Sealwax::new(args).args(["--timeout", "20s"]).env("AWS_ENDPOINT_URL_S3", &url).run()
    };
    on_line(&["put", file.to_str().expect("text"), &uri, "--key", &key]).exits(0);
    let got = Sealwax::new(["get", &uri, "-"]).env("AWS_ENDPOINT_URL_S3", second_s3()).run();
    assert!(got.exits(0).stdout == data);
}

#[test]
fn half_of_all_requests_throttled() {
    const OBJECTS: usize = 24;
    let (scene, key) = (in_second_s3("throttled"), east_key());
    let folder = scene.path("folder");
    fs::create_dir(&folder).expect("a folder");
    for number in 0..OBJECTS {
        fs::write(folder.join(number.to_string()), bytes(1000 + number)).expect("written");
    }
    fs::write(folder.join("parts"), bytes(20 << 20)).expect("written");
    let server = Refusing::half_throttled(&second_s3());
    let run = |args: &[&str], text: &str| {
        Sealwax::new(args).env("AWS_ENDPOINT_URL_S3", &server.url).run().exits(0).says(text)
    };
    let (first, copies) = (format!("{}/first/", scene.uri()), format!("{}/copies/", scene.uri()));
    let moved = format!("{}/moved/", scene.uri());
    let (all, back) = (OBJECTS + 1, scene.path("back"));
    let (folder, to) = (folder.to_str().expect("text"), back.to_str().expect("text"));
    run(&["put", "-r", folder, &first, "--key", &key], &format!("sealed {all} files"));
    run(&["cp", "-r", &first, &copies, "--key", &key], &format!("copied {all} objects"));
    run(&["mv", "-r", &first, &moved, "--key", &key], &format!("moved {all} objects"));
    run(&["get", "-r", &moved, to, "--key", &key], &format!("opened {all} objects"));
    for number in 0..OBJECTS {
        let got = fs::read(back.join(number.to_string())).expect("a file");
        assert!(got == bytes(1000 + number), "{number}");
    }
    assert!(fs::read(back.join("parts")).expect("a file") == bytes(20 << 20));
    run(&["rm", "-r", "--yes", &copies], &format!("deleted {all} objects"));
    run(&["rm", "-r", "--yes", &moved], &format!("deleted {all} objects"));
    assert!(server.refused() > 100, "{} were throttled", server.refused());
    let left = format!("{}/", scene.uri());
    let left =
        Sealwax::new(["ls", "-r", &left]).env("AWS_ENDPOINT_URL_S3", second_s3()).run().exits(0);
    assert_eq!(String::from_utf8(left.stdout).expect("text"), "");
}

#[test]
fn few_descriptors_are_enough() {
    let (scene, key) = (in_second_s3("descriptors"), east_key());
    let folder = scene.path("folder");
    fs::create_dir(&folder).expect("a folder");
    for number in 0..24 {
        fs::write(folder.join(number.to_string()), b"text").expect("written");
    }
    let sealwax = env!("CARGO_BIN_EXE_sealwax");
    let (folder, uri) = (folder.to_str().expect("text"), format!("{}/", scene.uri()));
    let back = scene.path("back");
    let to = back.to_str().expect("text");
    // A soft limit is raised, and within a hard one the command works on fewer objects at a time.
    for (limit, concurrency) in [("-Sn", "16"), ("-n", "24")] {
        let run = |words: &str| {
            let line =
                format!("ulimit {limit} 40; exec {sealwax} {words} --concurrency {concurrency}");
            Sealwax::by_shell(&line).env("AWS_ENDPOINT_URL_S3", second_s3()).run()
        };
        run(&format!("put -r {folder} {uri} --key {key}")).exits(0).says("sealed 24 files");
        run(&format!("verify {uri} --key {key}")).exits(0);
        run(&format!("get -r {uri} {to} --key {key}")).exits(0).says("opened 24 objects");
    }
}

#[test]
fn a_system_without_threads_is_named() {
    let run = Sealwax::new(["ls"]).env("RUST_MIN_STACK", (1_u64 << 50).to_string()).run();
    run.fails(1, "cannot start: ").says("hint: raise the limits of threads and memory (ulimit -u");
}

/// Whatever runs out, and whenever: the command ends, and says why.
#[test]
fn a_command_that_lacks_something_ends_with_a_message() {
    let (scene, key) = (in_second_s3("lacking"), east_key());
    let (file, uri) = (scene.file("file", &bytes(20 << 20)), scene.uri());
    let (sealwax, file) = (env!("CARGO_BIN_EXE_sealwax"), file.to_str().expect("text").to_owned());
    let put =
        Sealwax::new(["put", &file, &uri, "--key", &key]).env("AWS_ENDPOINT_URL_S3", second_s3());
    put.run().exits(0);
    let commands = [
        format!("{sealwax} put {file} {uri} --key {key}"),
        format!("{sealwax} get {uri} {} --key {key}", scene.path("back").display()),
    ];
    let descriptors = (4..24).step_by(4).map(|count| format!("ulimit -n {count}"));
    // In KiB, from too little to start to enough. Each thread takes 64 MiB of it.
    let memory = (1..=12).map(|count| format!("ulimit -v {}", count * (128 << 10)));
    let limits: Vec<_> = descriptors.chain(memory).collect();
    let (mut done, mut failed) = (0, 0);
    for limit in &limits {
        for command in &commands {
            let line = format!("{limit}; exec {command}");
            let run = Sealwax::by_shell(&line)
                .env("AWS_ENDPOINT_URL_S3", second_s3())
                .env("RUST_MIN_STACK", (64_u64 << 20).to_string())
                .run();
            match run.code {
                Some(0) => done += 1,
                Some(1) => {
                    assert!(run.stderr.contains("error: "), "{limit}: {run:?}");
                    failed += 1;
                }
                // The loader or the shell could not start the command at all.
                Some(126 | 127) => assert!(!run.stderr.is_empty(), "{limit}: {run:?}"),
                // Rust's allocator ends the process when a few bytes are refused.
                None => {
                    assert!(run.stderr.contains("memory allocation of"), "{limit}: {run:?}");
                    failed += 1;
                }
                code => panic!("{limit}: {code:?}: {run:?}"),
            }
        }
    }
    assert!(done > 0 && failed > 0, "{done} runs succeeded, {failed} failed");
}

#[test]
fn a_clock_that_is_off_is_named_where_s3_denies_without_a_reason() {
    let server = BadServer::start(Fault::DeniesOn("Wed, 01 Jan 2020 00:00:00 GMT"));
    against(&server, &["head", OBJECT]).fails(5, "HeadObject was denied: this machine's clock is ");
    let run = against(&server, &["head", OBJECT]);
    run.says("seconds ahead of the service's").says("hint: set the clock, for example by NTP");
}
