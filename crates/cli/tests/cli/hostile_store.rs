//! Stores and names that are hostile: lists of other objects than the requested ones, and text that
//! would control a terminal.

use std::{
    collections::HashMap,
    io::{BufRead as _, BufReader, Write as _},
    net::{TcpListener, TcpStream},
    thread,
};

use crate::support::{RawS3, Run, Scene, Sealwax, json_lines};

/// Starts an S3 server that answers every request with this XML, and returns its address.
fn answering(xml: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || answer(client, xml));
        }
    });
    url
}

fn answer(mut client: TcpStream, xml: &str) {
    let mut requests = BufReader::new(client.try_clone().expect("cloned")).lines();
    // Requests for lists have no body: each ends with an empty line.
    while let Some(Ok(line)) = requests.next() {
        if line.is_empty() {
            let len = xml.len();
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {len}\r\n\r\n{xml}");
            if client.write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    }
}

fn against(xml: &'static str, args: &[&str]) -> Run {
    Sealwax::new(args)
        .env("AWS_ENDPOINT_URL_S3", answering(xml))
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .run()
}

#[test]
fn a_store_that_ignores_the_prefix_is_an_error_of_every_command_that_lists() {
    const LIST: &str = "<ListBucketResult><IsTruncated>false</IsTruncated>\
        <Contents><Key>a</Key><Size>78</Size></Contents></ListBucketResult>";
    let folder = Scene::new("ignored");
    let target = folder.path("target");
    let target = target.to_str().expect("text");
    let prefix = "s3://bucket/folder/é/";
    for args in [
        &["ls", prefix][..],
        &["ls", "-r", prefix],
        &["ls", "--json", prefix],
        &["get", "-r", prefix, target],
        &["rm", "-r", "--yes", prefix],
        &["cp", "-r", prefix, "s3://bucket/other/"],
        &["verify", "--account", "111122223333", prefix],
        &["audit", prefix],
    ] {
        let run = against(LIST, args).exits(1);
        assert!(
            run.stderr.contains("does not begin with the requested prefix"),
            "{args:?} {run:?}"
        );
    }
    const UPLOADS: &str = "<ListMultipartUploadsResult><IsTruncated>false</IsTruncated><Upload><Key>a</Key><UploadId>u</UploadId>\
        </Upload></ListMultipartUploadsResult>";
    let run = against(UPLOADS, &["uploads", "ls", prefix]).exits(1);
    assert!(run.stderr.contains("does not begin with the requested prefix"), "{run:?}");
}

/// A proxy that cuts an answer between two elements leaves XML that a parser takes for the whole.
#[test]
fn a_list_that_ends_early_is_an_error_of_every_command_that_lists() {
    const CUT: &str = "<ListBucketResult><IsTruncated>false</IsTruncated><KeyCount>2</KeyCount>\
        <Contents><Key>folder/a</Key><Size>78</Size></Contents>";
    const UNSAID: &str = "<ListBucketResult><Contents><Key>folder/a</Key><Size>78</Size></Contents>\
        </ListBucketResult>";
    const FEWER: &str = "<ListBucketResult><IsTruncated>false</IsTruncated><KeyCount>2</KeyCount>\
        <Contents><Key>folder/a</Key><Size>78</Size></Contents></ListBucketResult>";
    let folder = Scene::new("cut");
    let target = folder.path("target");
    let target = target.to_str().expect("text");
    let (prefix, east) = ("s3://bucket/folder/", crate::support::east_key());
    for (list, why) in [
        (CUT, "the answer ends early"),
        (UNSAID, "does not say whether its list is complete"),
        (FEWER, "says that a page lists 2 names, and it lists 1"),
    ] {
        for args in [
            &["ls", prefix][..],
            &["ls", "-r", prefix],
            &["get", "-r", prefix, target],
            &["rm", "-r", "--yes", prefix],
            &["cp", "-r", prefix, "s3://bucket/other/"],
            &["mv", "-r", prefix, "s3://bucket/other/"],
            &["verify", "--account", "111122223333", prefix],
            &["audit", prefix],
            &["rewrap", "-r", "--add", &east, prefix],
            &["rewrap", "-r", "--add", &east, "--apply", prefix],
            &["reencrypt", "-r", "--to", "native", "--under", &east, prefix],
            &["reencrypt", "-r", "--to", "native", "--under", &east, "--apply", prefix],
        ] {
            let run = against(list, args).exits(1);
            assert!(run.stderr.contains(why), "{args:?} {run:?}");
        }
    }
    const VERSIONS: &str = "<ListVersionsResult><IsTruncated>false</IsTruncated>";
    let run = against(VERSIONS, &["audit", "--versions", prefix]).exits(1);
    assert!(run.stderr.contains("the answer ends early"), "{run:?}");
    const UPLOADS: &str = "<ListMultipartUploadsResult><IsTruncated>false</IsTruncated>";
    let run = against(UPLOADS, &["uploads", "ls", prefix]).exits(1);
    assert!(run.stderr.contains("the answer ends early"), "{run:?}");
    const WHOLE: &str = "<ListMultipartUploadsResult><IsTruncated>false</IsTruncated>\
        </ListMultipartUploadsResult>";
    against(WHOLE, &["uploads", "ls", prefix]).exits(0);
}

#[test]
fn a_store_that_ignores_the_delimiter_is_an_error() {
    const LIST: &str = "<ListBucketResult><IsTruncated>false</IsTruncated>\
        <Contents><Key>f/a/b</Key><Size>78</Size></Contents></ListBucketResult>";
    let run = against(LIST, &["ls", "s3://bucket/f/"]).exits(1);
    assert!(run.stderr.contains("has the delimiter after the prefix"), "{run:?}");
    let all = against(LIST, &["ls", "-r", "s3://bucket/f/"]).exits(0);
    assert!(all.stdout.ends_with(b"  s3://bucket/f/a/b\n"), "{all:?}");
}

#[test]
fn buckets_whose_pages_have_no_end_are_an_error() {
    const LIST: &str = "<ListAllMyBucketsResult><Buckets><Bucket><Name>b</Name></Bucket></Buckets>\
        <ContinuationToken>again</ContinuationToken></ListAllMyBucketsResult>";
    let run = against(LIST, &["ls"]).exits(1);
    assert!(run.stderr.contains("does not say where the next page begins"), "{run:?}");
}

/// C1 controls and marks of direction: `serde_json` alone would print them as they are.
#[test]
fn json_is_ascii_in_every_command() {
    let scene = Scene::new("json");
    let evil = scene.beside("\u{9b}31m\u{202e}é\u{7f}");
    evil.put(b"text", &["-c", "t\u{9b}=\u{2066}v", "--key", &crate::support::west_key()]).exits(0);
    let plain = scene.beside("plain\u{9d}");
    RawS3::new().put(&plain, b"text".to_vec(), HashMap::new());
    let (folder, uri) = (format!("{}/", scene.uri()), evil.uri());
    let plan = scene.path("plan");
    let plan = plan.to_str().expect("text");
    let west = crate::support::west_key();
    for args in [
        &["ls", "--json", &folder][..],
        &["ls", "--json", "-r", "--long", &folder],
        &["head", "--json", &uri],
        &["inspect", "--json", &uri],
        &["audit", "--json", "--lacks", "eu-west-1", &folder],
        &["verify", "--json", &folder],
        &["rewrap", "--json", "-r", &folder, "--add", &west],
        &["rewrap", "--json", "-r", &folder, "--add", &west, "--save-plan", plan],
        &["uploads", "ls", "--json", &folder],
    ] {
        let run = Sealwax::new(args).run();
        assert!(run.stdout.iter().all(|byte| matches!(byte, b' '..=b'~' | b'\n')), "{args:?}");
        let lines = json_lines(&run);
        let is_about = |line: &serde_json::Value| line.to_string().contains('\u{9b}');
        assert!(args[0] == "uploads" || lines.iter().any(is_about), "{args:?} {run:?}");
    }
    let plan = std::fs::read(plan).expect("a plan");
    assert!(plan.iter().all(|byte| matches!(byte, b' '..=b'~' | b'\n')));
}
