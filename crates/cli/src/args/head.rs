//! `sealwax head`.

use clap::Args;
use sealwax_s3::S3Uri;

const EXAMPLES: &str = "\
Examples:
  sealwax head s3://bucket/2026/report.pdf
  sealwax head s3://bucket/2026/report.pdf --json | jq .plaintext_bytes";

/// Show what S3 tells of an object, sealed or not.
///
/// Of a sealed object `sealwax inspect` shows more. No key is used, so nothing that is shown is authenticated.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct HeadArgs {
    /// What to look at
    #[arg(value_name = "s3://BUCKET/KEY")]
    pub(crate) uri: S3Uri,

    /// Look at this version
    #[arg(long, value_name = "ID")]
    pub(crate) version_id: Option<String>,

    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}
