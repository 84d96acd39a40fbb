//! Files with keys: local keys and raw keys of the S3 Encryption Client.

use std::path::Path;

use sealwax_files::{Exposure, KeyFile};

use crate::failure::{Exit, Failure};

/// Reads a key file of at most `max_len` bytes; `what` is its kind in messages.
///
/// # Errors
/// The file cannot be read.
pub(crate) fn read(what: &str, path: &Path, max_len: usize) -> Result<KeyFile, Failure> {
    KeyFile::read(path, max_len)
        .map_err(|error| Failure::io(&format!("cannot read {what} {}", path.display()), error))
}

/// Returns the failure for a key file that other users have access to.
pub(crate) fn exposed(what: &str, path: &Path, exposure: Exposure) -> Failure {
    let advice = match exposure {
        Exposure::Owner(_) => "copy the key to a file of your own, with mode 600",
        _ => "run chmod 600 on it, and consider who may have read or changed it",
    };
    let error = format!("cannot use {what} {}: {exposure}", path.display());
    Failure::new(Exit::Usage, error, advice)
}
