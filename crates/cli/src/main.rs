//! The command `sealwax`: client-side envelope encryption for Amazon S3.

mod age;
mod args;
mod ask;
mod aws;
mod aws_profile;
mod byte_range;
mod command;
mod error;
mod filter;
mod folder;
mod interrupt;
mod listing;
mod local_key;
mod log;
mod many;
mod mtime;
mod objects;
mod output;
mod paint;
mod pair;
mod prefix;
mod progress;
mod report;
mod resume;
mod run;
mod s3ec;
mod settings;
mod shell;
mod state;
mod text;
mod uploads;
mod wrap_key;

use std::process::ExitCode;

use clap::{
    CommandFactory as _, FromArgMatches as _,
    error::{ContextKind, ContextValue},
    parser::ValueSource,
};

fn main() -> ExitCode {
    match parse().and_then(run::run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.print();
            failure.exit_code()
        }
    }
}

/// What was typed, with the user's settings where nothing was.
fn parse() -> Result<args::Cli, error::Failure> {
    let words: Vec<_> = std::env::args_os().collect();
    let command = args::Cli::command();
    let settings = match settings::Settings::load(&words) {
        Ok(settings) => settings,
        Err(failure) => {
            // Help is given whatever is in a file.
            return match command.try_get_matches_from(words) {
                Err(error) if !error.use_stderr() => error.exit(),
                _ => Err(failure),
            };
        }
    };
    let matches = settings.onto(command).try_get_matches_from(words);
    let mut matches = matches.unwrap_or_else(|error| by_our_name(error).exit());
    let is_typed = matches.value_source("profile") == Some(ValueSource::CommandLine);
    let mut cli =
        args::Cli::from_arg_matches_mut(&mut matches).unwrap_or_else(|error| error.exit());
    cli.global.profile_in_use = settings.profile_in_use;
    cli.global.profile_is_typed = is_typed;
    Ok(cli)
}

/// What other tools call a command, and what it is here.
const ELSEWHERE: [(&str, &str); 12] = [
    ("sync", "put --recursive --skip-unchanged"),
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
    ("check", "doctor"),
];

/// The same error, with our name of a command that another tool has.
fn by_our_name(mut error: clap::Error) -> clap::Error {
    let ours = match error.get(ContextKind::InvalidSubcommand) {
        Some(ContextValue::String(typed)) => ELSEWHERE.iter().find(|(theirs, _)| theirs == typed),
        _ => None,
    };
    if let Some((_, ours)) = ours {
        error.insert(
            ContextKind::SuggestedSubcommand,
            ContextValue::Strings(vec![(*ours).to_owned()]),
        );
    }
    error
}
