//! The command `sealwax`: client-side envelope encryption for Amazon S3.

mod args;
mod aws;
mod command;
mod error;
mod interrupt;
mod log;
mod pair;
mod progress;
mod report;
mod run;
mod text;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    match run::run(args::Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.print();
            failure.exit_code()
        }
    }
}
