//! `sealwax cp` and `sealwax mv`.

use clap::{Args, builder::NonEmptyStringValueParser};
use sealwax_s3::KmsKeyName;

use crate::args::{CopiedObjectArgs, FilterArgs, KeyCacheArgs, Prefix, ReaderArgs, place};

const CP_EXAMPLES: &str = "\
Examples:
  sealwax cp s3://bucket/2026/report.pdf s3://archive/2026/report.pdf
  sealwax cp s3://bucket/2026/ s3://archive/2026/ -r --include '*.pdf'
  sealwax cp s3://bucket/report.pdf s3://archive/ --under \"$ARCHIVE_KEY\"
  sealwax cp s3://bucket/report.pdf s3://bucket/report.pdf --version-id \"$OLD\"";

const MV_EXAMPLES: &str = "\
Examples:
  sealwax mv s3://bucket/draft.pdf s3://bucket/2026/report.pdf
  sealwax mv s3://bucket/2025/ s3://archive/2025/ --recursive --dry-run";

/// Copy sealed objects within S3.
///
/// S3 copies the body: nothing is downloaded or encrypted again. The data key is wrapped for the
/// new place, under the source's wrapping keys or those of --under. Each of the source's keys is
/// used only with the wrapped key that it opens. Keys that KMS rejects are dropped and named.
#[derive(Debug, Args)]
#[command(after_help = CP_EXAMPLES)]
pub(crate) struct CpArgs {
    #[command(flatten)]
    pub(crate) copy: CopyArgs,

    /// Copy this version of the source; onto the source itself, it makes this version the current
    /// one again
    #[arg(long, value_name = "ID", conflicts_with = "recursive", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) version_id: Option<String>,
}

/// Move sealed objects within S3.
///
/// Copies each object as `sealwax cp` does, then deletes the source unless it has changed since. In
/// a versioned bucket the source's older versions remain.
///
/// The source stays if the copy lacks some of its keys, or if none of the copy's keys could be
/// shown to open it.
#[derive(Debug, Args)]
#[command(after_help = MV_EXAMPLES)]
pub(crate) struct MvArgs {
    #[command(flatten)]
    pub(crate) copy: CopyArgs,

    /// Delete the source even if the copy lacks some of its keys, or if none of its keys could be
    /// shown to open it
    #[arg(long)]
    pub(crate) unproven: bool,
}

/// Arguments of `cp` and `mv`.
#[derive(Debug, Args)]
pub(crate) struct CopyArgs {
    /// Source object; with --recursive, a folder (all keys that begin with PREFIX/)
    #[arg(value_name = "s3://BUCKET/KEY|PREFIX", value_parser = inside_s3)]
    pub(crate) from: Prefix,

    /// Destination; if it ends with a slash, the source's name is appended
    #[arg(value_name = "s3://BUCKET/KEY|PREFIX", value_parser = inside_s3)]
    pub(crate) to: Prefix,

    /// Include all objects in the folder
    #[arg(short, long)]
    pub(crate) recursive: bool,

    /// Print what would be done, and change nothing
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,

    /// Fail if the destination already exists
    #[arg(long)]
    pub(crate) no_overwrite: bool,

    /// KMS key to wrap the data key under, by ARN, key ID or alias, instead of the source's wrapping keys; repeatable
    /// [default: the source's wrapping keys that the reader may use]
    #[arg(long, value_name = "KEY")]
    pub(crate) under: Vec<KmsKeyName>,

    /// Copy an object if at least this many of its wrapping keys can be used; the others are
    /// recorded as missing [default: all]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u8).range(1..), conflicts_with = "under")]
    pub(crate) at_least: Option<u8>,

    /// Print one line of JSON for each object
    #[arg(long)]
    pub(crate) json: bool,

    /// Accept wrapped keys bound to this place, from which the object was moved deliberately;
    /// repeatable
    #[arg(long, value_name = "BUCKET/KEY", value_parser = place)]
    pub(crate) accept_place: Vec<String>,

    /// The key cache of `--under`.
    #[command(flatten)]
    pub(crate) cache: KeyCacheArgs,

    #[command(flatten)]
    pub(crate) filter: FilterArgs,

    /// Number of objects in parallel
    #[arg(long, value_name = "NUMBER", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) concurrency: u16,

    #[command(flatten)]
    pub(crate) reader: ReaderArgs,

    #[command(flatten)]
    pub(crate) stored: CopiedObjectArgs,
}

fn inside_s3(text: &str) -> Result<Prefix, String> {
    text.parse().map_err(|form| {
        format!("{form}: use `sealwax put` to upload files, `sealwax get` to download them")
    })
}
