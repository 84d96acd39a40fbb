//! Mistakes of new users: names of other tools, missing files and objects, folders and globs.

use std::{
    collections::HashMap,
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::TcpListener,
    thread,
};

use crate::support::{RawS3, Scene, Sealwax, bytes, east_key};

fn sealwax(args: &[&str]) -> Sealwax {
    Sealwax::new(args)
}

#[test]
fn names_of_other_tools_are_suggested() {
    for (theirs, ours) in [("rekey", "'rewrap'"), ("download", "'get'"), ("pu", "'put'")] {
        let run = sealwax(&[theirs, "a", "s3://b/k"]).run().exits(2);
        assert!(
            run.stderr.contains(&format!("tip: a similar subcommand exists: {ours}")),
            "{}",
            run.stderr
        );
    }
    for (from, to) in [("file", "s3://b/k"), ("s3://b/k", "file")] {
        let run = sealwax(&["cp", from, to]).run().exits(2);
        assert!(run.stderr.contains("use `sealwax put` to upload files"), "{}", run.stderr);
    }
}

#[test]
fn a_missing_file_is_named() {
    let scene = Scene::new("no-file");
    let put = ["put", "no-such-file", &scene.uri(), "--key", &east_key()];
    sealwax(&put).run().fails(1, "no-such-file could not be opened");
}

#[test]
fn parent_folders_are_created() {
    let scene = Scene::new("folders");
    scene.put(b"text", &[]).exits(0);
    let get =
        |to: &str| Sealwax::new(["get", &scene.uri(), to]).in_directory(&scene.path("")).run();
    get("a/b/file").exits(0);
    get("c/").exits(0);
    get("c/").exits(0);
    for path in ["a/b/file", "c/folders"] {
        assert_eq!(fs::read(scene.path(path)).expect("there"), b"text", "{path}");
    }
    get("c/folders/").fails(1, "cannot create the folder: c/folders: File exists");
    get("/dev/null").fails(2, "it is a device, not a regular file");
    // No folder is created for a missing object.
    Sealwax::new(["get", &scene.beside("absent").uri()])
        .args([scene.path("d/file")])
        .run()
        .exits(4);
    assert!(!scene.path("d").exists());
}

#[test]
fn folders_and_globs_have_hints() {
    let scene = Scene::new("told");
    scene.beside("a.txt").put(b"text", &[]).exits(0);
    let glob = format!("{}/*.txt", scene.uri());
    let to = format!("{}-copy", scene.uri());
    for command in
        [["get", &scene.uri(), "-"], ["cp", &scene.uri(), &to], ["mv", &scene.uri(), &to]]
    {
        let run = sealwax(&command).run().fails(4, "no such object");
        assert!(run.stderr.contains("a folder requires --recursive"), "{}", run.stderr);
    }
    let run = sealwax(&["get", &glob, "-"]).run().fails(4, "no such object");
    assert!(run.stderr.contains("--include GLOB"), "{}", run.stderr);
    let run = sealwax(&["ls", &glob]).run().exits(0);
    assert!(run.stderr.contains("--include GLOB"), "{}", run.stderr);
}

#[test]
fn no_overwrite_protects_an_object() {
    let scene = Scene::new("no-overwrite");
    scene.put(b"text", &[]).exits(0);
    for more in [&[][..], &["--format", "s3ec-v3"]] {
        let run = scene.put(b"other", &[&["--no-overwrite"], more].concat()).fails(6, "exists");
        assert!(run.stderr.contains("omit --no-overwrite"), "{}", run.stderr);
    }
    assert_eq!(scene.get(&[]).exits(0).stdout, b"text");
}

#[test]
fn excluded_files_cannot_fail() {
    let scene = Scene::new("left-out");
    let folder = scene.path("folder");
    fs::create_dir(&folder).expect("made");
    fs::write(folder.join("a.txt"), b"text").expect("written");
    std::os::unix::fs::symlink("nowhere", folder.join("dangling")).expect("linked");
    std::os::unix::net::UnixListener::bind(folder.join("it.sock")).expect("a socket");
    let put = |args: &[&str]| {
        let key = east_key();
        let put = Sealwax::new(["put"]).args([&folder]).args([&*scene.uri(), "-r", "--key", &key]);
        put.args(args).run()
    };
    assert!(put(&[]).exits(7).stderr.contains("error: 2 of 3 files failed"));
    // The target of a dangling link is unknown.
    let run = put(&["--include", "*.txt"]).exits(7);
    assert!(run.stderr.contains("error: 1 of 2 files failed"), "{}", run.stderr);
    put(&["--exclude", "*.sock", "--exclude", "dangling"]).exits(0);
}

#[test]
fn a_folder_is_deleted_with_its_marker() {
    let scene = Scene::new("marker");
    let s3 = RawS3::new();
    for name in ["", "sub/", "sub/plain"] {
        s3.put(&scene.beside(name), Vec::new(), HashMap::new());
    }
    let prefix = format!("{}/", scene.key);
    let rm =
        |args: &[&str]| Sealwax::new(["rm", &scene.uri(), "-r", "--yes"]).args(args).run().exits(0);
    rm(&["--exclude", "plain"]);
    assert_eq!(s3.keys(&scene.bucket, &prefix), [prefix.clone(), format!("{prefix}sub/plain")]);
    rm(&[]);
    assert_eq!(s3.keys(&scene.bucket, &prefix), [""; 0]);
}

#[test]
fn a_closed_pipe_is_no_error() {
    let scene = Scene::new("pipes");
    scene.put(&bytes(20 << 20), &[]).exits(0);
    let line = |command: &str, reader: &str| {
        let sealwax = env!("CARGO_BIN_EXE_sealwax");
        let line = format!("{{ {sealwax} {command}; echo $? >&2; }} | {reader}");
        Sealwax::by_shell(&line).run().exits(0)
    };
    let run = line(&format!("cat {}", scene.uri()), "head -c 1");
    assert_eq!((run.stdout.len(), run.stderr.as_str()), (1, "0\n"));
    let run = line(&format!("ls s3://{} -r", scene.bucket), "head -n 1");
    assert_eq!(run.stderr, "0\n");
}

/// Starts an S3 that answers as AWS does in the wrong Region, unlike the test servers.
fn s3_elsewhere(status: &'static str, region: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let mut client = BufReader::new(client);
            let mut line = String::new();
            while client.read_line(&mut line).is_ok_and(|read| read > 0) && line != "\r\n" {
                line.clear();
            }
            let head = format!("HTTP/1.1 {status}\r\nx-amz-bucket-region: {region}\r\n");
            let _ = client.get_mut().write_all(
                format!("{head}content-length: 0\r\nconnection: close\r\n\r\n").as_bytes(),
            );
        }
    });
    url
}

#[test]
fn the_error_names_the_buckets_region() {
    let run = |status, region, args: &[&str]| {
        sealwax(args).env("AWS_ENDPOINT_URL_S3", s3_elsewhere(status, region)).run()
    };
    for status in ["301 Moved Permanently", "400 Bad Request"] {
        for args in [
            &["get", "s3://b/k", "-"][..],
            &["inspect", "s3://b/k"],
            &["head", "s3://b/k"],
            &["ls", "s3://b"],
            &["rm", "s3://b/k"],
        ] {
            let run = run(status, "eu-west-1", args).fails(2, "the bucket is in eu-west-1");
            assert!(run.stderr.contains("--region"), "{args:?}: {}", run.stderr);
        }
    }
    // With the right Region, something else is wrong.
    run("400 Bad Request", "us-east-1", &["head", "s3://b/k"]).fails(1, "400");
}
