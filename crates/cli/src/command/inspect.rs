//! `sealwax inspect`.

use clap::{Args, builder::NonEmptyStringValueParser};
use sealwax_s3::s3ec::S3ec;

use crate::{
    args::SingleObjectArgs, console::Lines, failure::Failure, object_report::ObjectReport,
    session::Session,
};

const EXAMPLES: &str = "\
Examples:
  sealwax inspect s3://bucket/2026/report.pdf
  sealwax inspect s3://bucket/2026/report.pdf --json | jq -r '.keys[].wrapping_key'";

/// Show a sealed object's header and metadata, and the keys it claims, without using a key.
///
/// Makes no KMS call, so the output is not authenticated. With --sidecars, the keys of the object's
/// sidecar are shown too.
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
    let mut client = session.client_builder(&uri, session.keyrings().empty());
    if let Some(suffix) = instruction_file_suffix {
        client = client.s3ec(S3ec::new().instruction_file_suffix(suffix));
    }
    let client = client.build();
    let (mut head, mut inspect) = (client.head().uri(&uri), client.inspect().uri(&uri));
    if let Some(version_id) = version_id {
        head = head.version_id(&version_id);
        inspect = inspect.version_id(version_id);
    }
    let info = head.send().await?;
    let keys = match info.header() {
        Some(_) => Some(inspect.send().await?),
        None => None,
    };
    let report = ObjectReport::new(&uri, info, keys);
    let mut lines = Lines::new();
    if json {
        lines.json(&report)?;
    } else {
        lines.text(&report.to_string())?;
    }
    lines.finish()
}
