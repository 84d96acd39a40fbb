//! `sealwax audit`.

use std::path::PathBuf;

use clap::{ArgGroup, Args};
use sealwax_s3::KmsKeyArn;

use crate::args::{KeyId, ObjectsArgs, ReaderArgs, S3ecPolicyArgs};

const EXAMPLES: &str = "\
Examples:
  sealwax audit s3://bucket
  sealwax audit s3://bucket/2026/ --lacks us-west-2
  sealwax audit s3://bucket \\
      --inventory s3://inventories/bucket/2026-11-23T00-00Z/manifest.json

Before a key goes, for a monitor, and for `rewrap --refresh`:
  sealwax audit s3://bucket --versions --prove --depends-on \"$OLD_KEY\"
  sealwax audit s3://bucket --versions --intermediate-key \"$ID\"
  sealwax audit s3://bucket --prove --lacks us-west-2 --fail-if-any \\
      --report audits/
  sealwax audit s3://bucket --stale --json | jq -r .object";

/// Count or list objects by the keys they claim.
///
/// Without --lacks, --depends-on, --intermediate-key, --unsealed, --stale or --list, prints counts by
/// format, wrapping key, Region and intermediate key. With any of them, prints one line for each
/// matching object. Without --prove, keys are what the metadata claims, and anyone who can write to the
/// bucket can claim them. A key counts only if it is bound to the object's place, or with --replica-of
/// to the source's.
#[derive(Debug, Args)]
#[command(
    after_help = EXAMPLES,
    group = ArgGroup::new("question").args(["lacks", "depends_on", "intermediate_key", "unsealed", "stale"]).multiple(true),
)]
pub(crate) struct AuditArgs {
    #[command(flatten)]
    pub(crate) objects: ObjectsArgs,

    /// List sealed objects without a KMS key in this Region, or without a proven one with --prove;
    /// repeatable: without one in any of them
    ///
    /// Objects of the S3 Encryption Client don't name their wrapping key. They are listed as unknown,
    /// and the exit code is 7 or 8, unless --prove finds the key.
    #[arg(long, value_name = "REGION", help_heading = "Objects to list")]
    pub(crate) lacks: Vec<String>,

    /// List objects that claim this KMS key or a replica of it, and whether it is the only key;
    /// repeatable
    ///
    /// An object may also claim it for another place. Objects of the S3 Encryption Client don't name
    /// their wrapping key. They are listed as unknown, and the exit code is 7 or 8, unless --prove
    /// finds the key. With --prove, a disproved key doesn't count, and no other key counts unless it
    /// was proven or unwrapped.
    #[arg(long, value_name = "ARN", help_heading = "Objects to list")]
    pub(crate) depends_on: Vec<KmsKeyArn>,

    /// With --depends-on: only objects that no other key opens, as far as is known
    #[arg(long, requires = "depends_on", help_heading = "Objects to list")]
    pub(crate) solely: bool,

    /// List objects under this intermediate key, by its id or as `sealwax keys ls` shows it; repeatable:
    /// under any of them
    ///
    /// Metadata and sidecars name the id, whether the key is detached or not; --sidecars reads those.
    /// With --versions, these are the objects that `sealwax keys shred` shreds if the key is detached.
    #[arg(long, value_name = "ID", allow_hyphen_values = true, help_heading = "Objects to list")]
    pub(crate) intermediate_key: Vec<KeyId>,

    /// List objects that are not sealed
    #[arg(long, help_heading = "Objects to list")]
    pub(crate) unsealed: bool,

    /// List objects wrapped under an older or unknown key material of a KMS key; calls KMS as
    /// --key-material does
    #[arg(long, help_heading = "Objects to list")]
    pub(crate) stale: bool,

    /// List all objects
    #[arg(long, help_heading = "Objects to list")]
    pub(crate) list: bool,

    /// Exit with code 9 if an object is listed and none failed, for monitoring
    ///
    /// Code 0 then says that every object was examined, and none matches. Codes 7 and 8 say that some
    /// or all could not be examined, or do not name their keys, whatever is listed.
    #[arg(long, requires = "question", help_heading = "Objects to list")]
    pub(crate) fail_if_any: bool,

    /// Unwrap each claimed key, and check that it opens the object
    ///
    /// Costs one `Decrypt` call per wrapped key; objects that share an intermediate key share one
    /// call. Only keys in the caller's own account are used, unless --key or --account is given. A
    /// key that doesn't open its object fails the audit, as does one that KMS can't be asked about.
    /// KMS also names the key of an object of the S3 Encryption Client. V2 and V1 don't commit to the
    /// data key, so their keys are reported as unwrapped, not proven; --commitment-policy and the
    /// legacy options say which of these objects are read.
    #[arg(long, help_heading = "Calls to KMS")]
    pub(crate) prove: bool,

    /// Ask KMS which key material wrapped each object, as `rewrap --refresh` does after a rotation
    ///
    /// Costs one `ReEncrypt` call per wrapped key, whose result is discarded; objects that share an
    /// intermediate key share one call. Only keys in the caller's own account are used, unless
    /// --key or --account is given. Objects of the S3 Encryption Client don't name their wrapping
    /// key, so they are left out.
    #[arg(long, help_heading = "Calls to KMS")]
    pub(crate) key_material: bool,

    /// Maximum KMS calls per second in each Region
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Calls to KMS")]
    pub(crate) kms_calls_per_second: Option<u32>,

    #[command(flatten)]
    pub(crate) reader: ReaderArgs,

    #[command(flatten)]
    pub(crate) s3ec: S3ecPolicyArgs,

    /// Assume that multi-Region keys have a replica in this Region; repeatable
    #[arg(long, value_name = "REGION")]
    pub(crate) replicated_to: Vec<String>,

    /// Print one JSON object per line, the counts last
    #[arg(long)]
    pub(crate) json: bool,

    /// Also write a report to PATH.json, PATH.md and PATH.html, or to files with the time in their
    /// names if PATH is a folder
    ///
    /// A report never replaces an earlier one.
    #[arg(long, value_name = "PATH")]
    pub(crate) report: Option<PathBuf>,
}
