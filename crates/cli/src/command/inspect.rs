//! `sealwax inspect`.

use clap::{Args, builder::NonEmptyStringValueParser};

use crate::{
    args::SingleObjectArgs, console::Lines, failure::Failure, object_report::ObjectReport,
    session::Session,
};

const EXAMPLES: &str = "\
Examples:
  sealwax inspect s3://bucket/2026/report.pdf
  sealwax inspect s3://bucket/2026/report.pdf --json | jq -r '.keys[].wrapping_key'";

/// Show a sealed object's header and metadata, without using a key.
///
/// Makes no KMS call, so the output is not authenticated.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct InspectArgs {
    #[command(flatten)]
    pub(crate) object: SingleObjectArgs,

    /// Suffix of the instruction file that the S3 Encryption Client may have written [default:
    /// .instruction]
    #[arg(long, value_name = "SUFFIX", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) instruction_file_suffix: Option<String>,
}

/// Shows a sealed object's header and metadata.
pub(super) async fn run(session: &Session, args: InspectArgs) -> Result<(), Failure> {
    let InspectArgs { object: SingleObjectArgs { uri, version_id, json }, instruction_file_suffix } =
        args;
    let client = session.client(&uri, session.keyrings().empty());
    let mut head = client.head().uri(&uri);
    if let Some(version_id) = version_id {
        head = head.version_id(version_id);
    }
    if let Some(suffix) = instruction_file_suffix {
        head = head.instruction_file_suffix(suffix);
    }
    let report = ObjectReport::new(&uri, head.send().await?);
    let mut lines = Lines::new();
    if json {
        lines.json(&report)?;
    } else {
        lines.text(&report.to_string())?;
    }
    lines.finish()
}
