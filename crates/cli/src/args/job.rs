//! Arguments of jobs that change many objects.

use std::path::PathBuf;

use clap::Args;
use sealwax_jobs::listing::ManifestLocation;

use super::ObjectSource;

/// Arguments of a job that changes many objects.
///
/// A command defines the group `bulk`, of the arguments that select many objects.
#[derive(Debug, Args)]
#[command(next_help_heading = "Many objects")]
pub(crate) struct JobArgs {
    /// All objects under the prefix
    #[arg(short, long, conflicts_with_all = ["inventory", "stdin", "plan"])]
    pub(crate) recursive: bool,

    /// Objects of an S3 Inventory: its `manifest.json`, in S3 or a local directory; objects with
    /// another prefix are skipped
    #[arg(long, value_name = "MANIFEST", conflicts_with_all = ["stdin", "plan"])]
    pub(crate) inventory: Option<ManifestLocation>,

    /// Objects that standard input lists, one a line: a key, `s3://BUCKET/KEY`, or JSON with `key`
    /// and optionally `version_id`
    #[arg(long, conflicts_with = "plan")]
    pub(crate) stdin: bool,

    /// Objects of a plan, which also contains what to change and the keys to read with
    #[arg(long, value_name = "FILE", conflicts_with_all = ["prefix", "keys", "accounts", "save_plan"])]
    pub(crate) plan: Option<PathBuf>,

    /// Write the plan to this file
    #[arg(long, value_name = "FILE", requires = "bulk", conflicts_with = "apply")]
    pub(crate) save_plan: Option<PathBuf>,

    /// Change the objects; without it, print what would be done
    #[arg(long, requires = "bulk")]
    pub(crate) apply: bool,

    /// Print what would be done, and change nothing; for many objects, this is the default
    #[arg(short = 'n', long, conflicts_with = "apply")]
    pub(crate) dry_run: bool,

    /// Journal file [default: a file in the user's state directory]
    ///
    /// After a crash or an interrupt, the same command resumes the job: it skips the objects that are
    /// still as the job left them. A journal in the state directory (`$XDG_STATE_HOME/sealwax`, else
    /// `~/.local/state/sealwax`) is deleted when every object was tried.
    #[arg(long, value_name = "PATH", requires = "apply")]
    pub(crate) journal: Option<PathBuf>,

    /// Maximum number of objects in parallel; it starts lower, and drops when S3 or KMS throttles
    /// [default: 128; to re-encrypt, 64]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub(crate) concurrency: Option<u16>,

    /// Maximum KMS calls per second in each Region
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) kms_calls_per_second: Option<u32>,

    /// JSON file with prices and quotas, for the estimate of time and cost
    #[arg(long, value_name = "FILE", requires = "bulk", conflicts_with = "apply")]
    pub(crate) prices: Option<PathBuf>,

    /// Print one JSON object per line; for many objects, the counts last
    #[arg(long)]
    pub(crate) json: bool,
}

impl JobArgs {
    /// `true` if the command works on many objects, or tells what it would do to one.
    pub(crate) fn is_meant(&self) -> bool {
        self.dry_run
            || self.recursive
            || self.inventory.is_some()
            || self.stdin
            || self.plan.is_some()
    }

    /// Returns where the objects are listed, unless a plan names them.
    pub(crate) fn source(&self) -> ObjectSource<'_> {
        match &self.inventory {
            Some(manifest) => ObjectSource::Inventory(manifest),
            None if self.stdin => ObjectSource::Stdin,
            None if self.recursive => ObjectSource::Prefix,
            None => ObjectSource::Single,
        }
    }
}
