//! `sealwax rewrap`.

use std::path::PathBuf;

use clap::{ArgGroup, Args, ValueEnum};
use sealwax_jobs::listing::ManifestLocation;
use sealwax_s3::{KeyChanges, KeyStorage};
use serde::{Deserialize, Serialize};

use crate::args::{AclArgs, ObjectSource, Prefix, ReaderArgs, S3ecArgs, WrapKey, place};

const EXAMPLES: &str = "\
Examples:
  sealwax rewrap s3://bucket/2026/report.pdf --add \"$WEST_KEY\"
  sealwax rewrap s3://bucket-west/2026/report.pdf --replace \"$WEST_KEY\" \\
      --region us-west-2 --replica-of bucket-east
  sealwax rewrap s3://bucket/new/name --add \"$KEY\" --accept-place bucket/old/name
  sealwax rewrap s3://bucket/2026/report.pdf --local-key archive.key --add local:archive-2026

Many objects; without --apply, this prints what would be done and changes nothing:
  sealwax rewrap s3://bucket/2026/ --recursive --add \"$WEST_KEY\"
  sealwax rewrap s3://bucket/2026/ --recursive --add \"$WEST_KEY\" --apply
  sealwax rewrap s3://bucket --inventory s3://inventories/bucket/daily/2026-11-23T00-00Z/manifest.json \\
      --add \"$NEW_KEY\" --remove \"$OLD_KEY\" --save-plan retire.plan
  sealwax rewrap --plan retire.plan --apply --kms-calls-per-second 2000";

/// Change the wrapping keys of objects, without changing their bodies.
///
/// S3 copies the object onto itself with the new metadata, on condition that it has not changed
/// since. In a versioned bucket, older versions keep their keys. An object of the S3 Encryption
/// Client has one wrapping key: use --replace or --refresh.
///
/// A single object is rewrapped immediately. For many objects, the command prints what would be
/// done until --apply is given.
#[derive(Debug, Args)]
#[command(
    after_help = EXAMPLES,
    group = ArgGroup::new("edit").args(["add", "replace", "remove", "refresh"]).multiple(true),
    group = ArgGroup::new("what").args(["add", "replace", "remove", "refresh", "plan"]).required(true).multiple(true),
    group = ArgGroup::new("bulk").args(["recursive", "versions", "inventory", "stdin", "plan"]).multiple(true),
)]
pub(crate) struct RewrapArgs {
    /// Object; with an option for many objects, prefix of the keys
    #[arg(value_name = "s3://BUCKET/KEY|/PREFIX", required_unless_present = "plan")]
    pub(crate) prefix: Option<Prefix>,

    /// Add this KMS key or local key; repeatable
    #[arg(long, value_name = "ARN|local:NAME")]
    pub(crate) add: Vec<WrapKey>,

    /// Use this key, and remove all keys that are not named by --replace; repeatable
    #[arg(long, value_name = "ARN|local:NAME", conflicts_with_all = ["add", "remove", "refresh"])]
    pub(crate) replace: Vec<WrapKey>,

    /// Rewrap under the current key material of the same KMS keys, after a rotation
    #[arg(long)]
    pub(crate) refresh: bool,

    /// Store the new keys in a sidecar beside the unchanged object: always, or only if the object
    /// is locked or archived (`needed`). Only readers with --sidecars find them
    #[arg(
        long, value_name = "WHEN", num_args = 0..=1, require_equals = true, default_value = "never",
        default_missing_value = "always", conflicts_with = "plan",
    )]
    pub(crate) to_sidecar: SidecarWhen,

    /// Remove this key, unless it is the last one; repeatable, and done after --add
    #[arg(long, value_name = "ARN|local:NAME")]
    pub(crate) remove: Vec<WrapKey>,

    /// Accept wrapped keys bound to this place, from which the object was moved deliberately;
    /// repeatable
    #[arg(long, value_name = "BUCKET/KEY", value_parser = place, conflicts_with = "bulk")]
    pub(crate) accept_place: Vec<String>,

    #[command(flatten)]
    pub(crate) options: KeyOptionArgs,

    #[command(flatten)]
    pub(crate) bulk: BulkArgs,

    #[command(flatten)]
    pub(crate) reader: ReaderArgs,

    #[command(flatten)]
    pub(crate) s3ec: S3ecArgs,

    #[command(flatten)]
    pub(crate) acl: AclArgs,
}

/// Options of key changes.
#[derive(Debug, Clone, Copy, Default, Args, Serialize, Deserialize)]
pub(crate) struct KeyOptionArgs {
    /// Remove keys even if no key that stays could be shown to open the object, for a role that may
    /// not decrypt. Without it, such an object keeps its old keys
    #[arg(long, conflicts_with = "plan")]
    #[serde(default)]
    pub(crate) unproven: bool,

    /// Unwrap keys to add that are present already, and replace those that do not open the object
    #[arg(long, requires = "add", conflicts_with = "plan")]
    #[serde(default)]
    pub(crate) prove: bool,

    /// With --replica-of: bind the requested keys to the replica's own place, even if the object has
    /// them bound to its place in the source
    #[arg(long, conflicts_with = "plan")]
    #[serde(default)]
    pub(crate) rebind: bool,
}

impl KeyOptionArgs {
    /// Sets these options of `changes`.
    pub(crate) fn on(self, mut changes: KeyChanges) -> KeyChanges {
        if self.unproven {
            changes = changes.dangerous_allow_unproven();
        }
        if self.prove {
            changes = changes.prove_present();
        }
        if self.rebind {
            changes = changes.rebind();
        }
        changes
    }
}

/// Condition under which new keys are stored in a sidecar.
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

/// Arguments of a bulk rewrap.
#[derive(Debug, Args)]
#[command(next_help_heading = "Many objects")]
pub(crate) struct BulkArgs {
    /// All objects under the prefix
    #[arg(short, long, conflicts_with_all = ["inventory", "stdin", "plan"])]
    pub(crate) recursive: bool,

    /// All versions under the prefix; older versions are only reported, because S3 cannot change
    /// them
    #[arg(long, conflicts_with_all = ["inventory", "stdin", "plan"])]
    pub(crate) versions: bool,

    /// Objects of an S3 Inventory: its `manifest.json`, in S3 or a local directory; objects with
    /// another prefix are skipped
    #[arg(long, value_name = "MANIFEST", conflicts_with_all = ["stdin", "plan"])]
    pub(crate) inventory: Option<ManifestLocation>,

    /// Objects that standard input lists, one a line: a key, `s3://BUCKET/KEY`, or JSON with `key`
    /// and optionally `version_id`
    #[arg(long, conflicts_with = "plan")]
    pub(crate) stdin: bool,

    /// Objects of a plan, which also contains the key changes and the keys to read with
    #[arg(long, value_name = "FILE", conflicts_with_all = ["prefix", "edit", "keys", "accounts", "acl", "save_plan"])]
    pub(crate) plan: Option<PathBuf>,

    /// Write the plan to this file
    #[arg(long, value_name = "FILE", requires = "bulk", conflicts_with = "apply")]
    pub(crate) save_plan: Option<PathBuf>,

    /// Rewrap the objects
    #[arg(long, requires = "bulk")]
    pub(crate) apply: bool,

    /// Journal file [default: a file in the user's state directory]
    ///
    /// After a crash or an interrupt, the same command resumes the job: it skips the objects that are
    /// still as the job left them. A journal in the state directory (`$XDG_STATE_HOME/sealwax`, else
    /// `~/.local/state/sealwax`) is deleted when every object was tried.
    #[arg(long, value_name = "PATH", requires = "apply")]
    pub(crate) journal: Option<PathBuf>,

    /// Maximum number of objects in parallel; it starts lower, and drops when S3 or KMS throttles
    #[arg(long, value_name = "NUMBER", default_value_t = 128, value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub(crate) concurrency: u16,

    /// Maximum KMS calls per second in each Region
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) kms_calls_per_second: Option<u32>,

    /// JSON file with prices and quotas, for the estimate of time and cost
    #[arg(long, value_name = "FILE", requires = "bulk", conflicts_with = "apply")]
    pub(crate) prices: Option<PathBuf>,

    /// Print one JSON object per line, the counts last
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
            ObjectSource::Prefix => prefix.to_string(),
        }
    }
}
