//! Credentials that expire while a command works on many objects.

use std::fs;

use crate::{
    bulk::Many,
    support::{
        RawS3, Refusing, Run, Scene, Sealwax, east_key, endpoint, second_s3, server_env, west_key,
    },
};

const OBJECTS: usize = 12;
/// Number of the request from which on the credentials have expired. The commands make a few for the
/// list and at most seven for each object.
const FIRST: u64 = 20;
const EXPIRED: &str = "error: cannot continue the job: AWS does not accept the credentials, or no \
                       longer: what is left was not done\n  hint: sign in, or configure credentials";

/// Runs the command with credentials that expire.
fn expiring(many: &Many, first: u64, args: &[&str]) -> Run {
    let server = Refusing::expired_from(first, &second_s3());
    let run = many.command(args).env("AWS_ENDPOINT_URL_S3", &server.url).run();
    assert!(server.refused() > 0, "{args:?}: {run:?}");
    run.exits(5).says(EXPIRED)
}

/// Returns the number of objects in "`verb` N objects of …", which are some and not all.
#[track_caller]
fn done(run: &Run, verb: &str) -> usize {
    let line = run.stderr.lines().find(|line| line.contains(verb)).expect("what is done");
    assert!(
        !run.stderr.contains("failed:"),
        "an object that was not tried has not failed: {run:?}"
    );
    let number = line.split_whitespace().find_map(|word| word.parse().ok()).expect("a number");
    assert!((1..OBJECTS).contains(&number), "{run:?}");
    number
}

/// Runs the command line that `run` offers, with credentials that are accepted.
fn go_on(many: &Many, run: &Run, label: &str) -> Run {
    let label = format!("  {label}: ");
    let line = run.stderr.lines().find_map(|line| line.strip_prefix(&label)).expect("a next step");
    let command = Sealwax::by_shell(line).env("AWS_ENDPOINT_URL_S3", second_s3());
    let command = command.env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "test");
    command.env("XDG_STATE_HOME", many.path("")).run().exits(0)
}

#[test]
fn jobs_that_read_stop_and_say_how_to_go_on() {
    let (many, key) = (Many::new("expired-reads", OBJECTS), east_key());
    let address = many.address();
    let one = ["--concurrency", "1"];
    let cases: [(Vec<&str>, &str, &str); 3] = [
        (vec!["audit", &address, "--depends-on", &key], "audited", "to audit all of them"),
        (vec!["audit", &address, "--prove"], "", "to audit all of them"),
        (vec!["verify", &address, "--key", &key, "--full"], "opened", "to verify all of them"),
    ];
    for (args, verb, label) in cases {
        let run = expiring(&many, 8, &[&args[..], &one].concat());
        if !verb.is_empty() {
            done(&run, verb);
        }
        go_on(&many, &run, label);
    }
}

#[test]
fn transfers_stop_and_say_how_to_go_on() {
    let (many, key) = (Many::new("expired-transfers", OBJECTS), east_key());
    let s3 = RawS3::at(&second_s3());
    let (address, base) = (many.address(), many.address().replacen("s3://", "", 1));
    let (bucket, prefix) = base.split_once('/').expect("a prefix");
    let stored = |below: &str| s3.keys(bucket, &format!("{prefix}{below}")).len();
    let to = |below: &str| format!("{address}{below}");
    let (copies, moved, again) = (to("copies/"), to("moved/"), to("again/"));
    let (back, one) = (many.path("back"), ["--concurrency", "1"]);
    let run = |first: u64, args: &[&str]| expiring(&many, first, &[args, &one].concat());

    let got = run(FIRST / 2, &["get", "-r", &address, &back, "--key", &key]);
    let count = || fs::read_dir(&back).expect("a folder").count();
    assert_eq!(done(&got, "opened"), count());
    go_on(&many, &got, "to continue").says("unchanged");
    assert_eq!(count(), OBJECTS);

    let put = run(FIRST / 2, &["put", "-r", &back, &again, "--key", &key]);
    assert_eq!(done(&put, "sealed"), stored("again/"));
    go_on(&many, &put, "to continue").says("unchanged");
    assert_eq!(stored("again/"), OBJECTS);

    let copied = run(FIRST, &["cp", "-r", &again, &copies, "--key", &key]);
    assert_eq!(done(&copied, "copied"), stored("copies/"));
    go_on(&many, &copied, "to continue");
    assert_eq!(stored("copies/"), OBJECTS);

    let half = run(FIRST * 2, &["mv", "-r", &copies, &moved, "--key", &key]);
    assert_eq!(done(&half, "moved"), OBJECTS - stored("copies/"));
    go_on(&many, &half, "to continue");
    assert_eq!((stored("copies/"), stored("moved/")), (0, OBJECTS));

    // One request would delete all of them, and is refused.
    let refused = run(1, &["rm", "-r", "--yes", &moved]);
    assert_eq!(stored("moved/"), OBJECTS);
    assert!(!refused.stderr.contains("failed:"), "{refused:?}");
    go_on(&many, &refused, "to continue");
    assert_eq!(stored("moved/"), 0);
}

/// A drill that could not ask about every object is no evidence.
#[test]
fn a_drill_stops_without_a_report() {
    let (s3, source) = (RawS3::new(), Scene::new("expired-drill"));
    let mut replica = Scene::new("expired-drill");
    (replica.bucket, replica.key) = (server_env("SEALWAX_WEST_BUCKET"), source.key.clone());
    for number in 0..4 {
        let name = number.to_string();
        source.beside(&name).put(b"text", &["--key", &west_key()]).exits(0);
        s3.copy(&source.beside(&name), &replica.beside(&name));
    }
    let server = Refusing::expired_from(3, &endpoint());
    let (folder, report) = (format!("{}/", replica.uri()), replica.path("report"));
    let run = Sealwax::new(["drill", &folder, "--replica-of", &source.bucket])
        .args(["--region", "us-west-2", "--block", "us-east-1", "--concurrency", "1", "--report"])
        .args([&report])
        .env("AWS_ENDPOINT_URL_S3", &server.url)
        .run();
    // A list, and one request for each object.
    let run = run.exits(5).says("2 objects: 2 opened; no report was written\n").says(EXPIRED);
    assert!(run.stderr.contains("\n  to run the drill again: "), "{run:?}");
    assert!(replica.files().iter().all(|name| !name.starts_with("report")), "{run:?}");
}
