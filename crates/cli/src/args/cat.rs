//! `sealwax cat`.

use clap::Args;
use sealwax_s3::S3Uri;

use super::ReaderArgs;
use crate::{byte_range::ByteRange, pair::Pair, s3ec::S3ecArgs};

const EXAMPLES: &str = "\
Examples:
  sealwax cat s3://bucket/shop.dump | psql shop
  sealwax cat s3://bucket/events.log --range -1000     # the last 1000 bytes
  sealwax cat s3://bucket/table.parquet --range 4-1003 # 1000 bytes, from the fifth";

/// Open objects onto standard output, one after the other.
///
/// Each piece is written once it has verified. That nothing is missing is known only when the command exits with 0.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct CatArgs {
    /// What to read
    #[arg(value_name = "s3://BUCKET/KEY", required = true)]
    pub(crate) uris: Vec<S3Uri>,

    /// Only these bytes of the plaintext: FIRST-LAST, both included and counted from 0; FIRST-; or -LENGTH, the last ones
    #[arg(long, value_name = "RANGE", allow_hyphen_values = true)]
    pub(crate) range: Option<ByteRange>,

    /// Refuse an object unless its encryption context has this pair; repeatable
    #[arg(short = 'c', long = "context", value_name = "NAME=VALUE")]
    pub(crate) context: Vec<Pair>,

    /// Read this version
    #[arg(long, value_name = "ID")]
    pub(crate) version_id: Option<String>,

    #[command(flatten)]
    pub(crate) reader: ReaderArgs,

    #[command(flatten)]
    pub(crate) s3ec: S3ecArgs,
}
