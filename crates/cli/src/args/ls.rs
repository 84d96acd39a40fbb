//! `sealwax ls`.

use clap::Args;

use crate::{filter::FilterArgs, prefix::Prefix};

const EXAMPLES: &str = "\
Examples:
  sealwax ls                                   # buckets
  sealwax ls s3://bucket/2026/
  sealwax ls s3://bucket --recursive --long --include '*.pdf'
  sealwax ls s3://bucket -r --long --json | jq -r 'select(.sealed == false).object'";

/// List objects with the length of their plaintext.
///
/// A list of S3 tells the length of what is stored, and not whether it is sealed. The lengths shown are those of the
/// plaintext if Sealwax sealed it; where no object of its own format can have the stored length, that is shown. With --long
/// each object is looked at.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct LsArgs {
    /// Where to look; without it, the buckets are listed
    #[arg(value_name = "s3://BUCKET[/PREFIX]")]
    pub(crate) prefix: Option<Prefix>,

    /// Also what is in folders
    #[arg(short, long)]
    pub(crate) recursive: bool,

    /// Look at each object: whether it is sealed, under which keys, with which encryption context. Costs a request each
    #[arg(short, long)]
    pub(crate) long: bool,

    /// Lengths as people like them
    #[arg(short = 'H', long)]
    pub(crate) human_readable: bool,

    #[command(flatten)]
    pub(crate) filter: FilterArgs,

    /// How many objects are looked at together
    #[arg(long, value_name = "NUMBER", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) concurrency: u16,

    /// Print one JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
}
