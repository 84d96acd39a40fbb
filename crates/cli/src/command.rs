//! The command line: its subcommands, one file or folder each.

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

use std::time::Duration;

use clap::{CommandFactory as _, Parser, Subcommand};

use self::{
    audit::AuditArgs,
    cat::CatArgs,
    copy::{CpArgs, MvArgs},
    doctor::DoctorArgs,
    documents::{CompletionsArgs, ManArgs},
    drill::DrillArgs,
    get::GetArgs,
    head::HeadArgs,
    inspect::InspectArgs,
    keygen::KeygenArgs,
    ls::LsArgs,
    put::PutArgs,
    reencrypt::ReencryptArgs,
    rewrap::RewrapArgs,
    rm::RmArgs,
    shred::ShredArgs,
    uploads::UploadsCommand,
    verify::VerifyArgs,
};
use crate::{args::GlobalArgs, console::is_standard_stream, failure::Failure, session::Session};

const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    failed for another reason: the service, the network, a local file, or not supported
  2    wrong usage or configuration
  3    the object failed verification, and must not be used
  4    no such object, or it is not sealed
  5    access denied, no credentials, or no wrapping key can be used
  6    the object, or the file of a key, exists already; or it, the file or the upload changed
       meanwhile
  7    of many objects, some failed: the report says which, and why
  8    of many objects, all failed
  130  interrupted (143: terminated)

Credentials, Region and endpoint come from the AWS environment variables and files, as for every
AWS tool. Data goes to standard output, all else to standard error.
RUST_LOG chooses what is logged.

Keys, Region and more may be kept in profiles of ~/.config/sealwax/sealwax.toml, or given by
SEALWAX_KEYS, SEALWAX_ACCOUNTS, SEALWAX_CONTEXT (lists, with commas), SEALWAX_REPLICA_OF and
SEALWAX_LOCAL_KEY. Flags precede variables, and these the file.";

/// Client-side envelope encryption for Amazon S3.
///
/// Data is encrypted before it leaves this process. AWS KMS wraps the data key; the wrapped key and the encryption
/// context travel in the object's metadata, so that a replica in another Region can be wrapped anew, for disaster
/// recovery, without its body being moved.
#[derive(Debug, Parser)]
#[command(name = "sealwax", version, after_help = EXIT_CODES, max_term_width = 110)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do. What is said of each is the documentation of its arguments: here it would hide that in the help.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Put(PutArgs),
    Get(GetArgs),
    Cat(CatArgs),
    Ls(LsArgs),
    Head(HeadArgs),
    Inspect(InspectArgs),
    Cp(CpArgs),
    Mv(MvArgs),
    Rm(RmArgs),
    Rewrap(RewrapArgs),
    Reencrypt(ReencryptArgs),
    Audit(AuditArgs),
    Verify(VerifyArgs),
    Drill(DrillArgs),
    Shred(ShredArgs),
    #[command(subcommand)]
    Uploads(UploadsCommand),
    Keygen(KeygenArgs),
    Doctor(DoctorArgs),
    Completions(CompletionsArgs),
    Man(ManArgs),
}

/// How long a file write in flight may go on after an interrupt, so that its temporary file is removed.
const FILE_GRACE: Duration = Duration::from_secs(30);

impl Command {
    /// Does what needs neither AWS nor its settings; gives back what does.
    pub(crate) fn run_alone(self, global: &GlobalArgs) -> Result<Result<(), Failure>, Box<Self>> {
        match self {
            Self::Keygen(args) => Ok(keygen::run(global, args)),
            Self::Completions(args) => Ok(documents::completions(&args, Cli::command())),
            Self::Man(args) => Ok(documents::man(&args, Cli::command())),
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

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_help_says_all_that_is_documented() {
        for (command, text) in [
            (&["put", "--help"][..], "An interrupted upload is aborted, but for --resume"),
            (&["get", "--help"], "only when all of the object has verified"),
            (&["inspect", "--help"], "nothing that is shown is authenticated"),
            (&["ls", "--help"], "where no object of its own format can have the stored length"),
            (&["cat", "--help"], "Each piece is written once it has verified"),
            (&["head", "--help"], "sealed or not"),
            (&["cp", "--help"], "nothing is read or sealed anew"),
            (&["mv", "--help"], "if it did not change meanwhile"),
            (&["rm", "--help"], "older versions stay"),
            (&["keygen", "--help"], "Keep copies"),
            (&["doctor", "--help"], "deleted for good"),
            (&["rewrap", "--help"], "older versions keep their keys"),
            (&["audit", "--help"], "nothing that is shown is authenticated"),
            (&["verify", "--help"], "Nothing is skipped unsaid"),
            (&["drill", "--help"], "refused before it leaves"),
            (&["shred", "--help"], "S3 changes no version in place"),
            (&["uploads", "--help"], "cost storage until"),
            (&["uploads", "ls", "--help"], "those of any program are listed"),
            (&["uploads", "abort", "--help"], "one that is still going on"),
        ] {
            let help = Cli::try_parse_from(["sealwax"].iter().chain(command))
                .expect_err("the help")
                .to_string();
            let words: Vec<_> = help.split_whitespace().collect();
            assert!(words.join(" ").contains(text), "{command:?}: {help}");
        }
    }
}
