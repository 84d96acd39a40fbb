//! `sealwax keygen`.

use std::path::PathBuf;

use clap::Args;

use crate::{args::GlobalArgs, console::is_standard_stream, failure::Failure, local_key};

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

/// Makes a local wrapping key.
pub(super) fn run(global: &GlobalArgs, args: KeygenArgs) -> Result<(), Failure> {
    let KeygenArgs { file, name } = args;
    if is_standard_stream(&file) {
        return Err(Failure::usage(
            "a key is not printed, where it would stay in sight: name a new file",
        ));
    }
    let name = local_key::make(&file, name)?;
    if !global.quiet {
        eprintln!(
            "made the local key {name} in {}: keep a copy, for what it wraps is lost without it",
            file.display()
        );
    }
    Ok(())
}
