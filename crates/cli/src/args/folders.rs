//! What `put` and `get` do with folders.

use clap::Args;

use crate::filter::FilterArgs;

/// Options about folders.
#[derive(Debug, Args)]
pub(crate) struct FolderArgs {
    /// All that is in the folder, and in its folders
    #[arg(short, long, help_heading = "Folders")]
    pub(crate) recursive: bool,

    /// Leave out what is there already: as long, modified at the same time; for put also of the same encryption context and
    /// under the same keys
    ///
    /// The time of the file is in the object's own metadata, as `mtime`, with every object that was put with --recursive or
    /// this option; `get` gives it to the file. None of it is authenticated: whoever can write to the bucket, or to the
    /// folder, can make an object look unchanged.
    #[arg(short = 'u', long, help_heading = "Folders")]
    pub(crate) skip_unchanged: bool,

    #[command(flatten)]
    pub(crate) filter: FilterArgs,

    /// Say what would be done, and do nothing
    #[arg(short = 'n', long, help_heading = "Folders")]
    pub(crate) dry_run: bool,

    /// How many objects are worked on together; all of them share one memory budget
    #[arg(long, value_name = "NUMBER", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..), help_heading = "Folders")]
    pub(crate) concurrency: u16,
}
