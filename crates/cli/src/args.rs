//! What was typed.

mod audit;
mod cat;
mod copy;
mod doctor;
mod documents;
mod drill;
mod folders;
mod get;
mod head;
mod inspect;
mod keygen;
mod look;
mod ls;
mod put;
mod reader;
mod reencrypt;
mod rewrap;
mod rm;
mod shred;
mod uploads;
mod values;
mod verify;

use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand, builder::NonEmptyStringValueParser};

pub(crate) use self::{
    audit::AuditArgs,
    cat::CatArgs,
    copy::{CopyArgs, CpArgs, MvArgs},
    doctor::DoctorArgs,
    documents::{CompletionsArgs, ManArgs},
    drill::DrillArgs,
    folders::FolderArgs,
    get::GetArgs,
    head::HeadArgs,
    inspect::InspectArgs,
    keygen::KeygenArgs,
    look::LookArgs,
    ls::LsArgs,
    put::PutArgs,
    reader::ReaderArgs,
    reencrypt::ReencryptArgs,
    rewrap::{ManyArgs, RewrapArgs, SidecarWhen},
    rm::RmArgs,
    shred::ShredArgs,
    uploads::{UploadsAbortArgs, UploadsCommand, UploadsLsArgs},
    values::{account_id, endpoint_url},
    verify::{HowToVerify, VerifyArgs},
};

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

/// Options of every subcommand.
#[derive(Debug, Clone, Args)]
pub(crate) struct GlobalArgs {
    /// Region of the bucket; wrapping keys in it are asked first
    #[arg(long, global = true, value_name = "REGION", help_heading = "AWS", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) region: Option<String>,

    /// Endpoint of all services, instead of AWS's
    #[arg(long, global = true, value_name = "URL", help_heading = "AWS", value_parser = endpoint_url)]
    pub(crate) endpoint_url: Option<String>,

    /// Profile in the AWS files; its credentials precede those of environment variables
    #[arg(long, global = true, value_name = "NAME", help_heading = "AWS", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) profile: Option<String>,

    /// File with profiles of settings, instead of `~/.config/sealwax/sealwax.toml` [env: `SEALWAX_CONFIG`]
    #[arg(long, global = true, value_name = "FILE", help_heading = "Settings")]
    pub(crate) config: Option<PathBuf>,

    /// Profile in that file, instead of `default` [env: `SEALWAX_PROFILE`]
    #[arg(long, global = true, value_name = "NAME", help_heading = "Settings", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) sealwax_profile: Option<String>,

    /// Local wrapping key, made by `sealwax keygen`: wraps, and opens what it wrapped [env: `SEALWAX_LOCAL_KEY`]
    #[arg(long, global = true, value_name = "FILE", help_heading = "Settings")]
    pub(crate) local_key: Option<PathBuf>,

    /// Which settings are those of a file.
    #[arg(skip)]
    pub(crate) profile_in_use: Option<String>,

    /// Whether `--profile` was typed, and not set in a file.
    #[arg(skip)]
    pub(crate) profile_is_typed: bool,

    /// The bucket is a replica of this one: accept what was sealed there under the same key
    #[arg(long, global = true, value_name = "SOURCE-BUCKET", help_heading = "Place", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) replica_of: Option<String>,

    /// Bind wrapped keys to no place, and accept every place
    ///
    /// Whoever can write to the bucket can then exchange two objects of the same encryption context unnoticed.
    #[arg(long, global = true, conflicts_with = "replica_of", help_heading = "Place")]
    pub(crate) no_place_binding: bool,

    /// Where the object's own keys do not open it, look for its sidecar: KEY and SUFFIX, which is `.sealwax` unless given
    #[arg(
        long, global = true, value_name = "SUFFIX", num_args = 0..=1, require_equals = true,
        default_missing_value = ".sealwax", help_heading = "Place", value_parser = NonEmptyStringValueParser::new(),
    )]
    pub(crate) sidecars: Option<String>,

    /// Say nothing but errors
    #[arg(short, long, global = true, help_heading = "Output")]
    pub(crate) quiet: bool,

    /// Say more of what is done; twice: still more
    #[arg(short, long, global = true, action = ArgAction::Count, help_heading = "Output")]
    pub(crate) verbose: u8,
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
