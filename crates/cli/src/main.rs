//! The command `sealwax`: client-side envelope encryption for Amazon S3.

mod args;
mod bulk;
mod command;
mod comparison;
mod console;
mod failure;
mod figures;
mod folder_listing;
mod help;
mod interrupt;
mod job;
mod key_file;
mod leftovers;
mod lister;
mod local_files;
mod local_key;
mod mtime;
mod object_report;
mod progress;
mod report;
mod runtime;
mod session;
mod settings;
mod state_directory;
mod terminal_text;

use std::{ffi::OsString, io, process::ExitCode};

use clap::{CommandFactory as _, FromArgMatches as _, Parser, parser::ValueSource};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing_subscriber::{
    EnvFilter, filter::LevelFilter, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

use crate::{
    args::{GlobalArgs, TimeSpan},
    command::{Cli, Command},
    failure::Failure,
    interrupt::{outlive_file_size_limit, until_deadline},
    settings::Settings,
};

fn main() -> ExitCode {
    raise_limit_of_files();
    runtime::or_panicked(|| match parse().and_then(run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.print();
            failure.exit_code()
        }
    })
}

/// Raises the soft limit of open files and connections to the hard one. Shells set a low soft limit
/// for programs that use `select`.
fn raise_limit_of_files() {
    let limit = getrlimit(Resource::Nofile);
    // If it cannot be raised, fewer objects are worked on at a time.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

/// Parses the command line, with defaults from the user's settings.
fn parse() -> Result<Cli, Failure> {
    let words: Vec<_> = std::env::args_os().collect();
    let command = help::arranged(command_for(&words));
    let settings = match Settings::load(&words) {
        Ok(settings) => settings,
        Err(failure) => {
            // Help works even with an invalid settings file.
            return match command.try_get_matches_from(words) {
                Err(error) if !error.use_stderr() => error.exit(),
                Ok(mut matches) => match Cli::from_arg_matches_mut(&mut matches) {
                    // The failure refers to what this prints.
                    Ok(cli) if cli.command.prints_document() => Ok(cli),
                    _ => Err(failure),
                },
                Err(_) => Err(failure),
            };
        }
    };
    let matches = settings.onto(command).try_get_matches_from(words);
    let matches = matches.unwrap_or_else(|error| help::by_our_name(error).exit());
    let is_typed = matches.value_source("profile") == Some(ValueSource::CommandLine);
    let mut cli =
        Cli::from_arg_matches_mut(&mut matches.clone()).unwrap_or_else(|error| error.exit());
    cli.global.profile_in_use = settings.profile_in_use;
    cli.global.profile_is_typed = is_typed;
    cli.global.origins = settings.origins;
    cli.global.origins.retain(|id, _| is_default(&matches, id));
    Ok(cli)
}

/// Returns the command line, with the one subcommand that `words` begin with, if they do.
fn command_for(words: &[OsString]) -> clap::Command {
    match words.get(1).and_then(|word| word.to_str()).and_then(Command::only) {
        Some(named) => OneCommand::command().subcommand(named),
        None => Cli::command(),
    }
}

/// The command line without subcommands.
#[derive(Debug, Parser)]
#[command(name = "sealwax", version, max_term_width = 110)]
struct OneCommand {
    #[command(flatten)]
    global: GlobalArgs,
}

/// `true` if the subcommand's argument has its default value, which the settings may have set.
fn is_default(matches: &clap::ArgMatches, id: &str) -> bool {
    let Some((_, matches)) = matches.subcommand() else { return false };
    let own = matches.ids().any(|known| known == id).then(|| matches.value_source(id)).flatten();
    own == Some(ValueSource::DefaultValue) || is_default(matches, id)
}

/// Runs the command.
///
/// # Errors
/// The command failed.
fn run(cli: Cli) -> Result<(), Failure> {
    init_logging(&cli.global);
    let cli = match cli.command.run_alone(&cli.global) {
        Ok(done) => return done,
        Err(command) => Cli { command: *command, ..cli },
    };
    let runtime = runtime::start(cli.command.kept_threads())?;
    let (grace, origins) = (cli.command.grace(), cli.global.origins.clone());
    let deadline = cli.global.deadline.map(|TimeSpan(deadline)| deadline);
    let last = cli.global.timeout();
    let command = async {
        outlive_file_size_limit();
        let session = cli.command.session(&cli.global).await?;
        cli.command.run(&session).await
    };
    let done = runtime.block_on(until_deadline(deadline, last, command));
    // A thread blocked on standard input or output must not keep the process alive.
    runtime.shutdown_timeout(grace);
    let done = done
        .unwrap_or_else(|signal| Err(Failure::stopped(signal, "the command did not end in time")));
    done.map_err(|failure| failure.with_origins(&origins))
}

/// Starts logging, with the filter of `RUST_LOG`, else of `-v`.
fn init_logging(args: &GlobalArgs) {
    // s3s logs whole answers, and the gateway has a log of its own.
    let default = match (args.quiet, args.verbose) {
        (true, _) => "error,s3s=off",
        // `-v` prints messages about each object, which are not logs.
        (false, 0 | 1) => {
            "error,sealwax_s3=warn,sealwax_envelope=warn,sealwax_gateway=warn,s3s=off"
        }
        (false, 2) => {
            "warn,sealwax_s3=debug,sealwax_s3::attempts=warn,sealwax_envelope=debug,\
             sealwax_gateway=debug,s3s=off"
        }
        (false, _) => "debug,hyper_util=info,rustls=info,s3s=off",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let lines =
        tracing_subscriber::fmt::layer().with_writer(io::stderr).with_ansi(false).without_time();
    tracing_subscriber::registry()
        .with(filter)
        // At TRACE the SDK logs bodies; with LOG_SENSITIVE_BODIES=true even KMS responses with data
        // keys.
        .with(LevelFilter::DEBUG)
        .with(lines)
        .init();
}
