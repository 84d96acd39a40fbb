//! Help: commands in groups, the options of every command out of the way, and the words of other
//! tools.

use clap::{
    Command,
    builder::Styles,
    error::{ContextKind, ContextValue},
};

/// Headings of the list of commands, with the commands in their order.
const GROUPS: [(&str, &[&str]); 3] = [
    ("Every day", &["put", "get", "cat", "ls", "du", "head", "cp", "mv", "rm", "sync", "check"]),
    (
        "Keys and recovery",
        &[
            "inspect",
            "rewrap",
            "reencrypt",
            "keys",
            "audit",
            "verify",
            "drill",
            "compare",
            "retire",
            "shred",
        ],
    ),
    ("Set up and maintain", &["doctor", "keygen", "serve", "uploads", "completions", "man"]),
];

/// Commands that use no AWS settings, and headings of the options that they ignore.
const ALONE: [&str; 3] = ["keygen", "completions", "man"];
const OF_AWS: [&str; 4] = ["AWS", "Settings", "Place", "Time limits"];

/// Names of commands in other tools, and their equivalents here.
const ELSEWHERE: [(&str, &str); 12] = [
    ("upload", "put"),
    ("encrypt", "put"),
    ("download", "get"),
    ("decrypt", "get"),
    ("list", "ls"),
    ("copy", "cp"),
    ("move", "mv"),
    ("delete", "rm"),
    ("stat", "head"),
    ("rotate", "rewrap --refresh"),
    ("rekey", "rewrap"),
    ("updatekeys", "rewrap"),
];

/// Commands of other tools that are no command here, each with the answer.
const NOWHERE: [(&str, &str); 5] = [
    ("version", "it is an option: sealwax --version"),
    ("presign", "a presigned URL gives the ciphertext, and opening it takes a wrapping key"),
    ("mount", "sealed objects are read by `sealwax cat` or by a program with the library"),
    ("mb", "buckets are made by `aws s3 mb`"),
    ("rb", "buckets are deleted by `aws s3 rb`"),
];

/// Arranges the help of a command line: commands in groups; `-h` without the options of every
/// command, which `--help` shows; commands that use no AWS settings without the options for them.
pub(crate) fn arranged(command: Command) -> Command {
    let ignored: Vec<_> = command
        .get_arguments()
        .filter(|arg| arg.get_help_heading().is_some_and(|heading| OF_AWS.contains(&heading)))
        .map(|arg| arg.clone().hide(true))
        .collect();
    let list = list(&command);
    command
        .mut_args(|arg| if arg.is_global_set() { arg.hide_short_help(true) } else { arg })
        .mut_subcommands(|sub| {
            let name = sub.get_name().to_owned();
            match ALONE.contains(&&*name) {
                true => sub.args(&ignored),
                false => brief(sub, &name),
            }
            .hide(true)
        })
        .override_usage("sealwax [OPTIONS] <COMMAND>")
        .help_template(format!(
            "{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n{list}{{all-args}}{{after-help}}"
        ))
}

/// Returns the list of commands in their groups.
fn list(command: &Command) -> String {
    let header = *Styles::styled().get_header();
    let literal = *Styles::styled().get_literal();
    let width = command.get_subcommands().map(|sub| sub.get_name().len()).max().unwrap_or(0);
    let mut list = String::new();
    for (heading, names) in GROUPS {
        list.push_str(&format!("{header}{heading}:{header:#}\n"));
        for name in names {
            let about = command.find_subcommand(name).and_then(Command::get_about);
            let about = about.map(ToString::to_string).unwrap_or_default();
            list.push_str(&format!("  {literal}{name:width$}{literal:#}  {about}\n"));
        }
        list.push('\n');
    }
    list
}

/// Adds where the options of every command are to the short help of a command and its subcommands.
fn brief(command: Command, name: &str) -> Command {
    let command = command.mut_subcommands(|sub| {
        let name = format!("{name} {}", sub.get_name());
        brief(sub, &name)
    });
    let examples = command.get_after_help().cloned();
    let more = format!("Options of every command, such as --region: sealwax {name} --help");
    match examples {
        Some(examples) => {
            let short = format!("{}\n\n{more}", examples.ansi());
            command.after_help(short).after_long_help(examples)
        }
        None => command.after_help(more).after_long_help(""),
    }
}

/// Adds the equivalent command to the error for another tool's command, or the reason that there
/// is none.
pub(crate) fn by_our_name(mut error: clap::Error) -> clap::Error {
    let Some(ContextValue::String(typed)) = error.get(ContextKind::InvalidSubcommand) else {
        return error;
    };
    let typed = typed.clone();
    let of = |list: &[(&str, &'static str)]| {
        list.iter().find(|(theirs, _)| *theirs == typed).map(|(_, ours)| (*ours).to_owned())
    };
    if let Some(ours) = of(&ELSEWHERE) {
        error.insert(ContextKind::SuggestedSubcommand, ContextValue::Strings(vec![ours]));
    } else if let Some(reason) = of(&NOWHERE) {
        error.remove(ContextKind::SuggestedSubcommand);
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![reason.into()]));
    }
    error
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, error::ErrorKind};

    use super::*;
    use crate::command::Cli;

    /// Widest line of a help text that a terminal of 80 columns shows without a break.
    const WIDTH: usize = 78;

    fn help_of(words: &[&str]) -> String {
        let words = ["sealwax"].iter().chain(words);
        let error = arranged(Cli::command()).term_width(80).try_get_matches_from(words);
        error.expect_err("the help").to_string()
    }

    /// Returns the words of each command, with its definition.
    fn commands() -> Vec<(Vec<String>, Command)> {
        let of = |command: &Command, words: &[String]| -> Vec<_> {
            let subs = command.get_subcommands();
            subs.map(|sub| ([words, &[sub.get_name().to_owned()]].concat(), sub.clone())).collect()
        };
        let mut all = of(&Cli::command(), &[]);
        let nested = all.iter().flat_map(|(words, sub)| of(sub, words)).collect::<Vec<_>>();
        all.extend(nested);
        all
    }

    fn too_wide(text: &str) -> Vec<&str> {
        text.lines().filter(|line| line.chars().count() > WIDTH).collect()
    }

    #[test]
    fn each_command_is_in_one_group() {
        let mut listed: Vec<_> = GROUPS.iter().flat_map(|(_, names)| *names).copied().collect();
        listed.sort_unstable();
        let command = Cli::command();
        let mut all: Vec<_> = command.get_subcommands().map(Command::get_name).collect();
        all.sort_unstable();
        assert_eq!(listed, all);
        let help = help_of(&["-h"]);
        assert_eq!(too_wide(&help), [""; 0]);
        assert!(help.contains("\nEvery day:\n  put          Encrypt and upload"), "{help}");
        assert!(help.contains("Usage: sealwax [OPTIONS] <COMMAND>"), "{help}");
        assert!(help.lines().count() < 54, "{help}");
    }

    #[test]
    fn the_short_help_says_where_the_options_of_every_command_are() {
        for (words, command) in commands() {
            if ALONE.contains(&&*words[0]) || command.has_subcommands() {
                continue;
            }
            let words: Vec<_> = words.iter().map(|word| &**word).collect();
            let (short, long) = (
                help_of(&[&words[..], &["-h"]].concat()),
                help_of(&[&words[..], &["--help"]].concat()),
            );
            let more = format!(
                "Options of every command, such as --region: sealwax {} --help",
                words.join(" ")
            );
            assert!(short.contains(&more) && !long.contains(&more), "{short}");
            for arg in Cli::command().get_arguments().filter(|arg| arg.is_global_set()) {
                let long = format!("--{}", arg.get_long().expect("a long option"));
                let options = short.split("\nExamples:").next().unwrap_or_default();
                // Names of options are at the margin, explanations are not.
                let is_listed = |line: &str| line.contains(&long) && !line.starts_with("        ");
                assert!(!options.lines().any(is_listed), "{long}: {short}");
            }
            assert!(long.contains("--kms-endpoint-url"), "{long}");
        }
        let keygen = help_of(&["keygen", "--help"]);
        assert!(!keygen.contains("--region") && keygen.contains("--quiet"), "{keygen}");
    }

    #[test]
    fn examples_fit_the_terminal_and_are_commands() {
        let mut wide = Vec::new();
        for (words, command) in commands() {
            let Some(examples) = command.get_after_help() else { continue };
            let examples = examples.to_string();
            wide.extend(too_wide(&examples).iter().map(|line| format!("{words:?}: {line}")));
            let joined = examples.replace("\\\n", " ").replace("|\n", "| ");
            for line in joined.lines().filter_map(|line| line.strip_prefix("  ")) {
                for part in line.split(['|', ';']).map(str::trim) {
                    let Some(typed) = part.strip_prefix("sealwax ") else { continue };
                    check_example(typed);
                }
            }
        }
        assert_eq!(wide, [""; 0]);
    }

    /// Parses an example, with any value for its shell variables.
    fn check_example(typed: &str) {
        let arn = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
        let typed = typed.split(['<', '>']).next().expect("a command");
        let typed = typed.split(" #").next().expect("a command");
        let mut words = vec![String::from("sealwax")];
        for word in typed.split_whitespace() {
            let word = word.trim_matches(['"', '\'']);
            words.push(match word {
                "$ID" => "A".repeat(43),
                word if word.starts_with('$') => arn.to_owned(),
                word => word.to_owned(),
            });
        }
        if let Err(error) = Cli::command().try_get_matches_from(&words) {
            panic!("{typed}: {error}");
        }
    }

    #[test]
    fn words_of_other_tools_are_answered() {
        let answer = |typed: &str| {
            let error = arranged(Cli::command()).try_get_matches_from(["sealwax", typed]);
            let error = by_our_name(error.expect_err("no such command"));
            assert_eq!(error.kind(), ErrorKind::InvalidSubcommand, "{typed}");
            error.to_string()
        };
        for (theirs, ours) in ELSEWHERE {
            assert!(answer(theirs).contains(&format!("'{ours}'")), "{}", answer(theirs));
        }
        for (theirs, reason) in NOWHERE {
            let answer = answer(theirs);
            assert!(answer.contains(&format!("tip: {reason}")), "{answer}");
            assert!(!answer.contains("similar"), "{answer}");
        }
        assert!(answer("rewarp").contains("'rewrap'"), "a mistyped command");
    }
}
