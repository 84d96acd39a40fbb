//! Runs all of docs/CLI.md and compares the output.
//!
//! All `console` blocks run in one shell. A line with `$ ` is a command, `> ` continues it, `? 2`
//! is an exit code other than 0, and the rest is output. There, `...` stands for any lines, `[..]`
//! for any text in a line. HTML comments are actions of the test: `<!-- replicate -->`, `<!-- begin
//! an upload of KEY -->`, `<!-- a second passes -->`: listings tell times in whole seconds, so what
//! is written later is seen to be newer.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    thread,
    time::Duration,
};

use tempfile::TempDir;

use crate::support::{RawS3, Scene, Sealwax, east_key, endpoint, make_alias, west_key};

/// Prefix of the bucket names in the manual; the test replaces it by a unique one.
const BUCKET: &str = "acme-invoices";
const EAST_KEY: &str =
    "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
const WEST_KEY: &str =
    "arn:aws:kms:us-west-2:111122223333:key/0987dcba-09fe-87dc-65ba-ab0987654321";
const TIME: &str = "2026-11-25T10:00:00Z";
/// Marker after the output of a command.
const END: &str = "@@end ";

#[test]
fn the_manual_is_true() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let text = fs::read_to_string(root.join("docs/CLI.md")).expect("the manual");
    let stage = Stage::new();
    let mut shell = Shell::new(&stage);
    let (mut actual, mut wrong) = (String::new(), Vec::new());
    for piece in pieces(&text) {
        match piece {
            Piece::Text(line) => actual.push_str(&format!("{line}\n")),
            Piece::Action(action) => {
                stage.act(action);
                actual.push_str(&format!("<!-- {action} -->\n"));
            }
            Piece::Command(command) => {
                let (output, code) = shell.run(&stage.to_test(&command.words()));
                let output = stage.to_manual(&output);
                let is_right = code == command.code
                    && matches(&command.output, &output.lines().collect::<Vec<_>>());
                actual.push_str(&command.shown(if is_right {
                    None
                } else {
                    Some((&output, code))
                }));
                if !is_right {
                    wrong.push(format!(
                        "line {}: $ {}\n{output}[exit code {code}]",
                        command.line, command.typed[0]
                    ));
                }
            }
        }
    }
    // For an update of the manual.
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("CLI.md");
    fs::write(&path, actual).expect("written");
    assert!(wrong.is_empty(), "docs/CLI.md differs from {}:\n{}", path.display(), wrong.join("\n"));
}

#[test]
fn every_command_is_in_the_manual() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let manual = fs::read_to_string(root.join("docs/CLI.md")).expect("the manual");
    for command in Sealwax::commands() {
        assert!(
            manual.contains(&format!("\n$ sealwax {command} ")),
            "docs/CLI.md runs no `sealwax {command}`"
        );
    }
}

#[test]
fn elisions() {
    let is = |expected: &[&str], output: &[&str]| {
        matches(&expected.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>(), output)
    };
    assert!(
        is(&["a", "..."], &["a"])
            && is(&["a", "...", "c"], &["a", "b", "b", "c"])
            && is(&["..."], &[])
    );
    assert!(is(&["a[..]c"], &["abc"]) && is(&["[..]"], &["x"]) && is(&["a[..]b[..]c"], &["a1b2c"]));
    assert!(!is(&["a"], &["a", "b"]) && !is(&["a[..]c"], &["ab"]) && !is(&[], &["a"]));
}

/// Piece of the manual.
enum Piece<'a> {
    Text(&'a str),
    Action(&'a str),
    Command(Transcript<'a>),
}

/// Command and its output.
struct Transcript<'a> {
    line: usize,
    /// Lines without prompts.
    typed: Vec<&'a str>,
    code: i32,
    output: Vec<String>,
}

impl Transcript<'_> {
    fn words(&self) -> String {
        self.typed.join("\n")
    }

    /// Returns the transcript for the manual, with `other` output and exit code if given.
    fn shown(&self, other: Option<(&str, i32)>) -> String {
        let prompts = ["$ "].into_iter().chain(std::iter::repeat("> "));
        let typed = self
            .typed
            .iter()
            .zip(prompts)
            .map(|(typed, prompt)| format!("{prompt}{typed}").trim_end().to_owned());
        let mut text: String = typed.map(|line| line + "\n").collect();
        let expected: String = self.output.iter().map(|line| format!("{line}\n")).collect();
        let (output, code) = other.unwrap_or((&expected, self.code));
        if code != 0 {
            text.push_str(&format!("? {code}\n"));
        }
        text + output
    }
}

fn pieces(text: &str) -> Vec<Piece<'_>> {
    let (mut pieces, mut is_console) = (Vec::new(), false);
    for (number, line) in text.lines().enumerate() {
        let last = match pieces.last_mut() {
            Some(Piece::Command(transcript)) if is_console => Some(transcript),
            _ => None,
        };
        match (line, is_console, last) {
            ("```console", false, _) => is_console = true,
            ("```", true, _) => is_console = false,
            (_, false, _) => {
                let action = line.strip_prefix("<!-- ").and_then(|rest| rest.strip_suffix(" -->"));
                pieces.push(action.map_or(Piece::Text(line), Piece::Action));
                continue;
            }
            (_, true, last) => {
                match (
                    line.strip_prefix("$ "),
                    line.strip_prefix("> ").or((line == ">").then_some("")),
                    line.strip_prefix("? "),
                    last,
                ) {
                    (Some(typed), ..) => {
                        let transcript = Transcript {
                            line: number + 1,
                            typed: vec![typed],
                            code: 0,
                            output: Vec::new(),
                        };
                        pieces.push(Piece::Command(transcript));
                    }
                    (_, Some(typed), _, Some(last)) => last.typed.push(typed),
                    (_, _, Some(code), Some(last)) => {
                        last.code = code.parse().expect("an exit code");
                    }
                    (_, _, _, Some(last)) => last.output.push(line.to_owned()),
                    (.., None) => panic!("line {}: output of no command", number + 1),
                }
                continue;
            }
        }
        pieces.push(Piece::Text(line));
    }
    pieces
}

/// `true` if the output matches the expected lines, with elisions.
fn matches(expected: &[String], output: &[&str]) -> bool {
    match (expected.split_first(), output.split_first()) {
        (None, output) => output.is_none(),
        (Some((line, rest)), _) if line == "..." => {
            (0..=output.len()).any(|skip| matches(rest, &output[skip..]))
        }
        (Some((line, rest)), Some((first, more))) => {
            line_matches(line, first) && matches(rest, more)
        }
        (Some(_), None) => false,
    }
}

fn line_matches(expected: &str, line: &str) -> bool {
    let Some((before, after)) = expected.split_once("[..]") else { return expected == line };
    let Some(rest) = line.strip_prefix(before) else { return false };
    let ends = rest.char_indices().map(|(at, _)| at).chain([rest.len()]);
    ends.into_iter().any(|at| line_matches(after, &rest[at..]))
}

/// Environment of the manual: separate buckets and a home directory.
struct Stage {
    unique: String,
    home: TempDir,
    s3: RawS3,
}

impl Stage {
    fn new() -> Self {
        let home = TempDir::with_prefix("sealwax-").expect("a directory");
        let unique = format!(
            "{BUCKET}-{}",
            Scene::new("manual").key.replace(['/', '_'], "-").to_lowercase()
        );
        let unique = unique[..unique.len().min(50)].trim_end_matches('-').replace('.', "-");
        let stage = Self { unique, home, s3: RawS3::new() };
        for bucket in [stage.unique.clone(), format!("{}-west", stage.unique)] {
            stage.s3.make_bucket(&bucket);
            stage.s3.version(&bucket);
        }
        stage
    }

    /// Performs an action of the manual.
    fn act(&self, action: &str) {
        let west = format!("{}-west", self.unique);
        if action == "replicate" {
            for key in self.s3.keys(&self.unique, "") {
                self.s3.copy(&Scene::at(&self.unique, &key), &Scene::at(&west, &key));
            }
        } else if let Some(key) = action.strip_prefix("begin an upload of ") {
            self.s3.begin_upload(&self.unique, key);
        } else if let Some(alias) = action.strip_prefix("give the first key the alias ") {
            make_alias(&self.to_test(alias));
        } else if action == "a second passes" {
            thread::sleep(Duration::from_secs(1));
        } else {
            panic!("the test does not know how to {action}");
        }
    }

    fn to_test(&self, text: &str) -> String {
        text.replace(BUCKET, &self.unique)
            .replace(EAST_KEY, &east_key())
            .replace(WEST_KEY, &west_key())
    }

    fn to_manual(&self, text: &str) -> String {
        let text = text
            .replace(&self.unique, BUCKET)
            .replace(&east_key(), EAST_KEY)
            .replace(&west_key(), WEST_KEY);
        let text = text
            .replace("000000000000", "111122223333")
            .replace(&*self.home.path().to_string_lossy(), "/home/you");
        with_one_time(&text)
    }
}

/// Replaces all times by one.
fn with_one_time(text: &str) -> String {
    let form = b"0000-00-00T00:00:00";
    let (mut result, mut rest) = (String::new(), text);
    while let Some(char) = rest.chars().next() {
        let is_time = rest.len() > form.len()
            && rest.bytes().zip(form).all(|(byte, form)| {
                if *form == b'0' { byte.is_ascii_digit() } else { byte == *form }
            });
        let fraction = |text: &str| {
            text.find(|char: char| !char.is_ascii_digit() && char != '.').unwrap_or(text.len())
        };
        let zone = if is_time { form.len() + fraction(&rest[form.len()..]) } else { 0 };
        if is_time && rest[zone..].starts_with('Z') {
            result.push_str(TIME);
            rest = &rest[zone + 1..];
        } else {
            result.push(char);
            rest = &rest[char.len_utf8()..];
        }
    }
    result
}

/// Shell that runs one command after the other.
struct Shell {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Shell {
    fn new(stage: &Stage) -> Self {
        let program = Path::new(env!("CARGO_BIN_EXE_sealwax"));
        let path = std::env::var("PATH").expect("a path");
        let mut process = Command::new("bash")
            .args(["--noprofile", "--norc"])
            .current_dir(stage.home.path())
            .env("PATH", format!("{}:{path}", program.parent().expect("a directory").display()))
            .env("HOME", stage.home.path())
            .env("AWS_ENDPOINT_URL", endpoint())
            .env("AWS_REGION", "us-east-1")
            .env_remove("XDG_CONFIG_HOME")
            .env_remove("XDG_STATE_HOME")
            .env_remove("RUST_LOG")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("bash");
        let input = process.stdin.take().expect("piped");
        let output = BufReader::new(process.stdout.take().expect("piped"));
        let mut shell = Self { process, input, output };
        shell.run("exec 2>&1");
        shell
    }

    /// Returns a command's output and its exit code.
    fn run(&mut self, command: &str) -> (String, i32) {
        writeln!(self.input, "{{ {command}\n}} </dev/null\nprintf '%s%d\\n' '{END}' $?")
            .expect("the shell reads");
        let mut text = String::new();
        loop {
            let mut line = String::new();
            assert!(self.output.read_line(&mut line).expect("text") > 0, "the shell ended: {text}");
            // Output without a final line break precedes the marker.
            if let Some((before, code)) = line.split_once(END) {
                if !before.is_empty() {
                    text.push_str(&format!("{before}\n"));
                }
                return (text, code.trim().parse().expect("a code"));
            }
            text.push_str(&line);
        }
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
