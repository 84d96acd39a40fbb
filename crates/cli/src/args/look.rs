//! One object that is looked at.

use clap::Args;
use sealwax_s3::S3Uri;

/// Which object, and how it is shown.
#[derive(Debug, Args)]
pub(crate) struct LookArgs {
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
