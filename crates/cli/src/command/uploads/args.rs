//! `sealwax uploads`.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand, builder::NonEmptyStringValueParser};

use crate::args::{Age, Prefix};

const LS_EXAMPLES: &str = "\
Examples:
  sealwax uploads ls s3://bucket
  sealwax uploads ls s3://bucket/2026/ --older-than 1d --json | jq -r .upload_id";

const ABORT_EXAMPLES: &str = "\
Examples:
  sealwax uploads abort s3://bucket/disk.img --upload-id \"$ID\"
  sealwax uploads abort s3://bucket/2026/ --older-than 7d --dry-run";

/// List or abort uploads that were begun and not finished.
///
/// Their parts are not visible, but cost storage until the uploads are completed or aborted. S3 does not tell which uploads
/// are Sealwax's: these commands list and abort those of any program.
#[derive(Debug, Subcommand)]
pub(crate) enum UploadsCommand {
    Ls(UploadsLsArgs),
    Abort(UploadsAbortArgs),
}

/// List unfinished uploads.
///
/// A line for each: when it began, its object, its id, and its state file, if that is in the user's state directory. S3 does not tell which uploads are Sealwax's: those of any program are listed.
#[derive(Debug, Args)]
#[command(after_help = LS_EXAMPLES)]
pub(crate) struct UploadsLsArgs {
    /// Where to look
    #[arg(value_name = "s3://BUCKET[/PREFIX]")]
    pub(crate) prefix: Prefix,

    /// Only those that began so long ago, such as 12h or 7d
    #[arg(long, value_name = "AGE")]
    pub(crate) older_than: Option<Age>,

    /// Print one JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
}

/// Abort unfinished uploads; what they stored is lost.
///
/// S3 does not tell which uploads are Sealwax's: with --older-than, those of any program are aborted, also one that is
/// still going on. State files in the user's state directory are deleted with their uploads.
#[derive(Debug, Args)]
#[command(
    after_help = ABORT_EXAMPLES,
    group = ArgGroup::new("which").args(["upload_id", "state_file", "older_than"]).required(true),
)]
pub(crate) struct UploadsAbortArgs {
    /// The object of the upload; with --older-than, what the keys begin with
    #[arg(value_name = "s3://BUCKET[/KEY|/PREFIX]")]
    pub(crate) prefix: Prefix,

    /// The upload with this id
    // Ids of S3 are of letters, digits and signs: one may begin with `-`.
    #[arg(long, value_name = "ID", allow_hyphen_values = true, value_parser = NonEmptyStringValueParser::new())]
    pub(crate) upload_id: Option<String>,

    /// The upload that this state file describes; the file is deleted
    #[arg(long, value_name = "PATH")]
    pub(crate) state_file: Option<PathBuf>,

    /// All that began so long ago, such as 12h or 7d
    #[arg(long, value_name = "AGE")]
    pub(crate) older_than: Option<Age>,

    /// Say what would be aborted, and abort nothing
    #[arg(long, conflicts_with_all = ["upload_id", "state_file"])]
    pub(crate) dry_run: bool,
}
