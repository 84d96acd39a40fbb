//! `sealwax doctor`.

use clap::Args;
use sealwax_s3::KmsKeyArn;

use crate::{pair::Pair, prefix::Prefix};

const EXAMPLES: &str = "\
Examples:
  sealwax doctor s3://bucket --key \"$EAST_KEY\" --key \"$WEST_KEY\"
  sealwax doctor s3://bucket/2026/ --sealwax-profile prod -c tenant=acme
  sealwax doctor s3://bucket --read-only --json | jq 'select(.status != \"ok\")'";

/// Check credentials, Regions, keys, bucket and clock, and say what to do about each.
///
/// With a bucket, a small object is stored in it under `.sealwax-doctor/` and deleted for good, to see what the store honours
/// and whether an object sealed under the keys opens again; --read-only leaves that out. Exits with 1 if a check failed.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DoctorArgs {
    /// The bucket, and a prefix to store the object below
    #[arg(value_name = "s3://BUCKET[/PREFIX]")]
    pub(crate) prefix: Option<Prefix>,

    /// KMS key to check; repeatable
    #[arg(long = "key", value_name = "ARN")]
    pub(crate) keys: Vec<KmsKeyArn>,

    /// Encryption context to check the keys with: their policies may ask for it; repeatable
    #[arg(short = 'c', long = "context", value_name = "NAME=VALUE")]
    pub(crate) context: Vec<Pair>,

    /// Store nothing
    #[arg(long)]
    pub(crate) read_only: bool,

    /// Print one JSON object for each check
    #[arg(long)]
    pub(crate) json: bool,
}
