//! One run of the command, from its arguments to its end.

use tokio::runtime::Runtime;

use crate::{args::Cli, aws::Session, error::Failure, log};

/// Runs the command.
///
/// # Errors
/// What failed, and how to exit for it.
pub(crate) fn run(cli: Cli) -> Result<(), Failure> {
    log::init(&cli.global);
    let cli = match cli.command.run_alone(&cli.global) {
        Ok(done) => return done,
        Err(command) => Cli { command: *command, ..cli },
    };
    let runtime = Runtime::new().map_err(|error| Failure::io("cannot start", error))?;
    let grace = cli.command.grace();
    let done = runtime.block_on(async {
        let session = Session::open(&cli.global).await?;
        cli.command.run(&session).await
    });
    // A thread that waits for standard input, or for whoever reads standard output, must not keep the process alive.
    runtime.shutdown_timeout(grace);
    done
}
