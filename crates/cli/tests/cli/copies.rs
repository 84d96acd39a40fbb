//! `sealwax cp`, `mv` and `rm`.

use crate::{
    bulk::Many,
    support::{
        RawS3, Refusing, Run, Scene, Sealwax, Terminal, json_lines, second_s3, server_env, west_key,
    },
};

fn run(command: &str, from: &str, to: &str, args: &[&str]) -> Run {
    Sealwax::new([command, from, to]).args(args).run()
}

/// Returns an object's wrapping keys and the places they are bound to.
fn keys(uri: &str) -> Vec<(String, String)> {
    let report = json_lines(&Sealwax::new(["inspect", uri, "--json"]).run().exits(0)).remove(0);
    let keys = report["keys"].as_array().expect("a list").clone();
    let text = |value: &serde_json::Value| value.as_str().expect("text").to_owned();
    keys.iter().map(|key| (text(&key["wrapping_key"]), text(&key["place"]))).collect()
}

#[test]
fn a_copy_has_the_same_keys_for_its_own_place() {
    let (scene, mut target) = (Scene::new("cp"), Scene::new("cp-to"));
    target.bucket = server_env("SEALWAX_WEST_BUCKET");
    scene.put(b"text", &["--key", &west_key(), "-c", "tenant=acme"]).exits(0);
    let said = run("cp", &scene.uri(), &target.uri(), &[]).exits(0).stderr;
    assert_eq!(said, format!("copied {} to {} (4 bytes)\n", scene.uri(), target.uri()));
    let place = format!("{}/{}", target.bucket, target.key);
    let expected: Vec<_> =
        keys(&scene.uri()).into_iter().map(|(key, _)| (key, place.clone())).collect();
    assert_eq!(keys(&target.uri()), expected);
    assert_eq!(target.get(&[]).exits(0).stdout, b"text");
    assert_eq!(RawS3::new().get(&target).0, RawS3::new().get(&scene).0, "the body is the same");
    run("cp", &scene.uri(), &target.uri(), &["--no-overwrite"]).fails(6, "exists");
    run("cp", &scene.uri(), &scene.uri(), &[]).fails(2, "the same");
}

#[test]
fn a_copy_under_other_keys() {
    let (scene, target) = (Scene::new("cp-under"), Scene::new("cp-under-to"));
    scene.put(b"text", &[]).exits(0);
    run("cp", &scene.uri(), &format!("{}/", target.uri()), &["--under", &west_key()]).exits(0);
    let copy = format!("{}/cp-under", target.uri());
    let names: Vec<_> = keys(&copy).into_iter().map(|(key, _)| key).collect();
    assert!(names.contains(&west_key()), "{names:?}");
    let run = Sealwax::new(["cat", &copy, "--key", &west_key()]).run().exits(0);
    assert_eq!(run.stdout, b"text");
}

#[test]
fn a_moved_object_exists_only_at_its_destination() {
    let (scene, target) = (Scene::new("mv"), Scene::new("mv-to"));
    scene.put(b"text", &[]).exits(0);
    run("mv", &scene.uri(), &target.uri(), &["--dry-run"]).exits(0);
    assert_eq!(scene.get(&[]).exits(0).stdout, b"text");
    let said = run("mv", &scene.uri(), &target.uri(), &[]).exits(0).stderr;
    assert!(said.starts_with("moved "), "{said}");
    scene.get(&[]).fails(4, "no such object");
    assert_eq!(target.get(&[]).exits(0).stdout, b"text");
    run("mv", &scene.uri(), &target.uri(), &[]).fails(4, "no such object");
    assert_eq!(target.get(&[]).exits(0).stdout, b"text", "a failed move changes nothing");
}

#[test]
fn folders_are_copied_and_moved() {
    let (scene, target) = (Scene::new("folder-cp"), Scene::new("folder-cp-to"));
    for name in ["a.txt", "sub/b.txt", "c.pdf"] {
        scene.beside(name).put(name.as_bytes(), &[]).exits(0);
    }
    RawS3::new().put(&scene.beside("plain"), b"text".to_vec(), std::collections::HashMap::new());
    let said =
        run("cp", &scene.uri(), &target.uri(), &["-r", "--include", "*.txt"]).exits(0).stderr;
    assert!(said.starts_with("copied 2 objects of"), "{said}");
    assert_eq!(target.beside("sub/b.txt").get(&[]).exits(0).stdout, b"sub/b.txt");
    let run = run("mv", &scene.uri(), &target.uri(), &["-r"]).exits(7);
    assert!(
        run.stderr.contains("moved 3 objects") && run.stderr.contains("plain: "),
        "{}",
        run.stderr
    );
    let left = Sealwax::new(["ls", &scene.uri(), "-r", "--json"]).run().exits(0);
    assert_eq!(json_lines(&left).len(), 1, "what was not copied is not deleted");
    let inside = format!("{}/sub", target.uri());
    Sealwax::new(["mv", &target.uri(), &inside, "-r"]).run().fails(2, "into itself");
    Sealwax::new(["cp", &format!("{inside}/"), &target.uri()])
        .run()
        .fails(2, "is a folder: --recursive is required");
}

#[test]
fn deleted() {
    let scene = Scene::new("rm");
    scene.put(b"text", &[]).exits(0);
    Sealwax::new(["rm", &scene.uri(), "--dry-run"]).run().exits(0);
    let run = Sealwax::new(["rm", &scene.uri()]).run().exits(0);
    assert!(run.stderr.contains("hidden by a delete marker"), "{}", run.stderr);
    scene.get(&[]).fails(4, "no such object");
    Sealwax::new(["rm", &scene.uri()]).run().fails(4, "cannot delete");
    Sealwax::new(["rm", &format!("s3://{}", scene.bucket)]).run().fails(2, "name an object");
}

#[test]
fn a_folder_is_deleted_only_after_confirmation() {
    let scene = Scene::new("rm-folder");
    for name in ["a", "sub/b", "c.pdf"] {
        scene.beside(name).put(b"text", &[]).exits(0);
    }
    let mut other = scene.beside("");
    other.key = format!("{}-other", scene.key);
    other.put(b"text", &[]).exits(0);
    let rm = |args: &[&str]| Sealwax::new(["rm", &scene.uri(), "-r"]).args(args).run();
    let run = rm(&["--dry-run", "--exclude", "*.pdf"]).exits(0);
    assert_eq!(String::from_utf8_lossy(&run.stdout).lines().count(), 2);
    let run = rm(&[]).exits(2);
    assert!(
        run.stderr.contains("3 objects of") && run.stderr.contains("not a terminal"),
        "{}",
        run.stderr
    );
    let mut terminal = Terminal::run(Sealwax::new(["rm", &scene.uri(), "-r"]));
    terminal.shows(&format!("This deletes 3 objects of {}/ (", scene.uri()));
    terminal.shows("Continue? [y/N]");
    terminal.types("");
    let run = terminal.ends().exits(1);
    assert!(run.stderr.ends_with("nothing was deleted\r\n"), "{:?}", run.stderr);
    assert!(!run.stderr.contains("error"), "{:?}", run.stderr);
    let terminal = Terminal::run(Sealwax::new(["rm", &scene.uri(), "-r"]));
    terminal.shows("[y/N]");
    terminal.interrupts();
    terminal.ends().exits(130);
    let run = rm(&["--yes", "--exclude", "*.pdf"]).exits(0);
    assert!(run.stderr.starts_with("deleted 2 objects of"), "{}", run.stderr);
    let mut terminal = Terminal::run(Sealwax::new(["rm", &scene.uri(), "-r"]));
    terminal.shows("This deletes 1 object of");
    terminal.types("y");
    terminal.ends().exits(0);
    let run = Sealwax::new(["ls", &scene.uri(), "-r", "--json"]).run().exits(0);
    assert_eq!(json_lines(&run).len(), 1, "a folder ends at its slash");
    assert_eq!(other.get(&[]).exits(0).stdout, b"text");
}

/// As if a deletion had been killed between the object and its sidecar.
#[test]
fn an_orphaned_sidecar_is_deleted_by_the_next_run() {
    let (scene, target) = (Scene::new("orphan"), Scene::new("orphan-to"));
    let sidecars = || {
        scene.put(b"text", &[]).exits(0);
        let to_sidecar = ["--add", &west_key(), "--to-sidecar", "--sidecars"];
        Sealwax::new(["rewrap", &scene.uri()]).args(to_sidecar).run().exits(0);
    };
    let sidecar = format!("{}.sealwax", scene.uri());
    let is_there = || Sealwax::new(["ls", &sidecar]).run().code == Some(0);
    let remove = |args: &[&str]| Sealwax::new(["rm", &scene.uri()]).args(args).run();

    sidecars();
    remove(&[]).exits(0);
    assert!(is_there(), "without --sidecars, it stays");
    remove(&[]).fails(4, "cannot delete");
    let said = remove(&["--sidecars", "--dry-run"]).exits(0).stderr;
    assert_eq!(said, format!("would delete {sidecar}: its object is gone already\n"));
    let said = remove(&["--sidecars"]).exits(0).stderr;
    assert_eq!(said, format!("deleted {sidecar}: its object is gone already\n"));
    remove(&["--sidecars"]).fails(4, "cannot delete");

    sidecars();
    run("cp", &scene.uri(), &target.uri(), &["--sidecars"]).exits(0);
    let keys: Vec<_> = keys(&target.uri()).into_iter().map(|(key, _)| key).collect();
    assert!(keys.contains(&west_key()), "{keys:?}");
    remove(&[]).exits(0);
    let moved = run("mv", &scene.uri(), &target.uri(), &["--sidecars"]);
    let expected = format!("the sidecar that it left was deleted: {sidecar}");
    moved.fails(4, "an earlier move was interrupted").says(&expected);
    assert_eq!(target.get(&["--key", &west_key()]).exits(0).stdout, b"text");
}

/// A store that keeps some objects is caught by the last listing, or by the first look.
#[test]
fn an_object_that_the_store_keeps_was_not_deleted() {
    const OBJECTS: usize = 12;
    let text = "the store reported a deletion, and the object is still there";
    for (suffix, failed, code, said) in
        [("/0007", 1, 7, "deleted 11 objects"), ("", OBJECTS, 8, "deleted 0 objects")]
    {
        let many = Many::new("keeping", OBJECTS);
        let server = Refusing::keeping(suffix, &second_s3());
        let rm = many.command(&["rm", "-r", "--yes", &many.address(), "--concurrency", "1"]);
        let run = rm.env("AWS_ENDPOINT_URL_S3", &server.url).run();
        let run = run.exits(code).says(said).says(&format!("; {failed} failed"));
        assert_eq!(run.stderr.matches(text).count(), failed, "{run:?}");
        let kept = many.uris.iter().filter(|uri| uri.key().ends_with(suffix));
        for uri in kept {
            assert!(run.stderr.contains(&format!("failed: {uri}")), "{run:?}");
        }
    }
}
