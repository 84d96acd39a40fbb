//! Output on a terminal.

use crate::support::{Scene, Sealwax, Terminal};

#[test]
fn a_terminal_has_colours_unless_disabled() {
    let scene = Scene::new("colours");
    let head = || Sealwax::new(["head", &scene.uri()]);
    for (command, is_coloured) in
        [(head(), true), (head().env("NO_COLOR", "1"), false), (head().env("TERM", "dumb"), false)]
    {
        let run = Terminal::run(command).ends().exits(4);
        assert_eq!(run.stderr.contains("\u{1b}["), is_coloured, "{:?}", run.stderr);
    }
    assert!(!head().run().exits(4).stderr.contains('\u{1b}'));
}
