//! `sealwax drill`.

use std::path::PathBuf;

use clap::Args;

use super::{HowToVerify, ReaderArgs};
use crate::{age::Age, objects::ObjectsArgs, prefix::Prefix};

const EXAMPLES: &str = "\
Examples:
  sealwax drill s3://bucket-west --replica-of bucket-east --region us-west-2 --block us-east-1
  sealwax drill s3://bucket-west --replica-of bucket-east --region us-west-2 --block us-east-1 \\
      --source s3://bucket-east --first-last --report drill-2026-11";

/// Rehearse the loss of a Region: prove that a replica opens without it.
///
/// Every request of this process to the blocked Regions, of S3, KMS or STS, is refused before it leaves, and counted. What
/// opens then, opens when these Regions are gone.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DrillArgs {
    #[command(flatten)]
    pub(crate) objects: ObjectsArgs,

    /// The Region that is thought to be lost; repeatable
    #[arg(long, required = true, value_name = "REGION")]
    pub(crate) block: Vec<String>,

    /// Before they are blocked, compare with this source: what was never replicated is lost. Of each such object, S3 is
    /// asked for its replication status
    #[arg(long, value_name = "s3://BUCKET[/PREFIX]")]
    pub(crate) source: Option<Prefix>,

    /// The Region of the source, where it is not the first one that is blocked
    #[arg(long, value_name = "REGION", requires = "source")]
    pub(crate) source_region: Option<String>,

    /// How old an object of the source may be that is not in the replica yet
    #[arg(long, value_name = "AGE", requires = "source", default_value = "15m")]
    pub(crate) lag: Age,

    /// Write the report to PATH.json, and for people to PATH.md
    #[arg(long, value_name = "PATH", default_value = "sealwax-drill")]
    pub(crate) report: PathBuf,

    #[command(flatten)]
    pub(crate) how: HowToVerify,

    #[command(flatten)]
    pub(crate) reader: ReaderArgs,
}
