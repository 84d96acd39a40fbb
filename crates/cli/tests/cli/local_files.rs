//! The files that the command writes: modes, links, special files; and the key files that it reads.

use std::{
    fs,
    os::unix::fs::{FileTypeExt as _, PermissionsExt as _, symlink},
    path::Path,
    process::Command,
    thread,
};

use crate::support::{Run, Scene, Sealwax, bytes, east_key, west_key};

const BIN: &str = env!("CARGO_BIN_EXE_sealwax");

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("it exists").permissions().mode() & 0o777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("set");
}

fn get(scene: &Scene, file: &Path) -> Run {
    Sealwax::new(["get", &scene.uri()]).args([file]).run()
}

/// Stores an object below the scene's prefix.
fn store(scene: &Scene, name: &str) {
    let uri = format!("{}/{name}", scene.uri());
    Sealwax::new(["put", "-", &uri, "--key", &east_key()]).input(b"text").run().exits(0);
}

#[test]
fn a_new_file_has_the_umasks_mode_and_an_existing_one_keeps_its_own() {
    let scene = Scene::new("modes");
    scene.put(b"text", &[]).exits(0);
    for (umask, new) in [("022", 0o644), ("077", 0o600)] {
        for (name, existing) in [("new", None), ("private", Some(0o600)), ("group", Some(0o640))] {
            let file = scene.file(&format!("{name}-{umask}"), b"old");
            match existing {
                Some(mode) => set_mode(&file, mode),
                None => fs::remove_file(&file).expect("removed"),
            }
            let line = format!("umask {umask}; exec {BIN} get {} {}", scene.uri(), file.display());
            Sealwax::by_shell(&line).run().exits(0);
            assert_eq!(mode(&file), existing.unwrap_or(new), "umask {umask}: {name}");
            assert_eq!(fs::read(&file).expect("there"), b"text");
        }
    }
}

#[test]
fn a_link_to_a_file_is_followed_and_all_else_is_refused() {
    let scene = Scene::new("targets");
    scene.put(b"text", &[]).exits(0);
    let file = scene.file("file", b"old");
    symlink("file", scene.path("link")).expect("linked");
    get(&scene, &scene.path("link")).exits(0);
    assert_eq!(fs::read(&file).expect("there"), b"text");
    assert!(fs::symlink_metadata(scene.path("link")).expect("there").is_symlink());

    symlink("nowhere", scene.path("dangling")).expect("linked");
    let made = Command::new("mkfifo").args([scene.path("pipe")]).status();
    assert!(made.expect("mkfifo runs").success());
    symlink("pipe", scene.path("to-pipe")).expect("linked");
    let before = scene.files();
    for (target, why) in [
        (scene.path("dangling"), "a symbolic link to a file that does not exist"),
        (scene.path("pipe"), "a named pipe, not a regular file"),
        (scene.path("to-pipe"), "a symbolic link to a named pipe"),
        ("/dev/null".into(), "a device, not a regular file"),
        ("/dev/stdout".into(), "a symbolic link to a named pipe"),
    ] {
        let run = get(&scene, &target).fails(2, why);
        assert!(run.stderr.contains("`-` for standard output"), "{}", run.stderr);
    }
    assert_eq!(scene.files(), before);
    assert!(fs::metadata(scene.path("pipe")).expect("there").file_type().is_fifo());
}

#[test]
fn a_folder_is_written_without_following_a_link_in_it() {
    let scene = Scene::new("links");
    for name in ["good", "link/victim", "link/new/file", "file", "dangling", "sub/good"] {
        store(&scene, name);
    }
    let (tree, outside) = (scene.path("tree"), scene.path("outside"));
    for folder in [&tree, &outside] {
        fs::create_dir(folder).expect("made");
    }
    fs::write(outside.join("victim"), "precious").expect("written");
    symlink("../outside", tree.join("link")).expect("linked");
    symlink("../outside/victim", tree.join("file")).expect("linked");
    symlink("../outside/new", tree.join("dangling")).expect("linked");
    // The folder itself is the user's choice.
    symlink("tree", scene.path("target")).expect("linked");
    let get = |more: &[&str]| {
        let uri = format!("{}/", scene.uri());
        Sealwax::new(["get", &uri, "-r"]).args([scene.path("target")]).args(more).run()
    };
    for more in [&[][..], &["--skip-unchanged"]] {
        let run = get(more).exits(7);
        let said = run.stderr.matches("is a symbolic link, and links inside the folder").count();
        assert_eq!(said, 4, "{}", run.stderr);
        assert_eq!(fs::read(outside.join("victim")).expect("there"), b"precious");
        assert_eq!(fs::read_dir(&outside).expect("there").count(), 1);
        for name in ["good", "sub/good"] {
            assert_eq!(fs::read(tree.join(name)).expect("there"), b"text");
        }
    }
    assert!(get(&["--skip-unchanged"]).stderr.contains("; 2 unchanged; 4 failed"));
}

#[test]
fn links_in_a_folder_are_uploaded_or_skipped_and_counted() {
    let scene = Scene::new("put-links");
    let (tree, outside) = (scene.path("tree"), scene.path("outside"));
    for folder in [&tree, &outside] {
        fs::create_dir(folder).expect("made");
        fs::write(folder.join("file"), "text").expect("written");
    }
    symlink("../outside", tree.join("folder")).expect("linked");
    symlink("file", tree.join("second")).expect("linked");
    symlink("nowhere", tree.join("dangling")).expect("linked");
    let put = |more: &[&str]| {
        let (uri, key) = (format!("{}/", scene.uri()), east_key());
        Sealwax::new(["put"]).args([&tree]).args([&*uri, "-r", "--key", &key]).args(more).run()
    };
    let run = put(&["--no-follow-symlinks"]).exits(0);
    assert!(run.stderr.starts_with("sealed 1 file under"), "{}", run.stderr);
    assert!(run.stderr.ends_with("; 3 symbolic links skipped\n"), "{}", run.stderr);
    let run = put(&["--no-follow-symlinks", "-v", "-u"]).exits(0);
    assert!(run.stderr.contains("; 1 unchanged; 3 symbolic links skipped\n"), "{}", run.stderr);
    for name in ["folder", "second", "dangling"] {
        let skipped = format!("skipped {}: a symbolic link\n", tree.join(name).display());
        assert!(run.stderr.contains(&skipped), "{}", run.stderr);
    }
    // A link to a folder may hide files that are meant, any other link only itself.
    let run = put(&["--no-follow-symlinks", "--include", "fi*", "-n"]).exits(0);
    assert!(run.stderr.contains("; 1 symbolic link skipped\n"), "{}", run.stderr);
    let run = put(&["--no-follow-symlinks", "--exclude", "{folder,second,dangling}", "-n"]);
    assert!(!run.exits(0).stderr.contains("skipped"));

    let run = put(&[]).exits(7);
    assert!(run.stderr.contains("sealed 3 files under"), "{}", run.stderr);
    let names = format!("{}/folder/file", scene.uri());
    assert_eq!(Sealwax::new(["cat", &names]).run().exits(0).stdout, b"text");
    Sealwax::new(["put", "x", &scene.uri(), "--no-follow-symlinks"]).run().exits(2);
}

#[test]
fn a_plan_is_written_under_no_name_that_can_be_planted() {
    let scene = Scene::new("plans");
    scene.put(b"text", &[]).exits(0);
    let (victim, plan) = (scene.file("victim", b"precious"), scene.path("plan"));
    symlink("victim", scene.path("plan.partial")).expect("linked");
    let save = |plan: &Path| {
        let (uri, west) = (scene.uri(), west_key());
        let command = ["rewrap", &uri, "-r", "--add", &west, "--save-plan"];
        Sealwax::new(command).args([plan]).run()
    };
    save(&plan).exits(0);
    assert_eq!(fs::read(&victim).expect("there"), b"precious");
    assert!(fs::symlink_metadata(&plan).expect("there").is_file());
    assert_eq!(scene.files(), ["plan", "plan.partial", "victim"]);

    set_mode(&plan, 0o600);
    symlink("plan", scene.path("link")).expect("linked");
    save(&scene.path("link")).exits(0);
    assert_eq!(mode(&plan), 0o600);
    symlink("nowhere", scene.path("dangling")).expect("linked");
    save(&scene.path("dangling")).fails(1, "a symbolic link to a file that does not exist");
    let journal = scene.path("dangling");
    let apply = ["rewrap", &scene.uri(), "-r", "--add", &west_key(), "--apply", "--journal"];
    Sealwax::new(apply)
        .args([&journal])
        .run()
        .fails(1, "a symbolic link to a file that does not exist");
    assert!(!scene.path("nowhere").exists());
}

#[test]
fn concurrent_gets_to_one_target_leave_one_whole_object() {
    const LEN: usize = 9 << 20;
    let scene = Scene::new("concurrent");
    let objects = [bytes(LEN), vec![7; LEN]];
    for (name, content) in ["a", "b"].into_iter().zip(&objects) {
        scene.beside(name).put(content, &[]).exits(0);
    }
    let target = scene.path("target");
    thread::scope(|scope| {
        for name in ["a", "b", "a", "b"] {
            let (object, target) = (scene.beside(name), &target);
            scope.spawn(move || get(&object, target).exits(0));
        }
    });
    let content = fs::read(&target).expect("there");
    assert!(objects.contains(&content), "a mixture of {} bytes", content.len());
    assert_eq!(scene.files(), ["target"]);
}

/// Every way to name a file with a secret key.
#[test]
fn key_files_of_every_kind_are_checked() {
    let scene = Scene::new("key-files");
    let local = scene.path("local.key");
    Sealwax::new(["keygen"]).args([&local]).run().exits(0);
    assert_eq!(mode(&local), 0o600);
    let aes = scene.file("aes.key", &[7; 32]);
    let (rsa, public) = (scene.path("rsa.key"), scene.path("public.key"));
    let keys = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/s3ec/_keys");
    for (name, copy) in [("rsa2048-private-pkcs8.pem", &rsa), ("rsa2048-public-spki.pem", &public)]
    {
        fs::copy(keys.join(name), copy).expect("copied");
    }

    let source = scene.file("source", b"text");
    let put = |option: &str, key: &Path| {
        let put = Sealwax::new(["put"]).args([&source]).args([&*scene.uri()]);
        let put = put.args([option]).args([key]);
        if option == "--local-key" { put } else { put.args(["--format", "s3ec-v3"]) }
    };
    let toml = "[profiles.default]\nlocal_key = \"local.key\"\n";
    let config = scene.file("sealwax.toml", toml.as_bytes());
    let by_profile = || {
        let uri = scene.uri();
        Sealwax::new(["put"]).args([&source]).args([&*uri, "--config"]).args([&config])
    };
    let by_variable = || {
        let put = Sealwax::new(["put"]).args([&source]).args([&*scene.uri()]);
        put.env("SEALWAX_LOCAL_KEY", &local)
    };
    let ways: [(&Path, &dyn Fn() -> Sealwax); 5] = [
        (&local, &|| put("--local-key", &local)),
        (&local, &by_profile),
        (&local, &by_variable),
        (&aes, &|| put("--aes-key-file", &aes)),
        (&rsa, &|| put("--rsa-key-file", &rsa)),
    ];
    for (key, way) in ways {
        for (bits, why) in [
            (0o640, "it is accessible to other users: its mode is 0640"),
            (0o604, "it is accessible to other users: its mode is 0604"),
            (0o620, "it can be changed by other users: its mode is 0620"),
            (0o602, "it can be changed by other users: its mode is 0602"),
        ] {
            set_mode(key, bits);
            way().run().fails(2, why);
        }
        for bits in [0o600, 0o400] {
            set_mode(key, bits);
            way().run().exits(0);
        }
    }
    // A public key is no secret, but whoever replaces it can read what it wraps.
    set_mode(&public, 0o644);
    put("--rsa-key-file", &public).run().exits(0);
    set_mode(&public, 0o664);
    put("--rsa-key-file", &public).run().fails(2, "it can be changed by other users");

    // For reading, and from a pipe.
    put("--aes-key-file", &aes).run().exits(0);
    let read = |key: &str| {
        let line = format!("{BIN} cat {} --aes-key-file {key}", scene.uri());
        Sealwax::by_shell(&line).run()
    };
    let aes = aes.to_str().expect("text");
    assert_eq!(read(aes).exits(0).stdout, b"text");
    assert_eq!(read(&format!("/dev/stdin <{aes}")).exits(0).stdout, b"text");
    let line = format!("cat {aes} | {BIN} cat {} --aes-key-file /dev/stdin", scene.uri());
    assert_eq!(Sealwax::by_shell(&line).run().exits(0).stdout, b"text");
    set_mode(Path::new(aes), 0o640);
    read(aes).fails(2, "it is accessible to other users");
}
