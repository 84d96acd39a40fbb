//! `sealwax audit`.

use clap::Args;
use sealwax_s3::KmsKeyArn;

use crate::args::{ObjectsArgs, ReaderArgs};

const EXAMPLES: &str = "\
Examples:
  sealwax audit s3://bucket
  sealwax audit s3://bucket/2026/ --lacks us-west-2
  sealwax audit s3://bucket --versions --depends-on \"$OLD_KEY\" --json | jq -r .object
  sealwax audit s3://bucket --stale --json | jq -r .object       # what `rewrap --refresh` is for
  sealwax audit s3://bucket --inventory s3://inventories/bucket/daily/2026-11-23T00-00Z/manifest.json";

/// Tell which keys objects depend on, and which objects are not sealed.
///
/// Without --lacks, --depends-on, --unsealed, --stale or --list: counts by format, wrapping key and Region. With them:
/// the objects that are meant, a line each, and the counts on standard error. Without --key-material and --stale no key
/// is used, so nothing that is shown is authenticated.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct AuditArgs {
    #[command(flatten)]
    pub(crate) objects: ObjectsArgs,

    /// List the sealed objects that have no KMS key in this Region; repeatable: in any of these
    #[arg(long, value_name = "REGION", help_heading = "Which to list")]
    pub(crate) lacks: Vec<String>,

    /// List the objects that this KMS key, or a replica of it, wraps; repeatable. The listing says whether it alone does
    #[arg(long, value_name = "ARN", help_heading = "Which to list")]
    pub(crate) depends_on: Vec<KmsKeyArn>,

    /// With --depends-on: only the objects that no other key opens
    #[arg(long, requires = "depends_on", help_heading = "Which to list")]
    pub(crate) solely: bool,

    /// List the objects that are not sealed
    #[arg(long, help_heading = "Which to list")]
    pub(crate) unsealed: bool,

    /// List the objects that an older material of a KMS key wraps, or one that nobody tells; asks as --key-material does
    #[arg(long, help_heading = "Which to list")]
    pub(crate) stale: bool,

    /// List all objects
    #[arg(long, help_heading = "Which to list")]
    pub(crate) list: bool,

    /// Ask KMS which material of its wrapping key wrapped each object: `rewrap --refresh` follows a rotation
    ///
    /// It takes one `ReEncrypt` for each wrap, whose result is thrown away; objects that share an intermediate key cost
    /// one together. KMS is asked about the caller's own keys alone: see --key. Objects of the S3 Encryption Client do
    /// not name their wrapping key, and are not asked about.
    #[arg(long, help_heading = "Key material")]
    pub(crate) key_material: bool,

    /// Call KMS at most so often a second, in each Region
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Key material")]
    pub(crate) kms_calls_per_second: Option<u32>,

    #[command(flatten)]
    pub(crate) reader: ReaderArgs,

    /// Multi-Region keys have a replica in this Region too; repeatable
    #[arg(long, value_name = "REGION")]
    pub(crate) replicated_to: Vec<String>,

    /// Print one JSON object a line, the counts last
    #[arg(long)]
    pub(crate) json: bool,
}
