//! `sealwax rm`.

use clap::Args;

use crate::{filter::FilterArgs, prefix::Prefix};

const EXAMPLES: &str = "\
Examples:
  sealwax rm s3://bucket/2026/report.pdf
  sealwax rm s3://bucket/2026/ --recursive --dry-run
  sealwax rm s3://bucket/2026/ --recursive --exclude '*.pdf' --yes";

/// Delete objects.
///
/// In a versioned bucket they are hidden behind delete markers: older versions stay, with their keys. To make objects
/// unreadable for good, see `sealwax shred`. With --sidecars, sidecars are deleted with their objects.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct RmArgs {
    /// What to delete; with --recursive, a folder: keys that begin with PREFIX and a slash
    #[arg(value_name = "s3://BUCKET/KEY|PREFIX")]
    pub(crate) prefix: Prefix,

    /// Delete all objects of the folder
    #[arg(short, long)]
    pub(crate) recursive: bool,

    /// Do not ask; without it, --recursive lists what would be deleted and asks, if there is a terminal to ask on
    #[arg(short, long)]
    pub(crate) yes: bool,

    /// List what would be deleted, and delete nothing
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,

    /// Delete this version for good
    #[arg(long, value_name = "ID", conflicts_with = "recursive")]
    pub(crate) version_id: Option<String>,

    #[command(flatten)]
    pub(crate) filter: FilterArgs,

    /// How many objects are deleted together
    #[arg(long, value_name = "NUMBER", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) concurrency: u16,
}
