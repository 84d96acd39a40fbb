//! Command line, and the subcommands in one file or folder each.

mod audit;
mod cat;
mod check;
mod compare;
mod copy;
mod doctor;
mod documents;
mod drill;
mod du;
mod get;
mod head;
mod inspect;
mod keygen;
mod keys;
mod ls;
mod put;
mod reencrypt;
mod retire;
mod rewrap;
mod rm;
mod serve;
mod shred;
mod sync;
mod uploads;
mod verify;

use std::time::Duration;

use clap::{Args as _, CommandFactory as _, Parser, Subcommand};
use futures_util::{FutureExt as _, future::BoxFuture};

use self::{
    audit::AuditArgs,
    cat::CatArgs,
    check::CheckArgs,
    compare::CompareArgs,
    copy::{CpArgs, MvArgs},
    doctor::DoctorArgs,
    documents::{CompletionsArgs, ManArgs},
    drill::DrillArgs,
    du::DuArgs,
    get::GetArgs,
    head::HeadArgs,
    inspect::InspectArgs,
    keygen::KeygenArgs,
    keys::KeysCommand,
    ls::LsArgs,
    put::PutArgs,
    reencrypt::ReencryptArgs,
    retire::RetireArgs,
    rewrap::RewrapArgs,
    rm::RmArgs,
    serve::ServeArgs,
    shred::ShredArgs,
    sync::SyncArgs,
    uploads::UploadsCommand,
    verify::VerifyArgs,
};
use crate::{args::GlobalArgs, console::is_standard_stream, failure::Failure, session::Session};

const START: &str = "\
Start here:
  sealwax doctor s3://BUCKET --key ARN     check the settings, keys and bucket
  sealwax put FILE s3://BUCKET/KEY --key ARN
  sealwax get s3://BUCKET/KEY FILE

Options of a command: sealwax COMMAND -h. All options, with explanations, exit
codes and settings: sealwax --help, sealwax COMMAND --help.";

const EXIT_CODES: &str = "\
Exit codes:
  0    success
  1    other failure: service, network, local file, unsupported operation; or
       the answer to a question was no
  2    invalid usage or configuration
  3    the object failed verification and must not be used
  4    no such object, or the object is not sealed
  5    access denied, no credentials, or no usable wrapping key
  6    conflict: the object or key file already exists, or the object, file or
       upload changed during the operation
  7    some of the objects failed: the output lists each with the reason
  8    all of the objects failed
  9    found what was looked for (audit --fail-if-any), differences (check), or conflicts
       (compare)
  124  the time of --deadline is over
  130  interrupted (143: terminated)

Credentials, Region and endpoints come from the AWS environment variables and
files, as for every AWS tool. Data goes to standard output, everything else to
standard error. RUST_LOG sets the log level.

Keys, Region and other defaults can be set in profiles of
~/.config/sealwax/sealwax.toml, or in SEALWAX_KEYS, SEALWAX_ACCOUNTS,
SEALWAX_CONTEXT (comma-separated lists), SEALWAX_REPLICA_OF,
SEALWAX_LOCAL_KEY, SEALWAX_KMS_ENDPOINT_URL, SEALWAX_ALLOW_HTTP_KMS,
SEALWAX_TIMEOUT, SEALWAX_BODY_CHECKSUM, SEALWAX_CONDITIONS and
SEALWAX_KEY_STORE; `sealwax doctor --print settings` shows a file with all settings. Flags take precedence over
variables, and variables over the file.";

/// Client-side envelope encryption for Amazon S3.
///
/// Encrypts data before it leaves this process. AWS KMS wraps the data key. The wrapped key and the
/// encryption context are stored in the object's metadata, so a replica in another Region can be
/// rewrapped for disaster recovery without moving its body.
#[derive(Debug, Parser)]
#[command(name = "sealwax", version, after_help = START, after_long_help = EXIT_CODES, max_term_width = 110)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Subcommands. The docs of the arguments are the help text, so the variants have none: they would
/// replace it.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Put(PutArgs),
    Get(GetArgs),
    Cat(CatArgs),
    Ls(LsArgs),
    Du(DuArgs),
    Head(HeadArgs),
    Inspect(InspectArgs),
    Cp(CpArgs),
    Mv(MvArgs),
    Rm(RmArgs),
    Sync(SyncArgs),
    Check(CheckArgs),
    Rewrap(RewrapArgs),
    Reencrypt(ReencryptArgs),
    Audit(AuditArgs),
    Verify(VerifyArgs),
    Drill(DrillArgs),
    Compare(CompareArgs),
    Retire(RetireArgs),
    Shred(ShredArgs),
    #[command(subcommand)]
    Keys(KeysCommand),
    #[command(subcommand)]
    Uploads(UploadsCommand),
    Serve(Box<ServeArgs>),
    Keygen(KeygenArgs),
    Doctor(DoctorArgs),
    Completions(CompletionsArgs),
    Man(ManArgs),
}

/// Time after an interrupt for a file write in flight to remove its temporary file.
const FILE_GRACE: Duration = Duration::from_secs(30);

impl Command {
    /// Returns the subcommand `name` without the others: clap takes half a millisecond for all of
    /// them. `None` for a name that is not one.
    pub(crate) fn only(name: &str) -> Option<clap::Command> {
        let command = clap::Command::new(name.to_owned());
        let with_own =
            |command: clap::Command| command.subcommand_required(true).arg_required_else_help(true);
        Some(match name {
            "put" => PutArgs::augment_args(command),
            "get" => GetArgs::augment_args(command),
            "cat" => CatArgs::augment_args(command),
            "ls" => LsArgs::augment_args(command),
            "du" => DuArgs::augment_args(command),
            "head" => HeadArgs::augment_args(command),
            "inspect" => InspectArgs::augment_args(command),
            "cp" => CpArgs::augment_args(command),
            "mv" => MvArgs::augment_args(command),
            "rm" => RmArgs::augment_args(command),
            "sync" => SyncArgs::augment_args(command),
            "check" => CheckArgs::augment_args(command),
            "rewrap" => RewrapArgs::augment_args(command),
            "reencrypt" => ReencryptArgs::augment_args(command),
            "audit" => AuditArgs::augment_args(command),
            "verify" => VerifyArgs::augment_args(command),
            "drill" => DrillArgs::augment_args(command),
            "compare" => CompareArgs::augment_args(command),
            "retire" => RetireArgs::augment_args(command),
            "shred" => ShredArgs::augment_args(command),
            "serve" => ServeArgs::augment_args(command),
            "keygen" => KeygenArgs::augment_args(command),
            "doctor" => DoctorArgs::augment_args(command),
            "completions" => CompletionsArgs::augment_args(command),
            "man" => ManArgs::augment_args(command),
            "keys" => with_own(KeysCommand::augment_subcommands(command)),
            "uploads" => with_own(UploadsCommand::augment_subcommands(command)),
            _ => return None,
        })
    }

    /// Runs a command that needs no AWS settings; returns any other command as the error.
    pub(crate) fn run_alone(self, global: &GlobalArgs) -> Result<Result<(), Failure>, Box<Self>> {
        match self {
            Self::Keygen(args) => Ok(keygen::run(global, args)),
            Self::Completions(args) => Ok(documents::completions(&args, Cli::command())),
            Self::Man(args) => Ok(documents::man(&args, Cli::command())),
            Self::Doctor(DoctorArgs { print: Some(document), .. }) => {
                Ok(doctor::printed::print(document))
            }
            other => Err(Box::new(other)),
        }
    }

    /// Loads the settings of a command that needs AWS settings.
    ///
    /// # Errors
    /// As [`Session::open`].
    pub(crate) async fn session(&self, global: &GlobalArgs) -> Result<Session, Failure> {
        match self {
            Self::Doctor(args) => doctor::session(global, args).await,
            Self::Serve(_) => Session::open_for_server(global).await,
            _ => Session::open(global).await,
        }
    }

    /// Runs a command that needs AWS settings.
    ///
    /// Boxed: else each command would move a future that is as large as the largest of all.
    pub(crate) fn run(self, session: &Session) -> BoxFuture<'_, Result<(), Failure>> {
        match self {
            Self::Put(args) => put::run(session, args).boxed(),
            Self::Get(args) => get::run(session, args).boxed(),
            Self::Cat(args) => cat::run(session, args).boxed(),
            Self::Ls(args) => ls::run(session, args).boxed(),
            Self::Du(args) => du::run(session, args).boxed(),
            Self::Head(args) => head::run(session, args).boxed(),
            Self::Cp(args) => {
                let source = copy::Source::Kept { version_id: args.version_id };
                copy::run(session, args.copy, source).boxed()
            }
            Self::Mv(args) => {
                let source = copy::Source::Deleted { unproven: args.unproven };
                copy::run(session, args.copy, source).boxed()
            }
            Self::Rm(args) => rm::run(session, args).boxed(),
            Self::Sync(args) => sync::run(session, args).boxed(),
            Self::Check(args) => check::run(session, args).boxed(),
            Self::Doctor(args) => doctor::run(session, args).boxed(),
            Self::Inspect(args) => inspect::run(session, args).boxed(),
            Self::Rewrap(args) => rewrap::run(session, args).boxed(),
            Self::Reencrypt(args) => reencrypt::run(session, args).boxed(),
            Self::Audit(args) => audit::run(session, args).boxed(),
            Self::Verify(args) => verify::run(session, args).boxed(),
            Self::Drill(args) => drill::run(session, args).boxed(),
            Self::Compare(args) => compare::run(session, args).boxed(),
            Self::Retire(args) => retire::run(session, args).boxed(),
            Self::Shred(args) => shred::run(session, args).boxed(),
            Self::Serve(args) => serve::run(session, *args).boxed(),
            Self::Keys(command) => keys::run(session, command).boxed(),
            Self::Uploads(UploadsCommand::Ls(args)) => uploads::list(session, args).boxed(),
            Self::Uploads(UploadsCommand::Abort(args)) => uploads::abort(session, args).boxed(),
            Self::Keygen(_) | Self::Completions(_) | Self::Man(_) => {
                unreachable!("run_alone runs these")
            }
        }
    }

    /// `true` if the command prints one of its own documents.
    pub(crate) fn prints_document(&self) -> bool {
        matches!(self, Self::Doctor(DoctorArgs { print: Some(_), .. }))
    }

    /// Number of threads that blocking work keeps for as long as the command runs: standard input or
    /// output; for many objects, also the journal of a job, its plan and lists of files.
    pub(crate) fn kept_threads(&self) -> usize {
        let is_single = match self {
            Self::Put(args) => !args.folders.recursive && args.files.len() == 1,
            Self::Get(args) => !args.folders.recursive,
            Self::Cat(_) | Self::Head(_) | Self::Inspect(_) => true,
            _ => false,
        };
        if is_single { 1 } else { 7 }
    }

    /// Time limit for background work at the end.
    pub(crate) fn grace(&self) -> Duration {
        match self {
            Self::Get(args) if !is_standard_stream(&args.file) => FILE_GRACE,
            Self::Sync(_) => FILE_GRACE,
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
    fn a_subcommand_alone_is_the_same() {
        for expected in Cli::command().get_subcommands() {
            let name = expected.get_name();
            let only = Command::only(name).unwrap_or_else(|| panic!("{name} is missing"));
            // The place in the list of commands is of no use alone.
            let [only, expected] = [only, expected.clone()].map(|it| it.display_order(0));
            assert!(format!("{only:?}") == format!("{expected:?}"), "{name} is another");
        }
        assert!(Command::only("help").is_none());
    }

    #[test]
    fn each_help_text_has_its_key_sentence() {
        for (command, text) in [
            (&["put", "--help"][..], "An interrupted upload is aborted, unless --resume is given"),
            (&["get", "--help"], "only after the whole object has been verified"),
            (&["inspect", "--help"], "the output is not authenticated"),
            (&["ls", "--help"], "the stored length is shown instead, marked (as stored)"),
            (&["du", "--help"], "A listing does not say which objects are sealed"),
            (&["cat", "--help"], "Each piece is written after it has been verified"),
            (&["head", "--help"], "sealed or not"),
            (&["cp", "--help"], "nothing is downloaded or encrypted again"),
            (&["mv", "--help"], "unless it has changed since"),
            (&["rm", "--help"], "older versions remain"),
            (&["sync", "--help"], "None of this is authenticated"),
            (&["check", "--help"], "no digest of a plaintext is stored"),
            (&["keygen", "--help"], "Keep copies"),
            (&["doctor", "--help"], "deleted permanently"),
            (&["rewrap", "--help"], "older versions keep their keys"),
            (&["audit", "--help"], "anyone who can write to the bucket can claim them"),
            (&["verify", "--help"], "counted and listed with the reason"),
            (&["drill", "--help"], "refused before it is sent"),
            (&["compare", "--help"], "a conflict for people to decide"),
            (&["shred", "--help"], "S3 cannot change a version in place"),
            (&["retire", "--help"], "It cannot see replicas"),
            (&["keys", "--help"], "one call opens many objects"),
            (&["keys", "ls", "--help"], "nothing is authenticated"),
            (&["keys", "inspect", "--help"], "there is no KMS call"),
            (&["keys", "rewrap", "--help"], "this gives access, and does not revoke it"),
            (&["keys", "verify", "--help"], "One that none of the keys unwraps is a failure"),
            (&["keys", "shred", "--help"], "Whoever kept a copy of a key object can put it back"),
            (&["uploads", "--help"], "cost storage until"),
            (&["uploads", "ls", "--help"], "uploads of all programs are listed"),
            (&["uploads", "abort", "--help"], "uploads still in progress"),
        ] {
            let help = Cli::try_parse_from(["sealwax"].iter().chain(command))
                .expect_err("the help")
                .to_string();
            let words: Vec<_> = help.split_whitespace().collect();
            assert!(words.join(" ").contains(text), "{command:?}: {help}");
        }
    }
}
