//! The subcommands, one file each.

mod audit;
mod cat;
mod copy;
mod doctor;
mod documents;
mod drill;
mod get;
mod head;
mod inspect;
mod keygen;
mod ls;
mod put;
mod reencrypt;
mod rewrap;
mod rm;
mod shred;
mod uploads;
mod verify;

use std::{path::Path, time::Duration};

use crate::{
    args::{Command, GlobalArgs, UploadsCommand},
    aws::Session,
    error::Failure,
};

/// How long a file write in flight may go on after an interrupt, so that its temporary file is removed.
const FILE_GRACE: Duration = Duration::from_secs(30);

impl Command {
    /// Does what needs neither AWS nor its settings; gives back what does.
    pub(crate) fn run_alone(self, global: &GlobalArgs) -> Result<Result<(), Failure>, Box<Self>> {
        match self {
            Self::Keygen(args) => Ok(keygen::run(global, args)),
            Self::Completions(args) => Ok(documents::completions(&args)),
            Self::Man(args) => Ok(documents::man(&args)),
            other => Err(Box::new(other)),
        }
    }

    /// Does what was asked for.
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        match self {
            Self::Put(args) => put::run(session, args).await,
            Self::Get(args) => get::run(session, args).await,
            Self::Cat(args) => cat::run(session, args).await,
            Self::Ls(args) => ls::run(session, args).await,
            Self::Head(args) => head::run(session, args).await,
            Self::Cp(args) => copy::run(session, args.copy, copy::Source::Kept).await,
            Self::Mv(args) => copy::run(session, args.copy, copy::Source::Deleted).await,
            Self::Rm(args) => rm::run(session, args).await,
            Self::Doctor(args) => doctor::run(session, args).await,
            Self::Inspect(args) => inspect::run(session, args).await,
            Self::Rewrap(args) => rewrap::run(session, args).await,
            Self::Reencrypt(args) => reencrypt::run(session, args).await,
            Self::Audit(args) => audit::run(session, args).await,
            Self::Verify(args) => verify::run(session, args).await,
            Self::Drill(args) => drill::run(session, args).await,
            Self::Shred(args) => shred::run(session, args).await,
            Self::Uploads(UploadsCommand::Ls(args)) => uploads::list(session, args).await,
            Self::Uploads(UploadsCommand::Abort(args)) => uploads::abort(session, args).await,
            Self::Keygen(_) | Self::Completions(_) | Self::Man(_) => {
                unreachable!("these were run alone")
            }
        }
    }

    /// How long what is still going on in the background at the end may take.
    pub(crate) fn grace(&self) -> Duration {
        match self {
            Self::Get(args) if !is_standard_stream(&args.file) => FILE_GRACE,
            _ => Duration::ZERO,
        }
    }
}

/// Whether `file` means standard input or output.
fn is_standard_stream(file: &Path) -> bool {
    file.as_os_str() == "-"
}
