//! `sealwax uploads`.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand, builder::NonEmptyStringValueParser};

use crate::args::{Prefix, TimeSpan};

const LS_EXAMPLES: &str = "\
Examples:
  sealwax uploads ls s3://bucket
  sealwax uploads ls s3://bucket/2026/ --older-than 1d --json |
      jq -r .upload_id";

const ABORT_EXAMPLES: &str = "\
Examples:
  sealwax uploads abort s3://bucket/disk.img --upload-id \"$ID\"
  sealwax uploads abort s3://bucket/2026/ --older-than 7d --dry-run";

/// List or abort incomplete multipart uploads.
///
/// Their parts are not visible, but cost storage until the uploads are completed or aborted. S3
/// does not say which uploads are Sealwax's, so these commands list and abort uploads of all
/// programs.
#[derive(Debug, Subcommand)]
pub(crate) enum UploadsCommand {
    Ls(UploadsLsArgs),
    Abort(UploadsAbortArgs),
}

/// List incomplete multipart uploads.
///
/// Each line has the start time, the object, the upload ID, and the state file if it is in the
/// user's state directory. S3 does not say which uploads are Sealwax's, so uploads of all programs
/// are listed.
#[derive(Debug, Args)]
#[command(after_help = LS_EXAMPLES)]
pub(crate) struct UploadsLsArgs {
    /// Bucket and prefix
    #[arg(value_name = "s3://BUCKET[/PREFIX]")]
    pub(crate) prefix: Prefix,

    /// Only uploads of at least this age, such as 12h or 7d
    #[arg(long, value_name = "AGE")]
    pub(crate) older_than: Option<TimeSpan>,

    /// Print one JSON object per line
    #[arg(long)]
    pub(crate) json: bool,
}

/// Abort incomplete multipart uploads, and delete their parts.
///
/// S3 does not say which uploads are Sealwax's: --older-than aborts uploads of all programs,
/// including uploads still in progress. State files in the user's state directory are deleted with
/// their uploads.
#[derive(Debug, Args)]
#[command(
    after_help = ABORT_EXAMPLES,
    group = ArgGroup::new("which").args(["upload_id", "state_file", "older_than"]).required(true),
)]
pub(crate) struct UploadsAbortArgs {
    /// Object of the upload; with --older-than, prefix of the keys
    #[arg(value_name = "s3://BUCKET[/KEY|/PREFIX]")]
    pub(crate) prefix: Prefix,

    /// ID of the upload
    // Upload IDs can begin with `-`.
    #[arg(long, value_name = "ID", allow_hyphen_values = true, value_parser = NonEmptyStringValueParser::new())]
    pub(crate) upload_id: Option<String>,

    /// State file of the upload, which is deleted as well
    #[arg(long, value_name = "PATH")]
    pub(crate) state_file: Option<PathBuf>,

    /// All uploads of at least this age, such as 12h or 7d
    #[arg(long, value_name = "AGE")]
    pub(crate) older_than: Option<TimeSpan>,

    /// Print what would be aborted, and abort nothing
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,

    /// Print one JSON object for each upload
    #[arg(long)]
    pub(crate) json: bool,
}
