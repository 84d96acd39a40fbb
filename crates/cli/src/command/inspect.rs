//! `sealwax inspect`.

use clap::Args;

use crate::{
    args::{InstructionFileArgs, SingleObjectArgs},
    console::Lines,
    failure::Failure,
    object_report::ObjectReport,
    session::Session,
};

const EXAMPLES: &str = "\
Examples:
  sealwax inspect s3://bucket/2026/report.pdf
  sealwax inspect s3://bucket/2026/report.pdf --json |
      jq -r '.keys[].wrapping_key'";

/// Show a sealed object's header, metadata and claimed keys.
///
/// No key is used: there is no KMS call, so the output is not authenticated. With --sidecars, the keys of the object's
/// sidecar are shown too.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct InspectArgs {
    #[command(flatten)]
    pub(crate) object: SingleObjectArgs,

    #[command(flatten)]
    pub(crate) file: InstructionFileArgs,
}

/// Shows a sealed object's header and metadata.
pub(super) async fn run(session: &Session, args: InspectArgs) -> Result<(), Failure> {
    let InspectArgs { object: SingleObjectArgs { uri, version_id, json }, file } = args;
    let client = session.client_builder(&uri, session.keyrings().empty());
    let client = client.s3ec(file.settings()).build();
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
