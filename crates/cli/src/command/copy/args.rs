//! `sealwax cp` and `sealwax mv`.

use clap::Args;
use sealwax_s3::KmsKeyArn;

use crate::args::{FilterArgs, Prefix, ReaderArgs, place};

const CP_EXAMPLES: &str = "\
Examples:
  sealwax cp s3://bucket/2026/report.pdf s3://archive/2026/report.pdf
  sealwax cp s3://bucket/2026/ s3://archive/2026/ --recursive --include '*.pdf'
  sealwax cp s3://bucket/report.pdf s3://archive/ --under \"$ARCHIVE_KEY\"";

const MV_EXAMPLES: &str = "\
Examples:
  sealwax mv s3://bucket/draft.pdf s3://bucket/2026/report.pdf
  sealwax mv s3://bucket/2025/ s3://archive/2025/ --recursive --dry-run";

/// Copy sealed objects inside S3.
///
/// The body is copied by S3 as it is: nothing is read or sealed anew. The data key is wrapped for the new place, under the
/// keys of the source or those that --under names.
#[derive(Debug, Args)]
#[command(after_help = CP_EXAMPLES)]
pub(crate) struct CpArgs {
    #[command(flatten)]
    pub(crate) copy: CopyArgs,
}

/// Move sealed objects inside S3.
///
/// Each object is copied as by `sealwax cp`, and then deleted at its old place if it did not change meanwhile. In a versioned
/// bucket the old place keeps its versions.
#[derive(Debug, Args)]
#[command(after_help = MV_EXAMPLES)]
pub(crate) struct MvArgs {
    #[command(flatten)]
    pub(crate) copy: CopyArgs,
}

/// From where to where.
#[derive(Debug, Args)]
pub(crate) struct CopyArgs {
    /// The object; with --recursive, a folder: keys that begin with PREFIX and a slash
    #[arg(value_name = "s3://BUCKET/KEY|PREFIX", value_parser = inside_s3)]
    pub(crate) from: Prefix,

    /// Its new place; the name of the source is added to what ends with a slash
    #[arg(value_name = "s3://BUCKET/KEY|PREFIX", value_parser = inside_s3)]
    pub(crate) to: Prefix,

    /// All objects of the folder
    #[arg(short, long)]
    pub(crate) recursive: bool,

    /// Say what would be done, and do nothing
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,

    /// Fail where there is an object already
    #[arg(long)]
    pub(crate) no_overwrite: bool,

    /// KMS key to wrap the data key under at the new place; repeatable. Without it, those of the source's keys that may be
    /// used
    #[arg(long, value_name = "ARN")]
    pub(crate) under: Vec<KmsKeyArn>,

    /// Accept wrapped keys that are bound to this place: the object was moved from there on purpose; repeatable
    #[arg(long, value_name = "BUCKET/KEY", value_parser = place)]
    pub(crate) accept_place: Vec<String>,

    #[command(flatten)]
    pub(crate) filter: FilterArgs,

    /// How many objects are copied together
    #[arg(long, value_name = "NUMBER", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) concurrency: u16,

    #[command(flatten)]
    pub(crate) reader: ReaderArgs,
}

fn inside_s3(text: &str) -> Result<Prefix, String> {
    text.parse().map_err(|form| {
        format!("{form}: `sealwax put` takes files to S3, and `sealwax get` takes them from there")
    })
}
