//! Interrupts leave nothing behind.

use std::{
    io::{self, Read as _, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    thread,
};

use crate::support::{
    RawS3, Run, Scene, Sealwax, bytes, east_key, endpoint, send, wait_until, west_key,
};

/// Runs a command with the default reactions to signals, also where the tests run under nohup(1).
const BY_DEFAULT: &str = "import os, signal, sys; \
                          [signal.signal(it, signal.SIG_DFL) \
                          for it in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)]; \
                          os.execv(sys.argv[1], sys.argv[1:])";

/// Starts to put an endless stream, and stops it by `signal` when S3 has parts of it.
fn stop_a_put(signal: &str, code: i32) {
    let scene = Scene::new(signal);
    let s3 = RawS3::new();
    let line = format!(
        "exec python3 -c '{BY_DEFAULT}' {} put - {} --key {}",
        env!("CARGO_BIN_EXE_sealwax"),
        scene.uri(),
        east_key()
    );
    let mut child = Sealwax::by_shell(&line).spawn();
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
fn a_put_whose_terminal_is_gone_leaves_no_upload() {
    stop_a_put("HUP", 129);
}

/// As under nohup(1).
#[test]
fn a_put_that_ignores_the_loss_of_its_terminal_goes_on() {
    let scene = Scene::new("nohup");
    let s3 = RawS3::new();
    let line = format!(
        "trap '' HUP; exec {} put - {} --key {}",
        env!("CARGO_BIN_EXE_sealwax"),
        scene.uri(),
        east_key()
    );
    let mut child = Sealwax::by_shell(&line).spawn();
    let mut stdin = child.stdin.take().expect("piped");
    let sent = bytes(24 * 1024 * 1024);
    stdin.write_all(&sent).expect("the command reads");
    wait_until("a multipart upload begins", || s3.unfinished_uploads(&scene) == 1);
    send("HUP", &child);
    stdin.write_all(b"more").expect("the command reads");
    drop(stdin);
    Run::new(child.wait_with_output().expect("it ends")).exits(0);
    assert!(scene.get(&[]).exits(0).stdout == [&sent[..], b"more"].concat(), "other bytes");
}

#[test]
fn a_get_beyond_the_limit_on_file_sizes_leaves_no_file() {
    let scene = Scene::new("file-size");
    scene.put(&bytes(8 * 1024 * 1024), &[]).exits(0);
    let target = scene.file("target", b"what was here before");
    let bin = env!("CARGO_BIN_EXE_sealwax");
    let line = format!("ulimit -f 2048; exec {bin} get {} {}", scene.uri(), target.display());
    Sealwax::by_shell(&line).run().fails(1, "File too large");
    assert_eq!(scene.files(), ["target"]);
    assert_eq!(std::fs::read(target).expect("there"), b"what was here before");
}

/// The next get removes the file of a killed one, and keeps that of a running one. A put uploads
/// neither.
#[test]
fn the_file_of_a_killed_get_is_removed_by_the_next_one() {
    let scene = Scene::new("killed-get");
    scene.put(&bytes(8 * 1024 * 1024), &[]).exits(0);
    let target = scene.file("target", b"what was here before");
    let proxy = stalling_proxy(4 * 1024 * 1024);
    let stalled = || {
        let files = scene.files();
        let child = Sealwax::new(["get", &scene.uri()])
            .args([&target])
            .args(["--endpoint-url", &proxy])
            .spawn();
        wait_until("a new temporary file is there", || {
            scene.files().iter().any(|name| !files.contains(name))
        });
        child
    };
    let kill = |mut child: std::process::Child| {
        child.kill().expect("killed");
        child.wait().expect("it ends");
    };
    kill(stalled());
    let left = scene.files();
    assert_eq!(left.len(), 2, "{left:?}");
    let running = stalled();
    // The running get has removed the other file when it created its own.
    let files = scene.files();
    assert!(files.len() == 2 && files != left, "{left:?}, then {files:?}");

    let folder = scene.path("");
    let put = |more: &[&str]| {
        let put = Sealwax::new(["put"]).args([&folder]);
        put.args([&format!("{}-folder/", scene.uri()), "-r", "--key", &east_key()]).args(more).run()
    };
    let run = put(&[]).exits(0);
    assert!(run.stderr.contains("sealed 1 file under"), "{}", run.stderr);
    assert!(run.stderr.contains("1 incomplete download"), "{}", run.stderr);

    let get = || Sealwax::new(["get", &scene.uri()]).args([&scene.path("another")]).run();
    let run = get().exits(0);
    assert!(!run.stderr.contains("removed"), "{}", run.stderr);
    kill(running);
    let run = get().exits(0);
    let removed = "removed 1 incomplete file of killed processes";
    assert!(run.stderr.contains(removed), "{}", run.stderr);
    assert_eq!(scene.files(), ["another", "target"]);
}

/// Every command writes its files under such a name first.
#[test]
fn leftovers_beside_every_new_file_are_removed() {
    let scene = Scene::new("leftovers");
    scene.beside("a").put(b"text", &[]).exits(0);
    let below = format!("{}/", scene.uri());
    let left = format!(".sealwax-{}.part", "0123456789abcdef".repeat(2));
    let (east, west) = (east_key(), west_key());
    let commands: [(&str, &[&str]); 5] = [
        ("plan", &["rewrap", &below, "-r", "--add", &west, "--key", &east, "--save-plan"]),
        ("report", &["audit", &below, "--report"]),
        ("key", &["keygen"]),
        ("file", &["get", &format!("{below}a")]),
        ("man", &["man"]),
    ];
    for (name, args) in commands {
        let folder = scene.path(&format!("of-{name}"));
        std::fs::create_dir(&folder).expect("made");
        std::fs::write(folder.join(&left), "of a killed process").expect("written");
        let path = if name == "man" { folder.clone() } else { folder.join(name) };
        let run = Sealwax::new(args).args([&path]).run().exits(0);
        let told = run.stderr.contains("removed 1 incomplete file of killed processes\n");
        assert_eq!(told, ["plan", "file"].contains(&name), "{name}: {}", run.stderr);
        let names = std::fs::read_dir(&folder).expect("listed");
        let names: Vec<_> = names.map(|entry| entry.expect("listed").file_name()).collect();
        assert!(!names.is_empty() && !names.contains(&left.clone().into()), "{name}: {names:?}");
    }
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
