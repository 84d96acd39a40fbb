//! Interrupts leave nothing behind.

use std::{
    io::{self, Read as _, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    thread,
};

use crate::support::{RawS3, Run, Scene, Sealwax, bytes, east_key, endpoint, send, wait_until};

/// Starts to put an endless stream, and stops it by `signal` when S3 has parts of it.
fn stop_a_put(signal: &str, code: i32) {
    let scene = Scene::new(signal);
    let s3 = RawS3::new();
    let mut child = Sealwax::new(["put", "-", &scene.uri(), "--key", &east_key()]).spawn();
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(&bytes(24 * 1024 * 1024)).expect("the command reads");
    wait_until("a multipart upload begins", || s3.unfinished_uploads(&scene) == 1);
    send(signal, &child);
    // Standard input is still open.
    let run = Run::new(child.wait_with_output().expect("it ends")).exits(code);
    drop(stdin);
    assert_eq!(s3.unfinished_uploads(&scene), 0, "an upload was left behind");
    assert!(s3.head(&scene).is_none(), "an object appeared");
    assert!(
        run.stderr.contains(&format!("the upload to {} was aborted", scene.uri())),
        "{}",
        run.stderr
    );
    assert!(run.stdout.is_empty());
}

#[test]
fn an_interrupted_put_leaves_no_upload() {
    stop_a_put("INT", 130);
}

#[test]
fn a_terminated_put_leaves_no_upload() {
    stop_a_put("TERM", 143);
}

#[test]
fn an_interrupted_get_leaves_no_file() {
    let scene = Scene::new("get");
    scene.put(&bytes(8 * 1024 * 1024), &[]).exits(0);
    let target = scene.file("target", b"what was here before");
    let proxy = stalling_proxy(4 * 1024 * 1024);
    let child = Sealwax::new(["get", &scene.uri()])
        .args([&target])
        .args(["--endpoint-url", &proxy])
        .spawn();
    wait_until("a temporary file appears", || scene.files().len() == 2);
    send("INT", &child);
    let run = Run::new(child.wait_with_output().expect("it ends")).exits(130);
    assert!(run.stderr.contains("was not written"), "{}", run.stderr);
    assert_eq!(scene.files(), ["target"]);
    assert_eq!(std::fs::read(target).expect("there"), b"what was here before");
}

#[test]
fn an_interrupted_get_does_not_wait_for_its_reader() {
    let scene = Scene::new("get-stdout");
    scene.put(&bytes(8 * 1024 * 1024), &[]).exits(0);
    let mut child = Sealwax::new(["get", &scene.uri(), "-"]).spawn();
    let mut stdout = child.stdout.take().expect("piped");
    stdout.read_exact(&mut [0; 10]).expect("some bytes");
    send("INT", &child);
    Run::new(child.wait_with_output().expect("it ends")).exits(130);
    drop(stdout);
}

/// Starts a proxy to LocalStack that stalls each connection after `limit` bytes of responses;
/// returns its address.
fn stalling_proxy(limit: u64) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    let upstream = endpoint().strip_prefix("http://").expect("an http URL").to_owned();
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let Ok(server) = TcpStream::connect(&upstream) else { return };
            let clones = (client.try_clone().expect("cloned"), server.try_clone().expect("cloned"));
            thread::spawn(move || {
                let (mut client, mut server) = clones;
                let _ = io::copy(&mut client, &mut server);
                let _ = server.shutdown(Shutdown::Write);
            });
            thread::spawn(move || {
                let (mut client, server) = (client, server);
                let passed = io::copy(&mut server.take(limit), &mut client);
                if passed.is_ok_and(|passed| passed == limit) {
                    thread::park();
                }
            });
        }
    });
    format!("http://{address}")
}
