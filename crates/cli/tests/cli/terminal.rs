//! What is asked, and shown, on a terminal.

use std::{
    fs::File,
    io::{Read as _, Write as _},
};

use nix::pty::openpty;

use crate::support::{Scene, Sealwax};

/// Runs the command on a terminal, where somebody types `answer` when asked. Gives its exit code, and all that was shown.
fn on_terminal(command: Sealwax, answer: &str) -> (Option<i32>, String) {
    let pty = openpty(None, None).expect("a terminal");
    let mut child = command.on_terminal(pty.slave).spawn();
    let mut terminal = File::from(pty.master);
    let (mut shown, mut is_asked) = (Vec::new(), false);
    let mut buffer = [0; 1024];
    // When nobody has the terminal open any more, reading fails.
    while let Ok(read @ 1..) = terminal.read(&mut buffer) {
        shown.extend_from_slice(&buffer[..read]);
        if !is_asked && shown.ends_with(b"[y/N] ") {
            is_asked = true;
            writeln!(terminal, "{answer}").expect("typed");
        }
    }
    let code = child.wait().expect("it ends").code();
    (code, String::from_utf8(shown).expect("text"))
}

#[test]
fn whoever_sits_there_is_asked_before_a_folder_is_deleted() {
    let scene = Scene::new("asked");
    scene.beside("a").put(b"text", &[]).exits(0);
    let rm = || Sealwax::new(["rm", &scene.uri(), "-r"]);
    for answer in ["n", "", "yep"] {
        let (code, shown) = on_terminal(rm(), answer);
        let question = format!("delete 1 object of {}/? [y/N] ", scene.uri());
        assert!(shown.contains(&question) && shown.contains("nothing was deleted"), "{shown}");
        assert_eq!(code, Some(1), "{answer:?}");
    }
    assert_eq!(scene.beside("a").get(&[]).exits(0).stdout, b"text");
    let (code, shown) = on_terminal(rm(), "y");
    assert_eq!((code, shown.contains("deleted 1 object of")), (Some(0), true), "{shown}");
    scene.beside("a").get(&[]).fails(4, "no such object");
}

#[test]
fn colours_are_on_a_terminal_unless_they_are_not_wanted() {
    let scene = Scene::new("colours");
    let head = || Sealwax::new(["head", &scene.uri()]);
    for (command, is_coloured) in
        [(head(), true), (head().env("NO_COLOR", "1"), false), (head().env("TERM", "dumb"), false)]
    {
        let (code, shown) = on_terminal(command, "");
        assert_eq!(code, Some(4), "{shown}");
        assert_eq!(shown.contains("\u{1b}["), is_coloured, "{shown:?}");
    }
    assert!(!head().run().exits(4).stderr.contains('\u{1b}'));
}
