//! `sealwax inspect`.

use clap::{Args, builder::NonEmptyStringValueParser};

use super::LookArgs;

const EXAMPLES: &str = "\
Examples:
  sealwax inspect s3://bucket/2026/report.pdf
  sealwax inspect s3://bucket/2026/report.pdf --json | jq -r '.keys[].wrapping_key'";

/// Show what is known of an object without any key.
///
/// No call to KMS is made, so nothing that is shown is authenticated.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct InspectArgs {
    #[command(flatten)]
    pub(crate) look: LookArgs,

    /// What follows the object's key in that of its instruction file, if the S3 Encryption Client wrote one [default:
    /// .instruction]
    #[arg(long, value_name = "SUFFIX", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) instruction_file_suffix: Option<String>,
}
