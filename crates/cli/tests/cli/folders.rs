//! `sealwax put` and `get` of folders.

use std::{
    collections::HashMap,
    fs,
    path::Path,
    time::{Duration, SystemTime},
};

use crate::support::{
    PartsProxy, RawS3, Run, Scene, Sealwax, bytes, east_key, endpoint, send, wait_until, west_key,
};

/// Creates a folder with files.
pub(crate) fn folder(scene: &Scene, files: &[(&str, &[u8])]) -> std::path::PathBuf {
    let folder = scene.path("folder");
    for (name, content) in files {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(path, content).expect("written");
    }
    folder
}

fn put(folder: &Path, scene: &Scene, args: &[&str]) -> Run {
    let key = east_key();
    Sealwax::new(["put"]).args([folder]).args([&*scene.uri(), "-r", "--key", &key]).args(args).run()
}

fn get(scene: &Scene, folder: &Path, args: &[&str]) -> Run {
    Sealwax::new(["get", &scene.uri()]).args([folder]).args(["-r"]).args(args).run()
}

/// Returns all files of a folder by relative path.
pub(crate) fn tree(folder: &Path) -> HashMap<String, Vec<u8>> {
    let mut found = HashMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).expect("a folder") {
            let path = entry.expect("an entry").path();
            match path.is_dir() {
                true => folders.push(path),
                false => {
                    let name = path
                        .strip_prefix(folder)
                        .expect("inside")
                        .to_str()
                        .expect("text")
                        .to_owned();
                    found.insert(name, fs::read(path).expect("there"));
                }
            }
        }
    }
    found
}

#[test]
fn a_folder_round_trip() {
    let scene = Scene::new("folder");
    let long = bytes(9 * 1024 * 1024);
    let files = [
        ("a.txt", &b"one"[..]),
        ("sub/empty", b""),
        ("sub/\u{e9} +%.bin", &long),
        ("c.tmp", b"not this"),
    ];
    let source = folder(&scene, &files);
    let time = SystemTime::UNIX_EPOCH + Duration::new(1_600_000_000, 123_456_789);
    fs::File::options()
        .write(true)
        .open(source.join("a.txt"))
        .and_then(|file| file.set_modified(time))
        .expect("set");

    let run = put(&source, &scene, &["--exclude", "*.tmp", "-c", "tenant=acme"]).exits(0);
    let said = format!("sealed 3 files under {}/ ({} bytes)\n", scene.uri(), long.len() + 3);
    assert_eq!(run.stderr, said);
    let target = scene.path("target");
    let run = get(&scene, &target, &["-c", "tenant=acme"]).exits(0);
    assert!(
        run.stderr.starts_with(&format!("opened 3 objects of {}/ in ", scene.uri())),
        "{}",
        run.stderr
    );
    let expected: HashMap<_, _> =
        files[..3].iter().map(|(name, content)| ((*name).to_owned(), content.to_vec())).collect();
    assert!(tree(&target) == expected, "{:?}", tree(&target).keys());
    assert_eq!(
        fs::metadata(target.join("a.txt")).and_then(|it| it.modified()).expect("a time"),
        time
    );

    let run =
        get(&scene, &scene.path("other"), &["--include", "sub/*", "--exclude", "empty"]).exits(0);
    assert!(run.stderr.starts_with("opened 1 object of"), "{}", run.stderr);
}

#[test]
fn an_excluded_folder_is_excluded_with_its_contents() {
    let scene = Scene::new("excluded");
    let files =
        [("a", "1"), ("node_modules/b", "2"), ("sub/node_modules/deep/c", "3"), ("lost/d", "4")];
    let files = files.map(|(name, content)| (name, content.as_bytes()));
    let source = folder(&scene, &files);
    let exclude = ["--exclude", "node_modules", "--exclude", "lost/**"];
    let run = put(&source, &scene, &exclude).exits(0);
    assert!(run.stderr.starts_with("sealed 1 file under"), "{}", run.stderr);
    put(&source, &scene, &[]).exits(0);
    let target = scene.path("target");
    let run = get(&scene, &target, &exclude).exits(0);
    assert!(run.stderr.starts_with("opened 1 object of"), "{}", run.stderr);
    assert_eq!(tree(&target), HashMap::from([("a".to_owned(), b"1".to_vec())]));
}

#[test]
fn modification_times_before_1970_are_kept() {
    let scene = Scene::new("before-1970");
    let source = folder(&scene, &[("old", b"one")]);
    let time = SystemTime::UNIX_EPOCH - Duration::from_millis(315_619_200_500);
    let set = fs::File::options().write(true).open(source.join("old"));
    set.and_then(|file| file.set_modified(time)).expect("set");
    put(&source, &scene, &[]).exits(0);
    let target = scene.path("target");
    get(&scene, &target, &[]).exits(0);
    let modified = fs::metadata(target.join("old")).and_then(|it| it.modified());
    assert_eq!(modified.expect("a time"), time);
    let run = put(&source, &scene, &["-u"]).exits(0);
    assert!(run.stderr.contains("1 unchanged"), "{}", run.stderr);
}

#[test]
fn unchanged_files_are_skipped() {
    let scene = Scene::new("unchanged");
    let source = folder(&scene, &[("a", b"one"), ("b", b"two")]);
    put(&source, &scene, &[]).exits(0);
    let again = |args: &[&str]| {
        put(&source, &scene, &[&["--skip-unchanged"], args].concat()).exits(0).stderr
    };
    assert!(
        again(&[]).contains("sealed 0 files") && again(&[]).contains("; 2 unchanged"),
        "{}",
        again(&[])
    );
    // A different encryption context or wrapping key counts as a change.
    assert!(again(&["-c", "a=b", "-n"]).starts_with("would seal 2 files"));
    assert!(again(&["--key", &west_key(), "-n"]).starts_with("would seal 2 files"));

    let target = scene.path("target");
    get(&scene, &target, &[]).exits(0);
    fs::write(source.join("b"), b"2!!").expect("written");
    assert!(
        again(&[]).starts_with("sealed 1 file under"),
        "of the same length, but modified later"
    );
    let run = get(&scene, &target, &["--skip-unchanged"]).exits(0);
    assert!(
        run.stderr.contains("opened 1 object") && run.stderr.contains("; 1 unchanged"),
        "{}",
        run.stderr
    );
    assert_eq!(fs::read(target.join("b")).expect("there"), b"2!!");
    let run = get(&scene, &scene.path("none"), &["--dry-run"]).exits(0);
    assert!(
        run.stderr.starts_with("would open 2 objects") && !scene.path("none").exists(),
        "{}",
        run.stderr
    );
}

#[test]
fn some_fail_and_the_others_do_not() {
    let scene = Scene::new("partly");
    let source = folder(&scene, &[("a", b"one"), ("b", b"two")]);
    std::os::unix::fs::symlink("nowhere", source.join("dangling")).expect("linked");
    let run = put(&source, &scene, &[]).exits(7);
    assert!(run.stderr.contains("failed: ") && run.stderr.contains("dangling: "), "{}", run.stderr);
    assert!(
        run.stderr.contains("sealed 2 files") && run.stderr.contains("error: 1 of 3 files failed"),
        "{}",
        run.stderr
    );

    RawS3::new().put(&scene.beside("plain"), b"text".to_vec(), HashMap::new());
    let target = scene.path("target");
    let run = get(&scene, &target, &[]).exits(7);
    assert!(
        run.stderr.contains("plain: ") && run.stderr.contains("is not sealed"),
        "{}",
        run.stderr
    );
    assert_eq!(tree(&target).len(), 2);
    let run = get(&scene, &target, &["--include", "plain"]).exits(8);
    assert!(run.stderr.contains("error: 1 of 1 object failed"), "{}", run.stderr);
    fs::remove_file(source.join("dangling")).expect("removed");
    get(&scene.beside("mistyped"), &target, &[]).fails(4, "no objects in");
    put(&source, &scene, &["--include", "*.mistyped"]).fails(4, "no files in");
}

#[test]
fn keys_cannot_leave_the_folder() {
    let scene = Scene::new("traversal");
    let inside = scene.path("inside");
    for name in ["good", "../escaped", "/escaped", "a/../../escaped", "a//escaped", "./escaped"] {
        let uri = format!("{}/{name}", scene.uri());
        Sealwax::new(["put", "-", &uri, "--key", &east_key()]).input(b"text").run().exits(0);
    }
    let run = get(&scene, &inside, &[]).exits(7);
    assert_eq!(run.stderr.matches("failed: ").count(), 5, "{}", run.stderr);
    assert_eq!(tree(&inside).into_keys().collect::<Vec<_>>(), ["good"]);
    assert_eq!(scene.files(), ["inside"]);
    assert!(!Path::new("/escaped").exists());
}

#[test]
fn several_files_get_their_names_appended() {
    let scene = Scene::new("several");
    let (a, b) = (scene.file("a", b"one"), scene.file("b", b"two"));
    let to = format!("{}/", scene.uri());
    let key = east_key();
    let put = |files: &[&Path], to: &str| {
        Sealwax::new(["put"]).args(files).args([to, "--key", &key]).run()
    };
    put(&[&a, &b], &to).exits(0);
    put(&[&a, &b], &scene.uri()).fails(2, "several files require a folder as destination");
    put(&[&a], &to).exits(0);
    let folder = scene.path("");
    put(&[&folder], &to).fails(2, "is a directory").says("pass --recursive");
    let run = put(&[&a, &a], &to).exits(7);
    assert!(run.stderr.contains("another file has the same destination"), "{}", run.stderr);
    let run = Sealwax::new(["cat", &format!("{to}a"), &format!("{to}b")]).run().exits(0);
    assert_eq!(run.stdout, b"onetwo");
    let two = Sealwax::new(["get", &format!("{to}b"), "new"]).args([&folder]).run().exits(2);
    two.says("unexpected argument");
    fs::remove_file(&b).expect("removed");
    Sealwax::new(["get", &format!("{to}b")]).args([&folder]).run().exits(0);
    assert_eq!(fs::read(&b).expect("there"), b"two");
    Sealwax::new(["get", &to])
        .args([&folder])
        .run()
        .fails(2, "is a folder: --recursive is required");
}

#[test]
fn an_interrupted_folder_leaves_no_upload() {
    let scene = Scene::new("stopped");
    let long = bytes(24 * 1024 * 1024);
    let source = folder(&scene, &[("a", &long), ("b", &long), ("c", b"short")]);
    let (s3, held) = (RawS3::new(), PartsProxy::holding_after(&endpoint(), 0));
    let put =
        Sealwax::new(["put"]).args([&source]).args([&*scene.uri(), "-r", "--key", &east_key()]);
    let child = put.env("AWS_ENDPOINT_URL_S3", held.url()).spawn();
    wait_until("both uploads begin", || s3.unfinished_uploads(&scene) == 2);
    send("INT", &child);
    let run = Run::new(child.wait_with_output().expect("it ends")).exits(130);
    assert!(run.stderr.contains("the remaining files were not uploaded"), "{}", run.stderr);
    assert_eq!(s3.unfinished_uploads(&scene), 0, "an upload was left behind");
}

#[test]
fn options_for_a_single_file_are_refused() {
    let scene = Scene::new("interrupted-folder");
    let source = folder(&scene, &[("a", b"one"), ("b", b"two")]);
    let run = put(&source, &scene, &["--resume", "-n"]).exits(0);
    assert!(run.stderr.starts_with("would seal 2 files"), "{}", run.stderr);
    put(&source, &scene, &["--resume", "--state-file", "x"])
        .fails(2, "--state-file requires a single file");
    put(Path::new("-"), &scene, &[]).fails(2, "standard input cannot be combined");
    let formats = ["--format", "s3ec-v3", "--resume"];
    put(&source, &scene, &formats).fails(2, "--resume requires --format native");
    put(&source, &scene, &["--instruction-file"]).fails(2, "require --format s3ec-v3 or s3ec-v2");
}
