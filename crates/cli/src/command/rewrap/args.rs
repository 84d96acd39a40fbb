//! `sealwax rewrap`.

use clap::{ArgGroup, Args, ValueEnum};
use sealwax_s3::{KeyChanges, KeyStorage};
use serde::{Deserialize, Serialize};

use crate::args::{
    AclArgs, JobArgs, ObjectSource, Prefix, ReaderArgs, S3ecArgs, TypedKey, WrapKey, place,
};

const EXAMPLES: &str = "\
Examples:
  sealwax rewrap s3://bucket/2026/report.pdf --add \"$WEST_KEY\"
  sealwax rewrap s3://bucket-west/2026/report.pdf --replace \"$WEST_KEY\" \\
      --region us-west-2 --replica-of bucket-east
  sealwax rewrap s3://bucket/new/name --add \"$KEY\" \\
      --accept-place bucket/old/name
  sealwax rewrap s3://bucket/2026/report.pdf --local-key archive.key \\
      --add local:archive-2026

Many objects; without --apply, this prints what would be done:
  sealwax rewrap s3://bucket/2026/ --recursive --add \"$WEST_KEY\"
  sealwax rewrap s3://bucket/2026/ --recursive --add \"$WEST_KEY\" --apply
  sealwax rewrap s3://bucket \\
      --inventory s3://inventories/bucket/2026-11-23T00-00Z/manifest.json \\
      --add \"$NEW_KEY\" --remove \"$OLD_KEY\" --save-plan retire.plan
  sealwax rewrap --plan retire.plan --apply --kms-calls-per-second 2000";

/// Change the wrapping keys of objects; their bodies stay.
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
    group = ArgGroup::new("edit").args(["add", "replace", "remove", "refresh"]).multiple(true).conflicts_with("plan"),
    group = ArgGroup::new("what").args(["add", "replace", "remove", "refresh", "plan"]).required(true).multiple(true),
    group = ArgGroup::new("bulk").args(["recursive", "versions", "inventory", "stdin", "plan"]).multiple(true),
)]
pub(crate) struct RewrapArgs {
    /// Object; with an option for many objects, prefix of the keys
    #[arg(value_name = "s3://BUCKET/KEY|/PREFIX", required_unless_present = "plan")]
    pub(crate) prefix: Option<Prefix>,

    /// Add this KMS key, by ARN, key ID or alias, or this local key; repeatable
    #[arg(long, value_name = "KEY|local:NAME")]
    pub(crate) add: Vec<TypedKey>,

    /// Use this key, and remove all keys that are not named by --replace; repeatable
    #[arg(long, value_name = "KEY|local:NAME", conflicts_with_all = ["add", "remove", "refresh"])]
    pub(crate) replace: Vec<TypedKey>,

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
    #[arg(long, value_name = "BUCKET/KEY", value_parser = place, conflicts_with_all = ["bulk", "dry_run"])]
    pub(crate) accept_place: Vec<String>,

    #[command(flatten)]
    pub(crate) options: KeyOptionArgs,

    /// All versions under the prefix; older versions are only reported, because S3 cannot change
    /// them
    #[arg(long, conflicts_with_all = ["inventory", "stdin", "plan"], help_heading = "Many objects")]
    pub(crate) versions: bool,

    #[command(flatten)]
    pub(crate) bulk: JobArgs,

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

impl RewrapArgs {
    /// `true` if the command works on many objects.
    pub(super) fn is_bulk(&self) -> bool {
        self.versions || self.bulk.is_meant()
    }

    /// Returns where the objects are listed, unless a plan names them.
    pub(super) fn source(&self) -> ObjectSource<'_> {
        if self.versions { ObjectSource::Versions } else { self.bulk.source() }
    }
}
