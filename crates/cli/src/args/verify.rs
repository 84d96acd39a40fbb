//! `sealwax verify`.

use clap::Args;

use super::{ReaderArgs, values::fraction};
use crate::objects::ObjectsArgs;

const EXAMPLES: &str = "\
Examples:
  sealwax verify s3://bucket-west --replica-of bucket-east --region us-west-2 --keys-in us-west-2
  sealwax verify s3://bucket/2026/ --first-last
  sealwax verify s3://bucket --full --sample 0.01 --seed 7 --json | jq -r 'select(.opens == false).object'";

/// Prove that objects open.
///
/// Nothing is skipped unsaid: objects that are not sealed, that could not be looked at, or that do not open, are counted and
/// listed with the reason.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct VerifyArgs {
    #[command(flatten)]
    pub(crate) objects: ObjectsArgs,

    #[command(flatten)]
    pub(crate) how: HowToVerify,

    /// Use only wrapping keys in this Region; repeatable
    #[arg(long, value_name = "REGION", help_heading = "Wrapping keys to read with")]
    pub(crate) keys_in: Vec<String>,

    /// Print one JSON object a line, the counts last; without it, only the objects that do not open are listed
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) reader: ReaderArgs,
}

/// How much is opened.
#[derive(Debug, Clone, Args)]
pub(crate) struct HowToVerify {
    /// Open no body: the data key is unwrapped and must meet the object's commitment. This is the default
    #[arg(long = "keys", group = "depth", help_heading = "How much")]
    pub(crate) keys_alone: bool,

    /// Open the first and the last chunk of each object too
    #[arg(long, group = "depth", help_heading = "How much")]
    pub(crate) first_last: bool,

    /// Open all of each object
    #[arg(long, group = "depth", help_heading = "How much")]
    pub(crate) full: bool,

    /// Verify about this fraction of the objects, such as 0.01
    #[arg(long, value_name = "FRACTION", help_heading = "How much", value_parser = fraction)]
    pub(crate) sample: Option<f64>,

    /// Which ones: the same seed gives the same ones
    #[arg(
        long,
        value_name = "NUMBER",
        requires = "sample",
        default_value_t = 0,
        help_heading = "How much"
    )]
    pub(crate) seed: u64,

    /// Count objects that are not sealed, but do not call them failures
    #[arg(long, help_heading = "How much")]
    pub(crate) allow_unsealed: bool,
}
