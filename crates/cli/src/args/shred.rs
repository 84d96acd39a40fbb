//! `sealwax shred`.

use clap::Args;
use sealwax_s3::S3Uri;

use crate::pair::Pair;

const EXAMPLES: &str = "\
Examples:
  sealwax shred s3://bucket/2026/report.pdf                  # says what holds a key, and changes nothing
  sealwax shred s3://bucket/2026/report.pdf --delete-versions --replica bucket-west=us-west-2 \\
      --confirm s3://bucket/2026/report.pdf";

/// Remove an object's last keys, for good: nobody can read it afterwards.
///
/// S3 changes no version in place. The newest version gets a successor without keys; the versions before it hold their
/// keys until they are deleted (--delete-versions), and a replica until it is shredded itself. Without --confirm what
/// holds a key is listed, and on a terminal the object's name is asked for; without a terminal nothing is changed.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ShredArgs {
    /// What to shred
    #[arg(value_name = "s3://BUCKET/KEY")]
    pub(crate) uri: S3Uri,

    /// The object once more, to say that it is meant
    #[arg(long, value_name = "s3://BUCKET/KEY")]
    pub(crate) confirm: Option<String>,

    /// Delete the versions that hold keys, of the object and of its sidecar
    #[arg(long)]
    pub(crate) delete_versions: bool,

    /// Look for keys in this replica bucket of that Region too; repeatable. Nothing is changed there
    #[arg(long, value_name = "BUCKET=REGION")]
    pub(crate) replica: Vec<Pair>,

    /// Print one JSON object for each version that holds a key
    #[arg(long)]
    pub(crate) json: bool,
}
