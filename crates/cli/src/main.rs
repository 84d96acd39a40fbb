//! The command `sealwax`: client-side envelope encryption for Amazon S3.

mod age;
mod args;
mod aws;
mod command;
mod error;
mod interrupt;
mod log;
mod objects;
mod output;
mod pair;
mod prefix;
mod progress;
mod report;
mod resume;
mod run;
mod s3ec;
mod shell;
mod state;
mod text;
mod uploads;

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
