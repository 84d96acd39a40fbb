//! `sealwax rewrap`.

use std::path::PathBuf;

use clap::{ArgGroup, Args, ValueEnum};
use sealwax_jobs::listing::ManifestLocation;
use sealwax_s3::KeyStorage;
use serde::{Deserialize, Serialize};

use crate::args::{ObjectSource, Prefix, ReaderArgs, S3ecArgs, WrapKey, place};

const EXAMPLES: &str = "\
Examples:
  sealwax rewrap s3://bucket/2026/report.pdf --add \"$WEST_KEY\"
  sealwax rewrap s3://bucket-west/2026/report.pdf --replace \"$WEST_KEY\" \\
      --region us-west-2 --replica-of bucket-east
  sealwax rewrap s3://bucket/new/name --add \"$KEY\" --accept-place bucket/old/name
  sealwax rewrap s3://bucket/2026/report.pdf --local-key archive.key --add local:archive-2026

Many objects; without --apply, it is said what would be done, and nothing is changed:
  sealwax rewrap s3://bucket/2026/ --recursive --add \"$WEST_KEY\"
  sealwax rewrap s3://bucket/2026/ --recursive --add \"$WEST_KEY\" --apply
  sealwax rewrap s3://bucket --inventory s3://inventories/bucket/daily/2026-11-23T00-00Z/manifest.json \\
      --add \"$NEW_KEY\" --remove \"$OLD_KEY\" --save-plan retire.plan
  sealwax rewrap --plan retire.plan --apply --kms-calls-per-second 2000";

/// Wrap the data keys of objects anew; the bodies stay as they are.
///
/// The new metadata lands by a copy inside S3, on the condition that the object did not change meanwhile. In a versioned
/// bucket older versions keep their keys. An object of the S3 Encryption Client has one wrapping key: use --replace or
/// --refresh.
///
/// One object is rewrapped at once. Of many, it is said what would be done, until --apply is given.
#[derive(Debug, Args)]
#[command(
    after_help = EXAMPLES,
    group = ArgGroup::new("edit").args(["add", "replace", "remove", "refresh"]).multiple(true),
    group = ArgGroup::new("what").args(["add", "replace", "remove", "refresh", "plan"]).required(true).multiple(true),
    group = ArgGroup::new("bulk").args(["recursive", "versions", "inventory", "stdin", "plan"]).multiple(true),
)]
pub(crate) struct RewrapArgs {
    /// What to rewrap; with one of the options for many objects, what the keys begin with
    #[arg(value_name = "s3://BUCKET/KEY|/PREFIX", required_unless_present = "plan")]
    pub(crate) prefix: Option<Prefix>,

    /// Wrap the data key under this KMS key too, or the key of --local-key; repeatable
    #[arg(long, value_name = "ARN|local:NAME")]
    pub(crate) add: Vec<WrapKey>,

    /// Wrap the data key under this key, and drop all that are not named so; repeatable
    #[arg(long, value_name = "ARN|local:NAME", conflicts_with_all = ["add", "remove", "refresh"])]
    pub(crate) replace: Vec<WrapKey>,

    /// Wrap the data key anew under the newest material of the same KMS keys, where KMS has rotated them
    #[arg(long)]
    pub(crate) refresh: bool,

    /// Store the new keys in a sidecar beside the object, which stays as it is: always, or where it is locked or archived
    /// (`needed`). Only readers with --sidecars find them
    #[arg(
        long, value_name = "WHEN", num_args = 0..=1, require_equals = true, default_value = "never",
        default_missing_value = "always", conflicts_with = "plan",
    )]
    pub(crate) to_sidecar: SidecarWhen,

    /// Drop this key, unless it is the last one; repeatable, and done after --add
    #[arg(long, value_name = "ARN|local:NAME")]
    pub(crate) remove: Vec<WrapKey>,

    /// Accept wrapped keys that are bound to this place: the object was moved from there on purpose; repeatable
    #[arg(long, value_name = "BUCKET/KEY", value_parser = place, conflicts_with = "bulk")]
    pub(crate) accept_place: Vec<String>,

    #[command(flatten)]
    pub(crate) bulk: BulkArgs,

    #[command(flatten)]
    pub(crate) reader: ReaderArgs,

    #[command(flatten)]
    pub(crate) s3ec: S3ecArgs,
}

/// When new keys are stored in a sidecar.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum SidecarWhen {
    #[default]
    Never,
    Needed,
    Always,
}

impl From<SidecarWhen> for KeyStorage {
    fn from(when: SidecarWhen) -> Self {
        match when {
            SidecarWhen::Never => Self::Metadata,
            SidecarWhen::Needed => Self::SidecarWhereNeeded,
            SidecarWhen::Always => Self::Sidecar,
        }
    }
}

/// How many objects are rewrapped.
#[derive(Debug, Args)]
#[command(next_help_heading = "Many objects")]
pub(crate) struct BulkArgs {
    /// All objects whose keys begin so
    #[arg(short, long, conflicts_with_all = ["inventory", "stdin", "plan"])]
    pub(crate) recursive: bool,

    /// All of their versions: those that are not the newest are reported, for S3 cannot change them
    #[arg(long, conflicts_with_all = ["inventory", "stdin", "plan"])]
    pub(crate) versions: bool,

    /// Those of an S3 Inventory: its `manifest.json`, in S3 or in a local directory; objects of other prefixes are left out
    #[arg(long, value_name = "MANIFEST", conflicts_with_all = ["stdin", "plan"])]
    pub(crate) inventory: Option<ManifestLocation>,

    /// Those that standard input names, a line each: a key of the bucket, `s3://BUCKET/KEY`, or JSON with `key` and perhaps
    /// `version_id`
    #[arg(long, conflicts_with = "plan")]
    pub(crate) stdin: bool,

    /// Those of a plan, which also says what to change, and with which keys to read
    #[arg(long, value_name = "FILE", conflicts_with_all = ["prefix", "edit", "keys", "accounts", "save_plan"])]
    pub(crate) plan: Option<PathBuf>,

    /// Write what would be done to this file: the plan
    #[arg(long, value_name = "FILE", requires = "bulk", conflicts_with = "apply")]
    pub(crate) save_plan: Option<PathBuf>,

    /// Do it
    #[arg(long, requires = "bulk")]
    pub(crate) apply: bool,

    /// Keep the journal in this file, instead of one in the user's state directory
    ///
    /// After a crash or an interrupt, the same command again goes on where it stopped. The file in the state directory, which
    /// is `$XDG_STATE_HOME/sealwax`, else `~/.local/state/sealwax`, is deleted when all objects are done.
    #[arg(long, value_name = "PATH", requires = "apply")]
    pub(crate) journal: Option<PathBuf>,

    /// Work on so many objects at once, at most: fewer at first, and fewer when S3 or KMS asks to slow down
    #[arg(long, value_name = "NUMBER", default_value_t = 128, value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub(crate) concurrency: u16,

    /// Call KMS at most so often a second, in each Region
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) kms_calls_per_second: Option<u32>,

    /// Estimate time and cost with these prices and quotas: a JSON file
    #[arg(long, value_name = "FILE", requires = "bulk", conflicts_with = "apply")]
    pub(crate) prices: Option<PathBuf>,

    /// Print one JSON object a line, the counts last
    #[arg(long, requires = "bulk")]
    pub(crate) json: bool,
}

impl BulkArgs {
    /// `true` if the command works on many objects.
    pub(crate) fn is_meant(&self) -> bool {
        self.recursive
            || self.versions
            || self.inventory.is_some()
            || self.stdin
            || self.plan.is_some()
    }

    /// Returns where the objects are listed, unless a plan names them.
    pub(super) fn source(&self) -> ObjectSource<'_> {
        match &self.inventory {
            Some(manifest) => ObjectSource::Inventory(manifest),
            None if self.stdin => ObjectSource::Stdin,
            None if self.versions => ObjectSource::Versions,
            None => ObjectSource::Prefix,
        }
    }

    /// Returns the listing's name. It is part of the job's identity, so it must stay the same.
    pub(super) fn listing_name(&self, prefix: &Prefix) -> String {
        match self.source() {
            ObjectSource::Inventory(manifest) => format!("the inventory {manifest} of {prefix}"),
            ObjectSource::Stdin => format!("standard input, of {prefix}"),
            ObjectSource::Versions => format!("all versions of {prefix}"),
            ObjectSource::Prefix | ObjectSource::Exact => prefix.to_string(),
        }
    }
}
