//! `sealwax verify`.

use std::{
    collections::HashMap,
    io::{BufRead as _, BufReader, Read as _, Write as _},
};

use serde_json::Value;

use crate::support::{RawS3, Run, Scene, Sealwax, bytes, east_key, json_lines, send, west_key};

fn verify(scene: &Scene, args: &[&str]) -> Run {
    Sealwax::new(["verify", &format!("{}/", scene.uri())]).args(args).run()
}

fn summary(run: &Run) -> Value {
    json_lines(run).pop().expect("a line")["summary"].clone()
}

#[test]
fn every_depth_opens_what_is_intact() {
    let scene = Scene::new("verify");
    scene.beside("a").put(&bytes(50_000), &[]).exits(0);
    scene.beside("b").put(b"text", &[]).exits(0);
    for (depth, opened_bytes) in
        [("--keys", 0), ("--first-last", 16_384 + 50_000 % 16_384 + 4), ("--full", 50_004)]
    {
        let run = verify(&scene, &["--json", depth]).exits(0);
        let counts = summary(&run);
        assert_eq!((&counts["objects"], &counts["opened"]), (&2.into(), &2.into()), "{depth}");
        assert_eq!(counts["opened_bytes"], opened_bytes, "{depth}");
        assert_eq!(json_lines(&run).len(), 3);
    }
    let run = verify(&scene, &[]).exits(0);
    assert_eq!((run.stderr.as_str(), run.stdout.as_slice()), ("2 objects: 2 opened\n", &b""[..]));
    verify(&scene, &["--keys", "--full"]).exits(2).says("'--keys' cannot be used with '--full'");
    verify(&scene, &["--sample", "2"]).exits(2).says("'2' for '--sample <FRACTION>': must be");
}

#[test]
fn failures_are_listed_with_the_reason() {
    let scene = Scene::new("verify-fails");
    let (s3, damaged) = (RawS3::new(), scene.beside("damaged"));
    scene.beside("east").put(b"text", &[]).exits(0);
    scene.beside("both").put(b"text", &["--key", &west_key()]).exits(0);
    damaged.put(b"text", &[]).exits(0);
    let (mut body, metadata) = s3.get(&damaged);
    *body.last_mut().expect("a byte") ^= 1;
    s3.put(&damaged, body, metadata);
    s3.put(&scene.beside("plain"), b"text".to_vec(), HashMap::new());

    let run = verify(&scene, &["--full"]).exits(7);
    let text = String::from_utf8(run.stdout).expect("text");
    let mut lines: Vec<_> = text.lines().collect();
    lines.sort_unstable();
    assert!(lines[0].starts_with(&format!("{}: authentication: ", damaged.uri())), "{text}");
    assert!(
        lines[1].starts_with(&format!("{}: not-sealed: ", scene.beside("plain").uri())),
        "{text}"
    );
    assert_eq!(lines.len(), 2);
    assert!(
        run.stderr.contains("4 objects: 2 opened, 1 not sealed, 1 failed (authentication)"),
        "{}",
        run.stderr
    );
    verify(&scene, &["--keys", "--allow-unsealed"]).exits(0);

    // With keys of one Region only.
    let west = summary(&verify(&scene, &["--keys-in", "us-west-2", "--json"]).exits(7));
    assert_eq!((&west["opened"], &west["failures"]["no-matching-key"]), (&1.into(), &2.into()));
    let (east, west) = (east_key(), west_key());
    let keys = ["--keys-in", "us-west-2", "--json", "--key", &east, "--key", &west];
    assert_eq!(summary(&verify(&scene, &keys).exits(7))["opened"], 1);
    let east = Sealwax::new(["verify", &scene.beside("east").uri(), "--keys-in", "us-west-2"]);
    east.run().exits(8).says("0 opened, 1 failed (no-matching-key)");
    let absent = Sealwax::new(["verify", &scene.beside("absent").uri()]).run().exits(4);
    absent.says("error: no object in s3://");
}

#[test]
fn an_interrupt_prints_the_counts_so_far() {
    let scene = Scene::new("verify-interrupt");
    scene.put(b"text", &[]).exits(0);
    for command in ["verify", "audit"] {
        let bucket = format!("s3://{}", scene.bucket);
        let mut child =
            Sealwax::new([command, &bucket, "--stdin", "--json"]).args(list_all(command)).spawn();
        // The command waits for more lines.
        let mut stdin = child.stdin.take().expect("piped");
        writeln!(stdin, "{}", scene.uri()).expect("written");
        let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
        let mut line = String::new();
        stdout.read_line(&mut line).expect("the first object");
        send("INT", &child);
        let mut rest = String::new();
        stdout.read_to_string(&mut rest).expect("the counts");
        let run = Run::new(child.wait_with_output().expect("it ends")).exits(130);
        drop(stdin);
        assert!(run.stderr.contains("interrupted: "), "{}", run.stderr);
        let counts: Value = serde_json::from_str(&rest).expect("JSON");
        assert_eq!(counts["summary"]["objects"], 1, "{command}: {line}{rest}");
    }
}

fn list_all(command: &str) -> &[&str] {
    if command == "audit" { &["--list"] } else { &[] }
}
