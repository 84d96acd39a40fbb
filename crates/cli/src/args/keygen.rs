//! `sealwax keygen`.

use std::path::PathBuf;

use clap::Args;

const EXAMPLES: &str = "\
Examples:
  sealwax keygen archive.key
  sealwax put report.pdf s3://bucket/report.pdf --local-key archive.key";

/// Make a local wrapping key, to be used by --local-key beside or instead of keys of KMS.
///
/// The file holds a key of 256 bits and can be read by its owner alone. Keep copies: when it is lost, so is all that no other
/// key wraps. Nobody's use of it is logged, and nobody can disable it.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct KeygenArgs {
    /// The new file; one that exists is never overwritten
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    /// The key's name, which is stored with each object: a word. Without it, one is made up
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
}
