//! `sealwax head`.

use clap::Args;

use super::LookArgs;

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
    #[command(flatten)]
    pub(crate) look: LookArgs,
}
