//! Output on a terminal.

use std::{fs, path::PathBuf};

use crate::support::{Scene, Sealwax, Terminal, bytes, east_key};

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

/// Makes a folder of these files.
fn folder(scene: &Scene, files: &[(&str, &[u8])]) -> PathBuf {
    let root = scene.path("folder");
    for (name, content) in files {
        let path = root.join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(path, content).expect("written");
    }
    root
}

/// Returns the lines that a terminal showed, without control sequences.
fn drawn(shown: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut chars = shown.chars();
    while let Some(char) = chars.next() {
        match char {
            '\r' | '\n' => lines.push(String::new()),
            '\u{1b}' => {
                // ESC [ parameters, and a letter.
                let _ = chars.by_ref().find(char::is_ascii_alphabetic);
            }
            char => lines.last_mut().expect("one at least").push(char),
        }
    }
    lines
}

#[test]
fn a_bar_fits_a_narrow_terminal_and_knows_the_whole_folder() {
    let scene = Scene::new("bars");
    let folder = folder(&scene, &[("a", b"text"), ("b", &bytes(3 << 20)), ("c/d", b"more")]);
    for columns in [40, 100] {
        let put = Sealwax::new(["put"]).args([&folder]).args([
            &scene.uri(),
            "-r",
            "--key",
            &east_key(),
            "--concurrency",
            "1",
        ]);
        let run = Terminal::run_in(put, columns).ends().exits(0);
        let lines = drawn(&run.stderr);
        let bars: Vec<_> = lines
            .iter()
            .filter(|line| line.contains("objects") && !line.starts_with("sealed"))
            .collect();
        assert!(!bars.is_empty(), "{lines:?}");
        for line in bars {
            assert!(line.chars().count() <= columns.into(), "{line:?}");
        }
    }
}

#[test]
fn progress_in_json_has_the_totals() {
    let scene = Scene::new("progress-json");
    let progress = |run: &crate::support::Run| {
        let line = run.stderr.lines().rfind(|line| line.starts_with("{\"progress\":"));
        let line = line.unwrap_or_else(|| panic!("no progress: {}", run.stderr));
        let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
        line["progress"].clone()
    };
    let file = scene.file("one", b"a plaintext");
    let put = Sealwax::new(["put"]).args([&file]);
    let run = put.args([&scene.uri(), "--key", &east_key(), "--progress", "json"]).run().exits(0);
    let shown = progress(&run);
    assert_eq!((&shown["bytes"], &shown["total_bytes"]), (&11.into(), &11.into()), "{shown}");
    assert!(shown.get("objects").is_none() && shown["seconds"].is_f64(), "{shown}");

    let folder = folder(&scene, &[("a", b"text"), ("c/d", b"more")]);
    let put = Sealwax::new(["put"]).args([&folder]);
    let uri = format!("{}/", scene.uri());
    let run = put.args([&uri, "-r", "--key", &east_key(), "--progress", "json"]).run().exits(0);
    let shown = progress(&run);
    assert_eq!((&shown["objects"], &shown["bytes"]), (&2.into(), &8.into()), "{shown}");
    assert_eq!((&shown["total_objects"], &shown["failed"]), (&2.into(), &0.into()), "{shown}");
    let put = Sealwax::new(["put"]).args([&file]);
    let run = put.args([&scene.uri(), "--key", &east_key(), "--progress", "none"]).run().exits(0);
    assert!(!run.stderr.contains("{\"progress\""), "{}", run.stderr);
}
