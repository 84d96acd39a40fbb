//! Incomplete files of killed processes.

use std::path::Path;

/// Removes what killed processes left beside this file. Returns the number of files.
///
/// Every command calls it before it creates a file: downloads, plans, reports, manifests, keys,
/// manual pages and state files are written under such names.
pub(crate) fn remove_leftovers(path: &Path) -> u64 {
    let folder = path.parent().unwrap_or(Path::new(""));
    // A folder that cannot be listed can be written all the same.
    sealwax_files::remove_leftovers(folder).unwrap_or_default()
}
