//! `sealwax keygen`.

use std::path::PathBuf;

use clap::Args;

use crate::{
    args::GlobalArgs,
    console::{is_standard_stream, print_json},
    failure::Failure,
    local_key,
};

const EXAMPLES: &str = "\
Examples:
  sealwax keygen archive.key
  sealwax put report.pdf s3://bucket/report.pdf --local-key archive.key";

/// Create a local wrapping key, beside or instead of KMS keys.
///
/// It is used with --local-key. The file contains a 256-bit key and is readable by its owner only. Keep copies: if the key is
/// lost, so are all objects that no other key wraps. Use of the key is not logged, and the key
/// cannot be disabled.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct KeygenArgs {
    /// New file; an existing file is never overwritten
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    /// Name of the key, stored with each object: one word [default: a random name]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,

    /// Print one JSON object, with the key's name
    #[arg(long)]
    pub(crate) json: bool,
}

/// Creates a local wrapping key.
pub(super) fn run(global: &GlobalArgs, args: KeygenArgs) -> Result<(), Failure> {
    let KeygenArgs { file, name, json } = args;
    if is_standard_stream(&file) {
        return Err(Failure::usage("cannot write a key to standard output: pass a new file"));
    }
    let name = local_key::make(&file, name)?;
    if json {
        let file = file.to_string_lossy();
        print_json(&serde_json::json!({ "file": file, "name": name }));
    }
    if !global.quiet {
        eprintln!(
            "created local key {name} in {}: keep a copy, because objects that only it wraps are lost without it",
            file.display()
        );
    }
    Ok(())
}
