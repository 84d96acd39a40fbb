//! `sealwax uploads`.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::TcpListener,
    thread,
    time::Duration,
};

use serde_json::Value;

use crate::support::{RawS3, Scene, Sealwax, bytes, east_key, send, wait_until};

fn ls(uri: &str, more: &[&str]) -> Vec<Value> {
    let run = Sealwax::new(["uploads", "ls", uri, "--json"]).args(more).run().exits(0);
    let text = String::from_utf8(run.stdout).expect("text");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[test]
fn the_upload_of_a_killed_put_is_listed_and_aborted() {
    let scene = Scene::new("orphan");
    let s3 = RawS3::new();
    let file = scene.file("file", &bytes(64 << 20));
    let mut child =
        Sealwax::new(["put"]).args([file]).args([&scene.uri(), "--key", &east_key()]).spawn();
    wait_until("a multipart upload begins", || s3.unfinished_uploads(&scene) == 1);
    send("KILL", &child);
    child.wait().expect("it ends");
    assert_eq!(s3.unfinished_uploads(&scene), 1);

    let uri = scene.uri();
    let [upload] = &ls(&uri, &[])[..] else { panic!("not one upload") };
    let id = upload["upload_id"].as_str().expect("an id");
    assert_eq!(upload["object"], uri.as_str());
    assert!(
        upload["initiated"]
            .as_str()
            .is_some_and(|time| time.starts_with("20") && time.ends_with('Z')),
        "{upload}"
    );
    assert_eq!(upload["state_file"], Value::Null);
    let shown = Sealwax::new(["uploads", "ls", &uri]).run().exits(0);
    assert!(String::from_utf8_lossy(&shown.stdout).contains(&format!("  {uri}  {id}\n")));

    let abort = |more: &[&str]| Sealwax::new(["uploads", "abort", &uri]).args(more).run();
    abort(&[]).exits(2).says("required arguments were not provided:\n  <--upload-id");
    abort(&["--upload-id", "-no-such-id"]).fails(4, "no upload -no-such-id");
    assert_eq!(s3.unfinished_uploads(&scene), 1, "aborted without being named");
    let run = abort(&["--upload-id", id]).exits(0);
    assert!(run.stderr.contains(&format!("aborted upload {id} to {uri}")) && run.stdout.is_empty());
    assert_eq!(s3.unfinished_uploads(&scene), 0);
    abort(&["--upload-id", id]).fails(4, "no upload");
    let none = Sealwax::new(["uploads", "ls", &uri]).run().exits(0);
    assert!(
        none.stdout.is_empty() && none.stderr.contains("no incomplete uploads"),
        "{}",
        none.stderr
    );
}

#[test]
fn only_uploads_of_the_given_age_are_aborted() {
    let scene = Scene::new("old");
    let s3 = RawS3::new();
    let begin = |name: &str| s3.begin_upload(&scene.bucket, &format!("{}/{name}", scene.key));
    let ids = [begin("in/1"), begin("in/1"), begin("in/2")];
    let other = begin("other");
    let (all, within) = (scene.uri(), format!("{}/in/", scene.uri()));
    let listed = |uri: &str, more: &[&str]| {
        let mut ids: Vec<_> = ls(uri, more)
            .iter()
            .map(|it| it["upload_id"].as_str().expect("id").to_owned())
            .collect();
        ids.sort();
        ids
    };
    let mut sorted = ids.to_vec();
    sorted.sort();
    assert_eq!(listed(&within, &[]), sorted);
    assert_eq!(listed(&all, &[]).len(), 4);
    assert!(listed(&all, &["--older-than", "1h"]).is_empty());

    let abort =
        |more: &[&str]| Sealwax::new(["uploads", "abort", &within]).args(more).run().exits(0);
    let run = abort(&["--older-than", "1h"]);
    assert!(run.stderr.contains("aborted 0 uploads"), "{}", run.stderr);
    thread::sleep(Duration::from_secs(2));
    let run = abort(&["--older-than", "1s", "--dry-run"]);
    assert_eq!(run.stderr.matches("would abort upload").count(), 3, "{}", run.stderr);
    assert_eq!(listed(&all, &[]).len(), 4);
    let run = abort(&["--older-than", "1s"]);
    assert!(
        ids.iter().all(|id| run.stderr.contains(&format!("aborted upload {id} to {within}"))),
        "{}",
        run.stderr
    );
    assert!(run.stderr.ends_with("aborted 3 uploads\n"), "{}", run.stderr);
    assert_eq!(listed(&all, &[]), [other]);
    Sealwax::new(["uploads", "abort", &all, "--older-than", "1s", "-q"]).run().exits(0);
    assert!(listed(&all, &[]).is_empty());
}

#[test]
fn a_resumable_upload_is_aborted_with_its_state_file() {
    let scene = Scene::new("state");
    let s3 = RawS3::new();
    let file = scene.file("file", &bytes(64 << 20));
    let home = scene.path("home");
    let put =
        Sealwax::new(["put"]).args([file]).args([&scene.uri(), "--key", &east_key(), "--resume"]);
    let mut child = put.env("XDG_STATE_HOME", &home).spawn();
    let states = || {
        let entries = fs::read_dir(home.join("sealwax")).into_iter().flatten();
        entries
            .filter(|entry| entry.as_ref().is_ok_and(|it| it.path().extension().is_some()))
            .count()
    };
    wait_until("a state file appears", || states() == 1 && s3.unfinished_uploads(&scene) == 1);
    send("KILL", &child);
    child.wait().expect("it ends");

    let uri = scene.uri();
    let shown = Sealwax::new(["uploads", "ls", &uri]).env("XDG_STATE_HOME", &home).run().exits(0);
    let shown = String::from_utf8(shown.stdout).expect("text");
    assert!(shown.contains(&format!("(can be resumed: {}", home.display())), "{shown}");
    let id = shown.split_whitespace().nth(2).expect("an id");
    let abort =
        Sealwax::new(["uploads", "abort", &uri, "--upload-id", id]).env("XDG_STATE_HOME", &home);
    let run = abort.run().exits(0);
    assert!(run.stderr.contains("and deleted its state file"), "{}", run.stderr);
    assert_eq!((states(), s3.unfinished_uploads(&scene)), (0, 0));
}

#[test]
fn a_missing_bucket() {
    Sealwax::new(["uploads", "ls", "s3://sealwax-no-such-bucket"]).run().fails(4, "NoSuchBucket");
    let abort = ["uploads", "abort", "s3://sealwax-no-such-bucket/key", "--upload-id", "id"];
    Sealwax::new(abort).run().fails(4, "NoSuchBucket");
    let closed = ["uploads", "ls", "s3://bucket", "--endpoint-url", "http://127.0.0.1:1"];
    Sealwax::new(closed).run().fails(1, "cannot list the uploads of s3://bucket/");
}

/// Starts a server whose responses are the pages that key markers name; the first marker is "".
fn paged(page: impl Fn(&str) -> (String, Option<&'static str>) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut lines =
                BufReader::new(stream.try_clone().expect("cloned")).lines().map_while(Result::ok);
            let request = lines.next().unwrap_or_default();
            lines.take_while(|line| !line.is_empty()).for_each(drop);
            let marker = request
                .split_once("key-marker=")
                .map_or("", |(_, rest)| rest.split(['&', ' ']).next().unwrap_or(""));
            let (key, next) = page(marker);
            let next = next.map(|next| {
                format!("<NextKeyMarker>{next}</NextKeyMarker><IsTruncated>true</IsTruncated>")
            });
            let body = format!(
                "<ListMultipartUploadsResult>{}<Upload><Key>{key}</Key><UploadId>id</UploadId></Upload>\
                 </ListMultipartUploadsResult>",
                next.unwrap_or_else(|| "<IsTruncated>false</IsTruncated>".to_owned()),
            );
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
        }
    });
    url
}

#[test]
fn all_pages_are_listed() {
    let url = paged(|marker| match marker {
        "" => ("k1".into(), Some("m1")),
        "m1" => ("k2".into(), Some("m2")),
        "m2" => ("k3".into(), None),
        other => panic!("{other}"),
    });
    let keys: Vec<_> = ls("s3://bucket", &["--endpoint-url", &url])
        .iter()
        .map(|it| it["object"].clone())
        .collect();
    assert_eq!(keys, ["s3://bucket/k1", "s3://bucket/k2", "s3://bucket/k3"]);
    // An upload without a time has no age.
    assert!(ls("s3://bucket", &["--endpoint-url", &url, "--older-than", "1s"]).is_empty());
}

#[test]
fn a_listing_without_a_next_page_fails() {
    let url = paged(|_| ("k".into(), Some("same")));
    Sealwax::new(["uploads", "ls", "s3://bucket", "--endpoint-url", &url])
        .run()
        .fails(1, "does not say where the next page begins");
}
