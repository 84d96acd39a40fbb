//! `sealwax keygen`.

use super::is_standard_stream;
use crate::{
    args::{GlobalArgs, KeygenArgs},
    error::Failure,
    local_key,
};

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
