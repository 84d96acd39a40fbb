//! `sealwax shred`.

use crate::support::{RawS3, Run, Scene, Sealwax, Terminal, east_key, json_lines, server_env};

fn shred(scene: &Scene, args: &[&str]) -> Run {
    Sealwax::new(["shred", &scene.uri()]).args(args).run()
}

#[test]
fn without_confirmation_versions_with_keys_are_only_listed() {
    let scene = Scene::new("shred-survey");
    scene.put(b"text", &[]).exits(0);
    let run = shred(&scene, &["--json"]).exits(0);
    let [holder] = &json_lines(&run)[..] else { panic!("one version: {run:?}") };
    assert_eq!(
        (&holder["object"], &holder["wrapping_keys"][0]),
        (&scene.uri().into(), &east_key().into())
    );
    assert!(
        run.stderr.contains("nothing was changed") && run.stderr.contains("--confirm"),
        "{}",
        run.stderr
    );
    shred(&scene, &["--confirm", &scene.key]).fails(2, "it is shredded only if");
    assert_eq!(scene.get(&[]).exits(0).stdout, b"text");
}

#[test]
fn versions_and_replicas_are_listed_until_no_key_is_left() {
    let scene = Scene::new("shred");
    scene.put(b"text", &[]).exits(0);
    let mut replica = Scene::new("shred-replica");
    (replica.bucket, replica.key) = (server_env("SEALWAX_WEST_BUCKET"), scene.key.clone());
    RawS3::new().copy(&scene, &replica);
    let west = format!("{}=us-west-2", replica.bucket);
    let confirmed = ["--confirm", &scene.uri(), "--replica", &west].map(str::to_owned);
    let confirmed: Vec<&str> = confirmed.iter().map(String::as_str).collect();

    let run = shred(&scene, &confirmed).exits(7);
    assert!(
        run.stderr.contains(&format!("shredded {}; 0 versions deleted", scene.uri())),
        "{}",
        run.stderr
    );
    assert!(run.stderr.contains("2 versions with a key of"), "{}", run.stderr);
    scene.get(&[]).fails(4, ": it was shredded on 20");

    let run = shred(&scene, &[&confirmed[..], &["--delete-versions"]].concat()).exits(7);
    assert!(run.stderr.contains("1 version with a key of"), "{}", run.stderr);
    let text = String::from_utf8(run.stdout).expect("text");
    assert!(text.starts_with(&replica.uri()) && text.contains("replica"), "{text}");

    let run = Sealwax::new([
        "shred",
        &replica.uri(),
        "--region",
        "us-west-2",
        "--delete-versions",
        "--confirm",
    ])
    .args([replica.uri()])
    .run()
    .exits(0);
    assert!(run.stderr.contains("1 version deleted"), "{}", run.stderr);
    shred(&scene, &["--replica", &west]).exits(0);
    shred(&scene, &confirmed).exits(0);
}

#[test]
fn an_unsealed_object_is_not_touched() {
    let scene = Scene::new("shred-plain");
    RawS3::new().put(&scene, b"text".to_vec(), std::collections::HashMap::new());
    shred(&scene, &["--confirm", &scene.uri(), "--delete-versions"]).fails(4, "no wrapped key");
    assert_eq!(RawS3::new().get(&scene).0, b"text");
}

#[test]
fn on_a_terminal_the_command_asks() {
    let scene = Scene::new("shred-asked");
    scene.put(b"text", &[]).exits(0);
    let asked = |answer: &str| {
        let mut terminal =
            Terminal::run(Sealwax::new(["shred", &scene.uri(), "--delete-versions"]));
        terminal.shows(&format!(
            "This removes the last keys of {} (1 version): no one can open it afterwards.",
            scene.uri()
        ));
        terminal.types(answer);
        terminal.ends()
    };
    let run = asked("").exits(1);
    let holders = String::from_utf8(run.stdout).expect("text");
    assert!(
        holders.contains(&east_key()) && run.stderr.contains("nothing was changed"),
        "{holders}{}",
        run.stderr
    );
    asked("no").exits(1);
    let terminal = Terminal::run(Sealwax::new(["shred", &scene.uri()]));
    terminal.shows("[y/N]");
    terminal.interrupts();
    let run = terminal.ends().exits(130);
    assert!(run.stderr.contains("nothing was changed"), "{}", run.stderr);
    assert_eq!(scene.get(&[]).exits(0).stdout, b"text");

    let run = asked("y").exits(0);
    assert!(run.stderr.contains("1 version deleted"), "{}", run.stderr);
    scene.get(&[]).fails(4, ": it was shredded on 20");
    // No key is left, so there is no question.
    let run = Terminal::run(Sealwax::new(["shred", &scene.uri()])).ends().exits(0);
    assert!(run.stderr.contains("no version has a key of"), "{}", run.stderr);
}
