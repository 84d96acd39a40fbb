//! The command `sealwax`: client-side envelope encryption for Amazon S3.

mod age;
mod args;
mod ask;
mod aws;
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

use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _};

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
    let mut matches = settings.onto(command).get_matches_from(words);
    let mut cli = args::Cli::from_arg_matches_mut(&mut matches).unwrap_or_else(|error| error.exit());
    cli.global.profile_in_use = settings.profile_in_use;
    Ok(cli)
}
